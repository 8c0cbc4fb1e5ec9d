"""One pickle stream becomes a second opinion on it: fickling's rendering as Python and its verdict, made in a child process.

The only place where safeload starts a process: ours, with fixed arguments, without an environment, bounded in time, memory and output. What it
says is shown beside our verdict and changes nothing. fickling reads pickles by rules of its own (laws 1 and 2 are about what safeload loads, and nothing
that it says is loaded).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import msgspec

from safeload.judge import Reading
from safeload.report.writer import Opinion as StreamOpinion

SECONDS = 20  # for one stream, start of the interpreter included
MEMORY_BYTES = 1 << 30  # address space of the child; fickling needs about 100 MiB before it reads anything
STREAM_BYTES = 4 << 20  # longest stream that is handed over: its rendering of more would be read by nobody
CHARACTERS = 20_000  # of the rendering
MAX_STREAMS = 8  # streams of one file that are handed over
CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fickling_child.py")


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """What fickling said. `error` says why there is nothing, or nothing more."""

    python: str | None = None
    severity: str | None = None  # fickling's own word, LIKELY_SAFE ... OVERTLY_MALICIOUS
    analysis: str | None = None
    error: str | None = None


def second_opinion(stream: bytes, seconds: float = SECONDS) -> Opinion:
    """The opinion on one stream. Always an answer, within `seconds`."""
    if len(stream) > STREAM_BYTES:
        return Opinion(error=f"the stream has {len(stream):,} bytes; only streams up to {STREAM_BYTES:,} are rendered")
    command = [sys.executable, "-I", CHILD, str(MEMORY_BYTES), str(CHARACTERS)]
    try:
        done = subprocess.run(command, input=stream, capture_output=True, timeout=seconds, env={}, cwd=os.path.dirname(CHILD), check=False)  # noqa: S603 - fixed words
    except subprocess.TimeoutExpired:
        return Opinion(error=f"no answer within {seconds:g} seconds")
    except OSError as error:
        return Opinion(error=f"the child process did not start: {error.strerror or error}")
    try:
        return msgspec.convert(json.loads(done.stdout), Opinion)
    except (ValueError, msgspec.ValidationError):
        return Opinion(error=f"the child process ended with {done.returncode} and gave no answer")


def opinions_on(reading: Reading) -> tuple[StreamOpinion, ...]:
    """The opinions on the first streams of a file, for a report."""
    found: list[StreamOpinion] = []
    for member, data, graph in reading.graphs[:MAX_STREAMS]:
        said = second_opinion(data[graph.start : graph.end])
        found.append(StreamOpinion(tool="fickling", member=member or None, offset=graph.start, **msgspec.structs.asdict(said)))
    return tuple(found)
