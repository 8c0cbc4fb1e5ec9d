"""What the tests put in the place of `row_of`: functions of a module, since they go between processes."""

from __future__ import annotations

import os
import signal

from safeload.judge import Reading
from safeload.report.rows import row_of
from safeload.report.writer import Needs, Row


def dies_on_killer(reading: Reading, needs: Needs) -> Row:
    """The process ends as if the kernel had killed it, for a file of that name."""
    if "killer" in reading.report.path:
        os._exit(7)
    return row_of(reading, needs)


def killed_on_killer(reading: Reading, needs: Needs) -> Row:
    if "killer" in reading.report.path:
        os.kill(os.getpid(), signal.SIGKILL)
    return row_of(reading, needs)


def dies_once(reading: Reading, needs: Needs) -> Row:
    """The first process that reads the file ends; there is a trace of it beside the file."""
    if "once" in reading.report.path:
        trace = reading.report.path + ".trace"
        if not os.path.exists(trace):
            with open(trace, "w"):
                os._exit(7)
    return row_of(reading, needs)


def raises_on_bad(reading: Reading, needs: Needs) -> Row:
    if "bad" in reading.report.path:
        raise RecursionError("too deep")
    return row_of(reading, needs)
