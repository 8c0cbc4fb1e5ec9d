"""`safeload policy lock`: what it shows pins the parents, and a pin that no longer holds is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.inputs import run

HEAD = 'schema = 1\nname = "own"\nversion = "1"\nsummary = "Ours."\nowner = "me"\nmode = "enforce"\ndefault = "deny"\n'
ENTRY = '[[opaque]]\nid = "ours"\nglobals = ["acme.{name}"]\ncapability = "unknown"\nreason = "ours"\n'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "team").mkdir()
    (tmp_path / "base.toml").write_text(HEAD + ENTRY.format(name="Config"))
    (tmp_path / "team" / "own.toml").write_text(HEAD + 'extends = ["checkpoint", "../base.toml"]\n')
    return tmp_path


def test_what_it_shows_pins_the_parents(here: Path) -> None:
    outcome = run("policy", "lock", "team/own.toml")
    assert outcome.code == 1
    assert outcome.out.startswith("team/own.toml: 2 parents of 2 not pinned as they are; this pins them:\n")
    shown = outcome.out.split("\n\n")[1]
    (here / "team" / "own.toml").write_text(HEAD + "\n".join(line[4:] for line in shown.splitlines()) + "\n")
    assert run("policy", "validate", "team/own.toml").code == 0
    outcome = run("policy", "lock", "team/own.toml")
    assert (outcome.code, outcome.out) == (0, "team/own.toml: 2 parents, all pinned as they are\n")


def test_a_parent_that_changed_is_named(here: Path) -> None:
    test_what_it_shows_pins_the_parents(here)
    (here / "base.toml").write_text(HEAD + ENTRY.format(name="Other"))
    assert run("policy", "validate", "team/own.toml").code == 1
    outcome = run("policy", "lock", "team/own.toml")
    assert outcome.code == 1
    assert "1 parent of 2 not pinned" in outcome.out


def test_what_has_no_parents_or_is_no_policy(here: Path) -> None:
    assert run("policy", "lock", "base.toml").out == "base.toml: it extends nothing\n"
    assert run("policy", "lock", "none.toml").code == 2
    (here / "bad.toml").write_text("x")
    assert run("policy", "lock", "base.toml", "bad.toml").code == 2
    (here / "lost.toml").write_text(HEAD + 'extends = ["none.toml"]\n')
    assert run("policy", "lock", "lost.toml").code == 2
