"""The pass over all headers says what the judgement of each of them says, for every byte that can be wrong; and it does take what torch writes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from safeload.containers import zip_local, zip_pass
from safeload.errors import CheckpointError

from .zipbuild import Part, build, read

TORCH = [Part(b"archive/data.pkl", b"N."), *(Part(b"archive/data/%d" % number, bytes([number]) * (3 + number * 7)) for number in range(12))]
SHAPES: dict[str, list[Part]] = {
    "torch": TORCH,
    "empty members between": [TORCH[0], Part(b"archive/data/a"), TORCH[2], Part(b"archive/data/b"), TORCH[4], TORCH[5]],
    "deflated": [Part(part.name, part.data, method=8) for part in TORCH],
    "without descriptors": [Part(part.name, part.data, flags=0x0800) for part in TORCH],
    "large members between": [Part(part.name, part.data * 700, crc=0) for part in TORCH],
}


def outcome(data: bytes) -> Any:
    try:
        found = read(data)
    except CheckpointError as error:
        return error.rule, error.message, error.member, error.offset, error.partial
    return list(found.members.items()), found.accounted


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Any]:
    """The outcome without the pass: no header is ever like another one."""

    def run(data: bytes) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(zip_pass, "_beginning", lambda *_: (b"", (-1, -1)))
            return outcome(data)

    return run


def headers_of(parts: list[Part], data: bytes) -> list[int]:
    """The places of all bytes in front of the directory that are no payload."""
    payload: set[int] = set()
    for part, member in zip(parts, read(data).members.values(), strict=True):
        assert member.name == part.name.decode()
        payload.update(range(member.offset, member.offset + member.stored_size))
    return [at for at in range(data.index(b"PK\1\2")) if at not in payload]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_single_byte(shape: str, slowly: Callable[[bytes], Any]) -> None:
    data = build(SHAPES[shape])
    assert outcome(data) == slowly(data)
    rng = random.Random(shape)
    for at in headers_of(SHAPES[shape], data):
        for flip in (1, 0x80, rng.randrange(1, 256)):
            bent = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
            assert outcome(bent) == slowly(bent), (at, flip)


@pytest.mark.parametrize("shape", SHAPES)
def test_many_bytes_at_once(shape: str, slowly: Callable[[bytes], Any]) -> None:
    data = build(SHAPES[shape])
    rng = random.Random(f"many {shape}")
    for _ in range(400):
        bent = bytearray(data)
        for _ in range(rng.randrange(2, 6)):
            at = rng.randrange(len(bent) - 4)
            bent[at : at + 4] = rng.choice((b"PK\3\4", b"PK\7\x08", bytes(4), b"FB\0\0", bytes(bent[at - 64 : at - 60])))[: len(bent) - at]
        assert outcome(bytes(bent)) == slowly(bytes(bent))


def test_a_descriptor_that_is_that_of_another_member_is_seen(slowly: Callable[[bytes], Any]) -> None:
    """Same name lengths, same paddings: only the numbers differ."""
    parts = [Part(b"archive/data/%d" % number, bytes([number]) * 8) for number in range(6)]
    data = build(parts)
    members = list(read(data).members.values())
    ends = [member.offset + member.size for member in members]
    swapped = bytearray(data)
    swapped[ends[2] : ends[2] + 16], swapped[ends[3] : ends[3] + 16] = data[ends[3] : ends[3] + 16], data[ends[2] : ends[2] + 16]
    assert outcome(bytes(swapped))[0] == "SL114"
    assert outcome(bytes(swapped)) == slowly(bytes(swapped))


def test_the_bytes_of_a_first_header_do_not_vouch_for_others(slowly: Callable[[bytes], Any]) -> None:
    """A first header that is accepted for its own numbers is no model: the others would be taken with numbers that are not theirs."""
    data = bytearray(build(TORCH))
    data[14:18] = read(bytes(data)).members["archive/data.pkl"].crc.to_bytes(4, "little")
    assert outcome(bytes(data)) == outcome(build(TORCH))
    for at in [member.offset for member in read(bytes(data)).members.values()][1:]:
        start = data.rindex(b"PK\3\4", 0, at)
        bent = data[:]
        bent[start + 14 : start + 18] = data[14:18]
        assert outcome(bytes(bent))[0] == "SL110"
        assert outcome(bytes(bent)) == slowly(bytes(bent))


@pytest.mark.parametrize(("shape", "judged_one_by_one"), [("torch", 1), ("large members between", 1), ("deflated", 1), ("without descriptors", 13)])
def test_what_torch_writes_is_taken_in_the_pass(monkeypatch: pytest.MonkeyPatch, shape: str, judged_one_by_one: int) -> None:
    seen = []
    check = zip_local._check_header
    monkeypatch.setattr(zip_local, "_check_header", lambda windows, entry: (seen.append(entry[2]), check(windows, entry))[1])
    read(build(SHAPES[shape]))
    assert len(seen) == judged_one_by_one
