"""The recipe of docs/scale.md for Ray Data, as it stands there, on a Ray of this machine: every file has its row, and what kills its process is one of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.inputs import EVIL, PAGE, PLAIN, state_dict

PAGE_OF_SCALE = (Path(__file__).parents[2] / "docs" / "scale.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE_OF_SCALE, re.MULTILINE | re.DOTALL)


def test_the_recipe_on_a_real_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray.data", reason="Ray is not installed: pip install 'ray[data]'")
    (recipe,) = [block for block in BLOCKS if "import ray" in block]
    program = tmp_path / "recipe.py"
    program.write_text(recipe)
    wanted = {}
    for number in range(150):
        data, verdict = [(PLAIN, "accepted"), (EVIL, "rejected"), (PAGE, "inconclusive"), (state_dict(), "accepted")][number % 4]
        path = tmp_path / f"{number:03d}.pt"
        path.write_bytes(data)
        wanted[str(path)] = verdict
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in wanted))
    done = subprocess.run([sys.executable, str(program), str(tmp_path / "list.txt"), "2"], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [line.split("\t") for line in done.stdout.splitlines() if line.count("\t") == 2]
    assert {path: verdict for verdict, path, _ in rows} == wanted and len(rows) == len(wanted)
    assert {rules for verdict, _, rules in rows if verdict == "rejected"} == {"SL301"}


def test_the_other_programs_of_the_page_run(tmp_path: Path) -> None:
    """On the examples, with a list of them."""
    root = Path(__file__).parents[2]
    (tmp_path / "examples").symlink_to(root / "examples", target_is_directory=True)
    (tmp_path / "list.txt").write_text("examples/tiny.pt\nexamples/hostile.pt\n")
    (first,) = [block for block in BLOCKS if "scan_many" in block]
    program = tmp_path / "program.py"
    body = "".join(f"    {line}" for line in [*first.splitlines(keepends=True), "print([report.verdict for report in reports])\n"])
    program.write_text(f"if __name__ == '__main__':\n{body}")  # processes are started, which import the main module again
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["examples/tiny.pt accepted", "examples/hostile.pt rejected", "['accepted', 'rejected']"]
