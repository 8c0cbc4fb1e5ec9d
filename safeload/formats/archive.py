"""A zip archive becomes a `Document`: the one pickle of a torch zip. Of a zip that torch.save did not write, the members are judged and nothing loads.

Members that no torch release writes, and storages that nothing refers to, are looked into: no reader of ours opens them, another program might.
Refuses bytes behind the pickle's STOP (SL207) and members that cannot be judged (SL122).
"""

from __future__ import annotations

from typing import Any

from safeload.containers.base import STORED, Container, Member
from safeload.containers.compressed import codec_of
from safeload.containers.json_strict import BadJson, parse
from safeload.containers.npy import MAGIC
from safeload.containers.sniff import HEAD_BYTES, is_legacy, is_safetensors, is_tar
from safeload.containers.torch_archive import MAX_JSON_BYTES
from safeload.containers.zip_end import LOCAL_SIGNATURE
from safeload.errors import CheckpointError, StreamError
from safeload.formats.judging import NESTED, Judging
from safeload.machine.interpret import interpret
from safeload.machine.nodes import ObjectGraph
from safeload.source import ByteSource
from safeload.storage.records import Document, Plan

SB3_MARK, SB3_DATA, SB3_KEY = "_stable_baselines3_version", "data", ":serialized:"  # stable_baselines3/common/save_util.py


def read_torch_zip(judging: Judging, container: Container) -> Document | None:
    """The plan of `data.pkl`."""
    plans = [stream(judging, container, container.members[name]) for name in container.pickles]
    unreferenced(judging, container)
    for member in container.members.values():
        if member.role == "unknown" and member.size and not judging.probe(member):
            judging.find("SL122", f"a member of {member.size:,} bytes that torch.save does not write and safeload cannot judge", member=member.name)
    return plans[0] if len(plans) == 1 else None


def read_plain_zip(judging: Judging, container: Container) -> Document | None:
    """Nothing to load; pickles and checkpoints among the members are judged, and a payload in them named."""
    members(judging, container)
    serialized(judging, container)
    return None


def members(judging: Judging, container: Container) -> None:
    """Judge each member as the file that it is, or as a pickle."""
    for name, member in container.members.items():
        if member.size:
            source = source_of(judging, member)
            if is_file(source):
                judging.nested(source, name)
            else:
                judging.probe(member)


def source_of(judging: Judging, member: Member) -> ByteSource:
    """The content of a member as a source: a part of the file, or private memory for what has to be inflated."""
    if member.method == STORED:
        return judging.source.part(member.offset, member.size)
    return ByteSource(name=member.name, size=member.size, buffer=bytearray(judging.member_bytes(member)))


def is_file(source: ByteSource) -> bool:
    """Is this a file of a format that safeload reads, by its first bytes, and no bare pickle?"""
    head = source.read(0, min(source.size, HEAD_BYTES))
    return head.startswith((LOCAL_SIGNATURE, MAGIC)) or is_legacy(head) or is_safetensors(head, source.size) or codec_of(head) is not None or is_tar(head)


def serialized(judging: Judging, container: Container) -> None:
    """Stable-Baselines3 keeps objects as base64 of their cloudpickles in the JSON of the member `data`: each is judged."""
    member = container.members.get(SB3_DATA)
    if member is None or SB3_MARK not in container.members or member.size > MAX_JSON_BYTES:
        return
    try:
        document = parse(judging.member_bytes(member), floats=True)
    except BadJson as error:
        judging.find("SL122", f"the member is no JSON: {error}", member=member.name)
        return
    for key, value in document.items() if type(document) is dict else ():
        text = value.get(SB3_KEY) if type(value) is dict else None
        if text is not None:
            _judge_base64(judging, f"{member.name}{NESTED}{key}", text)


def _judge_base64(judging: Judging, name: str, text: Any) -> None:
    import binascii

    data = b""
    try:
        data = binascii.a2b_base64(text, strict_mode=False) if type(text) is str else b""
        graph = interpret(data, budget=judging.budget, member=name)
    except (binascii.Error, ValueError) as error:
        judging.find("SL122", f"what is called serialized is no base64: {error}", member=name)
    except CheckpointError as error:
        judging.note_partial(name, data, error)
        judging.stopped(error)
    else:
        judging.vetted_only(name, data, graph)


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
            judging.probe(member)


def text_or_unknown(judging: Judging, member: Member) -> None:
    """A member that is no pickle and has no meaning: what is text is no program for any loader; what is neither is not known (SL122)."""
    try:
        judging.member_bytes(member).decode("utf-8")
    except UnicodeDecodeError:
        judging.find("SL122", f"a member of {member.size:,} bytes that safeload cannot judge", member=member.name)
