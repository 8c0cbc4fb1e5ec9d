"""The argument of an `Instruction` becomes text for people: escaped, on one line, cut. For showing only."""

from __future__ import annotations

from codecs import utf_8_decode

from safeload.escape import ELLIPSIS, escape, quoted
from safeload.opcodes.decode import Instruction

MAX_ARGUMENT = 60  # characters of an argument in its column
MAX_INT_BYTES = 16  # longer integers are described: str() of one is quadratic, and CPython stops at 4,300 digits


def shown_argument(instruction: Instruction) -> str:
    """The argument for its column: escaped, at most about `MAX_ARGUMENT` characters, empty where there is none."""
    argument = instruction.argument
    if argument is None:
        return ""
    if isinstance(argument, tuple):
        return " ".join(shown_bytes(part) for part in argument)
    if isinstance(argument, bytes):
        return shown_literal(instruction) if instruction.op.effect == "literal" else shown_bytes(argument)
    return repr(argument)


def shown_literal(instruction: Instruction) -> str:
    """What a literal opcode pushes, as a Python literal where it can be read, else the raw argument."""
    op, raw = instruction.op, instruction.argument
    if raw is None:
        return {"NEWTRUE": "True", "NEWFALSE": "False"}.get(op.name, "None")
    if not isinstance(raw, bytes):
        return repr(raw)
    kind = op.argument
    if kind.form == "line":
        return _line_literal(kind.name, raw)
    if kind.content == "int":
        return str(int.from_bytes(raw, "little", signed=True)) if len(raw) <= MAX_INT_BYTES else f"<int of {len(raw):,} bytes>"
    if kind.content == "text":
        return _text_literal(raw)
    text = repr(raw[:MAX_ARGUMENT]) + (f"{ELLIPSIS} <{len(raw):,} bytes>" if len(raw) > MAX_ARGUMENT else "")
    return f"bytearray({text})" if op.name == "BYTEARRAY8" else text


def _text_literal(raw: bytes) -> str:
    """UTF-8 as a str literal; what is not UTF-8 as a bytes literal, which nobody takes for text."""
    head = raw[: 4 * (MAX_ARGUMENT + 1)]
    try:
        text, _ = utf_8_decode(head, "surrogatepass", len(head) == len(raw))
    except UnicodeDecodeError:
        return repr(head[:MAX_ARGUMENT])
    return quoted(text, MAX_ARGUMENT)


def _line_literal(kind: str, raw: bytes) -> str:
    if kind == "unicode-line":
        try:
            return quoted(raw[: 10 * (MAX_ARGUMENT + 1)].decode("raw-unicode-escape"), MAX_ARGUMENT)  # 10 bytes: the longest spelling of a character
        except UnicodeDecodeError:
            return shown_bytes(raw)
    return shown_bytes(raw.removesuffix(b"L") if kind == "long-line" else raw)


def shown_bytes(raw: bytes, limit: int = MAX_ARGUMENT) -> str:
    """Bytes of a name or a line as text: UTF-8 where they are, and never longer than `limit`."""
    return escape(raw[: 4 * (limit + 1)].decode("utf-8", "backslashreplace"), limit)
