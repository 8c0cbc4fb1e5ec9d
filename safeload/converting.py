"""An open `Checkpoint` becomes a `Conversion`, the list of what is to be written, and that a .safetensors or .npz file. No program is left in either.

    chosen:  the part of the value that is to be converted, by its path; of a module record the weights, as `Module.state_dict()` would name them
    planned: its tensors with their names, dtypes and shapes; what is no dense tensor, and which names stand for one and the same tensor
    write:   tensor by tensor out of the map, so that memory holds one tensor at most; the file is whole before it has its name

Tensors of safetensors stand alone: what shares a storage is written for each of its names, or once with the other names in the metadata, as safetensors'
`save_model` does it. Refuses (`NotConvertible`) to leave out anything silently: values that are no dense tensors, and dtypes that the format lacks.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any, Literal

import msgspec

from safeload.containers.safetensors import DTYPES, LENGTH_BYTES, MAX_HEADER_BYTES, METADATA
from safeload.errors import SafeloadError
from safeload.lazy import LazyPart, LazyTensor, children
from safeload.modules import is_module, state_dict
from safeload.storage.records import TensorRecord
from safeload.tensors import MetaTensor, NestedTensor, QuantizedTensor, SparseTensor, SubclassTensor

if TYPE_CHECKING:
    from safeload.lazy import Checkpoint

Format = Literal["safetensors", "npz"]
FORMATS: dict[str, Format] = {".safetensors": "safetensors", ".npz": "npz"}
HEADER_ALIGNMENT_BYTES = 8  # safetensors/src/tensor.rs pads its header with blanks to it
CHUNK_BYTES = 1 << 24  # written and compared at once
SAVEZ_WORDS = frozenset({"file", "allow_pickle"})  # parameters of numpy.savez, which takes the names of arrays as keywords
OTHER_TENSORS: dict[type, str] = {
    SparseTensor: "a sparse tensor", QuantizedTensor: "a quantized tensor", NestedTensor: "a nested tensor", MetaTensor: "a tensor without data",
    SubclassTensor: "a tensor of a subclass",
}  # fmt: skip
_CODES: dict[str, tuple[str, int]] = {name: (code, bits) for code, (bits, name) in DTYPES.items() if name is not None}
MAX_ADVICE = 4  # parts of a value that are named
ADVICE_DEPTH = 3  # how deep they are looked for
F4_PER_ELEMENT = 2  # torch's float4_e2m1fn_x2 holds two in a byte


class NotConvertible(SafeloadError):
    """What cannot be written in that format, or not without leaving something out."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor to be written. `dtype` is torch's or numpy's name, `shape` counts elements of it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    tensor: LazyTensor


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written, in the order of the checkpoint. `aliases`: a name that is not written, and the one that stands for it."""

    parts: tuple[Part, ...]
    left_out: tuple[tuple[str, str], ...]  # path and kind of what is no dense tensor
    aliases: dict[str, str]
    shared: int  # names that are written although another one is the same tensor
    metadata: dict[str, str]

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors that are written."""
        return sum(part.nbytes for part in self.parts)


# ---- what to write ----------------------------------------------------------------------------------------------------------------------


def planned(checkpoint: Checkpoint, *, at: str = "", tensors_only: bool = False, once: bool = False, metadata: dict[str, str] | None = None) -> Conversion:
    """The tensors of the value, or of what stands at the path `at` in it.

    `tensors_only` leaves out what is no dense tensor, and lists it; `once` writes tensors that are one and the same under the first of their names.
    Raises `NotConvertible` where there is no such path, no tensor, or something else beside the tensors.
    """
    value = chosen(checkpoint.tree(), at)
    found, others = _leaves(value)
    if not found:
        raise NotConvertible(f"there is no dense tensor {f'at {at}' if at else 'in the file'}")
    if others and not tensors_only:
        path, kind = others[0]
        more = f" and {len(others) - 1:,} more" if len(others) > 1 else ""
        tensors = f"{len(found):,} tensor{'s' * (len(found) > 1)}"
        raise NotConvertible(f"beside {tensors} there is {kind} ({path}){more}, which no such file can hold{_advice(value, at)}")
    parts: dict[str, Part] = {}
    known: dict[tuple[Any, ...], str] = {}
    aliases: dict[str, str] = {}
    shared = 0
    for name, tensor in found:
        if name in parts or name in aliases:
            raise NotConvertible(f"two tensors have the name {name!a}")
        first = known.setdefault(_identity(tensor), name)
        shared += first != name
        if once and first != name:
            aliases[name] = first
        else:
            parts[name] = _part(name, tensor)
    return Conversion(
        parts=tuple(parts.values()), left_out=tuple(others), aliases=aliases, shared=0 if once else shared, metadata={**(metadata or {}), **aliases}
    )


def chosen(tree: Any, at: str) -> Any:
    """What stands at a path, spelled as the names of tensors are. Raises `NotConvertible` where nothing does."""
    if not at:
        return tree
    for path, value in _containers(tree):
        if path == at:
            return value
    raise NotConvertible(f"nothing that holds tensors is called {at!a} in this file{_advice(tree, '')}")


def _leaves(value: Any) -> tuple[list[tuple[str, LazyTensor]], list[tuple[str, str]]]:
    """Name and tensor of each dense tensor, path and kind of everything else; a container that was met already is something else."""
    value = state_dict(value) if is_module(value) else value
    tensors: list[tuple[str, LazyTensor]] = []
    others: list[tuple[str, str]] = []
    seen: dict[int, str] = {}
    stack = [("", value)]
    while stack:
        path, each = stack.pop()
        if isinstance(each, LazyTensor):
            tensors.append((path or "tensor", each))
            continue
        held = None if type(each) in OTHER_TENSORS else children(each)
        if held is None:
            others.append((path or "the value", OTHER_TENSORS.get(type(each)) or f"a value of type {type(each).__name__}"))
        elif id(each) in seen:
            others.append((path, f"the object that is {seen[id(each)] or 'the value'}, too"))
        else:
            seen[id(each)] = path
            stack.extend((f"{path}.{key}" if path else str(key), child) for key, child in reversed(held))
    return tensors, others


def _containers(tree: Any, depth: int | None = None) -> Iterator[tuple[str, Any]]:
    """Path and value of everything that holds something, from the outside in, to so many levels below the value."""
    seen: set[int] = set()
    stack = [("", tree, 0)]
    while stack:
        path, value, level = stack.pop()
        held = None if isinstance(value, LazyTensor) or type(value) in OTHER_TENSORS else children(value)
        if held is None or id(value) in seen:
            continue
        seen.add(id(value))
        yield path, value
        if level != depth:
            stack.extend((f"{path}.{key}" if path else str(key), child, level + 1) for key, child in reversed(held))


def _advice(value: Any, at: str) -> str:
    """The parts of a value that hold tensors and nothing else, for who has to choose one; the outermost of them."""
    pure: list[tuple[str, int]] = []
    for path, each in _containers(value, ADVICE_DEPTH):
        if not path or any(path.startswith(f"{known}.") for known, _ in pure):
            continue
        tensors, others = _leaves(each)
        if tensors and not others:
            pure.append((f"{at}.{path}" if at else path, len(tensors)))
        if len(pure) == MAX_ADVICE:
            break
    if not pure:
        return "; --tensors-only leaves out what is no tensor"
    listed = ", ".join(f"--at {path} ({count:,} tensors)" if number == 0 else f"{path} ({count:,})" for number, (path, count) in enumerate(pure))
    return f"; choose {listed}, or leave the rest out with --tensors-only"




def _identity(tensor: LazyTensor) -> tuple[Any, ...]:
    """Equal for two names of one and the same tensor, and for nothing else."""
    record = tensor.record
    if isinstance(record, TensorRecord) and isinstance(tensor.part, LazyPart) and record.nbytes:
        return (id(tensor.part), record.storage, record.offset, record.shape, record.strides, record.dtype.name, record.conj, record.neg)
    return (id(tensor),)


def _part(name: str, tensor: LazyTensor) -> Part:
    import numpy as np

    record = tensor.record
    if isinstance(record, TensorRecord):
        return Part(name=name, dtype=tensor.dtype, shape=tensor.shape, nbytes=record.nbytes, tensor=tensor)
    dtype = np.dtype(tensor.dtype)
    count = 1
    for length in tensor.shape:
        count *= length
    plain = dtype.name if dtype.kind in "biufc" else tensor.dtype
    return Part(name=name, dtype=plain, shape=tensor.shape, nbytes=count * dtype.itemsize, tensor=tensor)


# ---- writing ----------------------------------------------------------------------------------------------------------------------------


def write(conversion: Conversion, target: str, format_: Format, *, force: bool = False, advance: Callable[[int], None] = lambda _: None) -> int:
    """Write the file and read it again; returns its size in bytes. `advance` is told of every bytes written or compared.

    The file takes its name when it is whole and was found to hold what it should. Raises `NotConvertible`, `FileExistsError` (unless `force`), `OSError`,
    and `CheckpointError` where the checkpoint changes meanwhile.
    """
    if not force and os.path.lexists(target):
        raise FileExistsError(17, "it exists already; --force replaces it", target)
    folder = os.path.dirname(target) or "."
    with _beside(target, folder, format_) as file:
        try:
            if format_ == "safetensors":
                _write_safetensors(conversion, file, advance)
            else:
                _write_npz(conversion, file, advance)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
            _compare(conversion, file.name, advance)
            os.chmod(file.name, 0o666 & ~_umask())
            os.replace(file.name, target)
        except BaseException:
            os.unlink(file.name)
            raise
    return size


def _beside(target: str, folder: str, format_: Format) -> IO[bytes]:
    try:
        return tempfile.NamedTemporaryFile(prefix=".safeload-", suffix=f".{format_}", dir=folder, delete=False)
    except OSError as error:
        raise OSError(error.errno, error.strerror, target) from None


def _write_safetensors(conversion: Conversion, file: IO[bytes], advance: Callable[[int], None]) -> None:
    """The widest dtypes first, as safetensors itself writes, so that every tensor is aligned; then by name."""
    entries = sorted(((part, *_code(part)) for part in conversion.parts), key=lambda entry: (-entry[2], entry[0].name))
    header: dict[str, Any] = {METADATA: conversion.metadata} if conversion.metadata else {}
    end = 0
    for part, code, bits in entries:
        if part.name == METADATA:
            raise NotConvertible(f"a tensor is called {METADATA}, which is the name of something else in a .safetensors file")
        shape = part.shape if bits >= 8 else (*part.shape[:-1], part.shape[-1] * F4_PER_ELEMENT)
        header[part.name] = {"dtype": code, "shape": shape, "data_offsets": (end, end + part.nbytes)}
        end += part.nbytes
    try:
        text = msgspec.json.encode(header)
    except UnicodeEncodeError:
        raise NotConvertible("a name is no Unicode text, so it cannot stand in a .safetensors file") from None
    text += b" " * (-len(text) % HEADER_ALIGNMENT_BYTES)
    if len(text) > MAX_HEADER_BYTES:
        raise NotConvertible(f"the names and shapes take {len(text):,} bytes, and the header of a .safetensors file at most {MAX_HEADER_BYTES:,}")
    file.write(len(text).to_bytes(LENGTH_BYTES, "little"))
    file.write(text)
    for part, _, _ in entries:
        for piece in _pieces(part):
            file.write(piece)
            advance(len(piece))


def _code(part: Part) -> tuple[str, int]:
    """The format's name for a dtype, and its bits."""
    known = _CODES.get(part.dtype)
    if known is None or (known[1] < 8 and not part.shape):
        raise NotConvertible(f"{part.name} is of {part.dtype}, and .safetensors has no such dtype")
    return known


def _write_npz(conversion: Conversion, file: IO[bytes], advance: Callable[[int], None]) -> None:
    import numpy as np

    arrays: dict[str, Any] = {}
    for part in conversion.parts:
        if part.name in SAVEZ_WORDS:
            raise NotConvertible(f"numpy.savez takes no array with the name {part.name}; write a .safetensors file")
        array = part.tensor.numpy()
        if array.dtype.kind not in "biufcSUMm":  # those that need no second module to be read
            raise NotConvertible(f"{part.name} is of {part.dtype}, which is no dtype of numpy's own; write a .safetensors file")
        arrays[part.name] = array
    np.savez(file, **arrays)
    advance(conversion.nbytes)


def _pieces(part: Part) -> Iterator[memoryview]:
    """The bytes of a tensor: little-endian, in C order."""
    import numpy as np

    array = part.tensor.numpy()
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    if flat.nbytes != part.nbytes:
        raise NotConvertible(f"{part.name} has {flat.nbytes:,} bytes, and the file says {part.nbytes:,}")
    for start in range(0, part.nbytes, CHUNK_BYTES):
        yield flat[start : start + CHUNK_BYTES].data


def _compare(conversion: Conversion, written: str, advance: Callable[[int], None]) -> None:
    """Read what was written, as any other file is read, and hold it against what was to be written."""
    from safeload.api import open as open_checkpoint

    with open_checkpoint(written, "cpu") as copy:
        names = copy.keys()
        if sorted(names) != sorted(part.name for part in conversion.parts):
            raise NotConvertible("some names cannot be told apart in such a file")
        for part in conversion.parts:
            again = Part(name=part.name, dtype=part.dtype, shape=part.shape, nbytes=part.nbytes, tensor=copy.get_slice(part.name))
            if again.tensor.shape != part.shape:
                raise NotConvertible(f"{part.name} would be read with another shape")
            for ours, theirs in zip(_pieces(part), _pieces(again), strict=True):
                if ours != theirs:
                    raise NotConvertible(f"{part.name} was not written as it is: did the checkpoint change, or is the disk at fault?")
                advance(len(ours))


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
