"""A pickle stream becomes lines for people: offset, opcode, argument, and in words what the opcode leaves on the stack.

For showing only; it decides nothing and refuses nothing that `decode` can cut into instructions. Names, calls, states and persistent ids come
from the `ObjectGraph` that was judged, found by byte offset (law 2). What lies between them is followed with a stack of short texts, never of
values: a text is cut when it is made, so nothing here is deep, cyclic or large, and a stream that underflows shows `?` and goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from safeload.escape import ELLIPSIS
from safeload.machine.nodes import Build, Effect, Items, Node, ObjectGraph, SetItems
from safeload.machine.render import render
from safeload.opcodes.arguments import shown_argument, shown_bytes, shown_literal
from safeload.opcodes.decode import Instruction, decode

MAX_TEXT = 120  # characters kept of one object on the stack
MAX_TRACKED = 500_000  # objects followed on the stack, and as many in the memo; what lies beyond shows as `?`
MAX_USES = 16  # offsets kept of what one instruction consumed


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One instruction, shown. `argument` and `meaning` are escaped and cut; `uses` are the offsets of the lines that made what it consumes.

    `number` counts the lines of the stream from 1, `length` the bytes of the instruction.
    """

    offset: int
    number: int
    length: int
    name: str
    effect: str
    argument: str
    meaning: str
    uses: tuple[int, ...] = ()


class _Object:
    """One object on the stack, as text; shared by the memo, so that a list that grows shows its new items wherever it is mentioned."""

    __slots__ = ("made_at", "text")

    def __init__(self, text: str, made_at: int) -> None:
        self.text = text
        self.made_at = made_at


_MARK = _Object("MARK", -1)
_UNKNOWN = _Object("?", -1)


def listing(data: bytes, graph: ObjectGraph | None = None, *, start: int = 0, end: int | None = None, member: str | None = None) -> Iterator[Line]:
    """The lines of the stream at `start`, up to its STOP.

    Without a `graph` (the stream was refused) calls are described from the texts of their arguments. Raises `StreamError` where `decode`
    does, behind the last line that could be read.
    """
    nodes: dict[int, Node | Effect] = {}
    if graph is not None:
        start = graph.start
        nodes = {entry.offset: entry for entry in graph.log}
        nodes.update((offset, node) for node, offsets in graph.mentions.items() for offset in offsets if offset not in nodes)
    tracker = _Tracker(nodes)
    for instruction in decode(data, start, end, member=member):
        yield tracker.line(instruction)


class _Tracker:
    """The stack and the memo of one listing, as texts."""

    __slots__ = ("count", "memo", "nodes", "stack")

    def __init__(self, nodes: dict[int, Node | Effect]) -> None:
        self.nodes = nodes
        self.count = 0
        self.stack: list[_Object] = []
        self.memo: dict[int, _Object] = {}

    def line(self, instruction: Instruction) -> Line:
        op, at = instruction.op, instruction.offset
        self.count += 1
        argument = shown_argument(instruction)
        taken: list[_Object] = []
        meaning = ""
        if op.effect == "literal":
            self.push(shown_literal(instruction), at)
        elif op.effect == "memo":
            meaning, taken = self._memo(instruction)
        elif op.effect == "stack":
            meaning, taken = self._stack(op.name)
        elif op.effect == "frame":
            meaning = f"protocol {argument}" if op.name == "PROTO" else f"a frame of {argument} bytes"
        elif op.effect == "stop":
            taken = [self.pop()]
            meaning = f"returns {taken[0].text}"
        elif op.effect == "mutate":
            meaning, taken = self._mutate(instruction)
        else:
            meaning, taken = self._make(instruction)
        uses = tuple(dict.fromkeys(thing.made_at for thing in taken[:MAX_USES] if thing.made_at >= 0))
        return Line(
            offset=at, number=self.count, length=instruction.end - at, name=op.name, effect=op.effect, argument=argument, meaning=meaning, uses=uses
        )

    # ---- the stack ----------------------------------------------------------------------------------------------------------------------

    def push(self, text: str, at: int) -> None:
        self.stack.append(_Object(cut(text), at) if len(self.stack) < MAX_TRACKED else _UNKNOWN)

    def pop(self) -> _Object:
        if not self.stack or self.stack[-1] is _MARK:
            return _UNKNOWN
        return self.stack.pop()

    def pop_to_mark(self) -> list[_Object]:
        items: list[_Object] = []
        while self.stack:
            top = self.stack.pop()
            if top is _MARK:
                break
            items.append(top)
        items.reverse()
        return items

    def _stack(self, name: str) -> tuple[str, list[_Object]]:
        if name == "MARK":
            self.stack.append(_MARK)
            return "", []
        if name == "POP_MARK":
            return "drops everything above the mark", self.pop_to_mark()
        if name == "POP" and self.stack and self.stack[-1] is _MARK:
            self.stack.pop()
            return "drops the mark", []
        top = self.pop()
        if name == "DUP":
            self.stack += [top, top]
            return f"again {top.text}", [top]
        return f"drops {top.text}", [top]

    def _memo(self, instruction: Instruction) -> tuple[str, list[_Object]]:
        index = _memo_index(instruction, len(self.memo))
        if instruction.op.pops:  # PUT and its kin leave the object where it is
            top = self.stack[-1] if self.stack and self.stack[-1] is not _MARK else _UNKNOWN
            if index is None:
                return "memo ?", []
            if len(self.memo) < MAX_TRACKED or index in self.memo:
                self.memo[index] = top
            return cut(f"memo {index} = {top.text}"), []
        found = self.memo.get(index, _UNKNOWN) if index is not None else _UNKNOWN
        self.stack.append(found)
        return f"memo {index}: {found.text}", [found]

    # ---- containers, names, calls ---------------------------------------------------------------------------------------------------------

    def _take(self, instruction: Instruction) -> list[_Object]:
        """What the opcode consumes, the lowest object first."""
        op = instruction.op
        above = self.pop_to_mark() if op.to_mark else []
        below = [self.pop() for _ in range(op.pops)]
        return below[::-1] + above

    def _mutate(self, instruction: Instruction) -> tuple[str, list[_Object]]:
        target, *items = self._take(instruction)
        node = self.nodes.get(instruction.offset)
        pairs = instruction.op.name.startswith("SETITEM")
        texts = [item.text for item in items]
        added = _pairs(texts) if pairs else _joined(texts)
        if isinstance(node, (Items, SetItems)):
            meaning = render(node)
        elif target.text[-1:] in ("]", "}"):
            target.text = _grown(target.text, added)
            meaning = cut(target.text)
        else:
            meaning = cut(f"{target.text} gets the items {added}")
        self.stack.append(target)
        return meaning, [target, *items]

    def _make(self, instruction: Instruction) -> tuple[str, list[_Object]]:
        """Everything that replaces what it takes by one new object, or (BUILD) leaves its target."""
        op, at = instruction.op, instruction.offset
        taken = self._take(instruction)
        node = self.nodes.get(at)
        if op.effect == "build":
            self.stack.append(taken[0])
            return render(node) if isinstance(node, Build) else cut(f"{taken[0].text} gets the state {taken[1].text}"), taken
        if node is not None and not isinstance(node, (Build, Items, SetItems)):
            text = render(node)
        else:
            text = _described(instruction, [thing.text for thing in taken])
        self.push(text, at)
        return (f"names {text}" if op.effect == "lookup" else text), taken


# ---- texts -----------------------------------------------------------------------------------------------------------------------------------


def cut(text: str) -> str:
    """At most `MAX_TEXT` characters, then `...`."""
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + ELLIPSIS


def _joined(texts: list[str]) -> str:
    parts: list[str] = []
    size = 0
    for text in texts:
        parts.append(text)
        size += len(text) + 2
        if size > MAX_TEXT:
            break
    return cut(", ".join(parts))


def _pairs(texts: list[str]) -> str:
    return _joined([f"{key}: {value}" for key, value in zip(texts[:MAX_TEXT:2], texts[1:MAX_TEXT:2], strict=False)])


def _grown(text: str, added: str) -> str:
    """`[1]` with `2` added. A container that is cut already stays as it is."""
    inside, closing = text[:-1], text[-1]
    if inside.endswith(ELLIPSIS) or not added:
        return text
    grown = inside + (", " if inside not in ("[", "{") else "") + added
    return (grown if len(grown) < MAX_TEXT else grown[:MAX_TEXT] + ELLIPSIS) + closing


_EMPTY = {"EMPTY_LIST": "[]", "EMPTY_TUPLE": "()", "EMPTY_DICT": "{}", "EMPTY_SET": "{}"}  # a set grows as `{1, 2}` does, so it starts there
_OPEN = {"LIST": "[]", "DICT": "{}", "FROZENSET": "{}"}


def _described(instruction: Instruction, texts: list[str]) -> str:
    """The new object in words, from the texts of what it is made of: used for containers, and for calls of a stream that has no graph."""
    op, argument = instruction.op, instruction.argument
    if op.name in _EMPTY:
        return _EMPTY[op.name]
    if op.name in _OPEN:
        return _grown(_OPEN[op.name], _pairs(texts) if op.name == "DICT" else _joined(texts))
    if op.effect == "container":
        return f"({_joined(texts)}{',' if len(texts) == 1 else ''})"
    if op.effect == "lookup":
        return _name(argument) if argument is not None else ".".join(_unquoted(text) for text in texts)
    if op.effect == "persistent":
        return f"<persistent id {texts[0] if texts else shown_argument(instruction)}>"
    if op.effect == "refused":
        return f"<{op.name}>"
    if op.name == "INST":
        return f"{_name(argument)}({_joined(texts)})"
    callee, *rest = texts or ["?"]
    arguments = _joined(rest) if op.name == "OBJ" else _inside(rest[0] if rest else "?")
    if op.name == "NEWOBJ_EX":
        arguments += (", " if arguments else "") + f"**{rest[-1]}"
    return f"{'new ' if op.name.startswith('NEWOBJ') else ''}{callee}({arguments})"


def _inside(text: str) -> str:
    """The items of a tuple's text; what is no tuple is shown as `*text`."""
    return text[1:-1].removesuffix(",") if text.startswith("(") and text.endswith(")") else f"*{text}"


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == "'" else text


def _name(argument: Any) -> str:
    return ".".join(shown_bytes(part) for part in argument)


def _memo_index(instruction: Instruction, size: int) -> int | None:
    """The slot that a memo opcode means; None where its text is no number."""
    argument = instruction.argument
    if argument is None:
        return size  # MEMOIZE
    if isinstance(argument, int):
        return argument
    digits = argument[:20] if isinstance(argument, bytes) else b""
    return int(digits) if digits.isdigit() else None
