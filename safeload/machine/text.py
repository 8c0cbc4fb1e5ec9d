"""The arguments of protocol 0: one line of text becomes an int, a float, a str or bytes.

Refuses what `_pickle.c` refuses, and numbers longer than the budget (int() of a long decimal is quadratic).
"""

from __future__ import annotations

import re

from safeload.budget import exceeded
from safeload.errors import StreamError
from safeload.limits import Limits

BITS_PER_DIGIT = 3.33  # a little more than log2(10)


def line(data: bytes, start: int, member: str | None, at: int, *, framed: bool = False) -> tuple[bytes, int]:
    """The bytes up to the next newline, and where the next opcode starts. `data` ends with the frame, where there is one."""
    end = data.find(b"\n", start)
    if end < 0 and framed:
        raise StreamError("a text argument crosses the end of its frame", rule="SL204", member=member, offset=at)
    if end < 0:
        raise StreamError("a text argument has no end of line", rule="SL202", member=member, offset=at)
    return data[start:end], end + 1


def integer(text: bytes, limits: Limits, member: str | None, at: int) -> int:
    """INT and LONG: what `int(text, 0)` takes, so `0x10` and `-1` too; LONG's trailing `L` is off already."""
    if len(text) * BITS_PER_DIGIT > limits.integer_bytes * 8 + 64:
        raise exceeded("integer_bytes", limits.integer_bytes, f"an integer has {len(text):,} characters, longer", member, at)
    try:
        return int(text.decode("ascii"), 0)
    except ValueError:
        raise StreamError(f"{text[:40]!a} is not an integer", rule="SL201", member=member, offset=at) from None


def memo_index(text: bytes, limits: Limits, member: str | None, at: int) -> int:
    """GET and PUT: decimal digits. `int(line)` in CPython, base 10, so `0x3` names no slot."""
    if not text.isdigit() or len(text) > 20:
        raise StreamError(f"{text[:40]!a} is no memo index", rule="SL201", member=member, offset=at)
    return int(text)


def floating(text: bytes, member: str | None, at: int) -> float:
    """FLOAT: what PyOS_string_to_double takes, which knows no underscores and no blanks, unlike float()."""
    if b"_" not in text and text.strip() == text and len(text) < 1_000:
        try:
            return float(text)
        except ValueError:
            pass
    raise StreamError(f"{text[:40]!a} is not a floating point number", rule="SL201", member=member, offset=at)


def quoted(text: bytes, member: str | None, at: int) -> bytes:
    r"""STRING: a Python 2 string literal, `'it\'s'`, with the escapes of a bytes literal."""
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise StreamError("the argument of STRING is not quoted", rule="SL201", member=member, offset=at)
    return _unescape(text[1:-1], member, at)


_STORAGE_ID = (  # of protocol 0, which few files have: compiled where it is asked first
    r"\('storage', <class '(?P<module>torch(?:\.[a-z_]+){0,4})\.(?P<name>[A-Za-z0-9]+Storage)'>, '(?P<key>[^'\\]*)', '(?P<location>[^'\\]*)', "
    r"(?P<numel>[0-9]{1,19})L?(?:, (?:None|\('(?P<view>[^'\\]*)', (?P<offset>[0-9]{1,19})L?, (?P<length>[0-9]{1,19})L?\)))?\)"
)


def storage_id(text: str) -> re.Match[str] | None:
    """PERSID of a torch storage. Protocol 0 has room for text alone, so CPython's pickler writes `str()` of the tuple that torch gives it.

    torch cannot read it back (it asserts a tuple); the one form that such a text can have says all that the tuple did. None for any other text.
    """
    return re.fullmatch(_STORAGE_ID, text)


SIMPLE_ESCAPES = {
    b"\\"[0]: b"\\",
    b"'"[0]: b"'",
    b'"'[0]: b'"',
    b"a"[0]: b"\a",
    b"b"[0]: b"\b",
    b"f"[0]: b"\f",
    b"n"[0]: b"\n",
    b"r"[0]: b"\r",
    b"t"[0]: b"\t",
    b"v"[0]: b"\v",
}


def _unescape(text: bytes, member: str | None, at: int) -> bytes:
    """Bytes-literal escapes as `_PyBytes_DecodeEscape` reads them: `\\xHH` needs two digits, octal takes one to three, unknown ones stand as they are."""
    if b"\\" not in text:
        return text
    out = bytearray()
    position = 0
    while (slash := text.find(b"\\", position)) >= 0:
        out += text[position:slash]
        code = text[slash + 1 : slash + 2]
        if not code:
            raise StreamError("the argument of STRING ends in a backslash", rule="SL201", member=member, offset=at)
        if code[0] in SIMPLE_ESCAPES:
            out += SIMPLE_ESCAPES[code[0]]
            position = slash + 2
        elif code == b"x":
            digits = text[slash + 2 : slash + 4]
            if len(digits) != 2 or any(digit not in b"0123456789abcdefABCDEF" for digit in digits):
                raise StreamError("the argument of STRING holds a malformed \\x escape", rule="SL201", member=member, offset=at)
            out.append(int(digits, 16))
            position = slash + 4
        elif code in b"01234567":
            end = slash + 2
            while end < slash + 4 and text[end : end + 1] and text[end : end + 1] in b"01234567":
                end += 1
            out.append(int(text[slash + 1 : end], 8) & 0xFF)
            position = end
        else:
            out += b"\\" + code
            position = slash + 2
    out += text[position:]
    return bytes(out)


def raw_unicode(text: bytes, member: str | None, at: int) -> str:
    """UNICODE: raw-unicode-escape, as every protocol 0 pickler writes it."""
    try:
        return text.decode("raw-unicode-escape")
    except UnicodeDecodeError as error:
        raise StreamError(f"the argument of UNICODE is malformed: {error.reason}", rule="SL201", member=member, offset=at) from None


def name(text: bytes, limits: Limits, member: str | None, at: int) -> str:
    """A module or a qualified name of GLOBAL and INST: UTF-8, never unescaped (pickletools unescapes it and so reports other names)."""
    if not text:
        raise StreamError("the name of a global is empty", rule="SL201", member=member, offset=at)
    if len(text) > limits.global_name_bytes:
        raise exceeded("global_name_bytes", limits.global_name_bytes, f"a name has {len(text):,} bytes, longer", member, at)
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raise StreamError("the name of a global is not UTF-8", rule="SL201", member=member, offset=at) from None
