"""The visible list of who knows which location tag, after `torch.serialization.register_package`.

Turns a storage and a tag into the storage with a destination: the entries are asked in ascending priority, and the first that does not answer None has
decided. A tag that nobody knows is refused with torch's words. Entries of equal priority are asked in the order of their registration (torch sorts
whole tuples there and fails on comparing two functions).

The list is an immutable tuple that writers replace under a lock, so a load in another thread sees one state of it or the other.
"""

from __future__ import annotations

from _thread import allocate_lock  # `threading` around it is a millisecond of start
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from safeload.errors import DeviceUnavailable
from safeload.placement.backend import Backend
from safeload.placement.cupy_backend import CUPY
from safeload.placement.locations import parse_location, shown, split_tag
from safeload.placement.storage import SavedStorage

Tagger = Callable[[SavedStorage], "str | None"]
Deserializer = Callable[[SavedStorage, str], "SavedStorage | None"]


class Package(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One entry. `tagger` belongs to torch's signature and says at save time where a storage lies; safeload saves nothing and never calls it."""

    priority: int  # lower is asked first
    deserializer: Deserializer
    tagger: Tagger | None = None


def deserializer_for(backend: Backend) -> Deserializer:
    """The deserializer that sends every tag `name` and `name:N` to a backend of that name."""

    def deserialize(storage: SavedStorage, tag: str) -> SavedStorage | None:
        device = split_tag(tag)
        return storage.on(backend, device.index) if device and device.type == backend.name else None

    return deserialize


def _cpu(storage: SavedStorage, tag: str) -> SavedStorage | None:
    return storage.cpu() if tag in ("cpu", "cpu:0") else None


def _meta(storage: SavedStorage, tag: str) -> SavedStorage | None:
    return storage.meta() if tag in ("meta", "meta:0") else None


BUILT_IN = (  # priorities as in torch
    Package(priority=10, deserializer=_cpu),
    Package(priority=20, deserializer=deserializer_for(CUPY)),
    Package(priority=22, deserializer=_meta),
)

_packages: tuple[Package, ...] = BUILT_IN
_writing = allocate_lock()


def packages() -> tuple[Package, ...]:
    """All entries in the order in which they are asked."""
    return _packages


def register_package(priority: int, tagger: Tagger | None, deserializer: Deserializer) -> None:
    """Teach safeload a location tag, for the whole process, as `torch.serialization.register_package` does.

    `deserializer(storage, tag)` gets a `SavedStorage` and returns it with a destination (`storage.cpu()`, `storage.on(backend, 0)`), or None for a tag that
    is not its own. `tagger` is kept for the signature's sake and may be None. The built-in priorities are cpu 10, cuda 20, meta 22; lower is
    asked first. Raises `TypeError` for arguments of the wrong kind.
    """
    _add(priority, tagger, deserializer)


@contextmanager
def registered(priority: int, tagger: Tagger | None, deserializer: Deserializer) -> Iterator[None]:
    """`register_package` for the length of a `with` block; other threads see it too."""
    package = _add(priority, tagger, deserializer)
    try:
        yield
    finally:
        _remove(package)


def restore_location(storage: SavedStorage, tag: str) -> SavedStorage:
    """Ask the entries in turn. Raises `DeviceUnavailable` where none of them knows the tag, or where the one that does has no such device."""
    for package in _packages:
        answer = package.deserializer(storage, tag)
        if answer is not None:
            return same_storage(answer, storage, "the deserializer of a registered package")
    raise _unknown(storage, tag)


def same_storage(answer: object, storage: SavedStorage, who: str) -> SavedStorage:
    """What a caller's function returned, if it is the storage it was given. Raises `TypeError`, or `ValueError` for another storage."""
    if not isinstance(answer, SavedStorage):
        raise TypeError(f"{who} must return the storage it was given (or storage.cpu(), storage.cuda(n), ...) or None, not {type(answer).__name__}")
    if answer.key != storage.key:
        raise ValueError(f"{who} was given storage {shown(storage.key)} and returned storage {shown(answer.key)}")
    return answer


def _add(priority: int, tagger: Tagger | None, deserializer: Deserializer) -> Package:
    global _packages
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise TypeError(f"priority is a whole number, not {type(priority).__name__}")
    if not callable(deserializer) or not (tagger is None or callable(tagger)):
        raise TypeError("tagger and deserializer are functions: tagger(storage) -> str or None, deserializer(storage, tag) -> storage or None")
    package = Package(priority=priority, tagger=tagger, deserializer=deserializer)
    with _writing:
        _packages = tuple(sorted((*_packages, package), key=lambda entry: entry.priority))  # sorted is stable
    return package


def _remove(package: Package) -> None:
    global _packages
    with _writing:
        _packages = tuple(entry for entry in _packages if entry is not package)


def _unknown(storage: SavedStorage, tag: str) -> DeviceUnavailable:
    if (device := parse_location(tag)) is not None:
        family = device.type.upper()
        return DeviceUnavailable(
            f"Attempting to deserialize object on a {family} device but safeload has no backend for {family}. Please use safeload.load with "
            f'map_location="cpu" to map your storages to the CPU, or add a backend with safeload.register_package. (storage {shown(storage.key)}, '
            f"saved on {shown(storage.tag)})"
        )
    return DeviceUnavailable(
        f"don't know how to restore data location of storage {shown(storage.key)} (tagged with {shown(tag)}); a location is cpu, cuda, cuda:N or meta, and "
        'map_location="cpu" maps every storage to the CPU'
    )
