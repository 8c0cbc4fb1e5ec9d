"""A torch.package archive becomes a dict of its pickled resources: `"package/resource.pkl"` to value. Its code is never run.

Layout (torch `package/package_exporter.py`): resources anywhere below the top folder, pickles of protocol 3 among them; storages as `.data/<key>.storage`,
shared by all pickles; the sources of the packaged modules as `.py` members. A persistent id that asks for a call (`reduce_package`) is refused (SL306).
"""

from __future__ import annotations

from msgspec.structs import replace

from safeload.containers.base import Container
from safeload.errors import StreamError
from safeload.formats.archive import look_into, stream, text_or_unknown, unreferenced
from safeload.formats.code import judge_code
from safeload.formats.judging import Judging
from safeload.storage.records import Document, Group, Plan

STORAGE_FOLDER, STORAGE_SUFFIX = ".data/", ".storage"
PREFIX = "torch_package"
PROTO = b"\x80"  # PackageExporter writes protocol 3, which begins with it


def read(judging: Judging, container: Container) -> Document | None:
    """A group with one part for each pickle; None where one of them was not accepted, or there is none."""
    folder: str = container.detail
    start = len(folder) + len(STORAGE_FOLDER)
    storages = {name[start : -len(STORAGE_SUFFIX)]: member for name, member in container.members.items() if member.role == "storage"}
    container = judging.container = replace(container, storages=storages)
    judge_code(judging, container, PREFIX)
    parts: dict[str, Plan | None] = {}
    for name, member in container.members.items():
        if member.role in ("pickle", "unknown") and member.size:
            if member.role == "pickle" or judging.member_bytes(member)[:1] == PROTO:
                parts[name[len(folder) :]] = stream(judging, container, member)
            elif not look_into(judging, member):
                text_or_unknown(judging, member)
    unreferenced(judging, container)
    if not parts:
        raise StreamError("the package holds no pickled resource", rule="SL002")
    whole = {name: part for name, part in parts.items() if part is not None}
    return Group(parts=dict(whole)) if len(whole) == len(parts) else None
