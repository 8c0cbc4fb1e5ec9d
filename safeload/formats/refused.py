"""A zip or tar archive that was refused becomes the names that the pickles in it ask for, as far as its headers lead to them.

torch, zipfile and tarfile read many archives that this package refuses: bytes behind the end, gaps, links, headers that contradict the directory. The file is
refused already, and nothing here makes it acceptable; but a payload in it is named, because who reads "bytes follow the archive" may take it for damage.
No directory is trusted, and none is needed: a header says where a member begins, and a pickle says itself where it ends. Headers are looked for in the first
and the last `REGION_BYTES` of the file, and where the directory says (`Claims`); of a member the first bytes are read, and not all. Refuses nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress

from safeload.containers.base import STORED, Claims, Container
from safeload.containers.inflate import RAW_DEFLATE
from safeload.containers.sniff import is_tar
from safeload.containers.tar_header import BLOCK_BYTES, NAME
from safeload.containers.zip_end import LOCAL_SIGNATURE
from safeload.containers.zip_local import LOCAL, located
from safeload.errors import CheckpointError
from safeload.formats.archive import is_archive
from safeload.formats.judging import NESTED, Judging
from safeload.limits import KIB, MIB
from safeload.machine.interpret import interpret
from safeload.machine.nodes import ObjectGraph
from safeload.source import ByteSource

REGION_BYTES = 8 * MIB  # searched for headers at either end: torch writes the pickle first, and `zip -u` puts what is new last
MAX_MEMBERS = 4096  # that are looked at
LOOK_BYTES = 64 * KIB  # of a member that are read, and inflated
LONG_BYTES = 4 * MIB  # the same for a pickle that goes on
MAX_LONG = 64  # of those
ARCHIVES = frozenset({"torch.zip", "zip", "npz", "torch.script", "torch.package", "torch.export", "keras"})  # whose members stand in the file one by one
MAX_DICTIONARY_BYTES = 80 * MIB  # memory of one LZMA dictionary and what is around it: `xz -9` asks for 65
BZIP2_MAGIC, LZMA_PROPERTIES, UNKNOWN_SIZE = b"BZh", b"\5\0", b"\xff" * 8


def judge_members(judging: Judging, error: CheckpointError) -> None:
    """Put the names in the pickles of a refused archive to the policy. The caller has seen that the file is refused, and why."""
    if not error.rule.startswith("SL1") and error.rule != "SL004":
        return
    source, longer = judging.file, MAX_LONG
    broken: list[tuple[str, bytes, ObjectGraph]] = []  # what broke off: looked at last, since the bytes of one member may hold the next
    with suppress(CheckpointError):  # the time is over, or the file has changed
        for name, data in _members(source, error.partial):
            start = data.read(0, min(data.size, LOOK_BYTES))
            for unpack in (_stored, _inflated, _another):  # the header may say what the directory does not
                content, graph = _look(judging, name, start, LOOK_BYTES, unpack)
                if graph is None and content and longer:
                    longer -= 1
                    content, graph = _look(judging, name, data.read(0, min(data.size, LONG_BYTES)), LONG_BYTES, unpack)
                if graph is not None and graph.globals:
                    judging.named_only(name, content, graph)
                if graph is not None and not graph.whole:
                    broken.append((name, content, graph))
            judging.budget.check_time()
        for name, content, graph in broken:
            judging.note_beyond(name, content, graph, dangerous=True)


def judge_rest(judging: Judging, container: Container) -> None:
    """Put the names in those members of an archive to the policy that nobody judged: one member that cannot be read ends the reading of an archive.

    Behind a network no storage is fetched for it: the report says that its bytes are unread (SL007).
    """
    if container.format not in ARCHIVES:
        return
    source = judging.source
    judged = {member.partition(NESTED)[0] for member in (*(name for name, _, _ in judging.graphs), *(finding.member or "" for finding in judging.findings))}
    with suppress(CheckpointError):
        for member in [member for member in container.members.values() if member.size and member.name not in judged][:MAX_MEMBERS]:
            if member.role == "storage" and source.is_sparse and not source.has(member.offset, min(member.stored_size, LOOK_BYTES)):
                continue
            where = located(source, member)
            data = source.part(where.offset, where.stored_size)
            if is_archive(data):
                judging.nested(data, member.name)
                continue
            start = data.read(0, min(data.size, LOOK_BYTES))
            content, graph = _look(judging, member.name, start, LOOK_BYTES, _stored if member.method == STORED else _inflated)
            if graph is not None and graph.globals:
                judging.named_only(member.name, content, graph)
            if graph is not None and not graph.whole:
                judging.note_beyond(member.name, content, graph, dangerous=True)
            judging.budget.check_time()


def _stored(content: bytes, length: int) -> bytes:
    return content


def _inflated(content: bytes, length: int) -> bytes:
    try:
        return zlib.decompressobj(RAW_DEFLATE).decompress(content, length)
    except zlib.error:
        return b""


def _another(content: bytes, length: int) -> bytes:
    """bzip2 and LZMA, which `zipfile` reads, and so `numpy.load` does (APPNOTE 5.8.8: two bytes of version, the length of the properties, the properties)."""
    if not content.startswith(BZIP2_MAGIC) and content[2:4] != LZMA_PROPERTIES:
        return b""
    import bz2
    import lzma

    try:
        if content.startswith(BZIP2_MAGIC):
            return bz2.BZ2Decompressor().decompress(content, length)
        alone = content[4:9] + UNKNOWN_SIZE + content[9:]
        return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=MAX_DICTIONARY_BYTES).decompress(alone, length)
    except (OSError, lzma.LZMAError, MemoryError):
        return b""


def _look(judging: Judging, name: str, start: bytes, length: int, unpack: Callable[[bytes, int], bytes]) -> tuple[bytes, ObjectGraph | None]:
    """The start of a member, and the pickle in it, whole or up to where it breaks off; None where there is none, or more of the member would tell more."""
    content = unpack(start, length)
    if not content:
        return b"", None
    try:
        return content, interpret(content, budget=judging.budget, member=name, encoding="latin1")
    except CheckpointError as error:
        if error.rule == "SL202" and length == LOOK_BYTES and len(content) == length:
            return content, None
        return content, error.partial if isinstance(error.partial, ObjectGraph) else None


def _members(source: ByteSource, claims: object) -> Iterator[tuple[str, ByteSource]]:
    """Name and content, from its first byte on, of what stands behind each header."""
    head = source.read(0, min(source.size, BLOCK_BYTES))
    if not head.startswith(LOCAL_SIGNATURE):
        yield "", source  # what stands in front of an archive: torch reads a pickle there, and zipfile the archive
    if is_tar(head):
        for at, block in _blocks(source):
            yield block[NAME].partition(b"\0")[0].decode("utf-8", "replace"), source.part(at + BLOCK_BYTES)
    for at in _headers(source, claims):
        fields = LOCAL.unpack(source.read(at, LOCAL.size))
        name_bytes, extra_bytes = fields[9], fields[10]
        start = at + LOCAL.size + name_bytes + extra_bytes
        if start < source.size:
            yield source.read(at + LOCAL.size, name_bytes).decode("utf-8", "replace"), source.part(start)


def _regions(source: ByteSource) -> Iterator[tuple[int, bytes]]:
    """The first and the last bytes of the file, and where they begin; a multiple of a tar's blocks."""
    for base in dict.fromkeys((0, max(source.size - REGION_BYTES, 0) // BLOCK_BYTES * BLOCK_BYTES)):
        yield base, source.read(base, min(REGION_BYTES, source.size - base))


def _blocks(source: ByteSource) -> Iterator[tuple[int, bytes]]:
    """The headers of a tar archive, by their checksums, and where they stand."""
    found: dict[int, bytes] = {}
    for base, region in _regions(source):
        for at in range(0, len(region) - 2 * BLOCK_BYTES + 1, BLOCK_BYTES):
            if len(found) < MAX_MEMBERS and region[at] and is_tar(region[at : at + BLOCK_BYTES]):
                found[base + at] = region[at : at + BLOCK_BYTES]
    yield from found.items()


def _headers(source: ByteSource, claims: object) -> list[int]:
    """Where local headers stand, or could."""
    found: dict[int, None] = {}
    for base, region in _regions(source):
        at = region.find(LOCAL_SIGNATURE)
        while at >= 0 and len(found) < MAX_MEMBERS:
            found[base + at] = None
            at = region.find(LOCAL_SIGNATURE, at + 1)
    if isinstance(claims, Claims):
        found.update(dict.fromkeys(member.start for member in claims.members[:MAX_MEMBERS]))
    return [at for at in found if 0 <= at <= source.size - LOCAL.size]
