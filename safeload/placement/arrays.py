"""`ArrayReader`: an array on the host, however it is strided, as the bytes of a contiguous one. For slices of mapped tensors on their way to a device.

Turns a view into pieces of its elements in C order, each copied once, into the memory that the device reads; the pages behind the rest of the storage stay
untouched. A slice that is one piece of the file says where, and is read there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from safeload.placement.reader import Extent

Array = np.ndarray[Any, np.dtype[Any]]


class ArrayReader:
    """See `reader.Reader`."""

    __slots__ = ("array", "extent")

    in_order = False

    def __init__(self, array: Array, extent: Extent | None = None) -> None:
        self.array = array
        self.extent = extent

    @property
    def nbytes(self) -> int:
        """Logical bytes: those that a stride of 0 shows again count again."""
        return int(self.array.nbytes)

    def read_into(self, start: int, target: memoryview) -> None:
        """Whole elements: `start` is a multiple of 64, and no element is longer than 16 bytes."""
        item = self.array.dtype.itemsize
        fill(self.array, start // item, np.frombuffer(target, np.uint8).view(self.array.dtype))


def fill(array: Array, first: int, target: Array) -> None:
    """`target[:] = array.ravel()[first : first + len(target)]`, without the ravel: a part of a row, whole rows, a part of a row, at each dimension."""
    if not len(target):
        return
    if array.ndim <= 1:
        target[:] = array.reshape(-1)[first : first + len(target)]  # of a single element or a vector: no copy
        return
    row = array.size // len(array)
    index, skipped = divmod(first, row)
    if skipped or len(target) < row:
        count = min(row - skipped, len(target))
        fill(array[index], skipped, target[:count])
        index, target = index + 1, target[count:]
    whole = len(target) // row
    target[: whole * row].reshape((whole, *array.shape[1:]))[...] = array[index : index + whole]
    fill(array[index + whole :], 0, target[whole * row :])
