"""Pieces of text become lines that fit a width: wrapped, cut, set in columns.

Knows nothing of findings. All text that comes here is escaped already (`safeload/escape.py`), so a character is a column, give or take wide scripts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from safeload.escape import ELLIPSIS

DEFAULT_WIDTH = 80  # columns of a report that goes to a pipe or a file
MIN_WIDTH = 40  # columns; below that nothing can be laid out
MAX_WIDTH = 120  # columns of a report on a terminal, however wide it is: longer lines are hard to read


def cut(text: str, width: int) -> str:
    """At most `width` characters; a cut one ends in `...`."""
    if len(text) <= width:
        return text
    return text[: max(width - len(ELLIPSIS), 1)] + ELLIPSIS


def cut_middle(text: str, width: int) -> str:
    """At most `width` characters of a dotted name or a path, both ends kept: `ultralytics...DetectionModel`."""
    if len(text) <= width:
        return text
    room = max(width - len(ELLIPSIS), 2)
    tail = room * 2 // 3
    return text[: room - tail] + ELLIPSIS + text[len(text) - tail :]


def wrap(text: str, width: int, *, first: str = "", rest: str = "", by: str = " ") -> list[str]:
    """`text` in lines of `width` with `first` before the first and `rest` before the others; a word longer than a line is broken, never lost.

    `by` is what stands between words; it may also be `"; "`, to break between clauses only.
    """
    lines: list[str] = []
    line = first
    empty = True
    words = text.split(by)
    mark = len(by.rstrip())  # what of `by` stays at the end of a line
    for number, word in enumerate(words):
        tail = mark if number < len(words) - 1 else 0
        if not empty and len(line) + len(by) + len(word) + tail > width:
            lines.append(line + by)
            line, empty = rest, True
        while len(line) + len(word) > width:
            room = max(width - len(line), 1)
            lines.append(line + word[:room])
            line, word = rest, word[room:]
        line += word if empty else by + word
        empty = False
    lines.append(line)
    return [line.rstrip() for line in lines]


def columns(rows: Iterable[Sequence[str]], *, right: frozenset[int] = frozenset(), indent: str = "  ", gap: str = "  ") -> list[str]:
    """Rows of equal length as aligned columns; the columns in `right` are flush right. Trailing blanks go."""
    table = [tuple(row) for row in rows]
    if not table:
        return []
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    lines: list[str] = []
    for row in table:
        cells = [cell.rjust(size) if place in right else cell.ljust(size) for place, (cell, size) in enumerate(zip(row, widths, strict=True))]
        lines.append((indent + gap.join(cells)).rstrip())
    return lines


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 error`, `3 errors`, `1,024 entries`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
