"""Distributed checkpoints, written without torch: the metadata's classes by their names alone, and archives of one tensor each."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from safeload.opcodes.assemble import assemble
from tests.containers.zipbuild import Part, build

METADATA = "torch.distributed.checkpoint.metadata"
KINDS = {"float32": "FloatStorage", "int64": "LongStorage", "int16": "ShortStorage"}


class Record:
    """An object of a class that is only named: NEWOBJ without arguments, and BUILD with `state`."""

    def __init__(self, name: str, state: Any = None) -> None:
        self.name = name
        self.state = state


class Name:
    """A name alone."""

    def __init__(self, name: str) -> None:
        self.name = name


class Called:
    """A call of a name."""

    def __init__(self, name: str, *args: Any) -> None:
        self.name = name
        self.args = args


class _Writer(pickle._Pickler):  # type: ignore[name-defined, misc]
    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Name):
            module, _, name = obj.name.rpartition(".")
            self.write(b"c" + module.encode() + b"\n" + name.encode() + b"\n")
        elif isinstance(obj, Called):
            self.save(Name(obj.name))
            self.save(obj.args)
            self.write(b"R")
        elif isinstance(obj, Record):
            self.save(Name(obj.name))
            self.write(b")\x81")
            if obj.state is not None:
                self.save(obj.state)
                self.write(b"b")
        else:
            super().save(obj, save_persistent_id)


def dumped(obj: Any) -> bytes:
    """The pickle, protocol 2."""
    file = io.BytesIO()
    _Writer(file, 2).dump(obj)
    return file.getvalue()


def size(*numbers: int) -> Called:
    return Called("torch.Size", tuple(numbers))


def archive(array: np.ndarray[Any, Any]) -> bytes:
    """What torch.save makes of one contiguous tensor."""

    def ints(values: tuple[int, ...]) -> str:
        return "MARK\n" + "".join(f"BININT {value}\n" for value in values) + "TUPLE\n"

    strides = tuple(step // array.itemsize for step in np.ascontiguousarray(array).strides)
    listing = f"""
PROTO 2
GLOBAL torch._utils _rebuild_tensor_v2
MARK
MARK
BINUNICODE 'storage'
GLOBAL torch {KINDS[str(array.dtype)]}
BINUNICODE '0'
BINUNICODE 'cpu'
BININT {array.size}
TUPLE
BINPERSID
BININT1 0
{ints(array.shape)}{ints(strides)}NEWFALSE
GLOBAL collections OrderedDict
EMPTY_TUPLE
REDUCE
TUPLE
REDUCE
STOP
"""
    return build([Part(b"archive/data.pkl", assemble(listing)), Part(b"archive/data/0", array.tobytes()), Part(b"archive/version", b"3\n")])


def blob(obj: Any) -> bytes:
    """What torch.save makes of a plain object."""
    return build([Part(b"archive/data.pkl", pickle.dumps(obj, 2)), Part(b"archive/version", b"3\n")])


def chunk(offsets: tuple[int, ...], sizes: tuple[int, ...]) -> Record:
    return Record(f"{METADATA}.ChunkStorageMetadata", {"offsets": size(*offsets), "sizes": size(*sizes)})


def tensor(dtype: str, shape: tuple[int, ...], chunks: list[Record]) -> Record:
    layout, memory = Called("torch.serialization._get_layout", "torch.strided"), Called(f"{METADATA}._MEM_FORMAT_ENCODING", 0)
    properties = Record(f"{METADATA}.TensorProperties", (Name(f"torch.{dtype}"), layout, False, memory, False))
    return Record(f"{METADATA}.TensorStorageMetadata", {"properties": properties, "size": size(*shape), "chunks": chunks})


def index(fqn: str, offset: tuple[int, ...] | None) -> Record:
    return Record(f"{METADATA}.MetadataIndex", {"fqn": fqn, "offset": None if offset is None else size(*offset), "index": None})


def info(path: Any, offset: Any, length: Any) -> Record:
    return Record("torch.distributed.checkpoint.filesystem._StorageInfo", {"relative_path": path, "offset": offset, "length": length})


class Checkpoint:
    """A checkpoint that a test can bend before it is written."""

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}
        self.items: list[tuple[Record, Record]] = []
        self.files: dict[str, bytes] = {}
        self.paths: dict[str, Any] | None = {}

    def add(self, path: str, data: bytes, fqn: str, offset: tuple[int, ...] | None) -> None:
        """One item at the end of a file."""
        start = len(self.files.get(path, b""))
        self.files[path] = self.files.get(path, b"") + data
        self.items.append((index(fqn, offset), info(path, start, len(data))))

    def tensor(self, fqn: str, whole: np.ndarray[Any, Any], parts: dict[str, list[tuple[tuple[int, ...], tuple[int, ...]]]]) -> None:
        """A tensor, and for each file the chunks (offsets, sizes) that stand in it."""
        chunks = []
        for path, places in parts.items():
            for offsets, sizes in places:
                piece = whole[tuple(slice(start, start + length) for start, length in zip(offsets, sizes, strict=True))]
                self.add(path, archive(np.ascontiguousarray(piece)), fqn, offsets)
                chunks.append(chunk(offsets, sizes))
        self.entries[fqn] = tensor(str(whole.dtype), whole.shape, chunks)

    def metadata(self) -> bytes:
        state = {"state_dict_metadata": self.entries, "planner_data": self.paths, "storage_data": _pairs(self.items), "storage_meta": None}
        return dumped(Record(f"{METADATA}.Metadata", state))

    def write(self, folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        (folder / ".metadata").write_bytes(self.metadata())
        for name, data in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder


def _pairs(items: list[tuple[Record, Record]]) -> dict[Any, Any]:
    return dict(items)
