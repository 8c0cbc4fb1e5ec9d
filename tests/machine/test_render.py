"""`render`: one line for any value, whatever its depth, width or cycles."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.machine.nodes import Build, Call, Global, Items, PersistentId, SetItems
from safeload.machine.render import render

SYSTEM = Global(0, 0, "posix", "system")
FLOATS = Global(1, 0, "torch", "FloatStorage")
CALL = Call(2, 9, "reduce", SYSTEM, ("curl x | sh",))

SHOWN: list[tuple[Any, str]] = [
    (None, "None"),
    (True, "True"),
    (-5, "-5"),
    (1.5, "1.5"),
    (float("nan"), "nan"),
    ("it's \\ me", r"'it\'s \\ me'"),
    ("a\u202e\n", r"'a\u202e\n'"),
    (b"a\x00", r"b'a\x00'"),
    (bytearray(b"a"), "bytearray(b'a')"),
    (10**100, "<int of 333 bits>"),
    ((), "()"),
    ((1,), "(1,)"),
    ((1, [2, {"k": 3}]), "(1, [2, {'k': 3}])"),
    (set(), "set()"),
    (frozenset(), "frozenset()"),
    ({"b", "a"}, "{'a', 'b'}"),
    (frozenset({2, 1}), "frozenset({1, 2})"),
    (SYSTEM, "posix.system"),
    (Global(0, 0, "a\x1b", "b\n"), r"a\x1b.b\n"),
    (CALL, "posix.system('curl x | sh')"),
    (Call(0, 0, "newobj", SYSTEM, ()), "new posix.system()"),
    (Call(0, 0, "newobj_ex", SYSTEM, (1,), {"k": 2}), "new posix.system(1, **{'k': 2})"),
    (Call(0, 0, "obj", CALL, ()), "posix.system('curl x | sh')()"),
    (PersistentId(0, 0, ("storage", FLOATS, "0", "cpu", 16)), "<storage '0' FloatStorage cpu 16>"),
    (PersistentId(0, 0, ("storage", 1, [], None, "x")), "<storage [] 1 None 'x'>"),
    (PersistentId(0, 0, "7"), "<persistent id '7'>"),
    (Build(0, 0, CALL, {"a": 1}), "posix.system('curl x | sh') gets the state {'a': 1}"),
    (Items(0, 0, "append", SYSTEM, [1, 2]), "posix.system gets the items [1, 2]"),
    (SetItems(0, 0, SYSTEM, ["k", 1, "l", 2]), "posix.system gets the items {'k': 1, 'l': 2}"),
    (list(range(1_000)), "[" + ", ".join(map(str, range(16))) + ", ... 984 more]"),
    (object(), "<object>"),
]


@pytest.mark.parametrize(("value", "text"), SHOWN, ids=lambda part: part if isinstance(part, str) else "")
def test_render(value: object, text: str) -> None:
    assert render(value) == text


def test_a_set_that_nothing_sorts_shows_what_is_in_it() -> None:
    """Mixed items, and nodes, have no order among them; a set of many is not sorted, since only some are shown."""
    assert sorted(render({1, "a"})[1:-1].split(", ")) == ["'a'", "1"]
    assert render({None}) == "{None}"
    shown = render(set(range(1_000)))
    assert shown.startswith("{") and shown.endswith(", ... 984 more}") and shown.count(",") == 16


def test_cycles_show_as_dots() -> None:
    a: list[Any] = [1]
    a.append(a)
    d: dict[Any, Any] = {}
    d["d"] = (d, a)
    assert render(a) == "[1, ...]"
    assert render(d) == "{'d': (..., [1, ...])}"


def test_depth_is_cut_without_recursion() -> None:
    value: Any = ()
    call: Any = SYSTEM
    for _ in range(100_000):
        value = (value,)
        call = Call(0, 0, "reduce", call, ())
    assert "..." in render(value)
    assert "..." in render(call)


def test_a_bomb_costs_what_is_shown() -> None:
    value: Any = ["x"]
    for _ in range(100):
        value = [value] * 1_000_000 if len(value) == 1 else [value] * 10
    assert len(render(value)) <= 203


@pytest.mark.parametrize("value", ["x" * 10**7, b"x" * 10**7, {"k" * 10**6: 1}, Global(0, 0, "m" * 10**6, "n"), ["y" * 500] * 50])
def test_length_is_cut(value: object) -> None:
    assert len(render(value, 80)) <= 80 + 3
    assert render(value, 80).endswith(("...", "...'", "bytes>"))


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary() | st.sampled_from([SYSTEM, CALL])
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(st.characters()), inner), max_leaves=20)


@given(values, st.integers(0, 300))
def test_anything_is_one_printable_line(value: object, limit: int) -> None:
    text = render(value, limit)
    assert len(text) <= limit + 3
    assert text.isprintable() or not text
