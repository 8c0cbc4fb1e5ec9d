"""The table of report formats: the name on the command line, what it is for, what it needs to know of a file. One module for each, imported when asked for.

The counts, the verdicts and the exit code are the same in every one of them; `docs/reports.md` says what stands where.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO

import msgspec

from safeload.report.writer import ALL, Needs, Run, Screen, Writer

FULL_OF_SEVERAL = 1  # findings that text shows in full for each of several files, without --all
FULL_OF_ONE = 3


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """One format: what it is, and what it needs."""

    what: str
    needs: Needs = Needs()


FORMATS: dict[str, Format] = {
    "text": Format(what="for people, at a terminal"),
    "json": Format(what="for programs: safeload-report-v1", needs=Needs(digest=True)),
    "json-v1": Format(what="the same, and no later version of it", needs=Needs(digest=True)),
    "html": Format(
        what="a page to send: bytes, names, findings, tensors, a second opinion",
        needs=Needs(digest=True, listings=ALL, bases=True, contents=True),
    ),
    "sarif": Format(what="code scanning of GitHub and GitLab: SARIF 2.1.0", needs=Needs(digest=True, listings=ALL, bases=True)),
    "junit": Format(what="a test case for each file: Jenkins, GitLab, Azure"),
    "markdown": Format(what="the summary of a job", needs=Needs(listings=FULL_OF_SEVERAL)),
    "github": Format(what="annotations of GitHub Actions"),
    "cyclonedx": Format(what="an inventory: CycloneDX 1.6, ML-BOM", needs=Needs(digest=True)),
    "csv": Format(what="a line for each finding: spreadsheets, databases", needs=Needs(digest=True)),
}


def writer(name: str, stream: IO[str], run: Run, screen: Screen) -> Writer:
    """The writer of one format onto one stream. Written out: a computed import is what this project exists to avoid."""
    if name == "text":
        from safeload.report.text_writer import TextWriter

        return TextWriter(stream, run, screen)
    if name in ("json", "json-v1"):
        from safeload.report.json_v1 import JsonWriter

        return JsonWriter(stream, run)
    if name == "html":
        from safeload.report.page.writer import HtmlWriter

        return HtmlWriter(stream, run)
    if name == "sarif":
        from safeload.report.sarif import SarifWriter

        return SarifWriter(stream, run)
    if name == "junit":
        from safeload.report.junit import JunitWriter

        return JunitWriter(stream, run)
    if name == "markdown":
        from safeload.report.markdown import MarkdownWriter

        return MarkdownWriter(stream, run)
    if name == "github":
        from safeload.report.github import GithubWriter

        return GithubWriter(stream, run)
    if name == "cyclonedx":
        from safeload.report.cyclonedx import CycloneDxWriter

        return CycloneDxWriter(stream, run)
    if name == "csv":
        from safeload.report.csv_table import CsvWriter

        return CsvWriter(stream, run)
    raise ValueError(f"there is no report format {name}")


def needs_of(names: Iterable[str], run: Run) -> Needs:
    """What the rows have to hold for all of these formats."""
    needs = Needs()
    for name in names:
        needs |= FORMATS[name].needs
        if name == "text":
            needs |= Needs(listings=shown_in_full(run))
        if name == "html" and not run.several:
            needs |= Needs(of_accepted=True, opinion=True)
    return needs


def shown_in_full(run: Run) -> int:
    """How many findings of one file text shows with their listing."""
    return ALL if run.show_all else FULL_OF_SEVERAL if run.several else FULL_OF_ONE
