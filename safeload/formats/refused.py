"""A zip or tar archive that was refused becomes the names that the pickles in it ask for, as far as its headers lead to them.

torch, zipfile and tarfile read many archives that this package refuses: bytes behind the end, gaps, links, headers that contradict the directory. The file is
refused already, and nothing here makes it acceptable; but a payload in it is named, because who reads "bytes follow the archive" may take it for damage.
No directory is trusted, and none is needed: a header says where a member begins, and a pickle says itself where it ends. Headers are looked for in the first
and the last `REGION_BYTES` of the file, and where the directory says (`Claims`); of a member the first bytes are read, and not all. Refuses nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress

from safeload.containers.base import Claims
from safeload.containers.inflate import RAW_DEFLATE
from safeload.containers.sniff import is_tar
from safeload.containers.tar_header import BLOCK_BYTES, NAME
from safeload.containers.zip_end import LOCAL_SIGNATURE
from safeload.containers.zip_local import LOCAL
from safeload.errors import CheckpointError
from safeload.formats.judging import Judging
from safeload.limits import KIB, MIB
from safeload.machine.interpret import interpret
from safeload.machine.nodes import ObjectGraph
from safeload.source import ByteSource

REGION_BYTES = 8 * MIB  # searched for headers at either end: torch writes the pickle first, and `zip -u` puts what is new last
MAX_MEMBERS = 4096  # that are looked at
LOOK_BYTES = 64 * KIB  # of a member that are read, and inflated
LONG_BYTES = 4 * MIB  # the same for a pickle that goes on
MAX_LONG = 64  # of those


def judge_members(judging: Judging, error: CheckpointError) -> None:
    """Put the names in the pickles of a refused archive to the policy. The caller has seen that the file is refused, and why."""
    if not error.rule.startswith("SL1") and error.rule != "SL004":
        return
    source, longer = judging.file, MAX_LONG
    with suppress(CheckpointError):  # the time is over, or the file has changed
        for name, data in _members(source, error.partial):
            for inflated in (False, True):  # the header may say what the directory does not
                content, graph = _look(judging, name, data, LOOK_BYTES, inflated=inflated)
                if graph is None and content and longer:
                    longer -= 1
                    content, graph = _look(judging, name, data, LONG_BYTES, inflated=inflated)
                if graph is not None and graph.globals:
                    judging.named_only(name, content, graph)
            judging.budget.check_time()


def _look(judging: Judging, name: str, data: ByteSource, length: int, *, inflated: bool) -> tuple[bytes, ObjectGraph | None]:
    """The start of a member, and the pickle in it, whole or up to where it breaks off; None where there is none, or more of the member would tell more."""
    content = data.read(0, min(data.size, length))
    if inflated:
        try:
            content = zlib.decompressobj(RAW_DEFLATE).decompress(content, length)
        except zlib.error:
            return b"", None
    try:
        return content, interpret(content, budget=judging.budget, member=name, encoding="latin1")
    except CheckpointError as error:
        if error.rule == "SL202" and length == LOOK_BYTES and len(content) == length:
            return content, None
        return content, error.partial if isinstance(error.partial, ObjectGraph) else None


def _members(source: ByteSource, claims: object) -> Iterator[tuple[str, ByteSource]]:
    """Name and content, from its first byte on, of what stands behind each header."""
    if is_tar(source.read(0, min(source.size, BLOCK_BYTES))):
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
