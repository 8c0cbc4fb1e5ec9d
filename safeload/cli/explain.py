"""`safeload explain FILE`: for each name in a file, the policy entry that decided about it, where that stands, why it is so, and what would change it.

`--decompile` adds what fickling makes of the streams, as a second opinion. Nothing in the file is run, by either.
"""

from __future__ import annotations

import sys

import click

from safeload.cli.common import check_encoding, complain, encoding_option, exit_of, policy_option, project_policy, refuse, stdin_or_path, terminal_width
from safeload.errors import CheckpointError
from safeload.escape import escape
from safeload.judge import Reading
from safeload.report.layout import DEFAULT_WIDTH, MAX_WIDTH, MIN_WIDTH, wrap


@click.command()
@click.argument("file", metavar="FILE|-")
@policy_option
@click.option("--global", "-g", "only", metavar="NAME", multiple=True, help="Only these names (module.name).")
@click.option("--all", "show_all", is_flag=True, help="Every permitted name with its entry in full.")
@click.option("--decompile", is_flag=True, help="Add fickling's rendering as Python, and its verdict: a second opinion.")
@click.option("--format", "-f", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
@encoding_option
def explain(file: str, policy: str | None, only: tuple[str, ...], show_all: bool, decompile: bool, format_: str, encoding: str) -> int:
    """Say of each name in a file which policy entry decides, and why.

    Refused names come first, with the lines of the stream that lead to them and the
    stanza that would permit them, where one can.

    Exit codes: those of scan, 0 accepted, 1 rejected, 2 no verdict, 3 nothing to check.
    """
    check_encoding(encoding)
    from safeload.api import read

    resolved = project_policy(policy, [file]).policy
    try:
        reading = read(stdin_or_path(file), policy=resolved, encoding=encoding)
    except (CheckpointError, OSError) as error:
        return refuse(error, file)
    if format_ == "json":
        from safeload.cli.policy.common import emit_json
        from safeload.report.trace import traced

        emit_json({**traced(reading, only), **({"second_opinion": [opinion_on(reading, number) for number in range(_streams(reading))]} if decompile else {})})
        return exit_of(reading.report)
    from safeload.report.trace import trace_lines

    width = min(max(terminal_width(sys.stdout) or DEFAULT_WIDTH, MIN_WIDTH), MAX_WIDTH)
    for line in trace_lines(reading, width, only=only, show_all=show_all):
        click.echo(line)
    if decompile:
        for line in _decompiled(reading, width):
            click.echo(line)
    return exit_of(reading.report)


def _streams(reading: Reading) -> int:
    from safeload.cli.decompile import MAX_STREAMS

    return min(len(reading.graphs), MAX_STREAMS)


def opinion_on(reading: Reading, number: int) -> dict[str, object]:
    """The second opinion on one stream, for JSON."""
    import msgspec

    from safeload.cli.decompile import second_opinion

    member, data, graph = reading.graphs[number]
    return {"tool": "fickling", "member": member or None, "offset": graph.start, **msgspec.structs.asdict(second_opinion(data[graph.start : graph.end]))}


def _decompiled(reading: Reading, width: int) -> list[str]:
    """fickling's words, marked as such."""
    from safeload.cli.decompile import CHARACTERS, MAX_STREAMS, second_opinion

    if not reading.graphs:
        complain("no stream of the file could be read, so there is nothing to decompile")
        return []
    lines: list[str] = []
    for member, data, graph in reading.graphs[:MAX_STREAMS]:
        opinion = second_opinion(data[graph.start : graph.end])
        place = f" of {escape(member)}" if member else ""
        lines += ["", *wrap(f"second opinion, by fickling, on the stream{place} at {graph.start:#x} (it decides nothing here):", width)]
        if opinion.severity is not None:
            lines.append(f"  fickling: {escape(opinion.severity.lower().replace('_', ' '))}; safeload: {reading.report.verdict}")
        for text in (opinion.analysis or "").splitlines():
            lines += wrap(escape(text, 400), width, first="    ", rest="      ")
        if opinion.error is not None:
            lines += wrap(f"fickling gives up: {escape(opinion.error, 400)}", width, first="  ", rest="    ")
        if opinion.python is not None:
            lines += ["  as Python, which nobody ran:", *(f"    | {escape(text, 400)}" for text in opinion.python[:CHARACTERS].splitlines())]
            if len(opinion.python) > CHARACTERS:
                lines.append("    | ... (cut)")
    if len(reading.graphs) > MAX_STREAMS:
        lines += ["", f"and {len(reading.graphs) - MAX_STREAMS:,} more streams"]
    return lines
