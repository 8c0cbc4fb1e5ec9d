"""Keys and items that calls and effects bring into a container: all of them are judged, wherever they stand, and both sides of each limit."""

from __future__ import annotations

import pickletools
from typing import Any

import pytest
from hostile.hostile import stream

import safeload
from policy.listings import call, integer, keyed, listed, name, new, paired, text

SAME = [integer(number * ((1 << 61) - 1)) for number in range(1, 5)]  # the hash of an int is its rest
DECIMALS = [call("decimal", "Decimal", text(value)) for value in ("1", "1.0", "1.00", "1.000")]
UNHASHABLE = call("builtins", "bytearray")
CONFIG = ("addict", "Dict")


def pairs(*keys: str, of: str = "TUPLE2\n") -> list[str]:
    """Pairs of a key and None."""
    return [f"{key}NONE\n{of}" for key in keys]


def plain(*keys: str) -> str:
    """A dict with these keys."""
    return "EMPTY_DICT\n" + "".join(f"{key}NONE\nSETITEM\n" for key in keys)


GIVEN = {
    "set": lambda *keys: call("builtins", "set", listed(*keys)),
    "frozenset": lambda *keys: call("builtins", "frozenset", listed(*keys)),
    "pairs": lambda *keys: call("collections", "OrderedDict", listed(*pairs(*keys))),
    "listed pairs": lambda *keys: call("collections", "OrderedDict", listed(*[listed(key, "NONE\n") for key in keys])),
    "counter": lambda *keys: call("collections", "Counter", "EMPTY_DICT\n" + "".join(f"{key}BININT1 1\nSETITEM\n" for key in keys)),
    "config of pairs": lambda *keys: call(*CONFIG, "".join(pairs(*keys))),
    "config of a dict": lambda *keys: call(*CONFIG, plain(*keys)),
    "set items": lambda *keys: call("collections", "OrderedDict") + "".join(f"{key}NONE\nSETITEM\n" for key in keys),
    "add items": lambda *keys: call("builtins", "set", listed()) + "".join(f"MARK\n{key}ADDITEMS\n" for key in keys),
    "dict": plain,
    "plain set": lambda *keys: "EMPTY_SET\nMARK\n" + "".join(keys) + "ADDITEMS\n",
    "plain frozenset": lambda *keys: "MARK\n" + "".join(keys) + "FROZENSET\n",
}


def found(listing: str, **limits: int) -> tuple[str, list[tuple[str, str]]]:
    """Verdict, rules and messages under the policy that knows configurations."""
    report = safeload.scan(stream(listing), policy="config-dicts", limits=limits)
    return report.verdict, [(finding.rule, finding.message) for finding in report.errors]


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("keys", [SAME, DECIMALS], ids=["ints", "Decimals"])
def test_keys_of_one_hash_are_counted_wherever_they_come_in(given: str, keys: list[str]) -> None:
    """Building n of them takes n^2 comparisons: the verdict must not wait for that."""
    made = GIVEN[given](*keys)
    assert found(made, equal_hash_keys=4) == ("accepted", [])
    verdict, ((rule, message), *_) = found(made, equal_hash_keys=3)
    assert (verdict, rule) == ("inconclusive", "SL901")
    assert message.startswith("a container holds more keys with one hash than the limit equal_hash_keys = 3 allows")


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("wrapped", ["", "NONE\nTUPLE2\n", "TUPLE1\nTUPLE1\n"])
def test_a_key_without_a_hash_is_found_wherever_it_comes_in(given: str, wrapped: str) -> None:
    verdict, errors = found(GIVEN[given](text("a"), UNHASHABLE + wrapped))
    assert (verdict, errors[0]) == ("inconclusive", ("SL205", "a value of kind bytearray is used as a dict key or set item, and it has no hash"))


@pytest.mark.parametrize("given", GIVEN)
def test_honest_keys_come_in_everywhere(given: str) -> None:
    assert found(GIVEN[given](text("a"), integer(1), DECIMALS[0], f"{DECIMALS[0]}NONE\nTUPLE2\n", call("builtins", "frozenset", listed()))) == ("accepted", [])


def test_two_ways_into_one_container_add_up() -> None:
    both = call("builtins", "set", listed(*SAME[:2])) + f"MARK\n{SAME[2]}{SAME[3]}ADDITEMS\n"
    assert found(both, equal_hash_keys=4)[0] == "accepted"
    assert found(both, equal_hash_keys=3)[0] == "inconclusive"
    apart = listed(call("builtins", "set", listed(*DECIMALS[:2])), call("builtins", "set", listed(*DECIMALS[2:])))
    assert found(apart, equal_hash_keys=2)[0] == "accepted"


@pytest.mark.parametrize(
    ("odd", "fits"),
    [
        (call("collections", "deque", listed(UNHASHABLE)), True),
        (call("collections", "deque", listed(*SAME)), True),
        (call("collections", "OrderedDict", listed(listed(text("a"), UNHASHABLE))), True),
        (call("collections", "OrderedDict", listed(text("ab"))), False),
        (call("collections", "OrderedDict", listed(f"{text('a')}NONE\nNONE\nTUPLE3\n")), False),
        (call("collections", "Counter"), True),
        (call("builtins", "set"), True),
        (call("builtins", "frozenset"), True),
        (keyed(call("builtins", "frozenset")), True),
        (call(*CONFIG), True),
        (call(*CONFIG, f"{text('a')}{UNHASHABLE}TUPLE2\n"), True),
    ],
)
def test_only_keys_and_items_need_a_hash(odd: str, fits: bool) -> None:
    assert (found(odd, equal_hash_keys=1)[0] == "accepted") is fits


# ---- how heavy a key is -----------------------------------------------------------------------------------------------------------------


def frozen(*items: str) -> str:
    """A frozenset that a call makes."""
    return call("builtins", "frozenset", listed(*items))


A, B = text("a"), text("b")
PAIR = f"{A}{B}TUPLE2\n"
WEIGHTS = [  # a key, the elements that comparing it visits, and how deep it nests: a tuple counts itself
    (frozen(A, f"{B}TUPLE1\n"), 4, 2),
    (frozen(frozen(A, B)), 4, 2),
    (frozen(frozen(frozen(A))), 4, 3),
    (f"{frozen(A, B)}TUPLE1\n", 4, 2),
    (f"{frozen(A, B)}{A}TUPLE2\n", 5, 2),
    (f"{frozen(A)}{frozen(A, B)}TUPLE2\n", 6, 2),
    (f"{frozen(A)}TUPLE1\nTUPLE1\n", 4, 3),
    (f"{frozen(A, B)}TUPLE1\n{A}TUPLE2\n", 6, 3),
    (f"MARK\n{frozen(A, B)}FROZENSET\n", 4, 2),
    (f"MARK\nMARK\n{frozen(A)}FROZENSET\nFROZENSET\n", 4, 3),
]


@pytest.mark.parametrize("into", ["dict", "set items", "frozenset", "add items"])
@pytest.mark.parametrize(("key", "size", "depth"), WEIGHTS)
def test_a_key_is_as_heavy_as_what_comparing_it_visits(key: str, size: int, depth: int, into: str) -> None:
    listing = GIVEN[into](key)
    assert found(listing, key_size=size, key_depth=depth) == ("accepted", [])
    for limit, value, said in (("key_size", size, "has more elements"), ("key_depth", depth, "nests deeper")):
        verdict, errors = found(listing, **{limit: value - 1})
        assert (verdict, errors[0][0]) == ("inconclusive", "SL901")
        assert errors[0][1].startswith(f"a dict key or set item {said} than the limit {limit} = {value - 1} allows")


def test_what_is_wrong_with_a_key_is_said_at_its_call() -> None:
    for made, opcode in ((GIVEN["set"](frozen(frozen(A, B))), "REDUCE"), (GIVEN["set"](UNHASHABLE), "REDUCE"), (GIVEN["set items"](UNHASHABLE), "SETITEM")):
        report = safeload.scan(stream(made), limits={"key_size": 3})
        places = [place for kind, _, place in pickletools.genops(stream(made)) if kind.name == opcode]
        assert (report.errors[0].member, report.errors[0].offset) == (None, places[-1])


@pytest.mark.parametrize("made", [keyed, lambda key: f"EMPTY_SET\nMARK\n{key}ADDITEMS\n", lambda key: keyed(f"{key}TUPLE1\n")])
def test_a_key_in_a_plain_container_is_said_at_its_own_call(made: Any) -> None:
    """The container has no place of its own."""
    listing = listed(made(UNHASHABLE), new("argparse", "Namespace") + paired(a=integer(1)) + "BUILD\n")
    (error,) = safeload.scan(stream(listing)).errors
    places = [place for kind, _, place in pickletools.genops(stream(listing)) if kind.name == "REDUCE"]
    assert (error.rule, error.offset) == ("SL205", places[0])


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (call("collections", "OrderedDict"), "a value of kind ordered-dict is used as a dict key or set item, and it has no hash"),
        (call("decimal", "Decimal", text("sNaN")), "a decimal that has no hash is used as a dict key or set item"),
    ],
)
def test_the_kind_of_a_key_is_named(key: str, said: str) -> None:
    assert found(keyed(key))[1] == [("SL205", said)]


@pytest.mark.parametrize(
    ("text_of", "void"), [("V4", True), ("|V4", True), ("<V4", True), (">V4", True), ("=V4", True), ("i4", False), ("S4", False), ("<i4", False), ("U1", False)]
)
def test_a_scalar_of_bytes_without_a_type_is_no_key(text_of: str, void: bool) -> None:
    made = call("numpy.core.multiarray", "scalar", call("numpy", "dtype", text(text_of)) + f"BINBYTES {bytes(4)!r}\n")
    errors = found(keyed(made))[1]
    assert errors == ([("SL205", "a structured numpy scalar is used as a dict key or set item, and it has no hash")] if void else [])
    assert found(made)[0] == "accepted" and name("numpy", "dtype") in made


@pytest.mark.parametrize("given", GIVEN)
def test_a_tuple_of_many_paths_is_no_key_wherever_it_comes_in(given: str) -> None:
    """Sixty tuples that each hold the one below twice: 2^60 paths, and nobody may walk them, not even to say how many there are."""
    paths = text("a") + "BINPUT 0\nPOP\nBINGET 0\nBINGET 0\nTUPLE2\n" * 60
    for key in (paths, f"{frozen(A)}{paths}TUPLE2\n"):
        verdict, errors = found(GIVEN[given](key))
        assert (verdict, {rule for rule, _ in errors}) == ("inconclusive", {"SL901"})


@pytest.mark.parametrize("given", ["set", "frozenset", "plain set", "plain frozenset", "add items"])
def test_a_set_that_is_no_key_may_be_as_large_as_it_likes(given: str) -> None:
    """Each of its items is light; protocol 4 has an opcode for a frozenset, and protocol 2 a call."""
    items = [f"{text(str(number))}{A}TUPLE2\n" for number in range(30)]
    assert found(GIVEN[given](*items), key_size=20) == ("accepted", [])
    if "frozenset" in given:
        assert found(keyed(GIVEN[given](*items[:4])), key_size=20)[0] == "accepted"
        assert found(keyed(GIVEN[given](*items)), key_size=20)[1][0][1].startswith("a dict key or set item has more elements")


@pytest.mark.parametrize("made", [lambda keys: call("collections", "Counter", keys), lambda keys: call(*CONFIG, keys)], ids=["Counter", "config"])
def test_what_a_call_took_over_counts_with_what_is_added(made: Any) -> None:
    keys = "EMPTY_DICT\n" + "".join(f"{key}BININT1 1\nSETITEM\n" for key in SAME[:2])
    whole = made(keys) + "".join(f"{key}BININT1 1\nSETITEM\n" for key in SAME[2:])
    assert found(whole, equal_hash_keys=4)[0] == "accepted"
    assert found(whole, equal_hash_keys=3)[1][0][0] == "SL901"


def test_a_scalar_of_a_class_of_dtypes_is_a_key() -> None:
    made = call("numpy.core.multiarray", "scalar", call("numpy.dtypes", "Float32DType") + f"BINBYTES {bytes(4)!r}\n")
    assert found(keyed(made)) == ("accepted", [])
