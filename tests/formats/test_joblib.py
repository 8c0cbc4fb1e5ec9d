"""joblib's files: arrays between the opcodes load as joblib loads them, every lie about them is refused, and both readings of the bytes are judged."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

import safeload
from safeload.errors import CheckpointError, PolicyRejected
from safeload.opcodes.assemble import assemble
from safeload.values import OpaqueObject
from tests.containers.test_compressed import COMPRESS
from tests.formats.test_npy import DTYPES

PAYLOAD = b"cposix\nmkdir\n(S'joblib-payload-ran'\ntR."


def dumped(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    joblib.dump(value, file, **options)
    return file.getvalue()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if np.dtype(dtype).fields is None], ids=str)
def test_arrays_load_as_joblib_loads_them(dtype: Any, protocol: int) -> None:
    rng = np.random.default_rng(0)
    flat = np.frombuffer(rng.bytes(24 * np.dtype(dtype).itemsize) if np.dtype(dtype).kind not in "SU?" else bytes(24 * np.dtype(dtype).itemsize), dtype)
    value = {"c": flat.reshape(4, 6), "f": np.asfortranarray(flat.reshape(4, 6)), "s": np.array(flat[3]), "e": flat[:0].reshape(0, 3), "n": [flat, "text", 7]}
    data = dumped(value, protocol=protocol)
    report = safeload.scan(data)
    assert (report.verdict, report.format, report.bytes_accounted) == ("accepted", "joblib", len(data))
    ours, theirs = safeload.load(data), joblib.load(io.BytesIO(data))
    assert ours["n"][1:] == ["text", 7]
    for mine, other in ((ours["n"][0], theirs["n"][0]), *((ours[name], theirs[name]) for name in "cfse")):
        assert (mine.dtype, mine.shape, mine.tobytes()) == (other.dtype, other.shape, other.tobytes())
        assert mine.flags.f_contiguous == other.flags.f_contiguous and mine.flags.writeable
    with safeload.open(data) as file:
        assert file.keys() == ["c", "f", "s", "e", "n.0"]
        assert file.get_tensor("c").tobytes() == theirs["c"].tobytes()
        if theirs["c"].dtype.isnative:
            assert data[file.info("c").file_offset :][: flat.nbytes] == flat.tobytes()


@pytest.mark.parametrize("name", COMPRESS)
def test_compressed_files_too(name: str) -> None:
    data = COMPRESS[name](dumped({"a": np.arange(1_000)}))
    assert safeload.scan(data).format == f"joblib+{name}"
    np.testing.assert_array_equal(safeload.load(data)["a"], np.arange(1_000))


@pytest.mark.parametrize("compress", [("zlib", 3), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3), ("lz4", 3)])
def test_joblibs_own_compressors(compress: tuple[str, int], tmp_path: Path) -> None:
    path = tmp_path / "x.joblib"
    joblib.dump([np.arange(5), {"k": np.eye(3)}], path, compress=compress)
    assert safeload.load(path)[1]["k"].tolist() == np.eye(3).tolist()


def test_large_arrays_are_stepped_over_and_stay_in_the_file(tmp_path: Path) -> None:
    """Each array is longer than what is read of the file at first, so the stream goes on behind the window."""
    path = tmp_path / "x.joblib"
    value = {str(number): np.full(400_000, number, "<f8") for number in range(4)} | {"last": "text"}
    joblib.dump(value, path)
    data = path.read_bytes()
    assert safeload.scan(path).verdict == "accepted"
    ours = safeload.load(path)
    assert ours["last"] == "text"
    assert all(ours[str(number)].tolist()[::100_000] == [number] * 4 for number in range(4))
    with safeload.open(path) as file:
        offset = file.info("3").file_offset
        assert offset is not None and data[offset:][:8] == np.float64(3).tobytes()
    for mmap in (True, False):
        assert safeload.load(path, mmap=mmap)["2"].sum() == 800_000
    tail = path.with_name("tail")
    tail.write_bytes(data + b"junk")
    assert safeload.scan(tail).verdict == "inconclusive"


def test_objects_are_judged_and_do_not_load() -> None:
    data = dumped({"a": np.arange(3), "o": np.array([1, "x", None], object), "z": np.ones(2)})
    report = safeload.scan(data)
    assert report.verdict == "rejected" and "SL409" in {finding.rule for finding in report.errors}
    with pytest.raises(PolicyRejected):
        safeload.load(data)
    kept = safeload.load(data, policy="inspect")
    assert isinstance(kept["o"], OpaqueObject) and kept["a"].tolist() == [0, 1, 2] and kept["z"].tolist() == [1.0, 1.0]


# ---- attacks ----------------------------------------------------------------------------------------------------------------------------

WRAPPER = """
PROTO 2
EMPTY_DICT
MARK
BINUNICODE 'a'
GLOBAL joblib.numpy_pickle NumpyArrayWrapper
EMPTY_TUPLE
NEWOBJ
BINPUT 1
EMPTY_DICT
MARK
BINUNICODE 'subclass'
{subclass}
BINUNICODE 'shape'
{shape}
BINUNICODE 'order'
BINUNICODE '{order}'
BINUNICODE 'dtype'
GLOBAL numpy dtype
BINUNICODE '{dtype}'
NEWFALSE
NEWTRUE
TUPLE3
REDUCE
MARK
BININT1 3
BINUNICODE '<'
NONE
NONE
NONE
BININT -1
BININT -1
BININT1 0
TUPLE
BUILD
BINUNICODE 'allow_mmap'
NEWTRUE
{more}
SETITEMS
BUILD
"""
TAIL = "SETITEMS\nSTOP\n"


def file_of(
    raw: bytes = bytes(8), *, shape: str = "BININT1 2\nTUPLE1", dtype: str = "f4", order: str = "C", more: str = "", tail: str = TAIL, subclass: str = ""
) -> bytes:
    """A file with one array of two float32, any part of it replaced."""
    head = WRAPPER.format(shape=shape, dtype=dtype, order=order, more=more, subclass=subclass or "GLOBAL numpy ndarray")
    return assemble(head + "STOP\n")[:-1] + raw + assemble(tail)


ALIGNED = "BINUNICODE 'numpy_array_alignment_bytes'\nBININT1 16\n"


def test_the_file_itself_is_good() -> None:
    assert safeload.load(file_of())["a"].tolist() == [0.0, 0.0]
    assert safeload.load(file_of(b"\2\xff\xff" + bytes(8), more=ALIGNED))["a"].tolist() == [0.0, 0.0]
    assert safeload.load(file_of(b"\0" + bytes(8), more=ALIGNED))["a"].tolist() == [0.0, 0.0]


LIES: dict[str, tuple[bytes, str]] = {
    "more-than-there-is": (file_of(shape="BININT 1000000\nTUPLE1"), "SL004"),
    "more-than-memory": (file_of(shape="LONG 4611686018427387904\nTUPLE1"), "SL004"),
    "negative": (file_of(shape="BININT -2\nTUPLE1"), "SL131"),
    "a-list": (file_of(shape="EMPTY_LIST"), "SL131"),
    "a-bool": (file_of(shape="NEWTRUE\nTUPLE1"), "SL131"),
    "no-dtype": (file_of(dtype="q9"), "SL131"),
    "dtype-of-another-name": (file_of().replace(b"numpy\ndtype", b"numpy\ndtypo"), "SL131"),
    "padding-not-ff": (file_of(b"\2\xff\xfe" + bytes(8), more=ALIGNED), "SL131"),
    "padding-beyond-the-end": (file_of(b"\xff" + bytes(8), more=ALIGNED), "SL004"),
    "cut": (file_of()[:-8], "SL004"),
    "two-states": (file_of(tail="EMPTY_DICT\nBUILD\n" + TAIL), "SL131"),
}


@pytest.mark.parametrize("name", LIES)
def test_lies_about_the_bytes_are_never_accepted(name: str) -> None:
    data, rule = LIES[name]
    report = safeload.scan(data)
    assert report.verdict != "accepted"
    assert rule in {finding.rule for finding in report.errors}, report.errors
    with pytest.raises(CheckpointError):
        safeload.load(data)


@pytest.mark.parametrize(
    "data",
    [file_of(order="X"), file_of(subclass="GLOBAL numpy matrix"), file_of(subclass="GLOBAL posix system"), file_of(more="BINUNICODE 'x'\nNONE\n")],
    ids=["order", "matrix", "payload", "another-key"],
)
def test_a_state_that_joblib_does_not_write_is_rejected(data: bytes) -> None:
    assert safeload.scan(data).verdict == "rejected"


def test_a_payload_behind_an_array_is_found() -> None:
    """Tools that lose step at the first array see nothing behind it (joblib grammar desynchronisation)."""
    data = file_of(tail="BINUNICODE 'b'\nGLOBAL posix mkdir\nBINUNICODE 'joblib-payload-ran'\nTUPLE1\nREDUCE\n" + TAIL)
    report = safeload.scan(data)
    assert report.verdict == "rejected" and report.errors[0].global_name == "posix.mkdir"


def test_a_payload_in_the_elements_is_found() -> None:
    """joblib reads it as numbers; `pickle.load` would run it."""
    raw = PAYLOAD.ljust(48, b"\0")
    data = file_of(raw, shape="BININT1 12\nTUPLE1")
    report = safeload.scan(data, policy="inspect")
    named = [finding for finding in report.errors if finding.global_name == "posix.mkdir"]
    assert report.verdict == "rejected" and named and named[0].member == "as a plain pickle" and named[0].capability == "fs.write"
    with pytest.raises(PolicyRejected):
        safeload.load(data)
    assert not Path("joblib-payload-ran").exists()


def test_a_payload_in_an_array_of_objects_is_found() -> None:
    data = file_of(PAYLOAD, dtype="O")
    report = safeload.scan(data, policy="inspect")
    assert report.verdict == "rejected" and "posix.mkdir" in {finding.global_name for finding in report.errors}
    broken = file_of(PAYLOAD[:-1] + b"\xff", dtype="O")
    assert "posix.mkdir" in {finding.global_name for finding in safeload.scan(broken).errors}


def test_a_frame_may_not_hold_the_elements() -> None:
    """joblib ends the frame in front of them; a frame around them would show them as opcodes to some and as numbers to others."""
    inner = file_of()[2:]
    data = b"\x80\4\x95" + len(inner).to_bytes(8, "little") + inner
    report = safeload.scan(data)
    assert report.verdict == "rejected" and "SL204" in {finding.rule for finding in report.errors}


def test_a_wrapper_without_elements_is_refused() -> None:
    stream = assemble(WRAPPER.format(shape="BININT1 2\nTUPLE1", dtype="f4", order="C", more="", subclass="GLOBAL numpy ndarray") + TAIL)
    assert safeload.scan(stream).verdict != "accepted"


def test_every_cut_and_flip_ends_within_the_law() -> None:
    whole = dumped({"a": np.arange(4, dtype="<i2"), "b": np.float32(1)})
    for length in range(len(whole)):
        assert safeload.scan(whole[:length]).verdict != "accepted"
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x15
        report = safeload.scan(bytes(changed))
        try:
            safeload.load(bytes(changed))
        except CheckpointError:
            assert report.verdict != "accepted"
        else:
            assert report.verdict == "accepted"


def test_a_plain_pickle_is_no_joblib_file() -> None:
    assert safeload.scan(pickle.dumps({"a": np.arange(3)})).format == "pickle"
