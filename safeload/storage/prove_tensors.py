"""Provers of torch's rebuild functions: one call, or the state given to one, becomes the record of a tensor.

Each refuses what `Prover.dense` does, and what its own kind of tensor cannot be: SL405 shapes, SL406 dtypes, SL408 sparse indices.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from msgspec.structs import replace

from safeload.errors import StorageError
from safeload.machine.nodes import NODE_TYPES, Build
from safeload.storage import geometry
from safeload.storage.dtypes import tensor_dtype
from safeload.storage.geometry import INT64
from safeload.storage.prover import Prover
from safeload.storage.records import MetaRecord, NestedRecord, QuantizedRecord, SparseRecord, TensorRecord

NEGATED = ("float", "complex", "int", "uint")  # families that torch negates; 8-bit floats are no arithmetic types


def dense(p: Prover, index: int, args: tuple[Any, ...], at: int) -> TensorRecord:
    """`_rebuild_tensor` and `_rebuild_tensor_v2`."""
    record = p.dense(args, at)
    return _with_bits(record, args[6]) if len(args) > 6 else record


def dense_v3(p: Prover, index: int, args: tuple[Any, ...], at: int) -> TensorRecord:
    """`_rebuild_tensor_v3`: the dtype stands as an argument, the storage is bytes."""
    record = p.dense(args, at, p.dtype(args[6]))
    return _with_bits(record, args[7]) if len(args) > 7 else record


def _with_bits(record: TensorRecord, metadata: Any) -> TensorRecord:
    """torch >= 2.0 notes lazy conjugation and negation in a dict of flags; other keys say nothing about the values."""
    conj, neg = metadata.get("conj") is True, metadata.get("neg") is True
    if neg and (record.dtype.family not in NEGATED or record.dtype.itemsize == 1):
        raise StorageError(f"a tensor of {record.dtype.name} is marked as negated, which it cannot be", rule="SL406")
    return replace(record, conj=conj and record.dtype.family == "complex", neg=neg)


def parameter(p: Prover, index: int, args: tuple[Any, ...], at: int) -> Any:
    """`_rebuild_parameter`, with or without a state: the tensor, with its own `requires_grad`."""
    return _with_grad(p, args[0], args[1])


def _with_grad(p: Prover, tensor: Any, requires_grad: bool) -> Any:
    inner = p.records.get(tensor.index)
    return replace(inner, requires_grad=requires_grad) if isinstance(inner, (TensorRecord, MetaRecord)) else inner


def quantized(p: Prover, index: int, args: tuple[Any, ...], at: int) -> QuantizedRecord:
    """`_rebuild_qtensor`: the integers, and a quantizer that fits them."""
    values = p.dense(args[:4], at)
    if values.dtype.family != "quantized":
        raise StorageError(f"a quantised tensor holds {values.dtype.name}", rule="SL406")
    if len(args) == 8:  # torch 1.2: scale and zero point stand as arguments
        return QuantizedRecord(values=values, scheme="per_tensor_affine", scale=_number(args[4]), zero_point=_whole(args[5]), axis=None)
    quantizer = args[4]
    scheme = quantizer[0].name
    if len(quantizer) == 3:
        if scheme not in ("per_tensor_affine", "per_tensor_symmetric"):
            raise StorageError(f"the quantisation scheme {scheme!a} takes an axis", rule="SL406")
        return QuantizedRecord(values=values, scheme=scheme, scale=_number(quantizer[1]), zero_point=_whole(quantizer[2]), axis=None)
    scales, zero_points, axis = quantizer[1:]
    if not scheme.startswith("per_channel") or not 0 <= axis < len(values.shape):
        raise StorageError(f"a tensor of {len(values.shape)} dimensions is quantised along axis {axis} ({scheme!a})", rule="SL405")
    for part, families in ((scales, ("float",)), (zero_points, ("int", "uint", "float"))):
        if type(part) is list:
            for item in part:
                _number(item)
        elif p.tensor(part).dtype.family not in families:
            raise StorageError(f"{p.tensor(part).dtype.name} is no dtype of scales or zero points", rule="SL406")
        count = len(part) if type(part) is list else p.tensor(part).shape
        if count not in (values.shape[axis], (values.shape[axis],)):
            raise StorageError(f"{values.shape[axis]} channels need as many scales and zero points", rule="SL405")
    if type(zero_points) is not list and p.tensor(zero_points).dtype.family == "float":
        scheme = "per_channel_affine_float_qparams"  # which torch saves as per_channel_affine, and tells by this
    return QuantizedRecord(values=values, scheme=scheme, scale=scales, zero_point=zero_points, axis=axis)


def _number(value: Any) -> float:
    """A scale: a float, or an int that is one."""
    if type(value) is float or (type(value) is int and -(1 << 63) <= value < 1 << 63):
        return float(value)
    raise StorageError("the scale of a quantised tensor is no number that torch holds", rule="SL405")


def _whole(value: Any) -> int:
    """A zero point: an int of 64 bits. Only tensors of them, one for each channel, may be float."""
    _number(value)
    if type(value) is not int:
        raise StorageError("the zero point of a quantised tensor is an int", rule="SL406")
    return value


def sparse_tensor(p: Prover, index: int, args: tuple[Any, ...], at: int) -> SparseRecord:
    """`_rebuild_sparse_tensor` and `_rebuild_sparse_csr_tensor`: the parts, with every index proved."""
    layout = p.vetted.literals[args[0].index].name
    parts = args[1]
    coo = layout == "sparse_coo"
    nodes = parts[:2] if coo else parts[:3]
    if len(parts) not in ((3, 4) if coo else (4,)) or (not coo and type(parts[2]) not in NODE_TYPES):
        raise StorageError(f"the parts do not make a tensor of layout {layout}", rule="SL405")
    record = SparseRecord(
        layout=layout,
        parts=tuple(nodes),
        shape=p.ints(parts[2] if coo else parts[3]),
        coalesced=parts[3] if coo and len(parts) == 4 else None,
    )
    _check_sparse(p, record, [p.tensor(node) for node in nodes], at)
    return record


def sparse_class(p: Prover, index: int, args: tuple[Any, ...], at: int) -> SparseRecord:
    """`torch.sparse.FloatTensor(indices, values, size)`, as torch before 1.4 wrote a COO tensor; the class says the dtype of the values."""
    func = p.vetted.graph.log[index].func  # type: ignore[union-attr]
    indices, values = (p.tensor(node) for node in args[:2])
    if tensor_dtype(func.name) != values.dtype:  # type: ignore[union-attr]
        raise StorageError(f"the values of a torch.sparse.{func.name} are {values.dtype.name}", rule="SL406")  # type: ignore[union-attr]
    record = SparseRecord(layout="sparse_coo", parts=args[:2], shape=p.ints(args[2]), coalesced=None)
    _check_sparse(p, record, [indices, values], at)
    return record


def _check_sparse(p: Prover, record: SparseRecord, parts: list[TensorRecord], at: int) -> None:
    from safeload.storage import sparse  # few tensors are

    sparse.check(record, parts, p.numbers, p.member, at, p.budget)


def meta(p: Prover, index: int, args: tuple[Any, ...], at: int) -> MetaRecord:
    """`_rebuild_meta_tensor_no_storage`."""
    shape, strides = p.ints(args[1]), p.ints(args[2])
    geometry.check(shape, strides, 0, 1 << 62, limits=p.budget.limits)
    return MetaRecord(dtype=p.dtype(args[0]), shape=shape, strides=strides, requires_grad=args[3])


def wrapper(p: Prover, index: int, args: tuple[Any, ...], at: int) -> MetaRecord:
    """`_rebuild_wrapper_subclass`: a shell without data."""
    shape, strides = p.ints(args[2]), p.ints(args[3])
    geometry.check(shape, strides, args[4], 1 << 62, limits=p.budget.limits)
    device = args[6] if type(args[6]) is str else str(p.vetted.literals[args[6].index])
    return MetaRecord(dtype=p.dtype(args[1]), shape=shape, strides=strides, requires_grad=args[7], device=device)


def uninitialized(p: Prover, index: int, args: tuple[Any, ...], at: int) -> MetaRecord:
    """`UninitializedParameter`: neither dtype nor shape is known yet."""
    return MetaRecord(dtype=None, shape=None, strides=None, requires_grad=not args or args[0] is True)


def nested(p: Prover, index: int, args: tuple[Any, ...], at: int) -> NestedRecord:
    """`_rebuild_nested_tensor`: each component inside the buffer."""
    buffer = p.tensor(args[0])
    tables = [p.tensor(part) for part in args[1:]]
    numbers = [p.numbers(table) for table in tables]
    sizes, strides, offsets = tables[0].shape, tables[1].shape, tables[2].shape
    if len(buffer.shape) != 1 or len(sizes) != 2 or sizes != strides or offsets != sizes[:1] or any(table.dtype.name != "int64" for table in tables):
        raise StorageError("a nested tensor is (buffer, sizes, strides, offsets): 1-D, 2-D, 2-D and 1-D of int64", rule="SL405")
    if buffer.neg or buffer.conj:
        raise StorageError("the buffer of a nested tensor is marked as negated or conjugated", rule="SL405")
    count, dims = sizes
    components = []
    for row in range(count):
        shape, stride = tuple(numbers[0][row * dims : row * dims + dims]), tuple(numbers[1][row * dims : row * dims + dims])
        geometry.check(shape, stride, numbers[2][row], buffer.shape[0], limits=p.budget.limits)
        scaled = tuple(step * buffer.strides[0] for step in stride)
        p.budget.spend_tensor(geometry.elements(shape) * buffer.dtype.itemsize, p.member, at)
        components.append(
            TensorRecord(dtype=buffer.dtype, shape=shape, strides=scaled, offset=buffer.offset + numbers[2][row] * buffer.strides[0], storage=buffer.storage)
        )
    return NestedRecord(components=tuple(components))


def jagged(p: Prover, index: int, args: tuple[Any, ...], at: int) -> NestedRecord:
    """`_rebuild_njt`: component i is the part of `values` from `offsets[i]`, up to the next offset or as long as `lengths[i]`, along the ragged dimension."""
    state = args[0]
    values, offsets = p.tensor(state["values"]), p.tensor(state["offsets"])
    lengths = p.tensor(state["lengths"]) if state.get("lengths") is not None else None
    dim = state.get("_ragged_idx", 1) - 1
    one_more = len(offsets.shape) == 1 and offsets.shape[0] > 0 and (lengths is None or lengths.shape == (offsets.shape[0] - 1,))
    if not 0 <= dim < len(values.shape) or not one_more:
        raise StorageError("a jagged tensor is (values, offsets[, lengths]) along one of the dimensions of its values", rule="SL405")
    if any(part is not None and part.dtype.name not in ("int64", "int32") for part in (offsets, lengths)):
        raise StorageError("the offsets and lengths of a jagged tensor are int64 or int32", rule="SL406")
    starts = p.numbers(offsets)
    counts = p.numbers(lengths) if lengths is not None else [after - before for before, after in pairwise(starts)]
    components = []
    for row, count in enumerate(counts):
        start = starts[row]
        if start < 0 or count < 0 or start + count > values.shape[dim]:
            raise StorageError(f"a component of {count:,} rows at {start:,} leaves the {values.shape[dim]:,} rows of a jagged tensor", rule="SL401")
        part = replace(values, shape=(*values.shape[:dim], count, *values.shape[dim + 1 :]), offset=values.offset + start * values.strides[dim])
        p.budget.spend_tensor(part.nbytes, p.member, at)
        components.append(part)
    return NestedRecord(components=tuple(components))


def generator_state(p: Prover, build: Build) -> TensorRecord:
    """`torch.Generator.__setstate__`: the state is bytes."""
    seed, offset, node = build.state
    numbers = (seed,) if offset is None else (seed, offset)
    record = p.tensor(node)
    if record.dtype.name != "uint8" or len(record.shape) != 1 or not all(-INT64 <= number < 2 * INT64 for number in numbers):
        raise StorageError("the state of a Generator is a seed and an offset of 64 bits, and a vector of bytes", rule="SL406")
    return record


def from_cpu(p: Prover, index: int, args: tuple[Any, ...], at: int) -> Any:
    """`_rebuild_device_tensor_from_cpu_tensor`."""
    dtype, record = p.dtype(args[1]), p.records.get(args[0].index)
    if isinstance(record, TensorRecord) and record.dtype != dtype:
        raise StorageError(f"a tensor of {record.dtype.name} stands for one of {dtype.name}", rule="SL406")
    return _with_grad(p, args[0], args[3])


def legacy_tensor_state(p: Prover, build: Build) -> TensorRecord:
    """`torch.Tensor.__setstate__` up to torch 0.1.x."""
    _unused(p, build)
    return p.dense(build.state, build.offset)


def legacy_parameter_state(p: Prover, build: Build) -> Any:
    """`Parameter.__setstate__` up to torch 0.3."""
    _unused(p, build)
    state = build.state
    if len(state) == 4:
        return p.dense(state, build.offset)
    if len(state) == 5:
        return _with_grad(p, state[0], state[3])
    return _with_grad(p, build.target, state[0])


def _unused(p: Prover, build: Build) -> None:
    """What was proved with a tensor holds for the state that it had."""
    if build.target.index in p.sealed:
        raise StorageError("a tensor is given another state after it became a part of one", rule="SL405")


def new_parameter(p: Prover, index: int, args: tuple[Any, ...], at: int) -> Any:
    """`Parameter(data, requires_grad)`."""
    return _with_grad(p, args[0], len(args) < 2 or args[1]) if args else None
