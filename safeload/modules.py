"""The weights of a pickled `nn.Module`: an opaque record of one becomes the state dict that `module.state_dict()` would give.

Walks `_parameters`, `_buffers` and `_modules` of the recorded state, as `torch.nn.Module.state_dict` does; the classes are not needed and not looked up.
Refuses objects that hold no module.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from safeload.tensors import MetaTensor, NestedTensor, QuantizedTensor, SparseTensor, SubclassTensor
from safeload.values import OpaqueObject

MAX_MODULE_DEPTH = 1_000  # nested modules on one path; a cycle of modules is longer than any real one
MAX_MODULES = 100_000  # visits; modules that share their children double the names at each level
OWN = frozenset({"_parameters", "_modules"})  # what every nn.Module has among its attributes
SCRIPT_CLASSES = "__torch__."
CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "model", "ema", "net", "module")  # where training scripts put the weights, in this order
TENSOR_TYPES = (SparseTensor, QuantizedTensor, NestedTensor, MetaTensor, SubclassTensor)


def state_dict(obj: Any) -> OrderedDict[str, Any]:
    """Name to tensor, in torch's order: own parameters, own buffers, then each child.

    `obj` is what `load(..., policy="inspect")` returned: a module record, a state dict (returned as it is), or a checkpoint dict that holds one of them under
    `state_dict`, `model_state_dict`, `model`, `ema`, `net` or `module`. A parameter that is shared by two modules appears under both names, as in torch.
    Buffers registered with `persistent=False` are left out. Of a TorchScript module every tensor attribute is in it: which of them are parameters
    and buffers stands in the code alone. Raises `TypeError` where nothing of that kind is found.
    """
    found = _find(obj)
    if found is None:
        raise TypeError(f"no nn.Module and no state dict in this {_name(obj)}; state_dict() takes a module record, or a checkpoint dict that holds one")
    if isinstance(found, dict):
        return OrderedDict((str(key), value) for key, value in found.items())
    return _module(found)


def is_module(obj: Any) -> bool:
    """Does a record look like an `nn.Module`? By its state, not by its name; but TorchScript's have none of a module's own attributes."""
    return isinstance(obj, OpaqueObject) and (_body(obj).keys() >= OWN or _is_script(obj))


def _body(obj: OpaqueObject) -> dict[Any, Any]:
    """The attributes of a module; of a torch.fx GraphModule those that its maker was given (torch/fx/graph_module.py, `reduce_graph_module`)."""
    found = obj.attributes
    if not found and obj.args and isinstance(obj.args[0], dict) and obj.args[0].keys() >= OWN:
        return obj.args[0]
    return found


def _is_script(obj: Any) -> bool:
    """A module of a TorchScript archive: its tensors and submodules are plain attributes."""
    return isinstance(obj, OpaqueObject) and obj.type_name.startswith(SCRIPT_CLASSES) and isinstance(obj.state, dict)


def _find(obj: Any) -> Any:
    if is_module(obj):
        return obj
    if isinstance(obj, dict):
        for key in CHECKPOINT_KEYS:
            inner = obj.get(key)
            if is_module(inner):
                return inner
            if isinstance(inner, dict) and _is_state_dict(inner):
                return inner
        if _is_state_dict(obj):
            return obj
        modules = [value for value in obj.values() if is_module(value)]
        if len(modules) == 1:
            return modules[0]
    return None


def _is_state_dict(obj: dict[Any, Any]) -> bool:
    return bool(obj) and all(isinstance(key, str) for key in obj) and any(_is_tensor(value) for value in obj.values())


def _is_tensor(value: Any) -> bool:
    return isinstance(value, TENSOR_TYPES) or (hasattr(value, "dtype") and hasattr(value, "shape"))


def _module(root: OpaqueObject) -> OrderedDict[str, Any]:
    out: OrderedDict[str, Any] = OrderedDict()
    stack: list[tuple[str, OpaqueObject, int]] = [("", root, 0)]
    visited = 0
    while stack:
        prefix, module, depth = stack.pop()
        visited += 1
        if visited > MAX_MODULES:
            raise TypeError(f"more than {MAX_MODULES:,} modules, counted once for each name that they have")
        if depth > MAX_MODULE_DEPTH:
            raise TypeError("the modules contain each other")
        attributes = _body(module)
        if _is_script(module):
            out.update((f"{prefix}{name}", value) for name, value in attributes.items() if _is_tensor(value))
            stack.extend((f"{prefix}{name}.", child, depth + 1) for name, child in reversed(attributes.items()) if _is_script(child))
            continue
        transient = attributes.get("_non_persistent_buffers_set")
        hidden = transient if isinstance(transient, (set, frozenset, list)) else ()
        for name, value in _mapping(attributes.get("_parameters")).items():
            if value is not None:
                out[f"{prefix}{name}"] = value
        for name, value in _mapping(attributes.get("_buffers")).items():
            if value is not None and name not in hidden:
                out[f"{prefix}{name}"] = value
        children = [(f"{prefix}{name}.", child, depth + 1) for name, child in _mapping(attributes.get("_modules")).items() if isinstance(child, OpaqueObject)]
        stack.extend(reversed(children))
    return out


def _mapping(value: Any) -> dict[Any, Any]:
    """What stands for a dict: a dict, or the record of a dict subclass with the pairs that it was given."""
    if isinstance(value, dict):
        return value
    return dict(value.pairs) if isinstance(value, OpaqueObject) and value.pairs else {}


def _name(obj: Any) -> str:
    return f"record of {obj.type_name}" if isinstance(obj, OpaqueObject) else type(obj).__name__
