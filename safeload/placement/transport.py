"""The narrow interface between a transfer and a device that copies by itself, as CUDA does: memory, pinned memory, streams, events.

Turns nothing itself. `cupy_transport` fills it with CuPy; the tests fill it with a device that runs its copies as late as the rules allow and checks every one
of them. The rules that a transfer keeps, and a transport may rely on:

- memory is allocated on the caller's thread, with the device made current by `on`; a stream made by `fork` afterwards waits for what the caller's
  current stream had been given until then (a pool hands out memory that a kernel on that stream may still be using),
- a slot of pinned memory is not touched between `copy` and the `wait` for the event that was recorded behind it,
- nothing is freed before every stream was synchronized.

Every method raises `DeviceUnavailable` for what the driver or the allocator refuses.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

from safeload.placement.reader import Readable


class Transport(Protocol):
    """One kind of device. `memory`, `block`, `stream` and `event` are the transport's own objects."""

    def on(self, device: int) -> AbstractContextManager[None]:
        """Make a device current in this thread; on the way out, the one that was."""
        ...

    def free_bytes(self, device: int) -> int | None:
        """Bytes that can be allocated, cached ones included; None where nobody can say (memory that the driver moves, a caller's own allocator)."""
        ...

    def alloc(self, nbytes: int) -> Any:
        """Memory on the current device, from the allocator that the caller has set."""
        ...

    def part(self, memory: Any, offset: int, nbytes: int) -> Any:
        """`nbytes` of a memory from `offset`; keeps the whole of it alive."""
        ...

    def free(self, memory: Any) -> None:
        """Give memory back now, whoever still refers to it. After a failure only."""
        ...

    def alloc_pinned(self, nbytes: int) -> Any:
        """Host memory that the device can read by itself: an object with the buffer protocol, of at least `nbytes`."""
        ...

    def free_pinned(self, block: Any) -> None:
        """Give it back, or to the pool that it came from."""
        ...

    def fork(self) -> Any:
        """A stream of the current device that waits for the caller's current stream, and for no other."""
        ...

    def copy(self, memory: Any, offset: int, block: Any, nbytes: int, stream: Any) -> None:
        """Begin to copy the first `nbytes` of a pinned block into a memory."""
        ...

    def record(self, stream: Any, event: Any) -> Any:
        """An event behind what a stream has been given; `event` is one to use again, or None."""
        ...

    def wait(self, event: Any) -> None:
        """Wait on the host for an event."""
        ...

    def synchronize(self, stream: Any) -> None:
        """Wait on the host for a whole stream."""
        ...

    def open_direct(self, source: Readable) -> Any:
        """A handle to read a file straight into memories, or None where there is no plain file. Only asked with `Transfer.direct`."""
        ...

    def read_direct(self, handle: Any, source: Readable, start: int, memory: Any, offset: int, nbytes: int) -> None:
        """Bytes of the file into a memory, finished when this returns. No stream orders it: the caller has waited for the memory to be free."""
        ...

    def close_direct(self, handle: Any) -> None:
        """Give the handle back."""
        ...
