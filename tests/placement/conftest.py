"""Fixtures for the tests of `placement`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .fake_backend import FakeBackend, on_cuda


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "gpu: needs CuPy and a CUDA device")


@pytest.fixture
def cuda() -> Iterator[FakeBackend]:
    """Two fake CUDA devices in the registry."""
    with on_cuda(FakeBackend()) as backend:
        yield backend


@pytest.fixture
def no_cuda() -> Iterator[FakeBackend]:
    """A machine whose CUDA has no device, whatever this machine has."""
    with on_cuda(FakeBackend(count=0)) as backend:
        yield backend


@pytest.fixture
def gpu() -> Any:
    """CuPy with a device that can be allocated on; skips with the reason otherwise."""
    try:
        import cupy  # type: ignore[import-not-found,import-untyped,unused-ignore]

        cupy.zeros(1).get()
    except (ImportError, RuntimeError, MemoryError) as error:  # CuPy's own errors of the driver are RuntimeErrors
        pytest.skip(f"no usable CUDA device: {type(error).__name__}: {error}")
    return cupy
