"""Bytes become `Instruction`s, for showing and for tests. Decides nothing (law 2): verdicts come from `machine.interpret`, which decodes for itself.

Refuses what cannot be cut into instructions: a byte that is no opcode, a negative length (SL201), an argument or a stream that ends too early
(SL202). Frames are shown and not enforced, and no text is decoded: an argument is a number or the bytes as they stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

import msgspec

from safeload.errors import StreamError
from safeload.opcodes.table import ARGUMENTS, BY_CODE, Opcode

Raw = None | int | float | bytes | tuple[bytes, bytes]

STRUCTS: dict[str, Struct] = {argument.layout: Struct(argument.layout) for argument in ARGUMENTS if argument.layout}


class Instruction(msgspec.Struct, frozen=True):
    """One opcode with its argument, from `data[offset]` to `data[end]`.

    `argument` is None, a number, the bytes of a line without its newline, of two lines, or of a counted string without its length.
    """

    offset: int
    op: Opcode
    argument: Raw
    end: int


def decode(data: bytes, start: int = 0, end: int | None = None, *, member: str | None = None) -> Iterator[Instruction]:
    """The instructions from `start` to the first STOP, included. `end` bounds the stream (default: the end of `data`).

    Raises `StreamError` at the place where the stream cannot be cut further, after everything before it was given out. Lengths are
    compared with what is left before anything is copied.
    """
    limit = len(data) if end is None else min(end, len(data))
    offset = start
    while offset < limit:
        op = BY_CODE.get(data[offset])
        if op is None:
            raise StreamError(f"{data[offset : offset + 1]!a} is no opcode", rule="SL201", member=member, offset=offset)
        argument, after = _argument(op, data, offset, limit, member)
        yield Instruction(offset, op, argument, after)
        if op.effect == "stop":
            return
        offset = after
    raise StreamError("the stream ends before STOP", rule="SL202", member=member, offset=offset)


def _argument(op: Opcode, data: bytes, offset: int, limit: int, member: str | None) -> tuple[Raw, int]:
    start = offset + 1
    kind = op.argument
    if kind.form == "none":
        return None, start
    if kind.form == "line":
        return _line(op, data, start, limit, offset, member)
    if kind.form == "pair":
        first, middle = _line(op, data, start, limit, offset, member)
        second, after = _line(op, data, middle, limit, offset, member)
        return (first, second), after
    layout = STRUCTS[kind.layout]
    after = start + layout.size
    if after > limit:
        raise _cut(op, after - limit, offset, member)
    number: int | float = layout.unpack_from(data, start)[0]
    if kind.form == "number":
        return number, after
    if number < 0:
        raise StreamError(f"the length of {op.name} is negative", rule="SL201", member=member, offset=offset)
    stop = after + int(number)
    if stop > limit:
        raise _cut(op, stop - limit, offset, member)
    return data[after:stop], stop


def _line(op: Opcode, data: bytes, start: int, limit: int, offset: int, member: str | None) -> tuple[bytes, int]:
    end = data.find(b"\n", start, limit)
    if end < 0:
        raise StreamError(f"the argument of {op.name} has no end of line", rule="SL202", member=member, offset=offset)
    return data[start:end], end + 1


def _cut(op: Opcode, missing: int, offset: int, member: str | None) -> StreamError:
    return StreamError(f"the stream ends inside {op.name}; {missing:,} bytes are missing", rule="SL202", member=member, offset=offset)
