"""Honest archives by other writers are read as their own readers read them: zipfile, torch, and the files of many torch releases."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeload.containers.detect import open_container
from safeload.containers.inflate import read_member
from safeload.containers.zip_directory import read_zip
from safeload.errors import CheckpointError
from safeload.limits import DEFAULT_LIMITS
from safeload.source import open_source

from .zipbuild import end_records, read, source_of

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
LETTERS = st.characters(codec="utf-8", categories=("L", "N", "P"), exclude_characters="/\\:")
SEGMENT = st.text(LETTERS, min_size=1, max_size=12).filter(lambda text: text.strip(".") != "")
NAMES = st.lists(st.lists(SEGMENT, min_size=1, max_size=4).map("/".join), max_size=12, unique_by=lambda name: name.casefold())


def distinct(names: list[str]) -> bool:
    import unicodedata

    return len({unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()) for name in names}) == len(names)


class Unseekable(io.RawIOBase):
    """A stream that zipfile can only append to: it writes data descriptors then."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.data += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


@settings(max_examples=150, deadline=None)
@given(
    names=NAMES.filter(distinct),
    sizes=st.lists(st.integers(0, 300), min_size=12, max_size=12),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    streamed=st.booleans(),
    zip64=st.booleans(),
)
def test_what_zipfile_writes_reads_the_same(names: list[str], sizes: list[int], method: int, streamed: bool, zip64: bool) -> None:
    stream = Unseekable()
    buffer = io.BytesIO()
    with zipfile.ZipFile(stream if streamed else buffer, "w", method) as archive:
        for name, size in zip(names, sizes, strict=False):
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=zip64) as file:
                file.write(bytes(range(256))[:size] * 3)
    data = bytes(stream.data) if streamed else buffer.getvalue()
    members = read(data).members
    source = source_of(data)
    with zipfile.ZipFile(io.BytesIO(data)) as oracle:
        assert list(members) == oracle.namelist()
        for info in oracle.infolist():
            member = members[info.filename]
            assert (member.size, member.stored_size, member.crc, member.method) == (info.file_size, info.compress_size, info.CRC, info.compress_type)
            assert read_member(source, member, DEFAULT_LIMITS) == oracle.read(info)


def test_what_torch_saves_now(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: its own writer cannot be compared")
    tensors = {"a": torch.arange(1000), "empty": torch.zeros(0), "half": torch.ones(3, dtype=torch.float16)}
    path = tmp_path / "model.v1.pt"
    torch.save(tensors, path)
    for source in (path, path.read_bytes()):
        with open_source(source, DEFAULT_LIMITS) as opened:
            container = open_container(opened, DEFAULT_LIMITS)
            assert container.format == "torch.zip" and container.info["prefix"] == "model.v1"
            assert container.accounted == os.path.getsize(path)
            assert all(member.role != "unknown" for member in container.members.values())
            payloads = {read_member(opened, member, DEFAULT_LIMITS) for member in container.storages.values()}
    assert payloads == {tensor.numpy().tobytes() for tensor in tensors.values()}


def test_what_torch_lets_one_configure(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: its own writer cannot be compared")
    config = pytest.importorskip("torch.utils.serialization.config", reason="this torch has no serialization config")
    for options in ({"save.compute_crc32": False}, {"save.storage_alignment": 4096}):
        with config.patch(options):
            torch.save({"a": torch.arange(5000), "b": torch.ones(7)}, tmp_path / "m.pt")
        with open_source(tmp_path / "m.pt", DEFAULT_LIMITS) as source:
            container = open_container(source, DEFAULT_LIMITS)
            assert container.accounted == source.size
            for member in container.members.values():
                assert len(read_member(source, member, DEFAULT_LIMITS)) == member.size


def test_a_directory_behind_five_gigabytes_is_read_without_them(tmp_path: Path) -> None:
    path = tmp_path / "big.pt"
    big, step = 5 << 30, 64
    name, small = b"archive/data/0", b"archive/data/1"
    from struct import pack

    head = pack("<4sHHHHHIIIHH", b"PK\3\4", 0, 0x0808, 0, 0, 0, 0, 0, 0, len(name), 20) + name + pack("<HHQQ", 1, 16, big, 0)
    second = len(head) + big + 24
    tail = pack("<4sIQQ", b"PK\7\x08", 0, big, big)
    tail += pack("<4sHHHHHIIIHH", b"PK\3\4", 0, 0x0808, 0, 0, 0, 0, 0, 0, len(small), 12) + small + pack("<HHQ", 1, 8, second)
    tail += bytes(step) + pack("<4sIQQ", b"PK\7\x08", 0, step, step)
    directory_offset = len(head) + big + len(tail)

    def entry(member: bytes, size: int, offset: int, extra: bytes) -> bytes:
        sizes = (0, min(size, 0xFFFFFFFF), min(size, 0xFFFFFFFF), len(member), len(extra), 0, 0, 0, 0, min(offset, 0xFFFFFFFF))
        return pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 0, 0, 0x0808, 0, 0, 0, *sizes) + member + extra

    directory = entry(name, big, 0, pack("<HHQQ", 1, 16, big, big)) + entry(small, step, second, pack("<HHQ", 1, 8, second))
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + big)
        file.seek(0, os.SEEK_END)
        file.write(tail + directory + end_records(2, len(directory), directory_offset))
    with open_source(path, DEFAULT_LIMITS) as source:
        directory_read = read_zip(source, DEFAULT_LIMITS)
        assert directory_read.accounted == source.size > 5 << 30
        members = directory_read.members
        assert members["archive/data/0"].size == big and members["archive/data/1"].size == step
        assert read_member(source, members["archive/data/1"], DEFAULT_LIMITS) == bytes(step)
        with zipfile.ZipFile(path) as oracle:
            assert [info.file_size for info in oracle.infolist()] == [big, step]


def corpus_entries() -> list[dict[str, object]]:
    manifest = CORPUS / "MANIFEST.json"
    if not manifest.exists():
        return []
    entries: list[dict[str, object]] = json.loads(manifest.read_text())["entries"]
    return entries


EXPECTED = {
    "torch-zip": "torch.zip",
    "torch-zip-early": "torch.zip",
    "pickle": "pickle",
    "joblib": "pickle",
    "dcp-metadata": "pickle",
    "pandas-pickle": "pickle",
    "torch-legacy": "torch.legacy",
    "torchscript-zip": "torch.script",
    "torch-package-zip": "torch.package",
    "torch-export-pt2": "torch.export",
    "sb3-zip": "zip",
    "npz": "npz",
    "npy": "npy",
    "joblib-zlib": "pickle",
    "joblib-gzip": "pickle",
    "joblib-bz2": "pickle",
    "joblib-xz": "pickle",
    "joblib-lzma": "pickle",
    "joblib-lz4": "pickle",
    "dcp-shard": "zip-sequence",
}


def test_real_files_of_many_releases() -> None:
    entries = [entry for entry in corpus_entries() if entry["format"] in EXPECTED]
    if not entries:
        pytest.skip(f"no corpus of real files at {CORPUS}")
    wrong = []
    for entry in entries:
        with open(CORPUS / "files" / str(entry["file"]), "rb") as file:
            file.seek((entry["load_args"] or {}).get("seek", 0))  # type: ignore[attr-defined]
            with open_source(file, DEFAULT_LIMITS) as source:
                try:
                    container = open_container(source, DEFAULT_LIMITS)
                    # the members of a legacy file are found by interpreting it, one stage later
                    assert container.accounted == (0 if container.format == "torch.legacy" else container.source.size)
                    assert all(member.role != "unknown" for member in container.members.values()) or container.format in ("zip", "torch.package")
                    for member in container.members.values():
                        assert len(read_member(container.source, member, DEFAULT_LIMITS)) == member.size
                    found = container.format
                except CheckpointError as error:
                    found = error.rule
        if found != EXPECTED[str(entry["format"])]:
            wrong.append((entry["file"], found))
    assert wrong == []
