"""Strategies that write pickle programs: from the opcode table, with a simulated stack, and then broken.

`programs()` gives streams in which every opcode finds what it takes (so most of them are accepted), `mutated()` the same with a few bytes changed.
"""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import strategies as st

from safeload.opcodes.table import BY_CODE, BY_NAME, OPCODES, Opcode

MEMO_SLOTS = 6

# What the simulated stack knows about an object: enough to give each opcode what it takes.
HASHABLE = {"str", "scalar", "node"}
TUPLES = {"tuple", "hashable-tuple"}

_integers = st.sampled_from([0, 1, -1, 5, 127, 128, 255, -128, 2**31, -(2**31), 2**61 - 1, -(2**70), 10**30])
_words = st.sampled_from(["a", "b.c", "x", "Ab", "é"])
_floats = st.sampled_from(["0.0", "-0.0", "1.5", "1e300", "nan", "inf", "-inf", "1e-5"])
_texts = st.sampled_from(["", "a", "text", "é", "\ud800", "it's", "1", "\\x41", "\x00"])
_bytes = st.sampled_from([b"", b"a", b"\xff\x00", b"bytes", b"\\"])


def _long(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True) if number else b""


LINES: dict[str, st.SearchStrategy[bytes]] = {
    "decimal-line": _integers.map(lambda n: b"%d" % n) | st.sampled_from([b"00", b"01"]),
    "long-line": _integers.map(lambda n: b"%dL" % n) | _integers.map(lambda n: b"%d" % n),
    "float-line": _floats.map(str.encode),
    "string-line": st.sampled_from([b"''", b"'a'", b'"it\'s"', rb"'\x41\n\101\\'", b"'\xff'"]),
    "unicode-line": st.sampled_from([b"", b"a", rb"\u00e9\u0041", b"\xe9", rb"\U0001f600", rb"\ud800"]),
    "id-line": st.sampled_from([b"", b"0", b"some id"]),
}


@st.composite
def argument(draw: st.DrawFn, op: Opcode) -> bytes:
    """The encoded argument of one opcode."""
    kind = op.argument
    if op.effect == "memo" and kind.form != "none":
        slot = draw(st.integers(0, MEMO_SLOTS - 1))
        return b"%d\n" % slot if kind.form == "line" else struct.pack(kind.layout, slot)
    if kind.form == "none":
        return b""
    if kind.form == "number":
        size = struct.calcsize(kind.layout)
        return draw(st.binary(min_size=size, max_size=size))
    if kind.form == "line":
        return draw(LINES[kind.name]) + b"\n"
    if kind.form == "pair":
        words = _words if op.name == "GLOBAL" else _words.filter(str.isascii)  # CPython reads the names of INST as ASCII, those of GLOBAL as UTF-8
        return draw(words).encode() + b"\n" + draw(words).encode() + b"\n"
    content = _long(draw(_integers)) if kind.content == "int" else draw(_texts).encode("utf-8", "surrogatepass") if kind.content == "text" else draw(_bytes)
    return struct.pack(kind.layout, len(content)) + content


class _Stack:
    """The kinds of the objects on the stack; `marks` holds the stacks below each open mark."""

    def __init__(self) -> None:
        self.top: list[str] = []
        self.marks: list[list[str]] = []
        self.memo: dict[int, str] = {}

    def applicable(self, op: Opcode) -> bool:  # noqa: PLR0911, PLR0912 - one line per rule of the stack machine
        """May `op` be the next opcode of a valid program?"""
        top = self.top
        below = self.marks[-1] if self.marks else []
        name = op.name
        if op.effect in ("refused", "stop", "frame") or name == "POP":
            return name == "POP" and bool(top or self.marks)
        if (op.to_mark and not self.marks) or len(top) < op.above:
            return False
        if op.effect != "mutate" and len(below if op.to_mark else top) < op.pops:
            return False
        if name in ("SETITEM", "SETITEMS"):
            target, pairs = (below, top) if op.to_mark else (top[:-2], top[-2:])
            return (
                bool(target) and target[-1] in ("dict", "node") and len(pairs) % 2 == 0 and (op.to_mark or len(pairs) == 2) and hashable(target[-1], pairs[::2])
            )
        if name in ("APPEND", "APPENDS"):
            target = below if op.to_mark else top[:-1]
            return bool(target) and target[-1] in ("list", "node")
        if name == "ADDITEMS":
            return bool(below) and below[-1] in ("set", "node") and hashable(below[-1], top)
        if name == "DICT":
            return len(top) % 2 == 0 and hashable("dict", top[::2])
        if name == "FROZENSET":
            return hashable("set", top)
        if name == "STACK_GLOBAL":
            return top[-2:] == ["str", "str"]
        if name == "REDUCE" or name == "NEWOBJ":
            return top[-2] == "node" and top[-1] in TUPLES
        if name == "NEWOBJ_EX":
            return top[-3] == "node" and top[-2] in TUPLES and top[-1] == "empty-dict"
        if name == "OBJ":
            return top[0] == "node"
        if name == "BUILD":
            return top[-2] == "node"
        return True

    def apply(self, op: Opcode, raw: bytes) -> None:  # noqa: PLR0912 - as above
        """Let `op` happen."""
        name = op.name
        if name == "MARK":
            self.marks.append(self.top)
            self.top = []
            return
        if name == "POP" and not self.top:
            self.top = self.marks.pop()
            return
        taken: list[str] = []
        if op.to_mark:
            taken, self.top = self.top, self.marks.pop()
        if op.effect == "memo":
            slot = len(self.memo) if not raw else int(raw) if raw.endswith(b"\n") else int.from_bytes(raw, "little")
            if op.pops:
                self.memo[slot] = self.top[-1]
            else:
                self.top.append(self.memo.get(slot, "unknown"))
            return
        if name == "DUP":
            self.top.append(self.top[-1])
            return
        popped = [self.top.pop() for _ in range(op.pops)]
        if op.effect == "mutate" or op.effect == "build":
            self.top.append("dict" if popped[-1] == "empty-dict" else popped[-1])
        elif op.pushes:
            self.top.append(kind_of(op, taken or popped))


def hashable(target: str, keys: list[str]) -> bool:
    """Can these be keys of `target`? A node takes any."""
    return target == "node" or all(kind in HASHABLE or kind == "hashable-tuple" for kind in keys)


def kind_of(op: Opcode, parts: list[str]) -> str:
    """The kind of the object that `op` makes out of `parts`."""
    if op.effect in ("lookup", "call", "persistent"):
        return "node"
    if "TUPLE" in op.name:
        return "hashable-tuple" if hashable("dict", parts) else "tuple"
    fixed = {"EMPTY_LIST": "list", "LIST": "list", "EMPTY_DICT": "empty-dict", "DICT": "dict", "EMPTY_SET": "set", "BYTEARRAY8": "bytearray"}
    if op.name in fixed:
        return fixed[op.name]
    return "str" if op.argument.content == "text" else "scalar"


GROWING = [op for op in OPCODES if op.effect not in ("refused", "stop", "frame")]


@st.composite
def programs(draw: st.DrawFn, max_steps: int = 30, framed: bool = True) -> bytes:
    """A program of the table's opcodes that should end in a value, perhaps with PROTO and frames around parts of it."""
    stack = _Stack()
    steps: list[bytes] = []
    for _ in range(draw(st.integers(1, max_steps))):
        choices = [op for op in GROWING if stack.applicable(op) and (op.name not in ("GET", "BINGET", "LONG_BINGET") or stack.memo)]
        op = draw(st.sampled_from(choices))
        raw = _known_slot(draw, stack) if op.effect == "memo" and not op.pops else None
        raw = draw(argument(op)) if raw is None else struct.pack(op.argument.layout, raw) if op.argument.layout else b"%d\n" % raw
        stack.apply(op, raw)
        steps.append(bytes((op.code,)) + raw)
    steps += _closing(stack)
    return _framed(draw, steps) if framed else b"".join(steps)


def _known_slot(draw: st.DrawFn, stack: _Stack) -> int:
    return draw(st.sampled_from(sorted(slot for slot in stack.memo)))


def _closing(stack: _Stack) -> list[bytes]:
    """The opcodes that make one object of whatever lies on the stack."""
    steps = []
    while stack.marks:
        steps.append(b"l")
        stack.apply(BY_NAME["LIST"], b"")
    if not stack.top:
        return [*steps, b"N."]
    while len(stack.top) > 1:
        steps.append(b"\x86")
        stack.apply(BY_NAME["TUPLE2"], b"")
    return [*steps, b"."]


def _framed(draw: st.DrawFn, steps: list[bytes]) -> bytes:
    out = draw(st.sampled_from([b"", b"\x80\x02", b"\x80\x04", b"\x80\x05"]))
    while steps:
        size = draw(st.integers(1, len(steps)))
        part = b"".join(steps[:size])
        out += b"\x95" + struct.pack("<Q", len(part)) + part if draw(st.booleans()) else part
        steps = steps[size:]
    return out


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A program with a byte or two changed, dropped, doubled, or replaced by an opcode."""
    data = bytearray(draw(programs(framed=draw(st.booleans()))))
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(data) - 1)) if data else 0
        how: Any = draw(st.sampled_from(["byte", "opcode", "insert", "drop", "double", "cut"]))
        if how == "byte":
            data[at : at + 1] = bytes((draw(st.integers(0, 255)),))
        elif how == "opcode":
            data[at : at + 1] = bytes((draw(st.sampled_from(sorted(BY_CODE))),))
        elif how == "insert":
            data[at:at] = bytes((draw(st.sampled_from(sorted(BY_CODE))),))
        elif how == "drop":
            del data[at : at + draw(st.integers(1, 4))]
        elif how == "double":
            data[at:at] = data[at : at + draw(st.integers(1, 8))]
        else:
            del data[at:]
    return bytes(data)
