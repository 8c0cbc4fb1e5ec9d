"""Rows become SARIF 2.1.0, for the code scanning of GitHub and GitLab and for everything else that shows findings in place.

    a finding        a result; where it stands in the file as bytes, and in the listing of its stream as a line (`safeload dis FILE`, from 1)
    the way there    a code flow: the name, the arguments, the use
    the policy       an extension of the tool, with its digest
    a waiver         a suppression, with its reason
    what was not read    a notification of the run beside the result: nothing fails in silence
    a file           an artifact with its sha256, its verdict, and its members that have findings

Results are written as they come; artifacts and notifications wait in spools. GitHub takes 25,000 results of a run, so those beyond are left out, and a
notification says how many. The same files give the same bytes: there is no time and no host in it. A fingerprint is made of rule, path, member and name, never
of an offset, so that it survives a retraining. All text from a file is escaped twice: for people, and against the links of SARIF messages (3.11.6).
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from typing import IO, Any
from urllib.parse import quote_from_bytes

from safeload import __version__
from safeload.escape import escape
from safeload.findings import RULES, Finding, Report, Rule
from safeload.machine.listing import Line
from safeload.policy.model import Policy
from safeload.report import sentences
from safeload.report.json_v1 import encode_line
from safeload.report.layout import plural
from safeload.report.rule_facts import facts_of, help_text
from safeload.report.snippets import Snippets
from safeload.report.writer import VERDICTS, End, Row, Run, pour, spool

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
VERSION = "2.1.0"
ROOT = "%SRCROOT%"  # GitHub's and GitLab's word for the root of the checkout: where the scan is run
MAX_RESULTS = 25_000  # GitHub: "SARIF results exceed the limit" beyond
MAX_SNIPPET = 300  # characters of one line of a listing
INDEX = {rule.code: number for number, rule in enumerate(RULES)}
PRECISION = {"error": "very-high", "warning": "high", "note": "high"}
RANKS = {
    "process.exec": 99.0, "code.exec": 99.0, "native": 97.0, "code.deserialize": 95.0, "code.import": 95.0, "code.attribute": 90.0, "fs.write": 90.0,
    "net": 85.0, "fs.read": 80.0,
}  # fmt: skip
"""What GitLab sorts by, of 100; results without one go by the severity of their rule."""


class SarifWriter:
    """One log with one run."""

    def __init__(self, stream: IO[str], run: Run) -> None:
        self._stream, self._run = stream, run
        self._artifacts, self._notes = spool(), spool()
        self._artifact_count = self._note_count = self._results = self._left_out = 0
        self._complete = True  # every file could be opened

    def begin(self) -> None:
        """The tool, with all of its rules."""
        policy = self._run.policy
        head = {"tool": tool(policy), "automationDetails": {"id": f"safeload/{policy.name}/"}, "columnKind": "unicodeCodePoints"}
        self._stream.write(f'{{"$schema":"{SCHEMA}","version":"{VERSION}","runs":[\n{encode_line(head)[:-1]},"results":[')

    def row(self, row: Row) -> None:
        """The results of one file."""
        report = row.report
        location = _artifact_location(report.path) if report.remote is None else {"uri": _address(report.path)}
        members = self._add_artifacts(row, location)
        seen: Counter[str] = Counter()
        snippets, bases = row.snippets(), dict(row.bases)
        for finding in report.findings:
            if self._results == MAX_RESULTS:
                self._left_out += 1
                continue
            self._stream.write((",\n" if self._results else "\n") + encode_line(_result(report, finding, snippets, bases, location, members, seen)))
            self._results += 1
        self._left_out += report.suppressed_findings
        if report.verdict == "inconclusive":
            self._complete = self._complete and not row.unopened
            first = next(finding for finding in report.findings if finding.level == "error")
            where = [{"physicalLocation": {"artifactLocation": location}}]
            self._notify("not-read", f"{escape(report.path, sentences.MAX_PATH)} has no verdict: {sentences.message(first)}", first.rule, where)

    def end(self, end: End) -> None:
        """Artifacts, notifications, counts."""
        if self._left_out:
            room = f"a report has room for {MAX_RESULTS:,} in all, and in a file for as many as the policy's limits say"
            self._notify("left-out", f"{plural(self._left_out, 'more finding')}: {room}")
        for folder in end.nothing:
            self._notify("nothing-to-check", f"{escape(folder, sentences.MAX_PATH)}: the folder holds no file to check", level="warning")
        for each in end.differences:
            lock = escape(self._run.comparing or "", sentences.MAX_PATH)
            self._notify("lock-difference", f"differs from {lock}: {sentences.difference(each.path, each.message)}")
        self._stream.write('\n],"artifacts":[')
        pour(self._artifacts, self._stream)
        invocation = {"executionSuccessful": self._complete, "exitCode": end.exit_code, "exitCodeDescription": EXIT_CODES[end.exit_code]}
        self._stream.write(f'\n],"invocations":[{encode_line(invocation)[:-1]},"toolExecutionNotifications":[')
        pour(self._notes, self._stream)
        counts: dict[str, int] = {verdict: end.counts[verdict] for verdict in VERDICTS}
        summary = {"summary": {**counts, "nothing": len(end.nothing), "files": end.files}}
        self._stream.write("\n]}]," + encode_line({"properties": summary})[1:] + "\n]}\n")

    # ---- spools ---------------------------------------------------------------------------------------------------------------------------

    def _add_artifacts(self, row: Row, location: dict[str, Any]) -> dict[str, int]:
        """The file, and those of its members that have findings; returns the index of each member."""
        report = row.report
        parent = self._artifact_count
        location["index"] = parent
        artifact: dict[str, Any] = {"location": location, "roles": ["analysisTarget"]}
        if not row.unopened:
            artifact["length"] = report.bytes_total
        if report.sha256 is not None:
            artifact["hashes"] = {"sha-256": report.sha256}
        artifact["properties"] = {
            "verdict": report.verdict, "format": report.format, "bytesAccounted": report.bytes_accounted, "tensors": report.tensors,
            "tensorBytes": report.tensor_bytes, "capabilities": sorted({use.capability for use in report.globals}),
            **({} if report.remote is None else {
                "version": sentences.version_of(report.remote), "bytesFetched": report.remote.bytes_read, "bytesUnread": report.remote.bytes_unread,
            }),
        }  # fmt: skip
        self._artifact(artifact)
        infos = {member.name: member for member in report.members}
        bases = dict(row.bases)
        indices: dict[str, int] = {}
        for name in dict.fromkeys(finding.member for finding in report.findings):
            if not name:
                continue
            indices[name] = self._artifact_count
            child: dict[str, Any] = {"location": {"description": {"text": text(escape(name, sentences.MAX_PATH))}}, "parentIndex": parent}
            if name in infos:
                child["length"] = infos[name].size
            if name in bases:
                child["offset"] = bases[name]
            self._artifact(child)
        return indices

    def _artifact(self, artifact: dict[str, Any]) -> None:
        self._artifacts.write((",\n" if self._artifact_count else "\n") + encode_line(artifact))
        self._artifact_count += 1

    def _notify(self, kind: str, message: str, rule: str | None = None, locations: list[dict[str, Any]] | None = None, *, level: str = "error") -> None:
        note: dict[str, Any] = {"level": level, "message": {"text": text(message)}, "descriptor": {"id": kind}}
        if rule is not None:
            note["associatedRule"] = {"id": rule, "index": INDEX[rule]}
        if locations:
            note["locations"] = locations
        self._notes.write((",\n" if self._note_count else "\n") + encode_line(note))
        self._note_count += 1


EXIT_CODES = {
    0: "every file is accepted, or the exit code was asked to be 0",
    1: "a file is rejected, or differs from the lock file",
    2: "a file has no verdict",
    3: "there was nothing to check",
}
NOTIFICATIONS = {
    "not-read": "A file could not be read to its end, so it has no verdict.",
    "nothing-to-check": "A folder held no file.",
    "left-out": "Findings that the report has no room for.",
    "lock-difference": "A file is not as the lock file has it.",
}


# ---- the tool -----------------------------------------------------------------------------------------------------------------------------


def tool(policy: Policy) -> dict[str, Any]:
    """safeload with its rules, and the policy as an extension."""
    extension: dict[str, Any] = {
        "name": f"policy {policy.name}",
        "version": policy.version,
        "fullDescription": {"text": text(escape(policy.summary, sentences.MAX_MESSAGE))},
        "properties": {"sha256": policy.sha256, "mode": policy.mode, "owner": escape(policy.owner)},
    }
    if policy.file is not None:
        from safeload.report.decision import located

        extension["properties"]["file"] = escape(located(policy.file), sentences.MAX_PATH)
    driver = {
        "name": "safeload",
        "version": __version__,
        "semanticVersion": __version__,
        "shortDescription": {"text": "Opens checkpoints and pickles, and runs none of them."},
        "rules": [_rule(rule) for rule in RULES],
        "notifications": [{"id": name, "shortDescription": {"text": what}} for name, what in NOTIFICATIONS.items()],
    }
    return {"driver": driver, "extensions": [extension]}


def _rule(rule: Rule) -> dict[str, Any]:
    facts = facts_of(rule.code)
    help_ = help_text(rule.code)
    return {
        "id": rule.code,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": f"{rule.summary} {facts.meaning}"},
        "help": {"text": help_, "markdown": help_.replace("[[waive]]", "`[[waive]]`")},
        "defaultConfiguration": {"level": rule.level},
        "properties": {
            "security-severity": f"{facts.severity:.1f}",
            "precision": PRECISION[rule.level],
            "problem.severity": {"error": "error", "warning": "warning", "note": "recommendation"}[rule.level],
            "tags": ["security", "checkpoint", *(f"external/cwe/cwe-{number}" for number in facts.cwe)],
        },
    }


# ---- results ------------------------------------------------------------------------------------------------------------------------------


def _result(
    report: Report,
    finding: Finding,
    snippets: Snippets,
    bases: dict[str | None, int],
    location: dict[str, Any],
    members: dict[str, int],
    seen: Counter[str],
) -> dict[str, Any]:
    lines = snippets.get((finding.member, finding.offset if finding.offset is not None else -1), ())
    own = next((line for line in lines if line.offset == finding.offset), None)
    fingerprint = fingerprint_of(finding, location["uri"])
    seen[fingerprint] += 1
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": INDEX[finding.rule],
        "level": finding.level,
        "message": {"text": text(sentences.message(finding))},
        "locations": [_location(location, finding, own, bases, members)],
        "partialFingerprints": {"primaryLocationLineHash": f"{fingerprint[:16]}:{seen[fingerprint]}", "safeload/v1": f"{fingerprint}:{seen[fingerprint]}"},
    }
    if finding.level == "error" and finding.capability in RANKS:
        result["rank"] = RANKS[finding.capability]
    if len(lines) > 1 and own is not None:
        result["codeFlows"] = [{"threadFlows": [{"locations": [_step(location, finding, line, own, bases) for line in lines]}]}]
    if finding.waived is not None:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": escape(finding.waived, sentences.MAX_MESSAGE)}]
    properties = {"verdict": report.verdict, "capability": finding.capability, "global": finding.global_name, "entry": finding.entry}
    result["properties"] = {key: escape(value, sentences.MAX_MESSAGE) for key, value in properties.items() if value is not None}
    return result


def fingerprint_of(finding: Finding, uri: str) -> str:
    """The same for the same thing in the same file, wherever in it that stands."""
    parts = (finding.rule, uri, finding.member or "", finding.global_name or "")
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _location(
    location: dict[str, Any], finding: Finding, own: Line | None, bases: dict[str | None, int], members: dict[str, int]
) -> dict[str, Any]:
    """The primary place: the file, the line of the listing, the byte; the member and the instruction by name."""
    place: dict[str, Any] = {"physicalLocation": {"artifactLocation": location, "region": _region(finding.member, finding.offset, own, bases)}}
    logical: list[dict[str, Any]] = []
    name = escape(finding.member, sentences.MAX_PATH) if finding.member else ""
    if name:
        logical.append({"name": name, "fullyQualifiedName": name, "kind": "member"})
    if finding.offset is not None:
        opcode = f":{own.name}" if own is not None else ""
        whole = f"{name}@{finding.offset:#x}{opcode}"
        kind = "instruction" if own is not None else "offset"
        logical.append({"name": own.name if own is not None else f"{finding.offset:#x}", "fullyQualifiedName": whole, "kind": kind})
    if logical:
        place["logicalLocations"] = logical
    if finding.member in members:
        place["properties"] = {"artifactIndex": members[finding.member or ""]}
    return place


def _region(member: str | None, offset: int | None, line: Line | None, bases: dict[str | None, int]) -> dict[str, Any]:
    """Text and bytes are independent of each other (3.30.3). GitHub requires a line, so what stands in no listing is at its first."""
    number = line.number if line is not None else 1
    region: dict[str, Any] = {"startLine": number, "startColumn": 1, "endLine": number, "endColumn": 2}
    if line is not None:
        shown = f"{line.offset:#06x}  {line.name}  {sentences.meaning(line)}".rstrip()
        region["endColumn"] = min(len(shown), MAX_SNIPPET) + 1
        region["snippet"] = {"text": escape(shown, MAX_SNIPPET)}
    base = bases.get(member)
    if base is not None and offset is not None:
        region["byteOffset"] = base + offset
        region["byteLength"] = line.length if line is not None else 1
    return region


def _step(location: dict[str, Any], finding: Finding, line: Line, own: Line, bases: dict[str | None, int]) -> dict[str, Any]:
    """One step on the way: the name, an argument, the use itself."""
    what = "names" if line.effect == "lookup" else "argument" if line.effect == "literal" else "here" if line is own else "makes"
    shown = sentences.meaning(line).removeprefix("names ")
    return {
        "location": {
            "physicalLocation": {"artifactLocation": location, "region": _region(finding.member, line.offset, line, bases)},
            "message": {"text": text(escape(f"{what}: {shown}" if shown else line.name, MAX_SNIPPET))},
        },
        "importance": "essential" if line.effect == "lookup" or line is own else "important",
        "kinds": ["name" if line.effect == "lookup" else "value" if line.effect == "literal" else "call"],
    }


# ---- text and addresses -------------------------------------------------------------------------------------------------------------------


def text(shown: str) -> str:
    """A message that holds no link: `[text](target)` would be one."""
    return shown.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]") if "](" in shown else shown


def _artifact_location(path: str) -> dict[str, Any]:
    """Relative to where the scan is run, or the whole path where it lies elsewhere; each byte that a URI does not hold is written as %XX."""
    try:
        relative = os.path.relpath(path) if path != "<stdin>" else path
    except ValueError:  # another drive of Windows
        relative = os.path.abspath(path)
    if relative == os.pardir or relative.startswith(os.pardir + os.sep) or os.path.isabs(relative):
        return {"uri": "file://" + _quoted(os.path.abspath(path))}
    return {"uri": _quoted(relative), "uriBaseId": ROOT}


def _address(uri: str) -> str:
    """Of a file behind a network, as it is."""
    return quote_from_bytes(uri.encode("utf-8", "backslashreplace"), safe="/:@?=&%+~,;!$'()*[]")


def _quoted(path: str) -> str:
    return quote_from_bytes(os.fsencode(path.replace(os.sep, "/")), safe="/")
