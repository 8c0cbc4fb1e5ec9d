"""Frames are enforced exactly (SL204). CPython gh-154848: C read on across the end of a frame, and ran bytes that every static tool showed as data."""

from __future__ import annotations

import pickle
import pickletools
import struct

import pytest

from safeload.budget import Budget
from safeload.errors import StreamError
from safeload.machine.interpret import interpret
from safeload.machine.nodes import ObjectGraph
from safeload.opcodes.assemble import assemble
from safeload.opcodes.table import OPCODES


def frame(content: bytes, size: int | None = None) -> bytes:
    return b"\x95" + struct.pack("<Q", len(content) if size is None else size) + content


def read(data: bytes) -> ObjectGraph:
    return interpret(data, budget=Budget())


def refused(data: bytes) -> StreamError:
    with pytest.raises(StreamError) as caught:
        read(data)
    return caught.value


def spelt(name: str) -> bytes:
    """One instruction with an argument of at least two bytes."""
    examples = {
        "none": "",
        "decimal-line": "12",
        "long-line": "12",
        "float-line": "1.5",
        "string-line": "'ab'",
        "unicode-line": "'ab'",
        "id-line": "ab",
        "name-pair": "ab cd",
        "float8": "1.5",
    }
    row = next(row for row in OPCODES if row.name == name)
    kind = row.argument
    if kind.name in examples:
        return assemble(f"{name} {examples[kind.name]}")
    if kind.form == "number":
        return assemble(f"{name} 1")
    return assemble(f"{name} b'ab'")


WITH_ARGUMENT = [row.name for row in OPCODES if row.argument.form != "none" and row.effect not in ("refused", "frame")]


@pytest.mark.parametrize("name", WITH_ARGUMENT)
def test_an_argument_may_not_cross_the_end_of_its_frame(name: str) -> None:
    before = assemble("NONE\nPUT 1\nPUT 12\nMARK\nNONE")
    instruction = spelt(name)
    after = assemble("TUPLE2\nSTOP" if name == "INST" else "LIST\nTUPLE2\nSTOP")
    whole = before + instruction + after
    assert read(frame(whole)).end == len(whole) + 9
    for cut in range(1, len(instruction)):
        error = refused(frame(before + instruction[:cut]) + instruction[cut:] + after)
        assert error.rule == "SL204", f"{name} cut behind {cut} bytes: {error}"
        assert error.offset == len(before) + 9


def test_hidden_opcodes_of_gh_154848() -> None:
    """The frame ends inside BINBYTES8: what follows is data for one reader and code for the other."""
    hidden = assemble("GLOBAL posix system\nBINUNICODE 'id'\nTUPLE1\nREDUCE\nSTOP")
    body = assemble(f"BINBYTES8 length={len(hidden)} b''")
    error = refused(assemble("PROTO 4") + frame(body) + hidden + b".")
    assert (error.rule, error.offset) == ("SL204", 11)


def test_a_frame_inside_an_unfinished_frame() -> None:
    assert refused(frame(frame(b"N.", 2))).rule == "SL204"
    assert refused(frame(b"N" + frame(b"0"), 12) + b"N.").rule == "SL204"


@pytest.mark.parametrize("size", [3, 100, 2**31, 2**63, 2**64 - 1])
def test_a_frame_longer_than_the_data(size: int) -> None:
    """What a file cut short looks like, so it is called that (SL202)."""
    error = refused(b"\x80\x04" + frame(b"N.", size))
    assert (error.rule, error.offset) == ("SL202", 2)


def test_stop_before_the_end_of_its_frame() -> None:
    assert refused(frame(b"N.N", 3)).rule == "SL204"


def test_frames_that_fit() -> None:
    assert read(frame(b"N.")).root is None
    assert read(frame(b"") + frame(b"N") + frame(b"") + b".").root is None
    assert read(frame(b"K\x01") + b"K\x02" + frame(b"\x86") + b".").root == (1, 2)
    graph = read(frame(b"N.") + b"trailing")
    assert graph.end == 11


def test_a_length_cut_short() -> None:
    for size in range(8):
        assert refused(b"\x95" + b"\x01" + bytes(size)[1:] if size else b"\x95").rule in ("SL202", "SL204")


@pytest.mark.parametrize("protocol", [4, 5])
def test_pickled_frames_hold_and_each_shift_is_refused(protocol: int) -> None:
    """Every frame of an honest stream made one byte longer or shorter ends in an error, never in another value."""
    value = [[f"text {i}" * 40 for i in range(300)], list(range(300)), b"x" * 70_000]
    data = pickle.dumps(value, protocol)
    assert read(data).root == value
    frames = [position for op, _, position in pickletools.genops(data) if op.name == "FRAME"]
    assert len(frames) > 1
    for position in frames:
        (size,) = struct.unpack_from("<Q", data, position + 1)
        for wrong in (size - 1, size + 1):
            broken = data[: position + 1] + struct.pack("<Q", wrong) + data[position + 9 :]
            try:
                assert read(broken).root == value
            except StreamError as error:
                assert error.rule in ("SL204", "SL202")  # SL202: the last frame, longer than what is left


def test_offsets_inside_a_frame_count_from_the_start_of_the_data() -> None:
    data = b"xx" + b"\x80\x04" + frame(assemble("GLOBAL a b\nEMPTY_TUPLE\nREDUCE\nSTOP"))
    graph = interpret(data, budget=Budget(), start=2)
    assert [entry.offset for entry in graph.log] == [13, 19]
    assert (graph.start, graph.end) == (2, len(data))
