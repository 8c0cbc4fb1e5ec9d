"""Tensors that no plain array can hold: sparse, quantised, nested, without data, or of a class of their own. Returned by `load`; data and nothing else.

Each keeps its parts as arrays (numpy or CuPy) that share their storages exactly as they were saved. `dense()` and `dequantize()` give a plain array where
that has a meaning. Nothing here imports numpy until it is asked for an array.
"""

from __future__ import annotations

from typing import Any

import msgspec

from safeload.values import OpaqueObject


def _host(array: Any) -> Any:
    """A CuPy array in numpy; numbers and numpy arrays as they are."""
    return array.get() if hasattr(array, "get") else array


def _beside(array: Any, other: Any) -> Any:
    """A numpy array on the device of `other`, which a CuPy array gives."""
    if not hasattr(other, "get"):
        return array
    import cupy

    with other.device:
        return cupy.asarray(array)


class SparseTensor(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A sparse tensor of torch: `layout` is sparse_coo, _csr, _csc, _bsr or _bsc; the invariants of its indices are proved.

    COO has `indices` of shape (sparse_dims, nnz) and `values` of shape (nnz, *dense dims). The compressed layouts have `compressed` (crow or ccol indices),
    `plain` (col or row indices) and `values`.
    """

    layout: str
    shape: tuple[int, ...]
    values: Any
    indices: Any = None
    compressed: Any = None
    plain: Any = None
    is_coalesced: bool | None = None

    @property
    def dtype(self) -> Any:
        """That of the values."""
        return self.values.dtype

    def dense(self) -> Any:
        """A plain array, on the device of the values and computed on the host; duplicate entries of an uncoalesced tensor add up.

        Allocates product(shape) elements.
        """
        import numpy as np

        values, out = _host(self.values), np.zeros(self.shape, self.values.dtype)
        if self.layout == "sparse_coo":
            if not len(self.indices):  # no sparse dimension: every value stands at the same place
                return _beside(values.sum(axis=0, dtype=out.dtype), self.values)
            np.add.at(out, tuple(_host(self.indices)), values)
            return _beside(out, self.values)
        compressed, plain = _host(self.compressed), _host(self.plain)
        for position in np.ndindex(self.shape[: compressed.ndim - 1]):
            self._fill(out[position], compressed[position], plain[position], values[position])
        return _beside(out, self.values)

    def _fill(self, out: Any, compressed: Any, plain: Any, values: Any) -> None:
        by_rows = self.layout in ("sparse_csr", "sparse_bsr")
        blocked = self.layout in ("sparse_bsr", "sparse_bsc")
        height, width = values.shape[1:3] if blocked else (1, 1)
        for line in range(len(compressed) - 1):
            for at in range(int(compressed[line]), int(compressed[line + 1])):
                row, column = (line, int(plain[at])) if by_rows else (int(plain[at]), line)
                if blocked:
                    out[row * height : (row + 1) * height, column * width : (column + 1) * width] = values[at]
                else:
                    out[row, column] = values[at]

    def to_scipy(self) -> Any:
        """The scipy.sparse matrix of a tensor of two sparse dimensions and no others, on the host. Needs scipy."""
        try:
            from scipy import sparse  # type: ignore[import-untyped, import-not-found, unused-ignore]
        except ImportError:
            raise ImportError("to_scipy needs scipy: pip install scipy") from None
        if len(self.shape) != 2:
            raise ValueError(f"scipy holds two dimensions, and this tensor has {len(self.shape)}")
        values, plain, compressed = _host(self.values), _host(self.plain), _host(self.compressed)
        if self.layout == "sparse_coo":
            if len(self.indices) != 2:
                raise ValueError("scipy holds no dense dimensions; use dense()")
            return sparse.coo_matrix((values, tuple(_host(self.indices))), shape=self.shape)
        if self.layout in ("sparse_csr", "sparse_csc"):
            matrix = sparse.csr_matrix if self.layout == "sparse_csr" else sparse.csc_matrix
            return matrix((values, plain, compressed), shape=self.shape)
        if self.layout == "sparse_bsr":
            return sparse.bsr_matrix((values, plain, compressed), shape=self.shape)
        raise ValueError("scipy has no block sparse column layout; use dense()")


class QuantizedTensor(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A quantised tensor: `int_repr` holds the integers, real values are `(int_repr - zero_point) * scale`.

    `scale` and `zero_point` are numbers, or arrays with one element for each index along `axis`. `dtype` is torch's name (`qint8`, `quint4x2`, ...); sub-byte
    types are unpacked, one value to an element.
    """

    dtype: str
    scheme: str
    int_repr: Any
    scale: Any
    zero_point: Any
    axis: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each dimension."""
        return tuple(self.int_repr.shape)

    def dequantize(self) -> Any:
        """float32, as torch computes it; on the device of the integers, computed on the host."""
        import numpy as np

        integers, scale, zero_point = _host(self.int_repr), _host(self.scale), _host(self.zero_point)
        if self.axis is None:
            return _beside((integers.astype(np.int64) - zero_point).astype(np.float32) * np.float32(scale), self.int_repr)
        along = [1] * integers.ndim
        along[self.axis] = -1
        scale, zero_point = np.asarray(scale).reshape(along), np.asarray(zero_point).reshape(along)
        exact = np.int64 if np.issubdtype(zero_point.dtype, np.integer) else np.float32  # float zero points: per_channel_affine_float_qparams
        return _beside(((integers.astype(exact) - zero_point) * scale).astype(np.float32), self.int_repr)


class NestedTensor(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A nested tensor: one array for each component, all views of one buffer.

    A jagged one also has the `values` that they are cut from along one dimension, the `offsets` at which they begin, the `lengths` where they do not reach to
    the next, and `ragged_dim`, the dimension of the nested tensor (from 1; 0 is the batch) in which they differ.
    """

    components: tuple[Any, ...]
    values: Any = None
    offsets: Any = None
    lengths: Any = None
    ragged_dim: int | None = None

    def __len__(self) -> int:
        return len(self.components)


class MetaTensor(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor without data: on the meta device, or not yet initialised (`shape` None). `dtype` is torch's name."""

    dtype: str | None
    shape: tuple[int, ...] | None
    strides: tuple[int, ...] | None = None
    requires_grad: bool = False
    device: str = "meta"


class SubclassTensor(msgspec.Struct, kw_only=True, eq=False):
    """A tensor of a class of its own, or with Python attributes: `data` is the array or tensor, `state` what the file says beside it.

    `type` is the name of the class, `torch.Tensor` for a plain tensor with attributes; it was never looked up. For a wrapper subclass (DTensor) `data` is a
    `MetaTensor` and the real tensors are in `state`.
    """

    type: str
    data: Any
    state: Any = None

    @property
    def attributes(self) -> dict[Any, Any]:
        """The Python attributes: a dict state, or the `(dict, slots)` pair."""
        if isinstance(self.state, dict):
            return self.state
        if isinstance(self.state, tuple) and len(self.state) == 2 and all(part is None or isinstance(part, dict) for part in self.state):
            return {**(self.state[0] or {}), **(self.state[1] or {})}
        return {}

    def dense(self) -> Any:
        """The plain array."""
        return self.data.dense() if hasattr(self.data, "dense") else self.data

    @property
    def local(self) -> Any:
        """The local part of a DTensor (`_local_tensor`), None for other classes."""
        return self.attributes.get("_local_tensor")

    @property
    def placements(self) -> tuple[Any, ...] | None:
        """How a DTensor is spread over each dimension of its mesh: the records of `Shard(dim)`, `Replicate()` ... None for other classes."""
        spec = self.attributes.get("_spec")
        found = spec.attributes.get("placements") if isinstance(spec, OpaqueObject) else None
        return tuple(found) if isinstance(found, (tuple, list)) else None

    @property
    def global_shape(self) -> tuple[int, ...] | None:
        """The shape of a DTensor over all of its parts, None for other classes."""
        return self.data.shape if self.placements is not None and isinstance(self.data, MetaTensor) else None


class Generator(msgspec.Struct, kw_only=True, eq=False):
    """A random number generator of torch: the `device` that it is for, its `seed`, the `offset` of a CUDA one, and its `state`, a vector of bytes."""

    device: str
    seed: int | None = None
    offset: int | None = None
    state: Any = None
