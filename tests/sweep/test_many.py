"""Every source has one row, in order, whatever becomes of the processes that read them."""

from __future__ import annotations

import io
import itertools
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

import safeload
from safeload.policy.resolve import load_policy
from safeload.sweep import rows
from safeload.sweep.many import rows_of
from safeload.sweep.one import Item, Job, scan_item, scan_one
from safeload.sweep.processes import Processes, WorkerDied
from tests.cli.inputs import BROKEN, EVIL, OURS, PAGE, PLAIN, state_dict
from tests.sweep import killers

DATA = {"plain": PLAIN, "evil": EVIL, "page": PAGE, "ours": OURS, "broken": BROKEN, "zip": state_dict()}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sixty files of six kinds, one that is missing and one that is a folder without any."""
    monkeypatch.chdir(tmp_path)
    names = []
    for number, (name, data) in zip(range(60), itertools.cycle(DATA.items())):
        names.append(f"{number:02d}-{name}.pt")
        (tmp_path / names[-1]).write_bytes(data)
    (tmp_path / "folder").mkdir()
    return [*names[:30], "missing.pt", "folder", *names[30:]]


def reports(*arguments: Any, **options: Any) -> list[safeload.Report]:
    return list(safeload.scan_many(*arguments, **options))


def test_the_reports_are_those_of_scan_in_the_order_of_the_sources(files: list[str]) -> None:
    found = reports(files, policy="weights-only", digest=True)
    assert [report.path for report in found] == files
    for report, path in zip(found, files, strict=True):
        if path not in ("missing.pt", "folder"):
            assert report == safeload.scan(path, policy="weights-only", digest=True)
    assert {report.path: report.findings[0].rule for report in found if report.path in ("missing.pt", "folder")} == {"missing.pt": "SL005", "folder": "SL005"}


@pytest.mark.parametrize("batch", [None, 1, 7, 100])
def test_processes_and_threads_give_the_same_rows(files: list[str], batch: int | None) -> None:
    expected = reports(files)
    assert reports(files, jobs=2, batch=batch) == expected
    with ThreadPoolExecutor(3) as threads:
        assert reports(files, executor=threads, jobs=3, batch=batch) == expected
        assert threads.submit(int).result() == 0  # the caller's executor is still his


def test_sources_of_every_kind_keep_their_place(files: list[str], tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = subprocess.Popen([sys.executable, "-c", f"open({str(fifo)!r}, 'wb').write({EVIL!r})"])
    sources = [files[0], EVIL, io.BytesIO(PLAIN), Path(files[1]), str(fifo), files[2]]
    found = reports(sources, jobs=2)
    writer.wait()
    assert [report.verdict for report in found] == ["accepted", "rejected", "accepted", "rejected", "rejected", "inconclusive"]
    assert [report.path for report in found] == [files[0], "<bytes>", "<BytesIO>", files[1], str(fifo), files[2]]


def test_wrong_arguments_raise_before_the_first_file() -> None:
    for wrong in ({"jobs": 0}, {"batch": 0}, {"limits": {"wat": 1}}):
        with pytest.raises(ValueError, match=r"jobs|wat"):
            safeload.scan_many(["x"], **wrong)  # type: ignore[arg-type]
    with pytest.raises(safeload.PolicyFileError):
        safeload.scan_many(["x"], policy="nope")


# ---- nothing is read ahead --------------------------------------------------------------------------------------------------------------


class Counting(Executor):
    """Does the work at once, and counts what is under way: handed out and not yet waited for."""

    def __init__(self) -> None:
        self.open = self.most = self.tasks = 0

    def submit(self, fn: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
        self.open, self.tasks = self.open + 1, self.tasks + 1
        self.most = max(self.most, self.open)
        future = _Told(self)
        future.set_result(fn(*arguments, **options))
        return future


class _Told(Future[Any]):
    def __init__(self, counting: Counting) -> None:
        super().__init__()
        self._counting = counting

    def result(self, timeout: float | None = None) -> Any:
        self._counting.open -= 1
        return super().result(timeout)


def test_memory_is_flat_and_the_futures_under_way_are_bounded() -> None:
    """A hundred thousand rows pass; an endless source of them is asked for no more than the window."""
    asked = 0

    def endless() -> Iterator[Item]:
        nonlocal asked
        for asked in itertools.count(1):
            yield Item(f"{asked}", None, "is no regular file")

    counting = Counting()
    job = Job(policy=load_policy("checkpoint"))
    found = rows_of(endless(), job, jobs=4, executor=counting, batch=50)
    for _ in range(20_000):
        next(found)
    tracemalloc.start()
    try:
        for _ in range(80_000):
            next(found)
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert counting.most <= rows.WINDOW * 4
    assert asked <= 100_000 + (rows.WINDOW * 4 + 1) * 50
    assert grown < 2 << 20  # the window's own rows
    found.close()  # type: ignore[attr-defined]


def test_the_first_batches_are_short() -> None:
    """Ten files over two workers are ten tasks, not one."""
    counting = Counting()
    items = [Item(str(number), None, "x") for number in range(4)]
    list(rows_of(items, Job(policy=load_policy("checkpoint")), jobs=2, executor=counting, batch=50))
    assert counting.tasks == 4


# ---- workers that die -------------------------------------------------------------------------------------------------------------------


def job_with(row: Any) -> Job:
    return Job(policy=load_policy("checkpoint"), row=row)


def verdicts(found: Iterator[tuple[Item, Any]]) -> dict[str, str]:
    return {item.shown: row.report.verdict for item, row in found}


@pytest.mark.parametrize("row", [killers.dies_on_killer, killers.killed_on_killer])
def test_a_worker_that_dies_takes_one_file_with_it_and_no_other(files: list[str], row: Any) -> None:
    for number in (5, 6, 40):
        os.rename(files[number], f"killer-{number}.pt")
        files[number] = f"killer-{number}.pt"
    expected = {report.path: report.verdict for report in reports(files)} | {f"killer-{number}.pt": "inconclusive" for number in (5, 6, 40)}
    found = list(rows_of(map(Item, files), job_with(row), jobs=2, batch=8))
    assert [item.shown for item, _ in found] == files
    assert {item.shown: each.report.verdict for item, each in found} == expected
    dead = next(each.report for item, each in found if item.shown == "killer-5.pt")
    assert dead.findings[0].rule == "SL005" and "ended, 2 times" in dead.findings[0].message


def test_a_worker_that_dies_for_another_reason_costs_nothing(files: list[str]) -> None:
    os.rename(files[5], "once.pt")
    files[5] = "once.pt"
    expected = {report.path: report.verdict for report in reports(files)}
    assert verdicts(rows_of(map(Item, files), job_with(killers.dies_once), jobs=2, batch=8)) == expected


def test_a_process_that_dies_fails_its_own_batch_alone(files: list[str]) -> None:
    os.rename(files[5], "killer.pt")
    job = job_with(killers.dies_on_killer)
    pool = Processes(job, 2)
    try:
        futures = [pool.submit_batch([Item(name)]) for name in (files[0], "killer.pt", *files[6:12])]
        assert isinstance(futures[1].exception(), WorkerDied) and "exit code 7" in str(futures[1].exception())
        assert [len(future.result()) for future in (futures[0], *futures[2:])] == [1] * 7
        with pytest.raises((TypeError, AttributeError)):  # what cannot be sent is lost, and the process with it
            pool.submit_batch([Item("x", lambda: None)]).result()  # type: ignore[arg-type]
        assert len(pool.submit_batch([Item(files[0])]).result()) == 1
    finally:
        pool.shutdown()
    with pytest.raises(RuntimeError):
        pool.submit_batch([Item(files[0])])


def test_a_lent_executor_that_breaks_is_replaced(files: list[str]) -> None:
    os.rename(files[5], "killer.pt")
    files[5] = "killer.pt"
    expected = {report.path: report.verdict for report in reports(files)} | {"killer.pt": "inconclusive"}
    with ProcessPoolExecutor(2) as lent:
        found = verdicts(rows_of(map(Item, files), job_with(killers.dies_on_killer), jobs=2, executor=lent, batch=4))
        with pytest.raises(BrokenProcessPool):
            lent.submit(int)
    assert found == expected


def test_an_executor_that_is_shut_down_or_refuses_loses_nothing(files: list[str]) -> None:
    class Refuses(Executor):
        def submit(self, fn: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
            raise TypeError("not today")

    lent = ThreadPoolExecutor(1)
    lent.shutdown()
    assert [report.path for report in reports(files, executor=lent)] == files
    assert reports(files[:3], executor=Refuses()) == reports(files[:3])  # read here, then


def test_a_mistake_of_ours_is_the_row_of_that_file(files: list[str]) -> None:
    os.rename(files[5], "bad.pt")
    row = scan_one("bad.pt", job_with(killers.raises_on_bad))
    assert (row.report.verdict, row.report.path) == ("inconclusive", "bad.pt")
    assert "internal error" in row.report.findings[0].message and "RecursionError: too deep (killers.py:" in row.report.findings[0].message
    assert scan_item(Item(files[0]), job_with(killers.raises_on_bad)).report.verdict == "accepted"


def test_leaving_early_ends_the_processes(tmp_path: Path) -> None:
    """Nobody waits for a run whose reader has gone, and no process stays behind."""
    (tmp_path / "plain.pt").write_bytes(PLAIN)
    code = (
        "import itertools, safeload\n"
        "if __name__ == '__main__':\n"
        "    found = safeload.scan_many(itertools.repeat('plain.pt'), jobs=2)\n"
        "    print(next(found).verdict)\n"
        "    found.close()\n"
    )
    (tmp_path / "leave.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "leave.py"], cwd=tmp_path, env=environment, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"accepted\n", b"")


def test_ctrl_c_is_one_line(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number}.pt").write_bytes(PLAIN)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "safeload", "scan", "--files-from", "-", "--jobs", "2"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job has it ignored, and so had this one
    ) as run:
        assert run.stdin is not None and run.stdout is not None and run.stderr is not None
        run.stdin.write(b"".join(b"%d.pt\n" % number for number in range(50)) * 100)
        run.stdin.flush()
        assert any(b"accepted" in run.stdout.readline() for _ in range(8))  # the first rows are there, and the list has not ended
        os.killpg(run.pid, signal.SIGINT)
        run.stdout.read()
        assert run.stderr.read() == b"\nsafeload: interrupted\n"  # click ends the line that the ^C stands on
        assert run.wait(60) == 2
