"""A `Document` becomes the value that `load` returns: each part with its storages placed, and a dict for what holds several.

1. A plan is replayed. 2. A table becomes an OrderedDict of arrays, or its one array. 3. A group becomes an OrderedDict of its parts' values.

Storages are placed part by part, so no more than one part is on the host for each that goes to a device.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

from safeload.budget import Budget
from safeload.placement.place import Placed, place
from safeload.rebuild import views
from safeload.rebuild.replay import rebuild
from safeload.rebuild.storages import inputs
from safeload.storage.arrays import ArrayRecord
from safeload.storage.records import Document, Group, Plan, Table, TensorRecord


class Building(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """How to build: where storages go, whether payloads stay mapped, and the caller's own constructors."""

    budget: Budget
    map_location: Any = None
    mapped: bool = True
    constructors: dict[str, Callable[[Any], Any]] = {}


def build(document: Document, how: Building) -> Any:
    """The value. Raises `CheckpointError`, `DeviceUnavailable`, `TypeError` for a wrong map_location, and what `constructors` raise."""
    # 3; groups nest no deeper than `limits.container_depth`
    if isinstance(document, Group):
        return OrderedDict((name, build(part, how)) for name, part in document.parts.items())
    placed = place(inputs(document, how.budget, mapped=how.mapped), how.map_location)
    # 1
    if isinstance(document, Plan):
        return rebuild(document, placed, limits=how.budget.limits, mapped=how.mapped, constructors=how.constructors)
    # 2
    values = OrderedDict((name, _entry(document, record, placed, how)) for name, record in document.entries.items())
    return next(iter(values.values())) if document.bare else values


def _entry(table: Table, record: TensorRecord | ArrayRecord | Document, placed: dict[str, Placed], how: Building) -> Any:
    if isinstance(record, TensorRecord):
        return views.tensor(record, placed, table.container.byteorder)
    if isinstance(record, ArrayRecord):
        return views.array(record, table.container.source, mapped=how.mapped)
    return build(record, how)
