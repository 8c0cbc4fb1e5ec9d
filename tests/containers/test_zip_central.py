"""The central directory: SL103 to SL107, SL111 to SL113 and the budget, each with a near miss that passes."""

from __future__ import annotations

from struct import pack

import pytest

from safeload.errors import ContainerError, LimitExceeded
from safeload.limits import DEFAULT_LIMITS

from .zipbuild import Part, build, read

NAME = b"archive/data/0"


def refused(parts: list[Part], **options: object) -> ContainerError:
    with pytest.raises(ContainerError) as caught:
        read(build(parts, **options))  # type: ignore[arg-type]
    return caught.value


def test_a_bad_signature_is_sl105() -> None:
    assert refused([Part(NAME, b"x", central={"signature": b"PK\1\3"})]).rule == "SL105"


def test_fewer_entries_than_announced_is_sl105() -> None:
    assert refused([Part(NAME, b"x")], zip64=False, end={"here": 2, "entries": 2}).rule == "SL105"
    error = refused([Part(b"archive/" + b"n" * 60, b"x")], zip64=False, end={"here": 2, "entries": 2})
    assert error.rule == "SL105" and "ends within entry 2 of 2" in error.message


def test_bytes_behind_the_last_entry_are_sl105() -> None:
    assert refused([Part(NAME, b"x")], in_directory=b"?").rule == "SL105"


@pytest.mark.parametrize("central", [{"name_length": 60}, {"extra_length": 60}])
def test_an_entry_that_overflows_the_directory_is_sl105(central: dict[str, object]) -> None:
    error = refused([Part(NAME, b"x", central=central)])
    assert error.rule == "SL105" and "overflows" in error.message


def test_a_member_comment_is_sl105() -> None:
    error = refused([Part(NAME, b"x", central_comment=b"c")])
    assert error.rule == "SL105" and "comment" in error.message


def test_a_stored_member_with_two_sizes_is_sl105() -> None:
    assert refused([Part(NAME, b"xyz", central={"size": 2})]).rule == "SL105"


def test_a_local_header_beyond_the_directory_is_sl105() -> None:
    assert refused([Part(NAME, b"xyz"), Part(b"archive/data/1", b"", central={"offset": 1_000_000})]).rule == "SL105"


def test_another_disk_is_sl103() -> None:
    assert refused([Part(NAME, b"x", central={"disk": 1})]).rule == "SL103"


@pytest.mark.parametrize("fields", [("size",), ("stored",), ("offset",), ("size", "stored"), ("size", "stored", "offset")])
def test_zip64_fields_are_taken_from_the_block(fields: tuple[str, ...]) -> None:
    values = {"size": 3, "stored": 3, "offset": 0}
    block = pack(f"<HH{len(fields)}Q", 1, 8 * len(fields), *[values[name] for name in fields])
    central: dict[str, object] = dict.fromkeys(fields, 0xFFFFFFFF)
    (member,) = read(build([Part(NAME, b"xyz", central=central, central_extra=block)])).members.values()
    assert (member.size, member.stored_size) == (3, 3)


@pytest.mark.parametrize(
    "extra",
    [b"", pack("<HHQQ", 1, 16, 3, 3), pack("<HH", 1, 0), pack("<HHI", 1, 4, 3)],
    ids=["missing", "longer", "empty", "shorter"],
)
def test_a_zip64_block_that_does_not_fit_is_sl104(extra: bytes) -> None:
    assert refused([Part(NAME, b"xyz", central={"size": 0xFFFFFFFF}, central_extra=extra)]).rule == "SL104"


def test_a_zip64_block_that_nothing_needs_is_sl104() -> None:
    assert refused([Part(NAME, b"xyz", central_extra=pack("<HHQ", 1, 8, 3))]).rule == "SL104"


@pytest.mark.parametrize(
    ("extra", "rule"),
    [
        (b"\1\2\3", "SL105"),
        (pack("<HH", 0x5455, 9) + b"x", "SL105"),
        (pack("<HHHH", 1, 0, 1, 0), "SL105"),
        (pack("<HH", 0x7075, 0), "SL113"),
        (pack("<HH", 0x9901, 0), "SL111"),
        (pack("<HH", 0x0017, 0), "SL111"),
    ],
    ids=["stray", "overflow", "two-zip64", "unicode-path", "aes", "strong-encryption"],
)
def test_extra_fields_that_matter_are_refused(extra: bytes, rule: str) -> None:
    assert refused([Part(NAME, b"xyz", central_extra=extra)]).rule == rule
    assert read(build([Part(NAME, b"xyz", central_extra=pack("<HHI", 0x5455, 4, 0))])).members  # a time stamp does not matter


@pytest.mark.parametrize("bit", [0x0001, 0x0020, 0x0040, 0x2000, 0x0010, 0x0080, 0x1000, 0x8000])
def test_encryption_and_reserved_flags_are_sl111(bit: int) -> None:
    error = refused([Part(NAME, b"x", flags=0x0808 | bit)])
    assert error.rule == "SL111" and ("encrypted" if bit & 0x2061 else "reserved") in error.message


@pytest.mark.parametrize("flags", [0x0808, 0x0800, 0x0008, 0, 0x0806])
def test_the_flags_that_are_followed(flags: int) -> None:
    assert read(build([Part(NAME, b"x", flags=flags)])).members


@pytest.mark.parametrize("method", [1, 9, 12, 14, 93, 99])
def test_other_methods_are_sl112(method: int) -> None:
    assert refused([Part(NAME, b"x", method=method)]).rule == "SL112"


@pytest.mark.parametrize("needed", [0, 20, 45, 63, 0x0314])
def test_versions_that_exist(needed: int) -> None:
    assert read(build([Part(NAME, b"x", central={"needed": needed})])).members


@pytest.mark.parametrize("needed", [64, 128, 255])
def test_a_version_that_does_not_exist_is_sl112(needed: int) -> None:
    """torch reads on, zipfile refuses."""
    assert refused([Part(NAME, b"x", central={"needed": needed})]).rule == "SL112"


@pytest.mark.parametrize("method", [0, 8])
def test_stored_and_deflated_are_read(method: int) -> None:
    assert read(build([Part(NAME, b"x" * 50, method=method)])).members[NAME.decode()].method == method


def test_equal_names_are_sl106() -> None:
    error = refused([Part(NAME, b"x"), Part(b"archive/version", b"3"), Part(NAME, b"y")])
    assert error.rule == "SL106" and error.member == NAME.decode()


@pytest.mark.parametrize(
    ("one", "two"),
    [("archive/data.pkl", "archive/DATA.PKL"), ("a/\u00e9", "a/e\u0301"), ("a/K", "a/\u212a"), ("a/stra\u00dfe", "a/STRASSE"), ("a/x", "a/x/")],
    ids=["case", "composed", "kelvin", "casefold", "slash"],
)
def test_names_that_some_reader_takes_for_one_are_sl107(one: str, two: str) -> None:
    assert refused([Part(one.encode(), b"x"), Part(two.encode(), b"")]).rule == "SL107"
    assert len(read(build([Part(one.encode(), b"x"), Part(two.encode() + b"2", b"")])).members) == 2


@pytest.mark.parametrize(
    "name",
    [
        b"", b"a/\0", b"a/\n", b"a/\x1b[0m", b"a/\x7f", "a/\u202egnp".encode(), "a/\u2028".encode(), "a/\u0085".encode(), b"a/\xff",
    ],
)  # fmt: skip
def test_names_that_readers_may_decode_differently_are_sl113(name: bytes) -> None:
    error = refused([Part(name, b"x")])
    assert error.rule == "SL113" and str(error).isprintable() and str(error).isascii()


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../b", "a/./b", "a/..", ".", "a//b", "a\\b", "C:/x"])
def test_names_that_are_no_plain_relative_path_are_a_finding(name: str) -> None:
    """Zip slip. Nothing is ever extracted, so such an archive does not load and its members are judged all the same."""
    directory = read(build([Part(name.encode(), b"x"), Part(b"a/good", b"y")]))
    (finding,) = directory.findings
    assert (finding.rule, finding.level, finding.member) == ("SL113", "error", name) and finding.message.isascii()


@pytest.mark.parametrize("name", ["a/b", ".data/version", "..a/b..", "a/...", "a b/c", "\u6a21\u578b/data.pkl", "a:b/c", "archive/"])
def test_ordinary_names_pass(name: str) -> None:
    assert list(read(build([Part(name.encode())])).members) == [name]


def test_a_name_beyond_ascii_needs_the_utf8_flag() -> None:
    name = "a/\u00e9".encode()
    assert refused([Part(name, b"x", flags=0x0008)]).rule == "SL113"
    assert read(build([Part(name, b"x", flags=0x0808)])).members
    assert read(build([Part(b"a/e", b"x", flags=0x0008)])).members


@pytest.mark.parametrize(("limit", "value"), [("members", 3), ("directory_bytes", 3 * (46 + 4)), ("name_bytes", 4)])
def test_the_budget_is_held_before_anything_is_read(limit: str, value: int) -> None:
    data = build([Part(b"a/%02d" % index) for index in range(3)])
    assert len(read(data, DEFAULT_LIMITS.replaced({limit: value})).members) == 3
    with pytest.raises(LimitExceeded) as caught:
        read(data, DEFAULT_LIMITS.replaced({limit: value - 1}))
    assert caught.value.rule == "SL901" and limit in caught.value.message
