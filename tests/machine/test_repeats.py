"""Columns and the loop are one machine: units that are taken together give the graph, the memo and the counters that they give one by one."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from corpus.manifest import Entry, entries
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from property.programs import mutated, programs

from machine.test_lane import Writer, get, held, many, number, one, put, text
from safeload.api import read
from safeload.budget import Budget
from safeload.errors import LimitExceeded
from safeload.limits import Limits
from safeload.machine import repeats
from safeload.machine.interpret import interpret
from safeload.machine.lane import Lane, Memo
from safeload.machine.nodes import ObjectGraph
from safeload.machine.repeats import Repeats, Rows

FIXTURE_STAYS = [HealthCheck.function_scoped_fixture]  # it only sets thresholds, the same for every example


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Learn from the second item on, however little follows; collects how many units were taken at a time."""
    taken: list[int] = []
    take = Repeats.take

    def counted(self: Repeats, *args: Any) -> tuple[int, int]:
        behind, count = take(self, *args)
        taken.append(count)
        return behind, count

    monkeypatch.setattr(Repeats, "ahead", 0)
    monkeypatch.setattr(Repeats, "first_look", 2)
    monkeypatch.setattr(repeats, "TEMPLATES", 1_000)
    monkeypatch.setattr("safeload.machine.lane.STREAK", 1)
    monkeypatch.setattr(Repeats, "take", counted)
    yield taken


# ---- streams that repeat themselves -------------------------------------------------------------------------------------------------------

scalars = st.one_of(
    st.sampled_from([None, True, False, 0, 1, 255, 256, 65_535, 65_536, -1, -(2**31), 2**31 - 1, 2**31, 2**70, 0.0, -1.5, float("inf"), float("nan"), b"x"]),
    st.text(max_size=4),
    st.sampled_from(["", "a", "run-1", "rq%r", "q\x01r", "é", "n" * 255, "n" * 256, "\n", "X\0\0\0"]),
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple) | st.dictionaries(
    st.sampled_from(["a", "b", 3, None, 2.5, (1, 2)]), inner, max_size=3), max_leaves=6)  # fmt: skip


@st.composite
def logs(draw: st.DrawFn) -> bytes:
    """A list or dict of records that have one shape, most of them, pickled."""
    fields = draw(st.lists(st.sampled_from(["step", "loss", "name", "tags", "é", 7]), min_size=1, max_size=4, unique=True))
    pools = [draw(st.lists(values, min_size=1, max_size=3)) for _ in fields]
    records = [
        {field: pool[draw(st.integers(0, len(pool) - 1))] for field, pool in zip(fields, pools, strict=True)} for _ in range(draw(st.integers(3, 20)))
    ]
    if draw(st.booleans()):
        records = [pickle.loads(pickle.dumps(record)) for record in records]  # nothing in one is the very object of another
    shape = draw(st.sampled_from(["list", "dict", "rows"]))
    filler = list(range(1_000, 1_000 + draw(st.sampled_from([0, 0, 300]))))
    strings = [str(item) for item in filler]  # they fill the memo, so that PUTs are long from the start
    body: Any = records if shape == "list" else {f"k{index}": record for index, record in enumerate(records)}
    if shape == "rows":
        body = [list(record.values()) for record in records]
    return pickle.dumps([strings, body, draw(values)], protocol=draw(st.sampled_from([1, 2, 3, 4, 5])))


@st.composite
def states(draw: st.DrawFn) -> bytes:
    """The state of an optimizer: a dict for each parameter, with tensors of few shapes."""
    writer = Writer(draw(st.sampled_from([250, 300, 2**24 - 40, 2**32 - 1_500])))
    parts = [b"\x80\x02}", writer.put(), b"("]
    shapes = draw(st.lists(st.sampled_from([(), (4,), (2, 2), (1, 2, 2, 1)]), min_size=1, max_size=3))
    kind = draw(st.sampled_from(["FloatStorage", "LongStorage"]))
    own = draw(st.booleans())  # has each storage its own key
    for index in range(draw(st.integers(3, 12))):
        numel = draw(st.sampled_from([4, 4, 4, 300]))
        parts += [number(index), b"}", writer.put(), b"("]
        inside = [
            writer.once(("part", place), text(f"part.{place}"))
            + writer.tensor(str(3 * index + place if own else place), kind, "cpu", numel, 0, shape, (1,) * len(shape), place == 2, False)
            for place, shape in enumerate(shapes)
        ]
        parts += [*inside, b"u"]
    return b"".join([*parts, b"u."])


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """The same with a few bytes changed, where a unit may stand that columns are about to take."""
    data = bytearray(draw(logs() | states()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data) - 1))
        how = draw(st.sampled_from(["byte", "near", "insert", "drop", "double", "cut"]))
        if how == "byte":
            data[at] = draw(st.integers(0, 255))
        elif how == "near":
            data[at] = (data[at] + draw(st.sampled_from([-8, -1, 1, 8]))) & 0xFF
        elif how == "insert":
            data[at:at] = draw(st.sampled_from([b"0", b"2", b"N", b"(", b"\x94", b"h\x00", b"q\x05", b"r\x00\x01\x00\x00", b"t", b"R", b"}", b"u", b"e"]))
        elif how == "drop":
            del data[at : at + draw(st.integers(1, 6))]
        elif how == "double":
            data[at:at] = data[at : at + draw(st.integers(1, 150))]
        elif at > 1:
            del data[at:]
        data = data or bytearray(b".")
    return bytes(data)


@given(logs())
@settings(max_examples=300, suppress_health_check=FIXTURE_STAYS)
def test_records_of_plain_data(columns: list[int], data: bytes) -> None:
    held(data)


@given(states())
@settings(max_examples=200, suppress_health_check=FIXTURE_STAYS)
def test_states_of_optimizers(columns: list[int], data: bytes) -> None:
    held(data)


@given(broken())
@settings(max_examples=600, suppress_health_check=FIXTURE_STAYS)
@example(b"\x80\x02](](K\x01e](K\x02e](K\x03e](K\x04e](K\x05")
def test_streams_that_are_broken(columns: list[int], data: bytes) -> None:
    held(data)


@given(programs() | mutated())
@settings(max_examples=150, suppress_health_check=FIXTURE_STAYS)
def test_any_program(columns: list[int], data: bytes) -> None:
    held(data)


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.file)
def test_every_stream_of_the_corpus(entry: Entry, columns: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    reading = read(entry.data(), encoding=entry.encoding, policy="inspect")
    for _, data, graph in reading.graphs:
        if graph.opcodes and graph.end <= len(data) and reading.report.format != "joblib":  # joblib's streams hold raw bytes between opcodes
            held(data, start=graph.start, encoding=entry.encoding)
    monkeypatch.setattr(Lane, "take", lambda *_: 0)
    monkeypatch.setattr(Repeats, "item", lambda self, data, base, end, depth, stack: end)
    assert read(entry.data(), encoding=entry.encoding, policy="inspect").report == reading.report


# ---- what is taken ------------------------------------------------------------------------------------------------------------------------


def log(count: int, protocol: int) -> bytes:
    records = [{"step": n, "loss": n / 7, "name": f"run-{n % 7}", "tags": ["a", n, None], "done": n % 3 == 0, "at": (n, -n)} for n in range(count)]
    return pickle.dumps(records, protocol=protocol)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_most_records_of_a_log_are_taken_in_columns(protocol: int, columns: list[int]) -> None:
    data = log(3_000, protocol)
    assert held(data).root == pickle.loads(data)
    assert sum(columns) > 2_800


def test_without_any_change_of_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    take = Repeats.take

    def counted(self: Repeats, *args: Any) -> tuple[int, int]:
        behind, count = take(self, *args)
        found.append(count)
        return behind, count

    monkeypatch.setattr(Repeats, "take", counted)
    held(many(3_000))
    assert sum(found) > 2_900
    found.clear()
    held(log(3_000, 2))
    assert sum(found) > 2_500
    found.clear()
    held(log(20, 2))
    assert not found  # to learn takes longer than to interpret so few


def adam(parameters: int, first: int = 300) -> bytes:
    writer = Writer(first)
    parts = [b"\x80\x02}" + writer.put() + b"("]
    for index in range(parameters):
        parts += [number(index), b"}", writer.put(), b"("]
        inside = [
            writer.once(("part", place), text(name))
            + writer.tensor(str(3 * index + place), "FloatStorage", "cpu", 1 if not place else 4, 0, (2, 2)[: 2 * place], (2, 1)[: 2 * place], False, False)
            for place, name in enumerate(("step", "exp_avg", "exp_avg_sq"))
        ]
        parts += [*inside, b"u"]
    return b"".join([*parts, b"u."])


def test_the_state_of_adam_is_one_run(columns: list[int]) -> None:
    graph = held(adam(700))
    assert sum(columns) > 680
    assert len(graph.runs) == 1 and len(graph.runs[0].keys) == 3 * 700 - 1


def test_what_columns_put_into_the_memo_can_be_got(columns: list[int]) -> None:
    data = adam(40)
    for slot in (301, 340, 400, 511, 512, 700, 300 + 5 + 40 * 20):
        assert held(data[:-1] + b"0" + get(slot) + b".").runs
    held(data[:-1] + put(500) + b"0" + get(500) + b"\x94" + get(501) + b"\x86.")
    assert sum(columns)


@pytest.mark.parametrize("at", [5, 20, 21, 39])
def test_a_unit_that_differs_ends_the_columns(at: int, columns: list[int]) -> None:
    """Another index of a PUT, another length, a name from the memo that is not there yet: the loop takes that one, and says what is wrong with it."""
    parts = []
    for index in range(40):
        slot = 300 + index + (7 if index == at else 0)
        parts.append(b"}r" + struct.pack("<I", slot) + b"(X\x04\0\0\0stepK" + bytes((index,)) + b"u")
    held(b"\x80\x02](N" + put(299) + b"".join(parts) + b"e.")
    short = [b"}r" + struct.pack("<I", 300 + index) + b"(X" + bytes((3 + (index == at),)) + b"\0\0\0abcK" + bytes((index,)) + b"u" for index in range(40)]
    held(b"\x80\x02](N" + put(299) + b"".join(short) + b"e.")
    early = [b"}r" + struct.pack("<I", 300 + index) + b"(X\1\0\0\0aj" + struct.pack("<I", 299 + (index == at)) + b"u" for index in range(40)]
    held(b"\x80\x02](N" + put(299) + b"".join(early) + b"e.")
    assert sum(columns)


def test_the_first_of_several_differences_counts(columns: list[int]) -> None:
    """A length that is wrong in one unit, and the index of a PUT in a later one: the columns end before the first, whichever is looked at last."""
    for wrong, later in ((10, 20), (20, 10)):
        slots = [struct.pack("<I", 300 + index + (9 if index == later else 0)) for index in range(40)]
        parts = [b"}r" + slot + b"(X" + bytes((3 - (index == wrong),)) + b"\0\0\0abcK" + bytes((index,)) + b"u" for index, slot in enumerate(slots)]
        held(b"\x80\x02](N" + put(299) + b"".join(parts) + b"e.")
    data = bytearray(many(40))
    at = data.index(b"layers.17.")
    data[at + 10 : at + 10] = b"0"
    data[data.index(b"layers.20.weight") + len(b"layers.20.weightr")] ^= 0x40
    held(bytes(data))
    assert sum(columns)


def test_a_key_that_is_no_text_is_left_to_the_loop(columns: list[int]) -> None:
    """From the memo may come what has no hash: the loop refuses it."""
    parts = [b"}r" + struct.pack("<I", 300 + index) + b"(" + get(299) + b"K" + bytes((index,)) + b"u" for index in range(40)]
    for what in (b"]", b"N", b"X\1\0\0\0a", b"K\1", b"cos\nsystem\n"):
        held(b"\x80\x02](" + what + put(299) + b"".join(parts) + b"e.")


def test_a_callee_that_is_no_name_is_left_to_the_loop(columns: list[int]) -> None:
    parts = [b"](" + get(299) + b"K" + bytes((index,)) + b"\x85Re" for index in range(40)]
    for what in (b"N", b"cbuiltins\nset\n", b"cos\nsystem\n"):
        graph = held(b"\x80\x02](" + what + put(299) + b"".join(parts) + b"e.")
        assert bool(sum(columns)) is (what != b"N") and isinstance(graph, ObjectGraph)
        columns.clear()


def test_units_are_paid_for(columns: list[int]) -> None:
    data = adam(2_000)
    assert held(data, limits=Limits(opcodes=500_000)).opcodes > 180_000
    for limits in (Limits(opcodes=150_000), Limits(memo_entries=20_000), Limits(graph_nodes=9_000), Limits(containers=9_000), Limits(stack=2_000)):
        for lane in (True, False):
            with pytest.raises(LimitExceeded):
                interpret(data, budget=Budget(limits), lane=lane)


def test_lists_are_paid_for(columns: list[int]) -> None:
    """Also where they all are one container's items, and the loop has nothing else to do."""
    data = b"\x80\x02](" + b"".join(b"](K%ce" % (at % 256) for at in range(30_000)) + b"e."
    assert held(data).opcodes == 4 * 30_000 + 5
    assert sum(columns) > 29_000
    for limits in (Limits(opcodes=100_000), Limits(containers=20_000), Limits(stack=20_000)):
        for lane in (True, False):
            with pytest.raises(LimitExceeded):
                interpret(data, budget=Budget(limits), lane=lane)


def test_a_short_limit_for_strings_is_the_loops(columns: list[int]) -> None:
    with pytest.raises(LimitExceeded):
        interpret(many(100), budget=Budget(Limits(literal_bytes=10)), lane=True)
    assert not columns


def test_patterns_that_find_little_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units that are alike for a while only: no more patterns are made than the bound says, and each is tried a few times in vain."""
    tried: list[int] = []
    take = Repeats.take

    def counted(self: Repeats, *args: Any) -> tuple[int, int]:
        behind, count = take(self, *args)
        tried.append(count)
        return behind, count

    monkeypatch.setattr(Repeats, "take", counted)
    data = b"\x80\x02](" + b"".join(b"](" + b"K\7" * (1 + index // 6 % 40) + b"M%be" % struct.pack("<H", index) for index in range(60_000)) + b"e."
    graph = interpret(data, budget=Budget(Limits()), lane=True)
    assert graph.root == interpret(data, budget=Budget(Limits()), lane=False).root
    assert 0 < len(tried) < 12 * 100


def test_rows_are_a_sequence() -> None:
    rows = Rows([["a", "b"], ("shared",)], 2)
    assert list(rows) == ["a", "shared", "b", "shared"] == [rows[index] for index in range(len(rows))]
    with pytest.raises(IndexError):
        rows[4]


def test_a_list_of_tensors(columns: list[int]) -> None:
    writer = Writer(300)
    graph = held(b"\x80\x02]" + writer.put() + b"(" + b"".join(one(writer, index, named=False) for index in range(50)) + b"e.")
    assert sum(len(run.keys) for run in graph.runs) == 49


# ---- units that are nearly one: the columns leave them to the loop, which says what they are -------------------------------------------------

FLOAT = b"G" + struct.pack(">d", 1.5)
NAMES = b"ctorch._utils\n_rebuild_tensor_v2\nq\x00ccollections\nOrderedDict\nq\x01ctorch\nFloatStorage\nq\x02X\x07\0\0\0storageq\x03X\x03\0\0\0cpuq\x04"
TENSOR = b"h\x00((h\x03h\x02X\x01\0\0\0%ch\x04K\x04tQK\x00K\x04\x85K\x01\x85\x89h\x01)RtR"  # without PUTs; each of the others is bent in one place
BENT: dict[str, tuple[bytes, bytes]] = {
    "as torch writes it": (b"", b""),
    "an id of three": (b"h\x04K\x04tQ", b"tQ"),
    "an id of six with a view": (b"K\x04tQ", b"K\x04h\x02tQ"),
    "an id of six without one": (b"K\x04tQ", b"K\x04NtQ"),
    "seven arguments": (b"RtR", b"RNtR"),
    "hooks that are something else": (b"h\x01)R", b"h\x01K\x05\x85R"),
    "no hooks": (b"\x89h\x01)RtR", b"\x89NtR"),
    "a number for a flag": (b"\x89", b"K\x00"),
    "a number for the key": (b"X\x01\0\0\0%c", b"K%c"),
    "one key for all": (b"X\x01\0\0\0%ch\x04K\x04", b"h\x03h\x04K%c"),
    "a text for the place": (b"h\x04K", b"X\x03\0\0\0cpuK"),
    "a number for the place": (b"h\x04K", b"K\x07K"),
    "a name for the place": (b"h\x04", b"h\x02"),
    "a name for the tag": (b"h\x03", b"h\x02"),
    "a text for the storage type": (b"h\x03h\x02", b"h\x03h\x03"),
    "no number of elements": (b"K\x04tQ", b"NtQ"),
    "a size that is no tuple": (b"K\x04\x85K\x01", b"K\x04K\x01"),
    "a size below zero": (b"K\x04\x85K\x01", b"J\xfc\xff\xff\xff\x85K\x01"),
    "a stride below zero": (b"K\x01\x85\x89", b"J\xff\xff\xff\xff\x85\x89"),
    "another function for the hooks": (b"h\x01)R", b"h\x00)R"),
}


@pytest.mark.parametrize("what", BENT)
def test_tensors_that_are_nearly_torchs(what: str, columns: list[int]) -> None:
    old, new = BENT[what]
    assert old in TENSOR
    unit = TENSOR.replace(old, new, 1) if old else TENSOR
    held(b"\x80\x02](" + NAMES + b"".join(b"](" + unit % (65 + index) + b"e" for index in range(20)) + b"e.")


UNITS: dict[str, Any] = {  # what stands in the list that is one unit, by its number
    "nothing that could differ": lambda at: b"})",
    "nothing differs": lambda at: b"}X\x01\0\0\0aK\x01s",
    "nothing differs but a text of one letter": lambda at: b"}X\x01\0\0\0aX\x01\0\0\0%cs" % (65 + at),
    "a PUT and a MEMOIZE": lambda at: b"]" + put(300 + 2 * at) + b"](K%ce\x94" % at,
    "a mark of its own left open": lambda at: b"K%c((" % at,
    "a key that is a float": lambda at: b"}" + FLOAT + b"K%cs" % at,
    "a key without a value": lambda at: b"}(K%cX\x01\0\0\0au" % at if at < 15 else b"}(K\x01u",
    "names by turns": lambda at: b"h%cK%c\x85R" % (at % 3, at),
    "arguments in a list": lambda at: b"h\x01K%c\x85R" % at if at < 15 else b"h\x01]R",
    "filled twice": lambda at: b"](K%ce(K%ce" % (at, at),
    "filled with nothing": lambda at: b"](eK%ca" % at,
    "filled where it was got": lambda at: b"h\x05K%ca" % at,
    "got from in front of all PUTs": lambda at: b"](K%ch%ce" % (at, at % 3 if at < 15 else 90),
    "got from between the PUTs": lambda at: b"](K%ch%ce" % (at, at % 3 if at < 15 else 50),
    "got from nowhere at once": lambda at: b"](K%ch%ce" % (at, 90 if at == 2 else at % 2),
    "got from nowhere in the first unit of the columns": lambda at: b"](K%ch%ce" % (at, 90 if at == 4 else at % 2),
    "two PUTs, and the second jumps in the first unit of the columns": lambda at: (
        b"]" + put(300 + 2 * at) + b"]" + put(351 if at == 4 else 301 + 2 * at) + b"K%c" % at
    ),
    "an empty list in it": lambda at: b"K%c]" % at,
    "an empty dict in it": lambda at: b"K%c}" % at,
    "a name of two that is got, then one that is not there": lambda at: b"h%cK%c" % (at % 2 if at < 15 else 250, at),
    "a name of two that is got, then one between": lambda at: b"h%cK%c" % (at % 2 if at < 15 else 50, at),
    "called with a flag": lambda at: b"h\x01%c\x85R" % (0x88 + at % 2),
    "called, and then something else": lambda at: b"h\x01K%c\x85R" % at + (b"K\x07q\x010" if at == 15 else b""),
    "a PUT that was there": lambda at: b"]" + put(300 + at if at < 15 else 300) + b"K%ca" % at,
}


@pytest.mark.parametrize("what", UNITS)
@pytest.mark.parametrize("top", [60, 200])
def test_units_that_are_nearly_alike(what: str, top: int, columns: list[int]) -> None:
    """`top`: the highest slot of the memo so far. Behind the fifteenth unit some are another thing, or an error, at the same place as without columns."""
    head = b"\x80\x02](" + NAMES + b"]q\x05K\x00q%c" % top
    held(head + b"".join(b"](" + UNITS[what](at) + b"e" for at in range(30)) + b"e.")


def test_more_numbers_than_are_kept_are_read_again() -> None:
    """Of tensors that all differ: what is kept of them is bounded, and each has its own numbers."""
    found = Repeats(Lane(Memo(), []), {})
    for numel in (*range((1 << 16) + 3), 0, 1 << 16):
        geometry = found._geometry((numel, 1, (numel,), (1,)))
        assert geometry is not None and (geometry.numel, geometry.offset, geometry.size, geometry.stride) == (numel, 1, (numel,), (1,))
    assert len(found.numbers) < 10
    assert found._geometry((4, 0, (-4,), (1,))) is None


def test_a_mark_that_the_unit_before_has_opened(columns: list[int]) -> None:
    held(b"\x80\x02((](K\x00e" + b"".join(b"t(](K%ce" % at for at in range(30)) + b"tt.")


def test_a_put_of_what_the_unit_before_has_made(columns: list[int]) -> None:
    held(b"\x80\x02](K\x00" + b"".join(put(300 + at) + b"](K%ce" % at for at in range(39)) + b"e.")


@pytest.mark.parametrize("first", [2**32 - 30, 2**32 - 21, 2**32 - 20, 2**32 - 5])
def test_puts_at_the_end_of_all_slots(first: int, columns: list[int]) -> None:
    """Behind the last slot they begin again at the first, where something stands."""
    units = (b"]r" + struct.pack("<I", (first + at) % 2**32) + b"(K%ce" % at for at in range(30))
    held(b"\x80\x02]q\x00(" + b"".join(units) + b"e.")
