"""`safeload.torch.load(path)`: what `torch.load` gives, read by safeload. `load_file(path)`: a flat dict of tensors. `as_tensor`: one array as a tensor.

Turns storages that safeload has judged, read and placed into torch's own, without a copy: on the CPU torch's storage is the mapped file, on CUDA the memory
that CuPy allocated (handed over by DLPack as plain bytes, so every dtype arrives by reinterpretation: bfloat16, float8, complex32). Each storage becomes
one torch storage, and each tensor a view of it, shared exactly as it was saved.

The only module that imports torch, and it uses nothing of torch that reads a file. What torch has no public way to make stays one of the small types of
`safeload.tensors`, with torch tensors in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from safeload.errors import DeviceUnavailable
from safeload.placement.cupy_backend import ContainerArray
from safeload.placement.place import Placed
from safeload.placement.settings import Transfer
from safeload.rebuild.views import Shown
from safeload.storage.records import TensorRecord
from safeload.tensors import MetaTensor, QuantizedTensor, SparseTensor

if TYPE_CHECKING:
    import os

    from safeload.lazy import Dims
    from safeload.limits import Limits
    from safeload.policy.model import Policy
    from safeload.source import FileLike
    from safeload.values import OpaqueObject


def load(
    f: FileLike,
    map_location: Any = None,
    *,
    policy: str | os.PathLike[str] | Policy | None = None,
    mmap: bool | Literal["r"] | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    weights_only: bool | None = True,
    limits: Limits | Mapping[str, int] | None = None,
    constructors: Mapping[str, Callable[[OpaqueObject], Any]] | None = None,
    transfer: Transfer | None = None,
    pickle_module: None = None,
) -> Any:
    """`torch.load`, with safeload's reading: torch tensors for tensors, and plain data for the rest. The arguments are those of `safeload.load`.

    Dense tensors, and sparse, quantised (8 and 32 bits) and meta ones, are torch's; Parameters come as tensors with `requires_grad`. On the CPU a tensor
    shares the mapped file, copy-on-write; on CUDA the device memory that CuPy allocated. numpy arrays of the file stay numpy arrays. Raises as
    `safeload.load` does; `DeviceUnavailable` also where CuPy has a GPU and this torch has none; `ImportError` without torch.
    """
    from safeload.api import load_shown

    if mmap == "r":
        raise TypeError("mmap='r' is for arrays: torch has no tensors that cannot be written")
    return load_shown(
        f,
        map_location,
        policy=policy,
        mmap=mmap,
        encoding=encoding,
        errors=errors,
        weights_only=weights_only,
        limits=limits,
        constructors=constructors,
        transfer=transfer,
        pickle_module=pickle_module,
        shown=_Tensors(),
    )


def load_file(
    filename: FileLike,
    device: Any = "cpu",
    *,
    policy: str | os.PathLike[str] | Policy | None = None,
    shard: tuple[int, int] | None = None,
    dims: Dims = 0,
    transfer: Transfer | None = None,
) -> dict[str, Any]:
    """Every dense tensor by its path, after `safetensors.torch.load_file`. `shard` and `dims` as in `safeload.cupy.load_file`."""
    from safeload.api import open as open_checkpoint

    with open_checkpoint(filename, device, policy=policy, transfer=transfer) as checkpoint:
        arrays = checkpoint.get_tensors() if shard is None else checkpoint.get_shards(*shard, dims)
    return {name: as_tensor(array) for name, array in arrays.items()}


def as_tensor(array: Any) -> Any:
    """A numpy array, CuPy array or `ContainerArray` of safeload's as a torch tensor over the same memory, with its true dtype; others as they are.

    Raises `TypeError` for a dtype that torch has no name for, and `DeviceUnavailable` for CUDA memory where torch has no CUDA.
    """
    if isinstance(array, MetaTensor):
        return _meta(array)
    if isinstance(array, ContainerArray):
        return _handed_over(array.array).view(_dtype(array.dtype.name))
    if not hasattr(array, "dtype") or not hasattr(array, "shape") or isinstance(array, _torch().Tensor):
        return array
    dtype = _dtype(array.dtype.name)
    bits = array if array.dtype.isbuiltin == 1 else array.view(f"u{array.dtype.itemsize}")
    return _handed_over(bits).view(dtype)


class _Tensors(Shown):
    """Shows tensors as torch's. One for each load: it remembers which storage has become which."""

    def __init__(self) -> None:
        self.storages: dict[int, tuple[Placed, Any]] = {}  # id -> the storage, so that the id stays its own, and torch's bytes of it

    def dense(self, record: TensorRecord, storage: Placed, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Any:
        """A view of torch's storage, as `torch._utils._rebuild_tensor` makes one."""
        known = self.storages.get(id(storage))
        if known is None:
            known = self.storages[id(storage)] = (storage, _handed_over(storage.view(None, (storage.nbytes,), (1,), 0)))
        whole = known[1]
        dtype = _dtype(record.dtype.name)
        strides = record.strides if 0 in shape else strides  # which are free, and torch keeps them
        tensor = _torch().empty(0, dtype=dtype, device=whole.device).set_(whole.untyped_storage(), offset, shape, strides)
        return tensor.requires_grad_() if record.requires_grad and (dtype.is_floating_point or dtype.is_complex) else tensor

    def special(self, value: Any) -> Any:
        """Sparse, quantised and meta tensors of torch, from their parts."""
        if isinstance(value, MetaTensor):
            return _meta(value)
        if isinstance(value, SparseTensor):
            return _sparse(value)
        return _quantized(value) if isinstance(value, QuantizedTensor) else value

    def loose(self, array: Any) -> Any:
        """A tensor over an array of our own."""
        return as_tensor(array)


def _handed_over(array: Any) -> Any:
    """An array of built-in numbers as a tensor over the same memory."""
    torch = _torch()
    if isinstance(array, np.ndarray):
        return torch.from_numpy(array if array.flags.writeable else array.copy())  # of what is empty: no map is read-only here
    try:
        return torch.from_dlpack(array)
    except (RuntimeError, AssertionError, BufferError) as error:
        raise DeviceUnavailable(f'this torch cannot take memory of a CUDA device ({error}); map_location="cpu" keeps storages on the host') from error


def _meta(value: MetaTensor) -> Any:
    torch = _torch()
    if value.dtype is None or value.shape is None:
        return value
    strides = value.strides if value.strides is not None else torch.empty(value.shape, device="meta").stride()
    made = torch.empty_strided(value.shape, strides, dtype=_dtype(value.dtype), device="meta")
    return made.requires_grad_() if value.requires_grad and made.is_floating_point() else made


def _sparse(value: SparseTensor) -> Any:
    torch = _torch()
    if value.layout == "sparse_coo":
        indices, values = _tensor(value.indices), _tensor(value.values)
        return torch.sparse_coo_tensor(indices, values, value.shape, is_coalesced=value.is_coalesced, check_invariants=True)
    layouts = {"sparse_csr": torch.sparse_csr, "sparse_csc": torch.sparse_csc, "sparse_bsr": torch.sparse_bsr, "sparse_bsc": torch.sparse_bsc}
    parts = (_tensor(part) for part in (value.compressed, value.plain, value.values))
    return torch.sparse_compressed_tensor(*parts, value.shape, layout=layouts[value.layout], check_invariants=True)


def _quantized(value: QuantizedTensor) -> Any:
    """torch has no public way to say: these are the integers. Sub-byte types, which safeload has unpacked, stay what they are."""
    torch = _torch()
    if value.dtype not in ("qint8", "quint8", "qint32"):
        return value
    if value.axis is None:
        return torch._make_per_tensor_quantized_tensor(value.int_repr, float(value.scale), int(value.zero_point))
    return torch._make_per_channel_quantized_tensor(value.int_repr, _tensor(value.scale), _tensor(value.zero_point), value.axis)


def _tensor(part: Any) -> Any:
    """A part of a tensor, which may be an array of numbers that stood in the stream."""
    return as_tensor(part) if isinstance(part, np.ndarray) else part


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError("safeload.torch needs torch: pip install 'safeload[torch]'; safeload.load gives numpy and CuPy arrays without it") from error
    return torch


_DTYPES: dict[str, Any] = {}


def _dtype(name: str) -> Any:
    """torch's dtype of that name. A closed table: nothing is looked up by what a file says."""
    if not _DTYPES:
        _DTYPES.update(_table(_torch()))
    found = _DTYPES.get(name)
    if found is None:
        raise TypeError(f"this torch has no dtype {name}; safeload.load gives the bytes as an array")
    return found


def _table(torch: Any) -> dict[str, Any]:
    """Names of torch and of numpy; None where this torch is too old. Quantised integers are shown as the integers that they are."""
    plain = {
        "float64": torch.float64, "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "int64": torch.int64, "int32": torch.int32,
        "int16": torch.int16, "int8": torch.int8, "uint8": torch.uint8, "bool": torch.bool, "complex128": torch.complex128, "complex64": torch.complex64,
        "complex32": torch.complex32, "qint8": torch.int8, "quint8": torch.uint8, "qint32": torch.int32, "quint4x2": torch.uint8, "quint2x4": torch.uint8,
        "bits8": torch.uint8, "bits1x8": torch.uint8, "bits2x4": torch.uint8, "bits4x2": torch.uint8,
    }  # fmt: skip
    newer = {
        "uint16": getattr(torch, "uint16", None), "uint32": getattr(torch, "uint32", None), "uint64": getattr(torch, "uint64", None),
        "bits16": getattr(torch, "bits16", None), "bcomplex32": getattr(torch, "bcomplex32", None),
        "float8_e4m3fn": getattr(torch, "float8_e4m3fn", None), "float8_e5m2": getattr(torch, "float8_e5m2", None),
        "float8_e4m3fnuz": getattr(torch, "float8_e4m3fnuz", None), "float8_e5m2fnuz": getattr(torch, "float8_e5m2fnuz", None),
        "float8_e8m0fnu": getattr(torch, "float8_e8m0fnu", None), "float4_e2m1fn_x2": getattr(torch, "float4_e2m1fn_x2", None),
        "int1": getattr(torch, "int1", None), "int2": getattr(torch, "int2", None), "int3": getattr(torch, "int3", None), "int4": getattr(torch, "int4", None),
        "int5": getattr(torch, "int5", None), "int6": getattr(torch, "int6", None), "int7": getattr(torch, "int7", None),
        "uint1": getattr(torch, "uint1", None), "uint2": getattr(torch, "uint2", None), "uint3": getattr(torch, "uint3", None),
        "uint4": getattr(torch, "uint4", None), "uint5": getattr(torch, "uint5", None), "uint6": getattr(torch, "uint6", None),
        "uint7": getattr(torch, "uint7", None),
    }  # fmt: skip
    return plain | newer
