"""Provers of torch's rebuild functions: one call, or the state given to one, becomes the record of a tensor.

Each refuses what `Prover.dense` does, and what its own kind of tensor cannot be: SL405 shapes, SL406 dtypes, SL408 sparse indices.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from safeload.machine.nodes import NODE_TYPES, Build
from safeload.storage import geometry, sparse
from safeload.storage.prover import Prover
from safeload.storage.records import MetaRecord, NestedRecord, QuantizedRecord, SparseRecord, TensorRecord

NEGATED = ("float", "complex", "int", "uint")  # families that torch negates; 8-bit floats are no arithmetic types


def dense(p: Prover, index: int, args: tuple[Any, ...], at: int) -> TensorRecord:
    """`_rebuild_tensor` and `_rebuild_tensor_v2`."""
    record = p.dense(args, at)
    return _with_bits(p, record, args[6], at) if len(args) > 6 else record


def dense_v3(p: Prover, index: int, args: tuple[Any, ...], at: int) -> TensorRecord:
    """`_rebuild_tensor_v3`: the dtype stands as an argument, the storage is bytes."""
    record = p.dense(args, at, p.dtype(args[6], at))
    return _with_bits(p, record, args[7], at) if len(args) > 7 else record


def _with_bits(p: Prover, record: TensorRecord, metadata: Any, at: int) -> TensorRecord:
    """torch >= 2.0 notes lazy conjugation and negation in a dict of flags; other keys say nothing about the values."""
    conj, neg = metadata.get("conj") is True, metadata.get("neg") is True
    if neg and (record.dtype.family not in NEGATED or record.dtype.itemsize == 1):
        raise p.error(f"a tensor of {record.dtype.name} is marked as negated, which it cannot be", "SL406", at)
    return replace(record, conj=conj and record.dtype.family == "complex", neg=neg)


def parameter(p: Prover, index: int, args: tuple[Any, ...], at: int) -> Any:
    """`_rebuild_parameter`, with or without a state: the tensor, with its own `requires_grad`."""
    inner = p.records.get(args[0].index)
    return replace(inner, requires_grad=args[1]) if isinstance(inner, (TensorRecord, MetaRecord)) else inner


def quantized(p: Prover, index: int, args: tuple[Any, ...], at: int) -> QuantizedRecord:
    """`_rebuild_qtensor`: the integers, and a quantizer that fits them."""
    values = p.dense(args[:4], at)
    if values.dtype.family != "quantized":
        raise p.error(f"a quantised tensor holds {values.dtype.name}", "SL406", at)
    if len(args) == 8:  # torch 1.2: scale and zero point stand as arguments
        return QuantizedRecord(values=values, scheme="per_tensor_affine", scale=_number(p, args[4], at), zero_point=_whole(p, args[5], at), axis=None)
    quantizer = args[4]
    scheme = quantizer[0].name
    if len(quantizer) == 3:
        if scheme not in ("per_tensor_affine", "per_tensor_symmetric"):
            raise p.error(f"the quantisation scheme {scheme[:40]!a} takes an axis", "SL406", at)
        return QuantizedRecord(values=values, scheme=scheme, scale=_number(p, quantizer[1], at), zero_point=_whole(p, quantizer[2], at), axis=None)
    scales, zero_points, axis = quantizer[1:]
    if not scheme.startswith("per_channel") or not 0 <= axis < len(values.shape):
        raise p.error(f"a tensor of {len(values.shape)} dimensions is quantised along axis {axis} ({scheme[:40]!a})", "SL405", at)
    for part in (scales, zero_points):
        count = len(part) if type(part) is list else p.tensor(part, at).shape
        if type(part) is list:
            for item in part:
                _number(p, item, at)
        if count not in (values.shape[axis], (values.shape[axis],)):
            raise p.error(f"{values.shape[axis]} channels need as many scales and zero points", "SL405", at)
    return QuantizedRecord(values=values, scheme=scheme, scale=scales, zero_point=zero_points, axis=axis)


def _number(p: Prover, value: Any, at: int) -> float:
    """A scale: a float, or an int that is one."""
    if type(value) is float or (type(value) is int and -(1 << 63) <= value < 1 << 63):
        return float(value)
    raise p.error("the scale of a quantised tensor is no number that torch holds", "SL405", at)


def _whole(p: Prover, value: Any, at: int) -> Any:
    """A zero point: an int of 64 bits; float for the float_qparams types."""
    _number(p, value, at)
    return value


def sparse_tensor(p: Prover, index: int, args: tuple[Any, ...], at: int) -> SparseRecord:
    """`_rebuild_sparse_tensor` and `_rebuild_sparse_csr_tensor`: the parts, with every index proved."""
    layout = p.vetted.literals[args[0].index].name
    parts = args[1]
    coo = layout == "sparse_coo"
    nodes = parts[:2] if coo else parts[:3]
    if len(parts) not in ((3, 4) if coo else (4,)) or (not coo and type(parts[2]) not in NODE_TYPES):
        raise p.error(f"the parts do not make a tensor of layout {layout}", "SL405", at)
    record = SparseRecord(
        layout=layout,
        parts=tuple(nodes),
        shape=p.ints(parts[2] if coo else parts[3], at),
        coalesced=parts[3] if coo and len(parts) == 4 else None,
    )
    sparse.check(record, [p.tensor(node, at) for node in nodes], p.numbers, p.member, at, p.budget)
    return record


def meta(p: Prover, index: int, args: tuple[Any, ...], at: int) -> MetaRecord:
    """`_rebuild_meta_tensor_no_storage`."""
    shape, strides = p.ints(args[1], at), p.ints(args[2], at)
    geometry.check(shape, strides, 0, 1 << 62, limits=p.budget.limits, where=p.member, at=at)
    return MetaRecord(dtype=p.dtype(args[0], at), shape=shape, strides=strides, requires_grad=args[3])


def wrapper(p: Prover, index: int, args: tuple[Any, ...], at: int) -> MetaRecord:
    """`_rebuild_wrapper_subclass`: a shell without data."""
    shape, strides = p.ints(args[2], at), p.ints(args[3], at)
    geometry.check(shape, strides, args[4], 1 << 62, limits=p.budget.limits, where=p.member, at=at)
    device = args[6] if type(args[6]) is str else str(p.vetted.literals[args[6].index])
    return MetaRecord(dtype=p.dtype(args[1], at), shape=shape, strides=strides, requires_grad=args[7], device=device)


def uninitialized(p: Prover, index: int, args: tuple[Any, ...], at: int) -> MetaRecord:
    """`UninitializedParameter`: neither dtype nor shape is known yet."""
    return MetaRecord(dtype=None, shape=None, strides=None, requires_grad=not args or args[0] is True)


def nested(p: Prover, index: int, args: tuple[Any, ...], at: int) -> NestedRecord:
    """`_rebuild_nested_tensor`: each component inside the buffer."""
    buffer = p.tensor(args[0], at)
    tables = [p.tensor(part, at) for part in args[1:]]
    numbers = [p.numbers(table) for table in tables]
    sizes, strides, offsets = tables[0].shape, tables[1].shape, tables[2].shape
    if len(buffer.shape) != 1 or len(sizes) != 2 or sizes != strides or offsets != sizes[:1] or any(table.dtype.name != "int64" for table in tables):
        raise p.error("a nested tensor is (buffer, sizes, strides, offsets): 1-D, 2-D, 2-D and 1-D of int64", "SL405", at)
    if buffer.neg or buffer.conj:
        raise p.error("the buffer of a nested tensor is marked as negated or conjugated", "SL405", at)
    count, dims = sizes
    components = []
    for row in range(count):
        shape, stride = tuple(numbers[0][row * dims : row * dims + dims]), tuple(numbers[1][row * dims : row * dims + dims])
        geometry.check(shape, stride, numbers[2][row], buffer.shape[0], limits=p.budget.limits, where=p.member, at=at)
        scaled = tuple(step * (buffer.strides[0] if buffer.shape[0] > 1 else 1) for step in stride)
        p.budget.spend_tensor(geometry.elements(shape) * buffer.dtype.itemsize, p.member, at)
        components.append(
            TensorRecord(dtype=buffer.dtype, shape=shape, strides=scaled, offset=buffer.offset + numbers[2][row] * buffer.strides[0], storage=buffer.storage)
        )
    return NestedRecord(buffer=args[0], components=tuple(components))


def from_cpu(p: Prover, index: int, args: tuple[Any, ...], at: int) -> Any:
    """`_rebuild_device_tensor_from_cpu_tensor`."""
    dtype, record = p.dtype(args[1], at), p.records.get(args[0].index)
    if isinstance(record, TensorRecord) and record.dtype != dtype:
        raise p.error(f"a tensor of {record.dtype.name} stands for one of {dtype.name}", "SL406", at)
    return parameter(p, index, (args[0], args[3]), at)


def legacy_tensor_state(p: Prover, build: Build) -> TensorRecord:
    """`torch.Tensor.__setstate__` up to torch 0.1.x."""
    return p.dense(build.state, build.offset)


def legacy_parameter_state(p: Prover, build: Build) -> Any:
    """`Parameter.__setstate__` up to torch 0.3."""
    state = build.state
    if len(state) == 4:
        return p.dense(state, build.offset)
    if len(state) == 5:
        return parameter(p, 0, (state[0], state[3]), build.offset)
    return parameter(p, 0, (build.target, state[0]), build.offset)


def new_parameter(p: Prover, index: int, args: tuple[Any, ...], at: int) -> Any:
    """`Parameter(data, requires_grad)`."""
    return parameter(p, index, (args[0], len(args) < 2 or args[1]), at) if args else None
