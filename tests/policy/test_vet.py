"""The vetting: late changes, hostile keys, stand-ins for classes, popped calls; what scan accepts, load gives, equal to what CPython makes of it."""

from __future__ import annotations

import io
import pickle
import sys
import tracemalloc
import types
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

import msgspec
import numpy as np
import pytest
from hostile.hostile import archive, ints, stream, tensor
from hypothesis import given, settings
from hypothesis import strategies as st

import safeload
from policy.listings import (
    TWO,
    Refused,
    array,
    call,
    dtype,
    fields_of,
    integer,
    keyed,
    layout,
    listed,
    name,
    new,
    outcome,
    paired,
    raw,
    refused,
    scalar,
    sparse,
    text,
)
from safeload.api import read
from safeload.budget import Budget
from safeload.limits import DEFAULT_LIMITS
from safeload.machine.nodes import ObjectGraph
from safeload.opcodes.assemble import assemble
from safeload.policy import vet as vetting
from safeload.policy.resolve import load_policy, policy_from_dict
from safeload.policy.vet import vet
from safeload.policy.vetted import Vetted
from safeload.values import Namespace, OpaqueObject

RECONSTRUCTOR = name("copyreg", "_reconstructor")
EMPTY_GRAPH = ObjectGraph(root=None, log=[], globals={}, mentions={}, changed_at={}, protocol=2, opcodes=0, start=0, end=0)


def reconstructed(module: str, attribute: str) -> str:
    """`_reconstructor(cls, object, None)`."""
    return f"{RECONSTRUCTOR}MARK\n{name(module, attribute)}{name('builtins', 'object')}NONE\nTUPLE\nREDUCE\n"


def module_id(module: str, attribute: str) -> str:
    """`("module", cls, file, source)` as a persistent id."""
    return f"MARK\n{text('module')}{name(module, attribute)}{text('f.py')}{text('pass')}TUPLE\nBINPERSID\n"


def narrowed(*allows: dict[str, Any]) -> Any:
    """A policy of these entries."""
    head = {"schema": 1, "name": "m", "version": "1", "summary": "s", "owner": "o", "mode": "enforce", "default": "deny"}
    entries = [{"id": f"a{n}", "capability": "data.x", "reason": "r", **allow} for n, allow in enumerate(allows)]
    return policy_from_dict({**head, "allow": entries})


# ---- the seal -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seal", [None, True, object(), Vetted, "_SEAL", 0])
def test_nobody_else_makes_a_vetted(seal: Any) -> None:
    with pytest.raises(TypeError, match=r"only safeload\.policy\.vet"):
        Vetted(seal, **dict.fromkeys(Vetted.__slots__))  # type: ignore[arg-type]


def test_a_vetted_is_made_where_nothing_is_found_and_nowhere_else() -> None:
    policy = load_policy("checkpoint")
    assert type(vet(EMPTY_GRAPH, policy, limits=DEFAULT_LIMITS).vetted) is Vetted
    bad = read(stream("GLOBAL posix system\n")).graphs[0][2]
    judgement = vet(bad, policy, limits=DEFAULT_LIMITS)
    assert judgement.vetted is None
    assert [finding.rule for finding in judgement.findings] == ["SL301"]
    assert not hasattr(vetting, "__all__")


# ---- equal to CPython ---------------------------------------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(st.characters(exclude_categories=["Cs"]), max_size=6), st.binary(max_size=6)
)
KEYS = st.recursive(SCALARS, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4).map(OrderedDict),
        st.dictionaries(KEYS, st.integers(), max_size=4).map(Counter),
        st.dictionaries(KEYS, inner, max_size=3).map(lambda items: defaultdict(list, items)),
        st.lists(inner, max_size=4).map(lambda items: deque(items, 3)),
        st.lists(inner, max_size=4).map(deque),
        st.sets(KEYS, max_size=4),
        st.frozensets(KEYS, max_size=4),
        st.binary(max_size=5).map(bytearray),
        st.dictionaries(st.sampled_from("abc"), inner).map(lambda items: types.SimpleNamespace(**items)),
    ),
    max_leaves=12,
)


def twin(first: Any, second: Any) -> bool:
    """The same types and values, deeply. SimpleNamespace and our Namespace are one."""
    if isinstance(first, types.SimpleNamespace):
        return isinstance(second, types.SimpleNamespace) and twin(vars(first), vars(second))
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return (
            list(first) == list(second)
            and all(twin(first[key], second[key]) for key in first)
            and getattr(first, "default_factory", 0) is getattr(second, "default_factory", 0)
        )
    if isinstance(first, (list, tuple, deque)):
        return len(first) == len(second) and all(map(twin, first, second)) and getattr(first, "maxlen", 0) == getattr(second, "maxlen", 0)
    return bool(first == second)


@settings(max_examples=300, deadline=None)
@given(TREES, st.integers(0, 5))
def test_what_is_accepted_equals_what_cpython_makes(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    found = outcome(data)
    assert twin(pickle.loads(data), found), (value, found)


LATE = {  # what is made of the container in memo 0, the container, and what changes it
    "set": ("GLOBAL builtins set\nBINGET 0\nTUPLE1\nREDUCE\n", "EMPTY_LIST\n", "BININT1 9\nAPPEND\n"),
    "frozenset": ("GLOBAL builtins frozenset\nBINGET 0\nTUPLE1\nREDUCE\n", "EMPTY_LIST\n", "BININT1 9\nAPPEND\n"),
    "deque": ("GLOBAL collections deque\nBINGET 0\nTUPLE1\nREDUCE\n", "EMPTY_LIST\n", "BININT1 9\nAPPEND\n"),
    "OrderedDict": ("GLOBAL collections OrderedDict\nBINGET 0\nTUPLE1\nREDUCE\n", "EMPTY_LIST\n", "BININT1 1\nBININT1 2\nTUPLE2\nAPPEND\n"),
    "Counter": ("GLOBAL collections Counter\nBINGET 0\nTUPLE1\nREDUCE\n", "EMPTY_DICT\n", "BININT1 1\nBININT1 2\nSETITEM\n"),
    "Namespace": (new("argparse", "Namespace") + "BINGET 0\nBUILD\n", "EMPTY_DICT\n", text("a") + "BININT1 2\nSETITEM\n"),
    "OrderedDict.__dict__": (call("collections", "OrderedDict") + "BINGET 0\nBUILD\n", "EMPTY_DICT\n", text("_metadata") + "BININT1 2\nSETITEM\n"),
    "UUID": (new("uuid", "UUID") + "BINGET 0\nBUILD\n", paired(int=integer(1)), text("int") + "BININT1 2\nSETITEM\n"),
}


@pytest.mark.parametrize("made", LATE)
def test_a_container_may_change_before_it_is_taken_and_not_after(made: str) -> None:
    taken, container, change = LATE[made]
    start, late = f"{container}BINPUT 0\nPOP\n", f"BINGET 0\n{change}POP\n"
    before = stream(start + late + taken)
    if made != "UUID":
        assert twin(pickle.loads(before), outcome(before)) or made == "Namespace"
    else:
        assert outcome(before).int == 2
    refused(stream(start + taken + late), "SL206", "SL305")


def test_the_pairs_of_an_ordered_dict_must_not_change_either() -> None:
    start = f"{listed(integer(1), integer(2))}BINPUT 0\nPOP\n"
    taken = f"GLOBAL collections OrderedDict\n{listed('BINGET 0' + chr(10))}TUPLE1\nREDUCE\n"
    assert outcome(stream(start + taken)) == OrderedDict([(1, 2)])
    refused(stream(f"{start}{taken}BINGET 0\nBININT1 3\nAPPEND\nPOP\n"))


@pytest.mark.parametrize("which", ["shape", "stride"])
def test_the_shape_of_a_tensor_must_not_change_behind_it(which: str) -> None:
    start = "EMPTY_LIST\nBINPUT 0\nBININT1 1\nAPPEND\nPOP\n"
    other = "EMPTY_LIST\nBININT1 1\nAPPEND\n"
    made = tensor("BINGET 0\n", other) if which == "shape" else tensor(other, "BINGET 0\n")
    assert outcome(archive(start + made)).shape == (1,)
    both = tensor("BINGET 0\n", "BINGET 0\n")
    refused(archive(f"{start}{both}BINGET 0\nBININT1 1\nAPPEND\nPOP\n"), "SL206")


def test_the_last_of_two_states_counts_as_in_pickle() -> None:
    made = new("uuid", "UUID") + paired(int=integer(1)) + "BUILD\n" + paired(int=integer(2)) + "BUILD\n"
    found = outcome(stream(made))
    assert isinstance(found, Refused) or found.int == 2
    spaces = new("argparse", "Namespace") + paired(a=integer(1), b=integer(1)) + "BUILD\n" + paired(a=integer(2)) + "BUILD\n"
    assert outcome(stream(spaces)) == Namespace(a=2, b=1)


# ---- scan and load give one verdict -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "listing",
    [
        call("collections", "OrderedDict", listed(integer(1))),
        call("collections", "OrderedDict", listed(text("ab"))),
        call("collections", "OrderedDict", listed(ints(1, 2, 3))),
        call("collections", "deque", listed() + integer(-1)),
        call("collections", "deque", listed() + integer(1 << 70)),
        call("builtins", "bytearray", text("\u20ac") + text("latin-1")),
        call("builtins", "bytearray", text("a") + text("utf-8")),
        call("builtins", "bytearray", integer(1 << 40)),
        call("uuid", "UUID", text("0" * 32)),
        call("collections", "defaultdict", name("posix", "system")),
        call("collections", "defaultdict", name("numpy", "ndarray")),
        call("builtins", "set", text("ab")),
        call("builtins", "set", "EMPTY_DICT\n"),
        call("argparse", "Namespace", integer(1)),
        call("builtins", "slice", integer(1)),
        module_id("collections", "OrderedDict") + "EMPTY_LIST\nTUPLE1\nBUILD\n",
        new("argparse", "Namespace") + paired(__class__=integer(1)) + "BUILD\n",
        new("argparse", "Namespace") + keyed(integer(1)) + "BUILD\n",
        call("collections", "OrderedDict") + paired(keys=integer(1)) + "BUILD\n",
        name("collections", "OrderedDict") + paired(a=integer(1)) + "BUILD\n",
        name("argparse", "Namespace") + "NONE\nNONE\nSETITEM\n",
        f"MARK\n{text('module')}{text('os')}NONE\nNONE\nTUPLE\nBINPERSID\n",
        f"MARK\n{text('module')}{name('argparse', 'Namespace')}EMPTY_LIST\nNONE\nTUPLE\nBINPERSID\n",
        "PERSID storage\n",
        call("torch.nn.parameter", "Parameter", integer(1)),
        call("torch", "FloatTensor", integer(1 << 40)),
        f"{name('argparse', 'Namespace')}EMPTY_TUPLE\n{paired(a=integer(1))}NEWOBJ_EX\n",
        call("argparse", "Namespace") + "EMPTY_TUPLE\nREDUCE\n",
        reconstructed("argparse", "Namespace") + "EMPTY_TUPLE\nREDUCE\n",
    ],
)
def test_is_refused_by_scan_and_load_alike(listing: str) -> None:
    refused(stream(listing))


@pytest.mark.parametrize(
    "cls",
    [
        "collections OrderedDict", "collections Counter", "collections defaultdict", "collections deque", "builtins set", "builtins frozenset",
        "builtins bytearray", "easydict EasyDict", "numpy.dtypes Float32DType", "numpy dtype", "torch LongTensor", "torch.nn.parameter Parameter",
        "torch Size", "datetime date", "pathlib PosixPath", "numpy ndarray", "builtins int", "torch float32",
    ],
)  # fmt: skip
def test_object_new_makes_nothing_of_a_class_with_a_base_of_its_own(cls: str) -> None:
    """CPython: `object.__new__(X) is not safe, use X.__new__()`."""
    refused(stream(reconstructed(*cls.split())))


@pytest.mark.parametrize("protocol", [0, 1])
def test_old_protocols_make_plain_objects_of_it(protocol: int) -> None:
    import argparse

    data = pickle.dumps(argparse.Namespace(a=[1], b=None), protocol)
    assert b"_reconstructor" in data
    assert outcome(data) == Namespace(a=[1], b=None)


@pytest.mark.parametrize("module_name", ["torch LongTensor", "numpy.dtypes Float32DType", "collections OrderedDict", "argparse Namespace", "uuid UUID"])
def test_a_module_id_is_for_module_classes_alone(module_name: str) -> None:
    refused(stream(module_id(*module_name.split()) + "EMPTY_TUPLE\nREDUCE\n"), "SL306")


def test_a_module_id_of_an_unlisted_class_stands_for_it() -> None:
    listing = stream(module_id("acme", "Net") + "EMPTY_TUPLE\nNEWOBJ\n" + paired(a=integer(1)) + "BUILD\n")
    refused(listing, "SL301")
    found = outcome(listing, "inspect")
    assert (found.type_name, found.state) == ("acme.Net", {"a": 1})
    refused(stream(module_id("posix", "system") + text("x") + "TUPLE1\nREDUCE\n"), "SL301", policy="inspect")


@pytest.mark.parametrize("protocol", ["wrong", "unset"])
@pytest.mark.parametrize("numel", ["NEWTRUE", "LONG4 -1", "BINFLOAT 6", "NONE", "BINUNICODE '6'", "GLOBAL torch float32"])
def test_the_number_of_elements_is_an_int(numel: str, protocol: str) -> None:
    pid = f"MARK\nBINUNICODE 'storage'\nGLOBAL torch FloatStorage\nBINUNICODE '0'\nBINUNICODE 'cpu'\n{numel}\nTUPLE\nBINPERSID\n"
    refused(archive(pid if protocol == "wrong" else tensor(stored=pid)), "SL306")


@pytest.mark.parametrize("kind", ["torch float32", "torch LongTensor", "collections OrderedDict", "posix system", "torch._utils _rebuild_tensor_v2"])
def test_the_type_of_a_storage_is_one(kind: str) -> None:
    refused(archive(f"MARK\nBINUNICODE 'storage'\nGLOBAL {kind}\nBINUNICODE '0'\nBINUNICODE 'cpu'\nBININT1 6\nTUPLE\nBINPERSID\n"), "SL306")


# ---- keys ---------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        scalar(dtype("V4"), raw(bytes(4))),
        scalar(fields_of(4, a=(dtype("f4"), 0)), raw(bytes(4))),
        array(dtype("f4"), ints(1), raw(bytes(4))),
        call("builtins", "slice", "NONE\n" * 3),
        call("decimal", "Decimal", text("sNaN")),
        call("collections", "OrderedDict"),
        call("argparse", "Namespace"),
        call("builtins", "bytearray"),
    ],
    ids=["void", "struct", "array", "slice", "sNaN", "OrderedDict", "Namespace", "bytearray"],
)
@pytest.mark.parametrize("place", ["dict", "tuple", "set", "items", "added", "pairs", "frozenset", "popped"])
def test_what_has_no_hash_is_no_key(key: str, place: str) -> None:
    listing = {
        "dict": keyed(key),
        "tuple": keyed(f"{key}NONE\nTUPLE2\n"),
        "set": call("builtins", "set", listed(key)),
        "items": f"{call('collections', 'OrderedDict')}{key}NONE\nSETITEM\n",
        "added": f"{call('builtins', 'set', listed())}MARK\n{key}ADDITEMS\n",
        "pairs": call("collections", "OrderedDict", listed(f"{key}NONE\nTUPLE2\n")),
        "frozenset": call("builtins", "frozenset", listed(f"{key}TUPLE1\n")),
        "popped": call("builtins", "set", listed(key)) + "POP\nNONE\n",
    }[place]
    refused(stream(listing), "SL205")


def test_what_has_a_hash_may_be_added_to_a_set_that_a_call_made() -> None:
    assert outcome(stream(f"{call('builtins', 'set', listed())}MARK\n{integer(1)}{text('a')}ADDITEMS\n")) == {1, "a"}


def test_equal_keys_too_deep_to_compare_end_in_an_error() -> None:
    def chain(memo: int) -> str:
        link = f"BINPUT {memo}\nPOP\nGLOBAL builtins frozenset\nEMPTY_LIST\nBINGET {memo}\nTUPLE1\nAPPEND\nTUPLE1\nREDUCE\n"
        return call("builtins", "frozenset", listed()) + link * 2_000 + f"BINPUT {memo}\nPOP\n"

    both = listed("BINGET 1\n", "BINGET 2\n")
    found = outcome(stream(f"{chain(1)}{chain(2)}GLOBAL builtins set\n{both}TUPLE1\nREDUCE\nPOP\nNONE\n"))
    assert found is None or isinstance(found, object)


def test_a_numpy_scalar_is_a_key_like_its_number() -> None:
    assert outcome(stream(keyed(scalar(dtype("i8"), raw((5).to_bytes(8, "little")))))) == {np.int64(5): None}


# ---- a value that the policy turns into an inert record afterwards ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "listing",
    [
        tensor(shape=call("torch", "Size", ints(2, 3)) + "BINPUT 5\n"),
        sparse("sparse_coo", tensor(ints(1, 0), ints(1, 1)) * 2 + call("torch", "Size", ints(0)) + "BINPUT 5\n"),
        (
            f"{name('torch._utils', '_rebuild_wrapper_subclass')}MARK\n{name('torch', 'Tensor')}{name('torch', 'float32')}{ints(2)}{ints(1)}"
            f"{integer(0)}{layout('strided')}{call('torch', 'device', text('cpu'))}BINPUT 5\nNEWFALSE\nTUPLE\nREDUCE\n"
        ),
        scalar(dtype("i1"), call("_codecs", "encode", text("a") + text("latin1")) + "BINPUT 5\n"),
    ],
    ids=["size", "sparse size", "device", "bytes"],
)
def test_a_part_that_becomes_inert_ends_in_a_finding(listing: str) -> None:
    for policy in ("inspect", "checkpoint"):
        outcome(archive(f"{listing}BINGET 5\nNONE\nBUILD\nPOP\n", TWO | {"0": bytes(24)}), policy)


# ---- popped calls, narrowing, kwargs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", ["POP\n", "TUPLE1\nPOP\n", "BINPUT 3\nPOP\n"])
def test_a_call_counts_when_it_is_made_and_not_when_it_is_used(gone: str) -> None:
    report = safeload.scan(stream(f"GLOBAL posix system\nBINUNICODE 'x'\nTUPLE1\nREDUCE\n{gone}NONE\n"))
    assert report.verdict == "rejected"
    assert [(finding.rule, finding.global_name) for finding in report.errors] == [("SL301", "posix.system")]
    refused(stream(f"{call('builtins', 'range', integer(0) * 3)}{gone}NONE\n"), "SL304")


STORAGES = {"globals": ["torch.FloatStorage"], "uses": ["storage-type"], "as": "storage-type"}
TENSOR = {"globals": ["torch._utils._rebuild_tensor_v2"], "uses": ["call"], "as": "tensor"}
HOOKED = {"globals": ["collections.OrderedDict"], "uses": ["call"], "as": "ordered-dict"}
TYPED = {"globals": ["torch._tensor._rebuild_from_type_v2"], "uses": ["call"], "as": "typed-tensor"}
CLASS = {"globals": ["torch.Tensor"], "uses": ["reference"], "as": "tensor-class"}
NARROW = {**TENSOR, "args": ["storage", "int", "shape", "shape"]}
INNER = tensor().partition("MARK\n")[2].rpartition("REDUCE")[0]
WRAPPED = (
    f"{name('torch._tensor', '_rebuild_from_type_v2')}MARK\n{name('torch._utils', '_rebuild_tensor_v2')}{name('torch', 'Tensor')}"
    f"MARK\n{INNER}NONE\nTUPLE\nREDUCE\n"
)


def test_an_entry_narrows_a_call_also_inside_a_typed_tensor() -> None:
    wide, narrow = narrowed(STORAGES, TENSOR, HOOKED, TYPED, CLASS), narrowed(STORAGES, NARROW, HOOKED, TYPED, CLASS)
    assert outcome(archive(tensor()), wide).shape == (2, 3)
    assert outcome(archive(WRAPPED), wide).shape == (2, 3)
    refused(archive(tensor()), "SL304", policy=narrow)
    refused(archive(WRAPPED), "SL304", policy=narrow)


def test_the_use_of_a_reconstructed_class_is_asked_for() -> None:
    helper = {"globals": ["copyreg._reconstructor"], "uses": ["call"], "as": "reconstructor"}
    base = {"globals": ["builtins.object"], "uses": ["reference"], "as": "plain-object"}
    space = {"globals": ["argparse.Namespace"], "uses": ["reference", "build"], "as": "namespace"}
    refused(stream(new("argparse", "Namespace")), "SL302", policy=narrowed(helper, base, space))
    refused(stream(reconstructed("argparse", "Namespace")), "SL302", policy=narrowed(helper, base, space))


def test_the_factory_of_a_defaultdict_is_a_class_of_pythons_own() -> None:
    renamed = {"globals": ["acme.Deque"], "uses": ["reference"], "as": "deque"}
    factory = {"globals": ["collections.defaultdict"], "uses": ["call"], "as": "default-dict"}
    found = outcome(stream(call("collections", "defaultdict", name("acme", "Deque"))), narrowed(renamed, factory))
    assert isinstance(found, object)


# ---- budget ---------------------------------------------------------------------------------------------------------------------------------

COPIED = {
    "encode": (text("a" * 100_000) + text("latin1") + "TUPLE2\n", name("_codecs", "encode")),
    "bytearray": (raw(b"a" * 100_000) + "TUPLE1\n", name("builtins", "bytearray")),
    "deque": (listed(*["NONE\n"] * 20_000) + "TUPLE1\n", name("collections", "deque")),
}


@pytest.mark.parametrize("what", COPIED)
def test_one_argument_copied_by_many_calls_does_not_multiply_memory(what: str) -> None:
    args, func = COPIED[what]
    data = stream(f"{args}BINPUT 0\nPOP\n{func}BINPUT 1\nPOP\n" + "BINGET 1\nBINGET 0\nREDUCE\nPOP\n" * 400 + "NONE\n")
    outcome(stream("NONE\n"))  # reads the policy
    tracemalloc.start()
    try:
        outcome(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 * len(data), f"{peak:,} bytes for a file of {len(data):,}"


def test_findings_beyond_the_limit_are_counted() -> None:
    data = stream("POP\n".join(call("builtins", "range", integer(0)) for _ in range(20)))
    report = safeload.scan(data, limits=msgspec.structs.replace(DEFAULT_LIMITS, findings=5))
    assert report.verdict == "rejected"
    assert len(report.findings) == 5
    assert report.suppressed_findings == 15


def test_an_unpickler_gives_the_same_value_from_a_file() -> None:
    file = io.BytesIO(pickle.dumps(OrderedDict(a=1)) + pickle.dumps({2}))
    reader = safeload.RestrictedUnpickler(file)
    assert reader.load() == OrderedDict(a=1)
    assert safeload.RestrictedUnpickler(file).load() == {2}


@pytest.mark.parametrize("times", [1, 8, 9, 64, 65, 1_000])
def test_uses_are_counted_to_the_last_and_places_only_listed_to_the_eighth(times: int) -> None:
    """How often a name is called, or named by an opcode: the report promises exact counts, whatever it lists."""
    head, call = "PROTO 2\nEMPTY_LIST\n", "EMPTY_TUPLE\nREDUCE\nAPPEND\n"
    calls = assemble(f"{head}GLOBAL collections OrderedDict\nBINPUT 0\nPOP\n" + f"BINGET 0\n{call}" * times + "STOP")
    mentions = assemble(head + f"GLOBAL collections OrderedDict\n{call}" * times + "STOP")
    for data in (calls, mentions):
        (use,) = safeload.scan(data).globals
        assert (use.count, len(use.places)) == (times, min(times + 1 if data is calls else 2 * times, 8))


# ---- what the caller constructs himself, and the clock ----------------------------------------------------------------------------------------


def test_the_callers_own_types_open_what_is_unlisted_and_nothing_that_is_denied_or_allowed() -> None:
    """`constructors=` stands above "no entry lists it", and below every entry."""
    made: list[Any] = []
    own = {name: lambda *args, **more: made.append(args) or "mine" for name in ("acme.Config", "posix.system", "collections.OrderedDict", "os.system")}
    assert safeload.load(stream(new("acme", "Config")), constructors=own) == "mine"
    assert safeload.load(stream(new("acme", "Config")), policy="inspect", constructors=own) == "mine"
    count = len(made)
    for policy in ("checkpoint", "inspect", "weights-only"):
        with pytest.raises(safeload.PolicyRejected, match="denies it"):
            safeload.load(stream(call("posix", "system", text("x"))), policy=policy, constructors=own)
    assert safeload.load(stream(call("collections", "OrderedDict")), constructors=own) == OrderedDict()
    assert len(made) == count


def test_the_policy_looks_at_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def look(self: Budget, member: str | None = None, offset: int | None = None) -> None:
        if sys._getframe(1).f_code.co_name == "log":
            looks.append(1)

    monkeypatch.setattr(Budget, "check_time", look)
    assert vetting.RECORDS_PER_CHECK == 1_024  # one look costs as much as judging a few records
    monkeypatch.setattr(vetting, "RECORDS_PER_CHECK", 8)
    for calls in (6, 7, 8, 15, 16):  # and the name, which is logged once
        looks.clear()
        assert safeload.scan(stream("EMPTY_LIST\n" + (call("collections", "OrderedDict") + "APPEND\n") * calls)).verdict == "accepted"
        assert len(looks) == -(-(calls + 1) // 8)


def test_an_entry_that_narrows_lets_through_what_it_narrows_to() -> None:
    policy = narrowed({"globals": ["collections.deque"], "uses": ["call"], "as": "deque", "args": ["list"]})
    for _ in range(2):
        assert outcome(stream(call("collections", "deque", listed(integer(1))) * 2 + "TUPLE2\n"), policy) == (deque([1]), deque([1]))
    refused(stream(call("collections", "deque", listed() + integer(1))), "SL304", policy=policy)
    inner = {**TENSOR, "args": ["storage", "int", "shape", "shape", "bool", "hooks"]}
    assert outcome(archive(WRAPPED), narrowed(STORAGES, inner, HOOKED, TYPED, CLASS)).shape == (2, 3)


@pytest.mark.parametrize("late", ["", "BINGET 7\nBININT1 1\nAPPEND\nPOP\n"])
def test_the_shape_inside_a_typed_tensor_must_not_change_behind_it_either(late: str) -> None:
    shape = "EMPTY_LIST\nBINPUT 7\nBININT1 2\nAPPEND\nBININT1 3\nAPPEND\n"
    assert ints(2, 3) in WRAPPED
    data = archive(WRAPPED.replace(ints(2, 3), shape) + late)
    if late:
        refused(data, "SL206")
    else:
        assert outcome(data).shape == (2, 3)


def test_a_call_that_does_not_fit_is_kept_as_a_record_where_the_policy_keeps_the_name() -> None:
    for made in (call("argparse", "Namespace", integer(1)), call("builtins", "range", integer(0))):
        refused(stream(made), "SL304")
        assert isinstance(outcome(stream(made), "inspect"), OpaqueObject)
    refused(stream(call("torch._utils", "_rebuild_tensor_v2", integer(1))), "SL304", policy="inspect")


@pytest.mark.parametrize(("key", "fits"), [(0, True), (1 << 40, True), ((1 << 63) - 1, True), (1 << 63, False), (-1, False)])
def test_the_key_of_a_storage_may_be_a_number_as_torch_0_1_wrote_it(key: int, fits: bool) -> None:
    pid = f"MARK\n{text('storage')}{name('torch', 'FloatStorage')}{integer(key)}{text('cpu')}{integer(6)}TUPLE\nBINPERSID\n"
    data = archive(tensor(stored=pid), {str(key): bytes(24)})
    if fits:
        assert outcome(data).shape == (2, 3)
    else:
        refused(data, "SL306")


def test_objects_nest_as_deep_as_the_limit() -> None:
    """Eight records in each other, and the plain containers between them."""
    deep = "NONE\n"
    for _ in range(8):
        deep = f"{call('collections', 'OrderedDict')}{text('a')}{deep}SETITEM\n"
    found = {limit: safeload.scan(stream(deep), limits={"nesting_depth": limit}) for limit in range(4, 40)}
    verdicts = [found[limit].verdict for limit in sorted(found)]
    assert verdicts == sorted(verdicts, reverse=True) and set(verdicts) == {"accepted", "inconclusive"}
    assert {finding.rule for report in found.values() for finding in report.errors} == {"SL901"}
