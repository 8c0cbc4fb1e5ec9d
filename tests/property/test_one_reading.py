"""Law 2, held against CPython: the machine reads what `_pickle.Unpickler` and `pickle._Unpickler` read, or refuses.

Both run with inert stubs. Where the three disagree, the disagreement must stand in one of the tables below, with its reason. `STRICTER` may
be long: refusing is never a second reading. `LOOSER` and `READS_OTHERWISE` are the ones to keep short.
"""

from __future__ import annotations

import pickletools
import re
import struct
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from safeload.opcodes.assemble import assemble
from safeload.opcodes.table import OPCODES

from .oracle import Outcome, c_unpickler, machine, py_unpickler, quiet
from .programs import mutated, programs


class Difference(NamedTuple):
    """One documented disagreement: `message` matches the error of the side that refuses, `against` names the oracles that it holds for."""

    message: str
    against: tuple[str, ...]
    reason: str


BOTH = ("c", "py")

STRICTER = (
    Difference("PROTO stands elsewhere", BOTH, "CPython takes PROTO anywhere; no pickler writes it but first"),
    Difference("objects are left on the stack at STOP", BOTH, "CPython returns the top and forgets the rest; pickletools calls that malformed"),
    Difference("takes its meaning from outside the file", BOTH, "READONLY_BUFFER works on any bytes in CPython, EXT on a registered code"),
    Difference("STOP stands before the end of its frame", BOTH, "neither looks at the rest of a frame behind STOP"),
    Difference("crosses the end of its frame", BOTH, "C before 3.13.15 reads on (gh-154848); Python too, where the argument starts at the frame's end"),
    Difference("a text argument has no end of line|the stream ends inside", BOTH, "the same, for arguments that run into the end of a frame"),
    Difference("a frame begins before the one around it", BOTH, "C does not see a nested frame; Python not where FRAME is the last byte of one"),
    Difference("is longer than what is left", ("py",), "Python reads what there is of a frame and goes on to STOP"),
    Difference(
        r"(SETITEM|APPEND)\(S\)|ADDITEMS|BUILD on a", BOTH, "list[i] = x, bytearray.extend, no items at all, a state that is None: no pickler writes these"
    ),
    Difference("the arguments of a call are a", ("py",), "func(*args) spreads any iterable"),
    Difference("is not an integer", BOTH, "strtol reads octal 010 and stops at NUL (C); so does the memo index"),
    Difference("is no memo index", BOTH, "int() takes blanks, signs and underscores; picklers write digits"),
    Difference("is not a floating point number", BOTH, "C stops at NUL; float() takes blanks and underscores (Python)"),
    Difference("is empty", ("py",), "pickle.py hands an empty module or name to find_class; C calls the line truncated"),
)

LOOSER = (
    Difference("value too large to convert to float", ("c",), "FLOAT 1e999 is inf for pickle.py and for float()"),
    Difference("keywords must be strings", BOTH, "NEWOBJ_EX with other keys is recorded; no contract of the policy takes it"),
)

READS_OTHERWISE = re.compile(rb"I[ +\-\t\v\f\r][01]\n")
"""C takes any three bytes of INT that strtol reads as 0 or 1 for a bool (`load_int`: `len == 3`); pickle.py only `00` and `01`. We read as pickle.py."""


def compare(data: bytes) -> None:
    """The law for one stream."""
    ours = machine(data)
    for name, theirs in (("c", c_unpickler(data)), ("py", py_unpickler(data))):
        if ours.accepted and theirs.accepted:
            assert ours.plain == theirs.plain, f"{name} reads {data!r} as\n{theirs}\nand the machine as\n{ours}"
            assert ours.end == theirs.end, f"{name} stops at {theirs.end}, the machine at {ours.end}: {data!r}"
        elif theirs.accepted:
            assert _explained(ours, STRICTER, name), f"{name} accepts {data!r}, the machine: {ours!r}"
        elif ours.accepted:
            assert _explained(theirs, LOOSER, name), f"the machine accepts {data!r}, {name}: {theirs!r}"
    if ours.accepted:
        _same_stop(data, ours)


def _explained(refusal: Outcome, table: tuple[Difference, ...], oracle: str) -> bool:
    return any(oracle in row.against and re.search(row.message, str(refusal.error)) for row in table)


def _same_stop(data: bytes, ours: Outcome) -> None:
    try:
        with quiet():
            *_, (_, _, position) = pickletools.genops(data)
    except (ValueError, UnicodeDecodeError):  # it decodes arguments by rules of its own: ASCII names, escapes in them, decimal INT
        return
    assert position + 1 == ours.end


def hurts(data: bytes) -> bool:
    """Would this fill our memory, or run into `READS_OTHERWISE`?

    C keeps its memo in an array, so a slot of 2^32 makes it allocate and clear 64 GiB; pickle.py clears whatever length BYTEARRAY8 declares.
    """
    slots = (struct.unpack("<I", found[1])[0] for found in re.finditer(rb"r(?=(.{4}))", data, re.DOTALL))
    lengths = (struct.unpack("<Q", found[1])[0] for found in re.finditer(rb"\x96(?=(.{8}))", data, re.DOTALL))
    return any(number > 10_000 for number in (*slots, *lengths)) or bool(re.search(rb"p[^\n]{6}", data) or READS_OTHERWISE.search(data))


QUICK = settings(deadline=None, suppress_health_check=list(HealthCheck))


@settings(QUICK, max_examples=400)
@given(programs())
def test_a_program_is_read_alike(data: bytes) -> None:
    assume(not hurts(data))
    compare(data)


@settings(QUICK, max_examples=200)
@given(programs())
def test_a_program_is_accepted_by_all_three(data: bytes) -> None:
    """The generator writes programs that make sense; without this, the law above could hold because everything is refused."""
    assume(not hurts(data))
    assert machine(data).accepted, machine(data)
    assert c_unpickler(data).accepted, c_unpickler(data)
    assert py_unpickler(data).accepted, py_unpickler(data)


@settings(QUICK, max_examples=600)
@given(mutated())
@example(b"K\x01p0x8\n0g8\n.")
@example(b"K\x01p0b1\n0g1\n.")
@example(b"c\nfoo\n.")
@example(b"cposix\n\n.")
@example(b"(i\nfoo\n.")
@example(b"(ia\n\xc3\xa9\n.")
@example(b"F1e999\n.")
@example(b"cm\nn\n)}K\x01Ns\x92.")
@example(b"\x95\x05\0\0\0\0\0\0\0N.")
@example(b"\x95\x01\0\0\0\0\0\0\0K\x01.")
@example(b"K\x01(u.")
@example(b"C\x01a\x98.")
def test_a_broken_program_is_read_alike_or_refused(data: bytes) -> None:
    assume(not hurts(data))
    compare(data)


@settings(QUICK, max_examples=300)
@given(st.binary(max_size=24))
def test_any_bytes_are_read_alike_or_refused(data: bytes) -> None:
    assume(not hurts(data))
    compare(data)


# One stream for each opcode, so that none is left to chance.
EACH = {
    "INT": "INT 7",
    "BININT": "BININT -7",
    "BININT1": "BININT1 200",
    "BININT2": "BININT2 60000",
    "LONG": "LONG 99999999999999999999",
    "LONG1": "LONG1 -99999999999999999999",
    "LONG4": "LONG4 99999999999999999999",
    "FLOAT": "FLOAT 1.5",
    "BINFLOAT": "BINFLOAT -0.0",
    "NONE": "NONE",
    "NEWTRUE": "NEWTRUE",
    "NEWFALSE": "NEWFALSE",
    "STRING": r"STRING b'\'a\\x41\\n\''",
    "BINSTRING": r"BINSTRING b'\xff\xfe'",
    "SHORT_BINSTRING": r"SHORT_BINSTRING b'\xff\xfe'",
    "BINBYTES": "BINBYTES b'abc'",
    "SHORT_BINBYTES": "SHORT_BINBYTES b'abc'",
    "BINBYTES8": "BINBYTES8 b'abc'",
    "BYTEARRAY8": "BYTEARRAY8 b'abc'\nDUP\nTUPLE2",
    "UNICODE": r"UNICODE 'h\xe9\n'",
    "SHORT_BINUNICODE": r"SHORT_BINUNICODE '\ud800'",
    "BINUNICODE": r"BINUNICODE 'h\xe9'",
    "BINUNICODE8": "BINUNICODE8 'abc'",
    "EMPTY_LIST": "EMPTY_LIST",
    "LIST": "MARK\nNONE\nLIST",
    "EMPTY_TUPLE": "EMPTY_TUPLE",
    "TUPLE": "MARK\nNONE\nNEWTRUE\nTUPLE",
    "TUPLE1": "NONE\nTUPLE1",
    "TUPLE2": "NONE\nNEWTRUE\nTUPLE2",
    "TUPLE3": "NONE\nNEWTRUE\nNEWFALSE\nTUPLE3",
    "EMPTY_DICT": "EMPTY_DICT",
    "DICT": "MARK\nBININT1 1\nNONE\nBININT1 1\nNEWTRUE\nDICT",
    "EMPTY_SET": "EMPTY_SET",
    "FROZENSET": "MARK\nBININT1 1\nNONE\nFROZENSET",
    "APPEND": "GLOBAL a b\nEMPTY_LIST\nNONE\nAPPEND\nAPPEND",
    "APPENDS": "GLOBAL a b\nMARK\nEMPTY_LIST\nMARK\nNONE\nNEWTRUE\nAPPENDS\nNONE\nAPPENDS",
    "SETITEM": "GLOBAL a b\nEMPTY_DICT\nNONE\nNEWTRUE\nSETITEM\nNONE\nSETITEM",
    "SETITEMS": "GLOBAL a b\nMARK\nEMPTY_DICT\nMARK\nNONE\nNEWTRUE\nNEWTRUE\nNONE\nSETITEMS\nNONE\nSETITEMS",
    "ADDITEMS": "GLOBAL a b\nMARK\nEMPTY_SET\nMARK\nNONE\nNONE\nNEWTRUE\nADDITEMS\nNONE\nADDITEMS",
    "POP": "MARK\nPOP\nNONE\nNEWTRUE\nPOP",
    "DUP": "EMPTY_LIST\nDUP\nTUPLE2",
    "MARK": "MARK\nMARK\nNONE\nLIST\nLIST",
    "POP_MARK": "NONE\nMARK\nNEWTRUE\nNEWTRUE\nPOP_MARK",
    "GET": "EMPTY_LIST\nPUT 3\nGET 3\nAPPEND",
    "BINGET": "EMPTY_LIST\nPUT 3\nBINGET 3\nTUPLE2",
    "LONG_BINGET": "EMPTY_LIST\nPUT 3\nLONG_BINGET 3\nTUPLE2",
    "PUT": "EMPTY_LIST\nPUT 300\nLONG_BINGET 300\nTUPLE2",
    "BINPUT": "EMPTY_LIST\nBINPUT 3\nGET 3\nTUPLE2",
    "LONG_BINPUT": "EMPTY_LIST\nLONG_BINPUT 300\nGET 300\nTUPLE2",
    "MEMOIZE": "NONE\nPUT 7\nPUT 7\nEMPTY_LIST\nMEMOIZE\nBINGET 1\nTUPLE3",
    "EXT1": "EXT1 1",
    "EXT2": "EXT2 1",
    "EXT4": "EXT4 1",
    "GLOBAL": r"GLOBAL b'h\xc3\xa9' 'b.c'",
    "STACK_GLOBAL": "BINUNICODE 'a'\nBINUNICODE 'b.c'\nSTACK_GLOBAL\nGLOBAL a b.c\nTUPLE2",
    "REDUCE": "GLOBAL a b\nNONE\nTUPLE1\nREDUCE\nEMPTY_TUPLE\nREDUCE",
    "INST": "MARK\nINST a b\nMARK\nNONE\nINST a b\nTUPLE2",
    "OBJ": "MARK\nGLOBAL a b\nOBJ\nMARK\nGLOBAL a b\nNONE\nOBJ\nTUPLE2",
    "NEWOBJ": "GLOBAL a b\nNONE\nTUPLE1\nNEWOBJ\nEMPTY_TUPLE\nNEWOBJ",
    "NEWOBJ_EX": "GLOBAL a b\nNONE\nTUPLE1\nEMPTY_DICT\nBINUNICODE 'k'\nNONE\nSETITEM\nNEWOBJ_EX",
    "BUILD": "GLOBAL a b\nEMPTY_TUPLE\nNEWOBJ\nEMPTY_DICT\nBUILD\nNONE\nBUILD",
    "PERSID": "PERSID 'some id'",
    "BINPERSID": "MARK\nBINUNICODE 'storage'\nGLOBAL a b\nTUPLE\nDUP\nBINPERSID\nTUPLE2",
    "PROTO": "PROTO 5\nNONE",
    "FRAME": "FRAME 1\nNONE\nFRAME 0\nFRAME 2\nTUPLE1",
    "STOP": "NONE",
    "NEXT_BUFFER": "NEXT_BUFFER",
    "READONLY_BUFFER": "BINBYTES b'a'\nREADONLY_BUFFER",
}


def test_each_opcode_has_its_stream() -> None:
    assert set(EACH) == {row.name for row in OPCODES}


@pytest.mark.parametrize("name", EACH)
def test_each_opcode_is_read_alike(name: str) -> None:
    data = assemble(EACH[name] + "\nSTOP")
    compare(data)
    refused = {row.name for row in OPCODES if row.effect == "refused"}
    assert machine(data).accepted == (name not in refused)


def test_int_of_three_bytes_is_the_one_that_c_reads_otherwise() -> None:
    """Should CPython ever change this, the table above can lose an entry."""
    assert READS_OTHERWISE.match(b"I+1\n")
    assert c_unpickler(b"I+1\n.").plain == ([], ("bool", True))
    assert py_unpickler(b"I+1\n.").plain == ([], ("int", 1))
    ours = machine(b"I+1\n.")
    assert not ours.accepted or ours.plain == ([], ("int", 1))
