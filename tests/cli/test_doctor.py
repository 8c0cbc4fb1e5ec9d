"""`safeload doctor`: what is installed, what is not and how to get it, and the policy in force."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest

import safeload
from safeload.cli import doctor
from tests.cli.inputs import run


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SAFELOAD_POLICY", raising=False)
    return tmp_path


def test_versions_are_those_of_the_distributions() -> None:
    report = json.loads(run("doctor", "-f", "json").out)
    assert report["required"] == {name: metadata.version(name) for name in doctor.REQUIRED}
    assert report["extras"]["zstd"] == metadata.version("zstandard")
    assert report["safeload"] == safeload.__version__
    assert report["policy"]["name"] == "checkpoint" and report["policy"]["sha256"] == safeload.load_policy("checkpoint").sha256


def test_what_is_missing_and_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name in ("zstandard", "cupy-cuda12x", "cupy-cuda13x"):
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(doctor.metadata, "version", version)
    outcome = run("doctor")
    assert outcome.code == 0
    lines = [line.split() for line in outcome.out.splitlines()]
    assert ["zstd", "zstandard", "-"] in [words[:3] for words in lines] and ["lz4", "lz4", "1.0"] in [words[:3] for words in lines]
    assert "pip install 'safeload[NAME,...]'" in outcome.out
    assert "\nCUDA" not in outcome.out, "who has no CuPy did not ask"


def test_a_missing_requirement_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    outcome = run("doctor")
    assert outcome.code == 2 and "numpy" in outcome.out and "missing" in outcome.out


def test_cuda_where_cupy_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from safeload.placement.cupy_backend import CupyBackend

    monkeypatch.setattr(doctor.metadata, "version", lambda name: "14.0")
    for reason, said in (("", "usable"), ("no CUDA device is visible", "no CUDA device is visible")):
        monkeypatch.setattr(CupyBackend, "unavailable_because", lambda self, reason=reason: reason)
        assert f"\nCUDA    {said}\n" in run("doctor").out
        assert json.loads(run("doctor", "-f", "json").out)["cuda"] == reason


def test_who_chose_the_policy(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFELOAD_POLICY", "inspect")
    assert "policy  inspect " in run("doctor").out
    monkeypatch.setenv("SAFELOAD_POLICY", "no-such-policy")
    assert run("doctor").code == 2


def test_every_extra_of_the_project_is_listed() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = set(project["optional-dependencies"]) - {"test", "lint", "dev"}
    assert {extra for extra, _, _ in doctor.EXTRAS} == extras
    for extra, name, _ in doctor.EXTRAS:
        assert any(requirement.replace("_", "-").startswith(name.replace("_", "-")) for requirement in project["optional-dependencies"][extra])
    assert {requirement.split(">")[0].split("[")[0].strip() for requirement in project["dependencies"]} == set(doctor.REQUIRED)
