"""The tests that the shipped policies come with: all as expected, and each entry tried in both directions."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeload.policy.resolve import load_policy
from safeload.policy.shipped import SHIPPED
from safeload.policytools.cases import Result, coverage, read_cases, run_case

FOLDER = Path(__file__).parent.parent.parent / "policies" / "tests"
FILES = sorted(FOLDER.glob("*.toml"))


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return [run_case(case, cases.policy) for cases in (read_cases(str(path)) for path in FILES) for case in cases.cases]


def test_every_shipped_policy_has_tests() -> None:
    assert {path.stem for path in FILES} == set(SHIPPED)
    assert [path.name for path in FILES if read_cases(str(path)).policy.name != path.stem] == []


def test_every_case_is_as_expected(results: list[Result]) -> None:
    assert [(result.case.name, result.wrong) for result in results if result.wrong] == []


@pytest.mark.parametrize("name", SHIPPED)
def test_every_entry_is_tried_both_ways(name: str, results: list[Result]) -> None:
    assert [(row.kind, row.entry, row.missing) for row in coverage(load_policy(name), results) if row.missing] == []
