"""geometry: no view leaves its buffer, and numpy never gets numbers that it answers with another exception."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.errors import StorageError
from safeload.placement import geometry

F4 = np.dtype("f4")
HUGE = 1 << 70


def test_exact_fit_and_one_byte_more() -> None:
    assert geometry.checked(24, F4, (2, 3), (12, 4), 0) == ((12, 4), 0)
    with pytest.raises(StorageError, match="byte 24 of a storage of 23") as error:
        geometry.checked(23, F4, (2, 3), (12, 4), 0)
    assert error.value.rule == "SL401"


@pytest.mark.parametrize(
    ("shape", "strides", "offset", "rule"),
    [
        ((7,), (4,), 0, "SL401"),
        ((6,), (4,), 1, "SL401"),
        ((1,), (4,), 21, "SL401"),
        ((), (), 21, "SL401"),
        ((2,), (HUGE,), 0, "SL401"),
        ((1,), (4,), HUGE, "SL401"),
        ((2,), (-4,), 4, "SL405"),
        ((-1,), (4,), 0, "SL405"),
        ((1,), (4,), -4, "SL405"),
        ((0,), (4,), -4, "SL405"),
        ((1, 1), (4,), 0, "SL405"),
        ((1,) * 65, (0,) * 65, 0, "SL405"),
        ((1 << 62, 1 << 62), (0, 0), 0, "SL405"),
        ((0, 1 << 62), (0, 0), 0, "SL405"),
    ],
)
def test_refused(shape: tuple[int, ...], strides: tuple[int, ...], offset: int, rule: str) -> None:
    with pytest.raises(StorageError) as error:
        geometry.checked(24, F4, shape, strides, offset)
    assert error.value.rule == rule


@pytest.mark.parametrize("dtype", ["O", "V0", "S0", [("a", "O")]])
def test_a_dtype_of_addresses_or_of_nothing_is_refused(dtype: object) -> None:
    with pytest.raises(StorageError) as error:
        geometry.checked(24, np.dtype(dtype), (1,), (8,), 0)  # type: ignore[call-overload]
    assert error.value.rule == "SL406"


def test_torch_habits() -> None:
    assert geometry.checked(0, F4, (0, 3), (12, 4), 10**6) == ((0, 0), 0), "without elements any offset goes"
    assert geometry.checked(4, F4, (1,), (10**9,), 0) == ((10**9,), 0), "the stride of a size 1 means nothing"
    assert geometry.checked(4, F4, (1,), (HUGE,), 0) == ((0,), 0), "... also where numpy could not hold it"
    assert geometry.checked(4, F4, (1 << 40,), (0,), 0) == ((0,), 0), "an expanded tensor costs what its storage costs"


sizes = st.one_of(st.integers(-1, 5), st.sampled_from([1 << 31, 1 << 62, 1 << 63, HUGE]))


@given(
    st.integers(0, 64),
    st.sampled_from(["u1", "f4", "c16", ml_dtypes.bfloat16, ml_dtypes.complex32]),
    st.lists(st.tuples(sizes, sizes), max_size=5),
    sizes,
)
def test_what_is_let_through_numpy_accepts(nbytes: int, dtype: object, dims: list[tuple[int, int]], offset: int) -> None:
    """numpy checks bounds over a buffer itself: an oracle for both the answer and the refusal."""
    kind = np.dtype(dtype)  # type: ignore[call-overload]
    shape, strides = tuple(size for size, _ in dims), tuple(stride for _, stride in dims)
    try:
        strides, offset = geometry.checked(nbytes, kind, shape, strides, offset)
    except StorageError:
        return
    view = np.ndarray(shape, kind, buffer=np.zeros(nbytes, np.uint8), offset=offset, strides=strides)
    assert view.shape == shape
