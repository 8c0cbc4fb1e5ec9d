"""The bytes of a central directory become one `Entry` tuple for each member, in directory order.

One `struct` pass; entries that are alike but for their numbers and names, as torch's are, are taken many at once. Refuses entries that do not fill the
directory exactly (SL105), comments (SL105; torch writes none and no reader here would show them), other disks (SL103), encryption and reserved flag bits
(SL111), methods other than stored and deflated (SL112), zip64 blocks that do not hold exactly the saturated fields (SL104), a stored member with two sizes
(SL105), and names by the rules of `zip_names`. APPNOTE 4.3.12.
"""

from __future__ import annotations

from itertools import repeat
from struct import Struct
from typing import Any

from safeload.budget import exceeded
from safeload.containers.base import DEFLATED, STORED
from safeload.containers.zip_end import UINT32_MAX
from safeload.containers.zip_extra import BLOCK, TAG_ZIP64, zip64_block
from safeload.containers.zip_names import FLAG_UTF8, decode_name
from safeload.errors import ContainerError
from safeload.limits import Limits

Entry = tuple[int, bytes, str, int, int, int, int, int]
"""Offset of the local header, name bytes, name, flags, method, CRC-32, compressed size, size."""

CENTRAL_SIGNATURE = b"PK\1\2"
CENTRAL = Struct("<4s2xHHH4xIIIHHHH6xI")
# signature, (made by), needed, flags, method, (time, date), crc, compressed size, size, name, extra and comment length, disk, (two attributes), offset

HEAD_BYTES = 12  # signature to method
LENGTHS_AT, LENGTHS_BYTES = 28, 8  # of name, extra field and comment, and the disk
OFFSET_BLOCK = BLOCK.pack(TAG_ZIP64, 8)  # opens the extra field of a member beyond 4 GiB, as torch writes it: with its offset and nothing else
OFFSET_BLOCK_BYTES = len(OFFSET_BLOCK) + 8
STREAK = 2  # entries of one length behind which more of them are looked for
GROWTH = 8  # how many for each
MOST_ALIKE = 256  # columns of so many stay in a cache

FLAG_DESCRIPTOR = 0x0008
FLAGS_DEFLATE = 0x0006  # how hard the writer tried
FLAGS_ENCRYPTION = 0x0001 | 0x0020 | 0x0040 | 0x2000  # encrypted, patched data, strong encryption, masked local header
FLAGS_KNOWN = FLAG_DESCRIPTOR | FLAGS_DEFLATE | FLAG_UTF8
NEWEST_VERSION = 63  # APPNOTE 4.4.3.2, of which the upper byte is reserved
METHOD_NAMES = {9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstandard", 95: "xz", 99: "AES encryption"}


def read_entries(directory: bytes, count: int, start: int, limits: Limits) -> list[Entry]:
    """The `count` entries of a `directory` that stands at `start` of the file."""
    entries: list[Entry] = []
    add, unpack, end, size_of, longest = entries.append, CENTRAL.unpack_from, len(directory), CENTRAL.size, limits.name_bytes
    modes: set[tuple[int, int, int]] = set()  # (flags, method, version needed) already judged: an archive has two or three
    at = number = 0
    streak = last_length = 0  # how many entries of one length came last
    while number < count:
        if at + size_of > end:
            raise ContainerError(f"the central directory ends within entry {number + 1:,} of {count:,}", rule="SL105", offset=start + at)
        signature, needed, flags, method, crc, stored_size, size, name_length, extra_length, comment, disk, offset = unpack(directory, at)
        name_end = at + size_of + name_length
        raw = directory[at + size_of : name_end]
        # what every entry of torch's is; anything else is said by `_entry`, in its own order
        if (
            signature == CENTRAL_SIGNATURE
            and (flags, method, needed) in modes
            and not extra_length
            and not comment
            and not disk
            and name_end <= end
            and stored_size == size < UINT32_MAX
            and offset < UINT32_MAX
            and 0 < name_length <= longest
            and raw.isascii()
            and (name := raw.decode()).isprintable()
        ):
            add((offset, raw, name, flags, method, crc, stored_size, size))
            behind = name_end
        else:
            entry, behind = _entry(directory, at, number, count, start, limits, modes)
            add(entry)
        number += 1
        streak = streak + 1 if behind - at == last_length else 1
        last_length = behind - at
        at = behind
        if streak >= STREAK:
            most = min(streak * GROWTH, MOST_ALIKE, count - number, (end - at) // last_length)
            found, seen = _alike(directory, at - last_length, last_length, most, entries[-1])
            entries += found
            number += len(found)
            at += len(found) * last_length
            streak = streak + len(found) if found else -seen
    if at != end:
        raise ContainerError(f"{end - at:,} bytes stand behind the last of {count:,} directory entries", rule="SL105", offset=start + at)
    return entries


def _alike(directory: bytes, at: int, length: int, most: int, model: Entry) -> tuple[list[Entry], int]:
    """The entries behind the one at `at`, up to `most`, that are what it is but for numbers and name; and how many have its form.

    `model` was judged: it vouches for flags, method, version, the lengths, and that there are no comment and no other disk. None where anything else is odd
    about some of them, to be found out one by one.
    """
    head, lengths = directory[at : at + HEAD_BYTES], directory[at + LENGTHS_AT : at + LENGTHS_AT + LENGTHS_BYTES]
    name_length, extra_length = len(model[1]), length - CENTRAL.size - len(model[1])
    wide = extra_length == OFFSET_BLOCK_BYTES
    if most < 1 or (extra_length and not wide):
        return [], 0
    layout = Struct(f"<{HEAD_BYTES}s4xIII{LENGTHS_BYTES}s6xI{name_length}s{'4sQ' if wide else ''}")
    columns: list[Any] = list(zip(*layout.iter_unpack(memoryview(directory)[at + length : at + length * (most + 1)]), strict=True))
    heads, forms = columns[0], columns[4]
    if heads.count(head) != most or forms.count(lengths) != most:
        most = next(index for index, form in enumerate(zip(heads, forms, strict=True)) if form != (head, lengths))
        columns = [column[:most] for column in columns]
        if not most:
            return [], 0
    _, crcs, stored_sizes, sizes, _, offsets, raws = columns[:7]
    text = b"\n".join(raws)
    names = text.decode("ascii").split("\n") if text.isascii() else []
    if stored_sizes != sizes or max(sizes) == UINT32_MAX or len(names) != most or not "".join(names).isprintable():
        return [], most
    if wide:
        if offsets.count(UINT32_MAX) != most or columns[7].count(OFFSET_BLOCK) != most:
            return [], most
        offsets = columns[8]
    elif max(offsets) == UINT32_MAX:
        return [], most
    return list(zip(offsets, raws, names, repeat(model[3]), repeat(model[4]), crcs, sizes, sizes, strict=False)), most


def _entry(directory: bytes, at: int, number: int, count: int, start: int, limits: Limits, modes: set[tuple[int, int, int]]) -> tuple[Entry, int]:
    """Any one entry, and where the next one stands."""
    signature, needed, flags, method, crc, stored_size, size, name_length, extra_length, comment, disk, offset = CENTRAL.unpack_from(directory, at)
    if signature != CENTRAL_SIGNATURE:
        raise ContainerError(f"no directory entry stands where entry {number + 1:,} of {count:,} should", rule="SL105", offset=start + at)
    if name_length > limits.name_bytes:
        raise exceeded("name_bytes", limits.name_bytes, f"a member name is {name_length:,} bytes long, more", offset=start + at)
    name_end = at + CENTRAL.size + name_length
    if name_end + extra_length + comment > len(directory):
        raise ContainerError(f"entry {number + 1:,} of {count:,} overflows the central directory", rule="SL105", offset=start + at)
    raw = directory[at + CENTRAL.size : name_end]
    name = decode_name(raw, flags, start + at)
    if (flags, method, needed) not in modes:
        _check_mode(flags, method, needed, name)
        modes.add((flags, method, needed))
    if disk:
        raise ContainerError(f"the member claims to start on disk {disk}", rule="SL103", member=name)
    if comment:
        raise ContainerError(f"the member has a comment of {comment:,} bytes; torch.save writes none", rule="SL105", member=name)
    if extra_length or UINT32_MAX in (stored_size, size, offset):
        size, stored_size, offset = _widened(size, stored_size, offset, directory[name_end : name_end + extra_length], name)
    if method == STORED and stored_size != size:
        raise ContainerError(f"a stored member is {size:,} bytes long and takes {stored_size:,}", rule="SL105", member=name)
    return (offset, raw, name, flags, method, crc, stored_size, size), name_end + extra_length


def _check_mode(flags: int, method: int, needed: int, name: str) -> None:
    """Refuse flags, methods and versions that safeload does not follow. Readers differ on them: torch ignores bits and versions that zipfile refuses."""
    if flags & FLAGS_ENCRYPTION:
        raise ContainerError(f"the member is encrypted, patched or masked (flags {flags:#06x}); save it without a password", rule="SL111", member=name)
    if flags & ~FLAGS_KNOWN:
        raise ContainerError(f"the member uses reserved flag bits (flags {flags:#06x})", rule="SL111", member=name)
    if needed & 0xFF > NEWEST_VERSION:
        raise ContainerError(f"the member needs version {(needed & 0xFF) / 10:.1f} of the ZIP format, and 6.3 is the newest", rule="SL112", member=name)
    if method not in (STORED, DEFLATED):
        known = METHOD_NAMES.get(method)
        what = f"{method} ({known})" if known else str(method)
        raise ContainerError(f"compression method {what}; torch.save stores, and safeload reads stored and deflated members", rule="SL112", member=name)


def _widened(size: int, stored_size: int, offset: int, extra: bytes, name: str) -> tuple[int, int, int]:
    """The three numbers with saturated ones taken from the zip64 block: in this order, and only those (APPNOTE 4.5.3)."""
    block = zip64_block(extra, name, "SL105")
    numbers = [size, stored_size, offset]
    missing = [index for index, number in enumerate(numbers) if number == UINT32_MAX]
    wide = block or b""
    if len(wide) != 8 * len(missing):
        raise ContainerError(f"the zip64 block of the entry holds {len(wide)} bytes; its saturated fields need {8 * len(missing)}", rule="SL104", member=name)
    for position, index in enumerate(missing):
        numbers[index] = int.from_bytes(wide[8 * position : 8 * position + 8], "little")
    return numbers[0], numbers[1], numbers[2]
