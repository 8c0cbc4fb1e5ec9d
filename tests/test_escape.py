"""`safeload.escape`: nothing that a terminal or a log acts upon leaves through it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.escape import ELLIPSIS, INVISIBLE, cell, command, command_property, escape, markdown, markup, quoted

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


# ---- the second step ------------------------------------------------------------------------------------------------------------------------


@given(st.text(st.characters(), max_size=40))
def test_markup_gives_the_escaped_text_back_and_nothing_else(text: str) -> None:
    import html
    import xml.etree.ElementTree as ET

    shown = markup(text, 400)
    assert html.unescape(shown) == escape(text, 400)
    assert not {"<", ">", '"', "'"} & set(shown)
    element = ET.fromstring(f'<a b="{shown}">{shown}</a>')
    assert (element.text or "", element.attrib["b"]) == (escape(text, 400), escape(text, 400))


@given(st.text(st.characters(), max_size=40))
def test_markdown_leaves_no_punctuation_that_is_structure(text: str) -> None:
    import html

    shown = markdown(text, 400)
    inside = shown.removeprefix("<code>").removesuffix("</code>")
    assert html.unescape(inside) == escape(text, 400)
    assert not set("<>|`*_[]()~@:\\") & set(inside)


@given(st.text(st.characters() | st.sampled_from("\r\n%:,"), max_size=40))
def test_a_workflow_command_has_one_line_and_its_properties_no_end(text: str) -> None:
    assert not {"\r", "\n"} & set(command(text, 400) + command_property(text, 400))
    assert not {":", ","} & set(command_property(text, 400))
    assert command(text, 400).replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%") == escape(text, 400)


@given(st.text(st.characters() | st.sampled_from("=+-@ \t\r\n\"',"), max_size=20))
def test_a_cell_is_read_back_and_never_computed(text: str) -> None:
    import csv
    import io

    ((found,),) = csv.reader(io.StringIO(cell(text, 400) + "\r\n", newline=""), strict=True)
    assert found.removeprefix("'") == escape(text, 400).removeprefix("'")
    assert not found.lstrip(" ").startswith(("=", "+", "-", "@"))
