"""`safeload dis`: listings of whole, refused and damaged files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.cli import snapshot
from tests.cli.inputs import BROKEN, EVIL, PLAIN, run, state_dict
from tests.formats.test_plain import zipped


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("evil", EVIL, 0),
        ("broken", BROKEN, 2),
        ("cut", EVIL[:20], 2),
        ("two", PLAIN + EVIL, 0),
        ("one-and-a-half", PLAIN + EVIL[:20], 2),
        ("no-opcode", b"\x80\x02\xff.", 2),
        ("no-stop", b"\x80\x02(((", 2),
        ("junk-behind", PLAIN + b"\x80\x02\xff", 2),
    ],
)
def test_the_listing(here: Path, name: str, data: bytes, code: int) -> None:
    (here / "x.pkl").write_bytes(data)
    outcome = run("dis", "x.pkl")
    assert outcome.err == ""
    snapshot.check(f"dis-{name}", outcome.out)
    assert outcome.code == code
    assert ("stopped at" in outcome.out) == (code == 2)


def test_standard_input_is_read_once(here: Path) -> None:
    assert "posix.system('true')" in run("dis", "-", stdin=EVIL).out
    assert "stopped at" in run("dis", "-", stdin=b"\x80\x02(((").out


def test_members(here: Path) -> None:
    (here / "x.pt").write_bytes(state_dict())
    whole = run("dis", "x.pt")
    assert whole.out.startswith("archive/data.pkl from 0x0\n")
    assert run("dis", "x.pt", "--member", "archive/data.pkl").out == whole.out
    missing = run("dis", "x.pt", "--member", "archive/nope")
    assert (missing.code, missing.out) == (2, "")
    assert "there is archive/data.pkl" in missing.err


def test_the_pickles_in_an_archive_of_other_files(here: Path) -> None:
    """The listing that a report on such a file points to."""
    (here / "x.zip").write_bytes(zipped({"a.zip": zipped({"evil.pkl": EVIL}), "good.pkl": PLAIN, "readme.txt": b"text"}))
    whole = run("dis", "x.zip")
    assert whole.code == 0 and "a.zip!/evil.pkl from 0x0" in whole.out and "good.pkl from 0x0" in whole.out
    assert "posix.system('true')" in run("dis", "x.zip", "--member", "a.zip!/evil.pkl").out


def test_a_member_of_an_archive_that_was_inflated(here: Path) -> None:
    """Its bytes are those that were judged, and not whatever stands at that place in the compressed file."""
    for name, data in (("x.zip", zipped({"good.pkl": PLAIN, "note": b"hi"})), ("x.zip.gz", gzip.compress(zipped({"good.pkl": PLAIN, "note": b"hi"})))):
        (here / name).write_bytes(data)
        assert run("dis", name, "--member", "note").out.splitlines()[1].split()[1:3] == ["BINGET", "105"], name


def test_around(here: Path) -> None:
    (here / "x.pt").write_bytes(state_dict())
    lines = run("dis", "x.pt", "--around", "0x20").out.splitlines()
    assert len(lines) < 25
    (here / "evil.pkl").write_bytes(EVIL)
    marked = [line for line in run("dis", "evil.pkl", "--around", "26").out.splitlines() if line.startswith(">")]
    assert len(marked) == 1
    assert "posix.system('true')" in marked[0]
    assert run("dis", "evil.pkl", "--around", "-1").code == 2
    assert run("dis", "evil.pkl", "--around", "x").code == 2


def test_what_was_read_of_a_refused_file(here: Path) -> None:
    """The listing that a report points to, and on standard error why there is no more of it."""
    for name, data in (("x.pt", state_dict() + b"more"), ("x.pkl.gz", gzip.compress(EVIL)[:-3]), ("y.pkl.gz", gzip.compress(EVIL[:20])[:-3])):
        (here / name).write_bytes(data)
        outcome = run("dis", name)
        assert outcome.code == 2 and outcome.err.startswith(f"safeload: {name}: ")
        assert ("archive/data.pkl from 0x0" if name == "x.pt" else "posix system") in outcome.out
    assert run("dis", "x.pt", "--member", "archive/data.pkl").out == run("dis", "x.pt").out
    assert run("dis", "x.pt", "--member", "nope").out == ""
