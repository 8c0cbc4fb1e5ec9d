"""What the reader of a file is going to read becomes as few requests as can be, before it reads. Decides nothing: what is not here is fetched when it is read.

    1. A small file is fetched whole: its bytes cost less than another request, and everything about it can be held against everything else.
    2. Of a zip: its directory, by the very functions that read it later, then all members that are no payload, headers and descriptors included.
       A zip by torch begins with its pickle, so that is one range.
    3. Of anything else, the first bytes.

A zip by torch costs three requests: the end with `TAIL_BYTES`, the rest of the directory, the pickle. Beyond directory and pickle these are `TAIL_BYTES`,
`RECORDS_BYTES`, and a few hundred bytes of records: less than 64 KiB.
"""

from __future__ import annotations

import re
from contextlib import suppress

from safeload.containers.base import STORED
from safeload.containers.sniff import HEAD_BYTES as SNIFFED_BYTES
from safeload.containers.zip_central import Entry, read_entries
from safeload.containers.zip_end import END, END_SIGNATURE, read_end
from safeload.errors import ContainerError
from safeload.limits import Limits
from safeload.remote.store import Range, RemoteSource, Store

TAIL_BYTES = 32 << 10  # the directory of some 300 members by torch
RECORDS_BYTES = 2 << 10  # in front of a longer directory: `version` and `.data/serialization_id` stand last, 64 bytes apart
HEAD_BYTES = 64 << 10
SMALL_BYTES = 1 << 20
MAX_MEMBER_BYTES = 1 << 20  # of a member that is no pickle by its name: a longer one is read when it is known what it is

_PAYLOAD = re.compile(r"(?:[^/]+/)?(?:data|tensors|constants|traced_inputs|data/weights|data/constants)/[^/]+|(?:.*/)?\.data/[^/]+\.storage|.*\.npy")
_PICKLE = re.compile(r".*\.(?:pkl|debug_pkl)")
_TEXT = re.compile(r".*\.(?:pkl|debug_pkl|json|py)")


def read_ahead(source: RemoteSource, store: Store, limits: Limits) -> None:
    """Fetch it. Raises what the transport raises; what is wrong with the file, its reader says."""
    # 1
    if source.size <= min(SMALL_BYTES, limits.remote_bytes):
        store.fetch([(0, source.size)])
        return
    # 2
    wanted: list[Range] = []
    signature = source.read(max(source.size - END.size, 0), min(len(END_SIGNATURE), source.size))
    if signature == END_SIGNATURE:  # otherwise its reader would look at the other end first
        with suppress(ContainerError):
            wanted = _of_zip(source, store, limits)
    # 3
    store.fetch(wanted or [(0, min(HEAD_BYTES, source.size))])


def _of_zip(source: RemoteSource, store: Store, limits: Limits) -> list[Range]:
    end = read_end(source)
    if end.entries > limits.members or end.directory_size > limits.directory_bytes:
        return []
    if end.directory is None:
        store.fetch([(max(end.directory_offset - RECORDS_BYTES, 0), end.directory_offset + end.directory_size)])
    directory = source.read(end.directory_offset, end.directory_size)
    entries = sorted(read_entries(directory, end.entries, end.directory_offset, limits))
    starts = [entry[0] for entry in entries] + [end.directory_offset]
    ranges = [(0, min(SNIFFED_BYTES, end.directory_offset))]
    ranges += [(start, stop) for entry, start, stop in zip(entries, starts, starts[1:], strict=False) if _is_read(entry)]
    return [(start, stop) for start, stop in ranges if start < stop <= end.directory_offset]


def _is_read(entry: Entry) -> bool:
    """Is the member read by whoever judges the archive? By its name and size; a guess that is wrong costs a request."""
    name, method, size = entry[2], entry[4], entry[6]
    if method == STORED and _PAYLOAD.fullmatch(name) and not _TEXT.fullmatch(name):
        return False
    return size <= MAX_MEMBER_BYTES or _PICKLE.fullmatch(name) is not None
