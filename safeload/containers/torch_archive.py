"""The other zips of torch become `Container`s by the names in them: TorchScript, torch.package and torch.export, each member with its role.

All of them have one top folder but the exports of torch <= 2.7. What the members mean together is for `formats`; here every member gets a role, the small
records are read by their grammar, and what stands outside of the folder is refused (SL120).
"""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from safeload.budget import Budget
from safeload.containers.base import Container, Member, Role
from safeload.containers.torch_records import GRAMMAR, read_record
from safeload.containers.zip_names import shown
from safeload.errors import ContainerError
from safeload.limits import Limits
from safeload.source import ByteSource

Kind = Literal["torch.script", "torch.package", "torch.export"]
PICKLE_SUFFIXES = (".pkl", ".debug_pkl")
NATIVE_SUFFIXES = (".so", ".dylib", ".dll", ".pyd", ".o", ".cubin", ".hsaco", ".ptx", ".cpp", ".spv")
CODE_SUFFIXES = (".py", *NATIVE_SUFFIXES)
CHECKPOINT_SUFFIXES = (".pt", ".pth")
JSON_SUFFIX = ".json"
MAX_JSON_BYTES = 64 << 20  # the graph of a large exported model takes some MB


def read_torch_archive(
    kind: Kind, folder: str, source: ByteSource, members: dict[str, Member], accounted: int, limits: Limits, budget: Budget | None
) -> Container:
    """The container. `folder` is the top folder with its slash, empty where the archive has none."""
    for name in members:
        if not name.startswith(folder):
            raise ContainerError(f"the member stands outside of the archive's folder {shown(folder)}", rule="SL120", member=name)
    found = {name: replace(member, role=_role(kind, name[len(folder) :], member)) for name, member in members.items()}
    records = {name[len(folder) :]: member for name, member in found.items() if member.role == "record" and name[len(folder) :] in GRAMMAR}
    info = {record: read_record(source, record, member, limits, budget) for record, member in records.items() if folder}
    return Container(
        format=kind,
        source=source,
        members=found,
        accounted=accounted,
        byteorder="big" if info.get("byteorder") == "big" else "little",
        info={**info, "prefix": folder[:-1]},
        detail=folder,
    )


def _role(kind: Kind, inner: str, member: Member) -> Role:
    """What the member `inner`, below the top folder, is for."""
    if not inner or inner.endswith("/"):
        if member.size or member.stored_size:
            raise ContainerError(f"a folder with {member.stored_size:,} bytes of content", rule="SL120", member=member.name)
        return "directory"
    if inner in GRAMMAR:
        return "record"
    if inner.endswith(CODE_SUFFIXES) or (inner.startswith("code/") and not inner.endswith(PICKLE_SUFFIXES)):
        return "code"
    if kind == "torch.package" and inner.startswith(".data/"):
        return "storage" if inner.endswith(".storage") else "record"
    if inner.endswith(PICKLE_SUFFIXES):
        return "pickle"
    if kind == "torch.script" and "/" in inner and inner.split("/", 1)[0] in ("data", "constants", "tensors", "traced_inputs", "bytecode"):
        return "storage"
    if kind == "torch.export" and inner.startswith(("data/weights/", "data/constants/")) and not inner.endswith(JSON_SUFFIX):
        return "storage"
    if kind == "torch.export" and inner.endswith(CHECKPOINT_SUFFIXES):
        return "file"
    if inner.endswith(JSON_SUFFIX) or inner in ("archive_format", "archive_version", "version"):
        return "record"
    return "unknown"
