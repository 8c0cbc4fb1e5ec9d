"""The prover of runs: tensor records alike but for keys and numbers become storage and tensor records, each distinct set of numbers reckoned once.

Proves what `Prover.storage` and `Prover.dense` prove, and finds fault with nothing: a record that does not pass is left to them, which say what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

from safeload.errors import StorageError
from safeload.machine.nodes import RUN_ENTRIES, Geometry, TensorRun
from safeload.storage import geometry
from safeload.storage.dtypes import DTYPES, STORAGE_TYPES, DType
from safeload.storage.prover import Prover
from safeload.storage.records import StorageRecord, TensorRecord


def prove(prover: Prover, run: TensorRun) -> Iterator[tuple[int, int]]:
    """Prove the run, and name each stretch of the log that is to be proved entry by entry instead, at its turn."""
    first = prover.vetted.storages[run.start]
    dtype, location, requires_grad = DTYPES[STORAGE_TYPES[first.storage_type]], first.location, run.alike[5]
    reckoned = {numbers: _reckon(prover, numbers, dtype) for numbers in set(run.geometries)}
    sizes = [reckoned[numbers][1] for numbers in run.geometries]
    budget, limits = prover.budget, prover.budget.limits
    total = budget.tensor_bytes + sum(sizes)
    if budget.tensors + len(sizes) > limits.tensors or total > limits.total_tensor_bytes or max(sizes) > limits.tensor_bytes:
        yield run.start, run.stop
        return
    members, storages, records = prover.container.storages, prover.storages, prover.records
    index = run.start + RUN_ENTRIES - 1
    left = 0  # records that were left to be proved one by one
    left_bytes = 0
    for key, numbers in zip(run.keys, run.geometries, strict=True):
        nbytes, size = reckoned[numbers]
        known = storages.get(key)
        if known is None and size >= 0:
            member = members.get(key)
            if member is not None and member.size == nbytes:
                known = storages[key] = StorageRecord(key=key, dtype=dtype, nbytes=nbytes, location=location, member=member)
        if known is None or size < 0 or known.nbytes != nbytes or known.location != location:
            left += 1
            left_bytes += size
            yield index - RUN_ENTRIES + 1, index + 1
        else:
            records[index] = TensorRecord(
                dtype=dtype, shape=numbers.size, strides=numbers.stride, offset=numbers.offset, storage=key, requires_grad=requires_grad
            )
        index += RUN_ENTRIES
    prover.tensor_count += len(sizes) - left
    prover.tensor_bytes += sum(sizes) - left_bytes
    budget.tensors += len(sizes) - left
    budget.tensor_bytes += sum(sizes) - left_bytes


def _reckon(prover: Prover, numbers: Geometry, dtype: DType) -> tuple[int, int]:
    """(bytes of the storage, logical bytes of the tensor), the latter below 0 where the view does not lie inside."""
    itemsize, per_byte = dtype.itemsize, dtype.per_byte
    nbytes = numbers.numel * itemsize
    try:
        geometry.check(numbers.size, numbers.stride, numbers.offset, nbytes * per_byte // itemsize, limits=prover.budget.limits, where=prover.member, at=0)
    except StorageError:
        return nbytes, -1
    return nbytes, geometry.elements(numbers.size) * itemsize // per_byte
