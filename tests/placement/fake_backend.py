"""A device in host memory that keeps books: what was copied, what is alive, who freed what.

It stands in for CUDA in the tests of `placement`: put it into the registry before the built-in entry (`on_cuda`). Its memory is not the host's, so an
upload that forgets to copy shows; a freed block is filled with `FREED`, so a view that outlives its buffer shows.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from safeload.placement import geometry
from safeload.placement.backend import DeviceBuffer, HostBytes
from safeload.placement.registry import deserializer_for, registered

FREED = 0xDD


class Block(np.ndarray):
    """Device memory. A class of its own, so that numpy keeps it as the base of every view."""


class FakeBackend:
    """`count` devices of `capacity` bytes each."""

    def __init__(self, *, name: str = "cuda", count: int = 2, current: int = 0, capacity: int = 1 << 20) -> None:
        self.name = name
        self.count = count
        self.current = current
        self.capacity = capacity
        self.uploads: list[tuple[int, int]] = []  # (device, bytes), in order
        self.live: dict[int, int] = {}  # block number -> bytes
        self.freed: list[int] = []
        self.host_addresses: list[int] = []

    def is_available(self) -> bool:
        return self.count > 0

    def unavailable_because(self) -> str:
        return "" if self.count else "the fake driver is not loaded"

    def device_count(self) -> int:
        return self.count

    def current_device(self) -> int:
        return self.current

    def upload(self, host: HostBytes, device: int) -> DeviceBuffer:
        assert isinstance(host, np.ndarray) and host.dtype == np.uint8 and host.ndim == 1 and host.flags.c_contiguous
        assert 0 <= device < self.count, f"no fake device {device}"
        assert sum(self.live.values()) + host.nbytes <= self.capacity, "fake device memory is full"
        number = len(self.uploads)
        memory = bytearray(host.nbytes)
        self.copy(memory, 0, host, 0, host.nbytes)
        block = Block(host.nbytes, np.uint8, buffer=memory)
        self.uploads.append((device, host.nbytes))
        self.live[number] = host.nbytes
        weakref.finalize(block, self.free, number, memory)
        return DeviceBuffer(memory=block, device=device, nbytes=host.nbytes)

    def copy(self, target: bytearray, to: int, source: HostBytes, start: int, length: int) -> None:
        """memcpy that checks both ends."""
        assert min(to, start, length) >= 0 and to + length <= len(target) and start + length <= source.nbytes, "fake memcpy out of bounds"
        target[to : to + length] = source[start : start + length].tobytes()

    def free(self, number: int, memory: bytearray) -> None:
        assert number in self.live, f"block {number} freed twice or never allocated"
        del self.live[number]
        self.freed.append(number)
        memory[:] = bytes([FREED]) * len(memory)

    def view(self, buffer: DeviceBuffer, dtype: np.dtype[Any], shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Any:
        strides, offset = geometry.checked(buffer.nbytes, dtype, shape, strides, offset)
        return np.ndarray(shape, dtype, buffer=buffer.memory, offset=offset, strides=strides)


@contextmanager
def on_cuda(backend: FakeBackend) -> Iterator[FakeBackend]:
    """The backend in the registry, asked before the built-in `cuda` (20) and after `cpu` (10)."""
    with registered(15, None, deserializer_for(backend)):
        yield backend
