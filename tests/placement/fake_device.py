"""The simulator behind `Transport` and `StreamingBackend`: what `place` and `load` see of it, in the tests of everything above CuPy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from safeload.errors import DeviceUnavailable
from safeload.placement import geometry
from safeload.placement.backend import DeviceBuffer
from safeload.placement.reader import HostBytes, HostReader
from safeload.placement.registry import deserializer_for, registered
from safeload.placement.settings import DEFAULT
from safeload.placement.streamed import streamed

from .simulator import Block, Event, Pinned, Simulator, Stream


class FakeTransport:
    """See `safeload.placement.transport.Transport`."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.knows_room = True
        self.direct: list[tuple[int, int]] = []  # (start, bytes)
        self.open_files = 0

    def on(self, device: int) -> AbstractContextManager[None]:
        return self.simulator.device(device)

    def free_bytes(self, device: int) -> int | None:
        return self.simulator.capacity - self.simulator.used(device) if self.knows_room else None

    def alloc(self, nbytes: int) -> Block:
        block = self.simulator.alloc(nbytes)
        if block is None:
            raise DeviceUnavailable("the simulated device is full")
        return block

    def part(self, memory: Block, offset: int, nbytes: int) -> Any:
        assert 0 <= offset and offset + nbytes <= memory.nbytes
        return memory[offset : offset + nbytes]

    def free(self, memory: Block) -> None:
        self.simulator.free(memory)

    def alloc_pinned(self, nbytes: int) -> Pinned:
        return self.simulator.alloc_pinned(nbytes)

    def free_pinned(self, block: Pinned) -> None:
        self.simulator.free_pinned(block)

    def fork(self) -> Stream:
        stream = self.simulator.new_stream()
        self.simulator.stream_wait(stream, self.simulator.record(self.simulator.current_stream()))
        return stream

    def copy(self, memory: Block, offset: int, block: Pinned, nbytes: int, stream: Stream) -> None:
        if not self.simulator.copy(memory, offset, block, nbytes, stream):
            raise DeviceUnavailable("the simulated driver failed")

    def record(self, stream: Stream, event: Event | None) -> Event:
        return self.simulator.record(stream, event)

    def wait(self, event: Event) -> None:
        self.simulator.wait(event)

    def synchronize(self, stream: Stream) -> None:
        self.simulator.synchronize(stream)

    def open_direct(self, source: Any) -> Any:
        if source.file_at(0) is None:
            return None
        self.open_files += 1
        return source

    def read_direct(self, handle: Any, source: Any, start: int, memory: Block, offset: int, nbytes: int) -> None:
        assert handle is source
        self.simulator.check(0 <= offset and offset + nbytes <= memory.nbytes, "a direct read out of bounds")
        self.simulator.check(memory.gpu == self.simulator.current(), "a direct read while another device is current")
        source.read_into(start, memoryview(memory.view(np.ndarray))[offset : offset + nbytes])
        self.direct.append((start, nbytes))

    def close_direct(self, handle: Any) -> None:
        self.open_files -= 1


class FakeStreaming:
    """`StreamingBackend` over a simulator."""

    def __init__(self, simulator: Simulator, *, name: str = "cuda") -> None:
        self.simulator = simulator
        self.name = name
        self.transport = FakeTransport(simulator)

    def is_available(self) -> bool:
        return self.simulator.count > 0

    def unavailable_because(self) -> str:
        return ""

    def device_count(self) -> int:
        return self.simulator.count

    def current_device(self) -> int:
        return self.simulator.current()

    def upload(self, host: HostBytes, device: int) -> DeviceBuffer:
        return streamed({"": (HostReader("", host.nbytes, lambda: host), device)}, self, DEFAULT)[""]

    def view(self, buffer: DeviceBuffer, dtype: np.dtype[Any], shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Any:
        strides, offset = geometry.checked(buffer.nbytes, dtype, shape, strides, offset)
        return np.ndarray(shape, dtype, buffer=buffer.memory, offset=offset, strides=strides)


@contextmanager
def simulated(**how: Any) -> Iterator[FakeStreaming]:
    """Simulated CUDA devices in the registry, asked before the built-in ones; at the end the books are checked."""
    backend = FakeStreaming(Simulator(**how))
    with registered(15, None, deserializer_for(backend)):
        yield backend
    backend.simulator.settle()
