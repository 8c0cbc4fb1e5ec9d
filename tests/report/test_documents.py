"""JUnit, Markdown, annotations, CSV, CycloneDX and the schema of JSON: what each reader asks of them."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from safeload.containers.base import Role
from safeload.findings import Level, Verdict
from safeload.policy.model import Use
from safeload.report import markdown
from tests.cli.inputs import EVIL, OURS, run
from tests.report.mixed import hostile_file, plain_folder

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "safeload" / "report" / "report-v1.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SAFELOAD_POLICY", raising=False)
    plain_folder(tmp_path)
    (tmp_path / "nothing").mkdir()
    return tmp_path


# ---- json-v1 ----------------------------------------------------------------------------------------------------------------------------------


def strict(node: Any) -> Any:
    """The schema with every key that it does not list forbidden: readers ignore such keys, and we do not write them."""
    if isinstance(node, dict):
        closed = {key: strict(value) for key, value in node.items()}
        return {**closed, "additionalProperties": False, "required": list(node["properties"])} if "properties" in node else closed
    return [strict(value) for value in node] if isinstance(node, list) else node


def closed_schema(*, locked: bool) -> Any:
    schema = strict(SCHEMA)
    if not locked:
        schema["required"].remove("locked")
    return schema


def test_the_published_schema_holds_for_every_report_and_lists_every_key(here: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    (here / "hostile.pkl").write_bytes(hostile_file())
    for arguments in ([".", "nothing", "missing.pt"], [], ["--no-digest", "."], ["-p", "inspect", "."]):
        document = json.loads(run("scan", "-f", "json-v1", *arguments).out)
        jsonschema.Draft202012Validator(closed_schema(locked=False)).validate(document)
    run("lock", "plain.pkl")
    (here / "plain.pkl").write_bytes(EVIL)
    document = json.loads(run("scan", "-f", "json", "--locked", "safeload.lock").out)
    jsonschema.Draft202012Validator(closed_schema(locked=True)).validate(document)


def test_the_corpus_of_formats_is_within_the_schema(here: Path) -> None:
    seeds = ROOT / "fuzz" / "seeds"
    document = json.loads(run("scan", "-f", "json", "-p", "inspect", str(seeds), str(ROOT / "examples")).out)
    jsonschema.Draft202012Validator(closed_schema(locked=False)).validate(document)
    assert len(document["results"]) > 50


def test_the_words_of_the_schema_are_those_of_the_code() -> None:
    definitions = SCHEMA["$defs"]
    assert definitions["result"]["properties"]["verdict"]["enum"] == list(get_args(Verdict))
    assert definitions["finding"]["properties"]["level"]["enum"] == list(get_args(Level))
    assert definitions["member"]["properties"]["role"]["enum"] == list(get_args(Role))
    assert definitions["global"]["properties"]["uses"]["items"]["enum"] == list(get_args(Use))


def test_json_v1_is_json(here: Path) -> None:
    assert run("scan", "-f", "json-v1", ".").out == run("scan", "-f", "json", ".").out


# ---- JUnit --------------------------------------------------------------------------------------------------------------------------------------


def test_junit_is_a_case_for_each_file_and_counts_them(here: Path) -> None:
    root = ET.fromstring(run("scan", "-f", "junit", ".", "nothing", "missing.pt").out)
    (suite,) = root
    cases = suite.findall("testcase")
    found = {kind: len(suite.findall(f"testcase/{kind}")) for kind in ("failure", "error", "skipped")}
    for element in (root, suite):
        assert {key: int(element.attrib[key]) for key in ("tests", "failures", "errors", "skipped")} == {
            "tests": len(cases), "failures": found["failure"], "errors": found["error"], "skipped": found["skipped"],
        }  # fmt: skip
    assert found == {"failure": 5, "error": 5, "skipped": 1}
    by_name = {case.attrib["name"]: case for case in cases}
    failure = by_name["./evil.pt"].find("failure")
    assert failure is not None
    assert failure.attrib["type"] == "SL301 forbidden-global"
    assert "posix.system" in failure.attrib["message"]
    assert "0x001a" in (failure.text or "")
    assert by_name["./plain.pkl"][0].tag == "system-out"


# ---- Markdown -----------------------------------------------------------------------------------------------------------------------------------


def test_markdown_says_the_verdict_first_and_lists_what_is_not_accepted(here: Path) -> None:
    lines = run("scan", "-f", "markdown", ".").out.splitlines()
    assert lines[0] == "## ❌ safeload: 11 files: 2 accepted, 5 rejected, 4 inconclusive"
    heads = [line for line in lines if line.startswith("### ")]
    assert len(heads) == 9
    assert not any("plain.pkl" in head for head in heads)
    assert run("scan", "-f", "markdown", "plain.pkl").out.startswith("## ✅ safeload: 1 file: 1 accepted")


def test_markdown_shows_the_stanza_that_text_shows(here: Path) -> None:
    import html

    (here / "ours.pt").write_bytes(OURS)
    out = run("scan", "-f", "markdown", "ours.pt").out
    text = run("scan", "ours.pt").out
    toml = out.split("A policy of your own")[1].split("<pre>")[1].split("</pre>")[0]
    first = text.index("    # my-policy.toml")
    shown = [line.removeprefix("    ") for line in text[first:].splitlines()]
    assert html.unescape(toml).splitlines() == shown[: len(html.unescape(toml).splitlines())]
    assert "[[opaque]]" in html.unescape(toml)


def test_markdown_keeps_within_what_a_job_summary_takes(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "MAX_CHARACTERS", 1_000)
    out = run("scan", "-f", "markdown", ".").out
    assert len(out) < 2_000
    shown = out.count("### ")
    assert f"{9 - shown} more files left out here" in out
    assert out.startswith("## ❌ safeload: 11 files: 2 accepted, 5 rejected, 4 inconclusive")


# ---- annotations --------------------------------------------------------------------------------------------------------------------------------


def test_annotations_are_few_and_say_how_many_more(here: Path) -> None:
    (here / "many.pkl").write_bytes(hostile_file())
    lines = run("scan", "-f", "github", "many.pkl").out.splitlines()
    annotations = [line for line in lines if line.startswith("::error ")]
    assert 1 <= len(annotations) <= 3
    assert "more errors in this file" in annotations[-1]
    assert annotations[0].startswith("::error file=many.pkl,title=rejected%3A forbidden-global (SL301)::")
    assert lines[-1] == "safeload: 1 file: 0 accepted, 1 rejected, 0 inconclusive"


# ---- CSV ----------------------------------------------------------------------------------------------------------------------------------------


def test_csv_has_a_line_for_each_finding_and_each_file(here: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run("scan", "-f", "csv", ".").out, newline="")))
    document = json.loads(run("scan", "-f", "json", ".").out)
    expected = {(result["path"], finding["rule"], str(finding["offset"] or "")) for result in document["results"] for finding in result["findings"]}
    assert {(row["path"], row["rule"], row["offset"]) for row in rows if row["rule"]} == expected
    assert {row["path"] for row in rows} == {result["path"] for result in document["results"]}
    digests = {result["path"]: result["sha256"] or "" for result in document["results"]}
    assert {row["path"]: row["sha256"] for row in rows} == digests


# ---- CycloneDX ------------------------------------------------------------------------------------------------------------------------------------


def test_cyclonedx_is_valid_by_its_own_schema(here: Path) -> None:
    (here / "hostile.pkl").write_bytes(hostile_file())
    run("lock", "plain.pkl")
    for arguments in ([".", "nothing", "missing.pt", "evil.pt", "evil.pt"], [], ["--no-digest", "."], ["--locked", "safeload.lock", "evil.pt"]):
        text = run("scan", "-f", "cyclonedx", *arguments).out
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    wrong = text.replace('"machine-learning-model"', '"model"')
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(wrong) is not None


def test_cyclonedx_says_what_a_model_could_do(here: Path) -> None:
    document = json.loads(run("scan", "-f", "cyclonedx", "evil.pt", "state_dict.pt").out)
    evil, good = document["components"]
    properties = [(each["name"], each["value"]) for each in evil["properties"]]
    assert ("safeload:capability", "process.exec") in properties
    assert ("safeload:refused-name", "posix.system") in properties
    assert ("safeload:rule", "SL301") in properties
    assert evil["type"] == good["type"] == "machine-learning-model"
    assert good["modelCard"]["properties"][0] == {"name": "safeload:tensors", "value": "3"}
    assert "modelCard" not in evil


# ---- the documentation ----------------------------------------------------------------------------------------------------------------------------


def test_the_table_of_rules_and_that_of_formats_are_current() -> None:
    import re

    from safeload.report.formats import FORMATS
    from tests.report import rules_doc

    text = rules_doc.PAGE.read_text(encoding="utf-8")
    assert rules_doc.page(text) == text, "python -m tests.report.rules_doc"
    table = text[text.index("| format | for |") : text.index("*sha256* means")]
    rows = {name: line for line in table.splitlines()[2:] if line for name in re.findall(r"`([a-z0-9-]+)`", line.split("|")[1])}
    assert set(rows) == set(FORMATS)
    for name, format_ in FORMATS.items():
        assert ("sha256" in rows[name].split("|")[3]) == format_.needs.digest, name
