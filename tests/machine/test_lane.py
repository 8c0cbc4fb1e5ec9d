"""The lane and the loop are one machine: with it and without it every stream gives the same graph, the same verdict, or the same error at the same place."""

from __future__ import annotations

import pickle
import struct
from typing import Any

import pytest
from corpus.manifest import Entry, entries
from hypothesis import example, given, settings
from hypothesis import strategies as st
from property.programs import mutated, programs

import safeload
from safeload.api import read
from safeload.budget import Budget
from safeload.errors import CheckpointError, LimitExceeded
from safeload.limits import Limits
from safeload.machine.interpret import interpret
from safeload.machine.lane import Lane, Memo
from safeload.machine.nodes import NODE_TYPES, Global, ObjectGraph
from safeload.policy.contracts import CONTRACTS
from safeload.policy.resolve import load_policy
from safeload.policy.vet import vet

# ---- what is compared -------------------------------------------------------------------------------------------------------------------


def flat(graph: ObjectGraph) -> list[Any]:
    """A graph as a list that is equal for equal graphs: every field of every node in the order of the log, then the root. Mutable containers are numbered, so
    that sharing shows; tuples of plain values are not, since nobody can tell two equal ones apart."""
    seen: dict[int, int] = {}
    found: list[Any] = []
    pending: list[Any] = [graph.root]
    for record in reversed(graph.log):
        pending += [getattr(record, field) for field in reversed(record.__struct_fields__)]
        pending.append(type(record).__name__)
    while pending:
        value = pending.pop()
        kind = type(value)
        if kind in NODE_TYPES:
            found.append(("node", value.index))
        elif kind in (list, dict, set, frozenset) or (kind is tuple and any(type(item) not in (int, str, bool, float) for item in value)):
            if id(value) in seen:
                found.append(("again", seen[id(value)]))
                continue
            seen[id(value)] = len(seen)
            found.append((kind.__name__, len(value)))
            parts = [part for pair in value.items() for part in pair] if kind is dict else value if kind in (list, tuple) else sorted(value, key=repr)
            pending += reversed(list(parts))
        else:
            found.append((kind.__name__, repr(value)))
    return found


def outcome(data: bytes, *, lane: bool, start: int = 0, limits: Limits | None = None, encoding: str = "utf-8") -> tuple[list[Any], ObjectGraph | None]:
    """All that can be told about one reading of a stream."""
    budget = Budget(limits or Limits())
    error: tuple[Any, ...] = ()
    try:
        graph: Any = interpret(data, budget=budget, start=start, member="m", encoding=encoding, lane=lane)
    except CheckpointError as caught:
        graph, error = caught.partial, (type(caught).__name__, caught.rule, caught.offset, str(caught))
    facts = [error, flat(graph), graph.protocol, graph.opcodes, graph.start, graph.end]
    facts += [[(node.full, offsets) for node, offsets in graph.mentions.items()], [(node.full, count) for node, count in graph.named.items()]]
    facts.append(sorted(graph.changed_at.values()))
    if not error:
        facts.append(budget.opcodes)
    judgement = vet(graph, load_policy("checkpoint"), limits=Limits(), member="m")
    facts += [judgement.findings, judgement.suppressed, judgement.globals]
    if judgement.vetted is not None:
        vetted = judgement.vetted
        facts += [vetted.constructors, vetted.kinds, sorted(vetted.storages.items()), vetted.loose]
    return facts, graph


def held(data: bytes, **how: Any) -> ObjectGraph:
    """Both readings, equal in everything. Returns that of the lane."""
    found, graph = outcome(data, lane=True, **how)
    expected, other = outcome(data, lane=False, **how)
    for one, two in zip(found, expected, strict=True):
        assert one == two
    assert graph is not None and other is not None and not other.runs
    for run in graph.runs:
        assert [type(entry).__name__ for entry in graph.log[run.start : run.stop]] == ["PersistentId", "Call", "Call"] * len(run.keys)
    return graph


# ---- streams as torch.save writes them, and nearly ---------------------------------------------------------------------------------------


def put(index: int) -> bytes:
    return b"q%c" % index if index < 256 else b"r" + struct.pack("<I", index)


def get(index: int) -> bytes:
    return b"h%c" % index if index < 256 else b"j" + struct.pack("<I", index)


def number(value: int) -> bytes:
    return b"K%c" % value if value < 256 else b"M" + struct.pack("<H", value) if value < 65_536 else b"J" + struct.pack("<i", value)


def text(value: str) -> bytes:
    content = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(content)) + content


class Writer:
    """A pickler that knows one thing: how torch.save spells a tensor in protocol 2, with PUTs counted from `first`."""

    def __init__(self, first: int) -> None:
        self.slots = first
        self.memo: dict[Any, int] = {}

    def put(self) -> bytes:
        self.slots += 1
        return put(self.slots - 1)

    def once(self, what: Any, spelled: bytes) -> bytes:
        if what in self.memo:
            return get(self.memo[what])
        self.memo[what] = self.slots
        return spelled + self.put()

    def size(self, numbers: tuple[int, ...]) -> bytes:
        if not numbers:
            return b")"
        spelled = b"".join(map(number, numbers))
        return (spelled + b"\x84\x85\x86\x87"[len(numbers)].to_bytes(1, "little") if len(numbers) < 4 else b"(" + spelled + b"t") + self.put()

    def tensor(self, key: str, kind: str, place: str, numel: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...], grad: bool, view: bool) -> bytes:
        function = self.once("function", b"ctorch._utils\n_rebuild_tensor_v2\n")
        storage = self.once("storage", text("storage")) + self.once(kind, b"ctorch\n%b\n" % kind.encode())
        named = self.once(("key", key), text(key)) + self.once(("place", place), text(place))
        pid = b"((" + storage + named + number(numel) + b"N" * view + b"t" + self.put() + b"Q"
        shape = number(offset) + self.size(size) + self.size(stride) + (b"\x88" if grad else b"\x89")
        hooks = self.once("hooks", b"ccollections\nOrderedDict\n") + b")R" + self.put()
        return function + pid + shape + hooks + b"t" + self.put() + b"R" + self.put()


names = st.sampled_from(["weight", "layers.0.weight", "bias", "é", "n" * 255, "n" * 256, "", "q\x01r", "step"])
shapes = st.lists(st.sampled_from([0, 1, 2, 16, 255, 256, 70_000]), max_size=9).map(tuple)
tensors = st.tuples(
    st.sampled_from(["0", "1", "17", "k" * 48, "k" * 49, "ü", "a b"]), st.sampled_from(["FloatStorage", "LongStorage", "BoolStorage"]),
    st.sampled_from(["cpu", "cuda:0"]), st.sampled_from([0, 1, 256, 65_536, 2**31 - 1]), st.sampled_from([0, 3, 300, 65_536]), shapes, shapes,
    st.booleans(), st.booleans(),
)  # fmt: skip


@st.composite
def saved(draw: st.DrawFn) -> bytes:
    """A dict, an OrderedDict or a list of tensors and plain values, whose PUTs begin anywhere: before a byte of them runs over, behind it, far on."""
    writer = Writer(draw(st.sampled_from([0, 200, 249, 250, 255, 256, 500, 505, 511, 65_530, 2**24 - 9, 2**31 - 20])))
    shape = draw(st.sampled_from(["dict", "ordered", "list"]))
    parts = [b"\x80\x02", {"dict": b"}", "ordered": b"ccollections\nOrderedDict\n)R", "list": b"]"}[shape], writer.put(), b"("]
    for _ in range(draw(st.integers(1, 8))):
        if shape != "list":
            name = draw(names)
            parts.append(writer.once(("name", name), text(name)))
        parts.append(writer.tensor(*draw(tensors)) if draw(st.integers(0, 9)) else draw(st.sampled_from([b"K\x07", b"N", b"))\x86", b"((K\x01tt"])))
    parts.append(b"e." if shape == "list" else b"u.")
    return b"".join(parts)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """The same with a few bytes changed: most often in the arguments, which is where another index or length stands."""
    data = bytearray(draw(saved()))
    for _ in range(draw(st.integers(1, 3))):
        if not data:
            break
        at = draw(st.integers(0, len(data) - 1))
        how = draw(st.sampled_from(["byte", "near", "insert", "drop", "double", "cut"]))
        if how == "byte":
            data[at] = draw(st.integers(0, 255))
        elif how == "near":
            data[at] = (data[at] + draw(st.sampled_from([-8, -1, 1, 8]))) & 0xFF
        elif how == "insert":
            data[at:at] = draw(st.sampled_from([b"0", b"2", b"N", b"(", b"\x94", b"h\x00", b"q\x05", b"r\x00\x01\x00\x00", b"t", b"R"]))
        elif how == "drop":
            del data[at : at + draw(st.integers(1, 6))]
        elif how == "double":
            data[at:at] = data[at : at + draw(st.integers(1, 150))]
        elif at:
            del data[at:]
    return bytes(data)


# ---- the properties ---------------------------------------------------------------------------------------------------------------------


@given(saved())
@settings(max_examples=300)
def test_streams_that_torch_could_write(data: bytes) -> None:
    held(data)


@given(broken())
@settings(max_examples=600)
@example(b"(")
@example(b"((")
@example(b"ctorch\nx\n((")
def test_streams_that_are_broken(data: bytes) -> None:
    held(data)


@given(programs() | mutated())
@settings(max_examples=150)
def test_any_program(data: bytes) -> None:
    held(data)


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.file)
def test_every_stream_of_the_corpus(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = read(entry.data(), encoding=entry.encoding, policy="inspect")
    for _, data, graph in reading.graphs:
        if graph.opcodes and graph.end <= len(data) and reading.report.format != "joblib":  # joblib's streams hold raw bytes between opcodes
            held(data, start=graph.start, encoding=entry.encoding)
    monkeypatch.setattr(Lane, "take", lambda *_: 0)
    assert read(entry.data(), encoding=entry.encoding, policy="inspect").report == reading.report


# ---- what the lane takes ------------------------------------------------------------------------------------------------------------------


def many(count: int, *, first: int = 300, named: bool = True) -> bytes:
    writer = Writer(first)
    head = b"\x80\x02}" + writer.put() + b"("
    return head + b"".join(one(writer, index, named) for index in range(count)) + (b"u." if named else b"l.")


def one(writer: Writer, index: int, named: bool) -> bytes:
    name = writer.once(("name", index), text(f"layers.{index}.weight")) if named else b""
    return name + writer.tensor(str(index), "FloatStorage", "cpu", 4, 0, (2, 2), (2, 1), False, False)


def taken(graph: ObjectGraph) -> int:
    return sum(len(run.keys) for run in graph.runs)


def test_all_but_the_first_tensor_take_the_lane() -> None:
    graph = held(many(1_000))
    assert taken(graph) == 999 and len(graph.runs) == 1  # the first names the functions, and no PUT is in the way of another


@pytest.mark.parametrize("first", range(12))
def test_records_of_the_first_256_slots_take_the_lane_and_so_does_the_one_across(first: int) -> None:
    graph = held(many(60, first=first))
    assert taken(graph) == 59 and len(graph.runs) == 1


def test_a_list_of_tensors_has_no_names() -> None:
    writer = Writer(300)
    graph = held(b"\x80\x02]" + writer.put() + b"(" + b"".join(one(writer, index, named=False) for index in range(50)) + b"e.")
    assert taken(graph) == 49


def test_names_that_are_known_again_as_in_the_state_of_an_optimizer() -> None:
    writer = Writer(300)
    head = b"\x80\x02}" + writer.put() + b"("
    states = [
        number(index) + b"}" + writer.put() + b"("
        + b"".join(writer.once(part, text(part)) + one(writer, 3 * index + place, named=False) for place, part in enumerate(("step", "exp_avg", "exp_avg_sq")))
        + b"u"
        for index in range(20)
    ]  # fmt: skip
    graph = held(head + b"".join(states) + b"u.")
    assert taken(graph) == 59


def test_what_the_lane_put_into_the_memo_can_be_got() -> None:
    data = many(40)
    for slot in range(301, 300 + 5 + 8 * 40, 3):
        assert held(data[:-1] + b"0" + get(slot) + b".").runs


def test_a_later_put_into_a_slot_of_the_lane_counts() -> None:
    data = many(40)
    for slot in (330, 331, 332, 340):
        held(data[:-1] + put(slot) + b"0" + get(slot) + b"\x94" + get(slot + 1) + b"\x86.")


def test_memoize_counts_what_the_lane_put() -> None:
    data = many(40)
    graph = held(data[:-1] + b"\x940" + get(300 + 5 + 8 * 40) + b".")
    assert taken(graph) == 39


def test_records_are_paid_for() -> None:
    data = many(3_000)
    assert held(data, limits=Limits(opcodes=100_000)).opcodes == 3_000 * 32 + 11
    for limits in (Limits(opcodes=90_000), Limits(memo_entries=20_000), Limits(graph_nodes=6_000), Limits(containers=9_000)):
        for lane in (True, False):
            with pytest.raises(LimitExceeded):
                interpret(data, budget=Budget(limits), lane=lane)


@given(st.lists(st.floats() | st.integers(0, 300), max_size=40), st.sampled_from([2, 4]), st.integers(0, 400), st.booleans())
def test_numbers_that_follow_one_another(numbers: list[float], protocol: int, at: int, cut: bool) -> None:
    data = pickle.dumps({"loss": numbers, "last": [1.5]}, protocol)
    held(data)
    at = min(at, len(data) - 1)
    held(data[:at] if cut else data[:at] + b"G" + data[at + 1 :])


def test_a_frame_ends_between_two_numbers_and_not_inside_one() -> None:
    number = b"G" + struct.pack(">d", 0.5)
    for inside in range(9 * 5 + 2):
        content = b"](" + number * 5
        held(b"\x80\x04\x95" + struct.pack("<Q", inside) + content + b"e.")


def test_many_numbers_are_paid_for() -> None:
    data = pickle.dumps([0.5] * 100_000, 2)
    assert held(data).opcodes == 100_000 + 4 + 2 * 100  # MARK and APPENDS around each thousand
    data = b"\x80\x02(" + (b"G" + struct.pack(">d", 0.5)) * 100_000 + b"l."
    assert held(data).opcodes == 100_000 + 4
    for limits in (Limits(opcodes=50_000), Limits(stack=50_000)):
        for lane in (True, False):
            with pytest.raises(LimitExceeded):
                interpret(data, budget=Budget(limits), lane=lane)


def test_a_memo_answers_as_a_dict_would() -> None:
    memo = Memo()
    memo[5] = "five"
    assert memo.top() == 5
    memo.pending.append((6, ("six", "seven")))
    assert memo.top() == 7 and memo[7] == "seven" and 8 not in memo
    memo[6] = "other"
    assert memo.settled() == 3 and dict(memo) == {5: "five", 6: "other", 7: "seven"}
    for missing in (4, 8):
        with pytest.raises(KeyError):
            memo[missing]


def test_runs_are_judged_by_kind_alone() -> None:
    """`vet` judges the first record of a run for all: nothing in the contract of a dense tensor looks at more than kinds."""
    assert CONTRACTS["tensor"].check is None and CONTRACTS["tensor"].literal is None and CONTRACTS["tensor"].state is None
    assert CONTRACTS["tensor"].external is None and not CONTRACTS["tensor"].copies


DENIED = [
    (b"ctorch\nFloatStorage\n", b"cos\nsystem\n"),
    (b"ccollections\nOrderedDict\n", b"cos\nsystem\n"),
    (b"ctorch._utils\n_rebuild_tensor_v2\n", b"cos\nsystem\n"),
    (b"storage", b"storagE"),
    (b"ccollections\nOrderedDict\n", b"ccollections\ndeque\n"),
]


@pytest.mark.parametrize(("allowed", "denied"), DENIED)
def test_what_stands_against_a_run_stands_against_each_of_its_records(allowed: bytes, denied: bytes) -> None:
    data = many(20).replace(allowed, denied)
    graph = held(data)
    assert taken(graph) == 19
    assert safeload.scan(data).verdict == "rejected"


def test_a_name_is_a_name() -> None:
    """No other object takes the place of a function in the lane."""
    graph = held(b"\x80\x02N" + many(5)[2:-1] + b"\x86.")
    assert all(type(graph.log[0]) is Global for _ in graph.runs)


# ---- records that are none after all: the lane stops in front of them, and the loop says what is wrong --------------------------------------


def bent(count: int, old: bytes, new: bytes) -> bytes:
    """`many` with the first `old` of its second half replaced."""
    data = many(count)
    at = data.index(old, len(data) // 2)
    return data[:at] + new + data[at + len(old) :]


def slots_of_many() -> list[bytes]:
    """The GETs by which the records of `many` name what they share."""
    writer = Writer(300)
    writer.put()
    one(writer, 0, named=True)
    return [get(writer.memo[what]) for what in ("function", "storage", "FloatStorage", "hooks")]


FUNCTION, TAG, TYPE, HOOKS = slots_of_many()
ODD = {
    "a name longer than it says": (text("layers.15.weight"), b"X\x0f\0\0\0layers.15.weight"),
    "a name shorter than it says": (text("layers.15.weight"), b"X\x11\0\0\0layers.15.weight"),
    "a key longer than it says": (text("15"), b"X\x01\0\0\x0015"),
    "no function": (FUNCTION + b"((", b"(("),
    "a text for the function": (FUNCTION + b"((", TAG + b"(("),
    "a text for the storage type": (TAG + TYPE, TAG + TAG),
    "a text for what makes the hooks": (b"\x89" + HOOKS, b"\x89" + TAG),
    "a name for the tag": (TAG + TYPE, TYPE + TYPE),
    "a function that the memo does not hold": (FUNCTION + b"((", get(70_000) + b"(("),
    "a storage type that the memo does not hold": (TAG + TYPE, TAG + get(70_000)),
}


@pytest.mark.parametrize("what", ODD)
def test_a_record_that_is_none_is_left_to_the_loop(what: str) -> None:
    data = bent(30, *ODD[what])
    assert data != many(30) and taken(held(data)) >= 13


def test_a_key_that_the_memo_does_not_hold_is_left_to_the_loop() -> None:
    data = bent(30, text("15"), get(70_000))
    assert taken(held(data)) == 14
    with pytest.raises(CheckpointError, match="the memo holds no object 70000"):
        interpret(data, budget=Budget(Limits()), lane=True)


@pytest.mark.parametrize("slot", [299, 300 + 5 + 8 * 40 + 2, 1_000, 2**31])
def test_what_nobody_put_into_the_memo_cannot_be_got(slot: int) -> None:
    """In front of what the lane put there, and behind it."""
    data = many(40)[:-1] + b"0" + get(slot) + b"."
    assert taken(held(data)) == 39
    with pytest.raises(CheckpointError, match=f"the memo holds no object {slot}"):
        interpret(data, budget=Budget(Limits()), lane=True)


def test_keys_that_are_no_text_are_judged_one_by_one() -> None:
    """A number names a storage as its digits do; whatever else stands there is refused, with the lane and without it."""
    for content, verdict in ((b"K\x07", True), (b"N", False), (b"]", False)):
        writer = Writer(300)
        head = b"\x80\x02}" + writer.put() + b"(" + one(writer, 0, named=True)
        head += writer.once("slot", text("x")) + writer.once(("key", "1"), content)
        data = head + b"".join(one(writer, index, named=True) for index in range(1, 5)) + b"u."
        graph = held(data)
        assert [type(key) for run in graph.runs for key in run.keys] != [str] * 4
        judgement = vet(graph, load_policy("checkpoint"), limits=Limits())
        assert (judgement.vetted is not None) is verdict, judgement.findings
        if judgement.vetted is not None:
            assert sorted(sid.key for sid in judgement.vetted.storages.values()) == ["0", "2", "3", "4", "7"]


def test_more_shapes_than_are_kept_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safeload.machine.lane.MAX_CACHED", 3)
    writer = Writer(300)
    numels = [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 5, 1]
    data = b"\x80\x02]" + writer.put() + b"("
    for at, numel in enumerate(numels):
        data += writer.tensor(str(at), "FloatStorage", "cpu", numel, 0, (numel,), (1,), False, False)
    graph = held(data + b"e.")
    assert [geometry.numel for run in graph.runs for geometry in run.geometries] == numels[1:]
