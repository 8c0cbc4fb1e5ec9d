"""The records of a PAX header become what they change about the next member: its name and its length, and nothing else.

    length " " key "=" value "\\n"     length in decimal digits, of the whole record (POSIX pax, extended header)

Times, owners and notes are passed over: `tarfile` writes a PAX header for every file whose time has a fraction. Refuses keys that give a member another
meaning (links, sparse maps, character sets) or that nobody knows, keys given twice, and names or lengths for all members at once (SL142).
"""

from __future__ import annotations

import re

import msgspec

from safeload.budget import exceeded
from safeload.errors import ContainerError
from safeload.limits import KIB, Limits
from safeload.source import ByteSource

PAX_BYTES = 64 * KIB  # one header; real ones hold a path (4 KiB at most) and a few times, or an attribute that the file system bounds with 64 KiB
IGNORED = frozenset({b"mtime", b"atime", b"ctime", b"uid", b"gid", b"uname", b"gname", b"comment"})
IGNORED_PREFIXES = (b"SCHILY.", b"LIBARCHIVE.")  # inode numbers and attributes, by star and bsdtar
_LENGTH = re.compile(rb"([1-9][0-9]{0,5}) ")
_SIZE = re.compile(rb"(?:0|[1-9][0-9]{0,18})")


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in a PAX header about the next member; None: its own header says it."""

    path: bytes | None = None
    size: int | None = None


def read_pax(source: ByteSource, start: int, size: int, limits: Limits, *, is_global: bool) -> Overrides:
    """The header whose `size` bytes begin at `start`. Raises `ContainerError` SL142, `LimitExceeded`."""
    if size > PAX_BYTES:
        raise ContainerError(f"a PAX header of {size:,} bytes", rule="SL142", offset=start)
    values = _records(source.read(start, size), start)
    path, length = values.get(b"path"), values.get(b"size")
    for key in values:
        if key not in IGNORED and not key.startswith(IGNORED_PREFIXES) and (key not in (b"path", b"size") or is_global):
            raise ContainerError(f"a PAX header sets {ascii(key[:40])[1:]}, which changes what a member is", rule="SL142", offset=start)
    if path is not None and len(path) > limits.name_bytes:
        raise exceeded("name_bytes", limits.name_bytes, "a member name is longer", None, start)
    if path is not None and (not path or b"\0" in path):
        raise ContainerError("a PAX header holds an empty name, or one with a NUL", rule="SL142", offset=start)
    if length is not None and not _SIZE.fullmatch(length):
        raise ContainerError("the size in a PAX header is no number", rule="SL142", offset=start)
    return Overrides(path=path, size=int(length) if length is not None else None)


def _records(data: bytes, start: int) -> dict[bytes, bytes]:
    values: dict[bytes, bytes] = {}
    position = 0
    while position < len(data):
        match = _LENGTH.match(data, position)
        end = position + int(match[1]) if match is not None else 0
        record = data[match.end() : end] if match is not None else b""
        key, equals, value = record.partition(b"=")
        if not equals or not key or end > len(data) or not value.endswith(b"\n"):
            raise ContainerError("a record of a PAX header is malformed", rule="SL142", offset=start + position)
        if key in values:
            raise ContainerError(f"a PAX header sets {ascii(key[:40])[1:]} twice", rule="SL142", offset=start + position)
        values[key] = value[:-1]
        position = end
    return values
