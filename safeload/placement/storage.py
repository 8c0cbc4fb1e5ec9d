"""`SavedStorage`: one storage of the file on its way to a device, as `map_location` callables and registered deserializers see it.

A decision, not data: `.cpu()`, `.cuda(1)` and `.on(backend)` give the same storage with another destination, checked at once, while its bytes stay in
the file until all decisions are made. torch moves the bytes in these calls and hands legacy callables memory that it has not filled
yet; here a callable may change its mind for nothing, and what ends on `meta` is never read. Nothing in it can be executed.
"""

from __future__ import annotations

import msgspec

from safeload.errors import DeviceUnavailable
from safeload.placement.backend import Backend
from safeload.placement.locations import as_tag, shown, split_tag
from safeload.placement.numpy_backend import NUMPY
from safeload.values import Device

CPU = Device("cpu")
META = Device("meta")


class SavedStorage(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One storage and where it will go. It starts on the CPU, as in torch."""

    key: str  # the storage key of the file
    tag: str  # the location tag it was saved with
    nbytes: int  # bytes
    device: Device = CPU  # its destination: `.type` and `.index`, after torch.device
    backend: Backend | None = NUMPY  # what will hold it; None on meta

    def cpu(self) -> SavedStorage:
        """To host memory, as numpy."""
        return msgspec.structs.replace(self, device=CPU, backend=NUMPY)

    def cuda(self, device: object = None) -> SavedStorage:
        """To a CUDA device: a number, a device-like value, or None for the current one. Raises `DeviceUnavailable`, `ValueError`."""
        tag = "cuda" if device is None else as_tag(device)
        parsed = split_tag(tag) if tag is not None else None
        if parsed is None or parsed.type != "cuda":
            raise ValueError(f"cuda() takes the number of a CUDA device, 'cuda:N' or None, not {device!r}")
        return self.to(parsed)

    def to(self, device: object) -> SavedStorage:
        """To any location: a tag, a CUDA device number, or a device-like value. Asks the registry, as a tag in a file does."""
        from safeload.placement.registry import restore_location  # the registry's own entries are functions of SavedStorage

        tag = as_tag(device)
        if tag is None:
            raise TypeError(f"to() takes a location tag, a CUDA device number or a device, not {type(device).__name__}")
        return restore_location(self, tag)

    def meta(self) -> SavedStorage:
        """Nowhere: shapes and dtypes are kept, the bytes are never read."""
        return msgspec.structs.replace(self, device=META, backend=None)

    def on(self, backend: Backend, index: int | None = None) -> SavedStorage:
        """To device `index` of a backend, None for its current one. What a registered deserializer calls. Raises `DeviceUnavailable`."""
        family = backend.name.upper()
        if not backend.is_available():
            raise DeviceUnavailable(
                f"Attempting to deserialize object on a {family} device but {family} is not available: {backend.unavailable_because()}. If you are running on "
                f'a CPU-only machine, please use safeload.load with map_location="cpu" to map your storages to the CPU. {self._origin()}'
            )
        count = backend.device_count()
        number = backend.current_device() if index is None else index
        if not 0 <= number < count:
            raise DeviceUnavailable(
                f"Attempting to deserialize object on {family} device {number} but the device count is {count}. Please use safeload.load with "
                f'map_location to map your storages to an existing device, or map_location="cpu" to map them to the CPU. {self._origin()}'
            )
        return msgspec.structs.replace(self, device=Device(backend.name, number), backend=backend)

    def _origin(self) -> str:
        return f"(storage {shown(self.key)}, saved on {shown(self.tag)})"
