"""Law 3 for reports: whatever a file holds, every format gets to its end, and what it writes can be read back."""

from __future__ import annotations

import io
import json
import pickle
import random
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.edits import edit
from safeload.api import read
from safeload.policy.resolve import load_policy
from safeload.report.formats import FORMATS, needs_of, writer
from safeload.report.rows import row_of
from safeload.report.writer import VERDICTS, End, Row, Run, Screen
from tests.report.test_documents import closed_schema

SEEDS = sorted((Path(__file__).parents[2] / "fuzz" / "seeds").iterdir())
POLICIES = {name: load_policy(name) for name in ("checkpoint", "inspect", "weights-only")}


def documents(row: Row, run: Run) -> dict[str, str]:
    """The report on one file, in every format."""
    made: dict[str, str] = {}
    for name in FORMATS:
        stream = io.StringIO()
        report = writer(name, stream, run, Screen())
        report.begin()
        report.row(row)
        report.end(End(counts={verdict: int(row.report.verdict == verdict) for verdict in VERDICTS}, exit_code=0))
        made[name] = stream.getvalue()
    return made


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SEEDS), st.integers(0, 1 << 32), st.sampled_from(sorted(POLICIES)), st.booleans())
def test_every_format_reports_on_every_file(path: Path, seed: int, policy: str, several: bool) -> None:
    run = Run(policy=POLICIES[policy], several=several)
    row = row_of(read(edit(path.read_bytes(), random.Random(seed)), policy=POLICIES[policy], digest=True), needs_of(FORMATS, run))
    texts = documents(row, run)
    jsonschema.Draft202012Validator(closed_schema(locked=False)).validate(json.loads(texts["json"]))
    json.loads(texts["sarif"])
    json.loads(texts["cyclonedx"])
    ET.fromstring(texts["junit"])
    for name in ("text", "markdown", "github", "csv", "html"):
        assert texts[name], name
        assert all(char in "\r\n" or char.isprintable() for char in texts[name]), name


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.name)
def test_a_row_survives_the_way_to_another_process(path: Path) -> None:
    """What judges may run elsewhere; what writes gets the same row."""
    run = Run(policy=POLICIES["inspect"])
    row = row_of(read(path, policy=POLICIES["inspect"]), needs_of(FORMATS, run))
    assert pickle.loads(pickle.dumps(row)) == row
