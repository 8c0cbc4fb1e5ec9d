"""`Transfer`: how storages travel to a device. Numbers with units and sources; a caller may replace any of them.

Refuses numbers that cannot work (a ring smaller than two slots, slots that are no multiple of the alignment) with `ValueError`, before a file is touched.
"""

from __future__ import annotations

import os

import msgspec

from safeload.limits import MIB

ALIGNMENT = 64  # bytes; where torch's zip writer starts each storage (caffe2/serialize/inline_container.cc, kFieldAlignment), and 4 x the longest number
MAX_THREADS = 64  # beyond this the threads only wait for Python's lock


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """How storages travel: file, pinned ring, device. The ring is all host memory that a transfer takes, whatever the size of the file.

    `ring_bytes` of pinned memory are cut into slots of `slot_bytes`; `threads` fill them, each with at least two slots of its own, so that one is copied
    while the other is read. Storages below `large_bytes` share device allocations of up to `batch_bytes`, which are freed when the last tensor in them
    is; larger ones get one each. `direct=True` lets kvikio read the file straight into device memory (GPUDirect Storage); what no file holds as it
    is takes the ring.
    """

    ring_bytes: int = 128 * MIB  # 16 slots; the design's bound for pinned memory is 512 MiB
    slot_bytes: int = 8 * MIB  # 0.15 ms at 55 GB/s, against about 0.03 ms that Python needs for one
    threads: int = min(8, os.cpu_count() or 1)  # one core copies about 10 GB/s out of the page cache, and PCIe 5 x16 takes 55
    batch_bytes: int = 256 * MIB  # what one small tensor can keep from being freed
    large_bytes: int = 64 * MIB
    direct: bool = False

    def __post_init__(self) -> None:
        for name, value in (("slot_bytes", self.slot_bytes), ("batch_bytes", self.batch_bytes)):
            if not _whole(value) or value < ALIGNMENT or value % ALIGNMENT:
                raise ValueError(f"{name} is a multiple of {ALIGNMENT} bytes, not {value!r}")
        if not _whole(self.ring_bytes) or self.ring_bytes < 2 * self.slot_bytes:
            raise ValueError(f"ring_bytes holds at least two slots of {self.slot_bytes:,} bytes, not {self.ring_bytes!r}")
        if not _whole(self.threads) or not 1 <= self.threads <= MAX_THREADS:
            raise ValueError(f"threads is a number from 1 to {MAX_THREADS}, not {self.threads!r}")
        if not _whole(self.large_bytes) or self.large_bytes < 0:
            raise ValueError(f"large_bytes is a number of bytes, not {self.large_bytes!r}")

    @property
    def workers(self) -> int:
        """Threads that the ring has slots for: two each."""
        return min(self.threads, self.ring_bytes // self.slot_bytes // 2)

    @property
    def slots_each(self) -> int:
        """Slots of one worker."""
        return self.ring_bytes // self.slot_bytes // self.workers


DEFAULT = Transfer()
