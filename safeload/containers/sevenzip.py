"""A 7z archive becomes a `Container` of its members, inflated into private memory by py7zr (the extra `7z`). No byte is written to a disk.

py7zr reads the archive; this module says how much of it, and what of it. What the header announces is held against `members`, `member_bytes`,
`inflated_bytes`, `compression_ratio` and `dictionary_bytes` before anything is inflated, and what comes out is counted while it does. Every byte of the file is
accounted for: the signature, the packed streams one behind the other, and the header. Members that were whole before the archive broke are judged all the same.

Refuses what is encrypted, methods whose inflater does not come with Python, links, members that share a name, names that climb, bytes that belong to nobody,
and whatever py7zr cannot read (SL144). Without py7zr an archive is named, and nothing of it is judged (SL002).
"""

from __future__ import annotations

from typing import Any, cast

from safeload.budget import Budget, exceeded
from safeload.containers.base import Container, Member
from safeload.containers.inflate import RATIO_FLOOR_BYTES
from safeload.containers.sevenzip_header import SIGNATURE_BYTES, bad, check_coders, opened_file
from safeload.containers.sniff import SEVENZIP_MAGIC
from safeload.containers.zip_names import check_distinct, check_paths, decode_name, shown
from safeload.errors import CheckpointError, UnsupportedFormat
from safeload.findings import Finding
from safeload.limits import Limits
from safeload.source import ByteSource

FORMAT = "7z"
MAGIC = SEVENZIP_MAGIC


class _Sink:
    """Takes the bytes of one member: as much of what py7zr calls a `Py7zIO` as it uses of one that is written."""

    def __init__(self, archive: _Archive, name: str) -> None:
        self._archive, self._name, self._start = archive, name, len(archive.out)

    def write(self, data: bytes) -> int:
        self._archive.out += data
        self._archive.spend(len(data))
        return len(data)

    def close(self) -> None:
        """The member is whole, and its CRC is right."""
        size = len(self._archive.out) - self._start
        self._archive.whole[self._name] = Member(name=self._name, offset=self._start, size=size, stored_size=size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return offset


class _Archive:
    """The members of one archive as they come out, counted. Its `create` is what py7zr calls a `WriterFactory`."""

    def __init__(self, names: frozenset[str], limits: Limits, budget: Budget) -> None:
        self.names, self._limits, self._budget = names, limits, budget
        self.out = bytearray()
        self.whole: dict[str, Member] = {}

    def create(self, name: str) -> _Sink:
        if name not in self.names or name in self.whole:
            raise bad(f"py7zr calls a member {shown(name)}, and the header has none of this name")
        return _Sink(self, name)

    def spend(self, fresh: int) -> None:
        self._budget.inflated_bytes += fresh
        if self._budget.inflated_bytes > self._limits.inflated_bytes:
            raise exceeded("inflated_bytes", self._limits.inflated_bytes, f"the archive inflates to {self._budget.inflated_bytes:,} bytes and more, beyond")
        self._budget.check_time()


def read_sevenzip(source: ByteSource, limits: Limits, budget: Budget) -> Container:
    """Take the archive apart.

    1. The library. 2. The header, by it, once it is known what reading that takes. 3. What the header says, against the limits. 4. The members.
    Raises `UnsupportedFormat` SL002, `ContainerError` SL144 and SL106, `LimitExceeded`; where the members break off, that is a finding, and those before are
    there.
    """
    # 1
    try:
        import py7zr
    except ImportError:
        raise UnsupportedFormat("this is a 7z archive, which needs a library to be looked into: pip install 'safeload[7z]'", rule="SL002") from None
    # 2
    opened: Any = None
    try:
        file = opened_file(source, limits)
        opened = py7zr.SevenZipFile(cast("Any", file), "r")
        infos = list(opened.list())
        coders = _coders(opened)
        _account(source, opened)
    except CheckpointError:
        raise
    except Exception as error:  # noqa: BLE001 - another's reader of hostile bytes: whatever it raises is what it thinks of them
        raise bad(_why(error)) from None
    # 3
    check_coders(coders, limits)
    members, findings = _named(infos, source.size, limits, budget)
    # 4
    archive = _Archive(frozenset(members), limits, budget)
    file.sparing = True
    try:
        if members:
            opened.extract(targets=list(members), factory=archive)
    except CheckpointError as error:
        findings += (Finding(rule=error.rule, message=error.message),)
    except Exception as error:  # noqa: BLE001 - as above
        findings += (Finding(rule="SL144", message=bad(_why(error)).message),)
    else:
        missing = next((name for name in members if name not in archive.whole), None)
        if missing is not None:
            raise bad(f"py7zr gives nothing for the member {shown(missing)}")
    folders = {info.filename + "/": Member(name=info.filename + "/", offset=0, size=0, stored_size=0, role="directory") for info in infos if info.is_directory}
    return Container(
        format=FORMAT,
        source=ByteSource(name=source.name, size=len(archive.out), buffer=archive.out),
        members={**archive.whole, **folders},
        accounted=source.size,
        unpacked_from=source.size,
        findings=findings,
        detail="this is a 7z archive, and no member of it is a checkpoint, an array or a pickle",
    )


def _why(error: Exception) -> str:
    return f"py7zr says {type(error).__name__}: {ascii(str(error))[1:-1][:100]}"


def _coders(opened: Any) -> list[tuple[bytes, bytes]]:
    """Method and properties of everything that is packed."""
    streams = opened.header.main_streams
    folders = streams.unpackinfo.folders if streams is not None else []
    return [(bytes(coder["method"]), bytes(coder.get("properties") or b"")) for folder in folders for coder in folder.coders]


def _account(source: ByteSource, opened: Any) -> None:
    """The signature, the packed streams, a packed header and the header follow each other, and nothing else is in the file."""
    end = SIGNATURE_BYTES + opened.sig_header.nextheaderofs + opened.sig_header.nextheadersize
    if end != source.size:
        raise bad(f"{source.size - end:,} bytes follow its header, and belong to nobody")
    streams = opened.header.main_streams
    if streams is None:
        packed = 0
    else:
        if streams.packinfo.packpos:
            raise bad(f"{streams.packinfo.packpos:,} bytes stand in front of its streams, and belong to nobody")
        packed = sum(streams.packinfo.packsizes)
    if opened.header.size + packed != source.size:  # `size` counts the signature, the header, and the header's own stream where it is packed
        raise bad(f"{abs(source.size - packed - opened.header.size):,} bytes stand between its streams and its header, and belong to nobody")


def _named(infos: list[Any], size: int, limits: Limits, budget: Budget) -> tuple[dict[str, int], tuple[Finding, ...]]:
    """The members to inflate, and what stands against others. Raises where the announced sizes are beyond a limit."""
    names = [decode_name(info.filename.encode("utf-8", "surrogatepass"), 1 << 11, 0) for info in infos]
    check_distinct(names)
    findings = check_paths(names)
    special = [info.filename for info in infos if not (info.is_file or info.is_directory) or info.is_symlink]
    if special:
        findings += (Finding(rule="SL144", message="the member is a link or no plain file; what it leads to is not judged", member=special[0]),)
    odd = {finding.member for name in names for finding in check_paths([name])} | set(special)
    files = {info.filename: int(info.uncompressed or 0) for info in infos if not info.is_directory and info.filename not in odd}
    total = sum(int(info.uncompressed or 0) for info in infos)
    largest = max(files, key=lambda name: files[name], default="")
    if files and files[largest] > limits.member_bytes:
        raise exceeded("member_bytes", limits.member_bytes, f"the member is {files[largest]:,} bytes long, more", largest)
    if budget.inflated_bytes + total > limits.inflated_bytes:
        raise exceeded("inflated_bytes", limits.inflated_bytes, f"the archive announces {total:,} bytes, more")
    if total > RATIO_FLOOR_BYTES and total > size * limits.compression_ratio:
        raise exceeded("compression_ratio", limits.compression_ratio, f"{size:,} bytes announce {total:,}, a higher ratio")
    return files, findings
