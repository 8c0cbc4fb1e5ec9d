"""The assembler: each form of argument, each kind of mistake, and the round trip."""

from __future__ import annotations

import pickle
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.opcodes.assemble import assemble, disassemble
from safeload.opcodes.table import OPCODES

LISTINGS = {
    "": b"",
    "  # only a comment": b"",
    "PROTO 2": b"\x80\x02",
    "GLOBAL posix system  # two words": b"cposix\nsystem\n",
    "GLOBAL 'a b' 'c#d'": b"ca b\nc#d\n",
    "INST m C": b"im\nC\n",
    "BINUNICODE 'text'": b"X\x04\0\0\0text",
    r'BINUNICODE "\ud800"': b"X\x03\0\0\0\xed\xa0\x80",
    "SHORT_BINUNICODE b'\\xff'": b"\x8c\x01\xff",
    "BINBYTES8 length=99 b'abc'": b"\x8e" + struct.pack("<Q", 99) + b"abc",
    "BINSTRING length=-1 b''": b"T\xff\xff\xff\xff",
    "BINSTRING 'ab'": b"T\x02\0\0\0ab",
    "LONG1 0": b"\x8a\x00",
    "LONG1 -128": b"\x8a\x01\x80",
    "LONG1 128": b"\x8a\x02\x80\x00",
    r"LONG1 b'\x01\x00'": b"\x8a\x02\x01\x00",
    "BININT -5": b"J\xfb\xff\xff\xff",
    "BININT1 0x10": b"K\x10",
    "BINFLOAT 1.5": b"G" + struct.pack(">d", 1.5),
    "FRAME 12": b"\x95" + struct.pack("<Q", 12),
    "INT 5": b"I5\n",
    "INT 01": b"I01\n",
    "LONG 5": b"L5L\n",
    "FLOAT 1e5": b"F1e5\n",
    "STRING 'it\\'s'": b'S"it\'s"\n',
    'STRING b"\'raw"': b"S'raw\n",
    r"UNICODE 'a\nb\\'": b"Va\\u000ab\\u005c\n",
    "PERSID '7'": b"P7\n",
    "PUT 3": b"p3\n",
    "RAW '80 02 ff'": b"\x80\x02\xff",
    "NONE\nSTOP": b"N.",
}

MISTAKES = {
    "FOO": "no opcode",
    "none": "no opcode",
    "'NONE'": "no opcode",
    "BININT1": "takes 1",
    "NONE 1": "takes 0",
    "GLOBAL a": "takes 2",
    "BININT1 300": "",
    "BININT1 'x'": "number without quotes",
    "BININT1 x": "",
    "FRAME -1": "",
    "BINUNICODE 'a": "not closed",
    "BINUNICODE text": "in quotes",
    "BINBYTES '\\u1234'": "",
    "UNICODE b'\\n'": "newline",
    "GLOBAL 'a\\nb' c": "newline",
    "MARK length=3": "",
    "BININT1 length=3 4": "no length",
    "LONG1 length=x 4": "",
    "RAW 'zz'": "",
    "RAW 80": "hex",
    "BINUNICODE '\\x'": "",
}


@pytest.mark.parametrize("text", LISTINGS)
def test_listing(text: str) -> None:
    assert assemble(text) == LISTINGS[text]


@pytest.mark.parametrize("text", MISTAKES)
def test_mistake_names_its_line(text: str) -> None:
    with pytest.raises(ValueError, match="^line 3: .*" + MISTAKES[text]):
        assemble(f"PROTO 2\n\n{text}")


def test_long1_is_spelt_as_pickle_spells_it() -> None:
    for number in (0, 1, -1, 127, 128, -128, -129, 255, 256, 2**31, -(2**31) - 1, 2**63, 10**100):
        assert assemble(f"LONG1 {number}")[2:] == pickle.encode_long(number)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner) | st.frozensets(SCALARS), max_leaves=15
)


@given(VALUES, st.integers(0, 5))
def test_disassembly_assembles_to_the_same_bytes(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    text = disassemble(data)
    assert assemble(text) == data
    assert text.isascii()
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("row", OPCODES, ids=lambda row: row.name)
@given(st.data())
def test_any_argument_of_any_opcode_survives(row: object, data: st.DataObject) -> None:
    op = row
    form = op.argument.form  # type: ignore[attr-defined]
    line = st.binary(max_size=12).map(lambda raw: raw.replace(b"\n", b"") + b"\n")
    if form == "line":
        raw = data.draw(line)
    elif form == "pair":
        raw = data.draw(line) + data.draw(line)
    elif form == "counted":
        content = data.draw(st.binary(max_size=12))
        raw = struct.pack(op.argument.layout, len(content)) + content  # type: ignore[attr-defined]
    else:
        size = struct.calcsize(op.argument.layout or "<")  # type: ignore[attr-defined]
        raw = data.draw(st.binary(min_size=size, max_size=size))
    stream = bytes((op.code,)) + raw + (b"" if op.effect == "stop" else b".")  # type: ignore[attr-defined]
    assert assemble(disassemble(stream)) == stream
