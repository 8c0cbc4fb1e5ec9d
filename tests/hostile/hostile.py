"""Hostile files from listings, and what must become of them: a verdict with its rules, a `CheckpointError` from `load`, and no trace of the payload.

The payload of every test makes a directory, `RAN` in the listings; a test fails if it appears, or if a module that only the payload names gets imported,
or if an audit hook sees any look outside (`watched.py`).
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from containers.zipbuild import Part, build

from safeload.errors import CheckpointError
from safeload.findings import Report
from safeload.limits import Limits
from safeload.opcodes.assemble import assemble

from . import watched

NEVER_IMPORTED = ("antigravity", "this", "idlelib.pyshell", "ctypes.util", "pty")
"""Modules of the standard library that no test and no reader has a reason to import."""

SYSTEM = "GLOBAL posix mkdir\nBINUNICODE 'RAN'\nTUPLE1\nREDUCE\n"
"""Makes the directory, if anything runs it."""

HOOKS = "GLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\n"


def storage(kind: str = "FloatStorage", key: str = "'0'", location: str = "'cpu'", numel: str = "BININT1 6") -> str:
    """A persistent id of torch's grammar, from spelt parts."""
    return f"MARK\nBINUNICODE 'storage'\nGLOBAL torch {kind}\nBINUNICODE {key}\nBINUNICODE {location}\n{numel}\nTUPLE\nBINPERSID\n"


def ints(*numbers: int) -> str:
    """A tuple of ints of any size."""
    return "MARK\n" + "".join(f"LONG4 {number}\n" for number in numbers) + "TUPLE\n"


def tensor(shape: str = ints(2, 3), stride: str = ints(3, 1), offset: str = "BININT1 0\n", stored: str = storage()) -> str:
    """A dense tensor of six floats, or what is made of it."""
    return f"GLOBAL torch._utils _rebuild_tensor_v2\nMARK\n{stored}{offset}{shape}{stride}NEWFALSE\n{HOOKS}TUPLE\nREDUCE\n"


def vector(kind: str, key: str, numel: int) -> str:
    """A tensor of one dimension over a whole storage."""
    return tensor(ints(numel), ints(1), stored=storage(kind, key, numel=f"BININT1 {numel}"))


def stream(listing: str, protocol: int | None = 2) -> bytes:
    """A bare pickle with its PROTO and STOP."""
    return assemble(("" if protocol is None else f"PROTO {protocol}\n") + listing + "STOP\n")


def archive(listing: str, storages: dict[str, bytes] | None = None, *, extra: tuple[Part, ...] = ()) -> bytes:
    """A torch zip around it; one storage of 24 bytes unless told."""
    kept = {"0": bytes(24)} if storages is None else storages
    parts = [Part(b"a/data.pkl", stream(listing)), Part(b"a/byteorder", b"little")]
    parts += [Part(f"a/data/{key}".encode(), content) for key, content in kept.items()]
    return build([*parts, Part(b"a/version", b"3\n"), *extra])


class Refusal:
    """Holds one file against what must become of it."""

    def __init__(self, folder: Path) -> None:
        self.trace = folder / "ran"
        self.loaded = frozenset(NEVER_IMPORTED) & frozenset(sys.modules)

    def armed(self, data: bytes) -> bytes:
        """The file with the payload's directory in place of `RAN`, whose length prefix (BINUNICODE) is mended."""
        path = str(self.trace).encode()
        return data.replace(b"X\3\0\0\0RAN", b"X" + len(path).to_bytes(4, "little") + path)

    def __call__(self, data: bytes, verdict: str, *rules: str, limits: Limits | None = None, names: tuple[str, ...] = ()) -> Report:
        """`checkpoint` gives this verdict with at least these rules, and names these globals; `load` raises; neither policy runs anything."""
        report = watched.scan(data, limits=limits)
        found = {finding.rule for finding in report.errors}
        assert report.verdict == verdict, (report.verdict, [(f.rule, f.message) for f in report.errors])
        assert set(rules) <= found, [(f.rule, f.message) for f in report.errors]
        assert set(names) <= {finding.global_name for finding in report.errors}, report.errors
        with pytest.raises(CheckpointError):
            watched.load(data, map_location="cpu", limits=limits)
        self.inert(data, limits)
        return report

    def inert(self, data: bytes, limits: Limits | None = None) -> object:
        """Under `inspect`, which lets most names through as records, the file gives a value or a `CheckpointError`, and runs nothing."""
        verdict = watched.scan(data, policy="inspect", limits=limits).verdict
        value: object = None
        try:
            value = watched.load(data, map_location="cpu", policy="inspect", limits=limits)
            assert verdict == "accepted"
        except CheckpointError:
            assert verdict != "accepted"
        assert not self.trace.exists(), "the payload ran"
        assert frozenset(NEVER_IMPORTED) & frozenset(sys.modules) == self.loaded, "a module that the file names was imported"
        return value
