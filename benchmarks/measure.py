"""One program in a fresh process becomes a `Sample`: wall time, CPU time of all its threads, peak memory, and the time that it measured inside itself."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from statistics import median

import msgspec

KIB = 1_024


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds and bytes of one run. `inside` is the wall and CPU time that the program printed, None where it times nothing itself."""

    wall: float
    cpu: float
    peak_bytes: int
    inside: tuple[float, float] | None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """All runs of one contestant: median, lowest and highest wall time of what its contest counts, median CPU time, and the process's peak memory."""

    wall: float
    lowest: float
    highest: float
    cpu: float
    peak_bytes: int
    runs: int


class Failed(RuntimeError):
    """A contestant did not run; the message ends with what it wrote."""


def run(command: list[str], *, accepts: tuple[int, ...] = (0,)) -> Sample:
    """Run `command` once. What it prints is two numbers, or does not matter. Raises `Failed`."""
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read().strip()
    if process.returncode not in accepts:
        raise Failed(f"{command[:3]} ended with {process.returncode}: {printed[-200:]}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else KIB)
    return Sample(wall=wall, cpu=usage.ru_utime + usage.ru_stime, peak_bytes=peak, inside=_numbers(printed))


def _numbers(printed: str) -> tuple[float, float] | None:
    try:
        wall, cpu = map(float, printed.split())
    except ValueError:
        return None
    return wall, cpu


def summary(samples: list[Sample], *, inside: bool) -> Summary:
    """The figures of one contestant."""
    times = [sample.inside if inside and sample.inside is not None else (sample.wall, sample.cpu) for sample in samples]
    walls = [wall for wall, _ in times]
    return Summary(
        wall=median(walls),
        lowest=min(walls),
        highest=max(walls),
        cpu=median(cpu for _, cpu in times),
        peak_bytes=int(median(sample.peak_bytes for sample in samples)),
        runs=len(samples),
    )
