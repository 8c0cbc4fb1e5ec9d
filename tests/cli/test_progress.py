"""The line on a terminal: what it says, when it is there, and that it is nowhere else."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import safeload
from safeload.cli import progress
from safeload.cli.progress import CLEAR, Counts, Progress, clock, line_of
from tests.cli.inputs import EVIL, PLAIN, run


@pytest.mark.parametrize(
    ("counts", "seconds", "line"),
    [
        (Counts(), 3.2, "safeload: 0 files, 0 not accepted, 0:03"),
        (Counts(files=1), 3.2, "safeload: 1 file, 0 not accepted, 0:03"),
        (Counts(files=612, refused=3), 1.0, "safeload: 612 files, 612 a second, 3 not accepted, 0:01"),
        (Counts(files=3, total=12), 60.0, "safeload: 3 of 12 files, 0.1 a second, 0 not accepted, 3:00 left"),
        (Counts(files=1, total=12), 60.0, "safeload: 1 of 12 files, 0 not accepted, 1:00"),
        (Counts(files=1_204, refused=3, total=20_480), 2.0, "safeload: 1,204 of 20,480 files, 602 a second, 3 not accepted, 0:32 left"),
        (Counts(files=14, total=12), 2.0, "safeload: 14 of 12 files, 7.0 a second, 0 not accepted, 0:02"),
        (Counts(files=2, total=2), 0.0, "safeload: 2 of 2 files, 0 not accepted, 0:00"),
    ],
)
def test_the_line(counts: Counts, seconds: float, line: str) -> None:
    assert line_of(counts, seconds, 200) == line
    assert len(line_of(counts, seconds, 20)) <= 19


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (3_599, "59:59"), (3_723, "1:02:03"), (360_000, "100:00:00")])
def test_the_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_it_comes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(progress, "REDRAW_SECONDS", 0.01)
    stream, report = io.StringIO(), safeload.scan(PLAIN)
    shown = Progress(stream, iter(range(5)))
    for _ in range(3):
        with shown.aside(report):
            stream.write("report\n")
    for _ in range(6_000):  # until it is drawn
        if "of 5 files" in stream.getvalue():
            break
        time.sleep(0.01)
    shown.end()
    shown.end()
    text = stream.getvalue()
    assert "3 of 5 files" in text
    assert text.endswith(CLEAR)
    for before in text.split("report\n")[:-1]:
        assert before.rpartition(CLEAR)[2] == "", "nothing stands on the line of a report"


def test_nothing_is_shown_of_a_short_scan() -> None:
    stream = io.StringIO()
    shown = Progress(stream, iter(()))
    with shown.aside(safeload.scan(PLAIN)):
        pass
    shown.end()
    assert stream.getvalue() == ""


def test_a_terminal_that_goes_away_ends_it_and_not_the_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST_SECONDS", 0.0)
    stream = io.StringIO()
    stream.close()
    shown = Progress(stream, None)
    for thread in shown._threads:
        thread.join()
    with shown.aside(safeload.scan(PLAIN)):
        pass
    shown.end()


def test_without_a_terminal_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(PLAIN)
    program = "import sys; from safeload.cli import main\ntry: main(['scan', sys.argv[1]])\nfinally: print('safeload.cli.progress' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "f")], capture_output=True, text=True)
    assert done.stdout.endswith("False\n")
    assert done.stderr == ""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo terminals")
@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_on_a_terminal(tmp_path: Path, term: str) -> None:
    import pty

    for number in range(20):
        (tmp_path / f"{number}.pkl").write_bytes(EVIL if number % 4 == 0 else PLAIN)
    main, side = pty.openpty()
    program = (
        "import sys, time; from safeload.cli import main, progress, scanning\n"
        "progress.FIRST_SECONDS = progress.REDRAW_SECONDS = 0.01\n"
        "real = scanning.exit_of\n"
        "scanning.exit_of = lambda report: (time.sleep(0.03), real(report))[1]\n"
        "main(['scan', '-f', 'csv', sys.argv[1]])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, stderr=side, env={**os.environ, "TERM": term}, cwd=tmp_path
    )
    os.close(side)
    seen = b""
    try:
        while data := os.read(main, 4_096):
            seen += data
    except OSError:  # Linux says so where the other end is closed
        pass
    out, _ = process.communicate()
    os.close(main)
    assert process.returncode == 1
    assert out.count(b"\n") == 21
    assert out == run("scan", "-f", "csv", str(tmp_path)).out.encode()
    if term == "dumb":
        assert seen == b""
    else:
        assert b"of 20 files" in seen
        assert b"not accepted" in seen
        assert seen.endswith(b"\x1b[K")
