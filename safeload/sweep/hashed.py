"""A file becomes its sha256 and a source whose every later read gives the bytes of that digest, or an error (SL005).

Results are kept under the digest of a file, so what is judged has to be what was hashed, also where somebody writes to the file meanwhile (law 2). One pass
reckons the digest of the whole and one of each block; a read checks the blocks that it touches.
"""

from __future__ import annotations

import hashlib

from safeload.errors import CheckpointError
from safeload.source import ByteSource

LEAST_BLOCK_BYTES = 1 << 16
MOST_BLOCKS = 1 << 20  # digests in memory: 16 MiB
BLOCK_DIGEST_BYTES = 16
READ_BYTES = 1 << 22


class _Blocks:
    """The digests of all blocks of a file."""

    def __init__(self, plain: ByteSource) -> None:
        self.plain = plain
        self.bytes = LEAST_BLOCK_BYTES
        while self.bytes * MOST_BLOCKS < plain.size:
            self.bytes *= 2
        self._digests = bytearray()
        whole = hashlib.sha256()
        step = max(READ_BYTES // self.bytes, 1) * self.bytes
        for at in range(0, plain.size, step):
            data = plain.read(at, min(step, plain.size - at))
            whole.update(data)
            for start in range(0, len(data), self.bytes):
                self._digests += _digest(data[start : start + self.bytes])
        self.sha256 = whole.hexdigest()

    def read(self, offset: int, length: int) -> bytes:
        """These bytes, which have to be those that were hashed."""
        first, behind = offset // self.bytes, -(-(offset + length) // self.bytes)
        start = first * self.bytes
        data = self.plain.read(start, min(behind * self.bytes, self.plain.size) - start)
        for number in range(first, behind):
            at = (number - first) * self.bytes
            if _digest(data[at : at + self.bytes]) != self._digests[number * BLOCK_DIGEST_BYTES : (number + 1) * BLOCK_DIGEST_BYTES]:
                raise CheckpointError("the file changes while it is being read", rule="SL005", offset=number * self.bytes)
        return data[offset - start : offset - start + length]


def _digest(block: bytes) -> bytes:
    return hashlib.blake2b(block, digest_size=BLOCK_DIGEST_BYTES).digest()


class Hashed(ByteSource):
    """Over another source, which it closes."""

    __slots__ = ("_blocks",)

    def __init__(self, plain: ByteSource, blocks: _Blocks | None = None, *, base: int = 0, size: int | None = None) -> None:
        super().__init__(name=plain.name, size=plain.size if size is None else size, base=base)
        self._blocks = blocks or _Blocks(plain)
        self.folder = plain.folder if blocks is None else None

    def read(self, offset: int, length: int) -> bytes:
        """As of any source; SL005 for bytes that were others when they were hashed."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise self._short(offset, length)
        return self._blocks.read(self.base + offset, length) if length else b""

    def read_into(self, offset: int, target: memoryview) -> None:
        """The same, into place."""
        target[:] = self.read(offset, len(target))

    def view(self, offset: int, length: int) -> memoryview:
        """A copy: a map could change."""
        return memoryview(bytearray(self.read(offset, length)))

    def part(self, start: int, length: int | None = None) -> ByteSource:
        """As of any source."""
        length = self.size - start if length is None else length
        if start < 0 or length < 0 or start + length > self.size:
            raise self._short(start, length)
        part = Hashed(self._blocks.plain, self._blocks, base=self.base + start, size=length)
        part._whole = self._whole or self
        return part

    def sha256(self) -> str:
        """The digest that all reads are held to; of a part, its own."""
        return self._blocks.sha256 if self._whole is None else super().sha256()

    def close(self) -> None:
        """And the source below."""
        super().close()
        if self._whole is None:
            self._blocks.plain.close()
