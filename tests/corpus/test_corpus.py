"""Every file of the corpus ends as it must: equal to what the real loader returned, or refused with every reason named, or pending by name."""

from __future__ import annotations

import pytest

import safeload
from safeload.errors import CheckpointError

from .harness import BUILT, denied_names, outcomes
from .manifest import WHOLE, Entry, corpus, entries

ALL = [pytest.param(entry, id=entry.file) for entry in entries()]
UNBUILT = [pytest.param(entry, id=entry.file) for entry in entries() if entry.format not in BUILT]
POLICIES = ("weights-only", "checkpoint", "inspect")


@pytest.mark.parametrize("entry", ALL)
def test_ends_as_it_must(entry: Entry) -> None:
    """No difference, each with path, expected and got."""
    result = outcomes()[entry.file]
    assert result.kind != "different", str(result)


@pytest.mark.parametrize("entry", UNBUILT)
@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_not_built_is_never_accepted_wrongly(entry: Entry, policy: str) -> None:
    """Law 4: a file of which something was not read is inconclusive, or rejected for what was read; and it does not load."""
    report = safeload.scan(entry.data(), policy=policy, encoding=entry.encoding)
    if report.verdict == "accepted":
        assert outcomes()[entry.file].kind != "pending"
        assert report.bytes_accounted == report.bytes_total == len(entry.data())
        assert not denied_names(entry, policy)
        return
    assert report.errors
    with pytest.raises(CheckpointError):
        safeload.load(entry.data(), "cpu", policy=policy, encoding=entry.encoding)


@pytest.mark.parametrize("entry", ALL)
def test_all_names_are_in_the_report(entry: Entry) -> None:
    """The scan sees each name that the manifest lists for the file, where the file could be read to its end."""
    reading = safeload.api.read(entry.data(), policy="checkpoint", encoding=entry.encoding)
    seen = {use.global_name for use in reading.report.globals}
    if reading.error is None:
        assert set(entry.globals) <= seen
    else:
        assert reading.report.verdict != "accepted"


@pytest.mark.parametrize("name", sorted(BUILT))
def test_a_built_format_is_never_pending(name: str) -> None:
    """And there are files of it, all of which ended in one of the other ways."""
    kinds = [result.kind for result in outcomes().values() if result.entry.format == name]
    if not kinds and corpus() != WHOLE:
        pytest.skip(f"no {name} file is in the part that is checked in")
    assert kinds and "pending" not in kinds


def test_the_comparison_is_not_empty() -> None:
    """Most files hold a value, and each that loaded exactly was compared node by node."""
    exact = [result for result in outcomes().values() if result.kind == "exact"]
    assert len(exact) >= 25
    for result in exact:
        nodes = result.entry.nodes if result.entry.nodes is not None else [node for part in result.entry.expect["sequence"] for node in part["nodes"]]
        assert result.compared == len(nodes) > 0
        assert not result.opaque and not result.unreached


def test_the_manifest_and_the_files_agree() -> None:
    """No file without an entry, and no entry without its file."""
    folder = corpus() / "files"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {entry.file for entry in entries()}


def test_inspect_reaches_every_tensor() -> None:
    """Whatever else stays inside records that only their own library can read: no tensor and no storage does."""
    for result in outcomes().values():
        assert not {"tensor", "storage", "uninitialized", "module"} & set(result.unreached), str(result)
