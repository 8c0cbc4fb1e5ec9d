"""The structure of an archive changes and stays whole: offsets, lengths and checksums follow, so that what is tested is what a reader makes of the change
and not that it notices a broken file. Zips by their records, tars by their headers.

`edit_zip_fields` and `edit_tar` of `fuzz.edits` are the other half: a field that contradicts the rest.
"""

from __future__ import annotations

import struct
import zlib
from random import Random

CENTRAL, LOCAL, END = 46, 30, 22  # bytes before the name, and of the end record without its comment
NAMES = (
    b"a/data.pkl",
    b"a/data/0",
    b"a/version",
    b"A/DATA.PKL",
    b"a//data.pkl",
    b"./a/data.pkl",
    b"../a",
    b"/a",
    b"a/",
    b"a\\data.pkl",
    b"\xff",
    "é".encode(),
    b"x" * 130,
    b"",
)
EXTRAS = (
    b"FB\x04\0ZZZZ",  # torch's padding
    b"\1\0\x08\0" + bytes(8),  # zip64
    b"\1\0\x10\0" + bytes(16),
    b"UT\x05\0\1\0\0\0\0",  # a time
    b"up\x0a\0\1" + bytes(4) + b"other",  # a second name
    b"\x01\x99\7\0\2\0AE\3\0\0",  # encryption
    b"\0",
)
BOTH = ((6, 4, 2), (8, 6, 2), (10, 8, 2), (12, 10, 4), (16, 14, 4), (20, 18, 4), (24, 22, 4))  # a field: place in the directory, in the local header, width
VALUES = (0, 1, 8, 20, 45, 63, 0x800, 0x808, 0xFFFF, 0xFFFFFFFF)
MAX_MEMBERS = 100


class _Member:
    """The four pieces of one member: its entry in the directory, its local header, what is stored, and the descriptor behind it."""

    def __init__(self, central: bytes, local: bytes, stored: bytes, descriptor: bytes) -> None:
        self.central = bytearray(central)
        self.local = bytearray(local)
        self.stored = stored
        self.descriptor = descriptor
        self.before = b""  # bytes that belong to nobody

    def copy(self) -> _Member:
        return _Member(bytes(self.central), bytes(self.local), self.stored, self.descriptor)


def _parsed(data: bytes) -> list[_Member] | None:
    """The members in the order of the directory, of a zip whose records stand where they should; None for another."""
    end = data.rfind(b"PK\5\6")
    try:
        count, _, at = struct.unpack_from("<HII", data, end + 10)
        found = []
        for _ in range(min(count, MAX_MEMBERS)):
            stored_size, _, name, extra, comment = struct.unpack_from("<IIHHH", data, at + 20)
            (start,) = struct.unpack_from("<I", data, at + 42)
            local_name, local_extra = struct.unpack_from("<HH", data, start + 26)
            central_end, body = at + CENTRAL + name + extra + comment, start + LOCAL + local_name + local_extra
            behind = body + stored_size
            descriptor = data[behind : behind + 16] if data[behind : behind + 4] == b"PK\7\x08" else b""
            found.append(_Member(data[at:central_end], data[start:body], data[body:behind], descriptor))
            at = central_end
    except struct.error:
        return None
    return found


def _written(members: list[_Member], order: list[int], between: bytes, comment: bytes, zip64: bool) -> bytes:
    """The archive of these members, its directory in this order."""
    body, places = bytearray(), []
    for member in members:
        body += member.before
        places.append(len(body))
        body += member.local + member.stored + member.descriptor
    body += between
    start, directory = len(body), bytearray()
    for number in order:
        entry = members[number].central
        entry[42:46] = struct.pack("<I", places[number])
        directory += entry
    count, size = len(order), len(directory)
    body += directory
    if zip64:
        body += struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 798, 45, 0, 0, count, count, size, start) + struct.pack("<4sIQI", b"PK\6\7", 0, start + size, 1)
    return bytes(body + struct.pack("<4s4HIIH", b"PK\5\6", 0, 0, count, count, size, start, len(comment)) + comment)


def reshape_zip(data: bytes, random: Random) -> bytes:
    """One or two changes, and the archive written anew around them."""
    members = _parsed(data)
    if not members:
        return data
    order = list(range(len(members)))
    between, comment, zip64 = b"", b"", b"PK\6\6" in data
    for _ in range(random.randint(1, 2)):
        member, what = random.choice(members), random.randrange(11)
        if what <= 1:
            _rename(member, random.choice(NAMES), random)
        elif what == 2:
            _set(member, random)
        elif what == 3:
            _extra(member, random.choice(EXTRAS), random)
        elif what == 4:
            member.before = random.choice((b"\0", bytes(64), b"PK\3\4", random.randbytes(9)))
        elif what == 5:
            between = random.choice((b"\0", bytes(4), b"PK\6\x08\0\0\0\0", b"x" * 40))
        elif what == 6:
            comment = random.choice((b"c", bytes(22), b"PK\5\6" + bytes(18)))
        elif what == 7:
            zip64 = not zip64
        elif what == 8:
            random.shuffle(order)
        elif what == 9:
            order.append(random.choice(order))
        else:
            _deflate(member, random)
    if random.random() < 0.1:
        members.append(random.choice(members).copy())
        order.append(len(members) - 1)
    return _written(members, order, between, comment, zip64)


def _sides(random: Random) -> tuple[bool, bool]:
    """In the directory, in the local header: in both more often than in one."""
    return random.choice(((True, True), (True, True), (True, False), (False, True)))


def _rename(member: _Member, name: bytes, random: Random) -> None:
    central, local = _sides(random)
    if central:
        length = int.from_bytes(member.central[28:30], "little")
        member.central[CENTRAL : CENTRAL + length] = name
        member.central[28:30] = len(name).to_bytes(2, "little")
    if local:
        length = int.from_bytes(member.local[26:28], "little")
        member.local[LOCAL : LOCAL + length] = name
        member.local[26:28] = len(name).to_bytes(2, "little")


def _set(member: _Member, random: Random) -> None:
    at, local_at, width = random.choice(BOTH)
    value = (random.choice(VALUES) % (1 << 8 * width)).to_bytes(width, "little")
    central, local = _sides(random)
    if central:
        member.central[at : at + width] = value
    if local:
        member.local[local_at : local_at + width] = value


def _extra(member: _Member, block: bytes, random: Random) -> None:
    central, local = _sides(random)
    for record, at, name_at, head in ((member.central, 30, 28, CENTRAL), (member.local, 28, 26, LOCAL)):
        if central if head == CENTRAL else local:
            place = head + int.from_bytes(record[name_at : name_at + 2], "little")
            length = int.from_bytes(record[at : at + 2], "little") + len(block)
            record[place:place] = block
            record[at : at + 2] = (length % (1 << 16)).to_bytes(2, "little")


def _deflate(member: _Member, random: Random) -> None:
    """The content deflated, or with its sizes in the local header and no descriptor: both right."""
    content, crc = member.stored, zlib.crc32(member.stored)
    if member.central[10:12] == b"\0\0" and random.random() < 0.7:
        packer = zlib.compressobj(random.choice((0, 1, 9)), zlib.DEFLATED, -15)
        member.stored = packer.compress(content) + packer.flush()
        member.central[10:12] = member.local[8:10] = b"\x08\0"
    elif member.central[10:12] != b"\0\0":
        return
    sizes = struct.pack("<III", crc, len(member.stored), len(content))
    member.central[16:28] = member.local[14:26] = sizes
    member.central[8] &= ~8
    member.local[6] &= ~8
    member.descriptor = b""


# ---- tar ------------------------------------------------------------------------------------------------------------------------------------

BLOCK = 512
TAR_NAMES = (b"pickle", b"storages", b"tensors", b"./pickle", b"a/../b", b"/etc/passwd", b"a\\b", "é".encode(), b"x" * 140, b"")


def _records(**values: bytes) -> bytes:
    """Records of a PAX header."""
    out = b""
    for key, value in values.items():
        body = b" " + key.encode() + b"=" + value + b"\n"
        length = len(body) + 1
        while len(b"%d" % length) + len(body) != length:
            length = len(b"%d" % length) + len(body)
        out += b"%d" % length + body
    return out


def tar_member(name: bytes, content: bytes, kind: bytes = b"0", link: bytes = b"", prefix: bytes = b"", size: int | None = None) -> bytes:
    """A ustar header with a right checksum, and the content in whole blocks."""
    block = bytearray(BLOCK)
    block[:100] = name[:100].ljust(100, b"\0")
    for at, number, digits in ((100, 0o644, 7), (108, 0, 7), (116, 0, 7), (124, len(content) if size is None else size, 11), (136, 0, 11)):
        block[at : at + digits] = b"%0*o" % (digits, number)
    block[148:156], block[156:157], block[257:265] = b" " * 8, kind, b"ustar\x0000"
    block[157:257], block[345:500] = link[:100].ljust(100, b"\0"), prefix[:155].ljust(155, b"\0")
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + content + bytes(-len(content) % BLOCK)


def reshape_tar(data: bytes, random: Random) -> bytes:
    """A header of another kind put between two members, a member doubled, swapped or dropped, the blocks at the end changed."""
    members, at = [], 0
    while data[at + 257 : at + 262] == b"ustar" and len(members) < MAX_MEMBERS:
        digits = data[at + 124 : at + 135].strip(b"\0 ")
        size = int(digits, 8) if digits and not digits.translate(None, b"01234567") else 0
        end = at + BLOCK + -(-size // BLOCK) * BLOCK
        members.append(data[at:end])
        at = end
    if not members:
        return data
    tail = data[at:]
    place, what = random.randrange(len(members)), random.randrange(9)
    name = random.choice(TAR_NAMES)
    if what <= 1:
        values = {random.choice(("path", "size", "mtime", "linkpath", "GNU.sparse.major", "hdrcharset", "comment")): random.choice((name, b"0", b"24", b"1.5"))}
        members.insert(place, tar_member(b"pax", _records(**values), random.choice((b"x", b"x", b"g"))))
    elif what == 2:
        members.insert(place, tar_member(b"././@LongLink", name + b"\0", random.choice((b"L", b"K"))))
    elif what == 3:
        members.insert(place, tar_member(name, b"", random.choice((b"1", b"2", b"3", b"5", b"6", b"7", b"S", b"V", b"\0")), random.choice(TAR_NAMES)))
    elif what == 4:
        members.insert(place, tar_member(name, random.randbytes(random.randrange(40)), prefix=random.choice((b"", b"a", b"..", b"/"))))
    elif what == 5:
        members.insert(place, random.choice(members))
    elif what == 6:
        del members[place]
    elif what == 7:
        random.shuffle(members)
    else:
        tail = random.choice(
            (b"", bytes(BLOCK), bytes(2 * BLOCK), tail + bytes(BLOCK), tail[:-1], tail + b"x" * BLOCK, tail[:BLOCK] + b"x" + tail[BLOCK + 1 :])
        )
    return b"".join(members) + tail
