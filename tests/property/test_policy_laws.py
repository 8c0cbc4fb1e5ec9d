"""Laws of policies: an allow more never rejects more, a deny always wins, the order of entries says nothing, and popped calls count."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hostile.hostile import stream
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from policy.listings import call, integer, listed, name, new, paired, text

import safeload
from safeload.policy.model import Policy
from safeload.policy.resolve import policy_from_dict

PIECES = {
    "collections.OrderedDict": call("collections", "OrderedDict"),
    "builtins.set": call("builtins", "set", listed(integer(1))),
    "builtins.range": call("builtins", "range", integer(0) + integer(3) + integer(1)),
    "datetime.timedelta": call("datetime", "timedelta", integer(1) * 3),
    "argparse.Namespace": new("argparse", "Namespace") + paired(a=integer(1)) + "BUILD\n",
    "torch.float32": name("torch", "float32"),
    "decimal.Decimal": call("decimal", "Decimal", text("1.5")),
    "acme.Net": new("acme", "Net"),
}
ENTRIES: dict[str, dict[str, Any]] = {
    "collections.OrderedDict": {"as": "ordered-dict", "uses": ["call"]},
    "builtins.set": {"as": "set", "uses": ["call"]},
    "builtins.range": {"as": "range", "uses": ["call"]},
    "datetime.timedelta": {"as": "timedelta", "uses": ["call"]},
    "argparse.Namespace": {"as": "namespace", "uses": ["new", "build"]},
    "torch.float32": {"as": "dtype", "uses": ["reference"]},
    "decimal.Decimal": {"as": "decimal", "uses": ["call"]},
}
ALLOWED = st.sets(st.sampled_from(sorted(ENTRIES)))
USED = st.lists(st.sampled_from(sorted(PIECES)), min_size=1, max_size=6)
GONE = ["", "POP\nNONE\n", "TUPLE1\nPOP\nNONE\n"]


def policy(allow: Any, deny: Any = (), opaque: Any = (), order: int = 0) -> Policy:
    """A policy of one entry for each name, in an order of its own."""
    head = {"schema": 1, "name": "m", "version": "1", "summary": "s", "owner": "o", "mode": "enforce", "default": "deny"}
    allows = [{"id": f"a-{n}", "globals": [full], "capability": "data.x", "reason": "r", **ENTRIES[full]} for n, full in enumerate(sorted(allow))]
    denies = [{"id": f"d-{n}", "globals": [full], "capability": "net", "reason": "r"} for n, full in enumerate(sorted(deny))]
    opaques = [{"id": f"o-{n}", "globals": [full], "capability": "data.x", "reason": "r"} for n, full in enumerate(sorted(opaque))]
    for entries in (allows, denies, opaques):
        random.Random(order).shuffle(entries)
    tables = {"allow": allows, "deny": denies, "opaque": opaques}
    return policy_from_dict({**head, **{key: entries for key, entries in tables.items() if entries}})


def made(used: list[str], gone: str = "") -> bytes:
    """A list of what these names make; `gone` is done to each of them."""
    return stream(listed(*[PIECES[full] + gone for full in used]))


def rejected(used: list[str], judged: Policy, gone: str = "") -> set[str | None]:
    """The names that the policy finds fault with."""
    report = safeload.scan(made(used, gone), policy=judged)
    names = {finding.global_name for finding in report.errors}
    assert (report.verdict == "rejected") == bool(names)
    return names


@settings(max_examples=100, deadline=None)
@given(USED, ALLOWED, ALLOWED)
def test_an_allow_more_never_rejects_more(used: list[str], first: set[str], second: set[str]) -> None:
    assume(first)
    assert rejected(used, policy(first | second)) <= rejected(used, policy(first))


@settings(max_examples=100, deadline=None)
@given(USED, ALLOWED, ALLOWED, st.booleans())
def test_a_deny_always_wins(used: list[str], allowed: set[str], denied: set[str], opaque: bool) -> None:
    assume(allowed | denied)
    judged = policy(allowed - denied, denied, opaque=["*"] if opaque else ())
    assert denied & set(used) <= rejected(used, judged)


@settings(max_examples=100, deadline=None)
@given(USED, ALLOWED, ALLOWED, st.integers(1, 1_000))
def test_the_order_of_entries_says_nothing(used: list[str], allowed: set[str], denied: set[str], order: int) -> None:
    assume(allowed | denied)
    first, second = policy(allowed - denied, denied), policy(allowed - denied, denied, order=order)
    assert rejected(used, first) == rejected(used, second)
    assert safeload.scan(made(used), policy=first).findings == safeload.scan(made(used), policy=second).findings


@pytest.mark.parametrize("gone", GONE)
@settings(max_examples=50, deadline=None)
@given(USED, ALLOWED)
def test_what_is_popped_counts_all_the_same(gone: str, used: list[str], allowed: set[str]) -> None:
    assume(allowed)
    assert rejected(used, policy(allowed), gone) == set(used) - allowed
