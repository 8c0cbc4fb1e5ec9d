"""The two keys: the table of contracts and the table of builders hold the same constructors, and no state check raises."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
