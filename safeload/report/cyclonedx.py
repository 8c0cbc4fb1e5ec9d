"""Rows become a CycloneDX 1.6 bill of materials: each file a component of type `machine-learning-model` (an ML-BOM), for inventories and Dependency-Track.

A component holds the file's digest, and as properties (`safeload:...`) its verdict, format, tensors, what its names could do and which rules it breaks. A model
card says what a checkpoint says of itself, which is little: nothing is made up. Findings are no CVEs, so the list of vulnerabilities stays out of it.

The document has no time, no host and no serial number: the same files give the same bytes.
"""

from __future__ import annotations

import hashlib
from typing import IO, Any

from safeload import __version__
from safeload.escape import escape
from safeload.findings import Report
from safeload.report import sentences
from safeload.report.json_v1 import encode_line
from safeload.report.writer import VERDICTS, End, Row, Run

SPECIFICATION = "1.6"
SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
MAX_VALUES = 200  # names or rules of one file, as properties
Property = dict[str, str]


class CycloneDxWriter:
    """One bill of materials."""

    def __init__(self, stream: IO[str], run: Run) -> None:
        self._stream, self._run = stream, run
        self._count = 0

    def begin(self) -> None:
        """The head."""
        head = {"$schema": SCHEMA, "bomFormat": "CycloneDX", "specVersion": SPECIFICATION, "version": 1}
        tools = {"components": [{"type": "application", "name": "safeload", "version": __version__}]}
        policy = self._run.policy
        properties = [
            _property("policy", policy.name),
            _property("policy:version", policy.version),
            _property("policy:sha256", policy.sha256),
        ]
        metadata = {"tools": tools, "properties": properties}
        self._stream.write(encode_line({**head, "metadata": metadata})[:-1] + ',"components":[')

    def row(self, row: Row) -> None:
        """One component."""
        self._stream.write((",\n" if self._count else "\n") + encode_line(component(row.report, self._count)))
        self._count += 1

    def end(self, end: End) -> None:
        """The counts."""
        properties = [_property(f"summary:{verdict}", str(end.counts[verdict])) for verdict in VERDICTS]
        properties += [_property("summary:files", str(end.files)), _property("summary:nothing", str(len(end.nothing)))]
        properties += [_property("nothing-to-check", folder) for folder in end.nothing[:MAX_VALUES]]
        properties += [_property("lock-difference", sentences.difference(each.path, each.message)) for each in end.differences[:MAX_VALUES]]
        self._stream.write("\n]," + encode_line({"properties": properties})[1:] + "\n")


def component(report: Report, number: int) -> dict[str, Any]:
    """One file."""
    path = escape(report.path, sentences.MAX_PATH)
    properties = [
        _property("verdict", report.verdict),
        _property("format", report.format),
        _property("bytes", str(report.bytes_total)),
        _property("bytes-accounted", str(report.bytes_accounted)),
        _property("tensors", str(report.tensors)),
        _property("tensor-bytes", str(report.tensor_bytes)),
        _property("keeps-records", str(report.has_opaque).lower()),
        _property("errors", str(sentences.errors_of(report))),
        *(_property("capability", name) for name in sorted({use.capability for use in report.globals})),
        *(_property("rule", rule) for rule in sorted({finding.rule for finding in report.findings})),
        *(_property("refused-name", use.global_name) for use in [use for use in report.globals if use.decision == "denied"][:MAX_VALUES]),
        *(
            [] if report.remote is None else [
                _property("remote-version", sentences.version_of(report.remote)),
                _property("bytes-fetched", str(report.remote.bytes_read)),
                _property("bytes-unread", str(report.remote.bytes_unread)),
            ]
        ),
        *(_property("waived", finding.waived) for finding in report.findings if finding.waived is not None),
    ]
    found: dict[str, Any] = {"type": "machine-learning-model", "bom-ref": _reference(report.path, number), "name": path or "?"}
    if report.sha256 is not None:
        found["hashes"] = [{"alg": "SHA-256", "content": report.sha256}]
    if report.verdict == "accepted" and report.tensors:
        found["modelCard"] = {"properties": [_property("tensors", str(report.tensors)), _property("tensor-bytes", str(report.tensor_bytes))]}
    if report.beside:
        found["components"] = [
            {"type": "file", "name": escape(name, sentences.MAX_PATH), "hashes": [{"alg": "SHA-256", "content": digest}]} for name, digest in report.beside
        ]
    return {**found, "properties": properties}


def _reference(path: str, number: int) -> str:
    """Unique in the document, and the same for the same scan: a path may be given twice."""
    return f"model-{number + 1}-{hashlib.sha256(path.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def _property(name: str, value: str) -> Property:
    return {"name": f"safeload:{name}", "value": escape(value, sentences.MAX_PATH)}
