"""The prover of runs says what the prover of single records says: of every fault in any record of a run, and at the limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from containers.zipbuild import Part, build
from machine.test_lane import Writer, text

import safeload
from safeload.api import read
from safeload.formats import judging
from safeload.limits import Limits
from safeload.machine.lane import Lane
from safeload.storage.prove import prove

Record = tuple[str, int, int, tuple[int, ...], tuple[int, ...], str]  # key, elements of the storage, offset, size, stride, location

COUNT = 12


def plain(index: int) -> Record:
    return (f"k{index}", 4, 0, (2, 2), (2, 1), "cpu")


def saved(records: list[Record], contents: dict[str, int]) -> bytes:
    """A torch zip of these tensors of floats; `contents` are the bytes of its storages."""
    writer = Writer(300)
    data = b"\x80\x02}" + writer.put() + b"("
    for at, (key, numel, offset, size, stride, place) in enumerate(records):
        data += writer.once(("name", at), text(f"w{at}")) + writer.tensor(key, "FloatStorage", place, numel, offset, size, stride, False, False)
    parts = [Part(b"a/data.pkl", data + b"u."), Part(b"a/byteorder", b"little")]
    return build([*parts, *(Part(f"a/data/{key}".encode(), bytes(size)) for key, size in contents.items()), Part(b"a/version", b"3\n")])


def proved(data: bytes, monkeypatch: pytest.MonkeyPatch, limits: dict[str, int] | None = None) -> Any:
    """The report with runs, which has to be the one without them."""
    whole = read(data, limits=Limits(**(limits or {})))
    with monkeypatch.context() as patch:
        patch.setattr(Lane, "take", lambda *_: 0)
        single = read(data, limits=Limits(**(limits or {})))
    assert any(graph.runs for _, _, graph in whole.graphs) and not any(graph.runs for _, _, graph in single.graphs)
    assert whole.report == single.report
    return whole.report


CONTENTS = {f"k{index}": 16 for index in range(COUNT)}

FAULTS: dict[str, tuple[Record, int, list[str]]] = {  # the record, the bytes of the storage at its place, what is found
    "none": (("its own", 4, 0, (2, 2), (2, 1), "cpu"), 16, []),
    "no such storage": (("other", 4, 0, (2, 2), (2, 1), "cpu"), 16, ["SL403", "SL403"]),
    "a storage with less in it": (("its own", 4, 0, (2, 2), (2, 1), "cpu"), 12, ["SL402", "SL403"]),
    "a storage with more in it": (("its own", 4, 0, (2, 2), (2, 1), "cpu"), 20, ["SL402", "SL403"]),
    "an earlier storage of another length": (("k3", 3, 0, (3,), (1,), "cpu"), 16, ["SL404"]),
    "an earlier storage on another device": (("k3", 4, 0, (2, 2), (2, 1), "cuda:0"), 16, ["SL404"]),
    "an earlier storage again": (("k3", 4, 1, (3,), (1,), "cpu"), 16, []),
    "a view that leaves": (("its own", 4, 1, (2, 2), (2, 1), "cpu"), 16, ["SL401"]),
    "a view that leaves an earlier storage": (("k3", 4, 4, (1,), (1,), "cpu"), 16, ["SL401"]),
    "sizes without strides": (("its own", 4, 0, (2, 2), (1,), "cpu"), 16, ["SL405"]),
    "no elements and no storage": (("none", 0, 0, (0,), (1,), "cpu"), 16, []),
}


def faulty(what: str, at: int) -> tuple[bytes, list[str]]:
    """`COUNT` tensors, one of them another one; and the rules that speak against it."""
    (key, *rest), nbytes, rules = FAULTS[what]
    record: Any = (f"k{at}" if key == "its own" else key, *rest)
    return saved([record if index == at else plain(index) for index in range(COUNT)], {**CONTENTS, f"k{at}": nbytes}), rules


@pytest.mark.parametrize("what", FAULTS)
@pytest.mark.parametrize("at", [5, COUNT - 1])
def test_a_fault_in_a_run(what: str, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data, rules = faulty(what, at)
    report = proved(data, monkeypatch)
    assert [finding.rule for finding in report.errors] == rules, report.errors
    assert report.verdict == ("rejected" if rules else "accepted")


@pytest.mark.parametrize(("name", "most"), [("tensors", COUNT), ("tensor_bytes", 16), ("total_tensor_bytes", 16 * COUNT)])
def test_a_run_within_a_limit_and_beyond_it(name: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly so many pass; with one less the budget says so, at the record at which it ran out."""
    data = saved([plain(index) for index in range(COUNT)], CONTENTS)
    report = proved(data, monkeypatch, {name: most})
    assert (report.verdict, report.tensors, report.tensor_bytes) == ("accepted", COUNT, 16 * COUNT)
    report = proved(data, monkeypatch, {name: most - 1})
    assert [finding.rule for finding in report.errors] == ["SL901"] and name in report.errors[0].message
    assert safeload.scan(data, limits={name: most - 1}).verdict == report.verdict != "accepted"


def test_a_record_that_is_refused_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of one more than may be, one of which is none: the limit holds, and what is wrong is said."""
    data, rules = faulty("a view that leaves", 5)
    report = proved(data, monkeypatch, {"tensors": COUNT - 1})
    assert [finding.rule for finding in report.errors] == rules == ["SL401"]


# ---- what comes of a run ---------------------------------------------------------------------------------------------------------------------

Tensor = tuple[str, int, tuple[int, ...], tuple[int, ...]]  # key, offset, size, stride: views of storages of six floats

FRESH: list[Tensor] = [(f"s{at}", at % 3, (2, 2), (2, 1)) if at % 2 else (f"s{at}", 0, (6,), (1,)) for at in range(COUNT)]
SHARED: list[Tensor] = [("s0", at % 3, (1, 3), (3, 1)) if at % 2 else (f"s{at}", 1, (2,), (3,)) for at in range(COUNT)]
EMPTY: list[Tensor] = [(f"s{at}", at, (0, 2), (2, 1)) if at % 3 else (f"s{at}", 0, (3, 2), (1, 3)) for at in range(COUNT)]
MIXED: list[Tensor] = [*FRESH[:5], ("s1", 0, (6,), (1,)), *FRESH[5:]]
SCALARS: list[Tensor] = [(f"s{at}", at % 6, (), ()) for at in range(COUNT)]


def content(key: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Six numbers of its own for each storage."""
    return np.arange(6, dtype="<f4") + 10 * int(key[1:])


def several(groups: list[list[Tensor]], grad: bool = False, places: tuple[str, ...] = ("cpu", "cpu")) -> bytes:
    """A torch zip of these tensors of floats; what stands between two groups ends a run."""
    writer = Writer(300)
    data, at, keys = b"\x80\x02}" + writer.put() + b"(", 0, dict.fromkeys(key for group in groups for key, *_ in group)
    for group, place in zip(groups, places, strict=False):
        for key, offset, size, stride in group:
            data += writer.once(("name", at), text(f"w{at}")) + writer.tensor(key, "FloatStorage", place, 6, offset, size, stride, grad, False)
            at += 1
        data += text(f"between {at}") + b"N"
    parts = [Part(b"a/data.pkl", data + b"u."), Part(b"a/byteorder", b"little")]
    return build([*parts, *(Part(f"a/data/{key}".encode(), content(key).tobytes()) for key in keys), Part(b"a/version", b"3\n")])


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize(
    "groups",
    [[FRESH], [SHARED], [EMPTY], [MIXED], [SCALARS], [FRESH, SHARED], [SHARED, SHARED]],
    ids=["fresh", "shared", "empty", "mixed", "()", "two", "again"],
)
def test_the_tensors_of_a_run_are_those_of_its_records(groups: list[list[Tensor]], grad: bool) -> None:
    data = several(groups, grad)
    assert sum(len(run.keys) for _, _, graph in read(data).graphs for run in graph.runs) >= COUNT - 1
    value = safeload.load(data, map_location="cpu")
    with safeload.open(data) as file:
        for at, (key, offset, size, stride) in enumerate([one for group in groups for one in group]):
            flat = content(key)
            wanted = np.lib.stride_tricks.as_strided(flat[offset:], size, tuple(4 * step for step in stride)) if 0 not in size else np.empty(size, "<f4")
            found = value[f"w{at}"]
            assert (found.dtype, found.shape, found.tolist()) == (flat.dtype, size, wanted.tolist())
            info = file.info(f"w{at}")
            assert (info.shape, info.dtype, info.requires_grad) == (size, "float32", grad)
    names = {f"w{at}": key for at, (key, *_) in enumerate([one for group in groups for one in group])}
    for one, first in names.items():
        for other, second in names.items():
            if value[one].size and value[other].size and first != second:
                assert not np.shares_memory(value[one], value[other])


@pytest.mark.parametrize("groups", [[FRESH], [SHARED], [EMPTY], [FRESH, SHARED], [SHARED, SHARED]], ids=["fresh", "shared", "empty", "two", "again"])
def test_runs_are_paid_for_to_the_last_byte(groups: list[list[Tensor]], monkeypatch: pytest.MonkeyPatch) -> None:
    data = several(groups)
    sizes = [4 * int(np.prod(size)) for group in groups for _, _, size, _ in group]
    exact = {"tensors": len(sizes), "total_tensor_bytes": sum(sizes), "tensor_bytes": max(sizes)}
    report = proved(data, monkeypatch, exact)
    assert (report.verdict, report.tensors, report.tensor_bytes) == ("accepted", len(sizes), sum(sizes))
    for limit, value in exact.items():
        report = proved(data, monkeypatch, {limit: value - 1})
        assert (report.verdict, [finding.rule for finding in report.errors]) == ("inconclusive", ["SL901"])


def test_a_second_run_on_another_device_is_no_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    report = proved(several([FRESH, FRESH], places=("cpu", "cuda:0")), monkeypatch)
    assert (report.verdict, {finding.rule for finding in report.errors}, len(report.errors)) == ("rejected", {"SL404"}, COUNT)


def test_a_run_whose_views_all_leave_their_storages(monkeypatch: pytest.MonkeyPatch) -> None:
    away: list[Tensor] = [(f"s{at}", 6, (1,), (1,)) for at in range(COUNT)]
    report = proved(several([away, FRESH]), monkeypatch)
    assert (report.tensors, report.tensor_bytes) == (COUNT, sum(4 * int(np.prod(size)) for _, _, size, _ in FRESH))
    assert [finding.rule for finding in report.errors] == ["SL401"] * COUNT


def test_the_storages_of_a_run_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nothing uses is looked into for a whole file that hides there."""
    used: list[frozenset[str]] = []
    monkeypatch.setattr(judging, "prove", lambda *args, **more: used.append((found := prove(*args, **more)).used_keys) or found)
    for groups in ([FRESH], [SHARED], [FRESH, SHARED]):
        read(several(groups))
        assert used[-1] == {key for group in groups for key, *_ in group}


@pytest.mark.parametrize("kind", [FRESH, SHARED], ids=["fresh", "shared"])
def test_two_runs_are_paid_for_together(kind: list[Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """On two devices, which makes two runs of them: what the first has spent is gone for the second."""
    groups = [kind, [(f"s{int(key[1:]) + 50}", *rest) for key, *rest in kind]]
    data = several(groups, places=("cpu", "cuda:0"))
    assert [len(graph.runs) for _, _, graph in read(data).graphs] == [2]
    total = 2 * sum(4 * int(np.prod(size)) for _, _, size, _ in kind)
    for limit, value in (("tensors", 2 * COUNT), ("total_tensor_bytes", total)):
        report = proved(data, monkeypatch, {limit: value})
        assert (report.verdict, report.tensors, report.tensor_bytes) == ("accepted", 2 * COUNT, total)
        for less in (1, 3):
            report = proved(data, monkeypatch, {limit: value - less})
            assert (report.verdict, [finding.rule for finding in report.errors]) == ("inconclusive", ["SL901"])


def test_a_record_that_is_proved_by_itself_is_paid_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor of nothing on a storage that the file need not hold, in the first of two runs."""
    records = [("none", 0, 0, (0,), (1,), "cpu") if at == 5 else (*plain(at)[:5], "cpu" if at < COUNT else "cuda:0") for at in range(2 * COUNT)]
    data = saved(records, {f"k{at}": 16 for at in range(2 * COUNT) if at != 5})
    assert [len(graph.runs) for _, _, graph in read(data).graphs] == [2]
    report = proved(data, monkeypatch, {"tensors": 2 * COUNT})
    assert (report.verdict, report.tensors, report.tensor_bytes) == ("accepted", 2 * COUNT, 16 * (2 * COUNT - 1))
    assert proved(data, monkeypatch, {"tensors": 2 * COUNT - 1}).verdict == "inconclusive"
