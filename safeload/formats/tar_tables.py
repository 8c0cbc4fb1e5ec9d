"""The members `storages` and `tensors` of a torch 0.1 tar archive become the tables of what its object names by number.

    storages   pickle N, then N times: pickle (key, location, storage type), int64 elements, the elements; then pickle [(target, root, offset, elements)]
    tensors    pickle M, then M times: pickle (key, storage key or None, tensor type), int32 dimensions, 4 bytes that mean nothing (an old C wrote an
               int32 as eight bytes), int64 sizes, int64 strides, int64 offset

Numbers are little-endian, and count elements (torch 2.13 `serialization.py`, `legacy_load`). As in `legacy`, a pickle ends where the very graph says that is
judged (law 2), and the elements stay mapped. Tensors and storages share one space of keys. Refuses keys given twice (SL106), lengths that the archive does
not hold (SL004), views and tensors outside their storage (SL401), unknown storages (SL403), types that the policy does not know as such (SL120), and bytes
behind the last entry (SL207).
"""

from __future__ import annotations

from struct import Struct
from typing import Any

import msgspec

from safeload.budget import exceeded
from safeload.containers.base import Container, Member
from safeload.errors import CheckpointError, StreamError, error_class
from safeload.formats.judging import Judging
from safeload.machine.interpret import interpret
from safeload.machine.nodes import Global, ObjectGraph
from safeload.policy.aliases import canonical
from safeload.policy.model import Allow
from safeload.policy.vetted import StorageId
from safeload.storage import geometry
from safeload.storage.dtypes import DType, storage_dtype, tensor_dtype
from safeload.storage.records import StorageRecord, TensorRecord

FIRST_WINDOW_BYTES = 4 << 10  # read for one pickle at first; those of an entry have about a hundred
WINDOW_GROWTH = 8
COUNT = Struct("<q")
DIMENSIONS = Struct("<i4x")
NO_STORAGE = "none"  # key of the storage that a tensor without one stands on; keys of the file are numbers
MAX_KEY = 1 << 64  # keys are addresses


class Tables(msgspec.Struct, frozen=True, kw_only=True):
    """What the numbers stand for, the storages with their bytes, and their extents as members."""

    storages: dict[int, StorageId]
    tensors: dict[int, TensorRecord]
    records: dict[str, StorageRecord]
    extents: dict[str, Member]

    @property
    def members(self) -> dict[str, Member]:
        """The extents by name."""
        return {member.name: member for member in self.extents.values()}


def read_tables(judging: Judging, container: Container) -> Tables:
    """Both tables. Raises `StreamError`, `ContainerError`, `StorageError`, `LimitExceeded`; what the policy has against names becomes findings."""
    tables = Tables(storages={}, tensors={}, records={}, extents={})
    _read_storages(Cursor(judging, container.members["storages"]), tables)
    _read_tensors(Cursor(judging, container.members["tensors"]), tables)
    return tables


class Cursor:
    """A place in one of the members. Pickles are called `tensors[3]`, and offsets in them count from their own start; raw numbers stand in `tensors`."""

    __slots__ = ("judging", "member", "position", "source", "streams")

    def __init__(self, judging: Judging, member: Member) -> None:
        self.judging = judging
        self.member = member
        self.source = judging.source.part(member.offset, member.size)
        self.position = 0
        self.streams = 0

    def pickle(self) -> ObjectGraph:
        """The next pickle, judged."""
        name = f"{self.member.name}[{self.streams}]"
        data, graph = self._interpreted(name)
        self.judging.opcodes += graph.opcodes
        self.judging.vetted_only(name, data[: graph.end], graph)
        self.streams += 1
        self.position += graph.end
        return graph

    def _interpreted(self, name: str) -> tuple[bytes, ObjectGraph]:
        """A pickle that the window cuts is read again in a larger one: only its last reading counts."""
        judging, options, length = self.judging, self.judging.options, FIRST_WINDOW_BYTES
        whole = min(self.source.size - self.position, judging.limits.pickle_bytes)
        opcodes = judging.budget.opcodes
        while True:
            data = self.source.read(self.position, min(length, whole))
            try:
                return data, interpret(data, budget=judging.budget, member=name, encoding=options.encoding, errors=options.errors)
            except CheckpointError as error:
                if error.rule != "SL202" or len(data) == whole:
                    judging.note_partial(name, data, error)
                    raise
                judging.budget.opcodes = opcodes
                length *= WINDOW_GROWTH

    def numbers(self, layout: Struct) -> tuple[int, ...]:
        """The next numbers."""
        found = layout.unpack(self.source.read(self.position, layout.size))
        self.position += layout.size
        return found

    def count(self, limit: int) -> int:
        """The pickle in front of a table: how many entries follow. Nothing is set aside for them."""
        graph = self.pickle()
        if type(graph.root) is not int or graph.root < 0:
            raise self.error("SL120", "a table begins with the number of its entries")
        if graph.root > limit:
            raise exceeded("tensors", limit, f"the table announces {graph.root:,} entries, more", self.member.name, 0)
        return graph.root

    def end(self) -> None:
        """Nothing follows."""
        left = self.source.size - self.position
        if left:
            raise StreamError(f"{left:,} bytes follow the last entry of the table", rule="SL207", member=self.member.name, offset=self.position)

    def error(self, rule: str, message: str) -> CheckpointError:
        """An error behind what was read last."""
        return error_class(rule)(message, rule=rule, member=self.member.name, offset=self.position)


def _read_storages(cursor: Cursor, tables: Tables) -> None:
    for _ in range(cursor.count(cursor.judging.limits.tensors)):
        root = cursor.pickle().root
        key, location, named = root if type(root) is tuple and len(root) == 3 else (None, None, None)
        location = location.decode("ascii", "replace") if type(location) is bytes else location
        dtype = _dtype(cursor, named, "storage-type")
        if type(key) is not int or type(location) is not str or dtype is None or type(named) is not Global:
            raise cursor.error("SL120", "an entry of the table of storages is not (key, location, storage type)")
        _add_storage(cursor, tables, key, location, named.name, dtype)
    _read_views(cursor, tables)
    cursor.end()


def _add_storage(cursor: Cursor, tables: Tables, key: int, location: str, type_: str, dtype: DType) -> None:
    (count,) = cursor.numbers(COUNT)
    nbytes, left = count * dtype.itemsize, cursor.source.size - cursor.position
    if count < 0 or nbytes > left:
        raise cursor.error("SL004", f"storage {key} has {count:,} elements of {dtype.name}, and {left:,} bytes are left")
    _check_new(cursor, tables, key)
    text = str(key)
    extent = Member(name=f"storage {key}", offset=cursor.member.offset + cursor.position, size=nbytes, stored_size=nbytes, role="storage")
    tables.extents[text] = extent
    tables.records[text] = StorageRecord(key=text, dtype=dtype, nbytes=nbytes, location=location, member=extent)
    tables.storages[key] = StorageId(index=-1, offset=0, storage_type=type_.rpartition(".")[2], key=text, location=location, numel=count, view=None)
    cursor.position += nbytes


def _read_views(cursor: Cursor, tables: Tables) -> None:
    """Storages that are parts of others. A view of a view counts from where that begins."""
    views = cursor.pickle().root
    if type(views) is not list:
        raise cursor.error("SL120", "the table of storages ends with the list of its views")
    for view in views:
        if type(view) is not tuple or len(view) != 4 or not all(type(number) is int for number in view):
            raise cursor.error("SL120", "a view of a storage is not (key, root, offset, elements)")
        key, root, offset, count = view
        base = tables.storages.get(root)
        if base is None:
            raise cursor.error("SL403", f"storage {key} is a view of {root}, which is no storage")
        start, length = (base.view[1], base.view[2]) if base.view is not None else (0, base.numel)
        if offset < 0 or count < 0 or offset + count > length:
            raise cursor.error("SL401", f"a storage view of {count:,} elements at {offset:,} leaves its storage of {length:,}")
        _check_new(cursor, tables, key)
        tables.storages[key] = msgspec.structs.replace(base, view=(str(key), start + offset, count))


def _read_tensors(cursor: Cursor, tables: Tables) -> None:
    for _ in range(cursor.count(cursor.judging.limits.tensors)):
        root = cursor.pickle().root
        key, storage, named = root if type(root) is tuple and len(root) == 3 else (None, None, None)
        dtype = _dtype(cursor, named, "tensor-class")
        if type(key) is not int or (storage is not None and type(storage) is not int) or dtype is None:
            raise cursor.error("SL120", "an entry of the table of tensors is not (key, storage key, tensor type)")
        _check_new(cursor, tables, key)
        tables.tensors[key] = _tensor(cursor, tables, storage, dtype)
    cursor.end()


def _tensor(cursor: Cursor, tables: Tables, key: int | None, dtype: DType) -> TensorRecord:
    """The view that the numbers behind an entry describe."""
    at = cursor.position
    (dims,) = cursor.numbers(DIMENSIONS)
    if not 0 <= dims <= cursor.judging.limits.tensor_dims:
        raise cursor.error("SL405", f"a tensor has {dims:,} dimensions; the limit tensor_dims is {cursor.judging.limits.tensor_dims}")
    shape, strides = cursor.numbers(Struct(f"<{dims}q")), cursor.numbers(Struct(f"<{dims}q"))
    (offset,) = cursor.numbers(COUNT)
    storage = _storage_of(cursor, tables, key, dtype)
    base, available = (storage.view[1], storage.view[2]) if storage.view is not None else (0, storage.numel)
    if not dims and not available:
        shape, strides = (0,), (1,)  # torch 0.1 had no scalars: a tensor without dimensions is an empty one
    geometry.check(shape, strides, offset, available, limits=cursor.judging.limits, where=cursor.member.name, at=at)
    record = TensorRecord(dtype=dtype, shape=shape, strides=strides, offset=base + offset, storage=storage.key)
    cursor.judging.count_tensor(record.nbytes)
    return record


def _storage_of(cursor: Cursor, tables: Tables, key: int | None, dtype: DType) -> StorageId:
    """The storage that a tensor stands on; an empty tensor may have none."""
    if key is None:
        none = f"{NO_STORAGE} {dtype.name}"
        tables.records.setdefault(none, StorageRecord(key=none, dtype=dtype, nbytes=0, location="cpu", member=None))
        return StorageId(index=-1, offset=0, storage_type="", key=none, location="cpu", numel=0, view=None)
    storage = tables.storages.get(key)
    if storage is None:
        raise cursor.error("SL403", f"a tensor stands on {key}, which is no storage")
    if tables.records[storage.key].dtype != dtype:
        raise cursor.error("SL406", f"a tensor of {dtype.name} stands on a storage of {tables.records[storage.key].dtype.name}")
    return storage


def _check_new(cursor: Cursor, tables: Tables, key: int) -> None:
    """torch lets the later of two entries win."""
    if key in tables.storages or key in tables.tensors:
        raise cursor.error("SL106", f"two entries have the key {key}")
    if not -MAX_KEY < key < MAX_KEY:
        raise cursor.error("SL120", "a key is longer than an address")


def _dtype(cursor: Cursor, node: Any, constructor: str) -> DType | None:
    """The dtype of a storage type or tensor type, if the policy knows the name as such. What it has against the name is a finding already."""
    if type(node) is not Global:
        return None
    decision = cursor.judging.policy.decide(canonical(node.module, node.name))
    if decision.kind != "allowed" or not isinstance(decision.entry, Allow) or decision.entry.constructor != constructor:
        return None
    return storage_dtype(node.name) if constructor == "storage-type" else tensor_dtype(node.name)
