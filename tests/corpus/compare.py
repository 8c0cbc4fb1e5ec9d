"""One loaded value against the nodes of the manifest: every difference, with path, expected and got.

Aliasing and storage offsets are proved by addresses: what shares a storage must have one base address (address of the first element, less the offset), and what
does not must have another.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

import safeload
from safeload.lazy import Checkpoint, LazyTensor
from safeload.policy.aliases import canonical_name
from safeload.tensors import MetaTensor, NestedTensor, QuantizedTensor, SparseTensor, SubclassTensor
from safeload.values import Namespace, OpaqueObject, Storage

from .navigate import INERT, Missing, Walker
from .representations import class_name, expected_class, expected_key, expected_scalar, key, numpy_dtype, scalar

# Never an inert record, under any policy (a numpy array of Python objects excepted).
PLAIN = frozenset(
    {"builtins.dict", "builtins.list", "builtins.tuple", "builtins.set", "builtins.frozenset", "collections.OrderedDict", "collections.deque", "numpy.ndarray"}
)
SUB_BYTE = frozenset({"quint4x2", "quint2x4"})


class Difference(msgspec.Struct, frozen=True):
    """One thing that is not as it should be."""

    path: str
    what: str
    expected: Any
    got: Any

    def __str__(self) -> str:
        return f"{self.path} {self.what}: expected {str(self.expected)[:200]}, got {str(self.got)[:200]}"


class Comparison:
    """Nodes are compared one by one with what stands at their path. `opaque_ok`: inert records may stand where other libraries' objects were."""

    def __init__(self, value: Any, view: Checkpoint | None, *, opaque_ok: bool, keeps_padding: bool = True) -> None:
        self._keeps_padding = keeps_padding  # joblib copies field by field into memory that it did not clear
        self.differences: list[Difference] = []
        self.compared = self.opaque = 0
        self.unreached: list[str] = []
        self._values = Walker(value)
        self._lazy = Walker(view.tree()) if view is not None else None
        self._names = {id(view.get_slice(name).record): name for name in view.keys()} if view is not None else {}  # noqa: SIM118 - no mapping
        self._view = view
        self._opaque_ok = opaque_ok
        self._nodes: list[dict[str, Any]] = []
        self._bases: dict[Any, tuple[int, str]] = {}

    def run(self, nodes: list[dict[str, Any]]) -> None:
        """Compare all nodes."""
        self._nodes = nodes
        for node in nodes:
            try:
                value = self._values.at(node["path"])
            except Missing as error:
                if error.inert and self._opaque_ok and not any(isinstance(part, dict) and "state_dict" in part for part in node["path"]):
                    self.unreached.append(node["kind"])
                else:
                    self._differs(node, "value", node["kind"], error)
                continue
            self.compared += 1
            if isinstance(value, INERT) and self._opaque_ok and node["kind"] not in ("tensor", "storage", "uninitialized"):
                self.opaque += 1
                self._inert(node, value)
            else:
                _KINDS[node["kind"]](self, node, value)

    def _differs(self, node: dict[str, Any], what: str, expected: Any, got: Any) -> None:
        self.differences.append(Difference(str(node["path"]), f"{node['kind']} {what}", expected, got))

    def _same(self, node: dict[str, Any], what: str, expected: Any, got: Any) -> bool:
        if type(expected) is not type(got) or expected != got:
            self._differs(node, what, expected, got)
            return False
        return True

    # ---- plain values ---------------------------------------------------------------------------------------------------------------------

    def _inert(self, node: dict[str, Any], value: Any) -> None:
        """A record of the right class, or of the function that makes one."""
        if node["kind"] == "ref":
            self._ref(node, value)
        elif node["kind"] == "scalar" and node["type"] == "global":
            self._same(node, "value", _plain_name(node["value"]), _plain_name(value.full) if not isinstance(value, OpaqueObject) else None)
        elif isinstance(value, OpaqueObject) and node["kind"] == "module":
            self._module(node, value)
        elif isinstance(value, OpaqueObject) and node["kind"] in ("object", "tuple", "partial"):
            self._same(node, "class", _plain_name(node["cls"]), _plain_name(value.type_name))
            if node["kind"] == "tuple" and "fields" in node:
                self._same(node, "len", node["len"], len(value.args))
        elif node["kind"] == "scalar" and node["type"] == "enum" and isinstance(value, OpaqueObject):
            self._same(node, "class", node["cls"], value.type_name)
            self._same(node, "value", (expected_scalar(node["value"]),), tuple(scalar(arg) for arg in value.args))
        elif node["kind"] == "scalar" or (node.get("cls") in PLAIN and not node.get("object")):
            self._differs(node, "class", node.get("cls", node.get("type")), f"an inert record of {class_name(value)}")

    def _module(self, node: dict[str, Any], value: OpaqueObject) -> None:
        """Its class, mode, submodules, and the names of `state_dict()` in order; the tensors have nodes of their own."""
        self._same(node, "training", node["training"], value.attributes.get("training"))
        self._same(node, "submodules", [(name, _plain_name(cls)) for name, cls in node["submodules"]], list(_submodules(value)))
        here = len(node["path"])
        tensors = [other["path"][here]["state_dict"] for other in self._nodes if other["path"][:here] == node["path"] and _is_state_dict(other["path"][here:])]
        self._same(node, "state_dict", tensors, list(safeload.state_dict(value)) if tensors else [])

    def _scalar(self, node: dict[str, Any], value: Any) -> None:
        self._same(node, "value", expected_scalar(node), scalar(value))

    def _ref(self, node: dict[str, Any], value: Any) -> None:
        try:
            other = self._values.at(node["same_as"])
        except Missing as error:
            self._differs(node, "target", node["same_as"], error)
            return
        if value is not other:
            self._differs(node, "identity", f"the object at {node['same_as']}", f"another {type(value).__name__}")

    def _class(self, node: dict[str, Any], value: Any) -> bool:
        return self._same(node, "class", expected_class(node["cls"]), class_name(value))

    def _dict(self, node: dict[str, Any], value: Any) -> None:
        if not self._class(node, value):
            return
        self._same(node, "len", node["len"], len(value))
        got = [key(name) for name in value]
        if "keys" in node:
            self._same(node, "keys", [expected_key(name) for name in node["keys"]], got)
        else:
            self._same(node, "keys", sorted(map(str, (expected_key(name) for name in node["keys_unordered"]))), sorted(map(str, got)))
        if "default_factory" in node:
            self._same(node, "default_factory", expected_scalar(node["default_factory"]), scalar(value.default_factory))

    def _sequence(self, node: dict[str, Any], value: Any) -> None:
        if not self._class(node, value):
            return
        self._same(node, "len", node["len"], len(value))
        if "ints" in node:
            self._same(node, "ints", node["ints"], list(value))
        if isinstance(value, deque):
            self._same(node, "maxlen", node["maxlen"], value.maxlen)

    def _set(self, node: dict[str, Any], value: Any) -> None:
        if self._class(node, value):
            self._same(node, "items", sorted(str(expected_scalar(item)) for item in node["items"]), sorted(str(scalar(item)) for item in value))

    def _object(self, node: dict[str, Any], value: Any) -> None:
        if isinstance(value, Namespace):
            self._class(node, value)
        else:
            self._differs(node, "class", node["cls"], class_name(value))

    # ---- arrays of the pickle ---------------------------------------------------------------------------------------------------------------

    def _ndarray(self, node: dict[str, Any], value: Any) -> None:
        if not self._class(node, value):
            return
        dtype = value.dtype
        self._same(node, "dtype", node["dtype"], str(dtype.descr) if dtype.names else dtype.str)
        self._same(node, "shape", node["shape"], list(value.shape))
        for flag in ("c_contiguous", "f_contiguous"):
            self._same(node, flag, node[flag], bool(value.flags[flag.upper()]))
        if not node.get("object"):
            if not _is_padded(dtype):  # what numpy leaves between the fields when it converts them is nobody's value
                self._same(node, "sha256", node["sha256"], digest(value))
            if self._keeps_padding or not _is_padded(dtype):
                self._same(node, "sha256_file_endian", node["sha256_file_endian"], hashlib.sha256(value.tobytes()).hexdigest())

    def _npscalar(self, node: dict[str, Any], value: Any) -> None:
        if not isinstance(value, np.generic):
            self._differs(node, "class", node["cls"], class_name(value))
            return
        self._same(node, "class", node["cls"].replace("numpy.bool_", "numpy.bool"), class_name(value))
        self._same(node, "dtype", node["dtype"], value.dtype.str)
        self._same(node, "hex", node["hex"], little(np.asarray(value)).tobytes().hex())

    # ---- tensors ----------------------------------------------------------------------------------------------------------------------------

    def _tensor(self, node: dict[str, Any], value: Any) -> None:
        if isinstance(value, SubclassTensor):
            self._same(node, "class", node["cls"], value.type)
            value = value.data
        else:
            self._same(node, "class", "torch.Tensor", expected_class(node["cls"]))
        if isinstance(value, SparseTensor):
            self._sparse(node, value)
        elif isinstance(value, NestedTensor):
            self._same(node, "nested", node.get("nested"), True)
        elif isinstance(value, MetaTensor):
            self._meta(node, value)
        elif isinstance(value, QuantizedTensor):
            self._quantized(node, value)
        elif isinstance(value, np.ndarray):
            self._same(node, "layout", node["layout"], "torch.strided")
            self._same(node, "qscheme", node.get("qscheme"), None)
            self._dense(node, value)
        else:
            self._differs(node, "class", node["cls"], class_name(value))

    def _dense(self, node: dict[str, Any], array: Any) -> None:
        self._same(node, "dtype", str(numpy_dtype(node["dtype"])), str(array.dtype))
        self._same(node, "shape", node["shape"], list(array.shape))
        self._same(node, "sha256", node["sha256"], digest(array))
        copied = node.get("is_conj") or node.get("is_neg") or node["dtype"] in SUB_BYTE  # these are copies, and say so
        if array.size and not copied:
            self._same(node, "stride", node["stride"], [step // array.itemsize for step in array.strides])
            self._alias(node, array, node["storage_offset"])
        if "item" in node and "qscheme" not in node:
            self._item(node, array)
        self._view_of(node, array)

    def _item(self, node: dict[str, Any], array: Any) -> None:
        convert = {"float": float, "int": int, "bool": bool, "complex": complex}[node["item"]["type"]]
        self._same(node, "item", expected_scalar(node["item"]), scalar(convert(array.reshape(-1)[0])))

    def _alias(self, node: dict[str, Any], array: Any, offset: int) -> None:
        """One base address for each alias group, and one group for each base address."""
        group = node["alias"]
        if group is None or not array.size:
            return
        base = int(array.__array_interface__["data"][0]) - offset * array.itemsize
        path = str(node["path"])
        known, first = self._bases.setdefault(("group", group), (base, path))
        if known != base:
            self._differs(node, "alias", f"the storage of {first}, {known:#x}", f"{base:#x}")
        owner, holder = self._bases.setdefault(("base", base), (group, path))
        if owner != group:
            self._differs(node, "alias", f"a storage of its own (group {group})", f"that of {holder} (group {owner})")

    def _view_of(self, node: dict[str, Any], array: Any) -> None:
        """What the lazy view says: device, requires_grad, extents, and the same array once more."""
        if self._lazy is None or self._view is None:
            return
        lazy = self._lazy.at(node["path"])
        lazy = lazy.data if isinstance(lazy, SubclassTensor) else lazy
        lazy = lazy.int_repr if isinstance(lazy, QuantizedTensor) else lazy
        if not isinstance(lazy, LazyTensor):
            if "part" not in str(node["path"][-1:]):  # a quantizer's own numbers are no tensors of the file
                self._differs(node, "lazy view", "LazyTensor", type(lazy).__name__)
            return
        record = lazy.record
        self._same(node, "info.dtype", node["dtype"], record.dtype.name)
        self._same(node, "info.shape", node["shape"], list(record.shape))
        self._same(node, "info.strides", node["stride"], list(record.strides))
        self._same(node, "info.storage_offset", node["storage_offset"], record.offset)
        name = self._names.get(id(record))
        if name is None:
            return  # a tensor that an earlier path named already, or inside a record
        info = self._view.info(name)
        self._same(node, "info.location", node["saved_device"], info.location)
        if not _is_state_dict(node["path"][-1:]):  # `state_dict()` detaches
            self._same(node, "info.requires_grad", node["requires_grad"], info.requires_grad)
        self._same(node, "info.storage_nbytes", node["storage_nbytes"], info.storage_nbytes)
        self._same(node, "get_tensor", node["sha256"], digest(self._view.get_tensor(name)))

    def _quantized(self, node: dict[str, Any], value: QuantizedTensor) -> None:
        self._same(node, "dtype", node["dtype"], value.dtype)
        self._same(node, "qscheme", node.get("qscheme"), f"torch.{value.scheme.removeprefix('torch.')}")
        self._dense(node, value.int_repr)
        if "q_axis" in node:
            self._same(node, "q_axis", node["q_axis"], value.axis)
        else:
            self._same(node, "q_scale", node["q_scale"], float(value.scale).hex())
            self._same(node, "q_zero_point", node["q_zero_point"], int(value.zero_point))
        self._same(node, "sha256_dequantized", node["sha256_dequantized"], digest(value.dequantize()))

    def _sparse(self, node: dict[str, Any], value: SparseTensor) -> None:
        self._same(node, "layout", node["layout"], f"torch.{value.layout}")
        self._same(node, "dtype", str(numpy_dtype(node["dtype"])), str(value.dtype))
        self._same(node, "shape", node["shape"], list(value.shape))
        if value.is_coalesced is not None:
            self._same(node, "is_coalesced", node["is_coalesced"], value.is_coalesced)
        self._same(node, "sha256_dense", node["sha256_dense"], digest(value.dense()))

    def _meta(self, node: dict[str, Any], value: MetaTensor) -> None:
        self._same(node, "device", node.get("device"), value.device)
        self._same(node, "dtype", node["dtype"], value.dtype)
        self._same(node, "shape", node["shape"], list(value.shape) if value.shape is not None else None)
        self._same(node, "stride", node["stride"], list(value.strides) if value.strides is not None else None)
        self._same(node, "requires_grad", node["requires_grad"], value.requires_grad)

    def _uninitialized(self, node: dict[str, Any], value: Any) -> None:
        if not isinstance(value, MetaTensor):
            self._differs(node, "class", "MetaTensor without a shape", class_name(value))
            return
        # The file does not hold the dtype (`UninitializedParameter.__reduce_ex__` writes requires_grad alone); torch puts its default there.
        self._same(node, "dtype, shape, requires_grad", (None, None, node["requires_grad"]), (value.dtype, value.shape, value.requires_grad))

    def _component(self, node: dict[str, Any], value: Any) -> None:
        self._same(node, "dtype", str(numpy_dtype(node["dtype"])), str(value.dtype))
        self._same(node, "shape", node["shape"], list(value.shape))
        self._same(node, "sha256", node["sha256"], digest(value))

    def _storage(self, node: dict[str, Any], value: Any) -> None:
        if not isinstance(value, Storage):
            self._differs(node, "class", "Storage", class_name(value))
            return
        got_fields = {"dtype": value.dtype, "size": len(value), "nbytes": value.nbytes, "saved_device": value.location, "sha256": digest(value.array)}
        for what, got in got_fields.items():
            self._same(node, what, node[what], got)
        self._alias(node, value.array, 0)

    def _other(self, node: dict[str, Any], value: Any) -> None:
        self._differs(node, "class", node.get("cls"), class_name(value))


_KINDS: dict[str, Any] = {
    "scalar": Comparison._scalar,
    "ref": Comparison._ref,
    "dict": Comparison._dict,
    "list": Comparison._sequence,
    "tuple": Comparison._sequence,
    "deque": Comparison._sequence,
    "set": Comparison._set,
    "object": Comparison._object,
    "ndarray": Comparison._ndarray,
    "npscalar": Comparison._npscalar,
    "tensor": Comparison._tensor,
    "uninitialized": Comparison._uninitialized,
    "nested_component": Comparison._component,
    "storage": Comparison._storage,
    "module": Comparison._other,
    "partial": Comparison._other,
    "numpy_random": Comparison._other,
    "opaque": Comparison._other,
}


def _is_state_dict(rest: list[Any]) -> bool:
    return len(rest) == 1 and isinstance(rest[0], dict) and "state_dict" in rest[0]


def _submodules(root: OpaqueObject) -> Iterator[tuple[str, tuple[str, str]]]:
    """As `named_modules()`: depth first, each module once."""
    seen: set[int] = set()
    stack: list[tuple[str, Any]] = [("", root)]
    while stack:
        prefix, module = stack.pop()
        if id(module) in seen or not isinstance(module, OpaqueObject):
            continue
        seen.add(id(module))
        yield prefix, _plain_name(module.type_name)
        children = module.attributes.get("_modules", {})
        pairs = list(children.items()) if isinstance(children, dict) else list(children.pairs or ())
        stack.extend((f"{prefix}.{name}" if prefix else name, child) for name, child in reversed(pairs))


def _plain_name(full: str) -> tuple[str, str]:
    """Package and last part: a class may have moved between the library that wrote the file and the one that read it for the manifest."""
    package, name = canonical_name(full).partition(".")[0], full.rpartition(".")[2]
    return ("torch" if package == "None" else package), name  # functions of torch had no __module__ before 1.12


def _is_padded(dtype: np.dtype[Any]) -> bool:
    return dtype.names is not None and dtype.itemsize > sum(dtype[name].itemsize for name in dtype.names)


def little(array: Any) -> Any:
    """The same values in little-endian order."""
    return array.astype(array.dtype.newbyteorder("<")) if array.dtype.byteorder == ">" or array.dtype.names else array


def digest(array: Any) -> str:
    """sha256 of the C-contiguous little-endian bytes."""
    return hashlib.sha256(little(array).tobytes(order="C")).hexdigest()
