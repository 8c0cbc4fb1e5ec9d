"""Refusals of the policy engine that need an argument, a key or a policy made for them alone."""

from __future__ import annotations

from typing import Any

import pytest

import safeload
from safeload.errors import PolicyFileError
from safeload.opcodes.assemble import assemble
from safeload.policy.contracts import dtype_state
from safeload.policy.lines import positions
from safeload.policy.resolve import load_policy, policy_from_dict


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
