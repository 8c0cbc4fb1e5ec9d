"""The two keys: the table of contracts and the table of builders hold the same constructors, and no state check raises."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeload.machine.nodes import Call, Global
from safeload.policy import contracts
from safeload.policy.contracts import CONTRACTS, OPAQUE
from safeload.rebuild.builders import BUILDERS
from safeload.storage.prove import PROVERS, STATE_PROVERS

NAMES_ALONE = {"plain-class", "singleton", "dtype", "qscheme", "storage-type", "numpy-array-class"}
"""Constructors of names that are values themselves: never called, so nothing builds them."""


def test_contracts_and_builders_are_two_keys_of_one_table() -> None:
    literal = {contract.id for contract in CONTRACTS.values() if contract.literal is not None}
    assert {contract.id for contract in CONTRACTS.values() if not contract.uses & {"call", "new"}} == NAMES_ALONE
    assert literal.isdisjoint(BUILDERS)
    # `reconstructor` becomes the constructor of the class that it is given; `opaque` is what the policy keeps, and has its contract beside the table
    assert set(BUILDERS) == (set(CONTRACTS) - literal - NAMES_ALONE - {"reconstructor"}) | {"opaque"}
    assert OPAQUE.id == "opaque"
    assert set(PROVERS) | set(STATE_PROVERS) <= set(BUILDERS)


def test_each_contract_is_under_its_own_id_and_says_what_it_takes() -> None:
    for key, contract in CONTRACTS.items():
        assert contract.id == key
        assert (contract.literal is None) or not contract.signatures
        if contract.uses & {"call", "new"}:
            assert contract.literal is not None or contract.signatures, key
        assert ("build" in contract.uses) == (contract.state is not None), key


class Plain:
    """Kinds for values without nodes."""

    kinds: ClassVar[list[str]] = []

    def kind(self, node: Any) -> str:
        raise AssertionError(f"{node!r} is asked for its kind")

    canonical = contract = kind


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.binary(max_size=4)
    | st.sampled_from(["int", "_metadata", "<", "__class__"]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=9).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.sampled_from(["int", "_metadata"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(ANYTHING, st.sampled_from([contract for contract in CONTRACTS.values() if contract.state is not None]))
def test_a_state_check_gives_a_sentence_or_none_for_any_plain_value(state: Any, contract: Any) -> None:
    found = contract.state(state, Plain())
    assert found is None or (isinstance(found, str) and found)


@settings(max_examples=300, deadline=None)
@given(st.lists(ANYTHING, max_size=9).map(tuple), st.sampled_from(sorted(CONTRACTS)))
def test_signatures_judge_any_plain_arguments(args: tuple[Any, ...], id: str) -> None:
    contract = CONTRACTS[id]
    if any(signature.accepts(args, Plain()) for signature in contract.signatures):  # type: ignore[arg-type]
        assert contract.produces not in ("tensor", "ndarray", "quantized-tensor", "sparse-tensor") or not args, "a tensor is made of nodes"


@pytest.mark.parametrize("key", ["__class__", "__dict__", "__", "____", b"a", 1, None, ("a",)])
def test_attribute_names_are_plain(key: Any) -> None:
    assert contracts.attributes_state({key: 1}, Plain()) is not None  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["a", "_a", "__a", "a__", "", "keys", "a b"])
def test_what_data_calls_its_attributes_passes(key: str) -> None:
    assert contracts.attributes_state({key: 1}, Plain()) is None  # type: ignore[arg-type]


# ---- the edges of each check ---------------------------------------------------------------------------------------------------------------

KINDS = ["numpy-dtype", "numpy-dtype-class", "bytes", "tensor", "config", "other"]
DTYPE, DTYPE_CLASS, BYTES, TENSOR, CONFIG, OTHER = (Call(index, 0, "reduce", Global(9, 0, "m", "f"), ()) for index in range(len(KINDS)))
NDARRAY = Global(5, 0, "numpy", "ndarray")


class Known:
    """Kinds of these nodes, and the names of classes."""

    kinds = KINDS

    def kind(self, node: Any) -> str:
        return KINDS[node.index]

    def canonical(self, node: Any) -> str:
        return f"{node.module}.{node.name}"

    def contract(self, node: Any) -> None:
        return None


ARRAY = (1, (2,), DTYPE, False, b"")
STATE = (3, "<", None, None, None, -1, -1, 0)
WRAPPED = {"subclass": NDARRAY, "shape": (2,), "order": "C", "dtype": DTYPE, "allow_mmap": True}
NESTED = {"values": TENSOR, "offsets": TENSOR}
EVERY = {**NESTED, "lengths": TENSOR, "_ragged_idx": 1, "_ragged_size": 2, "_metadata_cache": {}, "requires_grad": False}
TAKEN: list[tuple[Any, list[Any]]] = [
    (contracts.empty_state, [None, {}]),
    (contracts.ordered_dict_state, [{}, {"_metadata": {}}]),
    (
        contracts.array_state,
        [
            ARRAY, (0, *ARRAY[1:]), ARRAY[1:], (1, (), *ARRAY[2:]), (1, (1,) * 128, *ARRAY[2:]), (1, (2,), DTYPE_CLASS, 1, bytearray()),
            (1, (2,), DTYPE, True, ""), (1, (2,), DTYPE, True, BYTES),
        ],
    ),
    (
        contracts.dtype_state,
        [
            STATE, (4, *STATE[1:]), (*STATE, None), *((3, order, *STATE[2:]) for order in "<>|="), (3, "|", (DTYPE, 3), *STATE[3:]),
            (3, "|", (DTYPE, (1,) * 128), *STATE[3:]), (3, "|", None, ("a",), {"a": (DTYPE, 0)}, 1, 1, 0), (3, "|", None, (), {}, 1, 1, 0),
            (3, "|", None, tuple(f"f{n}" for n in range(1_000)), {f"f{n}": (DTYPE, 0) for n in range(1_000)}, 1, 1, 0),
        ],
    ),
    (
        contracts.joblib_state,
        [
            WRAPPED, {**WRAPPED, "numpy_array_alignment_bytes": 16}, {**WRAPPED, "numpy_array_alignment_bytes": None}, {**WRAPPED, "order": "F"},
            {**WRAPPED, "dtype": DTYPE_CLASS}, {**WRAPPED, "shape": ()}, {**WRAPPED, "allow_mmap": False},
        ],
    ),
    (contracts.record_state, [(), (1,), {}, {"a": 1}]),
    (contracts.config_dict_state, [None, {}, {"a": 1}, CONFIG]),
    (contracts.config_list_state, [None, {}, {"items": []}, CONFIG]),
    (contracts.config_pairs, [(), (("a", 1),), (("a", 1), ("b", 2)), ({},)]),
    (contracts.config_state, [{"_content": {}}, {"_fields": 1, "a": 2}, {"_val": None}, {"_val": OTHER}]),
    (contracts.uuid_state, [{"int": 0}, {"int": (1 << 128) - 1}, {"int": 1, "is_safe": None}]),
    (contracts.dim_range_state, [[1, 2, 3], (1, None, None), [None, None, None]]),
    (contracts.generator_state, [(1, None, TENSOR), (1, 2, TENSOR)]),
    (
        contracts.jagged_args,
        [(NESTED,), (EVERY,), ({**NESTED, "lengths": TENSOR},), ({**NESTED, "lengths": None},), ({**NESTED, "_ragged_idx": 2, "requires_grad": True},)],
    ),
    (contracts.bytearray_args, [(), (b"",), ("a", "latin-1")]),
    (contracts.pairs_args, [(), ([],), ([[1, 2], ("a", "b")],)]),
    (contracts.default_dict_args, [(), (None,), (Global(5, 0, "builtins", "list"),), (Global(5, 0, "collections", "deque"),)]),
    (contracts.deque_args, [(), ([],), ([], None), ([], 0), ([], (1 << 31) - 1)]),
]  # fmt: skip
REFUSED: list[tuple[Any, str, list[Any]]] = [
    (contracts.empty_state, "is not empty", [{"a": 1}, [], ()]),
    (contracts.ordered_dict_state, "", [{"a": 1}, {"_metadata": {}, "a": 1}, [], ()]),
    (
        contracts.array_state, "the state of an array is",
        [None, (), (2, *ARRAY[1:]), (True, *ARRAY[1:]), (1.0, *ARRAY[1:]), list(ARRAY[1:]), ARRAY[2:], (*ARRAY, 1)],
    ),
    (contracts.array_state, "the shape of an array", [(1, shape, *ARRAY[2:]) for shape in ([2], (True,), (2.0,), (1,) * 129, None)]),
    (contracts.array_state, "the dtype of an array", [(1, (2,), dtype, False, b"") for dtype in (OTHER, None, "f4")]),
    (contracts.array_state, "is_fortran", [(1, (2,), DTYPE, fortran, b"") for fortran in (None, "")]),
    (contracts.array_state, "Python objects", [(1, (2,), DTYPE, False, [])]),
    (contracts.array_state, "the data of an array", [(1, (2,), DTYPE, False, data) for data in (None, OTHER, ())]),
    (contracts.dtype_state, "the state of a dtype", [None, STATE[:7], (*STATE, None, None), (2, *STATE[1:]), list(STATE)]),
    (contracts.dtype_state, "the byte order", [(3, order, *STATE[2:]) for order in ("", "!", None, b"<", "<>")]),
    (contracts.dtype_state, "itemsize, alignment", [(*STATE[:5], *last) for last in ((None, 1, 1), (1, True, 1), (1, 1, 1.0))]),
    (
        contracts.dtype_state, "the subdtype",
        [
            (3, "|", sub, *STATE[3:])
            for sub in (1, (DTYPE,), [DTYPE, 1], (DTYPE, True), (DTYPE, (1.0,)), (DTYPE, (1,) * 129), (OTHER, 1), ("f4", 1), (DTYPE_CLASS, 1))
        ],
    ),
    (contracts.dtype_state, "both names and fields", [(3, "|", None, (), None, 1, 1, 0), (3, "|", None, None, {}, 1, 1, 0)]),
    (
        contracts.dtype_state, "named by text",
        [
            (3, "|", None, names, fields, 1, 1, 0)
            for names, fields in (
                (["a"], {"a": (DTYPE, 0)}), (("a",), [1]), ((1,), {1: (DTYPE, 0)}), (("a",) * 1_001, {"a": (DTYPE, 0)}),
                (("a",), {f"f{n}": (DTYPE, 0) for n in range(1_001)}),
            )
        ],
    ),
    (
        contracts.dtype_state, "do not agree",
        [(3, "|", None, names, {"a": (DTYPE, 0)}, 1, 1, 0) for names in ((), ("b",), ("a", "a"), ("a", "b"))],
    ),
    (
        contracts.dtype_state, "a field of a dtype",
        [(3, "|", None, ("a",), {"a": field}, 1, 1, 0) for field in ((DTYPE,), [DTYPE, 0], (OTHER, 0), (None, 0), (DTYPE, True), (DTYPE, 0, "title"))],
    ),
    (contracts.joblib_state, "the state of a wrapper", [None, {}, {**WRAPPED, "x": 1}, {key: WRAPPED[key] for key in list(WRAPPED)[1:]}]),
    (contracts.joblib_state, "the class of the array", [{**WRAPPED, "subclass": cls} for cls in (None, OTHER, Global(5, 0, "numpy", "memmap"))]),
    (contracts.joblib_state, "the dtype of an array", [{**WRAPPED, "dtype": dtype} for dtype in (None, OTHER)]),
    (
        contracts.joblib_state, "the shape of an array",
        [*({**WRAPPED, "shape": shape} for shape in (2, [2], (True,), (1,) * 129)), *({**WRAPPED, "order": order} for order in ("A", None, b"C"))],
    ),
    (
        contracts.joblib_state, "allow_mmap",
        [*({**WRAPPED, "allow_mmap": value} for value in (1, None)), *({**WRAPPED, "numpy_array_alignment_bytes": n} for n in (8, 16.0, "16"))],
    ),
    (contracts.record_state, "", [None, [], {1: 1}, {"__class__": 1}]),
    (contracts.config_dict_state, "a dict of options", [(), {1: 2}, {"a": 1, 2: 3}, OTHER]),
    (contracts.config_list_state, "a dict of options", [[], {1: 2}, OTHER]),
    (contracts.config_list_state, "are a list", [{"items": ()}, {"items": None}]),
    (contracts.config_pairs, "pairs of key and value", [("a",), (("a", 1), ("b",)), ([1, 2],), ({}, {}), (("a", 1, 2),)]),
    (contracts.config_state, "a dict with text keys", [None, [], {1: 2, "_val": 1}]),
    (contracts.config_state, "holds one of _content, _fields, _val", [{}, {"a": 1}, {"_val": 1, "_content": 2}]),
    (contracts.config_state, "is another one", [{"_val": CONFIG}]),
    (contracts.uuid_state, "the state of a UUID", [None, {}, {"int": -1}, {"int": 1 << 128}, {"int": True}, {"int": 1, "x": 1}, {"int": "1"}]),
    (contracts.dim_range_state, "_DimRange", [None, [1, 2], (1, 2, 3, 4), [1, 2, 3.0], [True, 2, 3], {1: 1, 2: 2, 3: 3}]),
    (
        contracts.generator_state, "the state of a Generator",
        [None, (1, None), (None, None, TENSOR), (1, "2", TENSOR), (1, None, OTHER), (1, None, None), [1, None, TENSOR], (True, None, TENSOR)],
    ),
    (contracts.jagged_args, "the parts of a jagged", [({},), ({"values": TENSOR},), ({**NESTED, "x": 1},)]),
    (contracts.jagged_args, "are tensors", [({**NESTED, "values": OTHER},), ({**NESTED, "offsets": None},), ({**NESTED, "lengths": OTHER},)]),
    (
        contracts.jagged_args, "the ragged dimension",
        [({**NESTED, "_ragged_idx": index},) for index in (None, True, 1.0)] + [({**NESTED, "requires_grad": grad},) for grad in (None, 1)],
    ),
    (contracts.quantized_args, "the quantizer", [(0, 0, 0, 0, quantizer, 0, 0) for quantizer in ((), (1,), (OTHER, 1.0, 0))]),
    (contracts.bytearray_args, "makes bytes here", [("a", "utf-8"), (b"a", "latin-1")]),
    (contracts.pairs_args, "are pairs", [([1],), ([[1]],), ([[1, 2], [1, 2, 3]],), (["ab"],)]),
    (contracts.default_dict_args, "a plain class", [(NDARRAY,)]),
    (contracts.deque_args, "the bound of a deque", [([], -1), ([], 1 << 31)]),
]  # fmt: skip


@pytest.mark.parametrize(("check", "values"), TAKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_what_a_check_takes(check: Any, values: list[Any]) -> None:
    assert [check(value, Known()) for value in values] == [None] * len(values)


@pytest.mark.parametrize(("check", "said", "values"), REFUSED, ids=lambda value: getattr(value, "__name__", value if isinstance(value, str) else ""))
def test_what_a_check_refuses(check: Any, said: str, values: list[Any]) -> None:
    for value in values:
        found = check(value, Known())
        assert found is not None and said in found, value
