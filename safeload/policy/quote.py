"""Text becomes a TOML basic string. What does not stand there as itself, or does not draw, is an escape, so that nothing in a name can end the string."""

from __future__ import annotations

from collections.abc import Iterable

_OWN_ESCAPE = '"\\\x7f'


def toml_text(text: str) -> str:
    """One string, with its quotes. A lone surrogate, which TOML cannot hold, becomes U+FFFD."""
    return '"' + "".join(char if char.isprintable() and char not in _OWN_ESCAPE else _escaped(ord(char)) for char in text) + '"'


def toml_texts(texts: Iterable[str]) -> str:
    """An array of strings, on one line."""
    return "[" + ", ".join(map(toml_text, texts)) + "]"


def _escaped(code: int) -> str:
    if 0xD800 <= code <= 0xDFFF:
        code = 0xFFFD
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
