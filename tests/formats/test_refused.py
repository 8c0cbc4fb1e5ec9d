"""A payload in a zip that is refused is named: torch and zipfile read many archives that this package does not."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable

import pytest

import safeload
from safeload.formats import refused
from safeload.source import ByteSource

PAYLOAD = b"cposix\nsystem\n(S'true'\ntR."
HONEST = pickle.dumps({"a": 1}, 2)
PICKLE, VERSION = "archive/data.pkl", ("archive/version", b"3\n")


def zipped(*entries: tuple[str, bytes], method: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
        archive.comment = comment
    return out.getvalue()


def patched(data: bytes, *changes: tuple[int, bytes]) -> bytes:
    changed = bytearray(data)
    for at, new in changes:
        changed[at : at + len(new)] = new
    return bytes(changed)


def central(data: bytes) -> int:
    return data.index(b"PK\1\2")


def end(data: bytes) -> int:
    return data.rindex(b"PK\5\6")


def at(place: Callable[[bytes], int], further: int, new: bytes, data: bytes) -> bytes:
    return patched(data, (place(data) + further, new))


def until(place: Callable[[bytes], int], data: bytes) -> bytes:
    return data[: place(data)]


def with_gap(data: bytes) -> bytes:
    at = central(data)
    moved = patched(data, (end(data) + 16, struct.pack("<I", at + 6)))
    return moved[:at] + b"gapgap" + moved[at:]


def whole(content: bytes, method: int) -> bytes:
    return zipped((PICKLE, content), VERSION, method=method)


VARIANTS: dict[str, Callable[[bytes, int], bytes]] = {
    "bytes follow": lambda content, method: whole(content, method) + b"more",
    "a comment": lambda content, method: zipped((PICKLE, content), VERSION, method=method, comment=b"hello"),
    "bytes in front": lambda content, method: b"more" + whole(content, method),
    "a member twice": lambda content, method: zipped((PICKLE, HONEST), (PICKLE.upper(), content), VERSION, method=method),
    "a bad version": lambda content, method: zipped((PICKLE, content), ("archive/version", b"99\n"), method=method),
    "a bad byteorder": lambda content, method: zipped((PICKLE, content), VERSION, ("archive/byteorder", b"middle"), method=method),
    "a bad format version": lambda content, method: zipped((PICKLE, content), VERSION, ("archive/.format_version", b"x"), method=method),
    "two folders": lambda content, method: zipped(("other/data.pkl", HONEST), (PICKLE, content), VERSION, method=method),
    "an absolute name": lambda content, method: zipped((PICKLE, content), VERSION, ("/etc/passwd", b""), method=method),
    "a flag in the local header": lambda content, method: patched(whole(content, method), (6, b"\1")),
    "a flag in the directory": lambda content, method: at(central, 8, b"\1", whole(content, method)),
    "another name in the local header": lambda content, method: patched(whole(content, method), (30, b"z")),
    "another method in the local header": lambda content, method: patched(whole(content, method), (8, b"\x08" if method == 0 else b"\0")),
    "another method in the directory": lambda content, method: at(central, 10, b"\x09", whole(content, method)),
    "another size in the local header": lambda content, method: patched(whole(content, method), (18, b"\x05\0\0\0")),
    "fewer members": lambda content, method: at(end, 8, b"\1\0\1\0", whole(content, method)),
    "several disks": lambda content, method: at(end, 4, b"\1\0\1\0", whole(content, method)),
    "a gap": lambda content, method: with_gap(whole(content, method)),
    "no end": lambda content, method: until(end, whole(content, method)),
    "a cut end": lambda content, method: whole(content, method)[:-1],
    "no directory": lambda content, method: until(central, whole(content, method)),
}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_named(variant: str, method: int) -> None:
    data = VARIANTS[variant](PAYLOAD, method)
    for given, note in ((data, ""), (gzip.compress(data), " in gzip"), (gzip.compress(data)[:-4], " in gzip that is cut")):
        report = safeload.scan(given, policy="checkpoint")
        assert report.verdict == "rejected", variant + note
        assert [use.global_name for use in report.globals] == ["posix.system"], variant + note
        assert report.findings[0].rule == "SL301" and report.findings[0].capability == "process.exec", variant + note
        assert any(finding.rule.startswith(("SL0", "SL1")) for finding in report.findings), "why the archive is refused is told, too"
        with pytest.raises(safeload.PolicyRejected):
            safeload.load(given)


def tarred(content: bytes, odd: tarfile.TarInfo | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in (("sys_info", HONEST), ("pickle", content), ("tensors", HONEST), ("storages", HONEST)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
            if odd is not None:
                archive.addfile(odd)
                odd = None
    return out.getvalue()


def link() -> tarfile.TarInfo:
    info = tarfile.TarInfo("link")
    info.type, info.linkname = tarfile.SYMTYPE, "pickle"
    return info


TARS: dict[str, Callable[[bytes], bytes]] = {
    "a link": lambda content: tarred(content, link()),
    "no end": lambda content: tarred(content).rstrip(b"\0"),
    "bytes follow": lambda content: tarred(content) + b"more",
    "a bad header": lambda content: patched(tarred(content), (5 * 512, b"x")),
    "climbing": lambda content: tarred(content, tarfile.TarInfo("../../x" + "y" * 20)),
    "a member twice": lambda content: tarred(content, tarfile.TarInfo("pickle")),
}


@pytest.mark.parametrize("variant", TARS)
def test_named_in_a_tar(variant: str) -> None:
    for data in (TARS[variant](PAYLOAD), gzip.compress(TARS[variant](PAYLOAD))):
        report = safeload.scan(data, policy="checkpoint")
        assert report.verdict == "rejected"
        assert [use.global_name for use in report.globals] == ["posix.system"]


@pytest.mark.parametrize("variant", sorted(TARS.keys() - {"climbing"}))
def test_an_honest_tar_is_only_damaged(variant: str) -> None:
    report = safeload.scan(TARS[variant](HONEST), policy="inspect")
    assert report.verdict == "inconclusive"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_an_honest_one_is_only_damaged(variant: str, method: int) -> None:
    report = safeload.scan(VARIANTS[variant](HONEST, method), policy="checkpoint")
    assert report.verdict == "inconclusive"
    assert all(finding.rule.startswith(("SL0", "SL1")) for finding in report.findings)


def test_no_payload_hides_behind_a_long_start() -> None:
    long = b"(" + b"S'spam and eggs'\n0" * 20_000 + PAYLOAD
    assert len(long) > refused.LOOK_BYTES
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        report = safeload.scan(whole(long, method) + b"more", policy="checkpoint")
        assert [use.global_name for use in report.globals] == ["posix.system"]


def test_a_member_that_only_the_directory_finds() -> None:
    """In the middle of a large file, where nothing is searched for."""
    filler = bytes(refused.REGION_BYTES + 1)
    data = zipped(("archive/data/0", filler), (PICKLE, PAYLOAD), VERSION, ("archive/data/1", filler))
    broken = patched(data, (data.index(b"archive/version"), b"brchive"))
    report = safeload.scan(broken, policy="checkpoint")
    assert report.verdict == "rejected" and report.findings[0].member == PICKLE


def test_the_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Very many headers in front of very much that goes on: no more is read than is looked at."""
    total = 0
    inner = ByteSource.read

    def counted(self: ByteSource, offset: int, length: int) -> bytes:
        nonlocal total
        total += length
        return inner(self, offset, length)

    header = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"n" + b"B\xff\xff\xff\x00"
    data = header * 100_000 + bytes(20 << 20)
    monkeypatch.setattr(ByteSource, "read", counted)
    assert safeload.scan(data).verdict == "inconclusive"
    headers = refused.MAX_MEMBERS * (30 + 1 + 2 * refused.LOOK_BYTES)
    assert total <= 3 * refused.REGION_BYTES + headers + refused.MAX_LONG * refused.LONG_BYTES
