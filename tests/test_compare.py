"""`same`: equality of whatever `load` returns, by value, without recursion, each pair once."""

from __future__ import annotations

import copy
from collections import OrderedDict, defaultdict, deque
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from safeload.compare import same
from safeload.values import Device, Namespace, OpaqueGlobal, OpaqueObject


def opaque(*args: Any) -> OpaqueObject:
    return OpaqueObject(OpaqueGlobal("acme", "K"), args)


EQUAL: list[Any] = [
    None,
    1,
    1.5,
    "x",
    b"x",
    (1, (2, [3])),
    {"a": {"b": [1]}},
    OrderedDict(a=1),
    defaultdict(list, a=[1]),
    deque([1, 2]),
    {1, 2},
    frozenset([1]),
    Device("cpu"),
    np.arange(3),
    np.float32(1),
    np.zeros((0, 3)),
    np.array(5),
    np.zeros(2, ml_dtypes.bfloat16),
    np.zeros(2, [("a", "i4")]),
    Namespace(a=1),
    opaque(1, [np.ones(2)]),
    {opaque(1): 2},
    [opaque(), {"k": opaque(3)}],
]
DIFFERENT: list[tuple[Any, Any]] = [
    (1, 1.0),
    (1, True),
    ([1], (1,)),
    ([1], [1, 2]),
    ({"a": 1}, {"a": 2}),
    ({"a": 1}, {"b": 1}),
    (np.zeros(2), np.ones(2)),
    (np.zeros(2), np.zeros(2, "f4")),
    (np.zeros(2), np.zeros((2, 1))),
    (np.zeros(2), [0.0, 0.0]),
    (opaque(1), opaque(2)),
    (opaque([1]), opaque([2])),
    ({1}, {2}),
    (deque([1]), deque([2])),
    (Namespace(a=1), Namespace(a=2)),
    ({}, OrderedDict()),
]


@pytest.mark.parametrize("value", EQUAL, ids=lambda value: type(value).__name__)
def test_copies_are_the_same(value: Any) -> None:
    other = copy.deepcopy(value)
    assert same(value, other) is True and same(other, value) is True


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=str)
def test_what_differs_is_not(one: Any, other: Any) -> None:
    assert same(one, other) is False and same(other, one) is False and same([one], [other]) is False


@pytest.mark.parametrize("depth", [10, 100_000])
@pytest.mark.parametrize("wrap", [lambda x: [x], lambda x: (x,), lambda x: {"k": x}, opaque])
def test_depth_does_not_recurse(wrap: Any, depth: int) -> None:
    one: Any = 1
    other: Any = 1
    third: Any = 2
    for _ in range(depth):
        one, other, third = wrap(one), wrap(other), wrap(third)
    assert same(one, other) is True and same(one, third) is False


def test_cycles_that_are_alike_are_equal() -> None:
    one: list[Any] = [1]
    other: list[Any] = [1]
    one.append(one)
    other.append(other)
    assert same(one, other) is True
    other[0] = 2
    assert same(one, other) is False


def test_shared_parts_are_compared_once() -> None:
    """2^200 paths, 200 pairs."""
    one: Any = [1]
    other: Any = [1]
    for _ in range(200):
        one, other = [one, one], [other, other]
    assert same(one, other) is True


@pytest.mark.parametrize("wrap", [lambda x: deque([x]), lambda x: Namespace(n=x)])
def test_arrays_are_compared_wherever_they_stand(wrap: Any) -> None:
    assert same(wrap(np.zeros(2)), wrap(np.zeros(2))) is True
    assert same(wrap(np.zeros(2)), wrap(np.ones(2))) is False
