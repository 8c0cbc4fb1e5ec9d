"""`open` on files that are larger than anything that may be read of them: sparse on disk, so that only holes are long."""

from __future__ import annotations

import os
import resource
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import bigzip
import numpy as np
import pytest
from builds import dense, pairs
from hostile.hostile import stream

import safeload
from safeload.source import ByteSource

GIB = 1 << 30
LISTING = pairs(big=dense("FloatStorage", 5 * GIB // 4, (5 * GIB // 4096, 1024), (1024, 1)), last=dense("FloatStorage", 12, (3, 4), (4, 1), key="1"))
LAST = np.arange(12, dtype="<f4")
OPEN_BYTES = 8 << 20  # what opening and one small tensor may take, whatever the file's size
RESIDENT_KIB = 64 << 10  # getrusage counts KiB, and pages of Python as well


def sparse(path: Path, listing: str, big: int, alignment: int = 64) -> dict[str, int]:
    """A torch zip with a hole of `big` bytes. Skips where the file system writes holes out."""
    members: list[tuple[str, bytes | int]] = [("a/data.pkl", stream(listing)), ("a/byteorder", b"little"), ("a/data/0", big)]
    try:
        offsets = bigzip.write(path, [*members, ("a/data/1", LAST.tobytes()), ("a/version", b"3\n")], alignment)
    except OSError as error:
        pytest.skip(f"the file system takes no file of {big:,} bytes: {error}")
    if os.stat(path).st_blocks * 512 > 1 << 24:
        path.unlink()
        pytest.skip("the file system has no sparse files")
    return offsets


class Reads:
    """What was read of the source, by counting in `ByteSource`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        honest, honest_view = ByteSource.read, ByteSource.view

        def read(source: ByteSource, offset: int, length: int) -> bytes:
            self.bytes += length
            return honest(source, offset, length)

        def view(source: ByteSource, *args: Any, **options: Any) -> memoryview:
            self.views += 1
            return honest_view(source, *args, **options)

        self.views = 0
        monkeypatch.setattr(ByteSource, "read", read)
        monkeypatch.setattr(ByteSource, "view", view)


@pytest.mark.parametrize("alignment", [64, 4096])
def test_five_gigabytes_open_in_the_memory_of_their_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alignment: int) -> None:
    path = tmp_path / "big.pt"
    offsets = sparse(path, LISTING, 5 * GIB, alignment)
    assert zipfile.ZipFile(path).getinfo("a/data/0").file_size == 5 * GIB
    reads = Reads(monkeypatch)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    try:
        with safeload.open(path) as checkpoint:
            big, last = checkpoint.info("big"), checkpoint.info("last")
            assert (big.shape, big.dtype, big.nbytes, big.location) == ((5 * GIB // 4096, 1024), "float32", 5 * GIB, "cpu")
            assert (big.file_offset, last.file_offset) == (offsets["a/data/0"], offsets["a/data/1"])
            assert big.file_offset % alignment == 0 and last.file_offset % alignment == 0 and last.file_offset > 5 * GIB
            assert not reads.views and reads.bytes < 1 << 20
            assert checkpoint.get_tensor("last").tolist() == LAST.reshape(3, 4).tolist()
            assert not checkpoint.get_slice("big")[-2:].any()
        assert tracemalloc.get_traced_memory()[1] < OPEN_BYTES
    finally:
        tracemalloc.stop()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < RESIDENT_KIB


def test_a_file_larger_than_the_machine_opens(tmp_path: Path) -> None:
    """Linux refuses a writable private map of more than all memory, unless it is told that the pages will not all be written."""
    path = tmp_path / "huge.pt"
    size = 1 << 43
    listing = pairs(last=dense("FloatStorage", 12, (3, 4), (4, 1), key="1"), big=dense("LongStorage", size // 8, (8,), (1,)))
    offsets = sparse(path, listing.replace("BININT ", "LONG1 "), size)
    with safeload.open(path) as checkpoint:
        assert checkpoint.info("last").file_offset == offsets["a/data/1"] > size
        last = checkpoint.get_tensor("last")
        last += 1
        assert last.tolist() == (LAST.reshape(3, 4) + 1).tolist()
    with safeload.open(path) as checkpoint:
        assert checkpoint.get_tensor("last").tolist() == LAST.reshape(3, 4).tolist()
