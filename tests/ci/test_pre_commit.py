"""The hooks of `.pre-commit-hooks.yaml`, run by pre-commit itself in a scratch repository, with the `safeload` of this source tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.ci.steps import HOSTILE_NAMES, ROOT, install
from tests.cli.inputs import EVIL, PLAIN, state_dict

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: pip install 'safeload[test]'")
pytest.importorskip("pre_commit", reason="pre-commit is not installed: pip install 'safeload[test]'")
pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))


class Repository:
    """A scratch repository with one of the hooks, which finds `safeload` on the path instead of installing it."""

    def __init__(self, folder: Path, hook: str, **changes: Any) -> None:
        self.root = folder / "repository"
        self.root.mkdir()
        path = f"{install(folder / 'installed')}:{os.environ['PATH']}"
        quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "PRE_COMMIT_HOME": str(folder / "cache"), "PRE_COMMIT_COLOR": "never"}
        names = {f"GIT_{who}_{what}": "x@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self.environment = {**os.environ, **quiet, **names, "PATH": path}
        self.git("init", "-q")
        chosen = next(each for each in HOOKS if each["id"] == hook)
        local = {key: value for key, value in chosen.items() if key != "minimum_pre_commit_version"}
        config = {"repos": [{"repo": "local", "hooks": [{**local, **changes, "language": "system"}]}]}
        (self.root / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.root, env=self.environment, check=True, capture_output=True, timeout=60)

    def add(self, name: str, data: bytes) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_bytes(data)
        self.git("add", "--", f":(literal){name}")

    def hooks(self) -> subprocess.CompletedProcess[str]:
        self.git("add", ".pre-commit-config.yaml")
        command = [sys.executable, "-m", "pre_commit", "run", "--all-files", "--verbose"]
        return subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=300, check=False)


def test_the_hooks_are_what_pre_commit_takes() -> None:
    from pre_commit.clientlib import load_manifest

    assert [hook["id"] for hook in load_manifest(str(ROOT / ".pre-commit-hooks.yaml"))] == ["safeload", "safeload-locked"]
    assert all(hook["entry"].split()[0] == "safeload" for hook in HOOKS)


def test_checkpoints_are_judged_and_the_rest_is_left_alone(tmp_path: Path) -> None:
    repository = Repository(tmp_path, "safeload")
    for name in ("model.pt", "a/b/optimizer.PTH", "data.pkl.gz", "pytorch_model.bin", "x.joblib"):
        repository.add(name, state_dict())
    repository.add("notes.md", b"# nothing to judge\n")
    done = repository.hooks()
    assert done.returncode == 0 and "Passed" in done.stdout and "5 files: 5 accepted" in done.stdout, done.stdout + done.stderr
    repository.add("a/evil.ckpt", EVIL)
    done = repository.hooks()
    assert done.returncode == 1 and "Failed" in done.stdout and "posix.system" in done.stdout and "a/evil.ckpt" in done.stdout


@pytest.mark.parametrize("name", [name for name in HOSTILE_NAMES if name.endswith(".pt")] + ["--policy=evil.pt", "--exit-zero.pt", "-h.pt"])
def test_hostile_names_are_names(tmp_path: Path, name: str) -> None:
    repository = Repository(tmp_path, "safeload")
    repository.add(name, EVIL)
    repository.add("other.pt", EVIL)
    done = repository.hooks()
    assert done.returncode == 1 and "exit code: 1" in done.stdout and "2 files: 0 accepted, 2 rejected" in done.stdout, done.stdout + done.stderr
    assert not list(tmp_path.rglob("INJECTED"))


def test_an_option_that_is_a_file_is_refused_where_args_forget_the_dashes(tmp_path: Path) -> None:
    """`args: [...]` without `--` at its end: the name of a file would choose the policy."""
    repository = Repository(tmp_path, "safeload", args=["--jobs=1"])
    repository.add("evil.pt", b'schema = 1\nname = "evil"\n[[opaque]]\nnames = ["posix.*"]\nreason = "x"\n')
    repository.add("--policy=evil.pt", PLAIN)
    repository.add("hostile.pt", EVIL)
    done = repository.hooks()
    assert done.returncode == 1 and "exit code: 2" in done.stdout and "is an option here, and there is a file of that name" in done.stdout


def test_the_lock_is_compared(tmp_path: Path) -> None:
    repository = Repository(tmp_path, "safeload-locked")
    repository.add("model.pt", state_dict())
    subprocess.run(["safeload", "lock", "model.pt", "-o", "safeload.lock"], cwd=repository.root, env=repository.environment, check=True, timeout=60)
    assert repository.hooks().returncode == 0
    repository.add("model.pt", PLAIN)
    done = repository.hooks()
    assert done.returncode == 1 and "model.pt" in done.stdout
