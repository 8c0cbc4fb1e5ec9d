"""map_location: every fact of torch.load's, and where safeload goes beyond them.

The facts were tried on torch 2.13. Where torch is installed, `test_torch_agrees` asks it again.
"""

from __future__ import annotations

import io
import types
from collections import UserDict, defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from safeload.errors import DeviceUnavailable
from safeload.placement.map_location import resolve
from safeload.placement.registry import registered
from safeload.placement.storage import SavedStorage
from safeload.values import Device

from .fake_backend import FakeBackend


def went(map_location: object, tag: str = "cuda:0") -> str:
    return str(resolve(map_location)(SavedStorage(key="0", tag=tag, nbytes=8)).device)


class TorchDevice:
    """Behaves as torch.device does: a type, an index, a str(); no call."""

    def __init__(self, type: str, index: int | None = None) -> None:
        self.type, self.index = type, index

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"


@pytest.mark.parametrize(
    ("map_location", "tag", "device"),
    [
        # None: back to where it was saved
        (None, "cpu", "cpu"),
        (None, "cuda:1", "cuda:1"),
        (None, "cuda", "cuda:0"),
        (None, "meta", "meta"),
        (None, "cpu:0", "cpu"),  # torch: don't know how
        # a tag
        ("cpu", "cuda:7", "cpu"),
        ("cpu", "gpu", "cpu"),
        ("cpu", "", "cpu"),
        ("cpu:0", "cuda:7", "cpu"),  # torch: don't know how
        ("cuda", "cpu", "cuda:0"),
        ("cuda:1", "cpu", "cuda:1"),
        ("meta", "mps", "meta"),
        (b"cpu", "cuda:0", "cpu"),  # torch: TypeError
        (np.str_("cpu"), "cuda:0", "cpu"),
        # a device
        (TorchDevice("cpu"), "cuda:0", "cpu"),
        (TorchDevice("cpu", 0), "cuda:0", "cpu"),  # torch: don't know how
        (TorchDevice("cuda", 1), "cpu", "cuda:1"),
        (TorchDevice("meta", 0), "cpu", "meta"),
        (Device("cuda"), "cpu", "cuda:0"),
        # a number (torch: 'int' object is not callable)
        (0, "cpu", "cuda:0"),
        (1, "cpu", "cuda:1"),
        # a dict
        ({"cuda:0": "cpu"}, "cuda:0", "cpu"),
        ({"cuda:0": "cpu"}, "cuda:1", "cuda:1"),
        ({"cuda:0": "cuda:1", "cuda:1": "cuda:0"}, "cuda:0", "cuda:1"),
        ({"cuda:0": "cuda:1", "cuda:1": "cuda:0"}, "cuda:1", "cuda:0"),
        ({"cuda:0": "meta"}, "cuda:0", "meta"),
        ({"gpu": "cpu"}, "gpu", "cpu"),
        ({"cpu": "cuda"}, "cpu", "cuda:0"),
        ({}, "cpu", "cpu"),
        ({"cuda": "cpu"}, "cuda:1", "cpu"),  # torch: cuda does not match cuda:1
        ({"cuda": "cpu", "cuda:1": "cuda:0"}, "cuda:1", "cuda:0"),  # the exact key first
        ({"cuda:1": "cpu"}, "cuda", "cuda:0"),  # no prefix in the other direction
        ({"cud": "cpu", "c": "cpu"}, "cuda:1", "cuda:1"),  # a prefix is a whole device type
        ({"cuda:0": TorchDevice("cpu")}, "cuda:0", "cpu"),  # torch: TypeError
        ({TorchDevice("cuda", 0): "cpu"}, "cuda:0", "cpu"),  # torch: never matches
        ({Device("cuda"): Device("cpu")}, "cuda:1", "cpu"),
        ({0: 1}, "cuda:0", "cuda:1"),
        ({b"cuda:0": b"cpu"}, "cuda:0", "cpu"),
        (defaultdict(lambda: "meta", {"cuda:0": "cpu"}), "cuda:1", "cuda:1"),  # torch too asks .get: no default
        (UserDict({"cuda:0": "cpu"}), "cuda:0", "cpu"),
        # a function
        (lambda storage, tag: storage, "cuda:0", "cpu"),
        (lambda storage, tag: storage.cpu(), "cuda:0", "cpu"),
        (lambda storage, tag: storage.cuda(1), "cpu", "cuda:1"),
        (lambda storage, tag: storage.cuda(), "cpu", "cuda:0"),
        (lambda storage, tag: None, "cuda:1", "cuda:1"),
        (lambda storage, tag: storage.meta(), "cuda:1", "meta"),
    ],
)
def test_where_a_storage_goes(cuda: FakeBackend, map_location: object, tag: str, device: str) -> None:
    assert went(map_location, tag) == device
    assert cuda.uploads == [], "a decision moves nothing"


@pytest.mark.parametrize("tag", ["cuda0", "cuda:", "cuda:-1", "cuda:01", "CPU", "gpu", "", "cpu:1", "meta:1", "mpsx", "cuda:0\n", "acme:0"])
@pytest.mark.parametrize("spelled", ["argument", "file", "dict"])
def test_unknown_locations(cuda: FakeBackend, tag: str, spelled: str) -> None:
    map_location = {"argument": tag, "file": None, "dict": {"cuda:0": tag}}[spelled]
    with pytest.raises(DeviceUnavailable, match=r"^don't know how to restore data location of storage 0 \(tagged with") as error:
        went(map_location, tag if spelled == "file" else "cuda:0")
    assert 'map_location="cpu"' in str(error.value)


@pytest.mark.parametrize("tag", ["mps", "mps:0", "xpu:1", "npu:0", "hpu", "hpu:0", "mtia:0", "privateuseone", "xla:0", "hip:0", "musa:0"])
def test_devices_without_a_backend(tag: str) -> None:
    family = tag.partition(":")[0].upper()
    with pytest.raises(DeviceUnavailable, match=f'^Attempting to deserialize object on a {family} device but .*map_location="cpu".*saved on {tag}'):
        went(None, tag)


def test_no_cuda_here(no_cuda: FakeBackend) -> None:
    for map_location, tag in [(None, "cuda:0"), ("cuda", "cpu"), (0, "cpu"), ({"cpu": "cuda:1"}, "cpu"), (lambda storage, tag: None, "cuda:9")]:
        with pytest.raises(RuntimeError, match=r"^Attempting to deserialize object on a CUDA device but CUDA is not available"):
            went(map_location, tag)


def test_no_such_cuda_device(cuda: FakeBackend) -> None:
    for map_location, tag in [(None, "cuda:2"), ("cuda:2", "cpu"), (2, "cpu"), ("cuda:128", "cpu")]:
        with pytest.raises(DeviceUnavailable, match=r"^Attempting to deserialize object on CUDA device \d+ but the device count is 2"):
            went(map_location, tag)


def test_cuda_without_a_number_is_the_current_device(cuda: FakeBackend) -> None:
    cuda.current = 1
    assert went("cuda") == "cuda:1"
    assert went(None, "cuda") == "cuda:1"


@pytest.mark.parametrize("value", [True, False, 1.5, [], ["cpu"], ("cpu",), {"cpu"}, object(), TorchDevice("gpu"), types.SimpleNamespace(), bytearray(b"cpu")])
def test_wrong_types(value: object) -> None:
    with pytest.raises(TypeError, match="map_location must be None, a location tag"):
        resolve(value)


@pytest.mark.parametrize("table", [{"cpu": None}, {"cpu": True}, {None: "cpu"}, {"cpu": ["cpu"]}, {"cpu": len}, {1.5: "cpu"}])
def test_wrong_types_in_a_dict(table: dict[Any, Any]) -> None:
    with pytest.raises(TypeError, match="of the map_location dict must be a location tag"):
        resolve(table)


def test_negative_numbers() -> None:
    with pytest.raises(ValueError, match='map_location="cpu"'):
        resolve(-1)


@pytest.mark.parametrize("answer", ["cpu", 0, True, np.zeros(8, np.uint8), Device("cpu"), ()])
def test_a_function_gives_the_storage_or_none(answer: object) -> None:
    with pytest.raises(TypeError, match="the map_location function must return the storage it was given"):
        went(lambda storage, tag: answer)


def test_a_function_may_not_swap_storages() -> None:
    other = SavedStorage(key="1", tag="cpu", nbytes=8)
    with pytest.raises(ValueError, match="given storage 0 and returned storage 1"):
        went(lambda storage, tag: other)


def test_a_function_gets_the_storage_on_the_cpu_and_its_tag() -> None:
    seen: list[tuple[str, str, int, str]] = []

    def look(storage: SavedStorage, tag: str) -> SavedStorage:
        seen.append((storage.key, tag, storage.nbytes, str(storage.device)))
        return storage

    went(look, "gpu")
    assert seen == [("0", "gpu", 8, "cpu")]


def test_a_function_that_asks_torch(cuda: FakeBackend) -> None:
    """fairseq and its heirs write `lambda s, l: default_restore_location(s, "cpu")`; torch's own hands our storage back."""
    serialization = pytest.importorskip("torch.serialization", reason="torch is not installed")
    assert went(lambda storage, tag: serialization.default_restore_location(storage, "cpu")) == "cpu"


def test_what_the_function_raises_is_the_caller_s() -> None:
    with pytest.raises(ZeroDivisionError):
        went(lambda storage, tag: 1 / 0)


def test_a_dict_is_copied() -> None:
    table = {"cuda:0": "cpu"}
    restore = resolve(table)
    table["cuda:0"] = "nowhere"
    assert str(restore(SavedStorage(key="0", tag="cuda:0", nbytes=8)).device) == "cpu"


def test_registered_packages_decide_for_every_form() -> None:
    with registered(1, None, lambda storage, tag: storage.cpu() if tag == "acme:0" else None):
        assert went(None, "acme:0") == went("acme:0", "meta") == went({"meta": "acme:0"}, "meta") == "cpu"
        assert went(lambda storage, tag: storage.to("acme:0"), "meta") == "cpu"


@pytest.fixture(scope="module")
def torch_load() -> Iterator[Any]:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if torch.cuda.is_available():
        pytest.skip("torch sees CUDA here: its CPU-only answers cannot be asked for")
    file = io.BytesIO()
    torch.save(torch.arange(4.0), file)

    def load(map_location: object) -> str:
        file.seek(0)
        try:
            return str(torch.load(file, map_location=map_location).device)
        except (RuntimeError, TypeError) as error:
            return type(error).__name__

    yield load


@pytest.mark.parametrize(
    ("map_location", "stricter_or_wider"),
    [(tag, "") for tag in ["cpu", "meta", "cuda", "cuda:0", "cuda0", "cuda:", "cuda:01", "cuda: 1", "gpu", "CPU", "", "mps", "xpu:0", "hpu", "npu:0", "cpu:1"]]
    + [({"cpu": "meta"}, ""), ({"cuda": "meta"}, ""), ({}, ""), (lambda s, t: None, ""), (lambda s, t: s, ""), (lambda s, t: s.cpu(), "")]
    + [(lambda s, t: "cpu", ""), (lambda s, t: 3, ""), ([], ""), (True, ""), ({"cpu": None}, "")]
    + [("cpu:0", "cpu"), ("meta:0", "meta"), (b"cpu", "cpu"), ({"cpu": Device("meta")}, "meta"), ({Device("cpu"): "meta"}, "meta"), (0, "RuntimeError")],
)
def test_torch_agrees(torch_load: Any, no_cuda: FakeBackend, map_location: object, stricter_or_wider: str) -> None:
    """Same device or same class of error as torch; the last line holds what safeload accepts beyond it."""
    try:
        ours = went(map_location, "cpu")
    except RuntimeError:
        ours = "RuntimeError"
    except TypeError:
        ours = "TypeError"
    theirs = torch_load(map_location)
    if stricter_or_wider:
        assert (ours, theirs != ours) == (stricter_or_wider, True)
    else:
        assert ours == theirs
