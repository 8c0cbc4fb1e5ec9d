"""The text report: what it says about what was not read, notes, width, and colours."""

from __future__ import annotations

import msgspec
import pytest

from safeload.api import read, scan
from safeload.findings import RULES, Finding, GlobalUse, Report
from safeload.report.snippets import snippets_of
from safeload.report.text import Style, render, shown_findings
from tests.cli.inputs import BROKEN, EVIL, OURS, PAGE, state_dict


def rendered(data: bytes, **style: int) -> str:
    reading = read(data)
    return render(reading.report, snippets_of(reading, shown_findings(reading.report)), Style(**style))  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("data", [EVIL, OURS, BROKEN, PAGE, state_dict()])
def test_prose_fits_its_width(data: bytes, width: int) -> None:
    lines = [line for line in rendered(data, width=width).splitlines() if not line.startswith("    ") and "= more" not in line]
    assert [line for line in lines if len(line) > width] == []


def test_an_inconclusive_report_says_what_was_not_read() -> None:
    assert "= not read: any of it" in rendered(PAGE)
    assert "= not read: the stream from 0x1b on; what stands before it was judged" in rendered(BROKEN)


def test_the_arrow_stands_at_the_finding() -> None:
    (line,) = [line for line in rendered(EVIL).splitlines() if "<-" in line]
    assert line.startswith(" 0x001a  REDUCE")
    assert line.endswith("<- would start a process here")


def test_the_gravest_comes_first() -> None:
    report = scan(EVIL)
    late = msgspec.structs.replace(report.findings[0], entry=None, global_name="a.b")
    mixed = msgspec.structs.replace(report, findings=(late, report.findings[0]))
    assert shown_findings(mixed)[0].entry == "process"


@pytest.mark.parametrize("rule", [rule.code for rule in RULES])
def test_every_rule_can_be_shown(rule: str) -> None:
    finding = Finding(rule=rule, message="words " * 30, member="m" * 300, offset=1 << 40, global_name="a.b", capability="net", entry="e")
    for level in ("error", "warning", "note"):
        report = msgspec.structs.replace(scan(EVIL), findings=(msgspec.structs.replace(finding, level=level),), verdict="inconclusive")
        text = render(report)
        assert f"{level}[" in text
        assert all(len(line) <= 80 for line in text.splitlines())


@pytest.mark.parametrize("member", ["m" * 75, "m" * 3_000, "a/b.pkl", None])
def test_places_without_an_offset_fit(member: str | None) -> None:
    report = msgspec.structs.replace(scan(EVIL), path="p" * 90, findings=(Finding(rule="SL122", message="m", member=member),), verdict="inconclusive")
    assert all(len(line) <= 80 for line in render(report).splitlines())


def test_many_notes_of_one_kind_are_counted() -> None:
    notes = tuple(Finding(rule="SL123", level="note", message=f"storage {number}") for number in range(500))
    text = render(msgspec.structs.replace(scan(state_dict()), findings=notes))
    assert "and 497 more notes of this kind" in text
    assert len(text.splitlines()) < 12


def test_suppressed_findings_are_counted() -> None:
    report = msgspec.structs.replace(scan(EVIL), suppressed_findings=41)
    assert "and 41 more errors" in render(report)
    assert "rejected: 42 errors" in render(report)


def test_accepted_with_opaque_names_holds_for_safeload_alone() -> None:
    text = render(scan(OURS, policy="inspect"))
    assert text.startswith("accepted: 0 tensors")
    assert "2 names kept as inert records: accepted holds for safeload.load alone" in text


def test_paint_adds_colours_and_nothing_else() -> None:
    reading = read(EVIL)
    snippets = snippets_of(reading, reading.report.findings)
    painted = render(reading.report, snippets, Style(paint=lambda what, text: f"<{what}>{text}</>"))
    assert "<error>error[forbidden-global]</>" in painted
    assert "<rejected>rejected</>: 1 error" in painted
    plain = painted
    for what in ("error", "rejected", "place", "arrow"):
        plain = plain.replace(f"<{what}>", "")
    assert plain.replace("</>", "") == render(reading.report, snippets)


def test_a_report_without_places_or_snippets() -> None:
    use = GlobalUse(global_name="a.b", uses=(), decision="denied", entry=None, policy=None, capability="unknown", count=1, places=())
    report: Report = msgspec.structs.replace(scan(EVIL), findings=(Finding(rule="SL301", message="a.b"),), globals=(use, use))
    assert "[[opaque]]" in render(report)
