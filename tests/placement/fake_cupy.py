"""As much of CuPy as safeload uses, over the simulator: its own classes and spellings, real addresses, and the simulator's checks of every step."""

from __future__ import annotations

import types
from typing import Any

import numpy as np

from .simulator import Block, Pinned, Simulator, Stream


class CUDARuntimeError(RuntimeError):
    """cupy.cuda.runtime.CUDARuntimeError"""


class OutOfMemoryError(MemoryError):
    """cupy.cuda.memory.OutOfMemoryError"""


class Memory:
    """cupy.cuda.memory.PooledMemory"""

    def __init__(self, simulator: Simulator, block: Block) -> None:
        self.simulator, self.block = simulator, block

    def free(self) -> None:
        self.simulator.free(self.block)


class Pointer:
    """cupy.cuda.MemoryPointer"""

    def __init__(self, simulator: Simulator, memory: Memory, offset: int = 0) -> None:
        self.simulator, self.mem, self.offset = simulator, memory, offset

    def __add__(self, offset: int) -> Pointer:
        return Pointer(self.simulator, self.mem, self.offset + offset)

    def copy_from_host_async(self, address: int, size: int, stream: FakeStream) -> None:
        source = next((each for each in self.simulator.pinned.values() if each.ctypes.data == address), None)
        assert source is not None, "the source of a copy is no pinned memory"
        if not self.simulator.copy(self.mem.block, self.offset, source, size, stream.inner):
            raise CUDARuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")


class PinnedMemory:
    """cupy.cuda.pinned_memory.PooledPinnedMemory"""

    def __init__(self, simulator: Simulator, block: Pinned) -> None:
        self.simulator, self.block = simulator, block

    def free(self) -> None:
        self.simulator.free_pinned(self.block)


class PinnedPointer(np.ndarray):
    """cupy.cuda.PinnedMemoryPointer: the buffer protocol with signed bytes, an address, and what it belongs to."""

    mem: PinnedMemory
    ptr: int


class FakeStream:
    """cupy.cuda.Stream"""

    def __init__(self, simulator: Simulator, inner: Stream | None = None, *, non_blocking: bool = False) -> None:
        self.simulator, self.non_blocking = simulator, non_blocking
        self.inner = simulator.new_stream() if inner is None else inner

    def record(self, event: FakeEvent | None = None) -> FakeEvent:
        event = FakeEvent(self.simulator) if event is None else event
        event.inner = self.simulator.record(self.inner, event.inner)
        return event

    def wait_event(self, event: FakeEvent) -> None:
        self.simulator.stream_wait(self.inner, event.inner)

    def synchronize(self) -> None:
        self.simulator.synchronize(self.inner)


class FakeEvent:
    """cupy.cuda.Event"""

    def __init__(self, simulator: Simulator, block: bool = False, disable_timing: bool = False) -> None:
        self.simulator = simulator
        self.inner: Any = None

    def synchronize(self) -> None:
        self.simulator.wait(self.inner)


class FakeCupy(types.ModuleType):
    """Goes into `sys.modules['cupy']`."""

    def __init__(self, *, count: int = 2, version: str = "14.2.0", error: str = "", free_bytes: int = 1 << 20, limit: int = 0, eager: float = 0.0) -> None:
        super().__init__("cupy")
        self.__version__ = version
        simulator = self.simulator = Simulator(count=max(count, 1), capacity=free_bytes, eager=eager)
        self.journal = simulator.journal

        class Device:
            def __init__(self, number: int = 0) -> None:
                self.guard = simulator.device(number)

            def __enter__(self) -> None:
                self.guard.__enter__()

            def __exit__(self, *error: Any) -> None:
                self.guard.__exit__(*error)

            def synchronize(self) -> None:
                return None

        def get_device_count() -> int:
            if error:
                raise CUDARuntimeError(error)
            return count

        class Pool:
            def malloc(self, size: int) -> Pointer:
                block = simulator.alloc(size)
                if block is None:
                    raise OutOfMemoryError(f"Out of memory allocating {size} bytes")
                return Pointer(simulator, Memory(simulator, block))

            def free_bytes(self) -> int:
                return 0

            def used_bytes(self) -> int:
                return simulator.used(simulator.current())

            def get_limit(self) -> int:
                return limit

        self.pool = Pool()
        self.allocator = self.pool.malloc

        def alloc_pinned_memory(size: int) -> PinnedPointer:
            block = simulator.alloc_pinned(max(512, 1 << (size - 1).bit_length()))  # CuPy's pool rounds to powers of two
            pointer = np.ndarray(block.shape, np.int8, buffer=block).view(PinnedPointer)
            pointer.mem, pointer.ptr = PinnedMemory(simulator, block), block.ctypes.data
            return pointer

        runtime = types.SimpleNamespace(
            getDeviceCount=get_device_count,
            getDevice=simulator.current,
            memGetInfo=lambda: (simulator.capacity - simulator.used(simulator.current()), simulator.capacity),
            CUDARuntimeError=CUDARuntimeError,
        )
        self.cuda = types.SimpleNamespace(
            Device=Device,
            alloc=lambda size: self.allocator(size),
            alloc_pinned_memory=alloc_pinned_memory,
            get_allocator=lambda: self.allocator,
            get_current_stream=lambda: FakeStream(simulator, simulator.current_stream()),
            Stream=lambda non_blocking=False: FakeStream(simulator, non_blocking=non_blocking),
            Event=lambda block=False, disable_timing=False: FakeEvent(simulator, block, disable_timing),
            runtime=runtime,
            memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        )

    @property
    def current(self) -> int:
        return self.simulator.current()

    def get_default_memory_pool(self) -> Any:
        return self.pool

    def ndarray(self, shape: tuple[int, ...], dtype: Any, *, memptr: Pointer, strides: tuple[int, ...] | None = None) -> np.ndarray[Any, Any]:
        """cupy.ndarray over a memory pointer: checks nothing, so numpy's own check here is one more witness."""
        array = np.ndarray(shape, dtype, buffer=memptr.mem.block, offset=memptr.offset, strides=strides).view(Array)
        array.pointer = memptr
        return array


class Array(np.ndarray):
    """cupy.ndarray: `get` copies to the host."""

    pointer: Pointer

    def get(self) -> np.ndarray[Any, Any]:
        return np.array(self).view(np.ndarray)
