"""Readers and their devices become buffers on one backend: plan, transfer, slices. What `place` does for all storages of a file, and `upload` for one array."""

from __future__ import annotations

from collections.abc import Mapping

from safeload.placement.backend import DeviceBuffer, StreamingBackend
from safeload.placement.plan import Wanted, plan_transfer
from safeload.placement.reader import Reader
from safeload.placement.settings import Transfer
from safeload.placement.transfer import transfer


def streamed(wanted: Mapping[str, tuple[Reader, int]], backend: StreamingBackend, settings: Transfer) -> dict[str, DeviceBuffer]:
    """A buffer for each reader, on the device of that number. Raises `DeviceUnavailable`, and what the readers raise."""
    plan = plan_transfer(
        (
            Wanted(name=name, device=device, nbytes=reader.nbytes, extent=reader.extent, in_order=reader.in_order)
            for name, (reader, device) in wanted.items()
        ),
        settings,
    )
    memories = transfer(plan, backend.transport, {name: reader for name, (reader, _) in wanted.items()}, settings, family=backend.name)
    part = backend.transport.part
    return {
        name: DeviceBuffer(
            memory=part(memories[place.allocation], place.offset, place.nbytes), device=plan.allocations[place.allocation].device, nbytes=place.nbytes
        )
        for name, place in plan.slices.items()
    }
