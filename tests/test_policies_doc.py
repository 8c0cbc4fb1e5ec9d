"""docs/policies.md is a newcomer's session, and it is run: its files are written, its commands print what the page shows.

`python tests/test_policies_doc.py` rewrites the blocks from the program, for when its output has changed on purpose.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "policies.md"
PART = re.compile(r"(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<language>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
MASKS = (
    (re.compile(r"sha256 [0-9a-f]{12,64}(\.\.\.)?"), "sha256 <digest>"),
    (re.compile(r"(policy [a-z-]+) 20[0-9.]+"), r"\1 VERSION"),
    (re.compile(r"(policies/[a-z-]+\.toml):\d+"), r"\1:LINE"),
)
RUN = "import sys; from safeload.cli import main; main(sys.argv[1:])"
ROOT = PAGE.parent.parent


def run(command: str, folder: Path) -> str:
    """One command of the page, in the folder of the session; what it prints, and its exit code where that is not 0."""
    words = shlex.split(command)
    program = {"safeload": [sys.executable, "-c", RUN], "python": [sys.executable]}[words[0]]
    environment = {**os.environ, "COLUMNS": "80", "PYTHONUTF8": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
    environment.pop("SAFELOAD_POLICY", None)
    done = subprocess.run([*program, *words[1:]], capture_output=True, text=True, cwd=folder, env=environment, timeout=120, check=False)
    code = f"exit code {done.returncode}\n" if done.returncode else ""
    return masked(done.stdout + done.stderr) + code


def masked(text: str) -> str:
    """Without what differs between machines and versions."""
    for pattern, instead in MASKS:
        text = pattern.sub(instead, text)
    return "\n".join(line.rstrip() for line in text.splitlines()) + ("\n" if text else "")


def played(folder: Path) -> str:
    """The page, with what the commands really print."""

    def one(match: re.Match[str]) -> str:
        if match["file"]:
            (folder / match["file"]).write_text(match["body"], encoding="utf-8")
        if match["language"] != "console":
            return match[0]
        commands = [line for line in match["body"].splitlines() if line.startswith("$ ")]
        return "```console\n" + "".join(f"{line}\n{run(line[2:], folder)}" for line in commands) + "```"

    return PART.sub(one, PAGE.read_text(encoding="utf-8"))


def test_the_session_is_what_the_program_prints(tmp_path: Path) -> None:
    assert played(tmp_path) == PAGE.read_text(encoding="utf-8"), "run `python tests/test_policies_doc.py` if the new output is meant"


def test_the_page_holds_the_whole_way() -> None:
    text = PAGE.read_text(encoding="utf-8")
    verbs = "scan, explain, policy explain, policy learn, policy validate, policy test, policy diff, lock, policy expiring, policy unused"
    for verb in verbs.split(", "):
        assert f"$ safeload {verb} " in text, verb


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        PAGE.write_text(played(Path(name)), encoding="utf-8")
