"""As much of CuPy as `cupy_backend` uses, over host memory: real addresses, real copies, and a journal of the calls in their order."""

from __future__ import annotations

import ctypes
import types
from typing import Any

import numpy as np


class CUDARuntimeError(RuntimeError):
    """cupy.cuda.runtime.CUDARuntimeError"""


class OutOfMemoryError(MemoryError):
    """cupy.cuda.memory.OutOfMemoryError"""


class Pointer:
    """cupy.cuda.MemoryPointer"""

    def __init__(self, cupy: FakeCupy, memory: Any, size: int, offset: int = 0) -> None:
        self.cupy, self.mem, self.size, self.offset = cupy, memory, size, offset

    def __add__(self, offset: int) -> Pointer:
        return Pointer(self.cupy, self.mem, self.size, self.offset + offset)

    def copy_from_host_async(self, address: int, size: int, stream: object) -> None:
        assert 0 <= size <= self.size - self.offset, "fake cudaMemcpyAsync out of bounds"
        self.cupy.journal.append(f"copy {size} on device {self.cupy.current}")
        ctypes.memmove(ctypes.addressof(self.mem) + self.offset, address, size)


class FakeCupy(types.ModuleType):
    """Goes into `sys.modules['cupy']`."""

    def __init__(self, *, count: int = 2, version: str = "14.2.0", error: str = "", free_bytes: int = 1 << 20) -> None:
        super().__init__("cupy")
        self.journal: list[str] = []
        self.current = 0
        self.__version__ = version
        outer = self

        class Device:
            def __init__(self, number: int) -> None:
                self.number = number

            def __enter__(self) -> None:
                self.before, outer.current = outer.current, self.number

            def __exit__(self, *_: object) -> None:
                outer.current = self.before

        def get_device_count() -> int:
            if error:
                raise CUDARuntimeError(error)
            return count

        def alloc(size: int) -> Pointer:
            outer.journal.append(f"alloc {size} on device {outer.current}")
            if size > free_bytes:
                raise OutOfMemoryError(f"Out of memory allocating {size} bytes")
            return Pointer(outer, ctypes.create_string_buffer(size) if size else ctypes.create_string_buffer(1), size)

        stream = types.SimpleNamespace(synchronize=lambda: outer.journal.append(f"synchronize device {outer.current}"))
        runtime = types.SimpleNamespace(getDeviceCount=get_device_count, getDevice=lambda: outer.current, CUDARuntimeError=CUDARuntimeError)
        memory = types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError)
        self.cuda = types.SimpleNamespace(Device=Device, alloc=alloc, get_current_stream=lambda: stream, runtime=runtime, memory=memory)

    def ndarray(self, shape: tuple[int, ...], dtype: Any, *, memptr: Pointer, strides: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """cupy.ndarray over a memory pointer: checks nothing, so numpy's own check here is one more witness."""
        array = np.ndarray(shape, dtype, buffer=memptr.mem, offset=memptr.offset, strides=strides).view(Array)
        array.pointer = memptr
        return array


class Array(np.ndarray):
    """cupy.ndarray: `get` copies to the host."""

    pointer: Pointer

    def get(self) -> np.ndarray[Any, Any]:
        return np.array(self).view(np.ndarray)
