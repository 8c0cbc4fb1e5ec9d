"""How many honest files of each library's own making its policy lets through: measured over the corpus, never written down by hand.

    PYTHONPATH=.:tests python -m policy.load_rate             a table for people
    PYTHONPATH=.:tests python -m policy.load_rate --markdown  the same for docs/policies-shipped.md

A file counts as *loaded* where `load` gives a value, and as *judged* where a scan-only policy accepts it.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from corpus.manifest import Entry, entries

import safeload
from safeload.errors import CheckpointError
from safeload.policy.resolve import load_policy

# policy -> the libraries whose files it is for; the corpus names the library that wrote each file
LIBRARIES: dict[str, tuple[str, ...]] = {
    "weights-only": ("peft", "ema-pytorch"),
    "checkpoint": ("accelerate", "stable-baselines3", "torch"),
    "omegaconf": ("omegaconf",),
    "lightning": ("lightning", "pytorch-lightning"),
    "transformers": ("transformers",),
    "ultralytics": ("ultralytics",),
    "timm": ("timm",),
    "torchvision": ("torchvision",),
    "torch-geometric": ("torch_geometric",),
    "numpy": ("numpy", "joblib"),
    "sklearn": ("scikit-learn", "xgboost", "lightgbm", "scipy"),
    "inspect": ("torch", "torchmetrics", "skorch", "stable-baselines3", "dill", "cloudpickle", "pandas"),
}
PARTIAL = frozenset({"checkpoint", "numpy", "inspect"})  # refuse some honest files by design: other classes, arrays of Python objects, code beside weights


class Rate(NamedTuple):
    """One policy over the files of its libraries."""

    policy: str
    files: int
    passed: int
    refused: tuple[tuple[str, str], ...]  # (file, why)


def outcome(entry: Entry, policy: str) -> str | None:
    """None where the file passes, else why not."""
    resolved = load_policy(policy)
    if resolved.mode == "scan-only":
        report = safeload.scan(entry.data(), policy=resolved, encoding=entry.encoding)
        return None if report.verdict == "accepted" else report.errors[0].message
    try:
        safeload.load(entry.data(), map_location="cpu", policy=resolved, encoding=entry.encoding)
    except CheckpointError as error:
        return error.message
    return None


def rates() -> list[Rate]:
    """All of them, for the corpus that is at hand."""
    found = []
    for policy, libraries in LIBRARIES.items():
        mine = [entry for entry in entries() if entry.writer["library"] in libraries and not isinstance(entry.expect, dict)]
        results = [(entry.file, outcome(entry, policy)) for entry in mine]
        found.append(Rate(policy, len(results), sum(why is None for _, why in results), tuple((file, why) for file, why in results if why is not None)))
    return [rate for rate in found if rate.files]


def text(found: list[Rate]) -> str:
    """For a terminal."""
    lines = [f"{'policy':<16}{'passed':>8}{'files':>7}"]
    for rate in found:
        lines.append(f"{rate.policy:<16}{rate.passed:>8}{rate.files:>7}")
        lines += [f"    {file}: {why:.110}" for file, why in rate.refused]
    return "\n".join(lines)


def markdown(found: list[Rate]) -> str:
    """For the docs."""
    rows = [f"| `{rate.policy}` | {', '.join(LIBRARIES[rate.policy])} | {rate.passed} of {rate.files} |" for rate in found]
    return "\n".join(["| policy | files written by | pass |", "|---|---|---|", *rows])


if __name__ == "__main__":
    print(markdown(rates()) if "--markdown" in sys.argv else text(rates()))
