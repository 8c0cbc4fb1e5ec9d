"""A file without an archive around it becomes one `Document`: bare pickles and torch's sequential saves, one behind the other.

Each is judged, until every byte belongs to one. Offsets in the first count from the start of the file; those in a later one from its own start, and its
`member` is called `object 2`, `object 3` ... Refuses what follows the last STOP and is no pickle (SL207).
"""

from __future__ import annotations

import msgspec

from safeload.containers.base import Container, Member
from safeload.containers.sniff import HEAD_BYTES, is_legacy
from safeload.errors import CheckpointError, LimitExceeded, StreamError
from safeload.formats.cut import explain_stream
from safeload.formats.joblib import Arrays, importable
from safeload.formats.judging import NESTED, Judging
from safeload.formats.legacy import FIRST_WINDOW_BYTES, LATER_WINDOW_BYTES, WINDOW_GROWTH, Window, read_sequential
from safeload.machine.interpret import interpret
from safeload.machine.nodes import ObjectGraph
from safeload.policy.vetted import External
from safeload.source import ByteSource
from safeload.storage.records import Document, Plan

AS_PICKLE = "as a plain pickle"
MAX_STREAMS = 10_000  # pickles and saves behind each other in one file


def read(judging: Judging, container: Container) -> Document | None:
    """The one object of the file; None where there are several, or one that was not accepted. `judging.ends` says where each one ends."""
    end, plan = 0, None
    while True:
        start, number = end, len(judging.ends) + 1
        part = judging.source if not start else judging.source.part(start)
        try:
            plan, length = _object(judging, container, part, f"object {number}" if start else None)
        except StreamError as error:
            if not start or _has_globals(error.partial):
                raise
            raise StreamError(f"{part.size:,} bytes follow, and are no pickle", rule="SL207", offset=start) from error
        end = start + length
        judging.ends.append(end)
        judging.container = msgspec.structs.replace(judging.container or container, accounted=end)
        if end == judging.source.size or (judging.options.first_only and not judging.wrappers):  # a place in inflated bytes is none in the file
            return plan if number == 1 else None
        if number >= MAX_STREAMS:
            raise StreamError(f"more than {MAX_STREAMS:,} pickles follow each other", rule="SL207", offset=end)


def _object(judging: Judging, container: Container, part: ByteSource, member: str | None) -> tuple[Plan | None, int]:
    """One save or one bare pickle, and how long it is."""
    options = judging.options
    window = Window(part, judging.budget, member, options.encoding, options.errors, LATER_WINDOW_BYTES if member or part.is_sparse else FIRST_WINDOW_BYTES)
    try:
        if is_legacy(window.data[:HEAD_BYTES]):
            save = read_sequential(window)
            if not member:
                judging.container = save.container
            return judging.judged(save.container, member or "", window.data, save.graph), save.end
        graph, arrays = window.interleaved()
    except CheckpointError as error:
        if not member:
            explain_stream(error, judging.source.size)
        judging.note_partial(member or "", window.data, error, external=_unread(error.partial), more=part)
        _judge_objects(judging, window)
        _judge_streams(judging, window, error)
        raise
    if not arrays.extents and not arrays.objects:
        return judging.judged(container, member or "", window.data, graph), graph.end
    return _joblib(judging, container, window, graph, arrays), graph.end


def _joblib(judging: Judging, container: Container, window: Window, graph: ObjectGraph, arrays: Arrays) -> Plan | None:
    """A pickle with joblib's arrays in it. A plain unpickler reads on where an array begins, so what it would find there is judged as well."""
    members = {member.name: member for member in arrays.extents.values()}
    container = msgspec.structs.replace(container, format="joblib", source=window.source, members={**container.members, **members})
    if not window.member:
        judging.container = container
    _judge_objects(judging, window)
    if arrays.plain:
        _second_reading(judging, window, graph)
    return judging.judged(container, window.member or "", window.data, graph, external=External(extents=arrays.extents))


def _judge_objects(judging: Judging, window: Window) -> None:
    """The pickles that stand for arrays of Python objects, or what was read of them."""
    prefix = f"{window.member}{NESTED}" if window.member else ""
    for name, data, nested in window.objects:
        judging.vetted_only(prefix + name, data, nested)
        if not nested.whole:
            judging.note_beyond(prefix + name, data, nested)


def _judge_streams(judging: Judging, window: Window, error: CheckpointError) -> None:
    """The pickles of a save that does not fit together. Where one of them broke off, only those before it: it was judged itself."""
    if not window.streams:
        return
    for graph in window.streams if isinstance(error.partial, ObjectGraph) else window.unexplained():
        if graph.log:
            judging.named_only(window.member or "", window.data, graph)


def _second_reading(judging: Judging, window: Window, graph: ObjectGraph) -> None:
    """What a plain unpickler would make of the file. Numbers are seldom opcodes: it breaks off at once, unless somebody wrote a payload there."""
    source, data = window.source, window.data
    while True:
        opcodes, broken = judging.budget.opcodes, None
        try:
            found: object = interpret(data, budget=judging.budget, member=window.member, encoding="latin1", lenient=True)
        except CheckpointError as error:
            found, broken = error.partial, error
            if error.rule == "SL202" and len(data) < min(source.size, judging.limits.pickle_bytes):
                judging.budget.opcodes = opcodes
                data = source.read(0, min(source.size, len(data) * WINDOW_GROWTH))
                continue
        break
    if isinstance(found, ObjectGraph) and importable(found.globals.keys() - graph.globals.keys()):
        judging.vetted_only(f"{window.member or ''}{AS_PICKLE}", data, found, external=_unread(found))
    if isinstance(broken, LimitExceeded):  # where it would have ended, nobody knows
        judging.stopped(broken)


def _unread(partial: object) -> External:
    """For a stream that broke off: whether the elements of its arrays would have been there is not what stands against it."""
    count = len(partial.log) if isinstance(partial, ObjectGraph) else 0
    return External(extents=dict.fromkeys(range(count), Member(name="", offset=0, size=0, stored_size=0, role="storage")))


def _has_globals(partial: object) -> bool:
    return isinstance(partial, ObjectGraph) and bool(partial.globals)
