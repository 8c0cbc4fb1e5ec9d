"""A `Vetted` graph and its `Container` become a `Plan`: every storage has its bytes, and every tensor lies inside its storage.

One pass over the log, in order; each prover turns one call (or the state given to one) into a record and raises `StorageError` for what does not hold. The
errors of all of them are collected as findings, so a report shows them together. Numbers are Python ints and no array is built, so `scan`
proves exactly what `load` will use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from safeload.budget import Budget, Copies
from safeload.containers.base import Container, Member
from safeload.errors import StorageError
from safeload.findings import Finding
from safeload.machine.nodes import NODE_TYPES, Build, Call, Global
from safeload.policy.vetted import StorageId, Vetted
from safeload.storage import arrays, geometry, sparse
from safeload.storage.arrays import ArrayDType, ArrayRecord, BadArray
from safeload.storage.dtypes import DTYPES, STORAGE_TYPES, DType, dtype_named
from safeload.storage.records import MetaRecord, NestedRecord, Plan, Proof, QuantizedRecord, SparseRecord, StorageRecord, TensorRecord


def prove(vetted: Vetted, container: Container, budget: Budget, *, read: Callable[[Member], bytes]) -> Proof:
    """Prove one vetted stream. `read` gives the bytes of a member, for the few payloads (sparse indices) whose values are part of the proof.

    Raises `LimitExceeded` where the tensors are more or larger than the budget.
    """
    prover = _Prover(vetted, container, budget, read)
    prover.run()
    plan = None
    if not prover.findings:
        plan = Plan(
            vetted=vetted,
            container=container,
            storages=prover.storages,
            records=prover.records,
            private=prover.private,
            values=tuple(dict.fromkeys(sid.key for index, sid in vetted.storages.items() if index in vetted.loose)),
            tensor_count=prover.tensor_count,
            tensor_bytes=prover.tensor_bytes,
        )
    return Proof(
        plan=plan,
        findings=tuple(prover.findings),
        tensor_count=prover.tensor_count,
        tensor_bytes=prover.tensor_bytes,
        used_keys=frozenset(sid.key for sid in vetted.storages.values()),
    )


class _Prover:
    """The one mutable thing of this stage."""

    __slots__ = (
        "budget",
        "container",
        "copies",
        "findings",
        "member",
        "private",
        "read",
        "records",
        "sealed",
        "storages",
        "tensor_bytes",
        "tensor_count",
        "vetted",
    )

    def __init__(self, vetted: Vetted, container: Container, budget: Budget, read: Callable[[Member], bytes]) -> None:
        self.vetted = vetted
        self.container = container
        self.budget = budget
        self.read = read
        self.member = vetted.member
        self.storages: dict[str, StorageRecord] = {}
        self.records: dict[int, Any] = {}
        graph = vetted.graph
        self.copies = Copies(budget.limits, graph.end - graph.start)
        self.private: dict[str, bytes] = {}
        self.findings: list[Finding] = []
        self.sealed: set[int] = set()  # dtypes and arrays that may take no further state: something was built from them
        self.tensor_count = 0
        self.tensor_bytes = 0

    def run(self) -> None:
        """Every record of the log that has a prover, in order."""
        constructors = self.vetted.constructors
        for record in self.vetted.graph.log:
            kind = type(record)
            try:
                if kind is Call:
                    prover = PROVERS.get(constructors[record.index])
                    if prover is not None:
                        self.records[record.index] = prover(self, record.index, record.args, record.offset)  # type: ignore[union-attr]
                elif record.index in self.vetted.storages:
                    self.storage(self.vetted.storages[record.index])
                elif isinstance(record, Build):
                    state_prover = STATE_PROVERS.get(constructors[record.target.index])
                    if state_prover is not None:
                        self.records[record.target.index] = state_prover(self, record)
                if not record.index % RECORDS_PER_CHECK:
                    self.budget.check_time(self.member, record.offset)
            except StorageError as error:
                self.found(error)
            except BadArray as error:
                self.found(arrays.located(error, self.member, record.offset))

    def found(self, error: StorageError) -> None:
        """Keep one error as a finding."""
        if len(self.findings) < max(self.budget.limits.findings, 1):  # one is always kept: without any, there would be a plan
            self.findings.append(Finding(rule=error.rule, message=error.message, member=error.member or self.member, offset=error.offset))

    def error(self, message: str, rule: str, at: int) -> StorageError:
        """An error at a place in this stream."""
        return StorageError(message, rule=rule, member=self.member, offset=at)

    # ---- storages -----------------------------------------------------------------------------------------------------------------------

    def storage(self, sid: StorageId) -> StorageRecord:
        """The storage that a persistent id names; all ids of one key must agree about its bytes and its device.

        As in torch 2.15, a key may be named with different dtypes as long as the bytes are the same: they alias. torch keeps the first location
        silently; two locations for one storage have no honest writer, so they are refused.
        """
        dtype = DTYPES[STORAGE_TYPES[sid.storage_type]]
        nbytes = sid.numel * dtype.itemsize
        known = self.storages.get(sid.key)
        if known is not None:
            if known.nbytes != nbytes or known.location != sid.location:
                raise self.error(
                    f"storage {sid.key[:40]!a} is named with {nbytes:,} bytes on {sid.location[:40]!a} here, "
                    f"and with {known.nbytes:,} on {known.location[:40]!a} before",
                    "SL404",
                    sid.offset,
                )
            return known
        member = self.container.storages.get(sid.key)
        if member is None and nbytes:
            raise self.error(f"the file holds no storage {sid.key[:40]!a}", "SL403", sid.offset)
        if member is not None and member.size != nbytes:
            raise self.error(
                f"storage {sid.key[:40]!a} holds {member.size:,} bytes, and {sid.numel:,} elements of {dtype.name} are {nbytes:,}", "SL402", sid.offset
            )
        record = StorageRecord(key=sid.key, dtype=dtype, nbytes=nbytes, location=sid.location, member=member)
        self.storages[sid.key] = record
        return record

    # ---- dense tensors --------------------------------------------------------------------------------------------------------------------

    def dense(self, args: tuple[Any, ...], at: int, dtype: DType | None = None) -> TensorRecord:
        """`(storage, offset, size, stride[, requires_grad, hooks])`: the view that all rebuild functions share."""
        sid = self.vetted.storages[args[0].index]
        storage = self.storages.get(sid.key)
        if storage is None:
            raise self.error(f"a tensor stands on storage {sid.key[:40]!a}, which is not valid", "SL403", at)
        if dtype is None:
            dtype = DTYPES[STORAGE_TYPES[sid.storage_type]]
        shape, strides, offset = self.ints(args[2], at), self.ints(args[3], at), args[1]
        available = storage.nbytes * dtype.per_byte // dtype.itemsize
        base = 0
        if sid.view is not None:  # torch <= 0.3: the storage itself is a view of another, in elements of its type
            start, length = sid.view[1], sid.view[2]
            if start + length > sid.numel:
                raise self.error(f"a storage view of {length:,} elements at {start:,} leaves its storage of {sid.numel:,}", "SL401", at)
            unit = DTYPES[STORAGE_TYPES[sid.storage_type]].itemsize
            if start * unit % dtype.itemsize:
                raise self.error("a storage view does not begin at an element of the tensor on it", "SL405", at)
            base, available = start * unit // dtype.itemsize, length * unit * dtype.per_byte // dtype.itemsize
        geometry.check(shape, strides, offset, available, limits=self.budget.limits, where=self.member, at=at)
        record = TensorRecord(dtype=dtype, shape=shape, strides=strides, offset=base + offset, storage=sid.key, requires_grad=len(args) > 4 and args[4] is True)
        nbytes = record.nbytes
        self.budget.spend_tensor(nbytes, self.member, at)
        self.tensor_count += 1
        self.tensor_bytes += nbytes
        return record

    def ints(self, value: Any, at: int) -> tuple[int, ...]:
        """A size or stride: tuple, list or torch.Size."""
        if type(value) in NODE_TYPES:
            value = self.vetted.literals.get(value.index)
        if type(value) not in (tuple, list) or not all(type(item) is int for item in value):
            raise self.error("a size or stride is no tuple of ints", "SL405", at)
        return tuple(value)

    def dtype(self, node: Global, at: int) -> DType:
        """The dtype that a `torch.float32` names."""
        found = dtype_named(node.full)
        if found is None:
            raise self.error(f"{node.full[:60]!a} is no dtype that has an item size", "SL406", at)
        return found

    def tensor(self, node: Any, at: int) -> TensorRecord:
        """The dense record of an argument that must be a dense tensor."""
        record = self.records.get(node.index)
        if not isinstance(record, TensorRecord):
            raise self.error("a part of a tensor is not a dense tensor", "SL405", at)
        return record

    def numbers(self, tensor: TensorRecord) -> Sequence[int]:
        """The elements of an integer tensor. Its storage is read once, here; `rebuild` gets these very bytes (law 2)."""
        if tensor.neg or tensor.conj:
            raise StorageError("an index tensor is marked as negated or conjugated", rule="SL408")
        storage = self.storages[tensor.storage]
        if storage.member is not None and storage.key not in self.private:
            self.private[storage.key] = self.read(storage.member)
        return sparse.values(tensor, storage, self.private.get(storage.key, b""), self.container.byteorder)

    def inner(self, index: int, args: tuple[Any, ...], at: int) -> Any:
        """`_rebuild_from_type(_v2)`: prove what `func(*args)` would be."""
        constructor = self.vetted.constructors[args[0].index]
        return PROVERS[constructor](self, index, args[2], at)

    # ---- numpy ------------------------------------------------------------------------------------------------------------------------------

    def array_dtype(self, node: Any) -> ArrayDType:
        """The dtype record of a node; from here on it takes no further state."""
        self.sealed.add(node.index)
        record = self.records.get(node.index)
        if not isinstance(record, ArrayDType):
            raise BadArray("the dtype of an array is not valid")
        return record

    def payload(self, value: Any) -> bytes:
        """The bytes of an array: bytes, or text of a Python 2 writer read with `encoding="latin1"`."""
        if type(value) in NODE_TYPES:
            value = self.vetted.literals.get(value.index)
        if type(value) is str:
            try:
                return value.encode("latin-1")
            except UnicodeEncodeError:
                raise BadArray("the data of an array is text outside latin-1; Python 2 files want encoding='latin1'") from None
        if type(value) in (bytes, bytearray):
            return bytes(value)
        raise BadArray("the data of an array is not bytes")

    def time_unit(self, metadata: Any) -> Any:
        """`({}, (b"D", 1, 1, 1))` with the unit as bytes, where protocol 2 spells bytes as a call."""
        if type(metadata) is tuple and len(metadata) == 2 and type(metadata[1]) is tuple:
            return (metadata[0], tuple(self.vetted.literals.get(part.index) if type(part) is Call else part for part in metadata[1]))
        return metadata

    def array(
        self, dtype: ArrayDType, shape: tuple[int, ...], fortran: bool, data: bytes, at: int, *, scalar: bool = False, native: bool = False
    ) -> ArrayRecord:
        """One array whose bytes lie in the pickle."""
        if dtype.has_objects:
            raise self.error("a numpy array of Python objects; safeload loads numbers and text only (numpy calls this allow_pickle)", "SL409", at)
        self.copies.spend(len(data), self.member, at)
        return arrays.record(dtype, shape, fortran, data, max_dims=self.budget.limits.tensor_dims, scalar=scalar, native=native)


NUMPY_KINDS = {"float": "f", "int": "iu", "uint": "iu", "bool": "b", "complex": "c"}  # numpy's kinds of dtype for a family
RECORDS_PER_CHECK = 1_024  # entries of the log between two looks at the clock
NEGATED = ("float", "complex", "int", "uint")  # families that torch negates; 8-bit floats are no arithmetic types


Prover = Callable[[_Prover, int, "tuple[Any, ...]", int], Any]


def _dense(p: _Prover, index: int, args: tuple[Any, ...], at: int) -> TensorRecord:
    record = p.dense(args, at)
    return _with_bits(p, record, args[6], at) if len(args) > 6 else record


def _dense_v3(p: _Prover, index: int, args: tuple[Any, ...], at: int) -> TensorRecord:
    record = p.dense(args, at, p.dtype(args[6], at))
    return _with_bits(p, record, args[7], at) if len(args) > 7 else record


def _with_bits(p: _Prover, record: TensorRecord, metadata: Any, at: int) -> TensorRecord:
    """torch >= 2.0 notes lazy conjugation and negation in a dict of flags; other keys say nothing about the values."""
    conj, neg = metadata.get("conj") is True, metadata.get("neg") is True
    if neg and (record.dtype.family not in NEGATED or record.dtype.itemsize == 1):
        raise p.error(f"a tensor of {record.dtype.name} is marked as negated, which it cannot be", "SL406", at)
    return replace(record, conj=conj and record.dtype.family == "complex", neg=neg)


def _parameter(p: _Prover, index: int, args: tuple[Any, ...], at: int) -> Any:
    inner = p.records.get(args[0].index)
    return replace(inner, requires_grad=args[1]) if isinstance(inner, (TensorRecord, MetaRecord)) else inner


def _quantized(p: _Prover, index: int, args: tuple[Any, ...], at: int) -> QuantizedRecord:
    values = p.dense(args[:4], at)
    if values.dtype.family != "quantized":
        raise p.error(f"a quantised tensor holds {values.dtype.name}", "SL406", at)
    if len(args) == 8:  # torch 1.2: scale and zero point stand as arguments
        return QuantizedRecord(values=values, scheme="per_tensor_affine", scale=_number(p, args[4], at), zero_point=_whole(p, args[5], at), axis=None)
    quantizer = args[4]
    scheme = quantizer[0].name
    if len(quantizer) == 3:
        if scheme not in ("per_tensor_affine", "per_tensor_symmetric"):
            raise p.error(f"the quantisation scheme {scheme[:40]!a} takes an axis", "SL406", at)
        return QuantizedRecord(values=values, scheme=scheme, scale=_number(p, quantizer[1], at), zero_point=_whole(p, quantizer[2], at), axis=None)
    scales, zero_points, axis = quantizer[1:]
    if not scheme.startswith("per_channel") or not 0 <= axis < len(values.shape):
        raise p.error(f"a tensor of {len(values.shape)} dimensions is quantised along axis {axis} ({scheme[:40]!a})", "SL405", at)
    for part in (scales, zero_points):
        count = len(part) if type(part) is list else p.tensor(part, at).shape
        if type(part) is list:
            for item in part:
                _number(p, item, at)
        if count not in (values.shape[axis], (values.shape[axis],)):
            raise p.error(f"{values.shape[axis]} channels need as many scales and zero points", "SL405", at)
    return QuantizedRecord(values=values, scheme=scheme, scale=scales, zero_point=zero_points, axis=axis)


def _number(p: _Prover, value: Any, at: int) -> float:
    """A scale: a float, or an int that is one."""
    if type(value) is float or (type(value) is int and -(1 << 63) <= value < 1 << 63):
        return float(value)
    raise p.error("the scale of a quantised tensor is no number that torch holds", "SL405", at)


def _whole(p: _Prover, value: Any, at: int) -> Any:
    """A zero point: an int of 64 bits; float for the float_qparams types."""
    _number(p, value, at)
    return value


def _sparse(p: _Prover, index: int, args: tuple[Any, ...], at: int) -> SparseRecord:
    layout = p.vetted.literals[args[0].index].name
    parts = args[1]
    coo = layout == "sparse_coo"
    nodes = parts[:2] if coo else parts[:3]
    if len(parts) not in ((3, 4) if coo else (4,)) or (not coo and type(parts[2]) not in NODE_TYPES):
        raise p.error(f"the parts do not make a tensor of layout {layout}", "SL405", at)
    record = SparseRecord(
        layout=layout,
        parts=tuple(nodes),
        shape=p.ints(parts[2] if coo else parts[3], at),
        coalesced=parts[3] if coo and len(parts) == 4 else None,
    )
    sparse.check(record, [p.tensor(node, at) for node in nodes], p.numbers, p.member, at, p.budget)
    return record


def _meta(p: _Prover, index: int, args: tuple[Any, ...], at: int) -> MetaRecord:
    shape, strides = p.ints(args[1], at), p.ints(args[2], at)
    geometry.check(shape, strides, 0, 1 << 62, limits=p.budget.limits, where=p.member, at=at)
    return MetaRecord(dtype=p.dtype(args[0], at), shape=shape, strides=strides, requires_grad=args[3])


def _wrapper(p: _Prover, index: int, args: tuple[Any, ...], at: int) -> MetaRecord:
    shape, strides = p.ints(args[2], at), p.ints(args[3], at)
    geometry.check(shape, strides, args[4], 1 << 62, limits=p.budget.limits, where=p.member, at=at)
    device = args[6] if type(args[6]) is str else str(p.vetted.literals[args[6].index])
    return MetaRecord(dtype=p.dtype(args[1], at), shape=shape, strides=strides, requires_grad=args[7], device=device)


def _uninitialized(p: _Prover, index: int, args: tuple[Any, ...], at: int) -> MetaRecord:
    return MetaRecord(dtype=None, shape=None, strides=None, requires_grad=not args or args[0] is True)


def _nested(p: _Prover, index: int, args: tuple[Any, ...], at: int) -> NestedRecord:
    buffer = p.tensor(args[0], at)
    tables = [p.tensor(part, at) for part in args[1:]]
    numbers = [p.numbers(table) for table in tables]
    sizes, strides, offsets = tables[0].shape, tables[1].shape, tables[2].shape
    if len(buffer.shape) != 1 or len(sizes) != 2 or sizes != strides or offsets != sizes[:1] or any(table.dtype.name != "int64" for table in tables):
        raise p.error("a nested tensor is (buffer, sizes, strides, offsets): 1-D, 2-D, 2-D and 1-D of int64", "SL405", at)
    if buffer.neg or buffer.conj:
        raise p.error("the buffer of a nested tensor is marked as negated or conjugated", "SL405", at)
    count, dims = sizes
    components = []
    for row in range(count):
        shape, stride = tuple(numbers[0][row * dims : row * dims + dims]), tuple(numbers[1][row * dims : row * dims + dims])
        geometry.check(shape, stride, numbers[2][row], buffer.shape[0], limits=p.budget.limits, where=p.member, at=at)
        scaled = tuple(step * (buffer.strides[0] if buffer.shape[0] > 1 else 1) for step in stride)
        p.budget.spend_tensor(geometry.elements(shape) * buffer.dtype.itemsize, p.member, at)
        components.append(
            TensorRecord(dtype=buffer.dtype, shape=shape, strides=scaled, offset=buffer.offset + numbers[2][row] * buffer.strides[0], storage=buffer.storage)
        )
    return NestedRecord(buffer=args[0], components=tuple(components))


def _from_cpu(p: _Prover, index: int, args: tuple[Any, ...], at: int) -> Any:
    dtype, record = p.dtype(args[1], at), p.records.get(args[0].index)
    if isinstance(record, TensorRecord) and record.dtype != dtype:
        raise p.error(f"a tensor of {record.dtype.name} stands for one of {dtype.name}", "SL406", at)
    return _parameter(p, index, (args[0], args[3]), at)


def _from_numpy(p: _Prover, index: int, args: tuple[Any, ...], at: int) -> Any:
    """An ndarray stands for a tensor; bfloat16 travels as float32 (torch `_reduce_ex_internal`)."""
    family = p.dtype(args[1], at).family
    record = p.records.get(args[0].index)
    if not isinstance(record, ArrayRecord):
        raise p.error("the array of a device tensor is not valid", "SL407", at)
    if record.dtype.fields is not None or record.dtype.code[0] not in NUMPY_KINDS.get(family, ""):
        raise p.error(f"an array of {record.dtype.code} stands for a tensor of another kind ({family})", "SL406", at)
    p.sealed.add(args[0].index)
    return None


def _numpy_dtype(p: _Prover, index: int, args: tuple[Any, ...], at: int) -> ArrayDType:
    return arrays.from_text(args[0])


def _numpy_dtype_class(p: _Prover, index: int, args: tuple[Any, ...], at: int) -> ArrayDType:
    func = p.vetted.graph.log[index].func  # type: ignore[union-attr]
    code = arrays.DTYPE_CLASSES.get(func.name) if type(func) is Global else None
    if code is None:
        raise BadArray("a dtype class without a size of its own is called")
    return arrays.from_text(code)


def _numpy_dtype_state(p: _Prover, build: Build) -> ArrayDType:
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


def _numpy_scalar(p: _Prover, index: int, args: tuple[Any, ...], at: int) -> ArrayRecord:
    return p.array(p.array_dtype(args[0]), (), False, p.payload(args[1]), at, scalar=True)


def _numpy_array(p: _Prover, index: int, args: tuple[Any, ...], at: int) -> ArrayRecord:
    if args[1] != (0,):
        raise BadArray("an array is made with the shape (0,), before its state says more")
    return p.array(arrays.from_text("i1"), (0,), False, b"", at)


def _numpy_array_state(p: _Prover, build: Build) -> ArrayRecord:
    index = build.target.index
    if index in p.sealed:
        raise BadArray("an array is given another state after it had one")
    p.sealed.add(index)
    shape, dtype, fortran, data = build.state[-4:]
    record_dtype = p.array_dtype(dtype)
    if record_dtype.has_objects:
        return p.array(record_dtype, shape, bool(fortran), b"", build.offset)
    return p.array(record_dtype, shape, bool(fortran), p.payload(data), build.offset, native=True)


def _numpy_frombuffer(p: _Prover, index: int, args: tuple[Any, ...], at: int) -> ArrayRecord:
    if args[3] not in ("C", "F"):
        raise BadArray("the order of an array is C or F")
    return p.array(p.array_dtype(args[1]), p.ints(args[2], at), args[3] == "F", p.payload(args[0]), at)


def _legacy_tensor_state(p: _Prover, build: Build) -> TensorRecord:
    return p.dense(build.state, build.offset)


def _legacy_parameter_state(p: _Prover, build: Build) -> Any:
    state = build.state
    if len(state) == 4:
        return p.dense(state, build.offset)
    if len(state) == 5:
        return _parameter(p, 0, (state[0], state[3]), build.offset)
    return _parameter(p, 0, (build.target, state[0]), build.offset)


def _new_parameter(p: _Prover, index: int, args: tuple[Any, ...], at: int) -> Any:
    return _parameter(p, index, (args[0], len(args) < 2 or args[1]), at) if args else None


PROVERS: dict[str | None, Prover] = {
    "tensor": _dense,
    "tensor-v3": _dense_v3,
    "parameter": _parameter,
    "parameter-with-state": _parameter,
    "parameter-class": _new_parameter,
    "typed-tensor": _Prover.inner,
    "quantized-tensor": _quantized,
    "sparse-tensor": _sparse,
    "sparse-csr-tensor": _sparse,
    "meta-tensor": _meta,
    "wrapper-subclass": _wrapper,
    "uninitialized-parameter": _uninitialized,
    "nested-tensor": _nested,
    "device-tensor-from-cpu": _from_cpu,
    "device-tensor-from-numpy": _from_numpy,
    "numpy-dtype": _numpy_dtype,
    "numpy-dtype-class": _numpy_dtype_class,
    "numpy-scalar": _numpy_scalar,
    "numpy-array": _numpy_array,
    "numpy-array-frombuffer": _numpy_frombuffer,
}
STATE_PROVERS: dict[str | None, Callable[[_Prover, Build], Any]] = {
    "tensor-class": _legacy_tensor_state,
    "parameter-class": _legacy_parameter_state,
    "numpy-dtype": _numpy_dtype_state,
    "numpy-array": _numpy_array_state,
}
