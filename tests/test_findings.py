"""The rules are one list, and the report adds up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import safeload
from safeload.findings import BY_CODE, RULES, UNDERSTOOD, Finding, Report, verdict_of_error
from safeload.opcodes.assemble import assemble

PACKAGE = Path(safeload.__file__).parent


def test_codes_and_names_are_unique_and_well_formed() -> None:
    assert len(BY_CODE) == len(RULES) == len({rule.name for rule in RULES}) == len({rule.summary for rule in RULES})
    for rule in RULES:
        assert re.fullmatch(r"SL\d{3}", rule.code) and re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.name) and rule.summary.endswith(".")
        assert rule.level in ("error", "warning", "note")


def test_every_code_in_the_source_is_a_rule() -> None:
    """A finding with a code that is no rule has no name: a KeyError in the middle of a report."""
    used = {code for path in PACKAGE.rglob("*.py") for code in re.findall(r'"(SL\d{3})"', path.read_text(encoding="utf-8"))}
    assert used <= BY_CODE.keys()


def test_what_was_judged_is_rejected_and_what_was_not_read_is_inconclusive() -> None:
    for rule in RULES:
        judged = rule.code[:3] in ("SL3", "SL4") or rule.code in UNDERSTOOD
        assert verdict_of_error(rule.code) == ("rejected" if judged else "inconclusive")


def test_a_finding_knows_the_name_of_its_rule() -> None:
    assert Finding(rule="SL301", message="x").name == "forbidden-global"
    with pytest.raises(AttributeError):
        Finding(rule="SL301", message="x").message = "y"  # type: ignore[misc]


def test_errors_are_the_findings_that_decide() -> None:
    notes = (Finding(rule="SL123", message="n", level="note"), Finding(rule="SL301", message="e"))
    report = Report(
        path="p", format="f", verdict="rejected", policy="p", policy_version="1", policy_sha256="0", policy_file=None, has_opaque=False, findings=notes
    )
    assert [finding.message for finding in report.errors] == ["e"]


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_findings_beyond_the_limit_are_counted(limit: int) -> None:
    data = assemble("PROTO 2\n" + "".join(f"GLOBAL acme{number} f\nEMPTY_TUPLE\nREDUCE\nPOP\n" for number in range(20)) + "NONE\nSTOP")
    full, cut = safeload.scan(data), safeload.scan(data, limits={"findings": limit})
    assert full.verdict == cut.verdict == "rejected" and len(cut.findings) <= limit
    assert len(cut.findings) + cut.suppressed_findings == len(full.findings) + full.suppressed_findings
    with pytest.raises(safeload.PolicyRejected):
        safeload.load(data, limits={"findings": limit})


@pytest.mark.parametrize("limit", [0, 1])
def test_a_report_without_room_is_still_no_acceptance(limit: int) -> None:
    for data in (assemble("GLOBAL acme f\nSTOP"), b"", assemble("GLOBAL acme f\nREDUCE\nSTOP")):
        assert safeload.scan(data, limits={"findings": limit}).verdict != "accepted"
        with pytest.raises(safeload.CheckpointError):
            safeload.load(data, limits={"findings": limit})
