"""numpy's `dtype.descr`, as a .npy header holds it, becomes an `ArrayDType`: text, a list of fields, or (descr, shape) for a subarray.

Source: `descr_to_dtype` of numpy `lib/format.py`. Fields without a name and of type void are padding and become gaps; titles are dropped. Refuses what
names no dtype, and fields or subarrays whose parts are no descr (SL407).
"""

from __future__ import annotations

import re
from typing import Any

from safeload.storage.arrays import (
    MAX_DTYPE_DEPTH,
    MAX_DTYPE_LEAVES,
    MAX_ITEM_BYTES,
    MAX_SUBARRAY_DIMS,
    TIME_UNITS,
    ArrayDType,
    BadArray,
    from_text,
    nested,
)

_TIME = re.compile(r"([<>=|]?)([Mm])8\[([1-9][0-9]{0,9})?([a-zA-Z]{1,2})\]")


def from_descr(descr: Any, depth: int = 0) -> ArrayDType:
    """The dtype. Raises `BadArray`."""
    if depth > MAX_DTYPE_DEPTH:
        raise BadArray(f"a dtype nests deeper than {MAX_DTYPE_DEPTH}")
    if type(descr) is str:
        return _from_text(descr)
    if type(descr) is tuple and len(descr) == 2:
        return _subarray(from_descr(descr[0], depth + 1), descr[1])
    if type(descr) is list:
        return _structure(descr, depth)
    raise BadArray("a dtype is text, a list of fields, or (dtype, shape)")


def _from_text(text: str) -> ArrayDType:
    match = _TIME.fullmatch(text)
    if match is None:
        return from_text(text)
    order, kind, multiple, unit = match.groups()
    if unit not in TIME_UNITS:
        raise BadArray(f"{text!a} has no unit of time")
    return ArrayDType(code=f"{kind}8", itemsize=8, byteorder=">" if order == ">" else "<", unit=(unit, int(multiple or 1)))


def _subarray(part: ArrayDType, shape: Any) -> ArrayDType:
    dims = (shape,) if type(shape) is int else shape
    if type(dims) is not tuple or len(dims) > MAX_SUBARRAY_DIMS or not all(type(length) is int and length >= 0 for length in dims):
        raise BadArray("the shape of a subarray is a tuple of whole numbers")
    count = 1
    for length in dims:
        count *= max(length, 1)
    if count * max(part.itemsize, 1) > MAX_ITEM_BYTES:
        raise BadArray("a subarray is larger than any item")
    itemsize = part.itemsize
    for length in dims:
        itemsize *= length
    return nested(itemsize, [part], subdtype=(part, dims))


def _structure(descr: list[Any], depth: int) -> ArrayDType:
    if len(descr) > MAX_DTYPE_LEAVES:
        raise BadArray(f"a dtype of more than {MAX_DTYPE_LEAVES:,} fields")
    fields: list[tuple[str, ArrayDType, int]] = []
    offset = 0
    for field in descr:
        if type(field) is not tuple or len(field) not in (2, 3):
            raise BadArray("a field is (name, dtype) or (name, dtype, shape)")
        name = field[0][1] if type(field[0]) is tuple and len(field[0]) == 2 else field[0]  # (title, name)
        if type(name) is not str:
            raise BadArray("the name of a field is text")
        part = from_descr(field[1], depth + 1)
        if len(field) == 3:
            part = _subarray(part, field[2])
        if name or part.code[0] != "V" or part.fields is not None or part.subdtype is not None:
            fields.append((name, part, offset))
        offset += part.itemsize
    if offset > MAX_ITEM_BYTES or len({name for name, _, _ in fields}) != len(fields):
        raise BadArray("two fields of a dtype have one name, or its item is too long")
    return nested(offset, [part for _, part, _ in fields], fields=tuple(fields))
