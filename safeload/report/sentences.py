"""Findings, files and runs become the short sentences that several formats share. All of it is escaped; markup is the format's own second step (`escape`).

A sentence stands alone: it names the rule, says what is wrong, and where.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from safeload.escape import escape
from safeload.findings import BY_CODE, Fetched, Finding, Report
from safeload.report.layout import plural
from safeload.report.writer import End, Run

if TYPE_CHECKING:
    from safeload.machine.listing import Line

MAX_MESSAGE = 1_000  # characters of one message; findings are short, and what they quote from the file is cut where they are made
MAX_PATH = 4_096  # characters of a path: Linux has no longer ones
SHA_DIGITS = 12  # hex digits of a digest in prose


def place(finding: Finding) -> str:
    """`archive/data.pkl : 0x002c`; empty for a finding about the file as a whole."""
    parts = [escape(finding.member, MAX_PATH)] if finding.member else []
    if finding.offset is not None:
        parts.append(f"{finding.offset:#06x}")
    return " : ".join(parts)


def message(finding: Finding) -> str:
    """What is wrong, in the words of whoever noticed."""
    return escape(finding.message, MAX_MESSAGE)


def sentence(finding: Finding) -> str:
    """`error[forbidden-global] SL301: posix.system is called ... (archive/data.pkl : 0x002c)`."""
    where = place(finding)
    return f"{finding.level}[{BY_CODE[finding.rule].name}] {finding.rule}: {message(finding)}{f' ({where})' if where else ''}"


def meaning(line: Line) -> str:
    """What one line of a listing does; of a literal its value."""
    return line.argument if line.effect == "literal" else line.meaning or line.argument


def path(report: Report) -> str:
    """The path, escaped."""
    return escape(report.path, MAX_PATH)


def errors_of(report: Report) -> int:
    """All errors of a file, also those that its report has no room for."""
    return len(report.errors) + report.suppressed_findings


def coverage(report: Report) -> str:
    """`5,214 of 5,214 bytes accounted for`."""
    fetched = f", {plural(report.remote.bytes_read, 'byte')} fetched" if report.remote is not None else ""
    return f"{report.bytes_accounted:,} of {plural(report.bytes_total, 'byte')} accounted for{fetched}"


def version_of(fetched: Fetched) -> str:
    """`ETag "5e1f"`, `commit 1f4c...`, or that there is none."""
    if fetched.version is None:
        return "a version without a name, in one answer"
    return f"{'commit' if fetched.pinned == 'commit' else 'ETag'} {escape(fetched.version, 100)}"


def verdict_of(report: Report) -> str:
    """`rejected: 1 error; 5,214 of 5,214 bytes accounted for`."""
    what = f"{plural(report.tensors, 'tensor')}, {plural(report.tensor_bytes, 'byte')}" if report.verdict == "accepted" else plural(errors_of(report), "error")
    return f"{report.verdict}: {what}; {coverage(report)}"


def no_program(report: Report) -> str:
    """What is said of an accepted file that holds no program: `safetensors holds no program: a header and numbers, which no loader runs`. Empty for others."""
    return f"{report.format.split('+')[0]} holds no program: a header and numbers, which no loader runs" if report.holds_no_program else ""


def policy_of(run: Run) -> str:
    """`policy checkpoint 2026.11 (sha256 1f4c...)`."""
    policy = run.policy
    return f"policy {escape(policy.name)} {escape(policy.version)} (sha256 {policy.sha256[:SHA_DIGITS]}...)"


def summary(end: End) -> str:
    """`3 files: 1 accepted, 2 rejected, 0 inconclusive; 1 folder without files; 2 files left out by --exclude`."""
    text = f"{plural(end.files, 'file')}: {', '.join(f'{count:,} {verdict}' for verdict, count in end.counts.items())}"
    if end.nothing:
        text += f"; {plural(len(end.nothing), 'folder')} without files"
    return text + (f"; {plural(end.excluded, 'file')} left out by --exclude" if end.excluded else "")


def difference(each_path: str | None, text: str) -> str:
    """One difference from a lock file."""
    return escape(f"{each_path}: {text}" if each_path is not None else text, MAX_MESSAGE)
