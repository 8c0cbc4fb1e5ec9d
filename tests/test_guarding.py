"""`guard()`: the loaders of other libraries behind a policy, and what they look like when it is gone."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

import safeload
from safeload import guarding
from safeload.errors import CheckpointError, PolicyRejected
from safeload.opcodes.assemble import assemble

VALUE = {"epoch": 3, "name": "x", "weights": np.arange(6.0).reshape(2, 3)}


class Attack:
    """Makes a directory when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


class Config:
    """A class of our own, that a policy keeps as a record at most."""

    def __init__(self) -> None:
        self.size = 3


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    before = (pickle.load, pickle.loads, joblib.load, np.load, _finders())
    yield
    assert guarding._active == ()
    assert (pickle.load, pickle.loads, joblib.load, np.load, _finders()) == before


def _finders() -> list[object]:
    """Those of safeload: a library that a test imports (pandas, by six) may bring one of its own."""
    return [finder for finder in sys.meta_path if type(finder).__module__.startswith("safeload")]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def from_file(path: Path) -> Any:
    with path.open("rb") as file:
        return pickle.load(file)


def object_array(path: Path) -> Any:
    return np.load(path, allow_pickle=True)


def with_pandas(path: Path) -> Any:
    return pytest.importorskip("pandas").read_pickle(path)


def with_torch(path: Path) -> Any:
    return pytest.importorskip("torch").load(path, weights_only=False)


LOADERS: dict[str, Callable[[Path], Any]] = {
    "pickle.loads": lambda path: pickle.loads(path.read_bytes()),
    "pickle.load": from_file,
    "joblib.load": lambda path: joblib.load(path),
    "numpy.load": object_array,
    "pandas.read_pickle": with_pandas,
    "torch.load": with_torch,
}


@pytest.mark.parametrize("name", LOADERS)
def test_a_payload_does_not_reach_the_loader(name: str, tmp_path: Path) -> None:
    made = tmp_path / "made"
    path = write(tmp_path / "file.pkl", pickle.dumps({"good": 1, "bad": Attack(made)}))
    with safeload.guard() as guard, pytest.raises(PolicyRejected, match="mkdir") as caught:
        LOADERS[name](path)
    assert caught.value.report.verdict == "rejected" and not made.exists()
    assert (guard.judged, guard.refused) == (1, 1)
    if name != "torch.load":  # it runs the file, and then says that it is no checkpoint
        LOADERS[name](path)
        assert made.exists()  # the payload is one


@pytest.mark.parametrize("name", [name for name in LOADERS if name != "torch.load"])
def test_what_is_accepted_is_what_the_loader_gives(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "file.pkl", pickle.dumps(VALUE))
    plain = LOADERS[name](path)
    with safeload.guard():
        guarded = LOADERS[name](path)
    assert type(guarded) is type(plain) is dict and guarded["name"] == "x" and guarded["weights"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    for legacy in (False, True):
        path = tmp_path / "model.pt"
        torch.save(OrderedDict(w=torch.arange(6.0)), path, _use_new_zipfile_serialization=not legacy)
        with safeload.guard() as guard:
            for f in (path, str(path), path.open("rb"), io.BytesIO(path.read_bytes())):
                found = torch.load(f)
                assert torch.equal(found["w"], torch.arange(6.0))
                if hasattr(f, "close"):
                    f.close()
            if not legacy:
                assert torch.load(path, mmap=True)["w"].sum() == 15
            assert torch.serialization.load(f=path)["w"].sum() == 15
        assert guard.judged >= 5 and guard.refused == 0


def test_pickles_behind_each_other_are_loaded_one_by_one(tmp_path: Path) -> None:
    path = write(tmp_path / "three", pickle.dumps(1) + pickle.dumps("two", 0) + pickle.dumps(Attack(tmp_path / "made")))
    with safeload.guard(), path.open("rb") as file:
        assert (pickle.load(file), pickle.load(file)) == (1, "two")
        with pytest.raises(PolicyRejected):
            pickle.load(file)
    assert not (tmp_path / "made").exists()


def test_bytes_behind_the_pickle_are_not_read_as_pickle_does_not() -> None:
    with safeload.guard():
        assert pickle.loads(pickle.dumps([1]) + b"anything") == [1]
        assert pickle.loads(bytearray(pickle.dumps([1]))) == [1]
        assert pickle.loads(memoryview(pickle.dumps([1]))) == [1]


def test_records_are_refused_unless_they_are_asked_for() -> None:
    data = pickle.dumps(Config())
    with safeload.guard("inspect"), pytest.raises(PolicyRejected, match="Config as a record") as caught:
        pickle.loads(data)
    assert caught.value.rule == "SL310"
    with safeload.guard("inspect", records="allow"):
        assert pickle.loads(data).size == 3


def test_numpy_without_pickles_is_not_judged(tmp_path: Path) -> None:
    np.save(tmp_path / "plain.npy", np.arange(3))
    np.save(tmp_path / "objects.npy", np.array([1, "x"], dtype=object))
    with safeload.guard() as guard:
        assert np.load(tmp_path / "plain.npy").sum() == 3
        assert guard.judged == 0
        assert np.load(tmp_path / "plain.npy", allow_pickle=True).sum() == 3
        assert np.load(tmp_path / "plain.npy", None, True).sum() == 3
        assert guard.judged == 2
        with pytest.raises(PolicyRejected):
            np.load(tmp_path / "objects.npy", allow_pickle=True)


def test_joblib_arrays_and_compressions(tmp_path: Path) -> None:
    for name, compress in (("plain", 0), ("zlib", ("zlib", 3)), ("gzip", ("gzip", 3)), ("xz", ("xz", 3))):
        path = tmp_path / name
        joblib.dump(VALUE, path, compress=compress)
        with safeload.guard() as guard:
            assert joblib.load(path)["weights"].sum() == 15
            with path.open("rb") as file:
                assert joblib.load(file)["epoch"] == 3
        assert guard.judged == 2


def test_what_the_loader_would_read_as_something_else(tmp_path: Path) -> None:
    """The judged reading is that of a gzip file; pickle would read its first byte as an opcode, whatever that is."""
    with safeload.guard(), pytest.raises(CheckpointError, match=r"pickle\.loads would read as something else"):
        pickle.loads(gzip.compress(pickle.dumps(1)))
    with gzip.open(tmp_path / "file.gz", "wb") as out:
        out.write(pickle.dumps([1, 2]))
    with safeload.guard(), gzip.open(tmp_path / "file.gz") as file:
        assert pickle.load(file) == [1, 2]


def test_what_cannot_be_read_twice_is_refused() -> None:
    reading, writing = os.pipe()
    os.write(writing, pickle.dumps(1))
    os.close(writing)
    with safeload.guard(), os.fdopen(reading, "rb") as pipe, pytest.raises(CheckpointError, match="cannot go back"):
        pickle.load(pipe)
    with safeload.guard(), pytest.raises(CheckpointError, match="download it first"):
        with_pandas("https://example.org/x.pkl")  # type: ignore[arg-type]


def test_a_file_that_changes_meanwhile_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.joblib"
    joblib.dump([1], path)
    original = guarding._run

    def changing(*args: Any) -> Any:
        value = original(*args)
        path.write_bytes(b"another")
        return value

    monkeypatch.setattr(guarding, "_run", changing)
    with safeload.guard(), pytest.raises(CheckpointError, match="was changed"):
        joblib.load(path)


def test_warnings_only(tmp_path: Path) -> None:
    data = pickle.dumps(Config())
    with safeload.guard(enforce=False) as guard:
        with pytest.warns(safeload.GuardWarning, match="Config"):
            assert pickle.loads(data).size == 3
        with pytest.warns(safeload.GuardWarning, match=r"pickle\.load: .*Config"):
            assert from_file(write(tmp_path / "x", data)).size == 3
    assert guard.refused == 2


def test_guards_add_up_and_the_last_one_takes_the_patches_away() -> None:
    data = pickle.dumps(np.float64(1.5))
    outer = safeload.guard("checkpoint")
    inner = safeload.guard("weights-only")
    guarded = pickle.loads
    with pytest.raises(PolicyRejected, match="weights-only"):
        pickle.loads(data)
    outer.uninstall()
    outer.uninstall()
    assert pickle.loads is guarded
    with pytest.raises(PolicyRejected, match="weights-only"):
        pickle.loads(data)
    inner.uninstall()
    assert pickle.loads is not guarded and pickle.loads(data) == 1.5 and guarded(data) == 1.5


def test_each_thread_is_judged() -> None:
    caught: list[BaseException] = []

    def work() -> None:
        for _ in range(20):
            try:
                pickle.loads(pickle.dumps(Config()))
            except PolicyRejected as error:
                caught.append(error)
            assert pickle.loads(pickle.dumps([1, 2])) == [1, 2]

    with safeload.guard():
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(caught) == 80


def test_strict_reaches_unpicklers_that_were_there_before(tmp_path: Path) -> None:
    made = tmp_path / "made"
    data = pickle.dumps(Attack(made))
    unpickler = pickle.Unpickler
    with safeload.guard(strict=True) as guard:
        with pytest.raises(CheckpointError, match="looked up by an unpickler"):
            unpickler(io.BytesIO(data)).load()
        assert unpickler(io.BytesIO(pickle.dumps(OrderedDict(a=1)))).load() == {"a": 1}
    assert not made.exists() and guard.refused == 1
    unpickler(io.BytesIO(data)).load()  # the hook stays, and does nothing
    assert made.exists()


def test_limits_and_encodings() -> None:
    with safeload.guard(limits={"opcodes": 3}), pytest.raises(safeload.LimitExceeded):
        pickle.loads(pickle.dumps([1, 2, 3]))
    with safeload.guard():
        assert pickle.loads(assemble("PROTO 2\nSHORT_BINSTRING b'\\xe9'\nSTOP"), encoding="latin1") == "é"
        assert pickle.loads(assemble("PROTO 2\nSHORT_BINSTRING b'\\xe9'\nSTOP"), encoding="bytes") == b"\xe9"


def test_wrong_words_and_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="refuse"):
        safeload.guard(records="keep")  # type: ignore[arg-type]
    with safeload.guard():
        with pytest.raises(TypeError):
            pickle.loads()  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            pickle.loads("text")  # type: ignore[arg-type]
        with pytest.raises(FileNotFoundError):
            joblib.load("/nonexistent/file")


LATER = """
import safeload, sys
guard = safeload.guard()
assert "joblib" not in sys.modules and "numpy" not in sys.modules, "guard() imports none of them"
import numpy, joblib, pickle
import numpy.lib.npyio
class Config: pass
data = pickle.dumps(Config())
open("file", "wb").write(data)
for load in (joblib.load, joblib.numpy_pickle.load, lambda name: numpy.load(name, allow_pickle=True), lambda name: pickle.load(open(name, "rb"))):
    try:
        load("file")
    except safeload.PolicyRejected as error:
        print("refused", error.rule)
assert joblib.__spec__.loader is joblib.__loader__ and type(joblib.__loader__).__name__ == "SourceFileLoader"
guard.uninstall()
print(type(joblib.load("file")).__name__, len([finder for finder in sys.meta_path if "safeload" in type(finder).__module__]))
"""


def test_libraries_that_are_imported_later(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(safeload.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", LATER], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["refused SL301"] * 4 + ["Config 0"]
