"""Equality of inert values, also where they are deep or cyclic: iterative, each pair visited once, each dict looked into once."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

import msgspec

from safeload.values import OpaqueObject, Storage

PLAIN = frozenset({str, bytes, int, float, bool, type(None)})


def same(left: Any, right: Any) -> bool:
    """Do two values that `load` returned hold the same? Arrays compare by dtype, shape and elements; cycles are equal where they are alike.

    Keys that are no plain data (opaque records hash by identity) are compared in the order in which they stand.
    """
    pending: list[tuple[Any, Any]] = [(left, right)]
    seen: set[tuple[int, int]] = set()
    while pending:
        one, other = pending.pop()
        if one is other or (id(one), id(other)) in seen:
            continue
        if type(one) is not type(other):
            return False
        seen.add((id(one), id(other)))
        inner = _inner(one, other)
        if inner is None:
            return False
        pending.extend(inner)
    return True


def _inner(one: Any, other: Any) -> list[tuple[Any, Any]] | None:
    """The pairs that must be the same for `one` and `other`, of one type, to be; None where they differ already."""
    if type(one) in PLAIN:
        return [] if one == other else None
    if isinstance(one, OpaqueObject):
        return list(zip(one._parts(), other._parts(), strict=True))
    if isinstance(one, (list, tuple, deque)):
        return list(zip(one, other, strict=True)) if len(one) == len(other) else None
    if isinstance(one, dict):
        return _dict_pairs(one, other)
    if isinstance(one, SimpleNamespace):
        return [(vars(one), vars(other))]
    if isinstance(one, msgspec.Struct):
        return list(zip(msgspec.structs.astuple(one), msgspec.structs.astuple(other), strict=True))
    if isinstance(one, Storage):
        return [((one.dtype, one.location, one.nbytes, one.array), (other.dtype, other.location, other.nbytes, other.array))]
    if hasattr(one, "__array__"):
        return [] if one.dtype == other.dtype and one.shape == other.shape and bool((one == other).all()) else None
    return [] if one == other else None


def _dict_pairs(one: dict[Any, Any], other: dict[Any, Any]) -> list[tuple[Any, Any]] | None:
    if len(one) != len(other):
        return None
    pairs = []
    if all(type(key) in PLAIN for key in one):
        for key, value in one.items():
            if key not in other:
                return None
            pairs.append((value, other[key]))
        return pairs
    for mine, its in zip(one.items(), other.items(), strict=True):
        pairs += [(mine[0], its[0]), (mine[1], its[1])]
    return pairs
