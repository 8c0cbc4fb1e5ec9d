"""A `Vetted` graph and its `Container` become a `Plan`: every storage has its bytes, and every tensor lies inside its storage.

One pass over the log, in order; each prover turns one call (or the state given to one) into a record and raises `StorageError` for what does not hold. The
errors of all of them are collected as findings, so a report shows them together. Numbers are Python ints and no array is built, so `scan`
proves exactly what `load` will use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from safeload.budget import Budget
from safeload.containers.base import Container, Member
from safeload.errors import StorageError
from safeload.machine.nodes import Build, Call
from safeload.policy.vetted import External, Vetted
from safeload.storage import prove_arrays as numbers
from safeload.storage import prove_runs as runs
from safeload.storage import prove_tensors as tensors
from safeload.storage.arrays import BadArray
from safeload.storage.prover import Prover
from safeload.storage.records import Plan, Proof, StorageRecord

RECORDS_PER_CHECK = 1_024  # entries of the log between two looks at the clock


def prove(vetted: Vetted, container: Container, budget: Budget, *, read: Callable[[Member], bytes], external: External | None = None) -> Proof:
    """Prove one vetted stream. `read` gives the bytes of a member, for the few payloads (sparse indices) whose values are part of the proof; `external` the
    records of tensors and storages that another part of the file holds.

    Raises `LimitExceeded` where the tensors are more or larger than the budget.
    """
    prover = Prover(vetted, container, budget, read, external or External())
    _log(prover)
    plan = None
    if not prover.findings:
        plan = Plan(
            vetted=vetted,
            container=container,
            storages=prover.storages,
            records=prover.records,
            private=prover.private,
            values=tuple(dict.fromkeys([vetted.storages[index].key for index in sorted(vetted.loose) if index in vetted.storages])),
        )
    return Proof(
        plan=plan,
        findings=tuple(prover.findings),
        suppressed=prover.suppressed,
        tensor_count=prover.tensor_count,
        tensor_bytes=prover.tensor_bytes,
        used_keys=_used(vetted),
    )


def _used(vetted: Vetted) -> frozenset[str]:
    """The keys of all storages that the stream names: those of runs as they stand there."""
    used = {sid.key for sid in dict.values(vetted.storages)}
    for run in vetted.runs:
        used.update(run.keys)
    return frozenset(used)


def _log(prover: Prover) -> None:
    """Every record of the log that has a prover, in order; runs of like tensor records by their own."""
    log, at = prover.vetted.graph.log, 0
    for run in prover.vetted.runs:
        _run(prover, log[at : run.start])
        for first, last in runs.prove(prover, run):
            _run(prover, log[first:last])
        prover.budget.check_time(prover.member, log[run.start].offset)
        at = run.stop
    _run(prover, log[at:])


def _run(prover: Prover, entries: Sequence[Any]) -> None:
    constructors = prover.vetted.constructors
    for record in entries:
        kind = type(record)
        try:
            if kind is Call:
                found = PROVERS.get(constructors[record.index])
                if found is not None:
                    prover.records[record.index] = found(prover, record.index, record.args, record.offset)
            elif record.index in prover.vetted.storages:
                prover.storage(prover.vetted.storages[record.index])
            elif isinstance(record, Build):
                state_prover = STATE_PROVERS.get(constructors[record.target.index])
                if state_prover is not None:
                    prover.records[record.target.index] = state_prover(prover, record)
            if not record.index % RECORDS_PER_CHECK:
                prover.budget.check_time(prover.member, record.offset)
        except StorageError as error:
            prover.found(error, record.offset)
        except BadArray as error:
            prover.found(StorageError(str(error), rule="SL407"), record.offset)


def _typed(prover: Prover, index: int, args: tuple[Any, ...], at: int) -> Any:
    """`_rebuild_from_type(_v2)`: prove what `func(*args)` would be."""
    constructor = prover.vetted.constructors[args[0].index]
    return PROVERS[constructor](prover, index, args[2], at)


def _storage(prover: Prover, index: int, args: tuple[Any, ...], at: int) -> StorageRecord:
    """A storage whose bytes stand in the stream."""
    return prover.storage(prover.vetted.storages[index])


PROVERS: dict[str | None, Callable[[Prover, int, tuple[Any, ...], int], Any]] = {
    "storage-bytes": _storage,
    "tensor": tensors.dense,
    "tensor-v3": tensors.dense_v3,
    "parameter": tensors.parameter,
    "parameter-with-state": tensors.parameter,
    "parameter-class": tensors.new_parameter,
    "typed-tensor": _typed,
    "quantized-tensor": tensors.quantized,
    "sparse-tensor": tensors.sparse_tensor,
    "sparse-csr-tensor": tensors.sparse_tensor,
    "sparse-class": tensors.sparse_class,
    "meta-tensor": tensors.meta,
    "wrapper-subclass": tensors.wrapper,
    "uninitialized-parameter": tensors.uninitialized,
    "nested-tensor": tensors.nested,
    "jagged-tensor": tensors.jagged,
    "device-tensor-from-cpu": tensors.from_cpu,
    "device-tensor-from-numpy": numbers.from_numpy,
    "numpy-dtype": numbers.numpy_dtype,
    "numpy-dtype-class": numbers.numpy_dtype_class,
    "numpy-scalar": numbers.numpy_scalar,
    "numpy-array": numbers.numpy_array,
    "numpy-array-frombuffer": numbers.numpy_frombuffer,
}
STATE_PROVERS: dict[str | None, Callable[[Prover, Build], Any]] = {
    "tensor-class": tensors.legacy_tensor_state,
    "parameter-class": tensors.legacy_parameter_state,
    "generator": tensors.generator_state,
    "numpy-dtype": numbers.numpy_dtype_state,
    "numpy-array": numbers.numpy_array_state,
    "joblib-array": numbers.joblib_array_state,
}
