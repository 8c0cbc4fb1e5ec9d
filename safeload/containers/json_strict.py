"""JSON text becomes plain values, or a reason why not: what two readers could take differently is refused.

RFC 8259 leaves duplicate names, numbers beyond 64 bits and lone surrogates to the reader, and Python's reader also takes NaN. Refused here: all four, numbers
with a fraction or an exponent where `floats` is off, and nesting deeper than the reader's own recursion allows.
"""

from __future__ import annotations

from typing import Any

MAX_DIGITS = 20  # of a whole number: 2**64 has 20


class BadJson(ValueError):
    """Why the text is refused; the caller adds the place."""


def parse(raw: bytes, *, floats: bool = False) -> Any:
    """The value of one JSON text in UTF-8, without a byte order mark. Raises `BadJson`."""
    import json

    try:
        text = raw.decode("utf-8")
        if text.startswith("\ufeff"):
            raise BadJson("it starts with a byte order mark")
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=float if floats else _refused,
            parse_constant=_refused,
        )
    except UnicodeDecodeError as error:
        raise BadJson(f"it is not UTF-8: {error.reason}") from None
    except RecursionError:
        raise BadJson("it nests too deep") from None
    except json.JSONDecodeError as error:
        raise BadJson(f"{error.msg} at character {error.pos:,}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadJson("an object has the same name twice")
    for name in found:
        if not name.isascii():
            try:
                name.encode("utf-8")
            except UnicodeEncodeError:
                raise BadJson("a name holds half of a surrogate pair") from None
    return found


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise BadJson(f"a number of {len(digits):,} digits")
    return int(digits)


def _refused(text: str) -> Any:
    raise BadJson(f"the number {text[:20]!a}, where a whole one is expected")
