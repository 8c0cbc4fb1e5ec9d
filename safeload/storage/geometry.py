"""Sizes, strides and an offset become the extent of a view in its storage, in Python ints: nothing here can wrap (torch #181310).

Refuses what torch refuses (negative numbers, ranks that differ) and what it does not check in time (a view that leaves its storage).
"""

from __future__ import annotations

from safeload.errors import StorageError
from safeload.limits import Limits

INT64 = 1 << 63  # torch's sizes, strides and offsets are int64
MAX_ELEMENTS = 1 << 58  # numpy counts bytes in a signed 64-bit integer, and the widest item has 32


def elements(size: tuple[int, ...]) -> int:
    """The number of elements of a tensor of this size."""
    count = 1
    for length in size:
        count *= length
    return count


def contiguous(size: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a tensor whose elements follow each other in C order, as torch writes them: a dimension of length 0 counts as one of length 1."""
    strides, step = [], 1
    for length in reversed(size):
        strides.append(step)
        step *= max(length, 1)
    return tuple(reversed(strides))


def extent(size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> int:
    """How many elements a storage must hold for this view: one past the last element that it reaches, 0 for an empty view.

    The offset of an empty view and the stride of a dimension of length 1 are free, as in torch.
    """
    last = offset
    for length, step in zip(size, stride, strict=True):
        if length == 0:
            return 0
        last += (length - 1) * step
    return last + 1


def check(
    size: tuple[int, ...], stride: tuple[int, ...], offset: int, available: int, *, limits: Limits, where: str | None = None, at: int | None = None
) -> None:
    """Prove that the view lies inside `available` elements. Raises `StorageError` SL405 for numbers that are none, SL401 for a view that leaves."""
    if len(size) != len(stride):
        raise StorageError(f"a tensor has {len(size)} sizes and {len(stride)} strides", rule="SL405", member=where, offset=at)
    if len(size) > limits.tensor_dims:
        raise StorageError(f"a tensor has {len(size)} dimensions, and numpy holds {limits.tensor_dims}", rule="SL405", member=where, offset=at)
    if offset < 0 or (size and (min(size) < 0 or min(stride) < 0)):
        raise StorageError(
            f"a tensor has a negative size, stride or offset: {_shown(size)}, {_shown(stride)}, {_count(offset)}", rule="SL405", member=where, offset=at
        )
    padded = 1
    for length in size:
        padded *= length or 1
    if padded >= MAX_ELEMENTS:
        raise StorageError(f"a tensor of size {_shown(size)} is larger than any array", rule="SL405", member=where, offset=at)
    needed = extent(size, stride, offset)
    if needed > available:
        raise StorageError(
            f"a tensor of size {_shown(size)}, stride {_shown(stride)} and offset {_count(offset)} "
            f"reaches element {_count(needed - 1)} of a storage of {available:,}",
            rule="SL401",
            member=where,
            offset=at,
        )


def _shown(numbers: tuple[int, ...]) -> str:
    return "(" + ", ".join(_count(number) for number in numbers[:8]) + (", ..." if len(numbers) > 8 else "") + ")"


def _count(number: int) -> str:
    """A number for a message. Python refuses to spell ints of more than 4,300 digits, and nobody reads them."""
    return f"{number:,}" if number < INT64 else "2**63 or more"
