"""The table of known attacks is whole: 84 rows in order, each with tests that exist, and the page says what the table says."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from safeload.findings import RULES
from safeload.limits import Limits

from .table import ROWS, Row, page

TESTS = Path(__file__).parents[1]


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((TESTS / path).read_text("utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_every_class_has_its_row() -> None:
    assert [row.number for row in ROWS] == list(range(1, 85))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_every_row_has_tests_and_rules_that_exist(row: Row) -> None:
    assert row.tests.split()
    for test in row.tests.split():
        path, _, function = test.partition(":")
        assert function.startswith("test_") and function in functions(path), test
    for rule in re.findall(r"SL[0-9]{3}", row.answer):
        assert rule in {known.code for known in RULES}
    for limit in re.findall(r"\b[a-z]+_[a-z_]+\b", row.answer):
        assert limit in Limits.names()


def test_the_page_is_the_table() -> None:
    assert (TESTS.parent / "docs" / "threats.md").read_text("utf-8") == page()
