"""Runs of like tensors become views of the file's own map, without a stop at the storage between them.

A storage on its way to a device is an object that is decided about, loaded, placed and viewed; of twenty thousand tensors each has its own. Where the
location of a run means host memory, whatever the key, and the bytes lie in the map as they are, every tensor of it is made at once: the same memory, since
the storages of `placement` are parts of that map as well.

The last check stays (`placement.geometry`): no view leaves its storage. Leaves to `placement` all that is not so plain: callables that decide for each
storage, registered packages, devices, other byte orders, bool, empty tensors, deflated members, bytes that the verdict depends on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import repeat
from typing import Any

import numpy as np

from safeload.containers.base import STORED
from safeload.errors import SafeloadError
from safeload.machine.nodes import RUN_ENTRIES, Geometry, TensorRun
from safeload.placement import geometry
from safeload.placement.locations import as_tag
from safeload.placement.map_location import resolve
from safeload.placement.numpy_backend import NUMPY
from safeload.placement.place import PlacedInput, decide
from safeload.placement.registry import BUILT_IN, packages
from safeload.rebuild.numpy_dtypes import numpy_dtype
from safeload.storage.dtypes import DTYPES, STORAGE_TYPES, DType
from safeload.storage.geometry import contiguous
from safeload.storage.records import Plan

Arrays = dict[int, Any]  # by the index of their call


def arrays(plan: Plan, map_location: object, *, mapped: bool) -> Arrays:
    """The arrays of runs that need no placing. Raises nothing: what is not here is placed, and what is wrong is found then."""
    runs = plan.vetted.runs
    if not runs or not mapped or plan.container.byteorder != sys.byteorder or packages() is not BUILT_IN:
        return {}
    if callable(map_location) and as_tag(map_location) is None:
        return {}
    made: Arrays = {}
    window = plan.container.source.view(0, plan.container.source.size)
    on_host: dict[str, bool] = {}
    for run in runs:
        first = plan.vetted.storages[run.start]
        dtype = DTYPES[STORAGE_TYPES[first.storage_type]]
        if first.location not in on_host:
            on_host[first.location] = _is_host(first.location, map_location)
        if dtype.is_plain and on_host[first.location]:
            _run(plan, run, dtype, window, made)
    return made


def _is_host(tag: str, map_location: object) -> bool:
    """Do storages of this location come to lie in host memory? Without packages of the user's, the tag alone decides."""
    try:
        return decide(PlacedInput(key="", tag=tag, nbytes=0, load=lambda: np.empty(0, np.uint8)), resolve(map_location)).backend is NUMPY
    except (SafeloadError, TypeError, ValueError):
        return False  # said again, with its storage, when that is placed


def _run(plan: Plan, run: TensorRun, dtype: DType, window: memoryview, made: Arrays) -> None:
    members, private = plan.container.storages, plan.private
    carrier = numpy_dtype(dtype)
    laid_out = {numbers: _lay_out(numbers, dtype, carrier) for numbers in set(run.geometries)}
    held: list[Any] = [members.get(key) for key in run.keys]
    indexes = range(run.start + RUN_ENTRIES - 1, run.stop, RUN_ENTRIES)
    view: Callable[..., Any] = np.ndarray
    whole = None not in held and None not in laid_out.values() and {member.method for member in held} == {STORED}
    if whole and (not private or private.keys().isdisjoint(run.keys)):
        if len(laid_out) == 1:
            ((numbers, layout),) = laid_out.items()
            offset, strides = layout  # type: ignore[misc]
            offsets = [member.offset + offset for member in held]
            made.update(zip(indexes, map(view, repeat(numbers.size), repeat(carrier), repeat(window), offsets, repeat(strides)), strict=True))
        else:
            layouts: list[Any] = [laid_out[numbers] for numbers in run.geometries]
            offsets = [member.offset + offset for member, (offset, _) in zip(held, layouts, strict=True)]
            shapes = [numbers.size for numbers in run.geometries]
            made.update(zip(indexes, map(view, shapes, repeat(carrier), repeat(window), offsets, [layout[1] for layout in layouts]), strict=True))
        return
    for index, key, numbers, member in zip(indexes, run.keys, run.geometries, held, strict=True):
        layout = laid_out[numbers]
        if member is not None and member.method == STORED and key not in private and layout is not None:
            made[index] = np.ndarray(numbers.size, carrier, window, member.offset + layout[0], layout[1])


def _lay_out(numbers: Geometry, dtype: DType, carrier: np.dtype[Any]) -> tuple[int, tuple[int, ...] | None] | None:
    """Offset and strides in bytes (None: C order), held against the storage once more; None for what has no elements."""
    if 0 in numbers.size:
        return None
    item = carrier.itemsize
    strides, offset = geometry.checked(
        numbers.numel * dtype.itemsize, carrier, numbers.size, tuple([stride * item for stride in numbers.stride]), numbers.offset * item
    )
    return offset, None if numbers.stride == contiguous(numbers.size) else strides
