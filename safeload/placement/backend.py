"""The narrow interface between safeload and a device: whole storages go in, views of them come out.

Turns nothing itself. A backend moves one whole storage with one `upload`, and every tensor is a `view` of what was moved: that is how two tensors which
share a storage in the file share it on the device too, and how an expanded tensor (stride 0) costs what its storage costs. There is
no way to move a single tensor. A backend that is also a `StreamingBackend` gets all of its storages at once, through `transfer`.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import msgspec
import numpy as np

from safeload.placement.reader import HostBytes
from safeload.placement.transport import Transport


class DeviceBuffer(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One storage on one device. It is freed when neither it nor any view of it is alive."""

    memory: Any  # the backend's own: the numpy array, CuPy's MemoryPointer
    device: int  # the backend's number for the device; 0 on the CPU
    nbytes: int  # bytes


class Backend(Protocol):
    """What safeload asks of a device. All methods may be called from any thread."""

    @property
    def name(self) -> str:
        """The device type as location tags spell it: `cpu`, `cuda`."""
        ...

    def is_available(self) -> bool:
        """Can anything be placed here at all? Never raises."""
        ...

    def unavailable_because(self) -> str:
        """Half a sentence for the error, where `is_available` is false: `CuPy is not installed`."""
        ...

    def device_count(self) -> int:
        """How many devices there are; they are numbered from 0."""
        ...

    def current_device(self) -> int:
        """The device that a tag without a number means."""
        ...

    def upload(self, host: HostBytes, device: int) -> DeviceBuffer:
        """One whole storage, moved. `host` is one-dimensional and contiguous, and may be changed or freed once this returns.

        On the CPU the buffer is `host` itself. Raises `DeviceUnavailable` where the device cannot take that many bytes.
        """
        ...

    def view(self, buffer: DeviceBuffer, dtype: np.dtype[Any], shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Any:
        """An array over part of the buffer, without a copy; it keeps the buffer alive. `strides` and `offset` count bytes.

        Raises `StorageError` for a view that leaves the buffer, whatever an earlier stage has proved (`geometry.checked`).
        """
        ...


@runtime_checkable
class StreamingBackend(Backend, Protocol):
    """A device that copies by itself: storages go to it straight from the file, and the host never holds a whole one."""

    @property
    def transport(self) -> Transport:
        """Its memory, streams and events."""
        ...
