"""One contestant in a process of its own: `python -m benchmarks.child MODE IMPORTS LOAD PATH WARM` prints one JSON object.

    digest   what it reads, as `digest.digest` spells it
    load     the first load, and the median of those behind it, on a warm page cache
    cold     one load of a file that is not in the page cache, and how much of the file is there afterwards
    memory   what one load adds to the process beside pages of the file, while its result is alive and at its peak

IMPORTS and LOAD are lines of `rows.py`; LOAD is an expression over `path`. In `cold` and `memory` the file WARM is loaded first, so that modules and
policies are there. Standard library only, because it runs in the environments of the peers, too.
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import sys
import time
from collections.abc import Callable
from typing import Any

REPEATS = 3  # loads behind the first one, at least
ENOUGH_SECONDS = 0.5  # for more of them
MOST_REPEATS = 50
KIB = 1_024


def _timed(once: Callable[[str], Any], path: str) -> tuple[float, float]:
    started, used = time.perf_counter(), time.process_time()
    value = once(path)
    taken = time.perf_counter() - started, time.process_time() - used
    del value
    return taken


def _load(once: Callable[[str], Any], path: str) -> dict[str, Any]:
    first = _timed(once, path)
    samples: list[tuple[float, float]] = []
    while len(samples) < REPEATS or (sum(wall for wall, _ in samples) < ENOUGH_SECONDS and len(samples) < MOST_REPEATS):
        gc.collect()
        samples.append(_timed(once, path))
    middle = len(samples) // 2
    return {
        "wall": sorted(wall for wall, _ in samples)[middle],
        "cpu": sorted(cpu for _, cpu in samples)[middle],
        "first_wall": first[0],
        "first_cpu": first[1],
    }


def _cold(once: Callable[[str], Any], path: str, warm: str) -> dict[str, Any]:
    once(warm)
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    before = _resident(fd)
    started, used = time.perf_counter(), time.process_time()
    value = once(path)
    wall, cpu = time.perf_counter() - started, time.process_time() - used
    read = _resident(fd) - before
    del value
    os.close(fd)
    return {"wall": wall, "cpu": cpu, "read_bytes": read, "left_bytes": before}


def _resident(fd: int) -> int:
    """Bytes of a file that are in the page cache."""
    import ctypes

    length = os.fstat(fd).st_size
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
    libc.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    address = libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    pages = (ctypes.c_ubyte * ((length + mmap.PAGESIZE - 1) // mmap.PAGESIZE))()
    if libc.mincore(address, length, pages):
        raise OSError(ctypes.get_errno(), "mincore")
    libc.munmap(address, length)
    return sum(each & 1 for each in bytes(pages)) * mmap.PAGESIZE


def _memory(once: Callable[[str], Any], path: str, warm: str) -> dict[str, Any]:
    once(warm)
    gc.collect()
    before = _status("RssAnon")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak counts from here: proc(5)
    value = once(path)
    held = _status("RssAnon") - before
    peak = _status("VmHWM") - _status("RssFile") - _status("RssShmem") - before
    del value
    return {"held_bytes": held, "peak_bytes": max(held, peak)}


def _status(field: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(f"{field}:")) * KIB


def main() -> None:
    """Read the words, do it, print."""
    mode, imports, load, path, warm = sys.argv[1:]
    names: dict[str, Any] = {}
    exec(imports, names)
    exec(f"def once(path):\n    return {load}", names)
    once = names["once"]
    if mode == "digest":
        from benchmarks.digest import digest

        print(json.dumps({"digest": digest(once(path))}))
        return
    print(json.dumps(_load(once, path) if mode == "load" else _cold(once, path, warm) if mode == "cold" else _memory(once, path, warm)))


if __name__ == "__main__":
    main()
