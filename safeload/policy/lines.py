"""The text of a TOML file becomes the line of every key, table and array element in it: for messages, because `tomllib` keeps no places.

Follows text that `tomllib` has accepted, token by token, and decides nothing: on other text it gives what it can see and never raises. Paths are those of
messages: `allow[1].globals[0]`, `limits.opcodes`. Lines count from 1. Every piece of the grammar ends somewhere, so that the work is that of one pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MAX_DEPTH = 16  # brackets within brackets; a policy has two

_TOKEN = re.compile(
    r"""
      (?P<newline>\n)
    | (?P<skip>[ \t\r]+|\#[^\n]*)
    | (?P<string>\"{3}(?:[^\\]|\\.)*?(?:\"{3,5}|\\?\Z)|'{3}.*?(?:'{3,5}|\Z)|"(?:[^"\\\n]|\\[^\n])*(?:"|\\?(?=\n)|\\?\Z)|'[^'\n]*'?)
    | (?P<mark>[\[\]{},=.])
    | (?P<word>[^\s\[\]{},=."'\#]+)
    """,
    re.VERBOSE | re.DOTALL,
)


class _Open:
    """An array or an inline table that is open: its path, where in it we are, and the path of the value that comes next (None: a key comes first)."""

    __slots__ = ("index", "path", "value")

    def __init__(self, path: str, *, array: bool) -> None:
        self.path = path
        self.index = 0 if array else None
        self.value: str | None = f"{path}[0]" if array else None

    def step(self) -> None:
        """Behind a comma."""
        if self.index is None:
            self.value = None
        else:
            self.index += 1
            self.value = f"{self.path}[{self.index}]"


def positions(text: str) -> dict[str, int]:
    """Path to line, for all that stands in the text."""
    found: dict[str, int] = {}
    tables: dict[str, int] = {}  # path of an array of tables -> how many of them there are
    table = ""  # what the last header opened
    header = 0  # brackets of the header that is being read
    parts: list[str] = []  # of the key that is being read
    top: str | None = None  # the key of this line, once its `=` was there
    stack: list[_Open] = []
    line = 1
    for match in _TOKEN.finditer(text):
        kind, piece = match.lastgroup, match[0]
        if kind == "newline":
            line += 1
            if not stack:
                header, parts, top = 0, [], None
        elif kind == "skip":
            pass
        elif header or (piece == "[" and top is None and not stack and not parts):
            if piece == "[":
                header += 1
            elif piece == "]" and parts:
                table = _opened(parts, tables, header > 1)
                found.setdefault(table, line)
                parts = []
            elif piece not in (".", "]"):
                parts.append(_bare(piece))
        else:
            value = stack[-1].value if stack else top
            if piece == "=":
                value = ".".join(filter(None, [stack[-1].path if stack else table, *parts]))
                found.setdefault(value, line)
                parts = []
                if stack:
                    stack[-1].value = value
                else:
                    top = value
            elif value is None and piece not in ("}", "]", ","):
                if piece != ".":
                    parts.append(_bare(piece))
            elif piece in ("[", "{"):
                found.setdefault(value or "", line)
                if len(stack) == MAX_DEPTH:
                    return found
                stack.append(_Open(value or "", array=piece == "["))
            elif piece in ("]", "}"):
                del stack[-1:]
            elif piece == ",":
                if stack:
                    stack[-1].step()
            else:
                found.setdefault(value or "", line)
            line += piece.count("\n")
    return found


def line_of(lines: Mapping[str, int], path: str) -> int | None:
    """The line of a path, or of the nearest thing around it that the file holds: a key that is missing has the line of its table."""
    while path and path not in lines:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return lines.get(path)


def _opened(parts: list[str], tables: dict[str, int], is_array: bool) -> str:
    """The path of the table that a header opens."""
    path = ""
    for place, part in enumerate(parts):
        path = f"{path}.{part}" if path else part
        if is_array and place == len(parts) - 1:
            tables[path] = tables.get(path, 0) + 1
        if path in tables:
            path = f"{path}[{tables[path] - 1}]"
    return path


def _bare(piece: str) -> str:
    return piece.strip("\"'") if piece[0] in "\"'" else piece
