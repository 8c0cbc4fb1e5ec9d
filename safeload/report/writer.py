"""What every report format works on: the run, a row for each file, and the end. A writer is a pure function of these records onto one stream.

    begin:  what all files have in common          `Run`
    row:    one file, as soon as it was judged     `Row`
    end:    what only the whole run knows          `End`

Rows are written as they come, so that a report of a million files costs the memory of one. What a format can only say once it has seen everything, and must
say at the top, waits in a spool (`spool`), which goes to disk when it is long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Protocol

import msgspec

from safeload.findings import Loader, Report, Verdict
from safeload.policy.model import Policy
from safeload.report.layout import DEFAULT_WIDTH

if TYPE_CHECKING:  # a row that has none of them does without
    from safeload.machine.listing import Line
    from safeload.report.extents import ByteMap
    from safeload.report.snippets import Place

VERDICTS: tuple[Verdict, ...] = ("accepted", "rejected", "inconclusive")
SPOOL_BYTES = 8 << 20  # of a spool, before it goes to disk
COPY_CHARACTERS = 1 << 20
ALL = 1 << 62  # findings: every one

Painter = Callable[[str, str], str]
"""(what the text is: error, note, accepted, rejected, inconclusive, place, arrow; the text) -> the text, coloured."""


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What a format shows beyond the report of a file; whoever judges prepares no more than that."""

    digest: bool = False  # sha256 of the file, which reads all of it
    listings: int = 0  # findings of each file whose lines of the listing are shown; ALL
    bases: bool = False  # where the members with findings start in the file
    contents: bool = False  # tensors, and who owns which bytes
    opinion: bool = False  # what fickling says
    of_accepted: bool = False  # contents and opinion of files that are accepted, too

    def __or__(self, other: Needs) -> Needs:
        return Needs(
            digest=self.digest or other.digest,
            listings=max(self.listings, other.listings),
            bases=self.bases or other.bases,
            contents=self.contents or other.contents,
            opinion=self.opinion or other.opinion,
            of_accepted=self.of_accepted or other.of_accepted,
        )


class Screen(msgspec.Struct, frozen=True, kw_only=True):
    """Where text goes: columns, and colours for a terminal."""

    width: int = DEFAULT_WIDTH
    paint: Painter = lambda _, text: text


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What all files of a report have in common."""

    policy: Policy
    chosen_by: str | None = None  # what chose the policy, where that was not the caller
    several: bool = False  # more than one file, or a folder
    show_all: bool = False
    loader: Loader = "safeload"  # whom the files are judged for
    comparing: str | None = None  # the lock file that the run is compared with


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """The lines of a stream that lead to one place."""

    member: str | None
    offset: int
    lines: tuple[Line, ...]


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor of an inventory."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    location: str  # the device tag that it was saved with
    storage: str
    views: int  # tensors that share the storage
    offset: int | None  # of its first element in the file


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a file: who owns which bytes, and the tensors. `why_none` says why no tensor is listed."""

    bytes: ByteMap
    tensors: tuple[Tensor, ...] = ()  # the first ones
    tensor_count: int = 0
    dtypes: tuple[tuple[str, int, int], ...] = ()  # (dtype, tensors, bytes), the largest first
    storages: int = 0
    storage_bytes: int = 0
    why_none: str = ""


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """What another tool says of one stream. `error` says why there is nothing, or nothing more."""

    tool: str
    member: str | None
    offset: int
    severity: str | None = None  # in its own words
    analysis: str | None = None
    python: str | None = None
    error: str | None = None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One file: its report, and what the formats of the run need beside it."""

    report: Report
    unopened: bool = False  # no byte of it was read
    listings: tuple[Listing, ...] = ()
    bases: tuple[tuple[str | None, int], ...] = ()  # (member, where its byte 0 stands in the file)
    contents: Contents | None = None
    opinions: tuple[Opinion, ...] = ()

    def snippets(self) -> dict[Place, tuple[Line, ...]]:
        """(member, offset) to the lines that lead there."""
        return {(listing.member, listing.offset): listing.lines for listing in self.listings}


class Difference(msgspec.Struct, frozen=True):
    """One thing that is not as the lock file has it; `path` is None where it concerns the whole."""

    path: str | None
    what: str
    message: str


class End(msgspec.Struct, frozen=True, kw_only=True):
    """What only the whole run knows. The counts of every format are these."""

    counts: dict[Verdict, int]  # files of each verdict
    exit_code: int
    nothing: tuple[str, ...] = ()  # folders that held no file
    excluded: int = 0  # files that --exclude took away
    differences: tuple[Difference, ...] = ()

    @property
    def files(self) -> int:
        """All of them."""
        return sum(self.counts.values())


class Writer(Protocol):
    """One report that is being written."""

    def begin(self) -> None:
        """Before the first row."""

    def row(self, row: Row) -> None:
        """One file."""

    def end(self, end: End) -> None:
        """Behind the last row. Writes nothing of its own beyond this; the stream is closed by whoever opened it."""


def import_types() -> None:
    """For whoever decodes rows: the types that this module names and imports for type checkers alone."""
    global ByteMap, Line
    from safeload.machine.listing import Line
    from safeload.report.extents import ByteMap


# ---- spools -----------------------------------------------------------------------------------------------------------------------------


def spool() -> IO[str]:
    """Text that has to wait: in memory, on disk once it is long. Gone when it is closed."""
    import tempfile  # text and JSON do without

    return tempfile.SpooledTemporaryFile(SPOOL_BYTES, mode="w+", encoding="utf-8", errors="backslashreplace", newline="")


def pour(waiting: IO[str], stream: IO[str]) -> None:
    """All of a spool onto the stream, and the spool closed."""
    for part in _parts(waiting):
        stream.write(part)
    waiting.close()


def _parts(waiting: IO[str]) -> Iterator[str]:
    waiting.seek(0)
    while part := waiting.read(COPY_CHARACTERS):
        yield part
