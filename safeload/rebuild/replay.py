"""A proved `Plan` and its placed storages become the value that `load` returns, by replaying the log: no recursion, nothing looked up (law 1).

1. Each log entry in order: calls are built by the closed table, effects are applied to what was built.
2. The plain containers that the machine made still hold nodes; one iterative pass puts the values in their place. Lists and dicts are filled where
   they are, so that shared and cyclic ones stay shared and cyclic; tuples and frozensets are made anew where something in them changed.
3. Records of classes that the caller constructs himself (`constructors=`) are handed to him, innermost first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from safeload.collector import Paused
from safeload.errors import StreamError
from safeload.limits import Limits
from safeload.machine.nodes import NODE_TYPES, RUN_ENTRIES, Build, Call, Effect, Global, Items, Node, PersistentId, SetItems, TensorRun
from safeload.placement.place import Placed
from safeload.policy.aliases import canonical
from safeload.rebuild import views
from safeload.rebuild.builders import BUILDERS, from_record, name
from safeload.rebuild.fold import FOLDED, fold
from safeload.rebuild.numpy_dtypes import array_dtype, numpy_dtype
from safeload.rebuild.resolve import HashGuard, Resolver, resolve
from safeload.rebuild.storages import value_view
from safeload.storage.arrays import ArrayDType, ArrayRecord
from safeload.storage.dtypes import dtype_named, tensor_dtype
from safeload.storage.records import Plan, TensorRecord
from safeload.values import OpaqueObject, Storage

Constructor = Callable[[OpaqueObject], Any]


def rebuild(
    plan: Plan,
    placed: dict[str, Placed],
    *,
    limits: Limits,
    mapped: bool = True,
    constructors: dict[str, Constructor] | None = None,
    shown: views.Shown = views.ARRAYS,
    direct: dict[int, Any] | None = None,
) -> Any:
    """The value of one stream. `constructors` maps `module.name` to a function of the caller's that gets the inert record of each such object; `mapped`: arrays
    whose bytes lie in the file stay in its map; `shown`: what tensors become. `direct`: arrays that are made already, by the index of their call.

    Raises `CheckpointError` only; what `constructors` raise is the caller's and passes through.
    """
    with Paused():
        try:
            replay = Replay(plan, placed, limits, mapped=mapped, shown=shown)
            replay.run(direct or {})
            root = replay.finish()
        except RecursionError:  # equal keys are compared item by item; `vet` bounds their depth, but the caller may stand deep already
            raise StreamError("a dict key or set item is too deep to compare", rule="SL205", member=plan.vetted.member) from None
    return replay.construct(root, constructors) if constructors else root


class Replay:
    """The one mutable thing of this stage: the values of the log so far."""

    __slots__ = ("_direct", "_effects", "_made", "_storages", "byteorder", "graph", "guard", "limits", "mapped", "placed", "plan", "shown", "tuples", "values")

    def __init__(self, plan: Plan, placed: dict[str, Placed], limits: Limits, *, mapped: bool = True, shown: views.Shown = views.ARRAYS) -> None:
        self.plan = plan
        self.shown = shown
        self.mapped = mapped
        self.placed = placed
        self.limits = limits
        self.graph = plan.vetted.graph
        self.byteorder = plan.container.byteorder
        self.values: list[Any] = [None] * len(self.graph.log)
        self.guard = HashGuard(limits, plan.vetted.member)
        self.tuples = Resolver(self.value_of, self.guard, {})  # for keys; holds this replay in turn, until `finish`
        self._storages: dict[tuple[str, Any], Storage] = {}
        self._made: dict[int, Any] = {}  # id() of an external record -> its value
        self._effects: dict[int, list[Effect]] | None = None
        self._direct: Mapping[int, Any] = MappingProxyType({})  # arrays that were made without placing their storages

    def run(self, direct: Mapping[int, Any] = MappingProxyType({})) -> None:
        """Step 1."""
        self._direct = direct
        log, at = self.graph.log, 0
        for run in self.plan.vetted.runs:
            self._entries(log[at : run.start])
            self._run(run)
            at = run.stop
        self._entries(log[at:])

    def _run(self, run: TensorRun) -> None:
        """Like tensor records: their arrays, which `_direct` holds or their own records say. Their hooks, all empty, are made if asked for (`_unmade`)."""
        values, log, indexes = self.values, self.graph.log, range(run.start + RUN_ENTRIES - 1, run.stop, RUN_ENTRIES)
        values[indexes.start : run.stop : RUN_ENTRIES] = arrays = list(map(self._direct.get, indexes))
        for index, array in zip(indexes, arrays, strict=True):
            if array is None:
                values[index] = BUILDERS["tensor"](self, log[index])  # type: ignore[arg-type]

    def _entries(self, entries: list[Node | Effect]) -> None:
        values, constructors, literals = self.values, self.plan.vetted.constructors, self.plan.vetted.literals
        for record in entries:
            kind = type(record)
            index = record.index
            if kind is Call:
                if index in literals:
                    values[index] = literals[index]
                else:
                    values[index] = BUILDERS[constructors[index]](self, record)  # type: ignore[index, arg-type]
            elif kind is Global:
                values[index] = name(record, constructors[index])  # type: ignore[arg-type]
            elif kind is not PersistentId:
                self._apply(record)  # type: ignore[arg-type]
            elif constructors[index] == "external":
                values[index] = self._external(self.plan.records[index], record)  # type: ignore[arg-type]

    def finish(self) -> Any:
        """Step 2: the value. Afterwards nothing here refers to itself, so the map under the arrays goes with the last of them, not at the next collection."""
        if not self.graph.log:
            return self.graph.root  # there is nothing in it that stands for something else
        root = resolve(self.graph.root, self.value_of, self.guard)
        if any(self.plan.vetted.constructors[node.index] in FOLDED for node in self.graph.globals.values()):
            root = self._folded(root)
        self.tuples = Resolver(_spent, self.guard, {})
        return root

    def _folded(self, root: Any) -> Any:
        """The value with configurations as plain containers. What the root does not reach was not resolved, and is not looked at."""
        constructors, values = self.plan.vetted.constructors, self.values
        records = [(str(constructors[call.index]), values[call.index]) for call in self.graph.log if type(call) is Call and constructors[call.index] in FOLDED]
        return fold(root, records, self.value_of, self.guard)

    # ---- what builders ask for ----------------------------------------------------------------------------------------------------------

    def value(self, value: Any, call: Call) -> Any:
        """An argument: the value of a node, or the plain value itself (whose inside step 2 resolves)."""
        return self.value_of(value) if type(value) in NODE_TYPES else value

    def value_of(self, node: Any) -> Any:
        """The value of a node that the log has passed."""
        value = self.values[node.index]
        return value if value is not None else self._unmade(node)

    def _unmade(self, node: Any) -> Any:
        """A storage or the hooks of a tensor in a run, which are made when they are asked for, a module class, or None."""
        if node.index in self.plan.vetted.storages:
            return self._storage(node)
        if type(node) is PersistentId and self.plan.vetted.constructors[node.index] == "module-class":
            return self.values[next(part.index for part in node.pid if type(part) is Global)]
        if self.plan.vetted.constructors[node.index] == "ordered-dict":
            self.values[node.index] = OrderedDict()
        return self.values[node.index]

    def _plain_value(self, value: Any) -> Any:
        return self.value_of(value) if type(value) in NODE_TYPES else value

    def tensor(self, record: TensorRecord) -> Any:
        """The array of a dense record."""
        return views.tensor(record, self.placed, self.byteorder, self.shown)

    def part_of(self, node: Any) -> Any:
        """The plain array of a tensor that is part of something else, whatever attributes it has."""
        made = self._direct.get(node.index)
        return made if made is not None else self.tensor(self.plan.records[node.index])

    def array(self, record: Any, call: Call) -> Any:
        """A numpy dtype, array or scalar of the pickle itself."""
        if isinstance(record, ArrayRecord):
            return self.file_array(record)
        if isinstance(record, ArrayDType):
            return array_dtype(record)
        raise self.error("nothing was proved about this call", call)

    def file_array(self, record: ArrayRecord) -> Any:
        """The array of a record."""
        return views.array(record, self.plan.container.source, mapped=self.mapped)

    def empty(self, call: Call) -> Any:
        """`torch.FloatTensor()` without a state."""
        kind = canonical(call.func.module, call.func.name).rpartition(".")[2] if type(call.func) is Global else ""
        dtype = tensor_dtype(kind)
        return self.shown.loose(np.empty(0, numpy_dtype(dtype) if dtype is not None else "float32"))

    def retyped(self, array: Any, dtype_node: Any, call: Call) -> Any:
        """An ndarray that stands for a tensor of another dtype: bfloat16 travels as float32, and is rounded back."""
        dtype = dtype_named(dtype_node.full)
        if dtype is None or not isinstance(array, np.ndarray):
            raise self.error("the array of a device tensor is not valid", call)
        target = numpy_dtype(dtype)
        with np.errstate(all="ignore"):  # float32 that bfloat16 cannot hold becomes infinite, as in torch
            return self.shown.loose(array if array.dtype == target else array.astype(target))

    def effects_on(self, call: Call) -> list[Effect]:
        """All effects on the result of a call, in order."""
        if self._effects is None:
            self._effects = {}
            for record in self.graph.log:
                if isinstance(record, (Build, Items, SetItems)):
                    self._effects.setdefault(record.target.index, []).append(record)
        return self._effects.get(call.index, [])

    def set_item(self, target: Any, key: Any, value: Any, record: Any) -> None:
        """`target[key] = value` with the key's value, which must be hashable within the budget."""
        if type(key) is not str:
            key = self.guard.key(self.key_value(key), target, record.offset)
        target[key] = self.value_of(value) if type(value) in NODE_TYPES else value

    def hashed(self, target: set[Any], items: Iterable[Any], record: Any) -> set[Any]:
        """`target.update(items)` with the items' values, which must be hashable within the budget."""
        for item in items:
            target.add(self.guard.key(self.key_value(item), target, record.offset))
        return target

    def key_value(self, key: Any) -> Any:
        """A key with the values of its nodes. Each tuple is made once, however often it is a key."""
        if type(key) in NODE_TYPES:
            return self.value_of(key)
        return self.tuples.sequence(key) if type(key) is tuple or type(key) is frozenset else key

    def error(self, message: str, record: Any) -> StreamError:
        """An error at a record of this stream."""
        return StreamError(message, rule="SL201", member=self.plan.vetted.member, offset=record.offset)

    # ---- effects --------------------------------------------------------------------------------------------------------------------------

    def _apply(self, effect: Effect) -> None:
        index = effect.target.index
        constructor, target = self.plan.vetted.constructors[index], self.value_of(effect.target)
        if isinstance(target, OpaqueObject):
            _apply_opaque(target, effect)
        elif isinstance(effect, SetItems):
            pairs = effect.pairs
            if isinstance(target, dict):
                if (type(target) is OrderedDict or type(target) is dict) and set(map(type, pairs[::2])) == {str}:
                    target.update(zip(pairs[::2], map(self._plain_value, pairs[1::2]), strict=True))
                else:
                    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
                        self.set_item(target, key, value, effect)
        elif isinstance(effect, Items):
            if isinstance(target, set):
                self.hashed(target, effect.items, effect)
            else:
                target.extend(effect.items)
        else:
            self._build(constructor, target, effect)

    def _build(self, constructor: str | None, target: Any, effect: Build) -> None:
        state = effect.state
        if constructor == "ordered-dict":
            if "_metadata" in state:
                target._metadata = self.value_of(state["_metadata"]) if type(state["_metadata"]) in NODE_TYPES else state["_metadata"]
        elif constructor == "namespace":
            for key, value in state.items():
                vars(target)[key] = value
        elif constructor == "attribute-dict":
            for key, value in state.items():
                target.setdefault(key, self.value_of(value) if type(value) in NODE_TYPES else value)
        elif constructor == "generator":
            target.seed, target.offset, target.state = state[0], state[1], self.part_of(state[2])
        # every other state was taken up by the proof (arrays, dtypes, tensors) or by the builder (UUID), or is empty by contract

    def _external(self, record: Any, node: PersistentId) -> Any:
        """A tensor that another part of the file describes. One object for each, however often the stream names it, as in torch."""
        if id(record) not in self._made:
            self._made[id(record)] = from_record(self, record, node)
        return self._made[id(record)]

    def _storage(self, node: PersistentId | Call) -> Storage:
        """A storage that stands as a value. One object for each key, and for each view (torch <= 0.3), as in torch."""
        sid = self.plan.vetted.storages[node.index]
        record = self.plan.storages[sid.key]
        name, start, size = sid.view or (None, 0, record.nbytes // record.dtype.itemsize)
        known = self._storages.get((record.key, name))
        if known is None:
            known = self._storages[record.key, name] = Storage(
                self.tensor(value_view(record, start, size)),
                dtype=record.dtype.name,
                size=size,
                nbytes=size * record.dtype.itemsize,
                location=record.location,
                key=record.key,
            )
        return known

    # ---- the caller's own types -----------------------------------------------------------------------------------------------------------

    def construct(self, root: Any, constructors: dict[str, Constructor]) -> Any:
        """Step 3. An object is complete after the last effect on it, so that is the order in which the caller gets them."""
        last: dict[int, int] = {}
        for record in self.graph.log:
            index = record.target.index if isinstance(record, (Build, Items, SetItems)) else record.index
            if type(self.values[index]) is OpaqueObject and self.values[index].type_name in constructors:
                last[index] = record.index
        replaced: dict[int, Any] = {}
        for index in sorted(last, key=last.__getitem__):
            record = self.values[index]
            resolve(record, self.value_of, self.guard, replaced)
            replaced[id(record)] = constructors[record.type_name](record)
        return resolve(root, self.value_of, self.guard, replaced)


def _spent(node: Any) -> Any:
    raise LookupError("the replay is over")  # pragma: no cover - nothing asks for keys after step 1


def _apply_opaque(target: OpaqueObject, effect: Effect) -> None:
    if isinstance(effect, Build):
        target.state = effect.state
    elif isinstance(effect, Items):
        target.items = [*(target.items or ()), *effect.items]
    else:
        target.pairs = [*(target.pairs or ()), *zip(effect.pairs[::2], effect.pairs[1::2], strict=True)]
