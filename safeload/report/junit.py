"""Rows become JUnit XML, which Jenkins, GitLab and Azure show without a plugin: a test case for each file.

    accepted      passed; notes stand in its output
    rejected      a failure, named by the first rule and holding every finding
    inconclusive  an error, likewise: what was not read is no failed test, and no passed one
    no file       skipped, for a folder that held none

A lock file that the run was compared with is one more case. The counts stand at the top, so the cases wait in a spool.
"""

from __future__ import annotations

from typing import IO

from safeload import __version__
from safeload.escape import markup
from safeload.report import sentences
from safeload.report.layout import plural
from safeload.report.writer import Difference, End, Row, Run, pour, spool

LIMIT = 8_192  # characters of one text, which is escaped before


class JunitWriter:
    """`<testsuites>` with one suite."""

    def __init__(self, stream: IO[str], run: Run) -> None:
        self._stream, self._run = stream, run
        self._cases = spool()

    def begin(self) -> None:
        """Nothing: the counts come first, and are known last."""

    def row(self, row: Row) -> None:
        """One case."""
        report = row.report
        lines = [sentences.verdict_of(report), *map(sentences.sentence, report.findings)]
        if report.suppressed_findings:
            lines.append(f"and {plural(report.suppressed_findings, 'more error')}")
        text = "\n".join(markup(line, LIMIT) for line in lines)
        name = markup(report.path, sentences.MAX_PATH)
        if report.verdict == "accepted":
            body = f"<system-out>{text}</system-out>"
        else:
            first = report.errors[0]
            tag = "failure" if report.verdict == "rejected" else "error"
            body = f'<{tag} type="{first.rule} {first.name}" message="{markup(sentences.message(first), LIMIT)}">{text}</{tag}>'
        self._case(name, report.format, body)

    def end(self, end: End) -> None:
        """The head, the cases, the end."""
        for folder in end.nothing:
            self._case(markup(folder, sentences.MAX_PATH), "nothing", '<skipped message="the folder holds no file to check"/>')
        failures, tests = end.counts["rejected"], end.files + len(end.nothing)
        if self._run.comparing is not None:
            tests += 1
            failures += bool(end.differences)
            self._case(markup(self._run.comparing, sentences.MAX_PATH), "lock", _differences(end.differences))
        numbers = f'tests="{tests}" failures="{failures}" errors="{end.counts["inconclusive"]}" skipped="{len(end.nothing)}"'
        policy = self._run.policy
        properties = {
            "tool": f"safeload {__version__}", "policy": policy.name, "policy.version": policy.version, "policy.sha256": policy.sha256,
            "summary": sentences.summary(end), "exit_code": str(end.exit_code),
        }  # fmt: skip
        self._stream.write('<?xml version="1.0" encoding="UTF-8"?>\n')
        self._stream.write(f'<testsuites name="safeload" {numbers}>\n<testsuite name="{markup(sentences.policy_of(self._run))}" {numbers}>\n<properties>\n')
        for key, value in properties.items():
            self._stream.write(f'<property name="{key}" value="{markup(value, LIMIT)}"/>\n')
        self._stream.write("</properties>\n")
        pour(self._cases, self._stream)
        self._stream.write("</testsuite>\n</testsuites>\n")

    def _case(self, name: str, kind: str, body: str) -> None:
        self._cases.write(f'<testcase name="{name}" classname="safeload.{markup(kind.replace(".", "-"))}" file="{name}">{body}</testcase>\n')


def _differences(found: tuple[Difference, ...]) -> str:
    if not found:
        return "<system-out>nothing differs</system-out>"
    text = "\n".join(markup(sentences.difference(each.path, each.message), LIMIT) for each in found)
    return f'<failure type="lock" message="{plural(len(found), "difference")}">{text}</failure>'
