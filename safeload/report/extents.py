"""A `Reading` becomes a map of its bytes: who owns which of them, from the first to the last, with what nobody owns and what two own at once.

Made of what was read and of nothing else (law 2): the members of the container, where each object of a sequence ends, and, of an archive that was refused, what
its directory claims. Where a file is compressed, the map is of what was in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from safeload.containers.base import NAMED_ALONE, Claims, Container, Member
from safeload.judge import Reading

Owner = Literal["pickle", "storage", "record", "directory", "file", "code", "unknown", "structure", "gap", "overlap", "unread"]
DESCRIPTOR_BYTES = 24  # the longest data descriptor of a zip: so much may stand between two members that fit
EXTRA_BYTES = 100  # what a writer may put into a local header that was not read: a zip64 block, torch's padding of 64
MAX_EXTENTS = 100_000  # of one map
SEQUENCES = frozenset({"pickle", "torch.legacy", "joblib"})
Owned = tuple[int, int, Owner, str]


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes `start` to `end` and their owner. `name` is the member's, or says what they are."""

    start: int
    end: int
    owner: Owner
    name: str = ""


class ByteMap(msgspec.Struct, frozen=True, kw_only=True):
    """`total` bytes in extents that follow each other; `overlap`s lie on top of others. `note` says what is not shown."""

    total: int
    extents: tuple[Extent, ...]
    note: str = ""


def map_of(reading: Reading) -> ByteMap:
    """The map of one file."""
    container, report = reading.container, reading.report
    if container is None or container.format in NAMED_ALONE:
        partial = reading.error.partial if reading.error is not None else None
        if isinstance(partial, Claims):
            claimed = tuple(_claimed(partial, report.bytes_total))[:MAX_EXTENTS]
            return ByteMap(total=report.bytes_total, extents=claimed, note="as the directory of the archive claims")
        return ByteMap(total=report.bytes_total, extents=(Extent(start=0, end=report.bytes_total, owner="unread", name="not read"),))
    total = container.source.size
    note = f"of what is in the compressed file: {total:,} bytes" if container.wrappers else ""
    if container.unpacked_from is not None:
        note = f"of what is in the archive, unpacked: {total:,} bytes"
    if container.format in ("torch.dcp", "shards"):
        note = "of the file that names the others; each of those was read as a file of its own"
    extents = _sequence(reading, container) if "" in container.members or container.format in SEQUENCES else _members(reading, container)
    return ByteMap(total=total, extents=tuple(extents)[:MAX_EXTENTS], note=note)


def _owned(name: str, member: Member) -> Owned:
    return member.offset, member.offset + member.stored_size, member.role, name


def _members(reading: Reading, container: Container) -> Iterator[Extent]:
    """Members in file order; what lies between them is the archive's own structure where all of it was accounted for."""
    whole = container.accounted >= container.source.size
    yield from _filled(
        [_owned(name, member) for name, member in container.members.items()],
        0,
        container.source.size,
        "structure" if whole else "unread",
        "headers, directory and padding" if whole else "headers and padding, some of them not fetched" if container.source.is_sparse else "not accounted for",
    )


def _sequence(reading: Reading, container: Container) -> Iterator[Extent]:
    """Objects behind each other: pickles, with the storages or arrays that stand in or behind the first one."""
    size = container.source.size
    bounds = [0, *reading.ends] if reading.ends else [0]
    members = [_owned(name, member) for name, member in container.members.items() if name]
    last = 0
    for number, (start, end) in enumerate(zip(bounds, bounds[1:], strict=False), 1):
        name = "the pickle" if len(bounds) == 2 else f"object {number}"
        inside = [member for member in members if start <= member[0] and member[1] <= end] if number == 1 else []
        yield from _filled(inside, start, end, "pickle", name)
        last = end
    if last >= size:
        return
    if container.format not in SEQUENCES:
        yield Extent(start=last, end=size, owner="pickle", name=container.format)
        return
    broken = reading.error.offset if reading.error is not None and reading.error.offset is not None and not reading.ends else None
    if broken is not None and 0 < broken < size:
        yield Extent(start=0, end=broken, owner="pickle", name="the pickle, up to where it breaks")
        last = broken
    yield Extent(start=last, end=size, owner="unread", name="not read")


def _filled(members: list[Owned], start: int, end: int, between: Owner, what: str) -> Iterator[Extent]:
    """The members in order, and everything between them. One inside another (the storages of a tar) has its bytes, empty ones have none."""
    at = start
    around: list[Owned] = [(start, end, between, what)]
    for member in sorted((each for each in members if each[1] > each[0]), key=lambda each: (each[0], -each[1])):
        while len(around) > 1 and around[-1][1] <= member[0]:
            _, stop, owner, name = around.pop()
            yield from _extent(at, stop, owner, name)
            at = max(at, stop)
        yield from _extent(at, member[0], *around[-1][2:])
        at = max(at, member[0])
        around.append(member)
    for _, stop, owner, name in reversed(around):
        yield from _extent(at, stop, owner, name)
        at = max(at, stop)


def _extent(start: int, end: int, owner: Owner, name: str) -> Iterator[Extent]:
    if start < end:
        yield Extent(start=start, end=end, owner=owner, name=name)


def _claimed(claims: Claims, total: int) -> Iterator[Extent]:
    """What the directory of a refused archive says: members where they should be, bytes that two of them claim, bytes that none does."""
    at, exact, before = 0, True, ""
    for claim in sorted(claims.members, key=lambda claim: (claim.start, claim.end)):
        first, last = min(claim.start, total), min(claim.end, total)
        if first > at:
            yield _nobody(at, first, before, exact)
        elif first < at:
            yield from _extent(first, min(last, at), "overlap", f"{before} and {claim.name}")
        yield from _extent(max(at, first), last, "unknown", claim.name)
        if last > at:
            at, exact, before = last, claim.exact, claim.name
    directory = min(claims.directory, total)
    if at < directory:
        yield _nobody(at, directory, before, exact)
    yield from _extent(directory, at, "overlap", f"{before} and the directory")
    yield from _extent(max(at, directory), total, "directory", "the directory of the archive")


def _nobody(start: int, end: int, before: str, exact: bool) -> Extent:
    """Bytes that no member claims: a descriptor or an extra field where they are few, or where the header in front of them was not read."""
    if exact and (end - start > DESCRIPTOR_BYTES or not before):
        return Extent(start=start, end=end, owner="gap", name="belongs to nobody")
    if end - start > DESCRIPTOR_BYTES + EXTRA_BYTES:
        return Extent(start=start, end=end, owner="unread", name="no member claims it; the header in front was not read")
    return Extent(start=start, end=end, owner="structure", name="between members")
