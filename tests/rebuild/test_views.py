"""Records become arrays: every dtype in both byte orders, flagged, packed and irregular ones, and strides that mean nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from builds import CONJ, NEG, agree, dense, dense_v3, pairs, quantized, torch_zip

import safeload
from safeload.rebuild.numpy_dtypes import numpy_dtype
from safeload.storage.dtypes import DTYPES, STORAGE_TYPES, DType

ORDERS = (b"little", b"big")
DENSE = [kind for kind, name in STORAGE_TYPES.items() if DTYPES[name].per_byte == 1 and kind != "TypedStorage"]  # torch itself fails on TypedStorage


def raw_of(dtype: DType, count: int) -> bytes:
    """Small numbers in this machine's order: bytes that are a valid value of any dtype."""
    if dtype.family == "bool":
        return bytes(index % 2 for index in range(count))
    return bytes((7 * index + 1) % 61 for index in range(count * dtype.itemsize))


def swapped(raw: bytes, unit: int) -> bytes:
    return b"".join(raw[at : at + unit][::-1] for at in range(0, len(raw), unit))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", DENSE)
def test_every_storage_type_in_both_byte_orders(kind: str, order: bytes) -> None:
    dtype = DTYPES[STORAGE_TYPES[kind]]
    raw = raw_of(dtype, 6)
    stored = raw if order == b"little" else swapped(raw, dtype.swap_bytes)
    listing = dense(kind, 6, (2, 2), (3, 1), offset=1) if dtype.family != "quantized" else quantized(kind, 6, (2, 2), (3, 1), offset=1)
    value = agree(torch_zip(listing, {"0": stored}, byteorder=order))
    array = value if isinstance(value, np.ndarray) else value.int_repr
    expected = np.frombuffer(raw, numpy_dtype(dtype))[[1, 2, 4, 5]].reshape(2, 2)
    assert array.dtype == expected.dtype and array.tobytes() == expected.tobytes() and array.flags.writeable


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", [name for name, dtype in DTYPES.items() if dtype.family != "quantized"])
def test_every_dtype_of_version_3_in_both_byte_orders(name: str, order: bytes) -> None:
    dtype = DTYPES[name]
    raw = raw_of(dtype, 4)
    stored = raw if order == b"little" else swapped(raw, dtype.swap_bytes)
    array = agree(torch_zip(dense_v3(name, len(raw), (3,), (1,), offset=1), {"0": stored}, byteorder=order))
    if isinstance(array, safeload.CheckpointError):
        pytest.fail(f"torch.{name} is refused: {array}")
    assert array.dtype == numpy_dtype(dtype) and array.tobytes() == raw[dtype.itemsize :]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("marks", [CONJ, NEG], ids=["conj", "neg"])
@pytest.mark.parametrize("shape", [(), (2,), (0,)])
@pytest.mark.parametrize("name", [name for name, dtype in DTYPES.items() if dtype.family != "quantized"])
def test_marks_on_any_dtype_end_in_an_array_or_a_refusal(name: str, shape: tuple[int, ...], marks: str, order: bytes) -> None:
    dtype = DTYPES[name]
    raw = raw_of(dtype, 2)
    value = agree(torch_zip(dense_v3(name, len(raw), shape, (1,) * len(shape), marks=marks), {"0": raw}, byteorder=order))
    if not isinstance(value, safeload.CheckpointError):
        assert isinstance(value, np.ndarray) and value.shape == shape and value.dtype == numpy_dtype(dtype)


@pytest.mark.parametrize("name", ["complex32", "complex64", "complex128", "bcomplex32"])
def test_marked_views_hold_the_values_that_torch_shows(name: str) -> None:
    dtype = DTYPES[name]
    array = np.array([1 + 2j, -3 - 4j]).astype(numpy_dtype(dtype))
    for marks, expected in ((CONJ, [1 - 2j, -3 + 4j]), (NEG, [-1 - 2j, 3 + 4j])):
        value = agree(torch_zip(dense_v3(name, array.nbytes, (2,), (1,), marks=marks), {"0": array.tobytes()}))
        assert value.astype(np.complex128).tolist() == expected


@pytest.mark.parametrize(
    "listing", [dense("BoolStorage", 4, (4,), (1,)), dense("BoolStorage", 4, (2,), (2,), offset=1), dense("BoolStorage", 4, (), (), offset=1)]
)
def test_bools_are_bools_whatever_their_bytes(listing: str) -> None:
    value = agree(torch_zip(listing, {"0": b"\0\2\1\xff"}))
    assert isinstance(value, np.ndarray) and value.dtype == np.bool_
    assert set(value.tobytes()) <= {0, 1} and value.ravel().tolist() == {4: [False, True, True, True], 2: [True, True], 1: [True]}[value.size]


def test_honest_bools_stay_views_of_their_storage() -> None:
    value = agree(torch_zip(pairs(a=dense("BoolStorage", 2, (2,), (1,)), b=dense("BoolStorage", 2, (2,), (1,))), {"0": b"\0\1"}))
    value["a"][0] = True
    assert value["b"].tolist() == [True, True]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("kind", "bits"), [("QUInt4x2Storage", 4), ("QUInt2x4Storage", 2)])
def test_packed_values_are_unpacked_lower_bits_first(kind: str, bits: int, order: bytes) -> None:
    raw = bytes([0x1B, 0xE4, 0xA5])
    every = [(byte >> shift) & ((1 << bits) - 1) for byte in raw for shift in range(0, 8, bits)]
    for shape, strides, offset in (((3,), (1,), 0), ((2,), (1,), 1), ((), (), 1), ((2, 0), (1, 1), 0), ((3,), (0,), 1)):
        value = agree(torch_zip(quantized(kind, len(raw), shape, strides, offset=offset), {"0": raw}, byteorder=order))
        if isinstance(value, safeload.CheckpointError):
            pytest.fail(str(value))
        picked = [every[offset + index * (strides[0] if strides else 0)] for index in range(shape[0] if shape else 1)] if 0 not in shape else []
        assert value.shape == shape and value.int_repr.ravel().tolist() == picked


@pytest.mark.parametrize("power", [40, 41, 62, 63, 64, 70, 500])
@pytest.mark.parametrize("shape", [(1,), (0,), (1, 0)])
def test_strides_that_mean_nothing_may_be_anything(shape: tuple[int, ...], power: int) -> None:
    strides = ((1 << power) - 1,) * len(shape)
    for listing in (dense("FloatStorage", 4, shape, strides), quantized("QUInt4x2Storage", 4, shape, strides), dense("BoolStorage", 4, shape, strides)):
        value = agree(torch_zip(listing, {"0": bytes(16 if "Float" in listing else 4)}))
        assert isinstance(value, safeload.CheckpointError) or value.shape == shape


def test_aliases_overlap_exactly_as_saved() -> None:
    value = agree(
        torch_zip(
            pairs(row=dense("FloatStorage", 4, (3, 4), (0, 1)), column=dense("FloatStorage", 4, (2, 2), (1, 2))), {"0": np.arange(4, dtype="<f4").tobytes()}
        )
    )
    assert value["row"].strides == (0, 4) and value["column"].tolist() == [[0.0, 2.0], [1.0, 3.0]]
    value["column"][0, 1] = 7.0
    assert value["row"][:, 2].tolist() == [7.0] * 3


ARRAY = (
    "GLOBAL numpy.core.multiarray _reconstruct\nMARK\nGLOBAL numpy ndarray\nBININT1 0\nTUPLE1\nBINBYTES b'b'\nTUPLE\nREDUCE\nMARK\n"
    "BININT1 1\n{shape}{dtype}NEWFALSE\nBINBYTES {raw!r}\nTUPLE\nBUILD\n"
)
DTYPE = (
    "GLOBAL numpy dtype\nMARK\nBINUNICODE '{text}'\nNEWFALSE\nNEWTRUE\nTUPLE\nREDUCE\nMARK\nBININT1 3\nBINUNICODE '|'\nNONE\nNONE\n"
    "NONE\nBININT1 {size}\nBININT1 1\nBININT1 0\nTUPLE\nBUILD\n"
)


@pytest.mark.parametrize("text", ["S0", "U0", "V0"])
def test_arrays_of_nothing_keep_their_dtype(text: str) -> None:
    from hostile.hostile import ints, stream

    value = agree(stream(ARRAY.format(shape=ints(3), dtype=DTYPE.format(text=text, size=0), raw=b""), 3))
    if not isinstance(value, safeload.CheckpointError):
        assert (value.shape, value.dtype.itemsize, value.nbytes) == ((3,), 0, 0)


@pytest.mark.parametrize(
    "dtype", ["<f4", ">f4", ">i8", "<c16", ">c8", "S3", "U2", ">U2", "V5", "?", "M8[ns]", "m8[25s]", ">M8[D]", "M8", [("a", "<i4"), ("b", ">f8", (2,))]]
)
@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_numpy_pickles_come_back_as_they_were(dtype: Any, protocol: int) -> None:
    import pickle

    raw = np.arange(2 * np.dtype(dtype).itemsize, dtype=np.uint8)
    if np.dtype(dtype).kind in "?UbMm":
        raw[:] = 0
    for array in (raw.view(dtype), np.asfortranarray(raw.view(dtype).reshape(1, 2)), raw.view(dtype)[:0], raw.view(dtype)[0]):
        value = agree(pickle.dumps(array, protocol), encoding="latin1")
        if isinstance(value, safeload.CheckpointError):
            pytest.fail(f"{array!r}: {value}")
        assert value.astype(array.dtype).tobytes() == array.tobytes()
        assert value.dtype in (array.dtype, array.dtype.newbyteorder("=")) and value.shape == array.shape
        assert np.isscalar(array) or isinstance(array, np.void) or value.flags.writeable
