"""What vetting sees of a stream: every use of every name, wherever it stands, and every storage that is a value; and what the report says of them."""

from __future__ import annotations

from typing import Any

import pytest
from hostile.hostile import archive, ints, storage, stream, tensor

import safeload
from policy.listings import Refused, call, integer, keyed, listed, name, new, outcome, paired, text
from safeload.policy.resolve import policy_from_dict

HEAD = {"schema": 1, "name": "ours", "version": "1", "summary": "s", "owner": "o", "mode": "enforce", "default": "deny"}
ENTRY = {"capability": "data.x", "reason": "r"}


def policy(*allows: dict[str, Any], opaque: tuple[str, ...] = (), **more: Any) -> Any:
    """A policy of these entries, which keeps these names as records."""
    entries = [{"id": f"a{number}", **ENTRY, **allow} for number, allow in enumerate(allows)]
    kept = [{"id": "kept", "globals": list(opaque), **ENTRY}] if opaque else []
    return policy_from_dict({**HEAD, "allow": entries, "opaque": kept, **more})


def uses(listing: str, of: Any = None, content: dict[str, bytes] | None = None) -> dict[str, tuple[str, ...]]:
    """The uses of each name of the stream."""
    return {use.global_name: use.uses for use in safeload.scan(archive(listing, content), policy=of).globals}


RECONSTRUCTED = f"{name('copyreg', '_reconstructor')}MARK\n{name('argparse', 'Namespace')}{name('builtins', 'object')}NONE\nTUPLE\nREDUCE\n"
TYPED = call(
    "torch._tensor",
    "_rebuild_from_type_v2",
    f"{name('torch._utils', '_rebuild_tensor_v2')}{name('torch', 'Tensor')}MARK\n{storage()}{integer(0)}{ints(2)}{ints(1)}NEWFALSE\nEMPTY_DICT\nTUPLE\nNONE\n",
)


@pytest.mark.parametrize(
    ("listing", "of", "wanted"),
    [
        (name("argparse", "Namespace"), "argparse.Namespace", ("reference",)),
        (new("argparse", "Namespace"), "argparse.Namespace", ("new",)),
        (new("argparse", "Namespace") + paired(a=integer(1)) + "BUILD\n", "argparse.Namespace", ("build", "new")),
        (call("collections", "OrderedDict"), "collections.OrderedDict", ("call",)),
        (call("collections", "OrderedDict") + name("collections", "OrderedDict") + "TUPLE2\n", "collections.OrderedDict", ("call", "reference")),
        (tensor(), "torch.FloatStorage", ("storage-type",)),
        (RECONSTRUCTED, "argparse.Namespace", ("new",)),
        (RECONSTRUCTED + paired(a=integer(1)) + "BUILD\n", "argparse.Namespace", ("build", "new")),
        (TYPED, "torch._utils._rebuild_tensor_v2", ("call",)),
        (TYPED, "torch.Tensor", ()),
        (name("acme", "f") + "POP\nNONE\n", "acme.f", ()),
        (call("acme", "f") + "POP\nNONE\n", "acme.f", ("call",)),
    ],
)
def test_the_uses_of_a_name_are_what_the_stream_does_with_it(listing: str, of: str, wanted: tuple[str, ...]) -> None:
    assert uses(listing)[of] == wanted


def test_a_module_id_uses_its_class_as_a_reference() -> None:
    listing = f"MARK\n{text('module')}{name('acme', 'Net')}{text('f.py')}{text('pass')}TUPLE\nBINPERSID\n"
    assert uses(listing + "POP\nNONE\n", "inspect") == {"acme.Net": ("reference",)}
    assert uses(listing + "EMPTY_TUPLE\nNEWOBJ\n", "inspect") == {"acme.Net": ("new", "reference")}


def test_a_use_names_the_entry_that_decided() -> None:
    of = policy({"globals": ["collections.OrderedDict"], "uses": ["call"], "as": "ordered-dict"}, opaque=("acme.*",))
    listing = listed(call("collections", "OrderedDict"), call("acme", "f"), call("other", "g"), call("subprocess", "run"))
    found = {use.global_name: use for use in safeload.scan(stream(listing), policy=of).globals}
    assert [(use.decision, use.entry, use.policy) for use in found.values()] == [
        ("allowed", "a0", "ours"), ("opaque", "kept", "ours"), ("denied", None, None), ("denied", None, None),
    ]  # fmt: skip
    assert found["collections.OrderedDict"].capability == "data.x"
    assert found["subprocess.run"].capability == "process.exec" != found["other.g"].capability


# ---- a name that stands as a value ----------------------------------------------------------------------------------------------------------

NAMED = name("collections", "OrderedDict")
CALLED = {"globals": ["collections.OrderedDict"], "uses": ["call"], "as": "ordered-dict"}
DEQUE = {"globals": ["collections.deque"], "uses": ["call"], "as": "deque"}
SPACE = {"globals": ["argparse.Namespace"], "uses": ["new", "build"], "as": "namespace"}
KEPT = policy(CALLED, DEQUE, SPACE, opaque=("acme.*",))
OPEN = policy({**CALLED, "uses": ["call", "reference"]}, DEQUE, SPACE, opaque=("acme.*",))
PLACES = {
    "the result": "{}",
    "a list": listed("{}"),
    "a tuple": "{}TUPLE1\n",
    "a dict": paired(a="{}"),
    "a key": keyed("{}"),
    "a key in a tuple": keyed("{}TUPLE1\n"),
    "a set": "EMPTY_SET\nMARK\n{}ADDITEMS\n",
    "a frozenset": "MARK\n{}FROZENSET\n",
    "deep": listed(paired(a=listed("NONE\n", "{}TUPLE1\n"))),
    "behind others": listed(integer(1), listed(), text("x"), "{}", integer(2)),
    "behind a storage": listed(storage(), "{}"),
    "behind itself": "EMPTY_LIST\nBINPUT 9\nBINGET 9\nAPPEND\n{}APPEND\n",
    "an argument of a record": call("acme", "f", "{}"),
    "an argument of a record in a list": call("acme", "f", listed("{}")),
    "a keyword of a record": name("acme", "f") + "EMPTY_TUPLE\n" + paired(a="{}") + "NEWOBJ_EX\n",
    "a state of a record": new("acme", "C") + "{}BUILD\n",
    "a state in a dict": new("argparse", "Namespace") + paired(a="{}") + "BUILD\n",
    "an item": call("collections", "deque", listed()) + "{}APPEND\n",
    "a value set": call("collections", "OrderedDict") + text("a") + "{}SETITEM\n",
    "a key set": call("collections", "OrderedDict") + "{}NONE\nSETITEM\n",
    "an argument of a call": call("collections", "deque", listed("{}")),
    "an argument of a record that is called": call("acme", "f", "{}") + "EMPTY_TUPLE\nREDUCE\n",
    "an argument of what a record makes": call("acme", "f") + "{}TUPLE1\nREDUCE\n",
    "a call that was popped": call("acme", "f", "{}") + "POP\nNONE\n",
    "a keyword of a popped record": name("acme", "f") + "EMPTY_TUPLE\n" + paired(a="{}") + "NEWOBJ_EX\nPOP\nNONE\n",
    "a state of a popped record": new("acme", "C") + "{}BUILD\nPOP\nNONE\n",
    "an item of a popped call": call("collections", "deque", listed()) + "{}APPEND\nPOP\nNONE\n",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_name_is_found_wherever_it_stands_as_a_value(place: str) -> None:
    listing = PLACES[place].replace("{}", NAMED)
    storages = policy(CALLED, DEQUE, SPACE, {"globals": ["torch.FloatStorage"], "uses": ["storage-type"], "as": "storage-type"}, opaque=("acme.*",))
    of = storages if "storage" in place else KEPT
    (error,) = safeload.scan(archive(listing), policy=of).errors
    assert (error.rule, error.message) == ("SL302", "collections.OrderedDict stands as a value, which its entry does not permit")
    assert safeload.scan(archive(PLACES[place].replace("{}", text("x"))), policy=of).verdict == "accepted"
    if "storage" not in place:
        assert safeload.scan(archive(listing), policy=OPEN).verdict == "accepted"


def test_a_name_that_the_policy_keeps_anyway_may_stand_as_a_value() -> None:
    kept = policy(CALLED, opaque=("collections.*",))
    assert safeload.scan(stream(NAMED), policy=kept).verdict == "accepted"
    assert safeload.scan(stream(NAMED), policy=policy(CALLED)).verdict == "rejected"


# ---- a storage that stands as a value ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [place for place in PLACES if "key" not in place or "keyword" in place])
def test_a_storage_is_found_wherever_it_stands_as_a_value(place: str) -> None:
    """Otherwise its bytes would not be there when the value is built."""
    listing = PLACES[place].replace("{}", storage(key="'7'"))
    found = outcome(archive(listing, {"0": bytes(24), "7": bytes(24)}), "inspect")
    assert not isinstance(found, Refused), found


# ---- how deep ----------------------------------------------------------------------------------------------------------------------------------

DEPTHS = [  # a listing, and how many containers stand in each other
    (integer(1), 0),
    (listed(), 1),
    (listed(integer(1), listed()), 2),
    (listed(listed(listed())), 3),
    (paired(a=f"{listed()}TUPLE1\n"), 3),
    (keyed("NONE\nTUPLE1\nTUPLE1\n"), 3),
    ("MARK\nMARK\nFROZENSET\nFROZENSET\n", 2),
]


@pytest.mark.parametrize(("listing", "depth"), DEPTHS)
def test_the_nesting_of_a_value_is_measured_from_its_top(listing: str, depth: int) -> None:
    assert safeload.scan(stream(listing), limits={"nesting_depth": depth}).verdict == "accepted"
    if depth:
        report = safeload.scan(stream(listing), limits={"nesting_depth": depth - 1})
        assert (report.verdict, report.errors[0].rule) == ("inconclusive", "SL901")
        assert report.errors[0].message.startswith(f"the objects nest deeper than the limit nesting_depth = {depth - 1} allows")


def test_what_stands_twice_is_visited_once() -> None:
    """A hundred levels that each hold the one below twice: 2^100 paths."""
    shared = "EMPTY_LIST\nBINPUT 0\nPOP\n" + "BINGET 0\nBINGET 0\nTUPLE2\nBINPUT 0\nPOP\n" * 40 + "BINGET 0\n"
    records = f"{name('acme', 'f')}BINPUT 1\nPOP\nNONE\nBINPUT 0\nPOP\n" + "BINGET 1\nBINGET 0\nBINGET 0\nTUPLE2\nREDUCE\nBINPUT 0\nPOP\n" * 40 + "BINGET 0\n"
    for listing in (shared, records):
        assert safeload.scan(stream(listing), policy="inspect").verdict == "accepted"
