"""Records by key, of which many are made only when something asks for them.

A stage that has judged a run of like records as a whole can say of any of them what it is; that twenty thousand of them are asked for is rare, since the
stages behind go by the run as well. To everyone else this is a dict. A group's keys are all new when it is added, and what `make` returns is equal each time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, ItemsView, Iterator, KeysView, ValuesView
from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

GROUPS = 32  # groups of one mapping: each costs a look-up of every key that is asked for. More are made at once
FEW = 32  # records: not worth a group


class Late(dict[K, V], Generic[K, V]):
    """A dict with `groups` of (keys, what makes the record of one)."""

    __slots__ = ("groups",)

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[tuple[Collection[K], Callable[[K], V]]] = []

    def add(self, keys: Collection[K], make: Callable[[K], V]) -> None:
        """A record for each of `keys`, when it is asked for; `in` has to be quick, as it is for ranges and sets. Few, or one group too many, are made now."""
        if len(keys) < FEW or len(self.groups) >= GROUPS:
            for key in keys:
                dict.__setitem__(self, key, make(key))
        else:
            self.groups.append((keys, make))

    def __missing__(self, key: K) -> V:
        for keys, make in self.groups:
            if key in keys:
                made = make(key)
                dict.__setitem__(self, key, made)
                return made
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return dict.__contains__(self, key) or any(key in keys for keys, _ in self.groups)

    def get(self, key: Any, default: Any = None) -> Any:
        """As of any dict."""
        try:
            return self[key]
        except KeyError:
            return default

    def is_disjoint(self, keys: Collection[K]) -> bool:
        """Is there a record for none of `keys`?"""
        return dict.keys(self).isdisjoint(keys) and (not self.groups or all(set(keys).isdisjoint(group) for group, _ in self.groups))

    def whole(self, without: Collection[Any] = ()) -> dict[K, V]:
        """All records, but for groups of which `without` has every key."""
        keys_without = set(without) if self.groups else set()
        for keys, make in self.groups if not keys_without else [group for group in self.groups if not keys_without.issuperset(group[0])]:
            for key in keys:
                if not dict.__contains__(self, key):
                    dict.__setitem__(self, key, make(key))
        return dict(dict.items(self))

    def _settle(self) -> None:
        if self.groups:
            self.whole()
            self.groups.clear()

    def __iter__(self) -> Iterator[K]:
        self._settle()
        return dict.__iter__(self)

    def __len__(self) -> int:
        self._settle()
        return dict.__len__(self)

    def __bool__(self) -> bool:
        return bool(self.groups) or dict.__len__(self) > 0

    def __eq__(self, other: object) -> bool:
        self._settle()
        return dict.__eq__(self, other)

    __hash__ = None

    def keys(self) -> KeysView[K]:  # type: ignore[override]
        """As of any dict."""
        self._settle()
        return dict.keys(self)

    def values(self) -> ValuesView[V]:  # type: ignore[override]
        """As of any dict."""
        self._settle()
        return dict.values(self)

    def items(self) -> ItemsView[K, V]:  # type: ignore[override]
        """As of any dict."""
        self._settle()
        return dict.items(self)
