"""Containers that still hold nodes become containers that hold values, in one iterative pass over everything that is reachable.

Mutable containers are filled where they are, each once, so sharing and cycles survive; tuples and frozensets that change are made anew, once each. Refuses keys
that have no hash, and more keys of one hash in one container than the budget allows.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np

from safeload.budget import exceeded
from safeload.errors import StreamError
from safeload.limits import Limits
from safeload.machine.nodes import NODE_TYPES, Call
from safeload.tensors import SubclassTensor
from safeload.values import AttributeDict, Namespace, OpaqueAttribute, OpaqueObject

FEW = 16  # values of a dict: not worth a look at all of them
ATOMS: frozenset[type] = frozenset({str, int, float, bool, bytes, type(None)})
ENDS = ATOMS | {np.ndarray}  # values with nothing inside that could change


class HashGuard:
    """Counts keys of one hash, container by container. Strings and small ints cannot be aimed and are not counted."""

    __slots__ = ("counts", "limits", "member")

    def __init__(self, limits: Limits, member: str | None) -> None:
        self.limits = limits
        self.member = member
        self.counts: dict[int, tuple[Any, dict[int, int]]] = {}  # id(container) -> the container, so that the id stays its own, and hash -> keys

    def key(self, value: Any, container: Any, offset: int | None) -> Any:
        """`value`, if it may be a key of `container`. Raises `StreamError` SL205 or `LimitExceeded`."""
        kind = type(value)
        if kind is str or kind is bool or value is None or kind is bytes or (kind is int and -(1 << 60) < value < 1 << 60):
            return value
        try:
            hashed = hash(value)
        except TypeError:
            raise StreamError(
                f"a {kind.__name__} is used as a dict key or set item, and it has no hash", rule="SL205", member=self.member, offset=offset
            ) from None
        seen = self.counts.setdefault(id(container), (container, {}))[1]
        seen[hashed] = count = seen.get(hashed, 0) + 1
        if count > self.limits.equal_hash_keys:
            raise exceeded("equal_hash_keys", self.limits.equal_hash_keys, "a container holds more keys with one hash", self.member, offset)
        return value


def resolve(root: Any, value_of: Callable[[Any], Any], guard: HashGuard, replaced: dict[int, Any] | None = None) -> Any:
    """`root` with every node replaced by `value_of(node)`, and every object in `replaced` (by id) by what stands there."""
    return Resolver(value_of, guard, replaced or {}).run(root)


class Resolver:
    """The one mutable thing of this pass: what was seen, what waits, and which tuples were made anew."""

    __slots__ = ("guard", "pending", "remade", "replaced", "seen", "value_of")

    def __init__(self, value_of: Callable[[Any], Any], guard: HashGuard, replaced: dict[int, Any]) -> None:
        self.value_of = value_of
        self.guard = guard
        self.replaced = replaced
        self.seen: set[int] = set()
        self.pending: list[Any] = []
        self.remade: dict[int, tuple[Any, Any]] = {}  # id of a tuple -> (the tuple, kept alive; its new form)

    def run(self, root: Any) -> Any:
        """Resolve everything that `root` reaches."""
        result = self.one(root)
        self.drain()
        return result

    def drain(self) -> None:
        """Resolve what was noted for later, and what that leads to."""
        while self.pending:
            container = self.pending.pop()
            FILL[type(container)](self, container)

    def one(self, value: Any) -> Any:
        """One value in its final form; containers are noted for later."""
        kind = type(value)
        if kind in ENDS:
            return value
        if kind in NODE_TYPES:
            value = self.value_of(value)
            kind = type(value)
        if kind is tuple or kind is frozenset:
            return self.sequence(value)
        if kind in FILL:
            if self.replaced and id(value) in self.replaced:
                return self.replaced[id(value)]
            if id(value) not in self.seen:
                self.seen.add(id(value))
                self.pending.append(value)
        return value

    def sequence(self, value: Any) -> Any:
        """A tuple or frozenset, made anew if anything in it changes; nested ones first, without recursion."""
        if id(value) in self.remade:
            return self.remade[id(value)][1]
        stack: list[tuple[Any, list[Any], Any]] = [(value, [], iter(value))]
        while True:
            current, parts, rest = stack[-1]
            for item in rest:
                if type(item) in NODE_TYPES:
                    item = self.value_of(item)
                if (type(item) is tuple or type(item) is frozenset) and id(item) not in self.remade:
                    stack.append((item, [], iter(item)))
                    break
                parts.append(self.remade[id(item)][1] if id(item) in self.remade else self.one(item))
            else:
                stack.pop()
                made = self._remake(current, parts)
                self.remade[id(current)] = (current, made)
                if not stack:
                    return made
                stack[-1][1].append(made)

    def _remake(self, current: Any, parts: list[Any]) -> Any:
        if all(new is old for new, old in zip(parts, current, strict=True)):
            return current
        if type(current) is tuple:
            return tuple(parts)
        return frozenset(self.guard.key(part, current, None) for part in parts)


def _fill_list(resolver: Resolver, container: list[Any]) -> None:
    if ATOMS.issuperset(map(type, container)):
        return
    one = resolver.one
    for index, value in enumerate(container):
        if type(value) not in ATOMS:
            container[index] = one(value)


def _fill_deque(resolver: Resolver, container: deque[Any]) -> None:
    for _ in range(len(container)):
        container.append(resolver.one(container.popleft()))


def _fill_dict(resolver: Resolver, container: dict[Any, Any]) -> None:
    if ATOMS.issuperset(map(type, container)):
        if ENDS.issuperset(map(type, container.values())):
            return
        if len(container) > FEW and set(map(type, container.values())) == {Call}:  # a state dict: all values at once
            made = list(map(resolver.value_of, container.values()))
            if ENDS.issuperset(map(type, made)):
                container.update(zip(container, made, strict=True))
                return
    one = resolver.one
    rekeyed = False
    changed: list[tuple[Any, Any]] = []
    for key, value in container.items():
        if type(key) is not str and type(key) not in ATOMS:
            rekeyed = rekeyed or one(key) is not key
        if type(value) not in ENDS:
            new = one(value)
            if new is not value:
                changed.append((key, new))
    for key, new in changed:
        container[key] = new
    if rekeyed:
        items = [(one(key), value) for key, value in container.items()]
        container.clear()
        for key, value in items:
            container[resolver.guard.key(key, container, None)] = value


def _fill_ordered_dict(resolver: Resolver, container: OrderedDict[Any, Any]) -> None:
    _fill_dict(resolver, container)
    attributes = vars(container)
    if attributes:
        _fill_dict(resolver, attributes)


def _fill_set(resolver: Resolver, container: set[Any]) -> None:
    if all(type(item) in ATOMS for item in container):
        return
    items = [resolver.one(item) for item in container]
    container.clear()
    for item in items:
        container.add(resolver.guard.key(item, container, None))


def _fill_namespace(resolver: Resolver, container: Namespace) -> None:
    _fill_dict(resolver, vars(container))


def _fill_opaque(resolver: Resolver, record: OpaqueObject) -> None:
    record.cls = resolver.one(record.cls)
    record.args = resolver.one(record.args)
    record.kwargs = resolver.one(record.kwargs)
    record.state = resolver.one(record.state)
    record.items = resolver.one(record.items)
    record.pairs = resolver.one(record.pairs)


def _fill_subclass(resolver: Resolver, record: SubclassTensor) -> None:
    record.data = resolver.one(record.data)
    record.state = resolver.one(record.state)


def _fill_attribute(resolver: Resolver, record: OpaqueAttribute) -> None:
    resolver.one(record.owner)


FILL: dict[type, Callable[[Resolver, Any], None]] = {
    list: _fill_list,
    deque: _fill_deque,
    dict: _fill_dict,
    defaultdict: _fill_dict,
    Counter: _fill_dict,
    AttributeDict: _fill_dict,
    OrderedDict: _fill_ordered_dict,
    set: _fill_set,
    Namespace: _fill_namespace,
    OpaqueObject: _fill_opaque,
    OpaqueAttribute: _fill_attribute,
    SubclassTensor: _fill_subclass,
}
