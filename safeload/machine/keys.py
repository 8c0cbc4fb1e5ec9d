"""Which values may become dict keys and set items, decided before anything hashes them.

`hash()` of a deep tuple recurses in C until the stack is gone (torch.load(weights_only=True) dies of 500,000 TUPLE1s used as a key), of a
tuple that shares its parts it visits every path (2^n steps), and building a dict of n keys with one hash takes n^2 steps. So: plain
scalars and nodes pass, tuples and frozensets are measured iteratively first, and keys with equal hashes are counted.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from safeload.budget import exceeded
from safeload.errors import StreamError
from safeload.limits import Limits
from safeload.machine.nodes import Call, Global, PersistentId

# Their hashes are random per process (str, bytes: SipHash) or by identity (nodes), so a file cannot aim them.
UNAIMABLE: frozenset[type] = frozenset({str, bytes, Global, Call, PersistentId, bool, type(None)})
HASH_MODULUS = (1 << 61) - 1  # sys.hash_info.modulus on 64-bit builds: smaller ints are their own hash, so distinct ones differ
KeyCounts = dict[int, tuple[object, dict[int, int]]]  # id(container) -> the container, so that the id stays its own, and hash -> number of keys


def check_keys(keys: Collection[Any], container: object, counts: KeyCounts, limits: Limits, member: str | None, offset: int) -> None:
    """Raise `StreamError` SL205 or `LimitExceeded` unless each key can be hashed, and compared with its equals, in a bounded number of steps.

    `container` None: the keys are all that it will ever hold (frozenset), so nothing is remembered.
    """
    if UNAIMABLE.issuperset(map(type, keys)):
        return
    seen: dict[int, int] | None = None
    for key in keys:
        kind = type(key)
        if kind in UNAIMABLE or (kind is int and -HASH_MODULUS < key < HASH_MODULUS):
            continue
        if kind is tuple or kind is frozenset:
            _check_size(key, limits, member, offset)
        elif kind is not int and kind is not float:
            raise StreamError(f"a {kind.__name__} is used as a dict key or set item, and it has no hash", rule="SL205", member=member, offset=offset)
        if seen is None:
            seen = {} if container is None else counts.setdefault(id(container), (container, {}))[1]
        value = hash(key)
        seen[value] = count = seen.get(value, 0) + 1
        if count > limits.equal_hash_keys:
            raise exceeded("equal_hash_keys", limits.equal_hash_keys, "a container holds more keys with one hash", member, offset)


def _check_size(key: tuple[Any, ...] | frozenset[Any], limits: Limits, member: str | None, offset: int) -> None:
    """Count the elements that hashing `key`, or comparing it with an equal one, visits: every path, without recursion, up to `Limits.key_size`."""
    pending: list[tuple[Any, int]] = [(key, 1)]
    count = 0
    while pending:
        value, depth = pending.pop()
        kind = type(value)
        if kind is tuple or kind is frozenset:
            count += len(value) + 1
            if count > limits.key_size:
                raise exceeded("key_size", limits.key_size, "a dict key or set item has more elements", member, offset)
            if depth > limits.key_depth:
                raise exceeded("key_depth", limits.key_depth, "a dict key or set item nests deeper", member, offset)
            pending.extend((item, depth + 1) for item in value)
        elif kind not in UNAIMABLE and kind is not int and kind is not float:
            raise StreamError(f"a tuple that holds a {kind.__name__} is used as a dict key or set item", rule="SL205", member=member, offset=offset)
