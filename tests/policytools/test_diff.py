"""A difference between policies is one of meaning."""

from __future__ import annotations

from typing import Any

from safeload.policy.resolve import load_policy, policy_from_dict
from safeload.policytools.diff import diff

HEAD: dict[str, Any] = {"schema": 1, "name": "p", "version": "1", "summary": "s", "owner": "o", "mode": "enforce", "default": "deny"}
ALLOW = {"id": "od", "globals": ["collections.OrderedDict"], "uses": ["call"], "as": "ordered-dict", "capability": "data.container", "reason": "r"}
OPAQUE = {"id": "x", "globals": ["acme.A"], "capability": "unknown", "reason": "r"}
DENY = {"id": "d", "globals": ["evil.*"], "capability": "net", "reason": "r"}


def test_equal_policies_do_not_differ() -> None:
    assert diff(load_policy("inspect"), load_policy("inspect")).is_empty


def test_renaming_and_splitting_entries_is_no_difference() -> None:
    one = policy_from_dict({**HEAD, "opaque": [{**OPAQUE, "globals": ["acme.A", "acme.B"]}]})
    two = policy_from_dict({**HEAD, "name": "q", "opaque": [{**OPAQUE, "id": "y", "reason": "other"}, {**OPAQUE, "id": "z", "globals": ["acme.B"]}]})
    assert diff(one, two).is_empty


def test_each_part_shows() -> None:
    before = policy_from_dict({**HEAD, "allow": [ALLOW], "deny": [DENY]})
    after = policy_from_dict(
        {**HEAD, "mode": "scan-only", "limits": {"opcodes": 5}, "allow": [{**ALLOW, "uses": ["call", "build"]}], "opaque": [OPAQUE]}
    )
    found = diff(before, after)
    assert [(change.name, change.after) for change in found.gained] == [("acme.A", "inert record (unknown)")]
    assert [(change.before, change.after) for change in found.changed] == [("call as ordered-dict", "build, call as ordered-dict")]
    assert [change.name for change in found.undenied] == ["evil.*"]
    assert found.capabilities_gained == ("unknown",)
    assert {change.name: change.after for change in found.settings} == {"mode": "scan-only", "limits.opcodes": "5"}
    back = diff(after, before)
    assert [change.name for change in back.lost] == ["acme.A"]
    assert [change.name for change in back.denied] == ["evil.*"]
    assert back.capabilities_lost == ("unknown",)
    assert not back.is_empty
