"""A value of an `ObjectGraph` becomes one line of text: for listings, findings and reports.

Bounded in every direction (law 3): no recursion, a container shows its first items, depth and length are cut, a value that contains itself
shows `...` where it comes round again, and a memo bomb costs what is shown of it. All text from the file goes through `escape`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from safeload.escape import DEFAULT_LIMIT, ELLIPSIS, escape, quoted
from safeload.machine.nodes import Build, Call, Global, Items, PersistentId, SetItems

MAX_ITEMS = 16  # items shown of one container
MAX_DEPTH = 12  # containers and calls shown within each other
MAX_INT_BITS = 128  # longer integers are described: str() of one is quadratic, and CPython stops at 4,300 digits
STORAGE_PID_ITEMS = (5, 6)  # ('storage', type, key, location, numel[, view metadata]): torch/serialization.py, persistent_id


class _Leave:
    """On the work stack: the container of this id has been shown."""

    __slots__ = ("identity",)

    def __init__(self, identity: int) -> None:
        self.identity = identity


class _Text(str):
    """On the work stack: text of ours, to be shown as it is."""

    __slots__ = ()


def render(value: Any, limit: int = DEFAULT_LIMIT) -> str:
    """`value` on one line of at most `limit` characters and `...`.

    Nodes read as what they ask for: `posix.system` a name, `posix.system('id')` a call, `new a.B(1)` a NEWOBJ,
    `<storage '0' FloatStorage cpu 16>` torch's persistent id.
    """
    shown: list[str] = []
    room = limit
    pending: list[Any] = [value]
    open_ids: set[int] = set()
    while pending:
        part = pending.pop()
        kind = type(part)
        if kind is _Leave:
            open_ids.discard(part.identity)
            continue
        if kind is _Text:
            text = str(part)
        elif kind in _SPREAD:
            if id(part) in open_ids or len(open_ids) >= MAX_DEPTH:
                text = ELLIPSIS
            else:
                open_ids.add(id(part))
                pending.append(_Leave(id(part)))
                pending.extend(reversed(list(_SPREAD[kind](part))))
                continue
        else:
            text = _leaf(part, room)
        if len(text) > room:
            return "".join(shown) + text[:room] + ELLIPSIS
        shown.append(text)
        room -= len(text)
    return "".join(shown)


# ---- leaves --------------------------------------------------------------------------------------------------------------------------------


def _leaf(value: Any, room: int) -> str:
    """A value without parts, by its exact type: nothing in a graph is a subclass of these."""
    kind = type(value)
    if kind is str:
        return quoted(value, max(room, 1))
    if value is None or kind is bool or kind is float:
        return repr(value)
    if kind is int:
        return repr(value) if value.bit_length() <= MAX_INT_BITS else f"<int of {value.bit_length():,} bits>"
    if kind is bytes or kind is bytearray:
        return _bytes(value, max(room, 1))
    if kind is Global:
        return escape(f"{value.module}.{value.name}", max(room, 1))
    return f"<{escape(kind.__name__)}>"


def _bytes(value: bytes | bytearray, room: int) -> str:
    text = repr(bytes(value[:room])) + (f"{ELLIPSIS} <{len(value):,} bytes>" if len(value) > room else "")
    return f"bytearray({text})" if type(value) is bytearray else text


# ---- containers and nodes: the parts, in order ---------------------------------------------------------------------------------------------


def _joined(items: Any, size: int) -> Iterator[Any]:
    for position, item in enumerate(islice(items, MAX_ITEMS)):
        if position:
            yield _Text(", ")
        yield item
    if size > MAX_ITEMS:
        yield _Text(f", {ELLIPSIS} {size - MAX_ITEMS:,} more")


def _sequence(opening: str, closing: str, items: Any) -> Iterator[Any]:
    yield _Text(opening)
    yield from _joined(items, len(items))
    yield _Text(closing)


def _list(value: list[Any]) -> Iterator[Any]:
    return _sequence("[", "]", value)


def _tuple(value: tuple[Any, ...]) -> Iterator[Any]:
    return _sequence("(", ",)" if len(value) == 1 else ")", value)


def _set(value: set[Any] | frozenset[Any]) -> Iterator[Any]:
    opening, closing = ("frozenset({", "})") if type(value) is frozenset else ("{", "}")
    return _sequence(opening, closing, _steady(value)) if value else iter((_Text(f"{type(value).__name__}()"),))


def _steady(value: set[Any] | frozenset[Any]) -> Any:
    """A small set of strings or of numbers in a steady order: iteration order differs from run to run."""
    if len(value) <= MAX_ITEMS and len({type(item) for item in value}) == 1 and type(next(iter(value))) in (str, bytes, int):
        return sorted(value)
    return value


def _pairs(pairs: Iterator[tuple[Any, Any]], size: int) -> Iterator[Any]:
    for position, (key, item) in enumerate(islice(pairs, MAX_ITEMS)):
        if position:
            yield _Text(", ")
        yield key
        yield _Text(": ")
        yield item
    if size > MAX_ITEMS:
        yield _Text(f", {ELLIPSIS} {size - MAX_ITEMS:,} more")


def _dict(value: dict[Any, Any]) -> Iterator[Any]:
    yield _Text("{")
    yield from _pairs(iter(value.items()), len(value))
    yield _Text("}")


def _call(node: Call) -> Iterator[Any]:
    if node.kind in ("newobj", "newobj_ex"):
        yield _Text("new ")
    yield node.func
    yield _Text("(")
    yield from _joined(node.args, len(node.args))
    if node.kwargs:
        yield _Text(", **" if node.args else "**")
        yield node.kwargs
    yield _Text(")")


def _persistent(node: PersistentId) -> Iterator[Any]:
    """torch's storages by their fields, anything else as it stands."""
    pid = node.pid
    if type(pid) is tuple and len(pid) in STORAGE_PID_ITEMS and type(pid[0]) is str and pid[0] == "storage":
        storage_type = pid[1].name if type(pid[1]) is Global else pid[1]
        yield _Text("<storage ")
        yield pid[2]
        yield _Text(" ")
        yield _Text(escape(storage_type)) if type(storage_type) is str else storage_type
        yield _Text(" ")
        yield _Text(escape(pid[3])) if type(pid[3]) is str else pid[3]
        yield _Text(" ")
        yield pid[4]
        yield _Text(">")
    else:
        yield _Text("<persistent id ")
        yield pid
        yield _Text(">")


def _build(effect: Build) -> Iterator[Any]:
    yield effect.target
    yield _Text(" gets the state ")
    yield effect.state


def _items(effect: Items) -> Iterator[Any]:
    yield effect.target
    yield _Text(" gets the items ")
    yield effect.items


def _set_items(effect: SetItems) -> Iterator[Any]:
    yield effect.target
    yield _Text(" gets the items {")
    flat = effect.pairs
    yield from _pairs(((flat[i], flat[i + 1]) for i in range(0, len(flat), 2)), len(flat) // 2)
    yield _Text("}")


_SPREAD: dict[type, Any] = {
    list: _list,
    tuple: _tuple,
    dict: _dict,
    set: _set,
    frozenset: _set,
    Call: _call,
    PersistentId: _persistent,
    Build: _build,
    Items: _items,
    SetItems: _set_items,
}
