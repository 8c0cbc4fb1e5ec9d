"""Small checkpoints for the tests of what `load` returns, from listings, and the invariant that all of them are held to."""

from __future__ import annotations

from typing import Any

import pytest
from containers.zipbuild import Part, build
from hostile.hostile import HOOKS, ints, storage, stream

import safeload

CONJ = "EMPTY_DICT\nBINUNICODE 'conj'\nNEWTRUE\nSETITEM\n"
NEG = "EMPTY_DICT\nBINUNICODE 'neg'\nNEWTRUE\nSETITEM\n"


def torch_zip(listing: str, storages: dict[str, bytes] | None = None, *, byteorder: bytes = b"little", method: int = 0) -> bytes:
    """A torch zip around a listing; `method` is that of its storages."""
    parts = [Part(b"a/data.pkl", stream(listing)), Part(b"a/byteorder", byteorder)]
    parts += [Part(f"a/data/{key}".encode(), content, method=method) for key, content in (storages or {}).items()]
    return build([*parts, Part(b"a/version", b"3\n")])


def dense(
    kind: str, numel: int, shape: tuple[int, ...], strides: tuple[int, ...], *, key: str = "0", tag: str = "cpu", offset: int = 0, marks: str = ""
) -> str:
    """`_rebuild_tensor_v2` over a storage of `numel` elements."""
    stored = storage(kind, f"'{key}'", f"'{tag}'", f"BININT {numel}")
    return f"GLOBAL torch._utils _rebuild_tensor_v2\nMARK\n{stored}BININT {offset}\n{ints(*shape)}{ints(*strides)}NEWFALSE\n{HOOKS}{marks}TUPLE\nREDUCE\n"


def dense_v3(dtype: str, nbytes: int, shape: tuple[int, ...], strides: tuple[int, ...], *, key: str = "0", offset: int = 0, marks: str = "") -> str:
    """`_rebuild_tensor_v3` over an untyped storage of `nbytes` bytes."""
    stored = storage("UntypedStorage", f"'{key}'", numel=f"BININT {nbytes}")
    head = f"GLOBAL torch._utils _rebuild_tensor_v3\nMARK\n{stored}BININT {offset}\n{ints(*shape)}{ints(*strides)}NEWFALSE\n"
    return f"{head}{HOOKS}GLOBAL torch {dtype}\n{marks}TUPLE\nREDUCE\n"


def quantized(kind: str, numel: int, shape: tuple[int, ...], strides: tuple[int, ...], quantizer: str = "", *, offset: int = 0) -> str:
    """`_rebuild_qtensor`, per tensor with scale 0.5 and zero point 1 unless told."""
    quantizer = quantizer or "MARK\nGLOBAL torch per_tensor_affine\nBINFLOAT 0.5\nBININT1 1\nTUPLE\n"
    stored = storage(kind, numel=f"BININT {numel}")
    return f"GLOBAL torch._utils _rebuild_qtensor\nMARK\n{stored}BININT {offset}\n{ints(*shape)}{ints(*strides)}{quantizer}NEWFALSE\n{HOOKS}TUPLE\nREDUCE\n"


def pairs(**listings: str) -> str:
    """A dict of listings."""
    return "EMPTY_DICT\n" + "".join(f"BINUNICODE '{name}'\n{listing}SETITEM\n" for name, listing in listings.items())


def agree(data: Any, **options: Any) -> Any:
    """The invariant: `scan` accepts exactly what `load(map_location="cpu")` returns; all else is a `CheckpointError`. Returns the value, or the error."""
    report = safeload.scan(data, policy=options.get("policy"), limits=options.get("limits"), encoding=options.get("encoding", "utf-8"))
    if report.verdict == "accepted":
        return safeload.load(data, map_location="cpu", **options)
    with pytest.raises(safeload.CheckpointError) as caught:
        safeload.load(data, map_location="cpu", **options)
    assert str(caught.value)
    return caught.value
