"""What a pickle stream turns into: plain Python values, and inert nodes for everything that would be a lookup or a call.

A node is a record of what the stream *asked for*. Nothing here can be called, looked up or imported (law 1). Nodes are logged in the order in
which the stream creates them; `index` is the place in that log, so that `rebuild` can replay it without recursion, and effects on nodes (BUILD,
APPEND, SETITEM, ADDITEMS) are records in the same log. Nodes compare and hash by identity.
"""

from __future__ import annotations

from typing import Any, Literal, Union

import msgspec

CallKind = Literal["reduce", "newobj", "newobj_ex", "inst", "obj"]


class Global(msgspec.Struct, eq=False, frozen=True):
    """`module.name`, named by GLOBAL, STACK_GLOBAL or INST; one node for each distinct name of a stream, at its first mention."""

    index: int
    offset: int
    module: str
    name: str

    @property
    def full(self) -> str:
        """`module.name`, as it stands in the file: the key that policies decide by."""
        return f"{self.module}.{self.name}"


class Call(msgspec.Struct, eq=False, frozen=True):
    """`func(*args, **kwargs)` (REDUCE, INST, OBJ) or `func.__new__(func, *args, **kwargs)` (NEWOBJ, NEWOBJ_EX), recorded and not made.

    `args` is the very tuple of the stream; its containers may have grown since (`ObjectGraph.changed_since`).
    """

    index: int
    offset: int
    kind: CallKind
    func: Node
    args: tuple[Any, ...]
    kwargs: dict[Any, Any] | None = None


class PersistentId(msgspec.Struct, eq=False, frozen=True):
    """BINPERSID (`pid` is any value) or PERSID (`pid` is a str)."""

    index: int
    offset: int
    pid: Any


class Build(msgspec.Struct, eq=False, frozen=True):
    """BUILD: `state` is given to `target`."""

    index: int
    offset: int
    target: Node
    state: Any


class Items(msgspec.Struct, eq=False, frozen=True):
    """APPEND(S) or ADDITEMS: `items` are added to `target`, which is a node (plain lists and sets are filled by the machine itself)."""

    index: int
    offset: int
    kind: Literal["append", "add"]
    target: Node
    items: list[Any]


class SetItems(msgspec.Struct, eq=False, frozen=True):
    """SETITEM(S): `target[key] = value` for each pair; `pairs` is flat, key, value, key, value ..."""

    index: int
    offset: int
    target: Node
    pairs: list[Any]


Node = Union[Global, Call, PersistentId]
Effect = Union[Build, Items, SetItems]
NODE_TYPES: frozenset[type] = frozenset({Global, Call, PersistentId})


class Geometry(msgspec.Struct, eq=False, frozen=True, kw_only=True):
    """The numbers of a tensor record, one object for all records of a stream that have the same; what each of them costs beside it."""

    numel: int  # of the storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    opcodes: int
    made: int  # containers
    behind: int  # bytes


RUN_ENTRIES = 3  # entries of the log for each record of a run


class TensorRun(msgspec.Struct, eq=False, frozen=True, kw_only=True):
    """Tensor records that the lane took one behind the other, alike but for the keys of their storages and their numbers.

    From `log[start]` on each has `RUN_ENTRIES`: the persistent id of its storage, the call of its hooks, and its own call. `alike` is what they share: the
    function, the tag `'storage'`, the storage type, the location, the class of the hooks, and `requires_grad`.
    """

    start: int
    alike: tuple[Any, Any, Any, Any, Any, bool]
    keys: list[Any]
    geometries: list[Geometry]

    @property
    def stop(self) -> int:
        """The first entry behind the run."""
        return self.start + RUN_ENTRIES * len(self.keys)


class ObjectGraph(msgspec.Struct, eq=False, frozen=True, kw_only=True):
    """One interpreted stream.

    `root` is what STOP returned: a plain value whose leaves may be nodes. `log` holds nodes and effects in stream order, so `log[n].index == n`.
    """

    root: Any
    log: list[Node | Effect]
    globals: dict[tuple[str, str], Global]
    mentions: dict[Global, list[int]]  # offsets of the opcodes that named it, the first `MAX_PLACES` of them
    changed_at: dict[int, int]  # id() of a plain container -> length of the log when it last changed
    protocol: int
    opcodes: int
    start: int  # offset of the first byte in the buffer
    end: int  # offset behind STOP
    named: dict[Global, int] = {}  # how many opcodes named it, all of them
    runs: list[TensorRun] = []  # tensor records that are alike, where the lane took them: nothing that is not in the log

    @property
    def whole(self) -> bool:
        """Was the stream read up to its STOP?"""
        return self.end > self.start

    def changed_since(self, container: object, index: int) -> bool:
        """Did this plain container change after the call at `index` had taken it?

        A real unpickler hands `set(items)` the items of that moment. We replay calls after the whole stream was read, so a constructor that copies a
        container must know that it still is what the call saw; where it is not, the call is refused (SL206).
        """
        return self.changed_at.get(id(container), -1) > index
