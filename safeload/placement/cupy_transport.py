"""CuPy behind the interface of a transfer: CuPy's allocator, pinned memory pool, streams that ignore the legacy default stream, events.

Memory comes from the allocator that the caller has set (CuPy's pool unless told otherwise), on the caller's current stream, so that the pool's books stay
right. Pinned memory comes from CuPy's pinned pool, which keeps it: the next load finds the ring made, and
`cupy.get_default_pinned_memory_pool().free_all_blocks()` gives it back. With `Transfer.direct`, kvikio reads the file by itself, through the descriptor that is
open already: the path is not opened a second time.

Turns what CuPy raises for a full device or a failed driver into `DeviceUnavailable`. Imports CuPy and kvikio inside the methods.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from safeload.errors import DeviceUnavailable
from safeload.placement.reader import Readable


class CupyTransport:
    """See `transport.Transport`."""

    @contextmanager
    def on(self, device: int) -> Iterator[None]:
        """CuPy's own guard, and its errors in our words."""
        cupy = cupy_module()
        try:
            with cupy.cuda.Device(device):
                yield
        except (cupy.cuda.memory.OutOfMemoryError, cupy.cuda.runtime.CUDARuntimeError) as error:
            raise DeviceUnavailable(f'cuda:{device} cannot take the storages ({error}); map_location="cpu" keeps them on the host') from error

    def free_bytes(self, device: int) -> int | None:
        """What the driver has free and CuPy's pool has cached, or less where the pool has a limit. None with an allocator of the caller's own."""
        cupy = cupy_module()
        pool = cupy.get_default_memory_pool()
        if cupy.cuda.get_allocator() != pool.malloc:
            return None
        with self.on(device):
            free = int(cupy.cuda.runtime.memGetInfo()[0]) + int(pool.free_bytes())
            limit = int(pool.get_limit())
            return min(free, limit - int(pool.used_bytes())) if limit else free

    def alloc(self, nbytes: int) -> Any:
        """A `cupy.cuda.MemoryPointer`."""
        return cupy_module().cuda.alloc(nbytes)

    def part(self, memory: Any, offset: int, nbytes: int) -> Any:
        """Pointer arithmetic: the sum keeps the allocation alive."""
        return memory + offset if nbytes and offset else memory

    def free(self, memory: Any) -> None:
        """Back to the pool. Memory of an allocator without a pool goes with its last reference."""
        _give_back(memory.mem)

    def alloc_pinned(self, nbytes: int) -> Any:
        """A `cupy.cuda.PinnedMemoryPointer`."""
        cupy = cupy_module()
        try:
            return cupy.cuda.alloc_pinned_memory(nbytes)
        except cupy.cuda.runtime.CUDARuntimeError as error:
            message = f"no {nbytes:,} bytes of pinned host memory can be had ({error}); transfer=safeload.cupy.Transfer(ring_bytes=...) asks for less"
            raise DeviceUnavailable(message) from error

    def free_pinned(self, block: Any) -> None:
        """Back to the pinned pool."""
        _give_back(block.mem)

    def fork(self) -> Any:
        """A non-blocking stream behind the caller's current one."""
        cuda = cupy_module().cuda
        stream = cuda.Stream(non_blocking=True)
        stream.wait_event(cuda.get_current_stream().record())
        return stream

    def copy(self, memory: Any, offset: int, block: Any, nbytes: int, stream: Any) -> None:
        """cudaMemcpyAsync."""
        (memory + offset).copy_from_host_async(block.ptr, nbytes, stream)

    def record(self, stream: Any, event: Any) -> Any:
        """An event that sleeps while it is waited for: the other threads need the cores."""
        return stream.record(cupy_module().cuda.Event(block=True, disable_timing=True) if event is None else event)

    def wait(self, event: Any) -> None:
        """cudaEventSynchronize, without Python's lock."""
        event.synchronize()

    def synchronize(self, stream: Any) -> None:
        """cudaStreamSynchronize."""
        cupy = cupy_module()
        try:
            stream.synchronize()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceUnavailable(f"CUDA failed while storages were copied ({error})") from error

    def open_direct(self, source: Readable) -> Any:
        """A `kvikio.CuFile`. Raises `DeviceUnavailable` where kvikio is missing."""
        place = source.file_at(0)
        if place is None:
            return None
        try:
            import kvikio  # type: ignore[import-not-found,import-untyped,unused-ignore]
        except ImportError as error:
            raise DeviceUnavailable(f"Transfer(direct=True) needs kvikio ({error}); pip install 'safeload[gds]'") from error
        try:
            return kvikio.CuFile(f"/proc/self/fd/{place[0]}", "r")  # the file that was judged, whatever its path names by now
        except (OSError, RuntimeError) as error:
            raise _not_direct(error) from error

    def read_direct(self, handle: Any, source: Readable, start: int, memory: Any, offset: int, nbytes: int) -> None:
        """`CuFile.read`. Raises `DeviceUnavailable` where kvikio fails or reads less."""
        place = source.file_at(start)
        target = cupy_module().ndarray((nbytes,), "u1", memptr=memory + offset)
        try:
            count = int(handle.read(target, nbytes, place[1] if place is not None else 0))
        except (OSError, RuntimeError) as error:
            raise _not_direct(error) from error
        if count != nbytes:
            raise _not_direct(f"it read {count:,} of {nbytes:,} bytes")

    def close_direct(self, handle: Any) -> None:
        """Close the file."""
        handle.close()


def _not_direct(why: object) -> DeviceUnavailable:
    return DeviceUnavailable(f"kvikio cannot read the file ({why}); without Transfer(direct=True) it goes through host memory")


def cupy_module() -> Any:
    """CuPy, when it is needed and not before."""
    import cupy  # type: ignore[import-not-found,import-untyped,unused-ignore]

    return cupy


def _give_back(memory: Any) -> None:
    if hasattr(memory, "free"):
        memory.free()


CUPY_TRANSPORT = CupyTransport()
