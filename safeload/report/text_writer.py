"""Rows become the text of `safeload scan`: one file in full, or several behind each other with a head and a summary.

How one file looks is `report.text`'s business. A single file that could not be opened gives no text: whoever runs this says so on its own.
"""

from __future__ import annotations

from typing import IO

from safeload.escape import escape
from safeload.report.formats import shown_in_full
from safeload.report.layout import plural, wrap
from safeload.report.text import Style, head_lines, render
from safeload.report.writer import ALL, End, Row, Run, Screen

MAX_MESSAGE = 1_000  # characters of one difference


class TextWriter:
    """For people."""

    def __init__(self, stream: IO[str], run: Run, screen: Screen) -> None:
        self._stream, self._run, self._width = stream, run, screen.width
        full = shown_in_full(run)
        self._style = Style(
            width=screen.width, full=None if full >= ALL else full, named=run.several, advise=not run.several or run.show_all, paint=screen.paint
        )
        self._headed = False
        self._after_block = True  # one-line verdicts stand close together, everything longer stands apart

    def begin(self) -> None:
        """Nothing: the head comes with the first file, since there may be none."""

    def row(self, row: Row) -> None:
        """One file."""
        report, several = row.report, self._run.several
        if row.unopened and not several:
            return
        block = report.verdict != "accepted" or bool(report.findings)
        if not self._headed:
            self._headed = True
            self._stream.write("\n".join(head_lines(report, self._run, self._width)) + "\n")
            self._stream.write("\n" if not several and block else "")
        self._stream.write(("\n" if several and (block or self._after_block) else "") + render(report, row.snippets(), self._style))
        self._after_block = block

    def end(self, end: End) -> None:
        """The summary of several, and what differs from a lock file."""
        if self._run.several and end.files:
            self._stream.write("\n" + "\n".join(_summary(end, self._width)) + "\n")
        if self._run.comparing is not None:
            self._stream.write("\n" + "\n".join(self._differences(self._run.comparing, end)) + "\n")

    def _differences(self, lock: str, end: End) -> list[str]:
        if not end.differences:
            return [f"nothing differs from {escape(lock)}"]
        lines = [f"{plural(len(end.differences), 'difference')} from {escape(lock)}:"]
        for each in end.differences:
            text = f"{each.path}: {each.message}" if each.path is not None else each.message
            lines += wrap(escape(text, MAX_MESSAGE), self._width, first="  ", rest="    ")
        return lines


def _summary(end: End, width: int) -> list[str]:
    parts = [f"{count:,} {verdict}" for verdict, count in end.counts.items()]
    excluded = f"; {plural(end.excluded, 'file')} left out by --exclude" if end.excluded else ""
    return wrap(f"{plural(end.files, 'file')}: {', '.join(parts)}{excluded}", width, rest="    ")
