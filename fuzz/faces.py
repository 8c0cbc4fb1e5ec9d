"""The other faces of one reading, held against each other and against the reader of record: what `load` gives, `open` gives; what is judged is reported.

    open       the lazy view has the structure of `load` and its bytes, tells the truth about where they stand in the file, and refuses what `load` refuses
    report     every format of report is a document of its kind, in which a hostile file leaves no character that draws nothing
    decode     instructions are cut where pickletools cuts them
    inflate    a compressed file holds what the library of its format reads in it
    assemble   any text is a stream, or a ValueError with a line

Each check returns quietly, or fails with the difference.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import pickletools
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import numpy as np

import safeload
from fuzz.guard import armed
from fuzz.one_input import LIMITS, POLICIES, read
from safeload.budget import Budget
from safeload.containers.compressed import codec_of, inflate
from safeload.errors import CheckpointError, StreamError
from safeload.escape import INVISIBLE
from safeload.lazy import Checkpoint, LazyTensor, children
from safeload.opcodes.assemble import assemble, disassemble
from safeload.opcodes.decode import decode
from safeload.policy.resolve import load_policy
from safeload.report.formats import FORMATS, needs_of, writer
from safeload.report.rows import row_of
from safeload.report.writer import VERDICTS, End, Run, Screen
from safeload.source import ByteSource
from safeload.tensors import MetaTensor

MAX_PAIRS = 20_000  # values of one file that are compared, so that a graph of shared lists does not take all day


# ---- open -----------------------------------------------------------------------------------------------------------------------------------


def check_open(data: bytes) -> None:
    """`open` against `load`, on the CPU and on meta."""
    with armed():
        for policy in POLICIES:
            try:
                value = safeload.load(data, "cpu", policy=policy, limits=LIMITS)
            except CheckpointError:
                _refused(data, policy)
                continue
            safeload.load(data, "meta", policy=policy, limits=LIMITS)
            with safeload.open(data, policy=policy, limits=LIMITS) as checkpoint:
                same(checkpoint.tree(), value)
                placed(checkpoint, data)
            try:
                safeload.state_dict(value)
            except TypeError:
                continue


def _refused(data: bytes, policy: str) -> None:
    try:
        safeload.open(data, policy=policy, limits=LIMITS).close()
    except CheckpointError:
        return
    raise AssertionError(f"load refuses it under {policy}, and open does not")


def same(lazy: Any, value: Any) -> None:
    """The tree of the lazy view has the structure of the value, and each of its tensors the bytes."""
    stack, seen = [(lazy, value)], set()
    while stack and len(seen) < MAX_PAIRS:
        left, right = stack.pop()
        if isinstance(left, LazyTensor):
            array = left.numpy()
            assert type(array) is type(right), f"open gives a {type(array).__name__}, load a {type(right).__name__}"
            if isinstance(array, np.ndarray):
                assert (array.dtype, array.shape) == (right.dtype, right.shape)
                assert array.tobytes() == right.tobytes(), "open and load read other bytes"
            continue
        assert type(left) is type(right), f"open has a {type(left).__name__} where load has a {type(right).__name__}"
        if (id(left), id(right)) in seen:
            continue
        seen.add((id(left), id(right)))
        ours, theirs = children(left), children(right)
        if ours is None or theirs is None:
            continue
        assert [key for key, _ in ours] == [key for key, _ in theirs]
        stack.extend((one, two) for (_, one), (_, two) in zip(ours, theirs, strict=True))


def placed(checkpoint: Checkpoint, data: bytes) -> None:
    """What `info` says of each tensor is so; where it names a place in the file, the bytes stand there."""
    for name in checkpoint.keys():  # noqa: SIM118 - not a mapping
        info, array = checkpoint.info(name), checkpoint.get_tensor(name)
        assert info.name == name
        if isinstance(array, MetaTensor):
            continue
        assert info.shape == array.shape
        if info.file_offset is None or not array.flags.c_contiguous or array.nbytes != info.nbytes:
            continue
        assert 0 <= info.file_offset <= info.file_offset + info.nbytes <= len(data)
        if "big" not in checkpoint.metadata().get("byteorder", ""):
            stored = np.frombuffer(data, "u1", info.nbytes, info.file_offset)
            if array.dtype == bool:
                stored = (stored != 0).view("u1")  # a byte of a bool may be any, and every one but 0 is true
            assert array.tobytes() == stored.tobytes(), f"{name!a} does not stand at {info.file_offset:#x}"


# ---- reports --------------------------------------------------------------------------------------------------------------------------------

_POLICIES = {name: load_policy(name) for name in POLICIES}


def check_report(data: bytes) -> None:
    """Every format of report, over the reading of these bytes."""
    for name, policy in _POLICIES.items():
        reading = read(data, policy=name, limits=LIMITS, digest=True)
        run = Run(policy=policy, show_all=True)
        row = row_of(reading, needs_of(FORMATS, run))
        counts = {verdict: int(verdict == reading.report.verdict) for verdict in VERDICTS}
        for kind in FORMATS:
            stream = io.StringIO()
            report = writer(kind, stream, run, Screen())
            report.begin()
            report.row(row)
            report.end(End(counts=counts, exit_code=0))
            text = stream.getvalue()
            odd = {char for char in text if char not in "\n\t" and (not char.isprintable() or char in INVISIBLE)} - ({"\r"} if kind == "csv" else set())
            assert not odd, f"{kind} lets {odd!a} through"
            _DOCUMENTS.get(kind, lambda _: None)(text)


def _csv(text: str) -> None:
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert len({len(row) for row in rows}) == 1, "rows of several widths"
    assert not any(cell.lstrip(" ").startswith(("=", "+", "-", "@")) for row in rows[1:] for cell in row), "a formula"


def _commands(text: str) -> None:
    assert all(line.startswith(("::error ", "::warning ", "::notice ", "safeload: ")) for line in text.splitlines()), text


class _Tags(HTMLParser):
    """Every tag and attribute of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.update((tag, *(f"{name}=" for name, _ in attrs)))


def _page(text: str) -> None:
    tags = _Tags()
    tags.feed(text)
    tags.close()
    assert not tags.found & {"script", "img", "iframe", "object", "embed", "base", "form", "src=", "action="}
    assert not any(name.startswith("on") and name.endswith("=") for name in tags.found)


_DOCUMENTS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("json", "json-v1", "sarif", "cyclonedx"), json.loads),
    "junit": ET.fromstring,
    "csv": _csv,
    "github": _commands,
    "html": _page,
    "markdown": _page,
}


# ---- streams and compressed files ---------------------------------------------------------------------------------------------------------------


def check_decode(data: bytes) -> None:
    """Names and places of instructions, as far as both readers go. pickletools also reads the arguments, and refuses some."""
    with armed():
        ours, whole = _until(((each.op.name, each.offset) for each in decode(data)), StreamError)
    theirs, complete = _until(((op.name, position) for op, _, position in pickletools.genops(data)), ValueError, OverflowError)
    count = min(len(ours), len(theirs))
    assert ours[:count] == theirs[:count], next((one, two) for one, two in zip(ours, theirs, strict=False) if one != two)
    if complete:
        assert whole, f"pickletools reads it to its end, and safeload {len(ours)} instructions"
        assert len(ours) == len(theirs)


def _until(instructions: Iterator[tuple[str, int | None]], *failures: type[Exception]) -> tuple[list[tuple[str, int | None]], bool]:
    """What comes before a failure, and whether there was none."""
    found = []
    try:
        for each in instructions:
            found.append(each)  # noqa: PERF402 - what came before the failure is kept
    except failures:
        return found, False
    return found, True


def _zstandard(data: bytes) -> bytes:
    import zstandard

    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        return bytes(reader.read())


def _lz4(data: bytes) -> bytes:
    import lz4.frame

    out, left = b"", data
    while left:
        frame = lz4.frame.LZ4FrameDecompressor()
        out += frame.decompress(left)
        assert frame.eof
        left = frame.unused_data or b""
    return out


LIBRARIES: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "zlib": zlib.decompress,
    "bzip2": bz2.decompress,
    "xz": lambda data: lzma.decompress(data, lzma.FORMAT_XZ),
    "lzma": lambda data: lzma.decompress(data, lzma.FORMAT_ALONE),
    "zstd": _zstandard,
    "lz4": _lz4,
}


def check_inflate(data: bytes) -> None:
    """What we inflate, the library of the format inflates to the same bytes: all of it, whatever stands behind the first stream."""
    codec = codec_of(data[:16])
    if codec is None:
        return
    with armed():
        budget = Budget(LIMITS)
        try:
            inner = inflate(ByteSource(name="<fuzz>", size=len(data), buffer=data), codec, LIMITS, budget)
        except CheckpointError:
            return
        assert budget.inflated_bytes <= LIMITS.inflated_bytes
        ours = bytes(inner.read(0, inner.size))
    assert LIBRARIES[codec.name](data) == ours, f"{codec.name} inflates to other bytes"


def check_assemble(data: bytes) -> None:
    """A listing: a stream or a ValueError that names the line. What can be cut into instructions again is the same stream."""
    text = data.decode("utf-8", "replace")
    try:
        stream = assemble(text)
    except ValueError as error:
        assert str(error).startswith("line "), error
        return
    try:
        listing = disassemble(stream)
    except StreamError:
        return
    assert stream.startswith(assemble(listing)), "the listing of a listing is another stream"
