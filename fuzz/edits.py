"""Bytes become others that still look like what they were: pickle instructions are inserted, removed, doubled, swapped, and zips built anew around them.

Plain mutation of bytes hardly ever yields a stream that gets past its first few opcodes, or a zip whose directory agrees with its members. `edit` knows the
formats by their first bytes and changes what their readers look at: a field of a directory, a header's number, a key of a JSON header, a line of a policy.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import struct
import zlib
from collections.abc import Callable
from random import Random

from fuzz.archives import reshape_tar, reshape_zip
from fuzz.frames import lz4, lz4_content, zstd, zstd_content
from fuzz.zips import repack, unpack
from safeload.errors import CheckpointError
from safeload.opcodes.decode import decode
from safeload.opcodes.table import OPCODES, Opcode

MAX_EDITS = 4
MAX_STREAMS = 8
MAX_INSTRUCTIONS = 4_000
NUMBERS = (0, 1, 2, 3, 4, 5, 7, 8, 63, 64, 127, 128, 255, 256, 1 << 15, 1 << 31, (1 << 31) - 1, 1 << 32, 1 << 40, (1 << 62) - 1, (1 << 63) - 1, 1 << 63)
NAMES = (
    *(
        b"posix system",
        b"builtins eval",
        b"builtins getattr",
        b"builtins set",
        b"builtins frozenset",
        b"builtins bytearray",
        b"builtins object",
        b"builtins dict",
    ),
    *(b"collections OrderedDict", b"collections defaultdict", b"collections deque", b"collections Counter", b"copyreg _reconstructor", b"_codecs encode"),
    *(b"torch._utils _rebuild_tensor_v2", b"torch._utils _rebuild_tensor_v3", b"torch._utils _rebuild_parameter", b"torch._utils _rebuild_qtensor"),
    *(b"torch._utils _rebuild_sparse_tensor", b"torch._utils _rebuild_meta_tensor_no_storage", b"torch._utils _rebuild_wrapper_subclass"),
    *(b"torch.storage _load_from_bytes", b"torch.sparse FloatTensor", b"torch._C Generator", b"torch.nested._internal.nested_tensor _rebuild_njt"),
    *(
        b"torch._tensor _rebuild_from_type_v2",
        b"torch FloatStorage",
        b"torch LongStorage",
        b"torch QInt8Storage",
        b"torch.storage UntypedStorage",
        b"torch float32",
    ),
    *(
        b"torch Size",
        b"torch device",
        b"torch Tensor",
        b"torch.nn.parameter Parameter",
        b"torch sparse_coo",
        b"torch.serialization _get_layout",
        b"torch per_channel_affine",
    ),
    *(
        b"numpy._core.multiarray scalar",
        b"numpy._core.multiarray _reconstruct",
        b"numpy dtype",
        b"numpy ndarray",
        b"numpy._core.numeric _frombuffer",
        b"datetime datetime",
    ),
    *(
        b"argparse Namespace",
        b"pathlib PosixPath",
        b"uuid UUID",
        b"decimal Decimal",
        b"fractions Fraction",
        b"my.module Class",
        b"torch.nn.modules.linear Linear",
    ),
)
TEXTS = (
    b"storage",
    b"0",
    b"1",
    b"cpu",
    b"cuda:0",
    b"meta",
    b"latin1",
    b"rot13",
    b"_metadata",
    b"__dict__",
    b"torch.sparse_coo",
    b"f4",
    b"O",
    b"<i8",
    b"V0",
    b"",
)


def edited(data: bytes, random: Random) -> bytes:
    """A few instructions changed; bytes that cannot be cut into instructions stay behind them as they are."""
    parts: list[bytes] = []
    end = 0
    try:
        for instruction in decode(data):
            parts.append(data[instruction.offset : instruction.end])
            end = instruction.end
            if len(parts) >= MAX_INSTRUCTIONS:
                break
    except CheckpointError:
        pass
    rest = data[end:]
    for _ in range(random.randint(1, MAX_EDITS)):
        _edit(parts, random)
    return b"".join(parts) + rest


def _edit(parts: list[bytes], random: Random) -> None:
    at = random.randrange(len(parts) + 1)
    what = random.randrange(7)
    if what <= 1 or not parts or at == len(parts):
        parts.insert(at, instruction(random.choice(OPCODES), random))
    elif what == 2:
        del parts[at]
    elif what == 3:
        parts.insert(at, parts[at])
    elif what == 4:
        other = random.randrange(len(parts))
        parts[at], parts[other] = parts[other], parts[at]
    elif what == 5:
        start = random.randrange(len(parts))
        parts[at:at] = parts[start : start + random.randint(1, 12)]
    else:
        parts[at] = instruction(next(row for row in OPCODES if row.code == parts[at][0]), random)


def instruction(op: Opcode, random: Random) -> bytes:
    """One instruction with an argument of its form, likely one that means something."""
    kind, number = op.argument, random.choice(NUMBERS)
    code = bytes((op.code,))
    if kind.form == "none":
        return code
    if kind.form == "pair":
        return code + random.choice(NAMES).replace(b" ", b"\n") + b"\n"
    if kind.form == "line":
        text = random.choice(TEXTS)
        line = {"decimal-line": b"%d" % number, "long-line": b"%dL" % -number, "float-line": b"%d.5" % number, "string-line": b"'%s'" % text}.get(
            kind.name, text
        )
        return code + line + b"\n"
    if kind.form == "number":
        if kind.content == "float":
            return code + struct.pack(kind.layout, random.choice((0.0, -1.5, 1e300, float("inf"), float("nan"))))
        size = struct.calcsize(kind.layout)
        small = number if op.effect != "memo" else random.randrange(8)
        return code + (small % (1 << 8 * size)).to_bytes(size, "little")
    content = _content(kind.content, number, random)
    length = len(content) if random.random() < 0.95 else number % (1 << 7)
    return code + struct.pack(kind.layout, length) + content


def _content(content: str, number: int, random: Random) -> bytes:
    if content == "int":
        return (random.choice((-1, 1)) * number).to_bytes(9, "little", signed=True)
    return random.choice((*TEXTS, *random.choice(NAMES).split(b" "), bytes(range(32))))


# ---- files --------------------------------------------------------------------------------------------------------------------------------


def edit(data: bytes, random: Random) -> bytes:
    """A file of any format that safeload reads, changed where its reader looks."""
    if data[:4] == b"PK\3\4":
        return edit_zip(data, random)
    if data[:6] == b"\x93NUMPY":
        return edit_npy(data, random)
    if data[257:262] == b"ustar":
        return edit_tar(data, random) if random.random() < 0.6 else reshape_tar(data, random)
    if data[:4] == b"GGUF":
        return edit_gguf(data, random)
    if len(data) > 8 and data[8:9] == b"{":
        return edit_safetensors(data, random)
    if data[:1] == b"{":
        return edit_text(data, random, 0, len(data))
    for head, inflate, deflate in COMPRESSED:
        if data.startswith(head) and random.random() < 0.8:
            try:
                return deflate(edit(inflate(data), random))
            except Exception:
                break
    return edit_streams(data, random) if random.random() < 0.9 else edit_bytes(data, random)


def edit_streams(data: bytes, random: Random) -> bytes:
    """One of the pickles that stand behind each other: torch's sequential format begins with four, and a change to the first says only what it is not."""
    starts = [0]
    try:
        while len(starts) < MAX_STREAMS:
            end = starts[-1]
            for instruction in decode(data, end):
                end = instruction.end
            starts.append(end)
    except CheckpointError:
        pass
    at = random.choice(starts)
    behind = next((start for start in starts if start > at), len(data))
    if len(data) - behind > 8 and random.random() < 0.1:
        return data[:behind] + edit_bytes(data[behind:], random)
    return data[:at] + edited(data[at:behind], random) + data[behind:]


def edit_npy(data: bytes, random: Random) -> bytes:
    """The header, its length mended more often than not; its version; or the bytes behind it."""
    if random.random() < 0.1:
        return data[:6] + bytes((random.randrange(5), random.randrange(2))) + data[8:]
    wide = data[6:7] > b"\1"
    start = 12 if wide else 10
    end = min(len(data), start + int.from_bytes(data[8:start], "little"))
    header = edit_text(data[start:end], random, 0, end - start)
    if random.random() < 0.2:
        return data[:start] + header + edit_bytes(data[end:], random)
    return data[:8] + (len(header) % (1 << 16)).to_bytes(start - 8, "little") + header + data[end:]


COMPRESSED: tuple[tuple[bytes, Callable[[bytes], bytes], Callable[[bytes], bytes]], ...] = (
    (b"\x1f\x8b", gzip.decompress, lambda data: gzip.compress(data, mtime=0)),
    (b"\x78", zlib.decompress, zlib.compress),
    (b"BZh", bz2.decompress, bz2.compress),
    (b"\xfd7zXZ", lzma.decompress, lzma.compress),
    (b"]\0", lzma.decompress, lambda data: lzma.compress(data, lzma.FORMAT_ALONE)),
    (b"\x28\xb5\x2f\xfd", zstd_content, zstd),
    (b"\x04\x22\x4d\x18", lz4_content, lz4),
)


def edit_bytes(data: bytes, random: Random) -> bytes:
    """A few bytes changed, dropped, doubled or put in."""
    out = bytearray(data)
    for _ in range(random.randint(1, MAX_EDITS)):
        at = random.randrange(len(out) + 1)
        what = random.randrange(5)
        if what == 0:
            out[at : at + 1] = bytes((random.randrange(256),))
        elif what == 1:
            del out[at : at + random.randint(1, 16)]
        elif what == 2:
            out[at:at] = out[at : at + random.randint(1, 64)]
        elif what == 3:
            out[at:at] = random.randbytes(random.randint(1, 8))
        else:
            out[at : at + 4] = (random.choice(NUMBERS) % (1 << 32)).to_bytes(4, "little")
    return bytes(out)


def edit_zip(data: bytes, random: Random) -> bytes:
    """A member's content with the archive built anew, or one field of the directory, the local headers or the end records."""
    members = unpack(data)
    if not members or random.random() < 0.5:
        return edit_zip_fields(data, random) if random.random() < 0.5 else reshape_zip(data, random)
    name = next((name for name in members if name.endswith(b".pkl")), None) if random.random() < 0.7 else None
    name = random.choice(sorted(members)) if name is None else name
    what = random.randrange(10)
    if what <= 6:
        members[name] = edit(members[name], random)
    elif what == 7:
        members[name + random.choice((b"x", b"/", b".pkl", b"\0", b" "))] = members[name]
    elif what == 8:
        members[random.choice((b"a/extra.pkl", b"constants.pkl", b"a/code/x.py", b"version", b"../up", b"A/data.pkl"))] = members[name]
    else:
        del members[name]
    return repack(members)


ZIP_FIELDS = {
    b"PK\1\2": ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (34, 2), (36, 2), (38, 4), (42, 4)),
    b"PK\3\4": ((4, 2), (6, 2), (8, 2), (10, 4), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)),
    b"PK\5\6": ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
    b"PK\6\6": ((4, 8), (12, 2), (14, 2), (16, 4), (20, 4), (24, 8), (32, 8), (40, 8), (48, 8)),
    b"PK\6\7": ((4, 4), (8, 8), (16, 4)),
    b"PK\7\x08": ((4, 4), (8, 4), (12, 4)),
}
"""Offset and width of each field, by the signature of its record (APPNOTE 4.3)."""


def edit_zip_fields(data: bytes, random: Random) -> bytes:
    """One or two fields: set to a number that means something, or moved by a little; sometimes the same field in all records of a kind."""
    out = bytearray(data)
    for _ in range(random.randint(1, 2)):
        signature = random.choice(sorted(ZIP_FIELDS))
        places = [match.start() for match in re.finditer(re.escape(signature), data)]
        if not places:
            continue
        at, width = random.choice(ZIP_FIELDS[signature])
        chosen = places if random.random() < 0.2 else [random.choice(places)]
        number = random.choice(NUMBERS)
        for place in chosen:
            old = int.from_bytes(out[place + at : place + at + width], "little")
            new = number if random.random() < 0.4 else old + random.choice((-1, 1, 2, -2, 64, -64))
            out[place + at : place + at + width] = (new % (1 << 8 * width)).to_bytes(width, "little")
    return bytes(out[: len(data)])


TAR_FIELDS = ((0, 100), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (148, 8), (156, 1), (157, 100), (257, 8), (345, 155))


def edit_tar(data: bytes, random: Random) -> bytes:
    """A field of a header, its checksum mended more often than not; or the content of a member."""
    out = bytearray(data)
    headers = [at for at in range(0, len(data) - 511, 512) if data[at + 257 : at + 262] == b"ustar"]
    if not headers:
        return edit_bytes(data, random)
    at = random.choice(headers)
    if random.random() < 0.5:
        digits = bytes(out[at + 124 : at + 135]).strip(b"\0 ") or b"0"
        size = int(digits, 8) if re.fullmatch(rb"[0-7]+", digits) else 0
        content = edit(bytes(out[at + 512 : at + 512 + size]), random)[:size]
        out[at + 512 : at + 512 + len(content)] = content
        return bytes(out)
    start, width = random.choice(TAR_FIELDS)
    numbers = (b"0" * (width - 1), b"7" * (width - 1), b"\x80" + bytes(width - 1))
    field = random.choice((*numbers, b"x", b"L", b"K", b"g", b"5", b"2", b"a/../b", b"/a", b"storages", b"pickle"))
    out[at + start : at + start + width] = field[:width].ljust(width, b"\0")
    if random.random() < 0.8:
        out[at + 148 : at + 156] = b" " * 8
        out[at + 148 : at + 156] = b"%06o\0 " % (sum(out[at : at + 512]) % (1 << 18))
    return bytes(out)


def edit_safetensors(data: bytes, random: Random) -> bytes:
    """The JSON header, its length mended more often than not; or the length alone."""
    length = int.from_bytes(data[:8], "little")
    if random.random() < 0.15:
        return (random.choice((length - 1, length + 1, *NUMBERS)) % (1 << 64)).to_bytes(8, "little") + data[8:]
    end = min(8 + length, len(data))
    header = edit_text(data[8:end], random, 0, end - 8)
    return (len(header) if random.random() < 0.8 else length).to_bytes(8, "little") + header + data[end:]


def edit_gguf(data: bytes, random: Random) -> bytes:
    """A number of the header, at a place where one may stand; a piece of it doubled or dropped; or its bytes."""
    out = bytearray(data)
    if random.random() < 0.2:
        return edit_bytes(data, random)
    at, width = random.randrange(4, max(len(data) - 8, 5)), random.choice((4, 8))
    if random.random() < 0.3:
        piece = bytes(out[at : at + random.randrange(1, 64)])
        out[at : at + (len(piece) if random.random() < 0.5 else 0)] = piece * random.randrange(3)
        return bytes(out)
    number = random.choice((*range(42), 64, 256, 1 << 31, *NUMBERS)) % (1 << 8 * width)
    out[at : at + width] = number.to_bytes(width, random.choice(("little", "big")))
    return bytes(out)


WORDS = (
    *(b"0", b"1", b"-1", b"65536", b"1e9", b"9223372036854775808", b"[]", b"{}", b"()", b"(2,)", b"null", b"None", b"true"),
    *(b"'", b'"', b"\\", b",", b":", b" "),
    *(b"'<f4'", b"'|O'", b"'fortran_order'", b"'descr'", b"'shape'", b'"dtype"', b'"shape"', b'"data_offsets"', b'"__metadata__"', b'"F32"', b'"BF16"', b"\n"),
)


def edit_text(data: bytes, random: Random, start: int, end: int) -> bytes:
    """A token between `start` and `end` replaced, dropped, doubled, or another put in."""
    tokens = re.findall(rb"[A-Za-z_]+|-?[0-9]+|'[^']*'|\"[^\"]*\"|[\s\S]", data[start:end])
    for _ in range(random.randint(1, 2)):
        at = random.randrange(len(tokens) + 1)
        what = random.randrange(4)
        if what == 0:
            tokens[at:at] = [random.choice(WORDS)]
        elif what == 1:
            tokens[at : at + 1] = [random.choice(WORDS)]
        elif what == 2:
            del tokens[at : at + random.randint(1, 3)]
        else:
            tokens[at:at] = tokens[at : at + random.randint(1, 6)]
    return data[:start] + b"".join(tokens) + data[end:]


def edit_policy(data: bytes, random: Random) -> bytes:
    """Lines of a TOML document doubled, swapped, dropped; tokens of one changed."""
    lines = data.split(b"\n")
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(lines))
        what = random.randrange(5)
        if what == 0:
            lines[at:at] = lines[at : at + random.randint(1, 4)]
        elif what == 1:
            del lines[at]
            lines = lines or [b""]
        elif what == 2:
            other = random.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        else:
            lines[at] = edit_text(lines[at], random, 0, len(lines[at]))
    return b"\n".join(lines)
