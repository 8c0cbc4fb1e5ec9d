"""The default policy as it was resolved when the project was built: the same as its files say, and gone as soon as it is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from safeload.policy import compiled as module
from safeload.policy import named, resolve
from safeload.policy.compiled import COMPILED, FILE, compiled_policy
from safeload.policy.resolve import from_file
from safeload.policy.shipped import SHIPPED, shipped_path
from tests.policy.compiled_file import compiled


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the policies, at a place with signs that JSON has to escape."""
    copy = tmp_path / 'a "place" \\ of ours é'
    shutil.copytree(Path(shipped_path(COMPILED)).parent, copy)
    monkeypatch.setattr(named, "_cache", {})
    for each in (module, named, resolve):
        monkeypatch.setattr(each, "shipped_path", lambda name: str(copy / f"{name}.toml"))
    return copy


def test_the_file_is_what_the_policies_mean() -> None:
    path, data = compiled()
    assert Path(path).read_bytes() == data, "run `python -m tests.policy.compiled_file`"


def test_it_is_the_policy_of_the_toml_files(folder: Path) -> None:
    expected = from_file(str(folder / f"{COMPILED}.toml"), (), None)
    found = compiled_policy(COMPILED)
    assert found == expected
    assert found is not None
    for table in ("allow_exact", "opaque_exact", "opaque_prefix", "deny_exact", "deny_prefix"):
        assert list(getattr(found, table)) == list(getattr(expected, table)), table
    assert next(iter(found.deny_exact.values())).file == str(folder / "known-danger.toml")


@pytest.mark.parametrize("name", ["checkpoint", "weights-only", "known-danger"])
def test_a_change_of_any_file_that_went_in_counts_at_once(folder: Path, name: str) -> None:
    file = folder / f"{name}.toml"
    file.write_text(file.read_text(encoding="utf-8") + "# a remark\n", encoding="utf-8")
    assert compiled_policy(COMPILED) is None


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"origins": []}', b"\xff\xfe"])
def test_what_does_not_decode_is_not_there(folder: Path, damage: bytes) -> None:
    (folder / FILE).write_bytes(damage)
    assert compiled_policy(COMPILED) is None
    (folder / FILE).unlink()
    assert compiled_policy(COMPILED) is None


def test_a_place_that_does_not_exist_is_no_policy(folder: Path) -> None:
    data = (folder / FILE).read_bytes()
    at = data.index(b'"_codecs.encode",', data.index(b'"allow_exact"'))
    end = data.index(b"]", at)
    (folder / FILE).write_bytes(data[:at] + b'"_codecs.encode", 100000' + data[end:])
    assert compiled_policy(COMPILED) is None


def test_only_the_default_is_compiled() -> None:
    assert [name for name in SHIPPED if compiled_policy(name) is not None] == ["checkpoint"]


def test_without_it_the_files_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "_cache", {})
    monkeypatch.setattr(named, "compiled_policy", lambda name: None)
    assert named.load_policy("checkpoint") == compiled_policy("checkpoint")
