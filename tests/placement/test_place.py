"""place: one upload per storage, aliases kept, nothing read that goes nowhere, nothing freed too early or too late."""

from __future__ import annotations

import gc
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from safeload.errors import DeviceUnavailable, StorageError
from safeload.placement.place import Placed, PlacedInput, place
from safeload.values import Device

from .fake_backend import FREED, FakeBackend, on_cuda

F4 = np.dtype("f4")
U1 = np.dtype("u1")


class Shelf:
    """Storages of a pretended file; counts what is read."""

    def __init__(self, **tags: str | bytes) -> None:
        self.arrays = {key: np.arange(16, dtype="f4").view(np.uint8) + number for number, key in enumerate(tags)}
        self.loads: list[str] = []
        self.inputs = {key: PlacedInput(key=key, tag=tag, nbytes=64, load=lambda key=key: self.load(key)) for key, tag in tags.items()}  # type: ignore[misc]

    def load(self, key: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
        self.loads.append(key)
        return self.arrays[key]


def test_on_the_cpu_the_storage_is_the_array_itself() -> None:
    shelf = Shelf(a="cpu", b="cuda:0")
    placed = place(shelf.inputs, "cpu")
    assert [(p.key, p.tag, p.nbytes, p.device, p.is_meta) for p in placed.values()] == [
        ("a", "cpu", 64, Device("cpu"), False),
        ("b", "cuda:0", 64, Device("cpu"), False),
    ]
    view = placed["a"].view(F4, (2, 3), (3, 1), 2)
    assert type(view) is np.ndarray and view.tolist() == [[2, 3, 4], [5, 6, 7]]
    assert np.shares_memory(view, shelf.arrays["a"]) and view.flags.writeable
    view[0, 0] = 99
    assert shelf.arrays["a"].view("f4")[2] == 99
    assert shelf.loads == ["a", "b"]


def test_views_over_one_storage_alias_across_dtypes_and_geometry() -> None:
    placed = place(Shelf(a="cpu").inputs)["a"]
    flat, turned = placed.view(F4, (4, 4), (4, 1), 0), placed.view(F4, (4, 4), (1, 4), 0)
    halves, raw = placed.view(np.dtype(ml_dtypes.bfloat16), (32,), (1,), 0), placed.view(None, (64,), (1,), 0)
    flat[1, 2] = 1.0
    assert turned[2, 1] == 1.0 and raw[4 * 6 + 3] == 0x3F and halves[13] == 1.0
    assert raw.dtype == U1


def test_expanded_empty_and_scalar_views() -> None:
    placed = place(Shelf(a="cpu").inputs)["a"]
    assert placed.view(F4, (1 << 40,), (0,), 3)[12345] == 3, "stride 0 costs nothing"
    assert placed.view(F4, (0, 5), (5, 1), 10**9).shape == (0, 5)
    assert placed.view(F4, (), (), 15) == 15
    assert placed.view(F4, (1, 2), (10**30, 1), 14).tolist() == [[14, 15]]


def test_a_storage_without_bytes(cuda: FakeBackend) -> None:
    empty = PlacedInput(key="0", tag="cuda:1", nbytes=0, load=lambda: np.empty(0, np.uint8))
    for map_location in (None, "cpu"):
        placed = place({"0": empty}, map_location)["0"]
        assert placed.view(F4, (0, 3), (3, 1), 0).shape == (0, 3)
        with pytest.raises(StorageError):
            placed.view(F4, (1,), (1,), 0)


@pytest.mark.parametrize(("shape", "strides", "offset"), [((17,), (1,), 0), ((16,), (1,), 1), ((2,), (16,), 0), ((1,), (1,), -1), ((2,), (-1,), 1)])
@pytest.mark.parametrize("map_location", ["cpu", "cuda"])
def test_no_view_leaves_its_storage(cuda: FakeBackend, map_location: str, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> None:
    placed = place(Shelf(a="cpu").inputs, map_location)["a"]
    with pytest.raises(StorageError):
        placed.view(F4, shape, strides, offset)


def test_one_upload_per_key_and_aliases_on_the_device(cuda: FakeBackend) -> None:
    shelf = Shelf(a="cuda:0", b="cuda:1", c="cpu")
    placed = place(shelf.inputs)
    assert cuda.uploads == [(0, 64), (1, 64)] and shelf.loads == ["a", "b", "c"]
    one, two = placed["a"].view(F4, (16,), (1,), 0), placed["a"].view(F4, (4, 4), (1, 4), 0)
    for _ in range(100):
        placed["a"].view(F4, (16,), (1,), 0)
    one[6] = 42
    assert two[2, 1] == 42 and cuda.uploads == [(0, 64), (1, 64)]
    assert shelf.arrays["a"].view("f4")[6] == 6, "the device has memory of its own"
    assert [str(p.device) for p in placed.values()] == ["cuda:0", "cuda:1", "cpu"]
    assert placed["a"].buffer is not None and placed["a"].buffer.device == 0
    assert placed["b"].buffer is not None and placed["b"].buffer.device == 1


def test_a_function_is_called_once_per_key(cuda: FakeBackend) -> None:
    calls: list[tuple[str, str]] = []

    def choose(storage: Any, tag: str) -> Any:
        calls.append((storage.key, tag))
        return storage.cuda(0).cuda(1) if storage.key == "a" else None

    shelf = Shelf(a="cpu", b="cpu")
    placed = place(shelf.inputs, choose)
    for key in ("a", "b"):
        placed[key].view(F4, (1,), (1,), 0)
    assert calls == [("a", "cpu"), ("b", "cpu")]
    assert cuda.uploads == [(1, 64)], "changing one's mind moves nothing"


@pytest.mark.parametrize("map_location", ["meta", Device("meta"), {"cpu": "meta"}, lambda storage, tag: storage.meta()])
def test_meta_reads_nothing(map_location: object) -> None:
    shelf = Shelf(a="cpu", b="cpu")
    placed = place(shelf.inputs, map_location)
    assert shelf.loads == []
    assert all(p.is_meta and p.device == Device("meta") and p.backend is None and p.nbytes == 64 for p in placed.values())
    with pytest.raises(ValueError, match="storage a is on meta"):
        placed["a"].view(F4, (1,), (1,), 0)


def test_saved_on_meta_reads_nothing() -> None:
    shelf = Shelf(a="meta", b="cpu")
    assert place(shelf.inputs)["a"].is_meta and shelf.loads == ["b"]


def test_nothing_is_read_before_every_device_is_found(cuda: FakeBackend) -> None:
    shelf = Shelf(a="cpu", b="cuda:0", c="cuda:5")
    with pytest.raises(DeviceUnavailable):
        place(shelf.inputs)
    with pytest.raises(TypeError):
        place(shelf.inputs, 1.5)
    assert shelf.loads == [] and cuda.uploads == []


def test_tags_of_python_2() -> None:
    placed = place(Shelf(a=b"cpu").inputs)["a"]
    assert placed.tag == "cpu"
    with pytest.raises(DeviceUnavailable, match="don't know how"):
        place(Shelf(a=b"\xff\x1b[31m").inputs)


def test_lifetime_follows_the_last_view(cuda: FakeBackend) -> None:
    placed: dict[str, Placed] = place(Shelf(a="cuda:0", b="cuda:0").inputs)
    view = placed["a"].view(F4, (4,), (1,), 4)[1:]
    del placed
    gc.collect()
    assert (sorted(cuda.live), cuda.freed) == ([0], [1]), "b is free, a is held by a slice of a view"
    assert view.tolist() == [5, 6, 7] and view.view(np.uint8)[0] != FREED
    del view
    gc.collect()
    assert (cuda.live, sorted(cuda.freed)) == ({}, [0, 1])


def test_a_loader_that_fails_half_way_leaves_nothing_on_the_device(cuda: FakeBackend) -> None:
    shelf = Shelf(a="cuda:0", b="cuda:0")
    shelf.arrays["b"] = shelf.arrays["b"][:60]
    with pytest.raises(StorageError, match="storage b holds 60 bytes where 64 were announced") as error:
        place(shelf.inputs)
    assert error.value.rule == "SL402"
    del error
    gc.collect()
    assert cuda.live == {} and cuda.freed == [0]


@pytest.mark.parametrize("array", [np.zeros(8, "f8"), np.zeros((8, 8), "u1"), np.zeros(128, "u1")[::2]])
def test_a_loader_gives_contiguous_bytes(array: Any) -> None:
    with pytest.raises(TypeError, match="not contiguous bytes"):
        place({"0": PlacedInput(key="0", tag="cpu", nbytes=64, load=lambda: array)})


def test_read_only_storages_stay_read_only() -> None:
    shelf = Shelf(a="cpu")
    shelf.arrays["a"].flags.writeable = False
    assert not place(shelf.inputs)["a"].view(F4, (16,), (1,), 0).flags.writeable


def test_two_devices_of_other_makers_side_by_side() -> None:
    with on_cuda(FakeBackend()) as cuda, on_cuda(FakeBackend(name="xpu", count=1)) as xpu:
        placed = place(Shelf(a="cuda:1", b="xpu:0").inputs)
        assert (cuda.uploads, xpu.uploads) == ([(1, 64)], [(0, 64)])
        assert [str(p.device) for p in placed.values()] == ["cuda:1", "xpu:0"]
