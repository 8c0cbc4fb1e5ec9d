"""`safeload scan --online`: addresses of the command line become those of the files that they mean.

Refuses, with exit 2, what asks for every byte of every file: `--locked` and `--verify crc`.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

import click

from safeload.errors import CheckpointError
from safeload.judge import Verify
from safeload.source import is_uri


def refuse(locked: str | None, verify: Verify) -> None:
    """What does not go with `--online`."""
    for name, value in (("--locked", locked), ("--verify", verify)):
        if value is not None:
            raise click.BadParameter("needs every byte of every file, and --online fetches what is judged; download them", param_hint=f"'{name}'")


def addresses(paths: tuple[str, ...], exclude: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
    """The paths, a repository or folder of the Hub replaced by its files; and how many of those `exclude` took.

    An address that cannot be asked for its files stays as it is, and says why when it is judged.
    """
    found: list[str] = []
    excluded = 0
    for path in paths:
        if not is_uri(path) or not path.startswith("hf://"):
            found.append(path)
            continue
        from safeload.remote.opening import expanded

        try:
            files = expanded(path)
        except CheckpointError:
            files = [path]
        kept = [file for file in files if not any(fnmatchcase(name, each) for each in exclude for name in (file.rpartition("/")[2], file))]
        excluded += len(files) - len(kept)
        found += kept
    return tuple(found), excluded
