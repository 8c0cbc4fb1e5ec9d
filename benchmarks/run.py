"""`python -m benchmarks`: write the workloads, check that all loaders agree, measure them in turn, print the tables.

Contestants of a contest take turns, each run in a fresh process, so that what the machine does meanwhile hits all of them alike. Every file is read
once by the check, so all start from a warm page cache.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .contests import Contest, contests
from .measure import Sample, Summary, run, summary
from .table import table

PACKAGES = ("safeload", "numpy", "torch", "safetensors", "picklescan")


def main() -> None:
    """Read the options and run all contests."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=7, help="fresh processes for each contestant (default 7)")
    parser.add_argument("--megabytes", type=int, default=100, help="size of the 300 tensors together (default 100)")
    parser.add_argument("--only", default="", help="run only contests whose title contains this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(heading(options.runs, options.megabytes), flush=True)
        # in a process of its own: a child's peak memory starts at what its parent holds when it forks
        prepared = subprocess.run([sys.executable, "-m", "benchmarks.prepare", folder, str(options.megabytes)], check=True, capture_output=True, text=True)
        print(f"\n{prepared.stdout}", flush=True)
        paths = {path.name.removesuffix(".pt").removesuffix(".pkl"): path for path in Path(folder).iterdir()} | {
            "plain.pt": Path(folder) / "plain.pt",
            "plain": Path(folder) / "plain.pkl",
        }
        for contest in contests(paths):
            if options.only in contest.title:
                print(table(contest, measured(contest, options.runs)) + "\n", flush=True)


def measured(contest: Contest, runs: int) -> dict[str, Summary]:
    """All contestants, in turn. Raises `Failed` where one does not run: a table without it would look like a result."""
    samples: dict[str, list[Sample]] = {contestant.label: [] for contestant in contest.contestants}
    for _ in range(runs):
        for contestant in contest.contestants:
            samples[contestant.label].append(run(contestant.command, accepts=contestant.accepts))
    return {label: summary(found, inside=contest.inside) for label, found in samples.items()}


def heading(runs: int, megabytes: int) -> str:
    """When, where, and with what."""
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    machine = f"{platform.system()} {platform.machine()}, {_cpus()} CPUs, Python {platform.python_version()}"
    sizes = f"{runs} processes for each contestant, taking turns; 300 tensors of {megabytes} MB together."
    return f"## {datetime.now(UTC).date().isoformat()}: {machine}\n\n{versions}. {sizes}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _cpus() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    main()
