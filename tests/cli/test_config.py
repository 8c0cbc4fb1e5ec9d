"""Where the policy of a run comes from, and that nothing in what is judged can choose it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from safeload.cli.config import MAX_CONFIG_BYTES, choose, find_config, lies_in
from safeload.errors import PolicyFileError
from tests.cli.inputs import OURS, PLAIN, run

POLICY = """\
schema = 1
name = "{name}"
version = "1"
summary = "s"
owner = "o"
mode = "{mode}"
default = "deny"
extends = ["{parent}"]
"""


def policy_file(path: Path, name: str = "acme", *, parent: str = "weights-only", mode: str = "enforce") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(POLICY.format(name=name, parent=parent, mode=mode), encoding="utf-8")
    return str(path)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a folder of models, and the current folder in it."""
    root = tmp_path / "project"
    (root / ".git").mkdir(parents=True)
    (root / "models").mkdir()
    (root / "models" / "a.pt").write_bytes(PLAIN)
    monkeypatch.chdir(root)
    monkeypatch.delenv("SAFELOAD_POLICY", raising=False)
    return root


def chosen(*arguments: str) -> str:
    """The first line of a scan of the models."""
    outcome = run("scan", *arguments, "models/a.pt")
    assert outcome.code == 0, outcome.err
    return outcome.out.replace("\n    ", " ").splitlines()[0]


def test_the_order_of_the_sources(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen().startswith("policy checkpoint ")
    assert chosen().endswith("), shipped with safeload")
    (project / "pyproject.toml").write_text('[project]\nname = "safeload-user"\n[tool.safeload]\npolicy = "weights-only"\n')
    assert chosen().startswith("policy weights-only ")
    assert chosen().endswith("shipped with safeload, chosen by pyproject.toml")
    monkeypatch.setenv("SAFELOAD_POLICY", "inspect")
    assert chosen().startswith("policy inspect ")
    assert chosen().endswith("chosen by SAFELOAD_POLICY")
    assert chosen("--policy", "known-danger").startswith("policy known-danger ")
    assert chosen("--policy", "known-danger").endswith("), shipped with safeload")


def test_the_first_line_names_policy_file_and_digest(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy_file(project / "security" / "acme.toml")
    (project / "safeload.toml").write_text('policy = "security/acme.toml"\n')
    line = chosen()
    assert line.startswith("policy acme 1 (sha256 ")
    assert line.endswith("), security/acme.toml, chosen by safeload.toml")
    (project / "inner").mkdir()
    monkeypatch.chdir(project / "inner")
    assert choose(None, ["../models/a.pt"]).policy.file == str(project / "security/acme.toml"), "relative to the configuration, not to who asks"


def test_the_nearest_folder_up_to_the_root_of_the_repository(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.parent / "safeload.toml").write_text('policy = "inspect"\n')
    inner = project / "a" / "b"
    inner.mkdir(parents=True)
    assert find_config(str(inner)) is None, "what stands above the repository does not speak for it"
    (project / "safeload.toml").write_text('policy = "weights-only"\n')
    assert find_config(str(inner)) == (str(project / "safeload.toml"), "weights-only")
    (project / "a" / "pyproject.toml").write_text("[tool.ruff]\nline-length = 1  # safeload\n")
    assert find_config(str(inner)) == (str(project / "safeload.toml"), "weights-only")
    (project / "a" / "pyproject.toml").write_text('[tool.safeload]\npolicy = "lightning"\n')
    assert find_config(str(inner)) == (str(project / "a" / "pyproject.toml"), "lightning")
    monkeypatch.chdir(inner)
    assert choose(None, ["../../models/a.pt"]).policy.name == "lightning"


def test_without_a_repository_only_the_current_folder_counts(tmp_path: Path) -> None:
    (tmp_path / "safeload.toml").write_text('policy = "inspect"\n')
    inner = tmp_path / "inner"
    inner.mkdir()
    assert find_config(str(inner)) is None
    assert find_config(str(tmp_path)) == (str(tmp_path / "safeload.toml"), "inspect")


# ---- nothing in what is judged chooses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", ["safeload.toml", "pyproject.toml"])
@pytest.mark.parametrize("paths", [["."], ["../project"], ["b.pt"], ["models", "."], ["link"], ["linked.pt"]])
def test_a_configuration_in_what_is_judged_is_an_error(project: Path, config: str, paths: list[str]) -> None:
    """The one that matters: a folder from elsewhere, with a model and a configuration that would let it through."""
    (project / "b.pt").write_bytes(OURS)
    (project.parent / "elsewhere.pt").write_bytes(OURS)
    (project / "linked.pt").symlink_to(project.parent / "elsewhere.pt")
    (project / "link").symlink_to(project)
    (project / config).write_text(f"{'[tool.safeload]' if config.startswith('py') else ''}\npolicy = 'inspect'\n")
    outcome = run("scan", *paths)
    assert outcome.code == 2
    assert outcome.out == ""
    assert "nothing there may choose the policy; say --policy" in outcome.err
    assert run("scan", "--policy", "checkpoint", *paths).code != 2 or paths == ["link"]
    for verb in (["tensors"], ["tree"], ["explain"]):
        assert run(*verb, "b.pt").code == 2
    assert run("lock", "-o", str(project.parent / "x.lock"), *paths).code == 2


def test_a_configuration_behind_a_link_is_found_out(project: Path) -> None:
    (project / "models" / "safeload.toml").write_text('policy = "inspect"\n')
    (project / "safeload.toml").symlink_to(project / "models" / "safeload.toml")
    assert run("scan", "models").code == 2


def test_a_policy_in_what_is_judged_is_not_led_to(project: Path) -> None:
    policy_file(project / "models" / "acme.toml")
    policy_file(project / "child.toml", "child", parent="models/acme.toml")
    for named in ("models/acme.toml", "child.toml"):
        (project / "safeload.toml").write_text(f'policy = "{named}"\n')
        outcome = run("scan", "models")
        assert outcome.code == 2
        assert "models/acme.toml, which it leads to, lies in what is to be judged (models)" in outcome.err
    assert run("scan", "--policy", "models/acme.toml", "models/a.pt").code == 0, "the caller himself may name it"


def test_standard_input_lies_nowhere(project: Path) -> None:
    (project / "safeload.toml").write_text('policy = "weights-only"\n')
    assert run("scan", "-", stdin=PLAIN).code == 0


def test_where_a_file_lies(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "ab").mkdir()
    (tmp_path / "a" / "m.pt").write_bytes(b"")
    at = {name: str(tmp_path / name) for name in ("a", "a/b/c.toml", "ab/c.toml", "c.toml", "a/m.pt", "a/c.toml")}
    assert lies_in(at["a/b/c.toml"], at["a"])
    assert lies_in(at["a/c.toml"], at["a/m.pt"])
    assert not lies_in(at["a/b/c.toml"], at["a/m.pt"])
    assert not lies_in(at["ab/c.toml"], at["a"])
    assert not lies_in(at["c.toml"], at["a"])


# ---- what is wrong with one ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("safeload.toml", "", "policy: missing"),
        ("safeload.toml", "policy = 5\n", "safeload.toml:1: policy: expected a string"),
        ("safeload.toml", 'policy = "checkpoint"\nexclude = []\n', "safeload.toml:2: exclude: unknown key"),
        ("safeload.toml", "policy = ", "not TOML"),
        ("safeload.toml", 'policy = "checkpiont"\n', "did you mean 'checkpoint'"),
        ("safeload.toml", 'policy = "none.toml"\n', "none.toml"),
        ("pyproject.toml", "[tool.safeload]\npolcy = 'x'\n", "tool.safeload.polcy: unknown key; did you mean 'policy'?"),
        ("pyproject.toml", "[tool]\nsafeload = 3\n", "tool.safeload: expected a table"),
        ("safeload.toml", "#" * (MAX_CONFIG_BYTES + 1), "this is no configuration"),
    ],
)
def test_a_wrong_configuration_is_named_and_not_passed_over(project: Path, name: str, text: str, word: str) -> None:
    (project / name).write_text(text)
    outcome = run("scan", "models/a.pt")
    assert outcome.code == 2
    assert word in outcome.err


def test_two_configurations_in_one_folder(project: Path) -> None:
    (project / "safeload.toml").write_text('policy = "checkpoint"\n')
    (project / "pyproject.toml").write_text('[tool.safeload]\npolicy = "inspect"\n')
    with pytest.raises(PolicyFileError, match="keep one of them"):
        find_config(os.getcwd())


# ---- modes --------------------------------------------------------------------------------------------------------------------------------


def test_audit_reports_verdicts_and_exits_0(project: Path) -> None:
    path = policy_file(project / "audit.toml", mode="audit")
    (project / "models" / "b.pt").write_bytes(OURS)
    outcome = run("scan", "--policy", path, "models")
    assert outcome.code == 0
    assert "mode audit: the exit code is 0 whatever the" in outcome.out.replace("\n    ", " ")
    assert "1 accepted, 1 rejected" in outcome.out
    assert run("scan", "--policy", policy_file(project / "gate.toml", mode="scan-only"), "models").code == 1
    assert run("tensors", "--policy", path, "models/a.pt").code == 1
