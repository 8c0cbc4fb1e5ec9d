"""cupy_backend: the order of its calls (a fake CuPy over host memory), the real constructor (CuPy without a GPU), and the real device.

The middle part needs CuPy and no driver: `cupy.ndarray` over `UnownedMemory` computes addresses and strides without touching a device.
"""

from __future__ import annotations

import builtins
import gc
import subprocess
import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from safeload.errors import DeviceUnavailable, StorageError
from safeload.placement.backend import DeviceBuffer
from safeload.placement.cupy_backend import CUPY, ContainerArray
from safeload.placement.place import PlacedInput, place
from safeload.values import Device

from .fake_cupy import FakeCupy

F4 = np.dtype("f4")
BF16 = np.dtype(ml_dtypes.bfloat16)
CONTAINERS = [("float8_e4m3fn", "u1"), ("float8_e5m2", "u1"), ("float8_e8m0fnu", "u1"), ("int4", "u1"), ("uint4", "u1")]
if hasattr(ml_dtypes, "complex32"):  # ml_dtypes 0.6
    CONTAINERS.append(("complex32", "u4"))


def use(monkeypatch: pytest.MonkeyPatch, **how: Any) -> FakeCupy:
    fake = FakeCupy(**how)
    monkeypatch.setitem(sys.modules, "cupy", fake)
    return fake


def host(count: int = 64) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.arange(count, dtype=np.uint8)


def saved(tag: str = "cuda:1", nbytes: int = 64) -> dict[str, PlacedInput]:
    return {"0": PlacedInput(key="0", tag=tag, nbytes=nbytes, load=lambda: host(nbytes))}


def test_one_allocation_one_copy_one_wait_and_the_current_device_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = use(monkeypatch)
    placed = place(saved())["0"]
    assert fake.journal == ["alloc 64 on device 1", "copy 64 on device 1", "synchronize device 1"]
    assert fake.current == 0 and placed.device == Device("cuda", 1)
    view = placed.view(F4, (2, 2), (4, 1), 1)
    assert view.view(np.ndarray).tobytes() == host().view("f4")[[1, 2, 5, 6]].tobytes()
    assert len(fake.journal) == 3, "a view allocates and copies nothing"
    fake.simulator.settle()


def test_a_storage_without_bytes_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = use(monkeypatch)
    placed = place(saved("cuda", 0))["0"]
    assert fake.journal == ["alloc 0 on device 0"]
    assert placed.view(F4, (0, 2), (2, 1), 7).shape == (0, 2)
    fake.simulator.settle()


def test_views_share_memory_and_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch)
    placed = place(saved())["0"]
    one, two = placed.view(np.dtype("u1"), (64,), (1,), 0), placed.view(np.dtype("u1"), (8, 8), (1, 8), 0)
    assert placed.buffer is not None and one.pointer.mem is two.pointer.mem is placed.buffer.memory.mem
    one[8] = 200
    assert two[0, 1] == 200


@pytest.mark.parametrize(("name", "carrier"), CONTAINERS)
def test_what_cupy_lacks_is_held_as_unsigned_integers(monkeypatch: pytest.MonkeyPatch, name: str, carrier: str) -> None:
    use(monkeypatch)
    dtype = np.dtype(getattr(ml_dtypes, name))
    view = place(saved())["0"].view(dtype, (2, 4), (4, 1), 2)
    assert isinstance(view, ContainerArray)
    assert (view.dtype, view.array.dtype, view.shape, view.nbytes) == (dtype, np.dtype(carrier), (2, 4), 8 * dtype.itemsize)
    back = view.get()
    assert back.dtype == dtype and back.tobytes() == host()[2 * dtype.itemsize : 10 * dtype.itemsize].tobytes()
    assert repr(view) == f"ContainerArray({name} as {np.dtype(carrier)}, shape=(2, 4))"


def test_bfloat16_depends_on_cupy_s_version(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, version="14.0.0rc1")
    assert place(saved())["0"].view(BF16, (2,), (1,), 0).dtype == BF16
    use(monkeypatch, version="13.6.0")
    old = place(saved())["0"].view(BF16, (2,), (1,), 0)
    assert isinstance(old, ContainerArray) and old.array.dtype == np.uint16


@pytest.mark.parametrize("code", "?bhilqBHILQefdFD")
def test_dtypes_that_cupy_has(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    use(monkeypatch)
    assert place(saved())["0"].view(np.dtype(code), (2,), (1,), 0).dtype == np.dtype(code)


@pytest.mark.parametrize(
    ("dtype", "shape", "strides", "offset", "rule"),
    [
        (F4, (17,), (4,), 0, "SL401"),
        (F4, (1,), (4,), 61, "SL401"),
        (F4, (1,), (-4,), 0, "SL405"),
        (F4, (1,), (4,), 2, "SL405"),  # inside, but a kernel would fault on it
        (F4, (2,), (6,), 0, "SL405"),
        (np.dtype(">f4"), (1,), (4,), 0, "SL406"),
        (np.dtype("O"), (1,), (8,), 0, "SL406"),
        (np.dtype("V3"), (1,), (3,), 0, "SL406"),
    ],
)
def test_what_the_constructor_would_not_notice(
    monkeypatch: pytest.MonkeyPatch, dtype: np.dtype[Any], shape: tuple[int, ...], strides: tuple[int, ...], offset: int, rule: str
) -> None:
    use(monkeypatch)
    with pytest.raises(StorageError) as error:
        CUPY.view(CUPY.upload(host(), 0), dtype, shape, strides, offset)
    assert error.value.rule == rule


def test_no_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "cupy":
            raise ImportError("No module named 'cupy'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert not CUPY.is_available()
    with pytest.raises(
        DeviceUnavailable, match=r"CUDA is not available: CuPy cannot be imported \(No module named 'cupy'\); pip install .*map_location=\"cpu\""
    ):
        place(saved())


def test_no_driver_and_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, error="cudaErrorInsufficientDriver: too old")
    with pytest.raises(DeviceUnavailable, match="CUDA is not available: cudaErrorInsufficientDriver"):
        place(saved())
    use(monkeypatch, count=0)
    with pytest.raises(DeviceUnavailable, match="CUDA is not available: no CUDA device is visible"):
        place(saved())


def test_no_such_device(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, count=1)
    with pytest.raises(DeviceUnavailable, match="on CUDA device 1 but the device count is 1"):
        place(saved())


def test_a_full_device_is_the_machine_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = use(monkeypatch, free_bytes=63)
    with pytest.raises(DeviceUnavailable, match=r'cuda:1 has 63 bytes free, and the storages for it take 64; the largest: 0 \(64 bytes\). map_location="cpu"'):
        place(saved())
    fake.allocator = lambda size: fake.pool.malloc(size)  # the caller's own: nobody can say what it has free
    with pytest.raises(DeviceUnavailable, match=r'cuda:1 cannot take the storages \(Out of memory.*map_location="cpu"'):
        place(saved())
    assert fake.current == 0
    fake.simulator.settle()


def test_a_limit_of_the_pool_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, limit=50)
    with pytest.raises(DeviceUnavailable, match="cuda:1 has 50 bytes free"):
        place(saved())


def test_a_driver_that_fails_under_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = use(monkeypatch)
    fake.simulator.fail_copy = 0
    with pytest.raises(DeviceUnavailable, match=r"cuda:1 cannot take the storages \(cudaErrorIllegalAddress"):
        place(saved())
    assert fake.simulator.live == {} and fake.current == 0
    fake.simulator.settle()


def test_importing_placement_imports_no_cupy_and_no_torch() -> None:
    code = "import sys, safeload.placement.place, safeload.placement.cupy_backend; print([name for name in ('cupy', 'torch') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


# CuPy without a device


@pytest.fixture
def host_buffer() -> DeviceBuffer:
    """Host memory dressed as device memory: good for addresses, never for kernels."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    memory = host()
    return DeviceBuffer(memory=cupy.cuda.MemoryPointer(cupy.cuda.UnownedMemory(memory.ctypes.data, 64, memory, 0), 0), device=0, nbytes=64)


@pytest.mark.parametrize(
    ("shape", "strides", "offset"), [((2, 3), (12, 4), 8), ((3, 2), (4, 12), 8), ((1 << 40,), (0,), 60), ((), (), 60), ((0, 3), (0, 0), 0)]
)
def test_the_real_constructor_takes_our_numbers(host_buffer: DeviceBuffer, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> None:
    view = CUPY.view(host_buffer, F4, shape, strides, offset)
    assert (type(view).__module__.partition(".")[0], view.dtype, view.shape) == ("cupy", F4, shape)
    assert view.strides == strides and view.data.ptr - host_buffer.memory.ptr == offset


@pytest.mark.parametrize(("name", "carrier"), CONTAINERS)
def test_the_real_constructor_takes_containers(host_buffer: DeviceBuffer, name: str, carrier: str) -> None:
    view = CUPY.view(host_buffer, np.dtype(getattr(ml_dtypes, name)), (2,), (np.dtype(carrier).itemsize,), 8)
    assert isinstance(view, ContainerArray) and view.array.dtype == np.dtype(carrier) and view.array.data.ptr == host_buffer.memory.ptr + 8


def test_real_bfloat16(host_buffer: DeviceBuffer) -> None:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    view = CUPY.view(host_buffer, BF16, (2,), (2,), 0)
    assert isinstance(view, ContainerArray) == (int(cupy.__version__.partition(".")[0]) < 14)


# A real device


@pytest.mark.gpu
def test_gpu_round_trip_aliasing_and_transposes(gpu: Any) -> None:
    memory = np.arange(24, dtype="f4")
    item = {"0": PlacedInput(key="0", tag="cuda:0", nbytes=96, load=lambda: memory.view(np.uint8))}
    placed = place(item)["0"]
    one, two = placed.view(F4, (4, 6), (6, 1), 0), placed.view(F4, (6, 4), (1, 6), 0)
    assert isinstance(one, gpu.ndarray) and np.array_equal(one.get(), memory.reshape(4, 6))
    one[1, 2] = 99
    assert two[2, 1].get() == 99 and memory[8] == 8
    expanded = placed.view(F4, (5, 24), (0, 1), 0)
    assert float(expanded.sum()) == 5 * float(one.sum())


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["bfloat16", *(name for name, _ in CONTAINERS)])
def test_gpu_bits_come_back_as_they_were(gpu: Any, name: str) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name))
    view = place(saved("cuda:0"))["0"].view(dtype, (3, 2), (1, 3), 2)  # transposed: the copy back runs a kernel on the carrier
    raw = host()[2 * dtype.itemsize : 8 * dtype.itemsize].view(dtype).reshape(2, 3).T
    back = view.get()
    assert back.dtype == dtype and np.ascontiguousarray(back).tobytes() == np.ascontiguousarray(raw).tobytes()


@pytest.mark.gpu
def test_gpu_the_current_device_and_stream_are_left_alone(gpu: Any) -> None:
    last = gpu.cuda.runtime.getDeviceCount() - 1
    before, stream = gpu.cuda.runtime.getDevice(), gpu.cuda.Stream(non_blocking=True)
    with stream:
        view = place(saved(f"cuda:{last}"))["0"].view(np.dtype("u1"), (64,), (1,), 0)
        assert gpu.cuda.get_current_stream() == stream
    assert gpu.cuda.runtime.getDevice() == before and view.device.id == last
    assert np.array_equal(view.get(), host())


@pytest.mark.gpu
def test_gpu_memory_lives_as_long_as_the_last_view(gpu: Any) -> None:
    pool = gpu.get_default_memory_pool()
    before = pool.used_bytes()
    view = place(saved("cuda:0", 1 << 20))["0"].view(np.dtype("u1"), (4,), (1,), 1024)
    gc.collect()
    assert pool.used_bytes() >= before + (1 << 20)
    assert view.get().tolist() == host(1028)[1024:].tolist()
    del view
    gc.collect()
    assert pool.used_bytes() == before


@pytest.mark.gpu
def test_gpu_no_such_device(gpu: Any) -> None:
    with pytest.raises(DeviceUnavailable, match="but the device count is"):
        place(saved(f"cuda:{gpu.cuda.runtime.getDeviceCount()}"))
