"""A loaded value becomes one text in which torch's and safeload's results can be compared: containers by their items, tensors by dtype, shape and bytes.

What has no counterpart on the other side (records, sparse and quantised tensors, storages, devices) is `?`: those are compared by `tests/oracle`.
"""

from __future__ import annotations

import re
from typing import Any

MAX_DEPTH = 60


def canonical(value: Any, depth: int = 0) -> str:
    """The text."""
    if depth > MAX_DEPTH:
        return "..."
    if value is None or isinstance(value, (bool, int, str, bytes)) or type(value) is float or type(value) is complex:
        return repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{canonical(key, depth + 1)}: {canonical(item, depth + 1)}" for key, item in value.items()) + "}"
    if type(value) in (list, tuple) or type(value).__name__ == "Size":
        return f"[{', '.join(canonical(item, depth + 1) for item in value)}]"
    if type(value) in (set, frozenset):
        return f"set({', '.join(sorted(canonical(item, depth + 1) for item in value))})"
    if type(value) is bytearray:
        return repr(bytes(value))
    return _tensor(value) or "?"


def _tensor(value: Any) -> str | None:
    """A dense tensor of either side."""
    if type(value).__module__.partition(".")[0] == "torch":
        import torch

        if not isinstance(value, torch.Tensor) or value.layout is not torch.strided or value.is_quantized or value.is_meta or value.is_nested:
            return None
        if type(value) not in (torch.Tensor, torch.nn.Parameter) or vars(value):
            return None
        plain = value.detach().resolve_conj().resolve_neg().contiguous()
        name = re.sub(r"^(u?int)[1-7]$", r"\g<1>8", str(plain.dtype).removeprefix("torch."))  # numpy has none of these: safeload holds them as bytes
        data = plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""
        return f"tensor({name}, {list(plain.shape)}, {data.hex()})"
    if type(value).__module__ == "numpy" and hasattr(value, "dtype") and type(value).__name__ == "ndarray":
        return f"tensor({value.dtype.name}, {list(value.shape)}, {value.tobytes().hex()})"
    return None
