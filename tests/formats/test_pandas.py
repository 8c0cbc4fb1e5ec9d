"""What pandas pickles: rejected with its names and what would keep them, whatever it is compressed by, and a payload in it is named."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import safeload
from safeload.report.stanza import helping_policy, stanza
from safeload.report.text import render
from safeload.values import OpaqueObject

pandas = pytest.importorskip("pandas", reason="pandas is not installed: it is the writer of these files")

SUFFIXES = {".pkl": "pickle", ".pkl.gz": "pickle+gzip", ".pkl.bz2": "pickle+bzip2", ".pkl.xz": "pickle+xz", ".pkl.zip": "zip", ".pkl.tar": "tar"}


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.mkdir, ("never",)


def frame() -> Any:
    return pandas.DataFrame({"a": [1, 2], "b": ["x", "y"], "day": pandas.to_datetime(["2020-01-01", "2021-01-01"])})


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("policy", ["weights-only", "checkpoint"])
def test_a_frame_is_rejected_by_its_names(tmp_path: Path, suffix: str, policy: str) -> None:
    file = tmp_path / f"frame{suffix}"
    frame().to_pickle(file)
    report = safeload.scan(file, policy=policy)
    assert (report.verdict, report.format) == ("rejected", SUFFIXES[suffix])
    names = {use.global_name for use in report.globals if use.decision == "denied"}
    assert any(name.startswith("pandas.") and name.endswith(".DataFrame") for name in names)
    assert helping_policy(report) == "inspect" and "safeload scan --policy inspect" in render(report)
    assert safeload.scan(file, policy="inspect").verdict == "accepted"


def test_a_series_of_numbers_gets_a_stanza_that_accepts_it(tmp_path: Path) -> None:
    file, policy = tmp_path / "series.pkl", tmp_path / "ours.toml"
    pandas.Series([1.0, 2.0]).to_pickle(file)
    lines = stanza(safeload.scan(file))
    policy.write_text("\n".join(line.replace('reason     = ""', 'reason     = "our series"') for line in lines))
    report = safeload.scan(file, policy=str(policy))
    assert report.verdict == "accepted" and report.has_opaque
    assert safeload.scan(file, policy=str(policy), loader="any").verdict == "rejected"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_payload_in_a_frame_is_named(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"frame{suffix}"
    pandas.DataFrame({"a": pandas.Series([Payload(), 1], dtype=object)}).to_pickle(file)
    for policy in ("weights-only", "checkpoint", "inspect"):
        report = safeload.scan(file, policy=policy)
        assert report.verdict == "rejected" and "posix.mkdir" in {each.global_name for each in report.errors}, policy


def test_nothing_of_it_is_built() -> None:
    value = safeload.load(pickle.dumps(pandas.Series([1.0, 2.0])), policy="inspect")
    assert isinstance(value, OpaqueObject) and value.type_name.endswith("Series")
