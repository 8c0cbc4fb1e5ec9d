"""Two readers of one file: what safeload accepts, the reader of record reads too, and finds the same in it.

    pickle        CPython's unpicklers in C and in Python, with inert stubs (the oracle of `tests/property`)
    zipfile       names and bytes of the members
    tarfile       the same
    numpy         `numpy.load(allow_pickle=False)`
    safetensors   its own reader
    gguf          gguf-py's `GGUFReader`
    torch         `torch.load(weights_only=True)` in a child process: where it reads the file, the same bytes; and it runs nothing, whatever it makes of it

Refusing what the other reads is never a fault here. Each check returns quietly, or fails with the difference.
"""

from __future__ import annotations

import io
import pickletools
import re
import tarfile
import tempfile
import zipfile
from typing import Any

import numpy as np

import safeload
from fuzz.canonical import canonical
from fuzz.one_input import LIMITS
from fuzz.torch_child import Child
from safeload.api import read
from safeload.budget import Budget
from safeload.containers.detect import open_container
from safeload.containers.inflate import read_member
from safeload.errors import CheckpointError
from safeload.source import ByteSource

FAR_MEMO_INDEX = 1 << 20
"""An index in the memo. CPython's C unpickler keeps an array of twice the highest one (`_Unpickler_ResizeMemoList`): beyond this it is not asked."""

ZIPS = frozenset({"torch.zip", "zip", "npz", "torch.script", "torch.package", "torch.export"})


def _members(data: bytes, formats: frozenset[str]) -> dict[str, bytes] | None:
    """What the file's container holds, files alone; None where safeload does not read it, or reads it as something else."""
    source = ByteSource(name="<fuzz>", size=len(data), buffer=data)
    budget = Budget(LIMITS)
    try:
        container = open_container(source, LIMITS, budget)
        if container.format not in formats or container.wrappers or any(finding.level == "error" for finding in container.findings):
            return None
        return {
            name: read_member(source, member, LIMITS, budget=budget)
            for name, member in container.members.items()
            if not name.endswith("/") and member.offset + member.stored_size <= source.size
        }
    except CheckpointError:
        return None


def check_zipfile(data: bytes) -> None:
    """Names and contents."""
    ours = _members(data, ZIPS)
    if ours is None:
        return
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        if any(info.CRC == 0 and info.file_size for info in infos):
            return  # torch.serialization.set_crc32_options(False) records none, and zipfile takes the 0 for one
        theirs = {info.filename: archive.read(info) for info in infos}
    assert ours == theirs, f"zipfile finds {sorted(theirs)} and safeload {sorted(ours)}"


def check_tarfile(data: bytes) -> None:
    """Names and contents; folders and a leading `./` are spelt as safeload spells them."""
    ours = _members(data, frozenset({"tar"}))
    if ours is None:
        return
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            infos = [info for info in archive.getmembers() if info.isfile()]
    except tarfile.ReadError as error:
        if "end of file header" in str(error):  # a global header with no member behind it: it says something of none
            return
        raise
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        theirs = {re.sub(r"^\./+", "", info.name): archive.extractfile(info).read() for info in infos}  # type: ignore[union-attr]
    assert ours == theirs, f"tarfile finds {sorted(theirs)} and safeload {sorted(ours)}"


def check_pickle(data: bytes) -> None:
    """One stream, by the machine and by both unpicklers of CPython: the same value, ended at the same byte."""
    from tests.property.oracle import c_unpickler, machine, py_unpickler
    from tests.property.test_one_reading import LOOSER, READS_OTHERWISE, _explained

    ours = machine(data)
    if not ours.accepted or READS_OTHERWISE.search(data):
        return
    asked = [("py", py_unpickler)] if _highest_memo_index(data) > FAR_MEMO_INDEX else [("c", c_unpickler), ("py", py_unpickler)]
    for name, reader in asked:
        theirs = reader(data)
        if theirs.accepted:
            assert ours.plain == theirs.plain, f"{name} reads another value"
            assert ours.end == theirs.end, f"{name} stops at {theirs.end}, the machine at {ours.end}"
        else:
            assert _explained(theirs, LOOSER, name), f"the machine accepts what {name} refuses: {theirs.error!r}"


def _highest_memo_index(data: bytes) -> int:
    """The highest index that the stream puts something at; 0 where it puts nothing anywhere, and too high where pickletools cannot list it."""
    try:
        return max((argument for op, argument, _ in pickletools.genops(data) if op.name in {"PUT", "BINPUT", "LONG_BINPUT"}), default=0)
    except ValueError:  # 8-bit strings, which it reads as ASCII
        return FAR_MEMO_INDEX + 1


def check_numpy(data: bytes) -> None:
    """A .npy file."""
    if data[:6] != b"\x93NUMPY":
        return
    try:
        ours = safeload.load(data, "cpu", limits=LIMITS)
    except CheckpointError:
        return
    theirs = np.load(io.BytesIO(data), allow_pickle=False)
    assert ours.shape == theirs.shape
    assert np.dtype(ours.dtype).itemsize == theirs.dtype.itemsize, (ours.dtype, theirs.dtype)
    assert ours.tobytes() == theirs.tobytes() or ours.dtype != theirs.dtype


def check_safetensors(data: bytes) -> None:
    """Names, shapes and bytes."""
    from safetensors import SafetensorError, deserialize

    report = safeload.scan(data, limits=LIMITS)
    if report.format != "safetensors" or report.verdict != "accepted":
        return
    ours = safeload.load(data, "cpu", limits=LIMITS)
    try:
        theirs = dict(deserialize(data))
    except SafetensorError as error:
        raise AssertionError(f"safetensors refuses it: {error}") from error
    assert ours.keys() == theirs.keys()
    for name, entry in theirs.items():
        assert list(np.shape(ours[name])) == list(entry["shape"]), name
        assert np.asarray(ours[name]).tobytes() == bytes(entry["data"]), name


def check_gguf(data: bytes) -> None:
    """Names, dimensions, types and places of the tensors."""
    from gguf import GGUFReader

    reading = read(data, limits=LIMITS)
    if reading.report.format != "gguf" or reading.container is None:
        return
    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        file.write(data)
        file.flush()
        theirs = [(each.name, each.tensor_type.name, each.shape.tolist(), each.data_offset, each.n_bytes) for each in GGUFReader(file.name).tensors]
    ours = [(each.member.name, each.type, list(each.dims), each.member.offset, each.member.size) for each in reading.container.detail.tensors]
    assert ours == theirs, f"gguf-py finds {theirs[:3]} and safeload {ours[:3]}"


TORCH_FORMATS = ("torch.zip", "torch.legacy")  # whose values both sides give
_child: Child | None = None


def check_torch(data: bytes) -> None:
    """torch in a child process, for every file that one of our policies accepts. A crash of torch is torch's own, and the child is started again."""
    global _child
    accepted = [policy for policy in ("weights-only", "checkpoint", "inspect") if safeload.scan(data, policy=policy, limits=LIMITS).verdict == "accepted"]
    if not accepted:
        return
    if _child is None:
        _child = Child()
    found = _child.load(data)
    assert not found.events, f"torch ran something on a file that safeload accepts under {accepted[0]}: {found.events}"
    if found.value is None or accepted[0] != "weights-only" or safeload.scan(data, policy="weights-only", limits=LIMITS).format not in TORCH_FORMATS:
        return
    try:
        ours: Any = safeload.load(data, "cpu", policy="weights-only", limits=LIMITS)
    except CheckpointError as error:
        raise AssertionError(f"accepted, and load raises {error}") from error
    assert canonical(ours) == found.value, "torch and safeload make other values of it"
