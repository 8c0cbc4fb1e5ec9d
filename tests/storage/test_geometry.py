"""The extent of a view: against numpy's own bounds on random cases, and with numbers that would wrap in 64 bits."""

from __future__ import annotations

import numpy as np
import pytest
from hostile.hostile import archive, ints, storage, tensor
from hypothesis import example, given, settings
from hypothesis import strategies as st
from policy.listings import integer, outcome, refused, tensor_v3

from safeload.errors import StorageError
from safeload.limits import DEFAULT_LIMITS
from safeload.storage.geometry import MAX_ELEMENTS, check, contiguous, elements, extent

CASES = st.integers(0, 4).flatmap(
    lambda dims: st.tuples(st.tuples(*[st.integers(0, 4)] * dims), st.tuples(*[st.integers(0, 6)] * dims), st.integers(0, 12), st.integers(0, 40))
)


def reaches(size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> int:
    """One past the last element, found by visiting all of them."""
    return max((offset + sum(index * step for index, step in zip(place, stride, strict=True)) + 1 for place in np.ndindex(size)), default=0)


@settings(max_examples=500, deadline=None)
@given(CASES)
def test_extent_is_what_visiting_every_element_finds(case: tuple[tuple[int, ...], tuple[int, ...], int, int]) -> None:
    size, stride, offset, _ = case
    assert extent(size, stride, offset) == reaches(size, stride, offset)
    assert elements(size) == sum(1 for _ in np.ndindex(size))


def test_the_extent_of_a_shape_has_a_stride_for_each_length() -> None:
    with pytest.raises(ValueError, match="zip"):
        extent((2, 3), (1,), 0)
    assert extent((0,), (6,), 12) == extent((3, 0), (6, 1), 12) == 0


@pytest.mark.parametrize(
    ("size", "strides"), [((), ()), ((5,), (1,)), ((2, 3, 4), (12, 4, 1)), ((5, 1, 3), (3, 3, 1)), ((2, 0, 3), (3, 3, 1)), ((0, 2, 0), (2, 1, 1))]
)
def test_strides_in_c_order_are_those_of_torch(size: tuple[int, ...], strides: tuple[int, ...]) -> None:
    assert contiguous(size) == strides


@settings(max_examples=300, deadline=None)
@given(CASES)
@example(((), (), 0, 0))
@example(((), (), 0, 1))
@example(((0,), (6,), 12, 0))
def test_a_view_passes_where_numpy_makes_it(case: tuple[tuple[int, ...], tuple[int, ...], int, int]) -> None:
    size, stride, offset, available = case
    fits = reaches(size, stride, offset) <= available
    try:
        check(size, stride, offset, available, limits=DEFAULT_LIMITS, where=None, at=0)
        assert fits
    except StorageError as error:
        assert not fits
        assert error.rule == "SL401"
        return
    if 0 not in size:
        np.ndarray(size, np.uint8, buffer=bytearray(available), offset=offset, strides=stride)


@settings(max_examples=40, deadline=None)
@given(CASES)
def test_a_tensor_of_a_file_holds_the_elements_that_its_geometry_says(case: tuple[tuple[int, ...], tuple[int, ...], int, int]) -> None:
    size, stride, offset, available = case
    content = np.arange(available, dtype=np.float32)
    listing = tensor(ints(*size), ints(*stride), integer(offset), storage(numel=f"BININT1 {available}"))
    data = archive(listing, {"0": content.tobytes()})
    if reaches(size, stride, offset) > available:
        refused(data, "SL401")
        return
    found = outcome(data)
    assert found.shape == size
    for place in np.ndindex(size):
        assert found[place] == offset + sum(index * step for index, step in zip(place, stride, strict=True))


@pytest.mark.parametrize(
    ("size", "stride", "offset", "rule"),
    [
        ((2,), (1 << 64,), 0, "SL401"),
        ((2,), ((1 << 64) - 1,), 1, "SL401"),  # wraps to 0 in 64 bits
        ((1 << 32, 1 << 32), (0, 0), 0, "SL405"),  # 2**64 elements wrap to 0
        ((1 << 63,), (0,), 0, "SL405"),
        ((MAX_ELEMENTS,), (0,), 0, "SL405"),
        ((0, 1 << 63), (1, 1), 0, "SL405"),
        ((1,), (1,), 1 << 64, "SL401"),
        ((1,), (1,), -1, "SL405"),
        ((-1,), (1,), 0, "SL405"),
        ((2,), (-1,), 1, "SL405"),
        ((2, 2), (1,), 0, "SL405"),
        ((), (1,), 0, "SL405"),
        ((1,) * 65, (1,) * 65, 0, "SL405"),
        ((10**1_000,) * 3, (10**1_000,) * 3, 10**1_000, "SL405"),
        ((2,), (2**8_000,), 2**8_000, "SL401"),
    ],
)
def test_numbers_that_wrap_elsewhere_are_refused(size: tuple[int, ...], stride: tuple[int, ...], offset: int, rule: str) -> None:
    with pytest.raises(StorageError) as caught:
        check(size, stride, offset, 6, limits=DEFAULT_LIMITS, where=None, at=7)
    assert caught.value.rule == rule
    assert caught.value.offset == 7
    assert len(str(caught.value)) < 200_000
    refused(archive(tensor(ints(*size), ints(*stride), integer(offset))), rule, "SL304")


def test_a_bomb_of_stride_0_meets_the_budget() -> None:
    assert outcome(archive(tensor(ints(1 << 30), ints(0)))).shape == (1 << 30,)
    refused(archive(tensor(ints(1 << 40), ints(0))), "SL901")


@pytest.mark.parametrize("kind", ["FloatStorage", "BoolStorage", "QUInt4x2Storage", "QUInt2x4Storage", "ComplexDoubleStorage"])
def test_the_stride_of_a_length_of_1_is_free(kind: str) -> None:
    stored = storage(kind, numel="BININT1 4")
    for free in (0, 1 << 62, 10**30):
        assert outcome(
            archive(tensor(ints(1, 1), ints(free, 1), stored=stored), {"0": bytes({"FloatStorage": 16, "ComplexDoubleStorage": 64}.get(kind, 4))})
        ).shape == (1, 1)


@pytest.mark.parametrize(("offset", "fits"), [(0, True), (1, True), (2, False), (1 << 60, False)])
def test_a_dtype_of_its_own_counts_in_its_own_elements(offset: int, fits: bool) -> None:
    data = archive(tensor_v3("float64", 17, ints(1) + ints(1), offset=offset), {"0": bytes(17)})
    if fits:
        assert outcome(data).shape == (1,)
    else:
        refused(data, "SL401")


@pytest.mark.parametrize(
    ("size", "stride", "rule"),
    [((2,), (), "SL405"), ((1,) * 65, (1,) * 65, "SL405"), ((-1,), (1,), "SL405"), ((MAX_ELEMENTS,), (0,), "SL405"), ((7,), (1,), "SL401")],
)
def test_an_error_names_its_stream_and_its_place(size: tuple[int, ...], stride: tuple[int, ...], rule: str) -> None:
    with pytest.raises(StorageError) as caught:
        check(size, stride, 0, 6, limits=DEFAULT_LIMITS, where="a/data.pkl", at=9)
    assert (caught.value.rule, caught.value.member, caught.value.offset) == (rule, "a/data.pkl", 9)


@pytest.mark.parametrize("dims", [0, 1, 64])
def test_as_many_dimensions_as_numpy_holds(dims: int) -> None:
    check((1,) * dims, (1,) * dims, 0, 1, limits=DEFAULT_LIMITS, where=None, at=0)


@pytest.mark.parametrize("size", [(MAX_ELEMENTS - 1,), ((MAX_ELEMENTS >> 1) - 1, 2), (MAX_ELEMENTS - 1, 0)])
def test_as_many_elements_as_numpy_counts(size: tuple[int, ...]) -> None:
    check(size, (0,) * len(size), 5, 6, limits=DEFAULT_LIMITS, where=None, at=0)
    with pytest.raises(StorageError, match="larger than any array"):
        check((size[0] + 1, 2), (0, 0), 5, 6, limits=DEFAULT_LIMITS, where=None, at=0)
