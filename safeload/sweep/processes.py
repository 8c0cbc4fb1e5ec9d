"""Processes of our own: each has a thread here that hands it one batch at a time over a pipe, so that it is known which batch a process died of.

`concurrent.futures.ProcessPoolExecutor` loses every batch under way with the one worker that dies. Here the others go on, and the thread starts a new process
for its next batch. None is forked from this process, which may hold threads and locks.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

from safeload.report.writer import Row
from safeload.sweep.one import Item, Job, scan_batch


class WorkerDied(Exception):
    """The process that was at work on a batch has ended, by its exit code or signal."""


_daemon = threading.Lock()  # one thread at a time pretends


class Worker:
    """One process and this end of its pipe."""

    def __init__(self, job: Job) -> None:
        import multiprocessing

        how = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        context: Any = multiprocessing.get_context(how)
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, job, os.getcwd()), daemon=True)
        with _daemon:  # a daemon, such as a worker of dask, may have no children, which would outlive it; this one ends with its pipe
            current: Any = multiprocessing.current_process()
            daemon = current._config.pop("daemon", None)
            try:
                self.process.start()
            finally:
                if daemon is not None:
                    current._config["daemon"] = daemon
        theirs.close()  # or its death would not end the pipe

    def run(self, items: list[Item]) -> list[Row]:
        """The rows of these items; raises `WorkerDied`."""
        try:
            self.pipe.send(items)
            rows: list[Row] = self.pipe.recv()
        except (EOFError, OSError) as error:
            self.end()
            raise WorkerDied(f"exit code {self.process.exitcode}") from error
        return rows

    def end(self) -> None:
        """Idle or not; whatever it was doing is lost, and was given up."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


class Processes(Executor):
    """`jobs` processes, started when they are needed. `submit_batch` gives a future that fails with `WorkerDied`, for that batch alone."""

    def __init__(self, job: Job, jobs: int) -> None:
        self._job = job
        self._threads = ThreadPoolExecutor(jobs, thread_name_prefix="safeload")
        self._own = threading.local()
        self._lock = threading.Lock()
        self._workers: set[Worker] = set()
        self._closed = False

    def submit_batch(self, items: list[Item]) -> Future[list[Row]]:
        """The rows of these items."""
        return self._threads.submit(self._run, items)

    def _run(self, items: list[Item]) -> list[Row]:
        worker: Worker = getattr(self._own, "worker", None) or self._started()
        try:
            return worker.run(items)
        except BaseException:  # dead, or with an answer still in its pipe
            self._own.worker = None
            with self._lock:
                known = worker in self._workers
                self._workers.discard(worker)
            if known:
                worker.end()
            raise

    def _started(self) -> Worker:
        with self._lock:
            if self._closed:
                raise WorkerDied("the run is over")
            worker = Worker(self._job)
            self._workers.add(worker)
        self._own.worker = worker
        return worker

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all processes; with `wait`, once they have done what they were given."""
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)
        with self._lock:
            self._closed = True
            workers, self._workers = self._workers, set()
        for worker in workers:
            worker.process.kill()  # a thread that waits for it sees the pipe end
        self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in workers:
            worker.end()


def _work(pipe: Any, job: Job, folder: str) -> None:
    """The whole life of such a process. It ends with the pipe, so none outlives the run."""
    import signal

    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # Ctrl-C reaches the whole group; the parent has the last word
    try:
        os.chdir(folder)  # paths are relative to where the run was started
        while True:
            items: list[Item] = pipe.recv()
            pipe.send(scan_batch(items, job))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
