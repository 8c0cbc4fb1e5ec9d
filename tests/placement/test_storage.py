"""storage: what a map_location function can do with the storage it is given."""

from __future__ import annotations

import pytest

from safeload.errors import DeviceUnavailable, SafeloadError
from safeload.placement.numpy_backend import NUMPY
from safeload.placement.storage import SavedStorage
from safeload.values import Device

from .fake_backend import FakeBackend

SAVED = SavedStorage(key="7", tag="cuda:3", nbytes=40)


def test_it_starts_on_the_cpu_and_knows_what_it_is() -> None:
    assert (SAVED.key, SAVED.tag, SAVED.nbytes, SAVED.device, SAVED.backend) == ("7", "cuda:3", 40, Device("cpu"), NUMPY)
    assert (SAVED.device.type, SAVED.device.index) == ("cpu", None)


def test_destinations_are_decisions_and_move_nothing(cuda: FakeBackend) -> None:
    cuda.current = 1
    assert SAVED.cuda().device == Device("cuda", 1), "None is the current device"
    assert SAVED.cuda(0).device == Device("cuda", 0)
    assert SAVED.cuda("cuda:1").device == Device("cuda", 1)
    assert SAVED.cuda(Device("cuda", 1)).device == Device("cuda", 1)
    assert SAVED.cuda(0).cpu().device == Device("cpu")
    assert SAVED.cuda(0).meta().backend is None
    assert SAVED.to("cuda:1").backend is cuda
    assert SAVED.to(Device("meta")).device == Device("meta")
    assert cuda.uploads == []


def test_a_decision_is_checked_at_once(cuda: FakeBackend) -> None:
    with pytest.raises(DeviceUnavailable, match=r"on CUDA device 2 but the device count is 2\..*map_location=\"cpu\".*storage 7, saved on cuda:3"):
        SAVED.cuda(2)
    with pytest.raises(DeviceUnavailable, match="device -1 but"):
        SAVED.on(cuda, -1)


def test_no_device_at_all(no_cuda: FakeBackend) -> None:
    sentence = r"^Attempting to deserialize object on a CUDA device but CUDA is not available: the fake driver is not loaded\. If you are running on a CPU-only"
    with pytest.raises(DeviceUnavailable, match=sentence) as error:
        SAVED.cuda()
    assert 'map_location="cpu"' in str(error.value)
    assert isinstance(error.value, RuntimeError) and isinstance(error.value, SafeloadError), "torch's class and ours"


@pytest.mark.parametrize("device", ["cpu", "cuda0", 1.5, Device("cpu")])
def test_cuda_takes_cuda_devices(device: object) -> None:
    with pytest.raises(ValueError, match="takes the number of a CUDA device"):
        SAVED.cuda(device)


def test_to_takes_devices() -> None:
    with pytest.raises(TypeError, match="not list"):
        SAVED.to(["cpu"])


def test_nothing_in_it_runs_or_changes() -> None:
    public = {name for name in dir(SAVED) if not name.startswith("_")}
    assert public == {"key", "tag", "nbytes", "device", "backend", "cpu", "cuda", "to", "meta", "on"}
    with pytest.raises(AttributeError):
        SAVED.tag = "cpu"  # type: ignore[misc]
