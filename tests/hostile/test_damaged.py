"""A payload in a file that is refused for its damage is named all the same: other readers run it before they find the damage."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import lz4.frame
import pytest
import zstandard

import safeload
from safeload.formats.legacy import MAGIC_NUMBER, PROTOCOL_VERSION

PAYLOAD = b"cposix\nsystem\n(S'true'\ntR."
HONEST = pickle.dumps({"weights": [1.0, 2.0] * 50}, 2)
FILLER = bytes(200_000)
CODECS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "lz4": lambda data: lz4.frame.compress(data, content_checksum=True),
}
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "the trailer is cut": lambda data: data[:-2],
    "the trailer is wrong": lambda data: data[:-6] + bytes(byte ^ 0xFF for byte in data[-6:]),
    "junk follows": lambda data: data + b"junk",
}


def scan(data: bytes, policy: str = "checkpoint") -> safeload.Report:
    return safeload.scan(io.BytesIO(data), policy=policy)


def rules(report: safeload.Report) -> set[str]:
    return {finding.rule for finding in report.findings}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("filler", [b"", FILLER], ids=["short", "long"])
def test_compressed(codec: str, damage: str, filler: bytes) -> None:
    spoil = DAMAGES[damage]
    report = scan(spoil(CODECS[codec](PAYLOAD + filler)))
    assert report.verdict == "rejected", report
    assert [use.global_name for use in report.globals] == ["posix.system"]
    assert rules(report) >= {"SL301"}
    assert rules(report) & {"SL004", "SL117"}
    with pytest.raises(safeload.CheckpointError):
        safeload.load(io.BytesIO(spoil(CODECS[codec](PAYLOAD + filler))))
    # an honest one is only damaged
    report = scan(spoil(CODECS[codec](HONEST)))
    assert report.verdict == "inconclusive", report
    assert rules(report) <= {"SL004", "SL117"}


def test_damage_within_damage() -> None:
    report = scan(gzip.compress(bz2.compress(PAYLOAD + FILLER)[:-3])[:-3])
    assert report.verdict == "rejected"
    assert [use.global_name for use in report.globals] == ["posix.system"]


def test_depth_is_bounded() -> None:
    data = PAYLOAD
    for _ in range(40):
        data = gzip.compress(data)[:-8]
    assert scan(data).verdict == "inconclusive"


def zipped(data: bytes, method: int, spoil: bool) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3\n")
    crc = zlib.crc32(data).to_bytes(4, "little")
    whole = out.getvalue()
    assert whole.count(crc) == 2
    return whole.replace(crc, b"\x01\x02\x03\x04") if spoil else whole


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_with_a_wrong_crc(method: int) -> None:
    """torch's zip reader compares no CRC-32, and zipfile compares it behind the last byte."""
    report = scan(zipped(PAYLOAD, method, spoil=True))
    assert report.verdict == "rejected"
    assert rules(report) == {"SL115", "SL301"}
    assert report.globals[0].places[0][0] == "archive/data.pkl"
    assert scan(zipped(HONEST, method, spoil=True)).verdict == "inconclusive"
    assert scan(zipped(HONEST, method, spoil=False)).verdict == "accepted"


def pickled(value: Any) -> bytes:
    return pickle.dumps(value, 2)


MAGIC, VERSION, INFO, KEYS = pickled(MAGIC_NUMBER), pickled(PROTOCOL_VERSION), pickled({"little_endian": True}), pickled([])


@pytest.mark.parametrize(
    "streams",
    [
        (MAGIC, pickled(1002), INFO, PAYLOAD, KEYS),
        (MAGIC, pickled("1001"), INFO, PAYLOAD, KEYS),
        (MAGIC, VERSION, pickled([]), PAYLOAD, KEYS),
        (MAGIC, PAYLOAD, INFO, HONEST, KEYS),
        (MAGIC, VERSION, PAYLOAD, HONEST, KEYS),
        (MAGIC, VERSION, INFO, HONEST, PAYLOAD),
        (MAGIC, VERSION, INFO, PAYLOAD, pickled(["0"])),
        (MAGIC, VERSION, INFO, PAYLOAD, KEYS[:-1]),
        (MAGIC, VERSION, INFO, PAYLOAD, b""),
        (MAGIC, pickled(1002), INFO, PAYLOAD[:-1]),
        (MAGIC, pickled(1002), PAYLOAD),
    ],
)
def test_a_save_that_does_not_fit_together(streams: tuple[bytes, ...]) -> None:
    report = scan(b"".join(streams))
    assert report.verdict == "rejected", report
    assert [use.global_name for use in report.globals] == ["posix.system"]
    assert {rule for rule in rules(report) if rule != "SL301"}, "the damage is told, too"


def test_an_honest_save_that_does_not_fit_together() -> None:
    for streams in ((MAGIC, pickled(1002), INFO, HONEST, KEYS), (MAGIC, VERSION, INFO, HONEST, pickled(["0"]))):
        assert scan(b"".join(streams)).verdict == "inconclusive"
