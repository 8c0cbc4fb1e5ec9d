"""A safetensors file becomes a table of its tensors, in the order of their bytes: contiguous, each a storage of its own, all on the CPU until placed.

There is no stream and no name to put to a policy; what is left to prove is that the sizes are within the budget.
"""

from __future__ import annotations

from safeload.containers.base import Container
from safeload.containers.safetensors import Entry
from safeload.formats.judging import Judging
from safeload.storage import geometry
from safeload.storage.dtypes import DTYPES
from safeload.storage.records import Document, StorageRecord, Table, TensorRecord


def read(judging: Judging, container: Container) -> Document:
    """The table."""
    entries: dict[str, Entry] = container.detail
    records: dict[str, TensorRecord] = {}
    storages: dict[str, StorageRecord] = {}
    for name, entry in entries.items():
        dtype, member = DTYPES[entry.dtype], entry.member
        strides = geometry.contiguous(entry.shape)
        geometry.check(entry.shape, strides, 0, member.size // dtype.itemsize, limits=judging.limits, where=name, at=member.offset)
        judging.count_tensor(member.size)
        storages[name] = StorageRecord(key=name, dtype=dtype, nbytes=member.size, location="cpu", member=member if member.size else None)
        records[name] = TensorRecord(dtype=dtype, shape=entry.shape, strides=strides, offset=0, storage=name)
    return Table(container=container, entries=dict(records), storages=storages)
