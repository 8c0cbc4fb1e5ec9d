"""A document becomes a value: tables of arrays and groups of documents, eagerly and lazily, with every byte where the container says."""

from __future__ import annotations

import numpy as np
import pytest

from safeload.budget import Budget
from safeload.containers.base import Container, Member
from safeload.limits import Limits
from safeload.rebuild.document import Building, build
from safeload.source import ByteSource
from safeload.storage.arrays import BadArray, from_text, name_of, nbytes_of, record
from safeload.storage.dtypes import DTYPES
from safeload.storage.records import Group, StorageRecord, Table, TensorRecord

BYTES = bytes(range(64))


def table(*, bare: bool = False, source: ByteSource | None = None) -> Table:
    """Two int32 tensors on one storage of 32 bytes, and an array of 4 big-endian int16 behind it."""
    source = source or ByteSource(name="<bytes>", size=64, buffer=BYTES)
    storage = StorageRecord(
        key="s", dtype=DTYPES["int32"], nbytes=32, location="cpu", member=Member(name="s", offset=0, size=32, stored_size=32, role="storage")
    )
    view = TensorRecord(dtype=DTYPES["int32"], shape=(2, 2), strides=(2, 1), offset=2, storage="s")
    extent = Member(name="a", offset=40, size=8, stored_size=8)
    array = record(from_text(">i2"), (4,), False, max_dims=64, extent=extent)
    whole = TensorRecord(dtype=DTYPES["int32"], shape=(8,), strides=(1,), offset=0, storage="s")
    entries = {"a": array} if bare else {"whole": whole, "view": view, "a": array}
    return Table(container=Container(format="test", source=source, members={}), entries=entries, storages={"s": storage}, bare=bare)


def test_a_table_is_a_dict_of_views_that_share_their_storage() -> None:
    value = build(table(), Building(budget=Budget(), map_location="cpu"))
    assert list(value) == ["whole", "view", "a"]
    np.testing.assert_array_equal(value["view"], np.frombuffer(BYTES[8:24], "<i4").reshape(2, 2))
    value["view"][0, 0] = 7
    assert value["whole"][2] == 7
    np.testing.assert_array_equal(value["a"], np.frombuffer(BYTES[40:48], ">i2"))
    assert value["a"].flags.writeable


@pytest.mark.parametrize("mapped", [True, False])
def test_a_bare_table_is_its_one_array(mapped: bool) -> None:
    value = build(table(bare=True), Building(budget=Budget(), map_location="cpu", mapped=mapped))
    assert value.dtype == ">i2" and value.tolist() == np.frombuffer(BYTES[40:48], ">i2").tolist()


def test_a_group_is_a_dict_of_values() -> None:
    value = build(Group(parts={"x": table(bare=True), "y": Group(parts={"z": table()})}), Building(budget=Budget(), map_location="cpu"))
    assert value["x"].shape == (4,) and list(value["y"]["z"]) == ["whole", "view", "a"]


def test_a_part_of_a_source_reads_its_own_bytes_and_shares_the_map() -> None:
    whole = ByteSource(name="<bytes>", size=64, buffer=BYTES)
    part = whole.part(8, 16)
    inner = part.part(4)
    assert (part.size, inner.size) == (16, 12)
    assert inner.read(0, 4) == BYTES[12:16]
    assert bytes(inner.view(0, 12)) == BYTES[12:24]
    inner.view(0, 1)[0] = 255
    assert part.view(4, 1)[0] == 255 and whole.view(12, 1)[0] == 255
    assert (inner.offset_in(whole), inner.offset_in(part), whole.offset_in(whole)) == (12, 4, 0)
    assert ByteSource(name="other", size=1, buffer=b"x").offset_in(whole) is None


def test_an_extent_is_as_long_as_the_array() -> None:
    extent = Member(name="a", offset=0, size=7, stored_size=7)
    with pytest.raises(BadArray, match="8 bytes is given 7"):
        record(from_text("<i2"), (4,), False, max_dims=Limits().tensor_dims, extent=extent)


@pytest.mark.parametrize(("text", "name"), [("<f4", "float32"), (">i8", "int64"), ("?", "bool"), ("|S3", "|S3"), ("<U2", "<U2"), ("c16", "complex128")])
def test_dtypes_have_numpys_names(text: str, name: str) -> None:
    assert name_of(from_text(text)) == name
    assert nbytes_of(from_text(text), (2, 3)) == 6 * from_text(text).itemsize
