"""A `Reading` becomes what the page about a file shows beside its findings: the map of its bytes, and its tensors by name.

Tensors have names only in a file that was accepted whole: they are the paths to them in the value, which is put together without any payload. That needs
numpy, so only the page pays for it.
"""

from __future__ import annotations

from safeload.errors import CheckpointError
from safeload.judge import Reading
from safeload.report.extents import map_of
from safeload.report.writer import Contents, Tensor

MAX_TENSORS = 2_000  # of one file; the totals count all of them
NO_DOCUMENT = "Tensors have names only in a file that is accepted and holds one object."


def contents_of(reading: Reading) -> Contents:
    """Of one file. The source may be closed: nothing of it is read again."""
    bytes_ = map_of(reading)
    if reading.document is None or reading.container is None or reading.report.verdict != "accepted":
        return Contents(bytes=bytes_, why_none=NO_DOCUMENT)
    from safeload.lazy import Checkpoint

    try:
        checkpoint = Checkpoint(reading, reading.container.source, "cpu")
        names = checkpoint.keys()
        infos = [checkpoint.info(name) for name in names]
    except CheckpointError as error:
        return Contents(bytes=bytes_, why_none=f"The tensors cannot be listed: {error.message}")
    views: dict[str, int] = {}
    kinds: dict[str, tuple[int, int]] = {}
    for info in infos:
        views[info.storage] = views.get(info.storage, 0) + 1
        count, nbytes = kinds.get(info.dtype, (0, 0))
        kinds[info.dtype] = (count + 1, nbytes + info.nbytes)
    storages = {info.storage: info.storage_nbytes for info in infos}
    return Contents(
        bytes=bytes_,
        tensors=tuple(
            Tensor(
                name=info.name, dtype=info.dtype, shape=info.shape, nbytes=info.nbytes, location=info.location, storage=info.storage,
                views=views[info.storage], offset=info.file_offset,
            )
            for info in infos[:MAX_TENSORS]
        ),
        tensor_count=len(infos),
        dtypes=tuple((name, *kinds[name]) for name in sorted(kinds, key=lambda name: -kinds[name][1])),
        storages=len(storages),
        storage_bytes=sum(storages.values()),
    )  # fmt: skip
