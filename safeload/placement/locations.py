"""Location tags: `cpu`, `cuda:1`, `meta`. Text becomes a `Device`, and what a caller may write for a device becomes text.

The grammar is torch's: a lower-case device type, optionally `:N` with N in decimal and without leading zeros. Accepted beyond torch: `cpu:0` and
`meta:0`, which `str(torch.device("cpu", 0))` gives and torch then cannot restore. Refused as in torch: `CPU`, `gpu`, `cuda0`, `cuda:`, `cuda:01`,
`cuda:-1`, `cpu:1`, the empty string. (torch's own parser lets `cuda:128` wrap round to a negative number; here it is device 128.)
"""

from __future__ import annotations

import re

from safeload.values import Device

PLACES = frozenset({"cpu", "cuda", "meta"})  # what safeload has a place for by itself
# Devices that checkpoints name and safeload has no backend for: the other device types of torch 2.13 (c10/core/DeviceType.h), ...
_TORCH = {
    "mps",
    "xpu",
    "hpu",
    "mtia",
    "xla",
    "hip",
    "ipu",
    "ve",
    "fpga",
    "maia",
    "vulkan",
    "opengl",
    "opencl",
    "mkldnn",
    "ideep",
    "lazy",
    "privateuseone",
    "privateuse1",
}
# ... and the names that vendors give to `privateuse1`: Ascend, Moore Threads, Cambricon, Enflame, Tecorigin, and torch's own tests.
_VENDORS = {"npu", "musa", "mlu", "gcu", "sdaa", "openreg"}
ELSEWHERE = frozenset(_TORCH | _VENDORS)
KNOWN = PLACES | ELSEWHERE
MAX_SHOWN_CHARACTERS = 60
_TAG = re.compile(r"([a-z][a-z0-9_]*)(?::(0|[1-9][0-9]{0,8}))?")  # 9 digits: int() stays cheap and no machine has 10**9 devices


def split_tag(tag: str) -> Device | None:
    """Type and number of any well-formed tag, known or not; None where it is not well-formed."""
    found = _TAG.fullmatch(tag)
    return found and Device(found[1], None if found[2] is None else int(found[2]))


def parse_location(tag: str) -> Device | None:
    """The device that a tag names, if it is one that exists: a place of safeload's, or one of the devices it has no backend for."""
    device = split_tag(tag)
    if device is None or device.type not in KNOWN:
        return None
    if device.type in ("cpu", "meta"):  # there is one of each
        return Device(device.type) if not device.index else None
    return device


def as_tag(value: object) -> str | None:
    """The tag that a caller means by a string, bytes, a CUDA device number, or a device-like value; None for anything else.

    Device-like is every object that cannot be called and whose `str()` is the tag of an existing device: `torch.device`, `safeload`'s
    `Device`. Raises `ValueError` for a negative number.
    """
    if isinstance(value, str):
        return str.__str__(value)  # of an enum with str values: the value, not the member's name
    if isinstance(value, bytes):
        return value.decode("ascii", "backslashreplace")
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f'CUDA devices are numbered from 0, and {value} is none; the CPU is map_location="cpu"')
        return f"cuda:{value}"
    if value is None or callable(value):
        return None
    device = parse_location(str(value))
    return str(device) if device else None


def shown(text: str) -> str:
    """A tag or key from a file, fit for a message: as it is where it is plain, else escaped, and never long."""
    plain = text.isascii() and text.isprintable() and " " not in text and text != ""
    cut = text[:MAX_SHOWN_CHARACTERS]
    return (cut if plain else ascii(cut)) + ("..." if len(text) > MAX_SHOWN_CHARACTERS else "")
