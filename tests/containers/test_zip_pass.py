"""What takes many headers or entries at once says what the judgement of each of them says, for every byte that can be wrong; and takes what torch writes."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from struct import pack
from typing import Any

import bigzip
import pytest

from safeload.containers import zip_central, zip_local, zip_pass
from safeload.containers.zip_directory import read_zip
from safeload.errors import CheckpointError
from safeload.limits import DEFAULT_LIMITS
from safeload.source import open_source

from .zipbuild import Part, build, read

TORCH = [Part(b"archive/data.pkl", b"N."), *(Part(b"archive/data/%d" % number, bytes([number]) * (3 + number * 7)) for number in range(12))]
SHAPES: dict[str, list[Part]] = {
    "torch": TORCH,
    "empty members between": [TORCH[0], Part(b"archive/data/a"), TORCH[2], Part(b"archive/data/b"), TORCH[4], TORCH[5]],
    "deflated": [Part(part.name, part.data, method=8) for part in TORCH],
    "without descriptors": [Part(part.name, part.data, flags=0x0800) for part in TORCH],
    "large members between": [Part(part.name, part.data * 700, crc=0) for part in TORCH],
}


def outcome(data: bytes | Path) -> Any:
    try:
        if isinstance(data, Path):
            with open_source(data, DEFAULT_LIMITS) as source:
                found = read_zip(source, DEFAULT_LIMITS)
        else:
            found = read(data)
    except CheckpointError as error:
        return error.rule, error.message, error.member, error.offset, error.partial
    return list(found.members.items()), found.accounted


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes | Path], Any]:
    """The outcome one by one: no header or entry is ever like another one."""

    def run(data: bytes | Path) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(zip_pass, "_beginning", lambda *_: (b"", (-1, -1)))
            patch.setattr(zip_central, "_alike", lambda *_: ([], 0))
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


@pytest.mark.parametrize("shape", SHAPES)
def test_every_byte_of_the_directory(shape: str, slowly: Callable[[bytes], Any]) -> None:
    data = build(SHAPES[shape])
    rng = random.Random(f"directory {shape}")
    for at in range(data.index(b"PK\1\2"), len(data)):
        for flip in (1, 0x80, rng.randrange(1, 256)):
            bent = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
            assert outcome(bent) == slowly(bent), (at, flip)


@pytest.mark.parametrize("odd", ["archive/data/\u00e9", "archive/data/9\n", "archive/data/\x7f9", "archive/data/99"])
def test_a_name_among_many(odd: str, slowly: Callable[[bytes], Any]) -> None:
    """Of the length of its neighbours in bytes, or not; a newline parts no names."""
    parts = [Part(b"archive/data/%d" % number) for number in range(10, 90)]
    parts[40] = Part(odd.encode())
    data = build(parts)
    assert outcome(data) == slowly(data)


@pytest.mark.parametrize("number", [-1, 0xFFFF_FFFE, 0xFFFF_FFFF])
@pytest.mark.parametrize("at", [20, 24, 42])
def test_sizes_and_offsets_at_the_end_of_their_range(number: int, at: int, slowly: Callable[[bytes], Any]) -> None:
    data = bytearray(build([Part(b"archive/data/%d" % number, b"1234") for number in range(10, 60)]))
    entry = data.index(b"PK\1\2") + 30 * (46 + len("archive/data/10"))
    data[entry + at : entry + at + 4] = (number & 0xFFFFFFFF).to_bytes(4, "little")
    assert outcome(bytes(data)) == slowly(bytes(data))


BEYOND: list[tuple[str, bytes | int]] = [
    ("archive/data.pkl", b"N."),
    *((f"archive/data/{number}", bytes([number]) * 100) for number in range(4)),
    ("archive/data/4", 0xFFFF_FFFF),
    *((f"archive/data/{number}", bytes([number]) * 100) for number in range(5, 9)),
    ("archive/data/9", 1 << 32),
    *((f"archive/data/{number}", bytes([number]) * 100) for number in range(10, 14)),
]


def test_every_byte_beyond_4_gib(tmp_path: Path, slowly: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptors of 64 bits and headers with their own offset are taken many at once as well, and no less exactly."""
    path = tmp_path / "big.pt"
    data_at = bigzip.write(path, BEYOND)
    expected = outcome(path)
    assert [member.offset for _, member in expected[0]] == list(data_at.values())
    assert expected == slowly(path)
    seen = []
    check = zip_local._check_header
    with monkeypatch.context() as patch:
        patch.setattr(zip_local, "_check_header", lambda windows, entry: (seen.append(entry[2]), check(windows, entry))[1])
        outcome(path)
    assert seen == ["archive/data.pkl", "archive/data/4", "archive/data/5", "archive/data/9"]
    rng = random.Random(4)
    ends = {name: data_at[name] + (content if isinstance(content, int) else len(content)) for name, content in BEYOND}
    names = list(ends)
    with path.open("r+b") as file:
        for last, name in zip(names[3:], names[4:], strict=False):
            for at in range(ends[last], data_at[name]):
                file.seek(at)
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ rng.randrange(1, 256)]))
                file.flush()
                assert outcome(path) == slowly(path), (name, at)
                file.seek(at)
                file.write(bytes([byte]))


@pytest.mark.parametrize("gap", [10, 40_000])
def test_a_file_that_shrinks_between_directory_and_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gap: int) -> None:
    """Whether headers are read together or one by one: an error, and no short bytes."""
    path = tmp_path / "model.pt"
    path.write_bytes(build([Part(b"archive/data/%d" % number, b"1" * gap) for number in range(40)]))
    judge = zip_pass.data_starts

    def shrunk(*arguments: Any) -> None:
        with path.open("r+b") as file:
            file.truncate(gap * 20)
        judge(*arguments)

    monkeypatch.setattr(zip_local, "data_starts", shrunk)
    monkeypatch.setattr("safeload.source.SMALL_BYTES", 0)  # a smaller file is read at once, when it is opened
    assert outcome(path)[0] == "SL004"


@pytest.mark.parametrize(("tag", "offset", "says"), [(1, None, "SL104"), (1, 0xFFFFFFFF, "read"), (2, 0xFFFFFFFF, "SL104"), (2, None, "read")])
def test_entries_with_a_block_of_twelve_bytes_are_judged_as_each_of_them(
    tag: int, offset: int | None, says: str, slowly: Callable[[bytes | Path], Any]
) -> None:
    """Beyond 4 GiB torch gives each entry a block with its offset. One that says nothing, or is none, is not taken for that."""
    plain = build(TORCH)
    places = [at for at in range(len(plain)) if plain.startswith(b"PK\3\4", at)]
    central: dict[str, object] = {} if offset is None else {"offset": offset}
    parts = [Part(part.name, part.data, central=central, central_extra=pack("<HHQ", tag, 8, at)) for part, at in zip(TORCH, places, strict=True)]
    data = build(parts)
    found = outcome(data)
    assert found == slowly(data)
    assert (found[0] if isinstance(found[0], str) else "read") == says
