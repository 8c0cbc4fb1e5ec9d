"""Summaries become Markdown tables."""

from __future__ import annotations

from .contests import Contest
from .measure import Summary

MEGABYTE = 1_000_000


def table(contest: Contest, summaries: dict[str, Summary]) -> str:
    """One contest. The ratio is of each contestant's median to the first one's: above 1 it is slower than safeload."""
    base = next(iter(summaries.values())).seconds
    lines = [f"### {contest.title}", "", "| contestant | median ms | lowest to highest | ratio | CPU ms of the process | peak RSS MB |", "|---|---:|---:|---:|---:|---:|"]
    for label, found in summaries.items():
        spread = f"{found.lowest * 1e3:,.1f} to {found.highest * 1e3:,.1f}"
        lines.append(f"| {label} | {found.seconds * 1e3:,.1f} | {spread} | {found.seconds / base:.2f} | {found.cpu * 1e3:,.0f} | {found.peak_bytes / MEGABYTE:,.0f} |")
    lines += [f"\nNot run: {reason}." for reason in contest.skipped]
    return "\n".join(lines)
