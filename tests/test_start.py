"""What a scan imports, as lists and not as a time: a module that is not on them is a decision, and milliseconds of every gate and hook.

`python -m tests.test_start` prints the list of our own modules anew.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCAN = """
safeload safeload.api safeload.budget safeload.cli safeload.cli.common safeload.cli.config safeload.cli.many safeload.cli.outputs safeload.cli.rows
safeload.cli.scanning safeload.cli.walk safeload.collector safeload.containers safeload.containers.base safeload.containers.detect safeload.containers.inflate
safeload.containers.sniff safeload.containers.torch_records safeload.containers.torch_zip safeload.containers.zip_central safeload.containers.zip_directory
safeload.containers.zip_end safeload.containers.zip_extra safeload.containers.zip_kinds safeload.containers.zip_local safeload.containers.zip_names
safeload.containers.zip_pass safeload.containers.zip_sequence safeload.errors safeload.escape safeload.findings safeload.folder safeload.formats
safeload.formats.archive safeload.formats.embedded safeload.formats.judging safeload.formats.readers safeload.judge safeload.limits safeload.machine
safeload.machine.interpret safeload.machine.keys safeload.machine.lane safeload.machine.late safeload.machine.nodes safeload.machine.repeats
safeload.machine.text safeload.policy safeload.policy.aliases safeload.policy.compiled safeload.policy.contracts safeload.policy.keys safeload.policy.literals
safeload.policy.model safeload.policy.named safeload.policy.shapes safeload.policy.shipped safeload.policy.today safeload.policy.vet safeload.policy.vetted
safeload.report safeload.report.formats safeload.report.layout safeload.report.rows safeload.report.sentences safeload.report.text safeload.report.text_writer
safeload.report.writer safeload.source safeload.storage safeload.storage.arrays safeload.storage.dtypes safeload.storage.geometry safeload.storage.prove
safeload.storage.prove_arrays safeload.storage.prove_runs safeload.storage.prove_tensors safeload.storage.prover safeload.storage.records safeload.sweep
safeload.sweep.many safeload.sweep.one safeload.terms safeload.values
"""
"""Of ours, for an accepted torch zip. Readers of other formats, what reads policy files, and what words a rejection are not on it."""

NEVER = {
    "ast", "asyncio", "click", "concurrent.futures", "ctypes", "dataclasses", "dis", "email", "gettext", "hashlib", "html", "http", "importlib.metadata",
    "importlib.resources", "inspect", "json", "locale", "logging", "multiprocessing", "numpy", "pathlib", "pickle", "random", "shlex", "shutil", "socket",
    "ssl", "subprocess", "tarfile", "tempfile", "threading", "tokenize", "tomllib", "traceback", "unicodedata", "urllib", "zipfile",
}  # fmt: skip
"""Of Python's, which a scan has no use for; each costs as much as several of ours."""


def imported(arguments: list[str], where: Path) -> list[str]:
    """What `-X importtime` names, in a folder without any configuration, less what msgspec has imported."""
    program = f"from safeload.cli import main\nmain({arguments!r})"
    found = [_names(["-c", "import msgspec"], where), _names(["-c", f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{program}"], where)]
    return sorted(found[1] - found[0])


def _names(words: list[str], where: Path) -> set[str]:
    done = subprocess.run([sys.executable, "-X", "importtime", *words], capture_output=True, text=True, check=True, cwd=where, timeout=120)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:") and "imported package" not in line]
    assert lines, "the interpreter says what it imports"
    return {line.rsplit("|", 1)[1].strip() for line in lines}


@pytest.fixture
def scanned(tmp_path: Path) -> list[str]:
    return imported(["scan", str(ROOT / "examples" / "tiny.pt")], tmp_path)


def test_a_scan_imports_none_of_ours_beyond_the_list(scanned: list[str]) -> None:
    ours = {name for name in scanned if name.partition(".")[0] == "safeload"}
    assert ours - set(SCAN.split()) == set()
    assert set(SCAN.split()) - ours == set(), "the list names what is imported, and no more"


def test_a_scan_imports_nothing_heavy(scanned: list[str]) -> None:
    assert [name for name in scanned if name in NEVER or any(name.startswith(f"{each}.") for each in NEVER)] == []
    assert {top for name in scanned if (top := name.partition(".")[0]) not in sys.stdlib_module_names} == {"safeload"}


@pytest.mark.parametrize("arguments", [["scan", "-f", "json", "FILE"], ["scan", "--all", "FILE"]])
def test_options_cost_click_and_no_more_of_ours(tmp_path: Path, arguments: list[str]) -> None:
    file = str(ROOT / "examples" / "tiny.pt")
    found = imported([file if word == "FILE" else word for word in arguments], tmp_path)
    assert "click" in found
    extra = {name for name in found if name.partition(".")[0] == "safeload"} - set(SCAN.split())
    assert extra <= {"safeload.cli.scan", "safeload.cli.words", "safeload.report.json_v1", "safeload.report.rule_facts"}


if __name__ == "__main__":
    print(*(name for name in imported(["scan", str(ROOT / "examples" / "tiny.pt")], ROOT.parent) if name.startswith("safeload")))


# ---- the end ----------------------------------------------------------------------------------------------------------------------------


def ended(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{code}\nfrom safeload.cli import program\nprogram()"
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(("file", "code"), [("tiny.pt", 0), ("hostile.pt", 1), ("missing.pt", 2)])
def test_the_short_way_out_says_all_and_keeps_the_exit_code(file: str, code: int) -> None:
    path = str(ROOT / "examples" / file)
    short, long = ended("", "scan", path), ended("import atexit", "scan", path)
    assert (short.returncode, short.stdout, short.stderr) == (long.returncode, long.stdout, long.stderr)
    assert short.returncode == code
    assert short.stdout + short.stderr


def test_whoever_asked_to_be_called_at_the_end_is_called() -> None:
    done = ended("import atexit\natexit.register(print, 'called')", "scan", str(ROOT / "examples" / "tiny.pt"))
    assert done.stdout.endswith("called\n")
    assert done.returncode == 0


def test_the_command_leaves_typing_extensions_alone_and_importable() -> None:
    pytest.importorskip("typing_extensions", reason="without it there is nothing to leave out")
    code = "import atexit, sys\natexit.register(lambda: print({'typing_extensions', 'inspect'} & set(sys.modules), __import__('typing_extensions').__name__))"
    done = ended(code, "scan", str(ROOT / "examples" / "tiny.pt"))
    assert done.stdout.endswith("set() typing_extensions\n")
    assert done.returncode == 0


def test_what_msgspec_was_imported_without_is_there_when_it_is_asked_for() -> None:
    code = (
        "import atexit, sys\n"
        "def late():\n"
        "    import msgspec\n"
        "    print({'msgspec.inspect', 'msgspec._json_schema', 'textwrap'} & set(sys.modules))\n"
        "    Point = msgspec.defstruct('Point', [('x', int)])\n"
        "    print(msgspec.json.schema(Point)['$ref'], len(msgspec.json.schema_components([Point])))\n"
        "    import msgspec.inspect\n"
        "    print(type(msgspec.inspect.type_info(int)).__name__, msgspec.json.decode(b'[1]'))\n"
        "atexit.register(late)"
    )
    done = ended(code, "scan", str(ROOT / "examples" / "tiny.pt"))
    assert done.stdout.endswith("set()\n#/$defs/Point 2\nIntType [1]\n")
    assert done.returncode == 0


def test_a_report_in_a_file_is_whole(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = ended("", "scan", "-f", f"json={report}", str(ROOT / "examples" / "tiny.pt"))
    assert done.returncode == 0
    assert json.loads(report.read_text(encoding="utf-8"))["summary"]["accepted"] == 1
