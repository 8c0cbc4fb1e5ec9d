"""Members become the bytes of a ustar archive: the plain kind that `safeload.containers.tar` reads, the same bytes on every system."""

from __future__ import annotations

BLOCK, RECORD = 512, 10_240


def pack(members: dict[bytes, bytes]) -> bytes:
    """The archive of these members, in order."""
    out = b"".join(_header(name, len(content)) + content.ljust(-(-len(content) // BLOCK) * BLOCK, b"\0") for name, content in members.items())
    return out.ljust(-(-(len(out) + 2 * BLOCK) // RECORD) * RECORD, b"\0")


def _header(name: bytes, size: int) -> bytes:
    block = bytearray(BLOCK)
    block[: len(name)] = name
    for at, number, digits in ((100, 0o644, 7), (108, 0, 7), (116, 0, 7), (124, size, 11), (136, 0, 11)):
        block[at : at + digits] = b"%0*o" % (digits, number)
    block[148:156], block[156:157], block[257:265] = b" " * 8, b"0", b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)
