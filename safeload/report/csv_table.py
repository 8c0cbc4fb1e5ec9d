"""Rows become CSV (RFC 4180) for spreadsheets and databases: a line for each finding, and one for each file without any.

The columns of the file are repeated on each of its lines, so `path` and `verdict` filter and count; `finding` numbers the findings of a file from 1 and is 0 on
the line of a file without any, so the lines with 0 or 1 are the files. A difference from a lock file is a line whose verdict is empty. Text that a spreadsheet
would compute starts with an apostrophe (`escape.cell`).
"""

from __future__ import annotations

from typing import IO

from safeload.escape import cell
from safeload.findings import Finding, Report
from safeload.report.writer import End, Row, Run

COLUMNS = (
    "path", "verdict", "format", "sha256", "bytes", "bytes_accounted", "tensors", "tensor_bytes", "errors", "policy", "policy_version", "policy_sha256",
    "finding", "rule", "name", "level", "message", "capability", "global", "member", "offset", "entry", "waived",
)  # fmt: skip
LIMIT = 8_192  # characters of one field
Field = str | int | None


class CsvWriter:
    """Comma-separated values, lines ending in CR LF."""

    def __init__(self, stream: IO[str], run: Run) -> None:
        self._stream, self._run = stream, run

    def begin(self) -> None:
        """The names of the columns."""
        self._line(COLUMNS)

    def row(self, row: Row) -> None:
        """The lines of one file."""
        report = row.report
        head = _file(report)
        for number, finding in enumerate(report.findings, 1):
            self._line((*head, number, *_finding(finding)))
        if not report.findings:
            self._line((*head, 0, *(None,) * 10))

    def end(self, end: End) -> None:
        """What differs from a lock file, and folders without a file."""
        policy = self._run.policy
        for path, name, message in (
            *((each.path or self._run.comparing, "lock-difference", each.message) for each in end.differences),
            *((folder, "nothing-to-check", "the folder holds no file to check") for folder in end.nothing),
        ):
            level = "error" if name == "lock-difference" else "note"
            judged = (policy.name, policy.version, policy.sha256)
            self._line((path, *(None,) * 8, *judged, None, None, name, level, message, *(None,) * 6))

    def _line(self, fields: tuple[Field, ...]) -> None:
        self._stream.write(",".join("" if field is None else str(field) if isinstance(field, int) else cell(field, LIMIT) for field in fields) + "\r\n")


def _file(report: Report) -> tuple[Field, ...]:
    return (
        report.path, report.verdict, report.format, report.sha256, report.bytes_total, report.bytes_accounted, report.tensors, report.tensor_bytes,
        len(report.errors) + report.suppressed_findings, report.policy, report.policy_version, report.policy_sha256,
    )  # fmt: skip


def _finding(finding: Finding) -> tuple[Field, ...]:
    return (
        finding.rule, finding.name, finding.level, finding.message, finding.capability, finding.global_name, finding.member, finding.offset, finding.entry,
        finding.waived,
    )  # fmt: skip
