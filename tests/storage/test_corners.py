"""Proofs that need a dtype, a view or a state made for them alone."""

from __future__ import annotations

from struct import pack
from typing import Any

import pytest
from builds import dense, torch_zip
from hostile.hostile import stream

import safeload
from safeload.errors import StorageError
from safeload.policy.resolve import policy_from_dict
from safeload.storage import arrays, descr
from safeload.storage.arrays import ArrayDType, BadArray, from_text, with_state
from safeload.storage.dtypes import DTYPES
from safeload.storage.records import StorageRecord, TensorRecord
from safeload.storage.sparse import values


def record(dtype: str, shape: tuple[int, ...], strides: tuple[int, ...]) -> TensorRecord:
    return TensorRecord(dtype=DTYPES[dtype], shape=shape, strides=strides, offset=1, storage="0")


def test_a_dtype_of_too_many_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MAX_DTYPE_LEAVES", 2)
    fields = {name: ("f4", 4 * at) for at, name in enumerate("abc")}
    state = (3, "|", None, tuple(fields), fields, 12, 1, 16)
    with pytest.raises(BadArray, match="more than 2 fields"):
        with_state(from_text("V12"), state, from_text)
    assert with_state(from_text("V8"), (3, "|", None, ("a", "b"), fields, 8, 1, 16), from_text).itemsize == 8


def test_objects_are_no_array_of_numbers() -> None:
    with pytest.raises(BadArray, match="Python objects"):
        arrays.record(from_text("O8"), (1,), False, b"x" * 8, max_dims=64)


def nested(depth: int) -> Any:
    return [("a", nested(depth - 1))] if depth else "<f4"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (nested(descr.MAX_DTYPE_DEPTH + 2), "nests deeper"),
        ("<M8[pc]", "no unit of time"),
        ([("a",)], "a field is"),
        ([["a", "<f4"]], "a field is"),
        ([(7, "<f4")], "the name of a field is text"),
        ([(("title", 7), "<f4")], "the name of a field is text"),
    ],
    ids=str,
)
def test_descriptions_that_are_no_dtype(wrong: Any, message: str) -> None:
    with pytest.raises(BadArray, match=message):
        descr.from_descr(wrong)


def test_descriptions_at_the_limit() -> None:
    assert isinstance(descr.from_descr(nested(descr.MAX_DTYPE_DEPTH - 1)), ArrayDType)
    assert descr.from_descr([(("title", "a"), "<f4")]).itemsize == 4


def test_indices_without_dimensions_and_without_elements() -> None:
    storage = StorageRecord(key="0", dtype=DTYPES["int32"], nbytes=12, location="cpu", member=None)
    raw = b"".join(number.to_bytes(4, "little") for number in (7, 8, 9))
    assert list(values(record("int32", (), ()), storage, raw, "little")) == [8]
    assert values(record("int32", (0,), (1,)), storage, raw, "little") == ()
    assert values(record("float32", (2,), (1,)), storage, raw, "little") == ()


VIEW = (
    "MARK\nMARK\nBINUNICODE 'storage'\nGLOBAL torch FloatStorage\nBINUNICODE '0'\nBINUNICODE 'cpu'\nBININT1 6\n"
    "MARK\nBINUNICODE '{key}'\nBININT1 {start}\nBININT1 {length}\nTUPLE\nTUPLE\nBINPERSID\n"
)


def test_two_views_of_one_key_that_differ() -> None:
    def file(second: str) -> bytes:
        listing = VIEW.format(key="v", start=0, length=2).removeprefix("MARK\n") + second.removeprefix("MARK\n") + "TUPLE2\n"
        return torch_zip(listing, {"0": bytes(24)})

    assert safeload.scan(file(VIEW.format(key="v", start=0, length=2))).verdict == "accepted"
    assert safeload.scan(file(VIEW.format(key="w", start=1, length=2))).verdict == "accepted"
    (error,) = safeload.scan(file(VIEW.format(key="v", start=1, length=2))).errors
    assert error.rule == "SL404" and "not the same" in error.message


def test_a_view_has_the_type_of_its_storage() -> None:
    plain = VIEW.format(key="v", start=0, length=2).removeprefix("MARK\n")
    listing = plain + plain.replace("FloatStorage", "IntStorage").replace("'v'", "'w'") + "TUPLE2\n"
    (error,) = safeload.scan(torch_zip(listing, {"0": bytes(24)})).errors
    assert error.rule == "SL404" and "a view of int32 stands on a storage of float32" in error.message


def test_indices_by_a_stride_of_zero() -> None:
    """More indices than there are bytes: nobody makes a list of them."""
    storage = StorageRecord(key="0", dtype=DTYPES["int32"], nbytes=12, location="cpu", member=None)
    with pytest.raises(StorageError, match="stands on a storage of 12 bytes") as caught:
        values(record("int32", (4,), (0,)), storage, bytes(12), "little")
    assert caught.value.rule == "SL405"


def test_findings_of_the_proof_are_bounded() -> None:
    wrong = "".join(dense("FloatStorage", 6, (9,), (1,), key="0") for _ in range(5))
    report = safeload.scan(torch_zip("MARK\n" + wrong + "TUPLE\n", {"0": bytes(24)}), limits={"findings": 2})
    assert report.verdict == "rejected" and len(report.findings) == 2


def test_a_dtype_of_another_library_has_no_item_size() -> None:
    """A policy may permit any name as a dtype; only torch's have a size."""
    allow = {
        "id": "dtype", "globals": ["acme.float32"], "uses": ["reference"], "as": "dtype", "capability": "data.tensor", "reason": "ours", "evidence": ["acme"],
    }  # fmt: skip
    head = {"schema": 1, "name": "ours", "version": "1", "summary": "s", "owner": "us", "mode": "enforce", "default": "deny"}
    policy = policy_from_dict({**head, "extends": ["checkpoint"], "allow": [allow]})
    data = "GLOBAL torch._utils _rebuild_meta_tensor_no_storage\nMARK\nGLOBAL {} float32\nBININT1 2\nTUPLE1\nBININT1 1\nTUPLE1\nNEWFALSE\nTUPLE\nREDUCE\n"
    assert safeload.scan(stream(data.format("torch")), policy=policy).verdict == "accepted"
    (error,) = safeload.scan(stream(data.format("acme")), policy=policy).errors
    assert error.rule == "SL406" and "no dtype that has an item size" in error.message


def test_an_array_over_a_bytearray_that_can_change() -> None:
    """`_frombuffer` shares the memory of what it is given, and a bytearray of a call is not the bytes of the file."""
    dtype = "GLOBAL numpy dtype\nBINUNICODE 'u1'\nNEWFALSE\nNEWTRUE\nTUPLE3\nREDUCE\n"
    head = "GLOBAL numpy._core.numeric _frombuffer\nMARK\n"
    tail = f"{dtype}BININT1 2\nTUPLE1\nBINUNICODE 'C'\nTUPLE\nREDUCE\n"
    assert safeload.scan(stream(head + "BINBYTES b'ab'\n" + tail, 3)).verdict == "accepted"
    report = safeload.scan(stream(head + "GLOBAL builtins bytearray\nBINBYTES b'ab'\nTUPLE1\nREDUCE\n" + tail, 3))
    assert report.verdict == "rejected"
    assert (report.errors[0].rule, report.errors[0].message) == ("SL407", "the data of an array is not bytes")


@pytest.mark.parametrize("mark", ["neg", "conj"])
def test_the_buffer_of_a_nested_tensor_is_plain(mark: str) -> None:
    kind = "FloatStorage" if mark == "neg" else "ComplexFloatStorage"
    plain = dense(kind, 4, (4,), (1,), key="0")
    marked = plain.removesuffix("TUPLE\nREDUCE\n") + f"EMPTY_DICT\nBINUNICODE '{mark}'\nNEWTRUE\nSETITEM\nTUPLE\nREDUCE\n"
    assert marked != plain
    shapes = (("1", (2, 1), (1, 1)), ("2", (2, 1), (1, 1)), ("3", (2,), (1,)))
    tables = "".join(dense("LongStorage", 4, shape, strides, key=key) for key, shape, strides in shapes)
    storages = {"0": bytes(32 if mark == "conj" else 16), "1": pack("<4q", 2, 2, 0, 0), "2": pack("<4q", 1, 1, 0, 0), "3": pack("<4q", 0, 2, 0, 0)}
    head = "GLOBAL torch._utils _rebuild_nested_tensor\nMARK\n"
    assert safeload.scan(torch_zip(head + plain + tables + "TUPLE\nREDUCE\n", storages)).verdict == "accepted"
    (error,) = safeload.scan(torch_zip(head + marked + tables + "TUPLE\nREDUCE\n", storages)).errors
    assert error.rule == "SL405" and "negated or conjugated" in error.message
