"""Work whose amount is known becomes a bar on stderr: on a terminal, once it has taken a second, and gone when it is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

AFTER_SECONDS = 1.0


@contextmanager
def bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Gives a function that is told of each part of `total` that is done."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    started, shown, done = time.monotonic(), None, 0

    def advance(amount: int) -> None:
        nonlocal shown, done
        done += amount
        if shown is None and time.monotonic() - started > AFTER_SECONDS:
            from rich.console import Console
            from rich.progress import Progress

            shown = Progress(console=Console(stderr=True), transient=True)
            shown.start()
            shown.add_task(title, total=total, completed=done)
        elif shown is not None:
            shown.advance(shown.task_ids[0], amount)

    try:
        yield advance
    finally:
        if shown is not None:
            shown.stop()
