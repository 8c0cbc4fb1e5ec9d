"""`safeload explain`: which entry decides about each name, why, and what would change it; a second opinion where it is asked for."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from safeload.cli import decompile
from safeload.cli.decompile import second_opinion
from safeload.opcodes.assemble import assemble
from tests.cli import snapshot
from tests.cli.inputs import BROKEN, EVIL, OURS, PAGE, PLAIN, calling, run, state_dict

PLACES = re.compile(r"(?m)^(policy file: |  +in  +).*\n(?: {16,}\S+\n)*")  # of this checkout


def shown(*arguments: str) -> tuple[int, str]:
    outcome = run("explain", *arguments)
    assert outcome.err == ""
    return outcome.code, PLACES.sub(r"\1...\n", outcome.out)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


FILES = [("evil", EVIL, 1), ("ours", OURS, 1), ("plain", PLAIN, 0), ("state_dict", state_dict(), 0), ("broken", BROKEN, 1), ("page", PAGE, 2)]


@pytest.mark.parametrize(("name", "data", "code"), FILES)
def test_what_decides(here: Path, name: str, data: bytes, code: int) -> None:
    (here / "model.pt").write_bytes(data)
    found, text = shown("model.pt")
    assert found == code
    assert all(len(line) <= 80 for line in text.splitlines() if "sha256" not in line)
    snapshot.check(f"explain-{name}", text)


def test_many_names_share_one_stanza(here: Path) -> None:
    (here / "model.pt").write_bytes(calling(*(f"acme.layers.Layer{number}" for number in range(6))))
    text = shown("model.pt")[1]
    assert text.count("[[opaque]]") == 1
    assert text.count("Shipped policies") == 0
    assert shown("model.pt", "--all")[1].count("[[opaque]]") == 6


def test_one_name_of_many(here: Path) -> None:
    (here / "model.pt").write_bytes(calling("acme.A", "acme.B"))
    text = shown("model.pt", "-g", "acme.B")[1]
    assert "acme.B: denied" in text
    assert "acme.A" not in text
    assert "the file names none of these" in shown("model.pt", "-g", "acme.C")[1]


def test_the_stanza_that_is_shown_helps(here: Path) -> None:
    """What the text says about a refused name is true: with the entry the file is accepted."""
    (here / "model.pt").write_bytes(calling("acme.A"))
    text = shown("model.pt")[1]
    entry = "\n".join(line.strip() for line in text[text.index("[[opaque]]") :].splitlines()[:5]).replace('""', '"ours"')
    head = 'schema = 1\nname = "x"\nversion = "1"\nsummary = "s"\nowner = "o"\nmode = "enforce"\ndefault = "deny"\nextends = ["checkpoint"]\n'
    (here / "x.toml").write_text(head + entry, encoding="utf-8")
    assert run("explain", "-p", "x.toml", "model.pt").code == 0


def test_for_machines(here: Path) -> None:
    (here / "model.pt").write_bytes(EVIL)
    outcome = run("explain", "model.pt", "-f", "json")
    found = json.loads(outcome.out)
    assert (outcome.code, found["verdict"]) == (1, "rejected")
    assert found["globals"][0]["entry"]["id"] == "process"
    assert found["globals"][0]["places"] == [{"member": None, "offset": 2}, {"member": None, "offset": 26}]


def test_hostile_names_stay_text(here: Path) -> None:
    (here / "model.pt").write_bytes(calling("acme.\x1b[2Jevil", "a.\u202ebc"))
    text = shown("model.pt", "--decompile")[1]
    assert "\x1b" not in text
    assert "\u202e" not in text


# ---- the second opinion -------------------------------------------------------------------------------------------------------------------


def test_fickling_is_asked_and_decides_nothing(here: Path) -> None:
    (here / "model.pt").write_bytes(EVIL)
    code, text = shown("model.pt", "--decompile")
    assert code == 1
    assert "second opinion, by fickling" in text
    assert "    | from posix import system" in text
    assert "safeload: rejected" in text
    assert shown("model.pt", "--decompile", "-p", "inspect")[0] == 1
    found = json.loads(run("explain", "model.pt", "--decompile", "-f", "json").out)
    assert found["second_opinion"][0]["severity"] == "LIKELY_OVERTLY_MALICIOUS"


def test_nothing_runs_in_the_child(here: Path) -> None:
    (here / "model.pt").write_bytes(assemble("PROTO 2\nGLOBAL posix mkdir\nBINUNICODE 'made-by-the-payload'\nTUPLE1\nREDUCE\nSTOP"))
    assert "mkdir" in shown("model.pt", "--decompile")[1]
    assert not list(here.rglob("made-by-the-payload"))


def test_the_child_is_bounded_in_time() -> None:
    assert "no answer within" in (second_opinion(EVIL, seconds=0.01).error or "")


def test_the_child_is_bounded_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decompile, "MEMORY_BYTES", 1 << 20)
    opinion = second_opinion(EVIL)
    assert opinion.error is not None
    assert opinion.python is None


def test_long_streams_are_not_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decompile, "STREAM_BYTES", 10)
    assert "only streams up to 10" in (second_opinion(EVIL).error or "")


def test_long_renderings_are_cut() -> None:
    opinion = second_opinion(calling(*(f"acme.layers.Layer{number}" for number in range(900))))
    assert opinion.python is not None
    assert len(opinion.python) == decompile.CHARACTERS + 1


def test_what_fickling_cannot_read_is_said() -> None:
    assert second_opinion(b"\x80\x02\xff.").error is not None
