"""The invariants of sparse tensors, always checked, object by object: an index outside the shape is an out-of-bounds write in whoever densifies it.

Turns the index tensors of a COO, CSR, CSC, BSR or BSC tensor into "proved" or a `StorageError` SL408. torch before 2.15 checks only on request and
through a process-wide list that concurrent loads empty for each other (GHSA-pxpx-v6rm-5jqf). Rules: `torch.sparse.check_sparse_tensor_invariants`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

from safeload.budget import Budget, exceeded
from safeload.errors import StorageError
from safeload.storage.geometry import INT64, MAX_ELEMENTS, elements
from safeload.storage.records import SparseRecord, StorageRecord, TensorRecord

CAST: dict[str, Literal["q", "i"]] = {"int64": "q", "int32": "i"}


def values(tensor: TensorRecord, storage: StorageRecord, raw: bytes | memoryview, byteorder: str) -> Sequence[int]:
    """The elements of an integer tensor on a storage that holds `raw`, in C order, without numpy. Empty for any other dtype; the caller judges the dtype."""
    code = CAST.get(tensor.dtype.name)
    count = elements(tensor.shape)
    if code is None or not count:
        return ()
    if count * tensor.dtype.itemsize > storage.nbytes:  # a stride of 0 would make more indices than there are bytes
        raise StorageError(f"an index tensor of {count:,} elements stands on a storage of {storage.nbytes:,} bytes", rule="SL405")
    width = tensor.dtype.itemsize
    raw = raw[: len(raw) // width * width]
    if byteorder != sys.byteorder:
        turned = bytearray(raw)
        for byte in range(width):
            turned[byte::width] = raw[width - 1 - byte :: width]
        raw = bytes(turned)
    flat = memoryview(raw).cast(code)
    return _gather(flat, tensor.shape, tensor.strides, tensor.offset)


def _gather(flat: Any, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Sequence[int]:
    if not shape:
        return [flat[offset]]
    last, step = shape[-1], strides[-1]
    starts = [offset]
    for axis, length in enumerate(shape[:-1]):
        starts = [start + index * strides[axis] for start in starts for index in range(length)]
    found: list[int] = []
    for start in starts:
        found.extend(flat[start : start + (last - 1) * step + 1 : step].tolist() if step else [flat[start]] * last)
    return found


def check(
    record: SparseRecord,
    parts: list[TensorRecord],
    numbers: Callable[[TensorRecord], Sequence[int]],
    member: str | None,
    at: int,
    budget: Budget,
) -> None:
    """Prove one sparse tensor. Raises `StorageError` SL408 (indices), SL405 (shapes), SL406 (dtypes)."""

    if len(record.shape) > budget.limits.tensor_dims or (record.shape and not 0 <= min(record.shape) <= max(record.shape) < INT64):
        raise StorageError("the size of a sparse tensor is not valid", rule="SL405")
    if elements(tuple(length or 1 for length in record.shape)) >= MAX_ELEMENTS:
        raise exceeded("tensor_bytes", budget.limits.tensor_bytes, "a sparse tensor spans more", member, at)
    budget.spend_tensor(elements(record.shape) * parts[-1].dtype.itemsize, member, at)
    if record.layout == "sparse_coo":
        _check_coo(record, parts, numbers)
    elif record.layout in ("sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc"):
        _check_compressed(record, parts, numbers)
    else:
        raise StorageError(f"{record.layout} is no sparse layout", rule="SL406")


def _check_coo(record: SparseRecord, parts: list[TensorRecord], numbers: Any) -> None:
    indices, data = parts
    if indices.dtype.name != "int64" or len(indices.shape) != 2:
        raise StorageError("the indices of a COO tensor are a 2-D tensor of int64", rule="SL406")
    sparse_dims, count = indices.shape
    if not data.shape or data.shape[0] != count or sparse_dims > len(record.shape) or tuple(data.shape[1:]) != record.shape[sparse_dims:]:
        raise StorageError(f"indices {indices.shape} and values {data.shape} do not make a tensor of size {record.shape}", rule="SL405")
    found = numbers(indices)
    for dim in range(sparse_dims):
        row = found[dim * count : (dim + 1) * count]
        if row and not (0 <= min(row) and max(row) < record.shape[dim]):
            raise StorageError(f"an index of a COO tensor lies outside its size: {min(row)} to {max(row)} in a dimension of {record.shape[dim]}", rule="SL408")


def _check_compressed(record: SparseRecord, parts: list[TensorRecord], numbers: Any) -> None:
    compressed, plain, data = parts
    if compressed.dtype.name not in ("int64", "int32") or plain.dtype.name != compressed.dtype.name:
        raise StorageError("the indices of a compressed sparse tensor are int32 or int64, both alike", rule="SL406")
    batch = len(compressed.shape) - 1
    blocked = record.layout in ("sparse_bsr", "sparse_bsc")
    if batch < 0 or len(plain.shape) != batch + 1 or len(record.shape) < batch + 2 or len(data.shape) < batch + (3 if blocked else 1):
        raise StorageError("the parts of a compressed sparse tensor do not have its dimensions", rule="SL405")
    block = tuple(data.shape[batch + 1 : batch + 3]) if blocked else (1, 1)
    rows, columns = record.shape[batch : batch + 2]
    dense = tuple(data.shape[batch + (3 if blocked else 1) :])
    if 0 in block or rows % block[0] or columns % block[1] or dense != record.shape[batch + 2 :]:
        raise StorageError("the blocks of a compressed sparse tensor do not fill its size", rule="SL405")
    lines, width = (rows // block[0], columns // block[1]) if record.layout in ("sparse_csr", "sparse_bsr") else (columns // block[1], rows // block[0])
    count = plain.shape[batch]
    batches = elements(record.shape[:batch])
    if compressed.shape[batch] != lines + 1 or any(part.shape[:batch] != record.shape[:batch] for part in parts) or data.shape[batch] != count:
        raise StorageError("the parts of a compressed sparse tensor do not agree in length", rule="SL405")
    pointers, positions = numbers(compressed), numbers(plain)
    for number in range(batches):
        ends = pointers[number * (lines + 1) : (number + 1) * (lines + 1)]
        line = positions[number * count : (number + 1) * count]
        if ends[0] != 0 or ends[-1] != count or any(after < before or after - before > width for before, after in pairwise(ends)):
            raise StorageError("the compressed indices of a sparse tensor do not run from 0 to the number of its values in order", rule="SL408")
        if line and not (0 <= min(line) and max(line) < width):
            raise StorageError(f"a plain index of a sparse tensor lies outside its {width} columns", rule="SL408")
        for before, after in pairwise(ends):
            part = line[before:after]
            if any(right <= left for left, right in pairwise(part)):
                raise StorageError("the plain indices of a sparse tensor are not distinct and in order", rule="SL408")
