"""The header of a 7z archive is held against the limits before py7zr allocates anything by it: what it takes to unpack it, and how much it announces.

A header may itself be packed, and py7zr then unpacks up to 256 MiB of it, by any method and with any dictionary, and makes an object of 500 bytes for each
file and of a KiB for each folder that it counts, of which a file of 500 bytes can announce millions. So the parts that say how much there will be are read
first, by py7zr's own readers of them, and from private copies that py7zr is then given again (`File`). In that archive of empty files, each takes two bytes of
the file: no more is believed than one for each byte.

Refuses headers that are packed by what is not read, that unpack to more than `HEADER_RATIO` allows or count more than the file has bytes
(SL144), and what is beyond `members`, `directory_bytes` or `dictionary_bytes` (SL901).
"""

from __future__ import annotations

import io
from typing import Any

from safeload.budget import exceeded
from safeload.containers.zip_names import shown
from safeload.errors import ContainerError
from safeload.limits import KIB, Limits
from safeload.source import ByteSource

SIGNATURE_BYTES = 32  # the signature, the version, and where the header is (7zFormat.txt, SignatureHeader)
HEADER_FLOOR_BYTES = 64 * KIB  # of an unpacked header that are no danger
HEADER_RATIO = 40  # bytes of an unpacked header for each byte of the file: 33 in an archive by py7zr of 20,000 empty files, layers/layer.00000.bin and so on
STEP_BYTES = 16 * KIB  # of what is packed that are inflated at once: 16 MiB at most, three times over
DEFLATE = b"\x04\x01\x08"
LZMA, LZMA2, AES = b"\x03\x01\x01", b"\x21", b"\x06\xf1\x07\x01"
METHODS: dict[bytes, str] = {
    b"\x00": "Copy", LZMA2: "LZMA2", LZMA: "LZMA", b"\x03": "Delta", DEFLATE: "Deflate", b"\x04\x02\x02": "BZip2", b"\x03\x03\x01\x03": "x86",
    b"\x03\x03\x02\x05": "PPC", b"\x03\x03\x03\x01": "IA64", b"\x03\x03\x05\x01": "ARM", b"\x03\x03\x07\x01": "ARM-Thumb", b"\x03\x03\x08\x05": "SPARC",
}  # fmt: skip
"""The methods that are read, by their id (7-Zip's Methods.txt): those whose inflater comes with Python, and filters that reorder a program's bytes."""
UNREAD = {b"\x03\x04\x01": "PPMd", b"\x04\x01\x09": "Deflate64", b"\x04\xf7\x11\x01": "Zstandard", b"\x04\xf7\x11\x02": "Brotli"}


class File(io.RawIOBase):
    """A source as the file object that py7zr reads. It has no name: py7zr would open that again. What is `kept` is read once, however often it is asked for."""

    def __init__(self, source: ByteSource) -> None:
        super().__init__()
        self._source, self._at = source, 0
        self._kept: list[tuple[int, bytes]] = []

    def keep(self, at: int, length: int) -> bytes:
        """A private copy of this part, which is given from now on."""
        data = self._source.read(at, length)
        self._kept.append((at, data))
        return data

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, as far as the source goes."""
        length = max(min(len(buffer), self._source.size - self._at), 0)
        buffer[:length] = self._source.read(self._at, length) if length else b""
        for start, data in self._kept:
            first, last = max(start, self._at), min(start + len(data), self._at + length)
            if first < last:
                buffer[first - self._at : last - self._at] = data[first - start : last - start]
        self._at += length
        return length

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; what is in front of the source is its beginning."""
        self._at = max(offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._source.size}[whence], 0)
        return self._at

    def tell(self) -> int:
        """The place."""
        return self._at


class Reader(io.BufferedReader):
    """The same with a buffer. Once it is told so, it gives little at once: py7zr inflates all that a read gives in one go where the method is Deflate, whatever
    the member is said to hold, and a MiB of it may be a GiB."""

    sparing = False

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes."""
        return super().read(min(size, STEP_BYTES) if self.sparing and size is not None and size > 0 else size)


def opened_file(source: ByteSource, limits: Limits) -> Reader:
    """The file object for py7zr, once the header in it is known to be within the limits. Raises what py7zr does, besides `ContainerError` and `LimitExceeded`.

    1. Where the header stands. 2. What packs it, and to how much it unpacks. 3. How much it counts.
    """
    from py7zr import archiveinfo, properties

    # 1
    file = File(source)
    file.keep(0, min(SIGNATURE_BYTES, source.size))
    reader = Reader(file)
    signature = archiveinfo.SignatureHeader.retrieve(reader)
    reader.detach()  # it would close what it reads
    at, size = SIGNATURE_BYTES + signature.nextheaderofs, signature.nextheadersize
    if size > limits.directory_bytes:
        raise exceeded("directory_bytes", limits.directory_bytes, f"the header of the archive is {size:,} bytes long, more")
    if at + size > source.size:
        raise bad(f"it is cut short: its header should end at {at + size:#x}, and the file does at {source.size:#x}")
    raw = file.keep(at, size)
    # 2
    if raw[:1] == properties.PROPERTY.ENCODED_HEADER:
        packed = archiveinfo.HeaderStreamsInfo.retrieve(io.BytesIO(raw[1:]))
        folders = packed.unpackinfo.folders
        if len(folders) > 1:
            raise bad("its header is packed in more pieces than one, which no writer does")
        check_coders([(bytes(coder["method"]), bytes(coder.get("properties") or b"")) for folder in folders for coder in folder.coders], limits, "its header")
        length, most = sum(sum(folder.unpacksizes) for folder in folders), max(HEADER_FLOOR_BYTES, HEADER_RATIO * source.size)
        if length > most:
            raise bad(f"its header announces {length:,} bytes, and that of a file of {source.size:,} bytes has {most:,} at most")
        start, total = SIGNATURE_BYTES + packed.packinfo.packpos, sum(packed.packinfo.packsizes)
        if start + total > source.size:
            raise bad("its header is packed into bytes that the file does not have")
        file.keep(start, total)
    # 3
    header: Any = archiveinfo.Header()
    header._extract_header_info = lambda unpacked: _count(unpacked, source.size, limits)
    reader = Reader(file)
    header._read(reader, io.BytesIO(raw), SIGNATURE_BYTES, None)
    reader.seek(0)
    return reader


def _count(header: Any, file_bytes: int, limits: Limits) -> None:
    """How many folders, streams and files there are, behind the byte that says that it is a header. Each number stands in front of what it counts."""
    from py7zr import archiveinfo, properties

    kinds, number = properties.PROPERTY, archiveinfo.read_uint64
    kind = header.read(1)
    if kind == kinds.MAIN_STREAMS_INFO:
        kind, folders = header.read(1), []
        if kind == kinds.PACK_INFO:
            archiveinfo.PackInfo.retrieve(header)
            kind = header.read(1)
        if kind == kinds.UNPACK_INFO:
            at = header.tell()
            if header.read(1) == kinds.FOLDER:
                _check_count("folders", number(header), file_bytes, limits)
            header.seek(at)
            folders = archiveinfo.UnpackInfo.retrieve(header).folders
            kind = header.read(1)
        if kind == kinds.SUBSTREAMS_INFO:
            at = header.tell()
            if header.read(1) == kinds.NUM_UNPACK_STREAM:
                _check_count("streams", sum(number(header) for _ in folders), file_bytes, limits)
            header.seek(at)
            archiveinfo.SubstreamsInfo.retrieve(header, len(folders), folders)
            kind = header.read(1)
        kind = header.read(1) if kind == kinds.END else b""  # what py7zr then says
    if kind == kinds.FILES_INFO:
        _check_count("files", number(header), file_bytes, limits)


def _check_count(what: str, count: int, file_bytes: int, limits: Limits) -> None:
    if count > limits.members:
        raise exceeded("members", limits.members, f"the archive announces {count:,} {what}, more")
    if count > file_bytes:
        raise bad(f"it announces {count:,} {what}, more than the {file_bytes:,} bytes that it has")


def bad(why: str) -> ContainerError:
    """What is wrong with the archive."""
    return ContainerError(f"the 7z archive cannot be read: {why}", rule="SL144")


def check_coders(coders: list[tuple[bytes, bytes]], limits: Limits, what: str = "a member") -> None:
    """Hold each method and its properties against what is read, and the memory that it takes against the limit."""
    for method, properties in coders:
        if method == AES:
            raise bad("it is encrypted" + (", its names too" if what != "a member" else "") + ": nothing of it can be judged")
        if method not in METHODS or (method == DEFLATE and what != "a member"):  # py7zr would inflate all of a header at once, and no writer asks for that
            known = (UNREAD | METHODS).get(method, f"{method.hex()}, which nobody knows")
            raise bad(f"{what} is packed by the method {known}; pack it again with LZMA2, 7z's own choice")
        memory = _memory(method, properties)
        if memory > limits.dictionary_bytes:
            raise exceeded("dictionary_bytes", limits.dictionary_bytes, f"{METHODS[method]} wants {memory:,} bytes of memory, more")


def _memory(method: bytes, properties: bytes) -> int:
    """Bytes that the method's dictionary takes (lzma-specification.txt; lzma2_decoder.c for the one byte of LZMA2)."""
    if method == LZMA and len(properties) == 5:
        return int.from_bytes(properties[1:], "little")
    if method == LZMA2 and len(properties) == 1 and properties[0] <= 40:
        return (1 << 32) - 1 if properties[0] == 40 else (2 | properties[0] & 1) << (properties[0] // 2 + 11)
    if method in (LZMA, LZMA2):
        raise bad(f"the properties of {METHODS[method]} are {shown(properties)}")
    return 0
