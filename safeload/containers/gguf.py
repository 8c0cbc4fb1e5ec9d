"""A GGUF file becomes a `Container` with a member for each tensor, by its header alone, every byte accounted for.

Format (ggml/docs/gguf.md), versions 2 and 3, in either byte order: `GGUF`, the version, the number of tensors and of pairs of metadata; the pairs, each a
key, a type and a value; of each tensor the name, the dimensions, the type and where it begins; zeros up to the alignment; then the tensors, each with zeros up
to the alignment behind it. Nothing is allocated for a count or a length before the bytes that are left can hold it.

Refuses, as llama.cpp does or where its reader and gguf-py's could differ: keys and names twice or not UTF-8, types that no table has, arrays in arrays, flags
that are neither 0 nor 1, an alignment that is no power of two, tensors that are not whole blocks, and tensors that do not follow each other in the order of the
header without a hole, an overlap or anything behind the last (SL137).
"""

from __future__ import annotations

from math import prod
from struct import Struct
from typing import Literal

import msgspec

from safeload.budget import Budget, exceeded
from safeload.containers.base import Container, Member
from safeload.containers.gguf_types import ARRAY, BOOL, STRING, TENSOR_TYPES, UINT32, VALUE_BYTES
from safeload.containers.sniff import GGUF_MAGIC
from safeload.containers.zip_names import shown
from safeload.errors import CheckpointError, ContainerError, UnsupportedFormat
from safeload.limits import KIB, MIB, Limits
from safeload.source import ByteSource

FORMAT = "gguf"
MAGIC = GGUF_MAGIC
VERSIONS = (2, 3)  # 1, of August 2023, had lengths of 32 bits
ALIGNMENT_KEY = "general.alignment"
DEFAULT_ALIGNMENT = 32  # GGUF_DEFAULT_ALIGNMENT, gguf.h
MAX_DIMS = 4  # GGML_MAX_DIMS, ggml.h
MAX_KEY_BYTES = (1 << 16) - 1  # gguf.md: at most 2^16 - 1 bytes
MAX_TENSOR_ELEMENTS = (1 << 63) - 1  # ggml counts in int64
PAIR_BYTES = 8 + 4 + 1  # the least that a pair takes: a length, a type, a value of one byte
TENSOR_BYTES = 8 + 4 + 4 + 8  # the least that a tensor takes: a length, a count of dimensions, a type, an offset
CHUNK_BYTES = 256 * KIB  # of the header read at once
TEMPLATE_KEY = "tokenizer.chat_template"  # and `tokenizer.chat_template.NAME` for further ones
MAX_TEMPLATE_BYTES = MIB  # the longest real ones take some 20 KiB


class Tensor(msgspec.Struct, frozen=True):
    """One tensor: the name of its type, its dimensions as the file gives them (the one that runs fastest first), and where its bytes stand in the file."""

    type: str
    dims: tuple[int, ...]
    member: Member


class _Info(msgspec.Struct, frozen=True):
    """What the header says of one tensor."""

    name: str
    type: str
    dims: tuple[int, ...]
    nbytes: int
    offset: int  # from the first byte behind the header and its padding


class Template(msgspec.Struct, frozen=True):
    """One chat template: its key, its text, and where that begins in the file."""

    key: str
    text: bytes
    offset: int


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What the format's reader needs beside the members: `detail` of the container."""

    tensors: tuple[Tensor, ...]
    templates: tuple[Template, ...]


class Cursor:
    """Reads the header from its first byte to its last, in order, through a private copy of a piece of it."""

    def __init__(self, source: ByteSource, order: Literal["little", "big"], limits: Limits) -> None:
        self._source, self._order = source, order
        self._limit = limits.directory_bytes
        self._end = min(self._limit, source.size)
        self._data, self._start = b"", 0
        self.position = 0

    @property
    def left(self) -> int:
        """Bytes of the file behind the position."""
        return self._source.size - self.position

    def take(self, length: int, what: str) -> bytes:
        """The next `length` bytes."""
        self._check(length, what)
        at = self.position - self._start
        if not 0 <= at <= len(self._data) - length:
            at = self._fill(length)
        self.position += length
        return self._data[at : at + length]

    def _fill(self, length: int) -> int:
        """Read the next piece, of `length` bytes at least; the position is at its start."""
        self._start = self.position
        self._data = self._source.read(self.position, min(max(length, CHUNK_BYTES), self.left))
        return 0

    def skip(self, length: int, what: str) -> None:
        """Go past `length` bytes that nothing is decided by."""
        self._check(length, what)
        self.position += length

    def skip_strings(self, count: int, what: str, budget: Budget) -> None:
        """Go past `count` strings; a vocabulary has some hundred thousand."""
        unpack = Struct("<Q" if self._order == "little" else ">Q").unpack_from
        while count:
            budget.check_time(offset=self.position)
            self._check(8, what)
            at = self.position - self._start
            if not 0 <= at <= len(self._data) - 8:
                at = self._fill(8)
            data, last, length = self._data, len(self._data) - 8, 0
            while count and at <= last:
                (length,) = unpack(data, at)
                at += 8 + length
                count -= 1
            self.position = self._start + at - length
            self.skip(length, what)

    def number(self, size: int, what: str) -> int:
        """An unsigned number of `size` bytes."""
        return int.from_bytes(self.take(size, what), self._order)

    def string(self, what: str, most: int | None = None) -> bytes:
        """A length and as many bytes."""
        at, length = self.position, self.number(8, what)
        if most is not None and length > most:
            raise bad(f"{what} is {length:,} bytes long, more than {most:,}", at)
        return self.take(length, what)

    def text(self, what: str, most: int) -> str:
        """The same, which has to be UTF-8 without control characters: a name."""
        at, raw = self.position, self.string(what, most)
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise bad(f"{what} is not UTF-8: {error.reason}", at) from None
        if not text:
            raise bad(f"{what} is empty", at)
        if any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in text):
            raise bad(f"{what} {shown(text)} holds a control character", at)
        return text

    def _check(self, length: int, what: str) -> None:
        if self.position + length <= self._end:
            return
        if length > self.left:
            why = f"{what} needs {length:,} bytes, and {self.left:,} follow"
            raise CheckpointError(f"the GGUF file is cut short, or wrong about a length: {why}", rule="SL004", offset=self.position)
        raise exceeded("directory_bytes", self._limit, "the header of the GGUF file is longer", None, self.position)


def read_gguf(source: ByteSource, limits: Limits, budget: Budget) -> Container:
    """Take a GGUF file apart.

    1. The version, which says the byte order, and the counts. 2. The metadata. 3. What the header says of each tensor. 4. Where the tensors are.
    Raises `ContainerError` SL137, `CheckpointError` SL004, `UnsupportedFormat` SL002, `LimitExceeded`.
    """
    # 1
    order, version = _version(source)
    cursor = Cursor(source, order, limits)
    cursor.skip(8, "the version")
    tensors, pairs = _count(cursor, "tensors", TENSOR_BYTES), _count(cursor, "pairs of metadata", PAIR_BYTES)
    if tensors + pairs > limits.members:
        raise exceeded("members", limits.members, f"the file has {tensors:,} tensors and {pairs:,} pairs of metadata, more")
    # 2
    templates: list[Template] = []
    alignment = DEFAULT_ALIGNMENT
    keys: set[str] = set()
    for _ in range(pairs):
        at, key = cursor.position, cursor.text("a key", MAX_KEY_BYTES)
        if key in keys:
            raise bad(f"the key {shown(key)} stands there twice", at)
        keys.add(key)
        kind = cursor.number(4, "a type")
        if key == ALIGNMENT_KEY:
            alignment = _alignment(cursor, kind)
        elif kind == STRING and is_template(key):
            templates.append(_template(cursor, key))
        else:
            _value(cursor, key, kind, budget)
        budget.check_time(offset=cursor.position)
    # 3
    infos = _infos(cursor, tensors, alignment, budget, limits)
    # 4
    found = _cover(source, infos, cursor.position, alignment, budget)
    return Container(
        format=FORMAT,
        source=source,
        members={each.member.name: each.member for each in found},
        storages={each.member.name: each.member for each in found},
        accounted=source.size,
        byteorder=order,
        info={"version": str(version), "alignment": str(alignment)},
        detail=Header(tensors=tuple(found), templates=tuple(templates)),
    )


def is_template(key: str) -> bool:
    """Does this key stand for a template that an engine runs?"""
    return key == TEMPLATE_KEY or key.startswith(f"{TEMPLATE_KEY}.")


def bad(why: str, offset: int) -> ContainerError:
    """What is wrong with the header, and where."""
    return ContainerError(f"the header of the GGUF file: {why}", rule="SL137", offset=offset)


def _version(source: ByteSource) -> tuple[Literal["little", "big"], int]:
    """The byte order is the one in which the version is a small number; gguf.md has no mark for it."""
    if source.size < 8:
        raise CheckpointError(f"the GGUF file is cut short: it holds {source.size} bytes, and no version", rule="SL004", offset=source.size)
    raw = source.read(4, 4)
    orders: tuple[Literal["little", "big"], ...] = ("little", "big")
    for order in orders:
        if int.from_bytes(raw, order) in VERSIONS:
            return order, int.from_bytes(raw, order)
    version = min(int.from_bytes(raw, order) for order in orders)
    hint = "convert it with the llama.cpp of 2023" if version == 1 else f"versions {' and '.join(map(str, VERSIONS))} are known"
    raise UnsupportedFormat(f"this is a GGUF file of version {version:,}: {hint}", rule="SL002", offset=4)


def _count(cursor: Cursor, what: str, least: int) -> int:
    at, count = cursor.position, cursor.number(8, f"the number of {what}")
    if count * least > cursor.left:
        raise bad(f"it announces {count:,} {what}, and {cursor.left:,} bytes follow: not enough for {cursor.left // least + 1:,}", at)
    return count


def _alignment(cursor: Cursor, kind: int) -> int:
    at = cursor.position
    if kind != UINT32:
        raise bad(f"the alignment has the type {kind}, and is a uint32 ({UINT32})", at)
    value = cursor.number(4, "the alignment")
    if not value or value & (value - 1):
        raise bad(f"the alignment is {value:,}, and no power of two", at)
    return value


def _template(cursor: Cursor, key: str) -> Template:
    at, text = cursor.position, cursor.string("a template", MAX_TEMPLATE_BYTES)
    return Template(key, text, at + 8)


def _value(cursor: Cursor, key: str, kind: int, budget: Budget) -> None:
    """Go past one value, once it is known to be one."""
    at = cursor.position - 4
    if kind == STRING:
        cursor.skip(cursor.number(8, "a length"), f"the value of {shown(key)}")
    elif kind == BOOL:
        _flags(cursor, key, 1)
    elif kind == ARRAY:
        _array(cursor, key, budget)
    elif kind in VALUE_BYTES:
        cursor.skip(VALUE_BYTES[kind], f"the value of {shown(key)}")
    else:
        raise bad(f"the value of {shown(key)} has the type {kind}, which does not exist", at)


def _array(cursor: Cursor, key: str, budget: Budget) -> None:
    at, kind = cursor.position, cursor.number(4, "the type of an array")
    count, what = cursor.number(8, "the length of an array"), f"the array {shown(key)}"
    if kind == STRING:
        if count * 8 > cursor.left:
            raise bad(f"{what} announces {count:,} texts, and {cursor.left:,} bytes follow", at)
        cursor.skip_strings(count, what, budget)
    elif kind == BOOL:
        _flags(cursor, key, count)
    elif kind in VALUE_BYTES:
        cursor.skip(count * VALUE_BYTES[kind], what)
    elif kind == ARRAY:
        raise bad(f"{what} holds arrays, which llama.cpp does not read", at)
    else:
        raise bad(f"{what} is one of the type {kind}, which does not exist", at)


def _flags(cursor: Cursor, key: str, count: int) -> None:
    at = cursor.position
    while count:
        length = min(count, CHUNK_BYTES)
        if cursor.take(length, f"the value of {shown(key)}").translate(None, b"\0\1"):
            raise bad(f"a flag in the value of {shown(key)} is neither 0 nor 1", at)
        count -= length


def _infos(cursor: Cursor, count: int, alignment: int, budget: Budget, limits: Limits) -> list[_Info]:
    """What the header says of each tensor, in its order."""
    out: list[_Info] = []
    names: set[str] = set()
    for _ in range(count):
        at = cursor.position
        info = _info(cursor, at, limits)
        if info.name in names:
            raise bad(f"the tensor {shown(info.name)} stands there twice", at)
        names.add(info.name)
        if info.offset % alignment:
            raise bad(f"the tensor {shown(info.name)} begins at {info.offset:#x}, and the alignment is {alignment:,}", at)
        out.append(info)
        budget.check_time(offset=at)
    return out


def _info(cursor: Cursor, at: int, limits: Limits) -> _Info:
    name = cursor.text("the name of a tensor", limits.name_bytes)
    number = cursor.number(4, "the number of dimensions")
    if number > MAX_DIMS:
        raise bad(f"the tensor {shown(name)} has {number:,} dimensions, more than {MAX_DIMS}", at)
    dims = tuple(cursor.number(8, "a dimension") for _ in range(number))
    kind, offset = cursor.number(4, "the type of a tensor"), cursor.number(8, "the offset of a tensor")
    if kind not in TENSOR_TYPES:
        raise bad(f"the tensor {shown(name)} has the type {kind}, which does not exist", at)
    label, block, nbytes = TENSOR_TYPES[kind]
    elements = prod(dims)
    if max(elements, *dims, 0) > MAX_TENSOR_ELEMENTS:
        raise bad(f"the tensor {shown(name)} has the dimensions {list(dims)}, more than can be counted", at)
    row = dims[0] if dims else 1
    if row % block:
        raise bad(f"the tensor {shown(name)} has rows of {row:,} elements, which are no whole blocks of {block} of {label}", at)
    return _Info(name, label, dims, elements // block * nbytes, offset)


def _cover(source: ByteSource, infos: list[_Info], end: int, alignment: int, budget: Budget) -> list[Tensor]:
    """No hole, no overlap, nothing behind: the tensors follow each other from the header to the end of the file, with zeros up to the alignment."""
    data = _aligned(end, alignment)
    position = end  # where the last thing that has a meaning ends
    out: list[Tensor] = []
    for info in infos:
        start = _aligned(position, alignment)
        if data + info.offset != start:
            raise bad(f"the tensor {shown(info.name)} begins at {data + info.offset:#x}, and what stands before it ends at {position:#x}", end)
        if start + info.nbytes > source.size:
            missing = start + info.nbytes - source.size
            raise CheckpointError(f"the GGUF file is cut short: {missing:,} bytes of its tensors are missing", rule="SL004", offset=source.size)
        _zeros(source, position, start, budget)
        out.append(Tensor(info.type, info.dims, Member(name=info.name, offset=start, size=info.nbytes, stored_size=info.nbytes, role="storage")))
        position = start + info.nbytes
    padded = _aligned(position, alignment)
    if source.size > padded:
        raise bad(f"{source.size - padded:,} bytes follow the last tensor", padded)
    _zeros(source, position, source.size, budget)
    return out


def _aligned(position: int, alignment: int) -> int:
    return (position + alignment - 1) & -alignment


def _zeros(source: ByteSource, start: int, end: int, budget: Budget) -> None:
    """Padding holds nothing."""
    for at in range(start, min(end, source.size), CHUNK_BYTES):
        if source.read(at, min(CHUNK_BYTES, end - at)).strip(b"\0"):
            raise bad("what stands between the tensors is no padding", at)
        budget.check_time(offset=at)
