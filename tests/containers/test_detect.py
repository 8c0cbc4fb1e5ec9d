"""What a file is, by its content: SL001 to SL004, SL103, SL120, and the two formats that are read."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import zlib
from importlib.util import find_spec
from struct import pack

import pytest
from formats.tarbuild import tar

from safeload.containers.base import Container
from safeload.containers.detect import open_container
from safeload.errors import CheckpointError
from safeload.limits import DEFAULT_LIMITS, MIB

from .zipbuild import build, end_records, source_of, torch_parts

TORCH_MAGIC = 0x1950A86A20F9469CFC6C
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 497763\n"
ARCHIVE = build(torch_parts())


def opened(data: bytes) -> Container:
    container = open_container(source_of(data), DEFAULT_LIMITS)
    assert container.accounted == len(data)
    return container


def refused(data: bytes) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        opened(data)
    assert str(caught.value).isprintable() and str(caught.value).isascii()
    return caught.value


def tar_of(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_a_tar_archive_and_torchs() -> None:
    assert opened(tar_of("sys_info", b"x")).format == "tar"
    assert opened(tar({"pickle": b"", "tensors": b"", "storages": b""})).format == "torch.tar"


def test_a_torch_zip() -> None:
    assert opened(ARCHIVE).format == "torch.zip"


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", [None, True, 1, 300, -5, 1.5, "text", b"bytes", [], {}, (), [1], {"a": 1}, 1 << 90, {1, 2}, bytearray(b"x")], ids=repr)
def test_a_bare_pickle_of_any_protocol(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    container = opened(data)
    assert container.format == "pickle" and container.pickles == ("",)
    member = container.members[""]
    assert (member.offset, member.size, member.stored_size, member.role) == (0, len(data), len(data), "pickle")


SEVENZIP = find_spec("py7zr") is not None


@pytest.mark.parametrize(
    ("data", "rule", "says"),
    [
        (b"", "SL003", "empty"),
        (b"\0", "SL003", "zero bytes"),
        (bytes(10_000), "SL003", "zero bytes"),
        (bytes(MIB) + b"something", "SL003", "first MiB"),
        (b"<!DOCTYPE html><title>404</title>", "SL003", "HTML"),
        (b"\n  <html>\x1b[31m", "SL003", "HTML"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Error/>", "SL003", "XML"),
        (LFS, "SL006", "git lfs pull"),
        (LFS, "SL006", "497,763 bytes"),
        (LFS[:60], "SL006", "git lfs pull"),
        (b'{"weight_map": {}}', "SL135", "weight_map"),
        (b"[1, 2]", "SL003", "JSON"),
        (b"PK\5\6" + bytes(18), "SL003", "empty zip"),
        (b"\x89PNG\r\n\x1a\n....", "SL003", "PNG"),
        (b"\x7fELF\2\1\1", "SL003", "ELF"),
        (pack("<Q", 2) + b"{}" + bytes(8), "SL132", "safetensors"),
        (pack("<Q", 0x280) + b"{" + b" " * 0x280, "SL132", "safetensors"),
        (b"GGUF\3\0\0\0", "SL004", "GGUF"),
        (b"GGUF\1\0\0\0", "SL002", "GGUF"),
        (b"ZF0x1a              x\x9c", "SL002", "joblib before 0.10"),
        (b"\x93NUMPY\1\0v\0{", "SL004", "too early"),
        (b"\x93NUMPY\1\0\2\0{}", "SL130", "lacks descr"),
        (gzip.compress(b"<html>", mtime=0), "SL003", "inside the gzip stream: this is an HTML"),
        (bz2.compress(b""), "SL003", "inside the bzip2 stream: the file is empty"),
        (lzma.compress(zlib.compress(LFS)), "SL006", "inside the xz stream: inside the zlib stream: this is a git-LFS pointer"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "SL144" if SEVENZIP else "SL002", "7z"),
        (b"Rar!\x1a\7\1\0", "SL002", "RAR"),
        (b"PYTORCH1" + bytes(56), "SL002", "PYTORCH1"),
        (b"\x20\0\0\0ET12", "SL003", "ExecuTorch"),
        (b"\x80\x06N.", "SL002", "protocol 6"),
        (b"PK\7\x08PK\3\4", "SL103", "disks"),
        (b"PK\3\4" + bytes(3000), "SL004", "3,004 bytes"),
        (ARCHIVE[:-5], "SL004", "cut short"),
        (b"not a pickle", "SL003", "this is text ('not a pickle')"),
        ("\u00e9".encode() * 5_000, "SL003", "this is text"),
        (b"a" + "\u00e9".encode() * 5_000, "SL003", "this is text"),
        (b"not a \x00pickle", "SL001", "nothing that safeload knows"),
        (b"not a \xffpickle", "SL001", "nothing that safeload knows"),
        (b"channels:\n- conda-forge\ndependencies:\n", "SL003", "YAML"),  # conda.yaml; c names a module
        (b"config: a b\r\nx\r\n", "SL003", "YAML"),
        (b"\n\n\x1b]0;title\7", "SL001", "nothing that safeload knows"),
        (b"\x93N.", "SL001", "nothing that safeload knows"),
    ],
)  # fmt: skip
def test_everything_else_is_named(data: bytes, rule: str, says: str) -> None:
    error = refused(data)
    assert error.rule == rule and says in str(error)


@pytest.mark.parametrize("protocol", range(6))
def test_torchs_legacy_magic_in_every_protocol(protocol: int) -> None:
    magic = pickle.dumps(TORCH_MAGIC, protocol)
    assert (
        open_container(source_of(magic + pickle.dumps(1001, protocol)), DEFAULT_LIMITS).format == "torch.legacy"
    )  # taken apart by the stage above the machine
    assert opened(pickle.dumps(TORCH_MAGIC + 1, protocol)).format == "pickle"


@pytest.mark.parametrize(
    "data",
    [b"PKxx\n.", pickle.dumps("GGUF", 4), pickle.dumps("ET12", 4), pickle.dumps("<html>", 0), b"(lp0\n.", pickle.dumps("PK\3\4", 2)],
)
def test_pickles_that_mention_other_things_stay_pickles(data: bytes) -> None:
    assert opened(data).format == "pickle"


@pytest.mark.parametrize(
    "head",
    [pickle.dumps([1, 2], 2), b"\x93NUMPY\1\0v\0{", tar_of("pickle", b"x"), pack("<Q", 2) + b"{}", b"GGUF\3\0\0\0", b"MZ\x90\0", b"<html>", b"no magic"],
)
def test_what_ends_as_a_zip_and_does_not_start_as_one_is_ambiguous(head: bytes) -> None:
    assert refused(head + ARCHIVE).rule == "SL120"
    assert refused(head + build(torch_parts(), start=len(head))).rule == "SL120"


def test_a_pickle_within_a_zip_comment_is_ambiguous() -> None:
    assert refused(b"\x80\x02" + end_records(0, 0, 2, zip64=False, comment=b"N.")).rule == "SL120"


def test_a_pickle_of_a_whole_zip_is_a_pickle() -> None:
    assert opened(pickle.dumps(ARCHIVE, 4)).format == "pickle"


def test_a_zip_that_is_a_tar_is_ambiguous() -> None:
    plain = bytearray(build(torch_parts()))
    sums = plain[:512]
    sums[148:156] = b" " * 8
    plain[148:156] = b"%06o\0 " % sum(sums)  # a tar header's checksum, wherever it lands in the zip
    assert refused(bytes(plain)).rule == "SL120"


def test_the_name_of_the_file_decides_nothing() -> None:
    source = source_of(pickle.dumps({}, 2))
    source.name = "model.safetensors"
    assert open_container(source, DEFAULT_LIMITS).format == "pickle"
