"""Items become rows in their own order, over a pool that may lose workers. Memory is that of the batches under way, however many files there are.

    1. Batches are handed out until `WINDOW` of them for each worker are under way; they grow from one file to `batch`, so that a few files are spread as well.
    2. The oldest batch is waited for, its rows are given, and the next one is handed out.
    3. A batch that was lost (its worker died, it could not be sent) is done again, file by file, alone in a process of our own. A file that takes that
       process with it twice is an inconclusive row; nobody else is blamed for it, and no file is lost. On our own processes nothing else is under way then.

Refuses nothing. What is no plain file or folder (standard input, a FIFO, bytes) is read in this process, since no other one can.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, wait

import msgspec

from safeload.report.writer import Row
from safeload.sweep.cluster import Cluster
from safeload.sweep.isolated import isolated_batch
from safeload.sweep.one import ALONE_TRIES, Item, Job, killed, rows_here, scan_batch

WINDOW = 3  # batches under way for each worker: one is worked on, one waits, one is late
GROWTH = 2  # batches for each worker until the next ones are a file longer
OWN_BATCH = 16  # files of one task in processes of our own

Send = Callable[[list[Item]], "Future[list[Row]]"]


class Pool:
    """An executor, how many tasks it works on at once, and how a batch gets there. A `lent` one is the caller's, and never shut down here."""

    def __init__(self, executor: Executor, send: Send, *, workers: int, batch: int, another: Callable[[], Pool], lent: bool = False) -> None:
        self.executor, self._send, self._another, self._lent = executor, send, another, lent
        self.workers, self.batch = max(workers, 1), max(batch, 1)
        self._beside: Pool | None = None  # processes of our own beside a lent executor, for what was lost there

    def submit(self, items: list[Item]) -> Future[list[Row]]:
        """A future in any case: what cannot be handed out has failed."""
        for _ in range(ALONE_TRIES):
            try:
                return self._send(items)
            except (BrokenExecutor, RuntimeError):  # RuntimeError: it was shut down
                self.renew()
            except Exception as error:  # noqa: BLE001 - whatever an executor of somebody else's raises
                return _failed(error)
        return _failed(BrokenExecutor("the pool of processes breaks as soon as it starts"))

    def alone(self, waiting: Iterable[Future[list[Row]]]) -> Pool:
        """Where a file of a lost batch is read again: on our own processes, with nothing else under way."""
        if not self._lent:
            wait(list(waiting))
            return self
        if self._beside is None:
            self._beside = self._another()
        return self._beside

    def renew(self) -> None:
        """Processes of our own in place of an executor that broke."""
        new = self._beside or self._another()
        self._beside = None
        self._stop(wait=False)
        self.executor, self._send, self._lent = new.executor, new._send, False
        self.workers, self.batch = new.workers, min(self.batch, new.batch)

    def close(self, *, wait: bool = True) -> None:
        """Forget what was not begun; `wait` for what was."""
        self._stop(wait=wait)

    def _stop(self, *, wait: bool) -> None:
        if not self._lent:
            self.executor.shutdown(wait=wait, cancel_futures=True)
        if self._beside is not None:
            self._beside.close(wait=wait)


def _failed(error: BaseException) -> Future[list[Row]]:
    failed: Future[list[Row]] = Future()
    failed.set_exception(error)
    return failed


class _Waiting(msgspec.Struct):
    items: list[Item]
    future: Future[list[Row]] | None  # None: to be read in this process


def rows_over(items: Iterable[Item], job: Job, pool: Pool) -> Iterator[tuple[Item, Row]]:
    """Over a pool, in the order of the items. The procedure of the module's first lines."""
    batches = _Batches(items)
    waiting: deque[_Waiting] = deque()
    sent = 0
    while True:
        # 1
        while len(waiting) < WINDOW * pool.workers:
            batch, away = batches.next(min(pool.batch, 1 + sent // (GROWTH * pool.workers)))
            if not batch:
                break
            waiting.append(_Waiting(batch, pool.submit(batch) if away else None))
            sent += 1
        if not waiting:
            return
        # 2
        head = waiting.popleft()
        if head.future is None:
            yield from rows_here(head.items, job)
            continue
        rows, _ = _rows_of(head.future, head.items)
        if rows is None:
            # 3
            alone = pool.alone(each.future for each in waiting if each.future is not None)
            rows = [_alone(item, job, alone) for item in head.items]
        yield from zip(head.items, rows, strict=True)


class _Batches:
    """Items, cut into batches that go away, and single ones that stay here. Looks one item ahead."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._source = iter(items)
        self._stays: Item | None = None

    def next(self, size: int) -> tuple[list[Item], bool]:
        """Up to `size` items, and whether they go away. None at the end."""
        batch: list[Item] = []
        while self._stays is None and len(batch) < size:
            item = next(self._source, None)
            if item is None:
                return batch, True
            if _goes_away(item):
                batch.append(item)
            else:
                self._stays = item
        if batch or self._stays is None:
            return batch, True
        stays, self._stays = self._stays, None
        return [stays], False


def _goes_away(item: Item) -> bool:
    """Would another process open the same file by this name? Not for a FIFO, and not for what a shell passes as `/dev/fd/63`."""
    path = item.shown if item.source is None else item.source
    if item.problem is not None or not isinstance(path, str) or path.startswith(("/dev/", "/proc/")):
        return item.problem is not None
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return True  # an address, or an error that every process gets
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _rows_of(future: Future[list[Row]], items: list[Item]) -> tuple[list[Row] | None, BaseException | None]:
    """The rows of one batch, or None and why there are none."""
    try:
        rows = future.result()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - CancelledError is a BaseException, and executors have exceptions of their own
        return None, error
    return (rows, None) if len(rows) == len(items) else (None, ValueError("the executor gave another number of rows"))


def _alone(item: Item, job: Job, pool: Pool) -> Row:
    """One file with nothing else under way."""
    error: BaseException | None = None
    for _ in range(ALONE_TRIES):
        rows, error = _rows_of(pool.submit([item]), [item])
        if rows is not None:
            return rows[0]
        if isinstance(error, BrokenExecutor):
            pool.renew()
    return killed(item, error, job)


def process_pool(job: Job, jobs: int, batch: int) -> Pool:
    """`jobs` processes of our own."""
    from safeload.sweep.processes import Processes

    executor = Processes(job, jobs)
    return Pool(executor, executor.submit_batch, workers=jobs, batch=batch, another=lambda: process_pool(job, jobs, batch))


def executor_pool(executor: Executor, job: Job, workers: int, batch: int) -> Pool:
    """A caller's executor. Should it break, the run goes on with processes of our own."""

    task = isolated_batch if isinstance(executor, Cluster) else scan_batch

    def send(items: list[Item]) -> Future[list[Row]]:
        return executor.submit(task, [_absolute(item) for item in items], job)

    here = min(workers, os.cpu_count() or 1)  # a cluster may have a thousand
    return Pool(executor, send, workers=workers, batch=batch, another=lambda: process_pool(job, here, OWN_BATCH), lent=True)


def _absolute(item: Item) -> Item:
    """The same file for a process that works elsewhere."""
    path = item.shown if item.source is None else item.source
    if item.problem is not None or not isinstance(path, str) or "://" in path:
        return item
    return Item(item.shown, os.path.abspath(path))
