"""A batch in a child of the worker: the child may die, and the batch has all its rows."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from safeload.policy.resolve import load_policy
from safeload.sweep import isolated
from safeload.sweep.isolated import isolated_batch
from safeload.sweep.one import Item, Job, scan_batch
from tests.cli.inputs import EVIL, PLAIN
from tests.sweep import killers


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    names = ["a.pt", "killer.pt", "b.pt", "once.pt", "c.pt"]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(EVIL if number % 2 else PLAIN)
    return [Item(str(tmp_path / name)) for name in names]


def job(row: Any) -> Job:
    return Job(policy=load_policy("checkpoint"), row=row)


def test_what_kills_its_process_is_one_row_and_the_others_are_read(items: list[Item]) -> None:
    found = isolated_batch(items, job(killers.killed_on_killer))
    assert [row.report.verdict for row in found] == ["accepted", "inconclusive", "accepted", "rejected", "accepted"]
    assert "ended, 2 times (WorkerDied: exit code -9)" in found[1].report.findings[0].message
    plain = Job(policy=load_policy("checkpoint"))
    assert isolated_batch(items, plain) == scan_batch(items, plain)  # another job, another child


def test_a_child_stays_for_the_next_batch_and_a_thread_has_its_own(items: list[Item]) -> None:
    plain = Job(policy=load_policy("checkpoint"))
    isolated_batch(items, plain)
    first = isolated._own.worker.process.pid
    isolated_batch(items[:1], Job(policy=load_policy("checkpoint")))  # an equal job
    assert isolated._own.worker.process.pid == first
    with ThreadPoolExecutor(1) as thread:
        other = thread.submit(lambda: isolated_batch(items, plain) and isolated._own.worker.process.pid).result()
    assert other != first


def test_what_cannot_be_sent_raises_and_costs_the_child_alone(items: list[Item]) -> None:
    plain = Job(policy=load_policy("checkpoint"))
    with pytest.raises((TypeError, AttributeError)):
        isolated_batch([Item("x", lambda: None)], plain)  # type: ignore[arg-type]
    assert len(isolated_batch(items, plain)) == len(items)


def in_a_daemon(pipe: Any, items: list[Item], asked: Job) -> None:
    assert multiprocessing.current_process().daemon
    pipe.send((os.getpid(), isolated_batch(items, asked)))
    assert multiprocessing.current_process().daemon, "it is one again"


def test_a_daemon_such_as_a_worker_of_dask_can_have_the_child(items: list[Item]) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=in_a_daemon, args=(theirs, items, job(killers.dies_on_killer)), daemon=True)
    process.start()
    pid, found = ours.recv()
    process.join(60)
    assert pid == process.pid and process.exitcode == 0 and len(found) == len(items)
