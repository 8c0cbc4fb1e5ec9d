"""The stage itself: storages of the file become buffers on devices.

1. Read `map_location`. 2. Decide for every storage, once per key. 3. Move those that go somewhere: all of a device's together where it streams (`transfer`),
else one storage at a time.

So a device that is not there is reported before the first byte is read, `meta` reads none, and the host holds a pinned ring, or one storage for a device
that does not stream. Refuses a storage whose bytes are not as many as the file announced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from safeload.placement.backend import Backend, DeviceBuffer, StreamingBackend
from safeload.placement.locations import shown
from safeload.placement.map_location import Restore, resolve
from safeload.placement.numpy_backend import NUMPY
from safeload.placement.reader import BYTES, HostBytes, HostReader, Reader, check_size, loaded
from safeload.placement.settings import DEFAULT, Transfer
from safeload.placement.storage import SavedStorage
from safeload.values import Device


class PlacedInput(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One storage as the file holds it."""

    key: str
    tag: str | bytes  # location tag; bytes in files of Python 2
    nbytes: int  # bytes, as announced
    load: Callable[[], HostBytes]  # gives the bytes: uint8, one-dimensional, contiguous. Called at most once, and not for meta
    reader: Reader | None = None  # gives pieces of the same bytes, to a device that streams; without it `load` is asked


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


def place(storages: Mapping[str, PlacedInput], map_location: object = None, settings: Transfer = DEFAULT) -> dict[str, Placed]:
    """Every storage on its device, under the same keys. Raises `DeviceUnavailable`, `StorageError`, and `TypeError` for a wrong map_location."""
    restore = resolve(map_location)
    return move_all(storages, {name: decide(item, restore) for name, item in storages.items()}, settings)


def decide(item: PlacedInput, restore: Restore) -> SavedStorage:
    """Where one storage goes; reads nothing. A lazy checkpoint calls this once per key and keeps the answer."""
    tag = item.tag.decode("ascii", "backslashreplace") if isinstance(item.tag, bytes) else item.tag
    return restore(SavedStorage(key=item.key, tag=tag, nbytes=item.nbytes))


def move_all(storages: Mapping[str, PlacedInput], decisions: Mapping[str, SavedStorage], settings: Transfer = DEFAULT) -> dict[str, Placed]:
    """All storages moved as decided: with one transfer for each backend that streams, else with one `upload` for each storage."""
    backends = {id(decision.backend): decision.backend for decision in decisions.values()}
    buffers: dict[str, DeviceBuffer] = {}
    for backend in backends.values():
        if backend is not None and backend is not NUMPY and isinstance(backend, StreamingBackend):
            from safeload.placement.streamed import streamed  # with its threads: a load to host memory has no use for them

            there = [(name, decision.device.index or 0) for name, decision in decisions.items() if decision.backend is backend]
            buffers.update(streamed({name: (_reader(storages[name]), device) for name, device in there}, backend, settings))
    return {name: _placed(storages[name], decision, buffers.get(name)) for name, decision in decisions.items()}


def _placed(item: PlacedInput, decision: SavedStorage, buffer: DeviceBuffer | None) -> Placed:
    backend = decision.backend
    if buffer is None and backend is not None:
        buffer = backend.upload(loaded(item.key, item.nbytes, item.load), decision.device.index or 0)
    return Placed(key=item.key, tag=decision.tag, nbytes=item.nbytes, device=decision.device, backend=backend, buffer=buffer)


def _reader(item: PlacedInput) -> Reader:
    if item.reader is None:
        return HostReader(item.key, item.nbytes, item.load)
    check_size(item.key, item.reader.nbytes, item.nbytes)
    return item.reader
