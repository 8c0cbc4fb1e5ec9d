"""Bytes become others that still look like what they were: pickle instructions are inserted, removed, doubled, swapped, and zips built anew around them.

Plain mutation of bytes hardly ever yields a stream that gets past its first few opcodes, or a zip whose directory agrees with its members. A quarter of all
mutations stay libFuzzer's own, so that lengths, headers and half opcodes are covered too.
"""

from __future__ import annotations

import struct
from random import Random

import atheris

from fuzz.zips import repack, unpack
from safeload.errors import CheckpointError
from safeload.opcodes.decode import decode
from safeload.opcodes.table import OPCODES, Opcode

MAX_EDITS = 4
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


def mutate_stream(data: bytes, max_size: int, seed: int) -> bytes:
    """A custom mutator of libFuzzer for one pickle stream."""
    random = Random(seed)
    if random.random() < 0.25:
        return bytes(atheris.Mutate(data, max_size))
    return edited(data, random)[:max_size]


def mutate_file(data: bytes, max_size: int, seed: int) -> bytes:
    """The same for a file: the pickle within a zip, or a storage of it, is changed and the zip built again."""
    if not data.startswith(b"PK\3\4"):
        return mutate_stream(data, max_size, seed)
    random = Random(seed)
    members = unpack(data)
    if not members or random.random() < 0.25:
        return bytes(atheris.Mutate(data, max_size))
    name = next((name for name in members if name.endswith(b"/data.pkl")), None) if random.random() < 0.85 else None
    if name is None:
        name = random.choice(sorted(members))
        members[name] = (
            members[name][: random.randrange(len(members[name]) + 1)]
            if random.random() < 0.5
            else bytes(atheris.Mutate(members[name], len(members[name]) + 64))
        )
    else:
        members[name] = edited(members[name], random)
    result = repack(members)
    return result if len(result) <= max_size else bytes(atheris.Mutate(data, max_size))


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
