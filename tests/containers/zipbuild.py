"""Zips built byte by byte: laid out as torch.save lays them out, with any field of any record overridden.

`build([Part(b"archive/data.pkl", b"...")])` is an honest torch zip; each keyword bends one thing. The builder never validates.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from struct import pack

from safeload.containers.zip_directory import ZipDirectory, read_zip
from safeload.limits import DEFAULT_LIMITS, Limits
from safeload.source import ByteSource

TORCH_FLAGS = 0x0808
EMPTY_FLAGS = 0x0800
ALIGNMENT = 64


@dataclass
class Part:
    """One member. `local`, `central` override header fields by name; `descriptor` and the extras override whole byte strings."""

    name: bytes
    data: bytes = b""
    method: int = 0
    flags: int | None = None  # torch's: a descriptor unless empty
    crc: int | None = None
    local: dict[str, object] = field(default_factory=dict)
    central: dict[str, object] = field(default_factory=dict)
    descriptor: bytes | None = None
    local_extra: bytes | None = None  # torch's padding
    central_extra: bytes = b""
    central_comment: bytes = b""
    before: bytes = b""  # bytes that belong to nobody, before the local header
    after: bytes = b""  # and behind the descriptor
    central_only: bool = False  # an entry without local bytes of its own
    local_only: bool = False  # local bytes without an entry

    @property
    def stored(self) -> bytes:
        if self.method != 8:
            return self.data
        deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
        return deflater.compress(self.data) + deflater.flush()


def padding(position: int, name: bytes) -> bytes:
    """torch's `FB` block: data starts on a multiple of 64."""
    pad = -(position + 30 + len(name) + 4) % ALIGNMENT
    return b"FB" + pack("<H", pad) + b"Z" * pad


def build(
    parts: list[Part],
    *,
    zip64: bool = True,
    end: dict[str, int] | None = None,
    end64: dict[str, int] | None = None,
    locator: dict[str, int] | None = None,
    comment: bytes = b"",
    before_directory: bytes = b"",
    in_directory: bytes = b"",
    trailing: bytes = b"",
    start: int = 0,
) -> bytes:
    """The archive. `start` shifts all offsets, as if that many bytes stood before it."""
    body = bytearray()
    directory = bytearray()
    count = 0
    for part in parts:
        body += part.before
        offset = start + len(body)
        stored, crc = part.stored, zlib.crc32(part.data) if part.crc is None else part.crc
        flags = part.flags if part.flags is not None else TORCH_FLAGS if stored else EMPTY_FLAGS
        streamed = bool(flags & 8)
        if not part.central_only:
            body += _local(part, offset, flags, crc, stored, streamed) + stored
            if part.descriptor is not None:
                body += part.descriptor
            elif streamed:
                body += pack("<4sIII", b"PK\7\x08", crc, len(stored), len(part.data))
            body += part.after
        if not part.local_only:
            count += 1
            directory += _central(part, offset, flags, crc, stored)
    body += before_directory
    directory += in_directory
    numbers = (count, len(directory), start + len(body))
    return bytes(body + directory + end_records(*numbers, zip64=zip64, end=end, end64=end64, locator=locator, comment=comment) + trailing)


def end_records(
    count: int,
    size: int,
    offset: int,
    *,
    zip64: bool = True,
    end: dict[str, int] | None = None,
    end64: dict[str, int] | None = None,
    locator: dict[str, int] | None = None,
    comment: bytes = b"",
) -> bytes:
    """The records behind a directory of `size` bytes at `offset`."""
    out = b""
    if zip64:
        big = {"signature": b"PK\6\6", "rest": 44, "disk": 0, "directory_disk": 0, "here": count, "entries": count}
        big |= {"size": size, "offset": offset, **(end64 or {})}
        numbers = [big[key] for key in ("disk", "directory_disk", "here", "entries", "size", "offset")]
        out += pack("<4sQHHIIQQQQ", big["signature"], big["rest"], 798, 45, *numbers)
        point = {"disk": 0, "offset": offset + size, "disks": 1, **(locator or {})}
        out += pack("<4sIQI", b"PK\6\7", point["disk"], point["offset"], point["disks"])
    small = {"disk": 0, "directory_disk": 0, "here": min(count, 0xFFFF), "entries": min(count, 0xFFFF)}
    small |= {"size": min(size, 0xFFFFFFFF), "offset": min(offset, 0xFFFFFFFF), "comment": len(comment), **(end or {})}
    return out + pack("<4s4HIIH", b"PK\5\6", *[small[key] for key in ("disk", "directory_disk", "here", "entries", "size", "offset", "comment")]) + comment


def _local(part: Part, offset: int, flags: int, crc: int, stored: bytes, streamed: bool) -> bytes:
    values: dict[str, object] = {"signature": b"PK\3\4", "flags": flags, "method": part.method, "name": part.name}
    values |= {"crc": 0, "stored": 0, "size": 0} if streamed else {"crc": crc, "stored": len(stored), "size": len(part.data)}
    values |= part.local
    name = values["name"]
    assert isinstance(name, bytes)
    extra = part.local_extra if part.local_extra is not None else padding(offset, name)
    numbers = [values[key] for key in ("flags", "method")]
    lengths = [values.get("name_length", len(name)), values.get("extra_length", len(extra))]
    return pack("<4sHHHHHIIIHH", values["signature"], 0, *numbers, 0, 0, values["crc"], values["stored"], values["size"], *lengths) + name + extra


def _central(part: Part, offset: int, flags: int, crc: int, stored: bytes) -> bytes:
    values: dict[str, object] = {"signature": b"PK\1\2", "flags": flags, "method": part.method, "crc": crc, "stored": len(stored), "size": len(part.data)}
    values |= {"name": part.name, "disk": 0, "offset": offset, **part.central}
    name, extra = values["name"], part.central_extra
    assert isinstance(name, bytes)
    lengths = [values.get("name_length", len(name)), values.get("extra_length", len(extra)), len(part.central_comment)]
    numbers = [values[key] for key in ("crc", "stored", "size")]
    head = pack("<4sHHHHHHIII", values["signature"], 0, values.get("needed", 0), values["flags"], values["method"], 0, 0, *numbers)
    return head + pack("<HHHHHII", *lengths, values["disk"], 0, 0, values["offset"]) + name + extra + part.central_comment


def torch_parts(folder: bytes = b"archive", **records: bytes) -> list[Part]:
    """The members of a small checkpoint. A keyword replaces a record, `_` standing for `.` and `/`; `b""` leaves it out."""
    contents = {
        b"data.pkl": b"\x80\x02}q\0.",
        b".format_version": b"1",
        b".storage_alignment": b"64",
        b"byteorder": b"little",
        b"data/0": bytes(range(100)),
        b"data/1": b"",
        b"version": b"3\n",
        b".data/serialization_id": b"1234567890" * 4,
    }
    replaced = {key.replace("_", "").encode(): value for key, value in records.items()}
    parts = []
    for name, data in contents.items():
        plain = name.replace(b".", b"").replace(b"/", b"").replace(b"_", b"")
        if plain in replaced:
            data = replaced[plain]
            if not data:
                continue
        parts.append(Part(folder + b"/" + name, data))
    return parts


def source_of(data: bytes) -> ByteSource:
    """The bytes as a source in memory."""
    return ByteSource(name="<test>", size=len(data), buffer=data)


def read(data: bytes, limits: Limits = DEFAULT_LIMITS) -> ZipDirectory:
    """`read_zip` on bytes; what it accepts, it accounts for."""
    directory = read_zip(source_of(data), limits)
    assert directory.accounted == len(data)
    return directory
