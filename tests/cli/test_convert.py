"""`safeload convert`: what is said, and which exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors import safe_open

from tests.cli import snapshot
from tests.cli.inputs import EVIL, PAGE, PLAIN, run, state_dict


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SAFELOAD_POLICY", raising=False)
    for name, data in (("model.pt", state_dict()), ("evil.pt", EVIL), ("page.pt", PAGE), ("plain.pkl", PLAIN)):
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_a_state_dict(here: Path) -> None:
    outcome = run("convert", "model.pt", "model.safetensors")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"model.safetensors: 3 tensors, {(here / 'model.safetensors').stat().st_size} bytes\n"
    with safe_open(here / "model.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt"}
        assert file.get_tensor("fc.weight").shape == (4, 2)


def test_it_is_not_written_over_a_file(here: Path) -> None:
    run("convert", "model.pt", "model.npz")
    outcome = run("convert", "model.pt", "model.npz")
    assert (outcome.code, outcome.err) == (2, "safeload: model.npz: it exists already; --force replaces it\n")
    assert run("convert", "--force", "model.pt", "model.npz").code == 0


def test_standard_input(here: Path) -> None:
    assert run("convert", "-", "out.npz", stdin=state_dict()).code == 0


def test_a_rejected_file_is_not_converted(here: Path) -> None:
    outcome = run("convert", "evil.pt", "evil.npz")
    assert outcome.code == 1
    assert "SL301 posix.system is called" in outcome.err
    assert not (here / "evil.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("page.pt", "page.npz"), "HTML"),
        (("none.pt", "out.npz"), "none.pt: No such file"),
        (("model.pt", "none/out.npz"), "none/out.npz: No such file"),
        (("model.pt", "model.bin"), "model.bin: the name says no format; it ends in .safetensors or .npz"),
        (("--once", "model.pt", "model.npz"), "--once is for .safetensors"),
        (("plain.pkl", "plain.npz"), "there is no dense tensor in the file"),
    ],
)
def test_what_cannot_be_done_is_one_line(here: Path, arguments: tuple[str, ...], why: str) -> None:
    outcome = run("convert", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1
    assert why in outcome.err
    assert len(list(here.iterdir())) == 4


def test_help(here: Path) -> None:
    snapshot.check("convert-help", run("convert", "--help").out)
