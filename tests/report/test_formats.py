"""What holds for every report format: the counts agree, the exit code is the same, and hostile names stay text."""

from __future__ import annotations

import io
import json
import re
import unicodedata
import xml.etree.ElementTree as ET
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from safeload.api import read
from safeload.policy.resolve import load_policy
from safeload.report.formats import FORMATS, needs_of, writer
from safeload.report.rows import row_of
from safeload.report.writer import VERDICTS, End, Run, Screen
from tests.cli.inputs import run
from tests.report.mixed import HOSTILE, SHELL_HOSTILE_PATHS, counts_of, hostile_file, plain_folder, text_of


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SAFELOAD_POLICY", raising=False)
    return tmp_path


def reports(here: Path, *paths: str, code: int = 1) -> dict[str, str]:
    """The report in every format, from one scan."""
    options = [word for name in FORMATS for word in ("-f", f"{name}=out-{name}")]
    outcome = run("scan", *options, *paths)
    assert (outcome.code, outcome.out) == (code, "")
    return {name: (here / f"out-{name}").read_bytes().decode("utf-8") for name in FORMATS}


# ---- counts ---------------------------------------------------------------------------------------------------------------------------------


def test_the_counts_in_every_format_agree(here: Path) -> None:
    (here / "models").mkdir()
    (here / "nothing").mkdir()
    expected = Counter(plain_folder(here / "models").values())
    found = {name: counts_of(name, text) for name, text in reports(here, "models", "nothing").items()}
    assert found == dict.fromkeys(FORMATS, expected)


def test_one_scan_of_all_formats_is_the_same_as_one_scan_each(here: Path) -> None:
    (here / "models").mkdir()
    plain_folder(here / "models")
    together = reports(here, "models")
    for name in FORMATS:
        alone = run("scan", "-f", name, "--digest", "models")
        assert (alone.code, alone.out) == (1, together[name]), name


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_bytes_every_time(here: Path, name: str) -> None:
    (here / "models").mkdir()
    plain_folder(here / "models")
    assert run("scan", "-f", name, "models").out == run("scan", "-f", name, "models").out


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("paths", "code"), [((), 3), (("nothing",), 3), (("missing.pt",), 2), (("plain.pkl",), 0), (("evil.pt",), 1), (("cut.pt",), 2)])
def test_the_exit_code_is_the_same_in_every_format(here: Path, name: str, paths: tuple[str, ...], code: int) -> None:
    plain_folder(here)
    (here / "nothing").mkdir()
    assert run("scan", "-f", name, *paths).code == code


def test_a_lock_file_that_differs_shows_in_every_format(here: Path) -> None:
    plain_folder(here)
    run("lock", "plain.pkl")
    (here / "plain.pkl").write_bytes(b"\x80\x02K\x01.")
    for name in FORMATS:
        outcome = run("scan", "-f", name, "--locked", "safeload.lock")
        assert outcome.code == 1, name
        shown = " ".join((text_of(outcome.out) if name == "html" else outcome.out).split())
        assert "plain.pkl" in shown, name
        assert "5, and 21 was locked" in shown, name


@pytest.mark.parametrize("name", FORMATS)
def test_a_row_costs_no_memory_that_stays(name: str) -> None:
    """Ten thousand files that are accepted: what a writer keeps of each would show."""
    import tracemalloc

    run_ = Run(policy=load_policy("checkpoint"), several=True)
    row = row_of(read(b"\x80\x02K\x01."), needs_of([name], run_))
    made = writer(name, _Nowhere(), run_, Screen())
    made.begin()
    for _ in range(200):
        made.row(row)
    tracemalloc.start()
    for _ in range(10_000):
        made.row(row)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    made.end(End(counts=dict(zip(VERDICTS, (10_200, 0, 0), strict=True)), exit_code=0))
    assert kept < 9_000_000, kept  # a spool holds up to 8 MiB in memory, and goes to disk beyond


class _Nowhere(io.StringIO):
    """A stream that keeps nothing."""

    def write(self, text: str) -> int:
        return len(text)


# ---- hostile names ----------------------------------------------------------------------------------------------------------------------------


def hostile_reports(here: Path) -> dict[str, str]:
    (here / "models").mkdir()
    for path in SHELL_HOSTILE_PATHS:
        (here / "models" / path).write_bytes(hostile_file())
    return reports(here, "models", *(f"./models/{path}" for path in SHELL_HOSTILE_PATHS[:2]))


def test_no_format_holds_a_character_that_acts(here: Path) -> None:
    for name, text in hostile_reports(here).items():
        allowed = "\r\n" if name == "csv" else "\n"
        acting = {char for char in text if char not in allowed and (unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"))}
        assert acting == set(), (name, acting)


def test_documents_hold_hostile_names_as_data(here: Path) -> None:
    texts = hostile_reports(here)
    assert len(json.loads(texts["json"])["results"]) == len(SHELL_HOSTILE_PATHS) + 2
    assert len(json.loads(texts["sarif"])["runs"][0]["results"]) == sum(len(each["findings"]) for each in json.loads(texts["json"])["results"])
    assert len(json.loads(texts["cyclonedx"])["components"]) == len(SHELL_HOSTILE_PATHS) + 2
    root = ET.fromstring(texts["junit"])
    ours = {"testsuites", "testsuite", "properties", "property", "testcase", "failure", "error", "system-out", "skipped"}
    assert {element.tag for element in root.iter()} <= ours
    assert any("<script>alert(1)</script>" in (element.text or "") for element in root.iter("failure"))


def test_sarif_messages_hold_no_link(here: Path) -> None:
    for result in json.loads(hostile_reports(here)["sarif"])["runs"][0]["results"]:
        message = result["message"]["text"]
        assert re.search(r"(?<!\\)\]\(", message) is None, message
        assert re.fullmatch(r"[A-Za-z0-9._~/%-]+", result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])


def test_a_workflow_command_is_one_of_ours(here: Path) -> None:
    for line in hostile_reports(here)["github"].splitlines():
        if line.startswith("::"):
            assert re.fullmatch(r"::(error|warning) file=[^,:]*,title=[^,:]*::.*", line), line
        else:
            assert line.startswith("safeload: "), line


def test_no_other_format_starts_a_line_with_a_workflow_command(here: Path) -> None:
    for name, text in hostile_reports(here).items():
        if name != "github":
            assert [line for line in text.splitlines() if line.lstrip().startswith(("::", "##["))] == [], name


def test_no_cell_of_csv_is_a_formula_and_every_line_is_whole(here: Path) -> None:
    import csv

    rows = list(csv.reader(io.StringIO(hostile_reports(here)["csv"], newline=""), strict=True))
    assert {len(row) for row in rows} == {23}
    cells = [cell for row in rows for cell in row]
    assert [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")] == []
    assert any(cell.startswith("'=1+1") or "=1+1.pt" in cell for cell in cells)


def test_markdown_keeps_names_out_of_its_structure(here: Path) -> None:
    text = hostile_reports(here)["markdown"]
    outside = re.sub(r"<pre>.*?</pre>", "", text, flags=re.DOTALL)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in outside.splitlines() if line.startswith("| error")} == {5}
    tags = set(re.findall(r"<\s*/?\s*([a-zA-Z!]+)", text))
    assert tags <= {"code", "pre", "details", "summary"}
    for code in re.findall(r"<code>(.*?)</code>", outside):
        assert re.search(r"[`*_\[\]()#|~@:<>\\]", re.sub(r"&#?\w+;", "", code)) is None, code
    assert "<script" not in text


class _Tags(HTMLParser):
    """All tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_html_holds_no_script_and_no_handler_whatever_the_names(here: Path) -> None:
    page = hostile_reports(here)["html"]
    parser = _Tags()
    parser.feed(page)
    assert "script" not in parser.tags
    assert {"img", "iframe", "object", "embed", "form", "base", "link"} & parser.tags == set()
    assert [name for name in parser.attributes if name.startswith("on") or name in ("style", "src")] == []
    assert "alert(1)" in text_of(page)


def test_every_hostile_name_is_in_the_reports_that_list_names(here: Path) -> None:
    names = {use["global"] for use in json.loads(hostile_reports(here)["json"])["results"][0]["globals"]}
    assert len(names) >= len(HOSTILE) - 1
