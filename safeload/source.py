"""A path, bytes or file object becomes a `ByteSource`: a size, private copies of any range, and mapped views of storages.

`read` copies with `pread`, so what is parsed and judged lies in private memory and cannot change under us (law 2), and a file that
shrinks meanwhile gives a short read and an error instead of a SIGBUS. Only `view`, used for tensor payloads after the verdict, maps the
file: private and copy-on-write, so arrays are writable and the file is never written.

Refuses: what is not seekable and larger than `Limits.spool_bytes` (SL901), what cannot be read at all (SL005).
"""

from __future__ import annotations

import errno
import io
import mmap
import os
import re
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import IO, TYPE_CHECKING, Any, Union

from safeload.errors import CheckpointError, LimitExceeded
from safeload.findings import Fetched
from safeload.folder import METADATA, checked, main_file
from safeload.limits import Limits

if TYPE_CHECKING:
    from concurrent.futures import Executor

SPOOL_CHUNK_BYTES = 1 << 20
HASH_CHUNK_BYTES = 1 << 20
PARALLEL_BYTES = 1 << 26  # a file of this size is worth threads: importing them takes as long as copying 20 MB
PART_BYTES = 1 << 20  # what each of them reads at least
READERS = min(os.cpu_count() or 1, 8)  # one memory bus is full with fewer

MAP_NORESERVE = 0x4000  # Linux, include/uapi/asm-generic/mman-common.h; Python names it since 3.13
NORESERVE_MACHINES = ("x86_64", "aarch64", "riscv64", "s390x")  # where it has this value

CLOSE_BYTES = 1 << 17  # pieces so far apart are read as one: it fits into a cache, and malloc gives the same memory again
CLOSE_PIECES = 8  # where there are so many of them in it: reading what lies between them takes less than a call for each
APART_PIECES = 64  # so many are looked at together where they are far apart

SMALL_BYTES = 1 << 18  # a file up to this is copied whole when it is opened: one read takes less than the dozen of an archive's parts
TAIL_BYTES = 1 << 16  # of an archive, read at once: a comment's largest length, and with it the directory of a file with some 500 members
URI = r"[A-Za-z][A-Za-z0-9+.-]+://"

FileLike = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, IO[bytes]]


class ByteSource:
    """Random access to the bytes of one checkpoint, from its first byte to the end of the source.

    `base` is where the checkpoint starts in the underlying file; all offsets given to the methods count from there. A `buffer` that is a bytearray belongs to
    the source: views are parts of it. One of bytes stays as it is, and views show a copy.
    """

    __slots__ = ("_buffer", "_copy", "_fd", "_map", "_owns_fd", "_pool", "_whole", "base", "fetched", "folder", "is_dcp", "kept", "name", "read_only", "size")

    def __init__(self, *, name: str, size: int, base: int = 0, buffer: bytes | bytearray | None = None, fd: int = -1, owns_fd: bool = False) -> None:
        self.name = name
        self.size = size
        self.base = base
        self._buffer = buffer
        self._fd = fd
        self._owns_fd = owns_fd
        self._map: mmap.mmap | bytearray | bytes | None = None
        self._pool: Executor | None = None  # threads that read large parts
        self._whole: ByteSource | None = None  # the source that this one is a part of
        self._copy: bytes | None = None  # all bytes of a small file, from its first on: what `read` gives parts of
        self.folder: str | None = None  # where the file stands, if it was opened by its path: its shards stand beside it
        self.read_only = False  # map so that nothing can be written, and the pages stay those of the page cache
        self.is_dcp = False  # was the folder of a distributed checkpoint opened? Then this is its `.metadata`
        self.kept: list[ByteSource] = []  # sources of shards: open as long as this one
        self.fetched: Callable[[], Fetched] | None = None  # of a file behind a network: how much of it is here

    @property
    def is_sparse(self) -> bool:
        """Does reading cost requests over a network, so that bytes which need not be read are left out? `has` says which are here."""
        return False

    @property
    def tail_bytes(self) -> int:
        """How many bytes of the end to look at for an archive's records."""
        return TAIL_BYTES

    def has(self, offset: int, length: int) -> bool:
        """Can these bytes be read without a request?"""
        return True

    def read(self, offset: int, length: int) -> bytes:
        """A private copy of exactly `length` bytes. Raises `CheckpointError` SL004 where the source ends before."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise self._short(offset, length)
        if self._copy is not None:
            return self._copy[self.base + offset : self.base + offset + length]
        if self._buffer is not None:
            start = self.base + offset
            return self._buffer[start : start + length] if isinstance(self._buffer, bytes) else bytes(memoryview(self._buffer)[start : start + length])
        parts: list[bytes] = []
        position, left = self.base + offset, length
        while left:
            try:
                part = os.pread(self._fd, left, position)
            except OSError as error:
                raise CheckpointError(f"{self.name} cannot be read: {error.strerror}", rule="SL005", offset=offset) from error
            if not part:
                raise self._short(offset, length)
            parts.append(part)
            position += len(part)
            left -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def pieces(self, offsets: list[int], lengths: list[int]) -> list[bytes]:
        """Private copies of many short ranges, in ascending order: as `read` of each of them.

        Where they stand close together, what lies between them is read with them: 20,000 headers of small tensors are 200 reads. Others are asked for at once.
        """
        if self._copy is not None:
            return list(map(self.read, offsets, lengths))
        parts: list[bytes] = []
        at, count, hinted = 0, len(offsets), False
        while at < count:
            stop = min(at + APART_PIECES, count)
            if offsets[stop - 1] - offsets[at] < (stop - at) * CLOSE_BYTES:
                stop = min(at + CLOSE_PIECES, count)
            if offsets[stop - 1] - offsets[at] <= CLOSE_BYTES:
                start, stop = offsets[at], bisect_right(offsets, offsets[at] + CLOSE_BYTES)
                together = self.read(start, offsets[stop - 1] + lengths[stop - 1] - start)
                parts += [together[offset - start : offset - start + length] for offset, length in zip(offsets[at:stop], lengths[at:stop], strict=True)]
            else:
                if not hinted:
                    hinted = True
                    self.expect(offsets[at:], lengths[at])
                parts += self._pieces(offsets[at:stop], lengths[at:stop])
            at = stop
        return parts

    def _pieces(self, offsets: list[int], lengths: list[int]) -> list[bytes]:
        if self._fd < 0:
            return list(map(self.read, offsets, lengths))
        pread, fd, base, size = os.pread, self._fd, self.base, self.size
        try:
            parts = [pread(fd, length, base + offset) for offset, length in zip(offsets, lengths, strict=True) if 0 <= offset <= size - length]
        except OSError as error:
            raise CheckpointError(f"{self.name} cannot be read: {error.strerror}", rule="SL005", offset=offsets[0]) from error
        return parts if list(map(len, parts)) == lengths else list(map(self.read, offsets, lengths))  # says what is missing

    def keep_copy(self) -> None:
        """Read all of a small file now, for every `read` to come. Where that fails, or gives less, nothing is kept: the read that is missing it says so."""
        try:
            data = os.pread(self._fd, self.size, 0)
        except OSError:
            return
        if len(data) == self.size:
            self._copy = data

    def expect(self, offsets: Iterable[int], length: int) -> None:
        """A hint: `length` bytes at each of these places are read soon, one after the other. Of a file that is not in the page cache they are fetched at once.

        A disk takes as long for one small read as for hundreds at the same time. Asks first whether the first of them is there: then there is nothing to do.
        """
        if self._fd < 0 or self._copy is not None or not hasattr(os, "posix_fadvise") or not hasattr(os, "RWF_NOWAIT"):
            return
        places = iter(offsets)
        first = next(places, None)
        if first is None or self._is_cached(first):
            return
        for offset in places:
            os.posix_fadvise(self._fd, self.base + offset, length, os.POSIX_FADV_WILLNEED)

    def _is_cached(self, offset: int) -> bool:
        try:
            os.preadv(self._fd, [bytearray(1)], self.base + offset, os.RWF_NOWAIT)
        except BlockingIOError:
            return False
        except OSError:  # a file system that cannot say
            return True
        return True

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill `target` with the bytes from `offset`, read straight into place. For payloads that must not stay mapped (`mmap=False`, pinned memory)."""
        length = len(target)
        if offset < 0 or offset + length > self.size:
            raise self._short(offset, length)
        if self._buffer is not None:
            start = self.base + offset
            target[:] = memoryview(self._buffer)[start : start + length]
            return
        position = self.base + offset
        while target:
            try:
                count = os.preadv(self._fd, [target], position)
            except OSError as error:
                raise CheckpointError(f"{self.name} cannot be read: {error.strerror}", rule="SL005", offset=offset) from error
            if not count:
                raise self._short(offset, length)
            target, position = target[count:], position + count

    def read_apart(self, offset: int, target: memoryview) -> None:
        """`read_into`, by several threads for a large part of a large file: copying out of the page cache is the work of one CPU for each of them."""
        length = len(target)
        parts = min(length // PART_BYTES, READERS) if self._buffer is None and self.size >= PARALLEL_BYTES else 1
        if parts < 2:
            self.read_into(offset, target)
            return
        step = -(-length // parts)
        others = [self._readers().submit(self.read_into, offset + start, target[start : start + step]) for start in range(step, length, step)]
        try:
            self.read_into(offset, target[:step])
        finally:
            errors = [other.exception() for other in others]  # waits: nobody writes into `target` after this
        for error in errors:
            if error is not None:
                raise error

    def _readers(self) -> Executor:
        """The threads of this file: as many as there is work for, and gone with `close`."""
        whole = self._whole or self
        if whole._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            whole._pool = ThreadPoolExecutor(READERS - 1, thread_name_prefix="safeload-read")
        return whole._pool

    def file_at(self, offset: int) -> tuple[int, int] | None:
        """Descriptor and position of a byte, for a reader of its own (GPUDirect Storage); None where the bytes are in memory."""
        return None if self._buffer is not None or self._fd < 0 else (self._fd, self.base + offset)

    def view(self, offset: int, length: int) -> memoryview:
        """Bytes that need not be private: a part of the copy-on-write map (paths, files) or of a writable copy (memory).

        With `read_only`, of a map or of memory that nobody can write through it. The view keeps what lies under it alive, also after `close`.
        """
        if offset < 0 or length < 0 or offset + length > self.size:
            raise self._short(offset, length)
        start = self.base + offset
        window = memoryview(self._mapping())[start : start + length]
        return window.toreadonly() if self.is_read_only else window

    @property
    def is_read_only(self) -> bool:
        """Are views of this source, or of the source that it is a part of, read-only?"""
        return self.read_only if self._whole is None else self._whole.read_only

    def _mapping(self) -> mmap.mmap | bytearray | bytes:
        if self._whole is not None:
            return self._whole._mapping()
        if self._map is None:
            if self._buffer is not None and self.read_only:
                self._map = self._buffer
            elif self._buffer is not None:
                self._map = self._buffer if isinstance(self._buffer, bytearray) else bytearray(self._buffer)
            else:
                try:
                    length = self.base + self.size
                    self._map = mmap.mmap(self._fd, length, access=mmap.ACCESS_READ) if self.read_only else _copy_on_write(self._fd, length)
                except (OSError, ValueError) as error:  # ValueError: the file shrank below what was announced
                    raise CheckpointError(f"{self.name} cannot be mapped: {error}", rule="SL005") from error
        return self._map

    def part(self, start: int, length: int | None = None) -> ByteSource:
        """`length` bytes of this source from `start` (None: to its end) as a source of its own: an object behind another in one file, a file in an archive.

        Shares the map of the whole, and is valid as long as that is open. Raises `CheckpointError` SL004 where the source ends before.
        """
        length = self.size - start if length is None else length
        if start < 0 or length < 0 or start + length > self.size:
            raise self._short(start, length)
        part = ByteSource(name=self.name, size=length, base=self.base + start, buffer=self._buffer, fd=self._fd)
        part._whole, part._copy = self._whole or self, self._copy
        return part

    def offset_in(self, whole: ByteSource) -> int | None:
        """Where this source begins in `whole`: 0 for itself, None for bytes that stand elsewhere (inflated ones, another file)."""
        if self is whole:
            return 0
        return self.base - whole.base if self._whole is not None and self._whole is (whole._whole or whole) else None

    def sha256(self) -> str:
        """Hex digest of all bytes from `base` to the end, read in pieces."""
        import hashlib

        digest = hashlib.sha256()
        for offset in range(0, self.size, HASH_CHUNK_BYTES):
            digest.update(self.read(offset, min(HASH_CHUNK_BYTES, self.size - offset)))
        return digest.hexdigest()

    def close(self) -> None:
        """Give the file back, and its shards. Views handed out stay valid: they hold the map, and the map holds the pages."""
        for shard in self.kept:
            shard.close()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        if self._owns_fd and self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
        self._map = self._copy = None

    def __enter__(self) -> ByteSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _short(self, offset: int, length: int) -> CheckpointError:
        missing = offset + length - self.size
        return CheckpointError(
            f"the file ends too early: {length:,} bytes are needed at {offset:#x} and {max(missing, 0):,} of them are missing; it holds {self.size:,}",
            rule="SL004",
            offset=offset,
        )


def open_source(f: FileLike, limits: Limits) -> ByteSource:
    """The source for whatever `load`, `scan` and `open` accept.

    A path is opened once. A file object is read from its current position to its end, as torch.load does; where it is a plain file it is
    mapped, any other (gzip, sockets, fsspec) is read into memory within `Limits.spool_bytes`, since its `fileno` may name other bytes.
    """
    if isinstance(f, (bytes, bytearray, memoryview)):
        data = bytes(f)
        return _checked(ByteSource(name="<bytes>", size=len(data), buffer=data), limits)
    if isinstance(f, (str, os.PathLike)):
        return _open_path(os.fsdecode(f), limits)
    if isinstance(f, io.BytesIO):
        data, base = f.getvalue(), f.tell()
        return _checked(ByteSource(name="<BytesIO>", size=max(len(data) - base, 0), base=base, buffer=data), limits)
    if isinstance(f, (io.BufferedReader, io.FileIO)) and _is_plain_file(f):
        return _open_plain(f, limits)
    if callable(getattr(f, "read", None)):
        return _spool(f, limits)
    raise TypeError(f"expected a path, bytes or a binary file object, not {type(f).__name__}")


def open_sibling(folder: str, name: object, limits: Limits) -> ByteSource:
    """The file `name` below `folder`. Raises `ContainerError` SL136 for a name that leads elsewhere, SL005 for a file that cannot be opened."""
    path = os.path.join(folder, checked(name))
    try:
        if not os.path.isfile(path):
            raise CheckpointError(f"the file {ascii(name)[:80]} is missing beside this one, or is no regular file", rule="SL005")
        return _open_path(path, limits)
    except OSError as error:
        raise CheckpointError(f"the file {ascii(name)[:80]} beside this one cannot be opened: {error.strerror}", rule="SL005") from None


def is_uri(f: object) -> bool:
    """Is this the address of something on a network? A file that has such a name is a file."""
    return isinstance(f, str) and "://" in f and re.match(URI, f) is not None and not os.path.lexists(f)


def _open_path(path: str, limits: Limits) -> ByteSource:
    if is_uri(path):
        raise FileNotFoundError(errno.ENOENT, "this is an address, and nothing is fetched over a network without --online (scan(..., online=True))", path)
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
    try:
        import stat

        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            os.close(fd)
            fd = -1
            name = main_file(path)
            source = _open_path(os.path.join(path, name), limits)
            source.name, source.folder, source.is_dcp = path, path, name == METADATA
            return source
        if not stat.S_ISREG(status.st_mode):
            with os.fdopen(os.dup(fd), "rb") as stream:
                source = _spool(stream, limits, name=path)
            os.close(fd)
            fd = -1
            return source
        _check_size(path, status.st_size, limits)
        source = ByteSource(name=path, size=status.st_size, fd=fd, owns_fd=True)
        if source.size <= SMALL_BYTES:
            source.keep_copy()
        source.folder = os.path.dirname(path) or "."
        return source
    except BaseException:
        if fd >= 0:
            os.close(fd)
        raise


def _is_plain_file(f: io.BufferedReader | io.FileIO) -> bool:
    import stat

    raw = f if isinstance(f, io.FileIO) else f.raw
    if type(raw) is not io.FileIO:
        return False
    try:
        return stat.S_ISREG(os.fstat(raw.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _open_plain(f: io.BufferedReader | io.FileIO, limits: Limits) -> ByteSource:
    fd, base = f.fileno(), f.tell()
    size = max(os.fstat(fd).st_size - base, 0)
    name = f.name if isinstance(f.name, str) else os.fsdecode(f.name) if isinstance(f.name, bytes) else f"<file {f.name}>"
    _check_size(name, size, limits)
    return ByteSource(name=name, size=size, base=base, fd=os.dup(fd), owns_fd=True)


def _spool(f: IO[bytes], limits: Limits, *, name: str | None = None) -> ByteSource:
    label = name or str(getattr(f, "name", None) or f"<{type(f).__name__}>")
    spooled = bytearray()
    read = _reader(f)
    while True:
        try:
            part = read()
        except UnicodeDecodeError:
            raise TypeError(f"{label} reads text; open the file with mode 'rb'") from None
        except (OSError, EOFError, ValueError) as error:  # gzip and friends: damaged or closed streams
            raise CheckpointError(f"{label} cannot be read: {error}", rule="SL005") from error
        if not isinstance(part, (bytes, bytearray, memoryview)):
            raise TypeError(f"{label} is not a binary file: read() gave {type(part).__name__}")
        if not part:
            break
        spooled += part
        if len(spooled) > limits.spool_bytes:
            raise LimitExceeded(
                f"{label} gave more than {limits.spool_bytes:,} bytes (limit spool_bytes); save it to a file, a path is mapped and not copied", rule="SL901"
            )
    return _checked(ByteSource(name=label, size=len(spooled), buffer=spooled), limits)


def _reader(f: IO[bytes]) -> Callable[[], Any]:
    """The next bytes of a file object, into one buffer where it has `readinto`, as torch asks it; objects that only say they have it are read."""
    readinto = getattr(f, "readinto", None)
    if not callable(readinto):
        return lambda: f.read(SPOOL_CHUNK_BYTES)
    buffer = memoryview(bytearray(SPOOL_CHUNK_BYTES))
    works = True

    def read() -> Any:
        nonlocal works
        if works:
            try:
                count = readinto(buffer)
            except (AttributeError, NotImplementedError, io.UnsupportedOperation):
                works = False
            else:
                return buffer[:count] if isinstance(count, int) and 0 <= count <= SPOOL_CHUNK_BYTES else f.read(SPOOL_CHUNK_BYTES)
        return f.read(SPOOL_CHUNK_BYTES)

    return read


def _checked(source: ByteSource, limits: Limits) -> ByteSource:
    _check_size(source.name, source.size, limits)
    return source


def _check_size(name: str, size: int, limits: Limits) -> None:
    if size > limits.file_bytes:
        raise LimitExceeded(f"{name} holds {size:,} bytes; the limit file_bytes is {limits.file_bytes:,}", rule="SL901")


def is_seekable(f: object) -> bool:
    """Can this file object say where it is and go back there? Pipes have the methods and refuse them."""
    if not (hasattr(f, "seek") and hasattr(f, "tell") and hasattr(f, "read")):
        return False
    if hasattr(f, "seekable"):
        return bool(f.seekable())
    return True


def _copy_on_write(fd: int, length: int) -> mmap.mmap:
    """A private writable map of the file.

    Linux counts such a map as memory that may be needed in full, and refuses one that is larger than RAM and swap together; then only the pages that are
    written count. So a file larger than the machine opens, and its tensors load one by one.
    """
    try:
        return mmap.mmap(fd, length, access=mmap.ACCESS_COPY)
    except OSError as error:
        if error.errno != errno.ENOMEM or sys.platform != "linux" or os.uname().machine not in NORESERVE_MACHINES:
            raise
        return mmap.mmap(fd, length, flags=mmap.MAP_PRIVATE | MAP_NORESERVE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
