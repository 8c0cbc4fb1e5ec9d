"""`safeload scan`: paths become one exit code and reports, in as many formats as asked for (`safeload.report.formats`).

Each file stands alone: what cannot be opened is an inconclusive result, and the run goes on. No array is built and numpy is not imported, and of a scan without
options `click` is not either.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING

import msgspec

from safeload.cli.common import (
    EXIT_ACCEPTED,
    EXIT_NO_VERDICT,
    EXIT_NOTHING,
    EXIT_REJECTED,
    Ended,
    check_encoding,
    chosen_policy,
    complain,
    environment_policy,
    exit_of,
    is_screen,
    worst,
)
from safeload.cli.many import Many, all_paths, judged
from safeload.cli.outputs import Output, needs_of, outputs_of, reports
from safeload.cli.walk import Target, Walked, globbed, targets
from safeload.errors import PolicyFileError
from safeload.findings import Loader, Report, Verdict
from safeload.judge import Verify
from safeload.policy.model import Policy
from safeload.report.writer import VERDICTS, Difference, End, Needs, Run
from safeload.sweep.one import Job

if TYPE_CHECKING:
    from safeload.cli.config import Chosen
    from safeload.cli.progress import Progress
    from safeload.policy.lockfile import Lock, Locked
    from safeload.policytools.lock import Difference as Found  # only --locked pays for it


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The options, as they were given; the policy apart."""

    paths: tuple[str, ...]
    formats: tuple[str, ...] = ()
    output: str | None = None
    show_all: bool = False
    exclude: tuple[str, ...] = ()
    verify: Verify = None
    loader: Loader = "safeload"
    digest: bool | None = None
    locked: str | None = None
    second_opinion: bool | None = None
    exit_zero: bool = False
    encoding: str = "utf-8"
    many: Many = Many()
    online: bool = False


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
    loader: Loader = "safeload"
    comparing: Comparing | None = None
    outputs: tuple[Output, ...] = ()
    online: bool = False

    @property
    def policy(self) -> Policy:
        """The policy itself."""
        return self.chosen.policy


def scan_paths(paths: tuple[str, ...]) -> int:
    """A scan without any option."""
    named = environment_policy()
    return run_scan(Asked(paths=paths), lambda paths: chosen_policy(named, paths, from_environment=named is not None))


def run_scan(asked: Asked, choose: Callable[[tuple[str, ...]], Chosen]) -> int:
    """The exit code. `choose` gives the policy for the paths that are judged."""
    check_encoding(asked.encoding)
    paths, exclude = tuple(globbed(asked.paths)), asked.exclude
    walked = Walked()
    if asked.online:
        from safeload.cli.online import addresses, refuse

        refuse(asked.locked, asked.verify)
        paths, walked.excluded = addresses(paths, exclude)
    wanted = outputs_of(asked.formats, asked.output)
    comparing = _comparing(asked.locked) if asked.locked is not None else None
    if comparing is not None:
        paths, exclude = _locked_paths(comparing, paths), exclude or comparing.lock.exclude
    chosen = choose(paths)
    several = asked.many.files_from is not None or _several(paths)
    run = Run(policy=chosen.policy, chosen_by=chosen.by, several=several, show_all=asked.show_all, loader=asked.loader, comparing=asked.locked)
    needs = needs_of(wanted, run, asked.second_opinion)
    digest = comparing is not None or (needs.digest if asked.digest is None else asked.digest)
    plan = Plan(
        chosen=chosen,
        encoding=asked.encoding,
        verify=asked.verify,
        digest=digest,
        show_all=asked.show_all,
        loader=asked.loader,
        comparing=comparing,
        outputs=wanted,
        online=asked.online,
    )
    return _write(paths, exclude, plan, run, needs, asked.many, walked, exit_zero=asked.exit_zero)


def _write(paths: tuple[str, ...], exclude: tuple[str, ...], plan: Plan, run: Run, needs: Needs, many: Many, walked: Walked, *, exit_zero: bool) -> int:
    """Judge the files, and hand each to every report as soon as it is judged. The exit code is the last thing that a report is told."""
    from safeload.cli.rows import row_for

    job = Job(
        policy=plan.policy,
        encoding=plan.encoding,
        verify=plan.verify,
        digest=plan.digest,
        loader=plan.loader,
        online=plan.online,
        needs=needs,
        row=row_for,
    )
    codes: set[int] = set()
    counts: dict[Verdict, int] = dict.fromkeys(VERDICTS, 0)
    with reports(plan.outputs, run) as out:
        progress = _progress(targets(paths, exclude, Walked()) if many.files_from is None else None)
        try:
            for target, row in judged(_to_judge(all_paths(paths, many, plan.chosen), exclude, plan, walked, many.cache), job, many):
                if plan.comparing is not None and target.path != "-":
                    plan.comparing.note(target, row.report)
                with progress.aside(row.report) if progress is not None else nullcontext():
                    if row.unopened and not run.several:
                        complain(f"{row.report.path}: {row.report.findings[0].message}")
                    out.row(row)
                codes.add(exit_of(row.report))
                counts[row.report.verdict] += 1
        finally:
            if progress is not None:
                progress.end()
        for path in walked.empty:
            complain(f"{path}: the folder holds no file to check")
            codes.add(EXIT_NOTHING)
        if not codes:
            complain("nothing to check: no path was given")
        differences = tuple(Difference(each.path, each.what, each.message) for each in _differences(paths, exclude, plan))
        code = _code(codes, differences, plan, exit_zero=exit_zero)
        out.end(End(counts=counts, exit_code=code, nothing=tuple(walked.empty), excluded=walked.excluded, differences=differences))
    return EXIT_NO_VERDICT if out.failed else code


def _progress(files: Iterable[object] | None) -> Progress | None:
    """Where somebody looks. `files` are counted beside the scan; None: nobody knows yet how many there are."""
    if not is_screen(sys.stderr):
        return None
    from safeload.cli.progress import Progress

    return Progress(sys.stderr, files)


def _code(codes: set[int], differences: tuple[Difference, ...], plan: Plan, *, exit_zero: bool) -> int:
    if exit_zero:
        return EXIT_ACCEPTED
    if differences:
        return EXIT_REJECTED
    return EXIT_ACCEPTED if plan.policy.mode == "audit" else worst(codes)


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
    raise Ended(EXIT_NO_VERDICT)


def _locked_paths(comparing: Comparing, paths: tuple[str, ...]) -> tuple[str, ...]:
    """What to judge: the paths that were given, else those that were locked."""
    folder = os.path.dirname(comparing.file)
    return paths or tuple(os.path.normpath(os.path.join(folder, path)) for path in comparing.lock.paths)


def _differences(paths: tuple[str, ...], exclude: tuple[str, ...], plan: Plan) -> list[Found]:
    if plan.comparing is None:
        return []
    from safeload.policytools.lock import differences, locked_path, made_lock

    folder = os.path.dirname(plan.comparing.file) or "."
    given = [locked_path(path, folder) for path in paths if path != "-"]
    return differences(plan.comparing.lock, made_lock(plan.policy, given, exclude, plan.comparing.found))


def _to_judge(paths: Iterable[str], exclude: tuple[str, ...], plan: Plan, walked: Walked, cache: str | None) -> Iterator[Target]:
    """The files that the paths mean, without the lock that they are compared with, the reports that are being written, and earlier results."""
    rows = os.path.join(os.path.abspath(cache), "") if cache is not None else None
    ours = {os.path.abspath(each.path) for each in plan.outputs if each.path is not None}
    ours |= {os.path.abspath(plan.comparing.file)} if plan.comparing is not None else set()
    for target in targets(paths, exclude, walked):
        path = os.path.abspath(target.path) if ours or rows else ""
        if path not in ours and not (rows and path.startswith(rows)):
            yield target


# ---- one file ---------------------------------------------------------------------------------------------------------------------------


def read_report(target: Target, plan: Plan) -> Report:
    """The report on one file alone."""
    job = Job(policy=plan.policy, encoding=plan.encoding, verify=plan.verify, digest=plan.digest)
    return next(judged([target], job, Many()))[1].report


def _several(paths: tuple[str, ...]) -> bool:
    return len(paths) > 1 or any(path != "-" and os.path.isdir(path) for path in paths)
