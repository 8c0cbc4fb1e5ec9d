"""Ranges that were fetched become a `ByteSource`: what is here is read from memory, what is not is fetched first, and stays.

Nothing is fetched twice, so no two readings can disagree (law 2). A read that follows the last one fetches ahead, twice as much each time. Where a file is read
in so many places that requests cost more than bytes, the rest of it is fetched in one piece. Refuses what the transport refuses.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Literal, Protocol

from safeload.errors import CheckpointError
from safeload.findings import Fetched
from safeload.source import ByteSource

LEAST_BYTES = 4 << 10  # of one request that nobody planned
MOST_AHEAD_BYTES = 16 << 20
PATIENCE_REQUESTS = 24  # then the rest comes in one piece,
REST_BYTES = 256 << 20  # if it is no more than this
JOIN_BYTES = 4 << 10  # ranges with less than this between them are one
MAX_UNREAD = 1_000  # extents that a report lists

Range = tuple[int, int]
"""[start, end)"""


class Transport(Protocol):
    """What fetches, and what it has cost so far."""

    requests: int
    bytes_read: int

    @property
    def version(self) -> str | None:
        """ETag or commit."""

    @property
    def pinned(self) -> Literal["etag", "commit", "whole"]:
        """What makes all bytes be of one version."""

    def part(self, start: int, length: int) -> bytes:
        """Exactly these bytes. Raises `CheckpointError`."""


class Store:
    """The bytes of one file that are here: disjoint extents in file order."""

    def __init__(self, transport: Transport, total: int) -> None:
        self.transport = transport
        self.total = total
        self._starts: list[int] = []
        self._parts: list[bytes] = []
        self._last_end = -1
        self._last_length = LEAST_BYTES

    def put(self, start: int, data: bytes) -> None:
        """An extent that none of the others touches the inside of."""
        if data:
            at = bisect_right(self._starts, start)
            self._starts.insert(at, start)
            self._parts.insert(at, data)

    def gaps(self, start: int, end: int) -> list[Range]:
        """What of [start, end) is not here."""
        found: list[Range] = []
        position = start
        for at in range(max(bisect_right(self._starts, start) - 1, 0), len(self._starts)):
            here, stop = self._starts[at], self._starts[at] + len(self._parts[at])
            if here >= end:
                break
            if here > position:
                found.append((position, here))
            position = max(position, stop)
        if position < end:
            found.append((position, end))
        return found

    def fetch(self, ranges: list[Range]) -> None:
        """All of these, each piece between two that are here as one request; close ones together."""
        wanted: list[Range] = []
        for start, end in sorted(gap for each in ranges if each[0] < each[1] for gap in self.gaps(*each)):
            if wanted and start - wanted[-1][1] <= JOIN_BYTES and len(self.gaps(wanted[-1][0], end)) == 1:
                wanted[-1] = (wanted[-1][0], max(end, wanted[-1][1]))
            else:
                wanted.append((start, end))
        for start, end in wanted:
            self.put(start, self.transport.part(start, end - start))

    def read(self, start: int, length: int) -> bytes:
        """These bytes; what is not here is fetched first."""
        end = start + length
        gaps = self.gaps(start, end)
        if gaps:
            self.fetch(self._more(gaps))
        parts: list[bytes] = []
        for at in range(max(bisect_right(self._starts, start) - 1, 0), len(self._starts)):
            here = self._starts[at]
            if here >= end:
                break
            part = self._parts[at][max(start - here, 0) : end - here]
            if part:
                parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _more(self, gaps: list[Range]) -> list[Range]:
        """The gaps, and what will be wanted next."""
        if self.transport.requests >= PATIENCE_REQUESTS:
            rest = self.gaps(0, self.total)
            if sum(end - start for start, end in rest) <= REST_BYTES:
                return rest
        start, end = gaps[-1]
        ahead = min(2 * self._last_length, MOST_AHEAD_BYTES) if gaps[0][0] == self._last_end else LEAST_BYTES
        end = min(max(end, start + ahead), self.total)
        self._last_end, self._last_length = end, end - start
        return [*gaps[:-1], (start, end)]

    def summary(self) -> Fetched:
        """What is here, for the report."""
        unread = self.gaps(0, self.total)
        return Fetched(
            version=self.transport.version,
            pinned=self.transport.pinned,
            bytes_read=self.transport.bytes_read,
            requests=self.transport.requests,
            bytes_unread=sum(end - start for start, end in unread),
            unread=tuple(unread[:MAX_UNREAD]),
        )


class RemoteSource(ByteSource):
    """A file, or a part of one, over a `Store`."""

    __slots__ = ("_store",)

    def __init__(self, store: Store, *, name: str, size: int, base: int = 0) -> None:
        super().__init__(name=name, size=size, base=base)
        self._store = store
        self.fetched = store.summary if not base and size == store.total else None

    @property
    def is_sparse(self) -> bool:
        """Always."""
        return True

    @property
    def tail_bytes(self) -> int:
        """As many as the first request asked for."""
        from safeload.remote.ahead import TAIL_BYTES

        return TAIL_BYTES

    def has(self, offset: int, length: int) -> bool:
        """Are these bytes here? False for what the file does not hold."""
        return 0 <= offset <= offset + length <= self.size and not self._store.gaps(self.base + offset, self.base + offset + length)

    def read(self, offset: int, length: int) -> bytes:
        """As of any source; what is not here is fetched."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise self._short(offset, length)
        return self._store.read(self.base + offset, length)

    def read_into(self, offset: int, target: memoryview) -> None:
        """The same, into place."""
        target[:] = self.read(offset, len(target))

    def view(self, offset: int, length: int) -> memoryview:
        """A copy: there is nothing to map."""
        return memoryview(bytearray(self.read(offset, length)))

    def part(self, start: int, length: int | None = None) -> ByteSource:
        """As of any source."""
        length = self.size - start if length is None else length
        if start < 0 or length < 0 or start + length > self.size:
            raise self._short(start, length)
        part = RemoteSource(self._store, name=self.name, size=length, base=self.base + start)
        part._whole = self._whole or self
        part.fetched = None
        return part

    def sha256(self) -> str:
        """Only of a file that is here as a whole: nothing is fetched for a digest. Raises `CheckpointError` SL005."""
        if self._store.gaps(self.base, self.base + self.size):
            raise CheckpointError("the digest is asked for, and not all of the file was fetched: download it", rule="SL005")
        return super().sha256()
