"""Which values may become dict keys and set items, decided before anything hashes them.

`hash()` of a deep tuple recurses in C until the stack is gone (torch.load(weights_only=True) dies of 500,000 TUPLE1s used as a key), of a
tuple that shares its parts it visits every path (2^n steps), and building a dict of n keys with one hash takes n^2 steps. So: plain
scalars and nodes pass, tuples and frozensets are measured iteratively first, and keys with equal hashes are counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from safeload.budget import exceeded
from safeload.errors import StreamError
from safeload.limits import Limits
from safeload.machine.nodes import Call, Global, PersistentId

# Their hashes are random per process (str, bytes: SipHash) or by identity (nodes), so a file cannot aim them.
UNAIMABLE: frozenset[type] = frozenset({str, bytes, Global, Call, PersistentId, bool, type(None)})
HASH_MODULUS = (1 << 61) - 1  # sys.hash_info.modulus on 64-bit builds: smaller ints are their own hash, so distinct ones differ
KeyCounts = dict[int, dict[int, int]]  # id(container) -> hash -> number of keys


def check_keys(keys: Iterable[Any], container: object, counts: KeyCounts, limits: Limits, member: str | None, offset: int) -> None:
    """Raise `StreamError` SL205 or `LimitExceeded` unless each key can be hashed in a bounded number of steps."""
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
            seen = counts.setdefault(id(container), {})
        value = hash(key)
        seen[value] = count = seen.get(value, 0) + 1
        if count > limits.equal_hash_keys:
            raise exceeded("equal_hash_keys", limits.equal_hash_keys, "a container holds more keys with one hash", member, offset)


def _check_size(key: tuple[Any, ...] | frozenset[Any], limits: Limits, member: str | None, offset: int) -> None:
    """Count the elements that hashing `key` visits, without recursion, up to `Limits.key_size`."""
    pending: list[Any] = [key]
    count = 0
    while pending:
        value = pending.pop()
        kind = type(value)
        if kind is tuple:
            count += len(value) + 1
            if count > limits.key_size:
                raise exceeded("key_size", limits.key_size, "a dict key or set item has more elements", member, offset)
            pending.extend(value)
        elif kind not in UNAIMABLE and kind is not int and kind is not float and kind is not frozenset:
            # A frozenset caches the hashes of its items (and its own after the first time), and its items passed this check when it was made.
            raise StreamError(f"a tuple that holds a {kind.__name__} is used as a dict key or set item", rule="SL205", member=member, offset=offset)
