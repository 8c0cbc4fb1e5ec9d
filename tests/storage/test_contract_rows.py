"""Every call by which some torch release writes a tensor, each argument layout of it with the exact value, and its nearest misses.

One row for each name and layout; `ROWS` holds the tests under the same titles, and a test holds this table, the rows and the shipped policies together: a name
that a policy permits for a tensor and that has no row here fails.

TABLE

_rebuild_tensor (storage, offset, size, stride)
_rebuild_tensor_v2 (storage, offset, size, stride, requires_grad, hooks)
_rebuild_tensor_v2 (..., hooks, metadata): neg
_rebuild_tensor_v2 (..., hooks, metadata): conj
_rebuild_tensor_v3 (..., hooks, dtype[, metadata])
torch.Tensor() or torch.FloatTensor(), BUILD (storage, offset, size, stride)
torch.LongTensor() without a state
Parameter, BUILD (storage, offset, size, stride)
Parameter, BUILD (data, grad, hooks, requires_grad, volatile)
Parameter(data, requires_grad), BUILD (requires_grad, grad, hooks)
Variable(data), BUILD (requires_grad, volatile, hooks), and Variable, BUILD (data, grad, hooks, requires_grad, volatile)
_rebuild_parameter (tensor, requires_grad, hooks)
_rebuild_parameter_with_state (tensor, requires_grad, hooks, state)
torch.tensor._rebuild_from_type (func, type, args, dict)
_rebuild_from_type_v2 (func, type, args, (dict, slots))
_rebuild_from_type_v2 of a class of its own, under inspect
torch.nn.Buffer: _rebuild_from_type_v2 with its two marks
a sparse tensor with attributes: _rebuild_from_type_v2 (_rebuild_sparse_tensor, ...)
a quantised tensor with attributes: _rebuild_from_type_v2 (_rebuild_qtensor, ...)
_rebuild_sparse_tensor (sparse_coo, (indices, values, size))
_rebuild_sparse_tensor (sparse_coo, (indices, values, size, is_coalesced)): hybrid, uncoalesced
_rebuild_sparse_tensor (sparse_csr, (crow, col, values, size))
the same with int32 indices, and crow and col parts of one storage
_rebuild_sparse_tensor (sparse_csc, ...)
_rebuild_sparse_tensor (sparse_bsr, ...)
_rebuild_sparse_tensor (sparse_bsc, ...)
the same with batch and dense dimensions
_rebuild_sparse_csr_tensor (layout, (crow, col, values, size))
torch.sparse.FloatTensor(indices, values, size)
_rebuild_qtensor (storage, offset, size, stride, scale, zero_point, requires_grad, hooks)
_rebuild_qtensor (..., (per_tensor_affine, scale, zero_point), ...)
_rebuild_qtensor (..., (per_channel_affine, lists, axis), ...)
_rebuild_qtensor (..., (per_channel_affine, tensors, axis), ...)
the same with float zero points: float_qparams
quint4x2 and quint2x4, packed, with strides
_rebuild_device_tensor_from_numpy, _rebuild_xla_tensor, _rebuild_mlc_tensor (array, dtype, device, requires_grad)
the same: bfloat16 travels as float32
_rebuild_device_tensor_from_cpu_tensor (tensor, dtype, device, requires_grad)
_rebuild_meta_tensor_no_storage (dtype, size, stride, requires_grad)
_rebuild_wrapper_subclass (cls, dtype, size, stride, offset, layout, device, requires_grad) under inspect
_rebuild_nested_tensor (buffer, sizes, strides, offsets)
_rebuild_njt ({values, offsets, ...}) within _rebuild_from_type_v2
_rebuild_njt with lengths, and along another dimension
UninitializedParameter and UninitializedBuffer (requires_grad)
torch.serialization._get_layout (name)
torch.Size ((ints),)
torch.device (type[, index])
dtypes and qschemes by name
torch.Generator (device), BUILD (seed, offset, state)
torch.storage._load_from_bytes (bytes): see formats/test_embedded.py
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hostile.hostile import HOOKS, archive, ints, storage, vector
from policy.listings import call, integer, listed, name, new, outcome, paired, refused, size, sparse

from safeload.policy.contracts import CONTRACTS
from safeload.policy.resolve import load_policy
from safeload.policy.shipped import SHIPPED
from safeload.tensors import MetaTensor, NestedTensor, QuantizedTensor, SparseTensor, SubclassTensor

from .contract_rows import (
    BYTES,
    COO,
    COO_DATA,
    DENSE_CLASSES,
    FALSE,
    HALF,
    NONE,
    POINTS,
    ROWS,
    SIX,
    VIEW,
    WANTED,
    args,
    build,
    index,
    made,
    per_channel,
    qtensor,
    typed,
    words,
    wrapper,
)  # fmt: skip


@pytest.mark.parametrize("title", ROWS)
def test_a_layout_gives_the_exact_value(title: str) -> None:
    row = ROWS[title]
    found = outcome(archive(row.good, row.data or {"0": SIX.tobytes()}), row.policy)
    assert row.check(found), found


@pytest.mark.parametrize("title", ROWS)
def test_its_nearest_misses_are_refused(title: str) -> None:
    row = ROWS[title]
    assert row.bad
    for bent in row.bad:
        refused(archive(bent, row.data or {"0": SIX.tobytes()}), policy=row.policy)


def table() -> list[str]:
    """The rows as the docstring shows them."""
    return list(ROWS)


def test_the_table_above_lists_the_rows() -> None:
    listed_rows = (__doc__ or "").partition("TABLE\n")[2].strip().splitlines()
    assert listed_rows == table(), "\n".join(table())


def test_every_name_that_a_policy_permits_for_a_tensor_has_a_row() -> None:
    tested = {name for row in ROWS.values() for name in row.names}
    permitted = {
        name
        for policy in SHIPPED
        for name, entry in load_policy(policy).allow_exact.items()
        if entry.uses & {"call", "new"} and (entry.capability == "data.tensor" or entry.constructor == "generator")
    }
    assert permitted - tested == set(), "these have no row"
    assert tested <= permitted


@pytest.mark.parametrize("of", [name.rpartition(".")[2].removesuffix("Tensor") for name in DENSE_CLASSES[1:11]])
def test_each_class_of_old_tensors(of: str) -> None:
    from safeload.storage.dtypes import DTYPES, STORAGE_TYPES

    width = DTYPES[STORAGE_TYPES[f"{of}Storage"]].itemsize
    state = args(storage(f"{of}Storage", numel="BININT1 2"), integer(0), ints(2), ints(1))
    for module in ("torch", "torch.cuda"):
        found = outcome(archive(call(module, f"{of}Tensor") + build(state), {"0": bytes(2 * width)}))
        assert found.shape == (2,) and found.nbytes == 2 * width
    if of != "Bool":
        values = vector(f"{of}Storage", "'0'", 2)
        good = call("torch.sparse", f"{of}Tensor", index("1", 1, 2) + values + size(2))
        assert outcome(archive(good, {"0": bytes(2 * width), "1": words(0, 1)})).dense().shape == (2,)


NOT_FOR_TORCH = (
    "csr_tensor (layout",
    "scale, zero_point, requires_grad",
    "bytes)",
    "xla",
    "njt",
    "Generator",
    "quint4x2",
    "LongTensor() without",
    "tensor._rebuild_from_type (",
)
"""Words of titles that torch 2.13 does not read, or not as this file spells them: names that it has forgotten, states that only a real
generator has, attributes that it drops."""
READ_BY_TORCH = [title for title, row in ROWS.items() if row.policy == "checkpoint" and not any(word in title for word in NOT_FOR_TORCH)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("title", READ_BY_TORCH)
def test_torch_reads_the_same_from_the_same_file(title: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    data = archive(ROWS[title].good, ROWS[title].data or {"0": SIX.tobytes()})
    try:
        theirs = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    except (RuntimeError, AttributeError, TypeError, NotImplementedError) as error:
        pytest.skip(f"torch {torch.__version__} does not read this layout: {str(error)[:80]}")
    same_as_torch(outcome(data), theirs)


def same_as_torch(ours: Any, theirs: Any) -> None:
    """The same dense values, whatever the layout."""
    import torch

    if isinstance(ours, list):
        for one, other in zip(ours, theirs, strict=True):
            same_as_torch(one, other)
    elif isinstance(ours, SubclassTensor):
        assert {key: vars(theirs)[key] for key in ours.attributes} == ours.attributes
        same_as_torch(ours.data, theirs)
    elif isinstance(ours, NestedTensor):
        same_as_torch(list(ours.components), list(theirs.unbind()))
    elif isinstance(ours, MetaTensor):
        assert ours.shape is None or ours.shape == tuple(theirs.shape)
    elif isinstance(theirs, torch.Tensor):
        wanted = theirs.dequantize() if theirs.is_quantized else theirs.to_dense() if theirs.layout != torch.strided else theirs
        found = ours.dequantize() if isinstance(ours, QuantizedTensor) else ours.dense() if isinstance(ours, SparseTensor) else ours
        wanted = wanted.detach().resolve_conj().resolve_neg()
        assert str(found.dtype) == str(wanted.dtype).removeprefix("torch.")
        assert np.array_equal(found.astype("c16"), wanted.to(torch.complex128).numpy())
    elif not isinstance(theirs, torch.Generator):
        assert str(ours) == str(theirs) or tuple(ours) == tuple(theirs)


def test_a_part_with_attributes_stands_in_a_tensor_as_the_plain_array() -> None:
    values = typed("_rebuild_tensor_v2", args(storage("FloatStorage", numel="BININT1 3"), integer(0), ints(3), ints(1), FALSE, HOOKS), paired(note=integer(1)))
    found = outcome(archive(sparse("sparse_coo", COO + values + size(2, 3)), COO_DATA))
    assert found.dense().tolist() == [[0, 0, 0], [1, 0, 2]]
    scales = typed(
        "_rebuild_tensor_v2", args(storage("DoubleStorage", "'1'", numel="BININT1 2"), integer(0), ints(2), ints(1), FALSE, HOOKS), paired(note=integer(1))
    )
    assert outcome(archive(qtensor(per_channel(scales, POINTS)), BYTES)).dequantize().tolist() == [[0.0, 0.5, 1.0], [4.0, 6.0, 8.0]]


def test_a_quantised_view_shares_its_storage() -> None:
    """torch test_qtensor_load_save: `qr` and `qr[:, 1]`."""
    quantizer = args(name("torch", "per_tensor_affine"), HALF, integer(1))
    whole, column = outcome(archive(listed(qtensor(quantizer), qtensor(quantizer, shape=ints(2), strides=ints(3), offset=1)), BYTES))
    assert column.int_repr.tolist() == [1, 4] and np.shares_memory(whole.int_repr, column.int_repr)


def test_a_dtensor_shows_its_local_part_and_how_it_is_spread() -> None:
    spec = new("torch.distributed.tensor._dtensor_spec", "DTensorSpec") + build(
        paired(placements=f"{new('torch.distributed.tensor.placement_types', 'Shard')}{build(paired(dim=integer(0)))}TUPLE1\n", mesh=NONE)
    )
    cls = name("torch.distributed.tensor", "DTensor")
    data = typed("_rebuild_wrapper_subclass", wrapper(cls=cls), NONE + paired(_local_tensor=made("_rebuild_tensor", VIEW), _spec=spec) + "TUPLE2\n", cls=cls)
    found = outcome(archive(data, {"0": SIX.tobytes()}), "inspect")
    assert np.array_equal(found.local, WANTED) and found.global_shape == (4, 3)
    assert [(placed.type_name, placed.attributes) for placed in found.placements] == [("torch.distributed.tensor.placement_types.Shard", {"dim": 0})]


def test_each_contract_of_a_tensor_is_called_by_some_row() -> None:
    """By the constructors that the good listings reach: each that a tensor can come from is among them."""
    reached = {load_policy("inspect").allow_exact[name].constructor for row in ROWS.values() for name in row.names}
    tensors = {key for key, contract in CONTRACTS.items() if "tensor" in contract.produces or contract.produces in ("parameter", "storage", "generator")}
    assert {key for key in tensors if CONTRACTS[key].uses & {"call", "new"}} <= reached
