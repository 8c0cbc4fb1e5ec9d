"""The sequential format of torch 0.1.10 to 1.5 (`_use_new_zipfile_serialization=False` today) becomes a `Container` and the graph of its object.

Five pickles back to back, then the storages (torch `serialization.py`, `_legacy_save`):

    1. the magic number            4. the object, with storages as persistent ids
    2. the protocol version 1001   5. the keys of the storages, in the order of the payloads
    3. a dict about the writer     6. for each key: int64 number of elements, and that many elements, little-endian

Where a pickle ends is only known by interpreting it, so this reader stands above the machine: it reads each pickle once and takes the boundaries from
the very graphs that are judged (law 2). Refuses names in streams 1 to 3 and 5 (GHSA-97f8-7cmv-76j2 computed the magic number by a call), keys that
are not exactly those of the object (torch leaves a storage without payload as uninitialised heap), and lengths that disagree.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

import msgspec

from safeload.budget import Budget, exceeded
from safeload.containers.base import UNREAD_COUNTS, Container, Member
from safeload.errors import CheckpointError, ContainerError, StreamError
from safeload.formats.joblib import Arrays
from safeload.machine.interpret import interpret
from safeload.machine.nodes import Global, ObjectGraph, PersistentId
from safeload.source import ByteSource
from safeload.storage.dtypes import DTYPES, STORAGE_TYPES

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # torch/serialization.py
PROTOCOL_VERSION = 1001  # torch/serialization.py
FIRST_WINDOW_BYTES = 1 << 20  # of the file read at first: the pickles of most models fit
LATER_WINDOW_BYTES = 1 << 16  # the same for objects behind the first: there may be thousands, and small ones
WINDOW_GROWTH = 8
STREAMS = 5  # pickles in one save
COUNT = Struct("<q")  # before each payload


class Sequential(msgspec.Struct, frozen=True, kw_only=True):
    """One save: its container, the graph of the object, and where the next one could begin."""

    container: Container
    graph: ObjectGraph
    end: int


def read_sequential(window: Window) -> Sequential:
    """The save at the start of the window's source. Raises `StreamError`, `ContainerError`, `LimitExceeded`; offsets count from the start of its source."""
    source, budget = window.source, window.budget
    magic, version, info = window.stream(), window.stream(), window.stream()
    for graph in (magic, version, info):
        if graph.log:
            raise StreamError("a name stands in the header of a legacy file; no torch writes one there", rule="SL120", offset=graph.start)
    if magic.root != MAGIC_NUMBER or type(magic.root) is not int:
        raise ContainerError("the magic number of a legacy file is missing", rule="SL120", offset=0)
    if version.root != PROTOCOL_VERSION or type(version.root) is not int:
        raise ContainerError(f"the protocol version of a legacy file is {PROTOCOL_VERSION}, not {str(version.root)[:40]!a}", rule="SL121", offset=version.start)
    if type(info.root) is not dict:
        raise ContainerError("the third pickle of a legacy file is a dict about its writer", rule="SL120", offset=info.start)
    graph = window.stream()
    keys = window.stream()
    storages, end, unread = _payloads(source, _key_list(keys), declared(graph), keys.end, budget)
    members = {member.name: member for member in storages.values()}
    members["object"] = Member(name="object", offset=0, size=keys.end, stored_size=keys.end, role="pickle")
    container = Container(
        format="torch.legacy",
        source=source,
        members=members,
        pickles=("object",),
        storages=storages,
        accounted=end,
        info={"protocol_version": str(PROTOCOL_VERSION), **({UNREAD_COUNTS: str(unread)} if unread else {})},
    )
    return Sequential(container=container, graph=graph, end=end)


class Window:
    """The part of a file that was read so far; it grows until each pickle ends inside, so payloads of gigabytes behind them are not read."""

    __slots__ = ("budget", "data", "encoding", "errors", "member", "objects", "position", "reach", "source", "streams")

    def __init__(self, source: ByteSource, budget: Budget, member: str | None, encoding: str, errors: str, first: int = FIRST_WINDOW_BYTES) -> None:
        self.source = source
        self.budget = budget
        self.member = member
        self.encoding = encoding
        self.errors = errors
        self.position = 0
        self.data = source.read(0, min(source.size, first))
        self.reach = len(self.data)  # how far the last reading got
        self.streams: list[ObjectGraph] = []  # that were read whole
        self.objects: list[tuple[str, bytes, ObjectGraph]] = []  # pickles inside the last stream that was read: where, their bytes, what they mean

    def stream(self) -> ObjectGraph:
        """The next pickle. A pickle that the window cuts is read again from its start in a larger one: only its last reading counts."""
        graph = self._next(steps_over=False)[0]
        self.streams.append(graph)
        return graph

    def unexplained(self) -> list[ObjectGraph]:
        """Every stream of a save that does not fit together, as far as it can be read: a reader that compares less, or later, runs the names in them."""
        try:
            while len(self.streams) < STREAMS and self.position < self.source.size:
                self.stream()
        except CheckpointError as error:
            if isinstance(error.partial, ObjectGraph):
                return [*self.streams, error.partial]
        return list(self.streams)

    def interleaved(self) -> tuple[ObjectGraph, Arrays]:
        """The next pickle, and the arrays that joblib wrote between its opcodes; their bytes are stepped over, and not read."""
        return self._next(steps_over=True)

    def _next(self, *, steps_over: bool) -> tuple[ObjectGraph, Arrays]:
        limit = self.budget.limits.pickle_bytes
        while True:
            opcodes = self.budget.opcodes
            arrays = Arrays(self)
            self.objects = arrays.objects
            self.reach = len(self.data)
            try:
                graph = interpret(
                    self.data,
                    budget=self.budget,
                    start=self.position,
                    member=self.member,
                    encoding=self.encoding,
                    errors=self.errors,
                    interleaved=arrays if steps_over else None,
                )
            except CheckpointError as error:
                if error.rule != "SL202" or self.reach == self.source.size or len(self.data) - self.position > limit:
                    raise
                self.budget.opcodes = opcodes
                self.data = self.source.read(0, min(self.source.size, len(self.data) * WINDOW_GROWTH, self.position + limit + 1))
            else:
                if graph.end - self.position - arrays.raw_bytes > limit:
                    raise exceeded("pickle_bytes", limit, "a pickle is longer", self.member, self.position)
                self.position = graph.end
                return graph, arrays

    def resumed(self, position: int) -> bytes:
        """The bytes of the stream from a place behind the window on, as many as the window holds."""
        data = self.source.read(position, min(self.source.size - position, len(self.data)))
        self.reach = position + len(data)
        return data


def _key_list(graph: ObjectGraph) -> list[str]:
    """Stream 5: the keys as text; Python 2 wrote 8-bit strings."""
    root = graph.root
    keys = [key.decode("ascii", "replace") if type(key) is bytes else key for key in root] if type(root) is list else None
    if graph.log or keys is None or not all(type(key) is str for key in keys):
        raise ContainerError("the last pickle of a legacy file is the list of its storage keys", rule="SL120", offset=graph.start)
    if len(set(keys)) != len(keys):
        raise ContainerError("a legacy file lists a storage key twice", rule="SL106", offset=graph.start)
    return keys


def declared(graph: ObjectGraph) -> dict[str, tuple[int, int]]:
    """Storage key -> (elements, bytes of one), from the persistent ids of the object; the first id of a key decides, as in torch."""
    found: dict[str, tuple[int, int]] = {}
    for record in graph.log:
        if type(record) is PersistentId and type(record.pid) is str:
            raise StreamError(
                f"a persistent id is the text {record.pid[:40]!a}, which is no storage; torch cannot load such a file either",
                rule="SL120",
                offset=record.offset,
            )
        if type(record) is PersistentId and type(record.pid) is tuple and len(record.pid) in (5, 6):
            cls, key, numel = record.pid[1], _key(record.pid[2]), record.pid[4]
            dtype = STORAGE_TYPES.get(cls.name.rpartition(".")[2]) if type(cls) is Global else None
            if key is not None and dtype is not None and type(numel) is int and 0 <= numel < 1 << 63:
                found.setdefault(key, (numel, DTYPES[dtype].itemsize))
    return found


def _key(value: Any) -> str | None:
    if type(value) is bytes:
        return value.decode("ascii", "replace")
    return value if type(value) is str else str(value) if type(value) is int and 0 <= value < 1 << 63 else None


def _payloads(source: ByteSource, keys: list[str], declared: dict[str, tuple[int, int]], position: int, budget: Budget) -> tuple[dict[str, Member], int, int]:
    """The extents of the payloads, where the last one ends, and how many counts were not read: behind a network, those that are not here already."""
    if set(keys) != set(declared):
        odd = min(set(keys) ^ set(declared))
        raise ContainerError(f"the object and the key list of a legacy file disagree about storage {odd[:40]!a}", rule="SL120", offset=position)
    if len(keys) > budget.limits.members:
        raise exceeded("members", budget.limits.members, "the file holds more storages", None, position)
    storages: dict[str, Member] = {}
    unread = 0
    for key in keys:
        numel, itemsize = declared[key]
        # a request for each would cost more than it tells: the length of the file has to agree with all of them together
        if source.is_sparse and not source.has(position, COUNT.size) and position + COUNT.size <= source.size:
            written, unread = numel, unread + 1
        else:
            (written,) = COUNT.unpack(source.read(position, COUNT.size))
        if written != numel:
            raise ContainerError(f"storage {key[:40]!a} is written with {written:,} elements, and the object says {numel:,}", rule="SL402", offset=position)
        size = numel * itemsize
        position += COUNT.size
        if size > source.size - position:
            missing = size - (source.size - position)
            raise ContainerError(
                f"the file is cut short: {missing:,} bytes of storage {key[:40]!a} and what follows are missing", rule="SL004", offset=position
            )
        storages[key] = Member(name=f"storage {key}", offset=position, size=size, stored_size=size, role="storage")
        position += size
    return storages, position, unread
