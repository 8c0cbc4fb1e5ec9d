"""The listings of `test_contract_rows`: for each way in which some torch release writes a tensor, a good one with its value, and near misses."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from formats.test_embedded import loading, save
from hostile.hostile import HOOKS, ints, storage, tensor, vector
from policy.listings import array, call, dtype, integer, layout, listed, name, new, paired, raw, size, sparse, tensor_v3, text

from safeload.tensors import Generator, MetaTensor, NestedTensor, QuantizedTensor, SparseTensor, SubclassTensor
from safeload.values import Device, TorchName

SIX = np.arange(6, dtype="<f4")
HALF = "BINFLOAT 0.5\n"
NONE, TRUE, FALSE = "NONE\n", "NEWTRUE\n", "NEWFALSE\n"
CPU = text("cpu")


class Row(msgspec.Struct, kw_only=True, frozen=True):
    """One layout. `good` is a listing, `check` gives what its value must be equal to; `bad` are listings that are refused."""

    names: tuple[str, ...]
    good: str
    check: Callable[[Any], bool]
    bad: tuple[str, ...]
    data: dict[str, bytes] = {}
    policy: str = "checkpoint"


def words(*numbers: int, of: str = "q") -> bytes:
    return struct.pack(f"<{len(numbers)}{of}", *numbers)


def index(key: str, *shape: int, kind: str = "LongStorage", offset: int = 0, numel: int | None = None) -> str:
    """An index tensor in C order."""
    strides, step = [], 1
    for length in reversed(shape):
        strides.insert(0, step)
        step *= max(length, 1)
    return tensor(ints(*shape), ints(*strides), integer(offset), storage(kind, f"'{key}'", numel=f"BININT {numel or step}"))


def part(shape: tuple[int, ...], key: str = "0", kind: str = "FloatStorage", numel: int | None = None) -> str:
    """Values in C order."""
    return index(key, *shape, kind=kind, numel=numel)


def build(state: str) -> str:
    return f"{state}BUILD\n"


def args(*parts: str) -> str:
    return "MARK\n" + "".join(parts) + "TUPLE\n"


def equal(wanted: Any) -> Callable[[Any], bool]:
    return lambda found: np.array_equal(np.asarray(found), np.asarray(wanted)) and np.asarray(found).dtype == np.asarray(wanted).dtype


def dense(wanted: Any) -> Callable[[Any], bool]:
    return lambda found: isinstance(found, SparseTensor) and np.array_equal(found.dense(), np.asarray(wanted, found.dtype))


def dequantized(wanted: Any) -> Callable[[Any], bool]:
    return lambda found: isinstance(found, QuantizedTensor) and found.dequantize().dtype == np.float32 and found.dequantize().tolist() == wanted


def inside(found: Any, **state: Any) -> Any:
    """The data of a subclass tensor with these attributes."""
    assert isinstance(found, SubclassTensor) and found.attributes == state
    return found.data


STORED = storage()
VIEW = STORED + integer(1) + ints(2, 2) + ints(1, 2)  # of 0..5: [[1, 3], [2, 4]]
AWAY = STORED + integer(3) + ints(2, 2) + ints(1, 2)
WANTED = np.array([[1, 3], [2, 4]], "f4")
TENSOR = "torch._utils _rebuild_tensor"


def made(function: str, *parts: str) -> str:
    """A call of one of torch._utils."""
    return call("torch._utils", function, "".join(parts))


def legacy_class(of: str, state: str, how: Callable[..., str] = call) -> str:
    module, _, attribute = of.rpartition(".")
    return how(module, attribute) + build(state)


def typed(
    function: str, inner: str, state: str, *, module: str = "torch._tensor", kind: str = "_rebuild_from_type_v2", cls: str = name("torch", "Tensor")
) -> str:
    return call(module, kind, name("torch._utils", function) + cls + inner + state)


COO = index("1", 2, 3)
COO_DATA = {"0": SIX[:3].tobytes(), "1": words(0, 1, 1, 2, 0, 2), "2": words(0, 1, 1, 2, 0, 3)}
THREE = vector("FloatStorage", "'0'", 3)
CSR = {
    "0": SIX[:3].tobytes(),
    "1": words(0, 1, 3),
    "2": words(2, 0, 1),
    "3": words(0, 1, 3, of="i"),
    "4": words(2, 0, 1, of="i"),
    "5": words(1, 2, 3),
    "6": words(2, 1, 0),
}
CSR_DENSE = [[0, 0, 0], [1, 2, 0]]
BLOCKS = {"0": np.arange(12, dtype="<f4").tobytes(), "1": words(0, 1, 3), "2": words(1, 0, 1)}
BATCH = {"0": SIX[:4].tobytes(), "1": words(0, 1, 2, 0, 2, 2), "2": words(1, 0, 0, 1)}


def of_blocks(rows: bool) -> Any:
    """The tensor of three 2 by 2 blocks at (0, 1), (1, 0), (1, 1), or at the same places turned."""
    out = np.zeros((4, 4), "f4")
    for block, (line, place) in zip(np.arange(12, dtype="f4").reshape(3, 2, 2), ((0, 1), (1, 0), (1, 1)), strict=True):
        row, column = (line, place) if rows else (place, line)
        out[row * 2 : row * 2 + 2, column * 2 : column * 2 + 2] = block
    return out


def compressed(
    kind: str, pointers: str = index("1", 3), plain: str = index("2", 3), values: str = THREE, shape: str = size(2, 3), function: str = "_rebuild_sparse_tensor"
) -> str:
    return made(function, layout(kind), args(pointers, plain, values, shape))


def qtensor(quantizer: str, stored: str = storage("QInt8Storage"), shape: str = ints(2, 3), strides: str = ints(3, 1), offset: int = 0) -> str:
    return made("_rebuild_qtensor", stored, integer(offset), shape, strides, quantizer, FALSE, HOOKS)


def per_channel(scales: str, points: str, axis: int = 0) -> str:
    return args(name("torch", "per_channel_affine"), scales, points, integer(axis))


BYTES = {"0": bytes(range(6)), "1": np.array([0.5, 2], "<f8").tobytes(), "2": words(0, 1), "3": np.array([0.5, 1.5], "<f4").tobytes()}
SCALES, POINTS, FLOAT_POINTS = vector("DoubleStorage", "'1'", 2), vector("LongStorage", "'2'", 2), vector("FloatStorage", "'3'", 2)
ARRAY = array(dtype("f4"), ints(3), raw(SIX[1:4].tobytes()))


def on_device(function: str, data: str = ARRAY, of: str = "float32", device: str = text("xla:0"), grad: str = FALSE) -> str:
    return made(function, data, name("torch", of), device, grad)


def wrapper(cls: str = name("acme", "Wrapped"), device: str = CPU, shape: str = ints(4, 3)) -> str:
    return args(cls, name("torch", "float32"), shape, ints(3, 1), integer(0), layout("strided"), device, FALSE)


NESTED = {"0": SIX.tobytes(), "1": words(1, 2, 2, 2), "2": words(2, 1, 2, 1), "3": words(0, 2), "4": words(0, 3)}
TABLES = [index("1", 2, 2), index("2", 2, 2), index("3", 2)]
JAGGED = {"0": SIX.tobytes(), "1": words(0, 1, 3), "2": words(1, 1), "3": words(0, 1, 4), "4": words(1, 3), "5": words(0, -1, 3)}
NJT = "torch.nested._internal.nested_tensor"


def njt(offsets: str = index("1", 3), lengths: str = NONE, dim: str = integer(1), values: str = part((3, 2)), **more: str) -> str:
    return paired(values=values, offsets=offsets, lengths=lengths, _ragged_idx=dim, _metadata_cache="EMPTY_DICT\n", requires_grad=FALSE, **more)


def jagged(parts: str) -> str:
    inner = name(NJT, "_rebuild_njt") + name(NJT, "NestedTensor") + f"{parts}TUPLE1\n" + paired(_ragged_idx=integer(1))
    return call("torch._tensor", "_rebuild_from_type_v2", inner)


def components(wanted: list[Any]) -> Callable[[Any], bool]:
    def check(found: Any) -> bool:
        found = found.data if isinstance(found, SubclassTensor) else found
        return isinstance(found, NestedTensor) and [component.tolist() for component in found.components] == wanted

    return check


def generator(device: str = call("torch", "device", CPU), state: str = integer(7) + NONE + part((6,), kind="ByteStorage")) -> str:
    return call("torch._C", "Generator", device) + build(f"MARK\n{state}TUPLE\n")


def of_class(names: str, prefixes: str = "torch torch.cuda") -> tuple[str, ...]:
    return tuple(f"{prefix}.{of}Tensor" for prefix in prefixes.split() for of in names.split())


DENSE_CLASSES = ("torch.Tensor", *of_class("BFloat16 Bool Byte Char Double Float Half Int Long Short"))
SPARSE_CLASSES = of_class("BFloat16 Byte Char Double Float Half Int Long Short", "torch.sparse torch.cuda.sparse")
U = "torch._utils."
FROM_TYPE = ("torch._tensor._rebuild_from_type_v2",)

ROWS: dict[str, Row] = {
    "_rebuild_tensor (storage, offset, size, stride)": Row(
        names=(U + "_rebuild_tensor",),
        good=made("_rebuild_tensor", VIEW),
        check=equal(WANTED),
        bad=(made("_rebuild_tensor", AWAY), made("_rebuild_tensor", VIEW, FALSE), made("_rebuild_tensor", STORED, integer(0), ints(2))),
    ),
    "_rebuild_tensor_v2 (storage, offset, size, stride, requires_grad, hooks)": Row(
        names=(U + "_rebuild_tensor_v2",),
        good=made("_rebuild_tensor_v2", VIEW, TRUE, HOOKS),
        check=equal(WANTED),
        bad=(
            made("_rebuild_tensor_v2", AWAY, FALSE, HOOKS),
            made("_rebuild_tensor_v2", VIEW, integer(1), HOOKS),
            made("_rebuild_tensor_v2", VIEW, FALSE),
            made("_rebuild_tensor_v2", VIEW, FALSE, text("hooks")),
        ),
    ),
    "_rebuild_tensor_v2 (..., hooks, metadata): neg": Row(
        names=(U + "_rebuild_tensor_v2",),
        good=made("_rebuild_tensor_v2", VIEW, FALSE, HOOKS, paired(neg=TRUE, other=NONE)),
        check=equal(-WANTED),
        bad=(
            made("_rebuild_tensor_v2", VIEW, FALSE, HOOKS, NONE),
            made("_rebuild_tensor_v2", VIEW, FALSE, HOOKS, "EMPTY_DICT\n", NONE),
            made("_rebuild_tensor_v2", AWAY, FALSE, HOOKS, paired(neg=TRUE)),
        ),
    ),
    "_rebuild_tensor_v2 (..., hooks, metadata): conj": Row(
        names=(U + "_rebuild_tensor_v2",),
        data={"0": np.array([1 + 2j, 3 - 4j], "<c8").tobytes()},
        good=made("_rebuild_tensor_v2", storage("ComplexFloatStorage", numel="BININT1 2"), integer(0), ints(2), ints(1), FALSE, HOOKS, paired(conj=TRUE)),
        check=equal(np.array([1 - 2j, 3 + 4j], "c8")),
        bad=(made("_rebuild_tensor_v2", storage("ComplexFloatStorage", numel="BININT1 2"), integer(1), ints(2), ints(1), FALSE, HOOKS, paired(conj=TRUE)),),
    ),
    "_rebuild_tensor_v3 (..., hooks, dtype[, metadata])": Row(
        names=(U + "_rebuild_tensor_v3",),
        data={"0": words(1, 65_535, of="H")},
        good=tensor_v3("uint16", 4, ints(2) + ints(1), flags="EMPTY_DICT\n"),
        check=equal(np.array([1, 65_535], "u2")),
        bad=(
            tensor_v3("uint16", 4, ints(3) + ints(1)),
            tensor_v3("Tensor", 4, ints(2) + ints(1)),
            tensor_v3("uint16", 4, ints(2) + ints(1), flags=NONE),
            made("_rebuild_tensor_v3", VIEW, FALSE, HOOKS, text("uint16")),
        ),
    ),
    "torch.Tensor() or torch.FloatTensor(), BUILD (storage, offset, size, stride)": Row(
        names=DENSE_CLASSES,
        good=legacy_class("torch.FloatTensor", f"MARK\n{VIEW}TUPLE\n"),
        check=equal(WANTED),
        bad=(
            legacy_class("torch.FloatTensor", f"MARK\n{AWAY}TUPLE\n"),
            legacy_class("torch.Tensor", f"MARK\n{VIEW}NONE\nTUPLE\n"),
            call("torch", "FloatTensor", integer(3)),
            call("torch", "Tensor", listed(HALF)),
            legacy_class("torch.FloatTensor", "EMPTY_DICT\n"),
            sparse(
                "sparse_coo",
                f"{legacy_class('torch.LongTensor', args(storage('LongStorage', numel='BININT1 3'), integer(0), ints(1, 1), ints(1, 1)))}BINPUT 9\n"
                + part((1,))
                + ints(1)
                + NONE,
            )
            + "POP\nBINGET 9\n"
            + build(args(storage("LongStorage", numel="BININT1 3"), integer(1), ints(1, 1), ints(1, 1))),
        ),
    ),
    "torch.LongTensor() without a state": Row(
        names=(),
        good=call("torch.cuda", "LongTensor"),
        check=lambda found: found.shape == (0,) and found.dtype == np.int64,
        bad=(new("torch", "LongTensor", NONE),),
    ),
    "Parameter, BUILD (storage, offset, size, stride)": Row(
        names=("torch.nn.parameter.Parameter", "torch.nn.Parameter"),
        good=legacy_class("torch.nn.parameter.Parameter", f"MARK\n{VIEW}TUPLE\n", new),
        check=equal(WANTED),
        bad=(legacy_class("torch.nn.parameter.Parameter", f"MARK\n{AWAY}TUPLE\n", new), legacy_class("torch.nn.parameter.Parameter", "EMPTY_DICT\n", new)),
    ),
    "Parameter, BUILD (data, grad, hooks, requires_grad, volatile)": Row(
        names=("torch.nn.parameter.Parameter",),
        check=equal(WANTED),
        good=legacy_class("torch.nn.parameter.Parameter", f"MARK\n{made('_rebuild_tensor', VIEW)}{NONE}{NONE}{TRUE}{FALSE}TUPLE\n", new),
        bad=(
            legacy_class("torch.nn.parameter.Parameter", f"MARK\n{NONE}{NONE}{NONE}{TRUE}{FALSE}TUPLE\n", new),
            legacy_class("torch.nn.parameter.Parameter", f"MARK\n{made('_rebuild_tensor', VIEW)}{NONE}{NONE}{integer(1)}{FALSE}TUPLE\n", new),
        ),
    ),
    "Parameter(data, requires_grad), BUILD (requires_grad, grad, hooks)": Row(
        names=("torch.nn.parameter.Parameter",),
        check=equal(WANTED),
        good=call("torch.nn.parameter", "Parameter", made("_rebuild_tensor", VIEW) + FALSE) + build(f"MARK\n{TRUE}{NONE}{HOOKS}TUPLE\n"),
        bad=(
            call("torch.nn.parameter", "Parameter", integer(3)),
            call("torch.nn.parameter", "Parameter", made("_rebuild_tensor", VIEW) + integer(0)),
            call("torch.nn.parameter", "Parameter", made("_rebuild_tensor", VIEW)) + build(f"MARK\n{TRUE}{NONE}{text('x')}TUPLE\n"),
        ),
    ),
    "Variable(data), BUILD (requires_grad, volatile, hooks), and Variable, BUILD (data, grad, hooks, requires_grad, volatile)": Row(
        names=("torch.autograd.variable.Variable", "torch.autograd.Variable"),
        good=listed(
            call("torch.autograd.variable", "Variable", made("_rebuild_tensor", VIEW)) + build(args(TRUE, FALSE, HOOKS)),
            new("torch.autograd.variable", "Variable") + build(args(made("_rebuild_tensor", VIEW), NONE, HOOKS, TRUE, FALSE)),
        ),
        check=lambda found: all(np.array_equal(one, WANTED) for one in found),
        bad=(
            call("torch.autograd.variable", "Variable", integer(3)),
            call("torch.autograd.variable", "Variable", made("_rebuild_tensor", AWAY)) + build(args(TRUE, FALSE, HOOKS)),
            call("torch.autograd.variable", "Variable", made("_rebuild_tensor", VIEW)) + build(args(NONE, FALSE, HOOKS)),
        ),
    ),
    "_rebuild_parameter (tensor, requires_grad, hooks)": Row(
        names=(U + "_rebuild_parameter",),
        good=made("_rebuild_parameter", made("_rebuild_tensor", VIEW), TRUE, HOOKS),
        check=equal(WANTED),
        bad=(
            made("_rebuild_parameter", STORED, TRUE, HOOKS),
            made("_rebuild_parameter", made("_rebuild_tensor", VIEW), NONE, HOOKS),
            made("_rebuild_parameter", made("_rebuild_tensor", AWAY), TRUE, HOOKS),
        ),
    ),
    "_rebuild_parameter_with_state (tensor, requires_grad, hooks, state)": Row(
        names=(U + "_rebuild_parameter_with_state",),
        good=made("_rebuild_parameter_with_state", made("_rebuild_tensor", VIEW), TRUE, HOOKS, paired(note=integer(3))),
        check=lambda found: np.array_equal(inside(found, note=3), WANTED),
        bad=(made("_rebuild_parameter_with_state", made("_rebuild_tensor", VIEW), TRUE, HOOKS), made("_rebuild_parameter_with_state", NONE, TRUE, HOOKS, NONE)),
    ),
    "torch.tensor._rebuild_from_type (func, type, args, dict)": Row(
        names=("torch._tensor._rebuild_from_type",),
        check=lambda found: np.array_equal(inside(found, note=3), WANTED),
        good=typed("_rebuild_tensor_v2", f"MARK\n{VIEW}{FALSE}{HOOKS}TUPLE\n", paired(note=integer(3)), module="torch.tensor", kind="_rebuild_from_type"),
        bad=(
            typed("_rebuild_tensor_v2", f"MARK\n{AWAY}{FALSE}{HOOKS}TUPLE\n", paired(note=integer(3)), module="torch.tensor", kind="_rebuild_from_type"),
            typed("_rebuild_tensor_v2", f"MARK\n{VIEW}{FALSE}{HOOKS}TUPLE\n", paired(__class__=NONE), module="torch.tensor", kind="_rebuild_from_type"),
        ),
    ),
    "_rebuild_from_type_v2 (func, type, args, (dict, slots))": Row(
        names=FROM_TYPE,
        check=lambda found: np.array_equal(inside(found, a=1, b=2), WANTED),
        good=typed("_rebuild_tensor_v2", f"MARK\n{VIEW}{FALSE}{HOOKS}TUPLE\n", paired(a=integer(1)) + paired(b=integer(2)) + "TUPLE2\n"),
        bad=(
            typed("_rebuild_tensor_v2", f"MARK\n{VIEW}{FALSE}{HOOKS}TUPLE\n", integer(3)),
            typed("_rebuild_parameter", f"MARK\n{made('_rebuild_tensor', VIEW)}{TRUE}{HOOKS}TUPLE\n", NONE),
            typed("_rebuild_tensor_v2", VIEW.replace(STORED, "") + "EMPTY_TUPLE\n", NONE),
            typed("_rebuild_tensor_v2", f"MARK\n{VIEW}{FALSE}{HOOKS}TUPLE\n", NONE, cls=name("acme", "Tensor")),
        ),
    ),
    "_rebuild_from_type_v2 of a class of its own, under inspect": Row(
        names=FROM_TYPE,
        policy="inspect",
        check=lambda found: found.type == "acme.Tensor" and np.array_equal(inside(found, k=1), WANTED),
        good=typed("_rebuild_tensor_v2", f"MARK\n{VIEW}{FALSE}{HOOKS}TUPLE\n", paired(k=integer(1)), cls=name("acme", "Tensor")),
        bad=(
            typed("_rebuild_tensor_v2", f"MARK\n{AWAY}{FALSE}{HOOKS}TUPLE\n", paired(k=integer(1)), cls=name("acme", "Tensor")),
            typed("_rebuild_tensor_v2", f"MARK\n{VIEW}{FALSE}{HOOKS}TUPLE\n", NONE, cls=name("posix", "system")),
        ),
    ),
    "torch.nn.Buffer: _rebuild_from_type_v2 with its two marks": Row(
        names=FROM_TYPE,
        check=equal(WANTED),
        good=typed("_rebuild_tensor_v2", f"MARK\n{VIEW}{FALSE}{HOOKS}TUPLE\n", paired(persistent=TRUE, _is_buffer=TRUE)),
        bad=(call("torch.nn.parameter", "Buffer", made("_rebuild_tensor", VIEW)),),
    ),
    "a sparse tensor with attributes: _rebuild_from_type_v2 (_rebuild_sparse_tensor, ...)": Row(
        names=FROM_TYPE,
        data=COO_DATA,
        check=lambda found: dense([[0, 0, 0], [1, 0, 2]])(inside(found, note=1)),
        good=typed("_rebuild_sparse_tensor", args(layout("sparse_coo"), args(COO, THREE, size(2, 3), TRUE)), paired(note=integer(1))),
        bad=(
            typed("_rebuild_sparse_tensor", args(layout("sparse_coo"), args(index("2", 2, 3), THREE, size(2, 3), TRUE)), paired(note=integer(1))),
            typed("_rebuild_sparse_tensor", args(layout("sparse_coo"), args(COO, THREE)), NONE),
        ),
    ),
    "a quantised tensor with attributes: _rebuild_from_type_v2 (_rebuild_qtensor, ...)": Row(
        names=FROM_TYPE,
        data=BYTES,
        check=lambda found: dequantized([[0.0, 0.5, 1.0], [4.0, 6.0, 8.0]])(inside(found, note=1)),
        good=typed(
            "_rebuild_qtensor",
            args(storage("QInt8Storage"), integer(0), ints(2, 3), ints(3, 1), per_channel(SCALES, POINTS), FALSE, HOOKS),
            paired(note=integer(1)),
        ),
        bad=(
            typed("_rebuild_qtensor", args(storage("QInt8Storage"), integer(1), ints(2, 3), ints(3, 1), per_channel(SCALES, POINTS), FALSE, HOOKS), NONE),
            typed("_rebuild_qtensor", args(storage("QInt8Storage"), integer(0), ints(2, 3), ints(3, 1), NONE, FALSE, HOOKS), NONE),
        ),
    ),
    "_rebuild_sparse_tensor (sparse_coo, (indices, values, size))": Row(
        names=(U + "_rebuild_sparse_tensor",),
        data=COO_DATA,
        good=sparse("sparse_coo", COO + THREE + size(2, 3)),
        check=dense([[0, 0, 0], [1, 0, 2]]),
        bad=(sparse("sparse_coo", index("2", 2, 3) + THREE + size(2, 3)), sparse("sparse_coo", COO + THREE + size(2, 2)), sparse("sparse_coo", COO + THREE)),
    ),
    "_rebuild_sparse_tensor (sparse_coo, (indices, values, size, is_coalesced)): hybrid, uncoalesced": Row(
        names=(U + "_rebuild_sparse_tensor",),
        data={"0": SIX.tobytes(), "1": words(1, 0, 1)},
        good=sparse("sparse_coo", index("1", 1, 3) + part((3, 2)) + size(2, 2) + FALSE),
        check=lambda found: found.is_coalesced is False and dense([[2, 3], [4, 6]])(found),
        bad=(
            sparse("sparse_coo", index("1", 1, 3) + part((3, 2)) + size(2, 3) + FALSE),
            sparse("sparse_coo", index("1", 1, 3) + part((3, 2)) + size(1, 2) + FALSE),
            sparse("sparse_coo", index("1", 1, 3) + part((3, 2)) + size(2, 2) + integer(0)),
        ),
    ),
    "_rebuild_sparse_tensor (sparse_csr, (crow, col, values, size))": Row(
        names=(U + "_rebuild_sparse_tensor",),
        data=CSR,
        good=compressed("sparse_csr"),
        check=dense([[0, 0, 0], [1, 2, 0]]),
        bad=(
            compressed("sparse_csr", index("5", 3)),
            compressed("sparse_csr", plain=index("6", 3)),
            compressed("sparse_csr", shape=size(2, 2)),
            compressed("sparse_csr", shape=size(3, 3)),
            compressed("sparse_csr", plain=index("4", 3, kind="IntStorage")),
        ),
    ),
    "the same with int32 indices, and crow and col parts of one storage": Row(
        names=(),
        data={**CSR, "7": words(0, 1, 3, 2, 0, 1)},
        check=lambda found: dense([[0, 0, 0], [1, 2, 0]])(found[0]) and dense(CSR_DENSE)(found[1]),
        good=listed(
            compressed("sparse_csr", index("3", 3, kind="IntStorage"), index("4", 3, kind="IntStorage")),
            compressed("sparse_csr", index("7", 3, numel=6), index("7", 3, offset=3, numel=6)),
        ),
        bad=(compressed("sparse_csr", index("7", 3, offset=3, numel=6), index("7", 3, numel=6)),),
    ),
    "_rebuild_sparse_tensor (sparse_csc, ...)": Row(
        names=(U + "_rebuild_sparse_tensor",),
        data=CSR,
        good=compressed("sparse_csc", shape=size(3, 2)),
        check=dense([[0, 1], [0, 2], [0, 0]]),
        bad=(compressed("sparse_csc"), compressed("sparse_csc", index("5", 3), shape=size(3, 2))),
    ),
    "_rebuild_sparse_tensor (sparse_bsr, ...)": Row(
        names=(U + "_rebuild_sparse_tensor",),
        data=BLOCKS,
        good=compressed("sparse_bsr", values=part((3, 2, 2)), shape=size(4, 4)),
        check=dense(of_blocks(True)),
        bad=(
            compressed("sparse_bsr", values=part((3, 2, 2)), shape=size(4, 3)),
            compressed("sparse_bsr", values=part((3, 4)), shape=size(4, 4)),
            compressed("sparse_bsr", values=part((3, 2, 2)), shape=size(6, 4)),
        ),
    ),
    "_rebuild_sparse_tensor (sparse_bsc, ...)": Row(
        names=(U + "_rebuild_sparse_tensor",),
        data=BLOCKS,
        good=compressed("sparse_bsc", values=part((3, 2, 2)), shape=size(4, 4)),
        check=dense(of_blocks(False)),
        bad=(compressed("sparse_bsc", values=part((3, 2, 2)), shape=size(4, 6)),),
    ),
    "the same with batch and dense dimensions": Row(
        names=(),
        data={**BATCH, "3": SIX[:4].tobytes() * 2},
        good=listed(
            compressed("sparse_csr", index("1", 2, 3), index("2", 2, 2), part((2, 2)), size(2, 2, 2)),
            compressed("sparse_csr", index("1", 2, 3), index("2", 2, 2), part((2, 2, 2), "3"), size(2, 2, 2, 2)),
        ),
        check=lambda found: (
            dense([[[0, 0], [1, 0]], [[2, 3], [0, 0]]])(found[0])
            and dense([[[[0, 0], [0, 1]], [[2, 3], [0, 0]]], [[[0, 1], [2, 3]], [[0, 0], [0, 0]]]])(found[1])
        ),
        bad=(
            compressed("sparse_csr", index("1", 2, 3), index("2", 2, 2), part((2, 2)), size(3, 2, 2)),
            compressed("sparse_csr", index("1", 2, 3), index("2", 2, 2), part((2, 2, 2), "3"), size(2, 2, 2, 1)),
        ),
    ),
    "_rebuild_sparse_csr_tensor (layout, (crow, col, values, size))": Row(
        names=(U + "_rebuild_sparse_csr_tensor",),
        data=CSR,
        good=compressed("sparse_csr", function="_rebuild_sparse_csr_tensor"),
        check=dense(CSR_DENSE),
        bad=(
            compressed("sparse_csr", index("5", 3), function="_rebuild_sparse_csr_tensor"),
            made("_rebuild_sparse_csr_tensor", layout("sparse_csr"), args(COO, THREE)),
        ),
    ),
    "torch.sparse.FloatTensor(indices, values, size)": Row(
        names=SPARSE_CLASSES,
        data=COO_DATA,
        good=call("torch.sparse", "FloatTensor", COO + THREE + size(2, 3)),
        check=dense([[0, 0, 0], [1, 0, 2]]),
        bad=(
            call("torch.sparse", "FloatTensor", index("2", 2, 3) + THREE + size(2, 3)),
            call("torch.sparse", "DoubleTensor", COO + THREE + size(2, 3)),
            call("torch.cuda.sparse", "FloatTensor", COO + THREE),
            call("torch.sparse", "FloatTensor"),
            new("torch.sparse", "FloatTensor", COO + THREE + size(2, 3)),
            call("torch.cuda.sparse", "FloatTensor", COO + THREE + size(2, 3)) + build("EMPTY_DICT\n"),
        ),
    ),
    "_rebuild_qtensor (storage, offset, size, stride, scale, zero_point, requires_grad, hooks)": Row(
        names=(U + "_rebuild_qtensor",),
        data=BYTES,
        check=dequantized([[-0.5, 0.0, 0.5], [1.0, 1.5, 2.0]]),
        good=made("_rebuild_qtensor", storage("QInt8Storage"), integer(0), ints(2, 3), ints(3, 1), HALF, integer(1), FALSE, HOOKS),
        bad=(
            made("_rebuild_qtensor", storage("QInt8Storage"), integer(0), ints(2, 3), ints(3, 1), HALF, HALF, FALSE, HOOKS),
            made("_rebuild_qtensor", storage("QInt8Storage"), integer(0), ints(2, 4), ints(3, 1), HALF, integer(1), FALSE, HOOKS),
        ),
    ),
    "_rebuild_qtensor (..., (per_tensor_affine, scale, zero_point), ...)": Row(
        names=(U + "_rebuild_qtensor",),
        data=BYTES,
        check=dequantized([[-0.5, 0.0, 0.5], [1.0, 1.5, 2.0]]),
        good=qtensor(args(name("torch", "per_tensor_affine"), HALF, integer(1))),
        bad=(
            qtensor(args(name("torch", "per_tensor_affine"), HALF, HALF)),
            qtensor(args(name("torch", "per_tensor_affine"), HALF, integer(1)), shape=ints(3, 3)),
            qtensor(args(name("torch", "per_tensor_affine"), HALF, integer(1)), storage("ByteStorage")),
        ),
    ),
    "_rebuild_qtensor (..., (per_channel_affine, lists, axis), ...)": Row(
        names=(U + "_rebuild_qtensor",),
        data=BYTES,
        check=dequantized([[0.0, 0.5, 1.0], [4.0, 6.0, 8.0]]),
        good=qtensor(per_channel(listed(HALF, "BINFLOAT 2.0\n"), listed(integer(0), integer(1)))),
        bad=(qtensor(per_channel(listed(HALF), listed(integer(0)))), qtensor(per_channel(listed(HALF, HALF), listed(integer(0), integer(1)), 2))),
    ),
    "_rebuild_qtensor (..., (per_channel_affine, tensors, axis), ...)": Row(
        names=(U + "_rebuild_qtensor",),
        data=BYTES,
        check=dequantized([[0.0, 0.5, 1.0], [4.0, 6.0, 8.0]]),
        good=qtensor(per_channel(SCALES, POINTS)),
        bad=(qtensor(per_channel(SCALES, POINTS, 1)), qtensor(per_channel(POINTS, POINTS)), qtensor(per_channel(SCALES, vector("BoolStorage", "'4'", 2)))),
    ),
    "the same with float zero points: float_qparams": Row(
        names=(),
        data=BYTES,
        good=qtensor(per_channel(SCALES, FLOAT_POINTS)),
        check=lambda found: found.scheme.endswith("float_qparams") and dequantized([[-0.25, 0.25, 0.75], [3.0, 5.0, 7.0]])(found),
        bad=(qtensor(per_channel(SCALES, vector("ComplexFloatStorage", "'4'", 2))),),
    ),
    "quint4x2 and quint2x4, packed, with strides": Row(
        names=(),
        data={"0": b"\x21\x43\x65", "1": b"\x39\x1b"},
        check=lambda found: found[0].int_repr.tolist() == [[1, 3, 5], [2, 4, 6]] and found[1].int_repr.tolist() == [1, 3, 3, 1],
        good=listed(
            qtensor(args(name("torch", "per_tensor_affine"), HALF, integer(1)), storage("QUInt4x2Storage", numel="BININT1 3"), ints(2, 3), ints(1, 2)),
            qtensor(args(name("torch", "per_tensor_affine"), HALF, integer(1)), storage("QUInt2x4Storage", "'1'", numel="BININT1 2"), ints(4), ints(2)),
        ),
        bad=(
            qtensor(args(name("torch", "per_tensor_affine"), HALF, integer(1)), storage("QUInt4x2Storage", numel="BININT1 3"), ints(7), ints(1)),
            qtensor(args(name("torch", "per_tensor_affine"), HALF, integer(1)), storage("QUInt2x4Storage", "'1'", numel="BININT1 2"), ints(4), ints(2), 2),
        ),
    ),
    "_rebuild_device_tensor_from_numpy, _rebuild_xla_tensor, _rebuild_mlc_tensor (array, dtype, device, requires_grad)": Row(
        names=(U + "_rebuild_device_tensor_from_numpy", U + "_rebuild_xla_tensor", U + "_rebuild_mlc_tensor"),
        good=listed(*(on_device(f"_rebuild_{kind}") for kind in ("device_tensor_from_numpy", "xla_tensor", "mlc_tensor"))),
        check=lambda found: all(part.tolist() == [1, 2, 3] and part.dtype == np.float32 for part in found),
        bad=(
            on_device("_rebuild_xla_tensor", raw(b"1234")),
            on_device("_rebuild_xla_tensor", of="int64"),
            on_device("_rebuild_mlc_tensor", device=integer(0)),
            on_device("_rebuild_xla_tensor", array(dtype("f4"), ints(4), raw(SIX[1:4].tobytes()))),
        ),
    ),
    "the same: bfloat16 travels as float32": Row(
        names=(),
        good=on_device("_rebuild_device_tensor_from_numpy", of="bfloat16"),
        check=lambda found: found.dtype.name == "bfloat16" and found.astype("f4").tolist() == [1, 2, 3],
        bad=(on_device("_rebuild_device_tensor_from_numpy", of="qint8"), on_device("_rebuild_device_tensor_from_numpy", of="Tensor")),
    ),
    "_rebuild_device_tensor_from_cpu_tensor (tensor, dtype, device, requires_grad)": Row(
        names=(U + "_rebuild_device_tensor_from_cpu_tensor",),
        good=on_device("_rebuild_device_tensor_from_cpu_tensor", made("_rebuild_tensor", VIEW)),
        check=equal(WANTED),
        bad=(
            on_device("_rebuild_device_tensor_from_cpu_tensor", made("_rebuild_tensor", VIEW), of="float64"),
            on_device("_rebuild_device_tensor_from_cpu_tensor", STORED),
        ),
    ),
    "_rebuild_meta_tensor_no_storage (dtype, size, stride, requires_grad)": Row(
        names=(U + "_rebuild_meta_tensor_no_storage",),
        good=made("_rebuild_meta_tensor_no_storage", name("torch", "float8_e5m2"), size(2, 3), ints(3, 1), FALSE),
        check=lambda found: found == MetaTensor(dtype="float8_e5m2", shape=(2, 3), strides=(3, 1)),
        bad=(
            made("_rebuild_meta_tensor_no_storage", name("torch", "float32"), size(2, 3), ints(3), FALSE),
            made("_rebuild_meta_tensor_no_storage", name("torch", "float32"), ints(-2), ints(1), FALSE),
        ),
    ),
    "_rebuild_wrapper_subclass (cls, dtype, size, stride, offset, layout, device, requires_grad) under inspect": Row(
        names=(U + "_rebuild_wrapper_subclass",),
        policy="inspect",
        good=typed(
            "_rebuild_wrapper_subclass", wrapper(), NONE + paired(_local_tensor=made("_rebuild_tensor", VIEW)) + "TUPLE2\n", cls=name("acme", "Wrapped")
        ),
        check=lambda found: found.data.shape == (4, 3) and found.data.dtype == "float32" and np.array_equal(found.local, WANTED) and found.placements is None,
        bad=(
            typed("_rebuild_wrapper_subclass", wrapper(cls=name("posix", "system")), NONE, cls=name("acme", "Wrapped")),
            typed("_rebuild_wrapper_subclass", wrapper(shape=ints(4)), NONE, cls=name("acme", "Wrapped")),
        ),
    ),
    "_rebuild_nested_tensor (buffer, sizes, strides, offsets)": Row(
        names=(U + "_rebuild_nested_tensor",),
        data=NESTED,
        good=made("_rebuild_nested_tensor", part((6,)), *TABLES),
        check=components([[[0, 1]], [[2, 3], [4, 5]]]),
        bad=(
            made("_rebuild_nested_tensor", part((6,)), *TABLES[:2], index("4", 2)),
            made("_rebuild_nested_tensor", part((2, 3)), *TABLES),
            made("_rebuild_nested_tensor", part((6,)), *TABLES[:2]),
        ),
    ),
    "_rebuild_njt ({values, offsets, ...}) within _rebuild_from_type_v2": Row(
        names=(f"{NJT}._rebuild_njt",),
        data=JAGGED,
        good=jagged(njt()),
        check=components([[[0, 1]], [[2, 3], [4, 5]]]),
        bad=(
            jagged(njt(index("3", 3))),
            jagged(njt(index("5", 3))),
            jagged(njt(dim=integer(0))),
            jagged(njt(dim=integer(3))),
            jagged(njt(index("2", 2), index("2", 2))),
            jagged(njt(values=NONE)),
            jagged(njt(offsets=part((3,), numel=6))),
            jagged(njt(other=NONE)),
            jagged(paired(values=part((6,)))),
            jagged("EMPTY_DICT\n"),
            jagged(njt(dim=TRUE)),
        ),
    ),
    "_rebuild_njt with lengths, and along another dimension": Row(
        names=(f"{NJT}._rebuild_njt",),
        data=JAGGED,
        good=listed(jagged(njt(lengths=index("2", 2))), call(NJT, "_rebuild_njt", njt(index("1", 3), dim=integer(2), values=part((2, 3))))),
        check=lambda found: (
            components([[[0, 1]], [[2, 3]]])(found[0])
            and components([[[0], [3]], [[1, 2], [4, 5]]])(found[1])
            and found[1].ragged_dim == 2
            and found[0].data.lengths.tolist() == [1, 1]
            and found[1].values.tolist() == [[0, 1, 2], [3, 4, 5]]
            and np.shares_memory(found[1].values, found[1].components[0])
        ),
        bad=(jagged(njt(lengths=index("4", 2))), jagged(njt(lengths=index("1", 3)))),
    ),
    "UninitializedParameter and UninitializedBuffer (requires_grad)": Row(
        names=("torch.nn.parameter.UninitializedParameter", "torch.nn.parameter.UninitializedBuffer"),
        good=listed(*(call("torch.nn.parameter", f"Uninitialized{kind}", FALSE) for kind in ("Parameter", "Buffer"))),
        check=lambda found: found == [MetaTensor(dtype=None, shape=None)] * 2,
        bad=(
            call("torch.nn.parameter", "UninitializedParameter", integer(3)),
            call("torch.nn.parameter", "UninitializedBuffer", FALSE) + build(paired(a=NONE)),
        ),
    ),
    "torch.serialization._get_layout (name)": Row(
        names=("torch.serialization._get_layout",),
        check=lambda found: found == [TorchName("layout", kind) for kind in ("strided", "sparse_bsc", "_mkldnn", "jagged")],
        good=listed(*(layout(kind) for kind in ("strided", "sparse_bsc", "_mkldnn", "jagged"))),
        bad=(layout("nosuch"), call("torch.serialization", "_get_layout", integer(1))),
    ),
    "torch.Size ((ints),)": Row(
        names=("torch.Size",),
        good=listed(size(2, 3), size()),
        check=lambda found: found == [(2, 3), ()],
        bad=(call("torch", "Size", ints(1) + ints(2)), call("torch", "Size", listed(HALF)), call("torch", "Size", integer(3))),
    ),
    "torch.device (type[, index])": Row(
        names=("torch.device",),
        good=listed(call("torch", "device", text("cuda") + integer(1)), call("torch", "device", CPU)),
        check=lambda found: found == [Device("cuda", 1), Device("cpu")],
        bad=(call("torch", "device", integer(0)), call("torch", "device", text("cuda") + integer(-1))),
    ),
    "dtypes and qschemes by name": Row(
        names=(),
        good=listed(name("torch", "float8_e5m2"), name("torch", "per_channel_affine_float_qparams")),
        check=lambda found: [str(item) for item in found] == ["torch.float8_e5m2", "torch.per_channel_affine_float_qparams"],
        bad=(call("torch", "float32"), call("torch", "per_tensor_affine")),
    ),
    "torch.Generator (device), BUILD (seed, offset, state)": Row(
        names=("torch._C.Generator",),
        data={"0": bytes(range(6))},
        good=listed(generator(), generator(call("torch", "device", text("cuda") + integer(1)), integer(7) + integer(4) + part((6,), kind="ByteStorage"))),
        check=lambda found: (
            all(type(one) is Generator and one.state.tolist() == [0, 1, 2, 3, 4, 5] and one.seed == 7 for one in found)
            and [(one.device, one.offset) for one in found] == [("cpu", None), ("cuda:1", 4)]
        ),
        bad=(
            call("torch._C", "Generator"),
            call("torch._C", "Generator", integer(0)),
            generator(state=HALF + NONE + part((6,), kind="ByteStorage")),
            generator(state=integer(7) + NONE + raw(b"123456")),
            generator(state=integer(7) + NONE + part((6,), kind="CharStorage")),
            generator(state=integer(7) + NONE + part((2, 3), kind="ByteStorage")),
            generator(state=integer(1 << 70) + NONE + part((6,), kind="ByteStorage")),
            new("torch._C", "Generator", CPU),
        ),
    ),
    "torch.storage._load_from_bytes (bytes): see formats/test_embedded.py": Row(
        names=("torch.storage._load_from_bytes",),
        good=loading(save()),
        check=lambda found: found.array.tolist() == [0, 1, 2],
        bad=(call("torch.storage", "_load_from_bytes", raw(b"N.")), loading(save() + b"N.")),
    ),
}
