"""7z archives: each member judged as the file that it is, in memory, within the budget; what cannot be judged is said, and never accepted."""

from __future__ import annotations

import gzip
import io
import pickle
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import safeload
from fuzz.guard import armed
from safeload.limits import MIB
from safeload.opcodes.assemble import assemble
from tests.formats.tarbuild import tar
from tests.formats.test_plain import npy, zipped

py7zr = pytest.importorskip("py7zr", reason="py7zr is not installed: it is the extra 7z")

PAYLOAD = assemble("PROTO 2\nGLOBAL posix mkdir\nBINUNICODE 'never'\nTUPLE1\nREDUCE\nSTOP")
GOOD = pickle.dumps({"a": [1, 2]}, 4)
COPY = [{"id": py7zr.FILTER_COPY}]


def sevenzip(files: dict[str, bytes], **options: Any) -> bytes:
    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w", **options) as archive:
        for name, data in files.items():
            archive.writef(io.BytesIO(data), name)
    return out.getvalue()


def rules(data: bytes, **options: Any) -> tuple[str, list[str]]:
    report = safeload.scan(data, **options)
    return report.verdict, [finding.rule for finding in report.errors]


def test_each_member_is_a_value() -> None:
    data = sevenzip({"readme.md": b"text", "a/one.pkl": GOOD, "w.npy": npy(), "empty": b""})
    report = safeload.scan(data)
    assert (report.verdict, report.format, report.bytes_accounted, report.bytes_total) == ("accepted", "7z", len(data), len(data))
    value = safeload.load(data)
    assert list(value) == ["a/one.pkl", "w.npy"] and value["a/one.pkl"] == {"a": [1, 2]}
    assert np.array_equal(value["w.npy"], np.arange(6.0).reshape(2, 3))
    with safeload.open(data) as checkpoint:
        assert checkpoint.keys() == ["w.npy"] and checkpoint.info("w.npy").file_offset is None


@pytest.mark.parametrize(
    "filters",
    [
        COPY,
        [{"id": py7zr.FILTER_LZMA2, "preset": 1}],
        [{"id": py7zr.FILTER_LZMA}],
        [{"id": py7zr.FILTER_X86}, {"id": py7zr.FILTER_LZMA2, "preset": 1}],
        [{"id": py7zr.FILTER_DELTA}, {"id": py7zr.FILTER_LZMA2, "preset": 1}],
        [{"id": py7zr.FILTER_BZIP2}],
        [{"id": py7zr.FILTER_DEFLATE}],
    ],
    ids=lambda filters: str(filters[0]["id"]),
)
def test_a_payload_is_named_by_every_method(filters: Any) -> None:
    report = safeload.scan(sevenzip({"good.pkl": GOOD, "m/evil.pkl": PAYLOAD, "last.txt": b"text"}, filters=filters))
    assert report.verdict == "rejected"
    assert [(each.rule, each.member, each.global_name) for each in report.errors] == [("SL301", "m/evil.pkl", "posix.mkdir")]


UNREAD = {
    "Zstandard": {"id": py7zr.FILTER_ZSTD, "level": 3},
    "Brotli": {"id": py7zr.FILTER_BROTLI, "level": 3},
    "PPMd": {"id": py7zr.FILTER_PPMD, "order": 6, "mem": 24},
}


@pytest.mark.parametrize("method", UNREAD)
def test_methods_of_other_libraries_are_named_and_not_read(method: str) -> None:
    (finding,) = safeload.scan(sevenzip({"a.pkl": GOOD}, filters=[UNREAD[method]])).errors
    assert finding.rule == "SL144" and f"by the method {method}; pack it again" in finding.message


AROUND = [gzip.compress, lambda data: zipped({"x.7z": data}), lambda data: tar({"x.7z": data}), lambda data: sevenzip({"x.7z": data})]


@pytest.mark.parametrize("around", AROUND, ids=["gzip", "zip", "tar", "7z"])
def test_inside_and_around_other_archives(around: Any) -> None:
    data = around(sevenzip({"a.zip": zipped({"evil.pkl": PAYLOAD})}))
    report = safeload.scan(data)
    assert report.verdict == "rejected" and (report.errors[0].member or "").endswith("a.zip!/evil.pkl")
    good = around(sevenzip({"a.zip": zipped({"good.pkl": GOOD})}))
    report = safeload.scan(good)
    assert (report.verdict, report.bytes_accounted) == ("accepted", len(good))


def test_archives_in_each_other_end_at_the_limit() -> None:
    data = GOOD
    for depth in range(7):
        data = sevenzip({f"{depth}.7z": data}, filters=COPY)
    assert rules(data) == ("inconclusive", ["SL901"])


@pytest.mark.parametrize("header_encryption", [False, True])
def test_what_is_encrypted_is_inconclusive(header_encryption: bool) -> None:
    report = safeload.scan(sevenzip({"a.pkl": GOOD}, password="secret", header_encryption=header_encryption))
    assert (report.verdict, report.errors[0].rule) == ("inconclusive", "SL144") and "encrypted" in report.errors[0].message


def test_without_the_library_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py7zr", None)
    (finding,) = safeload.scan(sevenzip({"a.pkl": GOOD})).errors
    assert (finding.rule, finding.message) == ("SL002", "this is a 7z archive, which needs a library to be looked into: pip install 'safeload[7z]'")


def test_a_solid_bomb_stops_before_it_is_inflated() -> None:
    data = sevenzip({f"{index}.bin": bytes(8 * MIB) for index in range(4)}, filters=[{"id": py7zr.FILTER_LZMA2, "preset": 0}])
    assert len(data) < 64 * 1024
    for limits, word in (({}, "compression_ratio"), ({"compression_ratio": 10**6, "inflated_bytes": 20 * MIB}, "inflated_bytes")):
        report = safeload.scan(data, limits=limits)
        assert (report.verdict, [each.rule for each in report.errors]) == ("inconclusive", ["SL901"]) and word in report.errors[0].message
    assert rules(data, limits={"compression_ratio": 10**6, "member_bytes": 8 * MIB - 1}) == ("inconclusive", ["SL901"])
    assert rules(data, limits={"compression_ratio": 10**6, "members": 3}) == ("inconclusive", ["SL901"])


def test_a_bomb_counts_together_with_what_is_around_it() -> None:
    one = sevenzip({"a.bin": bytes(3 * MIB)}, filters=[{"id": py7zr.FILTER_LZMA2, "preset": 0}])
    data = zipped({f"{index}.7z": one for index in range(4)})
    report = safeload.scan(data, limits={"compression_ratio": 10**6, "inflated_bytes": 7 * MIB})
    assert report.verdict == "inconclusive" and "SL901" in [each.rule for each in report.errors]


def test_a_dictionary_beyond_the_limit_is_not_allocated() -> None:
    data = sevenzip({"a.pkl": GOOD}, filters=[{"id": py7zr.FILTER_LZMA2, "preset": 6}])
    report = safeload.scan(data, limits={"dictionary_bytes": MIB})
    assert report.errors[0].rule == "SL901" and "dictionary_bytes" in report.errors[0].message
    assert safeload.scan(data, limits={"dictionary_bytes": 16 * MIB}).verdict == "accepted"  # py7zr packs its headers with as much


def test_members_in_front_of_the_damage_are_judged() -> None:
    data = bytearray(sevenzip({"evil.pkl": PAYLOAD, "last.bin": bytes(range(256))}, filters=COPY))
    data[32 + len(PAYLOAD) + 100] ^= 1
    report = safeload.scan(bytes(data))
    assert report.verdict == "rejected" and {each.rule for each in report.errors} == {"SL144", "SL301"}
    data = bytearray(sevenzip({"good.pkl": GOOD, "last.bin": bytes(range(256))}, filters=COPY))
    data[32 + len(GOOD) + 100] ^= 1
    report = safeload.scan(bytes(data))
    assert report.verdict == "inconclusive" and "SL144" in {each.rule for each in report.errors}


def test_bytes_that_belong_to_nobody_are_refused() -> None:
    data = sevenzip({"a.pkl": GOOD}, filters=COPY)
    (finding,) = safeload.scan(data + b"more").errors
    assert finding.rule == "SL144" and "4 bytes follow its header" in finding.message


def test_bytes_beside_the_streams_are_refused() -> None:
    """In front of the first, and between the last and the header."""
    data = sevenzip({"a.pkl": GOOD}, filters=COPY)
    assert safeload.scan(with_bytes(data, b"", b"")).verdict == "accepted"
    for changed, words in ((with_bytes(data, b"more", b""), "4 bytes stand in front"), (with_bytes(data, b"", b"more"), "4 bytes stand between")):
        report = safeload.scan(changed)
        assert report.verdict == "inconclusive" and words in report.errors[0].message, report.errors


def test_properties_that_no_encoder_writes_are_refused() -> None:
    data = changed_header(sevenzip({"a.pkl": GOOD}, filters=[{"id": py7zr.FILTER_LZMA2, "preset": 1}]), b"\x21\x21\x01", b"\x21\x21\x02")
    assert rules(data) == ("inconclusive", ["SL144"])
    for byte in (41, 255):
        plain = sevenzip({"a.pkl": GOOD}, filters=[{"id": py7zr.FILTER_LZMA2, "preset": 1}])
        assert rules(changed_header(plain, b"\x21\x21\x01", b"\x21\x21\x01", after=bytes([byte]))) == ("inconclusive", ["SL144"])


@pytest.mark.parametrize("files", [{}, {"empty": b""}, {"a.txt": b"text"}], ids=["nothing", "empty", "text"])
def test_an_archive_without_a_value_is_not_accepted(files: dict[str, bytes]) -> None:
    assert safeload.scan(sevenzip(files)).verdict == "inconclusive"


def test_what_py7zr_does_against_its_word_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = sevenzip({"a.pkl": GOOD})
    with monkeypatch.context() as changed:
        changed.setattr(py7zr.SevenZipFile, "extract", lambda self, **_: None)
        (finding,) = safeload.scan(data).errors
        assert finding.rule == "SL144" and "gives nothing for the member" in finding.message
    with monkeypatch.context() as changed:
        changed.setattr(py7zr.SevenZipFile, "extract", lambda self, targets, factory: factory.create("other"))
        assert any("the header has none of this name" in each.message for each in safeload.scan(data).errors)
    with monkeypatch.context() as changed:
        changed.setattr(py7zr.SevenZipFile, "extract", lambda self, targets, factory: factory.create("a.pkl").write(bytes(MIB)))
        report = safeload.scan(data, limits={"inflated_bytes": MIB - 1})
        assert "SL901" in {each.rule for each in report.errors}


@pytest.mark.parametrize("name", ["../a.pkl", "/etc/a.pkl", "a/../../b.pkl"])
def test_a_name_that_climbs_never_loads(name: str) -> None:
    data = sevenzip({"evil.pkl": PAYLOAD, "x" * len(name): GOOD}, filters=COPY)
    data = rewritten(data, "x" * len(name), name)
    report = safeload.scan(data)
    assert report.verdict == "rejected" and {each.rule for each in report.errors} == {"SL113", "SL301"}


def test_two_members_of_one_name_are_refused() -> None:
    """And the payload in one of them is named."""
    data = rewritten(sevenzip({"aa.pkl": GOOD, "bb.pkl": PAYLOAD}, filters=COPY), "bb.pkl", "aa.pkl")
    assert rules(data) == ("rejected", ["SL301", "SL106"])
    assert rules(rewritten(sevenzip({"aa.pkl": GOOD, "bb.pkl": PAYLOAD}, filters=COPY), "bb.pkl", "AA.pkl")) == ("rejected", ["SL301", "SL107"])


def test_a_link_is_not_followed() -> None:
    data = sevenzip({"a.pkl": GOOD, "link": b"/etc/passwd"}, filters=COPY)
    archive = py7zr.SevenZipFile(io.BytesIO(data))
    attributes = [file.file_properties()["attributes"] for file in archive.files]
    as_link = (0o120777 << 16 | 0x8000 | 0x20).to_bytes(4, "little")
    data = changed_header(data, attributes[-1].to_bytes(4, "little"), as_link, last=True)
    report = safeload.scan(data)
    assert report.verdict == "inconclusive" and [(each.rule, each.member) for each in report.errors] == [("SL144", "link")]


def test_nothing_is_written_or_opened() -> None:
    """py7zr asks the machine for its free memory, under /proc, and opens nothing else."""
    files = [sevenzip({"a/b.pkl": PAYLOAD, "c.txt": b"text"}), sevenzip({"a.pkl": GOOD}, password="x"), sevenzip({"a.pkl": GOOD})[:-3]]
    for data in files:
        safeload.scan(data)
    with armed(below="/proc"):
        verdicts = [safeload.scan(data).verdict for data in files]
    assert verdicts == ["rejected", "inconclusive", "inconclusive"]


PLAIN = sevenzip({"a.pkl": GOOD, "m/evil.pkl": PAYLOAD, "w.npy": npy()})
STORED = sevenzip({"a.pkl": GOOD, "m/evil.pkl": PAYLOAD, "w.npy": npy()}, filters=COPY)


@settings(max_examples=250, deadline=None)
@given(st.sampled_from([PLAIN, STORED]), st.integers(0, 1 << 20), st.integers(0, 255), st.booleans())
def test_any_change_ends_in_a_report(data: bytes, at: int, value: int, mend: bool) -> None:
    changed = bytearray(data)
    changed[at % len(data)] = value
    report = safeload.scan(mended(bytes(changed)) if mend else bytes(changed), limits={"scan_seconds": 10})
    assert report.verdict != "accepted"  # the payload is in it, or the damage


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(PLAIN) - 1))
def test_any_cut_ends_in_a_report(end: int) -> None:
    assert safeload.scan(PLAIN[:end]).verdict == "inconclusive"


# ---- archives that py7zr does not write -----------------------------------------------------------------------------------------------------


def mended(data: bytes) -> bytes:
    """The checksums of the header and of the signature, as they have to be."""
    import zlib

    offset, size = int.from_bytes(data[12:20], "little"), int.from_bytes(data[20:28], "little")
    header = data[32 + offset : 32 + offset + size]
    start = data[12:28] + zlib.crc32(header).to_bytes(4, "little")
    return data[:8] + zlib.crc32(start).to_bytes(4, "little") + start + data[32:]


def changed_header(data: bytes, old: bytes, new: bytes, *, last: bool = False, after: bytes = b"") -> bytes:
    """The same archive with `old` in its header replaced, and as many bytes `after` it; the header is written without compression."""
    archive = py7zr.SevenZipFile(io.BytesIO(data))
    out = io.BytesIO()
    archive.header.write(out, 0, encoded=False)
    header = out.getvalue()
    at = header.rindex(old) if last else header.index(old)
    header = header[:at] + new + after + header[at + len(old) + len(after) :]
    packed = data[32 : 32 + sum(archive.header.main_streams.packinfo.packsizes)]
    start = len(packed).to_bytes(8, "little") + len(header).to_bytes(8, "little") + bytes(4)
    return mended(data[:12] + start + packed + header)


def with_bytes(data: bytes, front: bytes, behind: bytes) -> bytes:
    """The same archive with bytes in front of its streams and behind them."""
    archive = py7zr.SevenZipFile(io.BytesIO(data))
    packinfo = archive.header.main_streams.packinfo
    packed = data[32 : 32 + sum(packinfo.packsizes)]
    packinfo.packpos = len(front)
    out = io.BytesIO()
    archive.header.write(out, 0, encoded=False)
    header = out.getvalue()
    body = front + packed + behind
    return mended(data[:12] + len(body).to_bytes(8, "little") + len(header).to_bytes(8, "little") + bytes(4) + body + header)


def rewritten(data: bytes, old: str, new: str) -> bytes:
    """The same archive with another name for a member, of the same length."""
    return changed_header(data, old.encode("utf-16-le"), new.encode("utf-16-le"))
