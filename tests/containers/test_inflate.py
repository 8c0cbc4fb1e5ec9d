"""Reading members: SL115, SL116 and the budget for what inflates."""

from __future__ import annotations

import zlib

import pytest
from msgspec.structs import replace

from safeload.budget import Budget
from safeload.containers.base import DEFLATED, Member
from safeload.containers.inflate import read_member, verify_crc
from safeload.errors import ContainerError, LimitExceeded
from safeload.limits import DEFAULT_LIMITS, MIB

from .zipbuild import source_of


def deflated(data: bytes) -> tuple[bytes, Member]:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    stored = deflater.compress(data) + deflater.flush()
    return stored, Member(name="m", offset=0, size=len(data), stored_size=len(stored), method=DEFLATED, crc=zlib.crc32(data))


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 2_000, bytes(MIB)], ids=len)
def test_both_methods_give_the_bytes_back(data: bytes) -> None:
    stored, member = deflated(data)
    assert read_member(source_of(stored), member, DEFAULT_LIMITS) == data
    plain = Member(name="m", offset=2, size=len(data), stored_size=len(data), crc=zlib.crc32(data))
    assert read_member(source_of(b"??" + data), plain, DEFAULT_LIMITS) == data


def test_incompressible_data_beyond_one_chunk() -> None:
    data = zlib.compress(bytes(1)) + b"".join(zlib.crc32(index.to_bytes(4, "little")).to_bytes(4, "little") for index in range(600_000))
    stored, member = deflated(data)
    assert member.stored_size > 2 * MIB
    assert read_member(source_of(stored), member, DEFAULT_LIMITS) == data


def test_a_wrong_crc_is_sl115_and_zero_means_not_computed() -> None:
    member = Member(name="m", offset=0, size=3, stored_size=3, crc=zlib.crc32(b"xyz"))
    assert verify_crc(member, b"xyz") is True
    assert verify_crc(replace(member, crc=0), b"abc") is False
    assert read_member(source_of(b"abc"), member, DEFAULT_LIMITS, verify=False) == b"abc"
    with pytest.raises(ContainerError) as caught:
        read_member(source_of(b"abc"), member, DEFAULT_LIMITS)
    assert caught.value.rule == "SL115"


def test_an_empty_member_has_the_crc_zero_and_no_other() -> None:
    member = Member(name="m", offset=0, size=0, stored_size=0)
    assert verify_crc(member, b"") is True
    with pytest.raises(ContainerError, match="SL115"):
        verify_crc(replace(member, crc=1), b"")


@pytest.mark.parametrize(
    ("bend", "why"),
    [
        (lambda stored, member: (stored, replace(member, size=member.size - 1)), "more than"),
        (lambda stored, member: (stored, replace(member, size=member.size + 1)), "inflates to"),
        (lambda stored, member: (stored[:-1], replace(member, stored_size=member.stored_size - 1)), "does not end"),
        (lambda stored, member: (stored + b"?", replace(member, stored_size=member.stored_size + 1)), "ends before"),
        (lambda stored, member: (stored + bytes(2 * MIB), replace(member, stored_size=member.stored_size + 2 * MIB)), "ends before"),
        (lambda stored, member: (b"\xff" * len(stored), member), "invalid"),
        (lambda stored, member: (b"", replace(member, stored_size=0)), "does not end"),
    ],
)
def test_a_stream_that_does_not_give_exactly_its_size_is_sl116(bend: object, why: str) -> None:
    stored, member = bend(*deflated(b"abcdefgh" * 40))  # type: ignore[operator]
    with pytest.raises(ContainerError, match=why) as caught:
        read_member(source_of(stored), member, DEFAULT_LIMITS)
    assert caught.value.rule == "SL116"


def test_what_stands_behind_the_end_of_a_stream_is_not_even_read() -> None:
    stored, member = deflated(b"abc")
    with pytest.raises(ContainerError, match="SL116"):
        read_member(source_of(stored.ljust(MIB)), replace(member, stored_size=3 * MIB), DEFAULT_LIMITS)


def test_member_bytes_bound_one_member() -> None:
    stored, member = deflated(b"x" * 100)
    assert read_member(source_of(stored), member, DEFAULT_LIMITS.replaced({"member_bytes": 100}))
    with pytest.raises(LimitExceeded, match="member_bytes"):
        read_member(source_of(stored), member, DEFAULT_LIMITS.replaced({"member_bytes": 99}))


def test_inflated_bytes_add_up_over_a_file() -> None:
    stored, member = deflated(b"x" * 100)
    limits = DEFAULT_LIMITS.replaced({"inflated_bytes": 250})
    budget = Budget(limits)
    for _ in range(2):
        assert read_member(source_of(stored), member, limits, budget=budget)
    with pytest.raises(LimitExceeded, match="inflated_bytes"):
        read_member(source_of(stored), member, limits, budget=budget)
    assert read_member(source_of(stored), member, limits)


def test_a_bomb_is_refused_by_its_ratio_before_a_byte_is_inflated() -> None:
    stored, member = deflated(bytes(2 * MIB))
    with pytest.raises(LimitExceeded, match="compression_ratio"):
        read_member(source_of(b""), member, DEFAULT_LIMITS)
    assert read_member(source_of(stored), member, DEFAULT_LIMITS.replaced({"compression_ratio": 1032})) == bytes(2 * MIB)
    small, fits = deflated(bytes(MIB))
    assert read_member(source_of(small), fits, DEFAULT_LIMITS) == bytes(MIB)


def test_a_bomb_that_hides_its_size_never_gives_more_than_it_records() -> None:
    stored, member = deflated(bytes(64 * MIB))
    with pytest.raises(ContainerError, match="SL116"):
        read_member(source_of(stored), replace(member, size=1000), DEFAULT_LIMITS)
