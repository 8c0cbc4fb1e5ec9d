"""What torch.load returned against what safeload.load returned: value by value, object by object, storage by storage."""

from __future__ import annotations

from argparse import Namespace as ArgparseNamespace
from typing import Any

import ml_dtypes
import numpy as np
import torch

from safeload.lazy import LazyTensor
from safeload.tensors import MetaTensor, QuantizedTensor, SparseTensor, SubclassTensor
from safeload.values import Device, Namespace, Storage, TorchName

COMPRESSED = {
    torch.sparse_csr: (torch.Tensor.crow_indices, torch.Tensor.col_indices),
    torch.sparse_bsr: (torch.Tensor.crow_indices, torch.Tensor.col_indices),
    torch.sparse_csc: (torch.Tensor.ccol_indices, torch.Tensor.row_indices),
    torch.sparse_bsc: (torch.Tensor.ccol_indices, torch.Tensor.row_indices),
}
HALF_COMPLEX = np.dtype([("real", np.float16), ("imag", np.float16)])


class Pairs:
    """A walk over three trees at once: torch's value, ours, and our lazy one."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.tensors = self.values = 0
        self._ours: dict[int, int] = {}
        self._theirs: dict[int, int] = {}
        self._bases: dict[int, int] = {}
        self._owners: dict[int, int] = {}
        self._kept: list[Any] = []

    def compare(self, theirs: Any, ours: Any, lazy: Any) -> None:
        """Fill `wrong`."""
        stack = [("$", theirs, ours, lazy)]
        while stack:
            path, one, two, three = stack.pop()
            self.values += 1
            if isinstance(one, torch.storage.TypedStorage):
                self._alone(path, one, two)
            elif isinstance(one, torch.Tensor):
                self._identity(path, one, two)
                stack.extend(self._tensor(path, one, two, three))
            elif isinstance(one, (dict, list, tuple, ArgparseNamespace)):
                if not self._identity(path, one, two):
                    stack.extend(self._children(path, one, two, three))
            else:
                self._scalar(path, one, two)

    def _note(self, path: str, what: str, expected: Any, got: Any) -> None:
        self.wrong.append(f"{path} {what}: torch {str(expected)[:160]}, safeload {str(got)[:160]}")

    def _same(self, path: str, what: str, expected: Any, got: Any) -> bool:
        if expected != got:
            self._note(path, what, expected, got)
        return bool(expected == got)

    def _identity(self, path: str, one: Any, two: Any) -> bool:
        """One object here for one object there. True where both were compared before."""
        if isinstance(one, tuple) and not one:
            return False  # one empty tuple for all in CPython
        self._kept += [one, two]
        first = id(one) not in self._theirs
        if self._theirs.setdefault(id(one), id(two)) != id(two):
            self._note(path, "identity", "the same object as before", "another one")
        if self._ours.setdefault(id(two), id(one)) != id(one):
            self._note(path, "identity", "an object of its own", "one that stands elsewhere, too")
        return not first

    def _children(self, path: str, one: Any, two: Any, three: Any) -> list[tuple[str, Any, Any, Any]]:
        if isinstance(one, ArgparseNamespace):
            if not self._same(path, "class", Namespace, type(two)):
                return []
            one, two, three = vars(one), vars(two), vars(three)
        elif not self._same(path, "class", tuple if type(one) is torch.Size else type(one), type(two)):
            return []
        if not self._same(path, "len", len(one), len(two)):
            return []
        if not isinstance(one, dict):
            return [(f"{path}[{at}]", *items) for at, items in enumerate(zip(one, two, three, strict=True))]
        children = []
        if hasattr(one, "_metadata"):
            children.append((f"{path}._metadata", one._metadata, two._metadata, three._metadata))
        for (key, value), (other, mine), (_, late) in zip(one.items(), two.items(), three.items(), strict=True):
            self._scalar(f"{path} key", key, other)
            children.append((f"{path}[{key!r:.40}]", value, mine, late))
        return children

    def _scalar(self, path: str, one: Any, two: Any) -> None:
        if isinstance(one, torch.dtype):
            self._same(path, "dtype", TorchName("dtype", str(one).removeprefix("torch.")), two)
        elif isinstance(one, torch.device):
            self._same(path, "device", Device(one.type, one.index), two)
        else:
            self._same(path, "value", (type(one), _shown(one)), (type(two), _shown(two)))

    # ---- tensors ----------------------------------------------------------------------------------------------------------------------------

    def _tensor(self, path: str, one: torch.Tensor, two: Any, three: Any) -> list[tuple[str, Any, Any, Any]]:
        self.tensors += 1
        attributes = dict(vars(one))
        if attributes:
            if not isinstance(two, SubclassTensor):
                self._note(path, "attributes", attributes, type(two))
                return []
            rest = [(f"{path}.{name}", value, two.attributes[name], three.attributes[name]) for name, value in attributes.items()]
            two, three = two.data, three.data
        else:
            rest = []
        if one.is_meta:
            self._meta(path, one, two)
        elif one.layout is not torch.strided:
            self._sparse(path, one, two, three)
        elif one.is_quantized:
            self._quantized(path, one, two)
        elif isinstance(two, np.ndarray):
            self._dense(path, one, two, three)
        else:
            self._note(path, "class", "ndarray", type(two))
        return rest

    def _alone(self, path: str, one: Any, two: Any) -> None:
        """A storage as a value: its bytes are those of its tensors. Two objects may stand for one storage, in torch too."""
        self.tensors += 1
        if not isinstance(two, Storage):
            self._note(path, "class", "Storage", type(two))
            return
        whole = torch.tensor([], dtype=one.dtype).set_(one._untyped_storage, 0, (len(one),), (1,))
        self._same(path, "storage", (str(one.dtype), len(one), one.nbytes()), (f"torch.{two.dtype}", two.size, two.nbytes))
        self._same(path, "dtype", numpy_dtype(one.dtype), two.array.dtype)
        self._same(path, "bytes", content(whole), two.array.tobytes())
        self._storage(path, whole, two.array)

    def _meta(self, path: str, one: torch.Tensor, two: Any) -> None:
        expected = MetaTensor(dtype=str(one.dtype).removeprefix("torch."), shape=tuple(one.shape), strides=one.stride(), requires_grad=one.requires_grad)
        self._same(path, "meta", expected, two)

    def _sparse(self, path: str, one: torch.Tensor, two: Any, three: Any) -> None:
        if not isinstance(two, SparseTensor):
            self._note(path, "class", "SparseTensor", type(two))
            return
        self._same(path, "layout", str(one.layout), f"torch.{two.layout}")
        self._same(path, "shape", tuple(one.shape), two.shape)
        if one.layout is torch.sparse_coo:
            self._same(path, "coalesced", one.is_coalesced(), bool(two.is_coalesced))
            parts = [("indices", one._indices(), two.indices, three.indices), ("values", one._values(), two.values, three.values)]
        else:
            compressed, plain = COMPRESSED[one.layout]
            parts = [
                ("compressed", compressed(one), two.compressed, three.compressed),
                ("plain", plain(one), two.plain, three.plain),
                ("values", one.values(), two.values, three.values),
            ]
        for name, part, mine, late in parts:
            self._dense(f"{path}.{name}", part, mine, late)
        self._same(path, "dense", content(one.to_dense()), two.dense().tobytes())

    def _quantized(self, path: str, one: torch.Tensor, two: Any) -> None:
        if not isinstance(two, QuantizedTensor):
            self._note(path, "class", "QuantizedTensor", type(two))
            return
        self._same(path, "dtype", str(one.dtype), f"torch.{two.dtype}")
        self._same(path, "int_repr", content(one.int_repr()), two.int_repr.tobytes())
        if one.qscheme() is torch.per_tensor_affine:
            self._same(path, "scale", (one.q_scale(), one.q_zero_point(), None), (two.scale, two.zero_point, two.axis))
        else:
            self._same(path, "axis", one.q_per_channel_axis(), two.axis)
            self._same(path, "scales", content(one.q_per_channel_scales()), np.asarray(two.scale).tobytes())
            self._same(path, "zero points", content(one.q_per_channel_zero_points()), np.asarray(two.zero_point).tobytes())
        self._same(path, "dequantized", content(one.dequantize()), two.dequantize().tobytes())

    def _dense(self, path: str, one: torch.Tensor, two: Any, three: Any) -> None:
        self._same(path, "dtype", numpy_dtype(one.dtype), two.dtype)
        self._same(path, "shape", tuple(one.shape), two.shape)
        if not one.is_conj() and not one.is_neg():
            self._same(path, "bytes", content(one), two.tobytes())
            self._storage(path, one, two)
        else:  # a NaN may change its payload in either arithmetic, and never what it is
            self._same(path, "values", True, bool(np.array_equal(one.detach().resolve_conj().resolve_neg().numpy(), two, equal_nan=True)))
        if not isinstance(three, LazyTensor):
            self._note(path, "lazy", "LazyTensor", type(three))
            return
        record = three.record
        self._same(path, "lazy extents", (tuple(one.shape), one.stride(), one.storage_offset()), (record.shape, record.strides, record.offset))
        self._same(path, "requires_grad", one.requires_grad, record.requires_grad)

    def _storage(self, path: str, one: torch.Tensor, two: Any) -> None:
        """Strides, and the distance from the start of the same storage."""
        if not one.numel():
            return
        self._same(path, "strides", one.stride(), tuple(step // two.itemsize for step in two.strides))
        address = int(two.__array_interface__["data"][0]) - int(one.storage_offset()) * one.element_size()
        storage = int(one.untyped_storage().data_ptr())
        if self._bases.setdefault(storage, address) != address:
            self._note(path, "alias", "a storage that was seen", "another one")
        if self._owners.setdefault(address, storage) != storage:
            self._note(path, "alias", "a storage of its own", "one that was seen")


def _shown(value: Any) -> str:
    """All of a scalar: the sign of a zero and a NaN show in repr, and sets have no order."""
    return repr(sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value)


def content(tensor: torch.Tensor) -> bytes:
    """The C-contiguous bytes."""
    flat = torch.empty(tensor.numel(), dtype=tensor.dtype)  # a tensor of one element counts as contiguous with any stride
    flat.copy_(tensor.detach().reshape(-1))
    return bytes(flat.view(torch.uint8).numpy().tobytes()) if flat.numel() else b""


def numpy_dtype(dtype: torch.dtype) -> Any:
    """torch's dtype as numpy and ml_dtypes spell it."""
    name = str(dtype).removeprefix("torch.")
    if name == "complex32":
        return np.dtype(getattr(ml_dtypes, "complex32", HALF_COMPLEX))
    if name == "bfloat16" or name.startswith("float8"):
        return np.dtype(getattr(ml_dtypes, name))
    return np.dtype(name)
