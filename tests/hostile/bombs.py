"""Files that ask for far more than they are: one builder for each kind, and what must become of it.

`python -m hostile.bombs` (with `PYTHONPATH=.:tests`) reads each in a process of its own and writes the page `docs/bombs.md`: wall time, and peak memory beyond
that of a process that reads a small file. `test_bombs.py` holds the verdicts, and the memory against a bound for each, under a hard limit of address space.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import json
import lzma
import resource
import subprocess
import sys
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from struct import pack
from typing import Any, Literal, NamedTuple

MIB = 1 << 20
ADDRESS_SPACE_BYTES = 6 << 30  # of the child: what goes beyond ends as MemoryError, and fails
CHILD_SECONDS = 170  # a hang; the budget's own limit is 120 s

sys.path[:0] = [str(Path(__file__).resolve().parents[at]) for at in (1, 2)]

from builds import dense, torch_zip  # noqa: E402 - the path comes first
from containers.zipbuild import Part, build, end_records  # noqa: E402
from formats.tarbuild import tar  # noqa: E402

from safeload.opcodes.assemble import assemble  # noqa: E402


class Bomb(NamedTuple):
    """`multiple`: MiB of memory that it may take, beyond four times the size of the file."""

    about: str
    build: Callable[[], bytes]
    verdict: Literal["accepted", "rejected", "inconclusive"]
    rule: str | None
    extra_mib: int = 24


def head(listing: str, protocol: int = 4) -> bytes:
    """A stream without its STOP."""
    return assemble(f"PROTO {protocol}\n{listing}STOP")[:-1]


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\2\0" + pack("<I", len(text)) + text + data


def nested_gzip(levels: int) -> bytes:
    data = bytes(32 * MIB)
    for _ in range(levels):
        data = gzip.compress(data, 9, mtime=0)
    return data


def equal_hashes(count: int) -> bytes:
    """Ints that all have the hash 7: 7 plus multiples of 2**61 - 1."""
    pushes = b"".join(b"\x8a\x0c" + (7 + number * ((1 << 61) - 1)).to_bytes(12, "little") + b"N" for number in range(1, count))
    return b"\x80\x02}(" + pushes + b"u."


def tuple_dag(levels: int) -> bytes:
    """One tuple of two of the one before, and so on, as a key: 2**levels elements for `hash()`."""
    body = b"".join(b"h" + bytes((number,)) + b"h" + bytes((number,)) + b"\x86\x940" for number in range(levels))
    return b"\x80\x04})\x940" + body + b"h" + bytes((levels,)) + b"Ns."


def laughs(levels: int, width: int = 10) -> bytes:
    """Lists of the list before: width**levels elements for whoever expands them."""
    body = b"".join(b"](" + (b"h" + bytes((number,))) * width + b"e\x940" for number in range(levels))
    return b"\x80\x04]\x940" + body + b"h" + bytes((levels,)) + b"."


def batches(opcode: bytes, count: int) -> bytes:
    """A list of `count` empty containers, in batches of a thousand."""
    return b"\x80\x04]" + (b"(" + opcode * 1_000 + b"e") * (count // 1_000) + b"."


def sparse_zip(claimed: int) -> bytes:
    """A stored member that claims terabytes in a file of some bytes."""
    wide = Part(b"a/data/0", b"x", central={"size": 0xFFFFFFFF, "stored": 0xFFFFFFFF}, central_extra=pack("<HHQQ", 1, 16, claimed, claimed))
    return build([Part(b"a/data.pkl", b"\x80\x02}."), wide, Part(b"a/version", b"3\n")])


def many_members(count: int) -> bytes:
    return build([Part(b"a/data.pkl", b"\x80\x02}."), Part(b"a/version", b"3\n"), *(Part(b"a/data/%d" % number, b"") for number in range(count))])


def deflate_bomb(mib: int) -> bytes:
    return torch_zip(dense("ByteStorage", mib * MIB, (mib * MIB,), (1,)), {"0": bytes(mib * MIB)}, method=8)


def one_entry_for_many(count: int) -> bytes:
    """An overlapping zip (Fifield 2019): all entries of the directory name the same bytes."""
    inner = zlib.compressobj(9, zlib.DEFLATED, -15)
    stored = inner.compress(bytes(MIB)) + inner.flush()
    crc = zlib.crc32(bytes(MIB))
    body = pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 8, 0, 0, crc, len(stored), MIB, 1, 0) + b"0" + stored
    directory = b"".join(
        pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, 0, 8, 0, 0, crc, len(stored), MIB, len(b"%d" % n), 0, 0, 0, 0, 0, 0) + b"%d" % n for n in range(count)
    )
    return body + directory + end_records(count, len(directory), len(body), zip64=False)


def safetensors(header: bytes, length: int | None = None) -> bytes:
    return pack("<Q", len(header) if length is None else length) + header


TENSOR = "GLOBAL torch._utils _rebuild_tensor_v2\nMEMOIZE\n"

BOMBS: dict[str, Bomb] = {
    # declared lengths
    "binunicode8": Bomb("a text of 2^63 - 1 bytes", lambda: b"\x80\x04\x8d" + pack("<Q", (1 << 63) - 1) + b"abc", "inconclusive", "SL202"),
    "binbytes8": Bomb("bytes of 2^62", lambda: b"\x80\x04\x8e" + pack("<Q", 1 << 62) + b"abc", "inconclusive", "SL202"),
    "bytearray8": Bomb("a bytearray of 2^40 bytes", lambda: b"\x80\x05\x96" + pack("<Q", 1 << 40) + b"abc", "inconclusive", "SL202"),
    "frame": Bomb("a frame of 2^40 bytes", lambda: b"\x80\x04\x95" + pack("<Q", 1 << 40) + b"N.", "inconclusive", "SL202"),
    "long4": Bomb("an int of 2^31 - 1 bytes", lambda: b"\x80\x02\x8b" + pack("<i", (1 << 31) - 1) + b"abc", "inconclusive", "SL202"),
    "long-digits": Bomb("an int of 20 million decimal digits", lambda: b"L" + b"9" * 20_000_000 + b"L\n.", "inconclusive", "SL901", 64),
    "memo-slot": Bomb("a memo slot of 2^32 - 1", lambda: b"\x80\x02Nr\xff\xff\xff\xff.", "accepted", None),
    "npy-shape": Bomb("an array of 2^60 floats", lambda: npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({1 << 60},), }}"), "inconclusive", "SL004"),
    "npy-header": Bomb("a header of 4 GiB", lambda: b"\x93NUMPY\2\0" + pack("<I", (1 << 32) - 1) + b"{}", "inconclusive", None),
    "safetensors-header": Bomb("a header of 99 MB", lambda: safetensors(b'{"a":', 99_000_000) + b" " * 64, "inconclusive", None),
    "safetensors-shape": Bomb(
        "a shape of 2^50", lambda: safetensors(b'{"a":{"dtype":"F32","shape":[1125899906842624],"data_offsets":[0,4503599627370496]}}'), "inconclusive", None
    ),
    "zip64": Bomb("a member of 2^62 bytes", lambda: sparse_zip(1 << 62), "inconclusive", None),
    "tar-size": Bomb("a member of 8 GiB less one", lambda: tar({"a.pkl": b"\x80\x02N."}).replace(b"00000000004\0", b"77777777777\0", 1), "inconclusive", None),
    # compression
    "gzip": Bomb("384 MiB of zeros, gzip", lambda: gzip.compress(bytes(384 * MIB), 9), "inconclusive", "SL901", 120),
    "gzip-nested": Bomb("zeros in eight gzips", lambda: nested_gzip(8), "inconclusive", "SL901", 240),
    "bz2": Bomb("512 MiB of zeros, bzip2", lambda: bz2.compress(bytes(512 * MIB)), "inconclusive", "SL901", 240),
    "xz": Bomb("512 MiB of zeros, xz", lambda: lzma.compress(bytes(512 * MIB)), "inconclusive", "SL901", 240),
    "deflated-storage": Bomb("a storage of 512 MiB of zeros", lambda: deflate_bomb(512), "inconclusive", "SL901", 240),
    "overlapping": Bomb("40,000 entries for the same MiB", lambda: one_entry_for_many(40_000), "inconclusive", "SL108", 64),
    # structure
    "deep-list": Bomb("lists in lists, 2 million deep", lambda: b"\x80\x02" + b"]" * 2_000_000 + b"a" * 1_999_999 + b".", "inconclusive", "SL901", 320),
    "deep-tuple-key": Bomb("half a million tuples in each other as a key", lambda: b"\x80\x02})" + b"\x85" * 500_000 + b"Ns.", "inconclusive", "SL901", 96),
    "tuple-dag-key": Bomb("2^100 elements in one key", lambda: tuple_dag(100), "inconclusive", "SL901"),
    "laughs": Bomb("10^60 elements in shared lists", lambda: laughs(60), "accepted", None),
    "equal-hashes": Bomb("60,000 keys with one hash", lambda: equal_hashes(60_000), "inconclusive", "SL901", 48),
    "members": Bomb("100,000 empty members", lambda: many_members(100_000), "accepted", None, 200),
    "names": Bomb(
        "200,000 names", lambda: b"\x80\x02(" + b"".join(b"cm\nn%d\n" % number for number in range(200_000)) + b"t.", "rejected", "SL901", 48
    ),
    "marks": Bomb("5 million marks", lambda: b"\x80\x02" + b"(" * 5_000_000 + b"N.", "inconclusive", "SL901", 500),
    "nones": Bomb("20 million values and nothing made of them", lambda: b"\x80\x02" + b"N" * 20_000_000 + b".", "inconclusive", "SL901", 64),
    "lists": Bomb("12 million empty lists", lambda: batches(b"]", 12_000_000), "inconclusive", "SL901", 1_000),
    "sets": Bomb("12 million empty sets", lambda: batches(b"\x8f", 12_000_000), "inconclusive", "SL901", 800),
    "tuples": Bomb("12 million tuples in each other", lambda: b"\x80\x02N" + b"\x85" * 12_000_000 + b".", "inconclusive", "SL901", 800),
    "memo": Bomb("12 million memo slots", lambda: b"\x80\x04N" + b"\x94" * 12_000_000 + b".", "inconclusive", "SL901", 1_600),
    "copies": Bomb(
        "one text of 1 MiB, encoded 20,000 times",
        lambda: head("GLOBAL _codecs encode\nMEMOIZE\nPOP\nBINUNICODE 'latin1'\nMEMOIZE\nPOP\n")
        + b"X"
        + pack("<I", MIB)
        + b"a" * MIB
        + b"\x940(" + b"h\x00h\x02h\x01\x86R" * 20_000 + b"t.",
        "inconclusive",
        "SL901",
        64,
    ),
    "stride-0": Bomb(
        "a tensor of 2^45 elements over one float",
        lambda: torch_zip(dense("FloatStorage", 1, (1 << 45,), (0,)), {"0": bytes(4)}),
        "inconclusive",
        "SL901",
    ),
    "odd-states": Bomb(
        "an object with a state that holds itself, 100,000 times",
        lambda: b"\x80\x02cargparse\nNamespace\n)\x81q\x00" + b"}X\x01\x00\x00\x00ah\x00sb" * 100_000 + b".",
        "accepted",
        None,
        160,
    ),
    "policy-json": Bomb("JSON, 100,000 deep, in a safetensors header", lambda: safetensors(b'{"a":' + b"[" * 100_000 + b"}"), "inconclusive", None),
}


def measure(name: str, timeout: float = CHILD_SECONDS) -> dict[str, Any]:
    """Read one bomb in a process of its own: verdict, rules, seconds, peak memory in MiB beyond that of a small file, and the size of the file."""
    done = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise AssertionError(f"{name}: the reader ended with {done.returncode}: {done.stderr[-2_000:]}")
    return dict(json.loads(done.stdout))


def child(name: str) -> None:
    """The process: builds the file in another one, so that building it costs this one nothing."""
    import multiprocessing
    import tempfile
    from time import perf_counter

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bomb"
        builder = multiprocessing.get_context("fork").Process(target=lambda: path.write_bytes(BOMBS[name].build()))
        builder.start()
        builder.join()
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
        import safeload

        small = Path(folder) / "small"
        small.write_bytes(b"\x80\x02}.")
        safeload.scan(small)
        _reset_peak()
        before, start = _peak_kib(), perf_counter()
        report = safeload.scan(path)
        seconds, after = perf_counter() - start, _peak_kib()
        size = path.stat().st_size
    found = {"verdict": report.verdict, "rules": sorted({finding.rule for finding in report.errors}), "seconds": seconds, "size": size}
    print(json.dumps({**found, "mib": max(after - before, 0) / 1024}))


def _reset_peak() -> None:
    """Linux: the high-water mark of resident memory starts again (proc(5), clear_refs 5)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_kib() -> int:
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(text.split("VmHWM:")[1].split()[0])


def page() -> str:
    """`docs/bombs.md`."""
    rows = []
    for name, bomb in BOMBS.items():
        found = measure(name)
        rows.append(
            f"| {name} | {bomb.about} | {found['size']:,} | {found['verdict']}{' (' + ', '.join(found['rules']) + ')' if found['rules'] else ''} "
            f"| {found['seconds']:.2f} | {found['mib']:.0f} |"
        )
    head_ = f"""# Bombs

Files that ask for far more than they are, each read by `safeload.scan` in a process of its own with the default limits: how long that took, and the peak of
resident memory beyond that of a process that has read a small file. `tests/hostile/test_bombs.py` holds the verdicts, and the memory, on every run;
`PYTHONPATH=.:tests python -m hostile.bombs > docs/bombs.md` measures again. {datetime.now(UTC):%Y-%m-%d}, Python {sys.version.split()[0]}, two shared CPUs.

| bomb | what it asks for | bytes of the file | verdict | seconds | MiB |
|---|---|---:|---|---:|---:|
"""
    return head_ + "\n".join(rows) + "\n"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        child(sys.argv[1])
    else:
        print(page(), end="")
