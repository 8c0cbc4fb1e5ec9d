"""The storages of a `Plan` or `Table` become inputs for `placement`: host bytes, mapped or copied, once for each way in which tensors look at them.

Nearly every tensor looks at the bytes as they are, and its storage is placed as it is: a part of the map. Where numpy or CuPy could not show the values in a
view,
the whole storage is changed on the host first, so that the work grows with the file and not with the tensor (a stride of 0 makes that as large as it likes):

- big-endian files are turned around in units of the dtype that looks; torch swaps by the dtype that first named the storage, so what it first sees as bytes
  (every `_rebuild_tensor_v3` dtype) stays wrong,
- conjugated and negated tensors, which torch notes lazily, have their values computed,
- sub-byte quantised types are unpacked, lower bits first,
- bool bytes other than 0 and 1 become 1: torch keeps them, and numpy's behaviour with such a byte is undefined.

Tensors that need different forms of one storage do not share memory; all others do, exactly as they were saved.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from safeload.budget import Budget
from safeload.containers.base import STORED, Member
from safeload.containers.inflate import read_member
from safeload.containers.pieces import read_pieces
from safeload.machine.late import Late
from safeload.placement.place import PlacedInput
from safeload.placement.reader import Extent
from safeload.rebuild.numpy_dtypes import numpy_dtype
from safeload.source import ByteSource
from safeload.storage.dtypes import DType
from safeload.storage.records import NestedRecord, Plan, QuantizedRecord, StorageRecord, Table, TensorRecord

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
NATIVE = sys.byteorder


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """How a storage has to look for some of its tensors."""

    unit: int = 1  # bytes that turn around together
    values: DType | None = None  # compute on elements of this dtype
    conj: bool = False
    neg: bool = False
    unpack: int = 1  # values in one byte
    is_bool: bool = False

    @property
    def name(self) -> str:
        """Distinct for distinct forms; empty for the bytes as they are."""
        if self == PLAIN:
            return ""
        dtype = self.values.name if self.values is not None else ""
        return f"{self.unit}{'c' * self.conj}{'n' * self.neg}{self.unpack}{'b' * self.is_bool}{dtype}/"


PLAIN = Form()


def form_of(view: TensorRecord, byteorder: str) -> Form:
    """The form that one tensor needs."""
    dtype = view.dtype
    if byteorder == NATIVE and dtype.is_plain and not view.conj and not view.neg:
        return PLAIN
    return Form(
        unit=1 if byteorder == NATIVE else dtype.swap_bytes,
        values=dtype if view.conj or view.neg else None,
        conj=view.conj,
        neg=view.neg,
        unpack=dtype.per_byte,
        is_bool=dtype.family == "bool",
    )


def placed_name(view: TensorRecord, byteorder: str) -> str:
    """The name under which the storage of a tensor is placed: its key, with the form before it where that is not the plain one."""
    form = form_of(view, byteorder)
    return view.storage if form is PLAIN else form.name + view.storage


def value_view(record: StorageRecord, start: int = 0, size: int | None = None) -> TensorRecord:
    """A storage that stands as a value, as the tensor of all its elements, or of `size` from `start`."""
    size = record.nbytes // record.dtype.itemsize if size is None else size
    return TensorRecord(dtype=record.dtype, shape=(size,), strides=(1,), offset=start, storage=record.key)


def inputs(part: Plan | Table, budget: Budget, *, mapped: bool, without: Collection[int] = ()) -> dict[str, PlacedInput]:
    """One input for each storage and form. `mapped`: payloads stay in the copy-on-write map. `without`: calls of a plan that have their arrays already."""
    byteorder, source = part.container.byteorder, part.container.source
    alone, private = (part.values, part.private) if isinstance(part, Plan) else ((), {})
    wanted: dict[str, tuple[StorageRecord, Form]] = {}
    for view in _views(part, without):
        form = form_of(view, byteorder)
        wanted[form.name + view.storage] = (part.storages[view.storage], form)
    for key in alone:
        form = form_of(value_view(part.storages[key]), byteorder)
        wanted[form.name + key] = (part.storages[key], form)
    found: dict[str, PlacedInput] = {}
    for name, (record, form) in wanted.items():
        loader = _Loader(source, record.member, budget, mapped, form, private.get(record.key))
        found[name] = PlacedInput(key=record.key, tag=record.location, nbytes=record.nbytes * form.unpack, load=loader, reader=loader)
    return found


def _views(part: Plan | Table, without: Collection[int]) -> list[TensorRecord]:
    found: list[TensorRecord] = []
    records: Mapping[Any, Any] = part.records.whole(without) if isinstance(part.records, Late) else part.records
    for index, record in records.items():
        if index in without:
            continue
        kind = type(record)
        if kind is TensorRecord:
            found.append(record)
        elif kind is QuantizedRecord:
            found.append(record.values)
        elif kind is NestedRecord:
            found.extend(record.components)
    return found


class _Loader:
    """Gives the bytes of one storage when placement asks, which for the meta device it does not: as one array, or to a device that streams in pieces, read or
    inflated into its pinned memory and formed there.
    """

    __slots__ = ("_pieces", "_rest", "budget", "form", "mapped", "member", "private", "source")

    def __init__(self, source: ByteSource, member: Member | None, budget: Budget, mapped: bool, form: Form, private: bytes | memoryview | None) -> None:
        self.source = source
        self.member = member
        self.budget = budget
        self.mapped = mapped
        self.form = form
        self.private = private

    def __call__(self) -> Bytes:
        flat = self._raw()
        if self.form is not PLAIN:
            flat = _formed(flat, self.form)
        if self.source.is_read_only:
            flat.flags.writeable = False
        return flat

    def _raw(self) -> Bytes:
        member = self.member
        if self.private is not None:  # its values were judged, so these bytes are the ones to use, not what the map shows by now; or they stand in the stream
            raw: Any = bytearray(self.private)
        elif member is None or not member.size:
            raw = b""
        elif member.method != STORED:
            raw = bytearray(read_member(self.source, member, self.budget.limits))  # the budget was spent when it was judged
        else:
            raw = extent(member, self.source, mapped=self.mapped)
        return np.frombuffer(raw, np.uint8)

    # ---- in pieces: `placement.reader.Reader` ----------------------------------------------------------------------------------------------

    @property
    def nbytes(self) -> int:
        """As the tensors see them."""
        raw = len(self.private) if self.private is not None else self.member.size if self.member is not None else 0
        return raw * self.form.unpack

    @property
    def extent(self) -> Extent | None:
        """Where they stand in the file, if nothing has to be done to them."""
        member = self.member
        stands = member is not None and member.size and member.method == STORED and self.private is None and self.form is PLAIN
        return Extent(source=self.source, offset=member.offset) if stands and member is not None else None

    @property
    def in_order(self) -> bool:
        """Only a deflate stream."""
        return self.private is None and self.member is not None and self.member.method != STORED

    def read_into(self, start: int, target: memoryview) -> None:
        """`start` is a multiple of 64, so no number is cut: units have up to 16 bytes, and 4 values are the most that one byte holds."""
        form = self.form
        if form.unpack == 1:
            self._raw_into(start, target)
            if form is not PLAIN:
                _form(np.frombuffer(target, np.uint8), form)
            return
        packed: Any = np.empty(len(target) // form.unpack, np.uint8)
        self._raw_into(start // form.unpack, memoryview(packed))
        np.frombuffer(target, np.uint8)[:] = _unpacked(packed, form.unpack)

    def _raw_into(self, start: int, target: memoryview) -> None:
        member = self.member
        if self.private is not None:
            target[:] = self.private[start : start + len(target)]
        elif member is None or not member.size:
            return
        elif member.method == STORED:
            self.source.read_into(member.offset + start, target)
        else:
            self._inflate(member, start, target)

    def _inflate(self, member: Member, start: int, target: memoryview) -> None:
        if start == 0:
            self._pieces: Iterator[bytes] = read_pieces(self.source, member, self.budget.limits)
            self._rest = memoryview(b"")
        end = start + len(target)
        while target:
            if not self._rest:
                self._rest = memoryview(next(self._pieces))
            count = min(len(self._rest), len(target))
            target[:count] = self._rest[:count]
            self._rest, target = self._rest[count:], target[count:]
        if end == member.size and next(self._pieces, None) is not None:  # runs to its end, which verifies the whole
            raise AssertionError("a deflate stream went on behind its size")  # pragma: no cover - `read_pieces` refuses it


def extent(member: Member, source: ByteSource, *, mapped: bool) -> Any:
    """The bytes of a stored member: a part of the copy-on-write map, or private memory that was not zeroed first, as a bytearray would be."""
    if mapped:
        return source.view(member.offset, member.size)
    raw: Any = np.empty(member.size, np.uint8)
    source.read_apart(member.offset, memoryview(raw))
    return raw


def _formed(flat: Bytes, form: Form) -> Bytes:
    """A whole storage in its form; itself where it has that already."""
    if form.unpack > 1:
        return _unpacked(flat, form.unpack)
    if form == Form(is_bool=True):  # most often: bytes that are 0 and 1
        return flat if not flat.size or int(flat.max()) <= 1 else (flat != 0).view(np.uint8)
    made = flat.copy()
    _form(made, form)
    return made


def _unpacked(flat: Bytes, per_byte: int) -> Bytes:
    bits = 8 // per_byte
    lanes = [(flat >> (bits * lane)) & ((1 << bits) - 1) for lane in range(per_byte)]
    return np.stack(lanes, axis=-1).reshape(-1)


def _form(flat: Bytes, form: Form) -> None:
    """Change the bytes where they are; what is left over behind the last whole unit stays."""
    if form.unit > 1:
        whole = len(flat) // form.unit * form.unit
        flat[:whole].view(f"u{form.unit}").byteswap(inplace=True)
    if form.is_bool:
        np.minimum(flat, 1, out=flat)
    if form.values is not None:
        dtype = numpy_dtype(form.values)
        elements = flat[: len(flat) // dtype.itemsize * dtype.itemsize].view(dtype)
        if form.conj:
            elements[...] = np.conj(elements)
        if form.neg:
            elements[...] = -elements
