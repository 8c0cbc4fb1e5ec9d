"""Where the corpus stands and what it says: `MANIFEST.json` becomes `Entry` records.

Two places, in this order: `../shared/corpus` beside the repository (everything, for developers), `tests/fixtures/corpus` (the part that is checked in;
`tests/fixtures/select.py` made it). Each run prints which of the two it was.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

REPOSITORY = Path(__file__).resolve().parents[2]
WHOLE = REPOSITORY.parent / "shared" / "corpus"
FIXTURES = REPOSITORY / "tests" / "fixtures" / "corpus"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One file that a real library wrote, and what the real loader made of it. `needs` are the names beyond torch's own weights-only list."""

    file: str
    writer: dict[str, str]
    format: str
    kind: str
    load_args: dict[str, Any]
    expect: Any  # list of nodes, "scan-only", {"unloadable": why} or {"sequence": [...]}
    globals: list[str]
    needs: list[str]
    reference_state_dict: list[dict[str, Any]] | None = None  # of an archive whose value is no module of torch's own: what its state_dict() was
    policy_state_dict: list[dict[str, Any]] | None = None  # the same of the .pth member of a Stable-Baselines3 archive

    @property
    def path(self) -> Path:
        """Where the file is."""
        return corpus() / "files" / self.file

    @property
    def nodes(self) -> list[dict[str, Any]] | None:
        """The nodes of a file that holds one value and that its writer can load; None for the others."""
        return self.expect if isinstance(self.expect, list) else None

    @property
    def twin(self) -> Entry | None:
        """For a file that its own writer cannot read back (protocol 0): the same object as the same writer wrote it under protocol 4."""
        if self.nodes is not None or "proto0" not in self.file:
            return None
        return next((entry for entry in entries() if entry.file == self.file.replace("proto0", "proto4")), None)

    @property
    def start(self) -> int:
        """Where the checkpoint starts in the file, in bytes."""
        return int(self.load_args.get("seek", 0))

    @property
    def encoding(self) -> str:
        """For the 8-bit strings of Python 2, which are bytes as often as text."""
        return str(self.load_args.get("encoding", "latin1" if self.writer["python"].startswith("2.") else "utf-8"))

    @property
    def holds_objects(self) -> bool:
        """Is there a numpy array of Python objects in it?"""
        return any(node["kind"] == "ndarray" and node.get("object") for node in self.nodes or [])

    def data(self) -> bytes:
        """The checkpoint's bytes, from `start`."""
        return self.path.read_bytes()[self.start :]


def corpus() -> Path:
    """The folder that holds MANIFEST.json and files/. `SAFELOAD_CORPUS=fixtures` takes the small part where both are there."""
    return WHOLE if os.environ.get("SAFELOAD_CORPUS") != "fixtures" and (WHOLE / "MANIFEST.json").is_file() else FIXTURES


def described() -> str:
    """One line for the head of a test run."""
    which = "the whole corpus, ../shared/corpus" if corpus() == WHOLE else "the part that is checked in, tests/fixtures/corpus (not ../shared/corpus)"
    return f"checkpoint corpus: {which}, {len(entries())} files"


@cache
def entries() -> tuple[Entry, ...]:
    """All entries, in the manifest's order."""
    return read(corpus())


def read(folder: Path) -> tuple[Entry, ...]:
    """The entries of the manifest in `folder`."""
    return tuple(msgspec.convert(entry, Entry) for entry in json.loads((folder / "MANIFEST.json").read_text(encoding="utf-8"))["entries"])
