"""Whole .npy and .npz files: what numpy wrote loads as numpy loads it, and what is not exactly an array does not load."""

from __future__ import annotations

import gzip
import io
import pickle
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import safeload
from safeload.errors import CheckpointError, PolicyRejected
from safeload.values import OpaqueObject
from tests.containers.test_npy import npy

DTYPES: list[Any] = [
    "<f4", ">f8", "<f2", ">i2", "<i8", "|u1", "?", "S3", "<U5", ">U2", "<M8[ns]", "<M8[25s]", "<m8[D]", "V7", "<c16", ">c8", "<f16",
    np.dtype([("a", "<f4"), ("b", ">i2", (2, 3)), ("c", [("x", "S2"), ("y", "<M8[D]")])]),
    np.dtype({"names": ["a", "b"], "formats": ["<f4", "<i2"], "offsets": [4, 8], "itemsize": 16}),
    np.dtype([("é", "<f4")]),
]  # fmt: skip


def saved(array: np.ndarray[Any, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "Stored array in format 3.0"
        np.save(file, array, **options)
    return file.getvalue()


def arrays() -> Iterator[Any]:
    rng = np.random.default_rng(0)
    for dtype in map(np.dtype, DTYPES):
        for shape in ((), (3,), (2, 3), (0, 4), (1, 1)):
            count = int(np.prod(shape))
            raw = bytes(count * dtype.itemsize) if dtype.kind in "SU?" or dtype.fields else rng.bytes(count * dtype.itemsize)
            array = np.frombuffer(raw, dtype, count).reshape(shape)
            for order in "CF":
                copy = np.zeros_like(array, order=order)  # padding between fields too, which an assignment leaves as it is
                copy[...] = array
                yield pytest.param(copy, id=f"{dtype.str}-{shape}-{order}-{len(dtype.names or ())}")


@pytest.mark.parametrize("array", list(arrays()))
@pytest.mark.parametrize("mmap", [None, False])
def test_an_array_loads_as_numpy_loads_it(array: np.ndarray[Any, Any], mmap: bool | None, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(saved(array))
    report = safeload.scan(path)
    assert (report.verdict, report.format, report.bytes_accounted) == ("accepted", "npy", path.stat().st_size)
    ours, theirs = safeload.load(path, mmap=mmap), np.load(path)
    assert type(ours) is np.ndarray
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    np.testing.assert_array_equal(ours, theirs)
    assert ours.tobytes() == theirs.tobytes() or array.dtype.itemsize == 16  # numpy's own reader leaves padding as it finds it
    assert ours.strides == theirs.strides or not ours.size
    assert ours.flags.writeable
    with safeload.open(path) as file:
        (name,) = file.keys()
        info = file.info(name)
        assert (info.shape, info.nbytes) == (array.shape, array.nbytes)
        assert info.file_offset is not None
        np.testing.assert_array_equal(file.get_tensor(name), theirs)


@pytest.mark.parametrize("protocol", range(6))
def test_objects_are_judged_and_do_not_load(protocol: int) -> None:
    text = "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }\n"
    data = npy(text, pickle.dumps(np.array([1, None], object), protocol))
    report = safeload.scan(data)
    assert report.verdict == "rejected" and "numpy.dtype" in {use.global_name for use in report.globals}
    with pytest.raises(PolicyRejected):
        safeload.load(data)
    assert isinstance(safeload.load(data, policy="inspect"), OpaqueObject)
    payload = npy(text, b"cposix\nmkdir\n(S'never'\ntR.")
    report = safeload.scan(payload, policy="inspect")
    finding = report.errors[0]
    assert (report.verdict, finding.rule, finding.global_name, finding.capability) == ("rejected", "SL301", "posix.mkdir", "fs.write")
    assert safeload.scan(payload + b"x").verdict == "rejected"
    assert safeload.scan(npy(text, b"N.x")).verdict == "inconclusive"


F4 = "{{'descr': '<f4', 'fortran_order': False, 'shape': {}, }}\n"


@pytest.mark.parametrize(
    ("data", "verdict", "rule"),
    [
        (npy(F4.format("(3,)"), bytes(11)), "inconclusive", "SL004"),
        (npy(F4.format("(3,)"), bytes(13)), "inconclusive", "SL130"),
        (npy(F4.format("(3,)")), "inconclusive", "SL004"),
        (npy(F4.format("(0,)"), bytes(4)), "inconclusive", "SL130"),
        (npy(F4.format(f"({1 << 62}, 4)"), bytes(4)), "inconclusive", "SL004"),
        (npy(F4.format(f"({1 << 40}, {1 << 40}, 0)")), "rejected", "SL407"),
        (npy(F4.format("(" + "1," * 65 + ")"), bytes(4)), "rejected", "SL407"),
        (npy("{'descr': '|V0', 'fortran_order': False, 'shape': (9999999999,), }"), "rejected", "SL407"),
        (npy("{'descr': '<q9', 'fortran_order': False, 'shape': (1,), }", bytes(9)), "rejected", "SL407"),
        (npy("{'descr': ('<f4', (2,)), 'fortran_order': False, 'shape': (1,), }", bytes(8)), "rejected", "SL407"),
        (npy("{'descr': [('a', '<f4'), ('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", bytes(8)), "rejected", "SL407"),
        (npy("{'descr': [('a', '<f4', (99999, 99999))], 'fortran_order': False, 'shape': (0,), }"), "rejected", "SL407"),
        (npy("{'descr': None, 'fortran_order': False, 'shape': (1,), }", bytes(8)), "rejected", "SL407"),
    ],
)
def test_what_is_not_exactly_an_array(data: bytes, verdict: str, rule: str) -> None:
    report = safeload.scan(data)
    assert (report.verdict, report.errors[0].rule) == (verdict, rule)
    with pytest.raises(CheckpointError):
        safeload.load(data)


def test_every_cut_and_flip_ends_within_the_law() -> None:
    """Law 3, on a file small enough to try them all."""
    whole = saved(np.arange(6, dtype="<i4").reshape(2, 3))
    for length in range(len(whole)):
        assert safeload.scan(whole[:length]).verdict == ("rejected" if length == 1 else "inconclusive")  # its first byte alone is a STACK_GLOBAL
    for place in range(len(whole) - 24):
        changed = bytearray(whole)
        changed[place] ^= 0x11
        report = safeload.scan(bytes(changed))
        try:
            value = safeload.load(bytes(changed))
        except CheckpointError:
            assert report.verdict != "accepted"
        else:
            assert report.verdict == "accepted" and value.nbytes == 24


# ---- npz --------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_is_a_dict_in_its_order(save: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    save(path, w=np.arange(6.0).reshape(2, 3), b=np.zeros(0, "<i2"), a=np.float32(1.5))
    report = safeload.scan(path)
    assert (report.verdict, report.format, report.bytes_accounted, report.tensors) == ("accepted", "npz", path.stat().st_size, 3)
    value = safeload.load(path)
    assert list(value) == ["w", "b", "a"]
    with np.load(path) as theirs:
        for name in theirs.files:
            np.testing.assert_array_equal(value[name], theirs[name], strict=True)
    with safeload.open(path) as file:
        assert file.keys() == ["w", "b", "a"]
        assert (file.info("w").file_offset is None) == (save is np.savez_compressed)
        assert file.get_slice("w")[1:].tolist() == [[3.0, 4.0, 5.0]]


def test_a_stored_array_is_mapped_where_the_offset_says(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, a=np.arange(4, dtype="<u2"))
    with safeload.open(path) as file:
        offset = file.info("a").file_offset
    assert offset is not None
    assert path.read_bytes()[offset:][:8] == np.arange(4, dtype="<u2").tobytes()


def test_objects_in_an_archive_are_named_with_their_member() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("good.npy", saved(np.arange(3)))
        archive.writestr("evil.npy", npy("{'descr': '|O', 'fortran_order': False, 'shape': (), }\n", b"cposix\nsystem\n(S'true'\ntR."))
    report = safeload.scan(file.getvalue(), policy="inspect")
    finding = report.errors[0]
    assert (report.verdict, finding.member, finding.global_name) == ("rejected", "evil.npy", "posix.system")
    with pytest.raises(PolicyRejected):
        safeload.load(file.getvalue())


def test_a_member_that_is_no_array_makes_the_archive_inconclusive() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", saved(np.arange(3)))
        archive.writestr("b.npy", b"<html>")
    report = safeload.scan(file.getvalue())
    assert (report.verdict, report.errors[0].member) == ("inconclusive", "b.npy")
    with pytest.raises(CheckpointError):
        safeload.load(file.getvalue())


def zipped(*members: tuple[str, bytes], zip64: bool = False) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members:
            with archive.open(name, "w", force_zip64=zip64) as member:
                member.write(data)
    return file.getvalue()


ARRAY = saved(np.arange(3))


OTHERS = {"pickle": pickle.dumps({"x": 1}), "gzip": gzip.compress(ARRAY), "npz": zipped(("a.npy", ARRAY)), "empty": b"", "text": b"text"}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_every_member_is_a_npy_file(other: bytes) -> None:
    """numpy gives the bytes of any other, whatever they are; here they are judged and named."""
    report = safeload.scan(zipped(("a.npy", ARRAY), ("b.npy", other)))
    assert (report.verdict, report.errors[0].rule, report.errors[0].member) == ("inconclusive", "SL130", "b.npy")
    evil = safeload.scan(zipped(("a.npy", ARRAY), ("b.npy", b"cposix\nmkdir\n(S'never'\ntR.")))
    assert (evil.verdict, evil.errors[0].global_name, evil.errors[0].member) == ("rejected", "posix.mkdir", "b.npy")


class Pipe(io.RawIOBase):
    """What cannot seek, so that zipfile writes the lengths behind the data."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += data
        return len(bytes(data))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_way_in_which_zipfile_writes_lengths(save: Any) -> None:
    pipe = Pipe()
    save(pipe, a=np.arange(3), b=np.ones(2))
    for data in (bytes(pipe.data), zipped(("a.npy", ARRAY), ("b.npy", saved(np.ones(2))), zip64=True)):
        value = safeload.load(data)
        assert value["a"].tolist() == [0, 1, 2] and value["b"].tolist() == [1.0, 1.0]


def test_two_members_of_one_name() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "Duplicate name"
        data = zipped(("a.npy", ARRAY), ("a.npy", ARRAY))
    assert [finding.rule for finding in safeload.scan(data).errors] == ["SL106"]


def test_any_cut_or_changed_byte_of_an_archive_ends_within_the_law() -> None:
    whole = zipped(("a.npy", saved(np.arange(4, dtype="u1"))))
    for length in range(len(whole)):
        assert safeload.scan(whole[:length]).verdict != "accepted"
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x11
        report = safeload.scan(bytes(changed))
        try:
            safeload.load(bytes(changed))
        except CheckpointError:
            assert report.verdict != "accepted"
        else:
            assert report.verdict == "accepted"


@pytest.mark.parametrize("body", [b"N.", b"cposix\nmkdir\n(S'never'\ntR0N."], ids=["plain", "popped"])
def test_a_pickle_of_objects_holds_an_array(body: bytes) -> None:
    """And what stands in front of what it holds is judged all the same."""
    data = npy("{'descr': '|O', 'fortran_order': False, 'shape': (), }\n", body)
    report = safeload.scan(data)
    assert "SL130" in {finding.rule for finding in report.errors}
    assert report.verdict == ("rejected" if b"posix" in body else "inconclusive")


BOMBS: dict[str, str] = {
    "dimensions": "'<f4', 'fortran_order': False, 'shape': (" + "9," * 500_000 + ")",
    "long-dimensions": "'<f4', 'fortran_order': False, 'shape': (" + "99999999999999999999," * 49_000 + ")",
    "parentheses": "(" * 100_000,
    "fields": "[" + "('a', '<f4'), " * 50_000 + "], 'fortran_order': False, 'shape': (1,)",
    "subarrays": "[('a', '<f4', (" + "9," * 100_000 + "))], 'fortran_order': False, 'shape': (1,)",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_long_header_costs_little(name: str) -> None:
    report = safeload.scan(npy("{'descr': " + BOMBS[name] + "}\n", bytes(4), version=2))
    assert report.verdict != "accepted"


# ---- numpy as the oracle ------------------------------------------------------------------------------------------------------------------

PLAIN = st.sampled_from(["<f4", ">f8", "<i2", ">u4", "|u1", "|b1", "|S3", "<U2", ">U1", "<M8[ns]", ">m8[3D]", "<c8", "|V5"])
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=4)


def _structures(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    field = st.one_of(st.tuples(inner), st.tuples(inner, st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple)))
    fields = st.lists(st.tuples(NAMES, field), min_size=1, max_size=4, unique_by=lambda pair: pair[0])
    return st.builds(lambda found, align: np.dtype([(name, *rest) for name, rest in found], align=align), fields, st.booleans())


@given(st.recursive(PLAIN.map(np.dtype), _structures, max_leaves=6), st.lists(st.integers(0, 3), max_size=4), st.booleans())
def test_any_array_that_numpy_writes_is_read_as_numpy_reads_it(dtype: Any, shape: list[int], fortran: bool) -> None:
    pattern = b"\1\0\0" if "U" not in str(dtype) else b"\0"  # a bool is 0 or 1, and 0x01010101 is no character
    count = int(np.prod(shape)) * dtype.itemsize
    array = np.frombuffer((pattern * count)[:count], dtype).reshape(shape, order="F" if fortran else "C")
    data = saved(array)
    theirs = np.load(io.BytesIO(data))
    ours = safeload.load(data)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    np.testing.assert_array_equal(ours, theirs)  # not byte for byte: numpy leaves what it finds between the fields


@given(st.data())
def test_any_header_ends_in_a_value_a_report_or_an_error(data: st.DataObject) -> None:
    """Law 3: pieces of headers in any order."""
    pieces = st.sampled_from([*"{}()[],: \n1", "'descr'", "'shape'", "'fortran_order'", "True", "'<f4'", "-1", "2L", "'a\\x41'", "None"])
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }"
    cut = data.draw(st.integers(0, len(text)))
    text = text[:cut] + "".join(data.draw(st.lists(pieces, max_size=8))) + text[data.draw(st.integers(cut, len(text))) :]
    file = npy(text, bytes(4))
    report = safeload.scan(file)
    try:
        value = safeload.load(file)
    except CheckpointError:
        assert report.verdict != "accepted"
    else:
        assert report.verdict == "accepted" and value.nbytes == 4


@pytest.mark.parametrize("descr", ["'object'", "'O4'", "'2O'", "'f4,O'", "'|O,|O'"])
def test_objects_in_another_spelling_are_named(descr: str) -> None:
    """numpy.load takes these for dtypes of objects, too, and unpickles what is behind the header."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}\n"
    for payload in (b"cposix\nmkdir\n(S'never'\ntR.", b"\x80\2]NaK\0K\5s0cposix\nmkdir\nX\5\0\0\0never\x85R."):
        report = safeload.scan(npy(header, payload))
        found = [(finding.rule, finding.global_name, finding.capability) for finding in report.errors]
        assert report.verdict == "rejected" and ("SL301", "posix.mkdir", "fs.write") in found
