"""Local headers, data and descriptors: SL108, SL109, SL110, SL114, each with a near miss that passes."""

from __future__ import annotations

from struct import pack

import pytest

from safeload.containers.zip_directory import read_zip
from safeload.errors import ContainerError
from safeload.limits import DEFAULT_LIMITS
from safeload.source import ByteSource

from .zipbuild import Part, build, padding, read

NAME = b"archive/data/0"
DATA = b"xyz"
CRC = 0xEB8EBA67
FIRST = Part(b"archive/data.pkl", b"N.")


def refused(parts: list[Part], **options: object) -> ContainerError:
    with pytest.raises(ContainerError) as caught:
        read(build(parts, **options))  # type: ignore[arg-type]
    return caught.value


def test_torchs_own_layout_gives_offset_size_and_crc() -> None:
    data = build([FIRST, Part(NAME, DATA), Part(b"archive/data/1")])
    members = read(data).members
    member = members["archive/data/0"]
    assert data[member.offset : member.offset + member.size] == DATA
    assert member.offset % 64 == 0 and member.crc == CRC
    assert members["archive/data/1"].size == 0


def test_members_may_stand_in_another_order_than_the_directory() -> None:
    parts = [Part(b"a/1", b"one"), Part(b"a/2", b"two!")]
    first = len(build(parts[:1], zip64=False)) - 22 - 46 - 3
    shuffled = [Part(b"a/2", b"two!", central_only=True, central={"offset": first}), Part(b"a/1", b"one"), Part(b"a/2", b"two!", local_only=True)]
    data = build(shuffled)
    members = read(data).members
    assert list(members) == ["a/2", "a/1"]
    assert data[members["a/2"].offset :].startswith(b"two!")


def test_two_entries_for_one_header_are_sl108() -> None:
    assert refused([Part(NAME, DATA), Part(b"archive/data/1", DATA, central_only=True, central={"offset": 0})]).rule == "SL108"


def test_an_entry_inside_another_members_data_is_sl108() -> None:
    inner = build([Part(b"a/in", b"inner")], zip64=False)
    at = 30 + len(NAME) + len(padding(0, NAME))
    parts = [Part(NAME, inner), Part(b"a/in", b"inner", central_only=True, central={"offset": at})]
    assert refused(parts).rule == "SL108"


def test_data_that_reaches_into_the_directory_is_sl108() -> None:
    assert refused([Part(NAME, DATA, central={"size": 500, "stored": 500})]).rule == "SL108"
    error = refused([Part(NAME, b"", local={"extra_length": 500})])
    assert error.rule == "SL108" and "local header" in error.message


def test_a_header_that_reaches_into_the_directory_is_sl108() -> None:
    assert refused([FIRST, Part(b"a/b", local_extra=b"", central={"name": b"a/" + b"n" * 80})]).rule == "SL108"


def test_bytes_before_the_first_member_are_sl109() -> None:
    assert refused([Part(NAME, DATA, before=b"?")]).rule == "SL109"


@pytest.mark.parametrize("after", [b"?", bytes(40)])
def test_bytes_between_members_are_sl109(after: bytes) -> None:
    assert refused([Part(NAME, DATA, flags=0x0800, after=after), FIRST]).rule == "SL109"
    assert refused([Part(NAME, DATA, after=bytes(40)), FIRST]).rule == "SL109"


def test_bytes_before_the_directory_are_sl109() -> None:
    assert refused([FIRST, Part(NAME, DATA, flags=0x0800)], before_directory=b"?").rule == "SL109"
    assert refused([], before_directory=b"PK\3\4 and nothing in the directory").rule == "SL109"


def test_a_member_that_the_directory_leaves_out_is_sl109() -> None:
    assert refused([FIRST, Part(b"archive/data/9", DATA, local_only=True), Part(NAME, DATA)]).rule == "SL109"


@pytest.mark.parametrize(
    "local",
    [
        {"signature": b"PK\3\5"},
        {"flags": 0x0008},
        {"flags": 0x0800},
        {"method": 8},
        {"name": b"archive/data/1"},
        {"name": b"archive/data/"},
        {"name": b"ARCHIVE/data/0"},
        {"crc": 1},
        {"size": 1},
        {"stored": 1},
        {"size": 0xFFFFFFFF},
        {"stored": 0xFFFFFFFF, "size": 0xFFFFFFFF},
    ],
    ids=str,
)
def test_a_local_header_that_contradicts_is_sl110(local: dict[str, object]) -> None:
    assert refused([Part(NAME, DATA, local=local)]).rule == "SL110"


def test_zeros_without_a_descriptor_are_sl110() -> None:
    assert refused([Part(NAME, DATA, flags=0x0800, local={"crc": 0})]).rule == "SL110"
    assert refused([Part(NAME, DATA, flags=0x0800, local={"size": 0})]).rule == "SL110"


def test_a_local_header_may_repeat_the_directory() -> None:
    assert read(build([Part(NAME, DATA, flags=0x0800)])).members
    assert read(build([Part(NAME, DATA, local={"crc": CRC, "size": 3, "stored": 3})])).members


@pytest.mark.parametrize(
    "extra",
    [b"", b"FB\0\0", b"FB\4\0ZZZ\x85", b"FB\0\0" * 3, pack("<HHI", 0x5455, 4, 0), pack("<HHQQ", 1, 16, 3, 0) + b"FB\1\0Z"],
    ids=["none", "empty", "stray-padding", "several", "time", "zip64"],
)
def test_well_formed_extra_fields_pass(extra: bytes) -> None:
    assert read(build([Part(NAME, DATA, local_extra=extra)])).members


@pytest.mark.parametrize(
    ("extra", "rule"),
    [
        (b"FB\5\0ZZZZ", "SL110"),
        (b"FB\0\0ZZZ", "SL110"),
        (b"F", "SL110"),
        (pack("<HHHH", 1, 0, 1, 0), "SL110"),
        (pack("<HH", 0x7075, 0), "SL113"),
        (pack("<HH", 0x9901, 0), "SL111"),
    ],
    ids=["overflow", "stray", "short", "two-zip64", "unicode-path", "aes"],
)
def test_malformed_extra_fields_are_refused(extra: bytes, rule: str) -> None:
    assert refused([Part(NAME, DATA, local_extra=extra)]).rule == rule


@pytest.mark.parametrize(
    ("numbers", "local"),
    [
        ((3, 0), {}),
        ((3, 3), {}),
        ((3, 3), {"size": 0xFFFFFFFF, "stored": 0xFFFFFFFF}),
        ((0, 0), {"size": 0xFFFFFFFF, "stored": 0xFFFFFFFF}),
        ((0,), {}),
        ((3, 0, 0), {}),
    ],
    ids=str,
)
def test_zip64_blocks_of_local_headers_that_agree(numbers: tuple[int, ...], local: dict[str, object]) -> None:
    extra = pack(f"<HH{len(numbers)}Q", 1, 8 * len(numbers), *numbers)
    assert read(build([Part(NAME, DATA, local=local, local_extra=extra)])).members


@pytest.mark.parametrize("numbers", [(4, 0), (3, 4), (7,), (3, 0, 7), (), (3, 0, 0, 0)], ids=str)
def test_zip64_blocks_of_local_headers_that_contradict_are_sl110(numbers: tuple[int, ...]) -> None:
    extra = pack(f"<HH{len(numbers)}Q", 1, 8 * len(numbers), *numbers)
    assert refused([Part(NAME, DATA, local_extra=extra)]).rule == "SL110"


def test_zip64_zeros_without_a_descriptor_are_sl110() -> None:
    assert refused([Part(NAME, DATA, flags=0x0800, local_extra=pack("<HHQQ", 1, 16, 3, 0))]).rule == "SL110"
    assert read(build([Part(NAME, DATA, flags=0x0800, local_extra=pack("<HHQQ", 1, 16, 3, 3))])).members


@pytest.mark.parametrize(
    "descriptor",
    [
        pack("<4sIII", b"PK\7\x08", CRC, 3, 3),
        pack("<III", CRC, 3, 3),
        pack("<4sIQQ", b"PK\7\x08", CRC, 3, 3),
        pack("<IQQ", CRC, 3, 3),
    ],
    ids=["16", "12", "24", "20"],
)
def test_the_four_forms_of_a_descriptor(descriptor: bytes) -> None:
    assert read(build([Part(NAME, DATA, descriptor=descriptor), FIRST])).members
    for index in range(len(descriptor)):
        bent = descriptor[:index] + bytes([descriptor[index] ^ 1]) + descriptor[index + 1 :]
        assert refused([Part(NAME, DATA, descriptor=bent), FIRST]).rule == "SL114"


@pytest.mark.parametrize("descriptor", [b"", bytes(1), bytes(8), pack("<4sIII", b"PK\7\x08", CRC, 3, 3) + b"?"])
def test_a_descriptor_that_is_missing_is_sl114(descriptor: bytes) -> None:
    assert refused([Part(NAME, DATA, descriptor=descriptor), FIRST]).rule == "SL114"


def test_a_checksum_that_was_not_computed_is_zero_everywhere() -> None:
    (member,) = read(build([Part(NAME, DATA, crc=0)])).members.values()
    assert member.crc == 0
    assert refused([Part(NAME, DATA, crc=0, descriptor=pack("<4sIII", b"PK\7\x08", CRC, 3, 3))]).rule == "SL114"


class Counting(ByteSource):
    """A source that counts its reads."""

    __slots__ = ("bytes_read", "reads")

    def read(self, offset: int, length: int) -> bytes:
        self.reads = getattr(self, "reads", 0) + 1
        self.bytes_read = getattr(self, "bytes_read", 0) + length
        return super().read(offset, length)


def counted(data: bytes) -> Counting:
    source = Counting(name="<test>", size=len(data), buffer=data)
    assert read_zip(source, DEFAULT_LIMITS).accounted == len(data)
    return source


def test_many_small_members_cost_few_reads() -> None:
    data = build([Part(b"archive/data/%d" % index, b"x" * 200) for index in range(20_000)])
    source = counted(data)
    assert source.reads <= 6 + len(data) // (1 << 17)
    assert source.bytes_read <= 2 * len(data) + (1 << 20)


def test_few_large_members_cost_one_small_read_each() -> None:
    data = build([Part(b"archive/data/%d" % index, bytes(1 << 18), crc=0) for index in range(40)])
    source = counted(data)
    assert source.reads <= 40 + 5
    assert source.bytes_read < len(data) // 4


def test_a_header_longer_than_a_small_window_is_read_whole() -> None:
    data = build([Part(b"archive/data/%d" % index, bytes(1 << 21), crc=0, local_extra=b"FB" + pack("<H", 60_000) + b"Z" * 60_000) for index in range(3)])
    assert len(read(data).members) == 3
