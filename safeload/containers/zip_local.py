"""Directory entries become `Member`s whose local headers, data and descriptors fill the file from its first byte to the directory.

The directory decides; each local header is held against it. Where torch writes zeros instead (CRC-32 and sizes of a member with a data descriptor,
the compressed size in its zip64 block) zeros are accepted, and the descriptor behind the data must say what the directory says. Refuses headers that
contradict (SL110), descriptors that are missing or contradict (SL114), overlap (SL108), and any byte that belongs to no member (SL109).
APPNOTE 4.3.7 and 4.3.9; torch's inline_container.cc and miniz, which writes sizes of zero into the local header and trusts the directory.

What torch writes is compared, many members at once, with what it has to be (`zip_pass`); this module is the authority for a single one. Headers are read in
windows: 1 MiB where they stand close together, 4 KiB where tensors lie between them.

Of a source behind a network, only headers that are here already are read: what the directory says of the other stored
members is held against the room that they have, and they stay `pending` until somebody wants their bytes (`located`).
"""

from __future__ import annotations

from bisect import bisect_left
from struct import Struct

from msgspec.structs import replace

from safeload.containers.base import STORED, Claim, Claims, Member, Pending, Role
from safeload.containers.zip_central import FLAG_DESCRIPTOR, Entry
from safeload.containers.zip_end import LOCAL_SIGNATURE, UINT32_MAX
from safeload.containers.zip_extra import BLOCK, TAG_PADDING, zip64_block
from safeload.containers.zip_pass import data_starts
from safeload.errors import ContainerError
from safeload.source import ByteSource

LOCAL = Struct("<4sHHHHHIIIHH")  # signature, needed, flags, method, time, date, crc, compressed size, size, name length, extra length
DESCRIPTOR_SIGNATURE = b"PK\7\x08"
DESCRIPTOR32 = Struct("<4sIII")  # signature, crc, compressed size, size
DESCRIPTOR64 = Struct("<4sIQQ")
DESCRIPTOR_LENGTHS = (12, 16, 20, 24)  # bytes: the signature is optional, the sizes have 32 or 64 bits

MAX_EXTRA_BYTES = 0xFFFF  # its length has 16 bits

WINDOW_BYTES = 1 << 20
SPARSE_BYTES = 1 << 12  # a local header with a long name, and torch's padding of up to 64 bytes
DENSE_HEADERS = 64  # headers in one window from which reading the data between them is cheaper than one read for each


class Windows:
    """Local headers by position, read ahead. `data` holds the file from `start`."""

    __slots__ = ("data", "end", "offsets", "source", "start", "stop")

    def __init__(self, source: ByteSource, offsets: list[int], end: int) -> None:
        self.source = source
        self.offsets = offsets
        self.end = end
        self.start = self.stop = 0
        self.data = b""

    def index(self, position: int, length: int) -> int:
        """Where the `length` bytes at `position` stand in `data`, reading them if they do not yet. The caller keeps within `end`."""
        if position < self.start or position + length > self.stop:
            take = length if self.source.is_sparse else self._ahead(position, length)  # behind a network, the source itself reads ahead
            self.data = self.source.read(position, take)
            self.start, self.stop = position, position + take
        return position - self.start

    def _ahead(self, position: int, length: int) -> int:
        ahead = bisect_left(self.offsets, position + WINDOW_BYTES) - bisect_left(self.offsets, position)
        dense = ahead >= DENSE_HEADERS or self.end - position <= WINDOW_BYTES
        return min(max(WINDOW_BYTES if dense else SPARSE_BYTES, length), self.end - position)


def read_members(source: ByteSource, entries: list[Entry], end: int, roles: list[Role] | None = None) -> list[Member]:
    """The members in the order of `entries`, checked to fill the file from 0 to `end`, where the directory starts, each with the role at its place.

    An error carries what the directory claims (`Claims`), so that a report can show where it does not fit.
    """
    offsets = [entry[0] for entry in entries]
    ordered = sorted(offsets)
    order = None if ordered == offsets else sorted(range(len(entries)), key=offsets.__getitem__)  # torch's directory is in the order of the file
    in_order = entries if order is None else [entries[index] for index in order]
    in_order_roles: list[Role] = ["unknown"] * len(entries) if roles is None else roles if order is None else [roles[index] for index in order]
    starts: dict[int, int] | list[int] = {} if source.is_sparse else []
    try:
        members = _members(source, in_order, in_order_roles, [*ordered, end], starts)
    except ContainerError as error:
        known = starts if isinstance(starts, dict) else dict(enumerate(starts))
        claims = {
            entry[2]: Claim(name=entry[2], start=entry[0], end=known.get(place, entry[0] + LOCAL.size + len(entry[1])) + entry[6], exact=place in known)
            for place, entry in enumerate(in_order)
        }
        error.partial = Claims(members=tuple(claims[entry[2]] for entry in entries), directory=end)
        raise
    if order is None:
        return members
    placed = dict(zip(order, members, strict=True))
    return [placed[index] for index in range(len(members))]


def _members(source: ByteSource, entries: list[Entry], roles: list[Role], offsets: list[int], starts: dict[int, int] | list[int]) -> list[Member]:
    """All in the order of the file. `starts` collects where the data of each begins."""
    end = offsets[-1]
    if entries and offsets[-2] >= end:
        last = entries[-1]
        raise ContainerError(f"its local header should stand at {last[0]:#x}, and the directory starts at {end:#x}", rule="SL105", member=last[2])
    if entries and offsets[0]:
        raise ContainerError(f"{offsets[0]:,} bytes stand before the first member", rule="SL109", member=entries[0][2])
    if not entries and end:
        raise ContainerError(f"{end:,} bytes before the directory belong to no member", rule="SL109", offset=0)
    if isinstance(starts, dict):
        return [replace(member, role=role) for member, role in zip(_members_here(source, entries, offsets, starts), roles, strict=True)]
    data_starts(source, entries, offsets, starts, _Authority(Windows(source, offsets[:-1], end)))
    return [
        Member(name=name, offset=start, size=size, stored_size=stored_size, method=method, crc=crc, role=role)
        for (_, _, name, _, method, crc, stored_size, size), start, role in zip(entries, starts, roles, strict=True)
    ]


class _Authority:
    """The judgement of single headers and descriptors, for `zip_pass`."""

    __slots__ = ("windows",)

    def __init__(self, windows: Windows) -> None:
        self.windows = windows

    def header(self, entry: Entry) -> int:
        return _check_header(self.windows, entry)

    def descriptor(self, entry: Entry, at: int, length: int) -> None:
        _check_descriptor(self.windows, entry, at, length)

    def overlap(self, entry: Entry, data_end: int, following: int) -> ContainerError:
        return ContainerError(f"the member ends at {data_end:#x}, and what follows it starts at {following:#x}", rule="SL108", member=entry[2])


def _members_here(source: ByteSource, entries: list[Entry], offsets: list[int], starts: dict[int, int]) -> list[Member]:
    """The same behind a network: the headers that are here are read, and stored members without one stay pending. In the order of the file."""
    windows = Windows(source, offsets[:-1], offsets[-1])
    members: list[Member] = []
    for place, (entry, following) in enumerate(zip(entries, offsets[1:], strict=True)):
        if entry[4] == STORED and not _is_here(source, entry, following):
            members.append(_pending(entry, following))
        else:
            data_start = starts[place] = _check_header(windows, entry)
            members.append(_member(windows, entry, data_start, following))
    return members


def _member(windows: Windows, entry: Entry, data_start: int, following: int) -> Member:
    """The member whose header was read, and what stands behind its data."""
    data_end = data_start + entry[6]
    if data_end > following:
        raise ContainerError(f"the member ends at {data_end:#x}, and what follows it starts at {following:#x}", rule="SL108", member=entry[2])
    if following != data_end or entry[3] & FLAG_DESCRIPTOR:
        _check_descriptor(windows, entry, data_end, following - data_end)
    return Member(name=entry[2], offset=data_start, size=entry[7], stored_size=entry[6], method=entry[4], crc=entry[5])


def _is_here(source: ByteSource, entry: Entry, following: int) -> bool:
    """Can the header be read without a request, and the descriptor?"""
    behind = min(DESCRIPTOR_LENGTHS[-1], following - entry[0]) if entry[3] & FLAG_DESCRIPTOR else 0
    return source.has(entry[0], min(LOCAL.size + len(entry[1]), following - entry[0])) and source.has(following - behind, behind)


def _pending(entry: Entry, following: int) -> Member:
    """The member whose header was not read. It has to have the room that its directory entry asks for, and not more than a header can take."""
    least = entry[0] + LOCAL.size + len(entry[1])
    spare = following - least - entry[6]
    if spare < 0:
        raise ContainerError(
            f"the member ends at {least + entry[6]:#x} or later, and what follows it starts at {following:#x}", rule="SL108", member=entry[2]
        )
    most = MAX_EXTRA_BYTES + (DESCRIPTOR_LENGTHS[-1] if entry[3] & FLAG_DESCRIPTOR else 0)
    if spare > most:
        raise ContainerError(f"{spare - most:,} bytes or more behind the member belong to nobody", rule="SL109", member=entry[2])
    pending = Pending(entry, following)
    return Member(name=entry[2], offset=least, size=entry[7], stored_size=entry[6], method=entry[4], crc=entry[5], pending=pending)


def located(source: ByteSource, member: Member) -> Member:
    """The member with its local header read and held against the directory, if it was not yet: only now is it known where its bytes start."""
    if member.pending is None:
        return member
    entry, following = member.pending.entry, member.pending.following
    windows = Windows(source, [entry[0]], following)
    found = _member(windows, entry, _check_header(windows, entry), following)
    return replace(member, offset=found.offset, pending=None)


def _check_header(windows: Windows, entry: Entry) -> int:
    """Hold one local header against its directory entry; the offset of the data behind it."""
    at, raw, name, flags, method, crc, stored_size, size = entry
    if at + LOCAL.size + len(raw) > windows.end:
        raise ContainerError(f"the local header at {at:#x} reaches into the central directory", rule="SL108", member=name)
    index = windows.index(at, LOCAL.size + len(raw))
    signature, _, found_flags, found_method, _, _, found_crc, found_stored, found_size, name_length, extra_length = LOCAL.unpack_from(windows.data, index)
    if signature != LOCAL_SIGNATURE:
        raise ContainerError(f"no local header stands at {at:#x}, where the directory says", rule="SL110", member=name)
    if found_flags != flags or found_method != method:
        raise _contradiction(name, at, "flags and method", f"{found_flags:#06x}, {found_method}", f"{flags:#06x}, {method}")
    if name_length != len(raw) or windows.data[index + LOCAL.size : index + LOCAL.size + name_length] != raw:
        raise _contradiction(name, at, "name", "another name", "this one")
    if found_crc != crc and (found_crc or not flags & FLAG_DESCRIPTOR):
        raise _contradiction(name, at, "CRC-32", f"{found_crc:#010x}", f"{crc:#010x}")
    start: int = at + LOCAL.size + name_length + extra_length
    if start > windows.end:
        raise ContainerError(f"the local header at {at:#x} reaches into the central directory", rule="SL108", member=name)
    block = _local_zip64(windows, start - extra_length, extra_length, name) if extra_length else None
    if block is None and found_size == found_stored == 0 and flags & FLAG_DESCRIPTOR:
        return start  # as torch writes all members; the descriptor has the numbers
    if block is not None or found_size != size or found_stored != stored_size:
        _check_sizes(entry, found_size, found_stored, block)
    return start


def _local_zip64(windows: Windows, at: int, length: int, name: str) -> bytes | None:
    index = windows.index(at, length)
    if length >= BLOCK.size and BLOCK.unpack_from(windows.data, index) == (TAG_PADDING, length - BLOCK.size):
        return None  # what torch writes for every member: one block of padding
    return zip64_block(windows.data[index : index + length], name, "SL110")


def _check_sizes(entry: Entry, found_size: int, found_stored: int, block: bytes | None) -> None:
    """Hold both sizes of a local header, and those in its zip64 block, against the directory.

    The block of a local header holds both sizes (APPNOTE 4.5.3). torch's holds size and a compressed size of 0 for a member of 4 GiB, then the
    header's own offset where that is beyond 4 GiB, or that offset alone.
    """
    at, _, name, flags, _, _, stored_size, size = entry
    numbers = [int.from_bytes(block[i : i + 8], "little") for i in range(0, len(block), 8)] if block is not None else []
    if block is not None and len(block) not in (8, 16, 24):
        raise ContainerError(f"the zip64 block of the local header at {at:#x} is {len(block)} bytes long", rule="SL110", member=name)
    if len(numbers) in (1, 3) and numbers[-1] != at:
        raise _contradiction(name, at, "own offset (zip64)", f"{numbers[-1]:#x}", f"{at:#x}")
    wide = numbers[:2] if len(numbers) > 1 else []
    for index, (what, found, recorded) in enumerate((("size", found_size, size), ("compressed size", found_stored, stored_size))):
        claims = wide[index : index + 1] if found == UINT32_MAX and wide else [found, *wide[index : index + 1]]
        for claim in claims:
            if claim != recorded and (claim or not flags & FLAG_DESCRIPTOR):
                raise _contradiction(name, at, what, f"{claim:,}", f"{recorded:,}")


def _contradiction(name: str, at: int, what: str, found: str, recorded: str) -> ContainerError:
    return ContainerError(f"the local header at {at:#x} contradicts the directory: {what} is {found} here and {recorded} there", rule="SL110", member=name)


def _check_descriptor(windows: Windows, entry: Entry, at: int, length: int) -> None:
    """The `length` bytes from the data's end at `at` to whatever follows must be the member's descriptor, or, without one, nothing."""
    _, _, name, flags, _, crc, stored_size, size = entry
    if not flags & FLAG_DESCRIPTOR or length > DESCRIPTOR_LENGTHS[-1]:
        raise ContainerError(f"{length:,} bytes behind the member, at {at:#x}, belong to nobody", rule="SL109", member=name)
    if length not in DESCRIPTOR_LENGTHS:
        raise ContainerError(f"a data descriptor is announced, and {length} bytes stand where it should be, at {at:#x}", rule="SL114", member=name)
    layout = DESCRIPTOR32 if length <= DESCRIPTOR32.size else DESCRIPTOR64
    fits = layout is DESCRIPTOR64 or max(stored_size, size) <= UINT32_MAX
    index = windows.index(at, length)
    if not fits or windows.data[index : index + length] != layout.pack(DESCRIPTOR_SIGNATURE, crc, stored_size, size)[-length:]:
        raise ContainerError(f"the data descriptor at {at:#x} contradicts the central directory", rule="SL114", member=name)
