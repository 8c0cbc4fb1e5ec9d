"""A zip archive by torch.save becomes a `Document`: the one pickle of it. The steps that other archives share with it stand here, too.

Members that no torch release writes, and storages that nothing refers to, are looked into: no reader of ours opens them, another program might.
Refuses bytes behind the pickle's STOP (SL207) and members that cannot be judged (SL122).
"""

from __future__ import annotations

from safeload.containers.base import STORED, Container, Member
from safeload.containers.sniff import HEAD_BYTES, NPY_MAGIC, is_legacy, is_msgpack, is_safetensors, is_tar, sniff
from safeload.containers.zip_end import LOCAL_SIGNATURE
from safeload.containers.zip_local import located
from safeload.errors import StreamError
from safeload.formats.judging import Judging
from safeload.machine.nodes import ObjectGraph
from safeload.source import ByteSource
from safeload.storage.records import Document, Plan

CRC_CHUNK_BYTES = 1 << 20


def read_torch_zip(judging: Judging, container: Container) -> Document | None:
    """The plan of `data.pkl`."""
    plans = [stream(judging, container, container.members[name]) for name in container.pickles]
    unreferenced(judging, container)
    for member in container.members.values():
        if member.role == "unknown" and member.size and not look_into(judging, member):
            judging.find("SL122", f"a member of {member.size:,} bytes that torch.save does not write and safeload cannot judge", member=member.name)
    return plans[0] if len(plans) == 1 else None


def source_of(judging: Judging, member: Member) -> ByteSource:
    """The content of a member as a source: a part of the file, or private memory for what has to be inflated."""
    if member.method == STORED:
        member = located(judging.source, member)
        return judging.source.part(member.offset, member.size)
    return ByteSource(name=member.name, size=member.size, buffer=bytearray(judging.member_bytes(member)))


def is_file(source: ByteSource) -> bool:
    """Is this a file of a format with a name, whether or not it is read, and no bare pickle?"""
    from safeload.containers.compressed import codec_of

    head = source.read(0, min(source.size, HEAD_BYTES))
    if is_archive(source) or is_safetensors(head, source.size) or codec_of(head) is not None or is_msgpack(head):
        return True
    found = sniff(head, source.size)
    return found is not None and found.rule == "SL002"


def is_archive(source: ByteSource) -> bool:
    """The same for the formats that no number begins like, but once in four billion."""
    head = source.read(0, min(source.size, HEAD_BYTES))
    return head.startswith((LOCAL_SIGNATURE, NPY_MAGIC)) or is_legacy(head) or is_tar(head)


def look_into(judging: Judging, member: Member) -> bool:
    """Judge a member that has no meaning in its archive, so that a payload in it is named. True for a pickle, of which there is no more to be said.

    A whole file is judged as one, and stays a member that nobody writes there.
    """
    source = source_of(judging, member)
    if is_file(source):
        judging.nested(source, member.name)
        return False
    return judging.probe(member)


def check_crc(judging: Judging, member: Member) -> None:
    """Hold the bytes of a stored member against the CRC-32 that the directory records, if it does; a wrong one is a finding (SL115)."""
    if not member.crc:
        return
    import zlib

    member, crc = located(judging.source, member), 0
    for at in range(0, member.size, CRC_CHUNK_BYTES):
        crc = zlib.crc32(judging.source.read(member.offset + at, min(CRC_CHUNK_BYTES, member.size - at)), crc)
    if crc != member.crc:
        judging.find("SL115", f"the bytes have the CRC-32 {crc:#010x}, and the directory records {member.crc:#010x}", member=member.name)


def stream(judging: Judging, container: Container, member: Member) -> Plan | None:
    """The one stream of a pickle member."""
    data = judging.pickle_bytes(member)
    graph = judging.interpret(data, member=member.name)
    plan = judging.judged(container, member.name, data, graph)
    if graph.end != len(data):
        raise _trailing(member, data, graph)
    return plan


def _trailing(member: Member, data: bytes, graph: ObjectGraph) -> StreamError:
    what = f"{len(data) - graph.end:,} bytes follow the end of the pickle, and nothing accounts for them"
    return StreamError(what, rule="SL207", member=member.name, offset=graph.end)


def judge_whole(judging: Judging, member: Member) -> None:
    """A pickle member of which only the names matter: nothing is built from it."""
    data = judging.pickle_bytes(member)
    graph = judging.interpret(data, member=member.name)
    judging.vetted_only(member.name, data, graph)
    if graph.end != len(data):
        raise _trailing(member, data, graph)


def unreferenced(judging: Judging, container: Container) -> None:
    """Note the storages that no tensor stands on, and judge those that are pickles. Where a stream was refused, nobody knows what it would have used."""
    if any(finding.level == "error" for finding in judging.findings):
        return
    for key, member in container.storages.items():
        if key not in judging.used and member.size:
            judging.find("SL123", f"storage {key[:40]!a} ({member.size:,} bytes) belongs to no tensor", level="note", member=member.name)
            source = source_of(judging, member)
            if is_archive(source):
                judging.nested(source, member.name)
            else:
                judging.probe(member)


def text_or_unknown(judging: Judging, member: Member) -> None:
    """A member that is no pickle and has no meaning: what is text is no program for any loader; what is neither is not known (SL122)."""
    try:
        judging.member_bytes(member).decode("utf-8")
    except UnicodeDecodeError:
        from safeload.containers.named import recognise

        found = recognise(source_of(judging, member))
        what = f"a member of {member.size:,} bytes that safeload cannot judge" if found is None else f"{found.what} of {member.size:,} bytes, {found.reason}"
        judging.find("SL122", what, member=member.name)
