"""Whole zip archives behind each other, as a `.distcp` shard holds them, become their extents; None for anything else.

From the end of the file backwards: the end records say how long the archive in front of them is, and what stands before it must end as an archive, too,
until the first byte is reached. Refused where a reader could see a mixture of them (SL120): torch takes the last directory and counts its offsets from the
first byte of the file, so none of these may lead to a local header that no archive has.
"""

from __future__ import annotations

from safeload.containers.zip_central import read_entries
from safeload.containers.zip_end import END, END64, END_SIGNATURE, LOCAL_SIGNATURE, LOCATOR, LOCATOR_SIGNATURE, read_end
from safeload.errors import ContainerError
from safeload.limits import Limits
from safeload.source import ByteSource

TAIL_BYTES = END.size + LOCATOR.size + END64.size  # 98
MAX_ARCHIVES = 1_000_000  # a shard of a large model holds thousands


def split(source: ByteSource) -> list[tuple[int, int]] | None:
    """(start, length) of each archive, in file order; None unless there are at least two."""
    found: list[tuple[int, int]] = []
    end = source.size
    while end:
        length = _length(source, end)
        if length is None or length > end or source.read(end - length, len(LOCAL_SIGNATURE)) != LOCAL_SIGNATURE or len(found) >= MAX_ARCHIVES:
            return None
        end -= length
        found.append((end, length))
    return found[::-1] if len(found) > 1 else None


def _length(source: ByteSource, end: int) -> int | None:
    """How long the archive that ends at `end` is by its own records."""
    tail = source.read(max(end - TAIL_BYTES, 0), min(TAIL_BYTES, end))
    at = len(tail) - END.size
    if at < 0 or not tail.startswith(END_SIGNATURE, at):
        return None
    _, _, _, _, _, size, offset, comment = END.unpack_from(tail, at)
    if comment:
        return None
    records = END.size
    if at >= LOCATOR.size + END64.size and tail.startswith(LOCATOR_SIGNATURE, at - LOCATOR.size):
        *_, size, offset = END64.unpack_from(tail, 0)
        records = TAIL_BYTES
    return int(size + offset + records)


def check_mixture(source: ByteSource, extents: list[tuple[int, int]], limits: Limits) -> None:
    """Refuse a file whose last directory leads, counted from the first byte, to a local header that is not the one of a member with that very name.

    miniz compares no names, so a directory entry `data.pkl` that leads to a storage of another archive would have torch unpickle the storage.
    """
    headers: dict[int, bytes] = {}
    last: list[tuple[int, bytes]] = []
    for start, length in extents:
        part = source.part(start, length)
        end = read_end(part)
        directory = end.directory if end.directory is not None else part.read(end.directory_offset, end.directory_size)
        last = [(entry[0], entry[1]) for entry in read_entries(directory, end.entries, end.directory_offset, limits)]
        headers.update((start + offset, name) for offset, name in last)
    for offset, name in last:
        if headers.get(offset) != name and offset + len(LOCAL_SIGNATURE) <= source.size and source.read(offset, len(LOCAL_SIGNATURE)) == LOCAL_SIGNATURE:
            message = "archives stand behind each other, and a reader that counts from the first byte takes one member for another"
            raise ContainerError(message, rule="SL120", offset=offset)
