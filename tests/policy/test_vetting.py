"""What vetting sees of a stream: every use of every name, wherever it stands, and every storage that is a value; and what the report says of them."""

from __future__ import annotations

import datetime
import sys
from typing import Any

import pytest
from hostile.hostile import archive, ints, storage, stream, tensor
from machine.test_lane import DENIED as CHANGES
from machine.test_lane import many

import safeload
from policy.listings import Refused, call, integer, keyed, listed, name, new, outcome, paired, raw, text
from safeload.api import read
from safeload.budget import Budget, Copies
from safeload.limits import Limits
from safeload.machine.lane import Lane
from safeload.machine.nodes import Call, PersistentId
from safeload.policy.resolve import load_policy, policy_from_dict
from safeload.policy.vet import vet
from safeload.policy.vetted import External, StorageId

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
    (listed(call("collections", "OrderedDict")), 1),
    (listed(call("_codecs", "encode", text("a") + text("latin1"))), 1),
]


@pytest.mark.parametrize(("listing", "depth"), DEPTHS)
def test_the_nesting_of_a_value_is_measured_from_its_top(listing: str, depth: int) -> None:
    assert safeload.scan(stream(listing), limits={"nesting_depth": depth}).verdict == "accepted"
    if depth:
        report = safeload.scan(stream(listing), limits={"nesting_depth": depth - 1})
        assert (report.verdict, report.errors[0].rule) == ("inconclusive", "SL901")
        assert report.errors[0].message.startswith(f"the objects nest deeper than the limit nesting_depth = {depth - 1} allows")


def test_the_nesting_of_calls_is_measured_too() -> None:
    """What is called is inside of what it makes, where both are records."""
    listing = call("acme", "f") + "EMPTY_TUPLE\nREDUCE\n" * 5
    assert safeload.scan(stream(listing), policy="inspect", limits={"nesting_depth": 5}).verdict == "accepted"
    assert [finding.rule for finding in safeload.scan(stream(listing), policy="inspect", limits={"nesting_depth": 4}).errors] == ["SL901"]


@pytest.mark.parametrize("count", [1, 17])
@pytest.mark.parametrize(
    "listing",
    [
        new("torch", "FloatTensor") + f"MARK\n{storage()}{integer(0)}{ints(6)}{ints(1)}TUPLE\nBUILD\n",
        call("collections", "deque", listed()),
    ],
    ids=["a state", "an argument"],
)
def test_the_nesting_within_each_of_a_list_is_measured(listing: str, count: int) -> None:
    data = archive(listed(listed(*[listing] * count)))
    assert safeload.scan(data, limits={"nesting_depth": 5}).verdict == "accepted"
    assert [finding.rule for finding in safeload.scan(data, limits={"nesting_depth": 4}).errors] == ["SL901"]


def test_what_stands_twice_is_visited_once() -> None:
    """A hundred levels that each hold the one below twice: 2^100 paths."""
    shared = "EMPTY_LIST\nBINPUT 0\nPOP\n" + "BINGET 0\nBINGET 0\nTUPLE2\nBINPUT 0\nPOP\n" * 40 + "BINGET 0\n"
    records = f"{name('acme', 'f')}BINPUT 1\nPOP\nNONE\nBINPUT 0\nPOP\n" + "BINGET 1\nBINGET 0\nBINGET 0\nTUPLE2\nREDUCE\nBINPUT 0\nPOP\n" * 40 + "BINGET 0\n"
    for listing in (shared, records):
        assert safeload.scan(stream(listing), policy="inspect").verdict == "accepted"


# ---- one finding for one fault -------------------------------------------------------------------------------------------------------------

DENIED = call("acme", "f")
NO_STORAGE = "a persistent id is not ('storage', type, key, location, numel)"
NO_PARTS = "a storage id does not hold a storage type, a key, a location and a number of elements"
NO_VIEW = "the view of a storage id is not (key, offset, size)"


def pid(*parts: str) -> str:
    """A tuple as a persistent id."""
    return "MARK\n" + "".join(parts) + "TUPLE\nBINPERSID\n"


def stored(key: str = text("0"), location: str = text("cpu"), numel: str = integer(6), kind: str = name("torch", "FloatStorage"), view: str = "") -> str:
    """A persistent id of torch's grammar, from parts."""
    return pid(text("storage"), kind, key, location, numel, view)


@pytest.mark.parametrize(
    ("listing", "wanted"),
    [
        (DENIED + "NONE\nBUILD\n", ["SL301"]),
        (DENIED + "NONE\nAPPEND\n", ["SL301"]),
        (DENIED + "NONE\nNONE\nSETITEM\n", ["SL301"]),
        (DENIED + "EMPTY_TUPLE\nREDUCE\n", ["SL301"]),
        (name("acme", "C") + "NONE\nBUILD\n", ["SL301"]),
        (call("collections", "OrderedDict") + "EMPTY_TUPLE\nREDUCE\n", ["SL303"]),
        (name("collections", "OrderedDict") + "NONE\nBUILD\n", ["SL305"]),
        (storage() + "NONE\nBUILD\n", ["SL305"]),
        (f"{name('copyreg', '_reconstructor')}MARK\n{name('acme', 'C')}{name('builtins', 'object')}NONE\nTUPLE\nREDUCE\n", ["SL301"]),
        (f"{name('copyreg', '_reconstructor')}MARK\n{name('collections', 'OrderedDict')}{name('builtins', 'object')}NONE\nTUPLE\nREDUCE\n", ["SL302"]),
        (new("joblib.numpy_pickle", "NumpyArrayWrapper") + paired(subclass=name("numpy", "ndarray")) + "BUILD\n", ["SL409"]),
    ],
)
def test_what_is_refused_is_said_once(listing: str, wanted: list[str]) -> None:
    assert [finding.rule for finding in safeload.scan(archive(listing)).errors][: len(wanted) + 1] == wanted


@pytest.mark.parametrize(
    ("listing", "said"),
    [
        (pid(), NO_STORAGE),
        (pid(text("storage")), NO_STORAGE),
        (pid(text("module")), NO_STORAGE),
        (pid(text("module"), "NONE\n", "NONE\n"), NO_STORAGE),
        (pid(text("storage"), name("torch", "FloatStorage"), text("0"), text("cpu")), NO_STORAGE),
        (pid(text("storages"), name("torch", "FloatStorage"), text("0"), text("cpu"), integer(6)), NO_STORAGE),
        (pid(text("storage"), name("torch", "FloatStorage"), text("0"), text("cpu"), integer(6), "NONE\n", "NONE\n"), NO_STORAGE),
        (pid(text("module"), text("x"), "NONE\n", "NONE\n"), "a module id is not ('module', class, file, source)"),
        (pid(text("module"), name("acme", "C"), integer(1), "NONE\n"), "a module id is not ('module', class, file, source)"),
        (pid(text("module"), name("acme", "C"), "NONE\n", integer(1)), "a module id is not ('module', class, file, source)"),
        (stored(key=integer(-1)), NO_PARTS),
        (stored(key=integer(1 << 63)), NO_PARTS),
        (stored(key="NEWTRUE\n"), NO_PARTS),
        (stored(key="BINBYTES b'\\xff'\n"), NO_PARTS),
        (stored(location="BINBYTES b'\\xff'\n"), NO_PARTS),
        (stored(location="NONE\n"), NO_PARTS),
        (stored(numel=integer(-1)), NO_PARTS),
        (stored(numel=integer(1 << 63)), NO_PARTS),
        (stored(numel="NEWTRUE\n"), NO_PARTS),
        (stored(kind=text("FloatStorage")), NO_PARTS),
        (stored(kind=name("torch", "float32")), "torch.float32 is no storage type"),
        (stored(kind=name("collections", "OrderedDict")), "collections.OrderedDict is no storage type"),
        *[(stored(view=view), NO_VIEW) for view in (integer(1), text("abc"), "EMPTY_TUPLE\n", f"{text('v')}{integer(0)}TUPLE2\n")],
        *[
            (stored(view=f"{first}{second}{third}TUPLE3\n"), NO_VIEW)
            for first, second, third in (
                (integer(0), integer(0), integer(1)), (text("v"), integer(-1), integer(1)), (text("v"), integer(0), integer(-1)),
                (text("v"), text("0"), integer(1)), (text("v"), integer(0), "NEWTRUE\n"), ("BINBYTES b'\\xff'\n", integer(0), integer(1)),
            )
        ],
        (stored(view=f"MARK\n{text('v')}{integer(0)}{integer(1)}{integer(1)}TUPLE\n"), NO_VIEW),
        (stored(view=listed(text("v"), integer(0), integer(1))), NO_VIEW),
    ],
)  # fmt: skip
def test_a_persistent_id_is_refused_by_what_is_wrong_with_it(listing: str, said: str) -> None:
    found = [(finding.rule, finding.message) for finding in safeload.scan(archive(listing)).errors if finding.rule == "SL306"]
    assert found == [("SL306", said)]


@pytest.mark.parametrize(
    "listing",
    [
        stored(),
        stored(key=integer(0)),
        stored(key="BINBYTES b'0'\n", location="BINBYTES b'cpu'\n"),
        stored(view="NONE\n"),
        stored(view=f"{text('v')}{integer(0)}{integer(0)}TUPLE3\n"),
        stored(view=f"BINBYTES b'v'\n{integer(2)}{integer(4)}TUPLE3\n"),
    ],
)
def test_honest_ids_of_storages(listing: str) -> None:
    assert safeload.scan(archive(listing)).verdict == "accepted"


def test_the_records_of_inspect_may_be_given_what_changes_later() -> None:
    """They hold their state as it is in the end, as the replay shows it; only what a constructor has read must stay."""
    late = "EMPTY_DICT\nBINPUT 0\nPOP\n{}BINGET 0\nBUILD\nBINPUT 1\nPOP\nBINGET 0\n" + text("a") + "NONE\nSETITEM\nPOP\nBINGET 1\n"
    assert outcome(stream(late.format(new("acme", "C"))), "inspect").state == {"a": None}
    (error,) = safeload.scan(stream(late.format(new("argparse", "Namespace")))).errors
    assert (error.rule, error.message) == ("SL206", "argparse.Namespace is given a container that changes afterwards")


def test_a_list_in_a_tuple_must_not_change_either() -> None:
    size = "EMPTY_LIST\nBINPUT 0\nBININT1 5\nAPPEND\n"
    parts = tensor(ints(1, 0), ints(1, 1)) + tensor(ints(0), ints(1)) + size
    layout = call("torch.serialization", "_get_layout", text("torch.sparse_coo"))
    made = f"{name('torch._utils', '_rebuild_sparse_tensor')}{layout}MARK\n{parts}TUPLE\nTUPLE2\nREDUCE\n"
    rules = [finding.rule for finding in safeload.scan(archive(f"{made}BINGET 0\nNONE\nAPPEND\nPOP\n")).errors]
    assert "SL206" in rules and "SL206" not in [finding.rule for finding in safeload.scan(archive(made)).errors]


@pytest.mark.parametrize(
    ("once", "entries"),
    [
        (new("argparse", "Namespace") + "BINGET 0\nBUILD\n", 2_000),
        (call("collections", "OrderedDict", "BINGET 1\n"), 2_000),
        (call("collections", "Counter", "BINGET 2\n"), 2_000),
    ],
    ids=["state", "pairs", "counts"],
)
def test_what_calls_and_states_take_over_is_paid_for(once: str, entries: int) -> None:
    """4 Mi items are free; more than that may only be copied out of as many bytes."""
    keys = "".join(f"BINUNICODE 'k{number}'\n" + "{}" + "SETITEM\n" for number in range(entries))
    both = f"EMPTY_DICT\n{keys.replace('{}', 'BININT1 1' + chr(10))}BINPUT 0\nBINPUT 2\nPOP\n"
    both += listed(*[f"BINUNICODE 'k{number}'\nNONE\nTUPLE2\n" for number in range(entries)]) + "BINPUT 1\nPOP\n"
    whole = both + (once + "POP\n") * 2_300 + "NONE\n"
    report = safeload.scan(stream(whole), limits={"copy_ratio": 1})
    assert [finding.rule for finding in report.errors] == ["SL901"] and "its calls copy more" in report.errors[0].message
    assert safeload.scan(stream(whole), limits={"copy_ratio": 1_000}).verdict == "accepted"


@pytest.mark.parametrize(
    ("listing", "counts"),
    [
        (call("collections", "OrderedDict"), [0]),
        (call("collections", "OrderedDict", listed(f"{text('a')}NONE\nTUPLE2\n", listed(text("b"), "NONE\n"))), [4]),
        (call("collections", "Counter", paired(a=integer(1), b=integer(2))), [2]),
        (call("_codecs", "encode", text("abcd") + text("latin1")), [12]),
        (new("argparse", "Namespace") + paired(a="NONE\n", b="NONE\n", c="NONE\n") + "BUILD\n", [3]),
        (new("argparse", "Namespace"), []),
        (tensor(), [0]),
        (TYPED, [0]),
        (TYPED.replace(ints(2), listed(integer(2))), [2]),  # once as a part of the tuple, once as an argument of the function
    ],
)
def test_what_is_copied_is_counted(listing: str, counts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    spent: list[int] = []
    monkeypatch.setattr(Copies, "spend", lambda self, count, member, offset: spent.append(count))
    safeload.scan(archive(listing))
    assert spent == counts


def test_how_much_may_be_copied_depends_on_the_length_of_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safeload.budget.FREE_COPIES_BYTES", 0)
    counts = paired(**{f"k{number}": integer(1) for number in range(50)}) + "BINPUT 0\nPOP\n"
    again = call("collections", "Counter", "BINGET 0\n") + "POP\n"
    assert safeload.scan(stream(counts + again + "NONE\n"), limits={"copy_ratio": 1}).verdict == "accepted"
    report = safeload.scan(stream(counts + again * 100 + "NONE\n"), limits={"copy_ratio": 1})
    assert [finding.rule for finding in report.errors] == ["SL901"]


# ---- runs of tensor records that are alike -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [(b"", b""), *CHANGES, (b"X\x03\x00\x00\x00cpu", b"X\x03\x00\x00\x00c\xc3\xa9")], ids=str)
@pytest.mark.parametrize("findings", [3, 1_000])
def test_a_run_is_judged_as_each_of_its_records_would_be(change: tuple[bytes, bytes], findings: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = many(30).replace(*change) if change[0] else many(30)
    looks: list[tuple[Any, ...]] = []
    monkeypatch.setattr(Budget, "check_time", lambda self, *place: looks.append((sys._getframe(1).f_code.co_name, *place)))
    limits = {"findings": findings}
    whole = read(data, limits=Limits(**limits))
    assert [len(run.keys) for run in whole.graphs[0][2].runs] == [29]
    if change not in CHANGES:
        assert [name for name, *_ in looks] == [
            "spend_opcodes",
            "log",
            "_run",
            "_run",
            "_log",
        ]  # of the machine; of vetting, for the first and for the run; of the proof
        graph = whole.graphs[0][2]
        assert looks[-1][1:] == (None, graph.log[graph.runs[0].start].offset)
    with monkeypatch.context() as patch:
        patch.setattr(Lane, "take", lambda *_: 0)
        single = read(data, limits=Limits(**limits))
    assert not single.graphs[0][2].runs
    assert whole.report == single.report


def test_an_entry_that_has_expired_is_all_that_is_said() -> None:
    of = policy({"globals": ["collections.deque"], "uses": ["call"], "as": "deque", "expires": datetime.date(2020, 1, 1)})
    report = safeload.scan(stream(call("collections", "deque", integer(1)) + "NONE\nBUILD\n"), policy=of)
    assert [finding.rule for finding in report.errors] == ["SL321"]
    assert [(use.expired, use.decision, use.entry) for use in report.globals] == [(True, "denied", "a0")]


def test_a_run_of_records_that_the_policy_keeps_is_none_of_tensors() -> None:
    kept = policy(CALLED, {"globals": ["torch.FloatStorage"], "uses": ["storage-type"], "as": "storage-type"}, opaque=("torch._utils.*",))
    data = many(30)
    judgement = vet(read(data).graphs[0][2], kept, limits=Limits())
    assert judgement.vetted is not None and not judgement.vetted.runs
    assert "tensor" not in judgement.vetted.constructors


@pytest.mark.parametrize("kind", ["storages", "tensors", "modules"])
def test_a_record_that_another_part_of_the_file_explains_is_in_no_run(kind: str) -> None:
    graph = read(many(30)).graphs[0][2]
    node = [node for node in graph.log if type(node) is PersistentId][5]
    other = StorageId(index=node.index, offset=0, storage_type="DoubleStorage", key="elsewhere", location="cpu", numel=9, view=None)
    explained: dict[str, Any] = {"storages": other, "tensors": None, "modules": next(iter(graph.globals.values()))}
    judgement = vet(graph, load_policy("checkpoint"), limits=Limits(), external=External(**{kind: {node.index: explained[kind]}}))
    if kind == "storages":
        assert judgement.vetted is not None and judgement.vetted.storages[node.index] == other
        assert len(judgement.vetted.storages) == 30
    else:
        assert judgement.vetted is None
        assert {finding.rule for finding in judgement.findings} <= {"SL304", "SL306"}
    honest = vet(graph, load_policy("checkpoint"), limits=Limits()).vetted
    assert honest is not None and len(honest.storages) == 30 and not honest.loose


# ---- records, and what a call makes that does not fit ------------------------------------------------------------------------------------


def typed(cls: str, args: str = "", state: str = "NONE\n") -> str:
    """A call of `_rebuild_from_type_v2` for a tensor of this class."""
    inner = args or f"MARK\n{storage()}{integer(0)}{ints(2)}{ints(1)}NEWFALSE\nEMPTY_DICT\nTUPLE\n"
    return call("torch._tensor", "_rebuild_from_type_v2", f"{name('torch._utils', '_rebuild_tensor_v2')}{cls}{inner}{state}")


def test_a_tensor_of_a_class_that_is_kept_as_a_record() -> None:
    assert safeload.scan(archive(typed(name("torch", "Tensor")))).verdict == "accepted"
    assert safeload.scan(archive(typed(name("acme", "T"))), policy="inspect").verdict == "accepted"
    assert safeload.scan(archive(typed(name("acme", "T"))), policy="inspect").tensors
    said = [(finding.rule, finding.message) for finding in safeload.scan(archive(typed(name("acme", "T")))).errors]
    assert [rule for rule, _ in said] == ["SL301", "SL304"]
    assert said[1][1].endswith("the class of the tensor is not one that the policy keeps as a record")


@pytest.mark.parametrize(
    ("state", "fine"),
    [
        (f"NONE\n{paired(a=integer(1))}TUPLE2\n", True),
        (f"{paired(a=integer(1))}NONE\nTUPLE2\n", True),
        (f"NONE\n{keyed(integer(1))}TUPLE2\n", False),
        (f"NONE\n{integer(1)}TUPLE2\n", False),
        ("NONE\nTUPLE1\n", False),
    ],
)
def test_the_attributes_of_a_typed_tensor_in_a_dict_and_in_slots(state: str, fine: bool) -> None:
    report = safeload.scan(archive(typed(name("torch", "Tensor"), state=state)))
    assert [finding.rule for finding in report.errors] == ([] if fine else ["SL304"])


@pytest.mark.parametrize("args", ["", name("torch", "Tensor"), name("torch", "Tensor") + "NONE\nNONE\n", name("torch", "Tensor") + "NONE\n"])
def test_a_typed_tensor_without_its_parts(args: str) -> None:
    listing = call("torch._tensor", "_rebuild_from_type_v2", name("torch._utils", "_rebuild_tensor_v2") + args)
    assert [finding.rule for finding in safeload.scan(archive(listing)).errors] == ["SL304"]


def test_the_parts_of_a_typed_tensor_must_not_change_either() -> None:
    size = "EMPTY_LIST\nBINPUT 0\nBININT1 5\nAPPEND\n"
    parts = tensor(ints(1, 0), ints(1, 1)) + tensor(ints(0), ints(1)) + size
    layout = call("torch.serialization", "_get_layout", text("torch.sparse_coo"))
    inner = f"{layout}MARK\n{parts}TUPLE\nTUPLE2\n"
    made = call("torch._tensor", "_rebuild_from_type_v2", f"{name('torch._utils', '_rebuild_sparse_tensor')}{name('torch', 'Tensor')}{inner}NONE\n")
    rules = [finding.rule for finding in safeload.scan(archive(f"{made}BINGET 0\nNONE\nAPPEND\nPOP\n")).errors]
    assert "SL206" in rules and "SL206" not in [finding.rule for finding in safeload.scan(archive(made)).errors]


def test_the_pairs_of_a_list_must_not_change_either() -> None:
    made = call("collections", "OrderedDict", listed(listed(text("a"), "NONE\n") + "BINPUT 0\n"))
    assert safeload.scan(stream(made)).verdict == "accepted"
    (error,) = safeload.scan(stream(f"{made}BINGET 0\nNONE\nAPPEND\nPOP\n")).errors
    assert error.rule == "SL206"


def test_what_a_call_made_may_be_an_argument_of_another() -> None:
    encoded = call("_codecs", "encode", text("ab") + text("latin1"))
    assert outcome(stream(call("builtins", "bytearray", encoded))) == bytearray(b"ab")
    hour = call("datetime", "timedelta", integer(0) + integer(3_600) + integer(0))
    assert outcome(stream(call("datetime", "timezone", hour))) == datetime.timezone(datetime.timedelta(hours=1))


def test_a_storage_that_nothing_explains_is_wrong_in_its_argument() -> None:
    graph = read(stream(call("torch.storage", "_load_from_bytes", raw(b"N.")))).graphs[-1][2]
    (finding,) = vet(graph, load_policy("checkpoint"), limits=Limits()).findings
    assert (finding.rule, finding.message) == ("SL304", "the argument of torch.storage._load_from_bytes is not one storage that torch saved")


def test_items_of_a_list_are_no_keys() -> None:
    assert list(outcome(stream(call("collections", "deque", listed()) + listed() + "APPEND\n"))) == [[]]


def test_a_state_that_does_not_fit_makes_a_record_where_the_policy_keeps_the_name() -> None:
    listing = new("argparse", "Namespace") + listed() + "BUILD\n"
    assert outcome(stream(listing), policy(SPACE, opaque=("argparse.*",))).state == []
    assert safeload.scan(stream(listing), policy=policy(SPACE)).errors[0].rule == "SL305"


def test_what_a_record_makes_may_be_given_a_state() -> None:
    made = call("acme", "f") + "EMPTY_TUPLE\nREDUCE\n"
    assert outcome(stream(made + "NONE\nBUILD\n"), "inspect").state is None
    assert safeload.scan(stream(made + "NONE\nAPPEND\n"), policy="inspect").verdict == "accepted"


@pytest.mark.parametrize("count", [15, 16, 17, 40])
def test_a_name_is_found_in_a_list_of_calls(count: int) -> None:
    calls = [call("collections", "deque", listed())] * (count - 1)
    report = safeload.scan(stream(listed(*calls, call("collections", "deque", listed(NAMED)))), policy=KEPT)
    assert [finding.rule for finding in report.errors] == ["SL302"]
    assert safeload.scan(stream(listed(*calls, call("collections", "deque", listed(text("x"))))), policy=KEPT).verdict == "accepted"


def test_only_a_storage_outside_of_tensors_stands_as_a_value() -> None:
    def loose(listing: str) -> set[int]:
        vetted = vet(read(archive(listing)).graphs[0][2], load_policy("checkpoint"), limits=Limits()).vetted
        assert vetted is not None
        return vetted.loose

    assert loose(listed(tensor(), tensor())) == set()
    assert len(loose(listed(tensor(), storage()))) == 1


@pytest.mark.parametrize("count", [1, 16, 17, 40])
def test_storages_that_calls_make_stand_as_values_in_a_list_of_any_length(count: int) -> None:
    made = call("torch.storage", "_load_from_bytes", raw(b"N."))
    graph = read(stream(listed(*[made] * count))).graphs[-1][2]
    calls = [node.index for node in graph.log if type(node) is Call]
    explained = {index: StorageId(index=index, offset=0, storage_type="FloatStorage", key=str(index), location="cpu", numel=1, view=None) for index in calls}
    vetted = vet(graph, load_policy("checkpoint"), limits=Limits(), external=External(storages=explained)).vetted
    assert vetted is not None and vetted.loose == set(calls) and len(calls) == count


# ---- the report ----------------------------------------------------------------------------------------------------------------------------


def test_a_place_names_its_member() -> None:
    (use,) = safeload.scan(archive(call("collections", "OrderedDict"))).globals
    assert {member for member, _ in use.places} == {"a/data.pkl"}
    (use,) = safeload.scan(stream(call("collections", "OrderedDict"))).globals
    assert {member for member, _ in use.places} == {""}


@pytest.mark.parametrize(("limit", "kept"), [(0, 1), (1, 1), (3, 3), (5, 5), (9, 5)])
def test_findings_beyond_the_limit_are_counted(limit: int, kept: int) -> None:
    graph = read(stream(listed(*(name("collections", "OrderedDict") + "NONE\nBUILD\n" for _ in range(5))))).graphs[0][2]
    judgement = vet(graph, load_policy("checkpoint"), limits=Limits(findings=limit))
    assert (len(judgement.findings), judgement.suppressed) == (kept, 5 - kept)
