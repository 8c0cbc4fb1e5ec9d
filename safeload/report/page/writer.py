"""Rows become one self-contained page for people who were not there: a reviewer, an auditor, a customer.

    banner     the verdict, the file or the counts, the policy, how much was read
    index      of several files those that are not accepted, each a link to its section
    a file     what was found, with the lines that lead there and what would change it; where its names lead; who owns its bytes; its tensors; a second opinion

No script, no image, no font and no address is in it, and its own policy forbids them (`style.csp`). Sections wait in a spool, since the counts stand above.
"""

from __future__ import annotations

from typing import IO

from safeload import __version__
from safeload.escape import escape
from safeload.findings import Report
from safeload.report import sentences
from safeload.report.decision import located
from safeload.report.layout import plural
from safeload.report.page import bytemap, evidence, findings, flow
from safeload.report.page.parts import badge, code, facts, folded, size, table, text
from safeload.report.page.style import CSS, csp
from safeload.report.writer import VERDICTS, End, Row, Run, pour, spool

MAX_SECTIONS = 250  # files with a section of their own
MAX_INDEX = 5_000  # files in the index
MAX_ACCEPTED = 2_000  # accepted files that are named
MEANINGS = {
    "accepted": "Everything in the file was read, and the policy permits all of it.",
    "rejected": "The file was read, and the policy does not permit what it asks for.",
    "inconclusive": "The file could not be read to its end, so there is no verdict. What was not read is never called accepted.",
}


class HtmlWriter:
    """One page."""

    def __init__(self, stream: IO[str], run: Run) -> None:
        self._stream, self._run = stream, run
        self._sections = spool()
        self._index: list[tuple[str, ...]] = []
        self._accepted: list[str] = []
        self._section_count = self._not_accepted = self._accepted_count = 0
        self._single: Row | None = None

    def begin(self) -> None:
        """Nothing: the verdict comes first, and is known last."""

    def row(self, row: Row) -> None:
        """A section, a line of the index, or a name among the accepted."""
        report = row.report
        if not self._run.several:
            self._single = row
            self._sections.write("".join(f'<section class="card"><h2>{title}</h2>\n{body}\n</section>\n' for title, body in file_parts(row, self._run)))
            return
        if report.verdict == "accepted" and not any(finding.level == "warning" for finding in report.findings):
            self._accepted_count += 1
            if len(self._accepted) < MAX_ACCEPTED:
                self._accepted.append(escape(report.path, 400))
            return
        self._not_accepted += 1
        has_section = self._section_count < MAX_SECTIONS
        if len(self._index) < MAX_INDEX:
            first = next(iter(report.errors), None)
            name = code(report.path, 400)
            link = f'<a href="#file-{self._section_count + 1}">{name}</a>' if has_section else name
            why = text(first.message, 300) if first is not None else ""
            self._index.append((link, badge(report.verdict), f"{sentences.errors_of(report):,}", why, "" if row.unopened else f"{report.bytes_total:,}"))
        if has_section:
            self._section_count += 1
            self._sections.write(_file_section(row, self._run, self._section_count))

    def end(self, end: End) -> None:
        """The page."""
        write = self._stream.write
        title = f"safeload: {sentences.summary(end)}" if self._single is None else f"{self._single.report.verdict}: {self._single.report.path}"
        write('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n')
        write(f'<meta http-equiv="Content-Security-Policy" content="{csp()}">\n<meta name="referrer" content="no-referrer">\n')
        write('<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark">\n')
        write(f"<title>{text(title, 300)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n")
        write(self._banner(end) + "\n")
        if end.differences:
            write(self._differences(end) + "\n")
        if self._index:
            write(self._index_card() + "\n")
        pour(self._sections, self._stream)
        if self._accepted:
            write(self._accepted_card() + "\n")
        what = "this file and ran none of it" if self._single is not None else "these files and ran none of them"
        alone = "The page is complete in itself: it loads nothing and runs nothing."
        write(f"<footer>safeload {__version__} read {what}. {alone} Exit code {end.exit_code}.</footer>\n</main>\n</body>\n</html>\n")

    # ---- the top ----------------------------------------------------------------------------------------------------------------------------

    def _banner(self, end: End) -> str:
        policy = _policy_facts(self._run)
        if self._single is not None:
            return _file_banner(self._single, policy)
        worst = "rejected" if end.counts["rejected"] or end.differences else "inconclusive" if end.counts["inconclusive"] or not end.files else "accepted"
        head = {"rejected": "Not accepted", "inconclusive": "No verdict on some", "accepted": "Accepted"}[worst] if end.files else "Nothing to check"
        counts = "".join(f'<dt><span class="verdict-{verdict}">{verdict}</span></dt><dd>{plural(end.counts[verdict], "file")}</dd>' for verdict in VERDICTS)
        more = [("without a file", ", ".join(code(folder, 300) for folder in end.nothing[:20]))] if end.nothing else []
        more += [("left out by --exclude", plural(end.excluded, "file"))] if end.excluded else []
        return (
            f'<header class="card banner {worst}"><h1><span class="verdict-{worst}">{head}</span></h1>'
            f"<p>{text(sentences.summary(end), 4_000)}</p>{_counts_bar(end)}"
            f'<dl class="facts">{counts}</dl>{facts([*more, *policy])}</header>'
        )

    def _differences(self, end: End) -> str:
        rows = [(code(each.path or ""), text(each.message, 1_000)) for each in end.differences[:MAX_INDEX]]
        title = f"{plural(len(end.differences), 'difference')} from {code(self._run.comparing)}"
        return f'<section class="card"><h2>{title}</h2>{table(("file", "what differs"), rows, wide=frozenset({1}))}</section>'

    def _index_card(self) -> str:
        rest = self._not_accepted - len(self._index)
        more = f'<p class="soft">and {plural(rest, "more file")} that are not accepted; the JSON report has them all</p>' if rest else ""
        if self._not_accepted > self._section_count:
            more += f'<p class="soft small">The first {self._section_count:,} have a section below.</p>'
        body = table(("file", "verdict", "errors", "first reason", "bytes"), self._index, right=frozenset({2, 4}), wide=frozenset({3}), stacked=True)
        return f'<nav class="card index"><h2>Not accepted: {plural(self._not_accepted, "file")}</h2>{body}{more}</nav>'

    def _accepted_card(self) -> str:
        rest = self._accepted_count - len(self._accepted)
        names = "\n".join(f"<li>{code(path, 400)}</li>" for path in self._accepted)
        more = f'<p class="soft">and {plural(rest, "more file")}</p>' if rest else ""
        return f'<section class="card"><h2>Accepted: {plural(self._accepted_count, "file")}</h2>{folded("Their names", f"<ul>{names}</ul>{more}")}</section>'


def _policy_facts(run: Run) -> list[tuple[str, str]]:
    policy = run.policy
    file = f" from {code(located(policy.file))}" if policy.file is not None else ""
    by = f", chosen by {code(run.chosen_by)}" if run.chosen_by is not None else ""
    audit = ": reports, and the exit code is 0 whatever the verdict" if policy.mode == "audit" else ""
    return [
        ("policy", f"<strong>{text(policy.name)}</strong> {text(policy.version)}{file}{by}"),
        ("its purpose", text(policy.summary, 400)),
        ("its sha256", code(policy.sha256)),
        ("mode", f"{policy.mode}{audit}"),
    ]


def _counts_bar(end: End) -> str:
    """How many of each verdict, to scale."""
    if not end.files:
        return ""
    shapes, x = [], 0.0
    for verdict in ("rejected", "inconclusive", "accepted"):
        count = next(count for name, count in end.counts.items() if name == verdict)
        width = 1_000 * count / end.files
        if count:
            shapes.append(f'<rect class="f-{verdict}" x="{x:.2f}" y="0" width="{max(width, 2):.2f}" height="14"><title>{count:,} {verdict}</title></rect>')
        x += width
    label = text(sentences.summary(end))
    return f'<svg class="counts" viewBox="0 0 1000 14" preserveAspectRatio="none" role="img" aria-label="{label}">{"".join(shapes)}</svg>'


# ---- a file ---------------------------------------------------------------------------------------------------------------------------------


def _file_facts(row: Row) -> list[tuple[str, str]]:
    report = row.report
    unread = report.bytes_total - report.bytes_accounted
    covered = f"{report.bytes_accounted:,} of {report.bytes_total:,} bytes accounted for"
    return [
        ("sha256", code(report.sha256)),
        ("format", text(report.format)),
        ("size", f"{size(report.bytes_total)}{f' ({report.bytes_total:,} bytes)' if report.bytes_total >= 1024 else ''}" if not row.unopened else ""),
        ("read", covered if not unread else f'<span class="verdict-inconclusive">{covered}</span>'),
        ("fetched", _fetched(report)),
        ("read beside it", ", ".join(code(name, 200) for name, _ in report.beside[:20])),
        ("tensors", f"{report.tensors:,}, {size(report.tensor_bytes)}" if report.tensors else ""),
        ("opcodes", f"{report.opcodes:,}" if report.opcodes else ""),
    ]


def _fetched(report: Report) -> str:
    if report.remote is None:
        return ""
    return text(f"{report.remote.bytes_read:,} bytes in {report.remote.requests:,} requests; {sentences.version_of(report.remote)}", 300)


def _file_banner(row: Row, policy: list[tuple[str, str]]) -> str:
    report = row.report
    limits = [finding for finding in report.findings if finding.rule.startswith("SL9")]
    reached = [("limits reached", text(limits[0].message, 300))] if limits else []
    return (
        f'<header class="card banner {report.verdict}"><h1><span class="verdict-{report.verdict}">{report.verdict.capitalize()}</span>'
        f'<span class="soft small">{_errors(row)}</span></h1><span class="path">{code(report.path)}</span>'
        f"<p>{MEANINGS[report.verdict]}{_only_here(row)}</p>{facts([*_file_facts(row), *reached, *policy])}</header>"
    )


def _errors(row: Row) -> str:
    errors, notes = sentences.errors_of(row.report), sum(finding.level != "error" for finding in row.report.findings)
    noted = f", {plural(notes, 'note')}" if notes else ""
    return plural(errors, "error") + noted


def _only_here(row: Row) -> str:
    inert = sentences.no_program(row.report)
    if inert:
        return f" {text(inert[0].upper() + inert[1:])}."
    if row.report.verdict != "accepted" or not row.report.has_opaque:
        return ""
    count = sum(use.decision == "opaque" for use in row.report.globals)
    return f" {plural(count, 'name')} kept as inert records: this holds for safeload.load alone, another loader would import them."


def _file_section(row: Row, run: Run, number: int) -> str:
    report = row.report
    head = f'<h2>{badge(report.verdict)} {code(report.path)} <span class="soft small">{_errors(row)}</span></h2>'
    top = f"{head}<p>{MEANINGS[report.verdict]}</p>{facts(_file_facts(row))}"
    parts = "".join(f'<div class="part"><h3>{title}</h3>\n{body}\n</div>\n' for title, body in file_parts(row, run))
    return f'<section class="card file {report.verdict}" id="file-{number}">{top}\n{parts}</section>\n'


def file_parts(row: Row, run: Run) -> list[tuple[str, str]]:
    """What there is to say of one file, under its titles."""
    report = row.report
    parts = [("Findings", findings.section(row, run))]
    if report.globals:
        parts.append(("Where the names lead", flow.section(report.globals) + "\n" + evidence.names(report, run.policy)))
    elif report.verdict == "accepted":
        parts.append(("Where the names lead", flow.section(())))
    if row.contents is not None:
        if not row.unopened and report.bytes_total:
            parts.append(("Who owns each byte", bytemap.section(row.contents.bytes)))
        if row.contents.tensor_count or not run.several:
            parts.append(("Tensors", evidence.tensors(report, row.contents)))
    if row.opinions:
        parts.append(("A second opinion", evidence.opinions(row)))
    return parts
