"""One folder of everything: the corpus, hostile files, junk. Each file has the verdict that it deserves, and every report counts the same.

What a corpus file deserves is read from its manifest (the names that it needs, and whether it holds arrays of Python objects), what a hostile one does from the
tables of `tests/hostile`: they are `rejected`, since they name what they want. Junk is `inconclusive`. The command line runs once, for all formats.
Distributed checkpoints, which are folders, are left to the corpus's own tests.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from pathlib import Path

import pytest
from corpus.harness import denied_names
from corpus.manifest import Entry, corpus, entries
from hostile import test_advisories, test_calls, test_cross, test_damaged, test_members, test_names
from hostile.hostile import archive, stream, tensor

from safeload.report.formats import FORMATS
from tests.cli.inputs import PAGE, run, state_dict
from tests.containers.zipbuild import Part
from tests.report.mixed import counts_of

PAYLOAD = stream("GLOBAL posix mkdir\nBINUNICODE 'RAN'\nTUPLE1\nREDUCE\n")
PROGRAMS = {"module", "estimator", "cloudpickle", "dill", "fx-graphmodule", "torch.package", "torchscript", "torch.export", "object", "sb3"}
"""Kinds of corpus files that hold more than weights; the others are data that a library wrote."""

CARRY_CODE = {"torchscript-zip", "torch-package-zip", "sb3-zip"}
"""Formats of archives whose own loaders run what stands beside the weights."""


def hostile() -> dict[str, bytes]:
    """What must be rejected: each table of `tests/hostile` that says so, in one place or in several."""
    found = {f"calls/{name}": stream(listing, 4) for name, listing in test_calls.CALLS.items()}
    found |= {f"calls-zip/{name}": archive(listing) for name, listing in test_calls.CALLS.items()}
    for name, argument in test_calls.GADGETS.items():
        module, _, attribute = name.rpartition(".")
        opcode = "SHORT_BINBYTES" if argument.startswith("b") else "SHORT_BINUNICODE"
        found[f"gadgets/{name}"] = stream(f"GLOBAL {module} {attribute}\n{opcode} {argument}\nTUPLE1\nREDUCE\n", 4)
    for name, (named, arguments, _) in test_calls.ALLOWED_NAMES_MISUSED.items():
        found[f"misused/{name}"] = stream(f"GLOBAL {named}\n{arguments}\nREDUCE\n", 3)
    for number, (module, name) in enumerate(test_advisories.ADVISORIES.values()):
        found[f"advisories/{number}"] = archive(f"BINUNICODE '{module}'\nBINUNICODE '{name}'\nSTACK_GLOBAL\nBINUNICODE 'RAN'\nTUPLE1\nREDUCE\n")
    found |= {f"lookups/{name}": stream(listing, 4) for name, listing in test_names.LOOKUPS.items()}
    found |= {f"hidden/{number}": archive(tensor(), extra=(Part(name.encode(), PAYLOAD),)) for number, name in enumerate(test_members.HIDING_PLACES)}
    for capability, (module, name) in test_cross.NAMES.items():
        program = test_cross.program("reduce-2", module, name, "RAN")
        found |= {f"cross/{capability}-{where}": place(program) for where, place in test_cross.WHERES.items()}
    found |= {f"spelt/{how}": test_cross.program(how, "posix", "mkdir", "RAN") for how in test_cross.HOWS}
    for codec, compress in test_damaged.CODECS.items():
        found |= {f"damaged/{codec} {name}": spoil(compress(test_damaged.PAYLOAD)) for name, spoil in test_damaged.DAMAGES.items()}
    return found


def junk() -> dict[str, bytes]:
    """What is no checkpoint, or no whole one."""
    noise = random.Random(8)
    whole = state_dict()
    return {
        "page.pt": PAGE,
        "config.json": b'{"a": [1, 2]}',
        "conda.yaml": b"channels:\n- conda-forge\n",
        "README.md": b"# Weights\n",
        "notes.pkl": b"nothing here\n",
        "empty.pt": b"",
        "zeros.pt": bytes(5000),
        "picture.bin": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "program.pth": b"\x7fELF" + bytes(200),
        "noise.ckpt": b"\xfe" + noise.randbytes(4000),
        "cut.pt": whole[:-30],
        "cut-early.pt": whole[:100],
        "twice.pt": whole + b"trailing",
        "half.pkl": b"\x80\x02}q\x00(X\x03\x00\x00\x00lrqG",
        "model.h5": b"\x89HDF\r\n\x1a\n" + bytes(64),
        "database.pt": b"SQLite format 3\0" + bytes(100),
    }


def deserved(entry: Entry) -> str:
    """Accepted where the policy has all its names; never an array of Python objects, nor an archive with code or pickled classes beside its weights."""
    return "rejected" if denied_names(entry, "checkpoint") or entry.holds_objects or entry.format in CARRY_CODE else "accepted"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder, and what each path in it deserves."""
    root = tmp_path_factory.mktemp("mixed") / "everything"
    wanted: dict[str, str] = {}
    files: dict[str, tuple[bytes, str]] = {f"corpus/{entry.file}": (entry.data(), deserved(entry)) for entry in entries() if not entry.format.startswith("dcp")}
    files |= {f"hostile/{name}": (data, "rejected") for name, data in hostile().items()}
    files |= {f"junk/{name}": (data, "inconclusive") for name, data in junk().items()}
    for name, (data, verdict) in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
        wanted[f"everything/{name}"] = verdict
    return root, wanted


@pytest.fixture(scope="module")
def reports(folder: tuple[Path, dict[str, str]]) -> dict[str, str]:
    """Each format of one run over the whole folder. Python 2's 8-bit strings are bytes as often as text, so they are read as latin1."""
    root, _ = folder
    before = os.getcwd()
    os.chdir(root.parent)
    try:
        outputs = [word for name in FORMATS if name != "text" for word in ("-f", f"{name}=report.{name}")]
        found = run("scan", "everything", "-f", "text", *outputs, "--encoding", "latin1", "--jobs", "2", "--no-second-opinion")
    finally:
        os.chdir(before)
    assert found.code == 1, found.err
    assert not list(root.parent.rglob("RAN")), "a payload ran"
    return {"text": found.out} | {name: (root.parent / f"report.{name}").read_text(encoding="utf-8") for name in FORMATS if name != "text"}


def verdicts(reports: dict[str, str]) -> dict[str, str]:
    return {each["path"]: each["verdict"] for each in json.loads(reports["json"])["results"]}


def test_every_file_has_the_verdict_that_it_deserves(folder: tuple[Path, dict[str, str]], reports: dict[str, str]) -> None:
    _, wanted = folder
    found = verdicts(reports)
    assert set(found) == set(wanted), "every file has one result"
    assert {path: (verdict, wanted[path]) for path, verdict in found.items() if verdict != wanted[path]} == {}


def test_no_weights_are_rejected_and_nothing_hostile_is_accepted(reports: dict[str, str]) -> None:
    found = verdicts(reports)
    weights = {f"everything/corpus/{entry.file}" for entry in entries() if entry.kind not in PROGRAMS and not denied_names(entry, "checkpoint")}
    refused = {path: found[path] for path in weights & set(found) if found[path] != "accepted"}
    assert {path for path in refused if not objects(path)} == set()
    assert len(weights) > 30
    assert [path for path, verdict in found.items() if path.startswith(("everything/hostile/", "everything/junk/")) and verdict == "accepted"] == []


def objects(path: str) -> bool:
    return next(entry for entry in entries() if path == f"everything/corpus/{entry.file}").holds_objects


def test_the_counts_in_every_format_agree(folder: tuple[Path, dict[str, str]], reports: dict[str, str]) -> None:
    _, wanted = folder
    expected = Counter(wanted.values())
    assert {name: dict(counts_of(name, text)) for name, text in reports.items()} == {name: dict(expected) for name in reports}
    assert set(reports) == set(FORMATS) and min(expected.values()) >= len(junk())


def test_the_folder_is_what_it_says(folder: tuple[Path, dict[str, str]]) -> None:
    """The whole corpus where it is at hand, hundreds of hostile files anywhere."""
    _, wanted = folder
    assert sum(path.startswith("everything/hostile/") for path in wanted) > 400
    assert sum(path.startswith("everything/corpus/") for path in wanted) == sum(not entry.format.startswith("dcp") for entry in entries()), corpus()


