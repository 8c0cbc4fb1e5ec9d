"""What every proof of a stream shares: its storages, the numbers of its arguments, and where errors go.

Turns persistent ids into `StorageRecord`s and the `(storage, offset, size, stride)` of all rebuild functions into `TensorRecord`s. Refuses storages whose
bytes are not there or not as many as announced (SL402, SL403), ids that disagree (SL404), and views outside (SL401, SL405).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from safeload.budget import Budget, Copies
from safeload.containers.base import Container, Member
from safeload.errors import StorageError
from safeload.findings import Finding
from safeload.machine.late import Late
from safeload.machine.nodes import NODE_TYPES, Call, Global
from safeload.policy.vetted import External, StorageId, Vetted
from safeload.storage import arrays, geometry
from safeload.storage.arrays import ArrayDType, ArrayRecord, BadArray
from safeload.storage.dtypes import DTYPES, STORAGE_TYPES, DType, dtype_named
from safeload.storage.records import StorageRecord, TensorRecord


class Prover:
    """The one mutable thing of this stage."""

    __slots__ = (
        "budget",
        "container",
        "copies",
        "external",
        "findings",
        "member",
        "private",
        "read",
        "records",
        "sealed",
        "storages",
        "suppressed",
        "tensor_bytes",
        "tensor_count",
        "vetted",
        "views",
    )

    def __init__(self, vetted: Vetted, container: Container, budget: Budget, read: Callable[[Member], bytes], external: External) -> None:
        self.vetted = vetted
        self.container = container
        self.budget = budget
        self.read = read
        self.member = vetted.member
        self.external = external
        self.storages: Late[str, StorageRecord] = Late()
        self.storages.update(external.backing)
        self.records: Late[int, Any] = Late()
        self.records.update(external.tensors)
        self.private: dict[str, bytes | memoryview] = dict(external.private)
        graph = vetted.graph
        self.copies = Copies(budget.limits, graph.end - graph.start)
        self.views: dict[tuple[str, Any], Any] = {}  # (storage, key of a view of it) -> the view
        self.findings: list[Finding] = []
        self.suppressed = 0  # findings beyond the limit
        self.sealed: set[int] = set()  # dtypes, arrays and tensors that may take no further state: something was built from them
        self.tensor_count = 0
        self.tensor_bytes = 0

    def found(self, error: StorageError, at: int) -> None:
        """Keep one error as a finding, at this record of the log: what proves knows no place."""
        if len(self.findings) >= max(self.budget.limits.findings, 1):  # one is always kept: without any, there would be a plan
            self.suppressed += 1
        else:
            self.findings.append(Finding(rule=error.rule, message=error.message, member=self.member, offset=at))

    # ---- storages -----------------------------------------------------------------------------------------------------------------------

    def storage(self, sid: StorageId) -> StorageRecord:
        """The storage that a persistent id names. Where the id is that of a view (torch <= 0.3), the view lies inside."""
        record = self._storage(sid)
        if sid.view is not None:
            key, start, length = sid.view
            if start + length > sid.numel:
                raise StorageError(f"a storage view of {length:,} elements at {start:,} leaves its storage of {sid.numel:,}", rule="SL401")
            if self.views.setdefault((sid.key, key), sid.view) != sid.view:
                raise StorageError(f"two views of storage {sid.key[:40]!a} have one key and are not the same", rule="SL404")
            if record.dtype.name != STORAGE_TYPES[sid.storage_type]:
                raise StorageError(f"a view of {STORAGE_TYPES[sid.storage_type]} stands on a storage of {record.dtype.name}", rule="SL404")
        return record

    def _storage(self, sid: StorageId) -> StorageRecord:
        """The whole storage: all ids of one key must agree about its bytes and its device.

        As in torch 2.15, a key may be named with different dtypes as long as the bytes are the same: they alias. torch keeps the first location
        silently; two locations for one storage have no honest writer, so they are refused.
        """
        dtype = DTYPES[STORAGE_TYPES[sid.storage_type]]
        nbytes = sid.numel * dtype.itemsize
        known: StorageRecord | None = self.storages.get(sid.key)
        if known is not None:
            if known.nbytes != nbytes or known.location != sid.location:
                raise StorageError(
                    f"storage {sid.key[:40]!a} is named with {nbytes:,} bytes on {sid.location[:40]!a} here, "
                    f"and with {known.nbytes:,} on {known.location[:40]!a} before",
                    rule="SL404",
                )
            return known
        member = self.container.storages.get(sid.key)
        if member is None and nbytes:
            raise StorageError(f"the file holds no storage {sid.key[:40]!a}", rule="SL403")
        if member is not None and member.size != nbytes:
            raise StorageError(f"storage {sid.key[:40]!a} holds {member.size:,} bytes, and {sid.numel:,} elements of {dtype.name} are {nbytes:,}", rule="SL402")
        record = StorageRecord(key=sid.key, dtype=dtype, nbytes=nbytes, location=sid.location, member=member)
        self.storages[sid.key] = record
        return record

    # ---- dense tensors --------------------------------------------------------------------------------------------------------------------

    def dense(self, args: tuple[Any, ...], at: int, dtype: DType | None = None) -> TensorRecord:
        """`(storage, offset, size, stride[, requires_grad, hooks])`: the view that all rebuild functions share."""
        sid = self.vetted.storages[args[0].index]
        storage = self.storages.get(sid.key)
        if storage is None:
            raise StorageError(f"a tensor stands on storage {sid.key[:40]!a}, which is not valid", rule="SL403")
        if dtype is None:
            dtype = DTYPES[STORAGE_TYPES[sid.storage_type]]
        shape, strides, offset = self.ints(args[2]), self.ints(args[3]), args[1]
        available = storage.nbytes * dtype.per_byte // dtype.itemsize
        base = 0
        if sid.view is not None:  # torch <= 0.3: the storage itself is a view of another, in elements of its type
            start, length = sid.view[1], sid.view[2]
            unit = DTYPES[STORAGE_TYPES[sid.storage_type]].itemsize
            if start * unit % dtype.itemsize:
                raise StorageError("a storage view does not begin at an element of the tensor on it", rule="SL405")
            base, available = start * unit // dtype.itemsize, length * unit * dtype.per_byte // dtype.itemsize
        geometry.check(shape, strides, offset, available, limits=self.budget.limits)
        record = TensorRecord(dtype=dtype, shape=shape, strides=strides, offset=base + offset, storage=sid.key, requires_grad=len(args) > 4 and args[4] is True)
        nbytes = record.nbytes
        self.budget.spend_tensor(nbytes, self.member, at)
        self.tensor_count += 1
        self.tensor_bytes += nbytes
        return record

    def ints(self, value: Any) -> tuple[int, ...]:
        """A size or stride: tuple, list or torch.Size."""
        if type(value) in NODE_TYPES:
            value = self.vetted.literals.get(value.index)
        if type(value) not in (tuple, list) or not all(type(item) is int for item in value):
            raise StorageError("a size or stride is no tuple of ints", rule="SL405")
        return tuple(value)

    def dtype(self, node: Global) -> DType:
        """The dtype that a `torch.float32` names."""
        found = dtype_named(node.full)
        if found is None:
            raise StorageError(f"{node.full!a} is no dtype that has an item size", rule="SL406")
        return found

    def tensor(self, node: Any) -> TensorRecord:
        """The dense record of an argument that must be a dense tensor; from here on it takes no further state."""
        self.sealed.add(node.index)
        record = self.records.get(node.index)
        if not isinstance(record, TensorRecord):
            raise StorageError("a part of a tensor is not a dense tensor", rule="SL405")
        return record

    def numbers(self, tensor: TensorRecord) -> Sequence[int]:
        """The elements of an integer tensor. Its storage is read once, here; `rebuild` gets these very bytes (law 2)."""
        if tensor.neg or tensor.conj:
            raise StorageError("an index tensor is marked as negated or conjugated", rule="SL408")
        storage = self.storages[tensor.storage]
        if storage.key not in self.private:
            self.private[storage.key] = self.read(storage.member) if storage.member is not None else b""
        from safeload.storage import sparse  # few tensors are

        return sparse.values(tensor, storage, self.private[storage.key], self.container.byteorder)

    # ---- numpy ------------------------------------------------------------------------------------------------------------------------------

    def array_dtype(self, node: Any) -> ArrayDType:
        """The dtype record of a node; from here on it takes no further state."""
        self.sealed.add(node.index)
        record = self.records.get(node.index)
        if not isinstance(record, ArrayDType):
            raise BadArray("the dtype of an array is not valid")
        return record

    def time_unit(self, metadata: Any) -> Any:
        """`({}, (b"D", 1, 1, 1))` with the unit as bytes, where protocol 2 spells bytes as a call."""
        if type(metadata) is tuple and len(metadata) == 2 and type(metadata[1]) is tuple:
            return (metadata[0], tuple(self.vetted.literals.get(part.index) if type(part) is Call else part for part in metadata[1]))
        return metadata

    def array(
        self, dtype: ArrayDType, shape: tuple[int, ...], value: Any, at: int, *, fortran: bool = False, scalar: bool = False, native: bool = False
    ) -> ArrayRecord:
        """One array whose bytes lie in the pickle."""
        if dtype.has_objects:
            raise StorageError("a numpy array of Python objects; safeload loads numbers and text only (numpy calls this allow_pickle)", rule="SL409")
        data = self._payload(value)
        self.copies.spend(len(data), self.member, at)
        return arrays.record(dtype, shape, fortran, data, max_dims=self.budget.limits.tensor_dims, scalar=scalar, native=native)

    def _payload(self, value: Any) -> bytes:
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
