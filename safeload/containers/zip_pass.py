"""The local headers of an archive as torch writes it, all in one pass: one `struct` call for the end of a member and the beginning of the next.

torch writes every member alike: the local header names no sizes and no CRC-32, one block of padding brings the data to its alignment, and behind the data a
descriptor of 16 bytes says what the directory says. Between the data of two members, then, stand a descriptor and a header of which all but the name and the
padding is known beforehand. What is exactly that is held against the directory here. Everything else, and whatever does not fit, is judged by `slow`, which
is `zip_local` and the authority: nothing is refused here, and nothing is taken that it would refuse. A property test holds the two together.

Bytes are read as `zip_local` reads them, in private copies: 128 KiB where headers stand close together, half a KiB where tensors lie between them.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Protocol

from safeload.containers.base import Member
from safeload.containers.zip_central import FLAG_DESCRIPTOR, Entry
from safeload.containers.zip_end import LOCAL_SIGNATURE
from safeload.containers.zip_extra import TAG_PADDING
from safeload.source import ByteSource

BEGINNING = Struct("<4sHHHHHIII")  # of a local header, to its name's length: signature, needed, flags, method, time, date, crc, compressed size, size
DESCRIPTOR_SIGNATURE = b"PK\7\x08"
DESCRIPTOR_BYTES = 16
HEADER_BYTES = 30
BLOCK_BYTES = 4  # tag and length of the padding

DENSE_BYTES = 1 << 17  # fits into a cache, and malloc gives the same memory again
DENSE_HEADERS = 8  # headers in so many bytes from which reading the data between them is cheaper than one read for each
SPARSE_BYTES = 1 << 9  # a descriptor, a header, a name and torch's padding of up to 64 bytes


class Slow(Protocol):
    """The authority."""

    def header(self, entry: Entry) -> int:
        """Where the data of the member begins. Raises `ContainerError`."""

    def descriptor(self, entry: Entry, at: int, length: int) -> None:
        """Judge the `length` bytes between the data and what follows. Raises `ContainerError`."""

    def overlap(self, entry: Entry, data_end: int, following: int) -> Exception:
        """The error for data that reaches into what follows."""


def members_in_one_pass(
    source: ByteSource, entries: list[Entry], order: list[int], offsets: list[int], starts: dict[int, int], slow: Slow
) -> list[Member]:
    """The members in the order of `entries`. `order` are their numbers by offset, `offsets` their headers and where the directory begins.

    `starts` collects where the data of each member begins, by its number.
    """
    members: list[Member] = [_NOBODY] * len(entries)
    layouts: dict[int, Callable[[bytes, int], tuple[bytes, int, int, int, bytes, int, int, bytes, int, int]]] = {}
    end, dense = offsets[-1], len(offsets) - DENSE_HEADERS - 1
    beginning, mode = b"", (-1, -1)  # of the headers that are alike
    data, first, behind = b"", 0, 0  # the bytes that are here, and where they stand in the file
    open_entry: Entry | None = None  # the member whose descriptor is not judged yet, and where its data ends
    data_end = 0
    hinted = False
    for place, index in enumerate(order):
        entry = entries[index]
        at, raw, name, flags, method, crc, stored_size, size = entry
        length = len(raw)
        data_start = -1
        if open_entry is not None and at - data_end == DESCRIPTOR_BYTES and (flags, method) == mode:
            needed = DESCRIPTOR_BYTES + HEADER_BYTES + length + BLOCK_BYTES
            if data_end < first or data_end + needed > behind:
                close = place < dense and offsets[place + DENSE_HEADERS] <= data_end + DENSE_BYTES
                first, behind = data_end, min(data_end + max(DENSE_BYTES if close else SPARSE_BYTES, needed), end)
                if not close and not hinted:
                    hinted = True
                    source.expect([max(offset - DESCRIPTOR_BYTES, 0) for offset in offsets[place:-1]], SPARSE_BYTES)
                data = source.read(first, behind - first)
            if data_end + needed <= behind:
                layout = layouts.get(length)
                if layout is None:
                    layout = layouts[length] = Struct(f"<4sIII26sHH{length}sHH").unpack_from
                signature, its_crc, its_stored, its_size, begins, names, extra, found, tag, padding = layout(data, data_end - first)
                if (
                    begins == beginning
                    and found == raw
                    and names == length
                    and tag == TAG_PADDING
                    and padding + BLOCK_BYTES == extra
                    and signature == DESCRIPTOR_SIGNATURE
                    and its_crc == open_entry[5]
                    and its_stored == open_entry[6]
                    and its_size == open_entry[7]
                ):
                    data_start = starts[index] = at + HEADER_BYTES + length + extra
        if data_start < 0:
            if open_entry is not None:
                slow.descriptor(open_entry, data_end, at - data_end)
            data_start = starts[index] = slow.header(entry)
            if flags & FLAG_DESCRIPTOR and (flags, method) != mode and at + HEADER_BYTES <= end:
                beginning, mode = _beginning(source.read(at, BEGINNING.size), flags, method)
        data_end = data_start + stored_size
        following = offsets[place + 1]
        if data_end > following:
            raise slow.overlap(entry, data_end, following)
        open_entry = entry if following != data_end or flags & FLAG_DESCRIPTOR else None
        members[index] = Member(name=name, offset=data_start, size=size, stored_size=stored_size, method=method, crc=crc)
    if open_entry is not None:
        slow.descriptor(open_entry, data_end, end - data_end)
    return members


def _beginning(data: bytes, flags: int, method: int) -> tuple[bytes, tuple[int, int]]:
    """The bytes that open a header without numbers, if these are some, and the flags and method that go with them."""
    signature, _, its_flags, its_method, _, _, crc, stored_size, size = BEGINNING.unpack(data)
    if signature == LOCAL_SIGNATURE and (its_flags, its_method) == (flags, method) and crc == stored_size == size == 0:
        return data, (flags, method)
    return b"", (-1, -1)


_NOBODY = Member(name="", offset=0, size=0, stored_size=0)
