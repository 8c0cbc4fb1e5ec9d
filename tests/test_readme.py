"""The README does what it says: its commands exist, its terminal blocks are what the program prints, its Python runs.

`python tests/test_readme.py` rewrites the terminal blocks from the program, for when its output has changed on purpose.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DIGEST = re.compile(r"\b[0-9a-f]{12}\b")  # of a policy; changes with each of its entries
WITNESS = "safeload-example-was-executed"
RUN = "import sys; from safeload.cli import main; main(sys.argv[1:])"


def blocks(language: str) -> list[str]:
    """The code blocks of one language, in order."""
    return [match[2] for match in BLOCK.finditer(README.read_text(encoding="utf-8")) if match[1] == language]


def safeload(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One run of the command line in the root of the repository, 80 columns wide and without a terminal."""
    environment = {**os.environ, "COLUMNS": "80", "PYTHONUTF8": "1"}
    return subprocess.run([sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120, check=False)


def transcript(block: str) -> str:
    """What a terminal shows for the commands of one block: stderr after stdout, where our own summary goes last."""
    shown, code = "", 0
    for line in block.splitlines():
        if line == "$ echo $?":
            shown += f"{line}\n{code}\n"
        elif line.startswith("$ "):
            words = shlex.split(line[2:])
            assert words[0] == "safeload", line
            done = safeload(*words[1:])
            code = done.returncode
            shown += f"{line}\n{done.stdout}{done.stderr}"
    return shown


def same(text: str) -> str:
    """Without what may differ: digests of policies, blanks at line ends."""
    return "\n".join(line.rstrip() for line in DIGEST.sub("<digest>", text).strip().splitlines())


@pytest.mark.parametrize("block", blocks("console"), ids=lambda block: block.splitlines()[0])
def test_terminal_blocks_are_real(block: str) -> None:
    assert same(block) == same(transcript(block)), "run `python tests/test_readme.py` if the new output is meant"


def test_the_readme_has_terminal_blocks() -> None:
    commands = [line for block in blocks("console") for line in block.splitlines() if line.startswith("$ safeload")]
    assert any("scan examples/tiny.pt" in command for command in commands)
    assert any("scan examples/hostile.pt" in command for command in commands)


def test_the_python_runs(tmp_path: Path) -> None:
    """All Python blocks as one program, in a folder that has only the examples beside it."""
    (tmp_path / "examples").symlink_to(ROOT / "examples", target_is_directory=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks("python"))], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "SL301 posix.mkdir hostile/data.pkl 237" in done.stdout
    assert "state_dict.embed.weight float32 (8, 4)" in done.stdout
    assert not (tmp_path / WITNESS).exists()


def test_every_verb_that_is_named_exists() -> None:
    verbs = set(re.findall(r"safeload ([a-z]+) [A-Ze-]", README.read_text(encoding="utf-8")))
    assert {"scan", "tensors", "tree", "dis"} <= verbs
    for verb in sorted(verbs):
        assert safeload(verb, "--help").returncode == 0, verb


def test_set_up_and_test_commands() -> None:
    """Two commands of one line each; `.ci/run` runs what they run."""
    run, test = (block.strip() for block in blocks("sh"))
    assert "\n" not in run
    assert "\n" not in test
    assert run.split(" && ")[:1] == test.split(" && ")[:1] == ["python3.11 -m venv .venv"]
    assert test.endswith("-e '.[test]' && .venv/bin/python -m pytest -n 2")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "-e '.[test]'" in script
    assert '"$venv/bin/python" -m pytest -n 2' in script
    for command in run.split(" && ")[2:]:
        words = shlex.split(command)
        assert words[0] == ".venv/bin/safeload"
        assert safeload(*words[1:]).returncode == 0, command


def test_links_lead_somewhere() -> None:
    docs = ("api", "cuda", "formats", "guard", "scale", "ci")
    for page in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", *(f"docs/{name}.md" for name in docs)):
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize("name", ["hostile.pkl", "hostile.pt"])
def test_no_command_runs_the_hostile_examples(name: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for verb in ("scan", "tensors", "tree", "dis"):
        command = [sys.executable, "-c", RUN, verb, str(ROOT / "examples" / name)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120, check=False)
        assert done.returncode == (0 if verb == "dis" else 1), (verb, done.stdout, done.stderr)
        assert list(tmp_path.iterdir()) == [], verb


def rewrite() -> None:
    """Run the commands of the terminal blocks and put what they print into the README."""
    text = README.read_text(encoding="utf-8")
    README.write_text(BLOCK.sub(lambda match: f"```console\n{transcript(match[2])}```" if match[1] == "console" else match[0], text), encoding="utf-8")


if __name__ == "__main__":
    rewrite()
