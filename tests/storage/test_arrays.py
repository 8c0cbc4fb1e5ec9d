"""numpy dtypes and arrays: what numpy pickles comes back equal, objects and disagreeing numbers are refused, and no dtype costs more than its own size."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hostile.hostile import ints, stream
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from policy.listings import Refused, array, call, dtype, dtype_state, fields_of, integer, keyed, name, outcome, paired, raw, refused, scalar, sub_of, text

from safeload.storage import arrays
from safeload.storage.arrays import BadArray, from_text

PLAIN = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?"),
    hnp.complex_number_dtypes(endianness="?"),
    hnp.datetime64_dtypes(endianness="?"),
    hnp.timedelta64_dtypes(endianness="?"),
    hnp.byte_string_dtypes(endianness="?"),
    hnp.unicode_string_dtypes(endianness="?"),
    st.integers(1, 9).map(lambda size: np.dtype(f"V{size}")),
    st.tuples(st.sampled_from("Mm"), st.integers(1, 99), st.sampled_from(sorted(arrays.TIME_UNITS - {"generic"}))).map(
        lambda parts: np.dtype(f"{parts[0]}8[{parts[1]}{parts[2]}]")
    ),
    st.sampled_from([np.dtype("longdouble"), np.dtype("clongdouble"), np.dtype("M8"), np.dtype("m8")]),
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
NESTED = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.dictionaries(NAMES, inner, min_size=1, max_size=4).flatmap(
            lambda fields: st.booleans().map(lambda align: np.dtype(list(fields.items()), align=align))
        ),
        st.tuples(inner, hnp.array_shapes(max_dims=3, max_side=3, min_side=1)).map(lambda parts: np.dtype([("f", parts[0], parts[1])])),
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(NESTED, st.integers(0, 5))
def test_every_dtype_without_objects_comes_back_equal(made: np.dtype[Any], protocol: int) -> None:
    found = outcome(pickle.dumps(made, protocol))
    assert found == made
    assert found.itemsize == made.itemsize
    assert found.str == made.str


def alike(one: Any, other: Any) -> bool:
    """Equal bytes, field by field: what stands in the padding between fields is lost whenever numpy copies an array into another order."""
    if one.dtype.names is None:
        return bool(one.tobytes() == other.tobytes())
    return all(alike(one[name], other[name]) for name in one.dtype.names)


@settings(max_examples=300, deadline=None)
@given(NESTED, st.data(), st.integers(0, 5), st.sampled_from(["C", "F", "step"]))
def test_every_array_without_objects_comes_back_as_numpy_reads_it(made: np.dtype[Any], data: st.DataObject, protocol: int, order: str) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
    count = int(np.prod(shape))
    content = data.draw(st.binary(min_size=count * made.itemsize, max_size=count * made.itemsize)) if made.kind not in "USV" else bytes(count * made.itemsize)
    value = np.frombuffer(content, made).reshape(shape) if count and made.itemsize else np.zeros(shape, made)
    value = value[::-1] if order == "step" and value.ndim else np.array(value, order="F" if order == "F" else "C")
    pickled = pickle.dumps(value, protocol)
    wanted, found = pickle.loads(pickled), outcome(pickled)
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    assert alike(found, wanted)
    assert found.flags.writeable


@settings(max_examples=200, deadline=None)
@given(PLAIN.filter(lambda made: made.itemsize > 0), st.data(), st.integers(0, 5))
def test_every_scalar_comes_back_as_numpy_reads_it(made: np.dtype[Any], data: st.DataObject, protocol: int) -> None:
    content = bytes(made.itemsize) if made.kind in "USV" else data.draw(st.binary(min_size=made.itemsize, max_size=made.itemsize))
    pickled = pickle.dumps(np.frombuffer(content, made)[0], protocol)
    wanted, found = pickle.loads(pickled), outcome(pickled)
    assert type(found) is type(wanted)
    assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize(
    "value",
    [
        np.array([None, "a"], object),
        np.zeros(2, [("a", "f4"), ("b", "O")]),
        np.zeros(0, object),
        np.zeros(1, [("a", [("b", "O", (2,))])]),
        np.array([[]], object),
    ],
    ids=["objects", "a field", "empty", "nested", "two dimensions"],
)
@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_objects_are_refused(value: Any, protocol: int) -> None:
    refused(pickle.dumps(value, protocol), "SL409", "SL305")


@settings(max_examples=300, deadline=None)
@given(st.text("<>|=?biufcSUVMmaOTeg0123456789[]ns ,", max_size=6))
def test_letters_mean_what_they_mean_to_numpy_or_nothing(letters: str) -> None:
    try:
        found = from_text(letters)
    except BadArray:
        return
    if letters[-1:] == "a" or "a" in letters:
        return  # numpy dropped the letter, older files hold it
    assert np.dtype(letters).itemsize == found.itemsize


@pytest.mark.parametrize(
    "letters",
    [
        "M4",
        "m99",
        "O4",
        "O99",
        "M8[ns]",
        "i4,i4",
        "(2,)f4",
        "f",
        "i",
        "",
        "<",
        "f3",
        "i16",
        "S-1",
        "S1.5",
        "S\u0661",
        "V2147483648",
        "U536870912",
        "S2147483648",
    ],
)
def test_letters_that_numpy_refuses_or_that_need_parsing_are_refused(letters: str) -> None:
    refused(stream(dtype(letters)), "SL407", "SL409")


@pytest.mark.parametrize(
    "state",
    [
        dtype_state(extra=paired() + "MARK\nEMPTY_LIST\nBININT1 1\nBININT1 1\nBININT1 1\nTUPLE\nTUPLE2\n"),
        dtype_state(extra=paired() + f"MARK\n{raw(b'D')}BININT1 1\n{call('decimal', 'Decimal', text('sNaN'))}BININT1 1\nTUPLE\nTUPLE2\n"),
        dtype_state(extra=paired() + f"MARK\n{raw(b'D')}BININT1 0\nBININT1 1\nBININT1 1\nTUPLE\nTUPLE2\n"),
        dtype_state(extra=paired() + f"MARK\n{raw(b'D')}{integer(1 << 31)}BININT1 1\nBININT1 1\nTUPLE\nTUPLE2\n"),
        dtype_state(extra=paired() + f"MARK\n{raw(b'zz')}BININT1 1\nBININT1 1\nBININT1 1\nTUPLE\nTUPLE2\n"),
        dtype_state(
            extra=paired()
            + f"MARK\n{call('builtins', 'slice', 'NONE' + chr(10) + 'NONE' + chr(10) + 'NONE' + chr(10))}BININT1 1\nBININT1 1\nBININT1 1\nTUPLE\nTUPLE2\n"
        ),
        dtype_state(extra="EMPTY_LIST\n"),
        dtype_state(order="!"),
        dtype_state(order="<<"),
        dtype_state(sub="EMPTY_TUPLE\n"),
        dtype_state(sub=dtype("f4") + ints(2) + "TUPLE2\n", itemsize=8),
        dtype_state(names="EMPTY_TUPLE\n"),
        dtype_state(fields="EMPTY_DICT\n"),
        dtype_state(names="EMPTY_LIST\n", fields="EMPTY_DICT\n"),
        "NONE\nBUILD\n",
        "EMPTY_TUPLE\nBUILD\n",
        dtype_state() + dtype_state(),
    ],
)
def test_a_state_that_numpy_never_writes_is_refused(state: str) -> None:
    refused(stream(dtype("M8", state)))


@pytest.mark.parametrize(
    "made",
    [
        sub_of(dtype("V0"), ints(10**30), 0),
        sub_of(dtype("f4"), ints(0, 10**30), 0),
        sub_of(dtype("f4"), ints(-1), 4),
        sub_of(dtype("f4"), ints(-2, -2), 16),
        sub_of(dtype("f4"), ints(*[1] * 33), 4),
        sub_of(dtype("f4"), ints(2), 12),
        sub_of(dtype("f4"), "EMPTY_LIST\n", 4),
        fields_of(4, a=(dtype("f4"), 1)),
        fields_of(4, a=(dtype("f4"), -1)),
        fields_of(4, a=(dtype("f8"), 0)),
        fields_of(4, a=(dtype("f4"), 10**30)),
        fields_of(-1, a=(dtype("f4"), 0)),
        dtype("V4", dtype_state("|", itemsize=1 << 31)),
        dtype("V4", dtype_state("|", itemsize=10**300)),
        dtype("U1", dtype_state("<", itemsize=3)),
        dtype("f4", dtype_state("<", itemsize=8)),
    ],
)
def test_numbers_that_do_not_agree_are_refused(made: str) -> None:
    refused(stream(made), "SL407", "SL305", "SL304")


@pytest.mark.parametrize("of", [sub_of(dtype("f4"), ints(2), 8), sub_of(dtype("f4"), ints(2, 1), 8)])
def test_no_array_has_a_dtype_of_arrays(of: str) -> None:
    """numpy itself moves such a dtype into the shape, so no pickle of an array names one."""
    refused(stream(array(of, ints(2), raw(bytes(16)))))
    refused(stream(scalar(of, raw(bytes(8)))))
    refused(stream(call("numpy._core.numeric", "_frombuffer", raw(bytes(16)) + of + ints(2) + text("C"))))


def near(shape: str = ints(2), data: str = raw(bytes(8)), of: str = "", fortran: str = "NEWFALSE\n") -> bytes:
    """An array of two float32 with one thing bent."""
    return stream(array(of or dtype("f4"), shape, data, fortran))


def test_the_honest_one_is_accepted() -> None:
    assert outcome(near()).tolist() == [0, 0]


@pytest.mark.parametrize(
    "data",
    [
        near(data=raw(bytes(7))),
        near(data=raw(bytes(9))),
        near(data="EMPTY_LIST\n"),
        near(data="NONE\n"),
        near(data=text("\u0100" * 8)),
        near(shape="EMPTY_LIST\nBININT1 2\nAPPEND\n"),
        near(shape="BININT1 2\n"),
        near(shape="NEWTRUE\nTUPLE1\n"),
        near(shape=ints(-2)),
        near(shape=ints(-1, -2)),
        near(shape=ints(1 << 62)),
        near(shape=ints(0, 1 << 62), data=raw(b"")),
        near(shape=ints(2, *[1] * 64)),
        near(shape=ints(1 << 31, 1 << 33), of=dtype("V0"), data=raw(b"")),
        near(of=name("numpy.dtypes", "Float32DType")),
        near(of=name("torch", "float32")),
        near(of=text("f4")),
        near(fortran="NONE\n"),
        near(fortran="BINFLOAT 1\n"),
        stream(array(dtype("f4"), ints(2), raw(bytes(8))) + f"MARK\nBININT1 1\n{ints(1)}{dtype('f4')}NEWFALSE\n{raw(bytes(4))}TUPLE\nBUILD\n"),
        stream(call("numpy._core.multiarray", "_reconstruct", name("numpy", "ndarray") + ints(1) + raw(b"b"))),
        stream(call("numpy._core.multiarray", "_reconstruct", name("torch", "Tensor") + ints(0) + raw(b"b"))),
        stream(call("numpy._core.numeric", "_frombuffer", raw(bytes(8)) + dtype("f4") + ints(2) + text("K"))),
        stream(call("numpy._core.numeric", "_frombuffer", raw(bytes(8)) + dtype("f4") + ints(-1) + text("C"))),
        stream(call("numpy._core.numeric", "_frombuffer", raw(bytes(8)) + dtype("O") + ints(1) + text("C"))),
        stream(scalar(name("numpy.dtypes", "Float32DType"), raw(bytes(4)))),
        stream(scalar(dtype("f4"), raw(bytes(5)))),
        stream(scalar(dtype("O"), "NONE\n")),
    ],
)
def test_near_misses_of_an_array_are_refused(data: bytes) -> None:
    refused(data)


@pytest.mark.parametrize("attribute", ["BytesDType", "StrDType", "VoidDType", "DateTime64DType", "TimeDelta64DType"])
def test_classes_without_a_size_make_no_dtype(attribute: str) -> None:
    found = outcome(stream(call("numpy.dtypes", attribute)))
    assert isinstance(found, Refused)


@pytest.mark.parametrize(("attribute", "code"), sorted(arrays.DTYPE_CLASSES.items()))
def test_classes_with_a_size_make_the_dtype_of_numpy(attribute: str, code: str) -> None:
    made = getattr(np.dtypes, attribute)()
    assert from_text(code).itemsize == made.itemsize
    if "LongDouble" in attribute:  # as wide as the machine likes: no policy lists them
        refused(stream(call("numpy.dtypes", attribute)), "SL301")
    else:
        assert outcome(stream(call("numpy.dtypes", attribute))) == made


@pytest.mark.parametrize("width", [2, 40])
def test_dtypes_that_share_their_parts_cost_their_own_size(width: int) -> None:
    """Walked path by path, `width ** levels` steps; this test ends only where each record is visited once, or the file is refused."""
    levels = 12
    out = dtype("f4") + "BINPUT 0\nPOP\n"
    for level in range(levels):
        fields = {f"f{number}": (f"BINGET {level}\n", 0) for number in range(width)}
        out += fields_of(4, **fields) + f"BINPUT {level + 1}\nPOP\n"
    outcome(stream(f"{out}BINGET {levels}\n"))


def test_a_dtype_deeper_than_the_bound_is_refused() -> None:
    out = dtype("f4") + "BINPUT 0\nPOP\n"
    for _ in range(40):
        out += fields_of(4, f=("BINGET 0\n", 0)) + "BINPUT 0\nPOP\n"
    refused(stream(f"{out}BINGET 0\n"), "SL407")


def test_the_fields_must_not_change_behind_the_state() -> None:
    fields = f"EMPTY_DICT\nBINPUT 0\n{text('a')}{dtype('f4')}BININT1 0\nTUPLE2\nSETITEM\n"
    made = dtype("V8", dtype_state("|", names=f"{text('a')}TUPLE1\n", fields=fields, itemsize=8))
    assert outcome(stream(made)).names == ("a",)
    refused(stream(f"{made}BINGET 0\n{text('a')}{dtype('f4')}BININT1 4\nTUPLE2\nSETITEM\nPOP\n"), "SL206", "SL305")


@pytest.mark.parametrize(
    ("of", "data"), [(dtype("S3"), raw(b"abc")), (dtype("V3"), raw(b"abc")), (dtype("U1"), raw(b"abcd")), (fields_of(4, a=(dtype("f4"), 0)), raw(bytes(4)))]
)
def test_a_device_tensor_is_made_of_numbers(of: str, data: str) -> None:
    listing = call("torch._utils", "_rebuild_device_tensor_from_numpy", array(of, ints(1), data) + name("torch", "float32") + text("xla:0") + "NEWFALSE\n")
    refused(stream(listing))


@pytest.mark.parametrize("shape", [(0, 1 << 58), (0, 0), (3, 0, 1 << 40)])
def test_empty_arrays_may_be_as_long_as_numpy_allows(shape: tuple[int, ...]) -> None:
    assert outcome(near(shape=ints(*shape), data=raw(b""))).shape == shape


def test_a_dtype_is_a_key() -> None:
    assert outcome(stream(keyed(dtype("f4")))) == {np.dtype("f4"): None}


@pytest.mark.parametrize(
    ("of", "code"),
    [
        ("float32", "f4"), ("float64", "f8"), ("bfloat16", "f4"), ("int64", "i8"), ("int16", "u2"), ("uint8", "u1"), ("uint8", "i1"), ("bool", "b1"),
        ("complex64", "c8"),
    ],
)  # fmt: skip
def test_a_device_tensor_is_made_of_an_array_of_its_kind(of: str, code: str) -> None:
    def made(code: str) -> bytes:
        of_array = array(dtype(code), ints(0), raw(b""))
        return stream(call("torch._utils", "_rebuild_device_tensor_from_numpy", of_array + name("torch", of) + text("xla:0") + "NEWFALSE\n"))

    assert str(outcome(made(code)).dtype) == of
    for other in {"f4", "i4", "b1", "c8", "S4"} - {code, "f4" if "float" in of else "", "i4" if "int" in of else "", "c8" if "complex" in of else ""}:
        refused(made(other), "SL406")


def test_the_order_of_an_array_is_that_of_its_state() -> None:
    numbers = np.arange(6, dtype="<f4")
    assert outcome(stream(array(dtype("f4"), ints(2, 3), raw(numbers.tobytes())))).tolist() == numbers.reshape(2, 3).tolist()
    assert outcome(stream(array(dtype("f4"), ints(2, 3), raw(numbers.tobytes()), "NEWTRUE\n"))).tolist() == numbers.reshape(2, 3, order="F").tolist()
    for order in "CF":
        made = call("numpy._core.numeric", "_frombuffer", raw(numbers.tobytes()) + dtype("f4") + ints(2, 3) + text(order))
        assert outcome(stream(made)).tolist() == numbers.reshape(2, 3, order=order).tolist()


def test_bytes_of_another_order_are_turned_as_numpy_turns_them() -> None:
    """`array_setstate` gives a native array, `_frombuffer` and `scalar` what they are told."""
    swapped = dtype("f4", dtype_state(">"))
    state = outcome(stream(array(swapped, ints(2), raw(np.array([1, 2], ">f4").tobytes()))))
    buffer = outcome(stream(call("numpy._core.numeric", "_frombuffer", raw(np.array([1, 2], ">f4").tobytes()) + swapped + ints(2) + text("C"))))
    for found, wanted in ((state, "="), (buffer, ">")):
        assert (found.tolist(), found.dtype.byteorder) == ([1, 2], wanted)
    one = outcome(stream(scalar(swapped, raw(np.array(3, ">f4").tobytes()))))
    assert type(one) is np.float32 and one == 3
