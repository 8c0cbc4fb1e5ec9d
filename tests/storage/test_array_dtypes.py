"""Records of dtypes and arrays against numpy's own: texts, states, names and sizes, and both sides of each limit."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from safeload.containers.base import Member
from safeload.rebuild.numpy_dtypes import array_dtype
from safeload.storage import arrays
from safeload.storage.arrays import (
    FIXED_SIZES,
    MAX_ARRAY_DIMS,
    MAX_DTYPE_DEPTH,
    MAX_DTYPE_LEAVES,
    MAX_EMPTY_ITEMS,
    MAX_ITEM_BYTES,
    MAX_SUBARRAY_DIMS,
    TIME_UNITS,
    ArrayDType,
    BadArray,
    from_text,
    name_of,
    nbytes_of,
    nested,
    record,
    with_state,
)

SMALL = [code for code in FIXED_SIZES if code not in ("c32", "f16")]  # the two whose size is the machine's


@pytest.mark.parametrize("order", ["", "<", ">", "|", "="])
@pytest.mark.parametrize("code", [*SMALL, "S", "S3", "U", "U2", "V", "V5", "a4", "M8", "m8", "M", "m"])
def test_a_text_is_the_dtype_that_numpy_makes_of_it(code: str, order: str) -> None:
    if code[0] == "a":
        wanted = np.dtype(f"{order}S{code[1:]}")  # numpy 2 no longer knows `a`
    else:
        wanted = np.dtype((order if order != "|" else "") + code)
    found = from_text(order + code)
    assert (found.itemsize, array_dtype(found).newbyteorder("=")) == (wanted.itemsize, wanted.newbyteorder("="))
    if wanted.itemsize > 1 and wanted.kind not in "SV" and order in "<>":
        assert array_dtype(found).byteorder == wanted.byteorder
    assert found.byteorder == (order if order in ("<", ">", "|") and order else "<")
    assert (found.unit == ("generic", 1)) == (wanted.kind in "Mm")
    assert (found.depth, found.leaves, found.has_objects) == (1, 1, False)


def test_the_sizes_of_the_widest_numbers_are_those_of_the_text() -> None:
    assert (from_text("?").code, from_text("b1").code, name_of(from_text("?"))) == ("b1", "b1", "bool")
    assert (from_text("f16").itemsize, from_text("c32").itemsize, from_text("<f16").code) == (16, 32, "f16")


@pytest.mark.parametrize("text", ["O", "O8", "|O", "<O8"])
def test_objects_are_marked(text: str) -> None:
    assert (from_text(text).code, from_text(text).itemsize, from_text(text).has_objects) == ("O", 8, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        *[(text, f"{text!a} is no numpy dtype") for text in ("", "<", ">>f4", "f3", "x4", "f4 ", "M4", "m1", "O4", "Ox", "Sx", "S-1", "S+1")],
        *[(text, f"{text!a} is no numpy dtype") for text in ("S\u0663", "?1", "b2", "8", "X", "X3", "X8")],
        ("S12345678901", "'S12345678901' is no numpy dtype"),
        ("S" + "x" * 60, f"'S{'x' * 39}' is no numpy dtype"),
        ("q" * 60, f"'{'q' * 40}' is no numpy dtype"),
        ("S2147483648", "an item of 2,147,483,648 bytes"),
        ("V9999999999", "an item of 9,999,999,999 bytes"),
        ("U536870912", "an item of 2,147,483,648 bytes"),
    ],
)  # fmt: skip
def test_a_text_that_names_no_dtype(text: str, said: str) -> None:
    with pytest.raises(BadArray, match=f"^{re.escape(said)}$"):
        from_text(text)


def test_the_longest_items() -> None:
    assert from_text("S2147483647").itemsize == MAX_ITEM_BYTES
    assert from_text("U536870911").itemsize == 536_870_911 * 4


def test_the_classes_of_numpy_are_the_dtypes_that_they_make() -> None:
    for name, code in arrays.DTYPE_CLASSES.items():
        if hasattr(np.dtypes, name):
            assert array_dtype(from_text(code)) == getattr(np.dtypes, name)(), name
    assert {name for name in dir(np.dtypes) if name.endswith("DType")} - set(arrays.DTYPE_CLASSES) <= {
        "BytesDType", "StrDType", "VoidDType", "DateTime64DType", "TimeDelta64DType", "ObjectDType", "StringDType",
    }  # fmt: skip


# ---- states -----------------------------------------------------------------------------------------------------------------------------


def recorded(wanted: np.dtype[Any]) -> ArrayDType:
    """The record of what numpy pickles of a dtype, its parts alike."""
    _, (text, *_), state = wanted.__reduce__()
    return with_state(from_text(text), state, recorded)


@pytest.mark.parametrize(
    "wanted",
    [
        *[np.dtype(order + code) for order in "<>" for code in SMALL],
        *[np.dtype(text) for text in ("S3", "<U5", ">U5", "V7", "S0", "U0", "<M8[D]", ">M8[25us]", "<m8", "<m8[7h]", ">m8[as]")],
        np.dtype([("a", "<f4"), ("b", ">i2")]),
        np.dtype([("a", "<f4", (2, 3)), ("b", [("c", "u1"), ("d", "<M8[s]", 2)])]),
        np.dtype({"names": ["x", "y"], "formats": ["<f4", "<i8"], "offsets": [4, 12], "itemsize": 24}),
        np.dtype({"names": ["x", "y"], "formats": ["<i4", "<i2"], "offsets": [0, 0]}),
        np.dtype(("<f4", (2, 3))),
        np.dtype(("<f4", (0,))),
        np.dtype([]),
    ],
    ids=str,
)  # fmt: skip
def test_a_state_means_what_numpy_wrote(wanted: np.dtype[Any]) -> None:
    found = recorded(wanted)
    assert array_dtype(found) == wanted
    assert found.itemsize == wanted.itemsize


def state(order: str = "|", sub: Any = None, names: Any = None, fields: Any = None, itemsize: int = -1, extra: tuple[Any, ...] = ()) -> tuple[Any, ...]:
    """The state of a dtype."""
    return (3, order, sub, names, fields, itemsize, 1, 0, *extra)


def two(offset: int, part: str = "f4", name: str = "a") -> tuple[Any, Any]:
    """Names and fields of a structure with one field."""
    return (name,), {name: (part, offset)}


def fields(itemsize: int, offset: int, part: str = "f4", name: str = "a") -> tuple[Any, ...]:
    """The state of a structure with one field."""
    names, found = two(offset, part, name)
    return state(names=names, fields=found, itemsize=itemsize)


UNIT = "the unit of a datetime dtype is not valid"
VOID = "only a void dtype has fields or a subdtype, with an item size of its own"
FILL = "a subdtype does not fill its item"


NO_PAIRS: list[Any] = [5, (), ({},), ({}, 5), ({}, ()), ({}, (b"D", 1, 1)), ({}, (b"D", 1, 1, 1, 1)), ({}, (b"D", 1, 1, 1), 1)]
NO_UNITS: list[Any] = [(b"X", 1, 1, 1), (b"D", 0, 1, 1), (b"D", -1, 1, 1), (b"D", 1, 2, 1), (b"D", 1, 1, 2), (b"D", 1 << 31, 1, 1), (5, 1, 1, 1)]
NO_UNITS += [(b"D", 1.0, 1, 1), (b"D", 1, True, 1), (b"\xff", 1, 1, 1)]


@pytest.mark.parametrize(
    ("base", "given", "said"),
    [
        ("f4", fields(4, 0), VOID),
        ("V4", fields(-1, 0), VOID),
        ("V4", fields(MAX_ITEM_BYTES + 1, 0), VOID),
        ("S4", state(sub=("f4", (1,)), itemsize=4), VOID),
        ("V4", fields(4, 1), "the field 'a' lies outside its item"),
        ("V4", fields(4, -1), "the field 'a' lies outside its item"),
        ("V4", fields(3, 0), "the field 'a' lies outside its item"),
        ("V4", fields(3, 0, name="n" * 50), f"the field '{'n' * 40}' lies outside its item"),
        ("V4", state(sub=("f4", (2,)), itemsize=4), FILL),
        ("V4", state(sub=("f4", 2), itemsize=4), FILL),
        ("V4", state(sub=("f4", (-1, -1)), itemsize=4), FILL),
        ("V0", state(sub=("V0", (-1,)), itemsize=0), FILL),
        ("V0", state(sub=("V0", (1 << 31,)), itemsize=0), FILL),
        ("V0", state(sub=("u1", (0, 1 << 31)), itemsize=0), FILL),
        ("V0", state(sub=("u1", (1 << 31, 0)), itemsize=0), FILL),
        ("V4", state(sub=("f4", (1,) * (MAX_SUBARRAY_DIMS + 1)), itemsize=4), "a subdtype has more than 32 dimensions"),
        ("f4", state(itemsize=8), "an item of f4 has 4 bytes, not 8"),
        ("f4", state(itemsize=-2), "an item of f4 has 4 bytes, not -2"),
        ("S4", state(itemsize=-2), "an item of S4 has 4 bytes, not -2"),
        ("S4", state(itemsize=MAX_ITEM_BYTES + 1), "an item of 2,147,483,648 bytes"),
        ("U4", state(itemsize=6), "an item of 6 bytes"),
        *[("M8", state(extra=(given,)), UNIT) for given in NO_PAIRS],
        *[("M8", state(extra=(({}, given),)), UNIT) for given in NO_UNITS],
        ("M8", state(extra=(({}, [b"D", 1, 1, 1]),)), UNIT),
        ("M8", state(extra=([{}, (b"D", 1, 1, 1)],)), UNIT),
    ],
)  # fmt: skip
def test_a_state_that_does_not_fit_its_dtype(base: str, given: tuple[Any, ...], said: str) -> None:
    with pytest.raises(BadArray, match=f"^{re.escape(said)}$"):
        with_state(from_text(base), given, from_text)


def test_states_at_their_limits() -> None:
    assert with_state(from_text("V4"), fields(4, 0), from_text).fields == (("a", from_text("f4"), 0),)
    assert with_state(from_text("V4"), fields(MAX_ITEM_BYTES, MAX_ITEM_BYTES - 4), from_text).itemsize == MAX_ITEM_BYTES
    assert with_state(from_text("V0"), fields(0, 0, "V0"), from_text).itemsize == 0
    assert with_state(from_text("S4"), state(itemsize=MAX_ITEM_BYTES), from_text).code == f"S{MAX_ITEM_BYTES}"
    assert with_state(from_text("S4"), state(itemsize=0), from_text).code == "S0"
    assert with_state(from_text("S4"), state(), from_text).code == "S4"
    assert with_state(from_text("U4"), state(">", itemsize=12), from_text) == from_text(">U3")
    assert with_state(from_text("f4"), state(">"), from_text) == from_text(">f4")
    assert with_state(from_text(">f4"), state("="), from_text) == from_text("f4")
    assert with_state(from_text("f4"), state("<", itemsize=4), from_text) == from_text("<f4")
    assert with_state(from_text("V8"), state(sub=("f4", 2), itemsize=8), from_text).subdtype == (from_text("f4"), (2,))
    assert with_state(from_text("V0"), state(sub=("V0", (MAX_ITEM_BYTES,)), itemsize=0), from_text).itemsize == 0
    assert with_state(from_text("V0"), state(sub=("u1", (0, MAX_ITEM_BYTES)), itemsize=0), from_text).itemsize == 0
    assert with_state(from_text("V1"), state(sub=("u1", (1,) * MAX_SUBARRAY_DIMS), itemsize=1), from_text).itemsize == 1
    assert with_state(from_text("V4"), state(sub=("f4", ()), itemsize=4), from_text).itemsize == 4
    assert with_state(from_text("O"), state(itemsize=99), from_text) == from_text("O")
    day = with_state(from_text("M8"), state(">", extra=(({}, (b"D", (1 << 31) - 1, 1, 1)),)), from_text)
    assert (day.unit, day.byteorder, day.code, day.itemsize) == (("D", (1 << 31) - 1), ">", "M8", 8)
    assert with_state(from_text("m8"), state("<", extra=(({}, ("as", 1, 1, 1)),)), from_text).unit == ("as", 1)
    assert with_state(from_text("m8"), state("<", extra=(None,)), from_text).unit == ("generic", 1)
    assert with_state(from_text("m8"), state("<"), from_text).unit == ("generic", 1)
    for unit in TIME_UNITS:
        assert with_state(from_text("M8"), state("<", extra=(({}, (unit.encode(), 2, 1, 1)),)), from_text).unit == (unit, 2)


def test_as_many_fields_as_a_dtype_may_have() -> None:
    def many(count: int) -> ArrayDType:
        names = tuple(f"f{number}" for number in range(count))
        return with_state(from_text("V1"), state(names=names, fields=dict.fromkeys(names, ("u1", 0)), itemsize=1), from_text)

    assert many(MAX_DTYPE_LEAVES).leaves == MAX_DTYPE_LEAVES
    with pytest.raises(BadArray, match=r"^a dtype of more than 10,000 fields$"):
        many(MAX_DTYPE_LEAVES + 1)


def test_depth_and_leaves_are_summed_along_every_path() -> None:
    one = from_text("f4")
    pair = nested(8, [one, one])
    assert (pair.code, pair.itemsize, pair.byteorder, pair.depth, pair.leaves, pair.has_objects) == ("V8", 8, "|", 2, 2, False)
    four = nested(16, [pair, pair], fields=(("a", pair, 0), ("b", pair, 8)))
    assert (four.depth, four.leaves, four.fields is not None) == (3, 4, True)
    assert (nested(0, []).depth, nested(0, []).leaves, nested(0, [pair, from_text("O")]).has_objects) == (1, 0, True)
    deep = one
    for _ in range(MAX_DTYPE_DEPTH - 1):
        deep = nested(4, [deep])
    assert deep.depth == MAX_DTYPE_DEPTH
    wide = nested(4, [one] * MAX_DTYPE_LEAVES)
    for parts in ([deep], [wide, one]):
        with pytest.raises(BadArray, match=r"^a dtype nests deeper than 16 or holds more than 10,000 plain ones$"):
            nested(4, parts)


# ---- arrays -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "shape", "given", "said"),
    [
        ("O", (1,), 8, "a numpy array of Python objects is no array of numbers"),
        ("f4", (2,), 7, "an array of 8 bytes is given 7"),
        ("f4", (2,), 9, "an array of 8 bytes is given 9"),
        ("f4", (), 0, "an array of 4 bytes is given 0"),
        ("f4", (0, 3), 4, "an array of 0 bytes is given 4"),
        ("f4", (-2,), 0, "the shape has 1 dimensions, or a negative one"),
        ("f4", (1, 1, 1, 1, 1), 4, "the shape has 5 dimensions, or a negative one"),
        ("u1", (0, 1 << 62), 0, "the shape is larger than any array"),
        ("f4", (0, 1 << 60), 0, "the shape is larger than any array"),
        ("V0", (MAX_EMPTY_ITEMS + 1,), 0, "the shape is larger than any array"),
        ("V0", (0, MAX_EMPTY_ITEMS + 1), 0, "the shape is larger than any array"),
    ],
)
def test_bytes_that_are_not_exactly_the_array(of: str, shape: tuple[int, ...], given: int, said: str) -> None:
    member = Member(name="a", size=given, offset=0, stored_size=given)
    for what in ({"data": bytes(given)}, {"extent": member}):
        with pytest.raises(BadArray, match=f"^{re.escape(said)}$"):
            record(from_text(of), shape, False, **what, max_dims=4)


def test_an_array_whose_dtype_is_an_array() -> None:
    sub = with_state(from_text("V8"), state(sub=("f4", (2,)), itemsize=8), from_text)
    with pytest.raises(BadArray, match=r"^the dtype of an array is itself an array; numpy folds it into the shape and never writes one$"):
        record(sub, (1,), False, bytes(8), max_dims=4)


def test_arrays_at_their_limits() -> None:
    assert record(from_text("f4"), (1, 1, 1, 1), True, bytes(4), max_dims=4).fortran
    assert record(from_text("f4"), (), False, bytes(4), max_dims=4, scalar=True).scalar
    plain = record(from_text("f4"), (2,), False, bytes(8), max_dims=4)
    assert (plain.dtype, plain.shape, plain.fortran, plain.data, plain.extent, plain.scalar, plain.native) == (
        from_text("f4"),
        (2,),
        False,
        bytes(8),
        None,
        False,
        False,
    )
    assert record(from_text("f4"), (2,), False, bytes(8), max_dims=4, native=True).native
    assert record(from_text("V0"), (MAX_EMPTY_ITEMS,), False, max_dims=4).shape == (MAX_EMPTY_ITEMS,)
    assert record(from_text("u1"), (0, (1 << 62) - 1), False, max_dims=4).shape[0] == 0
    assert record(from_text("f4"), (0, (1 << 60) - 1), False, max_dims=4).shape[0] == 0
    member = Member(name="a", size=8, offset=16, stored_size=8)
    assert record(from_text("f4"), (2,), False, max_dims=4, extent=member).extent is member


def test_the_bytes_of_an_array_are_counted_in_python() -> None:
    four = from_text("f4")
    assert (nbytes_of(four, ()), nbytes_of(four, (2, 3)), nbytes_of(four, (0, 9))) == (4, 24, 0)
    assert nbytes_of(four, (1,) * MAX_ARRAY_DIMS) == 4
    assert nbytes_of(four, ((1 << 63) - 1,) * 2) == 4 * ((1 << 63) - 1) ** 2
    for shape in ((1,) * (MAX_ARRAY_DIMS + 1), (1 << 63,), (1, 1 << 63)):
        with pytest.raises(BadArray, match=f"^the shape has {len(shape)} dimensions, or one longer than any array's$"):
            nbytes_of(four, shape)


@pytest.mark.parametrize("text", [*SMALL, "<f4", ">f4", "S3", "<U2", ">U2", "V16", "<M8", "<M8[ns]", ">m8[25us]"])
def test_a_dtype_is_called_what_numpy_calls_it(text: str) -> None:
    wanted = np.dtype(text)
    found = name_of(recorded(wanted))
    assert found == (wanted.name if wanted.kind in "biufc" else wanted.str)


def test_an_error_gets_its_place() -> None:
    error = arrays.located(BadArray("why"), "m", 7)
    assert (error.message, error.rule, error.member, error.offset) == ("why", "SL407", "m", 7)
    assert arrays.located(BadArray("why"), None, 0, "SL409").rule == "SL409"
