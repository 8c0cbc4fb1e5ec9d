"""The paths of a command line become the files to judge, in a steady order.

A file's name decides nothing, so a folder gives every file below it; `--exclude` takes some away, and says how many. Links to files are followed, links to
folders are not: a loop of them would never end. What is no regular file is named and not opened, because reading a FIFO may wait for ever.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

import msgspec

from safeload.folder import METADATA


class Target(msgspec.Struct, frozen=True):
    """One thing to judge: `path`, or why it cannot be (`problem`); `-` is standard input."""

    path: str
    problem: str | None = None


class Walked(msgspec.Struct, kw_only=True):
    """What a walk has passed: folders without any file, and how many files `--exclude` took."""

    empty: list[str] = []
    excluded: int = 0


def targets(paths: Iterable[str], exclude: tuple[str, ...], walked: Walked) -> Iterator[Target]:
    """Every file that the paths mean. `walked` is filled while the targets are consumed."""
    for path in paths:
        if path == "-" or not os.path.isdir(path):
            yield Target(path)  # a FIFO that the caller names himself is read to its end
            continue
        count = 0
        for target in _below(path, exclude, walked):
            count += 1
            yield target
        if not count:
            walked.empty.append(path)


def globbed(paths: Iterable[str]) -> Iterator[str]:
    """The paths, a glob (`**` for any depth) replaced by what it matches, sorted. What exists by its very name is no glob, nor is one that matches nothing."""
    for path in paths:
        if path != "-" and any(sign in path for sign in "*?[") and "://" not in path and not os.path.lexists(path):
            from glob import glob

            yield from sorted(glob(path, recursive=True, include_hidden=True)) or [path]
        else:
            yield path


def _below(folder: str, exclude: tuple[str, ...], walked: Walked) -> Iterator[Target]:
    problems: list[OSError] = []
    for here, folders, files in os.walk(folder, onerror=problems.append):
        folders.sort()
        if METADATA in files:
            yield Target(here)  # a distributed checkpoint as a whole; its files stand for themselves, too, since it may not refer to all of them
        for name in sorted(files):
            path = os.path.join(here, name)
            if any(fnmatchcase(name, pattern) or fnmatchcase(os.path.relpath(path, folder), pattern) for pattern in exclude):
                walked.excluded += 1
                continue
            yield Target(path, _problem(path))
    for problem in problems:
        yield Target(os.fsdecode(problem.filename) if problem.filename else folder, problem.strerror or str(problem))


def _problem(path: str) -> str | None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return error.strerror or str(error)
    return None if stat.S_ISREG(mode) else "is no regular file"
