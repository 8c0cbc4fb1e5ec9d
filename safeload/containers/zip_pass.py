"""The local headers of an archive as torch writes it, many at once: what has to stand between two members is known beforehand, and compared as one `bytes`.

torch writes every member alike: the local header names no sizes and no CRC-32, blocks of padding bring the data to its alignment, and behind the data a
descriptor says what the directory says. Where the data ends is then known from where the next header stands, and where it begins from its size; between two
members stand a descriptor and a header of which the directory says every byte but those of the padding. They are made from the directory and held against the
file's. What is not exactly that is judged by `slow`, which is `zip_local` and the authority: nothing is refused here, and nothing is taken that it would
refuse. A test holds the two together.

Bytes are read as `zip_local` reads them, as private copies (`ByteSource.pieces`).
"""

from __future__ import annotations

from bisect import bisect_left
from struct import Struct
from typing import Protocol

import msgspec

from safeload.containers.zip_central import FLAG_DESCRIPTOR, Entry
from safeload.containers.zip_end import LOCAL_SIGNATURE, UINT32_MAX
from safeload.containers.zip_extra import TAG_PADDING, TAG_ZIP64
from safeload.source import ByteSource

BEGINNING = Struct("<4sHHHHHIII")  # of a local header, to its name's length: signature, needed, flags, method, time, date, crc, compressed size, size
DESCRIPTOR_SIGNATURE = b"PK\7\x08"
HEADER_BYTES = 30
BLOCK_BYTES = 4  # tag and length of the padding
OFFSET_BLOCK = Struct("<HHQ")  # of a header beyond 4 GiB: a zip64 block with the header's own offset
MAX_EXTRA_BYTES = 0xFFFF
BATCH = 1_024  # headers whose bytes are here at the same time
GROWTH = 8


class Slow(Protocol):
    """The authority."""

    def header(self, entry: Entry) -> int:
        """Where the data of the member begins. Raises `ContainerError`."""

    def descriptor(self, entry: Entry, at: int, length: int) -> None:
        """Judge the `length` bytes between the data and what follows. Raises `ContainerError`."""

    def overlap(self, entry: Entry, data_end: int, following: int) -> Exception:
        """The error for data that reaches into what follows."""


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What stands between the data of two members. Beyond 4 GiB torch writes descriptors with sizes of 64 bits, and into a header its own offset."""

    before: int  # bytes of the descriptor of the member in front
    behind: int  # bytes of the member's own
    block: int  # bytes of the blocks in front of the padding, its tag and length included
    most: int  # the largest size that the descriptor in front holds
    spelled: str  # for `Struct`, with the lengths of name and zip64 block to fill in


NARROW = Layout(before=16, behind=16, block=BLOCK_BYTES, most=UINT32_MAX, spelled="<4sIII26sHH{}s{}sHH")
FIRST_WIDE = Layout(before=16, behind=24, block=OFFSET_BLOCK.size + BLOCK_BYTES, most=UINT32_MAX, spelled=NARROW.spelled)
WIDE = Layout(before=24, behind=24, block=OFFSET_BLOCK.size + BLOCK_BYTES, most=(1 << 64) - 1, spelled="<4sIQQ26sHH{}s{}sHH")


def data_starts(source: ByteSource, entries: list[Entry], offsets: list[int], starts: list[int], slow: Slow) -> None:
    """Judge all that stands before the directory and is no data. `entries` in the order of the file, `offsets` their headers and where the directory begins.

    Appends to `starts` where the data of each member begins.
    """
    wide = bisect_left(offsets, UINT32_MAX)
    beginning, mode = b"", (-1, -1)  # of the headers that are alike: their first bytes, flags and method
    open_entry: Entry | None = None  # the member whose descriptor is not judged yet, and where its data ends
    data_end, place, take, count = 0, 0, BATCH, len(entries)
    while place < count:
        entry = entries[place]
        if open_entry is not None and (entry[3], entry[4]) == mode:
            layout, stop = (NARROW, wide) if place < wide else (FIRST_WIDE, place + 1) if place == wide else (WIDE, count)
            if offsets[place] - data_end == layout.before:
                stop = min(stop, place + take, count)
                found = _alike(source, entries[place - 1 : stop], offsets[place : stop + 1], layout, beginning, mode)
                starts += found
                place += len(found)
                take = min(take * GROWTH, BATCH) if place == stop else 1  # where little is alike, little is tried
                if found:
                    open_entry, data_end = entries[place - 1], offsets[place] - layout.behind
                    continue
        if open_entry is not None:
            slow.descriptor(open_entry, data_end, offsets[place] - data_end)
        start = slow.header(entry)
        starts.append(start)
        if entry[3] & FLAG_DESCRIPTOR and (entry[3], entry[4]) != mode and entry[0] + HEADER_BYTES <= offsets[-1]:
            beginning, mode = _beginning(source.read(entry[0], BEGINNING.size), entry[3], entry[4])
        place += 1
        data_end = start + entry[6]
        if data_end > offsets[place]:
            raise slow.overlap(entry, data_end, offsets[place])
        open_entry = entry if offsets[place] != data_end or entry[3] & FLAG_DESCRIPTOR else None
    if open_entry is not None:
        slow.descriptor(open_entry, data_end, offsets[-1] - data_end)


def _alike(source: ByteSource, entries: list[Entry], offsets: list[int], layout: Layout, beginning: bytes, mode: tuple[int, int]) -> list[int]:
    """Where the data begins of each of `entries` but the first, as far as what stands in front of it is exactly what torch writes.

    `offsets` are the headers of those, and what stands behind the last of them. `beginning` opens each header, which has the flags and method of `mode`.
    """
    before, behind, block, most, wide = layout.before, layout.behind, layout.block, layout.most, layout is not NARROW
    pack = {length: Struct(layout.spelled.format(length, block - BLOCK_BYTES)).pack for length in {len(entry[1]) for entry in entries}}
    flags, method = mode
    begins = [following - behind - entry[6] for following, entry in zip(offsets[1:], entries[1:], strict=True)]
    expected = [
        pack[len(raw)](
            DESCRIPTOR_SIGNATURE, crc, stored, size, beginning, len(raw), extra, raw,
            OFFSET_BLOCK.pack(TAG_ZIP64, 8, at) if wide else b"", TAG_PADDING, extra - block,
        )
        if block <= (extra := begin - at - HEADER_BYTES - len(raw)) <= MAX_EXTRA_BYTES
        and its_flags == flags and its_method == method and stored <= most and size <= most
        else None
        for (_, _, _, _, _, crc, stored, size), (at, raw, _, its_flags, its_method, _, _, _), begin in zip(entries, entries[1:], begins, strict=False)
    ]  # fmt: skip
    lengths = [len(each) for each in expected if each is not None]
    if len(lengths) < len(expected):
        expected = expected[: expected.index(None)]
        lengths = lengths[: len(expected)]
    found = source.pieces([offset - before for offset in offsets[: len(lengths)]], lengths)
    if found == expected:
        return begins[: len(expected)]
    return begins[: next(place for place, (one, other) in enumerate(zip(found, expected, strict=True)) if one != other)]


def _beginning(data: bytes, flags: int, method: int) -> tuple[bytes, tuple[int, int]]:
    """The bytes that open a header without numbers, if these are some, and the flags and method that go with them."""
    signature, _, its_flags, its_method, _, _, crc, stored_size, size = BEGINNING.unpack(data)
    if signature == LOCAL_SIGNATURE and (its_flags, its_method) == (flags, method) and crc == stored_size == size == 0:
        return data, (flags, method)
    return b"", (-1, -1)
