"""`safeload policy ...`: each verb as its user meets it: text of 80 columns, exit codes, JSON for machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safeload.cli.policy import POLICY_VERBS
from safeload.policy.shipped import SHIPPED
from tests.cli.inputs import BROKEN, EVIL, OURS, PLAIN, run, state_dict

HEAD = 'schema = 1\nname = "own"\nversion = "1"\nsummary = "Ours."\nowner = "me"\nmode = "enforce"\ndefault = "deny"\n'
OWN = HEAD + 'extends = ["checkpoint"]\n[[opaque]]\nid = "ours"\nglobals = ["acme.train.Config", "acme.train.Mode"]\ncapability = "unknown"\nreason = "ours"\n'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.toml").write_text(OWN, encoding="utf-8")
    (tmp_path / "ours.pt").write_bytes(OURS)
    (tmp_path / "plain.pkl").write_bytes(PLAIN)
    return tmp_path


def test_every_verb_has_help(here: Path) -> None:
    assert run("policy", "--help").code == 0
    for verb in POLICY_VERBS:
        outcome = run("policy", verb, "--help")
        assert outcome.code == 0
        assert "Exit codes" in outcome.out or verb in ("list", "show"), verb
        assert all(len(line) <= 80 for line in outcome.out.splitlines()), verb
    assert run("policy", "nosuch").code == 2


def test_list(here: Path) -> None:
    outcome = run("policy", "list")
    assert outcome.code == 0
    assert all(any(line.startswith(name) for line in outcome.out.splitlines()) for name in SHIPPED)
    assert "checkpoint (default)" in outcome.out
    assert [policy["name"] for policy in json.loads(run("policy", "list", "-f", "json").out)] == list(SHIPPED)


def test_show(here: Path) -> None:
    outcome = run("policy", "show", "own.toml")
    assert outcome.code == 0
    assert "ours: unknown, 2 names" in outcome.out
    assert "inherited entries" in outcome.out
    assert "process of known-danger" in run("policy", "show", "own.toml", "--all").out
    assert json.loads(run("policy", "show", "own.toml", "-f", "json").out)["extends"] == ["checkpoint"]


def test_show_resolved_is_a_policy(here: Path) -> None:
    (here / "whole.toml").write_text(run("policy", "show", "own.toml", "--resolved").out, encoding="utf-8")
    assert run("policy", "validate", "whole.toml").code == 0
    assert run("policy", "diff", "own.toml", "whole.toml").code == 0


def test_validate_says_everything_at_once(here: Path) -> None:
    assert run("policy", "validate", "own.toml", "checkpoint").code == 0
    (here / "bad.toml").write_text(OWN.replace('reason = "ours"', 'reason = ""').replace('"me"', "true"), encoding="utf-8")
    outcome = run("policy", "validate", "own.toml", "bad.toml")
    assert outcome.code == 1
    assert "own.toml: valid" in outcome.out
    assert "owner: expected a string, found a boolean" in outcome.out
    assert "opaque[0].reason: is empty" in outcome.out
    assert run("policy", "validate", "missing.toml").code == 2


def test_explain(here: Path) -> None:
    outcome = run("policy", "explain", "checkpoint", "posix.system")
    assert outcome.code == 1
    assert 'denied by entry "process" of policy known-danger, which checkpoint extends' in outcome.out
    assert "inherited and cannot" in outcome.out
    outcome = run("policy", "explain", "own.toml", "acme.train.Config")
    assert outcome.code == 0
    assert "[[deny]]" in outcome.out
    outcome = run("policy", "explain", "checkpoint", "__builtin__.xrange")
    assert "judged as builtins.range" in outcome.out
    outcome = run("policy", "explain", "weights-only", "argparse.Namespace")
    assert outcome.code == 1
    assert "Shipped policies that let it through: checkpoint" in outcome.out
    assert "spelled as a Python name" in run("policy", "explain", "weights-only", "no name at all").out


def test_explain_says_what_is_known_of_a_name(here: Path) -> None:
    for policy in ("checkpoint", "inspect"):
        outcome = run("policy", "explain", policy, "torch.os.system")
        assert "it reaches os.system and could start processes" in outcome.out
        assert 'capability = "process.exec"' in outcome.out
    assert "known  " not in run("policy", "explain", "checkpoint", "acme.Config").out


def test_diff(here: Path) -> None:
    outcome = run("policy", "diff", "checkpoint", "own.toml", "--over", "ours.pt", "--over", "plain.pkl")
    assert outcome.code == 1
    assert "+ acme.train.Config: inert record (unknown)" in outcome.out
    assert "ours.pt: rejected -> accepted" in outcome.out
    assert "plain.pkl" not in outcome.out
    assert run("policy", "diff", "checkpoint", "checkpoint").code == 0
    found = json.loads(run("policy", "diff", "own.toml", "checkpoint", "--over", "ours.pt", "-f", "json").out)
    assert [change["name"] for change in found["diff"]["lost"]] == ["acme.train.Config", "acme.train.Mode"]
    assert found["verdicts"] == [{"path": "ours.pt", "before": "accepted", "after": "rejected"}]


def test_learn(here: Path) -> None:
    (here / "model.pt").write_bytes(state_dict())
    outcome = run("policy", "learn", "ours.pt", "model.pt", "-o", "mine.toml", "--name", "mine")
    assert (outcome.code, outcome.err) == (0, "")
    assert "2 names from 2 files" in outcome.out
    assert run("policy", "validate", "mine.toml").code == 1, "empty reasons"
    path = here / "mine.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('""', '"ours"'), encoding="utf-8")
    assert run("policy", "validate", "mine.toml").code == 0
    assert run("scan", "-p", "mine.toml", "ours.pt", "model.pt").code == 0
    assert run("policy", "learn", "ours.pt", "-o", "mine.toml").code == 2, "it does not overwrite"
    assert run("policy", "learn", "ours.pt", "-o", "mine.toml", "--force").code == 0
    assert run("policy", "learn", "ours.pt", "-o", "-").out.startswith("# A draft")


def test_learn_does_not_believe_everything(here: Path) -> None:
    (here / "evil.pkl").write_bytes(EVIL)
    (here / "broken.pkl").write_bytes(BROKEN[:20])
    outcome = run("policy", "learn", "evil.pkl", "ours.pt", "broken.pkl", "-o", "-")
    assert outcome.code == 2
    assert "posix.system" in outcome.err
    assert "broken.pkl" in outcome.err
    assert "posix" not in outcome.out
    assert run("policy", "learn", "missing.pkl", "-o", "-").code == 2


def test_unused(here: Path) -> None:
    assert run("policy", "unused", "ours.pt", "-p", "own.toml").code == 0
    outcome = run("policy", "unused", "plain.pkl", "-p", "own.toml")
    assert outcome.code == 1
    assert "opaque ours: whole entry" in outcome.out
    assert json.loads(run("policy", "unused", "plain.pkl", "-p", "own.toml", "-f", "json").out)[0]["entry"] == "ours"
    assert run("policy", "unused", "missing.pkl", "-p", "own.toml").code == 2


CASES = """
policy = "own.toml"
[[case]]
name = "our configuration"
expect = "accept"
covers = ["ours"]
program = '''
PROTO 2
GLOBAL acme.train Config
EMPTY_TUPLE
NEWOBJ
STOP
'''
"""


def test_test(here: Path) -> None:
    (here / "tests").mkdir()
    (here / "tests" / "own.toml").write_text(CASES.replace('"own.toml"', '"../own.toml"'), encoding="utf-8")
    outcome = run("policy", "test", "tests", "--coverage")
    assert (outcome.code, outcome.err) == (0, "")
    assert "1 case of policy own, none wrong" in outcome.out
    assert "1 of 1 entry tested both ways" in outcome.out
    (here / "bad.toml").write_text(CASES.replace("accept", "reject"), encoding="utf-8")
    outcome = run("policy", "test", "bad.toml")
    assert outcome.code == 1
    assert "expected rejected, and it is accepted" in outcome.out
    (here / "worse.toml").write_text(CASES.replace("REDUCE", "x").replace("NEWOBJ", "NOSUCH"), encoding="utf-8")
    assert run("policy", "test", "worse.toml").code == 2
    assert run("policy", "test", "missing.toml").code == 2
    assert run("policy", "test", str(here / "tests" / "..")).code == 2, "own.toml is no file of tests"
