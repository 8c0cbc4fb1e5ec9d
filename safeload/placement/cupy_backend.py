"""CUDA through CuPy: a storage becomes one device allocation, tensors are `cupy.ndarray` views of it.

What CuPy has no dtype for (float8, float4, int4, complex32, and bfloat16 before CuPy 14) becomes a `ContainerArray`: the same bytes as unsigned integers
of the same item size, with the true dtype beside them. CuPy would let such a dtype through its memory-pointer constructor and then fail in
every kernel, and export float8_e5m2 over DLPack as a float of 8 bits that nobody defined.

CuPy is imported inside the methods: a machine without it can import this module, and learns the reason from `unavailable_because`.
Refuses a view that leaves its allocation, is not aligned to its dtype, or is not in native byte order (swap on the host first): the constructor
of `cupy.ndarray` checks none of the three.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from safeload.errors import StorageError
from safeload.placement import geometry
from safeload.placement.backend import DeviceBuffer
from safeload.placement.cupy_transport import CUPY_TRANSPORT, CupyTransport, cupy_module
from safeload.placement.reader import HostBytes, HostReader
from safeload.placement.settings import DEFAULT

BUILT_IN_CODES = frozenset("?bhilqBHILQefdFD")  # dtype characters that CuPy's kernels know (cupy/_core/_dtype.pyx); no long double, no text
CONTAINER_BYTES = (1, 2, 4, 8)  # item sizes of the unsigned integers
BFLOAT16_SINCE = 14  # CuPy's major version


class ContainerArray(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A device array whose dtype the device's library lacks. Shape, strides and shared memory are those of the tensor."""

    array: Any  # cupy.ndarray of uint8, uint16, uint32 ...: the bits
    dtype: np.dtype[Any]  # what the bits mean, as ml_dtypes names it

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes in elements; one element of `array` is one element of the tensor."""
        return tuple(self.array.shape)

    @property
    def nbytes(self) -> int:
        """Logical bytes."""
        return int(self.array.nbytes)

    def get(self) -> np.ndarray[Any, np.dtype[Any]]:
        """A copy on the host with its true dtype, as `cupy.ndarray.get` gives one."""
        host: np.ndarray[Any, np.dtype[Any]] = self.array.get()
        return host.view(self.dtype)

    def __dlpack__(self, **how: Any) -> Any:
        """The bits, as unsigned integers: DLPack has no common name for these dtypes. `torch.from_dlpack(array).view(torch.float8_e5m2)` is the tensor."""
        return self.array.__dlpack__(**how)

    def __dlpack_device__(self) -> Any:
        """Where the bits are."""
        return self.array.__dlpack_device__()

    def __repr__(self) -> str:
        return f"ContainerArray({self.dtype.name} as {self.array.dtype}, shape={self.shape})"


class CupyBackend:
    """CUDA devices as CuPy numbers them (after `CUDA_VISIBLE_DEVICES`). The caller's current device is never left changed."""

    name = "cuda"

    def is_available(self) -> bool:
        """Is CuPy here, and a driver, and at least one device?"""
        return not self.unavailable_because()

    def unavailable_because(self) -> str:
        """Why there is no CUDA here; empty where there is."""
        try:
            cupy = cupy_module()
        except ImportError as error:
            return f"CuPy cannot be imported ({error}); pip install 'safeload[cuda12]' or 'safeload[cuda13]'"
        try:
            return "" if cupy.cuda.runtime.getDeviceCount() else "no CUDA device is visible"
        except cupy.cuda.runtime.CUDARuntimeError as error:
            return str(error)

    def device_count(self) -> int:
        """Visible devices; only asked where `is_available`."""
        return int(cupy_module().cuda.runtime.getDeviceCount())

    def current_device(self) -> int:
        """The calling thread's current device."""
        return int(cupy_module().cuda.runtime.getDevice())

    @property
    def transport(self) -> CupyTransport:
        """How storages travel: `transfer` moves all of a file at once."""
        return CUPY_TRANSPORT

    def upload(self, host: HostBytes, device: int) -> DeviceBuffer:
        """One allocation from CuPy's current allocator, filled through the pinned ring and finished when this returns."""
        from safeload.placement.streamed import streamed

        return streamed({"": (HostReader("", host.nbytes, lambda: host), device)}, self, DEFAULT)[""]

    def view(self, buffer: DeviceBuffer, dtype: np.dtype[Any], shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Any:
        """A `cupy.ndarray`, or a `ContainerArray` where CuPy lacks the dtype. Runs no kernel and does not switch devices."""
        strides, offset = geometry.checked(buffer.nbytes, dtype, shape, strides, offset)
        cupy = cupy_module()
        if not dtype.isnative:
            raise StorageError(f"dtype {dtype.str} is not in this machine's byte order; CUDA has no other, so swap it on the host", rule="SL406")
        if any(number % dtype.itemsize for number in (offset, *strides)):
            raise StorageError(f"a view of {dtype} at byte {offset:,} is not aligned to {dtype.itemsize} bytes, as CUDA needs it", rule="SL405")
        pointer = buffer.memory + offset  # MemoryPointer arithmetic: the sum keeps the allocation alive
        if _cupy_knows(cupy, dtype):
            return cupy.ndarray(shape, dtype, memptr=pointer, strides=strides)
        if dtype.itemsize not in CONTAINER_BYTES:
            raise StorageError(f"CuPy has no dtype {dtype}, and none of its size to hold it in", rule="SL406")
        container = np.dtype(f"u{dtype.itemsize}")
        return ContainerArray(array=cupy.ndarray(shape, container, memptr=pointer, strides=strides), dtype=dtype)


def _cupy_knows(cupy: Any, dtype: np.dtype[Any]) -> bool:
    if dtype.isbuiltin == 1:  # numpy's own; ml_dtypes reuse the characters of others, so the order of the two questions matters
        return dtype.char in BUILT_IN_CODES
    import ml_dtypes

    return dtype == ml_dtypes.bfloat16 and int(cupy.__version__.partition(".")[0]) >= BFLOAT16_SINCE


CUPY = CupyBackend()
