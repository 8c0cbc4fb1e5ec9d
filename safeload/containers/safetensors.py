"""A safetensors file becomes a `Container` with a member for each tensor, by its header alone, every byte accounted for.

Format (safetensors README, "Format", and `tensor.rs`): 8 bytes of length N, little-endian; N bytes of JSON that begin with `{` and may end in blanks; then the
bytes of the tensors, which the offsets in the header have to cover from the first to the last without a hole and without an overlap. Refuses, as its own
reader does or where readers could differ: names twice, unknown fields, numbers that are not whole, offsets that do not follow each other, sizes that shape and
dtype do not have, and anything behind the last tensor (SL132).
"""

from __future__ import annotations

from typing import Any

import msgspec

from safeload.budget import exceeded
from safeload.containers.base import Container, Member
from safeload.containers.json_strict import BadJson, parse
from safeload.containers.zip_names import shown
from safeload.errors import ContainerError
from safeload.limits import Limits
from safeload.source import ByteSource

FORMAT = "safetensors"
LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000  # safetensors/src/tensor.rs, MAX_HEADER_SIZE
MAX_DIMS = 64
METADATA = "__metadata__"
FIELDS = frozenset({"dtype", "shape", "data_offsets"})
DTYPES: dict[str, tuple[int, str | None]] = {
    "BOOL": (8, "bool"), "U8": (8, "uint8"), "I8": (8, "int8"), "F8_E5M2": (8, "float8_e5m2"), "F8_E4M3": (8, "float8_e4m3fn"),
    "F8_E8M0": (8, "float8_e8m0fnu"), "F8_E4M3FNUZ": (8, "float8_e4m3fnuz"), "F8_E5M2FNUZ": (8, "float8_e5m2fnuz"),
    "I16": (16, "int16"), "U16": (16, "uint16"), "F16": (16, "float16"), "BF16": (16, "bfloat16"), "I32": (32, "int32"), "U32": (32, "uint32"),
    "F32": (32, "float32"), "C64": (64, "complex64"), "F64": (64, "float64"), "I64": (64, "int64"), "U64": (64, "uint64"),
    "F4": (4, "float4_e2m1fn_x2"), "F6_E2M3": (6, None), "F6_E3M2": (6, None),
}  # fmt: skip
"""The format's dtypes: bits of one element, and torch's name, None where torch has no such type. Two elements of F4 make one of torch's."""


class Entry(msgspec.Struct, frozen=True):
    """One tensor: torch's `dtype`, the shape in elements of it, and where its bytes stand in the file."""

    dtype: str
    shape: tuple[int, ...]
    member: Member


def read_safetensors(source: ByteSource, limits: Limits) -> Container:
    """Take a safetensors file apart. Raises `ContainerError` SL132 or SL004, `LimitExceeded`."""
    length = int.from_bytes(source.read(0, LENGTH_BYTES), "little")
    if length > MAX_HEADER_BYTES:
        raise _bad(f"it is {length:,} bytes long, more than {MAX_HEADER_BYTES:,}", 0)
    try:
        header = parse(source.read(LENGTH_BYTES, length).rstrip(b" "))
    except BadJson as error:
        raise _bad(str(error), LENGTH_BYTES) from None
    if type(header) is not dict:
        raise _bad("it is no object", LENGTH_BYTES)
    info = _metadata(header.pop(METADATA, {}))
    if len(header) > limits.members:
        raise exceeded("members", limits.members, f"the file names {len(header):,} tensors, more")
    start = LENGTH_BYTES + length
    entries = sorted((_entry(name, value, start) for name, value in header.items()), key=lambda entry: (entry.member.offset, entry.member.size))
    _cover(entries, start, source.size)
    members = {entry.member.name: entry.member for entry in entries}
    detail = {entry.member.name: entry for entry in entries}
    return Container(format=FORMAT, source=source, members=members, storages=members, accounted=source.size, info=info, detail=detail)


def _metadata(value: Any) -> dict[str, str]:
    if type(value) is not dict or not all(type(text) is str for text in value.values()):
        raise _bad(f"{METADATA} is no object of texts", LENGTH_BYTES)
    return value


def _entry(name: str, value: Any, start: int) -> Entry:
    def wrong(why: str) -> ContainerError:
        return _bad(f"of the tensor {shown(name)} {why}", LENGTH_BYTES)

    if type(value) is not dict or value.keys() != FIELDS:
        raise wrong("is not described by dtype, shape and data_offsets alone")
    bits, dtype = DTYPES.get(value["dtype"], (0, None)) if type(value["dtype"]) is str else (0, None)
    if not bits or dtype is None:
        raise wrong(f"the dtype is {shown(str(value['dtype']))}, which torch does not have")
    shape, offsets = value["shape"], value["data_offsets"]
    if type(shape) is not list or not all(type(size) is int and 0 <= size < 1 << 63 for size in shape) or len(shape) > MAX_DIMS:
        raise wrong("the shape is no list of sizes")
    if type(offsets) is not list or len(offsets) != 2 or not all(type(offset) is int and offset >= 0 for offset in offsets) or offsets[0] > offsets[1]:
        raise wrong("the offsets are not where it begins and ends")
    count = bits
    for size in shape:
        count *= size
    if count != (offsets[1] - offsets[0]) * 8:
        raise wrong(f"{offsets[1] - offsets[0]:,} bytes do not make {shape} of {value['dtype']}")
    if dtype == "float4_e2m1fn_x2":
        if not shape or shape[-1] % 2:
            raise wrong("the last dimension is odd, and two elements of F4 share a byte")
        shape = [*shape[:-1], shape[-1] // 2]
    size = offsets[1] - offsets[0]
    return Entry(dtype, tuple(shape), Member(name=name, offset=start + offsets[0], size=size, stored_size=size, role="storage"))


def _cover(entries: list[Entry], start: int, end: int) -> None:
    """No hole, no overlap, nothing behind: the tensors follow each other from the header to the end of the file."""
    position = start
    for entry in entries:
        member = entry.member
        if member.offset != position:
            raise _bad(f"the tensor {shown(member.name)} begins at {member.offset:#x}, and the one before ends at {position:#x}", LENGTH_BYTES)
        position += member.size
    if position > end:
        raise ContainerError(f"the safetensors file is cut short: {position - end:,} bytes of its tensors are missing", rule="SL004", offset=end)
    if position < end:
        raise _bad(f"{end - position:,} bytes follow the last tensor", position)


def _bad(why: str, offset: int) -> ContainerError:
    return ContainerError(f"the header of the safetensors file: {why}", rule="SL132", offset=offset)
