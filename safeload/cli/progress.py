"""The rows of a long scan become one line on a terminal, behind its last report: how many files, how fast, how much longer. Never anywhere else.

    safeload: 1,204 of 20,480 files, 612 a second, 3 not accepted, 0:32 left

Nothing is shown in the first second, and the line is gone before anything else is written. How many files there are is counted beside the scan; until that is
known, and where names come as they are found, there is no time left to tell. Whoever has no terminal does not import this.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

import msgspec

from safeload.findings import Report

FIRST_SECONDS = 1.0
REDRAW_SECONDS = 0.25
LAST_SECONDS = 1.0  # to wait for whoever counts files in a folder that is slow to list
DEFAULT_WIDTH = 80  # columns
LEAST_RATE_FILES = 2  # done before a rate means anything
CLEAR = "\r\x1b[K"  # ECMA-48: erase to the end of the line


class Counts(msgspec.Struct, kw_only=True):
    """What is known so far. `total` is None until it is."""

    files: int = 0
    refused: int = 0
    total: int | None = None


def line_of(counts: Counts, seconds: float, width: int) -> str:
    """The line, no longer than fits."""
    of = f" of {counts.total:,}" if counts.total is not None else ""
    parts = [f"{counts.files:,}{of} file{'s' * ((counts.total or counts.files) != 1)}"]
    if counts.files >= LEAST_RATE_FILES and seconds > 0:
        rate = counts.files / seconds
        parts.append(f"{rate:,.0f} a second" if rate >= 10 else f"{rate:.1f} a second")
    parts.append(f"{counts.refused:,} not accepted")
    if counts.total is not None and LEAST_RATE_FILES <= counts.files <= counts.total and seconds > 0:
        parts.append(f"{clock(seconds * (counts.total - counts.files) / counts.files)} left")
    else:
        parts.append(clock(seconds))
    return f"safeload: {', '.join(parts)}"[: max(width - 1, 0)]


def clock(seconds: float) -> str:
    """`0:32`, `1:02:03`."""
    whole = int(seconds + 0.5)
    minutes = f"{whole // 60 % 60}:{whole % 60:02d}" if whole < 3600 else f"{whole // 60 % 60:02d}:{whole % 60:02d}"
    return minutes if whole < 3600 else f"{whole // 3600}:{minutes}"


class Progress:
    """One scan. Draws from a thread of its own, so that the clock goes on over a long file."""

    def __init__(self, stream: IO[str], files: Iterable[object] | None) -> None:
        import threading
        import time

        self._stream, self._files = stream, files
        self._now = time.monotonic
        self._begun = self._now()
        self._counts = Counts()
        self._drawn = False
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._draw_on, daemon=True)]
        if files is not None:
            self._threads.append(threading.Thread(target=self._count, daemon=True))
        for thread in self._threads:
            thread.start()

    @contextmanager
    def aside(self, report: Report) -> Iterator[None]:
        """One more file, and out of the way while it is written."""
        with self._lock:
            self._counts.files += 1
            self._counts.refused += report.verdict != "accepted"
            self._clear()
            yield

    def end(self) -> None:
        """Leave no trace."""
        self._over.set()
        for thread in self._threads:
            thread.join(LAST_SECONDS)
        with self._lock:
            self._clear()

    def _draw_on(self) -> None:
        wait = FIRST_SECONDS
        while not self._over.wait(wait):
            wait = REDRAW_SECONDS
            with self._lock:
                self._write(CLEAR + line_of(self._counts, self._now() - self._begun, _width(self._stream)))
                self._drawn = True

    def _clear(self) -> None:
        if self._drawn:
            self._write(CLEAR)
            self._drawn = False

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # the terminal has gone
            self._over.set()

    def _count(self) -> None:
        """Walk as the scan does, one step behind it, and open nothing."""
        if self._over.wait(FIRST_SECONDS):
            return
        total = 0
        with suppress(OSError, ValueError):  # the scan itself says what is wrong with a path
            for _ in self._files or ():
                total += 1
                if self._over.is_set():
                    return
            self._counts.total = total


def _width(stream: IO[str]) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or DEFAULT_WIDTH  # 0: a terminal that does not know
    except (OSError, ValueError):
        return DEFAULT_WIDTH
