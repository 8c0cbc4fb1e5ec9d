"""The extra field of a directory entry or local header becomes the payload of its zip64 block, if it has one.

An extra field is a sequence of `tag u16, length u16, bytes` (APPNOTE 4.5.1) that must fill it exactly; all releases of torch pad with one such
block, tag `FB`. Blocks that give the member another name (SL113) or say that it is encrypted (SL111) are refused, two zip64 blocks and blocks that
overflow the field by the caller's rule; all others (times, owners, padding) mean nothing here.
"""

from __future__ import annotations

from struct import Struct

from safeload.errors import ContainerError

TAG_ZIP64 = 0x0001
TAG_UNICODE_PATH = 0x7075  # Info-ZIP: another name, which zipfile since CPython 3.11.4 and unzip prefer
TAGS_ENCRYPTION = frozenset({0x0017, 0x9901})  # PKWARE strong encryption, WinZip AES
TAG_PADDING = int.from_bytes(b"FB", "little")  # torch, inline_container.cc

BLOCK = Struct("<HH")


def zip64_block(extra: bytes, member: str, rule: str) -> bytes | None:
    """The payload of the zip64 block in `extra`, None where there is none. What is malformed breaks `rule`."""
    found: bytes | None = None
    at = 0
    while at < len(extra):
        if at + BLOCK.size > len(extra):
            raise ContainerError(f"{len(extra) - at} stray bytes at the end of an extra field", rule=rule, member=member)
        tag, length = BLOCK.unpack_from(extra, at)
        at += BLOCK.size
        if at + length > len(extra):
            raise ContainerError(f"a block of {length:,} bytes overflows an extra field of {len(extra):,}", rule=rule, member=member)
        if tag == TAG_ZIP64:
            if found is not None:
                raise ContainerError("an extra field holds two zip64 blocks", rule=rule, member=member)
            found = extra[at : at + length]
        elif tag == TAG_UNICODE_PATH:
            raise ContainerError("an extra field gives the member a second name (Info-ZIP Unicode path)", rule="SL113", member=member)
        elif tag in TAGS_ENCRYPTION:
            raise ContainerError(f"an extra field (tag {tag:#06x}) says that the member is encrypted", rule="SL111", member=member)
        at += length
    return found
