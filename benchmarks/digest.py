"""A loaded value becomes a short text that is the same for the same value, whichever library read it: so that only equal results are timed.

Tensors count by dtype, shape and bytes, be they numpy's or torch's; dicts by their items, whatever the order, since safetensors keeps one of its own. Standard
library only, because it runs beside every peer.
"""

from __future__ import annotations

import zlib
from typing import Any


def digest(value: Any) -> str:
    """Leaves and a checksum: `300 leaves 1a2b3c4d`."""
    state = [0, 0]
    _walk(value, state)
    return f"{state[0]:,} leaves {state[1]:08x}"


def _walk(value: Any, state: list[int]) -> None:
    if isinstance(value, dict):
        _add(state, f"dict {len(value)}".encode())
        for key in sorted(value, key=repr):
            _add(state, repr(key).encode())
            _walk(value[key], state)
    elif isinstance(value, (list, tuple)):
        _add(state, f"{'list' if isinstance(value, list) else 'tuple'} {len(value)}".encode())
        for item in value:
            _walk(item, state)
    elif hasattr(value, "shape") and hasattr(value, "dtype"):
        state[0] += 1
        _add(state, f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}".encode())
        _add(state, _bytes(value))
    else:
        state[0] += 1
        _add(state, f"{type(value).__name__} {value!r}".encode() if not isinstance(value, bytes) else value)


def _bytes(value: Any) -> Any:
    if hasattr(value, "detach"):  # torch
        import torch

        return value.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    import numpy

    return numpy.ascontiguousarray(value).reshape(-1).view(numpy.uint8)


def _add(state: list[int], data: Any) -> None:
    state[1] = zlib.crc32(data, state[1])
