"""A zip archive that was refused becomes the names that the pickles in it ask for, as far as its local headers lead to them.

torch and zipfile read many archives that this package refuses: bytes behind the end, gaps, headers that contradict the directory. The file is refused already,
and nothing here makes it acceptable; but a payload in it is named, because who reads "bytes follow the archive" may otherwise take it for damage.
No directory is trusted, and none is needed: a local header says where a member begins, and a pickle says itself where it ends. Looked for in
the first and the last `REGION_BYTES` of the file, and where the directory says (`Claims`); the first bytes of a member are read, and not all. Refuses nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress

from safeload.containers.base import DEFLATED, Claims
from safeload.containers.inflate import RAW_DEFLATE
from safeload.containers.zip_end import LOCAL_SIGNATURE
from safeload.containers.zip_local import LOCAL
from safeload.errors import CheckpointError
from safeload.formats.judging import Judging
from safeload.limits import KIB, MIB
from safeload.machine.interpret import interpret
from safeload.machine.nodes import ObjectGraph
from safeload.source import ByteSource

REGION_BYTES = 8 * MIB  # searched for local headers at either end: torch writes the pickle first, and `zip -u` puts what is new last
MAX_MEMBERS = 4096  # that are looked at
LOOK_BYTES = 64 * KIB  # of a member that are read, and inflated
LONG_BYTES = 4 * MIB  # the same for a pickle that goes on
MAX_LONG = 64  # of those


def judge_members(judging: Judging, error: CheckpointError) -> None:
    """Put the names in the pickles of a refused zip to the policy. The caller has seen that the file is refused, and why."""
    if not error.rule.startswith("SL1") and error.rule != "SL004":
        return
    source, longer = judging.file, MAX_LONG
    with suppress(CheckpointError):  # the time is over, or the file has changed
        for name, method, data in _members(source, _headers(source, error.partial)):
            content, graph = _look(judging, name, method, data, LOOK_BYTES)
            if graph is None and longer:
                longer -= 1
                content, graph = _look(judging, name, method, data, LONG_BYTES)
            if graph is not None and graph.globals:
                judging.named_only(name, content, graph)
            judging.budget.check_time()


def _look(judging: Judging, name: str, method: int, data: ByteSource, length: int) -> tuple[bytes, ObjectGraph | None]:
    """The start of a member, and the pickle in it, whole or up to where it breaks off; None where more of the member would tell more."""
    content = data.read(0, min(data.size, length))
    if method == DEFLATED:
        try:
            content = zlib.decompressobj(RAW_DEFLATE).decompress(content, length)
        except zlib.error:
            return b"", _look(judging, name, 0, data, length)[1]  # the header may say what the directory does not
    try:
        return content, interpret(content, budget=judging.budget, member=name, encoding="latin1")
    except CheckpointError as error:
        if error.rule == "SL202" and length == LOOK_BYTES and len(content) == length:
            return content, None
        return content, error.partial if isinstance(error.partial, ObjectGraph) else None


def _members(source: ByteSource, headers: list[int]) -> Iterator[tuple[str, int, ByteSource]]:
    """Name, method and content, from its first byte on, of what stands behind each local header."""
    for at in headers:
        fields = LOCAL.unpack(source.read(at, LOCAL.size))
        method, name_bytes, extra_bytes = fields[3], fields[9], fields[10]
        start = at + LOCAL.size + name_bytes + extra_bytes
        if start < source.size:
            yield source.read(at + LOCAL.size, name_bytes).decode("utf-8", "replace"), method, source.part(start)


def _headers(source: ByteSource, claims: object) -> list[int]:
    """Where local headers stand, or could."""
    found: dict[int, None] = {}
    for base in dict.fromkeys((0, max(source.size - REGION_BYTES, 0))):
        region = source.read(base, min(REGION_BYTES, source.size - base))
        at = region.find(LOCAL_SIGNATURE)
        while at >= 0 and len(found) < MAX_MEMBERS:
            found[base + at] = None
            at = region.find(LOCAL_SIGNATURE, at + 1)
    if isinstance(claims, Claims):
        found.update(dict.fromkeys(member.start for member in claims.members[:MAX_MEMBERS]))
    return [at for at in found if 0 <= at <= source.size - LOCAL.size]
