"""One 512-byte block of a tar archive becomes a `Header`, or nothing where it holds zeros alone.

POSIX ustar (`ustar`, NUL, `00`), GNU (`ustar`, two blanks, NUL) and the older form without a magic. Refuses a wrong checksum, numbers that are none, and
bytes where no field is (SL141): readers disagree about what stands there. Refuses everything that is neither file, folder nor a header about the
next one: links, devices, sparse files, volumes (SL142).
"""

from __future__ import annotations

import re

import msgspec

from safeload.errors import ContainerError

BLOCK_BYTES = 512
USTAR, GNU, PLAIN = b"ustar\x0000", b"ustar  \x00", bytes(8)
NAME, MODE, UID, GID, SIZE, MTIME = slice(0, 100), slice(100, 108), slice(108, 116), slice(116, 124), slice(124, 136), slice(136, 148)
CHECKSUM, TYPE, LINK, MAGIC, OWNER, GROUP = slice(148, 156), slice(156, 157), slice(157, 257), slice(257, 265), slice(265, 297), slice(297, 329)
MAJOR, MINOR, PREFIX, REST = slice(329, 337), slice(337, 345), slice(345, 500), slice(500, 512)
MAX_BASE_256 = 1 << 63  # GNU tar writes numbers that octal digits cannot hold as big-endian bytes, the first with its high bit set

TYPES = {"0": "a file", "\0": "a file", "5": "a folder", "x": "a PAX header", "g": "a global PAX header", "L": "a GNU long name"}
REFUSED = {
    "1": "a hard link", "2": "a symbolic link", "3": "a character device", "4": "a block device", "6": "a FIFO", "7": "a contiguous file",
    "S": "a sparse file", "K": "a GNU long link", "M": "a part of a file on several volumes", "V": "a volume label", "D": "a GNU dump folder",
    "N": "an old GNU long name", "X": "a Solaris header",
}  # fmt: skip
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a block says about the bytes behind it. `type` is a key of `TYPES`; `size` counts bytes, `name` is as it stands there, prefix included."""

    name: bytes
    size: int
    type: str

    @property
    def is_folder(self) -> bool:
        """A folder holds no bytes."""
        return self.type == "5"


def read_header(block: bytes, at: int) -> Header | None:
    """The header at offset `at`. None for a block of zeros. Raises SL141, SL142."""
    if not any(block):
        return None
    if _number(block[CHECKSUM], at) != sum(block) - sum(block[CHECKSUM]) + 8 * ord(" "):
        raise ContainerError("the checksum of a tar header is wrong", rule="SL141", offset=at)
    kind = block[TYPE].decode("latin-1")
    if kind not in TYPES:
        raise ContainerError(f"a member of the tar archive is {REFUSED.get(kind, 'of a type that no tool writes')}", rule="SL142", offset=at)
    size = _number(block[SIZE], at)
    for field in (MODE, UID, GID, MTIME, MAJOR, MINOR):
        _number(block[field], at)
    if any(block[LINK]) or any(block[REST]):
        raise ContainerError("a tar header holds bytes where this kind of member has none", rule="SL141", offset=at)
    return Header(name=_name(block, at), size=size, type=kind)


def _name(block: bytes, at: int) -> bytes:
    """The name, behind its prefix where the header is POSIX's: GNU's has times there, which no honest small archive uses."""
    name, magic = _text(block[NAME], at), block[MAGIC]
    for field in (OWNER, GROUP):
        _text(block[field], at)
    if magic == USTAR:
        prefix = _text(block[PREFIX], at)
        return prefix + b"/" + name if prefix else name
    if magic not in (GNU, PLAIN) or any(block[PREFIX]) or (magic == PLAIN and any(block[OWNER.start : MINOR.stop])):
        raise ContainerError("a tar header is neither POSIX ustar, GNU nor the plain form", rule="SL141", offset=at)
    return name


def _text(field: bytes, at: int) -> bytes:
    """Up to the first NUL; behind it only more of them, for what stands there some readers see and others do not."""
    text, _, rest = field.partition(b"\0")
    if any(rest):
        raise ContainerError("a field of a tar header holds bytes behind its end", rule="SL141", offset=at)
    return text


def _number(field: bytes, at: int) -> int:
    """Octal digits, or GNU's base-256 for what they cannot hold."""
    match = _OCTAL.fullmatch(field)
    if match is not None:
        return int(match[1] or b"0", 8)
    if field[0] == 0x80:
        number = int.from_bytes(field[1:], "big")
        if number < MAX_BASE_256:
            return number
    raise ContainerError("a number in a tar header is none", rule="SL141", offset=at)
