"""What ends is listed by its day, wherever in the family of a policy it stands."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from safeload.policy.resolve import load_policy
from safeload.policytools.expiry import endings
from tests.cli.inputs import run

TODAY = datetime.datetime.now(datetime.UTC).date()
HEAD = 'schema = 1\nname = "{name}"\nversion = "1"\nsummary = "s"\nowner = "o"\nmode = "enforce"\ndefault = "deny"\nextends = ["{parent}"]\nexpires = {day}\n'


def day(ahead: int) -> str:
    return (TODAY + datetime.timedelta(days=ahead)).isoformat()


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    entry = '[[opaque]]\nid = "old"\nglobals = ["acme.A"]\ncapability = "unknown"\nreason = "r"\nexpires = {day}\n'
    (tmp_path / "base.toml").write_text(HEAD.format(name="base", parent="checkpoint", day=day(200)) + entry.format(day=day(10)), encoding="utf-8")
    raised = '[[raise]]\nlimit = "opcodes"\nto = 60_000_000\nreason = "r"\nowner = "o"\nexpires = {day}\n'
    waived = '[[waive]]\nrule = "SL122"\nsha256 = "{sha}"\nreason = "r"\nowner = "o"\nexpires = {day}\n'
    text = HEAD.format(name="child", parent="base.toml", day=day(100)) + raised.format(day=day(20)) + waived.format(sha="ab" * 32, day=day(30))
    (tmp_path / "child.toml").write_text(text, encoding="utf-8")
    return tmp_path


def test_all_that_ends_in_order(family: Path) -> None:
    found = endings(load_policy(family / "child.toml"))
    assert [(ending.kind, ending.name, ending.left(TODAY)) for ending in found] == [
        ("opaque", "old", 10), ("raise", "opcodes", 20), ("waive", "SL122 of abababababab...", 30), ("policy", "child", 100), ("policy", "base", 200),
    ]  # fmt: skip
    assert endings(load_policy("checkpoint")) == []


def test_the_verb(family: Path) -> None:
    outcome = run("policy", "expiring", "child.toml", "--within", "4w")
    assert outcome.code == 1
    assert [line.split(" ", 1)[1].split(" of policy")[0] for line in outcome.out.splitlines() if line[0] != " "] == [
        "ends in 10 days: opaque old",
        "ends in 20 days: raise opcodes",
    ]
    assert run("policy", "expiring", "child.toml", "--within", "9d").code == 0
    assert run("policy", "expiring", "child.toml", "--within", "soon").code == 2
    assert '"days_left": 10' in run("policy", "expiring", "child.toml", "--within", "10", "-f", "json").out
