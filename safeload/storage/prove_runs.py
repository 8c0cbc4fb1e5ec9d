"""The prover of runs: tensor records alike but for keys and numbers become storage and tensor records, each distinct set of numbers reckoned once.

Proves what `Prover.storage` and `Prover.dense` prove, and finds fault with nothing: a record that does not pass is left to them, which say what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from safeload.containers.base import Member
from safeload.errors import StorageError
from safeload.machine.late import FEW
from safeload.machine.nodes import RUN_ENTRIES, Geometry, TensorRun
from safeload.storage import geometry
from safeload.storage.dtypes import DTYPES, STORAGE_TYPES, DType
from safeload.storage.prover import Prover
from safeload.storage.records import StorageRecord, TensorRecord


def prove(prover: Prover, run: TensorRun) -> Iterator[tuple[int, int]]:
    """Prove the run, and name each stretch of the log that is to be proved entry by entry instead, at its turn."""
    first = prover.vetted.storages[run.start]
    dtype, location = DTYPES[STORAGE_TYPES[first.storage_type]], first.location
    reckoned = {numbers: _reckon(prover, numbers, dtype) for numbers in set(run.geometries)}
    column = [reckoned[numbers] for numbers in run.geometries]
    sizes = [size for _, size in column]
    budget, limits = prover.budget, prover.budget.limits
    total = sum(sizes)
    if budget.tensors + len(sizes) > limits.tensors or budget.tensor_bytes + total > limits.total_tensor_bytes or max(sizes) > limits.tensor_bytes:
        yield run.start, run.stop
        return
    left = 0  # records that were left to be proved one by one
    if min(sizes) >= 0 and _fresh(prover, run.keys, [nbytes for nbytes, _ in column]):
        prover.storages.add(run.keys if len(run.keys) < FEW else dict.fromkeys(run.keys), partial(_storage_of, prover.container.storages, dtype, location))
        prover.records.add(range(run.start + RUN_ENTRIES - 1, run.stop, RUN_ENTRIES), partial(_tensor_of, run, dtype))
    else:
        storages, members = prover.storages, prover.container.storages
        index = run.start + RUN_ENTRIES - 1
        for key, (nbytes, size) in zip(run.keys, column, strict=True):
            known = storages.get(key)
            if known is None and size >= 0:
                member = members.get(key)
                if member is not None and member.size == nbytes:
                    known = storages[key] = StorageRecord(key=key, dtype=dtype, nbytes=nbytes, location=location, member=member)
            if known is None or size < 0 or known.nbytes != nbytes or known.location != location:
                left += 1
                total -= size
                yield index - RUN_ENTRIES + 1, index + 1
            else:
                prover.records[index] = _tensor_of(run, dtype, index)
            index += RUN_ENTRIES
    prover.tensor_count += len(sizes) - left
    prover.tensor_bytes += total
    budget.tensors += len(sizes) - left
    budget.tensor_bytes += total


def _fresh(prover: Prover, keys: list[str], nbytes: list[int]) -> bool:
    """Is each storage of the run named here for the first time, and in the file with as many bytes as it is said to have?"""
    if len(set(keys)) != len(keys) or not prover.storages.is_disjoint(keys):
        return False
    members = list(map(prover.container.storages.get, keys))
    return None not in members and [member.size for member in members if member is not None] == nbytes


def _storage_of(members: dict[str, Member], dtype: DType, location: str, key: str) -> StorageRecord:
    member = members[key]
    return StorageRecord(key=key, dtype=dtype, nbytes=member.size, location=location, member=member)


def _tensor_of(run: TensorRun, dtype: DType, index: int) -> TensorRecord:
    which = (index - run.start) // RUN_ENTRIES
    numbers = run.geometries[which]
    return TensorRecord(
        dtype=dtype, shape=numbers.size, strides=numbers.stride, offset=numbers.offset, storage=run.keys[which], requires_grad=run.alike[5]
    )


def _reckon(prover: Prover, numbers: Geometry, dtype: DType) -> tuple[int, int]:
    """(bytes of the storage, logical bytes of the tensor), the latter below 0 where the view does not lie inside."""
    itemsize, per_byte = dtype.itemsize, dtype.per_byte
    nbytes = numbers.numel * itemsize
    try:
        geometry.check(numbers.size, numbers.stride, numbers.offset, nbytes * per_byte // itemsize, limits=prover.budget.limits, where=prover.member, at=0)
    except StorageError:
        return nbytes, -1
    return nbytes, geometry.elements(numbers.size) * itemsize // per_byte
