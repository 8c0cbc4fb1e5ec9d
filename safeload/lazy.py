"""An accepted `Reading` becomes a `Checkpoint`: names and shapes now, bytes when they are asked for. After `safetensors.safe_open`.

The vetted log is replayed with a `LazyTensor` in the place of each array, so the structure is that of `load`; a tensor is named by the path to it, `.` between
the keys. Payloads are mapped, so `get_slice(name)[:10]` touches the pages of ten rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

from safeload.errors import several_objects
from safeload.judge import Reading
from safeload.placement.map_location import resolve as resolve_location
from safeload.placement.place import Placed, PlacedInput, decide, move
from safeload.rebuild import views
from safeload.rebuild.replay import Replay
from safeload.rebuild.storages import inputs, placed_name
from safeload.source import ByteSource
from safeload.storage.records import TensorRecord
from safeload.tensors import MetaTensor, NestedTensor, QuantizedTensor, SparseTensor, SubclassTensor
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


class LazyTensor:
    """Stands for one dense tensor in `Checkpoint.tree()`."""

    __slots__ = ("checkpoint", "record")

    def __init__(self, record: TensorRecord, checkpoint: Checkpoint) -> None:
        self.record = record
        self.checkpoint = checkpoint

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each dimension."""
        return self.record.shape

    @property
    def dtype(self) -> str:
        """torch's name."""
        return self.record.dtype.name

    def numpy(self) -> Any:
        """The array, where `map_location` puts it."""
        return self.checkpoint._array(self.record)

    def __getitem__(self, index: Any) -> Any:
        array = self.numpy()
        if isinstance(array, MetaTensor):
            raise ValueError("a tensor on meta has no data to take a slice of")
        return array[index]

    def __repr__(self) -> str:
        return f"<tensor {self.dtype} {list(self.shape)}>"


class Checkpoint:
    """A judged file, open for reading. Use as a context manager; arrays stay valid after `close`."""

    def __init__(self, reading: Reading, source: ByteSource, map_location: Any) -> None:
        if len(reading.plans) != 1:
            raise several_objects(len(reading.plans))
        self.report = reading.report
        self._plan = reading.plans[0]
        self._source = source
        self._inputs: dict[str, PlacedInput] = inputs(self._plan, reading.budget, mapped=True)
        self._restore = resolve_location(map_location)
        self._placed: dict[str, Placed] = {}
        self._closed = False
        replay = _LazyReplay(self, reading)
        replay.run()
        self._root = replay.finish()
        self._names: dict[str, TensorRecord] = dict(_named(self._root))

    def keys(self) -> list[str]:
        """The names of all dense tensors, in file order: `layer.weight`, `state_dict.layer.weight`, `optimizer.state.0.exp_avg`."""
        return list(self._names)

    def info(self, name: str) -> TensorInfo:
        """Everything but the payload. Raises `KeyError` for a name that is not in `keys()`."""
        record = self._names[name]
        storage = self._plan.storages[record.storage]
        member = storage.member
        start = None
        if member is not None and member.method == 0:
            start = member.offset + record.offset * record.dtype.itemsize // record.dtype.per_byte
        return TensorInfo(
            name=name,
            dtype=record.dtype.name,
            shape=record.shape,
            strides=record.strides,
            storage_offset=record.offset,
            nbytes=record.nbytes,
            storage=record.storage,
            storage_nbytes=storage.nbytes,
            location=storage.location,
            file_offset=start,
            requires_grad=record.requires_grad,
        )

    def get_tensor(self, name: str) -> Any:
        """One tensor as an array. Tensors of one storage share it."""
        return self._array(self._names[name])

    def get_slice(self, name: str) -> LazyTensor:
        """A tensor to index: `get_slice(name)[:10]` touches only the pages of what it returns."""
        return LazyTensor(self._names[name], self)

    def metadata(self) -> dict[str, str]:
        """The archive's records as text: version, byteorder, ..."""
        return dict(self._plan.container.info)

    def tree(self) -> Any:
        """The whole value as `load` returns it, with a `LazyTensor` for each dense tensor."""
        return self._root

    def _array(self, record: TensorRecord) -> Any:
        byteorder = self._plan.container.byteorder
        key = placed_name(record, byteorder)
        if key not in self._placed:
            if self._closed:
                raise ValueError("the checkpoint is closed")
            self._placed[key] = move(self._inputs[key], decide(self._inputs[key], self._restore))
        return views.tensor(record, self._placed, byteorder)

    def close(self) -> None:
        """Give the file back."""
        self._closed = True
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


class _LazyReplay(Replay):
    """A replay that reads no payload."""

    __slots__ = ("checkpoint",)

    def __init__(self, checkpoint: Checkpoint, reading: Reading) -> None:
        super().__init__(reading.plans[0], {}, reading.budget.limits)
        self.checkpoint = checkpoint

    def tensor(self, record: TensorRecord) -> Any:
        return LazyTensor(record, self.checkpoint)


def _named(root: Any) -> Iterator[tuple[str, TensorRecord]]:
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
            yield name, value.record
            continue
        children = _children(value)
        if children is None or id(value) in seen:
            continue
        seen.add(id(value))
        stack.extend((f"{path}.{key}" if path else str(key), child) for key, child in reversed(children))


def _state(value: OpaqueObject | SubclassTensor) -> list[tuple[Any, Any]]:
    """The attributes that a state shows, or the state itself where it shows none."""
    attributes = value.attributes
    return list(attributes.items()) if attributes or value.state is None else [("state", value.state)]


def _key(key: Any) -> str:
    """A key as part of a name. Ints of thousands of digits have no str()."""
    if isinstance(key, int) and key.bit_length() > MAX_KEY_BITS:
        return f"int of {key.bit_length()} bits"
    return str(key) if isinstance(key, (str, int)) else repr(key)[:60]


def _children(value: Any) -> list[tuple[Any, Any]] | None:
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
    if isinstance(value, NestedTensor):
        return list(enumerate(value.components))
    if isinstance(value, Storage):
        return [("storage", value.array)]
    if hasattr(value, "__dict__") and type(value).__name__ == "Namespace":
        return list(vars(value).items())
    return None
