"""One pickle stream and the sizes of its storages become the bytes of a torch archive, so that a test of a policy can hold tensors.

The smallest archive that torch.save's own layout allows: stored members, storages of zeros. Only for programs that people write in tests.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

_LOCAL = struct.Struct("<4sHHHHHIIIHH")  # ZIP APPNOTE 4.3.7
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")  # 4.3.12
_END = struct.Struct("<4sHHHHIIH")  # 4.3.16
_FOLDER = "archive"


def torch_archive(stream: bytes, storages: Mapping[str, int]) -> bytes:
    """A torch.save archive of this `data.pkl` and of storages (key to bytes), all of them zero."""
    members = [("data.pkl", stream), ("byteorder", b"little"), *((f"data/{key}", bytes(size)) for key, size in storages.items()), ("version", b"3\n")]
    body, directory = bytearray(), bytearray()
    for inner, data in members:
        name = f"{_FOLDER}/{inner}".encode()
        at, crc, size = len(body), zlib.crc32(data), len(data)
        body += _LOCAL.pack(b"PK\x03\x04", 0, 0, 0, 0, 0, crc, size, size, len(name), 0) + name + data
        directory += _CENTRAL.pack(b"PK\x01\x02", 0, 0, 0, 0, 0, 0, crc, size, size, len(name), 0, 0, 0, 0, 0, at) + name
    end = _END.pack(b"PK\x05\x06", 0, 0, len(members), len(members), len(directory), len(body), 0)
    return bytes(body + directory + end)
