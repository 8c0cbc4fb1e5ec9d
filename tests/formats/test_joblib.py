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
from tests.containers.zipbuild import Part, build
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
    "padding-beyond-the-end": (file_of(more=ALIGNED)[: -len(assemble(TAIL)) - 8] + b"\x10\xff\xff", "SL004"),
    "padding-longer-than-any": (file_of(b"U" + b"\xff" * 85 + bytes(8), more=ALIGNED), "SL131"),
    "very-many-dimensions": (file_of(shape="MARK\n" + "BININT 2147483647\n" * 100_000 + "TUPLE"), "SL131"),
    "dimensions-of-many-digits": (file_of(shape="MARK\n" + f"LONG {1 << 2000}\n" * 5_000 + "TUPLE"), "SL131"),
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
    [file_of(order="X"), file_of(subclass="GLOBAL numpy recarray"), file_of(subclass="GLOBAL posix system"), file_of(more="BINUNICODE 'x'\nNONE\n")],
    ids=["order", "recarray", "payload", "another-key"],
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


FAR = 3 << 20  # behind what is read of a file at first

UNSEEN: dict[str, bytes] = {
    "behind-a-protocol": b"\x80\2" + PAYLOAD,
    "behind-a-frame": b"\x95\1\0\0\0\0\0\0\0" + PAYLOAD,
    "far-away": b"B" + FAR.to_bytes(4, "little") + bytes(FAR) + PAYLOAD,
    "a-whole-pickle": b"10" + PAYLOAD,  # takes what stands on the stack away, so that STOP finds one object
}


@pytest.mark.parametrize("name", UNSEEN)
def test_a_payload_in_the_elements_is_found_where_a_strict_reading_ends(name: str) -> None:
    """CPython takes PROTO anywhere and heeds no frame; `pickle.load` reads as far as the file goes."""
    raw = UNSEEN[name] + bytes(-len(UNSEEN[name]) % 4)
    data = file_of(raw, shape=f"BININT {len(raw) // 4}\nTUPLE1")
    report = safeload.scan(data)
    assert (report.verdict, report.errors[0].global_name) == ("rejected", "posix.mkdir")
    assert [finding.rule for finding in report.errors] == ["SL301"]


def test_elements_that_would_never_end_are_not_accepted() -> None:
    """A plain unpickler would push an object for each byte, and what it would find behind them nobody has looked at."""
    raw = b"N" * 1_200_000
    data = file_of(raw, shape=f"BININT {len(raw) // 4}\nTUPLE1")
    assert [finding.rule for finding in safeload.scan(data).errors] == ["SL901"]
    aligned = file_of(b"\1\xff" + raw, shape=f"BININT {len(raw) // 4}\nTUPLE1", more=ALIGNED)
    assert safeload.scan(aligned).verdict == "accepted"


def test_a_legacy_file_of_torch_holds_no_arrays_of_joblib() -> None:
    """torch.load would read the elements as opcodes, so they are not stepped over."""
    head = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}))
    data = head + file_of(b"N0N0N0N0") + pickle.dumps([], 2)
    report = safeload.scan(data, policy="inspect")
    assert report.format == "torch.legacy" and not [member for member in report.members if member.name.startswith("array")]
    hidden = head + file_of(b"cposix\nmkdir\n00") + pickle.dumps([], 2)
    assert "posix.mkdir" in {use.global_name for use in safeload.scan(hidden, policy="inspect").globals}


def test_a_file_cut_short_is_called_that() -> None:
    whole = dumped({"a": np.arange(4.0), "b": np.arange(5.0)})
    for missing in (4, 30, 60):
        report = safeload.scan(whole[:-missing])
        assert report.verdict == "inconclusive" and {finding.rule for finding in report.errors} <= {"SL004", "SL202"}


@pytest.mark.parametrize(("depth", "rules"), [(10, set()), (2_000, {"SL131"})])
def test_dtypes_in_dtypes_cost_no_recursion(depth: int, rules: set[str]) -> None:
    plain = ["BINUNICODE 'V0'", "NEWFALSE", "NEWTRUE", "TUPLE3", "REDUCE"]
    lines = ["PROTO 2", "GLOBAL numpy dtype", "BINPUT 0", *plain, "LONG_BINPUT 9", "POP"]
    for index in range(9, 9 + depth):
        lines += ["BINGET 0", *plain, f"LONG_BINPUT {index + 1}", "MARK", "BININT1 3", "BINUNICODE '|'", "NONE"]
        lines += ["BINUNICODE 'f'", "TUPLE1", "EMPTY_DICT", "BINUNICODE 'f'", f"LONG_BINGET {index}", "BININT1 0", "TUPLE2", "SETITEM"]
        lines += ["BININT1 0", "BININT1 1", "BININT1 0", "TUPLE", "BUILD", "POP"]
    more = f"BINUNICODE 'dtype'\nLONG_BINGET {9 + depth}\n"
    wrapper = WRAPPER.format(shape="BININT1 1\nTUPLE1", dtype="f4", order="C", more=more, subclass="GLOBAL numpy ndarray")
    data = assemble("\n".join(lines) + "\n" + wrapper.replace("PROTO 2\n", "") + TAIL)
    assert {finding.rule for finding in safeload.scan(data).errors} == rules


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # numpy about its own class
def test_a_matrix_becomes_an_array() -> None:
    """As joblib.load gives it under numpy 2. A mapped array is not loaded: the name of its class is one that writes files."""
    value = safeload.load(dumped(np.matrix([[1, 2]])))
    assert type(value) is np.ndarray and value.tolist() == [[1, 2]]


def test_files_behind_each_other_in_one_file_object() -> None:
    file = io.BytesIO()
    for value in ({"a": np.arange(3)}, {"b": np.eye(2)}):
        joblib.dump(value, file)
    file.seek(0)
    assert safeload.load(file)["a"].tolist() == [0, 1, 2]
    assert safeload.load(file)["b"].tolist() == np.eye(2).tolist()


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


@pytest.mark.parametrize("inside", [False, True])
def test_arrays_are_paid_for(inside: bool) -> None:
    """One byte, or one array, below what the file needs ends at the state of the last array, also where the file is a member of an archive."""
    data = dumped([np.arange(6, dtype="<f4"), np.arange(4, dtype="<i8")], protocol=2)
    member = None
    if inside:
        member = "a.joblib"
        data = build([Part(member.encode(), data), Part(b"b.pkl", pickle.dumps(None, 2))])
    exact = {"tensors": 2, "total_tensor_bytes": 24 + 32, "tensor_bytes": 32}
    assert safeload.scan(data, limits=exact).verdict == "accepted"
    for limit, value in exact.items():
        errors = safeload.scan(data, limits={limit: value - 1}).errors
        assert [(error.rule, error.member) for error in errors] == [("SL901", member)], errors
        assert errors[0].offset is not None
