"""A source that is one zip archive from its first byte to its last becomes `ZipDirectory`: every member, every byte accounted for.

Our own reader, because no two readers agree on a zip that is bent, and a scanner that reads another archive than the loader is no scanner (laws 1
and 2). The numbered steps below stop at the first thing that is ambiguous; the modules they call say what that is. All reads are private copies, and
every length is held against the budget and the file's size before it is read.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from safeload.budget import exceeded
from safeload.containers.base import Member, Role
from safeload.containers.zip_central import read_entries
from safeload.containers.zip_end import read_end
from safeload.containers.zip_local import read_members
from safeload.containers.zip_names import check_distinct, check_paths
from safeload.findings import Finding
from safeload.limits import Limits
from safeload.source import ByteSource


class ZipDirectory(msgspec.Struct, frozen=True, kw_only=True):
    """The members of a zip in directory order. `accounted` bytes belong to one of them or to the directory: always the size of the source,
    less the members whose header was not fetched.
    """

    members: dict[str, Member]
    accounted: int
    findings: tuple[Finding, ...] = ()


def read_zip(source: ByteSource, limits: Limits, roles_of: Callable[[list[str]], list[Role]] | None = None) -> ZipDirectory:
    """Take a zip archive apart, or raise `ContainerError` (SL004, SL101 to SL114) or `LimitExceeded` (SL901).

    `roles_of` gives the members their first roles, by all names; without it they have none.

    1. The end records: how many members, where the directory lies.
    2. The budget, before anything of that size is allocated.
    3. The directory, one entry for each member.
    4. No two names that any reader could take for one.
    5. Each local header, its data and its descriptor, without a gap from byte 0 to the directory.
    """
    # 1
    end = read_end(source)
    # 2
    if end.entries > limits.members:
        raise exceeded("members", limits.members, f"the archive announces {end.entries:,} members, more")
    if end.directory_size > limits.directory_bytes:
        raise exceeded("directory_bytes", limits.directory_bytes, f"the central directory is {end.directory_size:,} bytes long, more")
    # 3
    directory = end.directory if end.directory is not None else source.read(end.directory_offset, end.directory_size)
    entries = read_entries(directory, end.entries, end.directory_offset, limits)
    # 4
    names = [entry[2] for entry in entries]
    check_distinct(names)
    # 5
    members = read_members(source, entries, end.directory_offset, None if roles_of is None else roles_of(names))
    accounted = end.directory_offset + end.directory_size + end.records_size
    if source.is_sparse:
        accounted -= sum(member.pending.following - member.pending.entry[0] for member in members if member.pending is not None)
    return ZipDirectory(members=dict(zip(names, members, strict=True)), accounted=accounted, findings=check_paths(names))
