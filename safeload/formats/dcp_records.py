"""The stream of a distributed checkpoint's `.metadata` becomes plain records: which names there are, and which bytes of which file hold them.

Read off the graph that was judged, without building anything. Classes of `torch/distributed/checkpoint/metadata.py`: `Metadata`, `TensorStorageMetadata`,
`TensorProperties`, `ChunkStorageMetadata`, `BytesStorageMetadata`, `MetadataIndex`; `_StorageInfo` of `filesystem.py`. Refuses whatever is not laid out as
they are (SL134).
"""

from __future__ import annotations

from typing import Any

import msgspec

from safeload.errors import ContainerError
from safeload.machine.nodes import Build, Call, Global
from safeload.storage.dtypes import DTYPES, dtype_named
from safeload.storage.records import Plan

MAX_PATH_LENGTH = 64  # keys on the way to one value
MAX_COUNT = 1 << 63


class Item(msgspec.Struct, frozen=True):
    """One archive: `length` bytes at `offset` of the file `path`, below the checkpoint's folder."""

    path: str
    offset: int
    length: int
    transforms: bool = False


class Chunk(msgspec.Struct, frozen=True):
    """A part of a tensor: `size` elements at `offsets` of a tensor of `whole` elements and this `dtype`."""

    offsets: tuple[int, ...]
    size: tuple[int, ...]
    whole: tuple[int, ...]
    dtype: str
    item: Item


class Saved(msgspec.Struct, frozen=True):
    """All that the metadata says. `entries` has an item for an object, and chunks for a tensor; `paths` the way to each name, where it was nested."""

    entries: dict[str, Item | tuple[Chunk, ...]]
    items: tuple[Item, ...]
    paths: dict[str, tuple[str | int, ...]]


def read_records(plan: Plan) -> Saved:
    """The records of a judged `.metadata`. Raises `ContainerError` SL134."""
    return _Reader(plan).saved()


class _Reader:
    """The graph, and the states that its objects were given."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.states: dict[int, Any] = {}
        for record in plan.vetted.graph.log:
            if type(record) is Build:
                self.states[record.target.index] = record.state

    def saved(self) -> Saved:
        """1. Where the items are. 2. What each name is made of. 3. The paths. Every item belongs to exactly one name."""
        top = self.fields(self.plan.vetted.graph.root, "Metadata")
        # 1
        items: dict[tuple[str, tuple[int, ...] | None], Item] = {}
        for key, value in self.mapping(top.get("storage_data")).items():
            index = self.fields(key, "MetadataIndex")
            place = (_text(index.get("fqn")), self.numbers(index["offset"]) if index.get("offset") is not None else None)
            if place in items:
                raise _bad(f"two items are one chunk of {place[0][:60]!a}")
            items[place] = self.item(value)
        # 2
        left = dict(items)
        entries: dict[str, Item | tuple[Chunk, ...]] = {}
        for name, value in self.mapping(top.get("state_dict_metadata")).items():
            entries[_text(name)] = self.entry(name, value, left)
        if left:
            raise _bad(f"an item belongs to no name: {next(iter(left))[0][:60]!a}")
        return Saved(entries, tuple(items.values()), self.paths(top.get("planner_data"), entries))

    def entry(self, name: str, value: Any, left: dict[tuple[str, tuple[int, ...] | None], Item]) -> Item | tuple[Chunk, ...]:
        """What one name is made of, taken out of `left`."""
        if self.class_of(value) == "BytesStorageMetadata":
            return self.taken(name, None, left)
        fields = self.fields(value, "TensorStorageMetadata")
        whole, chunks = self.numbers(fields.get("size")), fields.get("chunks")
        dtype = self.dtype(fields.get("properties"))
        if type(chunks) is not list or not chunks:
            raise _bad(f"{name[:60]!a} has no chunks")
        found = []
        for chunk in chunks:
            parts = self.fields(chunk, "ChunkStorageMetadata")
            offsets, size = self.numbers(parts.get("offsets")), self.numbers(parts.get("sizes"))
            if not len(offsets) == len(size) == len(whole):
                raise _bad(f"a chunk of {name[:60]!a} has other dimensions than the tensor")
            found.append(Chunk(offsets, size, whole, dtype, self.taken(name, offsets, left)))
        return tuple(found)

    def taken(self, name: str, offsets: tuple[int, ...] | None, left: dict[tuple[str, tuple[int, ...] | None], Item]) -> Item:
        item = left.pop((name, offsets), None)
        if item is None and offsets is not None and not any(offsets):
            item = left.pop((name, None), None)  # the only chunk of a tensor need not say where it begins
        if item is None:
            raise _bad(f"no item holds {name[:60]!a}")
        return item

    def item(self, value: Any) -> Item:
        fields = self.fields(value, "_StorageInfo")
        offset, length = fields.get("offset"), fields.get("length")
        if type(offset) is not int or type(length) is not int or not 0 <= offset < MAX_COUNT or not 0 < length < MAX_COUNT:
            raise _bad("an item has no place in its file")
        return Item(_text(fields.get("relative_path")), offset, length, bool(fields.get("transform_descriptors")))

    def dtype(self, properties: Any) -> str:
        """The dtype of `TensorProperties`, whose state is (dtype, layout, requires_grad, memory format, pin_memory)."""
        state = self.states.get(properties.index) if type(properties) is Call and self.class_of(properties) == "TensorProperties" else None
        first = state[0] if type(state) is tuple and len(state) == 5 else None
        found = dtype_named(first.full) if type(first) is Global else None
        if found is None or found.name not in DTYPES:
            raise _bad("a tensor has no dtype")
        return found.name

    def paths(self, value: Any, names: dict[str, Any]) -> dict[str, tuple[str | int, ...]]:
        if value is None:
            return {}
        found = {}
        for name, path in self.mapping(value).items():
            if type(path) not in (tuple, list) or not 0 < len(path) <= MAX_PATH_LENGTH or not all(type(key) is str or type(key) is int for key in path):
                raise _bad("a path is no tuple of keys")
            if name in names:
                found[name] = tuple(path)
        return found

    # ---- the graph ------------------------------------------------------------------------------------------------------------------------

    def class_of(self, node: Any) -> str:
        return node.func.name if type(node) is Call and type(node.func) is Global else ""

    def fields(self, node: Any, cls: str) -> dict[str, Any]:
        """The attributes of an object of this class."""
        state = self.states.get(node.index, {}) if self.class_of(node) == cls else None
        if type(state) is not dict:
            raise _bad(f"{cls} is expected, and something else stands there")
        return state

    def mapping(self, value: Any) -> dict[Any, Any]:
        if type(value) is not dict:
            raise _bad("a dict is expected, and something else stands there")
        return value

    def numbers(self, node: Any) -> tuple[int, ...]:
        """A `torch.Size`, or a tuple or list of whole numbers."""
        value: Any = self.plan.vetted.literals.get(node.index) if type(node) is Call else node
        if type(value) not in (tuple, list) or not all(type(number) is int and 0 <= number < MAX_COUNT for number in value):
            raise _bad("a size is no tuple of whole numbers")
        return tuple(value)


def _text(value: Any) -> str:
    if type(value) is not str or not value:
        raise _bad("a name is no text")
    return value


def _bad(why: str) -> ContainerError:
    return ContainerError(f"the metadata of the distributed checkpoint: {why}", rule="SL134")
