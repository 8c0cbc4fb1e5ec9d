"""An inflater that failed, and the bytes that it failed on, become what they hold in front of the damage.

A library that finds damage gives nothing of the step in which it found it. Those who read a compressed file bit by bit, as `pickle.load(gzip.open(...))` does,
have seen more by then: a checksum stands behind all that it is of. What they have seen is judged, so that a payload in it is named (law 4); the file is refused
already, and nothing here is ever loaded. Refuses nothing: what does not come out is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Protocol

STEP_BYTES = 16  # that come out at once: less than any payload, which needs a module's and a function's name


class Inflater(Protocol):
    """The interface that `bz2.BZ2Decompressor` and `lzma.LZMADecompressor` have in common."""

    @property
    def eof(self) -> bool:
        """Is the stream at its end?"""

    @property
    def needs_input(self) -> bool:
        """Can nothing more come out of what was put in?"""

    @property
    def unused_data(self) -> bytes:
        """What was put in and stands behind the stream's end."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Put more in; at most `max_length` bytes come out at once."""


class Zlib:
    """zlib's own object, with that interface."""

    def __init__(self, inflater: Any) -> None:
        self._inflater = inflater
        self._left = b""

    @property
    def eof(self) -> bool:
        """Is the stream at its end?"""
        return bool(self._inflater.eof)

    @property
    def needs_input(self) -> bool:
        """Is nothing left of what was put in?"""
        return not self._left

    @property
    def unused_data(self) -> bytes:
        """What was put in and stands behind the stream's end."""
        return bytes(self._inflater.unused_data)

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Put more in, behind what is left."""
        part = self._inflater.decompress(self._left + data, max_length)
        self._left = self._inflater.unconsumed_tail
        return bytes(part)


def salvaged(inflater: Inflater, failure: type[Exception], before: Iterable[bytes], chunk: bytes, step_bytes: int, check_time: Callable[[], None]) -> bytes:
    """What a fresh inflater makes of `chunk` until it fails, where the bytes `before` went well. Time and memory are those of the first reading."""
    for passed in before:
        inflater.decompress(passed, step_bytes)
        while not inflater.needs_input and not inflater.eof:
            inflater.decompress(b"", step_bytes)
        check_time()
    out = bytearray()
    with suppress(failure):
        for at in range(len(chunk)):
            out += inflater.decompress(chunk[at : at + 1], STEP_BYTES)
            while not inflater.needs_input and not inflater.eof:
                out += inflater.decompress(b"", STEP_BYTES)
            if not at % 4096:
                check_time()
    return bytes(out)
