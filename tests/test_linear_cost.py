"""Twice the file is twice the work: for each dimension in which a file can grow, counted in instructions of our own code and never in seconds.

The counter is the interpreter's: every bytecode instruction that a function of `safeload` executes. What a file costs before its first entry cancels out:
from 2n to 4n may come no more than twice what came from n to 2n, and a little for what is done every few thousand steps.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from builds import torch_zip
from containers.zipbuild import Part, build
from machine.test_lane import Writer, number, text

import safeload

PACKAGE = str(Path(safeload.__file__).parent)
SLACK = 1.15  # of the doubled work: looks at the budget, caches that are cold at first


def work(run: Callable[[], Any]) -> int:
    """Instructions that functions of the package execute."""
    count = 0

    def instruction(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "opcode"
        return instruction

    def called(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return instruction

    before = sys.gettrace()
    sys.settrace(called)
    try:
        run()
    finally:
        sys.settrace(before)
    return count


def archive(stream: bytes, storages: int = 0, nbytes: int = 16) -> bytes:
    parts = [Part(b"a/data.pkl", stream), Part(b"a/byteorder", b"little"), *(Part(b"a/data/%d" % key, bytes(nbytes)) for key in range(storages))]
    return build([*parts, Part(b"a/version", b"3\n")])


def tensors(count: int, *, shared: bool = False, kinds: int = 1, optimizer: bool = False) -> bytes:
    """As torch.save writes them: named, in a dict; or three to a dict, each with the same names, as an optimizer's state."""
    writer = Writer(300)
    parts = [b"\x80\x02}", writer.put(), b"("]
    for index in range(count):
        if optimizer:
            parts += [number(index // 3), b"}", writer.put(), b"("] if index % 3 == 0 else []
            parts.append(writer.once(index % 3, text(f"part {index % 3}")))
        else:
            parts.append(writer.once(("name", index), text(f"layers.{index}.weight")))
        kind = ("FloatStorage", "IntStorage")[index % kinds]
        parts.append(writer.tensor("0" if shared else str(index), kind, "cpu", 4, 0, (2, 2), (2, 1), False, False))
        parts.append(b"u" if optimizer and index % 3 == 2 else b"")
    return archive(b"".join([*parts, b"u."]), 1 if shared else count)


def opcodes(count: int) -> bytes:
    return b"\x80\x02](" + b"K\x01G?\xf8\0\0\0\0\0\0NX\x01\0\0\0a" * count + b"e."


def depth(count: int) -> bytes:
    return b"\x80\x02" + b"]" * count + b"a" * (count - 1) + b"."


def references(count: int) -> bytes:
    return b"\x80\x02]q\0(X\x01\0\0\0aq\x01" + b"h\x01" * count + b"e."


def lane_references(count: int) -> bytes:
    """Each tensor of the lane is got from the memo again."""
    writer = Writer(300)
    parts = [b"\x80\x02]", writer.put(), b"("]
    for index in range(count):
        parts += [writer.tensor(str(index), "FloatStorage", "cpu", 4, 0, (2, 2), (2, 1), False, False), b"j", (writer.slots - 1).to_bytes(4, "little")]
    return archive(b"".join([*parts, b"e."]), count)


def entries(count: int) -> bytes:
    """Members that no tensor stands on, each looked into."""
    return archive(b"\x80\x02N.", count)


def pairs(count: int) -> bytes:
    return b"\x80\x02}(" + b"".join(number(index) + b"N" for index in range(count)) + b"u."


def dicts(count: int) -> bytes:
    return b"\x80\x02](" + b"}(X\x01\0\0\0aK\x01u" * count + b"e."


def findings(count: int) -> bytes:
    """Names that no policy lists, each called."""
    return b"\x80\x02](" + b"".join(b"cacme\nname%d\n)R" % index for index in range(count)) + b"e."


def calls(count: int) -> bytes:
    return b"\x80\x02](" + b"ccollections\nOrderedDict\n)R" * count + b"e."


def bad_runs(count: int) -> bytes:
    """Tensors in the lane, each of which leaves its storage."""
    return tensors(count).replace(b"K\x02K\x02\x86", b"K\x02K\x09\x86")


GROWING: dict[str, tuple[Callable[[int], bytes], int]] = {
    "opcodes": (opcodes, 3_000),
    "tensors": (tensors, 200),
    "tensors of two kinds in turn": (lambda count: tensors(count, kinds=2), 100),
    "tensors on one storage": (lambda count: tensors(count, shared=True), 100),
    "tensors in an optimizer's state": (lambda count: tensors(count, optimizer=True), 99),
    "entries": (entries, 60),
    "depth": (depth, 100),
    "memo references": (references, 3_000),
    "memo references into the lane": (lane_references, 100),
    "keys": (pairs, 2_000),
    "small dicts": (dicts, 800),
    "findings": (findings, 100),
    "findings in runs": (bad_runs, 60),
    "calls": (calls, 500),
}


@pytest.mark.parametrize("dimension", GROWING)
def test_twice_the_file_is_twice_the_work(dimension: str) -> None:
    make, count = GROWING[dimension]
    safeload.scan(make(count))  # modules are imported and policies read once
    costs = [work(partial(safeload.scan, make(size))) for size in (count, 2 * count, 4 * count)]
    assert costs[2] - costs[1] <= 2 * SLACK * (costs[1] - costs[0])
    assert costs[1] > costs[0]


LOADED = ("opcodes", "tensors", "tensors of two kinds in turn", "tensors on one storage", "depth", "memo references into the lane")


@pytest.mark.parametrize("dimension", LOADED)
def test_twice_the_file_is_twice_the_work_to_load(dimension: str) -> None:
    make, count = GROWING[dimension]
    safeload.load(make(count))
    costs = [work(partial(safeload.load, make(size))) for size in (count, 2 * count, 4 * count)]
    assert costs[2] - costs[1] <= 2 * SLACK * (costs[1] - costs[0])


def test_the_counter_counts() -> None:
    assert work(lambda: sum(range(1_000))) == 0
    one, two = (work(partial(safeload.scan, torch_zip(f"BININT1 {size}\n"))) for size in (1, 2))
    assert one > 1_000 and abs(one - two) < one / 10
