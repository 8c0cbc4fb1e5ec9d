"""A tensor in its file and an index become an array of just that part, on a device: only its bytes are read. Also which part of a tensor is whose.

The part is looked at in the map first, where a slice is free; then its bytes go to the device in C order. One that is one piece of the file is read there
without the map. Parts are arrays of their own: those of one storage do not share memory, as whole tensors do.

Refuses nothing itself: an index that numpy refuses raises what numpy raises.
"""

from __future__ import annotations

from types import EllipsisType
from typing import Any

import msgspec
import numpy as np

from safeload.placement.arrays import ArrayReader
from safeload.placement.backend import StreamingBackend
from safeload.placement.place import Placed, PlacedInput
from safeload.placement.reader import Extent
from safeload.placement.settings import Transfer
from safeload.placement.storage import SavedStorage
from safeload.storage.geometry import contiguous


class Cut(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One part on its way: its elements on the host, and where they go."""

    reader: ArrayReader
    backend: StreamingBackend
    device: int


def is_basic(index: Any) -> bool:
    """Does an index give a view: whole numbers, slices, `...`, None, and tuples of them?"""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or (isinstance(part, (slice, EllipsisType, int, np.integer)) and not isinstance(part, bool)) for part in parts)


def cut(whole: Any, index: Any, item: PlacedInput, storage: Placed, decision: SavedStorage) -> Cut | None:
    """`whole[index]`, where `whole` is a view of `storage` on the host; None for a destination that does not stream."""
    backend = decision.backend
    if not isinstance(backend, StreamingBackend):
        return None
    parts = index if isinstance(index, tuple) else (index,)
    part = whole[parts if any(each is Ellipsis for each in parts) else (*parts, ...)]  # with `...` a single element is a view too, and no number
    extent = item.reader.extent if item.reader is not None else None
    if extent is not None and storage.buffer is not None and part.flags.c_contiguous and part.nbytes:
        extent = Extent(source=extent.source, offset=extent.offset + _address(part) - _address(storage.buffer.memory))
    else:
        extent = None
    return Cut(reader=ArrayReader(part, extent), backend=backend, device=decision.device.index or 0)


def moved(cuts: dict[int, Cut], settings: Transfer) -> dict[int, Any]:
    """The arrays on their devices, under the same numbers; one transfer for each backend."""
    from safeload.placement.streamed import streamed

    found: dict[int, Any] = {}
    for backend in {id(part.backend): part.backend for part in cuts.values()}.values():
        there = {number: part for number, part in cuts.items() if part.backend is backend}
        buffers = streamed({str(number): (part.reader, part.device) for number, part in there.items()}, backend, settings)
        for number, part in there.items():
            array = part.reader.array
            strides = tuple(step * array.dtype.itemsize for step in contiguous(array.shape))
            found[number] = backend.view(buffers[str(number)], array.dtype, array.shape, strides, 0)
    return found


def share(length: int, rank: int, world: int) -> slice:
    """Whose part of a dimension is whose, as `torch.chunk` and DTensor's `Shard` cut it: ceil(length / world) each, the last ones less or nothing."""
    size = -(-length // world)
    return slice(min(rank * size, length), min((rank + 1) * size, length))


def _address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])
