"""One pickle stream becomes an `ObjectGraph`. The only decoder of opcodes that decides anything (law 2).

Theory. A pickle is a program for a stack machine: literals are pushed, containers are built from the objects above a MARK, a memo names objects
for later use, and a few opcodes ask for something from outside: a name (GLOBAL), a call (REDUCE, NEWOBJ, INST, OBJ), a persistent object
(PERSID), a state (BUILD). This machine runs the first kind and records the second, so its result is what CPython's unpickler would build if every
lookup and call gave an inert stub; a property test holds it to that.

One loop decodes and interprets: the frequent opcodes inline, the rest in `_Machine.rare`. A mark starts a new list, so popping below it is an
IndexError and never silently reaches other objects. The garbage collector is paused: it would walk the growing tree again and again.

Refuses by name: EXT* (the name is a number in the reader's process), out-of-band buffers (SL203), PROTO anywhere but first (CPython takes it anywhere;
no pickler writes that), computed names for STACK_GLOBAL, and any argument or opcode that crosses its frame: CPython before 3.13.15 read on across
the end, so bytes that every static tool showed as data ran as opcodes (gh-154848, SL204).
"""

from __future__ import annotations

from struct import Struct
from struct import error as struct_error
from typing import Any, Protocol

from safeload.budget import Budget, exceeded
from safeload.collector import Paused
from safeload.errors import CheckpointError, StreamError
from safeload.machine import text
from safeload.machine.keys import KeyCounts, check_keys
from safeload.machine.lane import Lane, Memo, floats
from safeload.machine.nodes import NODE_TYPES, Build, Call, CallKind, Effect, Global, Items, Node, ObjectGraph, PersistentId, SetItems
from safeload.machine.repeats import LONGEST_TEXT, Repeats

HIGHEST_PROTOCOL = 5
SET_WEIGHT = 4  # an empty set takes 216 bytes, an empty list 56
STEPS_PER_CHECK = 4_096  # opcodes between two looks at the budget and the clock
KEYS_PER_CHECK = 1_000  # keys put into one container between two looks at the clock
MAX_PLACES = 64  # offsets kept for one name: enough for any report, bounded for any file

_int4 = Struct("<i").unpack_from
_uint2 = Struct("<H").unpack_from
_uint4 = Struct("<I").unpack_from
_uint8 = Struct("<Q").unpack_from
_float8 = Struct(">d").unpack_from

# The opcodes, by pickle's names (PEP 307, 3154, 574). `safeload/opcodes/table.py` describes them; a test holds the two together.
MARK, STOP, POP, POP_MARK, DUP = b"(.012"
FLOAT, INT, BININT, BININT1, LONG, BININT2, NONE = b"FIJKLMN"
PERSID, BINPERSID, REDUCE, STRING, BINSTRING, SHORT_BINSTRING = b"PQRSTU"
UNICODE, BINUNICODE, APPEND, BUILD, GLOBAL, DICT = b"VXabcd"
EMPTY_DICT, APPENDS, GET, BINGET, INST, LONG_BINGET = b"}eghij"
LIST, EMPTY_LIST, OBJ, PUT, BINPUT, LONG_BINPUT = b"l]opqr"
SETITEM, TUPLE, EMPTY_TUPLE, SETITEMS, BINFLOAT = b"st)uG"
PROTO, NEWOBJ, EXT1, EXT2, EXT4, TUPLE1, TUPLE2, TUPLE3, NEWTRUE, NEWFALSE, LONG1, LONG4 = range(0x80, 0x8C)
BINBYTES, SHORT_BINBYTES = b"BC"
SHORT_BINUNICODE, BINUNICODE8, BINBYTES8, EMPTY_SET, ADDITEMS, FROZENSET, NEWOBJ_EX, STACK_GLOBAL, MEMOIZE, FRAME = range(0x8C, 0x96)
BYTEARRAY8, NEXT_BUFFER, READONLY_BUFFER = range(0x96, 0x99)
REFUSED = {EXT1: "EXT1", EXT2: "EXT2", EXT4: "EXT4", NEXT_BUFFER: "NEXT_BUFFER", READONLY_BUFFER: "READONLY_BUFFER"}


class Interleaved(Protocol):
    """Who knows of bytes between the opcodes: joblib writes the elements of an array behind the state of a wrapper object."""

    def behind(self, node: Call, state: Any, position: int) -> int | None:
        """Where the stream goes on, if raw bytes begin at `position`, behind the BUILD that gives `state` to `node`; None if none do."""

    def resume(self, position: int) -> bytes:
        """The stream's bytes from `position` on, as many as are at hand: for a place that lies behind the buffer."""


def interpret(
    data: bytes,
    *,
    budget: Budget,
    start: int = 0,
    member: str | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    interleaved: Interleaved | None = None,
    lenient: bool = False,
    lane: bool = True,
) -> ObjectGraph:
    """Interpret the stream that begins at `data[start]`, up to and including its STOP.

    `data` must be private memory: it is judged here and never read again. `encoding` and `errors` decode the 8-bit strings of Python 2
    (`"bytes"` leaves them bytes), as in torch.load. Bytes behind STOP are the caller's business (`graph.end`).
    `lenient` takes PROTO anywhere and heeds no frames, as CPython's C unpickler does: to find what another reader would find, never for what is built.
    `lane`: take whole tensor records at once (`safeload.machine.lane`); without it every opcode takes the loop, and the graph is the same.

    Raises `StreamError` (SL2xx) for a malformed stream and `LimitExceeded` (SL901); both carry `member`, the offset of the opcode, and in `partial` the
    graph up to there.
    """
    machine = _Machine(data, budget, member, encoding, errors)
    machine.interleaved = interleaved
    machine.lenient = lenient
    if lane and budget.limits.literal_bytes >= LONGEST_TEXT:  # shorter limits are few, and the loop's
        machine.lane = Lane(machine.memo, machine.log)
        machine.repeats = Repeats(machine.lane, machine.changed_at)
    with Paused():
        try:
            return machine.run(start)
        except CheckpointError as error:
            error.partial = machine.graph(None, 0, start)  # a payload before the break must still be named in the report
            raise


class _Machine:
    """The one mutable thing of this stage: stack, marks, memo and log of one stream."""

    __slots__ = (
        "budget",
        "changed_at",
        "data",
        "encoding",
        "errors",
        "globals",
        "interleaved",
        "key_counts",
        "lane",
        "lenient",
        "log",
        "marks",
        "member",
        "memo",
        "mentions",
        "named",
        "paid",
        "protocol",
        "rarely_made",
        "repeats",
        "shift",
        "start",
        "undecodable",
    )

    def __init__(self, data: bytes, budget: Budget, member: str | None, encoding: str, errors: str) -> None:
        self.data = data
        self.budget = budget
        self.member = member
        self.encoding = encoding
        self.errors = errors
        self.memo = Memo()
        self.marks: list[list[Any]] = []  # the stacks below each open MARK
        self.log: list[Node | Effect] = []
        self.globals: dict[tuple[str, str], Global] = {}
        self.mentions: dict[Global, list[int]] = {}
        self.named: dict[Global, int] = {}
        self.changed_at: dict[int, int] = {}
        self.key_counts: KeyCounts = {}
        self.undecodable: StreamError | None = None
        self.paid = 0  # opcodes that the budget knows of
        self.protocol = 0
        self.start = 0
        self.shift = 0  # where `data` begins, in the offsets of the stream: not 0 only behind interleaved bytes
        self.interleaved: Interleaved | None = None
        self.lenient = False
        self.lane: Lane | None = None
        self.repeats: Repeats | None = None
        self.rarely_made = 0  # containers that `rare` made, a set counting as SET_WEIGHT

    def run(self, start: int) -> ObjectGraph:  # noqa: PLR0912, PLR0915 - one fused loop is the design: a call per opcode would cost a factor of two
        """The loop. `data` and `i` are the current frame, or outside of frames the buffer, and the place in it; `base + i` is the place in the stream.

        The opcodes are told apart by their order, so that none takes more than a handful of comparisons.
        """
        data, base, i, at = self.data, 0, start, start
        self.start = start
        memo, log, marks = self.memo, self.log, self.marks
        longest = self.budget.limits.literal_bytes
        repeats = self.repeats
        size = len(data)
        stack: list[Any] = []
        step = done = made = 0  # `made`: containers, of which a one-byte opcode makes 50 bytes and more
        due = STEPS_PER_CHECK  # of the lane's opcodes
        ended_frames = 0  # each costs the loop a step that is no opcode
        try:
            while True:
                for step in range(STEPS_PER_CHECK):
                    at = i
                    try:
                        op = data[i]
                    except IndexError:
                        if data is self.data:
                            raise self._error("the stream ends before STOP", base + at, "SL202") from None
                        data, base, i = self.data, self.shift, base + i - self.shift  # the frame is used up exactly: go on behind it
                        size = len(data)
                        ended_frames += 1
                        continue
                    i += 1
                    # the memo, tuples, and what fills a dict: from `h` to `}`
                    if BINGET <= op <= EMPTY_DICT:
                        if op == LONG_BINPUT:
                            memo[_uint4(data, i)[0]] = stack[-1]
                            i += 4
                        elif op == BINGET:
                            stack.append(memo[data[i]])
                            i += 1
                        elif op == BINPUT:
                            memo[data[i]] = stack[-1]
                            i += 1
                        elif op == TUPLE:
                            items = stack
                            stack = marks.pop()
                            stack.append(tuple(items))
                            made += 1
                        elif op == LONG_BINGET:
                            stack.append(memo[_uint4(data, i)[0]])
                            i += 4
                        elif op == SETITEMS:
                            items = stack
                            stack = marks.pop()
                            self._set_items(stack[-1], items, base + at)
                            if repeats is not None and marks:
                                i = repeats.item(data, base, i, len(marks), stack)
                                if repeats.lane.opcodes >= due:
                                    due = repeats.lane.opcodes + STEPS_PER_CHECK
                                    self._check_budget(done + step + 1 - ended_frames, stack, made, base + at)
                        elif op == EMPTY_DICT:
                            stack.append({})
                            made += 1
                        elif op == SETITEM:
                            value = stack.pop()
                            key = stack.pop()
                            self._set_items(stack[-1], [key, value], base + at)
                        else:
                            stack, i = self.rare(op, data, i, stack, base + at)
                    # numbers, marks and None: up to `N`
                    elif op <= NONE:
                        if op == BININT1:
                            stack.append(data[i])
                            i += 1
                        elif op == MARK:
                            if not stack and repeats is not None and marks and (end := repeats.begin(data, base, at, marks)):
                                stack, i = marks.pop(), end
                                if repeats.lane.opcodes >= due:
                                    due = repeats.lane.opcodes + STEPS_PER_CHECK
                                    self._check_budget(done + step - ended_frames, stack, made, base + at)
                            else:
                                marks.append(stack)
                                stack = []
                        elif op == BININT2:
                            stack.append(_uint2(data, i)[0])
                            i += 2
                        elif op == BININT:
                            stack.append(_int4(data, i)[0])
                            i += 4
                        elif op == EMPTY_TUPLE:
                            stack.append(())
                        elif op == BINFLOAT:
                            if repeats is not None and i + 8 < size and data[i + 8] == BINFLOAT:  # a list of them, most likely
                                numbers = floats(data, at)
                                stack += numbers
                                i += 9 * len(numbers) - 1
                                repeats.lane.opcodes += len(numbers) - 1
                                if repeats.lane.opcodes >= due:
                                    due = repeats.lane.opcodes + STEPS_PER_CHECK
                                    self._check_budget(done + step - ended_frames, stack, made, base + at)
                            else:
                                stack.append(_float8(data, i)[0])
                                i += 8
                        elif op == NONE:
                            stack.append(None)
                        elif op == STOP:
                            break
                        else:
                            stack, i = self.rare(op, data, i, stack, base + at)
                    # strings, lists, and what would call: from `Q` to `e`
                    elif op < BINGET:
                        if op == BINUNICODE:
                            (length,) = _uint4(data, i)
                            end = i + 4 + length
                            if end > size:
                                raise self._cut(base + at, end - size, data)
                            if length > longest:
                                raise self._too_long(length, base + at)
                            stack.append(data[i + 4 : end].decode("utf-8", "surrogatepass"))
                            i = end
                        elif op == REDUCE:
                            args = stack.pop()
                            func = stack[-1]
                            if type(args) is not tuple or type(func) not in NODE_TYPES:
                                raise self._bad_call(func, args, base + at)
                            stack[-1] = call = Call(len(log), base + at, "reduce", func, args)
                            log.append(call)
                        elif op == BINPERSID:
                            stack[-1] = node = PersistentId(len(log), base + at, stack[-1])
                            log.append(node)
                        elif op == EMPTY_LIST:
                            stack.append([])
                            made += 1
                        elif op == APPENDS:
                            items = stack
                            stack = marks.pop()
                            self._append(stack[-1], items, base + at)
                            if repeats is not None and marks:
                                i = repeats.item(data, base, i, len(marks), stack)
                                if repeats.lane.opcodes >= due:
                                    due = repeats.lane.opcodes + STEPS_PER_CHECK
                                    self._check_budget(done + step + 1 - ended_frames, stack, made, base + at)
                        elif op == APPEND:
                            value = stack.pop()
                            self._append(stack[-1], [value], base + at)
                        elif op == BUILD:
                            state = stack.pop()
                            self._build(stack[-1], state, base + at)
                            if self.interleaved is not None:
                                data, base, i = self._behind_build(stack[-1], state, data, base, i)
                                size = len(data)
                        else:
                            stack, i = self.rare(op, data, i, stack, base + at)
                    # protocols 2 and up: from 0x80
                    elif op == MEMOIZE:
                        if memo.pending:
                            memo.settle()
                        memo[len(memo)] = stack[-1]
                    elif op == SHORT_BINUNICODE:
                        end = i + 1 + data[i]
                        if end > size:
                            raise self._cut(base + at, end - size, data)
                        stack.append(data[i + 1 : end].decode("utf-8", "surrogatepass"))
                        i = end
                    elif op == TUPLE2:
                        last = stack.pop()
                        stack[-1] = (stack[-1], last)
                        made += 1
                    elif op == NEWFALSE:
                        stack.append(False)
                    elif op == NEWTRUE:
                        stack.append(True)
                    elif op == TUPLE1:
                        stack[-1] = (stack[-1],)
                        made += 1
                    elif op == TUPLE3:
                        last = stack.pop()
                        middle = stack.pop()
                        stack[-1] = (stack[-1], middle, last)
                        made += 1
                    elif op == FRAME:
                        if self.lenient:
                            _uint8(data, i)
                            i += 8
                            continue
                        if data is not self.data:
                            raise self._error("a frame begins before the one around it is used up", base + at, "SL204")
                        data, base, i = self._enter_frame(i, at)
                        size = len(data)
                    else:
                        stack, i = self.rare(op, data, i, stack, base + at)
                else:
                    done += STEPS_PER_CHECK
                    self._check_budget(done - ended_frames, stack, made, base + at)
                    continue
                break
            root = stack.pop()
        except IndexError:
            raise self._underflow(data, i, base, at) from None
        except KeyError as error:
            raise self._error(f"the memo holds no object {error.args[0]}", base + at, "SL201") from None
        except RecursionError:  # two equal keys are compared item by item, and the caller may stand deep already
            raise self._error("a dict key or set item is too deep to compare", base + at, "SL205") from None
        except struct_error:
            raise self._cut(base + at, 1, data) from None
        except UnicodeDecodeError as error:
            raise self._error(f"a string is not {error.encoding}: {error.reason}", base + at, "SL201") from None
        if stack or marks:
            raise self._error("objects are left on the stack at STOP", base + at, "SL201")
        if data is not self.data and i != len(data):
            raise self._error("STOP stands before the end of its frame", base + at, "SL204")
        return self._finish(root, done + step + 1 - ended_frames, base + i)

    def _finish(self, root: Any, steps: int, end: int) -> ObjectGraph:
        opcodes = self._spend(steps, end)
        if self.undecodable is not None:
            raise self.undecodable
        return self.graph(root, opcodes, end)

    def graph(self, root: Any, opcodes: int, end: int) -> ObjectGraph:
        """What was read so far, as a record."""
        return ObjectGraph(
            root=root,
            log=self.log,
            globals=self.globals,
            mentions=self.mentions,
            named=self.named,
            changed_at=self.changed_at,
            runs=self.lane.runs if self.lane is not None else [],
            protocol=self.protocol,
            opcodes=opcodes,
            start=self.start,
            end=end,
        )

    # ---- effects ----------------------------------------------------------------------------------------------------------------------

    def _set_items(self, target: Any, items: list[Any], at: int) -> None:
        if len(items) % 2:
            raise self._error("SETITEMS has a key without a value", at, "SL201")
        kind = type(target)
        if kind is dict:
            keys = items[::2]
            check_keys(keys, target, self.key_counts, self.budget.limits, self.member, at)
            if len(keys) <= KEYS_PER_CHECK:
                target.update(zip(keys, items[1::2], strict=True))
            else:
                for first in range(0, len(keys), KEYS_PER_CHECK):  # ints can be laid out along the probes of a dict, so a large one may take long
                    target.update(zip(keys[first : first + KEYS_PER_CHECK], items[2 * first + 1 : 2 * (first + KEYS_PER_CHECK) : 2], strict=True))
                    self.budget.check_time(self.member, at)
            self.changed_at[id(target)] = len(self.log)
        elif kind in NODE_TYPES:
            self.log.append(SetItems(len(self.log), at, target, items))
        else:  # CVE-2026-24747: torch let SETITEM write into whatever object was there
            raise self._error(f"SETITEM(S) into a {kind.__name__}", at, "SL201")

    def _append(self, target: Any, items: list[Any], at: int) -> None:
        kind = type(target)
        if kind is list:
            target.extend(items)
            self.changed_at[id(target)] = len(self.log)
        elif kind in NODE_TYPES:
            self.log.append(Items(len(self.log), at, "append", target, items))
        else:
            raise self._error(f"APPEND(S) to a {kind.__name__}", at, "SL201")

    def _add(self, target: Any, items: list[Any], at: int) -> None:
        kind = type(target)
        if kind is set:
            check_keys(items, target, self.key_counts, self.budget.limits, self.member, at)
            for first in range(0, len(items), KEYS_PER_CHECK):
                target.update(items[first : first + KEYS_PER_CHECK])
                self.budget.check_time(self.member, at)
            self.changed_at[id(target)] = len(self.log)
        elif kind in NODE_TYPES:
            self.log.append(Items(len(self.log), at, "add", target, items))
        else:
            raise self._error(f"ADDITEMS to a {kind.__name__}", at, "SL201")

    def _build(self, target: Any, state: Any, at: int) -> None:
        if type(target) not in NODE_TYPES:
            raise self._error(f"BUILD on a {type(target).__name__}, which takes no state", at, "SL201")
        self.log.append(Build(len(self.log), at, target, state))

    def _behind_build(self, target: Any, state: Any, data: bytes, base: int, i: int) -> tuple[bytes, int, int]:
        """Step over the raw bytes that follow a state, where any do. A frame may not hold them: the opcodes in front of them have used it up."""
        end = self.interleaved.behind(target, state, base + i) if self.interleaved is not None and type(target) is Call else None
        if end is None:
            return data, base, i
        if data is not self.data and i != len(data):
            raise self._error("raw bytes begin inside a frame", base + i, "SL204")
        if end > self.shift + len(self.data) and self.interleaved is not None:
            self.data, self.shift = self.interleaved.resume(end), end
        return self.data, self.shift, end - self.shift

    # ---- lookups and calls ------------------------------------------------------------------------------------------------------------

    def _global(self, module: str, name: str, at: int) -> Global:
        """The node for a name: one for each distinct name, so that equal keys stay equal, with the offsets of its mentions beside it."""
        node = self.globals.get((module, name))
        if node is None:
            if len(self.globals) >= self.budget.limits.globals:
                raise exceeded("globals", self.budget.limits.globals, "the stream names more globals", self.member, at)
            node = self.globals[module, name] = Global(len(self.log), at, module, name)
            self.mentions[node] = []
            self.log.append(node)
            self.named[node] = 0
        self.named[node] += 1
        places = self.mentions[node]
        if len(places) < MAX_PLACES:
            places.append(at)
        return node

    def _call(self, kind: CallKind, func: Any, args: Any, kwargs: Any, at: int) -> Call:
        if type(func) not in NODE_TYPES or type(args) is not tuple or not (kwargs is None or type(kwargs) is dict):
            raise self._bad_call(func, args, at)
        call = Call(len(self.log), at, kind, func, args, kwargs)
        self.log.append(call)
        return call

    # ---- the rare opcodes -------------------------------------------------------------------------------------------------------------

    def rare(self, op: int, data: bytes, i: int, stack: list[Any], at: int) -> tuple[list[Any], int]:
        """One opcode that the loop does not hold. Returns the stack (a mark may have changed it) and where the next opcode starts."""
        if op in _LITERALS:
            return stack, self._literal(op, data, i, stack, at)
        if op in _MARKED:
            return self._marked(op, data, i, stack, at)
        framed = data is not self.data
        member, limits = self.member, self.budget.limits
        if op == GLOBAL:
            module, i = text.line(data, i, member, at, framed=framed)
            name, i = text.line(data, i, member, at, framed=framed)
            stack.append(self._global(text.name(module, limits, member, at), text.name(name, limits, member, at), at))
        elif op == STACK_GLOBAL:
            qualname, modname = (stack.pop(), stack.pop()) if len(stack) > 1 else (None, None)
            if type(qualname) is not str or type(modname) is not str:
                raise self._error("STACK_GLOBAL looks up a module and a name, and they are not two strings: which name it is nobody can know", at, "SL208")
            if max(len(qualname), len(modname)) > limits.global_name_bytes:
                raise exceeded("global_name_bytes", limits.global_name_bytes, "a name is longer", member, at)
            stack.append(self._global(modname, qualname, at))
        elif op == NEWOBJ:
            args = stack.pop()
            stack[-1] = self._call("newobj", stack[-1], args, None, at)
        elif op == NEWOBJ_EX:
            kwargs, args = stack.pop(), stack.pop()
            stack[-1] = self._call("newobj_ex", stack[-1], args, kwargs, at)
        elif op == PERSID:
            pid, i = text.line(data, i, member, at, framed=framed)
            spelled = self._spelled_id(_ascii(pid, self, at), at)
            node = PersistentId(len(self.log), at, spelled)
            self.log.append(node)
            stack.append(node)
        elif op in (GET, PUT):
            index, i = text.line(data, i, member, at, framed=framed)
            key = text.memo_index(index, limits, member, at)
            if op == GET:
                stack.append(self.memo[key])
            else:
                self.memo[key] = stack[-1]
        elif op == POP:
            if stack:
                stack.pop()
            else:
                stack = self.marks.pop()  # POP of a MARK takes the mark away, as in CPython
        elif op == DUP:
            stack.append(stack[-1])
        elif op == PROTO:
            i = self._proto(data, i, at)
        elif op in REFUSED:
            raise self._error(f"{REFUSED[op]} takes its meaning from outside the file, so it is refused", at, "SL203")
        else:
            raise self._error(f"{bytes((op,))!a} is no opcode", at, "SL201")
        return stack, i

    def _spelled_id(self, pid: str, at: int) -> Any:
        """A persistent id of protocol 0: the tuple that torch gave to the pickler where the text has that form, the text itself else."""
        match = text.storage_id(pid)
        if match is None:
            return pid
        cls = self._global(match["module"], match["name"], at)
        view = (match["view"], int(match["offset"]), int(match["length"])) if match["view"] is not None else None
        return ("storage", cls, match["key"], match["location"], int(match["numel"]), view)

    def _marked(self, op: int, data: bytes, i: int, stack: list[Any], at: int) -> tuple[list[Any], int]:
        """The rare opcodes that take all objects above the last MARK."""
        func: Global | None = None
        if op == INST:  # its name first, so that a stream that breaks right here has still named it
            member, limits, framed = self.member, self.budget.limits, data is not self.data
            module, i = text.line(data, i, member, at, framed=framed)
            name, i = text.line(data, i, member, at, framed=framed)
            if not (module.isascii() and name.isascii()):
                raise self._error("the name of INST is not ASCII", at, "SL201")
            func = self._global(text.name(module, limits, member, at), text.name(name, limits, member, at), at)
        items, stack = stack, self.marks.pop()
        if op == ADDITEMS:
            self._add(stack[-1], items, at)
        elif op == LIST:
            stack.append(items)
            self.rarely_made += 1
        elif op == DICT:
            fresh: dict[Any, Any] = {}
            self._set_items(fresh, items, at)
            stack.append(fresh)
            self.rarely_made += 1
        elif op == FROZENSET:
            fresh_items: set[Any] = set()
            self._add(fresh_items, items, at)
            stack.append(frozenset(fresh_items))
            self.rarely_made += SET_WEIGHT
        elif op == OBJ:
            stack.append(self._call("obj", items[0], tuple(items[1:]), None, at))
        elif op == INST:
            stack.append(self._call("inst", func, tuple(items), None, at))
        # POP_MARK: the objects are gone, and so is the mark
        return stack, i

    def _literal(self, op: int, data: bytes, i: int, stack: list[Any], at: int) -> int:
        """The rare opcodes that push one literal. Returns where the next opcode starts."""
        member, limits = self.member, self.budget.limits
        if op in _COUNTED:
            unpack, width = _COUNTED[op]
            size = unpack(data, i)[0]
            start = i + width
            end = start + size
            if size < 0:
                raise self._error("a length is negative", at, "SL201")
            if end > len(data):
                raise self._cut(at, end - len(data), data)
            if size > limits.literal_bytes:
                raise self._too_long(size, at)
            stack.append(self._counted(op, data[start:end], at))
            return int(end)
        if op == EMPTY_SET:
            stack.append(set())
            self.rarely_made += SET_WEIGHT
            return i
        content, i = text.line(data, i, member, at, framed=data is not self.data)
        if op == INT:
            stack.append({b"00": False, b"01": True}[content] if content in (b"00", b"01") else text.integer(content, limits, member, at))
        elif op == LONG:
            stack.append(text.integer(content.removesuffix(b"L"), limits, member, at))
        elif op == FLOAT:
            stack.append(text.floating(content, member, at))
        elif op == STRING:
            stack.append(self._py2_string(text.quoted(content, member, at), at))
        else:
            stack.append(text.raw_unicode(content, member, at))
        return i

    def _counted(self, op: int, content: bytes, at: int) -> Any:
        if op in (LONG1, LONG4):
            if len(content) > self.budget.limits.integer_bytes:
                raise exceeded("integer_bytes", self.budget.limits.integer_bytes, f"an integer has {len(content):,} bytes, more", self.member, at)
            return int.from_bytes(content, "little", signed=True)
        if op == BINUNICODE8:
            return str(content, "utf-8", "surrogatepass")
        if op in (SHORT_BINSTRING, BINSTRING):
            return self._py2_string(content, at)
        return bytearray(content) if op == BYTEARRAY8 else content

    def _py2_string(self, content: bytes, at: int) -> str | bytes:
        """An 8-bit string. One that cannot be decoded ends the stream, but not before STOP: every name behind it must still be judged."""
        if self.encoding == "bytes":
            return content
        try:
            return content.decode(self.encoding, self.errors)
        except UnicodeError as error:
            if self.undecodable is None:
                what = f"{error.encoding}: {error.reason}" if isinstance(error, UnicodeDecodeError) else f"{self.encoding}: {str(error)[:60]}"
                self.undecodable = self._error(
                    f"a string of Python 2 is not {what}; encoding='latin1' reads any, encoding='bytes' leaves them as they are", at, "SL201"
                )
            return content.decode("latin-1")

    def _proto(self, data: bytes, i: int, at: int) -> int:
        if at != self.start and not self.lenient:
            raise self._error("PROTO stands elsewhere than at the start of the stream", at, "SL201")
        self.protocol = data[i]
        if self.protocol > HIGHEST_PROTOCOL:
            raise self._error(f"protocol {self.protocol} does not exist", at, "SL201")
        return i + 1

    def _enter_frame(self, i: int, at: int) -> tuple[bytes, int, int]:
        (size,) = _uint8(self.data, i)
        start = i + 8
        if start + size > len(self.data):
            raise self._error(f"a frame of {size:,} bytes is longer than what is left of the stream", self.shift + at, "SL202")
        if not size:
            return self.data, self.shift, start
        return self.data[start : start + size], self.shift + start, 0

    # ---- budget and errors ------------------------------------------------------------------------------------------------------------

    def _spend(self, steps: int, at: int) -> int:
        """Pay for what was interpreted since the last time: the steps of the loop, and what the lane took in one of them. Returns all opcodes so far."""
        opcodes = steps + self.lane.opcodes if self.lane is not None else steps
        self.budget.spend_opcodes(opcodes - self.paid, self.member, at)
        self.paid = opcodes
        return opcodes

    def _check_budget(self, steps: int, stack: list[Any], made: int, at: int) -> None:
        member, limits = self.member, self.budget.limits
        self._spend(steps, at)
        if self.lane is not None:
            made += self.lane.made
        if self.memo.top() >= limits.memo_entries and self.memo.settled() > limits.memo_entries:
            raise exceeded("memo_entries", limits.memo_entries, "the stream fills more memo slots", member, at)
        if len(self.log) > limits.graph_nodes:
            raise exceeded("graph_nodes", limits.graph_nodes, "the stream holds more calls and effects", member, at)
        if made + self.rarely_made > limits.containers:
            raise exceeded("containers", limits.containers, "the stream makes more containers", member, at)
        if len(stack) > limits.stack or len(self.marks) > limits.stack:
            raise exceeded("stack", limits.stack, "the stream keeps more objects on the stack", member, at)

    def _error(self, message: str, at: int, rule: str) -> StreamError:
        return StreamError(message, rule=rule, member=self.member, offset=at)

    def _cut(self, at: int, missing: int, data: bytes) -> StreamError:
        if data is not self.data:
            return self._error("an argument crosses the end of its frame", at, "SL204")
        return self._error(f"the stream ends inside an argument; at least {missing:,} more byte{'s' * (missing > 1)} would be needed", at, "SL202")

    def _too_long(self, size: int, at: int) -> Exception:
        return exceeded("literal_bytes", self.budget.limits.literal_bytes, f"a string has {size:,} bytes, more", self.member, at)

    def _underflow(self, data: bytes, i: int, base: int, at: int) -> StreamError:
        if i >= len(data) and data[at] in _ONE_BYTE_ARGUMENT:
            return self._cut(base + at, 1, data)
        return self._error("an opcode takes more objects than the stack holds", base + at, "SL201")

    def _bad_call(self, func: Any, args: Any, at: int) -> StreamError:
        if type(func) not in NODE_TYPES:
            return self._error(f"a {type(func).__name__} is called, which is no class or function", at, "SL201")
        return self._error(f"the arguments of a call are a {type(args).__name__}, not a tuple", at, "SL201")


def _ascii(pid: bytes, machine: _Machine, at: int) -> str:
    try:
        return pid.decode("ascii")
    except UnicodeDecodeError:
        raise StreamError("a persistent id is not ASCII", rule="SL201", member=machine.member, offset=at) from None


_length1 = Struct("<B").unpack_from
_COUNTED = {
    LONG1: (_length1, 1),
    LONG4: (_int4, 4),
    BINSTRING: (_int4, 4),
    SHORT_BINSTRING: (_length1, 1),
    BINBYTES: (_uint4, 4),
    SHORT_BINBYTES: (_length1, 1),
    BINUNICODE8: (_uint8, 8),
    BINBYTES8: (_uint8, 8),
    BYTEARRAY8: (_uint8, 8),
}
_LITERALS = frozenset({*_COUNTED, EMPTY_SET, INT, LONG, FLOAT, STRING, UNICODE})
_MARKED = frozenset({ADDITEMS, LIST, DICT, FROZENSET, OBJ, INST, POP_MARK})
_ONE_BYTE_ARGUMENT = frozenset({BINPUT, BINGET, BININT1, SHORT_BINUNICODE, PROTO})
