"""The end records: SL004, SL101 to SL105, each with a near miss that passes."""

from __future__ import annotations

import pytest

from safeload.containers.zip_end import ends_as_zip, read_end
from safeload.errors import ContainerError

from .zipbuild import Part, build, end_records, read, source_of

PARTS = [Part(b"archive/data.pkl", b"N."), Part(b"archive/data/0", b"x" * 300)]


def refused(data: bytes) -> ContainerError:
    with pytest.raises(ContainerError) as caught:
        read(data)
    return caught.value


@pytest.mark.parametrize("zip64", [True, False])
def test_an_honest_archive_is_read_with_and_without_zip64(zip64: bool) -> None:
    directory = read(build(PARTS, zip64=zip64))
    assert list(directory.members) == ["archive/data.pkl", "archive/data/0"]


def test_an_empty_archive_has_no_members() -> None:
    assert read(build([], zip64=False)).members == {}


def test_no_end_record_is_sl101() -> None:
    assert refused(b"not a zip, and long enough to hold an end record").rule == "SL101"
    assert refused(b"short").rule == "SL101"


def test_a_truncated_zip_is_sl004_and_says_so() -> None:
    data = build(PARTS)
    for length in (4, 30, len(data) // 2, len(data) - 1):
        error = refused(data[:length])
        assert error.rule == "SL004"
        assert "cut short" in error.message and f"{length:,} bytes" in error.message


def test_a_zip_whose_rest_is_zero_is_called_that() -> None:
    assert "zero" in refused(build(PARTS)[:200] + bytes(5000)).message


def test_four_bytes_of_a_tensor_are_no_end_record() -> None:
    data = build([Part(b"archive/data/0", b"PK\5\6" + b"\x55" * 60)], zip64=False)
    assert refused(data[:-22]).rule == "SL004"


@pytest.mark.parametrize("trailing", [b"\0", b"junk", b"\0" * 60_000])
def test_trailing_bytes_are_sl102(trailing: bytes) -> None:
    assert refused(build(PARTS, trailing=trailing)).rule == "SL102"


def test_a_comment_is_sl102() -> None:
    assert refused(build(PARTS, comment=b"hello")).rule == "SL102"
    assert refused(build(PARTS, end={"comment": 1})).rule == "SL102"


@pytest.mark.parametrize("end", [{"disk": 1}, {"directory_disk": 1}, {"here": 1}])
def test_several_disks_are_sl103(end: dict[str, int]) -> None:
    assert refused(build(PARTS, end=end)).rule == "SL103"
    assert refused(build(PARTS, zip64=False, end=end)).rule == "SL103"


@pytest.mark.parametrize("end64", [{"disk": 1}, {"directory_disk": 1}, {"here": 1}])
def test_several_disks_in_zip64_are_sl103(end64: dict[str, int]) -> None:
    assert refused(build(PARTS, end64=end64)).rule == "SL103"


@pytest.mark.parametrize("locator", [{"disk": 1}, {"disks": 2}, {"disks": 0}])
def test_several_disks_in_the_locator_are_sl103(locator: dict[str, int]) -> None:
    assert refused(build(PARTS, locator=locator)).rule == "SL103"


@pytest.mark.parametrize("end", [{"here": 0xFFFF, "entries": 0xFFFF}, {"size": 0xFFFFFFFF}, {"offset": 0xFFFFFFFF}])
def test_saturated_fields_need_zip64(end: dict[str, int]) -> None:
    assert refused(build(PARTS, zip64=False, end=end)).rule == "SL104"
    assert len(read(build(PARTS, end=end)).members) == 2


@pytest.mark.parametrize("end", [{"here": 1, "entries": 1}, {"size": 46}, {"offset": 0}])
def test_classic_fields_that_contradict_zip64_are_sl104(end: dict[str, int]) -> None:
    assert refused(build(PARTS, end=end)).rule == "SL104"


def test_a_locator_without_its_record_is_sl104() -> None:
    assert refused(build(PARTS, end64={"signature": b"PK\6\5"})).rule == "SL104"  # type: ignore[dict-item]


def test_a_zip64_record_of_another_length_is_sl104() -> None:
    assert refused(build(PARTS, end64={"rest": 45})).rule == "SL104"


def test_a_locator_that_points_elsewhere_is_sl105() -> None:
    assert refused(build(PARTS, locator={"offset": 3})).rule == "SL105"


@pytest.mark.parametrize("zip64", [True, False])
def test_bytes_before_the_archive_are_sl105(zip64: bool) -> None:
    assert refused(b"#!/bin/sh\n" + build(PARTS, zip64=zip64)).rule == "SL105"


def test_two_archives_in_one_file_are_sl105() -> None:
    error = refused(build(PARTS) + build(PARTS))
    assert error.rule == "SL105" and "several archives" in error.message


@pytest.mark.parametrize("change", [{"size": 1}, {"offset": 1}])
def test_a_directory_that_ends_elsewhere_is_sl105(change: dict[str, int]) -> None:
    assert refused(build(PARTS, zip64=False, end=change)).rule == "SL105"
    assert refused(build(PARTS, end={"size": 0xFFFFFFFF, "offset": 0xFFFFFFFF}, end64=change)).rule == "SL105"


def test_read_end_gives_the_directory_where_the_tail_holds_it() -> None:
    data = build(PARTS)
    end = read_end(source_of(data))
    assert end.records_size == 98 and end.entries == 2
    assert end.directory == data[end.directory_offset : end.directory_offset + end.directory_size]
    large = build([Part(b"a/" + b"n" * 4000 + b"%d" % index) for index in range(20)])
    assert read_end(source_of(large)).directory is None
    assert len(read(large).members) == 20


def test_ends_as_zip_wants_the_end_record_to_close_the_file() -> None:
    archive = build(PARTS)
    assert ends_as_zip(source_of(b"anything" + archive))
    assert ends_as_zip(source_of(b"anything" + end_records(0, 0, 0, zip64=False, comment=b"with a comment.")))
    assert not ends_as_zip(source_of(archive + b"."))
    assert not ends_as_zip(source_of(b"PK\5\6"))
    assert not ends_as_zip(source_of(b""))
