"""What the vetting leaves behind: `Vetted`, the seal that permits building, and the findings where there is none."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from safeload.containers.base import Member
from safeload.findings import Finding, GlobalUse
from safeload.machine.nodes import Global, ObjectGraph, TensorRun
from safeload.policy.model import Policy


class StorageId(msgspec.Struct, frozen=True, kw_only=True):
    """A persistent id of the torch grammar: `("storage", storage_type, key, location, numel[, view])`."""

    index: int
    offset: int
    storage_type: str  # FloatStorage, UntypedStorage, ...
    key: str
    location: str
    numel: int  # elements of the storage type's dtype; bytes for UntypedStorage
    view: tuple[Any, ...] | None  # torch <= 0.3 legacy files: (view key, offset, size) in elements


class External(msgspec.Struct, frozen=True, kw_only=True):
    """What another part of the file says about nodes of a stream: by the index of the node, a call or a persistent id.

    A storage whose bytes stand in a pickle of their own (`torch.storage._load_from_bytes`), an object that a tar archive of torch 0.1 keeps in its tables, an
    array that joblib wrote between the opcodes. The records are those of `storage`, already proved; the policy only knows that a node is a tensor, a storage
    or a class.
    """

    storages: dict[int, StorageId] = {}
    tensors: dict[int, Any] = {}
    extents: dict[int, Member] = {}  # where the bytes of an array lie in the file, by the call that stands for it
    modules: dict[int, Global] = {}  # persistent ids that stand for the class of a module
    backing: dict[str, Any] = {}  # key -> record of a storage that the container does not list under this key, or that only these tensors name
    private: dict[str, Any] = {}  # key -> bytes of a storage that stand in a stream, as they were judged


SEAL: Final = object()  # `vet` alone uses it; a test holds the rest of the package to that


class Vetted:
    """A graph that one policy has let through. Its existence is the permission to build it; only `vet` can make one.

    `constructors[i]` is the id of the constructor for the call at `log[i]` (`opaque` for inert records), `kinds[i]` what it produces, `literals[i]` the
    values that were computed while judging, `storages[i]` the persistent ids, and
    `loose` the indices of those that stand as values, outside of any tensor. `runs` are the runs of the graph that were judged as a whole: each record of them
    is a dense tensor on a storage whose key is text.
    """

    __slots__ = ("constructors", "graph", "kinds", "literals", "loose", "member", "policy", "runs", "storages")

    def __init__(
        self,
        seal: object,
        *,
        graph: ObjectGraph,
        policy: Policy,
        member: str | None,
        constructors: list[str | None],
        kinds: list[str],
        literals: dict[int, Any],
        storages: dict[int, StorageId],
        loose: set[int] | None = None,
        runs: list[TensorRun] | None = None,
    ) -> None:
        if seal is not SEAL:
            raise TypeError("only safeload.policy.vet can make a Vetted")
        self.graph = graph
        self.policy = policy
        self.member = member
        self.constructors = constructors
        self.kinds = kinds
        self.literals = literals
        self.storages = storages
        self.loose = loose or set()
        self.runs = runs or []


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What `vet` found: `vetted` is there only if no finding is an error."""

    vetted: Vetted | None
    findings: tuple[Finding, ...]
    suppressed: int
    globals: tuple[GlobalUse, ...]
