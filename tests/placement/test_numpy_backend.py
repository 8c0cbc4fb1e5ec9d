"""numpy_backend: identity upload, views whose base is the storage."""

from __future__ import annotations

import gc
import weakref

import ml_dtypes
import numpy as np
import pytest

from safeload.errors import StorageError
from safeload.placement.backend import Backend
from safeload.placement.cupy_backend import CUPY
from safeload.placement.numpy_backend import NUMPY

BOTH: tuple[Backend, ...] = (NUMPY, CUPY)  # mypy: the two fill the interface


def test_one_cpu_that_is_always_there() -> None:
    assert [backend.name for backend in BOTH] == ["cpu", "cuda"]
    assert (NUMPY.is_available(), NUMPY.unavailable_because(), NUMPY.device_count(), NUMPY.current_device()) == (True, "", 1, 0)


def test_upload_is_the_identity() -> None:
    host = np.zeros(8, np.uint8)
    buffer = NUMPY.upload(host, 0)
    assert buffer.memory is host and (buffer.device, buffer.nbytes) == (0, 8)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4"])
def test_the_dtypes_of_ml_dtypes_need_no_container(name: str) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name))
    view = NUMPY.view(NUMPY.upload(np.zeros(8, np.uint8), 0), dtype, (2, 2), (dtype.itemsize, 2 * dtype.itemsize), 0)
    assert type(view) is np.ndarray and view.dtype == dtype and view.shape == (2, 2)


def test_other_byte_orders_and_odd_addresses_are_fine_on_the_cpu() -> None:
    buffer = NUMPY.upload(np.arange(8, dtype=np.uint8), 0)
    assert NUMPY.view(buffer, np.dtype(">u2"), (2,), (3,), 1).tolist() == [0x0102, 0x0405]


def test_bounds() -> None:
    with pytest.raises(StorageError):
        NUMPY.view(NUMPY.upload(np.zeros(8, np.uint8), 0), np.dtype("f8"), (1,), (8,), 1)


def test_a_view_keeps_the_storage_alive() -> None:
    class Watched(np.ndarray):
        """Can be watched, and stays the base of its views."""

    host = Watched(8, np.uint8)
    host[:] = 7
    watch = weakref.ref(host)
    view = NUMPY.view(NUMPY.upload(host, 0), np.dtype("u1"), (2,), (1,), 3)
    del host
    gc.collect()
    assert watch() is not None and view.tolist() == [7, 7]
    del view
    gc.collect()
    assert watch() is None
