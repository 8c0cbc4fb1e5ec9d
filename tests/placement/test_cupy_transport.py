"""cupy_transport: kvikio behind the same interface, and the shapes of CuPy's own objects that no fake may get wrong."""

from __future__ import annotations

import gc
import os
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from builds import dense, pairs, torch_zip

import safeload
from safeload.placement.settings import Transfer

from .fake_cupy import FakeCupy

NUMBERS = np.arange(5000, dtype="f4")
DIRECT = Transfer(slot_bytes=4096, ring_bytes=16384, threads=2, large_bytes=10_000, direct=True)


class CuFile:
    """kvikio.CuFile: opened by a path, reads into what has CUDA's array interface; here, into the fake's arrays."""

    opened: ClassVar[list[str]] = []
    live = 0
    short = False

    def __init__(self, path: str, flags: str) -> None:
        assert flags == "r"
        self.file = os.open(path, os.O_RDONLY)
        CuFile.opened.append(os.readlink(path))
        CuFile.live += 1

    def read(self, target: Any, size: int, file_offset: int) -> int:
        data = os.pread(self.file, size - self.short, file_offset)
        np.asarray(target)[: len(data)] = np.frombuffer(data, np.uint8)
        return len(data)

    def close(self) -> None:
        os.close(self.file)
        CuFile.live -= 1


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCupy:
    fake = FakeCupy()
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setitem(sys.modules, "kvikio", types.SimpleNamespace(CuFile=CuFile))  # type: ignore[arg-type]
    monkeypatch.setattr(CuFile, "opened", [])
    monkeypatch.setattr(CuFile, "short", False)
    return fake


@pytest.fixture
def path(tmp_path: Path) -> Path:
    listing = pairs(a=dense("FloatStorage", 5000, (50, 100), (100, 1)), b=dense("BoolStorage", 8, (8,), (1,), key="1"))
    file = tmp_path / "model.pt"
    file.write_bytes(torch_zip(listing, {"0": NUMBERS.tobytes(), "1": bytes([0, 1, 2, 0, 1, 1, 0, 0])}))
    return file


def test_kvikio_reads_what_the_file_holds_as_it_is(fake: FakeCupy, path: Path) -> None:
    value = safeload.load(path, "cuda:1", transfer=DIRECT)
    assert value["a"].tobytes() == NUMBERS.tobytes() and value["b"].tolist() == [False, True, True, False, True, True, False, False]
    assert set(CuFile.opened) == {str(path)} and CuFile.live == 0, "the file that was judged, and it is closed again"
    assert fake.simulator.copies == [(1, 8)], "only what had to be made took the ring"
    fake.simulator.settle()


def test_bytes_in_memory_have_no_file_to_read_from(fake: FakeCupy, path: Path) -> None:
    assert safeload.load(path.read_bytes(), "cuda", transfer=DIRECT)["a"].tobytes() == NUMBERS.tobytes()
    assert CuFile.opened == []


def test_a_read_that_ends_early_is_an_error_that_frees_everything(fake: FakeCupy, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CuFile, "short", True)
    with pytest.raises(safeload.DeviceUnavailable, match=r"kvikio cannot read the file \(it read 4,095 of 4,096 bytes\)"):
        safeload.load(path, "cuda", transfer=DIRECT)
    gc.collect()
    assert fake.simulator.live == {} and CuFile.live == 0
    fake.simulator.settle()


def test_without_kvikio_it_says_what_to_install(fake: FakeCupy, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kvikio", None)  # type: ignore[arg-type]
    with pytest.raises(safeload.DeviceUnavailable, match=r"needs kvikio .*pip install 'safeload\[gds\]'"):
        safeload.load(path, "cuda", transfer=DIRECT)
    assert fake.simulator.live == {}


def test_the_real_pinned_pointer_is_a_buffer_that_can_be_filled() -> None:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    memory = np.zeros(64, np.uint8)
    pointer = cupy.cuda.PinnedMemoryPointer(types.SimpleNamespace(ptr=memory.ctypes.data, size=64), 0)
    memoryview(pointer).cast("B")[3:6] = b"abc"
    assert memory[3:6].tobytes() == b"abc" and pointer.ptr == memory.ctypes.data


def test_the_real_allocator_can_be_told_from_a_caller_s_own() -> None:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    assert cupy.cuda.get_allocator() == cupy.get_default_memory_pool().malloc
    with cupy.cuda.using_allocator(cupy.cuda.MemoryPool(cupy.cuda.malloc_managed).malloc):
        assert cupy.cuda.get_allocator() != cupy.get_default_memory_pool().malloc
