"""The header of a 7z archive announces, and nothing is allocated for what it announces before that is held against the file's own size."""

from __future__ import annotations

import io
import lzma
import pickle
import tracemalloc
import zlib
from typing import Any

import pytest

import safeload
from safeload.containers.sevenzip_header import HEADER_FLOOR_BYTES, HEADER_RATIO, File
from safeload.limits import KIB, MIB
from safeload.source import ByteSource

py7zr = pytest.importorskip("py7zr", reason="py7zr is not installed: it is the extra 7z")

DICTIONARY = 1 << 16
LZMA, DEFLATE = b"\x03\x01\x01", b"\x04\x01\x08"
PROPERTIES = b"\x5d" + DICTIONARY.to_bytes(4, "little")
HEADER, MAIN, FILES, PACK, UNPACK, SUBSTREAMS, SIZE, FOLDER, CODERS, NUMBER, EMPTY, NAMES, ENCODED = (
    bytes([byte]) for byte in (1, 4, 5, 6, 7, 8, 9, 0x0B, 0x0C, 0x0D, 0x0E, 0x11, 0x17)
)
END = b"\0"


def number(value: int) -> bytes:
    """7z's UINT64: the first byte says by its leading ones how many follow."""
    for more in range(8):
        if value < 1 << (7 * (more + 1)):
            return bytes([(0xFF << (8 - more) & 0xFF) | value >> (8 * more)]) + (value & ((1 << 8 * more) - 1)).to_bytes(more, "little")
    return b"\xff" + value.to_bytes(8, "little")


def archive(header: bytes, body: bytes = b"") -> bytes:
    """A file with this header behind these bytes, both checksums right."""
    start = len(body).to_bytes(8, "little") + len(header).to_bytes(8, "little") + zlib.crc32(header).to_bytes(4, "little")
    return b"7z\xbc\xaf\x27\x1c\0\x04" + zlib.crc32(start).to_bytes(4, "little") + start + body + header


def folder(method: bytes = LZMA, properties: bytes = PROPERTIES) -> bytes:
    return number(1) + bytes([len(method) | (0x20 if properties else 0)]) + method + (number(len(properties)) + properties if properties else b"")


def packed(
    header: bytes, *, method: bytes = LZMA, properties: bytes = PROPERTIES, announced: int | None = None, at: int = 0, folders: int = 1, behind: bytes = b""
) -> bytes:
    """A file whose header is packed, with bytes that belong to nobody behind it, where there are to be any."""
    body = lzma.compress(header, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, "dict_size": DICTIONARY}])
    length = number(len(header) if announced is None else announced)
    streams = PACK + number(at) + number(1) + SIZE + number(len(body)) + END
    streams += UNPACK + FOLDER + number(folders) + END + folder(method, properties) * folders + CODERS + length * folders + END + END
    return archive(ENCODED + streams, body + behind)


def files(count: int) -> bytes:
    """So many empty files without a name."""
    bits = b"\xff" * (count // 8) + bytes([0xFF << (8 - count % 8) & 0xFF] * bool(count % 8))
    names = END + bytes(2 * count)
    return HEADER + FILES + number(count) + EMPTY + number(len(bits)) + bits + NAMES + number(len(names)) + names + END + END


def many_folders(count: int) -> bytes:
    """So many folders of one byte that is not packed, all from one stream."""
    streams = PACK + number(0) + number(1) + SIZE + number(0) + END + UNPACK + FOLDER + number(count) + END + (number(1) + b"\1\0") * count
    return HEADER + MAIN + streams + CODERS + number(0) * count + END + END + END


def many_streams(count: int) -> bytes:
    """One folder of so many empty streams."""
    streams = PACK + number(0) + number(1) + SIZE + number(0) + END + UNPACK + FOLDER + number(1) + END + number(1) + b"\1\0" + CODERS + number(0) + END
    return HEADER + MAIN + streams + SUBSTREAMS + NUMBER + number(count) + SIZE + number(0) * (count - 1) + END + END + END


def refusal(data: bytes, **limits: int) -> tuple[str, str]:
    """The rule and the sentence; and nothing was allocated to speak of, whatever was announced."""
    safeload.scan(data, limits=limits or None)
    tracemalloc.start()
    report = safeload.scan(data, limits=limits or None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.verdict == "inconclusive" and peak < MIB, peak
    (finding,) = report.errors
    return finding.rule, finding.message


def test_these_archives_are_read() -> None:
    """What the bombs are made of is well-formed: with little in it, it is refused for what it holds, and that is nothing."""
    for data in (archive(files(10)), packed(files(10)), packed(many_folders(3)), packed(many_streams(3)), packed(HEADER + END)):
        opened = py7zr.SevenZipFile(io.BytesIO(data))
        assert len(opened.files) in (0, 10)
    assert refusal(packed(files(10)))[0] == "SL113"  # they have no names


@pytest.mark.parametrize("count", [40_000, 1_000_000, 8_000_000])
def test_a_header_that_unpacks_to_many_times_the_file_is_not_unpacked(count: int) -> None:
    """500 bytes announced a million files, which cost py7zr half a GiB."""
    data = packed(files(count))
    assert len(data) < 3 * KIB
    rule, message = refusal(data)
    assert rule == "SL144" and f"its header announces {len(files(count)):,} bytes" in message


@pytest.mark.parametrize(("bomb", "what"), [(files, "files"), (many_folders, "folders"), (many_streams, "streams")])
def test_more_of_anything_than_the_file_has_bytes_is_not_believed(bomb: Any, what: str) -> None:
    data = packed(bomb(10_000))
    assert len(bomb(10_000)) < HEADER_FLOOR_BYTES and len(data) < 400
    assert refusal(data) == ("SL144", f"the 7z archive cannot be read: it announces 10,000 {what}, more than the {len(data)} bytes that it has")
    assert refusal(data, members=9_999)[0] == "SL901"


def test_a_header_at_the_ratio() -> None:
    """As much as a file of its size may have, and a byte more."""
    behind = bytes(10 * KIB)
    size = len(packed(HEADER + END, announced=1 << 19, behind=behind))
    for more in (0, 1):
        _, message = refusal(packed(HEADER + END, announced=HEADER_RATIO * size + more, behind=behind))
        assert (f"has {HEADER_RATIO * size:,} at most" in message) is bool(more), message


def test_what_packs_a_header_is_held_to_what_packs_members() -> None:
    for method, name in ((b"\x03\x04\x01", "PPMd"), (b"\x04\xf7\x11\x01", "Zstandard"), (b"\x7f", "7f, which nobody knows")):
        rule, message = refusal(packed(files(1), method=method))
        assert rule == "SL144" and f"its header is packed by the method {name}" in message
    assert "its header is packed by the method Deflate" in refusal(packed(files(1), method=DEFLATE, properties=b""))[1]  # py7zr reads members by it
    assert "encrypted, its names too" in refusal(packed(files(1), method=b"\x06\xf1\x07\x01"))[1]
    rule, message = refusal(packed(files(1), properties=b"\x5d" + (1 << 30).to_bytes(4, "little")))
    assert rule == "SL901" and "dictionary_bytes" in message


def test_headers_in_places_that_are_none() -> None:
    assert "into bytes that the file does not have" in refusal(packed(files(1), at=1 << 40))[1]
    assert "more pieces than one" in refusal(packed(files(1), folders=2))[1]
    assert "cut short" in refusal(archive(files(1))[:-1])[1]
    rule, message = refusal(archive(files(10)), directory_bytes=20)
    assert rule == "SL901" and "directory_bytes" in message


def one_member(body: bytes, method: bytes, said: int) -> bytes:
    """An archive of `a.pkl`, which is said to have so many bytes, packed into these."""
    streams = PACK + number(0) + number(1) + SIZE + number(len(body)) + END + UNPACK + FOLDER + number(1) + END + folder(method, b"") + CODERS + number(said)
    name = "a.pkl\0".encode("utf-16-le")
    return archive(HEADER + MAIN + streams + END + SUBSTREAMS + END + END + FILES + number(1) + NAMES + number(len(name) + 1) + END + name + END + END, body)


def test_a_member_that_inflates_to_more_than_it_is_said_to_hold() -> None:
    """py7zr gives zlib no bound: a MiB of deflated zeros was a GiB in memory, thrice, for a member of ten bytes."""
    content = pickle.dumps([1, 2, 3], 4)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = deflate.compress(content) + b"".join(deflate.compress(bytes(MIB)) for _ in range(256)) + deflate.flush()
    assert len(body) < 300 * KIB
    safeload.scan(one_member(body[:40], DEFLATE, len(content)))
    tracemalloc.start()
    report = safeload.scan(one_member(body, DEFLATE, len(content)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * MIB, (peak, report.verdict)


@pytest.mark.parametrize(
    "header",
    [
        HEADER + MAIN + END + END,
        HEADER + MAIN + UNPACK + END,
        HEADER + MAIN + UNPACK + FOLDER + number(1) + END + folder() + CODERS + number(1) + END + END + END,
        HEADER + MAIN + PACK + number(0) + number(0) + END + END + END,
        HEADER + MAIN + SUBSTREAMS + NUMBER + number(1),
        HEADER + MAIN + b"\x77",
        HEADER + b"\x77",
        b"\x77",
        HEADER,
        b"",
    ],
    ids=lambda header: header.hex() or "nothing",
)
def test_headers_without_some_of_their_parts_are_refused(header: bytes) -> None:
    for data in (archive(header), packed(header)):
        assert safeload.scan(data).verdict == "inconclusive"


def test_thousands_of_files_with_regular_names_are_no_bomb() -> None:
    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w") as made:
        for index in range(2_000):
            made.writestr(b"", f"layers/layer.{index:05d}.bin")
        made.writestr(pickle.dumps({"a": 1}), "a.pkl")
    report = safeload.scan(out.getvalue())
    assert report.verdict == "accepted", report.errors


def test_what_is_kept_is_read_once() -> None:
    """A mapped file can change under us: what was judged is what py7zr gets."""
    content = bytearray(range(200))
    file = File(ByteSource(name="x", size=200, buffer=content))
    assert file.keep(10, 50) == bytes(range(10, 60)) and file.keep(100, 20) == bytes(range(100, 120))
    content[:] = bytes(200)
    wanted = bytearray(200)
    wanted[10:60], wanted[100:120] = range(10, 60), range(100, 120)
    for start, end in ((0, 200), (0, 10), (5, 15), (20, 30), (55, 105), (110, 200), (199, 300)):
        file.seek(start)
        assert file.read(end - start) == wanted[start:end] and file.tell() == min(end, 200)
