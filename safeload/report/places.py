"""A `Reading` becomes the places of its members in the file: where byte 0 of each stands, for those whose bytes stand in the file as they are.

A finding's offset counts from the start of its member. Viewers count from the start of the file, and so does whoever opens it in a hex editor.
"""

from __future__ import annotations

from collections.abc import Iterable

from safeload.containers.base import STORED
from safeload.judge import Reading

OBJECT = "object "  # `formats.sequence` calls what stands behind the first object of a file `object 2`, `object 3` ...
FOLDERS = frozenset({"torch.dcp", "shards"})  # several files: there is no one byte 0


def bases_of(reading: Reading, members: Iterable[str | None]) -> dict[str | None, int]:
    """The start of each of these members, None being the file itself. Those that are deflated, or stand in a file inside this one, are missing."""
    container = reading.container
    if container is None or container.wrappers or container.format in FOLDERS:
        return {} if container is not None else {None: 0}
    start = container.source.base
    bases: dict[str | None, int] = {}
    for name in members:
        member = container.members.get(name or "")
        if not name:
            bases[None] = start
        elif member is not None and member.method == STORED and member.pending is None:
            bases[name] = start + member.offset
        elif name.startswith(OBJECT) and name[len(OBJECT) :].isdigit():
            number = int(name[len(OBJECT) :]) - 2
            if 0 <= number < len(reading.ends):
                bases[name] = start + reading.ends[number]
    return bases
