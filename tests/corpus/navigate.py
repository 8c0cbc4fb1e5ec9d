"""The manifest's paths, walked on a loaded value (or on a lazy tree: the containers are the same)."""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from typing import Any

import numpy as np

import safeload
from safeload.tensors import NestedTensor, QuantizedTensor, SparseTensor, SubclassTensor
from safeload.values import Namespace, OpaqueAttribute, OpaqueGlobal, OpaqueObject

from .representations import expected_key, key

COMPRESSED = ("crow_indices", "ccol_indices")
# Attributes that a class sets anew when it is unpickled: what the file says about them is something else.
SET_BY_LIBRARY = frozenset({("lightgbm.basic.Booster", "handle"), ("lightgbm.basic.Booster", "_handle")})
LEGACY_STATE = frozenset({"numpy.random._pickle.__randomstate_ctor"})  # the manifest shows get_state(), a tuple made from the dict of the file
INERT = (OpaqueObject, OpaqueGlobal, OpaqueAttribute)


class Missing(Exception):
    """A path leads nowhere: `inert` where it leads into a record that another library's code would have to read."""

    def __init__(self, message: str, *, inert: bool) -> None:
        super().__init__(message)
        self.inert = inert


class Walker:
    """Paths on one value; each prefix is walked once."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self._known: dict[str, Any] = {}
        self._keys: dict[int, dict[str, Any]] = {}
        self._state_dicts: dict[int, Any] = {}

    def at(self, path: list[Any]) -> Any:
        """The value at `path`. Raises `Missing`."""
        if not path:
            return self.root
        name = json.dumps(path)
        if name not in self._known:
            self._known[name] = self._step(self.at(path[:-1]), path[-1])
        return self._known[name]

    def _step(self, value: Any, part: Any) -> Any:
        try:
            if isinstance(part, dict):
                for kind, way in _WAYS.items():
                    if kind in part:
                        return way(self, value, part[kind])
            return self._item(value, part)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise Missing(f"{part!r} leads nowhere from a {type(value).__name__}: {error}", inert=_is_inert(value)) from error

    def _item(self, value: Any, part: Any) -> Any:
        if isinstance(value, dict):
            return self._key(value, part)
        if isinstance(value, OpaqueObject):
            if value.pairs is not None:
                return self._key(dict(value.pairs), part)
            items = value.items if value.items is not None else value.args[0] if len(value.args) == 2 and isinstance(value.args[0], tuple) else value.args
            return items[part]
        if isinstance(value, (list, tuple, deque)):
            return value[part]
        raise TypeError("it has no items")

    def _key(self, value: dict[Any, Any], part: Any) -> Any:
        if id(value) not in self._keys:
            self._keys[id(value)] = {json.dumps(key(name)): item for name, item in value.items()}
            self._known[f"keep {id(value)}"] = value  # its id stays its own
        return self._keys[id(value)][json.dumps(expected_key(part))]

    def _attribute(self, value: Any, name: str) -> Any:
        if isinstance(value, (Namespace, OrderedDict)):
            return vars(value)[name]
        if isinstance(value, OpaqueObject) and (value.type_name, name) in SET_BY_LIBRARY:
            raise KeyError("its class makes this one itself")
        if isinstance(value, (OpaqueObject, SubclassTensor)):
            return value.attributes[name]
        raise TypeError("it has no attributes")

    def _state_dict(self, value: Any, name: str) -> Any:
        if id(value) not in self._state_dicts:
            self._state_dicts[id(value)] = safeload.state_dict(value)
        return self._state_dicts[id(value)][name]

    def _part(self, value: Any, name: str) -> Any:
        if isinstance(value, SparseTensor):
            if name in COMPRESSED:
                return value.compressed
            return {"col_indices": value.plain, "row_indices": value.plain, "indices": value.indices, "values": value.values}[name]
        if isinstance(value, QuantizedTensor):
            return {"q_scales": value.scale, "q_zero_points": value.zero_point}[name]
        raise TypeError("it has no such part")

    def _component(self, value: Any, index: int) -> Any:
        if isinstance(value, NestedTensor):
            return value.components[index]
        raise TypeError("it has no components")

    def _flat(self, value: Any, index: int) -> Any:
        return value.reshape(-1)[index]

    def _state(self, value: Any, _: bool) -> Any:
        if isinstance(value, OpaqueObject) and value.state is not None and not (value.type_name in LEGACY_STATE and isinstance(value.state, dict)):
            return value.state
        raise TypeError("it has no state")


_WAYS: dict[str, Any] = {
    "attr": Walker._attribute,
    "state_dict": Walker._state_dict,
    "part": Walker._part,
    "component": Walker._component,
    "flat": Walker._flat,
    "state": Walker._state,
}


def _is_inert(value: Any) -> bool:
    if isinstance(value, SubclassTensor):
        return isinstance(value.state, INERT)
    return isinstance(value, INERT) or (isinstance(value, np.ndarray) and value.dtype == object)
