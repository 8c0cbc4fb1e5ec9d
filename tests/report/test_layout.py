"""Wrapping, cutting and columns: nothing is lost and nothing is wider than it may be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from safeload.report.layout import columns, cut, cut_middle, plural, wrap

WORDS = st.text(alphabet="abc ", max_size=200)


@given(WORDS, st.integers(10, 60))
def test_wrapped_lines_fit_and_hold_every_letter(text: str, width: int) -> None:
    lines = wrap(text, width, first="> ", rest="  ")
    assert all(len(line) <= width for line in lines)
    assert "".join("".join(lines).replace(">", "").split()) == "".join(text.split())


@given(st.text(min_size=0, max_size=200), st.integers(8, 60))
def test_cut_text_fits(text: str, width: int) -> None:
    for found in (cut(text, width), cut_middle(text, width)):
        assert len(found) <= width
        assert (found == text) == (len(text) <= width) or len(found) == width


def test_clauses_stay_whole() -> None:
    assert wrap("one; two; three", 9, rest="  ", by="; ") == ["one; two;", "  three"]


def test_columns() -> None:
    assert columns([("name", "n"), ("a", "10"), ("bbbbbb", "1")], right=frozenset({1})) == ["  name     n", "  a       10", "  bbbbbb   1"]
    assert columns([]) == []


def test_plural() -> None:
    assert (plural(1, "error"), plural(0, "error"), plural(2_000, "entry", "entries")) == ("1 error", "0 errors", "2,000 entries")
