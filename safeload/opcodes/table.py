"""The opcodes of pickle protocols 0 to 5, one row each: the single description that the decoder, the assembler and the listing are driven by.

Turns an opcode's byte or name into its row. The machine's loop (`safeload/machine/interpret.py`) is written out by hand for speed; tests hold
it, `pickletools.opcodes` and this table together.

Sources: PEP 307 (protocol 2), PEP 3154 (4), PEP 574 (5), `Modules/_pickle.c` for what is really read.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Form = Literal["none", "number", "line", "pair", "counted"]
Content = Literal["none", "int", "float", "bytes", "text"]
Effect = Literal["literal", "container", "mutate", "stack", "memo", "lookup", "call", "build", "persistent", "frame", "stop", "refused"]


class Argument(msgspec.Struct, frozen=True):
    """How an opcode's argument is laid out behind its byte.

    `form`: nothing; a number of fixed size; a line up to a newline; a pair of lines; a length and that many bytes. `layout` is the
    `struct` format of the number or of the length, empty for lines. `content` is what the bytes stand for.
    """

    name: str
    form: Form
    layout: str
    content: Content


NO_ARGUMENT = Argument("none", "none", "", "none")
UINT1 = Argument("uint1", "number", "<B", "int")
UINT2 = Argument("uint2", "number", "<H", "int")
INT4 = Argument("int4", "number", "<i", "int")
UINT4 = Argument("uint4", "number", "<I", "int")
UINT8 = Argument("uint8", "number", "<Q", "int")
FLOAT8 = Argument("float8", "number", ">d", "float")  # the only big-endian field of the format
DECIMAL_LINE = Argument("decimal-line", "line", "", "int")
LONG_LINE = Argument("long-line", "line", "", "int")  # with Python 2's `L` behind the digits
FLOAT_LINE = Argument("float-line", "line", "", "float")
STRING_LINE = Argument("string-line", "line", "", "bytes")  # a quoted Python 2 literal
UNICODE_LINE = Argument("unicode-line", "line", "", "text")  # raw-unicode-escape
ID_LINE = Argument("id-line", "line", "", "text")  # ASCII
NAME_PAIR = Argument("name-pair", "pair", "", "text")  # module, then qualified name: UTF-8
BYTES1 = Argument("bytes1", "counted", "<B", "bytes")
BYTES4 = Argument("bytes4", "counted", "<I", "bytes")
BYTES8 = Argument("bytes8", "counted", "<Q", "bytes")
BYTEARRAY8_ARGUMENT = Argument("bytearray8", "counted", "<Q", "bytes")
STRING1 = Argument("string1", "counted", "<B", "bytes")
STRING4 = Argument("string4", "counted", "<i", "bytes")  # signed: `_pickle.c` refuses a negative length
UTF8_1 = Argument("utf8-1", "counted", "<B", "text")
UTF8_4 = Argument("utf8-4", "counted", "<I", "text")
UTF8_8 = Argument("utf8-8", "counted", "<Q", "text")
LONG1_ARGUMENT = Argument("long1", "counted", "<B", "int")  # two's complement, little endian
LONG4_ARGUMENT = Argument("long4", "counted", "<i", "int")  # signed length, as above

ARGUMENTS: tuple[Argument, ...] = (
    *(NO_ARGUMENT, UINT1, UINT2, INT4, UINT4, UINT8, FLOAT8),
    *(DECIMAL_LINE, LONG_LINE, FLOAT_LINE, STRING_LINE, UNICODE_LINE, ID_LINE, NAME_PAIR),
    *(BYTES1, BYTES4, BYTES8, BYTEARRAY8_ARGUMENT, STRING1, STRING4, UTF8_1, UTF8_4, UTF8_8, LONG1_ARGUMENT, LONG4_ARGUMENT),
)


class Opcode(msgspec.Struct, frozen=True):
    """One row.

    `name` is pickle's own, `code` the byte, `protocol` the first that has it. The opcode first takes the MARK and everything above it where
    `to_mark` holds (at least `above` objects), then `pops` objects, then pushes `pushes`; objects that it looks at and leaves count as popped
    and pushed. `effect` is the class of what it does: `frame` says how to read what follows, `refused` takes its meaning from outside the file.
    """

    name: str
    code: int
    protocol: int
    argument: Argument
    pops: int
    to_mark: bool
    pushes: int
    effect: Effect
    above: int = 0


OPCODES: tuple[Opcode, ...] = (
    # numbers
    Opcode("INT", 0x49, 0, DECIMAL_LINE, 0, False, 1, "literal"),
    Opcode("BININT", 0x4A, 1, INT4, 0, False, 1, "literal"),
    Opcode("BININT1", 0x4B, 1, UINT1, 0, False, 1, "literal"),
    Opcode("BININT2", 0x4D, 1, UINT2, 0, False, 1, "literal"),
    Opcode("LONG", 0x4C, 0, LONG_LINE, 0, False, 1, "literal"),
    Opcode("LONG1", 0x8A, 2, LONG1_ARGUMENT, 0, False, 1, "literal"),
    Opcode("LONG4", 0x8B, 2, LONG4_ARGUMENT, 0, False, 1, "literal"),
    Opcode("FLOAT", 0x46, 0, FLOAT_LINE, 0, False, 1, "literal"),
    Opcode("BINFLOAT", 0x47, 1, FLOAT8, 0, False, 1, "literal"),
    # constants
    Opcode("NONE", 0x4E, 0, NO_ARGUMENT, 0, False, 1, "literal"),
    Opcode("NEWTRUE", 0x88, 2, NO_ARGUMENT, 0, False, 1, "literal"),
    Opcode("NEWFALSE", 0x89, 2, NO_ARGUMENT, 0, False, 1, "literal"),
    # strings
    Opcode("STRING", 0x53, 0, STRING_LINE, 0, False, 1, "literal"),
    Opcode("BINSTRING", 0x54, 1, STRING4, 0, False, 1, "literal"),
    Opcode("SHORT_BINSTRING", 0x55, 1, STRING1, 0, False, 1, "literal"),
    Opcode("BINBYTES", 0x42, 3, BYTES4, 0, False, 1, "literal"),
    Opcode("SHORT_BINBYTES", 0x43, 3, BYTES1, 0, False, 1, "literal"),
    Opcode("BINBYTES8", 0x8E, 4, BYTES8, 0, False, 1, "literal"),
    Opcode("BYTEARRAY8", 0x96, 5, BYTEARRAY8_ARGUMENT, 0, False, 1, "literal"),
    Opcode("UNICODE", 0x56, 0, UNICODE_LINE, 0, False, 1, "literal"),
    Opcode("SHORT_BINUNICODE", 0x8C, 4, UTF8_1, 0, False, 1, "literal"),
    Opcode("BINUNICODE", 0x58, 1, UTF8_4, 0, False, 1, "literal"),
    Opcode("BINUNICODE8", 0x8D, 4, UTF8_8, 0, False, 1, "literal"),
    # containers
    Opcode("EMPTY_LIST", 0x5D, 1, NO_ARGUMENT, 0, False, 1, "container"),
    Opcode("LIST", 0x6C, 0, NO_ARGUMENT, 0, True, 1, "container"),
    Opcode("EMPTY_TUPLE", 0x29, 1, NO_ARGUMENT, 0, False, 1, "container"),
    Opcode("TUPLE", 0x74, 0, NO_ARGUMENT, 0, True, 1, "container"),
    Opcode("TUPLE1", 0x85, 2, NO_ARGUMENT, 1, False, 1, "container"),
    Opcode("TUPLE2", 0x86, 2, NO_ARGUMENT, 2, False, 1, "container"),
    Opcode("TUPLE3", 0x87, 2, NO_ARGUMENT, 3, False, 1, "container"),
    Opcode("EMPTY_DICT", 0x7D, 1, NO_ARGUMENT, 0, False, 1, "container"),
    Opcode("DICT", 0x64, 0, NO_ARGUMENT, 0, True, 1, "container"),
    Opcode("EMPTY_SET", 0x8F, 4, NO_ARGUMENT, 0, False, 1, "container"),
    Opcode("FROZENSET", 0x91, 4, NO_ARGUMENT, 0, True, 1, "container"),
    # changes to a container or to an object
    Opcode("APPEND", 0x61, 0, NO_ARGUMENT, 2, False, 1, "mutate"),
    Opcode("APPENDS", 0x65, 1, NO_ARGUMENT, 1, True, 1, "mutate"),
    Opcode("SETITEM", 0x73, 0, NO_ARGUMENT, 3, False, 1, "mutate"),
    Opcode("SETITEMS", 0x75, 1, NO_ARGUMENT, 1, True, 1, "mutate"),
    Opcode("ADDITEMS", 0x90, 4, NO_ARGUMENT, 1, True, 1, "mutate"),
    # the stack
    Opcode("POP", 0x30, 0, NO_ARGUMENT, 1, False, 0, "stack"),  # or the MARK itself, where that is on top
    Opcode("DUP", 0x32, 0, NO_ARGUMENT, 1, False, 2, "stack"),
    Opcode("MARK", 0x28, 0, NO_ARGUMENT, 0, False, 0, "stack"),  # pushes the mark, which is no object
    Opcode("POP_MARK", 0x31, 1, NO_ARGUMENT, 0, True, 0, "stack"),
    # the memo
    Opcode("GET", 0x67, 0, DECIMAL_LINE, 0, False, 1, "memo"),
    Opcode("BINGET", 0x68, 1, UINT1, 0, False, 1, "memo"),
    Opcode("LONG_BINGET", 0x6A, 1, UINT4, 0, False, 1, "memo"),
    Opcode("PUT", 0x70, 0, DECIMAL_LINE, 1, False, 1, "memo"),
    Opcode("BINPUT", 0x71, 1, UINT1, 1, False, 1, "memo"),
    Opcode("LONG_BINPUT", 0x72, 1, UINT4, 1, False, 1, "memo"),
    Opcode("MEMOIZE", 0x94, 4, NO_ARGUMENT, 1, False, 1, "memo"),
    # names, calls, states, persistent objects: recorded, never done
    Opcode("GLOBAL", 0x63, 0, NAME_PAIR, 0, False, 1, "lookup"),
    Opcode("STACK_GLOBAL", 0x93, 4, NO_ARGUMENT, 2, False, 1, "lookup"),
    Opcode("REDUCE", 0x52, 0, NO_ARGUMENT, 2, False, 1, "call"),
    Opcode("INST", 0x69, 0, NAME_PAIR, 0, True, 1, "call"),
    Opcode("OBJ", 0x6F, 1, NO_ARGUMENT, 0, True, 1, "call", 1),
    Opcode("NEWOBJ", 0x81, 2, NO_ARGUMENT, 2, False, 1, "call"),
    Opcode("NEWOBJ_EX", 0x92, 4, NO_ARGUMENT, 3, False, 1, "call"),
    Opcode("BUILD", 0x62, 0, NO_ARGUMENT, 2, False, 1, "build"),
    Opcode("PERSID", 0x50, 0, ID_LINE, 0, False, 1, "persistent"),
    Opcode("BINPERSID", 0x51, 1, NO_ARGUMENT, 1, False, 1, "persistent"),
    # how to read what follows
    Opcode("PROTO", 0x80, 2, UINT1, 0, False, 0, "frame"),
    Opcode("FRAME", 0x95, 4, UINT8, 0, False, 0, "frame"),
    Opcode("STOP", 0x2E, 0, NO_ARGUMENT, 1, False, 0, "stop"),
    # what takes its meaning from the reader's process
    Opcode("EXT1", 0x82, 2, UINT1, 0, False, 1, "refused"),
    Opcode("EXT2", 0x83, 2, UINT2, 0, False, 1, "refused"),
    Opcode("EXT4", 0x84, 2, INT4, 0, False, 1, "refused"),
    Opcode("NEXT_BUFFER", 0x97, 5, NO_ARGUMENT, 0, False, 1, "refused"),
    Opcode("READONLY_BUFFER", 0x98, 5, NO_ARGUMENT, 1, False, 1, "refused"),
)

BY_CODE: dict[int, Opcode] = {row.code: row for row in OPCODES}
BY_NAME: dict[str, Opcode] = {row.name: row for row in OPCODES}
HIGHEST_PROTOCOL = max(row.protocol for row in OPCODES)
