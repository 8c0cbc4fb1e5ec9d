"""The files for GitLab, Jenkins and containers: they parse, say what they promise, and their scripts do it when a shell runs them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.ci.steps import HOSTILE_NAMES, ROOT, install, run
from tests.cli.inputs import EVIL, PLAIN

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: pip install 'safeload[test]'")

CI = ROOT / "docs" / "ci"
GITLAB: dict[str, Any] = yaml.safe_load((CI / "gitlab.yml").read_text(encoding="utf-8"))
JENKINS = (CI / "Jenkinsfile").read_text(encoding="utf-8")
CONTAINER = (CI / "Containerfile").read_text(encoding="utf-8")


class Job:
    """A checkout, and a `safeload` on the path."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        self.checkout.mkdir()
        self.binaries = install(folder / "installed")

    def __call__(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.binaries}:/usr/bin:/bin"
        return run(script, shell="sh", cwd=self.checkout, environment={"PATH": path, **environment})


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


# ---- GitLab -----------------------------------------------------------------------------------------------------------------------------


def gitlab(job: Job, **variables: str) -> subprocess.CompletedProcess[str]:
    (script,) = GITLAB["safeload"]["script"]
    return job(script, **{**GITLAB["variables"], **variables})


def test_gitlab_pastes_nothing_into_its_script() -> None:
    (script,) = GITLAB["safeload"]["script"]
    assert "$[[" not in script and "${{" not in script and "eval" not in script


def test_gitlab_judges_and_writes_its_reports(job: Job) -> None:
    (job.checkout / "models").mkdir()
    (job.checkout / "models" / "good.pt").write_bytes(PLAIN)
    assert gitlab(job, SAFELOAD_PATHS="models").returncode == 0
    (job.checkout / "more evil.pt").write_bytes(EVIL)
    done = gitlab(job, SAFELOAD_PATHS="models\nmore evil.pt\n")
    assert done.returncode == 1 and "2 files" in done.stdout
    artifacts = GITLAB["safeload"]["artifacts"]
    for name in (*artifacts["paths"], *artifacts["reports"].values()):
        assert (job.checkout / name).stat().st_size, name
    assert gitlab(job, SAFELOAD_POLICY="no-such").returncode == 2


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_gitlab_takes_hostile_names_as_names(job: Job, name: str) -> None:
    (job.checkout / name).write_bytes(EVIL)
    (job.checkout / "evil.toml").write_text('schema = 1\nname = "evil"\n[[opaque]]\nnames = ["posix.*"]\nreason = "x"\n')
    done = gitlab(job, SAFELOAD_PATHS=name)
    assert done.returncode == 1 and "policy checkpoint" in done.stdout, done.stdout + done.stderr
    assert not list(job.checkout.parent.rglob("INJECTED"))


# ---- Jenkins ----------------------------------------------------------------------------------------------------------------------------


def jenkins_script() -> str:
    (script,) = re.findall(r"sh '''\n(.*?)'''", JENKINS, re.DOTALL)
    return str(script)


def test_jenkins_scripts_are_single_quoted() -> None:
    """Groovy puts values into double-quoted strings before the shell sees them."""
    assert re.findall(r'sh\s*\(?\s*(?:script:\s*)?"', JENKINS) == []
    assert JENKINS.count("sh '''") == 1 and "$" not in jenkins_script().replace('"$SAFELOAD_PATH"', "").replace("$?", "").replace('"$code"', "")
    assert "string(name: 'SAFELOAD_PATH'" in JENKINS and "--network none" in JENKINS and "@sha256:" in JENKINS
    assert JENKINS.count("{") == JENKINS.count("}")


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_jenkins_takes_hostile_names_as_names(job: Job, name: str) -> None:
    (job.checkout / name).write_bytes(EVIL)
    done = job(jenkins_script(), SAFELOAD_PATH=name)
    assert done.returncode == 1, done.stdout + done.stderr
    assert (job.checkout / "safeload.xml").exists() and not list(job.checkout.parent.rglob("INJECTED"))


def test_jenkins_accepts(job: Job) -> None:
    (job.checkout / "good.pt").write_bytes(PLAIN)
    assert job(jenkins_script(), SAFELOAD_PATH=".").returncode == 0


# ---- containers -------------------------------------------------------------------------------------------------------------------------


def instructions(text: str) -> list[tuple[str, str]]:
    """(instruction, rest) of a Containerfile, continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined]


def test_the_container_is_not_root_and_takes_nothing_by_name_alone() -> None:
    found = instructions(CONTAINER)
    stages = [number for number, (word, _) in enumerate(found) if word == "FROM"]
    assert len(stages) == 2 and all(found[number][1].startswith("${BASE}") for number in stages)
    final = found[stages[1] :]
    (user,) = [rest for word, rest in final if word == "USER"]
    assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", user)
    assert final.index(("USER", user)) < [word for word, _ in final].index("ENTRYPOINT")
    assert [rest for word, rest in final if word in ("RUN", "ADD")] == [], "nothing is fetched in the image that runs"
    assert [rest for word, rest in found if word == "ADD"] == []
    (script,) = [rest for word, rest in found if word == "RUN"]
    installs = [part for part in script.split("&&") if " install " in part]
    assert ["--require-hashes" in part or "--no-index" in part for part in installs] == [True, True]
    assert "--network none" in CONTAINER and "--read-only" in CONTAINER and "no-new-privileges" in CONTAINER


def test_what_the_container_copies_is_there_and_is_enough() -> None:
    """The context leaves everything out but these; the wheel needs no more."""
    lines = (CI / "Containerfile.dockerignore").read_text().splitlines()
    kept = [line[1:] for line in lines if line.startswith("!")]
    assert lines[0] == "*" and all((ROOT / name).exists() for name in kept)
    assert {"safeload", "policies", "pyproject.toml", "README.md", "LICENSE", ".ci/runtime.txt"} == set(kept)
    assert "/source/.ci/runtime.txt" in CONTAINER


def test_the_shells_can_read_every_script() -> None:
    scripts = [("sh", jenkins_script()), ("sh", GITLAB["safeload"]["script"][0])]
    scripts += [("bash", step["run"]) for step in yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]]
    scripts += [("sh", rest) for word, rest in instructions(CONTAINER) if word == "RUN"]
    for shell, script in scripts:
        assert subprocess.run([shell, "-n"], input=script, text=True, capture_output=True, check=False).returncode == 0, script


# ---- what the page shows ----------------------------------------------------------------------------------------------------------------


def test_the_page_shows_yaml_that_parses_and_commands_that_exist() -> None:
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert {language for language, _ in blocks} >= {"yaml", "sh", "python"}
    for language, text in blocks:
        if language == "yaml":
            assert yaml.safe_load(text), text
        if language == "python":
            compile(text, "docs/ci.md", "exec")
    inputs = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    for name in inputs:
        assert f"`{name}`" in page, name
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page):
        assert (ROOT / "docs" / target).exists(), target


def test_the_commands_of_the_container_are_whole() -> None:
    comment = " ".join(line[1:].strip() for line in CONTAINER.splitlines() if line.startswith("#"))
    assert "docker build -f docs/ci/Containerfile" in comment
    command = next(line[1:].strip() for line in CONTAINER.splitlines() if "docker run" in line)
    assert {"--rm", "--network", "--read-only", "--cap-drop"} <= set(shlex.split(command))
    assert shutil.which("sh")
