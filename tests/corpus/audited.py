"""Run by `test_laws_on_corpus` in a process of its own: read every file of the corpus with an audit hook armed, and print as JSON what it saw.

1. Import all of safeload and what it imports when it is needed, so that an import that is left has the file to thank for it.
2. Arm the hook (it cannot be taken off again, hence the process).
3. Scan, load and open each file under `checkpoint` and `inspect`.
4. Do one of each forbidden thing ourselves, between marks: the hook must have seen them, or it saw nothing before.
"""

from __future__ import annotations

import importlib
import io
import json
import pkgutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[at]) for at in (1, 2)]

import safeload  # noqa: E402 - the path comes first
from corpus.manifest import Entry, entries  # noqa: E402
from safeload.errors import CheckpointError  # noqa: E402

POLICIES = ("checkpoint", "inspect")
WATCHED = ("import", "exec", "compile", "open", "marshal.", "pickle.", "subprocess.", "os.", "ctypes.", "socket.", "shutil.", "code.", "mmap.", "sys.settrace")
# What safeload imports inside functions, whatever the file says. Names that files choose (argparse, sklearn, posix ...) are not among them, and must not be.
# The codecs are those of the opcodes (UNICODE is raw-unicode-escape) and of `encoding=`, which the caller chooses.
OWN_LAZY_IMPORTS = (
    "collections", "datetime", "decimal", "fractions", "ml_dtypes", "numpy", "pathlib", "uuid", "zlib", "binascii", "bz2", "lzma", "zstandard", "lz4.frame",
    "encodings.ascii", "encodings.latin_1", "encodings.raw_unicode_escape", "encodings.unicode_escape", "encodings.utf_8",
)  # fmt: skip
NEEDS_OTHERS = ("safeload.cupy", "safeload.torch", "safeload.cli", "safeload.report", "safeload.placement.cupy_backend")

armed = False
current = ""
phase = "corpus"
seen: Counter[tuple[str, str, str]] = Counter()


def hook(event: str, args: tuple[Any, ...]) -> None:
    """Count what is watched; opening the file that is being read is what the caller asked for."""
    if armed and event.startswith(WATCHED):
        detail = str(args[0])[:120] if args else ""
        if not (event in ("open", "mmap.__new__") and (detail == current or event == "mmap.__new__")):
            seen[phase, event, detail] += 1


def warm_up() -> None:
    """Step 1."""
    for module in pkgutil.walk_packages(safeload.__path__, "safeload."):
        if not module.name.startswith(NEEDS_OTHERS):
            importlib.import_module(module.name)
    for name in OWN_LAZY_IMPORTS:
        importlib.import_module(name)
    for policy in POLICIES:  # reads the policy files, too
        safeload.load(_first_state_dict(), "cpu", policy=policy)


def _first_state_dict() -> bytes:
    return next(entry for entry in entries() if entry.format == "torch-zip" and entry.kind == "state_dict" and not entry.needs and not entry.start).data()


def read(entry: Entry, data: bytes) -> Counter[str]:
    """Step 3 for one file."""
    global current
    ends: Counter[str] = Counter()
    for policy in POLICIES:
        given: Any = str(entry.path) if not entry.start else io.BytesIO(data)
        current = str(entry.path)
        safeload.scan(data, policy=policy, encoding=entry.encoding)
        try:
            safeload.load(given, "cpu", policy=policy, encoding=entry.encoding)
            with safeload.open(data, "cpu", policy=policy, encoding=entry.encoding) as view:
                for name in view.keys():  # noqa: SIM118 - no mapping
                    view.get_tensor(name)
            ends["loaded"] += 1
        except CheckpointError:
            ends["refused"] += 1
    return ends


def main() -> None:
    """The steps, and their report."""
    global armed, phase
    files = [(entry, entry.data()) for entry in entries()]
    warm_up()
    sys.addaudithook(hook)
    armed = True
    ends: Counter[str] = Counter()
    for entry, data in files:
        ends += read(entry, data)
    phase = "control"
    import colorsys  # noqa: F401 - the control: an import that nobody did before

    exec(compile("0", "control", "exec"))
    open(__file__).close()
    armed = False
    print(json.dumps({"files": len(files), "ends": ends, "events": [[*key, count] for key, count in seen.items()]}))


if __name__ == "__main__":
    main()
