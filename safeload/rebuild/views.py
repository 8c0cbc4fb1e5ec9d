"""Records of tensors and arrays become arrays: views of the placed storages, and for what lies in the pickle itself small arrays of their own.

A tensor is always a view, whatever its shape: what no view could show was done to the storage before it was placed (`storages`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from safeload.placement.place import Placed
from safeload.rebuild.numpy_dtypes import array_dtype, numpy_dtype
from safeload.rebuild.storages import extent, placed_name
from safeload.source import ByteSource
from safeload.storage.arrays import ArrayRecord
from safeload.storage.records import TensorRecord
from safeload.tensors import MetaTensor

MAX_FREE_STRIDE = 1 << 40  # strides of dimensions of length 1 are free in torch and may be anything; beyond this they are shown as 1


class Shown:
    """What tensors are shown as: arrays of numpy and CuPy. `safeload.torch` shows them as its own."""

    def dense(self, record: TensorRecord, storage: Placed, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Any:
        """A view of a storage that has data; `strides` and `offset` count elements."""
        return storage.view(numpy_dtype(record.dtype), shape, strides, offset)

    def special(self, value: Any) -> Any:
        """A tensor that no plain array can hold, as `safeload.tensors` has it."""
        return value

    def loose(self, array: Any) -> Any:
        """A numpy array that stands for a tensor and has no storage of the file."""
        return array


ARRAYS = Shown()


def tensor(record: TensorRecord, placed: dict[str, Placed], byteorder: str, shown: Shown = ARRAYS) -> Any:
    """The array of a dense tensor: a view of its storage, or a `MetaTensor` where the storage was put on meta."""
    storage = placed[placed_name(record, byteorder)]
    if storage.is_meta:
        return shown.special(MetaTensor(dtype=record.dtype.name, shape=record.shape, strides=record.strides, requires_grad=record.requires_grad))
    shape, strides, offset = record.shape, record.strides, record.offset
    if 0 in shape:
        offset, strides = 0, (0,) * len(shape)  # an empty view's offset and strides are free, so they may be anything
    elif strides and max(strides) > MAX_FREE_STRIDE:
        strides = tuple(step if length > 1 else 1 for length, step in zip(shape, strides, strict=True))
    return shown.dense(record, storage, shape, strides, offset)


def array(record: ArrayRecord, source: ByteSource, *, mapped: bool) -> Any:
    """The numpy array, or numpy scalar: writable, and its own copy of bytes that stand in the pickle; of an extent of the file a part of the map (`mapped`)."""
    dtype = array_dtype(record.dtype)
    native = record.native and not dtype.isnative and dtype.fields is None and dtype.subdtype is None
    if not dtype.itemsize or not (record.data if record.extent is None else record.extent.size):
        dtype = dtype.newbyteorder("=") if native else dtype
        order: Any = "F" if record.fortran else "C"
        empty: Any = np.zeros(record.shape, dtype, order=order) if dtype.itemsize else np.ndarray(record.shape, dtype, order=order)  # zeros makes S1 of S0
        return empty[()] if record.scalar else empty
    flat = np.frombuffer(bytearray(record.data) if record.extent is None else extent(record.extent, source, mapped=mapped), dtype)
    if record.scalar:
        return flat[0]
    if native:
        flat = flat.astype(dtype.newbyteorder("="))
    return flat.reshape(record.shape, order="F" if record.fortran else "C")
