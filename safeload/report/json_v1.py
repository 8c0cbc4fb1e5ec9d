"""Reports become one JSON document, `safeload-report-v1`: for programs, the same bytes for the same files, policy and version.

Keys have a fixed order, there is no time and no host in it. The document is ASCII: names from a file stand there in full, with everything beyond
U+007E as `\\uXXXX`, so that printing it harms no terminal. A lone surrogate, which JSON cannot carry, is spelled out as a backslash escape.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from safeload import __version__
from safeload.findings import Finding, GlobalUse, MemberInfo, Report

SCHEMA = "safeload-report-v1"
VERDICTS = ("accepted", "rejected", "inconclusive")
_BEYOND_ASCII = re.compile("[^\x00-\x7e]")


def render(
    reports: Iterable[Report], *, policy: dict[str, Any] | None = None, nothing: Iterable[str] = (), compared: dict[str, Any] | None = None
) -> str:
    """The document, indented by two, with a newline at its end. `locked` is in it where there was a lock file to compare with (`compared`).

    `policy` is needed where `reports` may be empty (`policy_of`); `nothing` are the paths that held no file, in the order they were given.
    """
    results = [result(report) for report in reports]
    empty = [clean(path) for path in nothing]
    found = [entry["verdict"] for entry in results]
    document = {
        "schema": SCHEMA,
        "tool": {"name": "safeload", "version": __version__},
        "policy": policy,
        "results": results,
        "nothing": empty,
        **({"locked": compared} if compared is not None else {}),
        "summary": {**{verdict: found.count(verdict) for verdict in VERDICTS}, "nothing": len(empty), "files": len(results)},
    }
    return encode(document)


def encode(document: Any) -> str:
    """Any document of plain values, in the form that the module's first lines promise."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode("utf-8")
    return _BEYOND_ASCII.sub(_escaped, text) + "\n"


def compared(file: str, differences: Iterable[tuple[str | None, str, str]]) -> dict[str, Any]:
    """What `scan --locked` found: (path, what, message) of each difference."""
    return {
        "file": clean(file),
        "differences": [{"path": clean(path), "what": what, "message": clean(message)} for path, what, message in differences],
    }


def policy_of(*, name: str, version: str, sha256: str, file: str | None) -> dict[str, Any]:
    """The policy's own object."""
    return {"name": name, "version": version, "sha256": sha256, "file": None if file is None else clean(file)}


def result(report: Report) -> dict[str, Any]:
    """One file. Counts are exact; `findings` holds at most `limits.findings`, and `suppressed_findings` how many are missing."""
    return {
        "path": clean(report.path),
        "sha256": report.sha256,
        "beside": [{"name": clean(name), "sha256": digest} for name, digest in report.beside],
        "format": report.format,
        "verdict": report.verdict,
        "has_opaque": report.has_opaque,
        "findings": [_finding(finding) for finding in report.findings],
        "suppressed_findings": report.suppressed_findings,
        "globals": [_global(use) for use in report.globals],
        "members": [_member(member) for member in report.members],
        "bytes": {"total": report.bytes_total, "accounted": report.bytes_accounted},
        "tensors": report.tensors,
        "tensor_bytes": report.tensor_bytes,
        "opcodes": report.opcodes,
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
    return {"name": clean(member.name), "role": member.role, "offset": member.offset, "size": member.size, "read": member.read}


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
