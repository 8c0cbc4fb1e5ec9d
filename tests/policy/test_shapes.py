"""Argument shapes: exact types, no bool for an int, no subclass, and optional arguments last."""

from __future__ import annotations

from typing import Any

import pytest

from safeload.machine.nodes import Call, Global, PersistentId
from safeload.policy.shapes import MAX_SHAPE_LENGTH, WORDS, parse_shape, parse_signature

FUNC = Global(0, 0, "m", "f")
NODES = [FUNC, Call(1, 0, "reduce", FUNC, ()), PersistentId(2, 0, "x")]


class Known:
    """Kinds of three nodes."""

    def __init__(self, *kinds: str) -> None:
        self.kinds = list(kinds)

    def kind(self, node: Any) -> str:
        return self.kinds[node.index]

    def canonical(self, node: Any) -> str:
        return "m.f"

    def contract(self, node: Any) -> None:
        return None


SAMPLES: dict[str, list[Any]] = {
    "none": [None], "bool": [True, False], "int": [0, -1, 1 << 80], "float": [0.5], "number": [0, 0.5, -1, 1 << 80], "str": ["", "abc", "__a"],
    "tuple": [(), (1, 2)], "list": [[], [1]], "dict": [{}, {"a": 1}], "bytes": [b"", bytearray()], "text": ["", "abc", "__a", b"", bytearray()],
    "shape": [(), (1, 2), [], [1]], "hooks": [None, (), [], {}], "identifier": ["abc"],
}  # fmt: skip
ALL: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1 << 80,
    0.5,
    "",
    "abc",
    "__a",
    (),
    (1, 2),
    (True,),
    [],
    [1],
    [[1]],
    {},
    {"a": 1},
    b"",
    bytearray(),
    set(),
    frozenset(),
]


@pytest.mark.parametrize("word", sorted(set(WORDS) - {"any"}))
def test_a_word_takes_its_own_plain_values_and_no_other(word: str) -> None:
    accepts = parse_shape(word).accepts
    wanted = SAMPLES.get(word, [])
    for value in ALL:
        expected = any(type(value) is type(other) and (value == other or word in ("list", "tuple", "dict")) for other in wanted)
        assert accepts(value, Known("", "", "")) is expected, (word, value)


@pytest.mark.parametrize("word", sorted(set(WORDS) - {"any", "class"}))
def test_a_node_of_no_kind_fits_no_word(word: str) -> None:
    assert not any(parse_shape(word).accepts(node, Known("", "", "")) for node in NODES)


def test_a_class_is_a_name_and_nothing_computed() -> None:
    assert [parse_shape("class").accepts(node, Known("class", "class", "class")) for node in NODES] == [True, False, False]


@pytest.mark.parametrize(
    ("word", "kind"), [("storage", "storage"), ("tensor", "parameter"), ("ndarray", "ndarray"), ("dtype", "dtype"), ("size", "size"), ("shape", "size")]
)
def test_a_node_fits_by_its_kind_alone(word: str, kind: str) -> None:
    assert parse_shape(word).accepts(NODES[1], Known("", kind, ""))
    assert not parse_shape(word).accepts(NODES[1], Known(kind, f"class-{kind}", kind))


def test_missing_and_additional_arguments() -> None:
    signature = parse_signature(("int", "str|none", "bool?"))
    known = Known()
    assert [signature.accepts(args, known) for args in [(1, "a"), (1, None), (1, "a", True), (1,), (1, "a", None), (1, "a", True, 1), (True, "a"), ()]] == [
        True
    ] * 3 + [False] * 5
    assert str(signature) == "(int, str|none, bool?)"


@pytest.mark.parametrize("spelled", ["", "?", "integer", "int|", "|int", "int??", "global:", "int |str", "INT"])
def test_words_that_do_not_exist(spelled: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_shape(spelled)


def test_nothing_required_behind_something_optional() -> None:
    with pytest.raises(ValueError, match="optional"):
        parse_signature(("int?", "str"))


def test_a_shape_of_too_many_numbers() -> None:
    assert not parse_shape("shape").accepts((1,) * 1_025, Known())
    assert [parse_shape("shape").accepts((1,) * (MAX_SHAPE_LENGTH + more), Known()) for more in (0, 1)] == [True, False]


def test_a_name_fits_by_its_spelling() -> None:
    """And nothing that is no name, whatever it would be called."""
    known = Known("", "", "")
    assert [parse_shape("global:m.f").accepts(value, known) for value in (*NODES, "m.f", None)] == [True, False, False, False, False]
    assert parse_shape("global:m.g|m.f").accepts(FUNC, known)
    assert not parse_shape("global:m.g").accepts(FUNC, known)


def test_any_number_of_arguments_last() -> None:
    signature = parse_signature(("int", "str?", "none|bool*"))
    rows = {(): False, (1,): True, (1, "a"): True, (1, "a", None, True, None): True, (1, "a", None, 1): False, (1, "a", 1): False, (1, None): False}
    assert {args: signature.accepts(args, Known()) for args in rows} == rows
    assert str(signature) == "(int, str?, none|bool*)"
    assert (signature.required, [shape.optional for shape in signature.shapes]) == (1, [False, True, True])
    assert [parse_signature(("int*",)).accepts(args, Known()) for args in [(), (1,) * 9, (1, "a")]] == [True, True, False]
