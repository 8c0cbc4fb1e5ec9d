"""action.yml: no input becomes text of a script, and its steps do what they say when a shell runs them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.ci.steps import HOSTILE_NAMES, ROOT, install, resolved, run
from tests.cli.inputs import EVIL, PLAIN, state_dict

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: pip install 'safeload[test]'")

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
DEFAULTS = {name: each["default"] for name, each in ACTION["inputs"].items()}


class Job:
    """A workspace, and what a runner has around it."""

    def __init__(self, folder: Path) -> None:
        self.workspace = folder / "workspace"
        self.temporary = folder / "temporary"
        self.workspace.mkdir()
        install(self.temporary / "safeload")
        self.output, self.summary = folder / "output", folder / "summary"
        self.output.touch()
        self.summary.write_text("before\n")

    def judge(self, **inputs: str) -> subprocess.CompletedProcess[str]:
        step = next(step for step in STEPS if step.get("id") == "scan")
        files = {"RUNNER_TEMP": self.temporary, "GITHUB_OUTPUT": self.output, "GITHUB_STEP_SUMMARY": self.summary}
        return run(step["run"], cwd=self.workspace, environment={**resolved(step["env"], {**DEFAULTS, **inputs}), **{k: str(v) for k, v in files.items()}})

    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.output.read_text().splitlines())


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


# ---- what it is -------------------------------------------------------------------------------------------------------------------------


def test_it_is_composite_and_uses_no_other_action() -> None:
    assert ACTION["runs"]["using"] == "composite"
    assert [step for step in STEPS if "uses" in step] == []
    assert all(step["shell"] == "bash" for step in STEPS)


def test_expressions_stand_in_env_and_nowhere_in_a_script() -> None:
    for step in STEPS:
        assert "${{" not in step["run"], step["name"]
        assert resolved(step["env"], DEFAULTS)
    used = {value for step in STEPS for value in re.findall(r"inputs\.([a-z-]+)", str(step["env"]))}
    assert used == set(ACTION["inputs"])


def test_every_python_is_isolated_from_the_checkout() -> None:
    for step in STEPS:
        calls = [line for line in step["run"].splitlines() if re.search(r'(PYTHON|python)"? ', line)]
        assert calls and all('" -I -m ' in line for line in calls), calls


def test_what_is_installed_is_held_to_hashes() -> None:
    script = STEPS[0]["run"]
    assert "--require-hashes" in script and "--only-binary :all:" in script and "--no-index --no-deps" in script
    assert (ROOT / ".ci" / "runtime.txt").is_file()


@pytest.mark.skipif("SAFELOAD_TEST_INSTALL" not in os.environ, reason="installs from the package index; SAFELOAD_TEST_INSTALL=1 runs it")
def test_the_first_step_installs_what_the_second_runs(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.temporary.rename(tmp_path / "unused")
    job.temporary.mkdir()
    (job.workspace / "pip.py").write_text("raise SystemExit('the pip of the checkout ran')")
    (job.workspace / "venv.py").write_text("raise SystemExit('the venv of the checkout ran')")
    (job.workspace / "safeload.py").write_text("raise SystemExit('the safeload of the checkout ran')")
    (job.workspace / "model.pt").write_bytes(EVIL)
    extra = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    environment = {**extra, "RUNNER_TEMP": str(job.temporary), "GITHUB_ACTION_PATH": str(ROOT), "SAFELOAD_PYTHON": sys.executable}
    done = run(STEPS[0]["run"], cwd=job.workspace, environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    done = job.judge(paths="model.pt")
    assert done.returncode == 1 and "posix.system" in done.stdout, done.stdout + done.stderr


# ---- what it does -----------------------------------------------------------------------------------------------------------------------


def test_accepted(job: Job) -> None:
    (job.workspace / "model.pt").write_bytes(state_dict())
    done = job.judge()
    assert done.returncode == 0, done.stdout + done.stderr
    assert job.outputs() == {"exit-code": "0"}
    assert job.summary.read_text().startswith("before\n") and "accepted" in job.summary.read_text()


def test_rejected_with_everything_asked_for(job: Job) -> None:
    (job.workspace / "models").mkdir()
    (job.workspace / "models" / "evil.pt").write_bytes(EVIL)
    (job.workspace / "models" / "good.pt").write_bytes(PLAIN)
    (job.workspace / "models" / "ignored.txt").write_bytes(EVIL)
    done = job.judge(paths="models", exclude="*.txt\n", sarif="report.sarif", jobs="2", policy="weights-only")
    assert done.returncode == 1 and "policy weights-only" in done.stdout
    assert job.outputs() == {"exit-code": "1", "sarif": "report.sarif"}
    results = json.loads((job.workspace / "report.sarif").read_text())["runs"][0]["results"]
    assert {result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in results} == {"models/evil.pt"}
    assert [line for line in done.stdout.splitlines() if line.startswith("::error ")], "the annotations reach the log"
    assert "evil.pt" in job.summary.read_text() and "ignored" not in done.stdout


def test_it_need_not_fail(job: Job) -> None:
    (job.workspace / "evil.pt").write_bytes(EVIL)
    done = job.judge(fail="false", summary="false")
    assert done.returncode == 0 and job.outputs() == {"exit-code": "1"} and job.summary.read_text() == "before\n"


def test_nothing_to_check_and_wrong_words_fail(job: Job) -> None:
    assert job.judge().returncode == 3
    assert job.judge(jobs="many").returncode == 2
    assert job.judge(policy="no-such").returncode == 2
    assert job.judge(sarif="a\nexit-code=0").returncode == 2
    assert job.judge(paths="absent.pt").returncode == 2


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_are_names(job: Job, name: str) -> None:
    (job.workspace / name).write_bytes(EVIL)
    (job.workspace / "evil.toml").write_text('schema = 1\nname = "evil"\n[[opaque]]\nnames = ["posix.*"]\nreason = "x"\n')
    done = job.judge(paths=f"{name}\n", sarif="report.sarif")
    assert done.returncode == 1, done.stdout + done.stderr
    assert not (job.workspace / "INJECTED").exists() and not list(job.workspace.parent.rglob("INJECTED"))
    assert job.outputs() == {"exit-code": "1", "sarif": "report.sarif"}
    commands = [line for line in done.stdout.splitlines() if line.startswith("::")]
    assert all(line.startswith("::error ") for line in commands) and "policy checkpoint" in done.stdout


@pytest.mark.parametrize("field", ["policy", "exclude", "jobs", "sarif", "summary", "fail", "python"])
def test_no_input_is_run(job: Job, field: str) -> None:
    (job.workspace / "evil.pt").write_bytes(EVIL)
    for value in ("$(touch INJECTED)", "`touch INJECTED`", "; touch INJECTED;", '"; touch INJECTED; "', "--help", "x' ; touch INJECTED ; '"):
        assert job.judge(**{field: value}).returncode in ((0, 1) if field == "fail" else (1, 2))
    assert not list(job.workspace.parent.rglob("INJECTED"))
