"""`scan -f FORMAT=FILE`: several reports of one scan, each where it belongs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safeload.cli.outputs import Output, outputs_of
from tests.cli.inputs import EVIL, PLAIN, run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with one file that is rejected and one that is accepted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SAFELOAD_POLICY", raising=False)
    (tmp_path / "evil.pt").write_bytes(EVIL)
    (tmp_path / "plain.pt").write_bytes(PLAIN)
    return tmp_path


def test_what_the_options_mean() -> None:
    assert outputs_of((), None) == (Output("text"),)
    assert outputs_of((), "r.txt") == (Output("text", "r.txt"),)
    assert outputs_of(("json",), "r.json") == (Output("json", "r.json"),)
    assert outputs_of(("json=a=b", "text=-"), None) == (Output("json", "a=b"), Output("text"))
    assert outputs_of(("json=r.json", "text"), "r.txt") == (Output("json", "r.json"), Output("text", "r.txt"))


def test_several_reports_of_one_scan_are_those_of_several_scans(here: Path) -> None:
    alone = {name: run("scan", "-f", name, "evil.pt", "plain.pt") for name in ("text", "json")}
    both = run("scan", "-f", "json=r.json", "-f", "text", "evil.pt", "plain.pt")
    assert both.out == alone["text"].out
    assert (here / "r.json").read_text() == alone["json"].out
    assert {both.code, alone["text"].code, alone["json"].code} == {1}


WRONG = [["-f", "text", "-f", "json"], ["-f", "json=r", "-f", "text=./r"], ["-f", "json="], ["-f", "xml"], ["-f", "json=a", "-o", "b"], ["-f", "xml=a"]]


@pytest.mark.parametrize("options", WRONG, ids=" ".join)
def test_two_reports_in_one_place_and_other_slips_are_usage_errors(here: Path, options: list[str]) -> None:
    outcome = run("scan", *options, "plain.pt")
    assert (outcome.code, outcome.out) == (2, "")
    assert "Error" in outcome.err
    assert sorted(path.name for path in here.iterdir()) == ["evil.pt", "plain.pt"]


def test_a_report_is_never_judged(here: Path) -> None:
    for _ in range(2):  # the second time the reports are there when the folder is walked
        outcome = run("scan", "-f", "json=out.json", "-f", "text=out.txt", ".")
        assert outcome.code == 1
        assert {entry["path"] for entry in json.loads((here / "out.json").read_text())["results"]} == {"./evil.pt", "./plain.pt"}


@pytest.mark.parametrize("options", [[], ["--exit-zero"]])
def test_a_report_that_cannot_be_written_is_no_verdict(here: Path, options: list[str]) -> None:
    outcome = run("scan", "-f", "json=no/such/folder/r.json", "-f", "text", *options, "plain.pt")
    assert outcome.code == 2
    assert "no/such/folder/r.json" in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("count", [1, 200])  # one says so when it is closed, the other on the way
def test_a_full_disk_spoils_one_report_and_not_the_others(here: Path, count: int) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    outcome = run("scan", "-f", "json=/dev/full", "-f", "text", "evil.pt", *["plain.pt"] * count)
    assert outcome.code == 2
    assert outcome.err == "safeload: --output /dev/full: No space left on device\n"
    assert f"{count} accepted, 1 rejected" in outcome.out


def test_one_line_on_standard_error_for_what_is_not_there_whatever_the_format(here: Path) -> None:
    for name in ("text", "json"):
        outcome = run("scan", "-f", name, "missing.pt")
        assert (outcome.code, outcome.err.count("\n")) == (2, 1), name
