"""Results become Markdown tables."""

from __future__ import annotations

from .results import Figures, Result, Verdict

MEGABYTE = 1_000_000
WHOLE = ("process", "command")
MEMORY = {"load": "memory MB", "cold": "read MB", "process": "peak RSS MB", "command": "peak RSS MB"}


def table(result: Result) -> str:
    """One row: every contestant, and who is missing with the reason."""
    head = ["contestant", "CPU ms", "lowest to highest", "theirs ÷ ours", "wall ms", "theirs ÷ ours", MEMORY[result.mode], "rounds"]
    if result.mode == "load":
        head.insert(4, "first load CPU ms")
    if result.mode in WHOLE:
        head.append("ended")
    lines = [f"### {result.title}", "", f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    lines += [f"| {' | '.join(_cells(each, result))} |" for each in result.figures if each.cannot is None]
    lines += [f"\nNot here: {each.label}: {each.cannot}" for each in result.figures if each.cannot is not None]
    return "\n".join(lines)


def _cells(each: Figures, result: Result) -> list[str]:
    memory = each.read_bytes if result.mode == "cold" else each.memory
    cells = [
        each.label
        + ("" if each.same or result.mode in WHOLE else " (another thing)")
        + (f" (a {each.times}th of the files, times {each.times})" if each.times > 1 else ""),
        _ms(each.cpu),
        f"{_ms(each.low)} to {_ms(each.high)}",
        f"{each.cpu_ratio:.2f}",
        _ms(each.wall),
        f"{each.wall_ratio:.2f}",
        "" if memory is None else f"{memory / MEGABYTE:,.1f}",
        str(each.rounds),
    ]
    if result.mode == "load":
        cells.insert(4, "" if each.first_cpu is None else _ms(each.first_cpu))
    if result.mode in WHOLE:
        cells.append(each.ended or "")
    return cells


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:,.0f}" if seconds >= 1 else f"{seconds * 1e3:,.1f}" if seconds >= 0.01 else f"{seconds * 1e3:,.2f}"


def goals(results: list[Result]) -> str:
    """All goals of all rows."""
    lines = ["| row | goal | aimed at | found | |", "|---|---|---:|---:|---|"]
    for result in results:
        lines += [f"| {result.title} | {each.text} | {_bound(each)} | {_number(each.found)} | {_verdict(each)} |" for each in result.verdicts]
    return "\n".join(lines)


def _verdict(each: Verdict) -> str:
    return "met" if each.met else "**not met**"


def _bound(each: Verdict) -> str:
    return f"{'≥' if each.higher_is_better else '≤'} {_number(each.bound)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 2 else f"{value:.3f}"
