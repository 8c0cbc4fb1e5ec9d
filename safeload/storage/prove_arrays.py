"""Provers of numpy's own pickles: dtypes, arrays and scalars whose bytes lie in the stream, and arrays that stand for tensors.

Refuses bytes that are not exactly the array (SL407), objects in arrays (SL409), and states given twice or late.
"""

from __future__ import annotations

from typing import Any

from safeload.errors import StorageError
from safeload.machine.nodes import Build
from safeload.storage import arrays
from safeload.storage.arrays import ArrayDType, ArrayRecord, BadArray
from safeload.storage.prover import Prover

NUMPY_KINDS = {"float": "f", "int": "iu", "uint": "iu", "bool": "b", "complex": "c"}  # numpy's kinds of dtype for a family
EMPTY = ArrayRecord(dtype=arrays.from_text("i1"), shape=(0,), fortran=False)  # what `_reconstruct` makes


def from_numpy(p: Prover, index: int, args: tuple[Any, ...], at: int) -> Any:
    """An ndarray stands for a tensor; bfloat16 travels as float32 (torch `_reduce_ex_internal`)."""
    family = p.dtype(args[1]).family
    record = p.records.get(args[0].index)
    if not isinstance(record, ArrayRecord):
        raise StorageError("the array of a device tensor is not valid", rule="SL407")
    if record.dtype.fields is not None or record.dtype.code[0] not in NUMPY_KINDS.get(family, ()):
        raise StorageError(f"an array of {record.dtype.code} stands for a tensor of another kind ({family})", rule="SL406")
    p.sealed.add(args[0].index)
    return None


def numpy_dtype(p: Prover, index: int, args: tuple[Any, ...], at: int) -> ArrayDType:
    """`numpy.dtype("f4", False, True)`."""
    return arrays.from_text(args[0])


def numpy_dtype_class(p: Prover, index: int, args: tuple[Any, ...], at: int) -> ArrayDType:
    """`numpy.dtypes.Float32DType()`."""
    func = p.vetted.graph.log[index].func  # type: ignore[union-attr]
    code = arrays.DTYPE_CLASSES.get(func.name)  # type: ignore[union-attr]
    if code is None:
        raise BadArray("a dtype class without a size of its own is called")
    return arrays.from_text(code)


def numpy_dtype_state(p: Prover, build: Build) -> ArrayDType:
    """`dtype.__setstate__`."""
    index = build.target.index
    if index in p.sealed:
        raise BadArray("a dtype is given another state after it was used")
    base = p.records.get(index)
    if not isinstance(base, ArrayDType):
        raise BadArray("the dtype is not valid")
    p.sealed.add(index)
    state = build.state
    if len(state) == 9:
        state = (*state[:8], p.time_unit(state[8]))
    return arrays.with_state(base, state, p.array_dtype)


def numpy_scalar(p: Prover, index: int, args: tuple[Any, ...], at: int) -> ArrayRecord:
    """`numpy.core.multiarray.scalar(dtype, bytes)`."""
    return p.array(p.array_dtype(args[0]), (), args[1], at, scalar=True)


def numpy_array(p: Prover, index: int, args: tuple[Any, ...], at: int) -> ArrayRecord:
    """`_reconstruct(ndarray, (0,), b"b")`: an empty array, before its state says more."""
    if args[1] != (0,):
        raise BadArray("an array is made with the shape (0,), before its state says more")
    return EMPTY


def numpy_array_state(p: Prover, build: Build) -> ArrayRecord:
    """`ndarray.__setstate__`."""
    index = build.target.index
    if index in p.sealed:
        raise BadArray("an array is given another state after it had one")
    p.sealed.add(index)
    shape, dtype, fortran, data = build.state[-4:]
    return p.array(p.array_dtype(dtype), shape, data, build.offset, fortran=bool(fortran), native=True)


def numpy_frombuffer(p: Prover, index: int, args: tuple[Any, ...], at: int) -> ArrayRecord:
    """`numpy.core.numeric._frombuffer(bytes, dtype, shape, order)`, protocol 5."""
    if args[3] not in ("C", "F"):
        raise BadArray("the order of an array is C or F")
    return p.array(p.array_dtype(args[1]), p.ints(args[2]), args[0], at, fortran=args[3] == "F")


def joblib_array_state(p: Prover, build: Build) -> ArrayRecord:
    """The state of joblib's NumpyArrayWrapper: the array that stands in the file behind it.

    Since 1.2 (the first release that aligns) joblib turns elements of a foreign byte order around as it reads them; before it left them as they are.
    """
    index, state = build.target.index, build.state  # the one state: `formats.joblib` refuses a second
    dtype, extent = p.array_dtype(state["dtype"]), p.external.extents[index]
    p.budget.spend_tensor(extent.size, p.member, build.offset)
    native = "numpy_array_alignment_bytes" in state
    return arrays.record(dtype, state["shape"], state["order"] == "F", max_dims=p.budget.limits.tensor_dims, native=native, extent=extent)
