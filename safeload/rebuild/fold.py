"""Records of configuration classes become the plain containers that they hold, once the log has been replayed.

omegaconf, ml_collections, addict, yacs and box wrap dicts, lists and values in classes of their own. Their faithful reading is the dict, the list or the
value: what their own `to_container(resolve=False)`, `to_dict()` and the like give. Parents, flags and types are left out, and a text such as `${lr}` stays
the text that it is. A record that was never given its state stays a record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from safeload.policy.contracts import FOLDED_KEYS
from safeload.rebuild.resolve import HashGuard, Resolver
from safeload.values import OpaqueObject

FOLDED = frozenset({"config-dict", "config-list", "config-value"})


def fold(root: Any, records: Iterable[tuple[str, OpaqueObject]], value_of: Callable[[Any], Any], guard: HashGuard) -> Any:
    """`root` with each of the records (constructor, record) replaced by what it holds. Shared and cyclic ones stay shared and cyclic.

    The records must be resolved already. One pass: what a record holds is never itself such a record (`policy.contracts.config_state`), so each is one
    step away from its value.
    """
    replaced: dict[int, Any] = {}
    for constructor, record in records:
        made = HELD[constructor](record, guard)
        if made is not record:
            replaced[id(record)] = made
    resolver = Resolver(value_of, guard, replaced)
    result = resolver.one(root)
    for made in replaced.values():
        resolver.one(made)  # its own contents may hold further records
    resolver.drain()
    return result


def _items(record: OpaqueObject, guard: HashGuard) -> Any:
    """The items of a dict subclass; what it was made from where it was given none."""
    made: dict[Any, Any] = {}
    given = record.args[0].items() if len(record.args) == 1 and type(record.args[0]) is dict else record.args
    for key, value in [*given, *(record.pairs or ())]:
        made[guard.key(key, made, None)] = value
    return made


def _list(record: OpaqueObject, guard: HashGuard) -> Any:
    """The items that were appended, or those of the state. With both, their order is not known here, and a record stays a record."""
    stated = record.state.get("items", ()) if type(record.state) is dict else ()
    return record if record.items and stated else list(record.items or stated)


def _value(record: OpaqueObject, guard: HashGuard) -> Any:
    state = record.state
    return next((state[key] for key in FOLDED_KEYS if key in state), record) if type(state) is dict else record


HELD: dict[str, Callable[[OpaqueObject, HashGuard], Any]] = {"config-dict": _items, "config-list": _list, "config-value": _value}
