"""A checkpoint of a little-endian machine as a big-endian one would have written it: each storage turned by the type that its persistent id names."""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from typing import Any

import numpy as np
from containers.zipbuild import Part, build

WIDTHS = {
    "Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "ComplexDouble": 8, "ComplexFloat": 4, "QInt32": 4,
}  # fmt: skip
"""Bytes that are turned together, by the name of the storage class; half an element of a complex one. The others hold single bytes."""

_SPELLED = re.compile(r"\('storage', <class 'torch\.(\w+)'>, '(\d+)', ")


class _Inert:
    """Anything that a pickle names: takes every call and every state."""

    def __new__(cls, *_: Any, **__: Any) -> _Inert:
        return object.__new__(cls)

    def __setstate__(self, _: Any) -> None: ...

    def __setitem__(self, _: Any, __: Any) -> None: ...

    def append(self, _: Any) -> None: ...


class _Types(pickle.Unpickler):
    """Notes the storage class of every key."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.types: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Any:
        return name if name.endswith("Storage") else type(name, (_Inert,), {})

    def persistent_load(self, pid: Any) -> Any:
        if isinstance(pid, str):  # protocol 0 spells the tuple out
            found = _SPELLED.match(pid)
            assert found is not None, pid
            pid = (None, found[1], found[2])
        self.types.setdefault(pid[2], pid[1].removesuffix("Storage"))
        return _Inert()


def turned(data: bytes) -> bytes:
    """The same archive with `byteorder` big."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    folder = next(iter(records)).partition("/")[0]
    types = _Types(records[f"{folder}/data.pkl"])
    types.load()
    for key, name in types.types.items():
        raw = records[f"{folder}/data/{key}"]
        records[f"{folder}/data/{key}"] = np.frombuffer(raw, f"<u{WIDTHS.get(name, 1)}").byteswap().tobytes()
    records[f"{folder}/byteorder"] = b"big"
    return build([Part(name.encode(), content) for name, content in records.items()])
