"""What a damaged compressed file holds in front of the damage: no reader that goes bit by bit has seen more than was salvaged."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import zlib
from collections.abc import Callable
from functools import partial
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.budget import Budget
from safeload.containers.base import DEFLATED, Member
from safeload.containers.compressed import codec_of, inflate
from safeload.containers.inflate import CHUNK_BYTES, read_member
from safeload.errors import CheckpointError
from safeload.limits import DEFAULT_LIMITS
from safeload.source import ByteSource

OPENERS: dict[str, tuple[Callable[[bytes], bytes], Callable[[IO[bytes]], IO[bytes]]]] = {
    "gzip": (gzip.compress, lambda file: gzip.GzipFile(fileobj=file)),
    "bzip2": (bz2.compress, bz2.BZ2File),
    "xz": (lzma.compress, lzma.LZMAFile),
    "lzma": (lambda data: lzma.compress(data, lzma.FORMAT_ALONE), partial(lzma.LZMAFile, format=lzma.FORMAT_ALONE)),
}
"""What compresses, and what gives the content to a reader who asks for it byte by byte."""


def content(seed: int, length: int) -> bytes:
    """Half of it compresses, half does not."""
    chance = random.Random(seed)
    return (chance.randbytes(length // 2) + b"spam and eggs " * (length // 28 + 1))[:length]


def seen(file: IO[bytes]) -> tuple[bytes, bool]:
    """What a reader has, byte by byte, before the library finds the damage; and whether it found any."""
    got = bytearray()
    try:
        while byte := file.read(1):
            got += byte
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return bytes(got), True
    return bytes(got), False


def ours(data: bytes) -> tuple[bytes, bool]:
    """What we have of it, and whether it was refused."""
    codec = codec_of(data[:16])
    assert codec is not None
    source = ByteSource(name="file", size=len(data), buffer=data)
    try:
        inner = inflate(source, codec, DEFAULT_LIMITS, Budget(DEFAULT_LIMITS))
    except CheckpointError as error:
        return (error.partial.read(0, error.partial.size) if isinstance(error.partial, ByteSource) else b""), True
    return inner.read(0, inner.size), False


@pytest.mark.parametrize("name", OPENERS)
@given(st.integers(0, 1 << 20), st.sampled_from([0, 40, 5_000, 90_000]), st.floats(0, 1), st.sampled_from(["cut", "flip", "behind"]))
def test_no_reader_has_seen_more(name: str, seed: int, length: int, where: float, damage: str) -> None:
    compress, open_ = OPENERS[name]
    data = content(seed, length)
    whole = compress(data)
    at = 20 + int(where * (len(whole) - 20)) if len(whole) > 20 else len(whole)
    at = min(at, len(whole) - 1)
    if damage == "cut":
        whole = whole[:at]
    elif damage == "flip":
        whole = whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :]
    else:
        whole += b"behind"
    theirs, broken = seen(open_(io.BytesIO(whole)))
    mine, refused = ours(whole)
    assert refused or not broken
    assert mine.startswith(theirs)


@pytest.mark.parametrize("name", OPENERS)
def test_all_in_front_of_a_checksum_is_there(name: str) -> None:
    """Also where the library gives nothing of the step in which it compares."""
    compress, _ = OPENERS[name]
    data = content(7, 300_000)
    whole = compress(data)
    mine, refused = ours(whole[:-1] if name != "lzma" else whole + b"x")
    assert refused
    assert mine == data


def test_damage_in_a_later_chunk() -> None:
    """What was in the chunks before it is not given twice."""
    data = random.Random(1).randbytes(900_000)
    whole = gzip.compress(data, 1)
    broken = whole[:-8] + bytes(byte ^ 1 for byte in whole[-8:-4]) + whole[-4:]
    assert ours(broken) == (data, True)


def test_damage_in_a_later_stream() -> None:
    first, second = b"first " * 1_000, b"second " * 1_000
    whole = gzip.compress(first) + gzip.compress(second)
    assert ours(whole[:-8] + b"\0" * 8) == (first + second, True)


def test_chunks_that_inflate_to_many_times_their_size_pass_as_well() -> None:
    """The chunks in front of the damage go through the second inflater whole, however much more than one step of its output they hold."""
    data = b"x" * (4 * CHUNK_BYTES) + random.Random(5).randbytes(CHUNK_BYTES + 20_000)
    packer = zlib.compressobj(wbits=-15)
    stored = packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH) + b"\xff" * 8  # a block of a type that does not exist
    assert CHUNK_BYTES < len(stored) < 2 * CHUNK_BYTES
    member = Member(name="m", offset=0, size=len(data) + 1, stored_size=len(stored), method=DEFLATED, role="pickle")
    with pytest.raises(CheckpointError) as caught:
        read_member(ByteSource(name="file", size=len(stored), buffer=stored), member, DEFAULT_LIMITS)
    held = caught.value.partial
    assert isinstance(held, ByteSource) and held.read(0, held.size) == data


@pytest.mark.parametrize("role", ["pickle", "record", "unknown", "storage"])
def test_a_member(role: str) -> None:
    """The bytes of a storage are numbers and no program: nobody asks for them."""
    data = content(3, 50_000)
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(data) + packer.flush()
    for stored, size, crc in ((packed, len(data), 1), (packed[:-4], len(data), 0), (packed, len(data) - 1, 0), (packed + b"x", len(data), 0)):
        member = Member(name="m", offset=0, size=size, stored_size=len(stored), method=DEFLATED, crc=crc, role=role)  # type: ignore[arg-type]
        with pytest.raises(CheckpointError) as caught:
            read_member(ByteSource(name="file", size=len(stored), buffer=stored), member, DEFAULT_LIMITS)
        held = caught.value.partial
        if role == "storage":
            assert held is None
        else:
            assert isinstance(held, ByteSource)
            got = held.read(0, held.size)
            assert got == data[: len(got)]
            assert len(got) >= len(data) - 2_000
