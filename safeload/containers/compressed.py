"""A compressed file becomes the source of the bytes in it: gzip, zlib, bzip2, xz, lzma, zstandard and lz4, in private memory.

The libraries inflate; this module says how much: bytes are counted while they come out, against `inflated_bytes` and `compression_ratio`, so a bomb costs
what the budget allows and no more. Streams behind each other are one file, as the tools write and read them. Refuses a stream that is broken or ends early, and
bytes that belong to no stream (SL117): padding, and the skippable frames of zstandard and lz4, which hold whatever their writer liked and no reader sees.
Refuses dictionaries beyond `dictionary_bytes` (SL901). Every byte is accounted for: the inflater took it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from safeload.budget import Budget, exceeded
from safeload.containers.inflate import RATIO_FLOOR_BYTES
from safeload.containers.salvage import Inflater, Zlib, salvaged
from safeload.errors import CheckpointError, ContainerError, UnsupportedFormat
from safeload.limits import KIB, MIB, Limits
from safeload.source import ByteSource

FIRST_CHUNK_BYTES = 4 * KIB  # of a stream read at first: a file may hold very many short ones
CHUNK_BYTES = 256 * KIB  # of the file read at once
OUTPUT_BYTES = 1 * MIB  # inflated at once, by libraries that can be told so
ZSTD_INPUT_BYTES = 1 * KIB  # zstandard cannot; a block of 4 bytes gives up to 128 KiB (RFC 8878, 3.1.1.2.4), so this gives 32 MiB at most
ZSTD_HEADER_BYTES = 18  # zstd.h, ZSTD_FRAMEHEADERSIZE_MAX
GZIP_WINDOW, ZLIB_WINDOW = 31, 15  # zlib.decompressobj: the largest window, and 16 for a gzip header
XZ_MEMORY_BYTES = (1, (1 << 64) - 1)  # least and most that liblzma can be told (lzma/container.h, a uint64)
ZSTD_WINDOW_BYTES = (1 << 10, 1 << 31)  # the same for zstandard (zstd.h, ZSTD_WINDOWLOG_ABSOLUTEMIN and ZSTD_WINDOWLOG_MAX_64)


Started = tuple[Inflater, type[Exception]]  # an inflater, and what it raises for a broken stream


class Codec(msgspec.Struct, frozen=True):
    """One compression: how it is recognised, and what starts an inflater. `joined`: the tools write several streams behind each other as one file."""

    name: str
    signature: re.Pattern[bytes]
    start: Callable[[Limits], Started]
    joined: bool = True


class _Zstd:
    """zstandard's object gives all that its input holds at once; what bounds it is how little it gets (`ZSTD_INPUT_BYTES`).

    A frame that declares a length and holds nothing ends quietly in a stream, and is an error where it is inflated at once; here it is one, too.
    """

    def __init__(self, inflater: Any, library: Any) -> None:
        self._inflater = inflater
        self._library = library
        self._left = memoryview(b"")
        self._declared: int | None = None  # bytes; -1: the frame does not say
        self._given = 0

    @property
    def eof(self) -> bool:
        return bool(self._inflater.eof)

    @property
    def needs_input(self) -> bool:
        return not self._left

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inflater.unused_data) + bytes(self._left)

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        left = memoryview(data) if data else self._left
        if self._declared is None:
            with suppress(self._library.ZstdError):  # a header that is cut or broken, which the inflater says better
                self._declared = self._library.frame_content_size(bytes(left[:ZSTD_HEADER_BYTES]))
        self._left = left[ZSTD_INPUT_BYTES:]
        part = bytes(self._inflater.decompress(left[:ZSTD_INPUT_BYTES]))
        self._given += len(part)
        if self.eof and self._declared not in (None, -1, self._given):
            raise self._library.ZstdError(f"the frame declares {self._declared:,} bytes and holds {self._given:,}")
        return part


def _zlib(window: int) -> Callable[[Limits], Started]:
    def start(limits: Limits) -> Started:
        import zlib

        return Zlib(zlib.decompressobj(window)), zlib.error

    return start


def _bz2(limits: Limits) -> Started:
    import bz2

    return bz2.BZ2Decompressor(), OSError


def _lzma(*, alone: bool) -> Callable[[Limits], Started]:
    def start(limits: Limits) -> Started:
        import lzma

        memory = _within(limits.dictionary_bytes, XZ_MEMORY_BYTES)
        return lzma.LZMADecompressor(lzma.FORMAT_ALONE if alone else lzma.FORMAT_XZ, memlimit=memory), lzma.LZMAError

    return start


def _zstd(limits: Limits) -> Started:
    try:
        import zstandard
    except ImportError:
        raise _missing("zstandard", "zstd") from None
    window = _within(limits.dictionary_bytes, ZSTD_WINDOW_BYTES)
    return _Zstd(zstandard.ZstdDecompressor(max_window_size=window).decompressobj(), zstandard), zstandard.ZstdError


def _lz4(limits: Limits) -> Started:
    try:
        import lz4.frame
    except ImportError:
        raise _missing("lz4", "lz4") from None
    return lz4.frame.LZ4FrameDecompressor(), RuntimeError


def _within(limit: int, allowed: tuple[int, int]) -> int:
    """A limit of ours as a number that the library takes."""
    return max(allowed[0], min(limit, allowed[1]))


def _missing(name: str, extra: str) -> UnsupportedFormat:
    return UnsupportedFormat(f"the file is compressed with {name}, which needs a library: pip install 'safeload[{extra}]'", rule="SL002")


CODECS: tuple[Codec, ...] = (
    Codec("gzip", re.compile(rb"\x1f\x8b\x08"), _zlib(GZIP_WINDOW)),
    Codec("xz", re.compile(rb"\xfd7zXZ\0"), _lzma(alone=False)),
    # `]` opens pickles too, but a zero byte is no opcode: properties of 3/0/2, a dictionary of a multiple of 256 bytes
    Codec("lzma", re.compile(rb"]\0"), _lzma(alone=True), joined=False),
    # `B` is BINBYTES: a block, or the end of an empty stream, has to follow
    Codec("bzip2", re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"), _bz2),
    # deflate with a window of 32 KiB, and the four levels that make the two bytes a multiple of 31 (RFC 1950)
    Codec("zlib", re.compile(rb"x[\x01\x5e\x9c\xda]"), _zlib(ZLIB_WINDOW), joined=False),
    Codec("zstd", re.compile(rb"\x28\xb5\x2f\xfd"), _zstd),
    Codec("lz4", re.compile(rb"\x04\x22\x4d\x18"), _lz4),
)
"""In the order in which they are asked. No signature is the start of a pickle that any unpickler takes."""
SIGNATURE_BYTES = 16  # more than the longest of them


def codec_of(head: bytes) -> Codec | None:
    """The codec whose stream begins with these bytes."""
    return next((codec for codec in CODECS if codec.signature.match(head)), None)


def inflate(source: ByteSource, codec: Codec, limits: Limits, budget: Budget) -> ByteSource:
    """All that the file holds, inflated: a source of its own, under the same name. An error has what came before it as its `partial`."""
    out = bytearray()
    try:
        _streams(source, codec, out, limits, budget)
    except CheckpointError as error:
        if out:
            error.partial = ByteSource(name=source.name, size=len(out), buffer=out)
        raise
    return ByteSource(name=source.name, size=len(out), buffer=out)


def _streams(source: ByteSource, codec: Codec, out: bytearray, limits: Limits, budget: Budget) -> None:
    position = 0
    while position < source.size:
        if position and not (codec.joined and codec.signature.match(source.read(position, min(SIGNATURE_BYTES, source.size - position)))):
            raise ContainerError(f"{source.size - position:,} bytes follow the {codec.name} stream and are no other", rule="SL117", offset=position)
        position = _stream(source, codec, position, out, limits, budget)


def _stream(source: ByteSource, codec: Codec, position: int, out: bytearray, limits: Limits, budget: Budget) -> int:
    """Inflate the one stream that begins at `position` into `out`; returns where it ends."""
    start, length, fed, whole = position, FIRST_CHUNK_BYTES, position, len(out)  # `fed`: where the last chunk began; `whole`: what came out before it
    inflater, failure = codec.start(limits)
    while not inflater.eof:
        chunk, starved = b"", inflater.needs_input
        if starved and position < source.size:
            chunk = source.read(position, min(length, source.size - position))
            fed, whole = position, len(out)
            position += len(chunk)
            length = min(2 * length, CHUNK_BYTES)
        try:
            part = inflater.decompress(chunk, OUTPUT_BYTES)
        except failure as error:
            del out[whole:]
            out += _before(source, codec, start, fed, position, limits, budget)
            raise _broken(codec, str(error), start, limits) from None
        if starved and not (chunk or part or inflater.eof):
            raise ContainerError(f"the {codec.name} stream does not end: the file is cut short, it holds {source.size:,} bytes", rule="SL004", offset=start)
        out += part
        _spend(len(part), len(out), source.size, limits, budget)
    return position - len(inflater.unused_data or b"")


def _before(source: ByteSource, codec: Codec, start: int, fed: int, end: int, limits: Limits, budget: Budget) -> bytes:
    """What the bytes from `fed` to `end`, in which the damage is, hold in front of it."""
    inflater, failure = codec.start(limits)
    passed = (source.read(at, min(CHUNK_BYTES, fed - at)) for at in range(start, fed, CHUNK_BYTES))
    return salvaged(inflater, failure, passed, source.read(fed, end - fed), OUTPUT_BYTES, budget.check_time)


def _spend(fresh: int, total: int, file_bytes: int, limits: Limits, budget: Budget) -> None:
    """Count what came out, before more does. The ratio is that of the whole file: honest ones may begin with any number of zeros."""
    budget.inflated_bytes += fresh
    if budget.inflated_bytes > limits.inflated_bytes:
        raise exceeded("inflated_bytes", limits.inflated_bytes, f"the file inflates to {budget.inflated_bytes:,} bytes and more, beyond")
    if total > RATIO_FLOOR_BYTES and total > file_bytes * limits.compression_ratio:
        raise exceeded("compression_ratio", limits.compression_ratio, f"{file_bytes:,} bytes inflate to {total:,} and more, a higher ratio")
    budget.check_time()


def _broken(codec: Codec, why: str, start: int, limits: Limits) -> CheckpointError:
    if "memory" in why.lower():  # so xz and zstandard name a dictionary beyond the limit that they were given
        return exceeded("dictionary_bytes", limits.dictionary_bytes, f"the {codec.name} stream wants a larger dictionary", None, start)
    return ContainerError(f"the {codec.name} stream is broken: {why[:100]}", rule="SL117", offset=start)
