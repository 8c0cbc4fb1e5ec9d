"""`safeload tensors`: the table, the JSON, and what a refused file gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli import snapshot
from tests.cli.inputs import EVIL, PAGE, run, state_dict


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SAFELOAD_POLICY", raising=False)
    (tmp_path / "model.pt").write_bytes(state_dict())
    (tmp_path / "evil.pt").write_bytes(EVIL)
    (tmp_path / "page.pt").write_bytes(PAGE)
    return tmp_path


def test_the_table(here: Path) -> None:
    outcome = run("tensors", "model.pt")
    assert outcome.code == 0
    snapshot.check("tensors", outcome.out)


def test_json(here: Path) -> None:
    document = json.loads(run("tensors", "--json", "model.pt").out)
    assert document["schema"] == "safeload-tensors-v1"
    assert document["totals"] == {"tensors": 3, "nbytes": 64, "storages": 2, "storage_nbytes": 64}
    tail = document["tensors"][1]
    assert (tail["name"], tail["shape"], tail["strides"], tail["storage_offset"], tail["storage"]) == ("fc.tail", [4], [1], 8, "0")


def test_standard_input(here: Path) -> None:
    assert run("tensors", "-", stdin=state_dict()).out == run("tensors", "model.pt").out


@pytest.mark.parametrize("verb", ["tensors", "tree"])
def test_a_rejected_file_gives_its_reasons_in_short(here: Path, verb: str) -> None:
    outcome = run(verb, "evil.pt")
    assert (outcome.code, outcome.out) == (1, "")
    assert "evil.pt is rejected by policy checkpoint" in outcome.err
    assert "SL301 posix.system is called" in outcome.err


@pytest.mark.parametrize("verb", ["tensors", "tree", "dis"])
def test_what_is_no_checkpoint_is_one_line(here: Path, verb: str) -> None:
    outcome = run(verb, "page.pt")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1
    assert "HTML" in outcome.err
