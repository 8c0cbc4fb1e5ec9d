"""`Policy.decide`: deny, then allow, then opaque, then denied for want of an entry; prefixes end at dots."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeload.policy.model import Policy
from safeload.policy.resolve import load_policy, policy_from_dict

HEAD: dict[str, Any] = {"schema": 1, "name": "m", "version": "1", "summary": "s", "owner": "o", "mode": "enforce", "default": "deny"}


def policy(allow: list[str] | None = None, opaque: list[str] | None = None, deny: list[str] | None = None) -> Policy:
    document = dict(HEAD)
    if allow:
        document["allow"] = [{"id": "a", "globals": allow, "uses": ["reference"], "as": "dtype", "capability": "data.x", "reason": "r"}]
    if opaque:
        document["opaque"] = [{"id": f"o{n}", "globals": [name], "capability": "data.x", "reason": "r"} for n, name in enumerate(opaque)]
    if deny:
        document["deny"] = [{"id": f"d{n}", "globals": [name], "capability": "net", "reason": "r"} for n, name in enumerate(deny)]
    return policy_from_dict(document)


def test_the_order_of_the_lists() -> None:
    found = policy(allow=["pkg.Allowed"], opaque=["pkg.*"], deny=["pkg.bad.*"])
    assert [found.decide(name).kind for name in ("pkg.Allowed", "pkg.Other", "pkg.bad.X", "other.X")] == ["allowed", "opaque", "denied", "denied"]
    assert found.decide("pkg.bad.X").entry is not None
    assert found.decide("other.X").entry is None
    assert found.decide("other.X").capability == "unknown"
    assert found.decide("pkg.bad.X").capability == "net"


def test_the_longest_prefix_decides_which_entry_is_quoted() -> None:
    found = policy(opaque=["*", "a.*", "a.b.*", "a.b.c"])
    quoted = {name: found.decide(name).entry.id for name in ("z", "a.x", "a.b.x", "a.b.x.y", "a.b.c", "a.b.c.d", "a.bc.x", "ab.x")}  # type: ignore[union-attr]
    assert quoted == {"z": "o0", "a.x": "o1", "a.b.x": "o2", "a.b.x.y": "o2", "a.b.c": "o3", "a.b.c.d": "o2", "a.bc.x": "o1", "ab.x": "o0"}


@pytest.mark.parametrize(
    ("name", "denied"),
    [
        ("os.system", True),
        ("os.path.join", True),
        ("os.", True),
        ("os..system", True),
        ("os", False),
        ("ossaudiodev.open", False),
        ("os_.system", False),
        ("x.os.system", False),
        (".os.system", False),
        ("OS.system", False),
        (" os.system", False),
        ("os\n.system", False),
        ("o\u0455.system", False),  # a Cyrillic letter: another name, and unlisted like any other
        ("", False),
        (".", False),
        ("..", False),
        ("eval", False),
    ],
)
def test_prefixes_end_at_dots(name: str, denied: bool) -> None:
    found = load_policy("known-danger").decide(name)
    assert found.kind == "denied"  # it lets nothing through; an entry is what makes the difference
    assert (found.entry is not None) is denied


@pytest.mark.parametrize("name", ["builtins.eval.__call__", "builtins.eval.", "builtins.eval.x.y"])
def test_what_hangs_on_a_denied_name_is_denied(name: str) -> None:
    assert load_policy("inspect").decide(name).capability == "code.exec"


def test_a_longer_name_is_another_name() -> None:
    assert load_policy("inspect").decide("builtins.evaluate").kind == "opaque"
    assert load_policy("weights-only").decide("torch.Size.x").kind == "denied"
    assert load_policy("weights-only").decide("torch.size").kind == "denied"


def test_keeps_asks_for_an_opaque_entry_alone() -> None:
    found = policy(allow=["pkg.A"], opaque=["pkg.*", "x.Y"])
    assert [found.keeps(name) for name in ("pkg.A", "pkg.B", "x.Y", "x.Z")] == [True, True, True, False]


@pytest.mark.parametrize("table", ["allow", "opaque"])
def test_an_entry_lets_a_name_through_until_its_last_day(table: str) -> None:
    day = datetime.date(2026, 11, 27)
    entry = {"id": "e", "globals": ["pkg.A"], "capability": "data.x", "reason": "r", "expires": day}
    document = {**HEAD, table: [{**entry, "uses": ["reference"], "as": "dtype"} if table == "allow" else entry]}
    kind = "allowed" if table == "allow" else "opaque"
    found = [policy_from_dict(document)] + [policy_from_dict(document).on(day + datetime.timedelta(days=more)) for more in (0, 1)]
    decisions = [each.decide("pkg.A") for each in found]
    assert [(decision.kind, decision.expired) for decision in decisions] == [(kind, False), (kind, False), ("denied", True)]
    assert [each.keeps("pkg.A") for each in found] == [table == "opaque", table == "opaque", False]


def test_has_opaque() -> None:
    assert [policy(allow=["a.b"]).has_opaque, policy(opaque=["a.b"]).has_opaque, policy(opaque=["a.*"]).has_opaque] == [False, True, True]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["os", "builtins", "eval", "", "torch", "float32", "x", "*"]), max_size=5).map(".".join))
def test_no_name_is_let_through_that_an_ancestor_denies(name: str) -> None:
    if load_policy("known-danger").decide(name).entry is not None:
        assert load_policy("inspect").decide(name).kind == "denied"
