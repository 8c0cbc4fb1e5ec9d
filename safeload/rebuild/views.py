"""Records of tensors and arrays become arrays: views of the placed storages, and small copies where a view cannot hold the values.

Copied, each tensor for itself: conjugated and negated views (torch notes them lazily; numpy has no such flag), sub-byte quantised types (unpacked), and
bool tensors whose bytes are neither 0 nor 1 (torch keeps them; numpy's behaviour with such a byte is undefined).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from safeload.placement.place import Placed
from safeload.rebuild.numpy_dtypes import array_dtype, numpy_dtype
from safeload.rebuild.storages import placement_key
from safeload.storage.arrays import ArrayRecord
from safeload.storage.dtypes import DType
from safeload.storage.records import TensorRecord
from safeload.tensors import MetaTensor

MAX_FREE_STRIDE = 1 << 40  # strides of dimensions of length 1 are free in torch and may be anything; beyond this they are shown as 1


def tensor(record: TensorRecord, placed: dict[str, Placed], byteorder: str) -> Any:
    """The array of a dense tensor: a view of its storage, or a `MetaTensor` where the storage was put on meta."""
    storage = placed[placement_key(record.storage, record.dtype, byteorder)]
    dtype = record.dtype
    if storage.is_meta:
        return MetaTensor(dtype=dtype.name, shape=record.shape, strides=record.strides, requires_grad=record.requires_grad)
    if dtype.per_byte > 1:
        return _unpacked(record, storage)
    offset, strides = record.offset, record.strides
    if 0 in record.shape:
        offset, strides = 0, (0,) * len(record.shape)  # an empty view's offset and strides are free, so they may be anything
        view = storage.view(numpy_dtype(dtype), record.shape, strides, offset)
        return view
    if strides and max(strides) > MAX_FREE_STRIDE:
        strides = tuple(step if length > 1 else 1 for length, step in zip(record.shape, strides, strict=True))
    view = storage.view(numpy_dtype(dtype), record.shape, strides, offset)
    if dtype.family == "bool":
        return _normal_bools(view, storage, record)
    if record.conj:
        view = view.conj()
    return -view if record.neg else view


def storage_array(key: str, dtype: DType, nbytes: int, placed: dict[str, Placed], byteorder: str) -> Any:
    """A whole storage as a one-dimensional array of its elements."""
    storage = placed[placement_key(key, dtype, byteorder)]
    if storage.is_meta:
        return MetaTensor(dtype=dtype.name, shape=(nbytes // dtype.itemsize,), strides=(1,))
    return storage.view(numpy_dtype(dtype), (nbytes // dtype.itemsize,), (1,), 0)


def _normal_bools(view: Any, storage: Placed, record: TensorRecord) -> Any:
    raw = storage.view(None, record.shape, record.strides, record.offset)
    return raw != 0 if raw.size and int(raw.max()) > 1 else view


def _unpacked(record: TensorRecord, storage: Placed) -> Any:
    """quint4x2 and quint2x4: element i stands in byte i // n, lower bits first; unpack the bytes that the view spans and index the elements."""
    dtype = record.dtype
    bits = 8 // dtype.per_byte
    raw = storage.view(None, (storage.nbytes,), (1,), 0)
    lanes = [(raw >> (bits * lane)) & ((1 << bits) - 1) for lane in range(dtype.per_byte)]
    flat = np.stack(lanes, axis=-1).reshape(-1) if isinstance(raw, np.ndarray) else lanes[0]
    if 0 in record.shape:
        return np.empty(record.shape, np.uint8)
    return np.ndarray(record.shape, np.uint8, buffer=np.ascontiguousarray(flat), offset=record.offset, strides=record.strides).copy()


def array(record: ArrayRecord) -> Any:
    """The numpy array, or numpy scalar, whose bytes stand in the pickle: writable and its own."""
    dtype = array_dtype(record.dtype)
    if not dtype.itemsize or not record.data:
        empty = np.zeros(record.shape, dtype, order="F" if record.fortran else "C")
        return empty[()] if record.scalar else empty
    flat = np.frombuffer(bytearray(record.data), dtype)
    if record.scalar:
        return flat[0]
    if record.native and not dtype.isnative and dtype.fields is None and dtype.subdtype is None:
        flat = flat.astype(dtype.newbyteorder("="))
    return flat.reshape(record.shape, order="F" if record.fortran else "C")
