"""Descriptions of dtypes against numpy's own reading of them, and both sides of each limit."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from safeload.rebuild.numpy_dtypes import array_dtype
from safeload.storage import descr as module
from safeload.storage.arrays import MAX_DTYPE_LEAVES, MAX_ITEM_BYTES, MAX_SUBARRAY_DIMS, TIME_UNITS, BadArray
from safeload.storage.descr import from_descr

PLAIN = ["<f4", ">f8", "|b1", "|u1", "<i8", ">c16", "|S5", "<U3", ">U3", "|V7", "<M8[D]", ">m8[25us]", "<m8", "=M8[3h]", "M8[ns]"]
UNITS = sorted(TIME_UNITS - {"generic"})


def nested(depth: int, part: Any = "<f4") -> Any:
    """A dtype in so many structures."""
    return [("a", nested(depth - 1, part))] if depth else part


@pytest.mark.parametrize(
    "of",
    [
        *PLAIN,
        *[f"{order}{kind}8[{multiple}{unit}]" for order, kind, multiple in (("<", "M", ""), (">", "m", "7")) for unit in UNITS],
        [("a", "<f4")],
        [("a", ">f4"), ("b", "<i8"), ("c", "|S3")],
        [("a", "<f4", 3)],
        [("a", "<f4", (3,)), ("b", "<i2", (2, 3))],
        [("a", "<f4", ()), ("b", "|u1", (0, 5)), ("c", "<f8")],
        [("a", ("<f4", (2, 2)))],
        [("a", [("b", "<f4"), ("c", "<i2", (2,))]), ("d", "<f8")],
        [("a", "|u1"), ("", "|V3"), ("b", "<i4"), ("", "|V8")],
        [("", "|V3"), ("a", "<f4")],
        [("a", "|V3")],
        [("a", [("", "|V1"), ("b", "|u1")], (2,))],
        [("", "<f4"), ("b", "<i4")],
        [("b", "<i4"), ("", "<f4")],
        [("", [("x", "<f4")])],
        [],
    ],
    ids=str,
)  # fmt: skip
def test_a_description_means_what_numpy_reads_in_it(of: Any) -> None:
    wanted = np.lib.format.descr_to_dtype(of)
    assert array_dtype(from_descr(of)) == wanted
    assert from_descr(of).itemsize == wanted.itemsize


@pytest.mark.parametrize(("of", "order"), [("<M8[D]", "<"), ("M8[D]", "<"), ("=m8[D]", "<"), ("|m8[D]", "<"), (">M8[D]", ">")])
def test_a_time_has_a_byte_order(of: str, order: str) -> None:
    assert from_descr(of).byteorder == order


def test_titles_are_dropped() -> None:
    assert array_dtype(from_descr([(("a title", "a"), "<f4"), ("b", "|b1")])) == np.dtype([("a", "<f4"), ("b", "|b1")])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (5, "a dtype is text, a list of fields, or (dtype, shape)"),
        (None, "a dtype is text, a list of fields, or (dtype, shape)"),
        (("<f4",), "a dtype is text, a list of fields, or (dtype, shape)"),
        (("<f4", 2, 3), "a dtype is text, a list of fields, or (dtype, shape)"),
        ([("a", ("<f4",))], "a dtype is text, a list of fields, or (dtype, shape)"),
        ("<M8[pc]", "'<M8[pc]' has no unit of time"),
        ("<M8[0D]", "'<M8[0D]' is no numpy dtype"),
        ("<M8[12345678901D]", "'<M8[12345678901D]' is no numpy dtype"),
        ("<M8[D", "'<M8[D' is no numpy dtype"),
        ("x" * 50, f"'{'x' * 40}' is no numpy dtype"),
        (("<f4", "3"), "the shape of a subarray is a tuple of whole numbers"),
        (("<f4", [3]), "the shape of a subarray is a tuple of whole numbers"),
        (("<f4", True), "the shape of a subarray is a tuple of whole numbers"),
        (("<f4", None), "the shape of a subarray is a tuple of whole numbers"),
        (("<f4", (2.0,)), "the shape of a subarray is a tuple of whole numbers"),
        (("<f4", (2, -1)), "the shape of a subarray is a tuple of whole numbers"),
        (("<f4", -1), "the shape of a subarray is a tuple of whole numbers"),
        (("<f4", (1,) * (MAX_SUBARRAY_DIMS + 1)), "the shape of a subarray is a tuple of whole numbers"),
        (("<f4", (1 << 29,)), "a subarray is larger than any item"),
        (("<f4", (1 << 28, 2)), "a subarray is larger than any item"),
        (("|V0", (1 << 31,)), "a subarray is larger than any item"),
        (("|u1", (0, 1 << 31)), "a subarray is larger than any item"),
        (["<f4"], "a field is (name, dtype) or (name, dtype, shape)"),
        ([("a", "<f4", 2, 3)], "a field is (name, dtype) or (name, dtype, shape)"),
        ([("a",)], "a field is (name, dtype) or (name, dtype, shape)"),
        ([["a", "<f4"]], "a field is (name, dtype) or (name, dtype, shape)"),
        ([(7, "<f4")], "the name of a field is text"),
        ([(("t", 7), "<f4")], "the name of a field is text"),
        ([(("t", "a", "b"), "<f4")], "the name of a field is text"),
        ([(("a",), "<f4")], "the name of a field is text"),
        ([("a", "<f4"), ("a", "<f4")], "two fields of a dtype have one name, or its item is too long"),
        ([("", "<f4"), ("", "<f4")], "two fields of a dtype have one name, or its item is too long"),
        ([("a", "|V2147483647"), ("b", "|u1")], "two fields of a dtype have one name, or its item is too long"),
        ([(f"f{number}", "|u1") for number in range(MAX_DTYPE_LEAVES + 1)], "a dtype of more than 10,000 fields"),
        (
            [("a", "|u1", (2,)), *[(f"f{number}", [("x", "|u1"), ("y", "|u1")]) for number in range(5_000)]],
            "a dtype nests deeper than 16 or holds more than 10,000 plain ones",
        ),
        (nested(16), "a dtype nests deeper than 16 or holds more than 10,000 plain ones"),
        (nested(18), "a dtype nests deeper than 16"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_what_is_no_description_is_refused(wrong: Any, said: str) -> None:
    with pytest.raises(BadArray, match=f"^{re.escape(said)}$"):
        from_descr(wrong)


def test_descriptions_at_their_limits() -> None:
    assert from_descr(("<f4", (1,) * MAX_SUBARRAY_DIMS)).itemsize == 4
    assert from_descr(("|u1", (MAX_ITEM_BYTES,))).itemsize == MAX_ITEM_BYTES
    assert from_descr(("|V0", (MAX_ITEM_BYTES,))).itemsize == 0
    assert from_descr(("|u1", (0, MAX_ITEM_BYTES))).itemsize == 0
    assert from_descr([("a", "|V2147483646"), ("b", "|u1")]).itemsize == MAX_ITEM_BYTES
    assert from_descr([(f"f{number}", "|u1") for number in range(MAX_DTYPE_LEAVES)]).leaves == MAX_DTYPE_LEAVES
    assert from_descr("<M8[9999999999D]").unit == ("D", 9_999_999_999)
    assert from_descr(nested(15)).depth == 16
    assert from_descr(nested(7, ("<f4", 2))).depth == 9


def test_a_description_is_not_read_deeper_than_a_dtype_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each level is one call of Python: the bound stands before the next one is made, for structures and for subarrays alike."""
    depths: list[int] = []
    whole = from_descr
    monkeypatch.setattr(module, "from_descr", lambda descr, depth=0: depths.append(depth) or whole(descr, depth))
    deep: Any = "<f4"
    for _ in range(40):
        deep = (deep, 1)
    for wrong in (nested(40), deep):
        depths.clear()
        with pytest.raises(BadArray, match=r"^a dtype nests deeper than 16$"):
            module.from_descr(wrong)
        assert depths == list(range(18))
