"""Law 1 on real files, watched from outside: reading the corpus makes the interpreter import, compile, run and open nothing, and a scan needs no library."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from .manifest import described, entries

HERE = Path(__file__).resolve().parent
CHILD_SECONDS = 300  # a ceiling for a machine under load; it takes a few
SCAN_NEEDS_NONE_OF = ("numpy", "fickling", "rich", "click", "cupy", "torch")
SCAN_ALL = """
import sys
sys.path[:0] = [{tests!r}, {root!r}]
import safeload
after_import = [name for name in {names!r} if name in sys.modules]
from corpus.manifest import entries
verdicts = set()
for entry in entries():
    for policy in ("weights-only", "checkpoint", "inspect"):
        verdicts.add(safeload.scan(entry.data(), policy=policy, encoding=entry.encoding).verdict)
print(after_import, [name for name in {names!r} if name in sys.modules], sorted(verdicts))
"""


@cache
def audited() -> dict[str, Any]:
    """What the child saw."""
    done = subprocess.run([sys.executable, str(HERE / "audited.py")], capture_output=True, text=True, timeout=CHILD_SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-4_000:]
    return dict(json.loads(done.stdout))


def _events(phase: str) -> list[tuple[str, str, int]]:
    return [(event, detail, count) for where, event, detail, count in audited()["events"] if where == phase]


def test_reading_the_corpus_causes_no_event() -> None:
    """No import, exec, compile, open of another file, process, ctypes, socket, pickle or marshal event in any load, open or scan."""
    report = audited()
    print(f"{described()}: {report['ends']}; events: {_events('corpus') or 'none'}")
    assert report["files"] == len(entries())
    assert report["ends"]["loaded"] > 100 and report["ends"]["refused"] > 50
    assert _events("corpus") == []


@pytest.mark.parametrize("event", ["import", "compile", "exec", "open"])
def test_the_hook_was_awake(event: str) -> None:
    """The control at the end of the same process is seen."""
    assert any(name == event for name, _, _ in _events("control"))


def test_a_scan_imports_no_library() -> None:
    """`import safeload` and `scan` of every file, under three policies, in a fresh interpreter."""
    program = SCAN_ALL.format(tests=str(HERE.parent), root=str(HERE.parents[1]), names=SCAN_NEEDS_NONE_OF)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=CHILD_SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-4_000:]
    assert done.stdout.startswith("[] [] ['accepted', ")
    assert "'rejected'" in done.stdout
