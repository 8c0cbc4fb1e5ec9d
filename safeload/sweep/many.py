"""`scan_many`: sources in, reports out, in the same order. The public face of this package."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from safeload.api import policy_and_limits
from safeload.findings import Loader, Report
from safeload.judge import Verify
from safeload.limits import Limits
from safeload.policy.model import Policy
from safeload.report.writer import Row
from safeload.source import FileLike, is_uri
from safeload.sweep.one import Item, Job, rows_here

if TYPE_CHECKING:
    from concurrent.futures import Executor

LENT_BATCH = 64  # files of one task on somebody else's executor, where a task may cross a network


def scan_many(
    sources: Iterable[FileLike],
    *,
    policy: str | os.PathLike[str] | Policy | None = None,
    encoding: str = "utf-8",
    limits: Limits | Mapping[str, int] | None = None,
    verify: Verify = None,
    digest: bool = False,
    loader: Loader = "safeload",
    online: bool = False,
    cache: str | os.PathLike[str] | None = None,
    jobs: int = 1,
    executor: Executor | None = None,
    batch: int | None = None,
) -> Iterator[Report]:
    """The reports of many files, one after the other and in the order of `sources`, which may be endless: memory is that of the files under way.

    `jobs` processes read them; or `executor` does, any `concurrent.futures.Executor` (one of threads, of processes, `dask.distributed`'s
    `Client.get_executor()`), with `jobs` tasks at once and `batch` files in each. A file that cannot be opened, or that takes its process with it, is an
    inconclusive report and not the end; every source has exactly one. `online` as for `scan`.
    `cache` is a folder of earlier results (docs/cache.md), and has to be this user's alone. Raises `PolicyFileError`, `ValueError` and, of the cache, `OSError`
    before the first file.
    """
    if jobs < 1 or (batch is not None and batch < 1):
        raise ValueError("jobs and batch are whole numbers from 1")
    resolved, budget_limits = policy_and_limits(policy, limits)
    job = Job(policy=resolved, encoding=encoding, limits=budget_limits, verify=verify, digest=digest, loader=loader, online=online, cache=_folder(cache))
    return (row.report for _, row in rows_of(map(item_of, sources), job, jobs=jobs, executor=executor, batch=batch))


def rows_of(
    items: Iterable[Item], job: Job, *, jobs: int = 1, executor: Executor | None = None, batch: int | None = None
) -> Iterator[tuple[Item, Row]]:
    """The rows of many items, where they are to be read: `scan_many` for those who have items already."""
    if executor is None and jobs == 1:
        yield from rows_here(items, job)
        return
    from safeload.sweep import rows  # pools are for those who ask for them: they import half a megabyte

    if executor is None:
        pool = rows.process_pool(job, jobs, batch or rows.OWN_BATCH)
    else:
        pool = rows.executor_pool(executor, job, jobs, batch or LENT_BATCH)
    finished = False
    try:
        yield from rows.rows_over(items, job, pool)
        finished = True
    finally:
        pool.close(wait=finished)


def item_of(source: FileLike) -> Item:
    """A path by its own name; anything else by what it says of itself."""
    if is_uri(source):
        return address(str(source))
    if isinstance(source, (str, os.PathLike)):
        return Item(os.fsdecode(source))
    return Item(str(getattr(source, "name", None) or f"<{type(source).__name__}>"), source)


def _folder(cache: str | os.PathLike[str] | None) -> str | None:
    if cache is None:
        return None
    from safeload.sweep.cache import check_folder

    folder = os.path.abspath(os.fsdecode(cache))
    check_folder(folder)
    return folder


def address(uri: str) -> Item:
    """What lies behind a network, shown without credentials."""
    from safeload.remote.uri import shown

    return Item(shown(uri), uri)
