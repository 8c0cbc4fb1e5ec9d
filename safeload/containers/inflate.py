"""One `Member` becomes its bytes: a private copy, inflated where it is deflated, of exactly the size that the directory records.

Refuses a member over the budget before it is read (SL901), a deflate stream that is broken, ends early or late, or gives another size (SL116), and
bytes without the recorded CRC-32 (SL115). torch builds miniz without the CRC check and accepts them; a CRC-32 of 0 means "not computed", as
torch writes with `compute_crc32=False`.
"""

from __future__ import annotations

import zlib

from safeload.budget import Budget, exceeded
from safeload.containers.base import STORED, Member
from safeload.errors import ContainerError
from safeload.limits import MIB, Limits
from safeload.source import ByteSource

CHUNK_BYTES = 1 << 20
RATIO_FLOOR_BYTES = MIB  # below this a high ratio is no danger: a page of zeros deflates a thousandfold
RAW_DEFLATE = -zlib.MAX_WBITS  # no zlib header, as in zip


def read_member(source: ByteSource, member: Member, limits: Limits, *, budget: Budget | None = None, verify: bool = True) -> bytes:
    """The content of `member`. With `budget`, inflated bytes of all members of a file add up; `verify` checks the CRC-32."""
    if member.size > limits.member_bytes:
        raise exceeded("member_bytes", limits.member_bytes, f"the member is {member.size:,} bytes long, more", member.name)
    data = source.read(member.offset, member.size) if member.method == STORED else _inflated(source, member, limits, budget)
    if verify:
        verify_crc(member, data)
    return data


def verify_crc(member: Member, data: bytes) -> bool:
    """Does `data` have the recorded CRC-32? False where none was recorded; SL115 where it has another."""
    if member.crc == 0 and member.size:
        return False
    found = zlib.crc32(data)
    if found != member.crc:
        raise ContainerError(
            f"the bytes have the CRC-32 {found:#010x}, and the directory records {member.crc:#010x}: the file is damaged or was changed",
            rule="SL115",
            member=member.name,
        )
    return True


def _inflated(source: ByteSource, member: Member, limits: Limits, budget: Budget | None) -> bytes:
    _spend(member, limits, budget)
    inflater = zlib.decompressobj(RAW_DEFLATE)
    parts: list[bytes] = []
    left = member.size
    for at in range(0, member.stored_size, CHUNK_BYTES):
        if inflater.eof:  # zlib would go on collecting the rest as unused data
            raise _broken(member, "it ends before its compressed bytes do")
        chunk = source.read(member.offset + at, min(CHUNK_BYTES, member.stored_size - at))
        try:
            part = inflater.decompress(chunk, left + 1)  # one byte more than allowed shows that there is more; 0 would mean no bound
        except zlib.error as error:
            raise _broken(member, str(error)) from None
        left -= len(part)
        if left < 0:
            raise _broken(member, f"it inflates to more than the {member.size:,} bytes that the directory records")
        parts.append(part)
    if not inflater.eof:
        raise _broken(member, "it does not end")
    if inflater.unused_data:
        raise _broken(member, "it ends before its compressed bytes do")
    if left:
        raise _broken(member, f"it inflates to {member.size - left:,} bytes, and the directory records {member.size:,}")
    return b"".join(parts)


def _spend(member: Member, limits: Limits, budget: Budget | None) -> None:
    """Hold the recorded sizes against the budget before a byte is inflated; more than recorded is never produced."""
    if member.size > RATIO_FLOOR_BYTES and member.size > member.stored_size * limits.compression_ratio:
        what = f"{member.stored_size:,} bytes inflate to {member.size:,}, a higher ratio"
        raise exceeded("compression_ratio", limits.compression_ratio, what, member.name)
    total = member.size
    if budget is not None:
        budget.inflated_bytes += member.size
        total = budget.inflated_bytes
    if total > limits.inflated_bytes:
        raise exceeded("inflated_bytes", limits.inflated_bytes, f"the file inflates to {total:,} bytes, more", member.name)


def _broken(member: Member, why: str) -> ContainerError:
    return ContainerError(f"the deflate stream is broken: {why}", rule="SL116", member=member.name)
