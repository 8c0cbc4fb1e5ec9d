"""Tar checkpoints of torch 0.1, spelt out entry by entry. `tarfile` lays the archive out, as it did for torch."""

from __future__ import annotations

import io
import tarfile
from struct import pack
from typing import Any

from safeload.opcodes.assemble import assemble


def storage(
    key: int = 1, values: bytes = bytes(24), *, kind: str = "FloatStorage", count: int | None = None, location: str = "cpu", module: str = "torch"
) -> bytes:
    """One entry of `storages`."""
    width = {"FloatStorage": 4, "DoubleStorage": 8, "LongStorage": 8, "HalfStorage": 2, "ByteStorage": 1}.get(kind, 4)
    head = assemble(f"PROTO 2\nBININT {key}\nBINUNICODE {location!r}\nGLOBAL {module} {kind}\nTUPLE3\nSTOP")
    return head + pack("<q", len(values) // width if count is None else count) + values


def tensor(
    key: int = 7,
    on: int | None = 1,
    shape: tuple[int, ...] = (2, 3),
    strides: tuple[int, ...] = (3, 1),
    offset: int = 0,
    *,
    kind: str = "FloatTensor",
    module: str = "torch",
    dims: int | None = None,
    garbage: bytes = b"\xde\xad\xbe\xef",
) -> bytes:
    """One entry of `tensors`."""
    named = "NONE" if on is None else f"BININT {on}"
    head = assemble(f"PROTO 2\nBININT {key}\n{named}\nGLOBAL {module} {kind}\nTUPLE3\nSTOP")
    return (
        head
        + pack("<i", len(shape) if dims is None else dims)
        + garbage
        + pack(f"<{len(shape)}q", *shape)
        + pack(f"<{len(strides)}q", *strides)
        + pack("<q", offset)
    )


def number(value: int) -> bytes:
    """A pickle of one int."""
    return assemble(f"PROTO 2\nBININT {value}\nSTOP")


def views(*entries: tuple[int, int, int, int]) -> bytes:
    """The pickle of (target, root, offset, elements)."""
    items = "".join("MARK\n" + "".join(f"BININT {part}\n" for part in entry) + "TUPLE\n" for entry in entries)
    return assemble(f"PROTO 2\nEMPTY_LIST\nMARK\n{items}APPENDS\nSTOP")


def ids(*pids: int | str) -> bytes:
    """The object: a list of what these ids stand for."""
    items = "".join((f"BININT {pid}\n" if isinstance(pid, int) else f"BINUNICODE {pid!r}\n") + "BINPERSID\n" for pid in pids)
    return assemble(f"PROTO 2\nEMPTY_LIST\nMARK\n{items}APPENDS\nSTOP")


def members(
    storages: list[bytes] | None = None, tensors: list[bytes] | None = None, obj: bytes | None = None, *, view: bytes | None = None, behind: bytes = b""
) -> dict[str, bytes]:
    """The four members; one storage of six floats and one tensor over it unless told."""
    storages = [storage()] if storages is None else storages
    tensors = [tensor()] if tensors is None else tensors
    return {
        "sys_info": assemble("PROTO 2\nEMPTY_DICT\nBINUNICODE 'protocol_version'\nBININT 1000\nSETITEM\nSTOP"),
        "pickle": ids("7") if obj is None else obj,
        "tensors": number(len(tensors)) + b"".join(tensors),
        "storages": number(len(storages)) + b"".join(storages) + (views() if view is None else view) + behind,
    }


def tar(content: dict[str, bytes] | list[tuple[str, bytes]], *, mtime: float = 0, form: int = tarfile.PAX_FORMAT, **info: Any) -> bytes:
    """The archive; a time with a fraction gives every member a PAX header, as `TarFile.add` does."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=form) as archive:
        for name, data in content.items() if isinstance(content, dict) else content:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(data), mtime  # type: ignore[assignment]
            for key, value in info.items():
                setattr(entry, key, value)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def checkpoint(*args: Any, mtime: float = 1_484_000_000.25, **more: Any) -> bytes:
    """A whole file."""
    return tar(members(*args, **more), mtime=mtime)
