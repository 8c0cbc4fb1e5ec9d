"""`torch.load(weights_only=True)` in a process of its own, kept alive from file to file: the value as text, and what the process did meanwhile.

The child reads a length and that many bytes from its standard input, and answers with one line of JSON. An audit hook there notes every import, open, process
and socket during a load; what torch itself does at its first loads is done before, on small files of its own. It is started again after a crash or a
time-out, which are torch's own (a deep tuple as a key ends the process).
"""

from __future__ import annotations

import json
import select
import struct
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from fuzz.zips import repack
from safeload.opcodes.assemble import assemble

SECONDS = 20
ACTS = frozenset(
    {"exec", "compile", "open", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.mkdir", "os.remove", "subprocess.Popen", "marshal.loads"}
)
HARMLESS = ("torch", "numpy", "sympy", "mpmath", "encodings", "_codecs", "warnings", "linecache", "tokenize")  # modules that torch or a warning imports late


class Found(NamedTuple):
    """What the child says: the canonical text (None where torch refused, or did not answer), and the events it saw."""

    value: str | None
    events: tuple[str, ...]


class Child:
    """The process, and one question at a time."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.restarts = -1

    def load(self, data: bytes) -> Found:
        """Let torch load these bytes."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(struct.pack("<Q", len(data)) + data)
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], SECONDS)
            line = process.stdout.readline() if ready else b""
        except OSError:
            line = b""
        if not line:
            self.close()
            return Found(None, ())
        answer = json.loads(line)
        return Found(answer["value"], tuple(answer["events"]))

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fuzz.torch_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=Path(__file__).parents[1],
            )
            self.restarts += 1
        return self.process

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                if stream is not None:
                    stream.close()
            self.process = None


def pickle_of_bytes(codec: str) -> bytes:
    """A zip whose pickle encodes a text, so that the codec is imported."""
    listing = f"PROTO 2\nGLOBAL _codecs encode\nBINUNICODE 'a'\nBINUNICODE {codec!r}\nTUPLE2\nREDUCE\nSTOP"
    return repack({b"a/data.pkl": assemble(listing), b"a/byteorder": b"little", b"a/version": b"3\n"})


def serve() -> None:
    """The child's loop."""
    import io
    import warnings
    from typing import Any

    import torch

    from fuzz.canonical import canonical

    warnings.simplefilter("ignore")
    events: list[str] = []
    watching = False

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if not watching:
            return
        if event == "import" and str(args[0]).split(".")[0] not in HARMLESS:
            events.append(f"import {args[0]}")
        elif event in ACTS:
            events.append(f"{event} {args!r:.200}")
        elif event.startswith(("socket.", "ctypes.", "shutil.", "os.spawn")):
            events.append(event)

    def load(data: bytes) -> str | None:
        nonlocal watching
        watching = True
        try:
            value = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except Exception:
            return None
        finally:
            watching = False
        return canonical(value)

    for legacy in (False, True):  # what torch imports and opens at its first loads
        out = io.BytesIO()
        torch.save({"w": torch.nn.Parameter(torch.ones(2)), "s": torch.zeros(2).to_sparse()}, out, _use_new_zipfile_serialization=not legacy)
        load(out.getvalue())
        load(out.getvalue()[:-7])
    for codec in ("latin1", "utf-8", "ascii", "bytes"):  # of bytes in protocol 2, by `_codecs.encode`
        load(pickle_of_bytes(codec))
    sys.addaudithook(hook)
    stdin, stdout = sys.stdin.buffer, sys.stdout
    while head := stdin.read(8):
        events.clear()
        value = load(stdin.read(struct.unpack("<Q", head)[0]))
        stdout.write(json.dumps({"value": value, "events": events}) + "\n")
        stdout.flush()


if __name__ == "__main__":
    serve()
