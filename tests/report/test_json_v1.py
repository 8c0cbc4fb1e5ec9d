"""The JSON report: its shape, its order, and text that harms nobody."""

from __future__ import annotations

import io
import json

from safeload.api import scan
from safeload.findings import Report
from safeload.policy.resolve import load_policy
from safeload.report import json_v1
from safeload.report.writer import VERDICTS, End, Row, Run
from tests.cli.inputs import EVIL, state_dict


def rendered(*reports: Report) -> str:
    """The document on these files."""
    stream = io.StringIO()
    writer = json_v1.JsonWriter(stream, Run(policy=load_policy("checkpoint"), several=len(reports) != 1))
    writer.begin()
    for report in reports:
        writer.row(Row(report=report))
    writer.end(End(counts={verdict: sum(report.verdict == verdict for report in reports) for verdict in VERDICTS}, exit_code=1))
    return stream.getvalue()


def test_the_shape() -> None:
    report = scan(EVIL, digest=True)
    document = json.loads(rendered(report))
    assert list(document) == ["schema", "tool", "policy", "results", "nothing", "summary"]
    assert document["schema"] == "safeload-report-v1"
    policy = load_policy("checkpoint")
    assert document["policy"] == {"name": "checkpoint", "version": policy.version, "sha256": policy.sha256, "file": policy.file}
    (result,) = document["results"]
    assert result["verdict"] == "rejected"
    assert len(result["sha256"]) == 64
    assert result["bytes"] == {"total": len(EVIL), "accounted": len(EVIL)}
    (finding,) = result["findings"]
    assert list(finding) == ["rule", "name", "level", "message", "capability", "global", "member", "offset", "entry", "waived"]
    assert (finding["rule"], finding["name"], finding["capability"], finding["global"], finding["offset"], finding["entry"]) == (
        "SL301", "forbidden-global", "process.exec", "posix.system", 26, "process",
    )  # fmt: skip
    (use,) = result["globals"]
    assert list(use) == ["global", "uses", "decision", "entry", "policy", "capability", "count", "places"]
    assert document["summary"] == {"accepted": 0, "rejected": 1, "inconclusive": 0, "nothing": 0, "files": 1}


def test_members_and_counts() -> None:
    result = json_v1.result(scan(state_dict()))
    assert (result["format"], result["tensors"], result["tensor_bytes"]) == ("torch.zip", 3, 64)
    assert {member["name"]: (member["role"], member["size"]) for member in result["members"]}["archive/data/0"] == ("storage", 48)


def test_the_same_bytes_every_time() -> None:
    assert rendered(scan(state_dict(), digest=True)) == rendered(scan(state_dict(), digest=True))


def test_written_file_by_file_it_is_the_document_that_would_be_written_at_once() -> None:
    for reports in ((), (scan(EVIL),), (scan(EVIL), scan(state_dict()), scan(b""))):
        text = rendered(*reports)
        assert text == json_v1.encode(json.loads(text))


def test_the_document_is_ascii_and_keeps_every_character() -> None:
    text = 'a\x1b\x7f\x85\u202e\U0001f600\ufeffé\\"\n'
    encoded = json_v1.encode({"text": text})
    assert encoded.isascii()
    assert all(char == "\n" or char.isprintable() for char in encoded)
    assert json.loads(encoded) == {"text": text}


def test_lone_surrogates_are_spelled_out() -> None:
    assert json_v1.clean("a\ud800b") == "a\\ud800b"
