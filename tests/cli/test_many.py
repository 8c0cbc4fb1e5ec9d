"""`--files-from`, globs, `--jobs`: the same files, named in another way or read by other processes, give the same report."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.inputs import EVIL, OURS, PAGE, PLAIN, run, state_dict

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 497763\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SAFELOAD_POLICY", raising=False)
    (tmp_path / "run" / "deep").mkdir(parents=True)
    for name, data in {"run/a.pt": PLAIN, "run/b.pt": EVIL, "run/c.bin": PAGE, "run/deep/d.pt": OURS, "run/deep/e.pt": state_dict()}.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def paths(out: str) -> list[str]:
    return [entry["path"] for entry in json.loads(out)["results"]]


@pytest.mark.parametrize("form", ["text", "json", "html", "sarif", "junit", "markdown", "github", "cyclonedx", "csv"])
def test_processes_give_the_same_report(here: Path, form: str) -> None:
    one, two = (run("scan", "run", "missing.pt", "-f", form, "--jobs", jobs) for jobs in ("1", "2"))
    assert (one.code, one.out, one.err) == (two.code, two.out, two.err)
    assert one.code == 1


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\0"])
def test_a_list_of_files(here: Path, end: bytes) -> None:
    names = ["run/a.pt", "run/deep", "run/c.bin"]
    (here / "list").write_bytes(end.join(map(os.fsencode, names)) + end)
    null = ["-0"] if end == b"\0" else []
    by_name = run("scan", "-f", "json", *names)
    assert run("scan", "-f", "json", "--files-from", "list", *null).out == by_name.out
    assert run("scan", "-f", "json", "--files-from", "-", *null, stdin=(here / "list").read_bytes()).out == by_name.out
    assert paths(run("scan", "-f", "json", "--files-from", "list", *null, "run/b.pt").out)[0] == "run/b.pt"


def test_names_of_a_list_are_names_and_nothing_else(here: Path) -> None:
    """No glob, no option, no expansion; a name with a newline needs -0; a last line needs no end, and an empty one is none."""
    for name in ("[a]*.pt", "--exit-zero", "$HOME", "new\nline.pt", "ends in blanks  ", b"\xff.pt".decode("utf-8", "surrogateescape")):
        (here / name).write_bytes(PLAIN)
    lines = run("scan", "-f", "json", "--files-from", "-", stdin=b"[a]*.pt\n\n--exit-zero\n$HOME\nends in blanks  \n\xff.pt")
    assert paths(lines.out) == ["[a]*.pt", "--exit-zero", "$HOME", "ends in blanks  ", "\\udcff.pt"]
    assert lines.code == 0
    assert paths(run("scan", "-f", "json", "-0", "--files-from", "-", stdin=b"new\nline.pt\0").out) == ["new\nline.pt"]


def test_lists_that_are_none(here: Path) -> None:
    for arguments, stdin in ((["--files-from", "nothing"], b""), (["--files-from", "run"], b""), (["--files-from", "-"], b"x" * 200_000)):
        outcome = run("scan", *arguments, stdin=stdin)
        assert (outcome.code, outcome.err.count("\n")) == (2, 1), arguments
        assert "--files-from" in outcome.err
    assert run("scan", "--files-from", "-", "-").code == 2
    assert run("scan", "--files-from", "-", stdin=b"").code == 3


def test_a_listed_file_does_not_choose_its_judge(here: Path) -> None:
    (here / "safeload.toml").write_text('policy = "inspect"\n')
    os.mkdir(here / ".git")
    listed = run("scan", "--files-from", "-", stdin=b"run/deep/d.pt\n")
    assert listed.code == 0  # the project's policy lies outside of what is judged
    (here / "beside.pt").write_bytes(OURS)
    for name in (b"beside.pt\n", b".\n"):
        refused = run("scan", "--files-from", "-", stdin=name)
        assert refused.code == 2
        assert "lies in what is to be judged" in refused.err
    assert run("scan", "--files-from", "-", "-p", "checkpoint", stdin=b"beside.pt\n").code == 1


def test_globs(here: Path) -> None:
    assert paths(run("scan", "-f", "json", "run/*.pt").out) == ["run/a.pt", "run/b.pt"]
    assert paths(run("scan", "-f", "json", "run/**/[de].pt").out) == ["run/deep/d.pt", "run/deep/e.pt"]
    (here / "run" / "x[1].pt").write_bytes(PLAIN)
    assert paths(run("scan", "-f", "json", "run/x[1].pt").out) == ["run/x[1].pt"]  # a file of that very name
    nothing = run("scan", "run/*.nothing")
    assert nothing.code == 2
    assert "run/*.nothing" in nothing.err


def test_a_git_lfs_pointer_is_nothing_to_check(here: Path) -> None:
    (here / "pointer.pt").write_bytes(LFS)
    alone = run("scan", "pointer.pt")
    assert alone.code == 3
    assert "git lfs pull" in " ".join(alone.out.split())
    assert run("scan", "pointer.pt", "run/a.pt").code == 3
    assert run("scan", "pointer.pt", "run/c.bin").code == 2
    assert run("scan", "pointer.pt", "run/b.pt").code == 1
    (result,) = json.loads(run("scan", "-f", "json", "pointer.pt").out)["results"]
    assert (result["verdict"], result["findings"][0]["name"]) == ("inconclusive", "lfs-pointer")  # still not accepted: law 4


def test_jobs_zero_is_every_cpu_and_below_is_usage(here: Path) -> None:
    assert run("scan", "run", "--jobs", "0").out == run("scan", "run").out
    assert run("scan", "run", "--jobs", "-1").code == 2


def test_a_word_that_is_an_option_and_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a shell makes of `safeload scan *`: a file that is named like an option must not become one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pt").write_bytes(EVIL)
    (tmp_path / "--exit-zero").write_bytes(PLAIN)
    found = run("scan", "--exit-zero", "a.pt")
    assert found.code == 2 and found.out == "" and "'--exit-zero' is an option here, and there is a file of that name: write ./--exit-zero" in found.err
    assert run("scan", "--", "--exit-zero", "a.pt").code == 1
    assert run("scan", "./--exit-zero", "a.pt").code == 1
    (tmp_path / "-").write_bytes(EVIL)
    assert run("scan", "-", stdin=PLAIN).code == 0
