"""Rows become Markdown for the summary of a job (`$GITHUB_STEP_SUMMARY`), a merge request or a chat: the verdict first, then what stands against each file.

Files that are accepted are counted and not listed, unless something was noted. GitHub takes 1 MiB of a step, so what is beyond `MAX_CHARACTERS` is left out and
counted. Text from a file stands in `<code>`, as character references.
"""

from __future__ import annotations

from typing import IO

from safeload import __version__
from safeload.escape import markdown, markup
from safeload.findings import Verdict
from safeload.report import sentences
from safeload.report.decision import located
from safeload.report.layout import plural
from safeload.report.stanza import stanza
from safeload.report.text import shown_findings
from safeload.report.writer import End, Row, Run

MAX_CHARACTERS = 240_000  # of all files together: in bytes at most 960,000, and GitHub takes 1,048,576
PER_FILE = 5  # findings of one file
MARKS = {"accepted": "✅", "rejected": "❌", "inconclusive": "❔"}
WORST_FIRST: tuple[Verdict, ...] = ("rejected", "inconclusive", "accepted")
LIMIT = 1_000  # characters of one text


class MarkdownWriter:
    """GitHub-flavoured Markdown."""

    def __init__(self, stream: IO[str], run: Run) -> None:
        self._stream, self._run = stream, run
        self._parts: list[str] = []
        self._characters = 0
        self._left_out = 0

    def begin(self) -> None:
        """Nothing: the counts come first, and are known last."""

    def row(self, row: Row) -> None:
        """One file, if there is anything to say of it and room left."""
        report = row.report
        if report.verdict == "accepted" and not report.findings and self._run.several:
            return
        part = _file(row)
        if self._characters + len(part) > MAX_CHARACTERS:
            self._left_out += 1
            return
        self._parts.append(part)
        self._characters += len(part)

    def end(self, end: End) -> None:
        """Everything."""
        write = self._stream.write
        write(f"## {_mark(end)} safeload: {sentences.summary(end)}\n\n")
        policy = self._run.policy
        file = f" from {markdown(located(policy.file), LIMIT)}" if policy.file is not None else ""
        digest = policy.sha256[: sentences.SHA_DIGITS]
        write(f"Policy {markdown(policy.name)} {markdown(policy.version)}{file} (sha256 {digest}…), mode {policy.mode}, safeload {__version__}.\n")
        for part in self._parts:
            write("\n" + part)
        if self._left_out:
            write(f"\n{plural(self._left_out, 'more file')} left out here: the summary of a job has no room for them.\n")
        if end.nothing:
            write("\nFolders that held no file to check: " + ", ".join(markdown(folder, LIMIT) for folder in end.nothing[:PER_FILE]) + ".\n")
        if self._run.comparing is not None:
            write(f"\n### {plural(len(end.differences), 'difference')} from {markdown(self._run.comparing, LIMIT)}\n\n")
            for each in end.differences[: PER_FILE * 10]:
                write(f"- {markdown(sentences.difference(each.path, each.message), LIMIT)}\n")
            if len(end.differences) > PER_FILE * 10:
                write(f"- and {len(end.differences) - PER_FILE * 10:,} more\n")


def _file(row: Row) -> str:
    report = row.report
    lines = [f"### {MARKS[report.verdict]} {markdown(report.path, LIMIT)}: {sentences.verdict_of(report)}", ""]
    if report.sha256 is not None:
        lines += [f"sha256 `{report.sha256}`", ""]
    shown = (*shown_findings(report, PER_FILE), *[finding for finding in report.findings if finding.level != "error"][:PER_FILE])
    if shown:
        lines += ["| level | rule | what | where |", "|---|---|---|---|"]
        for finding in shown:
            where = markdown(sentences.place(finding), LIMIT)
            lines.append(f"| {finding.level} | {finding.rule} {finding.name} | {markdown(sentences.message(finding), LIMIT)} | {where} |")
        rest = len(report.findings) + report.suppressed_findings - len(shown)
        lines += ["", f"and {plural(rest, 'more finding')}", ""] if rest else [""]
    for listing in row.listings[:1]:
        lines += _folded("The lines that lead to it", [f"{line.offset:#06x}  {line.name:<17} {sentences.meaning(line)}" for line in listing.lines])
    toml = stanza(report)
    if toml:
        lines += _folded("A policy of your own that keeps these names as inert records", toml)
    return "\n".join(lines)


def _folded(title: str, lines: list[str]) -> list[str]:
    """Lines to unfold. What stands in `<pre>` is not read as Markdown (CommonMark 4.6)."""
    first, *rest = [markup(line, LIMIT) for line in lines]
    return [f"<details><summary>{title}</summary>", "", f"<pre>{first}", *rest, "</pre>", "", "</details>", ""]


def _mark(end: End) -> str:
    if end.differences:
        return MARKS["rejected"]
    return MARKS[next((verdict for verdict in WORST_FIRST if end.counts[verdict]), "inconclusive")]
