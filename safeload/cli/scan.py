"""`safeload scan`: paths become reports, as text or JSON, and one exit code for all of them.

Each file stands alone: what cannot be opened is an inconclusive result, and the run goes on. No array is built and numpy is not imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

import click
import msgspec

from safeload.cli.common import (
    EXIT_ACCEPTED,
    EXIT_NO_VERDICT,
    EXIT_NOTHING,
    EXIT_REJECTED,
    check_encoding,
    complain,
    encoding_option,
    exit_of,
    painter,
    policy_option,
    project_policy,
    stdin_or_path,
    terminal_width,
    worst,
)
from safeload.cli.walk import Target, Walked, targets
from safeload.errors import PolicyFileError
from safeload.escape import escape
from safeload.findings import Finding, Report
from safeload.judge import Reading, Verify, unread_report
from safeload.policy.model import Policy
from safeload.report.layout import DEFAULT_WIDTH, MAX_WIDTH, MIN_WIDTH, plural, wrap

if TYPE_CHECKING:
    from safeload.cli.config import Chosen
    from safeload.policy.lockfile import Lock, Locked
    from safeload.policytools.lock import Difference  # only --locked pays for it

FULL_OF_SEVERAL = 1  # findings shown in full for each of several files, without --all


class Comparing(msgspec.Struct, kw_only=True):
    """A lock file to compare with, and what was found so far. The one thing here that changes."""

    file: str
    lock: Lock
    found: list[Locked] = []

    def note(self, target: Target, report: Report) -> None:
        """One more file. The lock itself is no file to judge."""
        from safeload.policytools.lock import locked, locked_path

        self.found.append(locked(report, locked_path(target.path, os.path.dirname(self.file) or ".")))


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the options said, resolved."""

    chosen: Chosen
    encoding: str
    verify: Verify
    digest: bool
    show_all: bool
    comparing: Comparing | None = None

    @property
    def policy(self) -> Policy:
        """The policy itself."""
        return self.chosen.policy


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH|-]...")
@policy_option
@click.option("--format", "-f", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Of the report.")
@click.option("--output", "-o", metavar="FILE", help="Write the report there instead of to standard output.")
@click.option("--all", "show_all", is_flag=True, help="Show every finding in full, and every name.")
@click.option("--exclude", metavar="GLOB", multiple=True, help="Skip such files of a folder; may be given more than once.")
@click.option("--verify", type=click.Choice(["crc"]), help="Compare the CRC-32 of the storages too, which reads every byte.")
@click.option("--digest/--no-digest", default=None, help="The sha256 of every file; on for json.")
@click.option("--locked", metavar="FILE", help="Fail on any difference from this lock file (safeload lock); without PATH, of all that it locks.")
@click.option("--exit-zero", is_flag=True, help="Exit 0 whatever the verdicts are.")
@encoding_option
def scan(
    paths: tuple[str, ...],
    policy: str | None,
    format_: str,
    output: str | None,
    show_all: bool,
    exclude: tuple[str, ...],
    verify: Verify,
    digest: bool | None,
    locked: str | None,
    exit_zero: bool,
    encoding: str,
) -> int:
    """Judge files without running or building anything in them.

    PATH is a file, a folder (all files below it) or - for standard input.

    Exit codes: 0 accepted, 1 rejected, 2 no verdict or wrong usage, 3 nothing to
    check. The worst file decides, in the order 1, 2, 3, 0. A policy in mode audit
    exits 0 like --exit-zero; what differs from a lock file exits 1 all the same.
    """
    check_encoding(encoding)
    comparing = _comparing(locked) if locked is not None else None
    if comparing is not None:
        paths, exclude = _locked_paths(comparing, paths), exclude or comparing.lock.exclude
    digest = format_ == "json" or comparing is not None if digest is None else digest or comparing is not None
    plan = Plan(chosen=project_policy(policy, paths), encoding=encoding, verify=verify, digest=digest, show_all=show_all, comparing=comparing)
    code = _write(paths, exclude, plan, format_, output)
    if exit_zero:
        return EXIT_ACCEPTED
    if comparing is not None and _differences(paths, exclude, plan):
        return EXIT_REJECTED
    return EXIT_ACCEPTED if plan.policy.mode == "audit" else code


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


# ---- a lock file ------------------------------------------------------------------------------------------------------------------------


def _comparing(file: str) -> Comparing:
    """The lock to compare with; what is wrong with it becomes a complaint and exit 2."""
    from safeload.policy.lockfile import read_lock

    try:
        return Comparing(file=file, lock=read_lock(file))
    except PolicyFileError as error:
        for line in str(error).splitlines():
            complain(line)
    except OSError as error:
        complain(f"--locked {file}: {error.strerror or error}")
    raise click.exceptions.Exit(EXIT_NO_VERDICT)


def _locked_paths(comparing: Comparing, paths: tuple[str, ...]) -> tuple[str, ...]:
    """What to judge: the paths that were given, else those that were locked."""
    folder = os.path.dirname(comparing.file)
    return paths or tuple(os.path.normpath(os.path.join(folder, path)) for path in comparing.lock.paths)


def _differences(paths: tuple[str, ...], exclude: tuple[str, ...], plan: Plan) -> list[Difference]:
    from safeload.policytools.lock import differences, locked_path, made_lock

    if plan.comparing is None:
        return []
    folder = os.path.dirname(plan.comparing.file) or "."
    given = [locked_path(path, folder) for path in paths if path != "-"]
    return differences(plan.comparing.lock, made_lock(plan.policy, given, exclude, plan.comparing.found))


def _to_judge(paths: tuple[str, ...], exclude: tuple[str, ...], plan: Plan, walked: Walked) -> Iterator[Target]:
    """The files that the paths mean, without the lock that they are compared with."""
    for target in targets(paths, exclude, walked):
        if plan.comparing is None or os.path.abspath(target.path) != os.path.abspath(plan.comparing.file):
            yield target


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


def read_report(target: Target, plan: Plan) -> Report:
    """The report alone."""
    found = _read(target, plan)
    return found if isinstance(found, Report) else found.report


def _noted(target: Target, plan: Plan) -> Reading | Report:
    """`_read`, with what a lock file is compared with kept."""
    found = _read(target, plan)
    if plan.comparing is not None and target.path != "-":
        plan.comparing.note(target, found if isinstance(found, Report) else found.report)
    return found


def _unopened(path: str, reason: str, policy: Policy) -> Report:
    return unread_report(path, policy, Finding(rule="SL005", message=f"the file cannot be read: {reason}"))


# ---- JSON -------------------------------------------------------------------------------------------------------------------------------


def _json(paths: tuple[str, ...], exclude: tuple[str, ...], plan: Plan, stream: IO[str]) -> int:
    from safeload.report import json_v1

    walked = Walked()
    readings = (_noted(target, plan) for target in _to_judge(paths, exclude, plan, walked))
    reports = [found if isinstance(found, Report) else found.report for found in readings]
    policy = plan.policy
    header = json_v1.policy_of(name=policy.name, version=policy.version, sha256=policy.sha256, file=policy.file)
    compared = None
    if plan.comparing is not None:
        compared = json_v1.compared(plan.comparing.file, [(each.path, each.what, each.message) for each in _differences(paths, exclude, plan)])
    stream.write(json_v1.render(reports, policy=header, nothing=walked.empty, compared=compared))
    return worst([*map(exit_of, reports), *(EXIT_NOTHING for _ in walked.empty)])


# ---- text -------------------------------------------------------------------------------------------------------------------------------


def _text(paths: tuple[str, ...], exclude: tuple[str, ...], plan: Plan, stream: IO[str]) -> int:
    """Reports one by one, as they come; a head and a summary where there are several."""
    from safeload.report.snippets import snippets_of
    from safeload.report.text import Style, head_lines, render, shown_findings

    several = _several(paths)
    width = min(max(terminal_width(stream) or DEFAULT_WIDTH, MIN_WIDTH), MAX_WIDTH)
    full = None if plan.show_all else FULL_OF_SEVERAL if several else Style().full
    paint = painter(stream) or (lambda _, text: text)
    style = Style(width=width, full=full, named=several, advise=not several or plan.show_all, paint=paint)
    walked = Walked()
    codes: list[int] = []
    counts = {"accepted": 0, "rejected": 0, "inconclusive": 0}
    after_block = True  # one-line verdicts stand close together, everything longer stands apart
    for target in _to_judge(paths, exclude, plan, walked):
        found = _noted(target, plan)
        report = found if isinstance(found, Report) else found.report
        if not codes and (several or not isinstance(found, Report)):
            stream.write("\n".join(head_lines(report, plan.chosen.by, plan.policy.mode, width)) + "\n")
            stream.write("\n" if not several and (report.verdict != "accepted" or report.findings) else "")
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
    if plan.comparing is not None:
        stream.write("\n" + "\n".join(_difference_lines(_differences(paths, exclude, plan), plan, width)) + "\n")
    return worst(codes)


def _difference_lines(found: list[Difference], plan: Plan, width: int) -> list[str]:
    name = escape(plan.comparing.file) if plan.comparing is not None else ""
    if not found:
        return [f"nothing differs from {name}"]
    lines = [f"{plural(len(found), 'difference')} from {name}:"]
    for each in found:
        lines += wrap(escape(f"{each.path}: {each.message}" if each.path is not None else each.message, 1_000), width, first="  ", rest="    ")
    return lines


def _several(paths: tuple[str, ...]) -> bool:
    import os.path

    return len(paths) > 1 or any(path != "-" and os.path.isdir(path) for path in paths)


def _summary(counts: dict[str, int], walked: Walked, width: int) -> list[str]:
    parts = [f"{count:,} {verdict}" for verdict, count in counts.items()]
    excluded = f"; {plural(walked.excluded, 'file')} left out by --exclude" if walked.excluded else ""
    return wrap(f"{plural(sum(counts.values()), 'file')}: {', '.join(parts)}{excluded}", width, rest="    ")
