"""`formats.beyond`: what CPython's unpicklers run behind an opcode that the machine refuses is named, in every kind of file; damage alone is not."""

from __future__ import annotations

import bz2
import io
import lzma
import pickle
import random
import zipfile
from collections.abc import Callable
from struct import pack

import pytest
from containers.zipbuild import Part, build

import safeload
from safeload.errors import CheckpointError
from safeload.formats import beyond
from safeload.limits import Limits

CALL = {
    "GLOBAL": b"cposix\nmkdir\nX\3\0\0\0RAN\x85R",
    "STACK_GLOBAL": b"\x8c\5posix\x8c\5mkdir\x93\x8c\3RAN\x85R",
    "INST": b"(S'RAN'\niposix\nmkdir\n",
    "from the memo": b"X\5\0\0\0mkdirq\x07X\5\0\0\0posixh\x07\x93X\3\0\0\0RAN\x85R",
    "protocol 0": b"Vposix\np3\nVmkdir\np4\n\x93(VRAN\ntR",
}

# Each leaves one object. CPython, the C unpickler or the Python one that joblib builds on, runs through it; the machine does not.
HIDERS = {
    "SETITEM into a list": b"]NaK\0K\5s",
    "SETITEM into a bytearray": b"\x96\1\0\0\0\0\0\0\0aK\0K\5s",
    "APPEND to a bytearray": b"\x96\1\0\0\0\0\0\0\0aK\5a",
    "APPENDS of nothing": b"K\1(e",
    "SETITEMS of nothing": b"N(u",
    "ADDITEMS of nothing": b"](\x90",
    "BUILD of None": b"K\1Nb",
    "BUILD of an empty state": b"]N}\x86b",
    "PROTO in the middle": b"\x80\2N",
    "a key too deep": b"})" + b"\x85" * 200 + b"Ns",
    "a key too wide": b"}(" + b"N" * 2000 + b"tNs",
    "keys with one hash": b"}(" + b"".join(b"\x8a\x09" + ((2**61 - 1) * n).to_bytes(9, "little") + b"N" for n in range(1, 300)) + b"u",
    "a large LONG4": b"\x8b" + pack("<i", 2000) + b"\1" * 2000,
    "a large LONG": b"L" + b"9" * 3000 + b"L\n",
    "a FLOAT of Python": b"F1_0.5\n",
    "a PUT with blanks": b"Np 5 \n",
    "a PUT with a sign": b"Np+5\n",
    "an INT for a bool": b"I001\n",
}


def stream(hider: bytes, call: bytes, *, protocol: int = 2) -> bytes:
    return bytes((0x80, protocol)) + hider + b"0" + call + b"."


def named(data: bytes, **options: object) -> None:
    """The file is rejected for what it would call, and for where that stands."""
    report = safeload.scan(data, **options)  # type: ignore[arg-type]
    found = [finding for finding in report.errors if finding.global_name == "posix.mkdir"]
    assert report.verdict == "rejected"
    assert [(finding.rule, finding.capability) for finding in found] == [("SL301", "fs.write")], report.errors
    with pytest.raises(CheckpointError):
        safeload.load(data)


@pytest.mark.parametrize("hider", HIDERS)
def test_what_a_refused_opcode_hides_is_named(hider: str) -> None:
    for call in CALL.values():
        named(stream(HIDERS[hider], call))


def test_the_hiders_are_refused_for_themselves() -> None:
    for name, hider in HIDERS.items():
        report = safeload.scan(stream(hider, b"N"))
        assert report.verdict == "inconclusive", name
        assert not report.globals


def test_words_pushed_before_the_break_are_known_behind_it() -> None:
    hider = HIDERS["SETITEM into a list"] + b"0"
    named(b"\x80\4\x8c\5posix\x8c\5mkdir" + hider + b"\x93\x8c\3RAN\x85R.")
    named(b"\x80\4\x8c\5posix\x940\x8c\5mkdir\x940" + hider + b"h\0h\1\x93\x8c\3RAN\x85R.")


def test_a_computed_name_behind_the_break_is_rejected() -> None:
    computed = b"c_codecs\nencode\nX\5\0\0\0mkdirX\6\0\0\0latin1\x86R"
    report = safeload.scan(b"\x80\4" + HIDERS["APPENDS of nothing"] + b"0\x8c\5posix" + computed + b"\x93\x8c\3RAN\x85R.")
    assert report.verdict == "rejected"
    assert "SL208" in {finding.rule for finding in report.errors}


def _legacy_header(data: bytes) -> bytes:
    return pickle.dumps(0x1950A86A20F9469CFC6C, 2) + HIDERS["SETITEM into a list"] + b"." + pickle.dumps({}, 2) + data + pickle.dumps([], 2)


def _zipped(method: int) -> Callable[[bytes], bytes]:
    def make(data: bytes) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            archive.writestr("a/data.pkl", data)
        return out.getvalue()

    return make


def _torch(**members: bytes) -> bytes:
    return build([Part(f"a/{name}".encode(), content) for name, content in {"byteorder": b"little", "version": b"3\n", **members}.items()])


WHERES: dict[str, Callable[[bytes], bytes]] = {
    "data.pkl": lambda data: _torch(**{"data.pkl": data}),
    "another member": lambda data: _torch(**{"data.pkl": pickle.dumps({}, 2), "notes": data}),
    "a zip of protocol 0": lambda data: build([Part(b"notes", data[2:]), Part(b"x.pkl", pickle.dumps({}, 2))]),
    "bytes behind the zip": lambda data: _torch(**{"data.pkl": data}) + b"more",
    "behind another pickle": lambda data: pickle.dumps({}, 2) + data,
    "behind a broken stream of a legacy file": _legacy_header,
    "behind the first window": lambda data: b"\x80\2]NaK\0K\5s0B" + pack("<I", 1 << 20) + bytes(1 << 20) + b"0" + data[2:],
    "bzip2 in a zip": _zipped(zipfile.ZIP_BZIP2),
    "LZMA in a zip": _zipped(zipfile.ZIP_LZMA),
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("where", WHERES)
def test_in_every_place(where: str) -> None:
    named(WHERES[where](stream(HIDERS["SETITEM into a list"], CALL["GLOBAL"])))


def test_names_behind_filler_are_found_where_they_are_spelled() -> None:
    named(b"\x80\2" + b"N0" * 200_000 + CALL["GLOBAL"] + b".", limits=Limits(opcodes=100_000))
    named(b"\x80\4" + b"N0" * 200_000 + CALL["STACK_GLOBAL"] + b".", limits=Limits(opcodes=100_000))


def test_damage_alone_names_nothing() -> None:
    """Bytes of a real file that were overwritten, cut or exchanged spell no name that no one asked for."""
    honest = pickle.dumps([{"weights": bytes(range(256)) * 8, "name": "layer", "numbers": list(range(300)), "more": (1.5, None, True)}] * 3, 4)
    chance = random.Random(5)
    for _ in range(300):
        data = bytearray(honest)
        for _ in range(3):
            data[chance.randrange(2, len(data))] = chance.randrange(256)
        report = safeload.scan(bytes(data[: chance.randrange(len(data))]))
        assert not [finding for finding in report.errors if finding.rule == "SL301"], report.errors


def test_what_is_read_on_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beyond, "MAX_INSTRUCTIONS", 50)
    monkeypatch.setattr(beyond, "MAX_SWEPT_BYTES", 100)
    hider = HIDERS["SETITEM into a list"] + b"0"
    near = safeload.scan(b"\x80\2" + hider + b"N0" * 60 + CALL["GLOBAL"] + b".")
    assert near.verdict == "rejected"
    far = safeload.scan(b"\x80\2" + hider + b"N0" * 260 + CALL["GLOBAL"] + b".")
    assert far.verdict == "inconclusive"
    monkeypatch.setattr(beyond, "MAX_NAMES", 3)
    many = b"\x80\2" + hider + b"".join(b"cacme\nname%d\n0" % number for number in range(9)) + b"N."
    assert len(safeload.scan(many).globals) == 3
