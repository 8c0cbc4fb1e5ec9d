"""Text from a file becomes text that is fit for a terminal, a log line or a report.

Text from a file is hostile: it can move the cursor, start a fake log line, turn the reading direction around, or be ten megabytes of nothing
visible. One rule covers that: a character that Unicode does not call printable (controls, formats such as bidi and zero width, surrogates,
private use, unassigned, every space but U+0020), or that is printable and draws nothing, is written as its escape. Everything else stays.

Markup is a second step, at the end of this file: text that went through `escape` becomes text of HTML and XML, of Markdown, of a cell of CSV, of a workflow
command. Each of them takes what `escape` left and adds what its own reader needs; none of them is of use without that first step.
"""

from __future__ import annotations

DEFAULT_LIMIT = 200  # characters: what fits on two lines of a wide terminal
ELLIPSIS = "..."

# Printable by category, and yet they draw nothing: fillers (Lo), the blank Braille pattern (So), joiners and variation selectors (Mn).
INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))}
SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def escape(text: str, limit: int = DEFAULT_LIMIT) -> str:
    r"""`text` on one line: what does not draw becomes `\n`, `\x1b`, `\u202e` or `\U000e0041`; cut behind `limit` characters with `...`.

    A backslash stays as it is (paths have them), so the result is for reading and not for reading back. The work is bounded by `limit`,
    not by the length of the text.
    """
    head = text[: limit + 1]
    if len(head) <= limit and head.isascii() and head.isprintable():
        return head
    shown: list[str] = []
    room = limit
    for char in head:
        piece = char if char.isprintable() and char not in INVISIBLE else escaped(char)
        room -= len(piece)
        if room < 0:
            return "".join(shown) + ELLIPSIS
        shown.append(piece)
    return "".join(shown)


def quoted(text: str, limit: int = DEFAULT_LIMIT) -> str:
    """A str from the file as a literal, `'it\\'s'`; a cut one ends in `...'`."""
    head = text[: limit + 1].replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escape(head, limit)}'"


def escaped(char: str) -> str:
    r"""One character as a Python escape: `\n`, `\x1b`, `\u200b`, `\U000e0041`."""
    if char in SHORT:
        return SHORT[char]
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


# ---- the second step: markup ---------------------------------------------------------------------------------------------------------------

_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
_MARKDOWN = str.maketrans({char: f"&#{ord(char)};" for char in "&<>\"'\\`*_{}[]()#+!|~@:$^="})
_COMMAND = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the start of a formula


def markup(text: str, limit: int = DEFAULT_LIMIT) -> str:
    """For HTML and XML, in an element or in a quoted attribute. What `escape` leaves are characters that XML 1.0 allows."""
    return escape(text, limit).translate(_MARKUP)


def markdown(text: str, limit: int = DEFAULT_LIMIT) -> str:
    """For Markdown as GitHub and GitLab have it, in a table or outside: punctuation becomes character references, which are never structure (CommonMark 2.5).

    In `<code>` neither of them makes links of names, numbers or addresses.
    """
    return f"<code>{escape(text, limit).translate(_MARKDOWN)}</code>" if text else ""


def command(text: str, limit: int = DEFAULT_LIMIT) -> str:
    """The message of a GitHub workflow command, which ends with its line."""
    return escape(text, limit).translate(_COMMAND)


def command_property(text: str, limit: int = DEFAULT_LIMIT) -> str:
    """A property of a GitHub workflow command (`file=`), which ends at a comma or at `::`."""
    return escape(text, limit).translate(_PROPERTY)


def cell(text: str, limit: int = DEFAULT_LIMIT) -> str:
    """A field of CSV (RFC 4180), quoted; one that a spreadsheet would compute starts with an apostrophe, which makes it text there."""
    shown = escape(text, limit)
    if shown.lstrip(" ").startswith(_FORMULA):
        shown = "'" + shown
    return '"' + shown.replace('"', '""') + '"'
