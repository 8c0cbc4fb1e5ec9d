"""arrays: any piece of any view, however it is strided, is what `ravel` would give."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from safeload.placement.arrays import ArrayReader, fill
from safeload.placement.settings import ALIGNMENT


@st.composite
def views(draw: st.DrawFn) -> Any:
    shape = tuple(draw(st.lists(st.integers(0, 7), max_size=4)))
    array = np.arange(int(np.prod(shape)), dtype=draw(st.sampled_from(["u1", "f4", "c16"]))).reshape(shape)
    if shape and draw(st.booleans()):
        array = array.transpose(draw(st.permutations(range(len(shape)))))
    index = tuple(slice(draw(st.integers(0, 2)), None, draw(st.integers(1, 3))) for _ in shape)
    array = array[index]
    return np.broadcast_to(array, (3, *array.shape)) if draw(st.booleans()) else array


@given(views(), st.data())
def test_pieces_of_a_view(array: Any, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, array.size))
    count = data.draw(st.integers(0, array.size - first))
    target = np.zeros(count, array.dtype)
    fill(array, first, target)
    assert target.tolist() == array.ravel()[first : first + count].tolist()


@given(views(), st.integers(1, 4))
def test_a_reader_gives_the_bytes_of_a_contiguous_copy(array: Any, slots: int) -> None:
    reader = ArrayReader(array)
    out = bytearray(reader.nbytes)
    step = slots * ALIGNMENT
    for start in range(0, len(out), step):
        reader.read_into(start, memoryview(out)[start : start + step])
    assert bytes(out) == np.ascontiguousarray(array).tobytes() and reader.extent is None
