"""The small records of a torch zip become text for people and the byte order of the storages, or a refusal (SL121).

Each record has a grammar of its own, the one that torch's writers keep to. torch's reader is laxer (`std::stoull` takes `3garbage`), and
a record that only a lax reader understands is no record that torch wrote.
"""

from __future__ import annotations

from collections.abc import Callable

from safeload.budget import Budget
from safeload.containers.base import Member
from safeload.containers.inflate import read_member
from safeload.containers.zip_names import shown
from safeload.errors import ContainerError
from safeload.limits import Limits
from safeload.source import ByteSource

RECORD_BYTES = 64  # the longest record, `.data/serialization_id`, has 40
VERSIONS = ("version", ".data/version")
VERSION_RANGE = range(1, 11)  # torch 1.4 wrote 1, 1.5 2, since 1.6 3; readers since 1.12 take up to 10 (inline_container.h)


def _digits(least: int, most: int) -> Callable[[bytes], bool]:
    return lambda data: least <= len(data) <= most and data.isdigit()  # of bytes: ASCII digits alone


GRAMMAR: dict[str, tuple[Callable[[bytes], bool], str]] = {
    "version": (_digits(1, 4), "a number and a newline"),
    ".data/version": (_digits(1, 4), "a number and a newline"),
    "byteorder": ((b"little", b"big").__contains__, "little or big"),
    ".format_version": (_digits(1, 4), "a number"),
    ".storage_alignment": (_digits(1, 10), "a number"),
    ".data/serialization_id": (_digits(40, 40), "40 digits"),
}
"""Record, below the archive's top folder, to its grammar, less the newline that may end a version, and what to call that."""


def read_record(source: ByteSource, record: str, member: Member, limits: Limits, budget: Budget | None = None) -> str:
    """The text of one record of `GRAMMAR`, its CRC-32 checked. Raises SL121 for a value that torch never writes."""
    fits, expected = GRAMMAR[record]
    if member.size > RECORD_BYTES:
        raise ContainerError(f"the record is {member.size:,} bytes long; torch writes {expected}", rule="SL121", member=member.name)
    data = read_member(source, member, limits, budget=budget)
    is_version = record in VERSIONS
    value = data.removesuffix(b"\n") if is_version else data
    if not fits(value):
        raise ContainerError(f"the record holds {shown(data)}; torch writes {expected}", rule="SL121", member=member.name)
    text = value.decode("ascii")
    if is_version and int(text) not in VERSION_RANGE:
        raise ContainerError(f"the archive has version {text}; torch reads {VERSION_RANGE[0]} to {VERSION_RANGE[-1]}", rule="SL121", member=member.name)
    return text
