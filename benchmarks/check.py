"""Before anything is timed: the contestants must have read the same values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

import safeload


class Unequal(AssertionError):
    """Two loaders disagree about a workload; timing them would compare nothing."""


def check(paths: dict[str, Path]) -> int:
    """Compare all results with torch's. Returns how many leaves were compared; raises `Unequal`."""
    count = 0
    for name in ("large", "small", "adam", "plain.pt"):
        expected = torch.load(paths[name], weights_only=True)
        for mapped in (True, False):
            count += _same(name, safeload.load(paths[name], mmap=mapped), expected)
    for name in ("large", "small"):
        expected, found = torch.load(paths[name], weights_only=True), load_file(str(paths[f"{name}.safetensors"]))
        count += _same(name, {key: found[key] for key in expected}, expected)  # safetensors keeps an order of its own
    return count + _same("plain", safeload.load(paths["plain"]), torch.load(paths["plain.pt"], weights_only=True))


def _same(where: str, found: Any, expected: Any) -> int:
    if isinstance(expected, torch.Tensor):
        if found.dtype != expected.numpy().dtype or not np.array_equal(found, expected.numpy()):
            raise Unequal(f"{where}: a tensor differs")
        return 1
    if isinstance(expected, dict):
        if list(found) != list(expected):
            raise Unequal(f"{where}: the keys differ")
        return sum(_same(f"{where}.{key}", found[key], value) for key, value in expected.items())
    if isinstance(expected, (list, tuple)):
        if type(found) is not type(expected) or len(found) != len(expected):
            raise Unequal(f"{where}: a {type(expected).__name__} differs")
        return sum(_same(f"{where}[{number}]", one, other) for number, (one, other) in enumerate(zip(found, expected, strict=True)))
    if type(found) is not type(expected) or found != expected:
        raise Unequal(f"{where}: {found!r:.40} is not {expected!r:.40}")
    return 1
