"""Rows become one JSON document, `safeload-report-v1`: for programs, the same bytes for the same files, policy and version.

Keys have a fixed order, there is no time and no host in it. The document is ASCII: names from a file stand there in full, with everything beyond
U+007E as `\\uXXXX`, so that printing it harms no terminal. A lone surrogate, which JSON cannot carry, is spelled out as a backslash escape.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import IO, Any

import msgspec

from safeload import __version__
from safeload.findings import Fetched, Finding, GlobalUse, MemberInfo, Report
from safeload.policy.model import Policy
from safeload.report.writer import VERDICTS, Difference, End, Row, Run

SCHEMA = "safeload-report-v1"
_BEYOND_ASCII = re.compile("[^\x00-\x7e]")


class JsonWriter:
    """Writes the document result by result; the whole of it is laid out as `encode` would lay it out."""

    def __init__(self, stream: IO[str], run: Run) -> None:
        self._stream, self._run = stream, run
        self._any = False

    def begin(self) -> None:
        """Everything in front of the results."""
        head = encode({"schema": SCHEMA, "tool": {"name": "safeload", "version": __version__}, "policy": policy_of(self._run.policy)})
        self._stream.write(head.removesuffix("\n}\n") + ',\n  "results": [')

    def row(self, row: Row) -> None:
        """One result."""
        self._stream.write((",\n    " if self._any else "\n    ") + _indented(encode(result(row.report)), 4))
        self._any = True

    def end(self, end: End) -> None:
        """Everything behind them. `locked` is there where there was a lock file to compare with."""
        nothing = [clean(path) for path in end.nothing]
        counts: dict[str, int] = {verdict: end.counts[verdict] for verdict in VERDICTS}
        locked = {} if self._run.comparing is None else {"locked": compared(self._run.comparing, end.differences)}
        tail = encode({"nothing": nothing, **locked, "summary": {**counts, "nothing": len(nothing), "files": end.files}})
        self._stream.write(("\n  ]" if self._any else "]") + "," + tail.removeprefix("{"))


def _indented(text: str, by: int) -> str:
    """A document inside another; no string in it holds a line break of its own."""
    return text.rstrip("\n").replace("\n", "\n" + " " * by)


def encode(document: Any) -> str:
    """Any document of plain values, in the form that the module's first lines promise."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode("utf-8")
    return _BEYOND_ASCII.sub(_escaped, text) + "\n"


def encode_line(document: Any) -> str:
    """The same on one line, without a newline at its end."""
    return _BEYOND_ASCII.sub(_escaped, msgspec.json.encode(document).decode("utf-8"))


def compared(file: str, differences: Iterable[Difference]) -> dict[str, Any]:
    """What `scan --locked` found."""
    return {
        "file": clean(file),
        "differences": [{"path": clean(each.path), "what": each.what, "message": clean(each.message)} for each in differences],
    }


def policy_of(policy: Policy) -> dict[str, Any]:
    """The policy's own object."""
    return {"name": policy.name, "version": policy.version, "sha256": policy.sha256, "file": clean(policy.file)}


def result(report: Report) -> dict[str, Any]:
    """One file. Counts are exact; `findings` holds at most `limits.findings`, and `suppressed_findings` how many are missing."""
    return {
        "path": clean(report.path),
        "sha256": report.sha256,
        "beside": [{"name": clean(name), "sha256": digest} for name, digest in report.beside],
        "format": report.format,
        "verdict": report.verdict,
        "has_opaque": report.has_opaque,
        "loader": report.loader,
        "findings": [_finding(finding) for finding in report.findings],
        "suppressed_findings": report.suppressed_findings,
        "globals": [_global(use) for use in report.globals],
        "members": [_member(member) for member in report.members],
        "bytes": {"total": report.bytes_total, "accounted": report.bytes_accounted},
        "tensors": report.tensors,
        "tensor_bytes": report.tensor_bytes,
        "opcodes": report.opcodes,
        "remote": _remote(report.remote),
    }


def _remote(fetched: Fetched | None) -> dict[str, Any] | None:
    return None if fetched is None else {
        "version": clean(fetched.version),
        "pinned": fetched.pinned,
        "requests": fetched.requests,
        "bytes_read": fetched.bytes_read,
        "bytes_unread": fetched.bytes_unread,
        "unread": [list(extent) for extent in fetched.unread],
        "headers_unread": fetched.headers_unread,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "name": finding.name,
        "level": finding.level,
        "message": clean(finding.message),
        "capability": finding.capability,
        "global": clean(finding.global_name),
        "member": clean(finding.member),
        "offset": finding.offset,
        "entry": finding.entry,
        "waived": clean(finding.waived),
    }


def _global(use: GlobalUse) -> dict[str, Any]:
    return {
        "global": clean(use.global_name),
        "uses": list(use.uses),
        "decision": use.decision,
        "entry": use.entry,
        "policy": use.policy,
        "capability": use.capability,
        "count": use.count,
        "places": [{"member": clean(member) or None, "offset": offset} for member, offset in use.places],
    }


def _member(member: MemberInfo) -> dict[str, Any]:
    return {"name": clean(member.name), "role": member.role, "offset": member.offset, "size": member.size, "read": member.read, "located": member.located}


def clean(text: str | None) -> str | None:
    """The text, lone surrogates spelled out: msgspec encodes none, and RFC 8259 calls them unpredictable."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
