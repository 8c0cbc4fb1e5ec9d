"""`hf://` against a Hub on this machine, which keeps its files on another server, as the real one does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import safeload
from safeload.errors import CheckpointError
from safeload.remote import uri
from safeload.remote.opening import expanded
from tests.cli.inputs import EVIL, PLAIN
from tests.remote.server import File, Server, serving
from tests.remote.test_http import BIG, LISTING, one, scan, stream, write
from tests.remote.test_readings import ran

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAMES = ["README.md", "big.pt", "sub/evil.pkl", "sub/plain.pkl"]


def info(**more: Any) -> File:
    found = {"id": "org/model", "sha": COMMIT, "siblings": [{"rfilename": name} for name in NAMES], **more}
    return File(json.dumps(found).encode(), ranges=False, etag=None)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, Server]]:
    """The Hub, and the storage that it redirects to."""
    write(tmp_path / "big.pt", stream(LISTING), BIG)
    files = {"/cdn/big": File(tmp_path / "big.pt"), "/cdn/evil": File(EVIL)}
    with serving(files) as storage:
        place = f"/org/model/resolve/{COMMIT}/"
        routes = {
            "/api/models/org/model/revision/main": info(),
            "/api/models/org/model": info(),
            "/api/models/org/model/revision/refs%2Fpr%2F1": info(),
            "/api/models/org/model/revision/no": File(b"", status=404),
            "/api/models/org/odd": info(sha=None),
            "/api/datasets/org/model": info(),
            place + "big.pt": File(b"", status=302, location=storage.url("/cdn/big?signed")),
            place + "sub/evil.pkl": File(b"", status=302, location=storage.url("/cdn/evil")),
            place + "sub/plain.pkl": File(PLAIN),
            place + "README.md": File(b"# text", ranges=False),
            f"/datasets{place}big.pt": File(b"", status=302, location=storage.url("/cdn/big?signed")),
        }
        with serving(routes) as server:
            monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url(""))
            monkeypatch.setenv("HF_TOKEN", "hf_secret")
            yield server, storage


@pytest.mark.parametrize("address", ["hf://org/model@main/big.pt", "hf://org/model/big.pt", "hf://org/model@refs/pr/1/big.pt", "hf://datasets/org/model/big.pt"])
def test_a_file_is_read_at_its_commit(hub: tuple[Server, Server], address: str) -> None:
    server, storage = hub
    report = scan(address)
    assert report.verdict == "accepted", report.findings
    assert report.remote is not None
    assert (report.remote.version, report.remote.pinned) == (COMMIT, "commit")
    assert report.remote.bytes_read == storage.sent < 60_000
    assert report.path == f"hf://{'datasets/' if 'datasets' in address else ''}org/model@{COMMIT}/big.pt"
    resolved = [asked for asked in server.asked if "/resolve/" in asked.path]
    assert len(resolved) == 1
    assert resolved[0].headers["authorization"] == "Bearer hf_secret"
    assert all("authorization" not in asked.headers for asked in storage.asked)
    assert "secret" not in str(report)


def test_storage_that_changes_under_a_commit_is_found_out(hub: tuple[Server, Server]) -> None:
    _, storage = hub
    storage.files["/cdn/big"].wrong, storage.files["/cdn/big"].after = "changed", 1
    assert "has changed" in one(scan("hf://org/model@main/big.pt")).message


def test_storage_without_an_etag_is_pinned_by_the_commit(hub: tuple[Server, Server]) -> None:
    _, storage = hub
    storage.files["/cdn/big"].etag = None
    report = scan("hf://org/model@main/big.pt")
    assert report.verdict == "accepted"
    assert report.remote is not None
    assert report.remote.pinned == "commit"
    assert report.remote.bytes_unread


def test_a_payload_is_found(hub: tuple[Server, Server]) -> None:
    assert [finding.global_name for finding in scan("hf://org/model/sub/evil.pkl").errors] == ["posix.system"]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("hf://org/model", "name a file in it"),
        ("hf://org/model@main/none.pt", "no such file"),
        ("hf://org/model@no/big.pt", "cannot be asked"),
        ("hf://org/odd/big.pt", "no commit"),
        ("hf://org/missing/big.pt", "cannot be asked"),
    ],
)
def test_what_is_not_there(hub: tuple[Server, Server], address: str, words: str) -> None:
    report = scan(address)
    assert words in one(report).message
    assert report.path == address


def test_a_repository_is_its_files_at_one_commit(hub: tuple[Server, Server]) -> None:
    assert expanded("hf://org/model") == [f"hf://org/model@{COMMIT}/{name}" for name in NAMES]
    assert expanded("hf://org/model@main/sub") == [f"hf://org/model@{COMMIT}/sub/{name}" for name in ("evil.pkl", "plain.pkl")]
    assert expanded("https://host/f.pt") == ["https://host/f.pt"]
    with pytest.raises(CheckpointError, match="no such file or folder"):
        expanded("hf://org/model@main/none")


def test_the_command_line_scans_a_repository(hub: tuple[Server, Server]) -> None:
    code, out, err = ran("scan", "--online", "--exclude", "*.md", "-f", "csv", "hf://org/model@main")
    assert (code, err) == (1, ""), out
    rows = [line.replace('"', "").split(",")[:2] for line in out.splitlines()[1:]]
    commit = f"hf://org/model@{COMMIT}/"
    assert [tuple(row) for row in rows] == [
        (f"{commit}big.pt", "accepted"), (f"{commit}sub/evil.pkl", "rejected"), (f"{commit}sub/plain.pkl", "accepted"),
    ]  # fmt: skip


def test_the_command_line_says_what_it_left_out_and_what_cannot_be_asked(hub: tuple[Server, Server]) -> None:
    code, out, _ = ran("scan", "--online", "--exclude", "*.p*", "hf://org/model@main", "hf://org/missing")
    assert code == 2
    assert "3 files left out by --exclude" in out
    assert "hf://org/missing" in out


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hf://org/model", ("model", "org/model", None, "")),
        ("hf://org/model@v1.0/a/b.pt", ("model", "org/model", "v1.0", "a/b.pt")),
        ("hf://org/model@refs/pr/3/a.pt", ("model", "org/model", "refs/pr/3", "a.pt")),
        ("hf://org/model@a%2Fb/a.pt", ("model", "org/model", "a/b", "a.pt")),
        ("hf://org/model/a@b.pt", ("model", "org/model", None, "a@b.pt")),
        ("hf://spaces/org/app/x.pkl", ("space", "org/app", None, "x.pkl")),
        ("hf://gpt2@main/x.bin", ("model", "gpt2", "main", "x.bin")),
        ("hf://gpt2", ("model", "gpt2", None, "")),
    ],
)
def test_the_grammar(text: str, parts: tuple[str, str, str | None, str]) -> None:
    found = uri.hub(text)
    assert (found.kind, found.repo, found.revision, found.path) == parts


def test_the_library_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    assert "pip install 'safeload[hub]'" in one(safeload.scan("hf://org/model/f.pt", online=True)).message
