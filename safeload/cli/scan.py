"""`safeload scan`: paths become reports, as text or JSON, and one exit code for all of them.

Each file stands alone: what cannot be opened is an inconclusive result, and the run goes on. No array is built and numpy is not imported.
"""

from __future__ import annotations

import sys
from typing import IO

import click
import msgspec

from safeload.cli.common import (
    EXIT_ACCEPTED,
    EXIT_NO_VERDICT,
    EXIT_NOTHING,
    check_encoding,
    complain,
    encoding_option,
    exit_of,
    painter,
    policy_option,
    resolve_policy,
    stdin_or_path,
    terminal_width,
    worst,
)
from safeload.cli.walk import Target, Walked, targets
from safeload.findings import Finding, Report
from safeload.judge import Reading, Verify, unread_report
from safeload.policy.model import Policy
from safeload.report.layout import DEFAULT_WIDTH, MAX_WIDTH, MIN_WIDTH, plural, wrap

FULL_OF_SEVERAL = 1  # findings shown in full for each of several files, without --all


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the options said, resolved."""

    policy: Policy
    encoding: str
    verify: Verify
    digest: bool
    show_all: bool


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH|-]...")
@policy_option
@click.option("--format", "-f", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Of the report.")
@click.option("--output", "-o", metavar="FILE", help="Write the report there instead of to standard output.")
@click.option("--all", "show_all", is_flag=True, help="Show every finding in full, and every name.")
@click.option("--exclude", metavar="GLOB", multiple=True, help="Skip such files of a folder; may be given more than once.")
@click.option("--verify", type=click.Choice(["crc"]), help="Compare the CRC-32 of the storages too, which reads every byte.")
@click.option("--digest/--no-digest", default=None, help="The sha256 of every file; on for json.")
@click.option("--exit-zero", is_flag=True, help="Exit 0 whatever the verdicts are.")
@encoding_option
def scan(
    paths: tuple[str, ...],
    policy: str,
    format_: str,
    output: str | None,
    show_all: bool,
    exclude: tuple[str, ...],
    verify: Verify,
    digest: bool | None,
    exit_zero: bool,
    encoding: str,
) -> int:
    """Judge files without running or building anything in them.

    PATH is a file, a folder (all files below it) or - for standard input.

    Exit codes: 0 accepted, 1 rejected, 2 no verdict or wrong usage, 3 nothing to
    check. The worst file decides, in the order 1, 2, 3, 0.
    """
    check_encoding(encoding)
    plan = Plan(policy=resolve_policy(policy), encoding=encoding, verify=verify, digest=format_ == "json" if digest is None else digest, show_all=show_all)
    code = _write(paths, exclude, plan, format_, output)
    return EXIT_ACCEPTED if exit_zero else code


def _write(paths: tuple[str, ...], exclude: tuple[str, ...], plan: Plan, format_: str, output: str | None) -> int:
    """Run, and put the report where it belongs."""
    emit = _json if format_ == "json" else _text
    if output is None or output == "-":
        return emit(paths, exclude, plan, sys.stdout)
    try:
        with open(output, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as stream:
            return emit(paths, exclude, plan, stream)
    except OSError as error:  # of the report: those of the files became results
        complain(f"--output {output}: {error.strerror or error}")
        return EXIT_NO_VERDICT


# ---- one file ---------------------------------------------------------------------------------------------------------------------------


def _read(target: Target, plan: Plan) -> Reading | Report:
    """The reading, or the report of a file that could not be opened."""
    from safeload.api import read

    path = "<stdin>" if target.path == "-" else target.path
    if target.problem is not None:
        return _unopened(path, target.problem, plan.policy)
    try:
        reading = read(stdin_or_path(target.path), policy=plan.policy, encoding=plan.encoding, verify=plan.verify, digest=plan.digest)
    except OSError as error:
        return _unopened(path, error.strerror or str(error), plan.policy)
    return msgspec.structs.replace(reading, report=msgspec.structs.replace(reading.report, path=path))


def _unopened(path: str, reason: str, policy: Policy) -> Report:
    return unread_report(path, policy, Finding(rule="SL005", message=f"the file cannot be read: {reason}"))


# ---- JSON -------------------------------------------------------------------------------------------------------------------------------


def _json(paths: tuple[str, ...], exclude: tuple[str, ...], plan: Plan, stream: IO[str]) -> int:
    from safeload.report import json_v1

    walked = Walked()
    reports = [found if isinstance(found, Report) else found.report for found in (_read(target, plan) for target in targets(paths, exclude, walked))]
    policy = plan.policy
    header = json_v1.policy_of(name=policy.name, version=policy.version, sha256=policy.sha256, file=policy.file)
    stream.write(json_v1.render(reports, policy=header, nothing=walked.empty))
    return worst([*map(exit_of, reports), *(EXIT_NOTHING for _ in walked.empty)])


# ---- text -------------------------------------------------------------------------------------------------------------------------------


def _text(paths: tuple[str, ...], exclude: tuple[str, ...], plan: Plan, stream: IO[str]) -> int:
    """Reports one by one, as they come; a head and a summary where there are several."""
    from safeload.report.snippets import snippets_of
    from safeload.report.text import Style, policy_text, render, shown_findings

    several = _several(paths)
    width = min(max(terminal_width(stream) or DEFAULT_WIDTH, MIN_WIDTH), MAX_WIDTH)
    full = None if plan.show_all else FULL_OF_SEVERAL if several else Style().full
    paint = painter(stream) or (lambda _, text: text)
    style = Style(width=width, full=full, named=several, advise=not several or plan.show_all, paint=paint)
    walked = Walked()
    codes: list[int] = []
    counts = {"accepted": 0, "rejected": 0, "inconclusive": 0}
    after_block = True  # one-line verdicts stand close together, everything longer stands apart
    for target in targets(paths, exclude, walked):
        found = _read(target, plan)
        report = found if isinstance(found, Report) else found.report
        if several and not codes:
            stream.write("\n".join(wrap(policy_text(report), width, rest="    ")) + "\n")
        if isinstance(found, Report) and not several:
            complain(f"{report.path}: {report.findings[0].message}")
        else:
            snippets = {} if isinstance(found, Report) else snippets_of(found, shown_findings(report, full))
            block = report.verdict != "accepted" or bool(report.findings)
            stream.write(("\n" if several and (block or after_block) else "") + render(report, snippets, style))
            after_block = block
        codes.append(exit_of(report))
        counts[report.verdict] += 1
    for path in walked.empty:
        complain(f"{path}: the folder holds no file to check")
        codes.append(EXIT_NOTHING)
    if several and any(counts.values()):
        stream.write("\n" + "\n".join(_summary(counts, walked, width)) + "\n")
    elif not codes:
        complain("nothing to check: no path was given")
    return worst(codes)


def _several(paths: tuple[str, ...]) -> bool:
    import os.path

    return len(paths) > 1 or any(path != "-" and os.path.isdir(path) for path in paths)


def _summary(counts: dict[str, int], walked: Walked, width: int) -> list[str]:
    parts = [f"{count:,} {verdict}" for verdict, count in counts.items()]
    excluded = f"; {plural(walked.excluded, 'file')} left out by --exclude" if walked.excluded else ""
    return wrap(f"{plural(sum(counts.values()), 'file')}: {', '.join(parts)}{excluded}", width, rest="    ")
