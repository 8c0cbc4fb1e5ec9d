"""`scan`, `load` and `open` of hostile files under an audit hook: what a file makes the interpreter import, compile, open or start is a failure.

The hook is that of the fuzz targets (`fuzz/guard.py`), and so is the warm-up: what safeload imports late, by names of its own, was imported before.
A path is opened here, so that no `open` is left that the caller asked for. `test_watched.py` shows that the hook is awake.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fuzz.one_input  # noqa: F401 - warms up
import safeload
from fuzz.guard import Violation, armed
from safeload.findings import Report

__all__ = ["Violation", "armed", "load", "opened", "policy", "scan"]


def _bytes(data: Any) -> Any:
    return Path(data).read_bytes() if isinstance(data, (str, os.PathLike)) else data


def scan(data: Any, **options: Any) -> Report:
    """`safeload.scan`, watched."""
    content = _bytes(data)
    resolved = _resolved(options)
    with armed():
        return safeload.scan(content, **{**options, "policy": resolved})


def load(data: Any, *args: Any, **options: Any) -> Any:
    """`safeload.load`, watched."""
    content = _bytes(data)
    resolved = _resolved(options)
    with armed():
        return safeload.load(content, *args, **{**options, "policy": resolved})


def opened(data: Any, **options: Any) -> list[Any]:
    """All tensors of `safeload.open`, watched."""
    content = _bytes(data)
    resolved = _resolved(options)
    with armed(), safeload.open(content, **{**options, "policy": resolved}) as view:
        return [view.get_tensor(name) for name in view.keys()]  # noqa: SIM118 - a Checkpoint is no mapping


def policy(name: str) -> Any:
    """A shipped policy, read outside of the hook."""
    return safeload.load_policy(name)


def _resolved(options: dict[str, Any]) -> Any:
    """The policy, whose file is read outside of the hook."""
    given = options.get("policy")
    return safeload.load_policy("checkpoint" if given is None else given)
