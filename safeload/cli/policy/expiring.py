"""`safeload policy expiring POLICY... [--within 30d]`: what of these policies ends soon, or has ended."""

from __future__ import annotations

import datetime
import re

import click

from safeload.cli.common import resolve_policy
from safeload.cli.policy.common import CHANGED, emit_json, paragraph, say
from safeload.escape import escape
from safeload.report.layout import plural

DAYS = {"d": 1, "w": 7, "m": 31, "y": 366}


def _period(_: click.Context, __: click.Parameter, value: str) -> int:
    """`30d`, `8w`, `3m`, `1y` or a bare number of days."""
    match = re.fullmatch(r"([0-9]{1,5})([dwmy]?)", value)
    if match is None:
        raise click.BadParameter(f"{value!a:.40} is no period (30d, 8w, 3m, 1y)")
    return int(match[1]) * DAYS[match[2] or "d"]


@click.command()
@click.argument("policies", nargs=-1, required=True, metavar="POLICY...")
@click.option("--within", callback=_period, default="30d", show_default=True, metavar="PERIOD", help="How far ahead to look: 30d, 8w, 3m, 1y.")
@click.option("--format", "-f", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
def expiring(policies: tuple[str, ...], within: int, format_: str) -> int:
    """What of these policies ends soon, or has ended: entries, raises, waivers.

    A date is the last day on which its entry holds (UTC).

    Exit codes: 0 nothing ends within the period, 1 something does, 2 wrong usage.
    """
    from safeload.policytools.expiry import endings

    today = datetime.datetime.now(datetime.UTC).date()
    found = [ending for name in policies for ending in endings(resolve_policy(name)) if ending.left(today) <= within]
    if format_ == "json":
        emit_json([{**_plain(ending.expires, ending.left(today)), "kind": ending.kind, "name": ending.name, "policy": ending.policy} for ending in found])
        return CHANGED if found else 0
    if not found:
        say([f"nothing ends within {plural(within, 'day')}"])
        return 0
    for ending in found:
        left = ending.left(today)
        when = "has expired" if left < 0 else "ends today" if left == 0 else f"ends in {plural(left, 'day')}"
        where = f"{ending.file}:{ending.line}" if ending.line is not None else ending.file or "-"
        say(paragraph(f"{ending.expires.isoformat()} {when}: {ending.kind} {escape(ending.name)} of policy {escape(ending.policy)} ({where})", rest="    "))
    return CHANGED


def _plain(expires: datetime.date, left: int) -> dict[str, object]:
    return {"expires": expires.isoformat(), "days_left": left}
