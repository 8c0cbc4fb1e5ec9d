"""Torch zips of any size that are sparse on disk: holes where storages of zeros stand, and zip64 records where torch writes them."""

from __future__ import annotations

from pathlib import Path
from struct import pack

from containers.zipbuild import end_records

BIG = 0xFFFFFFFF
HOLE_BYTES = 1 << 20  # contents longer than this are given by their length


def write(path: Path, members: list[tuple[str, bytes | int]], alignment: int = 64) -> dict[str, int]:
    """Write the archive, and return where each member's data begins. A number stands for so many zero bytes."""
    directory, offsets = b"", {}
    with path.open("wb") as file:
        for name, content in members:
            size, header = content if isinstance(content, int) else len(content), file.tell()
            raw = name.encode()
            local = b""  # the sizes of the descriptor, then the place of the header, each only if it needs 64 bits
            if size >= BIG or header >= BIG:
                block = (pack("<QQ", size, 0) if size >= BIG else b"") + (pack("<Q", header) if header >= BIG else b"")
                local = pack("<HH", 1, len(block)) + block
            pad = -(header + 30 + len(raw) + len(local) + 4) % alignment
            extra = local + b"FB" + pack("<H", pad) + b"Z" * pad
            file.write(pack("<4sHHHHHIIIHH", b"PK\3\4", 0, 0x0808, 0, 0, 0, 0, 0, 0, len(raw), len(extra)) + raw + extra)
            offsets[name] = file.tell()
            if isinstance(content, int):
                file.seek(content, 1)
            else:
                file.write(content)
            file.write(pack("<4sIQQ" if local else "<4sIII", b"PK\7\x08", 0, size, size))
            block = (pack("<QQ", size, size) if size >= BIG else b"") + (pack("<Q", header) if header >= BIG else b"")
            central = pack("<HH", 1, len(block)) + block if block else b""
            numbers = (0, min(size, BIG), min(size, BIG), len(raw), len(central), 0, 0, 0, 0, min(header, BIG))
            directory += pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 0, 0, 0x0808, 0, 0, 0, *numbers) + raw + central
        start = file.tell()
        file.write(directory + end_records(len(members), len(directory), start))
    return offsets
