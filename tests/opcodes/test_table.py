"""The opcode table against `pickletools.opcodes` and against the constants of the machine."""

from __future__ import annotations

import pickletools

import pytest

from safeload.machine import interpret
from safeload.opcodes.table import ARGUMENTS, BY_CODE, BY_NAME, HIGHEST_PROTOCOL, OPCODES, Opcode

THEIRS = {row.name: row for row in pickletools.opcodes}

ARGUMENT_NAMES = {  # ours -> pickletools'
    "none": {None},
    "uint1": {"uint1"},
    "uint2": {"uint2"},
    "int4": {"int4"},
    "uint4": {"uint4"},
    "uint8": {"uint8"},
    "float8": {"float8"},
    "decimal-line": {"decimalnl_short"},
    "long-line": {"decimalnl_long"},
    "float-line": {"floatnl"},
    "string-line": {"stringnl"},
    "unicode-line": {"unicodestringnl"},
    "id-line": {"stringnl_noescape"},
    "name-pair": {"stringnl_noescape_pair"},
    "bytes1": {"bytes1"},
    "bytes4": {"bytes4"},
    "bytes8": {"bytes8"},
    "bytearray8": {"bytearray8"},
    "string1": {"string1"},
    "string4": {"string4"},
    "utf8-1": {"unicodestring1"},
    "utf8-4": {"unicodestring4"},
    "utf8-8": {"unicodestring8"},
    "long1": {"long1"},
    "long4": {"long4"},
}

# pickletools says that PUT and its kin touch nothing; they fail on an empty stack (`load_put` in _pickle.c), which ours says by popping and pushing one.
PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}


def test_all_68_opcodes_are_there_once() -> None:
    assert len(OPCODES) == len(BY_CODE) == len(BY_NAME) == 68
    assert set(BY_NAME) == set(THEIRS)
    assert HIGHEST_PROTOCOL == 5


@pytest.mark.parametrize("row", OPCODES, ids=lambda row: row.name)
def test_row_agrees_with_pickletools(row: Opcode) -> None:
    theirs = THEIRS[row.name]
    assert row.code == ord(theirs.code)
    assert row.protocol == theirs.proto
    assert (theirs.arg.name if theirs.arg else None) in ARGUMENT_NAMES[row.argument.name]
    before = [thing.name for thing in theirs.stack_before]
    after = [thing.name for thing in theirs.stack_after]
    assert row.to_mark == ("mark" in before)
    below, above = (before[: before.index("mark")], before[before.index("mark") + 1 :]) if "mark" in before else (before, [])
    assert row.above == len([name for name in above if name != "stackslice"])
    wanted = (1, 1) if row.name in PUTS else (len(below), len([name for name in after if name != "mark"]))
    assert (row.pops, row.pushes) == wanted
    assert (row.name == "MARK") == ("mark" in after)


@pytest.mark.parametrize("argument", ARGUMENTS, ids=lambda argument: argument.name)
def test_argument_size_agrees_with_pickletools(argument: object) -> None:
    from struct import calcsize

    rows = [row for row in OPCODES if row.argument is argument]
    assert rows, "an argument kind that no opcode uses"
    theirs = THEIRS[rows[0].name].arg
    size = theirs.n if theirs else 0
    form = {0: "none", pickletools.UP_TO_NEWLINE: "line"}.get(size, "number" if size > 0 else "counted")
    kind = rows[0].argument
    assert kind.form == ("pair" if kind.name == "name-pair" else form)
    if form == "number":
        assert calcsize(kind.layout) == size
    if form == "counted":
        widths = {pickletools.TAKEN_FROM_ARGUMENT1: "<B", pickletools.TAKEN_FROM_ARGUMENT4: "<i", pickletools.TAKEN_FROM_ARGUMENT4U: "<I"}
        assert kind.layout == widths.get(size, "<Q")


@pytest.mark.parametrize("row", OPCODES, ids=lambda row: row.name)
def test_machine_uses_the_same_bytes(row: Opcode) -> None:
    assert getattr(interpret, row.name) == row.code


def test_machine_refuses_what_the_table_calls_refused() -> None:
    assert {row.code: row.name for row in OPCODES if row.effect == "refused"} == interpret.REFUSED
