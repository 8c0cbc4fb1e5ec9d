"""A `Document` becomes the value that `load` returns: each part with its storages placed, and a dict for what holds several.

1. A plan is replayed. 2. A table becomes an OrderedDict of arrays, or its one array. 3. A group becomes an OrderedDict of its parts' values.
4. A tensor in several parts is put together. 5. Shards become one dict. 6. What was judged and is not built is an error.

Storages are placed part by part. Those that go to a device pass the host through a pinned ring (`placement.transfer`).
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from safeload.budget import Budget
from safeload.errors import not_built
from safeload.placement.place import Placed, PlacedInput, place
from safeload.placement.settings import DEFAULT, Transfer
from safeload.rebuild import views
from safeload.rebuild.direct import arrays
from safeload.rebuild.numpy_dtypes import numpy_dtype
from safeload.rebuild.replay import rebuild
from safeload.rebuild.storages import inputs
from safeload.storage.arrays import ArrayRecord
from safeload.storage.geometry import contiguous, elements
from safeload.storage.records import Assembly, Document, Group, Plan, Shards, Table, TensorRecord, Unbuilt


class Building(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """How to build: where storages go and how they travel, whether payloads stay mapped, the caller's own constructors, and what tensors become."""

    budget: Budget
    map_location: Any = None
    mapped: bool = True
    constructors: dict[str, Callable[[Any], Any]] = {}
    transfer: Transfer = DEFAULT
    shown: views.Shown = views.ARRAYS


def build(document: Document, how: Building) -> Any:
    """The value. Raises `CheckpointError`, `DeviceUnavailable`, `TypeError` for a wrong map_location, and what `constructors` raise."""
    # 3; groups nest no deeper than `limits.container_depth`
    if isinstance(document, Group):
        if document.is_list:
            return [build(part, how) for part in document.parts.values()]
        return OrderedDict((name, build(part, how)) for name, part in document.parts.items())
    if isinstance(document, Assembly):
        return assembled(document, how)
    if isinstance(document, Shards):
        parts = {file: build(part, how) for file, part in document.parts.items()}
        return OrderedDict((name, parts[file][name]) for name, file in document.names.items())
    # 6
    if isinstance(document, Unbuilt):
        raise not_built(document.what, document.hint)
    direct = arrays(document, how.map_location, mapped=how.mapped) if isinstance(document, Plan) and how.shown is views.ARRAYS else {}
    placed = place(inputs(document, how.budget, mapped=how.mapped, without=direct), how.map_location, how.transfer)
    # 1
    if isinstance(document, Plan):
        return rebuild(document, placed, limits=how.budget.limits, mapped=how.mapped, constructors=how.constructors, shown=how.shown, direct=direct)
    # 2
    values = OrderedDict((name, _entry(document, record, placed, how)) for name, record in document.entries.items())
    return next(iter(values.values())) if document.bare else values


def assembled(document: Assembly, how: Building) -> Any:
    """The array of a tensor in parts: put together on the host, then placed once, where its first part was saved."""
    first = document.parts[0][1]
    location = next(iter(first.storages.values())).location
    nbytes = elements(document.shape) * document.dtype.itemsize
    key = "assembled"
    loaded = PlacedInput(key=key, tag=location, nbytes=nbytes, load=lambda: _put_together(document, how))
    placed = place({key: loaded}, how.map_location, how.transfer)
    view = TensorRecord(dtype=document.dtype, shape=document.shape, strides=contiguous(document.shape), offset=0, storage=key)
    return views.tensor(view, placed, sys.byteorder, how.shown)


def _put_together(document: Assembly, how: Building) -> Any:
    dtype = numpy_dtype(document.dtype)
    whole = np.empty(document.shape, dtype)
    on_host = msgspec.structs.replace(how, map_location="cpu", shown=views.ARRAYS)
    for offsets, plan in document.parts:
        part = build(plan, on_host)
        whole[tuple(slice(start, start + length) for start, length in zip(offsets, part.shape, strict=True))] = part
    return whole.reshape(-1).view(np.uint8)


def _entry(table: Table, record: TensorRecord | ArrayRecord | Document, placed: dict[str, Placed], how: Building) -> Any:
    if isinstance(record, TensorRecord):
        return views.tensor(record, placed, table.container.byteorder, how.shown)
    if isinstance(record, ArrayRecord):
        return views.array(record, table.container.source, mapped=how.mapped)
    return build(record, how)
