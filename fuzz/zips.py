"""A zip taken into its members, and members made into a zip as torch.save lays it out: for the mutator, which must not break the container by accident.

Reading is lenient and only for inputs that `repack` or the seeds made; whatever does not fit gives no members.
"""

from __future__ import annotations

import zlib
from struct import error as struct_error
from struct import pack, unpack_from

FLAGS = 0x0808
ALIGNMENT = 64


def unpack(data: bytes) -> dict[bytes, bytes]:
    """Name to content of the stored members that the central directory lists."""
    end = data.rfind(b"PK\5\6")
    members: dict[bytes, bytes] = {}
    try:
        count, _, at = unpack_from("<HII", data, end + 10)
        for _ in range(count):
            size, _, name_length, extra, comment = unpack_from("<IIHHH", data, at + 20)
            (local,) = unpack_from("<I", data, at + 42)
            name_at, extra_at = unpack_from("<HH", data, local + 26)
            start = local + 30 + name_at + extra_at
            members[data[at + 46 : at + 46 + name_length]] = data[start : start + size]
            at += 46 + name_length + extra + comment
    except struct_error:
        return {}
    return members


def repack(members: dict[bytes, bytes]) -> bytes:
    """The members as a torch zip, with right sizes and checksums."""
    body, directory = bytearray(), bytearray()
    for name, content in members.items():
        at, crc, size, flags = len(body), zlib.crc32(content), len(content), FLAGS if content else FLAGS & ~8
        pad = -(at + 30 + len(name) + 4) % ALIGNMENT
        body += pack("<4sHHHHHIIIHH", b"PK\3\4", 0, flags, 0, 0, 0, 0, 0, 0, len(name), pad + 4) + name + b"FB" + pack("<H", pad) + b"Z" * pad + content
        if content:
            body += pack("<4sIII", b"PK\7\x08", crc, size, size)
        directory += pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 0, 0, flags, 0, 0, 0, crc, size, size, len(name), 0, 0, 0, 0, 0, at) + name
    count, size, at = len(members), len(directory), len(body)
    end64 = pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 798, 45, 0, 0, count, count, size, at) + pack("<4sIQI", b"PK\6\7", 0, at + size, 1)
    return bytes(body + directory + end64 + pack("<4s4HIIH", b"PK\5\6", 0, 0, count, count, size, at, 0))
