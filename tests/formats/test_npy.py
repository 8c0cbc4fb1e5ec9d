"""Whole .npy and .npz files: what numpy wrote loads as numpy loads it, and what is not exactly an array does not load."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
        assert safeload.scan(whole[:length]).verdict == "inconclusive"
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


def test_an_archive_in_an_archive_in_an_archive_ends() -> None:
    data = saved(np.arange(3))
    for _ in range(20):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.npy", data)
        data = file.getvalue()
    report = safeload.scan(data)
    assert (report.verdict, report.errors[0].rule) == ("inconclusive", "SL901")
