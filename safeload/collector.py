"""The cyclic garbage collector, paused while a file is read and rebuilt, and put back as it was, errors included.

Reading a checkpoint makes hundreds of thousands of objects that all stay; every collection would walk them again (measured: 2 to 7 times the work where
torch is imported beside us). Nested uses and other threads are safe: only the outermost pause of the process turns it on again.
"""

from __future__ import annotations

import gc
from _thread import allocate_lock  # `threading` around it is a millisecond of start
from types import TracebackType

_lock = allocate_lock()
_depth = 0
_was_enabled = False


class Paused:
    """`with Paused(): ...`"""

    __slots__ = ()

    def __enter__(self) -> None:
        global _depth, _was_enabled
        with _lock:
            if not _depth:
                _was_enabled = gc.isenabled()
                gc.disable()
            _depth += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        global _depth
        with _lock:
            _depth -= 1
            if not _depth and _was_enabled:
                gc.enable()
