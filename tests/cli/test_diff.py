"""`safeload diff A B`: what came, what went, and the exit codes."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from tests.cli import snapshot
from tests.cli.inputs import EVIL, OURS, PAGE, run, tensor, torch_zip


def model(epoch: int, **tensors: tuple[float, ...]) -> bytes:
    """A checkpoint of an epoch and one-dimensional tensors."""
    parts, storages = [f"BINUNICODE 'epoch'\nBININT1 {epoch}\nSETITEM\n"], []
    for number, (name, values) in enumerate(tensors.items()):
        parts.append(f"BINUNICODE '{name}'\n{tensor(str(number), len(values), (len(values),), (1,))}SETITEM\n")
        storages.append(struct.pack(f"<{len(values)}f", *values))
    return torch_zip("PROTO 2\nEMPTY_DICT\n" + "".join(parts) + "STOP", *storages)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SAFELOAD_POLICY", raising=False)
    (tmp_path / "old.pt").write_bytes(model(3, kept=(1, 2), trained=(1, 2, 3), grown=(1, 2), moved=(7, 8, 9, 10), dropped=(5,)))
    (tmp_path / "new.pt").write_bytes(model(4, kept=(1, 2), trained=(1, 2, 4), grown=(1, 2, 3), elsewhere=(7, 8, 9, 10), head=(5, 6)))
    (tmp_path / "evil.pt").write_bytes(EVIL)
    (tmp_path / "page.pt").write_bytes(PAGE)
    (tmp_path / "ours.pt").write_bytes(OURS)
    return tmp_path


def test_the_text(here: Path) -> None:
    outcome = run("diff", "old.pt", "new.pt")
    assert (outcome.code, outcome.err) == (0, "")
    snapshot.check("diff", outcome.out)
    assert max(map(len, outcome.out.splitlines())) <= 80


def test_json(here: Path) -> None:
    document = json.loads(run("diff", "-f", "json", "old.pt", "new.pt").out)
    assert document["schema"] == "safeload-diff-v1" and not document["identical"] and document["compared"]
    tensors = document["tensors"]
    assert [row["name"] for row in tensors["added"]] == ["head"]
    assert [row["name"] for row in tensors["removed"]] == ["dropped"]
    assert [(row["name"], row["renamed_to"]) for row in tensors["renamed"]] == [("moved", "elsewhere")]
    assert [(row["name"], row["before"], row["after"]) for row in tensors["reshaped"]] == [("grown", "float32 [2]", "float32 [3]")]
    assert [row["name"] for row in tensors["changed"]] == ["trained"]
    assert tensors["same"] == 1
    assert document["values"] == [{"path": "'epoch'", "before": "3", "after": "4"}]


def test_the_same_file(here: Path) -> None:
    for arguments in (("old.pt", "old.pt"), ("--exact", "old.pt", "old.pt")):
        outcome = run("diff", *arguments)
        assert outcome.code == 0 and "byte for byte" in outcome.out and "hold the same" in outcome.out


def test_exact_fails_on_any_difference(here: Path) -> None:
    assert run("diff", "--exact", "old.pt", "new.pt").code == 1


def test_what_the_second_gains(here: Path) -> None:
    outcome = run("diff", "old.pt", "evil.pt")
    assert outcome.code == 1 and "+ posix.system" in outcome.out and "capabilities gained: process.exec" in outcome.out
    assert "not compared: B did not open" in outcome.out
    assert run("diff", "evil.pt", "old.pt").code == 0
    assert "- posix.system" in run("diff", "evil.pt", "old.pt").out


def test_a_record_is_a_gain_though_the_policy_is_content(here: Path) -> None:
    outcome = run("diff", "-p", "inspect", "old.pt", "ours.pt")
    assert outcome.code == 1 and "+ acme.train.Config" in outcome.out and "capabilities gained: unknown" in outcome.out


@pytest.mark.parametrize("pair", [("page.pt", "old.pt"), ("old.pt", "page.pt"), ("old.pt", "missing.pt"), ("missing.pt", "old.pt")], ids=str)
def test_without_a_verdict(here: Path, pair: tuple[str, str]) -> None:
    assert run("diff", *pair).code == 2


def test_long_lists_are_cut_unless_all_is_asked_for(here: Path) -> None:
    (here / "many.pt").write_bytes(model(3, **{f"layer{number}": (float(number + 100),) for number in range(60)}))
    short, whole = run("diff", "old.pt", "many.pt").out, run("diff", "--all", "old.pt", "many.pt").out
    assert "... 20 more (--all)" in short and "layer59" not in short and "layer59" in whole


def test_hostile_names_stay_on_their_line(here: Path) -> None:
    (here / "names.pt").write_bytes(model(3, **{r"a\x1b[31m\n::error": (1.0,)}))
    outcome = run("diff", "old.pt", "names.pt").out
    assert "\x1b" not in outcome and "\n::error" not in outcome
