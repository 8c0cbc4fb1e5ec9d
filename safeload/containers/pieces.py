"""One deflated `Member` becomes its bytes piece by piece, for what must not lie on the host whole: storages on their way to a device.

The same checks as `inflate.read_member`: the budget before a byte is inflated, the size and the CRC-32 behind the last. Whoever stops before the iterator
does has verified nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from safeload.budget import exceeded
from safeload.containers.base import Member
from safeload.containers.inflate import CHUNK_BYTES, RATIO_FLOOR_BYTES, RAW_DEFLATE
from safeload.errors import ContainerError
from safeload.limits import Limits
from safeload.source import ByteSource


def read_pieces(source: ByteSource, member: Member, limits: Limits) -> Iterator[bytes]:
    """Pieces of at most `CHUNK_BYTES`. What all members of a file inflate to was counted when it was judged; here one member is held to the limits."""
    for name, found, limit in (("member_bytes", member.size, limits.member_bytes), ("inflated_bytes", member.size, limits.inflated_bytes)):
        if found > limit:
            raise exceeded(name, limit, f"the member is {found:,} bytes long, more", member.name)
    if member.size > RATIO_FLOOR_BYTES and member.size > member.stored_size * limits.compression_ratio:
        raise exceeded("compression_ratio", limits.compression_ratio, f"{member.stored_size:,} bytes inflate to {member.size:,}, a higher ratio", member.name)
    inflater = zlib.decompressobj(RAW_DEFLATE)
    left, crc = member.size, 0
    for at in range(0, member.stored_size, CHUNK_BYTES):
        if inflater.eof:  # zlib would go on collecting the rest as unused data
            raise _broken(member, "it ends before its compressed bytes do")
        chunk = source.read(member.offset + at, min(CHUNK_BYTES, member.stored_size - at))
        full = True
        while (chunk or full) and not inflater.eof:  # a full piece may have left more in the inflater, also where all input is consumed
            room = min(left + 1, CHUNK_BYTES)  # one byte more than allowed shows that there is more; 0 would mean no bound
            try:
                piece = inflater.decompress(chunk, room)
            except zlib.error as error:
                raise _broken(member, str(error)) from None
            left -= len(piece)
            if left < 0:
                raise _broken(member, f"it inflates to more than the {member.size:,} bytes that the directory records")
            if piece:
                crc = zlib.crc32(piece, crc)
                yield piece
            chunk, full = inflater.unconsumed_tail, len(piece) == room
    if not inflater.eof:
        raise _broken(member, "it does not end")
    if inflater.unused_data:
        raise _broken(member, "it ends before its compressed bytes do")
    if left:
        raise _broken(member, f"it inflates to {member.size - left:,} bytes, and the directory records {member.size:,}")
    if member.crc and member.crc != crc:
        message = f"the bytes have the CRC-32 {crc:#010x}, and the directory records {member.crc:#010x}: the file is damaged or was changed"
        raise ContainerError(message, rule="SL115", member=member.name)


def _broken(member: Member, why: str) -> ContainerError:
    return ContainerError(f"the deflate stream is broken: {why}", rule="SL116", member=member.name)
