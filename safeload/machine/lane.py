"""Whole tensor records become calls in one step: what torch.save writes for every tensor, known by one compiled pattern and not opcode by opcode.

A tensor is some thirty opcodes that differ from one to the next in a few bytes (protocol 2, torch's default):

    name PUT func ( ( 'storage' type key PUT location numel t PUT Q offset size PUT stride PUT requires_grad OrderedDict ) R PUT t PUT R PUT
                    ^ here the lane begins, at the second of two MARKs above a name; the next records may follow at once, with theirs before them

The lane is no second reading (law 2): it sees the very bytes at which the loop stands, takes a record only as a whole, and leaves stack, memo and log
exactly as the loop would. Whatever is not such a record is left to the loop, every error among it; a property test runs both over all streams that there
are and holds their graphs together.

What makes that so: all that a record gets from the memo lies there before its first PUT (every index is below it), its PUTs are numbered one after the
other, and what it calls are names. Nothing in it can fail then, and in which order the memo is read and written makes no difference. Two more conditions, on
the tag `'storage'` and the location (text) and the storage type (a name), keep what is odd out of the runs that later stages judge as one.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from functools import cache
from itertools import islice
from operator import itemgetter
from struct import unpack
from typing import Any

from safeload.machine.nodes import Call, Effect, Geometry, Global, Node, PersistentId, TensorRun

LAST_SHORT_PUT = 255  # a record's PUTs are BINPUTs up to this index, and LONG_BINPUTs behind it
MOST_PUTS = 10  # of a record
MAX_CACHED = 1 << 16  # decoded arguments kept, of one stream
STREAK = 16  # records with the same numbers before they are taken in columns (`safeload.machine.repeats`)
_Match = Callable[[bytes, int], "re.Match[bytes] | None"]
MAX_BATCH = 1_024  # records taken in one step of the loop, which looks at the budget in between

_GETS = (b"h", b"j")
_GET = rb"(h.|j....)"
_NUMBER = rb"(?:K.|M..|J...[\x00-\x7f])"  # BININT is signed: taken where it is not negative
_SIZE = rb"(\)|%(n)b(?:\x85|%(n)b(?:\x86|%(n)b\x87))|\(%(n)b{4,8}t)" % {b"n": _NUMBER}  # EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE


def _record(op: bytes, low: bytes, high: bytes, same: bytes) -> _Match:
    """What matches one record. The argument of a PUT is two groups, `low` and `high`; behind that of the storage id the second is `same`, and no group."""
    put, later = op + b"(" + low + b")(" + high + b")", op + b"(" + low + b")" + same
    return re.compile(
        rb"(?:(?:X(.)\0\0\0([ -~]{1,255}?)" + put + rb"|" + _GET + rb")(?=[hj]))?"  # behind another record: a name, new or known
        rb"((?:(?:h.|j....)\()?\((?:h.|j....)(?:h.|j....))"  # and the function again with the first MARK; the second MARK, 'storage', the storage type
        rb"(?:X(.)\0\0\0([!-~]{1,48}?)" + put + rb"|" + _GET + rb")"  # the key of a new storage, or that of an earlier one
        + _GET + rb"(" + _NUMBER + rb")(N?)"  # N: no view of the storage, in torch's sequential format
        + b"t" + op + rb"(" + low + rb")(?P<high>" + high + rb")Q"
        + rb"(" + _NUMBER + rb")" + _SIZE + rb"(?:" + later + rb")?" + _SIZE + rb"(?:" + later + rb")?"
        + rb"([\x88\x89])" + _GET + rb"\)R" + later + rb"t" + later + rb"R" + later,
        re.DOTALL,
    ).match  # fmt: skip


@cache
def _short() -> tuple[_Match, _Match, int]:
    """Records at the beginning of a stream, the one behind them, and the length of their PUTs. Compiled where they are met first."""
    return _record(b"q", rb".", rb"", rb""), _across, 2


def _across(data: bytes, at: int) -> re.Match[bytes] | None:
    """The one record with PUTs of both lengths: compiled only for a stream that gets so far."""
    return _mixed()(data, at)


@cache
def _mixed() -> _Match:
    return _record(b"[qr]", rb"(?:(?<=q).|(?<=r)....)", rb"", rb"")


@cache
def _long() -> tuple[_Match, _Match, int]:
    """Records behind it: those whose PUTs share their upper three bytes, as 31 of 32 do, and others."""
    return _record(b"r", rb".", rb"...", rb"(?P=high)"), _record(b"r", rb"....", rb"", rb""), 5


_FIXED_OPCODES = 14  # behind the second MARK, without PUTs, and the numbers of size and stride
_FIXED_BYTES = 6  # from the BINPERSID to the end, without PUTs, offset, size, stride and the name of the hooks

_EACH_GET = re.compile(rb"h.|j....", re.DOTALL).findall
_EACH_NUMBER = re.compile(_NUMBER, re.DOTALL).findall
_ONE = [bytes((number,)) for number in range(256)]
# What the low bytes of the PUTs behind that of a storage id are: five, or three where size and stride have none, being empty.
_FIVE = {_ONE[low]: tuple(_ONE[low + 1 : low + 6]) for low in range(251)}
_BEFORE = {_ONE[low + 1]: _ONE[low] for low in range(255)}
_THREE = {_ONE[low]: (None, None, *_ONE[low + 1 : low + 4]) for low in range(251)}


class Memo(dict[int, Any]):
    """The memo of a stream. What the lane put there waits in `pending` until something asks for it, which is seldom: PUTs outnumber GETs by far.

    Every index that waits was new when it was put, so what has come to stand under it in the meantime is newer (`settle`).
    """

    __slots__ = ("_checked", "_top", "pending")

    def __init__(self) -> None:
        super().__init__()
        self.pending: list[tuple[int, tuple[Any, ...]]] = []  # the first index, and what stands there and behind it
        self._checked = 0  # entries that `_top` was reckoned from
        self._top = -1

    def __missing__(self, index: int) -> Any:
        at = bisect_right(self.pending, index, key=_FIRST) - 1
        if at >= 0:
            first, objects = self.pending[at]
            if index - first < len(objects):
                self[index] = found = objects[index - first]
                return found
        raise KeyError(index)

    def settle(self) -> None:
        """Put what waits where it belongs."""
        for first, objects in self.pending:
            for index, value in enumerate(objects, first):
                self.setdefault(index, value)
        self.pending.clear()

    def settled(self) -> int:
        """How many entries there are, with nothing left waiting."""
        self.settle()
        return len(self)

    def top(self) -> int:
        """The highest index so far. New ones stand at the end of a dict, so each is looked at once."""
        new = len(self) - self._checked
        if new:
            self._checked += new
            newest = next(reversed(self)) if new == 1 else max(islice(reversed(self), new))
            self._top = max(self._top, newest)
        if self.pending:
            first, objects = self.pending[-1]
            self._top = max(self._top, first + len(objects) - 1)
        return self._top


_FIRST = itemgetter(0)


class Lane:
    """The records of one stream: `runs` notes them for the stages behind, `opcodes` and `made` count what the loop's steps did not."""

    __slots__ = ("ends", "geometries", "log", "made", "memo", "opcodes", "patience", "runs", "slots", "stop", "streak")

    def __init__(self, memo: Memo, log: list[Node | Effect]) -> None:
        self.memo = memo
        self.log = log
        self.opcodes = 0
        self.made = 0
        self.runs: list[TensorRun] = []
        self.stop = -1  # where the last run ends in the log
        self.streak = 0  # records at the end of the last step that have the same numbers
        self.patience = STREAK  # so many of them, and `repeats` learns from the last two
        self.ends = (-1, -1)  # where the record before the last two ended, and the one before the last
        self.geometries: dict[tuple[bytes, ...], Geometry] = {}
        self.slots: dict[tuple[bytes, ...], tuple[int, ...]] = {}

    def take(self, data: bytes, base: int, at: int, stack: list[Any], most: int = MAX_BATCH) -> int:  # noqa: PLR0912, PLR0915 - a call for each record would cost as much again
        """Where the opcodes go on behind the record whose second MARK stands at `data[at]`, and those that follow it; 0 if there is none.

        `stack` is the one below the first MARK, with the function on top.
        """
        if not stack or type(stack[-1]) is not Global or data[at + 1 : at + 2] not in _GETS:  # the first tensor of a stream spells out what others get
            return 0
        top = self.memo.top()
        within, across, width = _long() if top >= LAST_SHORT_PUT else _short()  # `width`: bytes of a PUT
        match = within(data, at) or (across(data, at) if top + MOST_PUTS >= LAST_SHORT_PUT else None)
        if match is None:
            return 0
        memo, log, geometries = self.memo, self.log, self.geometries
        index, end, opcodes, made = len(log), 0, 0, 0
        head: tuple[bytes, ...] = ()
        alike: tuple[Any, ...] = (None, None, None, None, None, False)
        func, tag, cls, place, made_by, requires_grad = alike
        upper_bytes, upper = b"", 0
        run = self.runs[-1] if self.runs and self.stop == index else None
        streak, before, last = 0, -1, None
        for _ in range(most):
            (length, name, name_low, name_high, known_name, front, key_length, key, key_low, key_high, known_key, location, numel, view, low, high,
             offset, size, size_low, stride, stride_low, grad, hooks, hooks_low, args_low, call_low) = match.groups()  # fmt: skip
            # 1. Its PUTs are new, and follow one another. Behind another record, its function must be there.
            if (known_key is None and key_length[0] != len(key)) or (name is not None and length[0] != len(name)) or (end and front[:1] == b"("):
                break
            if (size_low is None) != (stride_low is None):
                break
            lows = (size_low, stride_low, hooks_low, args_low, call_low)
            if (
                lows == (_FIVE if size_low is not None else _THREE).get(low)
                and (known_key is not None or (key_high == high and key_low == _BEFORE.get(low)))
                and (name is None or (name_high == high and name_low == _BEFORE.get(low if known_key is not None else key_low)))
            ):
                if high != upper_bytes:
                    upper_bytes, upper = high, int.from_bytes(high, "little") << 8
                first = (upper | low[0]) - (known_key is None) - (name is not None)
                behind_call, behind_hook, behind_id = width, 3 * width, (3 if size_low is None else 5) * width
            else:
                first = _first([name_low and name_low + name_high, key_low and key_low + key_high, low + high, *[low and low + high for low in lows]])
                widths = [1 + len(low + high) for low in lows if low is not None]
                behind_call, behind_hook, behind_id = widths[-1], sum(widths[-3:]), sum(widths)
                last = None  # spelled unlike its neighbours
            if first <= top:
                break
            # 2. What it has from the memo is there. Nothing there changes while the lane goes on, so the same head gets the same objects.
            try:
                if (front, location, hooks, grad) != head:
                    head = (front, location, hooks, grad)
                    one, two, three, four, five = self.slots.get(head) or self._meet(head)
                    alike = (memo[one] if end else stack[-1], memo[two], memo[three], memo[four], memo[five], grad == b"\x88")
                    func, tag, cls, place, made_by, requires_grad = alike
                    if not (type(func) is type(cls) is type(made_by) is Global and type(tag) is type(place) is str):
                        break
                    if run is not None and alike != run.alike:
                        run = None
                storage_key = key.decode() if known_key is None else memo[_index(known_key)]
                label = name.decode() if name is not None else memo[_index(known_name)] if known_name is not None else None
            except KeyError:
                break
            # 3. So it is one.
            geometry = geometries.get((numel, offset, size, stride)) or self._measure((numel, offset, size, stride))
            earlier, before = before, end
            was, end = end, match.end()
            streak = streak + 1 if geometry is last and known_key is None else 0
            last = geometry
            pid = (tag, cls, storage_key, place, geometry.numel) if not view else (tag, cls, storage_key, place, geometry.numel, None)
            storage = PersistentId(index, base + end - geometry.behind - len(hooks) - behind_id, pid)
            hook = Call(index + 1, base + end - 3 - behind_hook, "reduce", made_by, ())
            args = (storage, geometry.offset, geometry.size, geometry.stride, requires_grad, hook)
            call = Call(index + 2, base + end - 1 - behind_call, "reduce", func, args)
            log += (storage, hook, call)
            put: tuple[Any, ...] = (pid, hook, args, call) if size_low is None else (pid, geometry.size, geometry.stride, hook, args, call)
            if known_key is None:
                put = (storage_key, *put) if name is None else (label, storage_key, *put)
            elif name is not None:
                put = (label, *put)
            memo.pending.append((first, put))
            top = first + len(put) - 1
            if not was:
                stack[-1] = call
            elif name is None and known_name is None:
                stack.append(call)
                opcodes += 3
            else:
                stack += (label, call)
                opcodes += 4
            opcodes += geometry.opcodes + len(put) + len(view)
            made += geometry.made
            if run is None:
                run = TensorRun(start=index, alike=alike, keys=[], geometries=[])
                self.runs.append(run)
            run.keys.append(storage_key)
            run.geometries.append(geometry)
            index += 3
            if streak == self.patience:
                self.ends = (earlier, before)
                break
            if width == 2 and top >= LAST_SHORT_PUT:
                within, across, width = _long()
            match = within(data, end) or (across(data, end) if top + MOST_PUTS >= LAST_SHORT_PUT else None)
            if match is None:
                break
        self.streak = streak
        self.opcodes += opcodes
        self.made += made
        self.stop = index
        return end

    def _meet(self, head: tuple[bytes, ...]) -> tuple[int, ...]:
        """The slots of the memo that a record names: for its function (-1: it stands on the stack), `'storage'`, the storage type, the location, the hooks."""
        gets = [get for part in head[:3] for get in _EACH_GET(part)]
        self.slots[head] = slots = tuple([_index(get) for get in gets]) if len(gets) == 5 else (-1, *[_index(get) for get in gets])
        return slots

    def _measure(self, spelled: tuple[bytes, ...]) -> Geometry:
        """The numbers of a record, decoded once for all that have the same: most tensors of a model share their shape with others."""
        numel, offset, size, stride = spelled
        sizes, strides = _numbers(size), _numbers(stride)
        if len(self.geometries) >= MAX_CACHED:
            self.geometries.clear()
        geometry = self.geometries[spelled] = Geometry(
            numel=_numbers(numel)[0],
            offset=_numbers(offset)[0],
            size=sizes,
            stride=strides,
            opcodes=_FIXED_OPCODES + _opcodes(sizes) + _opcodes(strides),
            made=2 + bool(sizes) + bool(strides),
            behind=_FIXED_BYTES + len(offset) + len(size) + len(stride),
        )
        return geometry


@cache
def _run_of_floats() -> _Match:
    return re.compile(rb"(?:G.{8}){1,%d}" % MAX_BATCH, re.DOTALL).match


def floats(data: bytes, at: int) -> tuple[float, ...]:
    """The arguments of the BINFLOATs that follow one another from `data[at]` on, of which the first is whole."""
    match = _run_of_floats()(data, at)
    numbers = bytearray(match[0] if match is not None else b"")
    del numbers[::9]  # the opcodes
    return unpack(f">{len(numbers) // 8}d", numbers)


def _first(puts: list[bytes | None]) -> int:
    """The index of the first PUT, where those that are there follow one another; -1 else."""
    indexes = [int.from_bytes(put, "little") for put in puts if put is not None]
    return indexes[0] if indexes == list(range(indexes[0], indexes[0] + len(indexes))) else -1


def _index(get: bytes) -> int:
    """The argument of BINGET or LONG_BINGET."""
    return int.from_bytes(get[1:], "little")


def _numbers(spelled: bytes) -> tuple[int, ...]:
    """The arguments of BININT1, BININT2 and BININT, between the opcodes of a tuple."""
    return tuple([int.from_bytes(number[1:], "little") for number in _EACH_NUMBER(spelled.removeprefix(b"("))])


def _opcodes(numbers: tuple[int, ...]) -> int:
    """How many opcodes make a tuple of these: EMPTY_TUPLE, each number and TUPLE1 to TUPLE3, or MARK, each number and TUPLE."""
    return len(numbers) + 1 + (len(numbers) > 3)
