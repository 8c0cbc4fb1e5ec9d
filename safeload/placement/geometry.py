"""The last check before an address is computed: does this view lie inside this buffer?

Turns sizes, strides and an offset (bytes, Python ints) into the same, fit for `numpy.ndarray` and `cupy.ndarray`, and refuses whatever would leave the
buffer. `storage` has proved that already, element-wise, for every tensor of the file; but CuPy's constructor over a memory pointer checks
nothing, so the arithmetic is done once more here, next to the pointer.

Two habits of torch are kept: a tensor without elements may have any offset, and the stride of a dimension of size 1 means nothing.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from safeload.errors import StorageError

MAX_DIMS = 64  # dimensions; numpy 2's NPY_MAXDIMS
MAX_BYTES = (1 << 63) - 1  # bytes; numpy and CuPy compute sizes and strides in a signed 64-bit integer


def checked(nbytes: int, dtype: np.dtype[Any], shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> tuple[tuple[int, ...], int]:
    """Strides and offset to use for a view of a buffer of `nbytes` bytes. Raises `StorageError` (SL401, SL405, SL406)."""
    if dtype.hasobject or not dtype.itemsize:
        _refuse("SL406", f"dtype {dtype} does not describe numbers of a fixed size")  # object: the file's bytes would become addresses
    if len(shape) != len(strides) or len(shape) > MAX_DIMS:
        _refuse("SL405", f"{len(shape)} sizes and {len(strides)} strides, where the two must agree and {MAX_DIMS} is the most")
    logical = dtype.itemsize
    reach = offset + logical
    for size, stride in zip(shape, strides, strict=True):
        if size < 0 or stride < 0:
            _refuse("SL405", "sizes and strides must not be negative")
        logical *= size or 1  # numpy refuses (0, 2**62, 2**62) too
        reach += (size - 1) * stride
    if offset < 0 or logical > MAX_BYTES:
        _refuse("SL405", "the offset is negative" if offset < 0 else "the tensor is larger than any address space")
    if 0 in shape:
        return (0,) * len(shape), 0
    if reach > nbytes:
        _refuse("SL401", f"the view ends at byte {reach:,} of a storage of {nbytes:,} bytes")
    if 1 in shape:
        strides = tuple([0 if stride > MAX_BYTES else stride for stride in strides])  # can only be that of a size 1: the others are within nbytes
    return strides, offset


def _refuse(rule: str, message: str) -> NoReturn:
    raise StorageError(message, rule=rule)
