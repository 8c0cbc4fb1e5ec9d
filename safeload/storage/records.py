"""What `storage` proves about tensors and storages, one record for each: everything that `rebuild` needs to make a view, and nothing unchecked."""

from __future__ import annotations

from typing import Any, Union

import msgspec

from safeload.containers.base import Container, Member
from safeload.findings import Finding
from safeload.policy.vetted import Vetted
from safeload.storage.arrays import ArrayRecord
from safeload.storage.dtypes import DType


class StorageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One torch storage: `nbytes` bytes in `member`, saved from the device `location`. `dtype` is that of the persistent id that first named it."""

    key: str
    dtype: DType
    nbytes: int
    location: str
    member: Member | None  # None: a storage without bytes (empty, or on the meta device)


class TensorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One dense view, proved to lie inside its storage. Shape, strides and offset are in elements, as torch counts them."""

    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    storage: str  # key
    requires_grad: bool = False
    conj: bool = False
    neg: bool = False

    @property
    def nbytes(self) -> int:
        """Logical bytes: elements times item size, also where a stride of 0 makes them share storage."""
        count = self.dtype.itemsize
        for length in self.shape:
            count *= length
        return count // self.dtype.per_byte


class QuantizedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The integer view of a quantised tensor, and its quantizer: scale and zero point, or one of each along `axis`."""

    values: TensorRecord
    scheme: str
    scale: Any  # float, list of numbers, or the node of a tensor
    zero_point: Any
    axis: int | None


class SparseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A sparse tensor by its parts, each the node of a dense tensor: COO (indices, values) or compressed (compressed, plain, values)."""

    layout: str
    parts: tuple[Any, ...]
    shape: tuple[int, ...]
    coalesced: bool | None


class MetaRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor without data."""

    dtype: DType | None
    shape: tuple[int, ...] | None  # None: not yet known (UninitializedParameter)
    strides: tuple[int, ...] | None
    requires_grad: bool
    device: str = "meta"


class NestedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A nested tensor: a view of one buffer for each component."""

    components: tuple[TensorRecord, ...]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A vetted graph with every storage and tensor of it proved. `records[i]` belongs to `log[i]`."""

    vetted: Vetted
    container: Container
    storages: dict[str, StorageRecord]
    records: dict[int, Any]
    values: tuple[str, ...]  # keys of the storages that stand as values, outside of any tensor
    private: dict[str, bytes | memoryview]  # storage key -> its bytes as they were judged: values that are part of the proof, bytes in a stream


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Tensors and arrays by name, of a file that holds no stream: each proved to lie inside its storage, or inside the file."""

    container: Container
    entries: dict[str, TensorRecord | ArrayRecord | Document]  # a document: an entry that is a file of its own
    storages: dict[str, StorageRecord] = {}
    bare: bool = False  # the one entry is itself the value, and not a dict of it

    @property
    def records(self) -> dict[str, Any]:
        """What stands on the storages."""
        return self.entries


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Several documents of one file or folder, by name: an OrderedDict of their values."""

    parts: dict[str, Document]
    is_list: bool = False  # the values in order, as a list


class Assembly(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor out of several streams, proved to fill it: each part is a plan of a dense tensor, and where its first element stands in the whole."""

    dtype: DType
    shape: tuple[int, ...]
    parts: tuple[tuple[tuple[int, ...], Plan], ...]


class Shards(msgspec.Struct, frozen=True, kw_only=True):
    """One mapping over several files: the name of each tensor and its file, and what each file holds."""

    names: dict[str, str]
    parts: dict[str, Document]


class Unbuilt(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was judged to its end, and that `load` makes nothing of: it is for scans. `what` it is, and what reads it (`hint`)."""

    what: str
    hint: str


Document = Union[Plan, Table, Group, Assembly, Shards, Unbuilt]
"""What a file holds, proved and not yet built."""


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What `prove` found: a plan only if nothing is wrong."""

    plan: Plan | None
    findings: tuple[Finding, ...]
    suppressed: int  # findings beyond `Limits.findings`
    tensor_count: int
    tensor_bytes: int
    used_keys: frozenset[str]
