"""The last bytes of a zip become `EndOfArchive`: how many members, and where the central directory lies.

The end record must be the last 22 bytes of the source: no comment, nothing behind it (SL102), where torch's miniz and zipfile both search
backwards through 64 KiB. The zip64 end record and its locator, which torch always writes and zipfile writes when needed, must then stand
directly before it; they are required where a classic field is saturated, and where a classic field is not, the two must agree (SL104).
One disk only (SL103). The directory must end exactly where the end records begin (SL105). APPNOTE 4.3.14 to 4.3.16.
"""

from __future__ import annotations

from struct import Struct

import msgspec

from safeload.containers.zip_names import shown
from safeload.errors import ContainerError
from safeload.source import ByteSource

LOCAL_SIGNATURE = b"PK\3\4"
END_SIGNATURE = b"PK\5\6"
END64_SIGNATURE = b"PK\6\6"
LOCATOR_SIGNATURE = b"PK\6\7"

END = Struct("<4s4HIIH")  # signature, disk, disk of the directory, entries here, entries, directory size, directory offset, comment length
END64 = Struct("<4sQHHIIQQQQ")  # signature, size of the rest, made by, needed, the two disks, entries here, entries, size, offset
LOCATOR = Struct("<4sIQI")  # signature, disk of the zip64 end record, its offset, number of disks

UINT16_MAX = 0xFFFF
UINT32_MAX = 0xFFFFFFFF
SATURATED = (UINT16_MAX, UINT32_MAX, UINT32_MAX)  # entries, directory size, directory offset: "look into the zip64 record"
END64_REST_BYTES = END64.size - 12  # what the record says of itself: everything behind its size field; more would be an extensible data sector


class EndOfArchive(msgspec.Struct, frozen=True, kw_only=True):
    """What the end records say, checked against each other. `directory` is the central directory where the tail happened to hold it."""

    entries: int
    directory_offset: int
    directory_size: int
    records_size: int  # of the end records themselves: 22 bytes, or 98 with zip64
    directory: bytes | None


def read_end(source: ByteSource) -> EndOfArchive:
    """Read and check the end records of the archive that fills `source`. One read of `source.tail_bytes` at most.

    Raises SL004 for an archive cut short, SL101 where nothing at the end looks like one, SL102, SL103, SL104, SL105.
    """
    length = min(source.size, source.tail_bytes)
    start = source.size - length
    tail = source.read(start, length)
    at = length - END.size
    if at < 0 or not tail.startswith(END_SIGNATURE, at):
        raise _no_end(source, tail)
    _, disk, directory_disk, here, entries, size, offset, comment = END.unpack_from(tail, at)
    if comment:
        raise ContainerError(f"the end record announces a comment of {comment:,} bytes behind the end of the file", rule="SL102", offset=start + at)
    if disk or directory_disk or here != entries:
        raise _multi_disk(start + at)
    end = start + at
    if at >= LOCATOR.size and tail.startswith(LOCATOR_SIGNATURE, at - LOCATOR.size):
        end = end - LOCATOR.size - END64.size
        entries, size, offset = _read_end64(tail, at, start, (entries, size, offset))
    elif entries == UINT16_MAX or UINT32_MAX in (size, offset):
        raise ContainerError("the end record refers to zip64 records, and none stand before it", rule="SL104", offset=end)
    if offset + size != end:
        raise _shifted(f"the central directory should end at {end:#x}, where its end records begin, and by their word it ends at {offset + size:#x}", end)
    directory = tail[offset - start : end - start] if offset >= start else None
    return EndOfArchive(entries=entries, directory_offset=offset, directory_size=size, records_size=source.size - end, directory=directory)


def _read_end64(tail: bytes, at: int, start: int, classic: tuple[int, int, int]) -> tuple[int, int, int]:
    """Entries, size and offset by the zip64 records that stand directly before the end record at `at` of `tail`."""
    _, locator_disk, position, disks = LOCATOR.unpack_from(tail, at - LOCATOR.size)
    expected = at - LOCATOR.size - END64.size
    where = start + at - LOCATOR.size
    if locator_disk or disks != 1:
        raise _multi_disk(where)
    if expected < 0 or not tail.startswith(END64_SIGNATURE, expected):
        raise ContainerError("no zip64 end record stands directly before its locator", rule="SL104", offset=where)
    if position != start + expected:
        raise _shifted(f"the zip64 end record stands at {start + expected:#x}, and by the word of its locator at {position:#x}", where)
    _, rest, _, _, disk, directory_disk, here, entries, size, offset = END64.unpack_from(tail, expected)
    if rest != END64_REST_BYTES:
        raise ContainerError(f"the zip64 end record is {rest:,} bytes long instead of {END64_REST_BYTES}", rule="SL104", offset=position)
    if disk or directory_disk or here != entries:
        raise _multi_disk(position)
    found = (entries, size, offset)
    for what, small, saturated, big in zip(("entries", "directory size", "directory offset"), classic, SATURATED, found, strict=True):
        if small not in (saturated, big):
            raise ContainerError(f"the two end records disagree: {what} is {small:,} in the classic one and {big:,} in zip64", rule="SL104", offset=position)
    return found


def _shifted(found: str, offset: int) -> ContainerError:
    hint = "bytes were put before or into the archive, or several archives stand in one file (as in a .distcp shard)"
    return ContainerError(f"{found}: {hint}", rule="SL105", offset=offset)


def _multi_disk(offset: int) -> ContainerError:
    return ContainerError("the archive claims to span several disks", rule="SL103", offset=offset)


def _no_end(source: ByteSource, tail: bytes) -> ContainerError:
    """Why there is no end record in the last 22 bytes: something behind it, a file cut short, or no zip at all."""
    at = tail.rfind(END_SIGNATURE)
    start = source.size - len(tail)
    if at >= 0 and len(tail) - at > END.size and _plausible(tail, at, start):
        behind = tail[at + END.size :]
        where = start + at + END.size
        return ContainerError(f"{len(behind):,} bytes stand behind the end of the archive: {shown(behind[:16])}", rule="SL102", offset=where)
    if source.size < len(LOCAL_SIGNATURE) or source.read(0, 4) != LOCAL_SIGNATURE:
        return ContainerError("the file does not end as a zip archive ends", rule="SL101", offset=source.size)
    zeros = len(tail) - len(tail.rstrip(b"\0"))
    hint = f", the last {zeros:,} or more of them zero" if zeros > 1024 else ""
    return ContainerError(
        f"the file starts as a zip archive and ends without its directory: it was cut short, and holds {source.size:,} bytes{hint}; download or copy it again",
        rule="SL004",
        offset=source.size,
    )


def _plausible(tail: bytes, at: int, start: int) -> bool:
    """Is the end record at `at` real, and not four bytes of a tensor? Then a directory ends where it or its zip64 records begin."""
    _, _, _, _, _, size, offset, _ = END.unpack_from(tail, at)
    return UINT32_MAX in (size, offset) or start + at - (offset + size) in (0, END64.size + LOCATOR.size)


def ends_as_zip(source: ByteSource) -> bool:
    """Does an end record close the file exactly, its comment included? What zipfile and other readers from the end would then open as a zip."""
    length = min(source.size, END.size + UINT16_MAX)
    tail = source.read(source.size - length, length)
    at = tail.find(END_SIGNATURE)
    while at >= 0:
        if at + END.size <= length and at + END.size + int.from_bytes(tail[at + 20 : at + 22], "little") == length:
            return True
        at = tail.find(END_SIGNATURE, at + 1)
    return False
