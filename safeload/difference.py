"""Two checkpoints, each judged by the same policy, become what the second has and the first has not, and the other way round.

    names     what the file mentions: gained and lost, with what each could do; the capabilities that come and go with them
    tensors   added, removed, renamed (the same bytes under another name), reshaped (another dtype or shape), changed (other bytes)
    values    what else the file holds, as text by its path: epochs, hyperparameters

Tensors are compared by the sha256 of their elements in order, so strides, storages and formats do not count. Of a file that was not accepted there are
names alone: nothing is built from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from safeload.findings import GlobalUse, Report

CHUNK_BYTES = 16 << 20  # of one array that are copied at a time, where its elements do not lie in order


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """What one tensor is: torch's name of the dtype, and elements along each dimension."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join(map(str, self.shape))}]"


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One checkpoint. `tensors` and `values` are None where it was not accepted."""

    report: Report
    tensors: Mapping[str, Tensor] | None = None
    values: Mapping[str, str] | None = None


class NameChange(msgspec.Struct, frozen=True, kw_only=True):
    """A name that only one of the files mentions, and what the policy says of it."""

    name: str
    capability: str
    decision: str


class TensorChange(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor: `before` None where it was added, `after` None where it was removed, `renamed_to` where it has another name now."""

    name: str
    before: str | None
    after: str | None
    renamed_to: str | None = None


class ValueChange(msgspec.Struct, frozen=True, kw_only=True):
    """One value by its path, in words."""

    path: str
    before: str | None
    after: str | None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """From the first file to the second. Names are sorted, tensors stand in the order of their file."""

    names_gained: tuple[NameChange, ...]
    names_lost: tuple[NameChange, ...]
    capabilities_gained: tuple[str, ...]
    capabilities_lost: tuple[str, ...]
    compared: bool  # were tensors and values compared: is the policy content with both?
    added: tuple[TensorChange, ...] = ()
    removed: tuple[TensorChange, ...] = ()
    renamed: tuple[TensorChange, ...] = ()
    reshaped: tuple[TensorChange, ...] = ()
    changed: tuple[TensorChange, ...] = ()
    same: int = 0  # tensors with the same name, dtype, shape and bytes
    values: tuple[ValueChange, ...] = ()

    @property
    def gains(self) -> bool:
        """Has the second file a capability that the first has not, other than to hold data?"""
        return any(not capability.startswith("data.") for capability in self.capabilities_gained)

    @property
    def is_empty(self) -> bool:
        """Do the files hold the same?"""
        parts = (self.names_gained, self.names_lost, self.added, self.removed, self.renamed, self.reshaped, self.changed, self.values)
        return self.compared and not any(parts)


def difference(first: Side, second: Side, digest: Callable[[Side, str], str]) -> Difference:
    """Compare. `digest(side, name)` is that of a tensor's elements (`digest_of`); it is asked for no more tensors than have to be read."""
    before, after = _names(first.report), _names(second.report)
    can_before, can_after = ({use.capability for use in names.values()} for names in (before, after))
    found = Difference(
        names_gained=tuple(_name(after[name]) for name in sorted(after.keys() - before.keys())),
        names_lost=tuple(_name(before[name]) for name in sorted(before.keys() - after.keys())),
        capabilities_gained=tuple(sorted(can_after - can_before)),
        capabilities_lost=tuple(sorted(can_before - can_after)),
        compared=first.tensors is not None and second.tensors is not None,
    )
    if first.tensors is None or second.tensors is None:
        return found
    return _with_tensors(found, first, second, first.tensors, second.tensors, digest)


def _with_tensors(
    found: Difference, first: Side, second: Side, old: Mapping[str, Tensor], new: Mapping[str, Tensor], digest: Callable[[Side, str], str]
) -> Difference:
    common = [name for name in new if name in old]
    reshaped = [name for name in common if old[name] != new[name]]
    alike = [name for name in common if old[name] == new[name]]
    changed = [name for name in alike if digest(first, name) != digest(second, name)]
    removed, added = [name for name in old if name not in new], [name for name in new if name not in old]
    renamed = _renamed(first, second, {name: old[name] for name in removed}, {name: new[name] for name in added}, digest)
    moved = set(renamed.values())
    return msgspec.structs.replace(
        found,
        added=tuple(TensorChange(name=name, before=None, after=str(new[name])) for name in added if name not in moved),
        removed=tuple(TensorChange(name=name, before=str(old[name]), after=None) for name in removed if name not in renamed),
        renamed=tuple(TensorChange(name=name, before=str(old[name]), after=str(old[name]), renamed_to=to) for name, to in renamed.items()),
        reshaped=tuple(TensorChange(name=name, before=str(old[name]), after=str(new[name])) for name in reshaped),
        changed=tuple(TensorChange(name=name, before=str(old[name]), after=str(new[name])) for name in changed),
        same=len(alike) - len(changed),
        values=tuple(_values(first.values or {}, second.values or {})),
    )


def _renamed(
    first: Side, second: Side, removed: dict[str, Tensor], added: dict[str, Tensor], digest: Callable[[Side, str], str]
) -> dict[str, str]:
    """Old name to new name of tensors that are the same bytes. Only those are read for which both files have one of that dtype and shape."""
    waiting: dict[tuple[Tensor, str], list[str]] = {}
    wanted = {tensor for tensor in removed.values() if 0 not in tensor.shape}
    for name, tensor in added.items():
        if tensor in wanted:
            waiting.setdefault((tensor, digest(second, name)), []).append(name)
    kinds = {tensor for tensor, _ in waiting}
    found: dict[str, str] = {}
    for name, tensor in removed.items():
        names = waiting.get((tensor, digest(first, name))) if tensor in kinds else None
        if names:
            found[name] = names.pop(0)
    return found


def _names(report: Report) -> dict[str, GlobalUse]:
    return {use.global_name: use for use in report.globals}


def _name(use: GlobalUse) -> NameChange:
    return NameChange(name=use.global_name, capability=use.capability, decision=use.decision)


def _values(before: Mapping[str, str], after: Mapping[str, str]) -> list[ValueChange]:
    paths = [*before, *(path for path in after if path not in before)]
    return [
        ValueChange(path=path, before=before.get(path), after=after.get(path)) for path in paths if before.get(path) != after.get(path)
    ]


def digest_of(array: Any) -> str:
    """The sha256 of an array's elements, last dimension fastest, in the machine's byte order."""
    found = hashlib.sha256()
    _feed(found, array)
    return found.hexdigest()


def _feed(found: Any, array: Any) -> None:
    if not array.size:
        return
    if array.flags.c_contiguous:
        found.update(array.reshape(-1).view("u1"))
    elif array.nbytes <= CHUNK_BYTES:
        found.update(array.tobytes())
    else:
        rows = max(CHUNK_BYTES * len(array) // array.nbytes, 1)
        for start in range(0, len(array), rows):
            part = array[start : start + rows]
            if rows > 1 or part.ndim == 1:
                found.update(part.tobytes())
            else:
                _feed(found, part[0])
