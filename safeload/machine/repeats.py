"""Items of a container that are written alike become columns: one pattern finds many of them, and each opcode is carried out once, for all.

A pickler spells like things alike. The entries of a state dict, the state that Adam keeps for each parameter, the records of a log: their opcodes are the same
from one to the next, and only strings, numbers and the indexes of PUTs differ. Such a unit is learned from two that the loop has interpreted:

    unit        its opcodes, each with its argument: what was the same in both is a literal, what differed is a group of a pattern
    pattern     finds as many units as follow without a gap; a column for each group
    program     the opcodes on columns: a TUPLE2 zips two, a REDUCE makes as many calls, an EMPTY_DICT with SETITEMS as many dicts

The columns are no second reading (law 2), as the lane is none: it takes whole units only, sees the very bytes at which the loop stands, and leaves stack, memo,
log and counters exactly as the loop would. A property test holds both together over all streams that there are. What makes that so:

- a unit stands on its own: it pops nothing that it did not push, and opens no mark that it does not close;
- its PUTs are new and numbered one after the other through all units, and what it gets from the memo lies there before the first of them;
- every length is held against what it measures, every index against what it must be, for all units; behind the first that differs the loop goes on;
- nothing in it can fail: strings are printable ASCII, keys are such strings or small ints, what is called is a name or a call.

Everything else, names and states among it, and every error, is the loop's. The pattern is made of escaped bytes of the stream and wildcards of fixed length:
it cannot run away. What is learned is bounded: `TEMPLATES` patterns for one stream, and none where too little follows to pay for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, repeat
from operator import add
from struct import pack, unpack
from typing import Any

from safeload.machine.lane import LAST_SHORT_PUT, Lane
from safeload.machine.nodes import NODE_TYPES, Call, CallKind, Geometry, Global, PersistentId, TensorRun

UNIT_BYTES = 2_048  # of one unit; longer ones are few
UNIT_OPCODES = 256
LONGEST_TEXT = 255  # bytes of a string
FIRST_WINDOW_BYTES = 1 << 12
WINDOW_BYTES = 1 << 16  # looked at in one step at most: the loop looks at the budget in between. What is looked at grows with what is found
AHEAD = 100  # units that must have room behind those from which a pattern is learned: compiling it takes as long as interpreting fifty
TEMPLATES = 12  # patterns compiled for one stream
FEW = 4  # units found in one step: not worth it
MISSES = 8  # steps in a row that found few or none: the pattern is forgotten
FIRST_LOOK = 4  # items of a container before the last two are compared, then twice as many and so on
CACHED = 64  # templates kept for other streams: most writers spell alike

MARK, BINFLOAT, BININT, BININT1, BININT2, NONE, BINPERSID, REDUCE, BINUNICODE, APPEND = b"(GJKMNQRXa"
EMPTY_DICT, APPENDS, BINGET, LONG_BINGET, EMPTY_LIST, LONG_BINPUT, SETITEM, TUPLE, EMPTY_TUPLE, SETITEMS = b"}ehj]rst)u"
TUPLE1, TUPLE2, TUPLE3, NEWTRUE, NEWFALSE, SHORT_BINUNICODE, MEMOIZE = 0x85, 0x86, 0x87, 0x88, 0x89, 0x8C, 0x94

# The bytes of each argument. A string's are those of its length, which is below 256.
_WIDTH = {
    **dict.fromkeys(
        (MARK, NONE, BINPERSID, REDUCE, APPEND, EMPTY_DICT, APPENDS, EMPTY_LIST, SETITEM, TUPLE, EMPTY_TUPLE, SETITEMS, TUPLE1, TUPLE2, TUPLE3, NEWTRUE,
         NEWFALSE, MEMOIZE), 0),
    BINGET: 1, BININT1: 1, SHORT_BINUNICODE: 1, BININT2: 2, BININT: 4, LONG_BINGET: 4, LONG_BINPUT: 4, BINUNICODE: 4, BINFLOAT: 8,
}  # fmt: skip
# What may stand for each other from one unit to the next.
_KIND = {
    **dict.fromkeys((BININT, BININT1, BININT2), "int"),
    **dict.fromkeys((NONE, NEWTRUE, NEWFALSE), "flag"),
    **dict.fromkeys((BINGET, LONG_BINGET), "get"),
    BINUNICODE: "text", SHORT_BINUNICODE: "short", BINFLOAT: "float", LONG_BINPUT: "put", MEMOIZE: "memoize",
}  # fmt: skip
_PATTERN = {"int": rb"(K.|M..|J....)", "flag": rb"([N\x88\x89])", "get": rb"(h.|j....)", "float": rb"G(.{8})", "string": rb"([ -~]{0,255})"}
_FLAGS: dict[bytes, bool | None] = {b"N": None, b"\x88": True, b"\x89": False}
_REDUCE: CallKind = "reduce"
_ALWAYS = frozenset({"text", "short", "float"})  # what a group stands for even where two units have the same

Token = tuple[int, bytes]  # an opcode and its argument; of a string the content


def tokens(unit: bytes) -> list[Token] | None:
    """The opcodes of a unit, None where one of them is not taken in columns."""
    found: list[Token] = []
    at, size = 0, len(unit)
    while at < size:
        op = unit[at]
        width = _WIDTH.get(op)
        if width is None or len(found) == UNIT_OPCODES:
            return None
        at += 1
        argument = unit[at : at + width]
        at += width
        if op in (BINUNICODE, SHORT_BINUNICODE):
            length = int.from_bytes(argument, "little")
            argument = unit[at : at + length]
            if length > 255 or len(argument) != length:
                return None
            at += length
        found.append((op, argument))
    return found if at == size else None


def kinds(unit: list[Token]) -> tuple[str | int, ...]:
    """What two units must have in common."""
    return tuple([_KIND.get(op, op) for op, _ in unit])


# ---- templates --------------------------------------------------------------------------------------------------------------------------


class Step:
    """One instruction on registers: a register holds one object that all units share, or a column with one for each of them."""

    __slots__ = ("keys", "node", "offset", "operands", "out", "what")

    def __init__(
        self, what: str, out: int, operands: tuple[int, ...] = (), keys: tuple[int, ...] = (), *, node: int = 0, offset: tuple[int, int] = (0, 0)
    ) -> None:
        self.what = what
        self.out = out
        self.operands = operands
        self.keys = keys
        self.node = node  # nodes of the unit before it
        self.offset = offset  # of its opcode: bytes behind the end of a group of variable length, and which one (-1: the start of the unit)


class Tensor:
    """The registers of a tensor record in a unit."""

    __slots__ = ("geometry", "key", "shared")

    def __init__(self, shared: tuple[int, ...], key: int, geometry: tuple[int, int, int, int]) -> None:
        self.shared = shared  # function, tag, storage type, location, class of the hooks, requires_grad
        self.key = key
        self.geometry = geometry  # numel, offset, size, stride


class Template:
    """A unit, learned: its pattern and its program. Made by `template`; knows nothing of one stream."""

    __slots__ = (
        "checks", "columns", "constants", "fixed_bytes", "gaps", "gets", "groups", "made", "memoizes", "nodes", "opcodes", "pushed", "puts", "registers",
        "scan", "sections", "steps", "tensors", "varying",
    )  # fmt: skip

    def __init__(self) -> None:
        self.scan: Callable[..., list[tuple[bytes, ...]]]
        self.groups: list[tuple[str, int]] = []  # (kind, register), or ("section", its index)
        self.sections: list[tuple[int, list[tuple[int, str, int]]]] = []  # its length, and (place, "put" or "length", which one)
        self.varying: list[int] = []  # the groups whose length varies, in order
        self.gaps: list[int] = []  # bytes between the end of the one before each of them, or the start of the unit, and its start
        self.fixed_bytes = 0  # of a unit, without those
        self.registers = 0
        self.columns: list[bool] = []  # is the register one
        self.constants: list[tuple[int, Any]] = []
        self.gets: list[tuple[int, int]] = []  # (register, index) that all units get
        self.steps: list[Step] = []
        self.checks: list[int] = []  # registers whose objects become keys: they must be text
        self.pushed: list[int] = []
        self.puts: list[int] = []  # the register that each PUT puts
        self.memoizes = False
        self.opcodes = 0
        self.made = 0
        self.nodes = 0
        self.tensors: list[Tensor] | None = None  # where they are all that the unit has of nodes


class _Refused(Exception):
    """The unit is none that columns can take."""


@lru_cache(maxsize=CACHED)
def template(unit: tuple[Token, ...], varying: frozenset[int]) -> Template | None:
    """The template of a unit of which the tokens in `varying` differ from unit to unit, or None."""
    made = Template()
    try:
        _Compiler(made).compile(unit, varying)
    except _Refused:
        return None
    return made


class _Compiler:
    """Turns the opcodes of a unit into pattern and program; the stack here holds registers, and None for a mark."""

    def __init__(self, made: Template) -> None:
        self.made = made
        self.stack: list[int | None] = []
        self.pattern: list[bytes] = []
        self.section: list[bytes] = []  # the pattern of the section that is open
        self.section_bytes = 0
        self.section_checks: list[tuple[int, str, int]] = []
        self.since = 0  # bytes since the last group of varying length
        self.kinds: list[str] = []  # of each register: text, int, node, tuple, dict, list, other
        self.parts: dict[int, tuple[int, ...]] = {}  # of a register that holds a tuple
        self.fresh: dict[int, Step] = {}  # dicts and lists that nothing was put into
        self.calls: list[tuple[str, int, tuple[int, ...]]] = []  # nodes in order: what, register, operands

    def compile(self, unit: tuple[Token, ...], varying: frozenset[int]) -> None:
        made = self.made
        for place, (op, argument) in enumerate(unit):
            kind = _KIND.get(op)
            if kind in ("text", "short"):
                self._text(kind == "text")
            elif kind is not None and (kind in _ALWAYS or place in varying):
                self._group(kind)
            elif kind == "put" or kind == "memoize":
                self._put(kind)
            elif kind is not None:
                self._constant(op, kind, argument)
            else:
                self._literal(bytes((op,)))
                self._structure(op)
        if None in self.stack or not self.stack or not made.groups:
            raise _Refused
        self._close_section()
        made.pushed = [register for register in self.stack if register is not None]
        made.opcodes = len(unit)
        made.registers = len(self.kinds)
        made.tensors = self._tensors()
        made.scan = re.compile(b"".join(self.pattern) + rb"()|.+", re.DOTALL).findall

    # ---- the pattern ----------------------------------------------------------------------------------------------------------------------

    def _literal(self, content: bytes) -> None:
        self.section.append(re.escape(content))
        self._passed(len(content))

    def _passed(self, length: int) -> None:
        self.section_bytes += length
        self.made.fixed_bytes += length
        self.since += length

    def _checked(self, length: int, what: str, which: int) -> None:
        """Bytes that are any in the pattern, and held against what they must be afterwards."""
        self.section_checks.append((self.section_bytes, what, which))
        self.section.append(b"." * length)
        self._passed(length)

    def _close_section(self) -> None:
        made = self.made
        content = b"".join(self.section)
        if self.section_checks:
            made.groups.append(("section", len(made.sections)))
            made.sections.append((self.section_bytes, self.section_checks))
            content = b"(" + content + b")"
        self.pattern.append(content)
        self.section, self.section_checks, self.section_bytes = [], [], 0

    def _text(self, long: bool) -> None:
        self._literal(b"X" if long else b"\x8c")
        self._checked(1, "length", -1)
        which = len(self.section_checks) - 1
        if long:
            self._literal(b"\0\0\0")
        self.section_checks[which] = (self.section_checks[which][0], "length", len(self.made.groups) + 1)  # the group behind that of this section
        self._group("string")

    def _group(self, kind: str) -> None:
        """A column that the pattern finds."""
        self._close_section()
        register = self._register({"string": "text", "get": "got"}.get(kind, kind), column=True)
        self.pattern.append(_PATTERN[kind])
        self.made.groups.append((kind, register))
        if kind == "float" or kind == "flag":
            width = 9 if kind == "float" else 1
            self.made.fixed_bytes += width
            self.since += width
        else:
            self.made.varying.append(len(self.made.groups) - 1)
            self.made.gaps.append(self.since)
            self.since = 0
        self.stack.append(register)

    # ---- the program ------------------------------------------------------------------------------------------------------------------------

    def _register(self, kind: str, *, column: bool) -> int:
        self.kinds.append(kind)
        self.made.columns.append(column)
        return len(self.kinds) - 1

    def _constant(self, op: int, kind: str, argument: bytes) -> None:
        self._literal(bytes((op,)) + argument)
        if kind == "get":
            register = self._register("got", column=False)
            self.made.gets.append((register, int.from_bytes(argument, "little")))
        elif kind == "int":
            register = self._register("int", column=False)
            self.made.constants.append((register, int.from_bytes(argument, "little", signed=op == BININT)))
        else:
            register = self._register("flag", column=False)
            self.made.constants.append((register, _FLAGS[bytes((op,))]))
        self.stack.append(register)

    def _put(self, kind: str) -> None:
        made = self.made
        if made.puts and made.memoizes != (kind == "memoize"):
            raise _Refused
        made.memoizes = kind == "memoize"
        if made.memoizes:
            self._literal(b"\x94")
        else:
            self._literal(b"r")
            self._checked(4, "put", len(made.puts))
        made.puts.append(self._top())

    def _top(self) -> int:
        register = self.stack[-1] if self.stack else None
        if register is None:
            raise _Refused
        return register

    def _pop(self) -> int:
        register = self._top()
        self.stack.pop()
        return register

    def _marked(self) -> tuple[int, ...]:
        found: list[int] = []
        while not self.stack or self.stack[-1] is not None:  # without a mark, `_pop` refuses
            found.append(self._pop())
        self.stack.pop()
        return tuple(reversed(found))

    def _structure(self, op: int) -> None:
        made = self.made
        if op == MARK:
            self.stack.append(None)
        elif op == EMPTY_TUPLE:
            register = self._register("tuple", column=False)
            self.parts[register] = ()
            made.constants.append((register, ()))
            self.stack.append(register)
        elif op == TUPLE:
            self._tuple(self._marked())
        elif op in (TUPLE1, TUPLE2, TUPLE3):
            self._tuple(tuple(reversed([self._pop() for _ in range(op - TUPLE1 + 1)])))
        elif op in (EMPTY_DICT, EMPTY_LIST):
            what = "dict" if op == EMPTY_DICT else "list"
            register = self._register(what, column=True)
            self.fresh[register] = step = Step(f"empty {what}", register)
            made.steps.append(step)
            made.made += 1
            self.stack.append(register)
        elif op in (SETITEMS, SETITEM):
            items = self._marked() if op == SETITEMS else tuple(reversed((self._pop(), self._pop())))
            if len(items) % 2 or any(self.kinds[key] not in ("text", "int", "got") for key in items[::2]):
                raise _Refused
            made.checks += [key for key in items[::2] if self.kinds[key] == "got"]
            self._fill("dict", items[1::2], items[::2])
        elif op in (APPENDS, APPEND):
            self._fill("list", self._marked() if op == APPENDS else (self._pop(),), ())
        elif op == BINPERSID:
            self._node("pid", (self._pop(),))
        else:  # REDUCE
            args, func = self._pop(), self._pop()
            if self.kinds[args] != "tuple" or self.kinds[func] != "got" or made.columns[func]:
                raise _Refused
            self._node("call", (func, args))

    def _tuple(self, parts: tuple[int, ...]) -> None:
        shared = all(self.kinds[part] == "int" and not self.made.columns[part] for part in parts)
        register = self._register("tuple", column=not shared)
        self.parts[register] = parts
        self.made.steps.append(Step("shared tuple" if shared else "tuple", register, parts))
        self.made.made += 1
        self.stack.append(register)

    def _fill(self, what: str, values: tuple[int, ...], keys: tuple[int, ...]) -> None:
        register = self._top()
        if self.kinds[register] != what or register not in self.fresh or not values:
            raise _Refused  # what is filled twice, or with nothing
        self.made.steps.remove(self.fresh.pop(register))
        self.made.steps.append(Step(what, register, values, keys, node=self.made.nodes))

    def _node(self, what: str, operands: tuple[int, ...]) -> None:
        made = self.made
        register = self._register("node", column=True)
        made.steps.append(Step(what, register, operands, node=made.nodes, offset=(self.since - 1, len(made.varying) - 1)))
        made.nodes += 1
        self.calls.append((what, register, operands))
        self.stack.append(register)

    def _tensors(self) -> list[Tensor] | None:
        """The tensor records of the unit, where it has no other nodes."""
        found: list[Tensor] = []
        nodes = self.calls
        if not nodes or len(nodes) % 3:
            return None
        for (first, pid, named), (second, hooks, (hook_class, *hook_args)), (third, _, (func, *args)) in zip(nodes[::3], nodes[1::3], nodes[2::3], strict=True):
            if (first, second, third) != ("pid", "call", "call") or self.parts.get(hook_args[0]) != ():
                return None
            storage, parts = self.parts.get(named[0], ()), self.parts.get(args[0], ())
            if len(storage) not in (5, 6) or len(parts) != 6 or (parts[0], parts[5]) != (pid, hooks):
                return None
            shared = (func, storage[0], storage[1], storage[3], hook_class, parts[4])
            if any(self.made.columns[register] for register in shared) or self.kinds[storage[2]] not in ("text", "got") or self.kinds[parts[4]] != "flag":
                return None
            if len(storage) == 6 and (storage[5], None) not in self.made.constants:
                return None
            numbers = (storage[4], parts[1], *self.parts.get(parts[2], (-1,)), *self.parts.get(parts[3], (-1,)))
            if any(number < 0 or self.kinds[number] != "int" for number in numbers):
                return None
            found.append(Tensor(shared, storage[2], (storage[4], parts[1], parts[2], parts[3])))
        return found


# ---- columns ----------------------------------------------------------------------------------------------------------------------------


class Rows(Sequence[Any]):
    """What the units of one step put into the memo: index by index, without a list of it."""

    __slots__ = ("columns", "rows")

    def __init__(self, columns: list[Any], rows: int) -> None:
        self.columns = columns  # a list, or an object that all units share in a tuple of one
        self.rows = rows

    def __len__(self) -> int:
        return len(self.columns) * self.rows

    def __getitem__(self, index: Any) -> Any:
        row, which = divmod(index, len(self.columns))
        if row >= self.rows:
            raise IndexError(index)
        column = self.columns[which]
        return column[0] if type(column) is tuple else column[row]

    def __iter__(self) -> Iterator[Any]:
        for row in zip(*[repeat(column[0], self.rows) if type(column) is tuple else column for column in self.columns], strict=True):
            yield from row


class Repeats:
    """The units of one stream: where each open container's last item ended, and the templates that were learned. Counts into its lane."""

    __slots__ = ("active", "changed_at", "compiled", "counts", "lane", "misses", "numbers", "places", "variance", "windows")

    ahead = AHEAD
    first_look = FIRST_LOOK

    def __init__(self, lane: Lane, changed_at: dict[int, int]) -> None:
        self.lane = lane
        self.changed_at = changed_at
        self.places: dict[int, tuple[list[Any], bytes, int, int]] = {}  # by depth: the stack, the buffer, where the item before the last and the last ended
        self.counts: dict[int, int] = {}  # by depth: items since the last look
        self.active: dict[int, Template] = {}  # by depth
        self.misses: dict[int, int] = {}
        self.windows: dict[int, int] = {}
        self.variance: dict[tuple[str | int, ...], set[int]] = {}
        self.compiled = 0
        self.numbers: dict[tuple[Any, ...], Geometry] = {}

    def item(self, data: bytes, base: int, end: int, depth: int, stack: list[Any]) -> int:
        """An item of the container at `depth` ends at `data[end]`: take those that follow it and are like it. Returns where the opcodes go on."""
        known = self.places.get(depth)
        same = known is not None and known[0] is stack and known[1] is data
        first, second = (known[2], known[3]) if known is not None and same else (-1, -1)
        self.places[depth] = (stack, data, second, end)
        if depth in self.active:
            return self.follow(data, base, end, depth, stack)
        self.counts[depth] = count = self.counts.get(depth, 0) + 1 if same else 1
        if first < 0 or count < self.first_look or count & (count - 1):
            return end
        self.active_at(depth, self.learn(data, first, second, end))
        return self.follow(data, base, end, depth, stack)

    def begin(self, data: bytes, base: int, at: int, marks: list[list[Any]]) -> int:
        """The second MARK of what may be a tensor record stands at `data[at]`: let the lane take it, and then what is like it. 0 if it is none."""
        depth, stack = len(marks) - 1, marks[-1]
        end = self.lane.take(data, base, at, stack, 1) if depth in self.active else self.lane.take(data, base, at, stack)
        return end and self.records(data, base, end, depth, stack)

    def records(self, data: bytes, base: int, end: int, depth: int, stack: list[Any]) -> int:
        """The same, behind tensor records that the lane has taken."""
        lane = self.lane
        if depth not in self.active:
            if lane.streak < lane.patience or lane.memo.top() < LAST_SHORT_PUT + 2 * lane.streak:
                return end  # too few, or the last two begin with short PUTs, which are soon over
            lane.patience *= 2
            self.active_at(depth, self.learn(data, *lane.ends, end))
        return self.follow(data, base, end, depth, stack)

    def active_at(self, depth: int, learned: Template | None) -> None:
        """Look for units of this template from now on."""
        if learned is not None:
            self.active[depth] = learned
            self.misses[depth] = 0
            self.windows[depth] = FIRST_WINDOW_BYTES

    def follow(self, data: bytes, base: int, end: int, depth: int, stack: list[Any]) -> int:
        """Take the units at `data[end]` that are like the active template of this depth, window by window."""
        active = self.active.get(depth)
        if active is None:
            return end
        window = self.windows[depth]
        behind, count = self.take(active, data, base, end, stack, window)
        if count >= FEW:
            self.misses[depth] = 0
            self.places[depth] = (stack, data, -1, behind)
            self.windows[depth] = min(2 * window, WINDOW_BYTES) if 2 * (behind - end) > window else max(window // 2, FIRST_WINDOW_BYTES)
            return behind
        self.windows[depth] = FIRST_WINDOW_BYTES
        self.misses[depth] += 1
        if self.misses[depth] > MISSES:
            del self.active[depth]
            self.counts[depth] = 0
        if count:
            self.places[depth] = (stack, data, -1, behind)
        return behind

    def learn(self, data: bytes, first: int, second: int, end: int) -> Template | None:
        """A template for the two units that end at `data[second]` and `data[end]`, if they are alike and enough of them could follow."""
        if end - second > UNIT_BYTES or second - first > UNIT_BYTES or len(data) - end < self.ahead * (end - second) or self.compiled >= TEMPLATES:
            return None
        one, two = tokens(data[first:second]), tokens(data[second:end])
        if one is None or two is None or (skeleton := kinds(two)) != kinds(one):
            return None
        variance = self.variance.setdefault(skeleton, set())
        variance.update(place for place, (left, right) in enumerate(zip(one, two, strict=True)) if left != right and skeleton[place] in ("int", "flag", "get"))
        self.compiled += 1
        plain = tuple([(op, b"") if place in variance or kind in _ALWAYS or kind == "put" else (op, arg)
                       for place, (kind, (op, arg)) in enumerate(zip(skeleton, two, strict=True))])  # fmt: skip
        return template(plain, frozenset(variance))

    def take(self, made: Template, data: bytes, base: int, at: int, stack: list[Any], window: int = WINDOW_BYTES) -> tuple[int, int]:  # noqa: PLR0911, PLR0912 - the steps of one procedure
        """Take the units that stand at `data[at]`: where the opcodes go on, and how many there were."""
        rows = made.scan(data, at, at + window)
        if rows and not any(rows[-1]):
            rows.pop()
        if not rows:
            return at, 0
        lane, memo, log = self.lane, self.lane.memo, self.lane.log
        # 1. How many of them hold what was left open in the pattern: lengths, the indexes of PUTs.
        found: list[Any] = list(zip(*rows, strict=True))
        count, top = len(rows), memo.top()
        puts = len(made.puts)
        first = memo.settled() if made.memoizes else -1
        for group, (kind, which) in enumerate(made.groups):
            if kind != "section":
                continue
            length, checks = made.sections[which]
            joined = b"".join(found[group])
            for place, what, number in checks:
                if what == "length":
                    count = _agreeing(joined[place::length], bytes(map(len, found[number])), count)
                    continue
                if first < 0:
                    first = int.from_bytes(joined[place : place + 4], "little") - number
                if first + puts * len(rows) > 0xFFFFFFFF or first < 0:
                    return at, 0
                expected = pack(f"<{len(rows)}I", *range(first + number, first + number + puts * len(rows), puts))
                for byte in range(4):
                    count = _agreeing(joined[place + byte :: length], expected[byte::4], count)
        if puts and first <= top:
            return at, 0
        # 2. What they get from the memo was there before.
        registers: list[Any] = [None] * made.registers
        try:
            for register, index in made.gets:  # above `top` is nothing yet
                registers[register] = memo[index]
            for group, (kind, which) in enumerate(made.groups):
                if kind == "get":
                    indexes = {get: int.from_bytes(get[1:], "little") for get in set(found[group])}
                    if max(indexes.values()) > top:
                        count = min(count, next(row for row, get in enumerate(found[group]) if indexes[get] > top))
                    objects = {get: memo[index] for get, index in indexes.items() if index <= top}
                    registers[which] = [objects[get] for get in found[group][:count]]
        except KeyError:
            return at, 0
        if not count:
            return at, 0
        # 3. What a key, a callee or the function of a tensor must be.
        for register in made.checks:
            objects_there = registers[register][:count] if made.columns[register] else (registers[register],)
            if not {str}.issuperset(map(type, objects_there)):
                return at, 0
        for step in made.steps:
            if step.what == "call" and type(registers[step.operands[0]]) not in NODE_TYPES:
                return at, 0
        # 4. So they are.
        if count < len(rows):
            found = [column[:count] for column in found]
        for group, (kind, which) in enumerate(made.groups):
            if kind not in ("section", "get"):
                registers[which] = _DECODED[kind](found[group])
            elif kind == "get":
                del registers[which][count:]
        for register, value in made.constants:
            registers[register] = value
        lengths = [list(map(len, found[group])) for group in made.varying]
        total = made.fixed_bytes * count + sum(map(sum, lengths))
        places = _places(made, base + at, lengths, count) if made.nodes else []
        index = len(log)
        log.extend([None] * (made.nodes * count))  # type: ignore[list-item]
        self._run(made.steps, registers, places, index, made, count)
        lane.opcodes += made.opcodes * count
        lane.made += made.made * count
        if puts:
            memo.pending.append((first, Rows([registers[put] if made.columns[put] else (registers[put],) for put in made.puts], count)))  # type: ignore[arg-type]
        self._push(made, registers, count, stack)
        if made.tensors is not None:
            self._tensors(made.tensors, made, registers, index, count)
        return at + total, count

    def _run(self, steps: list[Step], registers: list[Any], places: list[list[int]], index: int, made: Template, count: int) -> None:
        """Carry the opcodes out, on columns."""
        columns, log, nodes = made.columns, self.lane.log, made.nodes

        def each(register: int) -> Any:
            return registers[register] if columns[register] else repeat(registers[register], count)

        for step in steps:
            what, operands = step.what, step.operands
            if what == "tuple":
                registers[step.out] = list(zip(*map(each, operands), strict=True))
            elif what == "shared tuple":
                registers[step.out] = tuple([registers[operand] for operand in operands])
            elif what == "pid" or what == "call":
                indexes = range(index + step.node, index + nodes * count, nodes)
                behind, group = step.offset
                offsets = [place + behind for place in places[group + 1]]
                if what == "pid":
                    nodes_made: list[Any] = list(map(PersistentId, indexes, offsets, each(operands[0])))
                else:
                    nodes_made = list(map(Call, indexes, offsets, repeat(_REDUCE), each(operands[0]), each(operands[1])))
                registers[step.out] = log[index + step.node : index + nodes * count : nodes] = nodes_made
            elif what == "dict":
                values = zip(*map(each, operands), strict=True)
                if any(columns[key] for key in step.keys):
                    keys = zip(*map(each, step.keys), strict=True)
                    registers[step.out] = [dict(zip(names, row, strict=True)) for names, row in zip(keys, values, strict=True)]
                else:
                    shared = tuple([registers[key] for key in step.keys])
                    registers[step.out] = [dict(zip(shared, row)) for row in values]  # noqa: B905 - as long as each other, and the check takes a fifth
                self._changed(registers[step.out], index + step.node, nodes)
            elif what == "list":
                registers[step.out] = list(map(list, zip(*map(each, operands), strict=True)))
                self._changed(registers[step.out], index + step.node, nodes)
            else:
                registers[step.out] = [{} for _ in range(count)] if what == "empty dict" else [[] for _ in range(count)]

    def _changed(self, containers: list[Any], first: int, nodes: int) -> None:
        ids = map(id, containers)
        if nodes:
            self.changed_at.update(zip(ids, range(first, first + nodes * len(containers), nodes), strict=True))
        else:
            self.changed_at.update(dict.fromkeys(ids, first))

    def _push(self, made: Template, registers: list[Any], count: int, stack: list[Any]) -> None:
        width = len(made.pushed)
        pushed: list[Any] = [None] * (width * count)
        for which, register in enumerate(made.pushed):
            pushed[which::width] = registers[register] if made.columns[register] else [registers[register]] * count
        stack += pushed

    def _tensors(self, tensors: list[Tensor], made: Template, registers: list[Any], index: int, count: int) -> None:
        """Note the records as a run, where they are alike: those of one unit among each other, too."""
        alike = {tuple([registers[register] for register in tensor.shared]) for tensor in tensors}
        if len(alike) != 1:
            return
        (shared,) = alike
        if [type(part) for part in shared] != [Global, str, Global, str, Global, bool]:
            return
        keys: list[Any] = [None] * (len(tensors) * count)
        geometries: list[Any] = keys.copy()
        for which, tensor in enumerate(tensors):
            if not made.columns[tensor.key] or not {str}.issuperset(map(type, registers[tensor.key])):
                return
            keys[which :: len(tensors)] = registers[tensor.key]
            if any(made.columns[register] for register in tensor.geometry):
                rows = zip(*[registers[r] if made.columns[r] else repeat(registers[r], count) for r in tensor.geometry], strict=True)
                numbers = [self._geometry(row) for row in rows]
            else:
                numbers = [self._geometry(tuple([registers[register] for register in tensor.geometry]))] * count
            if None in numbers:
                return
            geometries[which :: len(tensors)] = numbers
        lane = self.lane
        run = lane.runs[-1] if lane.runs and lane.stop == index else None
        if run is None or run.alike != shared:
            run = TensorRun(start=index, alike=shared, keys=[], geometries=[])
            lane.runs.append(run)
        run.keys.extend(keys)
        run.geometries.extend(geometries)
        lane.stop = index + made.nodes * count

    def _geometry(self, row: tuple[Any, ...]) -> Geometry | None:
        """The numbers of a record, one object for all that have the same; None where one is negative."""
        known = self.numbers.get(row)
        if known is not None:
            return known
        numel, offset, size, stride = row
        if min(numel, offset, *size, *stride) < 0:
            return None
        if len(self.numbers) >= 1 << 16:
            self.numbers.clear()
        made = self.numbers[row] = Geometry(numel=numel, offset=offset, size=size, stride=stride, opcodes=0, made=0, behind=0)
        return made


def _agreeing(one: bytes, other: bytes, count: int) -> int:
    """How many bytes at the start of both are the same, `count` at most."""
    if one[:count] == other[:count]:
        return count
    return next(place for place, (left, right) in enumerate(zip(one, other, strict=True)) if left != right)


def _places(made: Template, start: int, lengths: list[list[int]], count: int) -> list[list[int]]:
    """Offsets in each unit: of its start, and of the end of each group of varying length, counted without what has a fixed length in between."""
    fixed = made.fixed_bytes
    if not lengths:
        return [list(range(start, start + fixed * count, fixed))]
    sizes = lengths[0]
    for column in lengths[1:]:
        sizes = list(map(add, sizes, column))
    places = [list(accumulate([size + fixed for size in sizes[:-1]], initial=start))]
    for gap, column in zip(made.gaps, lengths, strict=True):
        places.append([place + gap for place in map(add, places[-1], column)])
    return places


def _ints(spelled: Sequence[bytes]) -> list[int]:
    table = {number: int.from_bytes(number[1:], "little", signed=number[0] == BININT) for number in set(spelled)}
    return [table[number] for number in spelled]


_DECODED: dict[str, Callable[[Sequence[bytes]], list[Any]]] = {
    "string": lambda spelled: b"\n".join(spelled).decode("ascii").split("\n"),  # the pattern lets no control character through
    "int": _ints,
    "flag": lambda spelled: [_FLAGS[flag] for flag in spelled],
    "float": lambda spelled: list(unpack(f">{len(spelled)}d", b"".join(spelled))),
}
