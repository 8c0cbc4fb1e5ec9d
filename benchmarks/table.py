"""Summaries become Markdown tables."""

from __future__ import annotations

from .contests import Contest
from .measure import Summary

MEGABYTE = 1_000_000


def table(contest: Contest, summaries: dict[str, Summary]) -> str:
    """One contest. Ratios are of each contestant's median to the first one's: above 1 it takes more than safeload."""
    base = next(iter(summaries.values()))
    lines = [
        f"### {contest.title}",
        "",
        "| contestant | wall ms | lowest to highest | ratio | CPU ms | ratio | peak RSS MB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for label, found in summaries.items():
        times = f"{found.wall * 1e3:,.1f} | {found.lowest * 1e3:,.1f} to {found.highest * 1e3:,.1f} | {found.wall / base.wall:.2f}"
        lines.append(f"| {label} | {times} | {found.cpu * 1e3:,.1f} | {found.cpu / base.cpu:.2f} | {found.peak_bytes / MEGABYTE:,.0f} |")
    lines += [f"\nNot run: {reason}." for reason in contest.skipped]
    return "\n".join(lines)
