"""The map of a file's bytes: complete, in order, and honest about what nobody and what two own."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from safeload.api import read
from safeload.opcodes.assemble import assemble
from safeload.report.contents import contents_of
from safeload.report.extents import ByteMap, map_of
from tests.cli.inputs import BROKEN, EVIL, PLAIN, state_dict
from tests.containers.zipbuild import Part, build

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "fuzz" / "seeds").iterdir(), *(ROOT / "examples").glob("*.p*t*")])


def owners(found: ByteMap) -> dict[str, int]:
    """Bytes of each owner."""
    sums: dict[str, int] = {}
    for extent in found.extents:
        sums[extent.owner] = sums.get(extent.owner, 0) + extent.end - extent.start
    return sums


def check(found: ByteMap) -> None:
    """Every byte once, in order; overlaps apart."""
    at = 0
    for extent in found.extents:
        assert extent.start < extent.end <= found.total
        if extent.owner != "overlap":
            assert extent.start == at
            at = extent.end
    assert at == found.total


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_byte_has_one_owner(path: Path) -> None:
    reading = read(path, policy="inspect")
    found = map_of(reading)
    check(found)
    compressed = "+" in reading.report.format
    assert (found.total == reading.report.bytes_total) != compressed
    assert ("compressed" in found.note) == compressed
    unread = owners(found).get("unread", 0)
    assert (unread > 0) == (reading.report.bytes_accounted < reading.report.bytes_total)


def test_a_torch_archive() -> None:
    reading = read(state_dict())
    found = map_of(reading)
    sums = owners(found)
    assert sums["storage"] == 64
    assert sums["pickle"] == sum(member.size for member in reading.report.members if member.role == "pickle")
    assert set(sums) == {"pickle", "storage", "record", "structure"} | ({"unknown"} & set(sums))


def test_objects_behind_each_other_and_what_follows_them() -> None:
    two = map_of(read(PLAIN + PLAIN))
    assert [(extent.name, extent.start) for extent in two.extents] == [("object 1", 0), ("object 2", len(PLAIN))]
    junk = map_of(read(PLAIN + b"\xff" * 7))
    assert [(extent.owner, extent.end - extent.start) for extent in junk.extents] == [("pickle", len(PLAIN)), ("unread", 7)]


def test_a_stream_that_breaks_is_read_up_to_there() -> None:
    reading = read(BROKEN + bytes(10))
    assert reading.error is not None
    first, second = map_of(reading).extents
    assert (first.owner, first.end, second.owner) == ("pickle", reading.error.offset, "unread")


def test_what_was_not_read_belongs_to_nobody_known() -> None:
    for data in (b"<html>", state_dict()[:300], b"\x89HDF\r\n\x1a\n" + bytes(100), b"\x81\xa6params\x80"):
        found = map_of(read(data))
        check(found)
        assert set(owners(found)) == {"unread"}
    assert map_of(read(b"")).total == 0


def test_a_compressed_file_is_mapped_as_what_was_in_it() -> None:
    found = map_of(read(gzip.compress(EVIL)))
    assert found.total == len(EVIL)
    assert "compressed" in found.note


# ---- archives that do not fit ----------------------------------------------------------------------------------------------------------------


def parts() -> list[Part]:
    listing = assemble("PROTO 2\nEMPTY_DICT\nSTOP")
    return [Part(b"archive/data.pkl", listing), Part(b"archive/data/0", bytes(64)), Part(b"archive/version", b"3\n")]


def test_bytes_before_the_directory_that_belong_to_nobody() -> None:
    data = build(parts(), before_directory=b"hidden payload " * 4)
    reading = read(data)
    assert reading.error is not None
    assert reading.error.rule == "SL109"
    found = map_of(reading)
    check(found)
    (gap,) = [extent for extent in found.extents if extent.owner == "gap"]
    assert b"hidden payload" in data[gap.start : gap.end]
    assert "directory" in owners(found)


def test_bytes_before_the_first_member() -> None:
    reading = read(b"PK\3\4" + b"hidden payload".ljust(36) + build(parts(), start=40))
    assert reading.error is not None
    assert reading.error.rule == "SL109"
    found = map_of(reading)
    check(found)
    assert (found.extents[0].owner, found.extents[0].end) == ("gap", 40)


def test_two_members_that_claim_the_same_bytes() -> None:
    data = bytearray(build(parts()))
    whole = map_of(read(bytes(data)))
    check(whole)
    entry = data.index(b"PK\1\2", data.index(b"PK\1\2") + 4)  # the directory entry of the second member
    data[entry + 42 : entry + 46] = (5).to_bytes(4, "little")  # its local header, now inside the first
    reading = read(bytes(data))
    assert reading.error is not None
    assert reading.error.rule == "SL108"
    found = map_of(reading)
    overlaps = [extent for extent in found.extents if extent.owner == "overlap"]
    assert overlaps
    assert "archive/data.pkl and archive/data/0" in {extent.name for extent in overlaps}
    check(found)


# ---- tensors ----------------------------------------------------------------------------------------------------------------------------------


def test_tensors_are_those_that_the_verb_lists() -> None:
    import safeload

    found = contents_of(read(state_dict()))
    with safeload.open(state_dict()) as checkpoint:
        infos = [checkpoint.info(name) for name in checkpoint.keys()]  # noqa: SIM118 - a Checkpoint is no mapping
    assert [(each.name, each.dtype, each.shape, each.nbytes, each.offset) for each in found.tensors] == [
        (info.name, info.dtype, info.shape, info.nbytes, info.file_offset) for info in infos
    ]
    assert [each.views for each in found.tensors] == [2, 2, 1]
    assert (found.tensor_count, found.storages, found.storage_bytes, found.dtypes) == (3, 2, 64, (("float32", 3, 64),))


def test_a_file_that_is_not_accepted_lists_none_and_says_why() -> None:
    found = contents_of(read(EVIL))
    assert (found.tensors, found.tensor_count) == ((), 0)
    assert "accepted" in found.why_none
