"""The inert stand-ins: they print, compare and hash whatever they hold, and never run, recurse or spoil a terminal."""

from __future__ import annotations

import pickle
from argparse import Namespace as ArgparseNamespace
from collections import OrderedDict, deque
from typing import Any

import numpy as np
import pytest
from builds import agree
from hostile.hostile import stream

import safeload
from safeload.values import AttributeDict, Device, Namespace, OpaqueAttribute, OpaqueGlobal, OpaqueObject, TorchName

K = OpaqueGlobal("acme", "K")


def record(state: Any = None, *args: Any) -> OpaqueObject:
    made = OpaqueObject(K, args)
    made.state = state
    return made


def test_names_compare_sort_and_print() -> None:
    assert str(Device("cuda", 1)) == "cuda:1" and str(Device("cpu")) == "cpu" and repr(Device("cpu")) == "device('cpu')"
    assert TorchName("dtype", "float32") == TorchName("dtype", "float32") != TorchName("layout", "float32")
    assert min(OpaqueGlobal("b", "a"), OpaqueGlobal("a", "b")).full == "a.b"
    assert len({Device("cpu"), Device("cpu"), K, OpaqueGlobal("acme", "K")}) == 2
    with pytest.raises(AttributeError):
        K.name = "system"  # type: ignore[misc]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: [x],
        lambda x: {"k": x},
        lambda x: (x,),
        lambda x: deque([x]),
        lambda x: Namespace(x=x),
        lambda x: OrderedDict(k=x),
        lambda x: AttributeDict(k=x),
    ],
)
def test_cyclic_records_print_compare_and_hash(wrap: Any) -> None:
    one, other, odd = record(), record(), record()
    for value in (one, other):
        value.state = wrap(value)
    odd.state = wrap(record("end"))
    assert len(repr(one)) < 200
    assert hash(one) == hash(one)
    assert one == one
    assert (one == other) in (True, False)
    assert one != odd


@pytest.mark.parametrize(
    "wrap", [lambda x: [x], lambda x: record(x), lambda x: (x,), lambda x: {"k": x}, lambda x: record(None, x), lambda x: deque([x]), lambda x: Namespace(x=x)]
)
def test_deep_records_print_and_compare(wrap: Any) -> None:
    def deep() -> OpaqueObject:
        value: Any = 1
        for _ in range(5_000):
            value = wrap(value)
        return record(value)

    assert len(repr(deep())) < 200 and hash(deep()) is not None
    assert (deep() == deep()) in (True, False)


@pytest.mark.parametrize(
    "state", [np.zeros(3), [np.zeros(3)], {"w": np.zeros(3)}, Namespace(w=np.zeros(3)), deque([np.zeros(3)]), (np.zeros(3), {"k": np.ones(2)})], ids=repr
)
def test_records_with_arrays_compare_by_elements(state: Any) -> None:
    import copy

    other = copy.deepcopy(state)
    assert record(state) == record(other)
    assert record(state) != record(None)


def test_records_that_differ_are_unequal() -> None:
    assert record(1) != record(2)
    assert record(None, 1) != record(None, 2)
    assert record(None, 1) != OpaqueObject(OpaqueGlobal("acme", "L"), (1,))
    assert (
        record([np.zeros(2)]) != record([np.zeros(3)])
        and record([np.zeros(2)]) != record([np.zeros(2, "f4")])
        and record([np.zeros(2)]) != record([np.ones(2)])
    )
    assert record() != "acme.K" and record() != None and (record() == 1) is False  # noqa: E711
    assert record([1]) != record((1,)) and record({"a": 1}) != record({"b": 1}) and record({"a": 1}) != record({"a": 1, "b": 2})


def test_attributes_are_what_the_state_shows() -> None:
    assert record({"a": 1}).attributes == {"a": 1}
    assert record(({"a": 1}, {"b": 2})).attributes == {"a": 1, "b": 2} and record((None, {"b": 2})).attributes == {"b": 2}
    assert record().attributes == record([1]).attributes == record((1, 2)).attributes == record("x").attributes == {}
    assert record().type_name == "acme.K" and OpaqueObject(record()).type_name == "?"


@pytest.mark.parametrize("hostile", ["\x1b[31m", "\r\n", "\u202e", "\x00", "\x07", "\ud800"])
def test_text_of_the_file_cannot_reach_a_terminal_by_repr(hostile: str) -> None:
    name = OpaqueGlobal(f"a{hostile}", f"b{hostile}")
    for value in (
        name,
        OpaqueObject(name),
        OpaqueObject(name, (hostile,)),
        record(hostile),
        record(name),
        OpaqueAttribute(name, hostile),
        record(OpaqueAttribute(name, hostile)),
    ):
        assert hostile not in repr(value), repr(value).encode("unicode_escape")


def test_long_things_print_short() -> None:
    assert len(repr(record("x" * 10_000, "y" * 10_000, b"z" * 10_000, 1 << 100_000, list(range(1000))))) < 600


def test_a_deep_attribute_prints() -> None:
    owner: Any = K
    for _ in range(400):
        owner = OpaqueAttribute(owner, "n")
    assert repr(owner).startswith("<acme.K.n") and owner == owner and hash(owner) == hash(owner)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("key", ["__class__", "__dict__", "__eq__", "__init__", "__repr__", "a b", "", "\x1b[31m", "vars", "keys"])
def test_namespaces_hold_hostile_keys_as_data(key: str, protocol: int) -> None:
    hostile = ArgparseNamespace()
    vars(hostile)[key] = 1
    value = agree(pickle.dumps(hostile, protocol))
    if not isinstance(value, safeload.CheckpointError):
        assert type(value) is Namespace and vars(value) == {key: 1} and repr(value) and value == value


def test_an_attribute_dict_is_a_dict() -> None:
    assert AttributeDict(a=1) == {"a": 1} and isinstance(AttributeDict(), dict)
    assert not hasattr(AttributeDict(update=1), "a")
    assert callable(AttributeDict(update=1).update)


def test_an_enum_member_under_inspect() -> None:
    value = agree(stream("GLOBAL builtins getattr\nGLOBAL acme Mode\nBINUNICODE 'FAST'\nTUPLE2\nREDUCE\n"), policy="inspect")
    assert isinstance(value, OpaqueAttribute) and value.full == "acme.Mode.FAST" and value.owner == OpaqueGlobal("acme", "Mode")
