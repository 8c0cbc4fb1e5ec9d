"""Protocol 0's arguments against CPython: both unpicklers read each line, and the machine reads it as they do or refuses."""

from __future__ import annotations

import pickle
import struct
from typing import Any

import pytest

from safeload.budget import Budget
from safeload.errors import LimitExceeded, StreamError
from safeload.machine.interpret import interpret

ALIKE = [
    # INT: bool only for 00 and 01
    *(
        b"I0",
        b"I1",
        b"I00",
        b"I01",
        b"I-1",
        b"I+5",
        b"I 5",
        b"I5 ",
        b"I0x1F",
        b"I-0x10",
        b"I0b101",
        b"I0o17",
        b"I1_000",
        b"I99999999999999999999",
        b"I-2147483649",
    ),
    *(b"I", b"I-", b"Ix", b"I1.0", b"I1__0", b"I_1", b"I5L", b"I\xb2", b"I\xd9\xa1", b"I1 2"),
    # LONG: one L at most
    *(b"L0L", b"L5", b"L5L", b"L-5L", b"L123456789012345678901234567890L", b"L0x10L", b"L 5 L", b"LL", b"L", b"L5LL", b"L010L", b"Lx"),
    # FLOAT
    *(b"F1.5", b"F-0.0", b"F1", b"F1e10", b"F.5", b"F5.", b"Finf", b"F-inf", b"FInfinity", b"Fnan", b"F-nan", b"F1e-400"),
    *(b"F", b"F.", b"F1.5x", b"F0x10", b"F1e", b"F--1", b"F\xd9\xa1"),
    # STRING
    *(
        b"S''",
        b"S'a'",
        b'S"a"',
        b"S'a\"b'",
        b"S'a'b'",
        rb"S'\''",
        rb"S'\\'",
        rb"S'\x41\x4a'",
        rb"S'\101\60\7'",
        rb"S'\777'",
        rb"S'\a\b\f\n\r\t\v'",
        rb"S'\q\8'",
    ),
    *(b"S'\xff\xfe'", b"S'a' ", b"S", b"S'", b"Sa", b"S'a", b"Sa'", b"S'a\"", rb"S'\'", rb"S'\x4'", rb"S'\xg1'", rb"S'\x'", rb"S'\N{DASH}\u1234'", b"S'\x00'"),
    # UNICODE: raw-unicode-escape
    *(b"V", b"Vabc", rb"V\u00e9", b"V\xe9", rb"V\U0001f600", rb"V\ud83d\ude00", rb"V\ud800", rb"V\n", rb"V\\u0041", b"V\\", b"V'q'", b"Va\rb", b"V\x00"),
    *(rb"V\u12", rb"V\U00110000", rb"V\u", rb"V\U0000", rb"V\uzzzz"),
]

# The machine refuses these, and at least one of CPython's unpicklers does not: what it reads, and why.
STRICTER = {
    b"I010": "C: octal 8 (strtol); pickle.py refuses",
    b"I5\x00x": "C stops at NUL",
    b"L1\x00": "C stops at NUL",
    b"F 1": "pickle.py: float() takes blanks",
    b"F1 ": "pickle.py: float() takes blanks",
    b"F1_0": "pickle.py: float() takes underscores",
    b"F1.5\x00x": "C stops at NUL",
}


def same(left: Any, right: Any) -> bool:
    if type(left) is float and type(right) is float:
        return struct.pack(">d", left) == struct.pack(">d", right) or (left != left and right != right)
    return type(left) is type(right) and bool(left == right)


def outcome(read: Any, data: bytes) -> tuple[str, Any]:
    try:
        return "value", read(data)
    except LimitExceeded:
        raise
    except Exception as error:
        return "error", error


def ours(data: bytes) -> Any:
    return interpret(data, budget=Budget(), encoding="latin-1").root


def in_c(data: bytes) -> Any:
    return pickle.loads(data, encoding="latin-1")


def in_python(data: bytes) -> Any:
    return pickle._loads(data, encoding="latin-1")  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning")  # CPython's remark on \q
@pytest.mark.parametrize("line", ALIKE, ids=ascii)
def test_read_alike(line: bytes) -> None:
    data = line + b"\n."
    mine, c, python = outcome(ours, data), outcome(in_c, data), outcome(in_python, data)
    assert mine[0] == c[0] == python[0], (mine, c, python)
    if mine[0] == "value":
        assert same(mine[1], c[1]), (mine, c)
        assert same(mine[1], python[1]), (mine, python)
    else:
        assert isinstance(mine[1], StreamError)
        assert mine[1].offset == 0


@pytest.mark.parametrize("line", STRICTER, ids=ascii)
def test_stricter_than_one_of_them(line: bytes) -> None:
    data = line + b"\n."
    assert outcome(ours, data)[0] == "error"
    assert "value" in (outcome(in_c, data)[0], outcome(in_python, data)[0]), "CPython changed: this can move to ALIKE"


def test_float_out_of_range_is_infinite_as_in_pickle_py() -> None:
    """`_pickle.c` raises OverflowError; `float()` and pickle.py give inf, and so does every reader built on them."""
    assert outcome(in_c, b"F1e999\n.")[0] == "error"
    assert outcome(in_python, b"F1e999\n.") == ("value", float("inf"))
    mine = outcome(ours, b"F1e999\n.")
    assert mine[0] == "error" or mine[1] == float("inf")


def test_int_that_c_takes_for_a_bool() -> None:
    """C: three bytes that read as 0 or 1. Equal by value, so we go with pickle.py, or refuse."""
    for line, value in ((b"I 1", True), (b"I+1", True), (b"I-0", False)):
        assert same(in_c(line + b"\n."), value)
        mine = outcome(ours, line + b"\n.")
        assert mine[0] == "error" or same(mine[1], int(value))


@pytest.mark.parametrize(
    "spelling", [b"3", b"03", b"003", b"+3", b" 3", b"3 ", b"1_0", b"0", b"0x3", b"0b11", b"0o3", b"-1", b"", b"x", b"3L", b"-0"], ids=ascii
)
def test_memo_indices_are_decimal(spelling: bytes) -> None:
    """`int(line)`, base 10, in both of CPython's; `p0x3` names a slot for nobody but a reader that guesses the base."""
    data = b"]p" + spelling + b"\n0g" + spelling + b"\n."
    mine, c, python = outcome(ours, data), outcome(in_c, data), outcome(in_python, data)
    assert c[0] == python[0]
    if mine[0] == "value":
        assert c[0] == "value", f"the machine takes {spelling!r} for an index, CPython does not"
    else:
        assert c[0] == "error" or not spelling.isdigit() or spelling.startswith(b"0")


@pytest.mark.parametrize("stream", [b"c\nname\n.", b"cmodule\n\n.", b"(i\nname\n.", b"(imodule\n\n."], ids=ascii)
def test_an_empty_name_is_refused(stream: bytes) -> None:
    """`_pickle.c`, load_global and load_inst: a line shorter than two bytes is "pickle data was truncated"."""
    with pytest.raises(StreamError):
        interpret(stream, budget=Budget())


def test_names_of_inst_are_ascii() -> None:
    """`load_inst` decodes its class with ASCII in both unpicklers, `load_global` with UTF-8."""
    assert interpret("cä\nb\n.".encode(), budget=Budget()).root.module == "ä"
    with pytest.raises(StreamError):
        interpret("(iä\nb\n.".encode(), budget=Budget())


def test_names_are_not_unescaped() -> None:
    root = interpret(rb"cos\x2e" + b"\npath" + rb"\n" + b"\n.", budget=Budget()).root
    assert (root.module, root.name) == (r"os\x2e", r"path\n")


def test_encoding_of_old_strings() -> None:
    data = b"S'\xe9'\n."
    assert interpret(data, budget=Budget(), encoding="latin-1").root == "é"
    assert interpret(data, budget=Budget(), encoding="bytes").root == b"\xe9"
    assert interpret(data, budget=Budget(), errors="replace").root == "\ufffd"
    with pytest.raises(StreamError, match="latin1"):
        interpret(data, budget=Budget())
