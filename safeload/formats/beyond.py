"""The bytes of a stream that was refused become the names that an unpickler which reads on would look up.

CPython's unpicklers run much that the machine refuses: SETITEM into a list, APPENDS of nothing to a number, an integer of 3,000 digits, a key 200 tuples
deep. What such an opcode hides would not be named, and who reads "malformed" may take it for damage. The stream is refused already, and nothing here makes it
acceptable: no value is built, so nothing needs to be whole or small, and what is pushed is a text, the result of a call, or something else.

    1. The instructions one by one, through every STOP, until one that no unpickler gets past: no opcode, an argument cut off, an empty stack or memo slot.
    2. Behind that place, behind `MAX_INSTRUCTIONS`, and wherever raw bytes stand between opcodes: names of known danger that are spelled out.

Refuses nothing and raises nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from safeload.errors import CheckpointError
from safeload.limits import MIB
from safeload.machine.nodes import Global, ObjectGraph
from safeload.opcodes.decode import Instruction, decode
from safeload.opcodes.table import Opcode
from safeload.policy.danger import UNKNOWN, danger

MAX_INSTRUCTIONS = 200_000  # read one by one: a third of a second
MAX_NAMES = 1_000  # different ones that are kept
MAX_PART_CHARACTERS = 1_024  # of a module or a name that are kept: no package has a longer one
MAX_SWEPT_BYTES = 64 * MIB  # searched for spelled names: half a second
INSTRUCTIONS_PER_CHECK = 4_096  # between two looks at the clock

_MARK, _RESULT, _OTHER = object(), object(), object()
_IMPORTABLE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_WORD = rb"([A-Za-z_][A-Za-z0-9_.]{0,254})"
_PUT = rb"(?:\x94|q.|r.{4}|p\d{1,9}\n)?"
_TEXT = rb"(?:[\x8cU].|[XT].\0\0\0|\x8d.\0{7}|V)" + _WORD + rb"\n?" + _PUT
_SPELLED = re.compile(rb"[ci]" + _WORD + rb"\n" + _WORD + rb"\n|" + _TEXT + _TEXT + rb"\x93", re.DOTALL)


class Beyond:
    """What one stream would ask for. `graph()` holds the names that are not in `known`; `unreadable` is the place of the first that is no text."""

    def __init__(self, data: bytes, start: int, known: ObjectGraph | None, check_time: Callable[[], None]) -> None:
        self.data = data
        self.start = start
        self.known = frozenset(known.globals) if known is not None else frozenset()
        self.names: dict[tuple[str, str], int] = {}
        self.unreadable: int | None = None
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        with suppress(CheckpointError):  # the time is over
            self._sweep(self._read_on(check_time))

    def graph(self) -> ObjectGraph:
        """Names alone: the calls of a stream that was refused are not judged."""
        log: list[Any] = [Global(index, offset, *name) for index, (name, offset) in enumerate(self.names.items())]
        return ObjectGraph(
            root=None,
            log=log,
            globals=dict(zip(self.names, log, strict=True)),
            mentions={node: [node.offset] for node in log},
            named=dict.fromkeys(log, 1),
            changed_at={},
            protocol=0,
            opcodes=0,
            start=self.start,
            end=self.start,
        )

    def dangerous(self) -> bool:
        """Is one of the names known to do harm?"""
        return any(_harmful(*pair) for pair in self.names)

    # ---- 1 ------------------------------------------------------------------------------------------------------------------------------

    def _read_on(self, check_time: Callable[[], None]) -> int:
        """The place where it ends."""
        at = self.start
        for count, instruction in enumerate(self._instructions(), 1):
            at = instruction.offset
            try:
                if count > MAX_INSTRUCTIONS or not self._step(instruction):
                    return at
            except (IndexError, KeyError, ValueError):
                return at
            if not count % INSTRUCTIONS_PER_CHECK:
                check_time()
            at = instruction.end
        return at

    def _instructions(self) -> Iterator[Instruction]:
        at = self.start
        with suppress(CheckpointError):
            while at < len(self.data):
                for instruction in decode(self.data, at):
                    yield instruction
                    at = instruction.end
                self.stack, self.memo = [], {}  # STOP: another stream may follow

    def _step(self, instruction: Instruction) -> bool:
        """One instruction. False, IndexError, KeyError and ValueError: here every unpickler gives up."""
        op, argument, stack, memo = instruction.op, instruction.argument, self.stack, self.memo
        if op.name == "MARK":
            stack.append(_MARK)
        elif op.name == "POP":
            stack.pop()
        elif op.name == "DUP":
            stack.append(self._top())
        elif op.name == "MEMOIZE":
            memo[len(memo)] = self._top()
        elif op.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[int(argument)] = self._top()  # type: ignore[arg-type]
        elif op.name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument)])  # type: ignore[arg-type]
        elif op.name == "STACK_GLOBAL":
            name, module = stack.pop(), stack.pop()
            self._look_up(module, name, instruction.offset)
            stack.append(_OTHER)
        else:
            self._take(op)
            if type(argument) is tuple:
                self._named(argument[0].decode("utf-8", "replace"), argument[1].decode("utf-8", "replace"), instruction.offset)
            stack.extend([self._made(op, argument)] * op.pushes)
        return True

    def _top(self) -> Any:
        if self.stack[-1] is _MARK:
            raise IndexError
        return self.stack[-1]

    def _take(self, op: Opcode) -> None:
        """Off the stack what the opcode takes."""
        stack = self.stack
        if op.to_mark:
            while stack.pop() is not _MARK:
                pass
        for _ in range(op.pops):
            self._top()
            stack.pop()

    def _made(self, op: Opcode, argument: Any) -> Any:
        if op.effect in ("call", "persistent", "refused"):
            return _RESULT
        if op.argument.content not in ("text", "bytes") or type(argument) is not bytes:
            return _OTHER
        if op.argument.content == "text":
            return argument.decode("raw-unicode-escape" if op.name == "UNICODE" else "utf-8", "replace") if len(argument) < 1 << 16 else _RESULT
        if op.name == "STRING":
            return argument.strip()[1:-1].decode("latin-1")
        return argument.decode("latin-1") if op.name in ("BINSTRING", "SHORT_BINSTRING") else _OTHER

    def _look_up(self, module: Any, name: Any, offset: int) -> None:
        if type(module) is str and type(name) is str:
            self._named(module, name, offset)
        elif all(type(part) is str or part is _RESULT for part in (module, name)) and self.unreadable is None:
            self.unreadable = offset

    def _named(self, module: str, name: str, offset: int) -> None:
        pair = (module, name)
        if max(map(len, pair)) > MAX_PART_CHARACTERS or pair in self.known or len(self.names) >= MAX_NAMES:
            return
        if all(map(_IMPORTABLE.fullmatch, pair)):
            self.names.setdefault(pair, offset)

    # ---- 2 ------------------------------------------------------------------------------------------------------------------------------

    def _sweep(self, start: int) -> None:
        for match in _SPELLED.finditer(self.data, start, min(len(self.data), start + MAX_SWEPT_BYTES)):
            module, name = (part.decode("ascii") for part in match.groups() if part is not None)
            if _harmful(module, name):
                self._named(module, name, match.start())


def _harmful(module: str, name: str) -> bool:
    capability = danger(f"{module}.{name}").capability
    return capability != UNKNOWN and not capability.startswith("data.")
