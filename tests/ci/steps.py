"""What a CI would do with the files of this repository that are written for it: their scripts, run by a shell, with a `safeload` from this source tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
HOSTILE_NAMES = (
    "--policy=evil.toml",
    "-h",
    "$(touch INJECTED).pt",
    "`touch INJECTED`.pt",
    "; touch INJECTED #.pt",
    '"; touch INJECTED; ".pt',
    "'; touch INJECTED; '.pt",
    "${{ github.token }}.pt",
    "a b\tc.pt",
    "*.pt",
    "::set-output name=x::y.pt",
    "%0A::error::x.pt",
    "END_OF_PATHS",
)
PYTHON = """#!/bin/sh
# The interpreter of the tests, with this source tree on its path; -I would leave it out.
[ "$1" = -I ] && shift
PYTHONPATH='{root}' exec '{python}' -P "$@"
"""
SAFELOAD = """#!/bin/sh
PYTHONPATH='{root}' exec '{python}' -P -m safeload "$@"
"""


def install(folder: Path) -> Path:
    """Put `bin/python` and `bin/safeload` there, as an installation would; returns the folder `bin`."""
    binaries = folder / "bin"
    binaries.mkdir(parents=True)
    for name, text in (("python", PYTHON), ("safeload", SAFELOAD)):
        (binaries / name).write_text(text.format(root=ROOT, python=sys.executable))
        (binaries / name).chmod(0o755)
    return binaries


def run(script: str, *, shell: str = "bash", cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """One script, as a runner runs it: from a file, with nothing on standard input."""
    flags = {"bash": ["--noprofile", "--norc", "-eo", "pipefail"], "sh": ["-e"]}[shell]
    file = cwd.parent / "script.sh"
    file.write_text(script)
    base = {"PATH": os.environ["PATH"], "HOME": str(cwd.parent), "LC_ALL": "C.UTF-8"}
    command = [shell, *flags, str(file)]
    return subprocess.run(command, cwd=cwd, env={**base, **environment}, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300, check=False)


def resolved(environment: dict[str, Any], inputs: dict[str, str]) -> dict[str, str]:
    """The `env` of a step: each value is one expression that names an input, and nothing else."""
    found = {}
    for name, value in environment.items():
        match = re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", value)
        assert match is not None, value
        found[name] = inputs[match[1]]
    return found
