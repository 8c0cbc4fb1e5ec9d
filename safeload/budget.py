"""The running account of one file against its `Limits` (law 3).

The one mutable thing that the reading stages share: containers and the machine spend from it, and it raises `LimitExceeded` (SL901) on
the side where the limit stands. Nothing is allocated for a declared length before the budget and the remaining bytes allow it.
"""

from __future__ import annotations

from time import monotonic

from safeload.errors import LimitExceeded
from safeload.limits import DEFAULT_LIMITS, Limits


class Budget:
    """What one file has spent so far. One instance for each `load`, `scan` or `open`; not shared between threads."""

    __slots__ = ("deadline", "inflated_bytes", "limits", "opcodes", "tensor_bytes", "tensors")

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self.opcodes = 0
        self.inflated_bytes = 0
        self.tensors = 0
        self.tensor_bytes = 0
        self.deadline = monotonic() + limits.scan_seconds

    def check_time(self, member: str | None = None, offset: int | None = None) -> None:
        """Raise where the wall time of `scan_seconds` is over. Loops call this every few thousand steps."""
        if monotonic() > self.deadline:
            raise exceeded("scan_seconds", self.limits.scan_seconds, "this file takes longer to read", member, offset)

    def spend_opcodes(self, count: int, member: str | None = None, offset: int | None = None) -> None:
        """Count opcodes that were interpreted; streams of one file share the budget."""
        self.opcodes += count
        if self.opcodes > self.limits.opcodes:
            raise exceeded("opcodes", self.limits.opcodes, "the pickle streams hold more opcodes", member, offset)
        self.check_time(member, offset)

    def spend_tensor(self, nbytes: int, member: str | None = None, offset: int | None = None) -> None:
        """Count one tensor of `nbytes` logical bytes."""
        self.tensors += 1
        self.tensor_bytes += nbytes
        limits = self.limits
        if self.tensors > limits.tensors:
            raise exceeded("tensors", limits.tensors, "the file holds more tensors", member, offset)
        if nbytes > limits.tensor_bytes:
            raise exceeded("tensor_bytes", limits.tensor_bytes, f"a tensor spans {nbytes:,} bytes", member, offset)
        if self.tensor_bytes > limits.total_tensor_bytes:
            raise exceeded("total_tensor_bytes", limits.total_tensor_bytes, "all tensors together span more", member, offset)


FREE_COPIES_BYTES = 4 << 20  # below this a high ratio is no danger


class Copies:
    """What calls copy out of one stream: a memoised argument costs two bytes to name again, and each call would copy all of it."""

    __slots__ = ("left", "ratio")

    def __init__(self, limits: Limits, stream_bytes: int) -> None:
        self.ratio = limits.copy_ratio
        self.left = FREE_COPIES_BYTES + self.ratio * stream_bytes

    def spend(self, count: int, member: str | None, offset: int | None) -> None:
        """Count `count` bytes or items, before they are copied."""
        self.left -= count
        if self.left < 0:
            raise exceeded("copy_ratio", self.ratio, "its calls copy more", member, offset)


def exceeded(limit: str, value: int, what: str, member: str | None = None, offset: int | None = None) -> LimitExceeded:
    """The error for one limit, worded alike everywhere: what the file does, the limit's name and value, and what moves it."""
    return LimitExceeded(f"{what} than the limit {limit} = {value:,} allows; limits={{{limit!r}: ...}} raises it", rule="SL901", member=member, offset=offset)
