"""`map_location`, read once: the argument becomes a `Restore`, which sends one storage to its device.

torch's meanings, and beyond them: an int is a CUDA device number (torch: "'int' object is not callable"); bytes are decoded; a dict may hold device-like
keys and values (torch: such keys never match, such values are a TypeError) and a key that is only a device type, `"cuda"`, stands for
`cuda:0`, `cuda:1`, ... where no exact key does. A dict is looked into once, so {"cuda:0": "cuda:1", "cuda:1": "cuda:0"} swaps.

Refuses arguments of any other type with a `TypeError` before the file is touched. Whether a location exists is asked per storage, as in torch: a
file without storages loads under any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from safeload.placement.locations import as_tag
from safeload.placement.registry import restore_location, same_storage
from safeload.placement.storage import SavedStorage

Restore = Callable[[SavedStorage], SavedStorage]
ACCEPTED = (
    "None, a location tag ('cpu', 'cuda', 'cuda:1', 'meta'), a CUDA device number, a device, a dict of them, or a function (storage, tag) -> storage or None"
)


def resolve(map_location: object) -> Restore:
    """What to do with each storage. To be called once per storage key, never per tensor (that is what keeps aliases together).

    Raises `TypeError` for what is no map_location and `ValueError` for a negative device number; the `Restore` raises `DeviceUnavailable`.
    """
    if map_location is None:
        return _as_saved
    if isinstance(map_location, Mapping):
        return _by_table(_tags(map_location))
    tag = as_tag(map_location)
    if tag is not None:
        return _to(tag)
    if callable(map_location):
        return _by_call(map_location)
    raise TypeError(f"map_location must be {ACCEPTED}; not {_described(map_location)}")


def _as_saved(storage: SavedStorage) -> SavedStorage:
    return restore_location(storage, storage.tag)


def _to(tag: str) -> Restore:
    return lambda storage: restore_location(storage, tag)


def _by_table(table: dict[str, str]) -> Restore:
    def restore(storage: SavedStorage) -> SavedStorage:
        kind = storage.tag.partition(":")[0]
        return restore_location(storage, table.get(storage.tag, table.get(kind, storage.tag)))

    return restore


def _by_call(function: Callable[[SavedStorage, str], object]) -> Restore:
    def restore(storage: SavedStorage) -> SavedStorage:
        answer = function(storage, storage.tag)
        return _as_saved(storage) if answer is None else same_storage(answer, storage, "the map_location function")

    return restore


def _tags(table: Mapping[Any, Any]) -> dict[str, str]:
    """Keys and values as tags. A copy, so that a later change of the caller's dict does not reach a lazy checkpoint."""
    return {_tag(key, "key"): _tag(value, "value") for key, value in table.items()}


def _tag(value: object, role: str) -> str:
    tag = as_tag(value)
    if tag is None:
        raise TypeError(f"a {role} of the map_location dict must be a location tag, a CUDA device number or a device; not {_described(value)}")
    return tag


def _described(value: object) -> str:
    return f"{value!r} (bool)" if isinstance(value, bool) else f"a value of type {type(value).__name__}"
