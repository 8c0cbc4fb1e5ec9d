r"""Listings become pickle streams, and streams listings that assemble back to the same bytes. For tests and attack corpora.

One instruction a line: pickle's opcode name, then its argument.

    PROTO 2
    GLOBAL posix system          # two words, or two literals: GLOBAL 'a b' 'c'
    BINUNICODE 'text'            # str, bytes, int and float literals as in Python
    BINBYTES8 length=99 b'abc'   # a counted opcode that lies about its length
    LONG1 -300                   # the shortest two's complement, as pickle writes it; LONG1 b'\x01\x00' says the bytes themselves
    STRING 'it\'s'               # line opcodes are quoted as pickle quotes them; a bytes literal is the raw line: STRING b'"x"'
    RAW '80 02 ff'               # any bytes, in hex

Nothing here checks that a stream makes sense: writing senseless ones is half of its use. What cannot be written as one instruction
(a number that does not fit, a newline inside a line, an unknown opcode) is a `ValueError` with the line's number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from struct import error as struct_error
from typing import Union

from safeload.opcodes.decode import STRUCTS, Instruction, decode
from safeload.opcodes.table import BY_NAME, Argument, Opcode

Literal = Union[str, bytes, int, float]

_TOKEN = re.compile(
    r"""\s*(?:(?P<comment>\#.*)
        |(?P<quoted>[bB]?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))
        |(?P<word>[^\s'"\#]+))""",
    re.VERBOSE,
)


class Word(str):
    """A token without quotes: an opcode, a number, or one half of GLOBAL's argument."""

    __slots__ = ()


def assemble(text: str) -> bytes:
    """The stream that the listing `text` describes. Raises `ValueError` naming the line that is wrong."""
    parts: list[bytes] = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            parts.append(_instruction(_tokens(line)))
        except (ValueError, struct_error, SyntaxError) as error:
            raise ValueError(f"line {number}: {error}: {line.strip()!a}") from None
    return b"".join(parts)


def disassemble(data: bytes, start: int = 0, end: int | None = None) -> str:
    """A listing of one well-formed stream up to its STOP that `assemble` turns back into the same bytes.

    Spellings that no natural form stands for (a padded LONG1, `INT 007`) are given as their raw argument. Raises `StreamError` as `decode` does.
    """
    return "".join(f"{line}\n" for line in _lines(data, start, end))


def _lines(data: bytes, start: int, end: int | None) -> Iterator[str]:
    for instruction in decode(data, start, end):
        wanted = data[instruction.offset : instruction.end]
        for text in _spellings(instruction):
            if not (text.isascii() and text.isprintable()):
                continue
            try:
                found = assemble(text)
            except ValueError:
                continue
            if found == wanted:
                yield text
                break
        else:  # a NaN with a payload
            yield f"RAW '{wanted.hex()}'  # {instruction.op.name}"


def _spellings(instruction: Instruction) -> Iterator[str]:
    """Ways to write one instruction, the most readable one first."""
    op, raw = instruction.op, instruction.argument
    if raw is None:
        yield op.name
    elif isinstance(raw, tuple):
        yield f"{op.name} " + " ".join(part.decode("ascii", "replace") for part in raw)
        yield f"{op.name} " + " ".join(ascii(part.decode("utf-8", "replace")) for part in raw)
        yield f"{op.name} {raw[0]!r} {raw[1]!r}"
    elif isinstance(raw, bytes):
        natural = _natural(op.argument, raw)
        if natural is not None:
            yield f"{op.name} {natural}"
        yield f"{op.name} {raw!r}"
    else:
        yield f"{op.name} {raw!r}"


def _natural(kind: Argument, raw: bytes) -> str | None:
    """The argument as a reader would write it, where the bytes are that simple."""
    if kind.name in ("decimal-line", "float-line"):
        return raw.decode("ascii", "replace")
    if kind.name == "long-line":
        return raw.removesuffix(b"L").decode("ascii", "replace")
    if kind.name == "string-line":
        return repr(raw[1:-1].decode("latin-1")) if b"\\" not in raw else None
    if kind.name == "unicode-line":
        return ascii(raw.decode("raw-unicode-escape", "replace"))
    if kind.content == "int":
        return str(int.from_bytes(raw, "little", signed=True)) if len(raw) <= 64 else None
    if kind.content == "text":
        return ascii(raw.decode("utf-8", "surrogatepass")) if _is_utf8(raw) else None
    return None


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


# ---- one line ----------------------------------------------------------------------------------------------------------------------------


def _tokens(line: str) -> list[Literal]:
    """A line as `Word`s and quoted literals, without its comment."""
    found: list[Literal] = []
    position = 0
    line = line.rstrip()
    while position < len(line):
        match = _TOKEN.match(line, position)
        if match is None:
            raise ValueError("a quote is not closed")
        if match["comment"] is not None:
            break
        found.append(Word(match["word"]) if match["word"] is not None else _quoted(match["quoted"]))
        position = match.end()
    return found


def _quoted(token: str) -> str | bytes:
    import ast  # only listings need it

    value: str | bytes = ast.literal_eval(token)  # quoted: `_TOKEN` takes nothing else for one
    return value


def _instruction(tokens: list[Literal]) -> bytes:
    if not tokens:
        return b""
    name, *arguments = tokens
    if name == "RAW" and isinstance(name, Word):
        if len(arguments) != 1 or isinstance(arguments[0], Word) or not isinstance(arguments[0], str):
            raise ValueError("RAW takes one string of hex digits")
        return bytes.fromhex(arguments[0])
    op = BY_NAME.get(name) if isinstance(name, Word) else None
    if op is None:
        raise ValueError(f"there is no opcode {name!a}")
    return bytes((op.code,)) + _argument(op, arguments)


def _argument(op: Opcode, given: list[Literal]) -> bytes:
    kind = op.argument
    length, values = _declared_length(given)
    wanted = {"none": 0, "pair": 2}.get(kind.form, 1)
    if len(values) != wanted:
        raise ValueError(f"{op.name} takes {wanted} argument(s), not {len(values)}")
    if length is not None and kind.form != "counted":
        raise ValueError(f"{op.name} has no length to lie about")
    if kind.form == "none":
        return b""
    if kind.form == "number":
        return STRUCTS[kind.layout].pack(_number(values[0], kind.content == "float"))
    if kind.form == "counted":
        content = _content(kind, values[0])
        return STRUCTS[kind.layout].pack(len(content) if length is None else length) + content
    return b"".join(_line(_LINES[kind.name](value)) for value in values)


def _declared_length(given: list[Literal]) -> tuple[int | None, list[Literal]]:
    if given and isinstance(given[0], Word) and given[0].startswith("length="):
        return int(given[0].removeprefix("length="), 0), given[1:]
    return None, given


def _number(value: Literal, is_float: bool) -> int | float:
    if not isinstance(value, Word):
        raise ValueError("the argument is a number without quotes")
    return float(value) if is_float else int(value, 0)


def _content(kind: Argument, value: Literal) -> bytes:
    """The bytes of a counted argument: bytes as they are, text as UTF-8, a number as two's complement."""
    if isinstance(value, bytes):
        return value
    if kind.content == "int":
        number = int(_number(value, False))
        return number.to_bytes(_long_size(number), "little", signed=True)
    if isinstance(value, Word) or not isinstance(value, str):
        raise ValueError("the argument is a string in quotes")
    return value.encode("utf-8", "surrogatepass") if kind.content == "text" else value.encode("ascii")


def _long_size(number: int) -> int:
    """Bytes of the shortest two's complement; none for 0 (`pickle.encode_long`)."""
    return (number if number >= 0 else ~number).bit_length() // 8 + 1 if number else 0


def _line(content: bytes) -> bytes:
    if b"\n" in content:
        raise ValueError("the argument holds a newline")
    return content + b"\n"


# ---- lines: how each kind is spelt; a bytes literal is always the raw line ---------------------------------------------------------------


def _plain(value: Literal) -> bytes:
    """A word or a string, as UTF-8: names, persistent ids and numbers, which are written as they were typed."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8")


def _long_line(value: Literal) -> bytes:
    return value if isinstance(value, bytes) else _plain(value) + b"L"


def _string_line(value: Literal) -> bytes:
    """As Python 2 pickled a str: its repr. A listing's str stands for the bytes of its characters."""
    return value if isinstance(value, bytes) else repr(str(value).encode("latin-1"))[1:].encode("ascii")


def _unicode_line(value: Literal) -> bytes:
    """As `pickle.Pickler.save_str` writes protocol 0."""
    if isinstance(value, bytes):
        return value
    text = str(value).replace("\\", "\\u005c").replace("\0", "\\u0000").replace("\n", "\\u000a").replace("\r", "\\u000d").replace("\x1a", "\\u001a")
    return text.encode("raw-unicode-escape")


_LINES: dict[str, Callable[[Literal], bytes]] = {
    "decimal-line": _plain,
    "float-line": _plain,
    "id-line": _plain,
    "name-pair": _plain,
    "long-line": _long_line,
    "string-line": _string_line,
    "unicode-line": _unicode_line,
}
