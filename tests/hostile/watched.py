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

__all__ = ["Violation", "armed", "load", "opened", "scan"]


def _bytes(data: Any) -> Any:
    return Path(data).read_bytes() if isinstance(data, (str, os.PathLike)) else data


def scan(data: Any, **options: Any) -> Report:
    """`safeload.scan`, watched."""
    content = _bytes(data)
    policy = _resolved(options)
    with armed():
        return safeload.scan(content, **{**options, "policy": policy})


def load(data: Any, *args: Any, **options: Any) -> Any:
    """`safeload.load`, watched."""
    content = _bytes(data)
    policy = _resolved(options)
    with armed():
        return safeload.load(content, *args, **{**options, "policy": policy})


def opened(data: Any, **options: Any) -> list[Any]:
    """All tensors of `safeload.open`, watched."""
    content = _bytes(data)
    policy = _resolved(options)
    with armed(), safeload.open(content, **{**options, "policy": policy}) as view:
        return [view.get_tensor(name) for name in view.keys()]  # noqa: SIM118 - a Checkpoint is no mapping


def _resolved(options: dict[str, Any]) -> Any:
    """The policy, whose file is read outside of the hook."""
    policy = options.get("policy")
    return safeload.load_policy("checkpoint" if policy is None else policy)
