"""A batch of files becomes rows in a process beside the one that was asked: the unit of work for workers that must not die of a file.

On a cluster a file that kills what reads it would take a worker with it, again at every retry, and other people's tasks with that (dask gives up a nanny whose
worker dies while it starts). Here it takes a child of the worker, twice, and is an inconclusive row; the other files of the batch are read again. Each
thread of a worker has a child of its own, so threads do not wait for each other. A child ends with the worker that has it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from safeload.report.writer import Row
from safeload.sweep.one import ALONE_TRIES, Item, Job, killed
from safeload.sweep.processes import Worker, WorkerDied

_own = threading.local()  # .job and .worker of this thread


def isolated_batch(items: Sequence[Item], job: Job) -> list[Row]:
    """The rows of these items, whatever they do to the process that reads them."""
    try:
        return _run(list(items), job)
    except WorkerDied:
        return [_alone(item, job) for item in items]


def _alone(item: Item, job: Job) -> Row:
    why: BaseException | None = None
    for _ in range(ALONE_TRIES):
        try:
            return _run([item], job)[0]
        except WorkerDied as error:
            why = error
    return killed(item, why, job)


def _run(items: list[Item], job: Job) -> list[Row]:
    worker: Worker | None = getattr(_own, "worker", None)
    if worker is not None and _own.job != job:
        worker.end()
        worker = None
    if worker is None:
        _own.job, _own.worker = job, None
        worker = _own.worker = Worker(job)
    try:
        return worker.run(items)
    except BaseException:  # dead, or with an answer still in its pipe
        _own.worker = None
        worker.end()
        raise
