"""A numpy `.npz` archive becomes a dict of its arrays: each member `name.npy` is read as a `.npy` file of its own.

Source: numpy `lib/_npyio_impl.py`, `savez` and `savez_compressed`. Stored members stay in the file and are mapped; deflated ones are inflated within the
budget. Refuses members that are no .npy files (SL130).
"""

from __future__ import annotations

from safeload.containers.base import Container, Member
from safeload.containers.npy import MAGIC
from safeload.containers.zip_kinds import NPY_SUFFIX
from safeload.formats.archive import source_of
from safeload.formats.judging import Judging
from safeload.storage.records import Document, Group


def read(judging: Judging, container: Container) -> Document | None:
    """A group with one part for each member, in the order of the directory; None where one of them was not accepted."""
    parts = {name.removesuffix(NPY_SUFFIX): _array(judging, member) for name, member in container.members.items()}
    whole = {name: part for name, part in parts.items() if part is not None}
    return Group(parts=whole) if len(whole) == len(parts) else None


def _array(judging: Judging, member: Member) -> Document | None:
    """The array of one member. One that is no .npy file is judged, for other readers, and named: numpy gives its bytes."""
    source = source_of(judging, member)
    if source.read(0, min(source.size, len(MAGIC))) == MAGIC:
        return judging.nested(source, member.name)
    judging.find("SL130", f"a member of {member.size:,} bytes is called .npy and is no .npy file", member=member.name)
    judging.probe(member)
    return None
