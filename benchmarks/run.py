"""`python -m benchmarks`: write the workloads of each row, check that all read the same, measure in turn, print the tables, delete the workloads.

Contestants of a row take turns, each in a fresh process, and every round begins with another one, so that what the machine does meanwhile hits all alike. Ours
run with this interpreter, peers with that of `--peers` (by default `benchmarks/.venv`; `--install` makes it from `requirements.txt`).
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from .measure import Sample, multiplied, run
from .plot import plot
from .results import Figures, Result, figures, verdict
from .rows import ROWS, Contestant, Row
from .table import goals, table

HERE = Path(__file__).parent
ROOT = HERE.parent
QUICK_SCALE = 20
PACKAGES = ("numpy", "ml_dtypes", "msgspec", "click")
PEERS = ("torch", "safetensors", "picklescan", "modelscan", "modelaudit", "fickling")
BEGIN, END = "<!-- written by python -m benchmarks --write -->", "<!-- end -->"


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything is."""

    folder: Path
    peers: Path  # the interpreter of the peers
    rounds: int
    scale: int

    def python(self, contestant: Contestant) -> str:
        """Whose interpreter runs it."""
        return str(self.peers) if contestant.peers else sys.executable

    def path(self, contestant: Contestant) -> str:
        """The file that it reads."""
        return str(self.folder / contestant.file)

    def child(self, contestant: Contestant, mode: str) -> Sample:
        """One run of `child`."""
        command = [self.python(contestant), "-m", "benchmarks.child", mode, contestant.imports, contestant.load, self.path(contestant)]
        return run([*command, str(self.folder / contestant.warm)], str(ROOT), str(self.folder))

    def sample(self, row: Row, contestant: Contestant) -> Sample:
        """One sample of what the row counts."""
        path = self.path(contestant)
        if row.mode == "command":
            words = {"python": sys.executable, "bin": str(self.peers.parent), "path": path, "folder": str(self.folder)}
            found = run([word.format(**words) for word in contestant.command], str(ROOT), str(self.folder))
            if not contestant.start:
                return found
            start = run([word.format(**words) for word in contestant.start], str(ROOT), str(self.folder))
            return multiplied(found, start, contestant.times)
        if row.mode == "process":
            program = f"import sys; path = sys.argv[1]\n{contestant.imports}\n{contestant.load}"
            return run([self.python(contestant), "-c", program, path], str(ROOT), str(self.folder))
        return self.child(contestant, row.mode)


def main() -> None:
    """Read the options and run the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes for each contestant (default 5)")
    parser.add_argument("--only", default="", metavar="REGEX", help="run only rows whose id matches; --list shows them")
    parser.add_argument("--against", default="", metavar="REGEX", help="run only contestants whose label matches, and safeload")
    parser.add_argument("--list", action="store_true", help="list the rows and stop")
    parser.add_argument("--quick", action="store_true", help=f"one round, and the large workloads {QUICK_SCALE} times smaller: shows that everything runs")
    parser.add_argument("--peers", type=Path, default=HERE / ".venv", metavar="FOLDER", help="the environment of the peers (default benchmarks/.venv)")
    parser.add_argument("--install", action="store_true", help="make that environment first, from benchmarks/requirements.txt")
    parser.add_argument("--folder", type=Path, help="where the workloads go (default: the temporary folder; 10 GB are needed at once)")
    parser.add_argument("--write", action="store_true", help="put what was measured into benchmarks/results.json, README.md and goals.svg")
    options = parser.parse_args()
    rows = [_against(row, options.against) for row in ROWS if re.search(options.only, row.id)]
    if options.list:
        print("\n".join(f"{row.id:<16} {row.title}" for row in rows))
        return
    if options.install:
        subprocess.run([sys.executable, "-m", "venv", str(options.peers)], check=True)
        subprocess.run([str(options.peers / "bin" / "python"), "-m", "pip", "install", "-r", str(HERE / "requirements.txt")], check=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rounds, scale = (1, QUICK_SCALE) if options.quick else (options.rounds, 1)
        bench = Bench(folder=Path(folder), peers=options.peers / "bin" / "python", rounds=rounds, scale=scale)
        where = _where(bench)
        print(f"{where}\n", flush=True)
        results = _results(rows, bench, where, write=options.write)
    print(f"### Goals\n\n{goals(results)}")


def _against(row: Row, labels: str) -> Row:
    """The row with its first contestant and those that are asked for."""
    first, *others = row.contestants
    return msgspec.structs.replace(row, contestants=(first, *(each for each in others if re.search(labels, each.label))))


def _results(rows: list[Row], bench: Bench, where: str, *, write: bool) -> list[Result]:
    """Row by row; a workload is written before the first row that needs it and deleted behind the last one. `write`: a row that is done is in the report."""
    results: list[Result] = []
    for number, row in enumerate(rows):
        missing = [name for name in row.needs if not list(bench.folder.glob(f"{name}*"))]
        if missing:
            # in a process of its own: a child's peak memory starts at what its parent holds when it forks
            subprocess.run([str(bench.peers), "-m", "benchmarks.workloads", str(bench.folder), str(bench.scale), *missing], check=True, cwd=ROOT)
            os.sync()  # a page that is still to be written cannot leave the page cache
        results.append(msgspec.structs.replace(measured(row, bench), where=where))
        if write:
            _write(results[-1])
        print(f"{table(results[-1])}\n", flush=True)
        later = {name for each in rows[number + 1 :] for name in each.needs}
        for name in set(row.needs) - later:
            for path in bench.folder.glob(f"{name}*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    return results


def measured(row: Row, bench: Bench) -> Result:
    """All contestants of a row. Raises where ours does not do its work, or where another one reads other values."""
    cannot = _unequal(row, bench)
    samples: list[list[Sample]] = [[] for _ in row.contestants]
    able = [index for index in range(len(row.contestants)) if index not in cannot]
    for number in range(bench.rounds):
        turn = number % len(able)
        for index in able[turn:] + able[:turn]:
            contestant = row.contestants[index]
            if number < contestant.most:
                sample = bench.sample(row, contestant)
                if row.mode in ("load", "cold") and (sample.code or sample.said is None):
                    raise SystemExit(f"{row.id}: {contestant.label} ended with {sample.code}: {sample.last}")
                samples[index].append(sample)
    memory = [_memory(row.contestants[index], bench) if row.memory and index in able else None for index in range(len(row.contestants))]
    found = [
        figures(row, index, samples, memory) if index in able else Figures(label=contestant.label, cannot=cannot[index])
        for index, contestant in enumerate(row.contestants)
    ]
    path = bench.folder / row.contestants[0].file
    file_bytes = path.stat().st_size if path.is_file() else sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    verdicts = tuple(each for goal in row.goals if (each := verdict(row, goal, found, file_bytes)) is not None)
    return Result(id=row.id, title=row.title, mode=row.mode, figures=tuple(found), verdicts=verdicts, file_bytes=file_bytes)


def _unequal(row: Row, bench: Bench) -> dict[int, str]:
    """Who cannot read the file, and why. Raises where two read it and disagree."""
    cannot: dict[int, str] = {}
    first: str | None = None
    for index, contestant in enumerate(row.contestants):
        if row.mode == "command":
            sample = bench.sample(row, contestant)  # writes the bytecode, too
            if sample.code == 127 or "No such file" in sample.last:
                cannot[index] = "it is not installed here"
        elif contestant.same:
            sample = bench.child(contestant, "digest")
            if sample.code or sample.said is None:
                cannot[index] = sample.last.replace(str(bench.folder), "")
                continue
            first = first or sample.said["digest"]
            if sample.said["digest"] != first:
                raise SystemExit(f"{row.id}: {contestant.label} reads {sample.said['digest']}, and {row.contestants[0].label} {first}: nothing to compare")
    if 0 in cannot:
        raise SystemExit(f"{row.id}: {row.contestants[0].label} does not read its own file: {cannot[0]}")
    return cannot


def _memory(contestant: Contestant, bench: Bench) -> int | None:
    said = bench.child(contestant, "memory").said
    return None if said is None else int(said["peak_bytes"])


# ---- the report -------------------------------------------------------------------------------------------------------------------------


def _where(bench: Bench) -> str:
    """When, where, and with what."""
    from importlib.metadata import version

    from safeload import __version__

    ours = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    program = f"from importlib.metadata import version\nprint(', '.join(f'{{name}} {{version(name)}}' for name in {PEERS}))"
    peers = subprocess.run([str(bench.peers), "-c", program], check=True, capture_output=True, text=True).stdout.strip()
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    machine = f"{system}, {_processor()}, {_cpus()} CPUs, {_memory_gib()} GiB, Python {platform.python_version()}"
    size = "" if bench.scale == 1 else f" Quick: large workloads are {bench.scale} times smaller."
    day = datetime.now(UTC).date().isoformat()
    return f"{day}: {machine}; safeload {__version__} with {ours}; peers: {peers}; {bench.rounds} rounds at most.{size}"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown processor")
    except OSError:
        return platform.processor() or "unknown processor"


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30))


def _write(result: Result) -> None:
    """One more row for the report: in place of what it said of this row before. What stands around the marks of the README is written by hand."""
    store = HERE / "results.json"
    known = {each.id: each for each in msgspec.json.decode(store.read_bytes(), type=list[Result])} if store.exists() else {}
    known[result.id] = result
    results = [known[row.id] for row in ROWS if row.id in known]
    store.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    (HERE / "goals.svg").write_text(plot(results), encoding="utf-8")
    tables = "\n\n".join(table(each) for each in results)
    places = "\n\n".join(dict.fromkeys(each.where for each in results))
    written = f"{BEGIN}\n## Measured\n\n{places}\n\n### Goals\n\n{goals(results)}\n\n![Found to aimed at, for each goal](goals.svg)\n\n{tables}\n{END}"
    readme = HERE / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    readme.write_text(f"{before}{written}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
