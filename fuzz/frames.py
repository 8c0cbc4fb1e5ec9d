"""Bytes become frames of zstandard and lz4 that store them as they are, and back: so that what is inside can be changed, and so that a seed is the same bytes
whatever version of the libraries is there.

A frame of zstandard with its length and one raw block (RFC 8878, 3.1.1), a frame of lz4 with one uncompressed block (lz4_Frame_format.md).
"""

from __future__ import annotations

import struct

ZSTD_HEAD = b"\x28\xb5\x2f\xfd\xa0"  # magic; single segment, a length of 4 bytes, no checksum, no dictionary
LZ4_HEAD = b"\x04\x22\x4d\x18\x60\x40\x82"  # magic; version 1, independent blocks of at most 64 KiB, and the checksum of these two bytes
MAX_BLOCK_BYTES = 1 << 16


def zstd(data: bytes) -> bytes:
    """A frame around at most 64 KiB."""
    data = data[:MAX_BLOCK_BYTES]
    return ZSTD_HEAD + struct.pack("<I", len(data)) + struct.pack("<I", len(data) << 3 | 1)[:3] + data


def zstd_content(frame: bytes) -> bytes:
    """What `zstd` put into it."""
    if not frame.startswith(ZSTD_HEAD):
        raise ValueError("no frame that zstd() wrote")
    return frame[12:]


def lz4(data: bytes) -> bytes:
    """A frame around at most 64 KiB."""
    data = data[:MAX_BLOCK_BYTES]
    return LZ4_HEAD + (struct.pack("<I", len(data) | 1 << 31) + data if data else b"") + bytes(4)


def lz4_content(frame: bytes) -> bytes:
    """What `lz4` put into it."""
    if not frame.startswith(LZ4_HEAD):
        raise ValueError("no frame that lz4() wrote")
    return frame[11:-4]
