"""A real cluster of processes on this machine: workers are killed, by us and by files, and every file has its row all the same."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from safeload import __version__
from safeload.policy.resolve import load_policy
from safeload.sweep import cluster as clusters
from safeload.sweep import rows
from safeload.sweep.cluster import Cluster, ClusterError
from safeload.sweep.many import rows_of
from safeload.sweep.one import Item, Job
from tests.cli.inputs import BROKEN, EVIL, PAGE, PLAIN, run, state_dict
from tests.sweep import killers

distributed: Any = pytest.importorskip("distributed", reason="dask.distributed is not installed: pip install 'safeload[dask]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # dask's own

DATA = (PLAIN, EVIL, PAGE, BROKEN, state_dict())


@pytest.fixture(scope="module")
def local() -> Iterator[Any]:
    """Two workers, each a process with a nanny that starts another one in its place. No test here harms them."""
    with cluster_of(2) as made:
        yield made


@pytest.fixture
def only_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read again in processes of this machine's own."""

    def none(*_: Any) -> Any:
        raise AssertionError("a batch came back without its rows")

    monkeypatch.setattr(rows, "process_pool", none)


def cluster_of(workers: int) -> Any:
    return distributed.LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """120 files; their names are relative to where the run was started, and the workers are elsewhere."""
    monkeypatch.chdir(tmp_path)
    for number in range(120):
        (tmp_path / f"{number:03d}.pt").write_bytes(DATA[number % len(DATA)])
    return [f"{number:03d}.pt" for number in range(120)]


def job(row: Any = None) -> Job:
    return Job(policy=load_policy("checkpoint")) if row is None else Job(policy=load_policy("checkpoint"), row=row)


def outcome(found: Any) -> list[tuple[str, str, str]]:
    return [(item.shown, row.report.path, row.report.verdict) for item, row in found]


def expected(files: list[str], **others: str) -> list[tuple[str, str, str]]:
    return [(name, path, others.get(name.split("-")[0], verdict)) for name, path, verdict in outcome(rows_of(map(Item, files), job()))]


def test_the_rows_are_those_of_this_process_in_the_same_order(local: Any, only_there: None, files: list[str]) -> None:
    sources = [*files[:60], "missing.pt", *files[60:], files[0]]
    here = [(item.shown, row) for item, row in rows_of(map(Item, sources), job())]
    with Cluster(local.scheduler_address) as cluster:
        assert cluster.threads == 2
        assert [(item.shown, row) for item, row in rows_of(map(Item, sources), job(), jobs=cluster.threads, executor=cluster, batch=7)] == here


def test_the_command_line_gives_the_same_report(local: Any, only_there: None, files: list[str]) -> None:
    for form in ("json", "text", "csv"):
        here, there = run("scan", "-f", form, "."), run("scan", "-f", form, "--dask", local.scheduler_address, ".")
        assert (there.code, there.out, there.err) == (here.code, here.out, here.err), form


def test_a_worker_that_is_killed_loses_no_file(files: list[str]) -> None:
    """From outside, while it works, and then the other one as well."""
    with cluster_of(2) as local, Cluster(local.scheduler_address) as cluster:
        found = rows_of(map(Item, files), job(), jobs=2, executor=cluster, batch=5)
        seen = [next(found) for _ in range(10)]
        for nanny in list(local.workers.values()):
            os.kill(nanny.pid, signal.SIGKILL)
            seen += [next(found) for _ in range(20)]
        assert outcome([*seen, *found]) == expected(files)


@pytest.mark.parametrize("row", [killers.dies_on_killer, killers.killed_on_killer])
def test_a_file_that_kills_its_worker_is_one_row_and_takes_no_other_with_it(local: Any, only_there: None, files: list[str], row: Any) -> None:
    os.rename(files[30], "killer-30.pt")
    files[30] = "killer-30.pt"
    with Cluster(local.scheduler_address) as cluster:
        before = {worker.pid for worker in local.workers.values()}
        found = list(rows_of(map(Item, files), job(row), jobs=2, executor=cluster, batch=8))
        assert before == {worker.pid for worker in local.workers.values()}, "its child died, and not the worker"
    assert outcome(found) == expected(files, killer="inconclusive")
    finding = found[30][1].report.findings[0]
    assert finding.rule == "SL005" and "ended, 2 times" in finding.message


def test_a_worker_that_dies_of_something_else_costs_nothing(local: Any, only_there: None, files: list[str]) -> None:
    os.rename(files[20], "once.pt")
    files[20] = "once.pt"
    with Cluster(local.scheduler_address) as cluster:
        assert outcome(rows_of(map(Item, files), job(killers.dies_once), jobs=2, executor=cluster, batch=8)) == expected(files)
    assert os.path.exists("once.pt.trace")


def test_a_cluster_that_goes_is_given_up_and_the_run_goes_on(files: list[str]) -> None:
    """Workers that never come back. What was handed out fails at once and is read here."""
    told: list[str] = []
    with cluster_of(1) as local, Cluster(local.scheduler_address, patience=1, lost=told.append) as cluster:
        found = rows_of(map(Item, files), job(), jobs=1, executor=cluster, batch=5)
        seen = [next(found) for _ in range(3)]
        local.scale(0)
        local.sync(local._correct_state)
        seen += list(found)
        assert outcome(seen) == expected(files)
        assert told == ["the dask cluster has had no workers for 1 seconds"]
        with pytest.raises(clusters.BrokenExecutor):
            cluster.submit(int)


def test_a_scheduler_that_goes(files: list[str]) -> None:
    told: list[str] = []
    local = cluster_of(1)
    with Cluster(local.scheduler_address, patience=1, lost=told.append) as cluster:
        found = rows_of(map(Item, files), job(), jobs=1, executor=cluster, batch=5)
        seen = [next(found) for _ in range(3)]
        local.close()
        seen += list(found)
    assert outcome(seen) == expected(files)
    assert len(told) <= 1


def test_a_run_that_ends_early_leaves_nothing_behind(local: Any, files: list[str]) -> None:
    with Cluster(local.scheduler_address) as cluster:
        found = rows_of(map(Item, files), job(), jobs=2, executor=cluster, batch=5)
        next(found)
        found.close()  # type: ignore[attr-defined]
    with distributed.Client(local.scheduler_address, set_as_default=False) as client:
        for _ in range(100):
            if not (left := client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))):
                break
            distributed.wait([client.submit(int, pure=False)])
        assert left <= 1


def test_a_cluster_that_cannot_be_worked_with(local: Any, files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "CONNECT_SECONDS", 2)
    for address, says in (("tcp://127.0.0.1:1", "no dask scheduler answers at tcp://127.0.0.1:1"), ("wat://x", "no dask scheduler answers at wat://x")):
        found = run("scan", "--dask", address, files[0])
        assert found.code == 2 and found.out.count("accepted") == 0 and says in found.err
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None, silence_logs=50) as empty,
        pytest.raises(ClusterError, match="has no workers"),
    ):
        Cluster(empty.scheduler_address)
    monkeypatch.setattr(clusters, "__version__", "9.9")
    with pytest.raises(ClusterError, match=rf"2 of 2 workers do not have safeload 9.9 .*{__version__}"):
        Cluster(local.scheduler_address)
