"""The header of a safetensors file: what its own library writes is read, and what could mean two things is refused."""

from __future__ import annotations

import json
from struct import pack
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.numpy import load as theirs_load
from safetensors.numpy import save as theirs_save

import safeload
from safeload.containers.safetensors import DTYPES, MAX_HEADER_BYTES, read_safetensors
from safeload.errors import CheckpointError
from safeload.limits import DEFAULT_LIMITS
from safeload.source import ByteSource


def file_of(header: Any, data: bytes = b"", *, pad: int = 0) -> bytes:
    raw = (header if isinstance(header, bytes) else json.dumps(header).encode()) + b" " * pad
    return pack("<Q", len(raw)) + raw + data


def entry(dtype: str = "F32", shape: Any = (2,), offsets: Any = (0, 8), **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape) if isinstance(shape, tuple) else shape, "data_offsets": list(offsets), **more}


def read(data: bytes) -> Any:
    return read_safetensors(ByteSource(name="x", size=len(data), buffer=data), DEFAULT_LIMITS)


GOOD = file_of({"a": entry()}, bytes(8))

REFUSED: dict[str, bytes] = {
    "not-an-object": file_of([], b""),
    "text-behind": file_of(b'{"a": 1} x'),
    "newline-behind": file_of(json.dumps({"a": entry()}).encode() + b"\n\0", bytes(8)),
    "not-utf8": file_of(b'{"\xff": 1}'),
    "name-twice": file_of(b'{"a": %s, "a": %s}' % ((json.dumps(entry()).encode(),) * 2), bytes(8)),
    "field-twice": file_of(b'{"a": {"dtype": "F32", "dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}', bytes(8)),
    "half-a-surrogate": file_of(b'{"\\ud800": %s}' % json.dumps(entry()).encode(), bytes(8)),
    "unknown-field": file_of({"a": entry(extra=1)}, bytes(8)),
    "field-missing": file_of({"a": {"dtype": "F32", "shape": [2]}}, bytes(8)),
    "not-an-entry": file_of({"a": 3}),
    "dtype-unknown": file_of({"a": entry("F33")}, bytes(8)),
    "dtype-number": file_of({"a": entry(3)}, bytes(8)),  # type: ignore[arg-type]
    "dtype-that-torch-lacks": file_of({"a": entry("F6_E2M3", (4,), (0, 3))}, bytes(3)),
    "shape-negative": file_of({"a": entry(shape=(-2,))}, bytes(8)),
    "shape-float": file_of({"a": entry(shape=(2.0,))}, bytes(8)),
    "shape-exponent": file_of(b'{"a": {"dtype": "F32", "shape": [2e0], "data_offsets": [0, 8]}}', bytes(8)),
    "shape-bool": file_of({"a": entry(shape=(True, 2))}, bytes(8)),
    "shape-text": file_of({"a": entry(shape="2")}, bytes(8)),
    "shape-overflow": file_of({"a": entry(shape=(1 << 32, 1 << 32, 1 << 32))}, bytes(8)),
    "shape-huge-zero": file_of({"a": entry(shape=(1 << 64, 0), offsets=(0, 0))}),
    "digits": file_of(b'{"a": {"dtype": "F32", "shape": [%s], "data_offsets": [0, 8]}}' % (b"9" * 5_000), bytes(8)),
    "nan": file_of(b'{"a": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 8]}}', bytes(8)),
    "too-many-dims": file_of({"a": entry(shape=(1,) * 64 + (2,))}, bytes(8)),
    "offsets-backwards": file_of({"a": entry(offsets=(8, 0))}, bytes(8)),
    "offsets-negative": file_of({"a": entry(offsets=(-8, 0))}, bytes(8)),
    "offsets-three": file_of({"a": entry(offsets=(0, 8, 8))}, bytes(8)),
    "size-wrong": file_of({"a": entry(shape=(3,))}, bytes(8)),
    "hole-in-front": file_of({"a": entry(offsets=(4, 12))}, bytes(12)),
    "hole-between": file_of({"a": entry(), "b": entry(offsets=(12, 20))}, bytes(20)),
    "overlap": file_of({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)),
    "same-bytes-twice": file_of({"a": entry(), "b": entry()}, bytes(8)),
    "bytes-behind": GOOD + b"x",
    "odd-f4": file_of({"a": entry("F4", (2, 1), (0, 1))}, bytes(1)),
    "metadata-number": file_of({"__metadata__": {"a": 1}, "a": entry()}, bytes(8)),
    "metadata-list": file_of({"__metadata__": [], "a": entry()}, bytes(8)),
    "nested": file_of(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_mean_two_things_is_refused(name: str) -> None:
    report = safeload.scan(REFUSED[name])
    assert (report.verdict, report.errors[0].rule) in {("inconclusive", "SL132"), ("inconclusive", "SL001")}, report.errors
    with pytest.raises(CheckpointError):
        safeload.load(REFUSED[name])


def test_the_file_they_are_made_of_is_good() -> None:
    assert safeload.load(GOOD)["a"].tolist() == [0.0, 0.0]
    assert safeload.load(file_of({"a": entry()}, bytes(8), pad=7))["a"].tolist() == [0.0, 0.0]
    assert safeload.load(file_of({})) == {}


def test_a_cut_file_says_how_much_is_missing() -> None:
    report = safeload.scan(GOOD[:-3])
    assert (report.verdict, report.errors[0].rule) == ("inconclusive", "SL004") and "3 bytes" in report.errors[0].message


def test_the_length_is_bounded() -> None:
    data = pack("<Q", MAX_HEADER_BYTES + 1) + b"{"
    with pytest.raises(CheckpointError, match="more than 100,000,000"):
        read(data)


NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=6).filter(lambda name: name != "__metadata__")
ARRAYS = st.builds(
    lambda dtype, shape, seed: np.frombuffer(np.random.default_rng(seed).bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize), dtype).reshape(shape),
    st.sampled_from(["f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "c8"]),
    st.lists(st.integers(0, 3), max_size=3).map(tuple),
    st.integers(0, 9),
)


@given(st.dictionaries(NAMES, ARRAYS, max_size=5), st.none() | st.dictionaries(NAMES, st.text(st.characters(exclude_categories=("Cs",))), max_size=2))
def test_what_the_library_writes_loads_equal(tensors: dict[str, Any], metadata: dict[str, str] | None) -> None:
    assume(tensors or metadata != {})  # for which safetensors 0.8 writes `{},"__metadata__":{}}`
    data = theirs_save(tensors, metadata)
    report = safeload.scan(data)
    assert (report.verdict, report.format, report.bytes_accounted, report.tensors) == ("accepted", "safetensors", len(data), len(tensors))
    value = safeload.load(data)
    assert value.keys() == tensors.keys()
    for name, array in tensors.items():
        assert (value[name].dtype, value[name].shape, value[name].tobytes()) == (array.dtype, array.shape, array.tobytes())
    with safeload.open(data) as file:
        assert file.metadata() == (metadata or {})
        for name, array in tensors.items():
            info = file.info(name)
            assert info.shape == array.shape and (not array.nbytes or data[info.file_offset :][: array.nbytes] == array.tobytes())


@settings(max_examples=400)
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_no_change_is_accepted_that_the_library_refuses(place: int, byte: int) -> None:
    """Law 2, against the format's own reader: what we accept it reads, with the same bytes."""
    whole = bytearray(theirs_save({"a": np.arange(3, dtype="<f4"), "b": np.arange(4, dtype="<i2").reshape(2, 2)}, {"k": "v"}))
    whole[place % len(whole)] = byte
    data = bytes(whole)
    try:
        value = safeload.load(data)
    except CheckpointError:
        return
    if not (isinstance(value, dict) and data[8:9] == b"{"):
        return
    try:
        theirs = theirs_load(data)
    except (SafetensorError, KeyError):  # KeyError: a dtype that its numpy side has no name for
        assert any(f'"{name}"'.encode() in data for name in DTYPES if name.startswith(("F8", "BF16", "F4"))), data
        return
    assert value.keys() == theirs.keys()
    assert all(value[name].tobytes() == theirs[name].tobytes() for name in theirs)


def test_every_dtype_has_a_carrier() -> None:
    for name, (bits, dtype) in DTYPES.items():
        if dtype is not None:
            data = file_of({"a": entry(name, (2,) if bits != 4 else (4,), (0, bits // 4 if bits != 4 else 2))}, bytes(16)[: bits // 4 if bits != 4 else 2])
            with safeload.open(data) as file:
                assert file.info("a").dtype == dtype
                assert file.get_tensor("a").shape == (2,)


def test_tensors_are_mapped_and_writable(tmp_path: Any) -> None:
    path = tmp_path / "named.anything"
    path.write_bytes(GOOD)
    value = safeload.load(path)
    value["a"][0] = 1.0
    assert path.read_bytes() == GOOD
    assert safeload.load(path, "meta")["a"].shape == (2,)
