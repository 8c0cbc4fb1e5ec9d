"""Storages and their devices become a `TransferPlan`: what to allocate, which part of that is which storage, and what to read and copy. A pure function.

The device memory is laid out first. A storage of `large_bytes` or more has an allocation of its own; smaller ones share allocations of up to `batch_bytes`,
in the order in which they stand in the file, each at a multiple of `ALIGNMENT`. Two that stand closer together in the file than `MAX_GAP_BYTES` keep that
distance on the device, so that one read fetches both and what lies between (in a torch zip: a header of some 100 bytes). Then each allocation is cut into
chunks of one slot, and a chunk is one copy to the device, however many storages are in it.

So 20,000 tensors of a torch zip are a few reads and as many copies, and a tensor of 10 GB is read by all threads at once. Chunks lie inside their
allocation, do not overlap, and cover every byte of every storage exactly once: `tests/placement/test_plan.py` holds that for generated files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from safeload.errors import StorageError
from safeload.placement.locations import shown
from safeload.placement.reader import Extent, Readable
from safeload.placement.settings import ALIGNMENT, Transfer

MAX_GAP_BYTES = 4096 + 512  # bytes between two storages that are read as one: a zip header, and padding to a page where the writer was asked for it
MAX_BYTES = (1 << 63) - 1  # bytes; what any allocator takes for a size


class Wanted(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One storage and the number of the device that it goes to."""

    name: str
    device: int
    nbytes: int
    extent: Extent | None = None  # where it stands in a file as it is
    in_order: bool = False  # has it to be read from its first byte to its last by one thread?


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """Device memory to ask for, once."""

    device: int
    nbytes: int


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of an allocation a storage is."""

    allocation: int  # its place in the plan's list
    offset: int
    nbytes: int


class Fill(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Bytes to put into a slot: from a file (`source`, `start` bytes into it), or from the reader of the storage `name`, `start` bytes into that."""

    at: int  # in the slot
    nbytes: int
    start: int
    source: Readable | None = None
    name: str = ""


class Chunk(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One slot's worth of an allocation: filled by `fills`, then copied to the device at once."""

    allocation: int
    offset: int
    nbytes: int
    fills: tuple[Fill, ...]


class Run(msgspec.Struct, kw_only=True, eq=False):
    """Bytes of an allocation that are read as one: from a file, or from one reader. Grows while the plan is made, and not afterwards."""

    offset: int  # in the allocation
    nbytes: int
    start: int
    source: Readable | None
    name: str
    in_order: bool


class TransferPlan(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The whole of it. Its size grows with the number of storages, not with theirs: tasks are made when they are asked for."""

    allocations: tuple[Allocation, ...]
    slices: dict[str, Slice]
    runs: tuple[list[Run], ...]  # of each allocation
    slot_bytes: int

    def tasks(self) -> Iterator[tuple[Chunk, ...]]:
        """Chunks for one thread, in their order; tasks may be done in any order and at the same time."""
        for number, runs in enumerate(self.runs):
            yield from _tasks(number, runs, self.slot_bytes)

    @property
    def chunk_count(self) -> int:
        """Chunks of all tasks, at most."""
        return sum(-(-allocation.nbytes // self.slot_bytes) for allocation in self.allocations)

    @property
    def longest(self) -> int:
        """Bytes of the longest chunk, at most."""
        return min(self.slot_bytes, max((allocation.nbytes for allocation in self.allocations), default=0))

    def device_bytes(self) -> dict[int, int]:
        """Bytes to allocate on each device."""
        found: dict[int, int] = {}
        for allocation in self.allocations:
            found[allocation.device] = found.get(allocation.device, 0) + allocation.nbytes
        return found


def plan_transfer(wanted: Iterable[Wanted], settings: Transfer) -> TransferPlan:
    """The plan. Raises `StorageError` SL402 for a size that no memory can have."""
    layout = _Layout(settings)
    for item in sorted(wanted, key=_file_order()):
        if not 0 <= item.nbytes <= MAX_BYTES:
            raise StorageError(f"storage {shown(item.name)} would hold {item.nbytes:,} bytes, more than any address space", rule="SL402")
        layout.add(item)
    return TransferPlan(
        allocations=tuple(Allocation(device=device, nbytes=end) for device, end in zip(layout.devices, layout.ends, strict=True)),
        slices=layout.slices,
        runs=tuple(layout.runs),
        slot_bytes=settings.slot_bytes,
    )


class _Layout:
    """Puts one storage after the other: the state of the first half."""

    def __init__(self, settings: Transfer) -> None:
        self.settings = settings
        self.devices: list[int] = []
        self.ends: list[int] = []
        self.runs: list[list[Run]] = []
        self.slices: dict[str, Slice] = {}
        self.open: dict[int, int] = {}  # device -> the allocation that small storages go to
        self.empty: dict[int, int] = {}  # device -> the allocation of those without bytes

    def add(self, item: Wanted) -> None:
        """Find a place for one storage."""
        if not item.nbytes:
            number = self.empty[item.device] if item.device in self.empty else self.empty.setdefault(item.device, self._new(item.device))
            self.slices[item.name] = Slice(allocation=number, offset=0, nbytes=0)
            return
        own = item.nbytes >= self.settings.large_bytes or (item.in_order and item.nbytes > self.settings.slot_bytes)
        number, offset, run = (self._new(item.device), 0, None) if own else self._shared(item)
        self.slices[item.name] = Slice(allocation=number, offset=offset, nbytes=item.nbytes)
        self.ends[number] = offset + item.nbytes
        if run is not None:
            run.nbytes = offset + item.nbytes - run.offset
            return
        extent = item.extent
        source, start = (None, 0) if extent is None else (extent.source, extent.offset)
        self.runs[number].append(Run(offset=offset, nbytes=item.nbytes, start=start, source=source, name=item.name, in_order=item.in_order))

    def _shared(self, item: Wanted) -> tuple[int, int, Run | None]:
        """Allocation and offset of a small storage, and the read that fetches it too."""
        number = self.open.get(item.device)
        if number is not None:
            run = self.runs[number][-1]
            offset = _near(run, item)
            if offset is not None and offset + item.nbytes <= self.settings.batch_bytes:
                return number, offset, run
            offset = _up(self.ends[number], ALIGNMENT)
            slot = self.settings.slot_bytes
            if item.in_order and offset // slot != (offset + item.nbytes - 1) // slot:
                offset = _up(offset, slot)  # it must not be cut
            if offset + item.nbytes <= self.settings.batch_bytes:
                return number, offset, None
        number = self.open[item.device] = self._new(item.device)
        return number, 0, None

    def _new(self, device: int) -> int:
        self.devices.append(device)
        self.ends.append(0)
        self.runs.append([])
        return len(self.devices) - 1


def _near(run: Run, item: Wanted) -> int | None:
    """The offset at which a storage keeps its distance in the file from what was read last; None where it is too far, before it, or not aligned."""
    if run.source is None or item.extent is None or run.source is not item.extent.source:
        return None
    distance = item.extent.offset - run.start
    if distance % ALIGNMENT or not 0 <= distance - run.nbytes <= MAX_GAP_BYTES:
        return None
    return run.offset + distance


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _file_order() -> Callable[[Wanted], tuple[int, int]]:
    """By place in the file, so that neighbours meet; what has none comes after it, in the order given. Sources in the order in which they are met."""
    seen: dict[int, int] = {}

    def key(item: Wanted) -> tuple[int, int]:
        if item.extent is None:
            return (1 << 62, 0)
        return seen.setdefault(id(item.extent.source), len(seen)), item.extent.offset

    return key


def _tasks(allocation: int, runs: Sequence[Run], slot: int) -> Iterator[tuple[Chunk, ...]]:
    """An allocation cut at multiples of a slot. A run that must be read in order is alone in its allocation, or lies within one chunk."""
    if len(runs) == 1 and runs[0].in_order:
        yield tuple(_chunks(allocation, runs, slot))
        return
    for chunk in _chunks(allocation, runs, slot):
        yield (chunk,)


def _chunks(allocation: int, runs: Sequence[Run], slot: int) -> Iterator[Chunk]:
    fills: list[Fill] = []
    first, end = 0, 0  # of the chunk's bytes, in the allocation
    for run in runs:
        position, stop = run.offset, run.offset + run.nbytes
        while position < stop:
            cut = min(stop, (position // slot + 1) * slot)
            if fills and position // slot != first // slot:
                yield Chunk(allocation=allocation, offset=first, nbytes=end - first, fills=tuple(fills))
                fills = []
            if not fills:
                first = position
            start = run.start + position - run.offset
            fills.append(Fill(at=position - first, nbytes=cut - position, start=start, source=run.source, name=run.name))
            position = end = cut
    if fills:
        yield Chunk(allocation=allocation, offset=first, nbytes=end - first, fills=tuple(fills))
