"""A device that does everything as late as it may, and checks each step: memory, pinned memory, streams, events.

What CUDA leaves to luck is made certain here. A copy that nobody has waited for has not happened. Memory fresh from the allocator is still in use by a
kernel on the caller's stream, as memory from a pool may be: a copy that does not wait for that stream is overwritten. Pinned memory that changes before
the copy out of it, memory that is freed under a copy, a copy out of bounds or with another device current, a double free: each is an `AssertionError`,
in the thread that did it and again in `settle`, since a thread's error may be swallowed by what it broke.

`eager` is how often work is done early, by a seeded generator: so that both orders of what is not ordered are seen.
"""

from __future__ import annotations

import random
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

FREED = 0xDD
STALE = 0xEE  # what the last user's kernel writes into memory that was given away too early


class Block(np.ndarray):
    """Device memory. A class of its own, so that numpy keeps it as the base of every view; it is free when the last view is."""

    number: int
    gpu: int


class Pinned(np.ndarray):
    """Pinned host memory: signed bytes, as CuPy's has."""

    number: int


class Stream:
    def __init__(self, device: int, number: int) -> None:
        self.device, self.number = device, number
        self.work: list[tuple[Any, ...]] = []  # not done yet, in order
        self.done = 0  # how many are


class Event:
    def __init__(self, device: int) -> None:
        self.device = device
        self.place: tuple[Stream, int] | None = None  # recorded behind that many pieces of work


class Simulator:
    """`count` devices of `capacity` bytes each."""

    def __init__(self, *, count: int = 2, capacity: int = 1 << 24, eager: float = 0.0, seed: int = 0) -> None:
        self.count, self.capacity, self.eager = count, capacity, eager
        self.random = random.Random(seed)
        self.lock = threading.RLock()
        self.thread = threading.local()
        self.null = [Stream(device, -1 - device) for device in range(count)]  # the stream that a thread has without asking
        self.streams: list[Stream] = []
        self.live: dict[int, tuple[int, int]] = {}  # block -> (device, bytes)
        self.finalizers: dict[int, Any] = {}
        self.pinned: dict[int, Pinned] = {}
        self.wrong: list[str] = []
        self.journal: list[str] = []
        self.allocations: list[tuple[int, int]] = []  # (device, bytes), in order
        self.copies: list[tuple[int, int]] = []  # (device, bytes), in order
        self.peak_pinned = 0
        self.blocks = 0
        self.fail_copy: int | None = None  # the number of the copy that the driver refuses

    # ---- what a thread has current --------------------------------------------------------------------------------------------------------

    def current(self) -> int:
        return getattr(self.thread, "device", 0)

    def current_stream(self) -> Stream:
        return getattr(self.thread, "streams", {}).get(self.current(), self.null[self.current()])

    @contextmanager
    def device(self, number: int) -> Iterator[None]:
        self.check(0 <= number < self.count, f"there is no device {number}")
        before, self.thread.device = self.current(), number
        try:
            yield
        finally:
            self.thread.device = before

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        """A stream of the caller's own, current in this thread."""
        before = dict(getattr(self.thread, "streams", {}))
        self.thread.streams = {**before, stream.device: stream}
        try:
            yield
        finally:
            self.thread.streams = before

    # ---- memory ---------------------------------------------------------------------------------------------------------------------------

    def used(self, device: int) -> int:
        return sum(nbytes for there, nbytes in self.live.values() if there == device)

    def alloc(self, nbytes: int) -> Block | None:
        """Memory on the current device; None where it is full."""
        with self.lock:
            device = self.current()
            self.journal.append(f"alloc {nbytes} on device {device}")
            self.check(0 <= nbytes <= 1 << 40, f"an allocator was asked for {nbytes} bytes")
            if self.used(device) + nbytes > self.capacity:
                return None
            memory = bytearray(nbytes)
            block = Block(nbytes, np.uint8, buffer=memory)
            block.number, block.gpu = self.blocks, device
            self.blocks += 1
            self.live[block.number] = (device, nbytes)
            self.allocations.append((device, nbytes))
            self.finalizers[block.number] = weakref.finalize(block, self._gone, block.number, memory)
            self._push(self.current_stream(), ("stale", weakref.ref(block)))
            return block

    def free(self, block: Block) -> None:
        """By hand, before its last view is gone."""
        with self.lock:
            self.check(block.number in self.live, f"block {block.number} is freed twice")
            self.finalizers[block.number].detach()
            self._give_back(block.number)
            block.view(np.ndarray)[:] = FREED

    def _gone(self, number: int, memory: bytearray) -> None:
        with self.lock:
            self._give_back(number)
            memory[:] = bytes([FREED]) * len(memory)

    def _give_back(self, number: int) -> None:
        pending = [work for stream in self.streams for work in stream.work if work[0] == "copy" and work[1].number == number]
        self.check(not pending, f"block {number} is freed while a copy to it is under way")
        self.live.pop(number, None)
        self.journal.append(f"free block {number}")

    def alloc_pinned(self, nbytes: int) -> Pinned:
        with self.lock:
            block = Pinned(nbytes, np.int8, buffer=bytearray(nbytes))
            block.number = len(self.pinned) + self.blocks + (1 << 20)
            while block.number in self.pinned:
                block.number += 1
            self.pinned[block.number] = block
            self.peak_pinned = max(self.peak_pinned, sum(each.nbytes for each in self.pinned.values()))
            return block

    def free_pinned(self, block: Pinned) -> None:
        with self.lock:
            self.check(block.number in self.pinned, "pinned memory is freed twice")
            pending = [work for stream in self.streams for work in stream.work if work[0] == "copy" and work[3] is block]
            self.check(not pending, "pinned memory is freed under a copy")
            self.pinned.pop(block.number, None)
            block.view(np.ndarray).view(np.uint8)[:] = FREED

    # ---- streams --------------------------------------------------------------------------------------------------------------------------

    def new_stream(self) -> Stream:
        with self.lock:
            stream = Stream(self.current(), len(self.streams))
            self.streams.append(stream)
            return stream

    def record(self, stream: Stream, event: Event | None = None) -> Event:
        with self.lock:
            event = Event(self.current()) if event is None else event
            self.check(event.device == stream.device == self.current(), "an event is recorded on a stream of another device")
            event.place = (stream, stream.done + len(stream.work))
            return event

    def stream_wait(self, stream: Stream, event: Event) -> None:
        self._push(stream, ("wait", event.place))

    def copy(self, block: Block, offset: int, source: Pinned, nbytes: int, stream: Stream) -> bool:
        """Begin a copy; False where the driver refuses."""
        with self.lock:
            if self.fail_copy == len(self.copies):
                return False
            device = stream.device
            self.check(device == self.current() == block.gpu, f"a copy on a stream of device {device} to {block.gpu} while {self.current()} is current")
            self.check(stream is not self.null[device], "the caller's stream is used for a copy")
            self.check(block.number in self.live, "a copy to memory that was freed")
            self.check(source.number in self.pinned, "a copy out of memory that is not pinned")
            self.check(0 <= offset and 0 < nbytes and offset + nbytes <= block.nbytes and nbytes <= source.nbytes, "a copy out of bounds")
            self.journal.append(f"copy {nbytes} on device {device}")
            self.copies.append((device, nbytes))
            self._push(stream, ("copy", block, offset, source, nbytes, source.view(np.ndarray)[:nbytes].tobytes()))
            return True

    def wait(self, event: Event) -> None:
        with self.lock:
            assert event.place is not None, "an event that was never recorded is waited for"
            self._advance(*event.place)

    def synchronize(self, stream: Stream) -> None:
        with self.lock:
            self.journal.append(f"synchronize device {stream.device}")
            self._advance(stream, stream.done + len(stream.work))

    def _push(self, stream: Stream, work: tuple[Any, ...]) -> None:
        with self.lock:
            stream.work.append(work)
            while self.random.random() < self.eager:
                busy = [each for each in (*self.null, *self.streams) if each.work]
                if not busy:
                    break
                some = self.random.choice(busy)
                self._advance(some, some.done + 1)

    def _advance(self, stream: Stream, until: int) -> None:
        while stream.done < until and stream.work:
            work = stream.work[0]
            if work[0] == "wait" and work[1] is not None:
                self._advance(*work[1])
            elif work[0] == "copy":
                _, block, offset, source, nbytes, was = work
                now = source.view(np.ndarray)[:nbytes].tobytes()
                self.check(now == was, "pinned memory was changed before the copy out of it")
                block.view(np.ndarray)[offset : offset + nbytes] = np.frombuffer(now, np.uint8)
            elif work[0] == "stale" and (there := work[1]()) is not None and there.number in self.live:
                there.view(np.ndarray)[:] = STALE
            del stream.work[0]
            stream.done += 1

    # ---- the books ------------------------------------------------------------------------------------------------------------------------

    def check(self, right: bool, message: str) -> None:
        if not right:
            self.wrong.append(message)
            raise AssertionError(message)

    def settle(self) -> None:
        """Everything that waits is done now; then nothing may have gone wrong, and no pinned memory may be left."""
        with self.lock:
            for stream in (*self.streams, *self.null):
                self._advance(stream, stream.done + len(stream.work))
        assert self.wrong == []
        assert self.pinned == {}, "pinned memory was not given back"
