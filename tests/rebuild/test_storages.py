"""Storages become host bytes: once each, in this machine's byte order, stored or deflated, mapped or copied."""

from __future__ import annotations

import numpy as np
import pytest
from builds import agree, dense, dense_v3, pairs, torch_zip
from hostile.hostile import storage

import safeload
from safeload.storage.dtypes import DTYPES


@pytest.mark.parametrize("order", [b"little", b"big"])
@pytest.mark.parametrize("nbytes", range(4, 10))
@pytest.mark.parametrize("name", ["int16", "int32", "complex32", "uint8"])
def test_an_untyped_storage_of_any_length(name: str, nbytes: int, order: bytes) -> None:
    """Bytes behind the last whole element belong to no element; they are no reason to refuse what the scan accepted."""
    dtype = DTYPES[name]
    raw = bytes(range(1, nbytes + 1))
    value = agree(torch_zip(dense_v3(name, nbytes, (1,), (1,)), {"0": raw}, byteorder=order))
    unit = dtype.swap_bytes
    first = raw[: dtype.itemsize]
    assert value.tobytes() == (first if order == b"little" else b"".join(first[at : at + unit][::-1] for at in range(0, len(first), unit)))


@pytest.mark.parametrize("mmap", [True, False])
def test_two_dtypes_on_one_big_endian_storage_are_both_right(mmap: bool) -> None:
    raw = bytes(range(16))
    listing = pairs(
        a=dense_v3("int32", 16, (4,), (1,)), b=dense_v3("int16", 16, (8,), (1,)), c=dense_v3("complex64", 16, (2,), (1,)), d=dense_v3("uint8", 16, (16,), (1,))
    )
    value = agree(torch_zip(listing, {"0": raw}, byteorder=b"big"), mmap=mmap)
    assert value["a"].tolist() == np.frombuffer(raw, ">i4").tolist()
    assert value["b"].tolist() == np.frombuffer(raw, ">i2").tolist()
    assert value["c"].tobytes() == np.frombuffer(raw, ">c8").astype("<c8").tobytes()
    assert value["d"].tolist() == list(raw)


def test_one_unit_is_one_storage_also_in_a_big_endian_file() -> None:
    value = agree(
        torch_zip(pairs(a=dense("IntStorage", 2, (2,), (1,)), b=dense("IntStorage", 2, (1,), (1,), offset=1)), {"0": b"\0\0\0\1\0\0\0\2"}, byteorder=b"big")
    )
    value["a"][1] = 5
    assert value["b"].tolist() == [5]


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("order", [b"little", b"big"])
def test_deflated_storages_are_writable_and_shared(mmap: bool, order: bytes) -> None:
    raw = np.arange(1000, dtype="<i4" if order == b"little" else ">i4").tobytes()
    data = torch_zip(
        pairs(a=dense("IntStorage", 1000, (1000,), (1,)), b=dense("IntStorage", 1000, (1,), (1,), offset=999)), {"0": raw}, byteorder=order, method=8
    )
    value = agree(data, mmap=mmap)
    if isinstance(value, safeload.CheckpointError):
        pytest.fail(str(value))
    assert value["a"].sum() == 499500 and value["b"].tolist() == [999]
    value["a"][999] = 1
    assert value["b"].tolist() == [1]


@pytest.mark.parametrize("order", [b"little", b"big"])
@pytest.mark.parametrize("kind", ["FloatStorage", "UntypedStorage", "ComplexFloatStorage", "BoolStorage"])
def test_a_storage_as_a_value(kind: str, order: bytes) -> None:
    data = torch_zip(
        f"EMPTY_LIST\nMARK\n{storage(kind, numel='BININT1 2')}BINPUT 7\nBINGET 7\n{storage(kind, numel='BININT1 2')}APPENDS\n",
        {"0": bytes({"FloatStorage": 8, "ComplexFloatStorage": 16}.get(kind, 2))},
        byteorder=order,
    )
    value = agree(data)
    if isinstance(value, safeload.CheckpointError):
        pytest.fail(str(value))
    assert value[0] is value[1] is value[2]
    assert len(value[0]) == 2 and value[0].nbytes == value[0].array.nbytes and repr(value[0]).startswith("Storage(")


def test_a_storage_as_a_value_can_be_described_without_its_bytes() -> None:
    data = torch_zip(storage(), {"0": bytes(24)})
    value = safeload.load(data, "meta")
    assert "float32" in repr(value) and len(value) == 6 and value.nbytes == 24
    with safeload.open(data) as checkpoint:
        tree = checkpoint.tree()
        assert "float32" in repr(tree) and len(tree) == 6 and tree.nbytes == 24


def test_storages_of_length_zero() -> None:
    value = agree(torch_zip(pairs(a=dense("FloatStorage", 0, (0,), (1,)), b=dense("FloatStorage", 0, (0, 5), (5, 1))), {"0": b""}))
    assert value["a"].shape == (0,) and value["b"].shape == (0, 5)
