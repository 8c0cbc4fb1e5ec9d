"""Equality of inert values, also where they are deep or cyclic: iterative, each pair visited once."""

from __future__ import annotations

from typing import Any

from safeload.values import OpaqueObject


def same(left: Any, right: Any) -> bool:
    """Do two values that `load` returned hold the same? Arrays compare by dtype, shape and elements; cycles are equal where they are alike."""
    pending: list[tuple[Any, Any]] = [(left, right)]
    seen: set[tuple[int, int]] = set()
    while pending:
        one, other = pending.pop()
        if one is other or (id(one), id(other)) in seen:
            continue
        if type(one) is not type(other):
            return False
        seen.add((id(one), id(other)))
        if isinstance(one, OpaqueObject):
            pending.extend(zip(one._parts(), other._parts(), strict=True))
        elif isinstance(one, (list, tuple)):
            if len(one) != len(other):
                return False
            pending.extend(zip(one, other, strict=True))
        elif isinstance(one, dict):
            if len(one) != len(other):
                return False
            for key, value in one.items():
                if key not in other:
                    return False
                pending.append((value, other[key]))
        elif hasattr(one, "__array__"):
            if one.dtype != other.dtype or one.shape != other.shape or not bool((one == other).all()):
                return False
        elif one != other:
            return False
    return True
