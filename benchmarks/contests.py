"""The contests: which contestants do the same work, and whether the whole process counts or only the load inside it.

The first contestant is safeload; ratios are of the others to it. Programs are given to a fresh interpreter with `-c`, the path as `sys.argv[1]`.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import msgspec

REPEATS = 3  # loads inside one process; the median counts, the first one is not timed
TIMED = """
import sys, time
{imports}
path = sys.argv[1]
def once():
    {load}
once()
taken = []
for _ in range({repeats}):
    start, used = time.perf_counter(), time.process_time()
    once()
    taken.append((time.perf_counter() - start, time.process_time() - used))
print(*sorted(taken)[len(taken) // 2])
"""
TOUCH = "; all(value.reshape(-1).view('u1')[::4096].sum() >= 0 for value in {arrays})"


class Contestant(msgspec.Struct, frozen=True, kw_only=True):
    """One command of a contest. `accepts` are the exit codes that mean it did its work."""

    label: str
    command: list[str]
    accepts: tuple[int, ...] = (0,)


class Contest(msgspec.Struct, frozen=True, kw_only=True):
    """Contestants of one workload; `inside` counts the time that the program took for the load alone."""

    title: str
    inside: bool
    contestants: list[Contestant]
    skipped: tuple[str, ...] = ()  # who is missing, and why


def _python(label: str, code: str, path: Path) -> Contestant:
    return Contestant(label=label, command=[sys.executable, "-c", code, str(path)])


def _timed(label: str, imports: str, load: str, path: Path) -> Contestant:
    return _python(label, TIMED.format(imports=imports, load=load, repeats=REPEATS), path)


def whole_process(paths: dict[str, Path]) -> Contest:
    """From the start of the interpreter to the last tensor, imports included."""
    return Contest(
        title="Whole process: import, load 300 tensors, exit",
        inside=False,
        contestants=[
            _python("safeload.load", "import sys, safeload; safeload.load(sys.argv[1])", paths["large"]),
            _python("torch.load, weights_only", "import sys, torch; torch.load(sys.argv[1], weights_only=True)", paths["large"]),
            _python("torch.load, weights_only, mmap", "import sys, torch; torch.load(sys.argv[1], weights_only=True, mmap=True)", paths["large"]),
            _python("safetensors.numpy.load_file", "import sys; from safetensors.numpy import load_file; load_file(sys.argv[1])", paths["large.safetensors"]),
        ],
    )


def load_tensors(paths: dict[str, Path], name: str, title: str) -> Contest:
    """The load alone. Mapped contestants have not read the payload when they return; `load_and_read` has them do so."""
    return Contest(
        title=title,
        inside=True,
        contestants=[
            _timed("safeload.load", "import safeload, numpy", "safeload.load(path)", paths[name]),
            _timed("safeload.load, mmap=False", "import safeload, numpy", "safeload.load(path, mmap=False)", paths[name]),
            _timed("torch.load, mmap=True", "import torch", "torch.load(path, weights_only=True, mmap=True)", paths[name]),
            _timed("torch.load", "import torch", "torch.load(path, weights_only=True)", paths[name]),
            *(
                [_timed("safetensors.numpy.load_file", "from safetensors.numpy import load_file", "load_file(path)", paths[f"{name}.safetensors"])]
                if f"{name}.safetensors" in paths
                else []
            ),
        ],
    )


def load_and_read(paths: dict[str, Path]) -> Contest:
    """The load, and one byte of each page of each tensor."""
    ours, theirs = TOUCH.format(arrays="loaded.values()"), TOUCH.format(arrays="(tensor.numpy() for tensor in loaded.values())")
    return Contest(
        title="Load 300 tensors and touch every page",
        inside=True,
        contestants=[
            _timed("safeload.load", "import safeload, numpy", "loaded = safeload.load(path)" + ours, paths["large"]),
            _timed("safeload.load, mmap=False", "import safeload, numpy", "loaded = safeload.load(path, mmap=False)" + ours, paths["large"]),
            _timed("torch.load, mmap=True", "import torch", "loaded = torch.load(path, weights_only=True, mmap=True)" + theirs, paths["large"]),
            _timed("torch.load", "import torch", "loaded = torch.load(path, weights_only=True)" + theirs, paths["large"]),
            _timed("safetensors.numpy.load_file", "from safetensors.numpy import load_file", "loaded = load_file(path)" + ours, paths["large.safetensors"]),
        ],
    )


def plain(paths: dict[str, Path]) -> Contest:
    """No tensor at all. `pickle` runs what it reads, and is here as the floor."""
    return Contest(
        title="Load plain data",
        inside=True,
        contestants=[
            _timed("safeload.load (zip)", "import safeload", "safeload.load(path)", paths["plain.pt"]),
            _timed("safeload.load (bare pickle)", "import safeload", "safeload.load(path)", paths["plain"]),
            _timed("torch.load, weights_only (zip)", "import torch", "torch.load(path, weights_only=True)", paths["plain.pt"]),
            _timed("pickle.load in C (runs code)", "import pickle", "pickle.load(open(path, 'rb'))", paths["plain"]),
        ],
    )


def scan(paths: dict[str, Path], name: str, title: str) -> Contest:
    """The command lines, each as a process of its own."""
    contestants = [Contestant(label="safeload scan", command=[*_own(), "scan", str(paths[name])])]
    contestants.append(_python("safeload.scan", "import sys, safeload; safeload.scan(sys.argv[1])", paths[name]))
    command = shutil.which("picklescan", path=str(Path(sys.executable).parent)) or shutil.which("picklescan")
    if command is None:
        return Contest(title=title, inside=False, contestants=contestants, skipped=("picklescan: it is not installed here",))
    contestants.append(Contestant(label="picklescan", command=[command, "--path", str(paths[name])]))
    return Contest(title=title, inside=False, contestants=contestants)


def _own() -> list[str]:
    return [sys.executable, "-c", "from safeload.cli import main; main()"]


def contests(paths: dict[str, Path]) -> list[Contest]:
    """All of them, in the order of the report."""
    return [
        whole_process(paths),
        load_tensors(paths, "large", "Load 300 tensors"),
        load_and_read(paths),
        load_tensors(paths, "small", "Load 20,000 small tensors"),
        load_tensors({"adam": paths["adam"]}, "adam", "Load a model with its Adam state"),
        plain(paths),
        scan(paths, "large", "Scan 300 tensors, whole process"),
        scan(paths, "small", "Scan 20,000 small tensors, whole process"),
    ]
