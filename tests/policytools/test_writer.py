"""A resolved policy, written out, means what it meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeload.policy.model import Policy
from safeload.policy.resolve import load_policy
from safeload.policy.shipped import SHIPPED
from safeload.policytools.diff import diff
from safeload.policytools.writer import resolved_toml


def reread(policy: Policy, folder: Path) -> Policy:
    path = folder / "resolved.toml"
    path.write_text(resolved_toml(policy), encoding="utf-8")
    return load_policy(path)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_resolved_form_decides_alike(name: str, tmp_path: Path) -> None:
    policy = load_policy(name)
    again = reread(policy, tmp_path)
    assert diff(policy, again).is_empty
    assert again.parents == ()
    assert again.sha256 == policy.sha256
    assert (again.name, again.version, again.mode, again.limits) == (policy.name, policy.version, policy.mode, policy.limits)
    for table in ("allow_exact", "opaque_exact", "opaque_prefix", "deny_exact", "deny_prefix"):
        assert vars_of(policy, table) == vars_of(again, table)


def vars_of(policy: Policy, table: str) -> dict[str, str]:
    return {name: entry.capability for name, entry in getattr(policy, table).items()}


def test_what_people_write_survives(tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    path.write_text(
        'schema = 1\nname = "odd"\nversion = "1"\nsummary = "a \\"quoted\\" line\\n\\tand \\u00e4"\nowner = "o\\\\o"\nmode = "scan-only"\ndefault = "deny"\n'
        'extends = ["checkpoint"]\nformats = ["pickle"]\n[limits]\nopcodes = 12\n'
        '[[opaque]]\nid = "date"\nglobals = ["acme.A", "acme.sub.*"]\ncapability = "unknown"\nreason = "r\\u202e"\n'
        '[[deny]]\nid = "no"\nglobals = ["zzz.*", "yyy.X"]\ncapability = "net"\nreason = "r"\n',
        encoding="utf-8",
    )
    policy = load_policy(path)
    again = reread(policy, tmp_path)
    assert diff(policy, again).is_empty
    assert (again.summary, again.owner, again.formats, again.limits.opcodes) == (policy.summary, policy.owner, ("pickle",), 12)
    assert again.opaque_exact["acme.A"].reason == "r\u202e"
