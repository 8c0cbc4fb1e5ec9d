"""Any text stands in a TOML string as itself: nothing in it ends the string or draws where it should not."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from safeload.policy.quote import toml_text, toml_texts


@given(st.text())
def test_what_was_quoted_is_what_is_read(text: str) -> None:
    read = tomllib.loads(f"a = {toml_text(text)}\nb = {toml_texts([text, 'x'])}")
    expected = "".join("\ufffd" if 0xD800 <= ord(char) <= 0xDFFF else char for char in text)
    assert read == {"a": expected, "b": [expected, "x"]}
    assert toml_text(text).isprintable()


def test_surrogates_have_no_place_in_toml() -> None:
    assert tomllib.loads(f"a = {toml_text(chr(0xD800))}") == {"a": "\ufffd"}
