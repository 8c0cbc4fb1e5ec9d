"""A numpy `.npz` archive becomes a dict of its arrays: each member `name.npy` is read as a `.npy` file of its own.

Source: numpy `lib/_npyio_impl.py`, `savez` and `savez_compressed`. Stored members stay in the file and are mapped; deflated ones are inflated within the
budget.
"""

from __future__ import annotations

from safeload.containers.base import Container
from safeload.containers.zip_kinds import NPY_SUFFIX
from safeload.formats.archive import source_of
from safeload.formats.judging import Judging
from safeload.storage.records import Document, Group


def read(judging: Judging, container: Container) -> Document | None:
    """A group with one part for each member, in the order of the directory; None where one of them was not accepted."""
    parts = {name.removesuffix(NPY_SUFFIX): judging.nested(source_of(judging, member), name) for name, member in container.members.items()}
    whole = {name: part for name, part in parts.items() if part is not None}
    return Group(parts=whole) if len(whole) == len(parts) else None
