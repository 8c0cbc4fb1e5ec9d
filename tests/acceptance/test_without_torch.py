"""What torch's own suite asserts about loading, on files that are built byte by byte: these run everywhere. `table.py` names the rows."""

from __future__ import annotations

import gzip
import io
import pickle
from pathlib import Path
from struct import pack
from typing import Any

import numpy as np
import pytest
from builds import dense, pairs, torch_zip

import safeload
from safeload.errors import CheckpointError, DeviceUnavailable
from safeload.opcodes.assemble import assemble

MAGIC = 0x1950A86A20F9469CFC6C
FLOATS = np.arange(6, dtype="<f4")
ZIP = torch_zip(pairs(w=dense("FloatStorage", 6, (2, 3), (3, 1))), {"0": FLOATS.tobytes()})


def legacy(listing: str, payloads: dict[str, np.ndarray[Any, Any]], *, protocol: int = 2) -> bytes:
    """A file in torch's sequential format: five pickles and the storages."""
    heads = [pickle.dumps(MAGIC, protocol), pickle.dumps(1001, protocol), pickle.dumps({"little_endian": True, "protocol_version": 1001}, protocol)]
    tail = [pickle.dumps(sorted(payloads), protocol), *(pack("<q", payloads[key].size) + payloads[key].tobytes() for key in sorted(payloads))]
    return b"".join([*heads, assemble(f"PROTO 2\n{listing}STOP\n"), *tail])


def stored(key: str, numel: int, *, kind: str = "FloatStorage", location: str = "cpu", view: str = "NONE\n") -> str:
    """A persistent id of six parts."""
    words = f"BINUNICODE 'storage'\nGLOBAL torch {kind}\nBINUNICODE '{key}'\nBINUNICODE '{location}'\nBININT {numel}\n{view}"
    return f"MARK\n{words}TUPLE\nBINPERSID\n"


def tensor(storage: str, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> str:
    def ints(values: tuple[int, ...]) -> str:
        return "MARK\n" + "".join(f"BININT {value}\n" for value in values) + "TUPLE\n"

    return f"GLOBAL torch._utils _rebuild_tensor\nMARK\n{storage}BININT {offset}\n{ints(shape)}{ints(strides)}TUPLE\nREDUCE\n"


LEGACY = legacy(tensor(stored("k", 6), (2, 3), (3, 1)), {"k": FLOATS})
DATA = {"zip": ZIP, "legacy": LEGACY}


def weights(value: Any) -> Any:
    return value["w"] if isinstance(value, dict) else value


# ---- file objects -------------------------------------------------------------------------------------------------------------------------


class Only:
    """A file object with the methods that are named, and no others."""

    def __init__(self, data: bytes, *methods: str) -> None:
        self._file = io.BytesIO(data)
        self.calls: set[str] = set()
        for name in methods:
            setattr(self, name, self._counted(name))

    def _counted(self, name: str) -> Any:
        def call(*args: Any) -> Any:
            self.calls.add(name)
            return getattr(self._file, name)(*args)

        return call


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("methods", [("read", "readline", "seek", "tell"), ("read", "seek", "tell"), ("read", "readinto", "seek", "tell"), ("read",)])
def test_what_a_file_object_needs(kind: str, methods: tuple[str, ...]) -> None:
    """torch needs read, readline, seek and tell; less is enough here, and `readinto` is used where it is there."""
    file = Only(DATA[kind], *methods)
    np.testing.assert_array_equal(weights(safeload.load(file)), FLOATS.reshape(2, 3))  # type: ignore[arg-type]
    assert ("readinto" in file.calls) == ("readinto" in methods)


class Fussy(io.RawIOBase):
    """Says that it has `readinto` and `fileno`, and has neither; gives one byte less than it is asked for."""

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self.file.read(max(size - 1, 1) if size > 0 else -1)

    def readinto(self, buffer: Any) -> int:
        raise io.UnsupportedOperation("readinto")

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.file.tell()


@pytest.mark.parametrize("kind", DATA)
def test_missing_attributes_and_short_reads(kind: str) -> None:
    np.testing.assert_array_equal(weights(safeload.load(Fussy(DATA[kind]))), FLOATS.reshape(2, 3))  # type: ignore[arg-type]


def test_a_large_tensor_through_read_and_readinto() -> None:
    big = np.arange(1_500_000, dtype="<f4")
    data = torch_zip(pairs(w=dense("FloatStorage", big.size, (1500, 1000), (1000, 1))), {"0": big.tobytes()})
    for methods in (("read", "seek", "tell"), ("read", "readinto", "seek", "tell")):
        assert safeload.load(Only(data, *methods))["w"].sum() == big.reshape(1500, 1000).sum()  # type: ignore[arg-type]


def test_something_that_is_no_file() -> None:
    """torch: "You can only torch.load from a file that is seekable". Here reading is enough, and nothing less."""
    with pytest.raises(TypeError, match="a path, bytes or a binary file object"):
        safeload.load(object())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="mode 'rb'"):
        safeload.load(io.TextIOWrapper(io.BytesIO(b"\xff\xfe")))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", DATA)
def test_gzip_objects_and_offsets(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(pickle.dumps([1, 2]) + DATA[kind]))
    with gzip.open(path) as file:
        assert pickle.load(file) == [1, 2]
        np.testing.assert_array_equal(weights(safeload.load(file)), FLOATS.reshape(2, 3))
    with (tmp_path / "y").open("w+b") as plain:
        plain.write(b"header" + DATA[kind])
        plain.seek(6)
        np.testing.assert_array_equal(weights(safeload.load(plain)), FLOATS.reshape(2, 3))


def test_saves_and_pickles_one_behind_the_other() -> None:
    file = io.BytesIO(pickle.dumps("first") + LEGACY + pickle.dumps("third") + LEGACY)
    values = [safeload.load(file) for _ in range(4)]
    assert (values[0], values[2]) == ("first", "third")
    np.testing.assert_array_equal(values[3], values[1])
    assert file.read() == b""


def test_a_payload_that_looks_like_a_zip() -> None:
    fake = np.frombuffer(b"PK\5\6" + bytes(18) + b"PK\3\4" + bytes(2), "<f4").copy()
    data = legacy(tensor(stored("k", fake.size), (fake.size,), (1,)), {"k": fake})
    assert safeload.load(data).tobytes() == fake.tobytes()


# ---- old writers ----------------------------------------------------------------------------------------------------------------------------


def test_python_2_and_torch_0_4() -> None:
    """The 8-bit strings of Python 2 are text or bytes, as `encoding` says; those in persistent ids are text either way (torch fails on the key)."""
    listing = (
        "EMPTY_DICT\nSHORT_BINSTRING b'classe'\n" + tensor(stored("k", 6), (6,), (1,)).replace("BINUNICODE '", "SHORT_BINSTRING b'")
        + "SETITEM\nSHORT_BINSTRING b'size'\nSHORT_BINSTRING b'caf\\xc3\\xa9'\nSETITEM\n"
    )  # fmt: skip
    data = legacy(listing, {"k": FLOATS})
    for policy in ("weights-only", "checkpoint"):
        text = safeload.load(data, encoding="utf-8", policy=policy)
        raw = safeload.load(data, encoding="bytes", policy=policy)
        assert list(text) == ["classe", "size"] and text["size"] == "café" and list(raw) == [b"classe", b"size"] and raw[b"size"] == "café".encode()
        np.testing.assert_array_equal(text["classe"], raw[b"classe"])
    with pytest.raises(CheckpointError, match="not ascii") as error:
        safeload.load(data, encoding="ascii")
    assert "encoding='latin1'" in str(error.value)
    assert safeload.load(data, encoding="latin1")["size"] == "cafÃ©"
    assert safeload.load(data, encoding="ascii", errors="replace")["size"] == "caf\ufffd\ufffd"


def test_a_module_of_python_2_under_inspect() -> None:
    listing = (
        "GLOBAL torch.nn.modules.conv Conv2d\nEMPTY_TUPLE\nNEWOBJ\nEMPTY_DICT\nMARK\nSHORT_BINSTRING b'_parameters'\nEMPTY_DICT\nSHORT_BINSTRING b'weight'\n"
        + tensor(stored("k", 6), (6,), (1,)) + "SETITEM\nSHORT_BINSTRING b'_buffers'\nEMPTY_DICT\nSHORT_BINSTRING b'_modules'\nEMPTY_DICT\nSETITEMS\nBUILD\n"
    )  # fmt: skip
    data = legacy(listing, {"k": FLOATS})
    for options in ({}, {"encoding": "utf-8"}, {"encoding": "ascii"}):
        state = safeload.state_dict(safeload.load(data, policy="inspect", **options))
        np.testing.assert_array_equal(state["weight"], FLOATS)


def test_storage_views_of_torch_0_3() -> None:
    """`s2.data_ptr() == s1.data_ptr() + 4`: a storage that is a slice of another, and tensors on both."""
    part = stored("k", 6, view="BINUNICODE 'v'\nBININT 1\nBININT 4\nTUPLE3\n")
    data = legacy(f"EMPTY_LIST\nMARK\n{tensor(stored('k', 6), (6,), (1,))}{tensor(part, (4,), (1,))}APPENDS\n", {"k": FLOATS})
    one, two = safeload.load(data)
    assert two.ctypes.data == one.ctypes.data + 4 and two.tolist() == [1, 2, 3, 4]
    two[0] = 9
    assert one[1] == 9
    for bad in ("BININT 3\nBININT 4\n", "BININT 7\nBININT 0\n"):
        lying = part.replace("BININT 1\nBININT 4\n", bad)
        assert safeload.scan(legacy(tensor(lying, (4,), (1,)), {"k": FLOATS})).verdict == "rejected"


def test_tensors_of_torch_0_1() -> None:
    """`torch.FloatTensor()` and a state of (storage, offset, size, stride), with the strides (9, 3) and the offset 2 of torch's test."""
    ints = "MARK\nBININT 2\nBININT 2\nTUPLE\nMARK\nBININT 9\nBININT 3\nTUPLE\n"
    many = np.arange(20, dtype="<f4")
    for name in ("torch.tensor FloatTensor", "torch FloatTensor", "torch Tensor"):
        listing = f"GLOBAL {name}\nEMPTY_TUPLE\nREDUCE\nMARK\n{stored('k', 20)}BININT 2\n{ints}TUPLE\nBUILD\n"
        report = safeload.scan(legacy(listing, {"k": many}))
        if report.verdict != "accepted":
            assert name == "torch.tensor FloatTensor"  # no release wrote that
            continue
        assert safeload.load(legacy(listing, {"k": many})).tolist() == [[2, 5], [11, 14]]
    second = tensor(stored("k", 20), (2, 2), (9, 3), 2)
    assert safeload.load(legacy(second, {"k": many})).tolist() == [[2, 5], [11, 14]]


# ---- devices and formats ------------------------------------------------------------------------------------------------------------------


def test_a_file_from_a_gpu_without_one() -> None:
    data = legacy(tensor(stored("k", 6, location="cuda:0"), (6,), (1,)), {"k": FLOATS})
    with pytest.raises(DeviceUnavailable, match=r"map_location=.cpu."):
        safeload.load(data)
    for location in ("cpu", {"cuda:0": "cpu"}, {"cuda": "cpu"}, lambda storage, tag: storage.cpu() if tag == "cuda:0" else None):
        np.testing.assert_array_equal(safeload.load(data, location), FLOATS)


@pytest.mark.parametrize("record", [b"little", b"big"])
def test_the_record_of_the_byte_order_is_read(record: bytes) -> None:
    data = torch_zip(pairs(w=dense("FloatStorage", 6, (6,), (1,))), {"0": FLOATS.astype("<f4" if record == b"little" else ">f4").tobytes()}, byteorder=record)
    np.testing.assert_array_equal(safeload.load(data)["w"], FLOATS)
    assert safeload.open(data).metadata()["byteorder"] == record.decode()


def test_what_safeload_does_not_take_from_torch() -> None:
    for options in ({"weights_only": False}, {"pickle_module": pickle}):
        with pytest.raises(TypeError, match="policy"):
            safeload.load(ZIP, **options)  # type: ignore[arg-type]


def test_torchs_environment_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = b"cposix\nmkdir\n(S'environment-payload-ran'\ntR."
    for value in ("1", "true", "0"):
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", value)
        monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", value)
        with pytest.raises(CheckpointError):
            safeload.load(payload)
    assert not Path("environment-payload-ran").exists()
