"""What every container reader turns its bytes into: `Container`, with named members and every byte accounted for."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from safeload.findings import Finding
from safeload.source import ByteSource

Role = Literal["pickle", "storage", "record", "directory", "file", "code", "unknown"]  # a file has members of its own, read one stage later
NAMED_ALONE = frozenset({"hdf5", "msgpack"})  # formats of files that are looked into and not taken apart: no byte of them is accounted for
STORED = 0
DEFLATED = 8
COUNT_BYTES = 8  # of the number of elements in front of each payload of torch's sequential format
UNREAD_COUNTS = "unread_counts"  # in `Container.info`: how many of these were not read, since the file lies behind a network


class Pending(msgspec.Struct, frozen=True):
    """The directory entry of a member behind a network whose local header was not fetched, and where whatever follows the member starts."""

    entry: Any  # `zip_central.Entry`
    following: int


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One named range of bytes.

    `offset` is where its (possibly compressed) data starts, from the start of the source; `size` its length when read, `stored_size` its length in
    the file. `crc` is the recorded CRC-32, 0 for "not computed" (torch's `compute_crc32=False`).
    """

    name: str
    offset: int
    size: int
    stored_size: int
    method: int = STORED
    crc: int = 0
    role: Role = "unknown"
    pending: Pending | None = None  # then `offset` is the least that it can be; `zip_local.located` reads the header


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What the directory of a refused archive says of one member: its header at `start`, its data up to `end`.

    `exact`: the local header was read and agrees. Otherwise `end` is the least that it can be, without the header's extra fields.
    """

    name: str
    start: int
    end: int
    exact: bool


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, and where the directory stands: for a picture of what does not fit. Nothing is judged or read by them."""

    members: tuple[Claim, ...]
    directory: int


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """A file taken apart without interpreting any pickle.

    `pickles` names the members that hold the streams to judge, in order; `storages` maps a torch storage key to its member.
    `accounted` counts the bytes that belong to a member, a header, a directory or padding by rule; a reader refuses the rest.
    """

    format: str  # torch.zip, pickle, ...
    source: ByteSource
    members: dict[str, Member]
    pickles: tuple[str, ...] = ()
    storages: dict[str, Member] = {}
    accounted: int = 0
    byteorder: Literal["little", "big"] = "little"
    findings: tuple[Finding, ...] = ()
    wrappers: tuple[str, ...] = ()  # the compressions around it, outermost last: `source` holds what was in them
    unpacked_from: int | None = None  # bytes of the file that `source` was unpacked from, where that file is no compressed stream around it
    detail: Any = None  # what the format's own reader needs beside the members: a parsed header
    info: dict[str, str] = {}  # version, format_version, storage_alignment, prefix ...: as text, for people
