"""What a person reads who gives safeload something else than a whole checkpoint: what was found, and what to do next. `scan` and `load` say the same."""

from __future__ import annotations

import pickle

import pytest
from containers.zipbuild import build, torch_parts

import safeload

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 497763\n"
NOT_YET = "and this version does not read it yet"
NOTHING = "and is nothing that safeload knows; a zip by torch.save or a pickle was expected"
CUT = "It was cut short (download or copy it again), or it is no checkpoint"
LEGACY_HEAD = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)

SEARCHED = "it was searched for layers of Keras that carry code"
MESSAGES: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "SL003", "the file is empty (0 bytes): the save or the download failed"),
    "zeros": (
        bytes(5000), "SL003", "the file is nothing but zero bytes (5,000 bytes in all): a download that was allocated and not finished, or lost disk blocks",
    ),
    "html": (
        b"<html>",
        "SL003",
        "this is an HTML or XML page (b'<html>'): the download gave an error or login page; download it again, and look at what the server really sent",
    ),
    "lfs": (LFS, "SL006", f"this is a git-LFS pointer of 131 bytes to 497,763 bytes with the sha256 {'4d7a' * 16}: run `git lfs pull`"),
    "lfs, windows": (
        LFS.replace(b"\n", b"\r\n"), "SL006", f"this is a git-LFS pointer of 134 bytes to 497,763 bytes with the sha256 {'4d7a' * 16}: run `git lfs pull`",
    ),
    "json": (
        b'{"error": 404}',
        "SL003",
        "this is JSON text (b'{\"error\": 404}'): it is no checkpoint; a server may have sent its error in its place",
    ),
    "newline": (b"\n\n", "SL001", rf"the file starts with b'\n\n' {NOTHING}"),
    "text": (
        b"Entry not found",
        "SL003",
        "this is text ('Entry not found'): it holds no program for a loader of checkpoints; a server may have sent its error in place of one",
    ),
    "png": (b"\x89PNG\r\n\x1a\n..", "SL003", "this is a PNG image: it is no checkpoint"),
    "pdf": (b"%PDF-1.7", "SL003", "this is a PDF document: it is no checkpoint"),
    "elf": (b"\x7fELF\2\1\1", "SL003", "this is an ELF program or library: it is no checkpoint"),
    "exe": (b"MZ\x90\0\3\0", "SL003", "this is a Windows program or library: it is no checkpoint"),
    "sqlite": (b"SQLite format 3\0", "SL003", "this is an SQLite database: it is no checkpoint"),
    "hdf5": (
        b"\x89HDF\r\n\x1a\n",
        "SL002",
        f"this is an HDF5 file: its structure is not read, so the numbers and texts in it are not judged; {SEARCHED}",
    ),
    "gguf": (b"GGUF\1\0\0\0", "SL002", "this is a GGUF file of version 1: convert it with the llama.cpp of 2023"),
    "gguf, cut": (
        b"GGUF\3\0\0\0", "SL004", "the GGUF file is cut short, or wrong about a length: the number of tensors needs 8 bytes, and 0 follow",
    ),
    "pytorch1": (
        b"PYTORCH1" + bytes(56),
        "SL002",
        f"this is a PYTORCH1 container of the torch 1.0 previews, {NOT_YET}: no later torch reads it either; save it again with the torch that wrote it",
    ),
    "executorch": (
        b"\x20\0\0\0ET12",
        "SL003",
        "this is an ExecuTorch or TensorFlow Lite program: it is compiled for a device; load the checkpoint that it was made from",
    ),
    "empty zip": (b"PK\5\6" + bytes(18), "SL003", "this is an empty zip archive: it holds nothing; save the checkpoint again"),
    "zip, cut": (
        build(torch_parts())[:100],
        "SL004",
        "the file starts as a zip archive and ends without its directory: it was cut short, and holds 100 bytes; download or copy it again",
    ),
    "zip, longer": (build(torch_parts()) + b"more", "SL102", "4 bytes stand behind the end of the archive: b'more'"),
    "pickle, cut": (pickle.dumps([1] * 9, 2)[:6], "SL202", f"the stream ends before STOP: the file ends here, after 6 bytes. {CUT}"),
    "pickle, longer": (pickle.dumps([1], 2) + b"more", "SL207", "4 bytes follow, and are no pickle"),
    "legacy, cut": (LEGACY_HEAD, "SL202", f"the stream ends before STOP: the file ends here, after {len(LEGACY_HEAD)} bytes. {CUT}"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MESSAGES)
def test_what_is_said(kind: str) -> None:
    data, rule, message = MESSAGES[kind]
    with pytest.raises(safeload.CheckpointError) as caught:
        safeload.load(data)
    assert (caught.value.rule, caught.value.message) == (rule, message)
    report = safeload.scan(data)
    assert report.verdict == "inconclusive"
    assert (report.findings[0].rule, report.findings[0].message) == (rule, message)
