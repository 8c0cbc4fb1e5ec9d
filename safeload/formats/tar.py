"""The tar checkpoints of torch 0.1.0 to 0.1.9 become a `Plan`: a pickle that names the storages and tensors of two tables by number.

    storages, tensors   the tables (`tar_tables`)
    pickle              the object; its persistent ids are keys of either table, as ints or as text, or (class, source file, source)
    sys_info            a dict about the writer, which torch never opens

torch refuses the format whenever it is to run no code (CVE-2025-32434 was its forgetting to), and takes it from real files alone; here it is data, from
anywhere. Refuses ids that no table holds (SL403) or that are none (SL306), bytes behind a pickle (SL207), and members that cannot be judged (SL122).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from safeload.containers.base import Container, Member
from safeload.containers.tar import ROLES
from safeload.errors import CheckpointError, ContainerError, StreamError
from safeload.formats.archive import look_into
from safeload.formats.judging import Judging
from safeload.formats.tar_tables import Tables, read_tables
from safeload.machine.nodes import Global, ObjectGraph, PersistentId
from safeload.policy.vetted import External, StorageId
from safeload.storage.records import Document

_ID = re.compile(r"-?[0-9]{1,20}")  # str() of a 64-bit address


def read(judging: Judging, container: Container) -> Document | None:
    """The plan of the object.

    1. Interpret its pickle, so that a payload in it is named whatever else is broken. 2. The tables. 3. Judge the pickle with what they say about its ids.
    4. The other members.
    """
    # 1
    member = container.members["pickle"]
    data = judging.pickle_bytes(member)
    graph = judging.interpret(data, member=member.name)
    # 2
    try:
        tables = read_tables(judging, container)
    except CheckpointError:
        judging.vetted_only(member.name, data, graph, external=_unexplained(graph))
        raise
    # 3
    container = judging.container = msgspec.structs.replace(container, storages=tables.extents, members={**container.members, **tables.members})
    plan = judging.judged(container, member.name, data, graph, external=_external(judging, graph, tables))
    _check_end(graph, len(data), member.name)
    # 4
    for other in container.members.values():
        _judge_other(judging, other)
    return plan


def _external(judging: Judging, graph: ObjectGraph, tables: Tables) -> External:
    """What the tables say about the persistent ids of the object. An id that neither table explains becomes a finding here, and nothing else."""
    storages: dict[int, StorageId] = {}
    tensors: dict[int, Any] = {}
    modules: dict[int, Global] = {}
    for node in graph.log:
        if type(node) is not PersistentId:
            continue
        key = _key(node.pid)
        if key is not None and key in tables.tensors:
            tensors[node.index] = tables.tensors[key]
        elif key is not None and key in tables.storages:
            storages[node.index] = msgspec.structs.replace(tables.storages[key], index=node.index, offset=node.offset)
        elif key is not None:
            judging.find("SL403", f"the object names {key}, and neither table of the archive holds it", member="pickle", offset=node.offset)
        elif _is_module(node.pid):
            modules[node.index] = node.pid[0]
        else:
            judging.find("SL306", "a persistent id of a tar checkpoint is a number, or (class, file, source)", member="pickle", offset=node.offset)
    return External(storages=storages, tensors=tensors, modules=modules, backing=tables.records)


def _unexplained(graph: ObjectGraph) -> External:
    """The same where the tables cannot be read: what the numbers stand for nobody knows, and nothing is built."""
    return External(tensors={node.index: None for node in graph.log if type(node) is PersistentId and _key(node.pid) is not None})


def _key(pid: Any) -> int | None:
    """The number that an id spells: torch calls `int()` on it."""
    if type(pid) is bytes and pid.isascii():
        pid = pid.decode("ascii")
    if type(pid) is str and _ID.fullmatch(pid):
        return int(pid)
    return pid if type(pid) is int else None


def _is_module(pid: Any) -> bool:
    return type(pid) is tuple and len(pid) == 3 and type(pid[0]) is Global and all(part is None or type(part) in (str, bytes) for part in pid[1:])


def _judge_other(judging: Judging, member: Member) -> None:
    """`sys_info`, and whatever else stands in the archive."""
    if member.name == "sys_info":
        data = judging.pickle_bytes(member)
        graph = judging.interpret(data, member=member.name)
        judging.vetted_only(member.name, data, graph)
        _check_end(graph, len(data), member.name)
        if graph.log or type(graph.root) is not dict:
            raise ContainerError("sys_info is a dict about the writer of the archive, and nothing else", rule="SL120", member=member.name)
    elif member.role == "directory" and member.name != "./":
        judging.find("SL120", "a folder stands in the archive, and torch writes none", member=member.name)
    elif member.role == "unknown" and member.name not in ROLES and member.size and not look_into(judging, member):
        judging.find("SL122", f"a member of {member.size:,} bytes that torch does not write and safeload cannot judge", member=member.name)


def _check_end(graph: ObjectGraph, size: int, member: str) -> None:
    if graph.end != size:
        raise StreamError(f"{size - graph.end:,} bytes follow the end of the pickle", rule="SL207", member=member, offset=graph.end)
