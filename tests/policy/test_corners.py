"""Refusals of the policy engine that need an argument, a key or a policy made for them alone."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
import pytest
from hostile.hostile import archive

import safeload
from policy.listings import Refused, outcome, refused
from safeload.errors import PolicyFileError
from safeload.opcodes.assemble import assemble
from safeload.policy.contracts import dtype_state
from safeload.policy.lines import positions
from safeload.policy.resolve import load_policy, policy_from_dict
from safeload.values import OpaqueObject


class NoKinds:
    """No node is known."""

    kinds: list[str] = []  # noqa: RUF012 - the protocol has it

    def kind(self, node: Any) -> str:
        return ""


def state(names: Any, fields: Any) -> tuple[Any, ...]:
    return (3, "|", None, names, fields, 8, 1, 16)


@pytest.mark.parametrize(
    ("names", "fields", "message"),
    [
        (["a"], {"a": 1}, "named by text"),
        (("a",), [("a", 1)], "named by text"),
        ((1,), {1: 1}, "named by text"),
        (tuple(f"f{number}" for number in range(1_001)), {}, "named by text"),
        (("a",), {"b": 1}, "do not agree"),
        (("a", "a"), {"a": 1}, "do not agree"),
        (("a",), {"a": 1}, "(dtype, offset)"),
    ],
    ids=["list", "pairs", "numbers", "many", "others", "twice", "no-dtype"],
)
def test_fields_of_a_dtype(names: Any, fields: Any, message: str) -> None:
    assert message in str(dtype_state(state(names, fields), NoKinds()))  # type: ignore[arg-type]


@pytest.mark.parametrize("place", range(3), ids=["itemsize", "alignment", "flags"])
@pytest.mark.parametrize("wrong", ["8", 8.0, True, None])
def test_the_numbers_of_a_dtype_are_ints(place: int, wrong: Any) -> None:
    numbers: list[Any] = [8, 1, 16]
    assert dtype_state((3, "|", None, None, None, *numbers), NoKinds()) is None  # type: ignore[arg-type]
    numbers[place] = wrong
    assert "are ints" in str(dtype_state((3, "|", None, None, None, *numbers), NoKinds()))  # type: ignore[arg-type]


ADDICT = "GLOBAL addict.addict Dict\nEMPTY_TUPLE\nNEWOBJ\n"
VALUE = "GLOBAL ml_collections.config_dict.config_dict ConfigDict\nEMPTY_TUPLE\nNEWOBJ\n"
BOXES = "GLOBAL box.box_list BoxList\nEMPTY_TUPLE\nNEWOBJ\n"
HELD = "EMPTY_DICT\nMARK\nBINUNICODE 'a'\nBININT1 1\nSETITEMS\n"
STATES: dict[str, tuple[str, Any]] = {  # the state that a configuration is given, and what it then is; None: refused
    "itself": (f"{ADDICT}BINPUT 0\nMARK\nBINUNICODE 'a'\nBININT1 1\nSETITEMS\nBINGET 0\nBUILD\n", {"a": 1}),
    "another one": (f"{ADDICT}{ADDICT}BUILD\n", {}),
    "a class": (f"{ADDICT}GLOBAL addict.addict Dict\nBUILD\n", None),
    "another node": (f"{ADDICT}GLOBAL builtins list\nBUILD\n", None),
    "a list": (f"{ADDICT}EMPTY_LIST\nBUILD\n", None),
    "items that are no list": (f"{BOXES}EMPTY_DICT\nBINUNICODE 'items'\nBININT1 1\nSETITEM\nBUILD\n", None),
    "a value that holds a value": (f"{VALUE}EMPTY_DICT\nBINUNICODE '_fields'\n{VALUE}SETITEM\nBUILD\n", None),
    "a value that holds a dict": (f"{VALUE}EMPTY_DICT\nBINUNICODE '_fields'\n{HELD}SETITEM\nBUILD\n", {"a": 1}),
}


@pytest.mark.parametrize("what", STATES)
def test_the_state_of_a_configuration(what: str) -> None:
    listing, value = STATES[what]
    data = assemble(f"PROTO 2\n{listing}STOP")
    if value is None:
        refused(data, "SL305", policy="config-dicts")
    else:
        assert outcome(data, "config-dicts") == value


def policy(**entry: Any) -> dict[str, Any]:
    allow = {"id": "x", "globals": ["acme.X"], "uses": ["call"], "as": "record", "capability": "data.container", "reason": "r", "evidence": ["e"], **entry}
    return {"name": "p", "version": "1", "summary": "s", "allow": [allow]}


def problems(document: dict[str, Any], **options: Any) -> str:
    with pytest.raises(PolicyFileError) as caught:
        policy_from_dict(document, **options)
    return str(caught.value)


def test_words_of_a_policy_that_are_none() -> None:
    assert "capability" in problems(policy(capability=3))
    assert "old spelling" in problems(policy(args=["global:__builtin__.long"]))
    assert "global:" not in problems(policy(args=["global:plain", 7]))  # a name without a module has no old spelling


def test_a_lock_relative_to_nothing() -> None:
    head = {"schema": 1, "owner": "us", "mode": "enforce", "default": "deny"}
    document = {**policy(), **head, "provenance": {"require": "sha256", "lock": "files.lock"}}
    assert "relative to no file" in problems(document)


def test_a_comma_outside_of_everything_has_no_line() -> None:
    assert positions("a = 1, 2\nb = 3\n")["b"] == 2


FUNCTIONS = ("torch float32", "torch FloatStorage", "torch.serialization _get_layout")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_that_may_not_be_called_stands_in_rebuild_from_type(function: str) -> None:
    arguments = f"MARK\nGLOBAL {function}\nGLOBAL torch Tensor\nEMPTY_TUPLE\nNONE\nTUPLE\n"
    data = assemble(f"PROTO 2\nGLOBAL torch._tensor _rebuild_from_type_v2\n{arguments}REDUCE\nSTOP")
    report = safeload.scan(data)
    assert report.verdict == "rejected" and {"SL302", "SL304"} & {finding.rule for finding in report.errors}


def test_a_policy_that_permits_no_call_of_a_function_permits_none_inside_of_another_call() -> None:
    """No policy file says so, since the constructor has no other use; a `Policy` that its caller made may."""
    base = load_policy("checkpoint")
    function = "torch._utils._rebuild_tensor_v2"
    entry = msgspec.structs.replace(base.allow_exact[function], uses=frozenset({"reference"}))
    changed = msgspec.structs.replace(base, allow_exact={**base.allow_exact, function: entry})
    stored = "MARK\nBINUNICODE 'storage'\nGLOBAL torch FloatStorage\nBINUNICODE '0'\nBINUNICODE 'cpu'\nBININT1 6\nTUPLE\nBINPERSID\n"
    inner = f"MARK\n{stored}BININT1 0\nBININT1 6\nTUPLE1\nBININT1 1\nTUPLE1\nNEWFALSE\nGLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nTUPLE\n"
    typed = "GLOBAL torch._tensor _rebuild_from_type_v2\nMARK\nGLOBAL torch._utils _rebuild_tensor_v2\nGLOBAL torch Tensor\n"
    data = archive(f"{typed}{inner}NONE\nTUPLE\nREDUCE\n")
    assert not isinstance(outcome(data), Refused)
    refused(data, "SL302", policy=changed)


def test_an_instance_by_reconstructor_of_what_is_made_by_arguments_is_a_record_where_records_are_kept() -> None:
    """`object.__new__(deque)` raises in CPython, and what is never made so has no meaning of ours; `inspect` keeps it, other policies refuse it."""
    data = assemble("PROTO 2\nGLOBAL copyreg _reconstructor\nGLOBAL collections deque\nGLOBAL builtins object\nNONE\nTUPLE3\nREDUCE\nSTOP")
    found = outcome(data, "inspect")
    assert isinstance(found, OpaqueObject)
    refused(data, "SL302")


def test_a_record_whose_entry_has_expired_says_until_when_it_held() -> None:
    document = {
        **HEAD, "extends": ["checkpoint"],
        "opaque": [{"id": "theirs", "globals": ["acme.X"], "capability": "data.container", "reason": "r", "evidence": ["e"], "expires": "2026-11-28"}],
    }  # fmt: skip
    ours = policy_from_dict(document, today=datetime.date(2026, 11, 1))
    data = assemble("PROTO 2\nGLOBAL acme X\nEMPTY_TUPLE\nNEWOBJ\nSTOP")
    assert isinstance(outcome(data, ours.on(datetime.date(2026, 11, 28))), OpaqueObject)
    after = ours.on(datetime.date(2026, 11, 29))
    refused(data, "SL321", policy=after)
    (finding,) = safeload.scan(data, policy=after).errors
    assert finding.message == "acme.X is called, and entry 'theirs' of policy ours let it through until 2026-11-28 and has expired"


def test_a_storage_id_of_bytes_is_one_of_text_where_it_is_ascii() -> None:
    """So Python 2 wrote them, and so `encoding="bytes"` leaves them."""

    def saved(key: str) -> bytes:
        stored = f"MARK\nSHORT_BINSTRING b'storage'\nGLOBAL torch FloatStorage\nSHORT_BINSTRING {key}\nSHORT_BINSTRING b'cpu'\nBININT1 6\nTUPLE\nBINPERSID\n"
        shape = "BININT1 0\nBININT1 6\nTUPLE1\nBININT1 1\nTUPLE1\nNEWFALSE\nGLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\n"
        return archive(f"GLOBAL torch._utils _rebuild_tensor_v2\nMARK\n{stored}{shape}TUPLE\nREDUCE\n")

    assert outcome(saved("b'0'"), encoding="bytes").shape == (6,)
    found = outcome(saved("b'\\xe9'"), encoding="bytes")
    assert isinstance(found, Refused) and "SL306" in found.rules


def fraction(number: int) -> str:
    return f"GLOBAL fractions Fraction\nLONG1 {number}\nBININT1 1\nTUPLE2\nREDUCE\n"


def test_keys_that_calls_make_count_by_their_hash() -> None:
    """7 and 7 + 2**61 - 1 have one hash."""
    pairs = "".join(fraction(7 + number * ((1 << 61) - 1)) + "NONE\n" for number in range(4))
    data = assemble(f"PROTO 2\nEMPTY_DICT\nMARK\n{pairs}SETITEMS\nSTOP")
    assert safeload.scan(data, limits={"equal_hash_keys": 4}).verdict == "accepted"
    report = safeload.scan(data, limits={"equal_hash_keys": 3})
    assert report.verdict == "inconclusive" and report.errors[0].rule == "SL901"


def frozen(depth: int) -> str:
    """A frozenset of a frozenset ..., each made by a call of protocol 2."""
    inner = "MARK\nBININT1 1\nLIST\n"
    for _ in range(depth):
        inner = f"GLOBAL builtins frozenset\n{inner}TUPLE1\nREDUCE\n"
        inner = f"MARK\n{inner}LIST\n"
    return inner.removeprefix("MARK\n").removesuffix("LIST\n")


@pytest.mark.parametrize(("limit", "value"), [("key_size", 4), ("key_depth", 3)])
def test_keys_of_calls_are_weighed(limit: str, value: int) -> None:
    data = assemble(f"PROTO 2\nEMPTY_DICT\n{frozen(6)}NONE\nSETITEM\nSTOP")
    assert safeload.scan(data).verdict == "accepted"
    report = safeload.scan(data, limits={limit: value})
    assert report.verdict == "inconclusive" and report.errors[0].rule == "SL901"


HEAD = {"schema": 1, "name": "ours", "version": "1", "summary": "s", "owner": "us", "mode": "enforce", "default": "deny"}


def test_an_entry_that_narrows_a_function_narrows_it_inside_of_another_call() -> None:
    """A policy may permit `_rebuild_tensor_v2` without the seventh argument; `_rebuild_from_type_v2` is no way around that."""
    allow = {
        "id": "dense", "globals": ["torch._utils._rebuild_tensor_v2"], "uses": ["call"], "as": "tensor", "capability": "data.tensor", "reason": "r",
        "evidence": ["e"], "args": ["storage", "int", "shape", "shape", "bool", "hooks"],
    }  # fmt: skip
    names = ["torch._tensor._rebuild_from_type_v2", "torch.Tensor", "torch.FloatStorage", "collections.OrderedDict"]
    base = load_policy("checkpoint")
    others = []
    for name in names:
        entry = base.allow_exact[name]
        others.append({
            "id": name.rpartition(".")[2].strip("_"), "globals": [name], "uses": sorted(entry.uses), "as": entry.constructor, "capability": entry.capability,
            "reason": "r", "evidence": ["e"],
        })  # fmt: skip
    policy = policy_from_dict({**HEAD, "allow": [allow, *others]})
    stored = "MARK\nBINUNICODE 'storage'\nGLOBAL torch FloatStorage\nBINUNICODE '0'\nBINUNICODE 'cpu'\nBININT1 0\nTUPLE\nBINPERSID\n"
    inner = f"MARK\n{stored}BININT1 0\nEMPTY_TUPLE\nEMPTY_TUPLE\nNEWFALSE\nGLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\n"
    head = "PROTO 2\nGLOBAL torch._tensor _rebuild_from_type_v2\nMARK\nGLOBAL torch._utils _rebuild_tensor_v2\nGLOBAL torch Tensor\n"
    rules = {}
    for more in ("", "EMPTY_DICT\n"):
        report = safeload.scan(assemble(f"{head}{inner}{more}TUPLE\nNONE\nTUPLE\nREDUCE\nSTOP"), policy=policy)
        rules[more] = {finding.rule for finding in report.errors}
    assert "SL304" not in rules[""] and "SL304" in rules["EMPTY_DICT\n"]
