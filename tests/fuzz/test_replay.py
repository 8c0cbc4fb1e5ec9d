"""The seeds and the regressions of the fuzz targets, through the same functions that the targets run; atheris is not needed."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
INPUTS = sorted(path for folder in ("seeds", "regressions") for path in (ROOT / "fuzz" / folder).glob("*") if path.suffix != ".md")


@pytest.fixture(scope="module")
def targets() -> ModuleType:
    """`fuzz.one_input`, which lies beside the package and is not installed."""
    sys.path.insert(0, str(ROOT))
    try:
        return import_module("fuzz.one_input")
    finally:
        sys.path.remove(str(ROOT))


@pytest.mark.parametrize("check", ["check_load", "check_machine", "check_zip"])
@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name)
def test_an_input_breaks_no_law(targets: ModuleType, path: Path, check: str) -> None:
    {"check_load": targets.check_load, "check_machine": targets.check_machine, "check_zip": targets.check_zip}[check](path.read_bytes())


def test_there_are_seeds() -> None:
    assert len(INPUTS) > 40
    assert sum(path.stat().st_size for path in INPUTS) < 200_000


def test_the_seeds_are_what_the_script_writes(targets: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = import_module("fuzz.make_seeds")
    monkeypatch.setattr(script, "SEEDS", tmp_path)
    script.main()
    written = {path.name: path.read_bytes() for path in tmp_path.glob("*")}
    assert written == {path.name: path.read_bytes() for path in (ROOT / "fuzz" / "seeds").glob("*")}


def test_most_seeds_are_accepted_under_one_policy(targets: ModuleType) -> None:
    """Seeds that stop at the first opcode would test nothing."""
    seeds = sorted((ROOT / "fuzz" / "seeds").glob("*"))
    accepted = [path for path in seeds if targets.read(path.read_bytes(), policy="inspect", limits=targets.LIMITS).report.verdict == "accepted"]
    assert len(accepted) > len(seeds) * 3 // 4


ACTS = {
    "import": "import this",
    "open": "open('x', 'w')",
    "compile": "compile('1', '', 'eval')",
    "mkdir": "import os; os.mkdir('x')",
    "socket": "import socket; socket.socket()",
    "process": "import os; os.system('true')",
    "swallowed": "\ntry:\n  open('x', 'w')\nexcept BaseException:\n  pass",
}


@pytest.mark.parametrize("act", ACTS)
def test_the_guard_sees_it(tmp_path: Path, act: str) -> None:
    """In a process of its own: an audit hook stays for good."""
    imports = "import os, socket\n" if act != "import" else ""
    body = "".join(f"  {line}\n" for line in ACTS[act].replace("import os; ", "").replace("import socket; ", "").split("\n"))
    program = f"{imports}from fuzz.guard import Violation, armed\ntry:\n with armed():\n{body} print('missed')\nexcept Violation:\n print('seen')\n"
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "seen", result.stderr
    assert not (tmp_path / "x").exists()


def test_the_guard_is_off_outside(targets: ModuleType, tmp_path: Path) -> None:
    targets.check_machine(b"\x80\2N.")
    (tmp_path / "x").write_text("open is allowed again")
