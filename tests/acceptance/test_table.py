"""Every row of torch's list that applies names tests of ours, and all of them are there; where the list itself is at hand, no row of it is missing."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from corpus.manifest import REPOSITORY

from .table import ROWS, Row

TESTS = REPOSITORY / "tests"
LIST = REPOSITORY.parent / "shared" / "reference" / "torch-acceptance-tests.md"


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name[:60]) for row in ROWS])
def test_each_row_has_its_tests(row: Row) -> None:
    assert bool(row.tests) or row.applies == "N"
    assert row.note or row.applies == "Y" or row.tests
    for place in row.tests:
        file, _, name = place.partition("::")
        text = (TESTS / file).read_text(encoding="utf-8")
        assert name == "*" or re.search(rf"^def {re.escape(name)}\(", text, re.MULTILINE), f"{place} is no test"


def test_no_row_stands_twice() -> None:
    assert max(Counter(row.name for row in ROWS).values()) == 1
    assert Counter(row.applies for row in ROWS)["Y"] > 45


@pytest.mark.skipif(not LIST.is_file(), reason="the list of torch's tests is not beside this repository")
def test_no_row_of_the_list_is_missing() -> None:
    rows = [line.split("|") for line in LIST.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    listed = {cells[1].strip(): cells[-2].strip()[:1] for cells in rows if cells[1].strip() != "test"}
    ours = {row.name: row.applies for row in ROWS}
    assert listed.keys() <= ours.keys(), sorted(listed.keys() - ours.keys())
    assert {name: ours[name] for name, applies in listed.items() if ours[name] != applies} == {}
