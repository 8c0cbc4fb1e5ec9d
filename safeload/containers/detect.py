"""Any source becomes a `Container`, by its content alone: a torch zip, a tar archive, or a bare pickle. Everything else is named and refused.

The file's name decides nothing. torch looks at the first four bytes, `zipfile.is_zipfile` at the last ones, and scanners at either, so a file that
starts as one thing and ends as a zip means two things to two readers: ambiguous, SL120. Refused too: what is recognised and not read (SL002), what is
no checkpoint (SL003), zips cut short (SL004), and what nothing recognises (SL001).

Readers of single formats are imported when a file of theirs is met.
"""

from __future__ import annotations

from msgspec.structs import replace

from safeload.budget import Budget, exceeded
from safeload.containers.base import Container, Member
from safeload.containers.sniff import (
    GGUF_MAGIC,
    HEAD_BYTES,
    NPY_MAGIC,
    SEVENZIP_MAGIC,
    Sniffed,
    is_legacy,
    is_msgpack,
    is_safetensors,
    is_tar,
    sniff,
    sniff_text,
)
from safeload.containers.torch_zip import read_torch_zip
from safeload.containers.zip_end import LOCAL_SIGNATURE, ends_as_zip
from safeload.containers.zip_names import shown
from safeload.containers.zip_sequence import check_mixture, split
from safeload.errors import CheckpointError, ContainerError, UnsupportedFormat
from safeload.findings import Finding
from safeload.limits import MIB, Limits
from safeload.source import ByteSource

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
HDF5_FIRST_BYTES = 512  # a user's own block takes 512 bytes or twice as many as another may (HDF5 File Format Specification, II.A)
SPANNED_SIGNATURE = b"PK\7\x08"
NEWEST_PROTOCOL = 5  # PEP 574
PROTO = 0x80
FIRST_OPCODES = frozenset(b"(]})FGIJKLMNPSTUVXBCc\x82\x83\x84\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x95\x96\x97")
"""Opcodes that take nothing from the stack or the memo, so that a stream without PROTO can start with them."""
STACK_GLOBAL = 0x93


def open_container(source: ByteSource, limits: Limits, budget: Budget | None = None, *, wrapped: int = 0) -> Container:
    """Take any file apart, or say what it is instead.

    1. Nothing, or nothing but zeros.
    2. A zip by its first bytes.
    3. Something that ends as a zip and does not start as one, or starts as a tar and is a zip.
    4. A safetensors file, before anything that the first bytes of its length could be taken for.
    5. A compressed file: what is in it decides, by the same steps. `wrapped` counts the compressions around.
    6. A .npy or GGUF file, a 7z archive, a tar archive by the checksum of its first header, or something else with a name.
    7. A legacy file of torch, by its magic number.
    8. A pickle, as far as its first byte can tell; the machine decides. What cannot be one is named by its structure.
    """
    if source.is_dcp:
        member = Member(name="", offset=0, size=source.size, stored_size=source.size, role="pickle")
        return Container(format="torch.dcp", source=source, members={"": member}, pickles=("",), accounted=source.size)
    # 1
    if not source.size:
        raise UnsupportedFormat("the file is empty (0 bytes): the save or the download failed", rule="SL003")
    head = source.read(0, min(source.size, HEAD_BYTES))
    if not any(head):
        _refuse_zeros(source)
    # 2
    if head.startswith(LOCAL_SIGNATURE):
        if is_tar(head):
            raise ContainerError("the file is a zip archive and a tar archive at once; readers disagree about which", rule="SL120", offset=0)
        extents = split(source)
        if extents is not None:
            check_mixture(source, extents, limits)
            message = f"the file holds {len(extents):,} archives behind each other, as the shards of a distributed checkpoint do"
            note = Finding(rule="SL125", level="note", message=message)
            return Container(format="zip-sequence", source=source, members={}, accounted=source.size, findings=(note,), detail=extents)
        return read_torch_zip(source, limits, budget)
    if head.startswith(SPANNED_SIGNATURE):
        raise ContainerError("the file is one part of a zip archive that spans several disks", rule="SL103", offset=0)
    # 3
    found = sniff(head, source.size)
    if not head.startswith(b"PK") and ends_as_zip(source):
        start = found.what if found is not None else f"something else ({shown(head[:8])})"
        raise ContainerError(f"the file starts as {start} and ends as a zip archive; readers disagree about which it is", rule="SL120", offset=0)
    # 4
    if is_safetensors(head, source.size):
        from safeload.containers import safetensors

        return safetensors.read_safetensors(source, limits)
    # 5
    from safeload.containers.compressed import codec_of, inflate

    codec = codec_of(head)
    if codec is not None:
        if wrapped >= limits.container_depth:
            raise exceeded("container_depth", limits.container_depth, "compressed files stand in each other deeper")
        inner = inflate(source, codec, limits, budget or Budget(limits))
        try:
            container = open_container(inner, limits, budget, wrapped=wrapped + 1)
        except CheckpointError as error:
            error.message = f"inside the {codec.name} stream: {error.message}"
            if not isinstance(error.partial, ByteSource):  # what was in it can be looked at, as what was in a stream that breaks off
                error.partial = inner
            raise
        return replace(container, wrappers=(*container.wrappers, codec.name))
    # 6
    if head.startswith(NPY_MAGIC):
        from safeload.containers import npy

        return npy.read_npy(source)
    if head.startswith(GGUF_MAGIC):
        from safeload.containers import gguf

        return gguf.read_gguf(source, limits, budget or Budget(limits))
    if head.startswith(SEVENZIP_MAGIC):
        from safeload.containers import sevenzip

        return sevenzip.read_sevenzip(source, limits, budget or Budget(limits))
    if is_tar(head):
        from safeload.containers.tar import read_tar

        return read_tar(source, limits, budget)
    if head.startswith(HDF5_MAGIC):
        return _single("hdf5", source)
    if found is not None:
        named = _named_by_json(source) if found.is_json else None
        if named is not None:
            return named
        raise UnsupportedFormat(_sentence(found), rule=found.rule)
    # 7
    if is_legacy(head):  # its pickles say where its members are, so a stage above the machine takes it apart
        return Container(format="torch.legacy", source=source, members={})
    # 8
    if is_msgpack(head):
        return _single("msgpack", source)
    if head[0] == PROTO and len(head) > 1 and head[1] > NEWEST_PROTOCOL:
        raise UnsupportedFormat(f"this looks like a pickle of protocol {head[1]}; the newest known is {NEWEST_PROTOCOL}", rule="SL002", offset=1)
    # a name that is looked up on an empty stack is refused as one (SL208), unless these are the first bytes of a .npy file that was cut
    if head[0] not in FIRST_OPCODES and head[0] != PROTO and not (head[0] == STACK_GLOBAL and head[1:2] != NPY_MAGIC[1:2]):
        return _something_else(source, head)
    member = Member(name="", offset=0, size=source.size, stored_size=source.size, role="pickle")
    return Container(format="pickle", source=source, members={"": member}, pickles=("",), accounted=source.size)


def _single(format_: str, source: ByteSource, *, accounted: int = 0) -> Container:
    """A file that is looked into and not taken apart: where it is named alone, nothing of it is accounted for."""
    member = Member(name="", offset=0, size=source.size, stored_size=source.size, role="file")
    return Container(format=format_, source=source, members={"": member}, accounted=accounted)


def _named_by_json(source: ByteSource) -> Container | None:
    """The index of a sharded checkpoint, or the configuration of a Keras model."""
    from safeload.containers.shard_index import is_keras_config, read_index

    index = read_index(source)
    return _single("keras", source, accounted=source.size) if index is None and is_keras_config(source) else index


def _something_else(source: ByteSource, head: bytes) -> Container:
    """What has no signature at its start: an HDF5 file behind the bytes of somebody else, or a file that its structure gives a name."""
    from safeload.containers.named import recognise

    position = HDF5_FIRST_BYTES
    while position + len(HDF5_MAGIC) <= source.size:
        if source.read(position, len(HDF5_MAGIC)) == HDF5_MAGIC:
            return _single("hdf5", source)
        position *= 2
    found = recognise(source) or sniff_text(head)
    if found is not None:
        raise UnsupportedFormat(_sentence(found), rule=found.rule)
    raise UnsupportedFormat(
        f"the file starts with {shown(head[:16])} and is nothing that safeload knows; a zip by torch.save or a pickle was expected", rule="SL001", offset=0
    )


def _sentence(found: Sniffed) -> str:
    tail = f", {found.reason}" if found.rule == "SL002" else ""
    return f"this is {found.what}{tail}: {found.hint}"


def _refuse_zeros(source: ByteSource) -> None:
    """Raise where the file's first MiB, or all of it, is zero."""
    length = min(source.size, MIB)
    if not any(source.read(0, length)):
        how = "nothing but zero bytes" if length == source.size else "a first MiB of zero bytes"
        raise UnsupportedFormat(
            f"the file is {how} ({source.size:,} bytes in all): a download that was allocated and not finished, or lost disk blocks", rule="SL003", offset=0
        )
