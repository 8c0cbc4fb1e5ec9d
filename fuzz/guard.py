"""An audit hook that turns any look outside into a failure: while `armed()`, importing, opening, compiling or starting anything is a `Violation`.

CPython raises these events before it acts, so the act itself is stopped. `Violation` is a `BaseException`: no handler of the code under test may swallow it,
and it is raised again on leaving, for the case that one did. An audit hook cannot be taken out again; unarmed it costs one look at a flag.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

EVENTS = frozenset(
    {
        *("import", "exec", "compile", "open", "marshal.loads", "code.__new__", "function.__new__", "pickle.find_class"),
        *("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "subprocess.Popen", "pty.spawn"),
        *(
            "os.mkdir",
            "os.remove",
            "os.rename",
            "os.rmdir",
            "os.link",
            "os.symlink",
            "os.truncate",
            "os.chmod",
            "os.chown",
            "os.putenv",
            "os.listdir",
            "os.scandir",
        ),
        *("shutil.rmtree", "shutil.copyfile", "shutil.move", "tempfile.mkstemp", "tempfile.mkdtemp", "glob.glob", "webbrowser.open", "urllib.Request"),
    }
)
PREFIXES = ("socket.", "ctypes.", "ftplib.", "smtplib.", "imaplib.", "poplib.", "telnetlib.", "http.", "sqlite3.", "winreg.")


class Violation(BaseException):
    """Reading data reached outside."""


READ_ONLY = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_LARGEFILE", 0)

MEMORY = "/proc/meminfo"  # py7zr looks at it before it inflates a 7z archive, whatever is in it

_armed = False
_installed = False
_below: str | None = None  # the folder whose files may be read
_seen: list[str] = []


def _reads_below(event: str, args: tuple[object, ...]) -> bool:
    """Is this a file or a listing of the folder that may be read, opened for reading? Or what py7zr reads to know how much memory there is?"""
    if event == "open" and args[:2] == (MEMORY, "r"):
        return True
    if _below is None or event not in ("open", "os.listdir") or not isinstance(args[0], str):
        return False
    path = os.path.normpath(args[0])
    if path != _below and not path.startswith(_below + os.sep):
        return False
    return event == "os.listdir" or (isinstance(args[2], int) and not args[2] & ~READ_ONLY)


def _hook(event: str, args: tuple[object, ...]) -> None:
    global _armed
    if _armed and (event in EVENTS or event.startswith(PREFIXES)) and not _reads_below(event, args):
        _armed = False  # the traceback of the failure opens source files
        _seen.append(f"{event} {args!r:.200}")
        raise Violation(_seen[-1])


@contextmanager
def armed(below: str | None = None) -> Iterator[None]:
    """No event of `EVENTS` may happen inside; files of the folder `below` (absolute, without links) may be read."""
    global _armed, _below, _installed
    if not _installed:
        sys.addaudithook(_hook)
        _installed = True
    _seen.clear()
    _below = below
    _armed = True
    try:
        yield
    finally:
        _armed = False
    if _seen:
        raise Violation(_seen[0])
