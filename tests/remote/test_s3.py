"""`s3://` against a server on this machine that answers GetObject as S3 does, through the real s3fs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.inputs import EVIL
from tests.remote.server import File, Server, serving
from tests.remote.test_http import BIG, LISTING, one, scan, stream, write

pytest.importorskip("s3fs", reason="s3fs is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of aiohttp and botocore, about themselves


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    write(tmp_path / "big.pt", stream(LISTING), BIG)
    with serving({"/bucket/a/big.pt": File(tmp_path / "big.pt"), "/bucket/evil.pkl": File(EVIL), "/bucket/empty": File(b"")}) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.url(""))
        for name, value in (("ACCESS_KEY_ID", "id"), ("SECRET_ACCESS_KEY", "secret"), ("DEFAULT_REGION", "us-east-1"), ("EC2_METADATA_DISABLED", "true")):
            monkeypatch.setenv(f"AWS_{name}", value)
        yield found


def test_an_object_is_read_by_ranges_of_one_version(server: Server) -> None:
    report = scan("s3://bucket/a/big.pt")
    assert report.verdict == "accepted", report.findings
    assert report.remote is not None
    assert (report.remote.version, report.remote.pinned, report.remote.requests) == ('"v1"', "etag", 2)
    assert report.remote.bytes_read == server.sent < 60_000
    assert [asked.headers.get("if-match") for asked in server.asked] == [None, '"v1"']
    assert report.path == "s3://bucket/a/big.pt"


def test_a_payload_is_found(server: Server) -> None:
    assert [finding.global_name for finding in scan("s3://bucket/evil.pkl").errors] == ["posix.system"]


def test_a_public_bucket_is_asked_without_credentials(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setitem(pytest.importorskip("fsspec.config", reason="fsspec is not installed").conf, "s3", {"anon": True})  # what FSSPEC_S3_ANON sets
    assert scan("s3://bucket/a/big.pt").verdict == "accepted"
    assert all("authorization" not in asked.headers for asked in server.asked)


def test_an_empty_object(server: Server) -> None:
    assert one(scan("s3://bucket/empty")).rule == "SL003"


@pytest.mark.parametrize("ignores_pin", [False, True])
def test_an_object_that_changes_is_found_out(server: Server, ignores_pin: bool) -> None:
    file = server.files["/bucket/a/big.pt"]
    file.wrong, file.after, file.ignores_pin = "changed", 1, ignores_pin
    assert "has changed" in one(scan("s3://bucket/a/big.pt")).message


@pytest.mark.parametrize("wrong", ["another range", "another total", "range missing", "range backwards", "cut", "forgets ranges"])
@pytest.mark.parametrize("after", [0, 1])
def test_a_server_that_does_wrong(server: Server, wrong: str, after: int) -> None:
    file = server.files["/bucket/a/big.pt"]
    file.wrong, file.after = wrong, after
    report = scan("s3://bucket/a/big.pt")
    assert report.verdict == "inconclusive" or (wrong == "another total" and after == 0)
    assert server.sent < 200_000 or wrong == "forgets ranges"


def test_what_is_not_there(server: Server) -> None:
    report = scan("s3://bucket/none.pt")
    assert one(report).rule == "SL005"
    assert "cannot be read" in one(report).message


def test_a_slow_server_is_cut_off(server: Server) -> None:
    server.files["/bucket/a/big.pt"].wrong = "drips"
    assert one(scan("s3://bucket/a/big.pt", limits={"scan_seconds": 1})).rule == "SL901"


def test_both_limits_hold(server: Server) -> None:
    assert one(scan("s3://bucket/a/big.pt", limits={"remote_requests": 1})).rule == "SL901"
    assert one(scan("s3://bucket/a/big.pt", limits={"remote_bytes": 32 << 10})).rule == "SL901"
    assert one(scan("s3://bucket/a/big.pt", limits={"file_bytes": 1 << 20})).rule == "SL901"


def test_the_library_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    assert "pip install 'safeload[s3]'" in one(scan("s3://bucket/key")).message
