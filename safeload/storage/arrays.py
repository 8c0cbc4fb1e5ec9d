"""numpy dtypes and array states as they stand in a pickle become records: what an array is, and that its bytes are exactly as many as it needs.

Source: `arraydescr_reduce`, `arraydescr_setstate` and `array_setstate` of numpy's `descriptor.c` and `methods.c`. Refuses objects inside arrays (SL409: their
items would be unpickled one by one), and sizes, fields and units that do not agree (SL407).
"""

from __future__ import annotations

from typing import Any

import msgspec

from safeload.containers.base import Member
from safeload.errors import StorageError

FIXED_SIZES = {  # kind and item size as numpy's dtype.str spells them
    "?": 1, "b1": 1,
    "i1": 1, "i2": 2, "i4": 4, "i8": 8,
    "u1": 1, "u2": 2, "u4": 4, "u8": 8,
    "f2": 2, "f4": 4, "f8": 8, "f16": 16,
    "c8": 8, "c16": 16, "c32": 32,
}  # fmt: skip
FLEXIBLE = "SUVa"
TIMES = "Mm"
MAX_ITEM_BYTES = (1 << 31) - 1  # numpy counts the bytes of an item in a C int
MAX_SUBARRAY_DIMS = 32  # numpy 1's NPY_MAXDIMS
MAX_ARRAY_DIMS = 64  # numpy 2's
MAX_LENGTH = (1 << 63) - 1  # of one dimension; numpy counts in a ssize_t
MAX_DTYPE_DEPTH = 16
MAX_DTYPE_LEAVES = 10_000
MAX_EMPTY_ITEMS = 1 << 20  # elements of an array whose items have no bytes: nothing in the file pays for them, and every loop would walk them
TIME_UNITS = frozenset({"Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as", "generic"})
DTYPE_CLASSES = {
    "BoolDType": "b1", "Int8DType": "i1", "Int16DType": "i2", "Int32DType": "i4", "Int64DType": "i8",
    "ByteDType": "i1", "ShortDType": "i2", "IntDType": "i4", "LongDType": "i8", "LongLongDType": "i8",
    "UInt8DType": "u1", "UInt16DType": "u2", "UInt32DType": "u4", "UInt64DType": "u8",
    "UByteDType": "u1", "UShortDType": "u2", "UIntDType": "u4", "ULongDType": "u8", "ULongLongDType": "u8",
    "Float16DType": "f2", "Float32DType": "f4", "Float64DType": "f8", "LongDoubleDType": "f16",
    "Complex64DType": "c8", "Complex128DType": "c16", "CLongDoubleDType": "c32",
}  # fmt: skip


class ArrayDType(msgspec.Struct, frozen=True, kw_only=True):
    """One numpy dtype. `code` is kind and size (`f4`, `S3`, `V16`, `M8`), `itemsize` in bytes, `byteorder` one of `< > |`."""

    code: str
    itemsize: int
    byteorder: str = "<"
    subdtype: tuple[ArrayDType, tuple[int, ...]] | None = None
    fields: tuple[tuple[str, ArrayDType, int], ...] | None = None  # name, dtype, offset in bytes
    unit: tuple[str, int] | None = None  # datetime64 and timedelta64: unit and multiple

    depth: int = 1  # how deep dtypes nest in this one
    leaves: int = 1  # plain dtypes in it, each path counted: what walking it costs
    has_objects: bool = False  # does an item hold a Python object?


class ArrayRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One array whose bytes lie in the pickle itself (`data`), or in the file (`extent`); proved: they are `itemsize * product(shape)`."""

    dtype: ArrayDType
    shape: tuple[int, ...]
    fortran: bool
    data: bytes = b""
    extent: Member | None = None  # stored, in the source of the container that the record belongs to
    scalar: bool = False
    native: bool = False  # `array_setstate` turns byte-swapped elements around as it reads them; `_frombuffer` keeps them as they are


class BadArray(ValueError):
    """Why a dtype or an array is not valid; the caller adds the place."""


def from_text(text: str) -> ArrayDType:
    """`numpy.dtype("f4")`, `"<i8"`, `"S3"`, `"V16"`, `"O8"`: what `dtype.__reduce__` writes."""
    body = text
    byteorder = "<"
    if body[:1] in ("<", ">", "|", "=") and body:
        byteorder, body = ("<" if body[0] == "=" else body[0]), body[1:]
    if body in FIXED_SIZES:
        code = "b1" if body == "?" else body
        return ArrayDType(code=code, itemsize=FIXED_SIZES[body], byteorder=byteorder)
    kind, digits = body[:1], body[1:]
    if digits and not (digits.isascii() and digits.isdecimal() and len(digits) <= 10):
        raise BadArray(f"{text[:40]!a} is no numpy dtype")
    number = int(digits or 0)
    if kind == "O" and digits in ("", "8"):
        return ArrayDType(code="O", itemsize=8, has_objects=True)
    if kind and kind in TIMES and digits in ("", "8"):
        return ArrayDType(code=kind + "8", itemsize=8, byteorder=byteorder, unit=("generic", 1))
    if kind and kind in FLEXIBLE:
        itemsize = number * 4 if kind == "U" else number
        if itemsize > MAX_ITEM_BYTES:
            raise BadArray(f"an item of {itemsize:,} bytes")
        return ArrayDType(code=("S" if kind == "a" else kind) + str(number), itemsize=itemsize, byteorder=byteorder)
    raise BadArray(f"{text[:40]!a} is no numpy dtype")


def with_state(base: ArrayDType, state: tuple[Any, ...], inner: Any) -> ArrayDType:
    """The dtype after `__setstate__(state)`. `inner(node)` gives the record of a dtype that the state refers to."""
    byteorder, subdtype, names, fields, itemsize = state[1:6]
    if base.code == "O":
        return base
    order = "<" if byteorder == "=" else byteorder
    if names is None and subdtype is None:
        return _plain_with_state(base, order, itemsize, state[8] if len(state) > 8 else None)
    if base.code[0] != "V" or not 0 <= itemsize <= MAX_ITEM_BYTES:
        raise BadArray("only a void dtype has fields or a subdtype, with an item size of its own")
    if subdtype is not None:
        dims = subdtype[1] if type(subdtype[1]) is tuple else (subdtype[1],)
        if len(dims) > MAX_SUBARRAY_DIMS:
            raise BadArray(f"a subdtype has more than {MAX_SUBARRAY_DIMS} dimensions")
        part = inner(subdtype[0])
        count = padded = 1
        for length in dims:
            count *= length
            padded *= max(length, 1)
        if min(dims, default=0) < 0 or padded > MAX_ITEM_BYTES or count * part.itemsize != itemsize:
            raise BadArray("a subdtype does not fill its item")
        return nested(itemsize, [part], subdtype=(part, dims))
    if len(names) > MAX_DTYPE_LEAVES:
        raise BadArray(f"a dtype of more than {MAX_DTYPE_LEAVES:,} fields")
    found = []
    for name in names:
        part, offset = inner(fields[name][0]), fields[name][1]
        if offset < 0 or offset + part.itemsize > itemsize:
            raise BadArray(f"the field {name[:40]!a} lies outside its item")
        found.append((name, part, offset))
    return nested(itemsize, [part for _, part, _ in found], fields=tuple(found))


def _plain_with_state(base: ArrayDType, byteorder: str, itemsize: int, metadata: Any) -> ArrayDType:
    kind = base.code[0]
    if kind in TIMES:
        return ArrayDType(code=base.code, itemsize=8, byteorder=byteorder, unit=_unit(metadata))
    if kind in FLEXIBLE and itemsize >= 0:
        if itemsize > MAX_ITEM_BYTES or (kind == "U" and itemsize % 4):
            raise BadArray(f"an item of {itemsize:,} bytes")
        return ArrayDType(code=kind + str(itemsize // 4 if kind == "U" else itemsize), itemsize=itemsize, byteorder=byteorder)
    if itemsize not in (-1, base.itemsize):
        raise BadArray(f"an item of {base.code} has {base.itemsize} bytes, not {itemsize}")
    return ArrayDType(code=base.code, itemsize=base.itemsize, byteorder=byteorder)


def _unit(metadata: Any) -> tuple[str, int]:
    """`({}, (b"D", 1, 1, 1))`: unit, multiple, divisor, event."""
    if metadata is None:
        return ("generic", 1)
    if type(metadata) is tuple and len(metadata) == 2 and type(metadata[1]) is tuple and len(metadata[1]) == 4:
        name, multiple, divisor, event = metadata[1]
        text = name.decode("ascii", "replace") if type(name) is bytes else name
        numbers = all(type(number) is int for number in (multiple, divisor, event))
        if type(text) is str and text in TIME_UNITS and numbers and 0 < multiple < 1 << 31 and divisor == 1 and event == 1:
            return (text, multiple)
    raise BadArray("the unit of a datetime dtype is not valid")


def nested(itemsize: int, parts: list[ArrayDType], **what: Any) -> ArrayDType:
    """A void dtype over others. Depth and leaves are summed here, once: fields may share their dtypes, and walking takes every path."""
    depth = 1 + max((part.depth for part in parts), default=0)
    leaves = sum(part.leaves for part in parts)
    if depth > MAX_DTYPE_DEPTH or leaves > MAX_DTYPE_LEAVES:
        raise BadArray(f"a dtype nests deeper than {MAX_DTYPE_DEPTH} or holds more than {MAX_DTYPE_LEAVES:,} plain ones")
    objects = any(part.has_objects for part in parts)
    return ArrayDType(code=f"V{itemsize}", itemsize=itemsize, byteorder="|", depth=depth, leaves=leaves, has_objects=objects, **what)


def record(
    dtype: ArrayDType,
    shape: tuple[int, ...],
    fortran: bool,
    data: bytes = b"",
    *,
    max_dims: int,
    scalar: bool = False,
    native: bool = False,
    extent: Member | None = None,
) -> ArrayRecord:
    """Prove that `data`, or the `extent` in the file, is exactly this array."""
    if dtype.has_objects:
        raise BadArray("a numpy array of Python objects is no array of numbers")
    given = len(data) if extent is None else extent.size
    if dtype.subdtype is not None:
        raise BadArray("the dtype of an array is itself an array; numpy folds it into the shape and never writes one")
    if len(shape) > max_dims or (shape and min(shape) < 0):
        raise BadArray(f"the shape has {len(shape)} dimensions, or a negative one")
    needed = dtype.itemsize
    padded = max(dtype.itemsize, 1)
    for length in shape:
        needed *= length
        padded *= max(length, 1)
    if padded >= 1 << 62 or (not dtype.itemsize and padded > MAX_EMPTY_ITEMS):
        raise BadArray("the shape is larger than any array")
    if needed != given:
        raise BadArray(f"an array of {needed:,} bytes is given {given:,}")
    return ArrayRecord(dtype=dtype, shape=shape, fortran=fortran, data=data, extent=extent, scalar=scalar, native=native)


def nbytes_of(dtype: ArrayDType, shape: tuple[int, ...]) -> int:
    """The bytes of such an array, a Python int that no dimension can overflow: to hold against the bytes that remain before anything else is done with it.

    Raises `BadArray` for more or longer dimensions than any array has, before they are multiplied.
    """
    if len(shape) > MAX_ARRAY_DIMS or max(shape, default=0) > MAX_LENGTH:
        raise BadArray(f"the shape has {len(shape):,} dimensions, or one longer than any array's")
    count = dtype.itemsize
    for length in shape:
        count *= length
    return count


_KIND_NAMES = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex"}


def name_of(dtype: ArrayDType) -> str:
    """numpy's name of a plain dtype (`float32`, `int8`), its code for any other (`|S3`, `<M8[ns]`, `|V16`)."""
    kind, byteorder = dtype.code[0], dtype.byteorder if dtype.byteorder in "<>" else "|"
    if dtype.code == "b1":
        return "bool"
    if kind in _KIND_NAMES:
        return f"{_KIND_NAMES[kind]}{dtype.itemsize * 8}"
    unit = "" if dtype.unit is None or dtype.unit[0] == "generic" else f"[{dtype.unit[1] if dtype.unit[1] != 1 else ''}{dtype.unit[0]}]"
    return f"{byteorder}{dtype.code}{unit}"


def located(error: BadArray, member: str | None, offset: int, rule: str = "SL407") -> StorageError:
    """The error with its place."""
    return StorageError(str(error), rule=rule, member=member, offset=offset)
