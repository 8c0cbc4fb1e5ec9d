"""One `Member` becomes its bytes: a private copy, inflated where it is deflated, of exactly the size that the directory records.

Refuses a member over the budget before it is read (SL901), a deflate stream that is broken, ends early or late, or gives another size (SL116), and
bytes without the recorded CRC-32 (SL115). torch builds miniz without the CRC check and accepts them; a CRC-32 of 0 means "not computed", as
torch writes with `compute_crc32=False`.
"""

from __future__ import annotations

import zlib

from safeload.budget import Budget, exceeded
from safeload.containers.base import STORED, Member
from safeload.containers.zip_local import located
from safeload.errors import ContainerError
from safeload.limits import MIB, Limits
from safeload.source import ByteSource

CHUNK_BYTES = 1 << 20
RATIO_FLOOR_BYTES = MIB  # below this a high ratio is no danger: a page of zeros deflates a thousandfold
RAW_DEFLATE = -zlib.MAX_WBITS  # no zlib header, as in zip


def read_member(source: ByteSource, member: Member, limits: Limits, *, budget: Budget | None = None, verify: bool = True) -> bytes:
    """The content of `member`. With `budget`, inflated bytes of all members of a file add up; `verify` checks the CRC-32.

    An error has the bytes in front of the damage as its `partial`, unless they are a storage's: zipfile gives them before it finds the damage.
    """
    if member.size > limits.member_bytes:
        raise exceeded("member_bytes", limits.member_bytes, f"the member is {member.size:,} bytes long, more", member.name)
    member = located(source, member)
    parts: list[bytes] = []
    try:
        if member.method == STORED:
            parts.append(source.read(member.offset, member.size))
        else:
            _inflate(source, member, limits, budget, parts)
        data = b"".join(parts)
        if verify:
            verify_crc(member, data)
    except ContainerError as error:
        if parts and member.role != "storage":
            data = b"".join(parts)
            error.partial = ByteSource(name=member.name, size=len(data), buffer=data)
        raise
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


def _inflate(source: ByteSource, member: Member, limits: Limits, budget: Budget | None, parts: list[bytes]) -> None:
    """What comes out, into `parts`; what came out before an error stands there, too."""
    _spend(member, limits, budget)
    inflater = zlib.decompressobj(RAW_DEFLATE)
    left = member.size
    for at in range(0, member.stored_size, CHUNK_BYTES):
        if inflater.eof:  # zlib would go on collecting the rest as unused data
            raise _broken(member, "it ends before its compressed bytes do")
        chunk = source.read(member.offset + at, min(CHUNK_BYTES, member.stored_size - at))
        try:
            part = inflater.decompress(chunk, left + 1)  # one byte more than allowed shows that there is more; 0 would mean no bound
        except zlib.error as error:
            parts.append(_before(source, member, at, chunk, budget or Budget(limits))[:left])
            raise _broken(member, str(error)) from None
        left -= len(part)
        parts.append(part)
        if left < 0:
            raise _broken(member, f"it inflates to more than the {member.size:,} bytes that the directory records")
    if not inflater.eof:
        raise _broken(member, "it does not end")
    if inflater.unused_data:
        raise _broken(member, "it ends before its compressed bytes do")
    if left:
        raise _broken(member, f"it inflates to {member.size - left:,} bytes, and the directory records {member.size:,}")


def _before(source: ByteSource, member: Member, at: int, chunk: bytes, budget: Budget) -> bytes:
    """What the chunk at `at`, in which the damage is, holds in front of it."""
    passed = (source.read(member.offset + start, CHUNK_BYTES) for start in range(0, at, CHUNK_BYTES))
    from safeload.containers.salvage import Zlib, salvaged  # few streams are broken

    return salvaged(Zlib(zlib.decompressobj(RAW_DEFLATE)), zlib.error, passed, chunk, CHUNK_BYTES, budget.check_time)


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
