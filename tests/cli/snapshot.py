"""What a person sees, held in files: `check("name", text)` compares with `tests/cli/snapshots/name.txt`.

`SAFELOAD_UPDATE_SNAPSHOTS=1 pytest tests/cli` writes them anew; look at the difference before it is committed. Digests and versions of policies are masked,
because they change with every entry of a shipped policy.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "snapshots"
_DIGEST = re.compile(r"\(sha256 [0-9a-f]+\.\.\.\)")
_VERSION = re.compile(r"(policy [a-z-]+) [0-9.]+")


def masked(text: str) -> str:
    """Without what changes with every edit of a shipped policy."""
    return _VERSION.sub(r"\1 VERSION", _DIGEST.sub("(sha256 ...)", text))


def check(name: str, text: str) -> None:
    """Compare, or write where `SAFELOAD_UPDATE_SNAPSHOTS` is set."""
    path = FOLDER / f"{name}.txt"
    found = masked(text)
    if os.environ.get("SAFELOAD_UPDATE_SNAPSHOTS"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
    assert path.exists(), f"{path} is missing; run with SAFELOAD_UPDATE_SNAPSHOTS=1 and look at it"
    assert found == path.read_text(encoding="utf-8")
