"""The storages of a `Plan` become inputs for `placement`: host bytes, mapped or copied, in this machine's byte order, each key once.

A big-endian file is turned around by whole storages, in units of the dtype that looks at them: torch swaps by the dtype that first named the storage, so
what it first sees as bytes (every `_rebuild_tensor_v3` dtype) stays wrong. Two dtypes with different units on one big-endian storage get a copy each.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from safeload.budget import Budget
from safeload.containers.base import STORED, Member
from safeload.containers.inflate import read_member
from safeload.placement.place import PlacedInput
from safeload.source import ByteSource
from safeload.storage.dtypes import DType
from safeload.storage.records import Plan, QuantizedRecord, StorageRecord, TensorRecord


def placement_key(key: str, dtype: DType, byteorder: str) -> str:
    """The name under which a storage is placed: its key, with the swap unit before it where the byte order differs."""
    return key if byteorder == sys.byteorder else f"{dtype.swap_bytes}/{key}"


def inputs(plan: Plan, budget: Budget, *, mapped: bool) -> dict[str, PlacedInput]:
    """One input for each storage, in the order in which the stream names them. `mapped`: payloads stay in the copy-on-write map."""
    byteorder = plan.container.byteorder
    wanted: dict[str, tuple[StorageRecord, int]] = {}
    if byteorder == sys.byteorder:
        wanted = {key: (record, 1) for key, record in plan.storages.items()}
    else:
        for record in plan.storages.values():
            wanted[placement_key(record.key, record.dtype, byteorder)] = (record, record.dtype.swap_bytes)
        for view in _views(plan):
            wanted[placement_key(view.storage, view.dtype, byteorder)] = (plan.storages[view.storage], view.dtype.swap_bytes)
    source = plan.container.source
    return {
        name: PlacedInput(key=record.key, tag=record.location, nbytes=record.nbytes, load=_Loader(source, record.member, budget, mapped, unit, plan.private.get(record.key)))
        for name, (record, unit) in wanted.items()
    }


def _views(plan: Plan) -> list[TensorRecord]:
    found: list[TensorRecord] = []
    for record in plan.records.values():
        if isinstance(record, TensorRecord):
            found.append(record)
        elif isinstance(record, QuantizedRecord):
            found.append(record.values)
    return found


class _Loader:
    """Gives the bytes of one storage when placement asks, which for the meta device it does not."""

    __slots__ = ("budget", "mapped", "member", "private", "source", "unit")

    def __init__(self, source: ByteSource, member: Member | None, budget: Budget, mapped: bool, unit: int, private: bytes | None) -> None:
        self.private = private
        self.source = source
        self.member = member
        self.budget = budget
        self.mapped = mapped
        self.unit = unit

    def __call__(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        member = self.member
        if member is None or not member.size:
            return np.empty(0, np.uint8)
        if self.private is not None:  # its values were judged, so these bytes are the ones to use, not what the map shows by now
            raw: Any = bytearray(self.private)
        elif member.method != STORED:
            raw = bytearray(read_member(self.source, member, self.budget.limits, budget=self.budget))
        elif self.mapped:
            raw = self.source.view(member.offset, member.size)
        else:
            raw = self.source.copy(member.offset, member.size)
        flat = np.frombuffer(raw, np.uint8)
        if self.unit > 1:
            return np.ascontiguousarray(flat[: len(flat) // self.unit * self.unit].reshape(-1, self.unit)[:, ::-1]).reshape(-1)
        return flat
