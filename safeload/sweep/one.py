"""One file becomes one `Row`, whatever the file does: the unit of work of every scan of many files, a pure function that goes between processes.

A file that cannot be opened, or on which this program itself fails, is an inconclusive row (law 4) and never the end of the run. Nothing is shared between two
calls, and nothing is kept: a task that is run twice gives the same row twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from safeload import api
from safeload.collector import Paused
from safeload.findings import Finding, Loader
from safeload.judge import Reading, Verify, unread_report
from safeload.limits import Limits
from safeload.policy.model import Policy
from safeload.report.rows import row_of, unopened_row
from safeload.report.writer import Needs, Row
from safeload.source import ByteSource, FileLike

ALONE_TRIES = 2  # of a file whose process died; the machine may have been short of memory for another reason
MAX_REASON = 200  # characters of what an executor says about a task that failed


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of every file. Goes between processes as it is; `row` has to be a function of a module."""

    policy: Policy
    encoding: str = "utf-8"
    limits: Limits | None = None
    verify: Verify = None
    loader: Loader = "safeload"
    digest: bool = False
    online: bool = False  # are addresses fetched?
    cache: str | None = None  # a folder of rows that were judged before
    needs: Needs = Needs()
    row: Callable[[Reading, Needs], Row] = row_of


class Item(msgspec.Struct, frozen=True):
    """One thing to judge: the name that its report has, and what to open, if that is not the name; or why it cannot be opened."""

    shown: str
    source: FileLike | None = None
    problem: str | None = None


def scan_one(f: FileLike, job: Job, *, shown: str | None = None) -> Row:
    """Judge one file. `shown` is the name that the report has; by default what the source calls itself."""
    name = shown if shown is not None else os.fsdecode(f) if isinstance(f, (str, os.PathLike)) else None
    try:
        row = judged_row(f, job) if job.cache is None else _remembered(f, job, job.cache)
    except OSError as error:
        return unread(name or "<unknown>", error.strerror or str(error), job.policy)
    except Exception as error:  # noqa: BLE001 - the edge of one file among many: a mistake of ours is that file's, and says so
        return unread(name or "<unknown>", f"internal error, please report it: {type(error).__name__}: {error} ({_last_frame(error)})", job.policy)
    if name is None or row.report.path == name:
        return row
    return msgspec.structs.replace(row, report=msgspec.structs.replace(row.report, path=name))


def judged_row(f: FileLike | ByteSource, job: Job) -> Row:
    """The row of a file that is judged now. Raises as `scan` does."""
    with Paused():  # until the graph is gone again, as in `scan`
        reading = api.read(
            f,
            policy=job.policy,
            encoding=job.encoding,
            limits=job.limits,
            verify=job.verify,
            digest=job.digest,
            loader=job.loader,
            online=job.online,
        )
        row = job.row(reading, job.needs)
        del reading
        return row


def _remembered(f: FileLike, job: Job, folder: str) -> Row:
    if not isinstance(f, (str, os.PathLike)):
        return judged_row(f, job)
    from safeload.sweep.cache import cached_row

    return cached_row(os.fsdecode(f), job, folder)


def _last_frame(error: Exception) -> str:
    """Where it happened: `judge.py:123`."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"


def scan_item(item: Item, job: Job) -> Row:
    """The same for an `Item`."""
    if item.problem is not None:
        return unread(item.shown, item.problem, job.policy)
    return scan_one(item.shown if item.source is None else item.source, job, shown=item.shown)


def scan_batch(items: Sequence[Item], job: Job) -> list[Row]:
    """Several files in one task, since a task costs more than a small file."""
    return [scan_item(item, job) for item in items]


def rows_here(items: Iterable[Item], job: Job) -> Iterator[tuple[Item, Row]]:
    """One after the other, in this process."""
    for item in items:
        yield item, scan_item(item, job)


def unread(path: str, reason: str, policy: Policy) -> Row:
    """The row of a file of which nothing is known."""
    return unopened_row(unread_report(path, policy, Finding(rule="SL005", message=f"the file cannot be read: {reason}")))


def killed(item: Item, why: BaseException | None, job: Job) -> Row:
    """The row of a file that took what read it with it, `ALONE_TRIES` times."""
    reason = f"{type(why).__name__}: {why}"[:MAX_REASON]
    return unread(item.shown, f"the process that was reading it ended, {ALONE_TRIES} times ({reason})", job.policy)
