"""`-f FORMAT[=FILE]` and `-o FILE` become open reports, written side by side from one scan.

Refuses, with exit 2 and before anything is judged: a format that does not exist, two reports for one place. A report that cannot be written to its end is a
complaint and no verdict, whatever the files are; the other reports go on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, Any, TypeVar

import msgspec

from safeload.cli.common import EXIT_NO_VERDICT, Ended, complain, painter, terminal_width
from safeload.report import formats
from safeload.report.layout import DEFAULT_WIDTH, MAX_WIDTH, MIN_WIDTH
from safeload.report.writer import End, Needs, Row, Run, Screen, Writer

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Output(msgspec.Struct, frozen=True):
    """One report: its format, and its file; None is standard output."""

    format: str
    path: str | None = None


def format_option(command: _Command) -> _Command:
    """`--format / -f`, as often as there are reports."""
    import click

    text = f"{', '.join(formats.FORMATS)}. With =FILE the report goes there; may be given more than once, for several reports of one scan."
    return click.option("--format", "-f", "formats", multiple=True, metavar="FORMAT[=FILE]", show_default="text", help=text)(command)


def outputs_of(given: tuple[str, ...], output: str | None) -> tuple[Output, ...]:
    """The reports that are asked for; `output` is the place of the one without a file of its own."""
    found: list[Output] = []
    for each in given or ("text",):
        name, _, path = each.partition("=")
        if name not in formats.FORMATS:
            raise _wrong(f"{name!r} is none of {', '.join(formats.FORMATS)}", param_hint="'--format' / '-f'")
        if not path and "=" in each:
            raise _wrong(f"{each!r} names no file", param_hint="'--format' / '-f'")
        place = path or output
        found.append(Output(name, None if place in (None, "-") else place))
    if output is not None and all("=" in each for each in given) and given:
        raise _wrong("every report has a file of its own", param_hint="'--output' / '-o'")
    places = [each.path and os.path.abspath(each.path) for each in found]
    twice = next((each for each, place in zip(found, places, strict=True) if places.count(place) > 1), None)
    if twice is not None:
        where = "standard output" if twice.path is None else twice.path
        raise _wrong(f"two reports cannot both go to {where}; say FORMAT=FILE", param_hint="'--format' / '-f'")
    return tuple(found)


def _wrong(message: str, *, param_hint: str) -> Exception:
    import click  # only what the command line says can be wrong with it

    return click.BadParameter(message, param_hint=param_hint)


def needs_of(outputs: tuple[Output, ...], run: Run, opinion: bool | None = None) -> Needs:
    """What the rows have to hold for all of them; `opinion` is what the caller says of a second one, which only some formats show."""
    needs = formats.needs_of([each.format for each in outputs], run)
    return needs if opinion is None else msgspec.structs.replace(needs, opinion=opinion and needs.contents)


class Reports:
    """The open reports of one run. One that fails is closed, complained about, and makes `failed` true."""

    def __init__(self) -> None:
        self._open: list[tuple[Output, Writer]] = []
        self._files: list[tuple[Output, IO[str]]] = []
        self.failed = False

    def add(self, output: Output, stream: IO[str], writer: Writer) -> None:
        """One more. Its stream is closed at the end, unless that is standard output."""
        self._open.append((output, writer))
        if output.path is not None:
            self._files.append((output, stream))
        self._each(lambda each: each.begin(), [(output, writer)])

    def row(self, row: Row) -> None:
        """One file, for each of them."""
        self._each(lambda writer: writer.row(row), self._open)

    def end(self, end: End) -> None:
        """The end of each of them; a disk that is full may say so only now."""
        self._each(lambda writer: writer.end(end), self._open)
        for output, stream in list(self._files):
            try:
                stream.close()
            except OSError as error:
                self.fail(output, error)

    def fail(self, output: Output, error: OSError) -> None:
        """A report that cannot be written."""
        complain(f"--output {output.path}: {error.strerror or error}")
        for _, stream in (each for each in self._files if each[0] is output):
            with suppress(OSError):
                stream.close()
        self._files = [each for each in self._files if each[0] is not output]
        self._open = [each for each in self._open if each[0] is not output]
        self.failed = True

    def _each(self, act: Callable[[Writer], None], writers: list[tuple[Output, Writer]]) -> None:
        for output, writer in list(writers):
            try:
                act(writer)
            except OSError as error:
                if output.path is None:
                    raise  # the reader of the pipe has gone
                self.fail(output, error)


@contextmanager
def reports(outputs: tuple[Output, ...], run: Run) -> Iterator[Reports]:
    """All of them, open; their files are closed at the end."""
    made = Reports()
    with ExitStack() as stack:
        for output in outputs:
            try:
                stream = sys.stdout if output.path is None else stack.enter_context(_opened(output.path))
            except OSError as error:
                made.fail(output, error)
                continue
            made.add(output, stream, formats.writer(output.format, stream, run, _screen(stream)))
        if made.failed:
            raise Ended(EXIT_NO_VERDICT)
        yield made


def _opened(path: str) -> IO[str]:
    return open(path, "w", encoding="utf-8", errors="backslashreplace", newline="\n")


def _screen(stream: IO[str]) -> Screen:
    width = min(max(terminal_width(stream) or DEFAULT_WIDTH, MIN_WIDTH), MAX_WIDTH)
    paint = painter(stream)
    return Screen(width=width) if paint is None else Screen(width=width, paint=paint)
