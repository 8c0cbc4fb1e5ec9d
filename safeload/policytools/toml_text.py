"""Lists of strings, numbers and keys become TOML text as policies are written by hand: aligned, and no line too long. It reads nothing."""

from __future__ import annotations

from collections.abc import Iterable

from safeload.policy.quote import toml_text

NAME_COLUMNS = 150  # columns of one line of names; longer lists take several lines


def strings(items: Iterable[str], width: int = NAME_COLUMNS) -> str:
    """An array of strings: on one line where it fits, else a line for as many as fit."""
    words = [toml_text(item) for item in items]
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
