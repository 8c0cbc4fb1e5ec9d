"""`safeload dis`: a file's pickle becomes a listing: offset, opcode, argument, and in words what the opcode leaves on the stack.

Shows and judges nothing: rejected files are listed like any other, damaged ones up to the place where they break, with the reason. Exit 0 for a whole
listing, 2 where there is none or it breaks off.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator

import click
import msgspec

from safeload.cli.common import EXIT_ACCEPTED, EXIT_NO_VERDICT, check_encoding, complain, encoding_option, refuse, stdin_or_path, terminal_width
from safeload.containers.base import Container
from safeload.errors import CheckpointError
from safeload.escape import escape
from safeload.judge import Reading
from safeload.limits import DEFAULT_LIMITS
from safeload.machine.listing import Line, listing
from safeload.machine.nodes import ObjectGraph
from safeload.report.layout import MIN_WIDTH, cut

AROUND_BEFORE = 12  # lines shown in front of --around
AROUND_AFTER = 6  # and behind it
NAME_COLUMNS = 18  # the longest opcode name, SHORT_BINUNICODE, and some air
ARGUMENT_COLUMNS = 24  # what most arguments fit into


class Stream(msgspec.Struct, frozen=True):
    """One pickle stream to list. `graph` is None where nothing of it could be interpreted, `broken` says why it could not be read to its end."""

    member: str
    data: bytes
    start: int
    graph: ObjectGraph | None
    broken: CheckpointError | None


def _offset(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """`1234` or `0x4d2`; click's usage error for what is no number from 0."""
    if value is None:
        return None
    try:
        number = int(value, 0)
    except ValueError:
        number = -1
    if number < 0:
        raise click.BadParameter(f"{value!a:.40} is no byte offset (1234, 0x4d2)")
    return number


@click.command()
@click.argument("file", metavar="FILE|-")
@click.option("--member", "-m", metavar="NAME", help="Of an archive; the default is every pickle in it.")
@click.option("--around", callback=_offset, metavar="OFFSET", help="Only the lines about this byte of the stream.")
@encoding_option
def dis(file: str, member: str | None, around: int | None, encoding: str) -> int:
    """List the opcodes of a file's pickle, in words. Nothing is run or judged.

    Exit codes: 0 the whole listing, 2 none or a stream that breaks off.
    """
    check_encoding(encoding)
    from safeload.api import read
    from safeload.source import open_source

    try:
        opened = stdin_or_path(file)
        if file == "-":
            with open_source(opened, DEFAULT_LIMITS) as spooled:
                opened = spooled.read(0, spooled.size)
        reading = read(opened, policy="inspect", encoding=encoding)
        streams = list(_streams(reading, opened, member))
    except (CheckpointError, OSError) as error:
        return refuse(error, file)
    if not streams:
        return _nothing(reading, file, member)
    if reading.container is None and reading.error is not None:
        refuse(reading.error, file)
    width = terminal_width(sys.stdout)
    whole = [_show(stream, around, width, titled=len(streams) > 1 or bool(stream.member)) for stream in streams]
    return EXIT_ACCEPTED if all(whole) and reading.container is not None else EXIT_NO_VERDICT


# ---- which streams ----------------------------------------------------------------------------------------------------------------------


def _streams(reading: Reading, opened: object, member: str | None) -> Iterator[Stream]:
    """The streams of the members that were asked for: those that were interpreted, then whatever lies behind the last of them."""
    if reading.container is None:
        yield from _refused(reading, member)
        return
    for name in [member] if member is not None else _names(reading, reading.container):
        graphs = [(data, graph) for known, data, graph in reading.graphs if known == name]
        error = _error_of(reading, name)
        data = graphs[0][0] if graphs else _content(reading, opened, name)
        position = 0
        for _, graph in graphs:
            partial = error is not None and error.partial is graph
            yield Stream(name, data, graph.start, graph, error if partial else None)
            position = len(data) if partial else graph.end
        if position < len(data):
            yield Stream(name, data, position, None, error)


def _names(reading: Reading, container: Container) -> list[str]:
    """The members that are pickles of this file; where it has none, as an archive of other files, those that were interpreted in it."""
    return list(container.pickles) or list(dict.fromkeys(name for name, _, _ in reading.graphs))


def _refused(reading: Reading, member: str | None) -> Iterator[Stream]:
    """What could be read of an archive, or of a compressed stream, that was refused: up to the STOP of each pickle, or to where it breaks off."""
    for name, data, graph in reading.graphs:
        if member in (None, name):
            yield Stream(name, data[: graph.end or len(data)], graph.start, graph, None)


def _error_of(reading: Reading, name: str) -> CheckpointError | None:
    """Why the last stream of a member could not be read; the machine's own error where another was made of it."""
    error = reading.error
    if error is None or (error.member or "") != name or not error.rule.startswith(("SL2", "SL9")):
        return None
    return error.__cause__ if isinstance(error.__cause__, CheckpointError) else error


def _content(reading: Reading, opened: object, name: str) -> bytes:
    """The bytes of a member of which nothing was interpreted; none for a member that does not exist."""
    from safeload.containers.inflate import read_member
    from safeload.source import open_source

    container = reading.container
    found = container.members.get(name) if container is not None else None
    if container is None or found is None:
        return b""
    if container.wrappers or container.unpacked_from is not None:  # its places are in what was inflated, which is in memory
        return read_member(container.source, found, DEFAULT_LIMITS, budget=reading.budget)
    with open_source(opened, DEFAULT_LIMITS) as source:  # type: ignore[arg-type]
        return read_member(source, found, DEFAULT_LIMITS, budget=reading.budget)


def _nothing(reading: Reading, file: str, member: str | None) -> int:
    """No stream: the reason, or the members that there are."""
    if reading.error is not None:
        return refuse(reading.error, file)
    pickles = ", ".join(reading.container.pickles) if reading.container is not None else ""
    complain(f"{file}: there is no pickle{f' {member}' if member else ''} to list{f'; there is {pickles}' if pickles else ''}")
    return EXIT_NO_VERDICT


# ---- one stream -------------------------------------------------------------------------------------------------------------------------


def _show(stream: Stream, around: int | None, width: int | None, *, titled: bool) -> bool:
    """Print one listing. True if it reached STOP."""
    if titled:
        sys.stdout.write(f"{escape(stream.member) if stream.member else 'stream'} from {stream.start:#x}\n")
    broken = stream.broken
    lines = _until(listing(stream.data, stream.graph, start=stream.start), broken.offset if broken is not None else None)
    try:
        for line in _around(lines, around):
            sys.stdout.write(_line(line, width, marked=around is not None and line.offset == around) + "\n")
    except CheckpointError as error:
        broken = broken or error
    if broken is None:
        return True
    where = f"{broken.offset:#06x}" if broken.offset is not None else "the end"
    sys.stdout.write(f"stopped at {where}: {escape(broken.message)} [{broken.rule}]\n")
    return False


def _until(lines: Iterator[Line], stop_at: int | None) -> Iterator[Line]:
    """Up to and with the line at which the reading stopped."""
    for line in lines:
        if stop_at is not None and line.offset > stop_at:
            return
        yield line
        if line.offset == stop_at:
            return


def _around(lines: Iterator[Line], around: int | None) -> Iterator[Line]:
    """The lines about one offset; all of them for None. The line that holds the byte counts, also where the byte is inside its argument."""
    if around is None:
        yield from lines
        return
    before: deque[Line] = deque(maxlen=AROUND_BEFORE + 1)
    for line in lines:
        if line.offset > around:
            yield from before
            yield line
            for _, after in zip(range(AROUND_AFTER - 1), lines, strict=False):
                yield after
            return
        before.append(line)
    yield from before


def _line(line: Line, width: int | None, *, marked: bool) -> str:
    """One line; cut for a terminal, whole for a pipe."""
    mark = ">" if marked else " "
    text = f"{mark}0x{line.offset:04x}  {line.name.ljust(NAME_COLUMNS)}{line.argument.ljust(ARGUMENT_COLUMNS) if line.meaning else line.argument}"
    if line.meaning:
        text += f"  {line.meaning}"
    return cut(text.rstrip(), max(width, MIN_WIDTH)) if width else text.rstrip()
