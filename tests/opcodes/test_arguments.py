"""Arguments as text: escaped, cut, and never an error."""

from __future__ import annotations

import pytest

from safeload.opcodes.arguments import MAX_ARGUMENT, shown_argument
from safeload.opcodes.assemble import assemble
from safeload.opcodes.decode import decode

SHOWN = {
    "BININT1 5": "5",
    "GLOBAL posix system": "posix system",
    r"GLOBAL b'po\x1bsix' b'\xff'": r"po\x1bsix \xff",
    "BINUNICODE 'curl | sh'": "'curl | sh'",
    r"BINUNICODE 'a\nb\u202e'": r"'a\nb\u202e'",
    r"BINUNICODE b'\xff'": r"b'\xff'",
    r"UNICODE 'h\xe9'": "'hé'",
    r"UNICODE b'\\u12'": r"\u12",
    "STRING 'abc'": "'abc'",
    "BINSTRING b'abc'": "b'abc'",
    "BYTEARRAY8 b'x'": "bytearray(b'x')",
    "LONG1 -300": "-300",
    "LONG -300": "-300",
    "FLOAT 1.5": "1.5",
    "BINFLOAT 1.5": "1.5",
    "NEWTRUE": "True",
    "NEWFALSE": "False",
    "NONE": "None",
    "MARK": "",
    "PERSID 'abc'": "abc",
    "GET 5": "5",
    f"LONG4 {2**200}": "<int of 26 bytes>",
}


@pytest.mark.parametrize("text", SHOWN)
def test_argument(text: str) -> None:
    (first,) = [next(decode(assemble(text)))]
    wanted = "" if text in ("NEWTRUE", "NEWFALSE", "NONE") else SHOWN[text]
    assert shown_argument(first) == wanted


@pytest.mark.parametrize("name", ["UNICODE", "BINUNICODE", "BINBYTES", "STRING", "LONG", "PERSID"])
def test_a_long_argument_is_cut(name: str) -> None:
    first = next(decode(assemble(f"{name} b'{'1' * 100_000}'")))
    assert "..." in shown_argument(first)
    assert len(shown_argument(first)) < MAX_ARGUMENT + 30
