"""The numbered procedure: what is read, what is judged of a stream that breaks, and what a `Reading` keeps."""

from __future__ import annotations

import gc
import gzip
import lzma
import tracemalloc

import pytest
from builds import agree, dense, torch_zip

import safeload
from safeload import api
from safeload.judge import Options, judge
from safeload.limits import Limits
from safeload.opcodes.assemble import assemble
from safeload.source import open_source

EVIL = assemble("PROTO 2\nGLOBAL posix system\nBINUNICODE 'true'\nTUPLE1\nREDUCE\nSTOP")
DEFLATED = torch_zip(dense("ByteStorage", 1000, (1000,), (1,)), {"0": bytes(range(250)) * 4}, method=8)


@pytest.mark.parametrize("end", [b"", b"\xff", b"R", b"RR."])
def test_what_came_before_the_damage_is_judged(end: bytes) -> None:
    report = safeload.scan(EVIL[:-1] + end)
    assert report.verdict == "rejected"
    assert {"SL301"} < {finding.rule for finding in report.errors}, "the payload, and the damage"


def test_a_payload_behind_an_honest_object_is_judged() -> None:
    reading = api.read(assemble("NONE\nSTOP") + EVIL)
    assert reading.report.verdict == "rejected" and len(reading.graphs) == 2 and reading.ends == (2, 2 + len(EVIL))


def test_a_discarded_call_still_counts() -> None:
    assert safeload.scan(EVIL[:-1] + b"0N.").verdict == "rejected"


def test_a_damaged_deflated_storage_is_never_accepted_and_then_refused() -> None:
    start = DEFLATED.index(b"a/data/0")
    for at in range(start, start + 300, 3):
        agree(DEFLATED[:at] + bytes([DEFLATED[at] ^ 0x55]) + DEFLATED[at + 1 :])


def test_every_byte_of_an_accepted_file_is_accounted_for() -> None:
    report = safeload.scan(DEFLATED, digest=True)
    assert (report.verdict, report.bytes_total, report.bytes_accounted) == ("accepted", len(DEFLATED), len(DEFLATED))
    assert report.sha256 is not None and safeload.scan(DEFLATED).sha256 is None


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02" + b"X\x00\x00\x10\x00" + b"a" * (1 << 20) + b"\xff.",
        gzip.compress(b"\x80\x02" + bytes(1 << 20)),
        lzma.compress(b"\x80\x02" + bytes(1 << 20)),
    ],
    ids=["stream", "gzip", "xz"],
)
def test_a_refused_file_is_freed_when_its_report_is_made(data: bytes) -> None:
    """Without a garbage collection: the error that is kept must not hold the frames that hold the bytes."""
    assert safeload.scan(data).verdict == "inconclusive"
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(3):
            safeload.scan(data)
        assert tracemalloc.get_traced_memory()[0] < 1 << 19
    finally:
        tracemalloc.stop()
        gc.enable()


def test_a_brief_report_leaves_out_members_only_of_what_is_loaded() -> None:
    """`load` shows the report of a file that it refuses: that one is whole."""
    brief, limits = Options(brief=True), Limits()
    accepted = torch_zip("EMPTY_DICT\n")
    refused = torch_zip("GLOBAL posix mkdir\nBINUNICODE 'never'\nTUPLE1\nREDUCE\n")
    for policy, data, whole in (("checkpoint", accepted, False), ("checkpoint", refused, True)):
        with open_source(data, limits) as source:
            report = judge(source, safeload.load_policy(policy), limits, brief).report
        full = safeload.scan(data, policy=policy)
        assert report.members == (full.members if whole else ())
        assert (report.verdict, report.findings, report.bytes_accounted) == (full.verdict, full.findings, full.bytes_accounted)
    with pytest.raises(safeload.PolicyRejected) as caught:
        safeload.load(refused)
    assert caught.value.report.members == safeload.scan(refused).members != ()
