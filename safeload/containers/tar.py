"""An uncompressed tar archive becomes a `Container`: ustar, GNU and PAX headers, every block accounted for.

    512-byte header | data, filled with zeros to 512 | ... | two blocks of zeros | zeros to the end of the record (10,240 bytes)

torch 0.1.0 to 0.1.9 wrote its checkpoints so (`formats.tar`), with PAX headers for the times; Python's `tarfile`, which torch reads them with, takes far
more. Refused here: headers with a wrong checksum or hidden bytes (SL141), members that are no plain files or folders, and headers that change what a
member is: sparse maps, links, character sets (SL142), an end that is not one (SL143), and names as in zips (SL106, SL107, SL113). One `./` before a name is
dropped, as every tool does.
"""

from __future__ import annotations

import re

import msgspec

from safeload.budget import Budget, exceeded
from safeload.containers.base import Container, Member, Role
from safeload.containers.tar_header import BLOCK_BYTES, Header, read_header
from safeload.containers.tar_pax import Overrides, read_pax
from safeload.containers.zip_names import FLAG_UTF8, check_distinct, check_paths, decode_name, shown
from safeload.errors import CheckpointError, ContainerError
from safeload.limits import Limits
from safeload.source import ByteSource

RECORD_BYTES = 20 * BLOCK_BYTES  # POSIX pax: the default blocking factor; GNU tar and tarfile fill their last record with zeros
END_BLOCKS = 2  # of zeros, POSIX ustar
ROLES: dict[str, Role] = {"pickle": "pickle", "sys_info": "record", "tensors": "record", "storages": "record"}
REQUIRED = frozenset({"pickle", "tensors", "storages"})  # what torch reads; `sys_info` it writes and never opens
HEADERS_PER_CHECK = 256  # headers between two looks at the clock
HEADERS_PER_MEMBER = 4  # that honest writers need: one of its own, and one or two about it
NO_OVERRIDES = Overrides()
EXTENDED = frozenset("xgL")  # types of headers that say something about a later member


def read_tar(source: ByteSource, limits: Limits, budget: Budget | None = None) -> Container:
    """Take a tar archive apart: `torch.tar` where torch's three members are in it, else `tar`, whose `detail` says what it is.

    1. Headers and extents, to the two blocks of zeros. 2. Nothing but zeros to the end. 3. The names. 4. Whose archive it is.
    """
    # 1
    entries, end = _entries(source, limits, budget or Budget(limits))
    # 2
    _check_end(source, end)
    # 3
    names = [member.name for member in entries]
    check_distinct(names)
    odd = check_paths(names)
    members = {member.name: member for member in entries}
    # 4
    files = {name for name, member in members.items() if member.role != "directory"}
    if files >= REQUIRED:
        members = {name: msgspec.structs.replace(member, role=ROLES.get(name, member.role)) for name, member in members.items()}
        return Container(format="torch.tar", source=source, members=members, pickles=("pickle",), accounted=source.size, findings=odd)
    if not members:
        message = "this is a tar archive with no member in it"
    else:
        holds = f"{len(members):,} members, the first is {shown(next(iter(members)))}"
        message = f"this is a tar archive that torch did not write ({holds}), and none of them is a checkpoint or a pickle"
    return Container(format="tar", source=source, members=members, accounted=source.size, findings=odd, detail=message)


def _entries(source: ByteSource, limits: Limits, budget: Budget) -> tuple[list[Member], int]:
    """The members in file order, and where the blocks of zeros begin."""
    found: list[Member] = []
    pending, long_name, position = NO_OVERRIDES, b"", 0
    headers = 0
    while True:
        header = read_header(_block(source, position), position)
        if header is None:
            break
        headers += 1
        if not headers % HEADERS_PER_CHECK:
            budget.check_time(None, position)
        extended = header.type in EXTENDED
        if extended and (pending is not NO_OVERRIDES or long_name):
            raise ContainerError("two extended headers stand before one member", rule="SL142", offset=position)
        size = _size(header, pending, position)
        start = position + BLOCK_BYTES
        end = _extent(source, start, size, position)
        if header.type == "L":
            long_name = _long_name(source, start, size, limits)
        elif extended:
            overrides = read_pax(source, start, size, limits, is_global=header.type == "g")
            pending = overrides if header.type == "x" else pending
        else:
            found.append(_member(header, pending, long_name, start, size, position))
            pending, long_name = NO_OVERRIDES, b""
        if len(found) > limits.members or headers > HEADERS_PER_MEMBER * limits.members:
            raise exceeded("members", limits.members, "the archive holds more members", None, position)
        position = end
    if pending is not NO_OVERRIDES or long_name:
        raise ContainerError("an extended header stands before no member", rule="SL142", offset=position)
    return found, position


def _block(source: ByteSource, position: int) -> bytes:
    try:
        return source.read(position, BLOCK_BYTES)
    except CheckpointError as error:
        if error.rule != "SL004":
            raise
        raise ContainerError("the tar archive is cut short: no blocks of zeros end it", rule="SL004", offset=position) from None


def _size(header: Header, pending: Overrides, position: int) -> int:
    """The length of a member: its PAX header's where there is one, which a header field too small for it leaves 0."""
    if pending.size is None:
        return header.size
    if header.size not in (0, pending.size):
        raise ContainerError(f"a member has {header.size:,} bytes by its header and {pending.size:,} by its PAX header", rule="SL142", offset=position)
    return pending.size


def _extent(source: ByteSource, start: int, size: int, position: int) -> int:
    """Where the next header begins; what lies between is zeros."""
    end = start + -(-size // BLOCK_BYTES) * BLOCK_BYTES
    if end > source.size:
        raise ContainerError(f"the tar archive is cut short: {end - source.size:,} bytes of a member are missing", rule="SL004", offset=position)
    if any(source.read(start + size, end - start - size)):
        raise ContainerError("bytes behind a member are not zero", rule="SL143", offset=start + size)
    return end


def _long_name(source: ByteSource, start: int, size: int, limits: Limits) -> bytes:
    """The name of the next member, as GNU tar writes one of more than 100 bytes: with a NUL behind it."""
    if size > limits.name_bytes + 1:
        raise exceeded("name_bytes", limits.name_bytes, "a member name is longer", None, start)
    name = source.read(start, size).removesuffix(b"\0")
    if not name or b"\0" in name:
        raise ContainerError("a GNU long name is empty or holds a NUL", rule="SL142", offset=start)
    return name


_ROOT = re.compile(rb"\.?/*")


def _member(header: Header, pending: Overrides, long_name: bytes, start: int, size: int, position: int) -> Member:
    """One file or folder. A folder holds no bytes, and its name may end with a slash."""
    raw = pending.path or long_name or header.name
    if header.is_folder:
        if size:
            raise ContainerError(f"a folder with {size:,} bytes of content", rule="SL142", offset=position)
        raw = raw.removesuffix(b"/")
    if header.is_folder and _ROOT.fullmatch(raw):
        return Member(name="./", offset=start, size=0, stored_size=0, role="directory")  # the folder that was packed
    name = decode_name(raw.removeprefix(b"./"), FLAG_UTF8, position)
    return Member(name=name + "/" * header.is_folder, offset=start, size=size, stored_size=size, role="directory" if header.is_folder else "unknown")


def _check_end(source: ByteSource, end: int) -> None:
    """Two blocks of zeros, and no more of them than fill the record."""
    least = end + END_BLOCKS * BLOCK_BYTES
    most = -(-least // RECORD_BYTES) * RECORD_BYTES
    if source.size < least:
        raise ContainerError("the tar archive is cut short: two blocks of zeros end one", rule="SL004", offset=end)
    if source.size > most or source.size % BLOCK_BYTES:
        raise ContainerError(f"{source.size - least:,} bytes follow the end of the tar archive", rule="SL143", offset=least)
    if any(source.read(end, source.size - end)):
        raise ContainerError("bytes behind the end of the tar archive are not zero", rule="SL143", offset=least)
