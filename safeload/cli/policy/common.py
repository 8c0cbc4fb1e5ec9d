"""What the verbs of `safeload policy` share: the width, scanning many files quietly, JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from safeload.cli.common import complain, stdin_or_path, terminal_width
from safeload.cli.walk import Walked, targets
from safeload.escape import escape
from safeload.findings import Report
from safeload.policy.model import Policy
from safeload.report.layout import DEFAULT_WIDTH, MAX_WIDTH, MIN_WIDTH, wrap

MAX_REASON = 2_000  # characters of one reason of a policy
CHANGED = 1  # exit code: there is something to mend, or something has changed


def width() -> int:
    """Columns of this report."""
    return min(max(terminal_width(sys.stdout) or DEFAULT_WIDTH, MIN_WIDTH), MAX_WIDTH)


def say(lines: Iterable[str]) -> None:
    """Lines on standard output."""
    for line in lines:
        click.echo(line)


def paragraph(text: str, *, first: str = "", rest: str = "") -> list[str]:
    """A text of a policy in lines of the width, escaped."""
    return wrap(escape(text, MAX_REASON), width(), first=first, rest=rest)


def reports(paths: tuple[str, ...], policy: Policy) -> Iterator[Report]:
    """A report for each file below the paths; what cannot be opened is said, and left out."""
    from safeload.api import scan

    walked = Walked()
    for target in targets(paths, (), walked):
        if target.problem is not None:
            complain(f"{target.path}: {target.problem}")
            continue
        try:
            report = scan(stdin_or_path(target.path), policy=policy)
        except OSError as error:
            complain(f"{target.path}: {error.strerror or error}")
            continue
        yield report
    for path in walked.empty:
        complain(f"{path}: the folder holds no file")


def emit_json(value: Any) -> None:
    """One JSON document, for machines."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
