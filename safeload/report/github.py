"""Rows become annotations of GitHub Actions: `::error file=...,title=...::message`, a line each, and one plain line with the counts.

GitHub shows ten errors and ten warnings of a step and drops the others, so each file that is not accepted gives its first few, the gravest first, and says how
many more there are. Nothing that a file holds can start a line, end a message or a property (`escape.command`).
"""

from __future__ import annotations

from typing import IO

from safeload.escape import command, command_property
from safeload.report import sentences
from safeload.report.layout import plural
from safeload.report.text import shown_findings
from safeload.report.writer import End, Row, Run

PER_FILE = 3  # annotations of one file
LIMIT = 4_096  # characters of a message: GitHub cuts at 4 KiB


class GithubWriter:
    """Workflow commands."""

    def __init__(self, stream: IO[str], run: Run) -> None:
        self._stream, self._run = stream, run

    def begin(self) -> None:
        """Which policy judges."""
        self._stream.write(command(f"safeload: {sentences.policy_of(self._run)}", LIMIT) + "\n")

    def row(self, row: Row) -> None:
        """The errors of one file; warnings where there are any."""
        report = row.report
        errors = shown_findings(report, PER_FILE)
        rest = sentences.errors_of(report) - len(errors)
        for number, finding in enumerate(errors):
            more = f" (and {plural(rest, 'more error')} in this file)" if rest and number == len(errors) - 1 else ""
            where = sentences.place(finding)
            text = f"{sentences.message(finding)}{f' [{where}]' if where else ''}{more}"
            self._annotate("error", report.path, f"{report.verdict}: {finding.name} ({finding.rule})", text)
        for finding in [finding for finding in report.findings if finding.level == "warning"][:PER_FILE]:
            self._annotate("warning", report.path, f"{finding.name} ({finding.rule})", sentences.message(finding))

    def end(self, end: End) -> None:
        """What differs from a lock file, and the counts."""
        for each in end.differences:
            self._annotate("error", self._run.comparing or "", "differs from the lock file", sentences.difference(each.path, each.message))
        for folder in end.nothing:
            self._annotate("warning", folder, "nothing to check", "the folder holds no file to check")
        self._stream.write(command(f"safeload: {sentences.summary(end)}", LIMIT) + "\n")

    def _annotate(self, level: str, path: str, title: str, text: str) -> None:
        self._stream.write(f"::{level} file={command_property(path, LIMIT)},title={command_property(title, LIMIT)}::{command(text, LIMIT)}\n")
