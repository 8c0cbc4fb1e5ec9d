"""`load` and its relatives as a user of torch.load meets them."""

from __future__ import annotations

import gc
import io
import os
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builds import agree, dense, pairs, torch_zip
from hostile.hostile import stream

import safeload
from safeload.errors import CheckpointError, DeviceUnavailable, PolicyRejected
from safeload.opcodes.assemble import assemble
from safeload.tensors import MetaTensor

CUDA = torch_zip(
    pairs(a=dense("FloatStorage", 2, (2,), (1,), tag="cuda:0"), b=dense("FloatStorage", 2, (1,), (1,), tag="cuda:0", offset=1)),
    {"0": np.arange(2, dtype="<f4").tobytes()},
)
CPU = torch_zip(pairs(a=dense("FloatStorage", 2, (2,), (1,)), b=dense("FloatStorage", 2, (1,), (1,), offset=1)), {"0": np.arange(2, dtype="<f4").tobytes()})
EVIL = assemble("PROTO 2\nGLOBAL posix system\nBINUNICODE 'true'\nTUPLE1\nREDUCE\nSTOP")


def is_aliased(value: Any) -> bool:
    value["a"][1] = 9.0
    return bool(value["b"].tolist() == [9.0])


def gpu() -> bool:
    try:
        import cupy

        return bool(cupy.cuda.runtime.getDeviceCount())
    except Exception:
        return False


@pytest.mark.skipif(gpu(), reason="this machine has a GPU, so the file loads")
@pytest.mark.parametrize("location", [None, "cuda", "cuda:1", 0, {"cuda:0": "cuda:1"}, lambda storage, tag: None])
def test_a_device_that_is_not_there_is_named(location: Any) -> None:
    with pytest.raises(DeviceUnavailable, match='map_location="cpu"'):
        safeload.load(CUDA, location)
    with pytest.raises(RuntimeError):
        safeload.load(CUDA, location)


@pytest.mark.parametrize(
    "location",
    ["cpu", {"cuda:0": "cpu"}, {"cuda": "cpu"}, lambda storage, tag: storage, lambda storage, tag: storage.cpu(), lambda storage, tag: storage.to("cpu")],
)
def test_every_way_to_the_cpu_keeps_the_aliases(location: Any) -> None:
    assert is_aliased(safeload.load(CUDA, location))
    with safeload.open(CUDA, location) as checkpoint:
        assert is_aliased({name: checkpoint.get_tensor(name) for name in checkpoint.keys()})  # noqa: SIM118


def test_meta_reads_no_payload() -> None:
    value = safeload.load(CUDA, "meta")
    assert value == {"a": MetaTensor(dtype="float32", shape=(2,), strides=(1,)), "b": MetaTensor(dtype="float32", shape=(1,), strides=(1,))}


@pytest.mark.parametrize("wrong", [1.5, True, {"cpu": 1.5}, {1.5: "cpu"}, [], b"\xff"])
def test_a_wrong_map_location_is_a_type_error(wrong: Any) -> None:
    with pytest.raises((TypeError, DeviceUnavailable)):
        safeload.load(CPU, wrong)


def test_an_unknown_location_is_the_machines_fault() -> None:
    with pytest.raises(DeviceUnavailable):
        safeload.load(CPU, "nonesuch:7")


@pytest.mark.parametrize("wrong", [{"weights_only": False}, {"weights_only": 0}, {"pickle_module": pickle}])
def test_what_would_run_the_file_points_to_policy(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="policy="):
        safeload.load(CPU, **wrong)


def test_unknown_arguments_and_policies() -> None:
    with pytest.raises(TypeError):
        safeload.load(CPU, nonsense=1)  # type: ignore[call-arg]
    for missing in ("nonesuch", "./nonesuch.toml"):
        with pytest.raises((safeload.PolicyFileError, OSError, ValueError)):
            safeload.load(CPU, policy=missing)


# ---- strings of Python 2 ------------------------------------------------------------------------------------------------------------------

BYTES = assemble("SHORT_BINSTRING b'ab\\xff'\nSTOP")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"encoding": "latin1"}, "ab\xff"),
        ({"encoding": "bytes"}, b"ab\xff"),
        ({"encoding": "ascii", "errors": "ignore"}, "ab"),
        ({"errors": "replace"}, "ab\ufffd"),
        ({"errors": "surrogateescape"}, "ab\udcff"),
    ],
)
def test_the_strings_of_python_2(options: dict[str, str], expected: Any) -> None:
    assert safeload.load(BYTES, **options) == expected == pickle.loads(BYTES, **{"encoding": "utf-8", **options})
    assert safeload.RestrictedUnpickler(io.BytesIO(BYTES), **options).load() == expected


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "idna", "punycode", "utf-7"])
def test_strings_that_do_not_decode_are_the_files_fault(encoding: str) -> None:
    value = agree(BYTES, encoding=encoding)
    assert isinstance(value, CheckpointError) or encoding == "utf-7"


@pytest.mark.parametrize(
    "options",
    [
        {"encoding": "nonesuch"},
        {"encoding": "undefined"},
        {"encoding": "hex"},
        {"encoding": "rot13"},
        {"encoding": "a\0b"},
        {"encoding": "\ud800"},
        {"encoding": 5},
        {"errors": "nonesuch"},
    ],
)
def test_an_encoding_that_does_not_exist_is_the_callers_mistake(options: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        safeload.load(BYTES, **options)
    if "encoding" in options:
        with pytest.raises((ValueError, TypeError)):
            safeload.scan(BYTES, **options)


# ---- what is refused ----------------------------------------------------------------------------------------------------------------------


def test_a_rejection_holds_the_whole_report(tmp_path: Path) -> None:
    data = stream("GLOBAL posix system\nBINUNICODE 'true'\nTUPLE1\nREDUCE\nGLOBAL acme.a B\nTUPLE2\n")
    path = tmp_path / "evil.pt"
    path.write_bytes(data)
    with pytest.raises(PolicyRejected) as caught:
        safeload.load(path)
    assert {use.global_name for use in caught.value.report.globals if use.decision == "denied"} == {"posix.system", "acme.a.B"}
    assert str(path) in str(caught.value) and caught.value.report == safeload.scan(path)
    assert safeload.get_unsafe_globals_in_checkpoint(path) == sorted(
        safeload.get_unsafe_globals_in_checkpoint(path)
    ) and "acme.a.B" in safeload.get_unsafe_globals_in_checkpoint(path)


def test_names_that_a_policy_does_not_allow() -> None:
    assert safeload.get_unsafe_globals_in_checkpoint(CPU) == []
    data = stream("GLOBAL argparse Namespace\nEMPTY_TUPLE\nREDUCE\n")
    assert safeload.get_unsafe_globals_in_checkpoint(data) == ["argparse.Namespace"]
    assert safeload.get_unsafe_globals_in_checkpoint(data, policy="checkpoint") == []
    for broken in (b"", EVIL[:-1], CPU[:-5]):
        with pytest.raises(CheckpointError):
            safeload.get_unsafe_globals_in_checkpoint(broken)


@pytest.mark.parametrize("cut", range(60))
def test_a_cut_file_never_loads(cut: int) -> None:
    assert isinstance(agree(CPU[: len(CPU) * cut // 60]), CheckpointError)
    assert isinstance(agree(EVIL[: len(EVIL) * cut // 60]), CheckpointError)


def test_a_file_is_judged_once_and_left_closed(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(CPU)
    with path.open("rb") as file:
        assert is_aliased(safeload.load(file))
        assert not file.closed
        file.seek(0)
        assert safeload.scan(file).verdict == "accepted"


# ---- one pickle behind the other ---------------------------------------------------------------------------------------------------------


class NoSeek(io.RawIOBase):
    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._inner = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        return self._inner.readinto(into)


@pytest.mark.parametrize("load", [lambda file: safeload.RestrictedUnpickler(file).load(), safeload.load])
def test_pickles_are_read_one_by_one(load: Any, tmp_path: Path) -> None:
    values = [[1], "x", {"a": (2, None)}, b"y"]
    data = b"".join(pickle.dumps(value, protocol) for value, protocol in zip(values, (0, 2, 4, 5), strict=True))
    path = tmp_path / "many.pkl"
    path.write_bytes(b"head" + data)
    at_four = io.BytesIO(b"head" + data)
    at_four.seek(4)
    with path.open("rb") as file:
        file.seek(4)
        for source in (file, at_four):
            ends = []
            for value in values:
                assert load(source) == value
                ends.append(source.tell())
            assert ends == [4 + sum(len(pickle.dumps(v, p)) for v, p in list(zip(values, (0, 2, 4, 5), strict=True))[: n + 1]) for n in range(4)]
            with pytest.raises((EOFError, CheckpointError)):
                load(source)


def test_one_unpickler_reads_all_and_then_ends() -> None:
    unpickler = safeload.RestrictedUnpickler(io.BytesIO(pickle.dumps(1) + pickle.dumps(2)))
    assert [unpickler.load(), unpickler.load()] == [1, 2]
    with pytest.raises(EOFError):
        unpickler.load()


def test_a_stream_that_cannot_seek() -> None:
    unpickler = safeload.RestrictedUnpickler(NoSeek(pickle.dumps([1])))
    assert unpickler.load() == [1]
    with pytest.raises(EOFError):
        unpickler.load()
    assert safeload.load(NoSeek(pickle.dumps([1]))) == [1]
    assert safeload.load(io.BufferedReader(NoSeek(pickle.dumps([1])))) == [1]


def test_the_unpickler_refuses_as_load_does() -> None:
    with pytest.raises(PolicyRejected):
        safeload.RestrictedUnpickler(io.BytesIO(EVIL)).load()
    with pytest.raises(CheckpointError):
        safeload.RestrictedUnpickler(io.BytesIO(b"\xff")).load()
    with pytest.raises(TypeError):
        safeload.RestrictedUnpickler(None).load()
    file = io.BytesIO(pickle.dumps(1) + EVIL)
    assert safeload.RestrictedUnpickler(file).load() == 1 and file.tell() == len(pickle.dumps(1))


def test_several_objects_in_bytes_are_not_silently_one() -> None:
    data = pickle.dumps(1) + pickle.dumps(2)
    assert safeload.scan(data).verdict == "accepted"
    for call in (safeload.load, safeload.open):
        with pytest.raises(CheckpointError, match="2 objects"):
            call(data)


# ---- threads -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("enabled", [True, False])
def test_threads_get_equal_results_and_the_collector_back(enabled: bool, tmp_path: Path) -> None:
    listing = pairs(**{f"t{number}": dense("FloatStorage", 100, (10,), (1,), offset=number) for number in range(60)})
    path = tmp_path / "m.pt"
    path.write_bytes(torch_zip(listing, {"0": np.arange(100, dtype="<f4").tobytes()}))
    results: list[Any] = []

    def work(number: int) -> None:
        for turn in range(4):
            try:
                if turn == 3:
                    safeload.load(EVIL)
                value = safeload.load(path, mmap=bool(number % 2))
                results.append(all(value[f"t{at}"].tolist() == list(range(at, at + 10)) for at in range(60)))
            except CheckpointError:
                results.append(turn == 3)

    (gc.enable if enabled else gc.disable)()
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [True] * 32
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


def test_a_fresh_process_scans_without_numpy(tmp_path: Path) -> None:
    import subprocess
    import sys

    path = tmp_path / "m.pt"
    path.write_bytes(CPU)
    code = "import sys, safeload; print(safeload.scan(sys.argv[1]).verdict, sorted({'numpy', 'cupy', 'torch', 'fickling', 'rich'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, cwd=Path(__file__).parents[1], env={**os.environ}, check=True
    )
    assert done.stdout.strip() == "accepted []"


@pytest.mark.parametrize("given", [True, None])
def test_what_torch_takes_for_granted_changes_nothing(given: bool | None) -> None:
    assert safeload.load(pickle.dumps([1], 2), weights_only=given) == [1]
