"""The whole path on a real device: `pytest -m gpu`. Needs CuPy and a GPU, torch with CUDA for one of them; everything else it makes itself.

What the simulator holds for generated files is held here once more where CUDA itself decides: streams, the pools, the driver's errors.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builds import dense, dense_v3, pairs, torch_zip

import safeload
import safeload.cupy
from safeload.placement.cupy_backend import ContainerArray

from .test_whole_files import KINDS, NEW_DTYPES

pytestmark = pytest.mark.gpu

BIG = 3_000_000  # elements


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Every dtype, views of one storage, a storage of several slots, small ones, and one without bytes."""
    listings, contents = {}, {}
    rng = np.random.default_rng(7)
    for key, (name, item) in enumerate({**KINDS, **NEW_DTYPES}.items()):
        make = dense_v3 if name in NEW_DTYPES else dense
        listings[name] = make(name, 40 * item if name in NEW_DTYPES else 40, (5, 8), (8, 1), key=str(key))
        listings[f"{name} turned"] = make(name, 40 * item if name in NEW_DTYPES else 40, (8, 5), (1, 8), key=str(key))
        contents[str(key)] = rng.bytes(40 * item)
    listings["big"] = dense("FloatStorage", BIG, (BIG,), (1,), key="big")
    contents["big"] = rng.bytes(4 * BIG)
    listings["wide"] = dense("FloatStorage", BIG, (1000, BIG), (0, 1), key="big")
    listings["empty"] = dense("FloatStorage", 0, (0, 3), (3, 1), key="empty")
    contents["empty"] = b""
    file = tmp_path / "model.pt"
    file.write_bytes(torch_zip(pairs(**listings), contents))
    return file


SMALL = safeload.cupy.Transfer(slot_bytes=1 << 16, ring_bytes=1 << 19, threads=4, batch_bytes=1 << 20, large_bytes=1 << 19)


def on_host(array: Any) -> bytes:
    return np.ascontiguousarray(array.get() if hasattr(array, "get") else array).tobytes()


def same(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert left.keys() == right.keys()
    for name, array in left.items():
        if name != "wide":
            assert array.shape == right[name].shape and on_host(array) == on_host(right[name]), name


@pytest.mark.parametrize("transfer", [None, SMALL, safeload.cupy.Transfer(threads=1)])
def test_gpu_holds_what_the_cpu_holds(gpu: Any, path: Path, transfer: Any) -> None:
    value = safeload.load(path, "cuda:0", transfer=transfer)
    same(value, safeload.load(path, "cpu"))
    assert isinstance(value["float8_e5m2"], ContainerArray) and value["wide"].strides == (0, 4)
    assert value["wide"].data.ptr == value["big"].data.ptr


@pytest.mark.parametrize("method", [8])
def test_gpu_deflated_and_big_endian(gpu: Any, method: int) -> None:
    numbers = np.arange(BIG, dtype=">f8")
    data = torch_zip(pairs(a=dense("DoubleStorage", BIG, (BIG,), (1,))), {"0": numbers.tobytes()}, method=method, byteorder=b"big")
    assert np.array_equal(safeload.load(data, "cuda")["a"].get(), numbers)


def test_gpu_memory_that_a_kernel_still_uses_is_waited_for(gpu: Any, path: Path) -> None:
    """The pool gives the block of an array that a queue of kernels on the caller's stream still writes; what was loaded must come after them."""
    expected = safeload.load(path, "cpu")["big"]
    stream = gpu.cuda.Stream(non_blocking=True)
    with stream:
        for _ in range(3):
            stale = gpu.empty(BIG, "f4")
            for _ in range(300):
                stale += 1
            del stale
            value = safeload.load(path, "cuda")["big"]
            assert on_host(value) == expected.tobytes()
            del value
        assert gpu.cuda.get_current_stream() == stream


def test_gpu_a_failure_gives_back_memory(gpu: Any, path: Path, tmp_path: Path) -> None:
    pool = gpu.get_default_memory_pool()
    gc.collect()
    before = pool.used_bytes()
    cut = tmp_path / "cut.pt"
    cut.write_bytes(path.read_bytes())
    with safeload.open(cut, "cuda", transfer=SMALL) as checkpoint:
        with cut.open("r+b") as file:
            file.truncate(file.seek(0, 2) // 2)
        with pytest.raises(safeload.CheckpointError, match="ends too early"):
            checkpoint.get_tensors()
    assert pool.used_bytes() == before


def test_gpu_a_full_device_is_told_before_anything_is_read(gpu: Any, path: Path) -> None:
    pool = gpu.get_default_memory_pool()
    gc.collect()
    pool.set_limit(size=pool.used_bytes() + (1 << 20))
    try:
        with pytest.raises(safeload.DeviceUnavailable, match=r"cuda:0 has .* bytes free.*the largest: big \(12,000,000 bytes\)"):
            safeload.load(path, "cuda")
    finally:
        pool.set_limit(size=0)


def test_gpu_shards(gpu: Any, path: Path) -> None:
    whole = safeload.load(path, "cpu")
    parts = [safeload.cupy.load_file(path, shard=(rank, 2), dims={"FloatStorage": 1, "BFloat16Storage": 0}) for rank in range(2)]
    assert np.array_equal(np.concatenate([part["FloatStorage"].get() for part in parts], axis=1).view("u4"), whole["FloatStorage"].view("u4"))
    assert np.array_equal(np.concatenate([part["BFloat16Storage"].get() for part in parts]).view("u2"), whole["BFloat16Storage"].view("u2"))


def test_gpu_torch_shares_the_memory(gpu: Any, path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    import safeload.torch

    value, expected = safeload.torch.load(path, "cuda"), safeload.torch.load(path, "cpu")
    for name, tensor in expected.items():
        if name != "wide":
            found = value[name]
            assert found.is_cuda and (found.dtype, found.shape, found.stride()) == (tensor.dtype, tensor.shape, tensor.stride())
            assert found.cpu().contiguous().view(torch.uint8).equal(tensor.contiguous().view(torch.uint8)) if found.numel() else True, name
    assert value["wide"].data_ptr() == value["big"].data_ptr()
    pool = gpu.get_default_memory_pool()
    used = pool.used_bytes()
    del value, found
    gc.collect()
    assert pool.used_bytes() < used


def test_gpu_direct(gpu: Any, path: Path) -> None:
    pytest.importorskip("kvikio", reason="kvikio is not installed")
    same(safeload.load(path, "cuda", transfer=safeload.cupy.Transfer(direct=True)), safeload.load(path, "cpu"))
