"""A zip written by `torch.save` (1.6 to 2.15, and the opt-in zips of 1.4 and 1.5) becomes a `Container` with one pickle and its storages.

Layout: one top folder, named by the first entry of the directory as in torch's reader; in it `data.pkl`, `data/<key>` for each storage
(`tensors/<key>` in 1.4, which torch itself no longer reads), `version`, and the records of `torch_records`. Keys are opaque text: numbers since 1.9,
addresses before. Refuses members outside of the folder and a missing `data.pkl` or `version` (SL120), and wrong records (SL121). Zips of
other kinds are named. What no release writes gets the role `unknown`, for a later stage to judge.

torch tells a zip by its first four bytes, so an empty or self-extracting one is none; and it looks members up without regard to case, where this
reader compares names exactly and `zip_names` refuses what only differs in case.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec.structs import replace

from safeload.budget import Budget
from safeload.containers.base import Container, Member, Role
from safeload.containers.torch_records import GRAMMAR, VERSIONS, read_record
from safeload.containers.zip_directory import ZipDirectory, read_zip
from safeload.containers.zip_end import LOCAL_SIGNATURE
from safeload.containers.zip_kinds import is_npz, kind_of
from safeload.containers.zip_names import shown
from safeload.errors import ContainerError
from safeload.findings import Finding
from safeload.limits import Limits
from safeload.source import ByteSource

FORMAT = "torch.zip"
PICKLE = "data.pkl"
STORAGE_FOLDER = "data/"  # since 1.5
EARLY_STORAGE_FOLDER = "tensors/"  # in 1.4


def read_torch_zip(source: ByteSource, limits: Limits, budget: Budget | None = None) -> Container:
    """Take a torch zip apart.

    1. The zip itself, every byte accounted for.
    2. What kind of zip it is, by its names, and its one top folder.
    3. The role of each member.
    4. The records.
    """
    # 1
    if source.size < len(LOCAL_SIGNATURE) or source.read(0, len(LOCAL_SIGNATURE)) != LOCAL_SIGNATURE:
        raise ContainerError("a torch zip starts with the bytes PK\\x03\\x04", rule="SL101", offset=0)
    directory = read_zip(source, limits, _first_roles)
    container = _container(source, directory, limits, budget)
    return replace(container, findings=(*container.findings, *directory.findings)) if directory.findings else container


def _container(source: ByteSource, directory: ZipDirectory, limits: Limits, budget: Budget | None) -> Container:
    # 2
    if is_npz(directory.members):
        arrays = {name: replace(member, role="file") for name, member in directory.members.items()}
        return Container(format="npz", source=source, members=arrays, accounted=directory.accounted)
    folder = _first_folder(directory.members)
    data = folder + STORAGE_FOLDER
    members = dict(directory.members)
    others = [name for name in members if not name.startswith(data)] if folder else list(members)
    found = kind_of(others, folder)
    if found is not None:
        kind, place = found
        if kind.format is None:
            return _plain_zip(source, members, directory.accounted, f"this is {kind.what}, which does not load: {kind.hint}")
        from safeload.containers.torch_archive import read_torch_archive  # few archives are one

        return read_torch_archive(kind.format, place, source, members, directory.accounted, limits, budget)
    if not folder or (folder + PICKLE not in members and folder + VERSIONS[0] not in members):
        return _plain_zip(source, members, directory.accounted)
    _check_folder(others, folder)
    # 3
    for name in others:
        members[name] = replace(members[name], role=_role(name[len(folder) :], members[name]))
    storages: dict[str, Member] = {}
    for name, member in members.items():
        if member.role == "storage":
            storages[name[len(data) :]] = member
        elif name.startswith(data):
            members[name] = replace(member, role=_role(name[len(folder) :], member))
    _add_early_storages(members, folder + EARLY_STORAGE_FOLDER, storages)
    # 4
    records = {name[len(folder) :]: member for name, member in members.items() if member.role == "record"}
    info = {record: read_record(source, record, member, limits, budget) for record, member in records.items()}
    findings = _check_versions(info, folder)
    info["prefix"] = folder[:-1]
    byteorder: Literal["little", "big"] = "big" if info.get("byteorder") == "big" else "little"
    return Container(
        format=FORMAT,
        source=source,
        members=members,
        pickles=(folder + PICKLE,),
        storages=storages,
        accounted=directory.accounted,
        byteorder=byteorder,
        info=info,
        findings=findings,
    )


def _first_roles(names: list[str]) -> list[Role]:
    """Storages by the layout of torch >= 1.5, which is that of nearly every file; all others have no role yet."""
    folder = _first_folder(names)
    data, at = folder + STORAGE_FOLDER, len(folder + STORAGE_FOLDER)
    if not folder:
        return ["unknown"] * len(names)
    return ["storage" if name.startswith(data) and len(name) > at and "/" not in name[at:] else "unknown" for name in names]


def _plain_zip(source: ByteSource, members: dict[str, Member], accounted: int, message: str = "") -> Container:
    """A zip that is none of torch's. What its members are is judged one stage later; `detail` says what the archive is, for one in which nothing loads."""
    first = shown(next(iter(members), ""))
    members = {name: replace(member, role="unknown") for name, member in members.items()}
    if not message:
        message = (
            f"this is a zip archive that torch.save did not write ({len(members):,} members, the first is {first}): "
            f"it has no <name>/{PICKLE}, and no member is a checkpoint or a pickle"
        )
    return Container(format="zip", source=source, members=members, accounted=accounted, detail=message)


def _first_folder(members: Iterable[str]) -> str:
    """The folder of the first member, slash included; empty where it stands in none."""
    prefix, slash, _ = next(iter(members), "").partition("/")
    return prefix + slash if slash else ""


def _check_folder(others: list[str], folder: str) -> None:
    """Everything but the storages, which do, stands in the one folder, and the pickle is there. Raises SL120 where torch would not read it."""
    for name in others:
        if not name.startswith(folder):
            raise ContainerError(f"the member stands outside of the archive's folder {shown(folder)}", rule="SL120", member=name)
    if folder + PICKLE not in others:
        raise ContainerError(f"the archive has no {PICKLE} in its folder {shown(folder)}", rule="SL120")


def _role(inner: str, member: Member) -> Role:
    """What the member `inner`, below the top folder and not in `data/`, is for."""
    if inner == PICKLE:
        return "pickle"
    if inner in GRAMMAR:
        return "record"
    if not inner or inner.endswith("/"):
        if member.size or member.stored_size:
            raise ContainerError(f"a folder with {member.stored_size:,} bytes of content", rule="SL120", member=member.name)
        return "directory"
    return "unknown"


def _add_early_storages(members: dict[str, Member], early: str, storages: dict[str, Member]) -> None:
    """The storages of torch 1.4's layout, in a folder of their own. No release wrote both folders."""
    names = [name for name in members if name.startswith(early) and name != early]
    if names and storages:
        raise ContainerError("storages stand in two folders, of two layouts", rule="SL120", member=names[0])
    for name in names:
        key = name[len(early) :]
        if "/" not in key:
            members[name] = storages[key] = replace(members[name], role="storage")


def _check_versions(info: dict[str, str], folder: str) -> tuple[Finding, ...]:
    """`version` is required, under one of its two names (torch: "file not found"); two that differ are ambiguous.

    A missing one is a finding and no error: the archive never loads, and its pickle is judged all the same, so a payload in it is named.
    """
    found = {info[name] for name in VERSIONS if name in info}
    if not found:
        info["version"] = "missing"
        return (Finding(rule="SL120", message="the archive has no version record; torch.save always writes one", member=folder + VERSIONS[0]),)
    if len(found) > 1:
        raise ContainerError(f"the two version records differ: {info[VERSIONS[0]]} and {info[VERSIONS[1]]}", rule="SL121", member=folder + VERSIONS[1])
    info["version"] = found.pop()
    return ()
