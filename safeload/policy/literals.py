"""Calls whose result is an immutable plain value: judged by computing it, with our own code, from arguments that are plain data.

Turns `datetime.date(b"\\x07\\xcf\\x0c\\x1f")`, `torch.Size((2, 3))`, `pathlib.PosixPath("a", "b")` ... into the value that they stand for; `rebuild` takes it
from here and does not compute it again. Every function checks its arguments in full and raises `BadArguments`; none resolves a name,
and none hands unchecked arguments to a constructor of the standard library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from safeload.values import Device, TorchName

if TYPE_CHECKING:
    import datetime as dt
    import decimal
    import fractions
    import pathlib

Args = tuple[Any, ...]
_Made = TypeVar("_Made")


class BadArguments(ValueError):
    """The arguments do not make such a value; the message says what is wrong with them."""


def latin1_bytes(args: Args) -> bytes:
    """`_codecs.encode(text, "latin1")`: how protocol 2 spells bytes. No other codec: `_codecs` would import `encodings.<name>`."""
    if len(args) == 2 and type(args[0]) is str and args[1] in ("latin1", "latin-1") and type(args[1]) is str:
        try:
            return args[0].encode("latin-1")
        except UnicodeEncodeError:
            raise BadArguments("the text is not latin-1") from None
    raise BadArguments("only (str, 'latin1') makes bytes here")


def empty_bytes(args: Args) -> bytes:
    """`bytes()`: how protocol 2 spells `b""`. `bytes(n)` would allocate n bytes, so nothing else passes but bytes themselves."""
    if not args:
        return b""
    if len(args) == 1 and type(args[0]) is bytes:
        return args[0]
    raise BadArguments("bytes() takes nothing, or bytes")


def complex_number(args: Args) -> complex:
    """`complex(real, imag)` of two floats."""
    if len(args) == 2 and all(type(arg) is float for arg in args):
        return complex(args[0], args[1])
    raise BadArguments("complex() takes two floats")


def size(args: Args) -> tuple[int, ...]:
    """`torch.Size((2, 3))`: a plain tuple of ints."""
    if len(args) == 1 and type(args[0]) in (tuple, list) and all(type(item) is int for item in args[0]) and len(args[0]) <= 128:
        return tuple(args[0])
    raise BadArguments("torch.Size takes one tuple of ints")


def device(args: Args) -> Device:
    """`torch.device("cuda", 1)`, `torch.device("cpu")`; `torch.device("cuda:1")` too."""
    if args and type(args[0]) is str and len(args) <= 2 and len(args[0]) <= 64:
        kind, _, index = args[0].partition(":")
        if len(args) == 2 and (type(args[1]) is int or args[1] is None) and not index:
            if args[1] is None or 0 <= args[1] < 1 << 15:
                return Device(kind, args[1])
        elif len(args) == 1 and kind.isidentifier() and (not index or (index.isdecimal() and index.isascii() and len(index) < 6)):
            return Device(kind, int(index) if index else None)
    raise BadArguments("torch.device takes a type and an optional index")


LAYOUTS = ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "_mkldnn", "jagged")


def layout(args: Args) -> TorchName:
    """`torch.serialization._get_layout("torch.sparse_coo")`."""
    if len(args) == 1 and type(args[0]) is str and args[0].removeprefix("torch.") in LAYOUTS and args[0].startswith("torch."):
        return TorchName("layout", args[0].removeprefix("torch."))
    raise BadArguments(f"a layout is one of {', '.join('torch.' + name for name in LAYOUTS)}")


def torch_version(args: Args) -> str:
    """`TorchVersion("2.1.0")`: the plain str."""
    if len(args) == 1 and type(args[0]) is str:
        return args[0]
    raise BadArguments("TorchVersion takes one str")


def date(args: Args) -> dt.date:
    """`datetime.date(state)`, four bytes: year high and low, month, day (CPython, `Modules/_datetimemodule.c`)."""
    import datetime

    state = _state(args[0] if len(args) == 1 else None, 4)
    return _checked(lambda: datetime.date(state[0] * 256 + state[1], state[2], state[3]))


def time(args: Args) -> dt.time:
    """`datetime.time(state[, tzinfo])`, six bytes; the fold is the high bit of the hour."""
    import datetime

    state, zone = _state(args[0] if args else None, 6), _zone(args)
    hour, fold = state[0] & 0x7F, state[0] >> 7
    return _checked(lambda: datetime.time(hour, state[1], state[2], int.from_bytes(state[3:6], "big"), zone, fold=fold))


def datetime_(args: Args) -> dt.datetime:
    """`datetime.datetime(state[, tzinfo])`, ten bytes; the fold is the high bit of the month."""
    import datetime

    state, zone = _state(args[0] if args else None, 10), _zone(args)
    month, fold = state[2] & 0x7F, state[2] >> 7
    year, microsecond = state[0] * 256 + state[1], int.from_bytes(state[7:10], "big")
    return _checked(lambda: datetime.datetime(year, month, state[3], state[4], state[5], state[6], microsecond, zone, fold=fold))


def timedelta(args: Args) -> dt.timedelta:
    """`datetime.timedelta(days, seconds, microseconds)` of ints in their normal ranges."""
    import datetime

    if len(args) == 3 and all(type(arg) is int for arg in args) and abs(args[0]) <= 999_999_999 and 0 <= args[1] < 86_400 and 0 <= args[2] < 1_000_000:
        return datetime.timedelta(*args)
    raise BadArguments("timedelta takes days, seconds and microseconds in their normal ranges")


def timezone(args: Args) -> dt.timezone:
    """`datetime.timezone(offset[, name])`."""
    import datetime

    if 1 <= len(args) <= 2 and type(args[0]) is datetime.timedelta and all(type(arg) is str for arg in args[1:]):
        return _checked(lambda: datetime.timezone(*args))
    raise BadArguments("timezone takes a timedelta and an optional name")


def decimal_(args: Args) -> decimal.Decimal:
    """`decimal.Decimal("1.10")`."""
    import decimal

    if len(args) == 1 and type(args[0]) is str and len(args[0]) <= 2_000:
        try:
            return decimal.Decimal(args[0])
        except decimal.InvalidOperation:
            pass
    raise BadArguments("Decimal takes one decimal number as text")


def fraction(args: Args) -> fractions.Fraction:
    """`fractions.Fraction("3/7")` (Python before 3.12) or `Fraction(3, 7)`."""
    import fractions

    if len(args) == 1 and type(args[0]) is str and len(args[0]) <= 2_000:
        numerator, slash, denominator = args[0].partition("/")
        if _is_integer(numerator) and (not slash or (denominator.isascii() and denominator.isdecimal() and int(denominator) > 0)):
            return fractions.Fraction(int(numerator), int(denominator or 1))
    if len(args) == 2 and all(type(arg) is int for arg in args) and args[1] > 0:
        return fractions.Fraction(args[0], args[1])
    raise BadArguments("Fraction takes 'n/d' or (n, d) with d > 0")


def slice_(args: Args) -> slice:
    """`slice(start, stop, step)` of ints or None."""
    if len(args) == 3 and all(arg is None or type(arg) is int for arg in args):
        return slice(*args)
    raise BadArguments("slice takes three ints or None")


def range_(args: Args) -> range:
    """`range(start, stop, step)` of ints."""
    if len(args) == 3 and all(type(arg) is int for arg in args) and args[2] != 0:
        return range(*args)
    raise BadArguments("range takes three ints, the last one not 0")


def posix_path(args: Args) -> pathlib.PurePosixPath:
    """`pathlib.PosixPath(*parts)` as a pure path, which cannot touch a file system."""
    import pathlib

    return pathlib.PurePosixPath(*_parts(args))


def windows_path(args: Args) -> pathlib.PureWindowsPath:
    """`pathlib.WindowsPath(*parts)` as a pure path, readable on every system."""
    import pathlib

    return pathlib.PureWindowsPath(*_parts(args))


def _parts(args: Args) -> Args:
    if all(type(arg) is str for arg in args):
        return args
    raise BadArguments("a path takes its parts as text")


def _is_integer(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdecimal()


def _state(value: Any, length: int) -> bytes:
    if type(value) is str:  # a Python 2 writer, read with encoding="latin1"
        try:
            value = value.encode("latin-1")
        except UnicodeEncodeError:
            value = None
    if type(value) is bytes and len(value) == length:
        return value
    raise BadArguments(f"the state is not {length} bytes")


def _zone(args: Args) -> dt.timezone | None:
    import datetime

    if len(args) == 1 or (len(args) == 2 and args[1] is None):
        return None
    if len(args) == 2 and type(args[1]) is datetime.timezone:
        return args[1]
    raise BadArguments("the time zone is no datetime.timezone")


def _checked(make: Callable[[], _Made]) -> _Made:
    try:
        return make()
    except (ValueError, OverflowError) as error:
        raise BadArguments(str(error)) from None
