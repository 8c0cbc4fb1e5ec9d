"""Storages whose bytes stand in a stream become storages of it: `torch.storage._load_from_bytes(<a save of one storage>)`, as plain pickle writes them.

`pickle.dump(tensor)` knows no persistent ids, so torch gives it each storage as a call, whose argument is a whole file in torch's sequential format; below
protocol 3 the bytes are spelt `_codecs.encode(text, "latin1")`. Under another unpickler the call is `torch.load(..., weights_only=False)`: a second pickle,
past every check of the first. Here the inner file is read by the machine and judged by the same policy, and must be exactly one storage and nothing else;
then it is data under any loader. What is read so refers to no further bytes: the outer stream and the saves in it are two levels, and there is no third.

Refuses everything else in the place of such bytes (SL304, and what is wrong with them): zips, objects that are no storage, bytes behind the payload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from safeload.budget import Copies
from safeload.containers.base import Container, Member
from safeload.containers.sniff import HEAD_BYTES, is_legacy
from safeload.errors import CheckpointError
from safeload.machine.nodes import Call, Global, ObjectGraph, PersistentId
from safeload.policy.aliases import canonical
from safeload.policy.literals import BadArguments, latin1_bytes
from safeload.policy.model import Allow
from safeload.policy.vetted import External, StorageId
from safeload.source import ByteSource
from safeload.storage.dtypes import DTYPES, STORAGE_TYPES
from safeload.storage.records import StorageRecord

if TYPE_CHECKING:
    from safeload.formats.judging import Judging

CONSTRUCTOR = "storage-bytes"  # of the entry that permits the call
ENCODE = "_codecs.encode"


def with_storages(judging: Judging, container: Container, member: str, graph: ObjectGraph, external: External | None) -> External | None:
    """`external`, and the storages that stand as bytes in this stream. What is wrong with bytes becomes findings; their call stays unexplained."""
    loaders = {node for node in graph.globals.values() if _is_loader(judging, node)}
    if not loaders:
        return external
    external = external or External()
    storages, backing, private = dict(external.storages), dict(external.backing), dict(external.private)
    copies = Copies(judging.limits, graph.end - graph.start)
    for call in graph.log:
        if not isinstance(call, Call) or call.func not in loaders:
            continue
        data = _bytes(call.args)
        if data is None:
            continue
        copies.spend(len(data), member or None, call.offset)  # each call makes a storage of its own, also of the same bytes
        name = f"{member}!/bytes at {call.offset:#x}" if member else f"bytes at {call.offset:#x}"
        found = _storage(judging, data, name)
        if found is not None:
            sid, extent = found
            key = _new_key(call, container)
            storages[call.index] = replace(sid, index=call.index, offset=call.offset, key=key)
            backing[key] = StorageRecord(key=key, dtype=DTYPES[STORAGE_TYPES[sid.storage_type]], nbytes=extent.size, location=sid.location, member=None)
            private[key] = memoryview(data)[extent.offset : extent.offset + extent.size]
    return replace(external, storages=storages, backing=backing, private=private)


def _is_loader(judging: Judging, node: Global) -> bool:
    name, policy = canonical(node.module, node.name), judging.policy
    listed = policy.allow_exact.get(name)  # by most names, it is not one
    return listed is not None and listed.constructor == CONSTRUCTOR and isinstance(policy.decide(name).entry, Allow)


def _bytes(args: tuple[Any, ...]) -> bytes | None:
    """The one argument, if it is bytes, or the call by which protocols below 3 spell them."""
    if len(args) != 1:
        return None
    (data,) = args
    if type(data) is Call and type(data.func) is Global and canonical(data.func.module, data.func.name) == ENCODE:
        try:
            return latin1_bytes(data.args)
        except BadArguments:
            return None
    return data if type(data) is bytes else None


def _new_key(call: Call, container: Container) -> str:
    """A key that names nothing else."""
    key = f"bytes at {call.offset:#x}"
    while key in container.storages:
        key += "'"
    return key


def _storage(judging: Judging, data: bytes, name: str) -> tuple[StorageId, Member] | None:
    """The one storage of a save, and where its elements stand in `data`.

    1. The save, by the reader of such files. 2. The policy. 3. It is one storage and nothing else.
    """
    from safeload.formats.legacy import LATER_WINDOW_BYTES, Window, read_sequential  # few streams hold such bytes

    # 1
    options = judging.options
    source = ByteSource(name=name, size=len(data), buffer=data)
    window = Window(source, judging.budget, name, options.encoding, options.errors, LATER_WINDOW_BYTES)
    if not is_legacy(window.data[:HEAD_BYTES]):
        _refused(judging, source, name)
        return None
    try:
        save = read_sequential(window)
    except CheckpointError as error:
        judging.note_partial(name, window.data, error)
        judging.find(error.rule, error.message, member=name, offset=error.offset)
        return None
    # 2
    judging.opcodes += save.graph.opcodes
    vetted = judging.vetted_only(name, window.data, save.graph)
    # 3
    root = save.graph.root
    sid = vetted.storages.get(root.index) if vetted is not None and type(root) is PersistentId else None
    if vetted is not None and (sid is None or sid.view is not None or any(type(record) is not Global and record is not root for record in save.graph.log)):
        judging.find("SL304", "the bytes hold an object that is not one storage", member=name, offset=save.graph.start)
        return None
    if save.end != len(data):
        judging.find("SL207", f"{len(data) - save.end:,} bytes follow the storage", member=name, offset=save.end)
        return None
    return (sid, save.container.storages[sid.key]) if sid is not None else None


def _refused(judging: Judging, source: ByteSource, name: str) -> None:
    """No save of torch's sequential format. Judged all the same where files may still nest, so that a payload in it is named."""
    judging.find("SL304", "the bytes are no storage, saved by torch in its sequential format", member=name, offset=0)
    if judging.depth + 1 < judging.limits.container_depth:
        judging.nested(source, name)
