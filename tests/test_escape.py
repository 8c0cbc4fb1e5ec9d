"""`safeload.escape`: nothing that a terminal or a log acts upon leaves through it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.escape import ELLIPSIS, INVISIBLE, escape, quoted

HOSTILE = {
    "\x1b[31mred": r"\x1b[31mred",
    "a\nb\r\tc": r"a\nb\r\tc",
    "\x00\x7f\x85\x9b": r"\x00\x7f\x85\x9b",
    "a\u202eb\u2066c": r"a\u202eb\u2066c",
    "a\u200bb\ufeff": r"a\u200bb\ufeff",
    "\ud800": r"\ud800",
    "line\u2028para\u2029": r"line\u2028para\u2029",
    "\U000e0041tag": r"\U000e0041tag",
    "\u3164filler": r"\u3164filler",
    "a\u00a0b": r"a\xa0b",
}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_characters_become_escapes(text: str) -> None:
    assert escape(text) == HOSTILE[text]


def test_ordinary_text_stays() -> None:
    text = "Grüße, 你好, مرحبا, 🙂, C:\\dir [x] <y>"
    assert escape(text) == text


def test_long_text_is_cut() -> None:
    assert escape("x" * 300, 10) == "x" * 10 + ELLIPSIS
    assert escape("x" * 10, 10) == "x" * 10
    assert escape("\n" * 10_000_000, 9) == r"\n\n\n\n" + ELLIPSIS


def test_quoted_text_cannot_close_its_quote() -> None:
    assert quoted("it's \\ me") == r"'it\'s \\ me'"


@given(st.text(st.characters(), max_size=40))
def test_nothing_unprintable_is_left(text: str) -> None:
    shown = escape(text, 400)
    assert shown.isprintable() or not shown
    assert not INVISIBLE.intersection(shown)
    assert not any(unicodedata.category(char)[0] == "C" for char in shown)


@given(st.text(st.characters(), max_size=300), st.integers(0, 250))
def test_the_limit_holds(text: str, limit: int) -> None:
    assert len(escape(text, limit)) <= limit + len(ELLIPSIS)
