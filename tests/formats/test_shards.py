"""Sharded checkpoints: one mapping over all shards, each judged whole, and an index that cannot lead anywhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import safeload
from safeload.errors import CheckpointError, UnsupportedFormat
from safeload.numpy import load_file

A, B, C = np.arange(6, dtype="<f4").reshape(2, 3), np.arange(4), np.ones(2, "<f2")


def folder_of(path: Path, weight_map: Any = None, index: str = "model.safetensors.index.json") -> Path:
    path.mkdir(exist_ok=True)
    save_file({"a": A, "b": B}, path / "model-1.safetensors")
    save_file({"c": C}, path / "model-2.safetensors")
    found = {"a": "model-1.safetensors", "c": "model-2.safetensors", "b": "model-1.safetensors"} if weight_map is None else weight_map
    (path / index).write_text(json.dumps({"metadata": {"total_size": 60}, "weight_map": found}))
    return path


@pytest.mark.parametrize("by", ["folder", "index"])
def test_one_mapping_in_the_order_of_the_index(by: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "m")
    path = folder if by == "folder" else folder / "model.safetensors.index.json"
    report = safeload.scan(path)
    assert (report.verdict, report.format, report.tensors) == ("accepted", "shards", 3)
    assert report.bytes_total == report.bytes_accounted == sum(item.stat().st_size for item in folder.iterdir())
    value = safeload.load(path)
    assert list(value) == ["a", "c", "b"]
    for name, array in (("a", A), ("b", B), ("c", C)):
        np.testing.assert_array_equal(value[name], array, strict=True)
    value["a"][0, 0] = 9  # private, writable
    with safeload.open(path) as file:
        assert file.keys() == ["a", "c", "b"]
        info = file.info("c")
        assert info.shape == (2,) and info.storage == "model-2.safetensors!/c"
        np.testing.assert_array_equal(file.get_slice("a")[1:], A[1:])
    np.testing.assert_array_equal(load_file(path)["b"], B)


def test_shards_of_torch(tmp_path: Path) -> None:
    """pytorch_model.bin.index.json over torch.save files, here the shipped example twice over."""
    example = Path(__file__).parents[2] / "examples" / "tiny.pt"
    (tmp_path / "pytorch_model-1.bin").write_bytes(example.read_bytes())
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"state_dict": "pytorch_model-1.bin"}}))
    report = safeload.scan(tmp_path)
    assert report.verdict == "accepted" and [finding.level for finding in report.findings] == ["note"]
    assert "embed.weight" in safeload.load(tmp_path)["state_dict"]


@pytest.mark.parametrize(
    "name",
    ["../m/model-1.safetensors", "/etc/passwd", "a/../model-1.safetensors", "sub/model-1.safetensors", "C:model", "a\\b", "a\0b", "", "a\nb", "x" * 2_000, "."],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    report = safeload.scan(folder_of(tmp_path / "m", {"a": name}))
    assert (report.verdict, report.errors[0].rule) == ("inconclusive", "SL136")


@pytest.mark.parametrize(
    ("weight_map", "rule"),
    [
        ({"a": "missing.safetensors"}, "SL005"),
        ({"z": "model-1.safetensors"}, "SL135"),
        ({"a": "model-2.safetensors"}, "SL135"),
        ({"a": "model.safetensors.index.json"}, "SL135"),
        ({"a": 3}, "SL135"),
        ({}, "SL135"),
    ],
)
def test_an_index_that_lies_does_not_load(weight_map: Any, rule: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "m", weight_map)
    report = safeload.scan(folder)
    assert report.verdict == "inconclusive" and rule in {finding.rule for finding in report.errors}
    with pytest.raises(CheckpointError):
        safeload.load(folder)


def test_a_payload_in_one_shard_rejects_the_whole(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "m", {"a": "model-1.safetensors", "c": "evil.bin"})
    (folder / "evil.bin").write_bytes(b"cposix\nsystem\n(S'true'\ntR.")
    report = safeload.scan(folder)
    finding = next(finding for finding in report.errors if finding.rule == "SL301")
    assert (report.verdict, finding.member, finding.global_name) == ("rejected", "evil.bin", "posix.system")


def test_a_shard_that_is_something_else_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "m")
    (folder / "model-2.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12\n")
    report = safeload.scan(folder)
    finding = report.errors[0]
    assert (report.verdict, finding.rule, finding.member) == ("inconclusive", "SL006", "model-2.safetensors") and "git lfs pull" in finding.message


def test_an_index_without_its_folder_and_folders_without_one(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "m")
    with pytest.raises(UnsupportedFormat, match="open it by its path"):
        safeload.load((folder / "model.safetensors.index.json").read_bytes())
    with pytest.raises(IsADirectoryError, match=r"without \.metadata"):
        safeload.load(tmp_path)
    (folder / "pytorch_model.bin.index.json").write_text("{}")
    report = safeload.scan(folder)
    assert (report.verdict, report.errors[0].rule) == ("inconclusive", "SL136") and "2 indexes" in report.errors[0].message


def test_other_json_is_still_no_checkpoint(tmp_path: Path) -> None:
    for text in ('{"a": 1}', '{"weight_map": 3}', '["weight_map"]'):
        path = tmp_path / "x.json"
        path.write_text(text)
        assert safeload.scan(path).errors[0].rule == "SL003"
    path.write_text('{"weight_map": {"a": "x"}, "weight_map": {"a": "y"}}')
    assert safeload.scan(path).errors[0].rule == "SL135"
