"""Pairs and tensors become a GGUF file, byte by byte, so that a seed or a test can say which of them are wrong."""

from __future__ import annotations

from typing import Any, Literal

Order = Literal["little", "big"]
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def number(value: int, size: int, order: Order = "little") -> bytes:
    """Unsigned."""
    return value.to_bytes(size, order)


def text(value: bytes, order: Order = "little") -> bytes:
    """A length and the bytes."""
    return number(len(value), 8, order) + value


def pair(key: bytes, kind: int, value: bytes, order: Order = "little") -> bytes:
    """A key, the type of its value, and its value as it stands in the file."""
    return text(key, order) + number(kind, 4, order) + value


def array(kind: int, count: int, elements: bytes, order: Order = "little") -> bytes:
    """The value of an array."""
    return number(kind, 4, order) + number(count, 8, order) + elements


def info(name: bytes, dims: tuple[int, ...], kind: int, offset: int, order: Order = "little") -> bytes:
    """What the header says of one tensor."""
    return text(name, order) + number(len(dims), 4, order) + b"".join(number(dim, 8, order) for dim in dims) + number(kind, 4, order) + number(offset, 8, order)


def gguf(
    pairs: tuple[bytes, ...] = (),
    infos: tuple[bytes, ...] = (),
    data: bytes = b"",
    *,
    order: Order = "little",
    version: int = 3,
    alignment: int = 32,
    **counts: Any,
) -> bytes:
    """The file. `tensors` and `pairs_count` in `counts` say another number than there are."""
    head = b"GGUF" + number(version, 4, order) + number(counts.get("tensors", len(infos)), 8, order) + number(counts.get("pairs_count", len(pairs)), 8, order)
    head += b"".join((*pairs, *infos))
    return head + bytes(-len(head) % alignment) + data


def two(order: Order = "little") -> bytes:
    """A file with a pair of every kind, and two tensors."""
    pairs = (
        pair(b"general.architecture", 8, text(b"llama", order), order),
        pair(b"general.alignment", 4, number(32, 4, order), order),
        pair(b"a.flag", 7, b"\1", order),
        pair(b"a.float", 12, bytes(8), order),
        pair(b"tokenizer.ggml.tokens", 9, array(8, 2, text(b"a", order) + text(b"\xff", order), order), order),
        pair(b"tokenizer.ggml.scores", 9, array(6, 2, bytes(8), order), order),
        pair(b"tokenizer.flags", 9, array(7, 3, b"\0\1\0", order), order),
        pair(b"tokenizer.chat_template", 8, text(b"{{ messages }}", order), order),
    )
    infos = (info(b"token_embd.weight", (4, 2), 0, 0, order), info(b"blk.0.weight", (32, 1), 2, 32, order))
    return gguf(pairs, infos, bytes(range(32)) + bytes(18) + bytes(14), order=order)
