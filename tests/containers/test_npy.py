"""The header of a .npy file: numpy's own are read as numpy reads them, and nothing else is."""

from __future__ import annotations

import ast
import io
from struct import pack
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.containers.npy import MAX_DEPTH, MAX_HEADER_BYTES, NpyHeader, read_npy
from safeload.errors import CheckpointError
from safeload.source import ByteSource


def npy(text: str | bytes, data: bytes = b"", *, version: int = 1, length: int | None = None) -> bytes:
    """A file with this header."""
    raw = text.encode("utf-8" if version == 3 else "latin-1") if isinstance(text, str) else text
    return b"\x93NUMPY" + bytes([version, 0]) + pack("<H" if version == 1 else "<I", len(raw) if length is None else length) + raw + data


def header(data: bytes) -> NpyHeader:
    found = read_npy(ByteSource(name="x", size=len(data), buffer=data)).detail
    assert isinstance(found, NpyHeader)
    return found


@pytest.mark.parametrize(
    ("text", "descr", "fortran", "shape"),
    [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }      \n", "<f4", False, (3, 2)),
        ('{"shape":(),"descr":"|b1","fortran_order":True}', "|b1", True, ()),
        ("{'descr': '<i8', 'fortran_order': False, 'shape': (10L,), }\n", "<i8", False, (10,)),
        ("{'descr': [('a', '<f4'), ('b', '<i2', (2, 3))], 'fortran_order': False, 'shape': (1,)}", [("a", "<f4"), ("b", "<i2", (2, 3))], False, (1,)),
        ("{'descr': [(('title', 'a'), u'<f4')], 'fortran_order': False, 'shape': (1,)}", [(("title", "a"), "<f4")], False, (1,)),
        (r"{'descr': [('it\'s \\ \x41\u00e9\n', '<f4')], 'fortran_order': False, 'shape': (1,)}", [("it's \\ Aé\n", "<f4")], False, (1,)),
    ],
)
def test_headers_that_numpy_writes(text: str, descr: Any, fortran: bool, shape: tuple[int, ...]) -> None:
    for version in (1, 2, 3):
        found = header(npy(text, version=version))
        assert (found.descr, found.fortran, found.shape, found.version) == (descr, fortran, shape, version)


DESCRS = st.recursive(
    st.sampled_from(["<f4", ">i2", "|S3", "<U5", "<M8[ns]", "|V7"]),
    lambda inner: st.lists(st.tuples(st.text(max_size=4), inner) | st.tuples(st.text(max_size=4), inner, st.tuples(st.integers(0, 9))), max_size=3),
    max_leaves=6,
)


@given(DESCRS, st.booleans(), st.lists(st.integers(0, 1 << 40), max_size=5))
def test_one_reading_whatever_repr_writes_is_read_as_the_same_values(descr: Any, fortran: bool, shape: list[int]) -> None:
    text = repr({"descr": descr, "fortran_order": fortran, "shape": tuple(shape)})
    found = header(npy(text, version=3))
    assert {"descr": found.descr, "fortran_order": found.fortran, "shape": found.shape} == ast.literal_eval(text)


GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}"


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "{}", "[]", "()", "1", "None", GOOD[:-1], GOOD + "}", GOOD + " + 1", GOOD[:-1] + ", 'x': 1}", GOOD[:-1] + ", 'shape': (1,)}",
        GOOD.replace("False", "0"), GOOD.replace("(3,)", "[3]"), GOOD.replace("(3,)", "3"), GOOD.replace("(3,)", "(-3,)"), GOOD.replace("(3,)", "(3.0,)"),
        GOOD.replace("(3,)", "(True,)"), GOOD.replace("(3,)", "('3',)"), GOOD.replace("(3,)", "(3, 4"), GOOD.replace("(3,)", "(3 4)"),
        GOOD.replace("(3,)", "(,)"),
        GOOD.replace("(3,)", f"({'9' * 21},)"), GOOD.replace("'<f4'", "__import__('os')"), GOOD.replace("'<f4'", "'<f' '4'"), GOOD.replace("'<f4'", "'<f4"),
        GOOD.replace("'<f4'", "b'<f4' if 1 else 2"), GOOD.replace("'<f4'", r"'\q'"), GOOD.replace("'<f4'", r"'\U00110000'"), GOOD.replace("'<f4'", "{'a': 1}"),
        GOOD.replace("'<f4'", "[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2)), GOOD.replace("'<f4'", "(" * 100_000), GOOD.replace("'descr'", "descr"),
    ],
)  # fmt: skip
def test_other_headers_are_refused(text: str) -> None:
    with pytest.raises(CheckpointError) as error:
        header(npy(text, version=2))
    assert error.value.rule == "SL130"


@pytest.mark.parametrize("data", [b"\x93NUMPY", b"\x93NUMPY\1", b"\x93NUMPY\4\0\0\0\0\0", b"\x93NUMPY\0\0\2\0{}", b"\x93NUMPY\1\1\2\0{}", b"\x93NUMPY\1\0\2"])
def test_versions_that_numpy_does_not_write(data: bytes) -> None:
    with pytest.raises(CheckpointError):
        header(data)


def test_lengths_are_held_against_the_file_and_the_limit() -> None:
    with pytest.raises(CheckpointError) as short:
        header(npy(GOOD, length=60_000))
    assert short.value.rule == "SL004"
    with pytest.raises(CheckpointError) as long:
        header(npy(GOOD, version=2, length=(1 << 32) - 1))
    assert long.value.rule == "SL130"
    most = GOOD + " " * (MAX_HEADER_BYTES - len(GOOD))
    assert header(npy(most, version=2)).shape == (3,)
    with pytest.raises(CheckpointError):
        header(npy(most + " ", version=2))


@given(st.binary(max_size=80))
def test_every_input_ends_in_a_header_or_an_error(junk: bytes) -> None:
    try:
        header(npy(junk))
    except CheckpointError as error:
        assert error.rule in ("SL130", "SL004")


def test_numpys_own_headers() -> None:
    for array in (np.zeros((2, 3), "<f4"), np.asfortranarray(np.zeros((2, 3), ">i2")), np.zeros((), "?"), np.zeros(3, [("a", "<f4"), ("b", "S3", (2,))])):
        file = io.BytesIO()
        np.save(file, array)
        found = header(file.getvalue())
        assert found.shape == array.shape
        assert found.descr == np.lib.format.dtype_to_descr(array.dtype)
