"""A `TransferPlan` becomes memory on devices: file, pinned ring, device, with reading and copying at the same time.

1. Hold the plan against the free memory of each device. 2. Allocate, on the caller's thread and stream. 3. Workers take tasks in file order: each fills a
slot of its own while the one before is copied. 4. Wait for every stream.

Nothing is read before all memory is there. Host memory is the ring and no more. An error, of the file or of the device, in any thread, or Ctrl-C stops all
workers at their next slot; then the streams are waited for and everything is given back before the error goes on. The caller's current device and
stream are those of before, and what the caller puts on any stream afterwards finds the bytes in place.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from heapq import nlargest
from typing import Any

import msgspec

from safeload.errors import DeviceUnavailable
from safeload.placement.locations import shown
from safeload.placement.plan import Chunk, TransferPlan
from safeload.placement.reader import Reader
from safeload.placement.settings import Transfer
from safeload.placement.transport import Transport

MAX_NAMED = 5  # storages in the message about a full device


def transfer(plan: TransferPlan, transport: Transport, readers: Mapping[str, Reader], settings: Transfer, *, family: str = "cuda") -> list[Any]:
    """One filled memory for each allocation of the plan, in its order. Raises `DeviceUnavailable`, and what the readers raise."""
    # 1
    _check_room(plan, transport, family)
    workers = [_Worker(transport, readers, settings, plan.longest) for _ in range(min(settings.workers, plan.chunk_count))]
    memories: dict[int, Any] = {}
    try:
        # 2
        for device, numbers in _by_device(plan).items():
            with transport.on(device):
                for number in numbers:
                    memories[number] = transport.alloc(plan.allocations[number].nbytes)
                for worker in workers:
                    worker.streams[device] = transport.fork()
        # 3
        _run(workers, _Work(plan, memories))
        # 4
        for worker in workers:
            worker.finish()
    except BaseException:
        for worker in workers:
            worker.abandon()
        for memory in memories.values():
            transport.free(memory)
        raise
    finally:
        for worker in workers:
            worker.release()
    return [memories[number] for number in range(len(plan.allocations))]


class _Work:
    """What the workers share."""

    def __init__(self, plan: TransferPlan, memories: Mapping[int, Any]) -> None:
        self.devices = [allocation.device for allocation in plan.allocations]
        self.memories = memories
        self.stop = threading.Event()
        self._tasks = plan.tasks()
        self._taking = threading.Lock()

    def tasks(self) -> Iterator[tuple[Chunk, ...]]:
        """Tasks that no other worker has, until there are none or somebody has failed."""
        while not self.stop.is_set():
            with self._taking:
                task = next(self._tasks, None)
            if task is None:
                return
            yield task


class _Slot(msgspec.Struct, eq=False):
    """Part of the ring. `busy`: what copies out of it may not be over before `event`."""

    block: Any
    event: Any = None
    device: int = 0  # whose event it is
    busy: bool = False


class _Worker:
    """One thread's part: slots and streams of its own, so that no lock is held while bytes move."""

    def __init__(self, transport: Transport, readers: Mapping[str, Reader], settings: Transfer, slot_bytes: int) -> None:
        self.transport = transport
        self.readers = readers
        self.settings = settings
        self.slot_bytes = slot_bytes
        self.streams: dict[int, Any] = {}  # device -> stream
        self.slots: list[_Slot] = []
        self.turn = 0
        self.handles: dict[int, Any] = {}  # id of a source, which the plan keeps alive -> its handle for direct reads
        self.ready: set[int] = set()  # devices whose memory may be written outside of any stream

    def run(self, work: _Work) -> None:
        """Tasks, until there are none. Whoever fails stops the others."""
        try:
            for task in work.tasks():
                device = work.devices[task[0].allocation]
                with self.transport.on(device):
                    for chunk in task:
                        if work.stop.is_set():
                            return
                        self._move(chunk, work.memories[chunk.allocation], device)
        except BaseException:
            work.stop.set()
            raise

    def _move(self, chunk: Chunk, memory: Any, device: int) -> None:
        if self.settings.direct and self._moved_directly(chunk, memory, device):
            return
        slot = self._slot()
        view = memoryview(slot.block).cast("B")
        for fill in chunk.fills:
            target = view[fill.at : fill.at + fill.nbytes]
            if fill.source is not None:
                fill.source.read_into(fill.start, target)
            else:
                self.readers[fill.name].read_into(fill.start, target)
        stream = self.streams[device]
        self.transport.copy(memory, chunk.offset, slot.block, chunk.nbytes, stream)
        slot.event = self.transport.record(stream, slot.event if slot.device == device else None)
        slot.device, slot.busy = device, True

    def _moved_directly(self, chunk: Chunk, memory: Any, device: int) -> bool:
        fill = chunk.fills[0]
        if len(chunk.fills) > 1 or fill.source is None:
            return False
        if id(fill.source) not in self.handles:
            self.handles[id(fill.source)] = self.transport.open_direct(fill.source)
        handle = self.handles[id(fill.source)]
        if handle is None:
            return False
        if device not in self.ready:  # what the caller's stream was given before has to be over: no stream orders a direct read
            self.transport.synchronize(self.streams[device])
            self.ready.add(device)
        self.transport.read_direct(handle, fill.source, fill.start, memory, chunk.offset, fill.nbytes)
        return True

    def _slot(self) -> _Slot:
        """The next slot, when the copy out of it is over. Slots are made at their first turn: a small file does not fill the ring."""
        index = self.turn % self.settings.slots_each
        self.turn += 1
        if index == len(self.slots):
            self.slots.append(_Slot(block=self.transport.alloc_pinned(self.slot_bytes)))
        slot = self.slots[index]
        if slot.busy:
            self.transport.wait(slot.event)
            slot.busy = False
        return slot

    def finish(self) -> None:
        """Wait for all that was begun."""
        for stream in self.streams.values():
            self.transport.synchronize(stream)

    def abandon(self) -> None:
        """The same after a failure, when the device may have nothing more to say."""
        for stream in self.streams.values():
            with suppress(DeviceUnavailable):
                self.transport.synchronize(stream)

    def release(self) -> None:
        """Give the slots back, and the files."""
        for slot in self.slots:
            self.transport.free_pinned(slot.block)
        self.slots.clear()
        for handle in self.handles.values():
            if handle is not None:
                self.transport.close_direct(handle)
        self.handles.clear()


def _run(workers: list[_Worker], work: _Work) -> None:
    """All workers at once, each in a thread; a single one in the caller's."""
    if len(workers) == 1:
        workers[0].run(work)
        return
    with ThreadPoolExecutor(max(len(workers), 1), thread_name_prefix="safeload-transfer") as pool:
        try:
            for future in [pool.submit(worker.run, work) for worker in workers]:
                future.result()
        except BaseException:  # Ctrl-C arrives here
            work.stop.set()
            raise


def _by_device(plan: TransferPlan) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for number, allocation in enumerate(plan.allocations):
        found.setdefault(allocation.device, []).append(number)
    return found


def _check_room(plan: TransferPlan, transport: Transport, family: str) -> None:
    """Raises `DeviceUnavailable` that names the largest storages, where a device has less free memory than the plan would allocate on it."""
    for device, needed in plan.device_bytes().items():
        free = transport.free_bytes(device)
        if free is not None and needed > free:
            raise DeviceUnavailable(
                f"{family}:{device} has {free:,} bytes free, and the storages for it take {needed:,}; the largest: {_largest(plan, device)}. "
                'map_location="cpu" keeps them on the host, a dict or a function spreads them over devices'
            )


def _largest(plan: TransferPlan, device: int) -> str:
    there = [(part.nbytes, name) for name, part in plan.slices.items() if plan.allocations[part.allocation].device == device]
    named = ", ".join(f"{shown(name)} ({nbytes:,} bytes)" for nbytes, name in nlargest(MAX_NAMED, there))
    return named if len(there) <= MAX_NAMED else f"{named}, and {len(there) - MAX_NAMED:,} more"
