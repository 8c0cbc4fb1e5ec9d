"""One program in a fresh process becomes a `Sample`: wall time, CPU time of all its threads, peak memory, how it ended, and what it said of itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from typing import Any

import msgspec

KIB = 1_024
SHOWN = 160  # characters of a failure


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds and bytes of one process. `said` is the JSON object that it printed, None where it prints none."""

    wall: float
    cpu: float
    peak_bytes: int
    code: int  # below zero: the signal that ended it
    said: dict[str, Any] | None
    last: str  # the error that it ended with, else the last line that it wrote


def run(command: list[str], folder: str, here: str) -> Sample:
    """Run `command` once in the folder `here`, with the project in `folder` and nothing else of ours in its path, and no telemetry."""
    environment = {**os.environ, "PYTHONPATH": folder, "NO_ANALYTICS": "1", "PYTHONDONTWRITEBYTECODE": ""}
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=here)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read().strip()
    last = printed.rsplit("\n", 1)[-1]
    reason = re.findall(r"^[\w.]*(?:Error|Exception|Refused|Exceeded)\w*: .*", printed, re.MULTILINE)
    return Sample(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss * (1 if sys.platform == "darwin" else KIB),
        code=process.returncode,
        said=_object(last),
        last=(reason[-1] if reason else last)[:SHOWN],
    )


def multiplied(found: Sample, start: Sample, times: int) -> Sample:
    """What a program would take for `times` as much work, from what it took for the work and for its start alone."""
    wall, cpu = (begun + times * (taken - begun) for begun, taken in ((start.wall, found.wall), (start.cpu, found.cpu)))
    return msgspec.structs.replace(found, wall=wall, cpu=cpu)


def _object(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
