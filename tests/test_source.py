"""Everything that `load` and `scan` accept as `f`, and what becomes of the file behind it."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builds import dense, pairs, torch_zip

import safeload
from safeload.errors import CheckpointError, LimitExceeded
from safeload.limits import DEFAULT_LIMITS, Limits
from safeload.source import ByteSource, open_source

FLOATS = np.arange(6, dtype="<f4")
DATA = torch_zip(pairs(w=dense("FloatStorage", 6, (2, 3), (3, 1)), tail=dense("FloatStorage", 6, (2,), (1,), offset=4)), {"0": FLOATS.tobytes()})


class OnlyRead:
    """A stream with nothing but `read`, three bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def read(self, count: int = -1) -> bytes:
        return self._inner.read(min(count, 3) if count >= 0 else -1)


class PathLike:
    def __init__(self, path: str | bytes) -> None:
        self.path = path

    def __fspath__(self) -> Any:
        return self.path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "model.pt"
    file.write_bytes(DATA)
    return file


def checked(value: Any) -> None:
    assert value["w"].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]] and value["tail"].tolist() == [4.0, 5.0]
    value["w"][1, 1] = 9.0
    assert value["tail"][0] == 9.0, "the alias is kept, and is writable"


def piped(data: bytes) -> Any:
    """The reading end of a pipe; a thread writes, as `cat model.pt |` does."""
    reading, writing = os.pipe()

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb") as out:
            out.write(data)

    threading.Thread(target=write, daemon=True).start()
    return os.fdopen(reading, "rb")


@pytest.mark.parametrize("mmap", [None, True, False])
@pytest.mark.parametrize(
    "kind", ["str", "Path", "PathLike", "bytes", "bytearray", "memoryview", "BytesIO", "BytesIO at 5", "file", "file at 5", "unbuffered", "update", "OnlyRead"]
)
def test_every_kind_of_input_gives_the_same_writable_tensors(path: Path, kind: str, mmap: bool | None) -> None:
    behind = path.with_name("behind")
    behind.write_bytes(b"12345" + DATA)
    moved = io.BytesIO(b"12345" + DATA)
    moved.seek(5)
    with path.open("rb") as file, behind.open("rb") as far, open(path, "rb", buffering=0) as raw, path.open("r+b") as update:
        far.seek(5)
        inputs: dict[str, Any] = {
            "str": str(path), "Path": path, "PathLike": PathLike(str(path)), "bytes": DATA, "bytearray": bytearray(DATA), "memoryview": memoryview(DATA),
            "BytesIO": io.BytesIO(DATA), "BytesIO at 5": moved, "file": file, "file at 5": far, "unbuffered": raw, "update": update, "OnlyRead": OnlyRead(DATA),
        }  # fmt: skip
        value = safeload.load(inputs[kind], mmap=mmap)
    path.unlink()
    behind.unlink()
    checked(value)


def test_gzip_and_temporary_files(tmp_path: Path) -> None:
    packed = tmp_path / "model.pt.gz"
    packed.write_bytes(gzip.compress(DATA))
    with gzip.open(packed) as file:
        checked(safeload.load(file))
    for make in (tempfile.TemporaryFile, tempfile.NamedTemporaryFile, tempfile.SpooledTemporaryFile):
        with make() as file:
            file.write(b"xyz" + DATA)
            file.seek(3)
            checked(safeload.load(file))


def test_damaged_gzip_is_the_files_fault(tmp_path: Path) -> None:
    packed = gzip.compress(DATA)
    for broken in (packed[:-20], packed[:30] + b"\xff\0\xff" + packed[33:]):
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(broken)) as file:
                safeload.load(file)
        except CheckpointError as error:
            assert error.rule == "SL005"
        else:
            raise AssertionError("a damaged stream was loaded")


def test_a_pipe_is_read_to_its_end() -> None:
    with piped(DATA) as file:
        assert safeload.scan(file).verdict == "accepted"
    with piped(DATA) as file:
        checked(safeload.load(file))
    with piped(DATA) as file, safeload.open(file) as checkpoint:
        assert checkpoint.get_tensor("tail").tolist() == [4.0, 5.0]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    with piped(DATA) as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        checked(safeload.load(sys.stdin.buffer))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_named_pipe_by_its_path(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(DATA), daemon=True)
    writer.start()
    checked(safeload.load(fifo))
    writer.join()


def test_what_the_operating_system_refuses_stays_an_os_error(tmp_path: Path) -> None:
    for call in (safeload.load, safeload.scan, safeload.open, safeload.get_unsafe_globals_in_checkpoint):
        with pytest.raises(FileNotFoundError):
            call(tmp_path / "missing.pt")
        with pytest.raises(IsADirectoryError):
            call(tmp_path)
        with pytest.raises(NotADirectoryError):
            call(__file__ + "/model.pt")


@pytest.mark.parametrize("wrong", [None, 3, 1.5, [DATA], {}, object(), io.StringIO("text")])
def test_wrong_arguments_are_type_errors(wrong: Any) -> None:
    for call in (safeload.load, safeload.scan, safeload.open):
        with pytest.raises(TypeError):
            call(wrong)


def test_a_null_byte_in_a_path_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="null"):
        safeload.load("a\0b")


def test_a_closed_file_is_the_callers_mistake(path: Path) -> None:
    with path.open("rb") as file:
        pass
    with pytest.raises(ValueError, match="closed"):
        safeload.load(file)


def test_a_path_of_bytes_is_named_in_errors(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pt"
    bad.write_bytes(b"PK\3\4junk")
    with pytest.raises(CheckpointError, match=r"bad\.pt"):
        safeload.load(PathLike(os.fsencode(bad)))
    assert isinstance(safeload.scan(PathLike(os.fsencode(bad))).path, str)


@pytest.mark.parametrize("f", ["path", "file", "bytes", "BytesIO"])
def test_both_sides_of_file_bytes(path: Path, f: str) -> None:
    with path.open("rb") as file:
        given: Any = {"path": str(path), "file": file, "bytes": DATA, "BytesIO": io.BytesIO(DATA)}[f]
        assert safeload.scan(given, limits={"file_bytes": len(DATA)}).verdict == "accepted"
        assert safeload.scan(given, limits={"file_bytes": len(DATA) - 1}).verdict == "inconclusive"
        with pytest.raises(LimitExceeded, match="file_bytes"):
            safeload.load(given, limits={"file_bytes": len(DATA) - 1})


def test_no_descriptor_is_lost_or_closed_twice(path: Path) -> None:
    count = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    broken = path.with_name("broken")
    broken.write_bytes(DATA[:50])
    for _ in range(3):
        safeload.load(path)
        safeload.open(path).close()
        for bad in (broken, path):
            with pytest.raises(CheckpointError):
                safeload.open(bad, limits={"file_bytes": len(DATA)} if bad is broken else {"opcodes": 1})
    if count:
        assert len(os.listdir("/proc/self/fd")) <= count + 1


def test_both_sides_of_spool_bytes() -> None:
    checked(safeload.load(OnlyRead(DATA), limits={"spool_bytes": len(DATA)}))
    with pytest.raises(LimitExceeded, match="spool_bytes"):
        safeload.load(OnlyRead(DATA), limits={"spool_bytes": len(DATA) - 1})
    report = safeload.scan(OnlyRead(DATA), limits={"spool_bytes": 1})
    assert (report.verdict, report.errors[0].rule) == ("inconclusive", "SL901")


def test_an_endless_stream_ends_at_the_limit() -> None:
    class Endless:
        def read(self, count: int = -1) -> bytes:
            return b"\0" * count

    with pytest.raises(LimitExceeded):
        safeload.load(Endless(), limits={"spool_bytes": 1 << 22})


@pytest.mark.parametrize("mmap", [True, False])
def test_the_file_on_disk_never_changes_and_its_changes_stay_outside(path: Path, mmap: bool) -> None:
    value = safeload.load(path, mmap=mmap)
    value["w"][:] = -1.0
    assert path.read_bytes() == DATA
    again = safeload.load(path, mmap=mmap)
    assert again["w"][0, 1] == 1.0 and value["w"][0, 1] == -1.0, "private to each load"
    checked(again)


@pytest.mark.parametrize("mmap", [None, False])
def test_a_file_that_shrinks_after_the_verdict_is_an_error_and_no_crash(path: Path, mmap: bool | None) -> None:
    def cut(storage: Any, tag: str) -> None:
        os.truncate(path, 64)

    with pytest.raises(CheckpointError):
        safeload.load(path, map_location=cut, mmap=mmap)


def test_a_small_file_is_read_when_it_is_opened_and_stays_what_it_was(path: Path) -> None:
    with open_source(path, DEFAULT_LIMITS) as source:
        path.write_bytes(b"")
        part = source.part(2, 5)
        assert (source.read(0, len(DATA)), part.read(1, 3), source.pieces([0, 4], [2, 3])) == (DATA, DATA[3:6], [DATA[:2], DATA[4:7]])
        for bad in ((-1, 1), (0, -1), (0, len(DATA) + 1)):
            with pytest.raises(CheckpointError):
                source.read(*bad)
        with pytest.raises(CheckpointError):
            part.read(0, 6)


def test_a_small_file_that_cannot_be_read_says_so_where_it_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)
    with open_source(path, DEFAULT_LIMITS) as source, pytest.raises(CheckpointError) as caught:
        source.read(0, 1)
    assert caught.value.rule == "SL005"


def test_a_file_that_shrinks_before_it_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safeload.source.SMALL_BYTES", 0)
    source = open_source(path, DEFAULT_LIMITS)
    os.truncate(path, 10)
    with source, pytest.raises(CheckpointError) as caught:
        source.read(0, len(DATA))
    assert caught.value.rule == "SL004"
    assert source.name == str(path)


def test_a_file_that_grows_is_read_as_it_was(path: Path) -> None:
    with safeload.open(path) as checkpoint, path.open("ab") as file:
        file.write(b"more")
        file.flush()
        assert checkpoint.get_tensor("tail").tolist() == [4.0, 5.0]


@pytest.mark.parametrize("f", ["path", "bytes"])
@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1), (0, len(DATA) + 1), (len(DATA), 1), (1 << 70, 1)])
def test_no_range_outside_the_source_is_given_out(path: Path, f: str, offset: int, length: int) -> None:
    with open_source(path if f == "path" else DATA, DEFAULT_LIMITS) as source:
        for ask in (source.read, source.view):
            with pytest.raises(CheckpointError) as caught:
                ask(offset, length)
            assert caught.value.rule == "SL004"


@pytest.mark.parametrize("f", ["path", "bytes"])
def test_reads_are_exact_and_views_outlive_the_source(path: Path, f: str) -> None:
    import hashlib

    with open_source(path if f == "path" else DATA, DEFAULT_LIMITS) as source:
        assert source.read(3, 7) == DATA[3:10] == bytes(source.view(3, 7))
        filled = bytearray(7)
        source.read_into(3, memoryview(filled))
        assert filled == DATA[3:10]
        for outside in (-1, len(DATA) - 6, 1 << 70):
            with pytest.raises(CheckpointError, match="SL004"):
                source.read_into(outside, memoryview(filled))
        assert source.read(len(DATA), 0) == b""
        assert source.sha256() == hashlib.sha256(DATA).hexdigest()
        part = source.part(100)
        assert (part.size, part.read(0, 4)) == (len(DATA) - 100, DATA[100:104])
        view, again = source.view(0, 4), source.part(0).view(0, 4)
        assert not view.readonly
    view[:] = b"ABCD"
    assert bytes(again) == b"ABCD" and path.read_bytes() == DATA


@pytest.mark.parametrize("kind", ["path", "file", "bytes", "BytesIO", "gzip"])
def test_a_read_only_map_gives_arrays_that_nobody_can_write(path: Path, kind: str) -> None:
    """#192209: a private writable map counts as memory on machines that share it with their GPU."""
    with path.open("rb") as file:
        given: Any = {"path": path, "file": file, "bytes": DATA, "BytesIO": io.BytesIO(DATA), "gzip": gzip.compress(DATA)}[kind]
        value = safeload.load(given, mmap="r")
    arrays = [array for array in _arrays(value) if array.size]
    assert arrays and not any(array.flags.writeable for array in arrays)
    with pytest.raises(ValueError, match="read-only"):
        arrays[0][...] = 0
    assert value["w"].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    with pytest.raises(ValueError, match="WRITEABLE"):
        arrays[0].flags.writeable = True


@pytest.mark.parametrize("wrong", ["c", "r+", 1.5, b"r", []])
def test_other_modes_are_the_callers_mistake(path: Path, wrong: Any) -> None:
    with pytest.raises(TypeError, match="mmap is True, False, 'r' or None"):
        safeload.load(path, mmap=wrong)


def _arrays(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [array for item in value.values() for array in _arrays(item)]
    if isinstance(value, (list, tuple)):
        return [array for item in value for array in _arrays(item)]
    return [value] if hasattr(value, "flags") else []


def test_a_source_may_be_empty(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pt"
    empty.touch()
    end = io.BytesIO(DATA)
    end.seek(len(DATA) + 10)
    for f in (empty, b"", io.BytesIO(), end):
        report = safeload.scan(f)
        assert (report.verdict, report.errors[0].rule, report.bytes_total) == ("inconclusive", "SL003", 0)


def test_the_limits_of_a_source_are_those_of_the_call() -> None:
    with pytest.raises(LimitExceeded):
        open_source(DATA, Limits(file_bytes=3))


# ---- hints ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system takes no hints about files")
def test_what_is_expected_of_a_cold_file_is_asked_for_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr("safeload.source.SMALL_BYTES", 0)
    monkeypatch.setattr(os, "posix_fadvise", lambda fd, offset, length, advice: asked.append((offset, length)))
    path = tmp_path / "cold.bin"
    path.write_bytes(bytes(1 << 14))
    with open_source(path, DEFAULT_LIMITS) as source:
        monkeypatch.setattr(ByteSource, "_is_cached", lambda *_: False)
        source.expect([0, 4096, 8192], 512)
        assert asked == [(4096, 512), (8192, 512)], "the first one is read at once anyway"
        monkeypatch.setattr(ByteSource, "_is_cached", lambda *_: True)
        source.expect([0, 4096], 512)
        assert len(asked) == 2, "a file that is in the page cache needs none"


def test_a_hint_changes_nothing_and_never_fails(tmp_path: Path) -> None:
    path = tmp_path / "warm.bin"
    path.write_bytes(b"abcdef")
    with open_source(path, DEFAULT_LIMITS) as source:
        source.expect([], 8)
        source.expect([0, 3, 10_000], 512)
        assert source.read(0, 6) == b"abcdef"
    source.expect([0], 1)  # closed
    ByteSource(name="<bytes>", size=3, buffer=b"abc").expect([0, 1], 1)


# ---- threads ----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def wide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is worth three threads."""
    monkeypatch.setattr("safeload.source.PARALLEL_BYTES", 1 << 16)
    monkeypatch.setattr("safeload.source.PART_BYTES", 1 << 14)
    monkeypatch.setattr("safeload.source.READERS", 3)
    path = tmp_path / "wide.bin"
    path.write_bytes(bytes(number % 251 for number in range(100_003)))
    return path


@pytest.mark.parametrize(("offset", "length"), [(0, 100_003), (7, 99_996), (1, 3 << 14), (5, (2 << 14) - 1), (9, 0)])
def test_threads_read_what_one_reads(wide: Path, offset: int, length: int) -> None:
    before = threading.active_count()
    with open_source(wide, DEFAULT_LIMITS) as source:
        target = bytearray(length)
        source.read_apart(offset, memoryview(target))
        assert bytes(target) == source.read(offset, length)
        assert (threading.active_count() > before) == (length >= 2 << 14), "a short read is the work of one"
        part = source.part(100, 90_000)
        target = bytearray(90_000)
        part.read_apart(0, memoryview(target))
        assert bytes(target) == source.read(100, 90_000)
    assert threading.active_count() == before, "the threads are gone with the file"


def test_what_a_thread_cannot_read_is_an_error_of_the_read(wide: Path) -> None:
    with open_source(wide, DEFAULT_LIMITS) as source:
        os.truncate(wide, 60_000)
        with pytest.raises(CheckpointError) as caught:
            source.read_apart(0, memoryview(bytearray(100_003)))
        assert caught.value.rule == "SL004"


def test_a_large_file_loads_the_same_by_threads(wide: Path, tmp_path: Path) -> None:
    array = np.arange(40_000, dtype=np.float32)
    path = tmp_path / "large.pt"
    path.write_bytes(torch_zip(pairs(a=dense("FloatStorage", array.size, (array.size,), (1,))), {"0": array.tobytes()}))
    loaded = safeload.load(path, mmap=False)["a"]
    assert np.array_equal(loaded, array)
    loaded[0] = 7  # writable, and its own
