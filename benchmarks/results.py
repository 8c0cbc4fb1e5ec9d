"""Samples of a row become `Figures` for each contestant, and its goals become sentences with a verdict."""

from __future__ import annotations

from statistics import median

import msgspec

from .measure import Sample
from .rows import KIB, MIB, Goal, Row

WORDS = {"cpu": "CPU time", "wall": "wall time", "memory": "memory beyond the page cache"}


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One contestant. Seconds and bytes; medians over the rounds, and the lowest and highest CPU time of them."""

    label: str
    rounds: int = 0
    cpu: float = 0.0
    low: float = 0.0
    high: float = 0.0
    wall: float = 0.0
    cpu_ratio: float = 0.0  # theirs to ours, the median over the rounds in which both ran
    wall_ratio: float = 0.0
    first_cpu: float | None = None  # of the first load in a process
    memory: int | None = None  # beyond the page cache, at its peak; of whole processes: peak memory
    read_bytes: int | None = None
    ended: str | None = None  # how, where that is the point
    cannot: str | None = None  # why it is not here
    same: bool = True
    times: int = 1


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One goal: what was aimed at, what was found."""

    row: str
    text: str
    found: float
    bound: float
    higher_is_better: bool
    met: bool


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One row."""

    id: str
    title: str
    mode: str
    figures: tuple[Figures, ...]
    verdicts: tuple[Verdict, ...]
    file_bytes: int
    where: str = ""  # when, on what machine and with what versions


def times(sample: Sample) -> tuple[float, float]:
    """CPU and wall seconds of what the row counts."""
    return (sample.said["cpu"], sample.said["wall"]) if sample.said is not None and "cpu" in sample.said else (sample.cpu, sample.wall)


def figures(row: Row, index: int, samples: list[list[Sample]], memory: list[int | None]) -> Figures:
    """Of contestant `index`. `samples` holds the rounds of every contestant."""
    own, ours = [times(each) for each in samples[index]], [times(each) for each in samples[0]]
    contestant = row.contestants[index]
    pairs = list(zip(own, ours, strict=False))
    last = samples[index][-1]
    said = last.said or {}
    whole = row.mode in ("process", "command")
    return Figures(
        label=contestant.label,
        times=contestant.times,
        rounds=len(own),
        cpu=median(cpu for cpu, _ in own),
        low=min(cpu for cpu, _ in own),
        high=max(cpu for cpu, _ in own),
        wall=median(wall for _, wall in own),
        cpu_ratio=median(theirs[0] / our[0] for theirs, our in pairs if our[0]) if pairs else 0.0,
        wall_ratio=median(theirs[1] / our[1] for theirs, our in pairs) if pairs else 0.0,
        first_cpu=median(each.said["first_cpu"] for each in samples[index] if each.said) if "first_cpu" in said else None,
        memory=int(median(each.peak_bytes for each in samples[index])) if whole else memory[index],
        read_bytes=int(median(each.said["read_bytes"] for each in samples[index] if each.said)) if "read_bytes" in said else None,
        ended=_ended(last) if whole else None,
        same=contestant.same,
    )


def _ended(sample: Sample) -> str:
    if sample.code < 0:
        return f"killed by signal {-sample.code}"
    return f"exit {sample.code}" if sample.code else "exit 0"


def verdict(row: Row, goal: Goal, found: list[Figures], file_bytes: int) -> Verdict | None:
    """None where the one to compare with did not run."""
    ours = found[0]
    theirs = next((each for each in found if each.label == goal.against), None)
    if goal.quantity == "own_memory":
        return _verdict(row, goal, "memory beyond the page cache, KiB", (ours.memory or 0) / KIB, (goal.at_most or 0) / KIB)
    if goal.quantity == "peak":
        return _verdict(row, goal, "peak memory of the process, KiB", (ours.memory or 0) / KIB, (goal.at_most or 0) / KIB)
    if goal.quantity == "read_share":
        return _verdict(row, goal, "share of the file that was read", (ours.read_bytes or 0) / file_bytes, goal.at_most or 0)
    if theirs is None or theirs.cannot is not None:
        return None
    text = f"{WORDS[goal.quantity]} against {goal.against}"
    if goal.quantity == "memory":
        return _verdict(row, goal, text, (theirs.memory or 0) / max(ours.memory or 0, MIB / 16), goal.at_least or 0)
    ratio = theirs.cpu_ratio if goal.quantity == "cpu" else theirs.wall_ratio
    if goal.at_most is not None:
        return _verdict(row, goal, f"{WORDS[goal.quantity]}, ours to {goal.against}", 1 / ratio, goal.at_most)
    return _verdict(row, goal, text, ratio, goal.at_least or 0)


def _verdict(row: Row, goal: Goal, text: str, found: float, bound: float) -> Verdict:
    higher = goal.at_least is not None
    return Verdict(row=row.id, text=text, found=found, bound=bound, higher_is_better=higher, met=found >= bound if higher else found <= bound)
