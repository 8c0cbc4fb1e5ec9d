"""Where the shipped policies lie.

Turns a name into the path of its file: `safeload/policies/` in an installed wheel, `policies/` beside the package in a source tree. The list is closed and
written out; nothing is searched for, so no file that happens to lie about can become a policy by its name.
"""

from __future__ import annotations

import os.path

SHIPPED: tuple[str, ...] = (
    "known-danger", "weights-only", "checkpoint", "torch-modules", "omegaconf", "lightning", "transformers", "ultralytics", "pyannote", "nemo", "fairseq",
    "timm", "torchvision", "torch-geometric", "coqui-tts", "config-dicts", "openmmlab", "deepspeed", "megatron", "numpy", "sklearn", "audit", "inspect",
)  # fmt: skip
DEFAULT_POLICY = "checkpoint"

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def shipped_path(name: str) -> str:
    """The file of the shipped policy `name`. Raises `KeyError` for a name that is not in `SHIPPED`."""
    if name not in SHIPPED:
        raise KeyError(name)
    inside = os.path.join(_PACKAGE, "policies", f"{name}.toml")
    if os.path.exists(inside):
        return inside
    return os.path.join(os.path.dirname(_PACKAGE), "policies", f"{name}.toml")
