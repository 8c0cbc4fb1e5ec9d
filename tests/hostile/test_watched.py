"""The hook over hostile files is awake, and what it watches is only the reading."""

from __future__ import annotations

import contextlib
import importlib
import os
from pathlib import Path

import pytest

import safeload
from safeload import judge

from . import watched

ACTS = {
    "import": lambda: importlib.import_module("antigravity"),
    "open": lambda: Path("never").write_text("x"),
    "compile": lambda: compile("1", "never", "eval"),
    "exec": lambda: exec("1"),
    "mkdir": lambda: os.mkdir("never"),
    "process": lambda: os.system("true"),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("reading", [watched.scan, watched.load, watched.opened], ids=lambda reading: reading.__name__)
def test_an_act_within_a_reading_is_a_violation(act: str, reading: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A reader that were made to do it would be found out, also where it hides the failure."""
    monkeypatch.chdir(tmp_path)
    original = judge.read_document

    def acting(*args: object) -> object:
        with contextlib.suppress(Exception):
            ACTS[act]()
        return original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(judge, "read_document", acting)
    with pytest.raises(watched.Violation):
        reading(b"\x80\x02}.")  # type: ignore[operator]
    assert list(tmp_path.iterdir()) == []


def test_outside_of_a_reading_everything_is_allowed(tmp_path: Path) -> None:
    assert watched.scan(b"\x80\x02}.").verdict == "accepted" and watched.load(b"\x80\x02}.") == {}
    (tmp_path / "file.pkl").write_bytes(b"\x80\x02}.")
    assert watched.load(tmp_path / "file.pkl") == safeload.load(tmp_path / "file.pkl") == {}
