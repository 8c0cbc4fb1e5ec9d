"""A zip or tar that torch did not write becomes an OrderedDict of what its members hold: `"folder/model.pth"` to value.

Every member is judged as the file that it is, by content: a pickle, a checkpoint, an array, another archive. What is text is no program for any loader, and no
part of the value. Refuses an archive in which nothing can be loaded (SL002), and beside something that can: code (SL124), and members that nothing
here can judge (SL122). Stable-Baselines3's pickles in base64 are judged too (`serialized`); TorchServe runs the code in a model archive, so it is named.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from safeload.containers.base import STORED, Container, Member
from safeload.containers.detect import NEWEST_PROTOCOL, PROTO
from safeload.containers.json_strict import BadJson, parse
from safeload.containers.shard_index import KERAS_CLASS
from safeload.containers.torch_archive import CODE_SUFFIXES, MAX_JSON_BYTES
from safeload.errors import CheckpointError, LimitExceeded
from safeload.formats.archive import check_crc, is_file, source_of, text_or_unknown
from safeload.formats.beyond import Beyond
from safeload.formats.code import judge_code
from safeload.formats.judging import NESTED, Judging
from safeload.formats.keras import CONFIG, judge_config
from safeload.formats.package import PREFIX
from safeload.machine.interpret import interpret
from safeload.machine.nodes import ObjectGraph
from safeload.source import ByteSource
from safeload.storage.records import Document, Group, Unbuilt

SB3_MARK, SB3_DATA, SB3_KEY = "_stable_baselines3_version", "data", ":serialized:"  # stable_baselines3/common/save_util.py

VALUE_SUFFIXES = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib", ".npy", ".npz", ".safetensors")
"""Content decides what a member is; one with such a name that is none of it is broken, and not text (its own reader says so)."""


def read(judging: Judging, container: Container) -> Document | None:
    """A group with one part for each member that holds a value; None where one of them was not accepted, or there is none; unbuilt as one of them is.

    1. The members that are files. 2. Stable-Baselines3's base64, and what describes a Keras model. 3. What else is in the archive, where anything would be
    loaded from it.
    """
    container = judging.container = replace(container, members={name: _with_role(member) for name, member in container.members.items()})
    # 1
    parts: dict[str, Document | None] = {}
    others: list[Member] = []
    for name, member in container.members.items():
        if not member.size:
            continue
        source = source_of(judging, member)
        if member.role != "code" and (is_file(source) or name.lower().endswith(VALUE_SUFFIXES) or _is_pickle(judging, source)):
            parts[name] = _value(judging, source, name)
            if member.method == STORED and (member.size <= judging.limits.pickle_bytes or judging.options.verify == "crc"):
                check_crc(judging, member)  # what is longer is numbers for the most part, as in an archive by torch
        else:
            others.append(member)
    # 2
    serialized(judging, container)
    _described(judging, container)
    # 3
    if not parts:
        judging.find("SL002", container.detail)
        return None
    judge_code(judging, container, PREFIX)
    for member in others:
        if member.role != "code":
            text_or_unknown(judging, member)
    unbuilt = next((part for part in parts.values() if isinstance(part, Unbuilt)), None)
    if unbuilt is not None:
        return Unbuilt(what=f"an archive with {unbuilt.what} in it", hint=unbuilt.hint)
    whole = {name: part for name, part in parts.items() if part is not None}
    return Group(parts=whole) if len(whole) == len(parts) else None


def _described(judging: Judging, container: Container) -> None:
    """The description of a Keras model, which says what Keras would import and run for it."""
    member = container.members.get(CONFIG)
    if member is None or not member.size:
        return
    data = judging.member_bytes(member)
    if KERAS_CLASS in data:
        judging.container = replace(container, format="keras")
        judge_config(judging, data, member.name)


def _with_role(member: Member) -> Member:
    return replace(member, role="code") if member.role == "unknown" and member.name.endswith(CODE_SUFFIXES) else member


def _is_pickle(judging: Judging, source: ByteSource) -> bool:
    """By its PROTO; below protocol 2 there is none, and it is a pickle if it reads as one.

    A payload needs a name, so bytes without any name in front of their first error are none. Reading counts, and a pickle of the old protocols is read again.
    """
    head = source.read(0, min(source.size, 2))
    if head[0] == PROTO and len(head) > 1 and head[1] <= NEWEST_PROTOCOL:
        return True
    if source.size > judging.limits.pickle_bytes:
        return False
    data = source.read(0, source.size)
    try:
        interpret(data, budget=judging.budget, member=source.name, encoding="latin1")
    except CheckpointError as error:
        partial = error.partial
        return isinstance(partial, ObjectGraph) and (bool(partial.globals) or Beyond(data, 0, partial, judging.budget.check_time).dangerous())
    return True


def _value(judging: Judging, source: ByteSource, name: str) -> Document | None:
    """The one value of a member; that it holds none, or several, is a finding."""
    before = len(judging.findings)
    try:
        document = judging.nested(source, name, unbuilt=True)
    except LimitExceeded as error:
        if judging.depth < judging.limits.container_depth:
            raise
        judging.stopped(error)  # as deep as it goes: the members beside this one are judged all the same
        return None
    if document is None and not any(finding.level == "error" for finding in judging.findings[before:]):
        judging.find("SL002", "the member holds several objects behind each other, and a value is one", member=name)
    return document


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
