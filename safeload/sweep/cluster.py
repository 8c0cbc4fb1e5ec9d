"""A `dask.distributed` cluster as an executor that never lets anybody wait for ever: results, the errors of lost tasks, `BrokenExecutor` once it is gone.

Batches go there as `isolated_batch`, so a file that kills what reads it takes no worker with it. Workers that are lost all the same are dask's business: it
runs their tasks again (`distributed.scheduler.allowed-failures` times), and then fails them with `KilledWorker`; `safeload.sweep.rows` reads such a batch
here. What dask does not do is to give up: with no worker left, or no scheduler, a future waits for ever. So who waits here looks at the cluster every
second, and after `patience` seconds without any worker everything that is open fails at once; the run goes on with processes here.

Refuses (`ClusterError`) an address where no scheduler answers, a cluster without workers, and workers with another version of safeload. Whoever can
reach a scheduler can run code on its workers: that is dask's nature, and a `tls://` address with dask's own configuration is the answer to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any

from safeload import __version__
from safeload.errors import SafeloadError

CONNECT_SECONDS = 30.0  # until a scheduler answers, and until it has a worker
PATIENCE_SECONDS = 60.0  # without any worker: a nanny starts a new one within a few seconds
WATCH_SECONDS = 1.0
ANSWER_SECONDS = 10.0  # for a scheduler to say which workers it has
FETCH_SECONDS = 60.0  # for the rows of one batch to come over the network
NAMED_WORKERS = 3  # with another version, in a message


class ClusterError(SafeloadError):
    """There is no cluster that could be worked with, and why."""


class Cluster(Executor):
    """One client of one scheduler. `lost` is told, once, when the cluster is given up."""

    def __init__(self, address: str, *, patience: float = PATIENCE_SECONDS, lost: Callable[[str], None] | None = None) -> None:
        try:
            import distributed
        except ImportError as error:
            raise ClusterError("this needs dask.distributed: pip install 'safeload[dask]'") from error
        self._dask: Any = distributed  # without types, in part
        try:
            self._client = client = self._dask.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise ClusterError(f"no dask scheduler answers at {address}: {error}") from error
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
            _same_version(client.run(worker_version, on_error="return"))
        except BaseException as error:
            client.close()
            if isinstance(error, OSError):  # TimeoutError is one
                raise ClusterError(f"the dask cluster at {address} has no workers") from error
            raise
        self._patience, self._lost = patience, lost
        self._open: set[_Task] = set()
        self._broken: str | None = None
        self._absent_since: float | None = None  # when a look found no worker, and none since has found one

    @property
    def threads(self) -> int:
        """Tasks that the workers of this moment run at once."""
        threads: dict[str, int] = self._client.nthreads()
        return max(sum(threads.values()), 1)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future whose `result` ends. Raises `BrokenExecutor` once the cluster is gone."""
        if self._broken is not None:
            raise BrokenExecutor(self._broken)
        task = _Task(self, self._client.submit(fn, *args, pure=False, **kwargs))  # pure: the same batch again would fail as before, unread
        self._open.add(task)
        return task

    def value_of(self, task: _Task, theirs: Any) -> Any:
        """Wait for a task of the cluster, and look at the cluster meanwhile."""
        while self._broken is None:
            try:
                with self._client.as_current():  # it is not the default one
                    self._dask.wait([theirs], timeout=WATCH_SECONDS)
                value = theirs.result(timeout=FETCH_SECONDS)
            except TimeoutError:
                if theirs.status == "error":
                    raise
                self._look()
                continue
            finally:
                if theirs.done():
                    self._open.discard(task)
            return value
        raise BrokenExecutor(self._broken)

    def _look(self) -> None:
        if self._has_workers():
            self._absent_since = None
        elif self._absent_since is None:
            self._absent_since = time.monotonic()
        elif time.monotonic() - self._absent_since >= self._patience:
            self._give_up(f"the dask cluster has had no workers for {self._patience:,.0f} seconds")

    def _has_workers(self) -> bool:
        client = self._client
        try:
            return client.status == "running" and bool(client.sync(client.scheduler.ncores, callback_timeout=ANSWER_SECONDS))
        except Exception:  # noqa: BLE001 - whatever dask and tornado raise when nobody answers
            return False

    def _give_up(self, why: str) -> None:
        self._broken = why
        lost, self._open = self._open, set()
        for task in lost:
            task.set_exception(BrokenExecutor(why))
        if self._lost is not None:
            self._lost(why)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster. What was handed out and not waited for is cancelled."""
        self._broken = self._broken or "the run is over"
        if self._open and self._client.status == "running":
            self._client.cancel([task.theirs for task in self._open])
        self._open.clear()
        self._client.close()


class _Task(Future[Any]):
    """A task of the cluster, which is asked for its value by whoever waits for it: no thread stands between."""

    def __init__(self, cluster: Cluster, theirs: Any) -> None:
        super().__init__()
        self._cluster, self.theirs = cluster, theirs

    def result(self, timeout: float | None = None) -> Any:
        """The value, or the error: the task's own, or `BrokenExecutor`."""
        return super().result(timeout) if self.done() else self._cluster.value_of(self, self.theirs)


def worker_version() -> str:
    """What each worker is asked."""
    return __version__


def _same_version(found: dict[str, Any]) -> None:
    """Raise where a worker lacks safeload, or has another one: it would read with other rules."""
    others = {worker: version for worker, version in found.items() if version != __version__}
    if others:
        named = "; ".join(f"{worker}: {version}" for worker, version in list(others.items())[:NAMED_WORKERS])
        raise ClusterError(f"{len(others):,} of {len(found):,} workers do not have safeload {__version__} ({named})")
