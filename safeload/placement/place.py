"""The stage itself: storages of the file become buffers on devices.

1. Read `map_location`. 2. Decide for every storage, once per key. 3. Read and move the bytes of those that go somewhere, one storage at a time.

So a device that is not there is reported before the first byte is read, `meta` reads none, and no more than one storage is on the host for each
that goes to a device. Refuses a storage whose bytes are not as many as the file announced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from safeload.errors import StorageError
from safeload.placement.backend import Backend, DeviceBuffer, HostBytes
from safeload.placement.locations import shown
from safeload.placement.map_location import Restore, resolve
from safeload.placement.storage import SavedStorage
from safeload.values import Device

BYTES = np.dtype(np.uint8)


class PlacedInput(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One storage as the file holds it."""

    key: str
    tag: str | bytes  # location tag; bytes in files of Python 2
    nbytes: int  # bytes, as announced
    load: Callable[[], HostBytes]  # gives the bytes: uint8, one-dimensional, contiguous. Called at most once, and not for meta


class Placed(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One storage where it is now. Every tensor of the storage is a `view` of it."""

    key: str
    tag: str  # where it was saved
    nbytes: int  # bytes
    device: Device
    backend: Backend | None = None  # None on meta
    buffer: DeviceBuffer | None = None  # None on meta

    @property
    def is_meta(self) -> bool:
        """Has it no data? Ask before `view`."""
        return self.buffer is None

    def view(self, dtype: np.dtype[Any] | None, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Any:
        """An array over part of the storage; `strides` and `offset` count elements of `dtype`, and None stands for plain bytes.

        Gives a `numpy.ndarray`, or on CUDA a `cupy.ndarray` or `ContainerArray`. Raises `StorageError` for a view that leaves the storage,
        `ValueError` on meta.
        """
        if self.backend is None or self.buffer is None:
            raise ValueError(f"storage {shown(self.key)} is on meta and has no data to view")
        dtype = BYTES if dtype is None else dtype
        item = dtype.itemsize
        return self.backend.view(self.buffer, dtype, shape, tuple([stride * item for stride in strides]), offset * item)


def place(storages: Mapping[str, PlacedInput], map_location: object = None) -> dict[str, Placed]:
    """Every storage on its device, under the same keys. Raises `DeviceUnavailable`, `StorageError`, and `TypeError` for a wrong map_location."""
    restore = resolve(map_location)
    decided = [(name, item, decide(item, restore)) for name, item in storages.items()]
    return {name: move(item, decision) for name, item, decision in decided}


def decide(item: PlacedInput, restore: Restore) -> SavedStorage:
    """Where one storage goes; reads nothing. A lazy checkpoint calls this once per key and keeps the answer."""
    tag = item.tag.decode("ascii", "backslashreplace") if isinstance(item.tag, bytes) else item.tag
    return restore(SavedStorage(key=item.key, tag=tag, nbytes=item.nbytes))


def move(item: PlacedInput, decision: SavedStorage) -> Placed:
    """One storage moved as decided, with one `upload`."""
    backend = decision.backend
    buffer = None if backend is None else backend.upload(_loaded(item), decision.device.index or 0)
    return Placed(key=item.key, tag=decision.tag, nbytes=item.nbytes, device=decision.device, backend=backend, buffer=buffer)


def _loaded(item: PlacedInput) -> HostBytes:
    host = item.load()
    if host.dtype != BYTES or host.ndim != 1 or not host.flags.c_contiguous:
        raise TypeError(f"the loader of storage {shown(item.key)} gave {host.dtype} {host.shape}, not contiguous bytes in one dimension")
    if host.nbytes != item.nbytes:
        raise StorageError(f"storage {shown(item.key)} holds {host.nbytes:,} bytes where {item.nbytes:,} were announced", rule="SL402")
    return host
