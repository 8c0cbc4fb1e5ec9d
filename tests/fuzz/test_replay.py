"""The seeds and the regressions of the fuzz targets, through the same functions that the targets run; atheris is not needed."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
INPUTS = sorted(path for folder in ("seeds", "regressions") for path in (ROOT / "fuzz" / folder).glob("*") if path.suffix != ".md")


@pytest.fixture(scope="module")
def targets() -> ModuleType:
    """`fuzz.one_input`, which lies beside the package and is not installed."""
    sys.path.insert(0, str(ROOT))
    try:
        import_module("fuzz.targets")
        return import_module("fuzz.one_input")
    finally:
        sys.path.remove(str(ROOT))


@pytest.fixture(scope="module")
def table(targets: ModuleType) -> Any:
    """The targets by name."""
    return import_module("fuzz.targets").TARGETS


NAMES = (
    *("load", "scan", "machine", "zip", "npy", "npz", "joblib", "safetensors", "gguf", "tar", "legacy", "compressed", "archives", "keras", "json", "policy"),
    *("toml", "lock", "listing", "open", "report", "dcp", "shards", "decode", "inflate"),
    *("pickle", "zipfile", "tarfile", "torch"),
)


def test_these_are_the_targets(table: Any) -> None:
    assert tuple(table) == NAMES


NO_CHECKPOINTS = (".keras", ".h5", ".msgpack", ".json", ".toml", ".lock", ".listing", ".index", ".metadata")  # suffixes
SLOW = ("scan", "report", "open", "dcp", "shards")  # several policies, options or formats for each input
DOCUMENTS = ("policy", "toml", "lock", "listing")  # which no generated file is


@pytest.fixture
def target(request: pytest.FixtureRequest, table: Any) -> Any:
    """One target; skipped, with the reason, where the other reader is not installed."""
    found = table[request.param]
    if found.needs is not None:
        pytest.importorskip(found.needs, reason=f"{found.needs} is not installed: target {request.param} compares with it")
    return found


@pytest.mark.parametrize("target", NAMES, indirect=True)
def test_seeds_and_regressions_break_no_law(target: Any) -> None:
    for path in INPUTS:
        try:
            target.check(path.read_bytes())
        except BaseException as error:
            raise AssertionError(path.name) from error


@pytest.mark.parametrize("target", [name for name in NAMES if name not in DOCUMENTS], indirect=True)
def test_generated_files_break_no_law(target: Any, request: pytest.FixtureRequest) -> None:
    """From the grammar: the same files every time. `python -m fuzz.grammar SEED` writes the one that failed."""
    grammar = import_module("fuzz.grammar")
    for seed in range(100 if request.node.callspec.params["target"] in SLOW else 400):
        try:
            target.check(grammar.file(seed))
        except BaseException as error:
            raise AssertionError(f"seed {seed}") from error


@pytest.mark.parametrize("target", NAMES, indirect=True)
def test_edited_seeds_break_no_law(target: Any, request: pytest.FixtureRequest) -> None:
    """Each seed changed where its reader looks, the same way every time; those of the target's own formats more often."""
    edits = import_module("fuzz.edits")
    change = {"policy": edits.edit_policy, "stream": edits.edited, "file": edits.edit}[target.mutator]
    few = request.node.callspec.params["target"] in SLOW
    for path in INPUTS:
        random = Random(path.name)
        data = path.read_bytes()
        for turn in range(60 if path.suffix in target.seeds[:1] else 2 if few else 8):
            changed = change(data, random)
            try:
                target.check(changed)
            except BaseException as error:
                raise AssertionError(f"{path.name}, turn {turn}: {changed!r:.2000}") from error


def test_most_generated_files_are_accepted(targets: ModuleType) -> None:
    """Files that stop at the first opcode would test nothing."""
    grammar = import_module("fuzz.grammar")
    verdicts = [targets.safeload.scan(grammar.file(seed), limits=targets.LIMITS).verdict for seed in range(300)]
    assert verdicts.count("accepted") > 120 and verdicts.count("rejected") > 20


def test_the_grammar_reaches_the_constructors(targets: ModuleType) -> None:
    """Nearly every name of the policies is drawn, within a few thousand files."""
    grammar = import_module("fuzz.grammar")
    seen: set[str] = set()
    for seed in range(2_000):
        seen.update(use.global_name for use in targets.safeload.scan(grammar.file(seed), limits=targets.LIMITS).globals)
    drawn = [name for name in grammar.NAMES if name in seen]
    assert len(drawn) > 0.7 * len(grammar.NAMES)


def test_there_are_seeds() -> None:
    assert len(INPUTS) > 40
    assert sum(path.stat().st_size for path in INPUTS) < 200_000


def test_the_seeds_are_what_the_script_writes(targets: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = import_module("fuzz.make_seeds")
    monkeypatch.setattr(script, "SEEDS", tmp_path)
    script.main()
    written = {path.name: path.read_bytes() for path in tmp_path.glob("*")}
    assert written == {path.name: path.read_bytes() for path in (ROOT / "fuzz" / "seeds").glob("*")}


def test_most_seeds_are_accepted_under_one_policy(targets: ModuleType) -> None:
    """Seeds that stop at the first opcode would test nothing."""
    seeds = [path for path in sorted((ROOT / "fuzz" / "seeds").glob("*")) if path.suffix not in NO_CHECKPOINTS]
    accepted = [path for path in seeds if targets.read(path.read_bytes(), policy="inspect", limits=targets.LIMITS).report.verdict == "accepted"]
    assert len(accepted) > len(seeds) * 3 // 4


ACTS = {
    "import": "import this",
    "open": "open('x', 'w')",
    "compile": "compile('1', '', 'eval')",
    "mkdir": "import os; os.mkdir('x')",
    "socket": "import socket; socket.socket()",
    "process": "import os; os.system('true')",
    "swallowed": "\ntry:\n  open('x', 'w')\nexcept BaseException:\n  pass",
}


@pytest.mark.parametrize("act", ACTS)
def test_the_guard_sees_it(tmp_path: Path, act: str) -> None:
    """In a process of its own: an audit hook stays for good."""
    imports = "import os, socket\n" if act != "import" else ""
    body = "".join(f"  {line}\n" for line in ACTS[act].replace("import os; ", "").replace("import socket; ", "").split("\n"))
    program = f"{imports}from fuzz.guard import Violation, armed\ntry:\n with armed():\n{body} print('missed')\nexcept Violation:\n print('seen')\n"
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "seen", result.stderr
    assert not (tmp_path / "x").exists()


def test_the_guard_is_off_outside(targets: ModuleType, tmp_path: Path) -> None:
    targets.check_machine(b"\x80\2N.")
    (tmp_path / "x").write_text("open is allowed again")


READS = {
    "inside": ("open(folder + '/a').read()", True),
    "listing": ("os.listdir(folder)", True),
    "low": ("os.close(os.open(folder + '/a', os.O_RDONLY))", True),
    "written": ("open(folder + '/a', 'w')", False),
    "updated": ("os.open(folder + '/a', os.O_RDWR)", False),
    "outside": ("open(folder + '/../b')", False),
    "beside": ("open(folder + 'x')", False),
    "parent": ("os.listdir(folder + '/..')", False),
    "removed": ("os.remove(folder + '/a')", False),
}


@pytest.mark.parametrize("act", READS)
def test_the_guard_lets_a_folder_be_read_and_nothing_else(tmp_path: Path, act: str) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    for path in (folder / "a", tmp_path / "b", tmp_path / "fx"):
        path.write_text("text")
    statement, fine = READS[act]
    program = (
        f"import os, encodings.utf_8, io\nfrom fuzz.guard import Violation, armed\nfolder = {str(folder)!r}\n"
        f"try:\n with armed(folder):\n  {statement}\n print('read')\nexcept Violation:\n print('seen')\n"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == ("read" if fine else "seen"), result.stderr
    assert (folder / "a").read_text() == "text"


def test_the_child_loads_files_and_sees_what_happens_meanwhile(targets: ModuleType) -> None:
    """Else the target `torch` would pass whatever torch does: seeds give values, and a codec that nobody has used yet is imported under its eyes."""
    pytest.importorskip("torch", reason="torch is not installed: it is what the child runs")
    torch_child = import_module("fuzz.torch_child")
    child = torch_child.Child()
    try:
        answers = [child.load(path.read_bytes()) for path in INPUTS if path.suffix in (".pt", ".legacy")]
        assert sum(answer.value is not None for answer in answers) >= 10
        assert child.load(torch_child.pickle_of_bytes("rot13")).events
        assert child.restarts == 0
    finally:
        child.close()
