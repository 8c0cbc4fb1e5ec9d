"""What passes a hook: accepted files, and what no loader unpickles. Never a broken checkpoint, whatever its name is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import safeload
from safeload import hooks
from safeload.guarding import GuardWarning
from tests.cli.inputs import BROKEN, EVIL, OURS, PAGE, PLAIN, state_dict
from tests.containers.zipbuild import Part, build

PASSIVE_FILES = {
    "config.json": b'{"hidden_size": 8}',
    "README.md": b"---\nlicense: mit\n---\n",
    "merges.txt": b"#version: 0.2\n",
    "vocab.txt": b"could be a pickle: c, o, u, l and d are opcodes\n",
    "conda.yaml": b"channels:\n- conda-forge\n",
    "MLmodel": b"artifact_path: model\n",
    "spm.model": b"\x0a\x0e\x0a\x05<unk>\x15\x00",
    "preview.png": b"\x89PNG\r\n\x1a\n" + bytes(64),
    "LICENSE": b"Apache License",
    ".gitattributes": b"*.bin filter=lfs",
    "empty.txt": b"",
}
REFUSED_FILES = {
    "pytorch_model.bin": EVIL,
    "config.json": EVIL,  # the name helps nobody
    "README.md": BROKEN,
    "notes.txt": b"cposix\nsystem\n",  # cut short, and it has named what it wants
    "data.json": build([Part(b"a/data.pkl", EVIL), Part(b"a/version", b"3\n")]),
    "broken.json": state_dict()[:-30],
    "modeling_acme.py": b"import os\n",
    "model.h5": b"\x89HDF\r\n\x1a\n" + bytes(64),
    "weights.bin": PAGE,
    "pointer.json": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12\n",
}


def folder_of(tmp_path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_a_folder_of_accepted_and_passive_files_passes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {**PASSIVE_FILES, "pytorch_model.bin": state_dict(), "deep/er/optimizer.pt": PLAIN})
    reports = hooks.check(folder)
    assert len(reports) == len(PASSIVE_FILES) + 2
    assert {os.path.basename(report.path) for report in reports if report.verdict == "accepted"} == {"pytorch_model.bin", "optimizer.pt"}


@pytest.mark.parametrize("name", PASSIVE_FILES)
def test_a_passive_file_needs_both_its_name_and_its_bytes(tmp_path: Path, name: str) -> None:
    hooks.check(folder_of(tmp_path, {name: PASSIVE_FILES[name]}) / name)
    with pytest.raises(safeload.CheckpointError):
        hooks.check(folder_of(tmp_path, {"weights.bin": PASSIVE_FILES[name]}) / "weights.bin")
    with pytest.raises(safeload.CheckpointError):
        hooks.check(tmp_path / name, passive=())


@pytest.mark.parametrize("name", REFUSED_FILES)
def test_refused(tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path, {"pytorch_model.bin": state_dict(), name: REFUSED_FILES[name]})
    with pytest.raises(safeload.CheckpointError) as caught:
        hooks.check(folder)
    assert caught.value.path == str(folder / name)


def test_the_error_is_that_of_the_worst_file_and_names_the_others(tmp_path: Path) -> None:
    with pytest.raises(safeload.PolicyRejected, match="system") as caught:
        hooks.check(folder_of(tmp_path, {"a.bin": PAGE, "b.bin": EVIL, "c.bin": BROKEN[:9]}))
    assert caught.value.path == str(tmp_path / "b.bin") and caught.value.report.verdict == "rejected"
    (note,) = caught.value.__notes__
    assert note.startswith("2 more files are refused") and f"{tmp_path / 'a.bin'}: " in note and "[SL003]" in note and "c.bin" in note


def test_records_are_refused_unless_they_are_meant(tmp_path: Path) -> None:
    path = folder_of(tmp_path, {"ours.pt": OURS}) / "ours.pt"
    with pytest.raises(safeload.PolicyRejected, match=r"acme.*import it"):
        hooks.check(path, "inspect")
    (report,) = hooks.check(path, "inspect", records="allow")
    assert report.verdict == "accepted"


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    elsewhere = folder_of(tmp_path / "elsewhere", {"hidden.bin": EVIL})
    folder = folder_of(tmp_path / "model", {"model.bin": PLAIN})
    (folder / "again").symlink_to(folder, target_is_directory=True)
    assert len(hooks.check(folder)) == 1
    (folder / "more").symlink_to(elsewhere, target_is_directory=True)
    with pytest.raises(safeload.PolicyRejected):
        hooks.check(folder)


def test_what_cannot_be_judged_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"model.bin": PLAIN})
    with pytest.raises(safeload.CheckpointError, match="not there"):
        hooks.check(folder / "absent.json")
    os.mkfifo(folder / "pipe.json")
    with pytest.raises(safeload.CheckpointError, match="no regular file"):
        hooks.check(folder)
    os.remove(folder / "pipe.json")
    (folder / "dangling.json").symlink_to(folder / "nothing")
    with pytest.raises(safeload.CheckpointError, match="No such file"):
        hooks.check(folder)


def test_an_index_may_come_before_its_shards(tmp_path: Path) -> None:
    index = json.dumps({"metadata": {"total_size": 1}, "weight_map": {"a": "pytorch_model-00001-of-00001.bin"}}).encode()
    folder = folder_of(tmp_path, {"pytorch_model.bin.index.json": index})
    assert len(hooks.check(folder)) == 1
    folder_of(tmp_path, {"pytorch_model-00001-of-00001.bin": EVIL})
    with pytest.raises(safeload.PolicyRejected):
        hooks.check(folder)


def test_without_enforcement_it_warns_and_counts(tmp_path: Path) -> None:
    policy, limits = safeload.api.policy_and_limits(None, None)
    hook = hooks.Hook(policy, limits, enforce=False)
    with pytest.warns(GuardWarning, match="system"):
        hook.judge(folder_of(tmp_path, {"a.bin": EVIL, "b.bin": PLAIN}))
    assert (hook.judged, hook.refused) == (2, 1) and "2 files judged, 1 refused" in repr(hook)


def test_wrong_words_are_told() -> None:
    with pytest.raises(ValueError, match="records"):
        hooks.check("x", records="maybe")  # type: ignore[arg-type]
    with pytest.raises(safeload.PolicyFileError):
        hooks.check("x", "no-such-policy")
