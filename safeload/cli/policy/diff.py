"""`safeload policy diff A B`: what changes for files that B judges instead of A, in meaning and, with `--over`, in verdicts."""

from __future__ import annotations

import click

from safeload.cli.common import resolve_policy
from safeload.cli.policy.common import CHANGED, emit_json, paragraph, reports, say
from safeload.escape import escape
from safeload.policytools.diff import Change, PolicyDiff
from safeload.report.layout import plural


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option("--over", metavar="PATH", multiple=True, help="Judge these files by both, and show the verdicts that change.")
@click.option("--format", "-f", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
def diff(before: str, after: str, over: tuple[str, ...], format_: str) -> int:
    """What B permits that A does not, and the reverse.

    In meaning: names and their uses, limits, capabilities. Entries that were only
    renamed or moved do not show.

    Exit codes: 0 both decide alike, 1 they do not, 2 wrong usage.
    """
    from safeload.policytools import diff as tools

    old, new = resolve_policy(before), resolve_policy(after)
    found = tools.diff(old, new)
    verdicts: list[dict[str, str]] = []
    if over:
        for first, second in zip(reports(over, old), reports(over, new), strict=True):
            if first.verdict != second.verdict:
                verdicts.append({"path": first.path, "before": first.verdict, "after": second.verdict})
    if format_ == "json":
        emit_json({"diff": found, "verdicts": verdicts if over else None})
    else:
        say(_text(found))
        if over:
            say(_verdicts(verdicts))
    return 0 if found.is_empty and not verdicts else CHANGED


def _text(found: PolicyDiff) -> list[str]:
    if found.is_empty:
        return [f"{escape(found.before)} and {escape(found.after)} decide alike"]
    lines = [f"from {escape(found.before)} to {escape(found.after)}:"]
    for title, changes in (
        ("gained", found.gained),
        ("lost", found.lost),
        ("changed", found.changed),
        ("denied from now on", found.denied),
        ("no longer denied", found.undenied),
        ("settings", found.settings),
    ):
        if changes:
            lines += ["", f"{title} ({len(changes):,}):", *(line for change in changes for line in _change(change))]
    for title, words in (("capabilities gained", found.capabilities_gained), ("capabilities lost", found.capabilities_lost)):
        if words:
            lines += ["", *paragraph(f"{title}: {', '.join(words)}", rest="    ")]
    return lines


def _change(change: Change) -> list[str]:
    if change.before is not None and change.after is not None:
        return [*paragraph(f"{change.name}: {change.before}", first="  ", rest="      "), *paragraph(f"-> {change.after}", first="      ", rest="      ")]
    sign = "+" if change.before is None else "-"
    return paragraph(f"{sign} {change.name}: {change.after or change.before}", first="  ", rest="      ")


def _verdicts(verdicts: list[dict[str, str]]) -> list[str]:
    if not verdicts:
        return ["", "no verdict changes over these files"]
    return ["", f"{plural(len(verdicts), 'verdict')} changed:", *(f"  {escape(row['path'])}: {row['before']} -> {row['after']}" for row in verdicts)]
