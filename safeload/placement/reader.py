"""What placement asks of a storage that is still in its file: pieces of its bytes, straight into memory that the device can reach.

Turns nothing itself. `Reader` is the interface, which `rebuild.storages` fills; `HostReader` fills it for what comes as one array. Refuses an array
of another size than was announced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import numpy as np

from safeload.errors import StorageError
from safeload.placement.locations import shown

HostBytes = np.ndarray[Any, np.dtype[np.uint8]]  # `numpy.typing` is a module of its own, which nobody else imports
BYTES = np.dtype(np.uint8)


class Readable(Protocol):
    """A file, as far as placement knows one: `safeload.source.ByteSource`. Any thread may read, at any place."""

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill `target` with the bytes from `offset`, or raise `CheckpointError`."""
        ...

    def file_at(self, offset: int) -> tuple[int, int] | None:
        """File descriptor and position of a byte, where there is a plain file: for readers that bring their own thread of reading (kvikio)."""
        ...


class Extent(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Where a storage stands in a file exactly as the device wants it."""

    source: Readable
    offset: int  # bytes


class Reader(Protocol):
    """The bytes of one storage as its tensors see them: turned around, inflated or unpacked where that is needed."""

    @property
    def nbytes(self) -> int:
        """How many there are."""
        ...

    @property
    def extent(self) -> Extent | None:
        """Where they stand as they are; None where they have to be made."""
        ...

    @property
    def in_order(self) -> bool:
        """Must the pieces be asked for by one thread from the first to the last, as a deflate stream has to?"""
        ...

    def read_into(self, start: int, target: memoryview) -> None:
        """The bytes from `start`, a multiple of `settings.ALIGNMENT`. Raises `CheckpointError` where the file does not hold what it announced."""
        ...


class HostReader:
    """A storage that somebody puts together on the host, as one array, when its first byte is asked for; let go with its last."""

    __slots__ = ("array", "key", "load", "nbytes")

    extent = None
    in_order = True

    def __init__(self, key: str, nbytes: int, load: Callable[[], HostBytes]) -> None:
        self.key = key
        self.nbytes = nbytes
        self.load = load
        self.array: HostBytes | None = None

    def read_into(self, start: int, target: memoryview) -> None:
        """A copy of part of the array."""
        if self.array is None:
            self.array = loaded(self.key, self.nbytes, self.load)
        end = start + len(target)
        np.frombuffer(target, np.uint8)[:] = self.array[start:end]
        if end == self.nbytes:
            self.array = None


def loaded(key: str, nbytes: int, load: Callable[[], Any]) -> HostBytes:
    """The array of a loader, if it is what was announced."""
    host: HostBytes = load()
    if host.dtype != BYTES or host.ndim != 1 or not host.flags.c_contiguous:
        raise TypeError(f"the loader of storage {shown(key)} gave {host.dtype} {host.shape}, not contiguous bytes in one dimension")
    check_size(key, host.nbytes, nbytes)
    return host


def check_size(key: str, found: int, announced: int) -> None:
    """Raises `StorageError` SL402 unless the two agree."""
    if found != announced:
        raise StorageError(f"storage {shown(key)} holds {found:,} bytes where {announced:,} were announced", rule="SL402")
