"""The header of a `.npy` file becomes a `Container` with its three values as plain data: descr, fortran_order, shape.

Format: numpy `lib/format.py`, versions 1.0 (2 bytes of length, latin-1), 2.0 (4 bytes) and 3.0 (the same, UTF-8). The header is the text of a dict, which
numpy gives to `ast.literal_eval`. Here a grammar of its own reads what a writer of these three values needs: strings, whole numbers (with the `L` of Python 2),
True, False, None, tuples, lists, and the one dict around them. Refuses anything else, and headers longer or nested deeper than any dtype (SL130).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from safeload.containers.base import Container, Member
from safeload.containers.sniff import NPY_MAGIC
from safeload.containers.zip_names import shown
from safeload.errors import ContainerError
from safeload.source import ByteSource

MAGIC = NPY_MAGIC
FORMAT = "npy"
MAX_HEADER_BYTES = 1 << 20  # numpy refuses 10,000 for files it does not trust (lib/format.py); a structured dtype of 10,000 fields takes 400,000
MAX_DEPTH = 64  # tuples and lists in each other; each level of a structured dtype takes two
MAX_DIGITS = 20  # of a number: 2**63 has 19
LENGTH_BYTES = {1: 2, 2: 4, 3: 4}  # major version -> bytes of the header's length
KEYS = frozenset({"descr", "fortran_order", "shape"})


class NpyHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What the header says: `descr` as numpy's `dtype.descr` (text, or lists and tuples of it), `offset` of the first byte behind it."""

    version: int
    descr: Any
    fortran: bool
    shape: tuple[int, ...]
    offset: int


def read_npy(source: ByteSource) -> Container:
    """Take a .npy file apart. What the dtype means, and how many bytes belong to it, is for the stage that knows dtypes."""
    header = _header(source)
    data = Member(name="data", offset=header.offset, size=source.size - header.offset, stored_size=source.size - header.offset, role="storage")
    return Container(
        format=FORMAT,
        source=source,
        members={"data": data},
        accounted=source.size,
        info={"version": f"{header.version}.0"},
        detail=header,
    )


def _header(source: ByteSource) -> NpyHeader:
    prefix = source.read(0, min(source.size, len(MAGIC) + 6))
    version, minor = prefix[6:7], prefix[7:8]
    width = LENGTH_BYTES.get(version[0]) if version and minor == b"\0" else None
    if width is None:
        raise ContainerError(f"the version of the .npy file is {shown(prefix[6:8])}; numpy writes 1.0, 2.0 and 3.0", rule="SL130", offset=6)
    start = len(MAGIC) + 2 + width
    length = int.from_bytes(prefix[8 : 8 + width], "little")
    if length > MAX_HEADER_BYTES:
        raise ContainerError(f"the header of the .npy file is {length:,} bytes long, more than {MAX_HEADER_BYTES:,}", rule="SL130", offset=8)
    raw = source.read(start, length)
    try:
        text = raw.decode("utf-8" if version == b"\3" else "latin-1")
        found = _Literal(text).value()
    except (UnicodeDecodeError, _BadHeader) as error:
        raise ContainerError(f"the header of the .npy file is no dict of descr, fortran_order and shape: {error}", rule="SL130", offset=start) from None
    descr, fortran, shape = found["descr"], found["fortran_order"], found["shape"]
    if type(fortran) is not bool or type(shape) is not tuple or not all(type(length) is int and length >= 0 for length in shape):
        raise ContainerError("fortran_order of the .npy file is no bool, or its shape no tuple of whole numbers", rule="SL130", offset=start)
    return NpyHeader(version=version[0], descr=descr, fortran=fortran, shape=shape, offset=start + len(raw))


class _BadHeader(ValueError):
    """Why the text is no header; the caller adds the place."""


_TOKEN = re.compile(
    r"""[ \t\n\r\x0c]*(?:(?P<punct>[{}()\[\],:])|u?(?P<text>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")"""
    r"""|(?P<int>-?[0-9]+)L?(?![\w.])|(?P<word>True|False|None)\b)"""
)
_ESCAPE = re.compile(r"\\(?:(?P<plain>[\\'\"])|(?P<control>[abfnrtv])|x(?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8}))|(?P<bad>\\)")
_CONTROL = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_WORDS = {"True": True, "False": False, "None": None}
_CLOSE = {"(": ")", "[": "]"}


class _Literal:
    """The grammar, by recursive descent to a depth of `MAX_DEPTH`:

    dict = '{' [text ':' item {',' text ':' item} [',']] '}'    item = text | int | True | False | None | '(' items ')' | '[' items ']'
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def value(self) -> dict[str, Any]:
        """The whole header."""
        self._expect("{")
        found: dict[str, Any] = {}
        token = self._next()
        while token != ("punct", "}"):
            if token[0] != "text" or token[1] in found or token[1] not in KEYS:
                raise _BadHeader(f"it has the key {shown(str(token[1]))}, or has it twice")
            self._expect(":")
            found[token[1]] = self._item(self._next(), 0)
            token = self._next()
            if token == ("punct", ","):
                token = self._next()
            elif token != ("punct", "}"):
                raise _BadHeader("a comma is missing")
        if self.text[self.at :].strip(" \n"):
            raise _BadHeader("something follows the dict")
        if found.keys() != KEYS:
            raise _BadHeader(f"it lacks {', '.join(sorted(KEYS - found.keys()))}")
        return found

    def _item(self, token: tuple[str, Any], depth: int) -> Any:
        kind, value = token
        if kind != "punct":
            return value
        if value not in _CLOSE:
            raise _BadHeader(f"an unexpected {value!r}")
        if depth >= MAX_DEPTH:
            raise _BadHeader("its values nest too deep")
        items: list[Any] = []
        close, comma = ("punct", _CLOSE[value]), False
        token = self._next()
        while token != close:
            items.append(self._item(token, depth + 1))
            token = self._next()
            comma = token == ("punct", ",")
            if comma:
                token = self._next()
            elif token != close:
                raise _BadHeader("a comma is missing")
        if value == "[":
            return items
        if len(items) == 1 and not comma:
            return items[0]  # parentheses around one value
        return tuple(items)

    def _expect(self, punct: str) -> None:
        if self._next() != ("punct", punct):
            raise _BadHeader(f"{punct!r} is missing")

    def _next(self) -> tuple[str, Any]:
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            raise _BadHeader(f"{shown(self.text[self.at : self.at + 20])} is no value of a header")
        self.at = match.end()
        kind = str(match.lastgroup)
        content = match[kind]
        if kind == "text":
            return kind, _ESCAPE.sub(_unescaped, content[1:-1])
        if kind == "int":
            if len(content) > MAX_DIGITS:
                raise _BadHeader(f"a number of {len(content):,} digits")
            return kind, int(content)
        return kind, _WORDS[content] if kind == "word" else content


def _unescaped(match: re.Match[str]) -> str:
    if match["plain"]:
        return match["plain"]
    if match["control"]:
        return _CONTROL[match["control"]]
    code = match["x"] or match["u"] or match["U"]
    if code is None or int(code, 16) > 0x10FFFF:
        raise _BadHeader("an escape that no writer of names uses")
    return chr(int(code, 16))
