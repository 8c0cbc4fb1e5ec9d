"""Values become TOML text: strings, lists of strings, dates and numbers, as policies are written by hand. It reads nothing."""

from __future__ import annotations

from collections.abc import Iterable

NAME_COLUMNS = 150  # columns of one line of names; longer lists take several lines


def quoted(text: str) -> str:
    """A TOML basic string."""
    escaped = (f"\\u{ord(char):04x}" if ord(char) < 0x20 or char in '"\\\x7f' else char for char in text)
    return '"' + "".join(escaped) + '"'


def strings(items: Iterable[str], width: int = NAME_COLUMNS) -> str:
    """An array of strings: on one line where it fits, else a line for as many as fit."""
    words = [quoted(item) for item in items]
    flat = f"[{', '.join(words)}]"
    if len(flat) <= width - 13:
        return flat
    lines, line = [], "   "
    for word in words:
        if len(line) + len(word) + 2 > width and line.strip():
            lines.append(line)
            line = "   "
        line += f" {word},"
    lines.append(line)
    return "[\n" + "\n".join(lines) + "\n]"


def number(value: int) -> str:
    """A whole number with `_` between its thousands."""
    return f"{value:_}"


def pairs(items: Iterable[tuple[str, str]]) -> list[str]:
    """`key = value` with the signs of equality below each other."""
    listed = list(items)
    width = max((len(key) for key, _ in listed), default=0)
    return [f"{key.ljust(width)} = {value}" for key, value in listed]
