"""The CPU: a storage stays the array that it is, and tensors are `numpy.ndarray` views of it.

Refuses a view that leaves the storage; nothing else can go wrong here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from safeload.placement import geometry
from safeload.placement.backend import DeviceBuffer
from safeload.placement.reader import HostBytes


class NumpyBackend:
    """Host memory behind the interface of a device. There is one CPU and its number is 0."""

    name = "cpu"

    def is_available(self) -> bool:
        """Always."""
        return True

    def unavailable_because(self) -> str:
        """Never asked."""
        return ""

    def device_count(self) -> int:
        """1."""
        return 1

    def current_device(self) -> int:
        """0."""
        return 0

    def upload(self, host: HostBytes, device: int) -> DeviceBuffer:
        """`host` itself, not a copy: a mapped storage stays mapped, a read-only one read-only."""
        return DeviceBuffer(memory=host, device=device, nbytes=host.nbytes)

    def view(self, buffer: DeviceBuffer, dtype: np.dtype[Any], shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Any:
        """A `numpy.ndarray` whose base is the storage. numpy checks the bounds a second time."""
        strides, offset = geometry.checked(buffer.nbytes, dtype, shape, strides, offset)
        return np.ndarray(shape, dtype, buffer=buffer.memory, offset=offset, strides=strides)


NUMPY = NumpyBackend()
