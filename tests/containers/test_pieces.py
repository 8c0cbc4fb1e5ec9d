"""pieces: what `read_member` gives, in pieces; and what it refuses is refused here too."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.containers import pieces
from safeload.containers.base import DEFLATED, Member
from safeload.containers.inflate import CHUNK_BYTES, read_member
from safeload.containers.pieces import read_pieces
from safeload.errors import ContainerError, LimitExceeded
from safeload.limits import Limits
from safeload.source import ByteSource


def deflated(content: bytes, **other: int) -> tuple[ByteSource, Member]:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    stored = packer.compress(content) + packer.flush()
    fields = {"offset": 0, "size": len(content), "stored_size": len(stored), "crc": zlib.crc32(content)} | other
    return ByteSource(name="x", size=len(stored), buffer=stored), Member(name="m", method=DEFLATED, **fields)


@given(st.binary(max_size=3000), st.integers(1, 400), st.sampled_from([1, 7, 64, CHUNK_BYTES]))
def test_the_pieces_are_the_whole(content: bytes, times: int, chunk: int) -> None:
    source, member = deflated(content * times)
    before, pieces.CHUNK_BYTES = pieces.CHUNK_BYTES, chunk
    try:
        found = list(read_pieces(source, member, Limits())) if chunk > 1 or member.size < 5000 else [content * times]
    finally:
        pieces.CHUNK_BYTES = before
    assert b"".join(found) == content * times
    assert all(0 < len(piece) <= max(chunk, 1) for piece in found) or chunk == 1


@pytest.mark.parametrize(
    ("other", "rule"),
    [({"size": 99}, "SL116"), ({"size": 101}, "SL116"), ({"crc": 5}, "SL115"), ({"stored_size": 20}, "SL116")],
)
def test_what_the_directory_says_is_held_to(other: dict[str, int], rule: str) -> None:
    source, member = deflated(bytes(range(100)), **other)
    for read in (lambda: list(read_pieces(source, member, Limits())), lambda: read_member(source, member, Limits())):
        with pytest.raises(ContainerError) as error:
            read()
        assert error.value.rule == rule


def test_bytes_behind_the_stream_and_damage_in_it() -> None:
    source, _ = deflated(bytes(100))
    longer = ByteSource(name="x", size=source.size + 3, buffer=source.read(0, source.size) + b"abc")
    with pytest.raises(ContainerError, match="ends before its compressed bytes do"):
        list(read_pieces(longer, Member(name="m", offset=0, size=100, stored_size=longer.size, method=DEFLATED), Limits()))
    behind = source.read(0, source.size) + bytes(CHUNK_BYTES)  # the stream ends in the first chunk, and a second follows
    longest = ByteSource(name="x", size=len(behind), buffer=behind)
    with pytest.raises(ContainerError, match="ends before its compressed bytes do"):
        list(read_pieces(longest, Member(name="m", offset=0, size=100, stored_size=longest.size, method=DEFLATED), Limits()))
    broken = ByteSource(name="x", size=10, buffer=b"\xff" * 10)
    with pytest.raises(ContainerError, match="deflate stream is broken"):
        list(read_pieces(broken, Member(name="m", offset=0, size=100, stored_size=10, method=DEFLATED), Limits()))


@pytest.mark.parametrize("limits", [{"member_bytes": 99}, {"inflated_bytes": 99}])
def test_the_limits_come_first(limits: dict[str, int]) -> None:
    source, member = deflated(bytes(100))
    with pytest.raises(LimitExceeded):
        next(read_pieces(source, member, Limits(**limits)))


def test_a_bomb_is_refused_before_a_byte() -> None:
    source, member = deflated(bytes(4 << 20))
    with pytest.raises(LimitExceeded, match="ratio"):
        next(read_pieces(source, member, Limits()))
