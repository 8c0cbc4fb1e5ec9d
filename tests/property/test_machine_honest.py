"""What picklers write is what the machine builds: values, types, order, shared references and cycles."""

from __future__ import annotations

import pickle
import pickletools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safeload.budget import Budget
from safeload.machine.interpret import interpret

from .oracle import c_unpickler, machine, plain

SETS_SINCE = 4  # before, a set is a call of `set`
BYTES_SINCE = 3  # before, bytes are a call of `_codecs.encode`
BYTEARRAYS_SINCE = 5

QUICK = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
PROTOCOLS = st.integers(0, 5)

text = st.text(st.characters(), max_size=12)  # surrogates too
numbers = st.integers() | st.integers(-(2**4_000), 2**4_000) | st.floats() | st.booleans() | st.none()
hashables = st.recursive(numbers | text, lambda inner: st.tuples(inner) | st.tuples(inner, inner) | st.lists(inner, max_size=5).map(tuple), max_leaves=6)
values = st.recursive(
    numbers | text,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(hashables, inner, max_size=6) | st.lists(inner, max_size=5).map(tuple),
    max_leaves=25,
)
everything = st.recursive(
    numbers | text | st.binary(max_size=12) | st.binary(max_size=12).map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=6) | st.dictionaries(hashables, inner, max_size=6) | st.sets(hashables, max_size=6) | st.frozensets(hashables, max_size=6)
    ),
    max_leaves=25,
)


def built(data: bytes) -> Any:
    """The root of a stream that asks for nothing from outside."""
    graph = interpret(data, budget=Budget())
    assert not graph.log
    assert graph.end == len(data)
    return graph.root


@QUICK
@given(values, PROTOCOLS, st.booleans())
def test_plain_data_comes_back(value: object, protocol: int, in_c: bool) -> None:
    data = pickle.dumps(value, protocol) if in_c else pickle._dumps(value, protocol)  # type: ignore[attr-defined]
    assert plain(built(data)) == plain(value)


@QUICK
@given(everything)
def test_all_plain_types_come_back_at_protocol_5(value: object) -> None:
    assert plain(built(pickle.dumps(value, BYTEARRAYS_SINCE))) == plain(value)


@QUICK
@given(everything, PROTOCOLS)
def test_types_that_older_protocols_spell_as_calls_read_as_cpython_reads_them(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    ours, theirs = machine(data), c_unpickler(data)
    assert ours.accepted, ours
    assert (ours.plain, ours.end) == (theirs.plain, theirs.end)


@QUICK
@given(values, PROTOCOLS)
def test_an_optimised_stream_means_the_same(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert plain(built(pickletools.optimize(data))) == plain(value)


@st.composite
def webs(draw: st.DrawFn) -> object:
    """Lists and dicts that refer to each other in any direction: shared, nested, cyclic."""
    nodes: list[Any] = [draw(st.sampled_from([list, dict]))() for _ in range(draw(st.integers(1, 6)))]
    for node in nodes:
        for position in range(draw(st.integers(0, 4))):
            target = draw(st.sampled_from(nodes) | numbers | text)
            target = (target, node) if draw(st.booleans()) else target
            if isinstance(node, list):
                node.append(target)
            else:
                node[position] = target
    return nodes[0]


@QUICK
@given(webs(), PROTOCOLS, st.booleans())
def test_sharing_and_cycles_come_back(value: object, protocol: int, in_c: bool) -> None:
    data = pickle.dumps(value, protocol) if in_c else pickle._dumps(value, protocol)  # type: ignore[attr-defined]
    assert plain(built(data)) == plain(pickle.loads(data))


@pytest.mark.parametrize("protocol", range(6))
def test_a_tuple_that_contains_itself(protocol: int) -> None:
    inner: list[Any] = []
    value = (inner, 1, 2, 3, 4)
    inner.append(value)
    root = built(pickle.dumps(value, protocol))
    assert root[0][0] is root


@pytest.mark.parametrize("protocol", range(6))
def test_large_data_in_several_frames(protocol: int) -> None:
    value = [{"name": f"layer.{i}", "at": (i, i * 1_000_003), "values": [float(i)] * 3} for i in range(5_000)] + ["x" * 100_000, "y" * 300]
    assert plain(built(pickle.dumps(value, protocol))) == plain(value)


@pytest.mark.parametrize("protocol", range(SETS_SINCE, 6))
def test_many_small_sets_with_the_same_items(protocol: int) -> None:
    """Each container counts its own keys: a thousand sets that hold 1.5 are no attack."""
    value = [frozenset({1.5, (i, 2)}) for i in range(1_000)] + [{1.5: i, (1, 2): i} for i in range(1_000)] + [{1.5, (1, 2)} for _ in range(1_000)]
    assert plain(built(pickle.dumps(value, protocol))) == plain(value)
