"""An accepted `Reading` becomes a `Checkpoint`: names and shapes now, bytes when they are asked for. After `safetensors.safe_open`.

The vetted log is replayed with a `LazyTensor` in the place of each array, so the structure is that of `load`; a tensor is named by the path to it, `.` between
the keys. Payloads are mapped, so `get_slice(name)[:10]` touches the pages of ten rows.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Union

import msgspec

from safeload.budget import Budget
from safeload.containers.base import STORED
from safeload.errors import not_built, several_objects
from safeload.formats.judging import NESTED
from safeload.judge import Reading
from safeload.placement.backend import StreamingBackend
from safeload.placement.map_location import Restore
from safeload.placement.map_location import resolve as resolve_location
from safeload.placement.place import Placed, PlacedInput, decide, move_all, place
from safeload.placement.settings import DEFAULT, Transfer
from safeload.rebuild import views
from safeload.rebuild.cuts import Cut, cut, is_basic, moved, share
from safeload.rebuild.document import Building, assembled
from safeload.rebuild.replay import Replay
from safeload.rebuild.storages import inputs, placed_name
from safeload.source import ByteSource
from safeload.storage.arrays import ArrayRecord, name_of, nbytes_of
from safeload.storage.geometry import contiguous
from safeload.storage.records import Assembly, Document, Group, Plan, Shards, Table, TensorRecord, Unbuilt
from safeload.tensors import Generator, MetaTensor, NestedTensor, QuantizedTensor, SparseTensor, SubclassTensor
from safeload.values import OpaqueObject, Storage

MAX_KEY_BITS = 1_024  # beyond this an int key is named by its length


class TensorInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says about one tensor.

    `shape`, `strides` and `storage_offset` count elements; `nbytes` are logical bytes; `file_offset` is where its first element stands in the checkpoint
    (None where the storage is compressed or has no bytes); `location` is the device tag that it was saved with.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    storage_offset: int
    nbytes: int
    storage: str
    storage_nbytes: int
    location: str
    file_offset: int | None
    requires_grad: bool


Dims = Union[int, None, "Mapping[str, int | None]", "Callable[[str, TensorInfo], int | None]"]
"""Which dimension of each tensor `get_shards` cuts."""


class LazyTensor:
    """Stands in `Checkpoint.tree()` for one dense tensor, or for one array whose bytes lie in the file."""

    __slots__ = ("part", "record")

    def __init__(self, record: TensorRecord | ArrayRecord, part: LazyPart | LazyAssembly) -> None:
        self.record = record
        self.part = part

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each dimension."""
        return self.record.shape

    @property
    def dtype(self) -> str:
        """torch's name; of an array that is no tensor numpy's (`float32`, `|S3`)."""
        return self.record.dtype.name if isinstance(self.record, TensorRecord) else name_of(self.record.dtype)

    def numpy(self) -> Any:
        """The array, where `map_location` puts it."""
        return self.part.array(self.record)

    def __getitem__(self, index: Any) -> Any:
        part = self.part.cut(self.record, index)
        return moved({0: part}, self.part.settings)[0] if isinstance(part, Cut) else part

    def __repr__(self) -> str:
        return f"<tensor {self.dtype} {list(self.shape)}>"


class LazyPart:
    """One plan or table of the file, with those of its storages that were asked for. `name` tells it from the other parts of a group."""

    __slots__ = ("budget", "closed", "document", "inputs", "name", "on_host", "placed", "restore", "settings")

    def __init__(self, document: Plan | Table, name: str, budget: Budget, restore: Restore, settings: Transfer) -> None:
        self.document = document
        self.name = name
        self.budget = budget
        self.inputs: dict[str, PlacedInput] = inputs(document, budget, mapped=True)
        self.restore = restore
        self.settings = settings
        self.placed: dict[str, Placed] = {}
        self.on_host: dict[str, Placed] = {}  # the map, for slices that go elsewhere
        self.closed = False

    def array(self, record: TensorRecord | ArrayRecord) -> Any:
        """The array of one record; its storage is placed when the first tensor on it is asked for."""
        container = self.document.container
        if isinstance(record, ArrayRecord):
            self._check_open()
            return views.array(record, container.source, mapped=True)
        self.place([record])
        return views.tensor(record, self.placed, container.byteorder)

    def place(self, records: Iterable[TensorRecord]) -> None:
        """The storages of all these tensors, moved together."""
        placed, byteorder = self.placed, self.document.container.byteorder
        missing = {name for record in records if (name := placed_name(record, byteorder)) not in placed}  # `- placed.keys()` would walk all of those
        if missing:
            self._check_open()
            ordered = missing if len(missing) == 1 else [name for name in self.inputs if name in missing]  # in the order of the file
            wanted = {name: self.inputs[name] for name in ordered}
            self.placed.update(move_all(wanted, {name: decide(item, self.restore) for name, item in wanted.items()}, self.settings))

    def cut(self, record: TensorRecord | ArrayRecord, index: Any) -> Any:
        """`array[index]`, or a `Cut` to be moved where only that part has to be read. What is whole on its device already is sliced there."""
        name = placed_name(record, self.document.container.byteorder) if isinstance(record, TensorRecord) else ""
        if not name or name in self.placed or not is_basic(index) or not isinstance(record, TensorRecord):
            return sliced(self.array(record), index)
        self._check_open()
        item = self.inputs[name]
        decision = decide(item, self.restore)
        if not isinstance(decision.backend, StreamingBackend):
            return sliced(self.array(record), index)
        if name not in self.on_host:
            self.on_host.update(place({name: item}, "cpu"))
        return cut(views.tensor(record, self.on_host, self.document.container.byteorder), index, item, self.on_host[name], decision)

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the checkpoint is closed")


class LazyAssembly:
    """One tensor in several parts: put together when it is asked for, and kept."""

    __slots__ = ("budget", "closed", "document", "map_location", "name", "settings", "value")

    def __init__(self, document: Assembly, name: str, budget: Budget, map_location: Any, settings: Transfer) -> None:
        self.document = document
        self.name = name
        self.budget = budget
        self.map_location = map_location
        self.settings = settings
        self.closed = False
        self.value: Any = None

    def array(self, record: TensorRecord | ArrayRecord) -> Any:
        """The array of the whole tensor."""
        if self.value is None:
            if self.closed:
                raise ValueError("the checkpoint is closed")
            self.value = assembled(self.document, Building(budget=self.budget, map_location=self.map_location, transfer=self.settings))
        return self.value

    def cut(self, record: TensorRecord | ArrayRecord, index: Any) -> Any:
        """`array[index]`."""
        return sliced(self.array(record), index)


def sliced(array: Any, index: Any) -> Any:
    """`array[index]`. Raises `ValueError` for a tensor without data."""
    if isinstance(array, MetaTensor):
        raise ValueError("a tensor on meta has no data to take a slice of")
    return array[index]


def whole_of(document: Assembly) -> TensorRecord:
    """The record of a tensor in parts, as if it stood in a storage of its own."""
    return TensorRecord(dtype=document.dtype, shape=document.shape, strides=contiguous(document.shape), offset=0, storage="assembled")


class Checkpoint:
    """A judged file, open for reading. Use as a context manager; arrays stay valid after `close`."""

    def __init__(self, reading: Reading, source: ByteSource, map_location: Any, transfer: Transfer = DEFAULT) -> None:
        if reading.document is None:
            raise several_objects(reading.objects)
        self.report = reading.report
        self._container = reading.container
        self._source = source
        self._budget = reading.budget
        self._restore = resolve_location(map_location)
        self._map_location = map_location
        self._transfer = transfer
        self._parts: list[LazyPart | LazyAssembly] = []
        self._root = self._lazy(reading.document, "")
        self._names: dict[str, LazyTensor] = dict(_named(self._root))

    def _lazy(self, document: Document, name: str) -> Any:
        """The value of a document with a `LazyTensor` for each array."""
        if isinstance(document, Group) and document.is_list:
            return [self._lazy(part, f"{name}{key}{NESTED}") for key, part in document.parts.items()]
        if isinstance(document, Shards):
            values = {file: self._lazy(part, f"{file}{NESTED}") for file, part in document.parts.items()}
            return OrderedDict((key, values[file][key]) for key, file in document.names.items())
        if isinstance(document, Assembly):
            return LazyTensor(whole_of(document), LazyAssembly(document, name, self._budget, self._map_location, self._transfer))
        if isinstance(document, Group):
            return OrderedDict((key, self._lazy(part, f"{name}{key}{NESTED}")) for key, part in document.parts.items())
        if isinstance(document, Unbuilt):
            raise not_built(document.what, document.hint)
        part = LazyPart(document, name, self._budget, self._restore, self._transfer)
        self._parts.append(part)
        if isinstance(document, Plan):
            replay = _LazyReplay(document, part)
            replay.run()
            return replay.finish()
        values = OrderedDict(
            (key, LazyTensor(record, part) if isinstance(record, (TensorRecord, ArrayRecord)) else self._lazy(record, f"{name}{key}{NESTED}"))
            for key, record in document.entries.items()
        )
        return next(iter(values.values())) if document.bare else values

    def keys(self) -> list[str]:
        """The names of all dense tensors, in file order: `layer.weight`, `state_dict.layer.weight`, `optimizer.state.0.exp_avg`."""
        return list(self._names)

    def info(self, name: str) -> TensorInfo:
        """Everything but the payload. Raises `KeyError` for a name that is not in `keys()`."""
        lazy = self._names[name]
        record, part = lazy.record, lazy.part
        if isinstance(part, LazyAssembly):
            return _assembly_info(name, part)
        start = part.document.container.source.offset_in(self._source)
        if isinstance(record, ArrayRecord):
            return _array_info(name, record, part, start)
        storage = part.document.storages[record.storage]
        member = storage.member
        stored = start is not None and member is not None and member.method == STORED
        return TensorInfo(
            name=name,
            dtype=record.dtype.name,
            shape=record.shape,
            strides=record.strides,
            storage_offset=record.offset,
            nbytes=record.nbytes,
            storage=part.name + record.storage,
            storage_nbytes=storage.nbytes,
            location=storage.location,
            file_offset=start + member.offset + record.offset * record.dtype.itemsize // record.dtype.per_byte if stored else None,  # type: ignore[operator, union-attr]
            requires_grad=record.requires_grad,
        )

    def get_tensor(self, name: str) -> Any:
        """One tensor as an array. Tensors of one storage share it."""
        return self._names[name].numpy()

    def get_tensors(self, names: Iterable[str] | None = None) -> dict[str, Any]:
        """Several tensors, or all, by name: their storages go to a device together, as `load` moves them. Tensors of one storage share it."""
        wanted = {name: self._names[name] for name in (self._names if names is None else names)}
        place_together(wanted.values())
        return {name: lazy.numpy() for name, lazy in wanted.items()}

    def get_slice(self, name: str) -> LazyTensor:
        """A tensor to index: `get_slice(name)[:10]` reads, or touches the pages of, only what it returns."""
        return self._names[name]

    def get_shards(self, rank: int, world: int, dims: Dims = 0, names: Iterable[str] | None = None) -> dict[str, Any]:
        """What `rank` of `world` processes holds of each tensor, for tensor-parallel loading; only those bytes are read.

        `dims` is the dimension to cut: a number for all, a dict by name, or a function of (name, `TensorInfo`). None, a name that the dict lacks, or a tensor
        with fewer dimensions means the whole tensor. A dimension is cut as `torch.chunk` cuts it: ceil(length / world) for each, the last ones less or
        nothing. On a device each part is an array of its own; on the CPU it is a view of the map. Raises `ValueError` for a rank outside of the world.
        """
        if not (_is_number(rank) and _is_number(world) and 0 <= rank < world):
            raise ValueError(f"shard is (rank, world) with 0 <= rank < world, not ({rank!r}, {world!r})")
        found: dict[str, Any] = {}
        whole: dict[str, LazyTensor] = {}
        for name in self._names if names is None else names:
            lazy = self._names[name]
            dim = _dim(dims, name, self)
            if dim is None or not -len(lazy.shape) <= dim < len(lazy.shape):
                whole[name] = lazy
                found[name] = None
            else:
                index = [slice(None)] * len(lazy.shape)
                index[dim] = share(lazy.shape[dim], rank, world)
                found[name] = lazy.part.cut(lazy.record, tuple(index))
        place_together(whole.values())
        found.update((name, lazy.numpy()) for name, lazy in whole.items())
        cuts = {number: part for number, part in enumerate(found.values()) if isinstance(part, Cut)}
        arrays = moved(cuts, self._transfer)
        return {name: arrays.get(number, part) for number, (name, part) in enumerate(found.items())}

    def metadata(self) -> dict[str, str]:
        """The archive's records as text: version, byteorder, ..."""
        return dict(self._container.info) if self._container is not None else {}

    def tree(self) -> Any:
        """The whole value as `load` returns it, with a `LazyTensor` for each dense tensor."""
        return self._root

    def close(self) -> None:
        """Give the file back."""
        for part in self._parts:
            part.closed = True
        self._source.close()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __repr__(self) -> str:
        return f"<Checkpoint {self.report.path!a}, {len(self):,} tensors>"


def place_together(tensors: Iterable[LazyTensor]) -> None:
    """Move the storages of all of them that are not placed yet, with one transfer for each part of the file."""
    parts: dict[int, tuple[LazyPart, list[TensorRecord]]] = {}
    for lazy in tensors:
        if isinstance(lazy.part, LazyPart) and isinstance(lazy.record, TensorRecord):
            parts.setdefault(id(lazy.part), (lazy.part, []))[1].append(lazy.record)
    for part, records in parts.values():
        part.place(records)


def _dim(dims: Dims, name: str, checkpoint: Checkpoint) -> int | None:
    """The dimension along which a tensor is cut."""
    if isinstance(dims, Mapping):
        dim = dims.get(name)
    else:
        dim = dims(name, checkpoint.info(name)) if callable(dims) else dims
    if dim is not None and not _is_number(dim):
        raise TypeError(f"a dimension to cut is a number or None, not {type(dim).__name__}")
    return dim


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


class _LazyReplay(Replay):
    """A replay that reads no payload."""

    __slots__ = ("part",)

    def __init__(self, plan: Plan, part: LazyPart) -> None:
        super().__init__(plan, {}, part.budget.limits)
        self.part = part

    def tensor(self, record: TensorRecord) -> Any:
        return LazyTensor(record, self.part)

    def file_array(self, record: ArrayRecord) -> Any:
        return super().file_array(record) if record.extent is None else LazyTensor(record, self.part)


def _assembly_info(name: str, part: LazyAssembly) -> TensorInfo:
    """A tensor in parts has no place of its own in the files."""
    record = whole_of(part.document)
    return TensorInfo(
        name=name,
        dtype=record.dtype.name,
        shape=record.shape,
        strides=record.strides,
        storage_offset=0,
        nbytes=record.nbytes,
        storage=part.name + name,
        storage_nbytes=record.nbytes,
        location=next(iter(part.document.parts[0][1].storages.values())).location,
        file_offset=None,
        requires_grad=False,
    )


def _array_info(name: str, record: ArrayRecord, part: LazyPart, start: int | None) -> TensorInfo:
    """An array has no storage beside itself."""
    nbytes = nbytes_of(record.dtype, record.shape)
    steps, step = [], 1
    for length in record.shape if record.fortran else reversed(record.shape):
        steps.append(step)
        step *= max(length, 1)
    return TensorInfo(
        name=name,
        dtype=name_of(record.dtype),
        shape=record.shape,
        strides=tuple(steps if record.fortran else reversed(steps)),
        storage_offset=0,
        nbytes=nbytes,
        storage=name,
        storage_nbytes=nbytes,
        location="cpu",
        file_offset=start + record.extent.offset if start is not None and record.extent is not None else None,
        requires_grad=False,
    )


def _named(root: Any) -> Iterator[tuple[str, LazyTensor]]:
    """Every dense tensor with a name: the path to it. The first path wins; a name that two paths spell gets `#2`, `#3` ... behind it."""
    taken: dict[str, int] = {}
    seen: set[int] = set()
    stack: list[tuple[str, Any]] = [("", root)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, LazyTensor):
            name = wanted = path or "tensor"
            while name in taken:
                taken[wanted] += 1
                name = f"{wanted}#{taken[wanted]}"
            taken[name] = 1
            yield name, value
            continue
        held = children(value)
        if held is None or id(value) in seen:
            continue
        seen.add(id(value))
        stack.extend((f"{path}.{key}" if path else str(key), child) for key, child in reversed(held))


def _state(value: OpaqueObject | SubclassTensor) -> list[tuple[Any, Any]]:
    """The attributes that a state shows, or the state itself where it shows none."""
    attributes = value.attributes
    return list(attributes.items()) if attributes or value.state is None else [("state", value.state)]


def _key(key: Any) -> str:
    """A key as part of a name. Ints of thousands of digits have no str()."""
    if isinstance(key, int) and key.bit_length() > MAX_KEY_BITS:
        return f"int of {key.bit_length()} bits"
    return str(key) if isinstance(key, (str, int)) else repr(key)[:60]


def children(value: Any) -> list[tuple[Any, Any]] | None:
    """What a value holds, with the key of each; None for a leaf."""
    if isinstance(value, dict):
        return [(_key(key), child) for key, child in value.items()]
    if isinstance(value, (list, tuple, deque)):
        return list(enumerate(value))
    if isinstance(value, (set, frozenset)):
        return None
    if isinstance(value, OpaqueObject):
        return [*enumerate(value.args), *(value.kwargs or {}).items(), *_state(value), *enumerate(value.items or ()), *(value.pairs or ())]
    if isinstance(value, SubclassTensor):
        return [("data", value.data), *_state(value)]
    if isinstance(value, SparseTensor):
        parts = (("indices", value.indices), ("compressed", value.compressed), ("plain", value.plain), ("values", value.values))
        return [(name, part) for name, part in parts if part is not None]
    if isinstance(value, QuantizedTensor):
        return [("int_repr", value.int_repr), ("scale", value.scale), ("zero_point", value.zero_point)]
    if isinstance(value, Generator):
        return [("state", value.state)] if value.state is not None else []
    if isinstance(value, NestedTensor):
        return list(enumerate(value.components))
    if isinstance(value, Storage):
        return [("storage", value.array)]
    if hasattr(value, "__dict__") and type(value).__name__ == "Namespace":
        return list(vars(value).items())
    return None
