"""Where a loaded value differs from torch's on purpose, as one visible table, and the scalars of both sides in one spelling.

The left column is what the real loader returned (as the manifest names it), the right what safeload returns for it. Everything that is not in a table of
this module must be equal.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import pathlib
import uuid
from typing import Any

import ml_dtypes
import numpy as np

from safeload.policy.aliases import canonical_name
from safeload.values import Device, Namespace, OpaqueAttribute, OpaqueGlobal, OpaqueObject, TorchName

# class in the manifest -> class of ours, for values whose class is not that of the real loader
CLASSES: dict[str, str] = {
    "argparse.Namespace": "safeload.values.Namespace",  # attributes alone, readable with vars()
    "types.SimpleNamespace": "safeload.values.Namespace",
    "torch.Size": "builtins.tuple",
    "torch.nn.parameter.Parameter": "torch.Tensor",  # an array has no such class; requires_grad is in Checkpoint.info
    "torch.nn.parameter.Buffer": "torch.Tensor",
    "pathlib.PosixPath": "pathlib.PurePosixPath",  # data, and no door to the file system
    "pathlib.WindowsPath": "pathlib.PureWindowsPath",
}

# torch's dtype -> numpy's. Quantised types are those of their int_repr(); sub-byte ones are unpacked, one value to an element.
DTYPES: dict[str, Any] = {
    "float16": "<f2", "float32": "<f4", "float64": "<f8", "complex64": "<c8", "complex128": "<c16", "bool": "|b1",
    "int8": "|i1", "int16": "<i2", "int32": "<i4", "int64": "<i8", "uint8": "|u1", "uint16": "<u2", "uint32": "<u4", "uint64": "<u8",
    "qint8": "|i1", "quint8": "|u1", "qint32": "<i4", "quint4x2": "|u1", "quint2x4": "|u1",
    "bfloat16": ml_dtypes.bfloat16, "float8_e4m3fn": ml_dtypes.float8_e4m3fn, "float8_e5m2": ml_dtypes.float8_e5m2,
    "float8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz, "float8_e5m2fnuz": ml_dtypes.float8_e5m2fnuz, "float8_e8m0fnu": ml_dtypes.float8_e8m0fnu,
}  # fmt: skip

STDLIB = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta, uuid.UUID, fractions.Fraction, decimal.Decimal, pathlib.PurePath)
IDENTICAL_KEYS = ("repr", "str", "name")  # of a scalar in the manifest: shown for people, the value decides


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The numpy dtype for a dtype of torch."""
    made: np.dtype[Any] = np.dtype(DTYPES[name])
    return made


def class_name(value: Any) -> str:
    """`module.name` of a value's class; for an inert record that of the class it stands for."""
    if isinstance(value, OpaqueObject):
        return value.type_name
    return f"{type(value).__module__}.{type(value).__qualname__}"


def expected_class(name: str) -> str:
    """The class that a value of class `name` has here."""
    full = canonical_name(name)
    return CLASSES.get(full, full)


def scalar(value: Any) -> dict[str, Any] | None:
    """A scalar of ours in the manifest's spelling; None for what is no scalar."""
    simple = _simple(value)
    if simple is not None:
        return simple
    if isinstance(value, TorchName):
        return {"type": f"torch.{value.kind}", "value": value.name}
    if isinstance(value, Device):
        return {"type": "torch.device", "value": str(value)}
    if isinstance(value, np.dtype):
        return {"type": "numpy.dtype", "str": value.str}
    if isinstance(value, STDLIB):
        module = type(value).__module__.replace("pathlib._local", "pathlib")  # Python 3.13 moved the classes, not their meaning
        return {"type": "stdlib", "cls": f"{module}.{type(value).__name__}", "value": str(value)}
    if isinstance(value, (OpaqueGlobal, OpaqueAttribute)):
        return {"type": "global", "value": value.full}
    if isinstance(value, type):
        return {"type": "global", "value": f"{value.__module__}.{value.__qualname__}"}
    return None


def _simple(value: Any) -> dict[str, Any] | None:
    if value is None:
        return {"type": "none"}
    if value is Ellipsis or value is NotImplemented:
        return {"type": "ellipsis" if value is Ellipsis else "notimplemented"}
    kind = type(value)
    if kind is bool or kind is str:
        return {"type": kind.__name__, "value": value}
    if kind is int:
        return {"type": "int", "value": value} if abs(value) <= 1 << 53 else {"type": "int", "value": str(value), "big": True}
    if kind is float:
        return {"type": "float", "hex": value.hex()}
    if kind is complex:
        return {"type": "complex", "hex": [value.real.hex(), value.imag.hex()]}
    if kind is bytes or kind is bytearray:
        return {"type": kind.__name__, "hex": value.hex()}
    if kind is slice:
        return {"type": "slice", "value": [repr(value.start), repr(value.stop), repr(value.step)]}
    if kind is range:
        return {"type": "range", "value": [value.start, value.stop, value.step]}
    return None


def expected_scalar(node: dict[str, Any]) -> dict[str, Any]:
    """A scalar of the manifest, less what is only shown, in the spelling of `scalar`."""
    kind = node["type"]
    if kind == "py2str":  # with encoding="latin1" an 8-bit string is text
        return {"type": "str", "value": bytes.fromhex(node["hex"]).decode("latin1")}
    if kind == "numpy.dtype":
        return {"type": kind, "str": node["str"]}
    if kind == "stdlib":
        return {"type": kind, "cls": expected_class(node["cls"]), "value": node["str"]}
    if kind == "global":
        return {"type": kind, "value": canonical_name(node["value"])}
    return {name: part for name, part in node.items() if name in ("type", "value", "hex", "big")}


def key(value: Any) -> Any:
    """A dict key of ours in the manifest's spelling."""
    if type(value) is str or (type(value) is int and abs(value) <= 1 << 53):
        return value
    if type(value) is bool:
        return {"bool": value}
    if type(value) is tuple:
        return {"tuple": [key(item) for item in value]}
    if isinstance(value, np.generic):
        return {"cls": class_name(value), "value": str(value)}
    return {"scalar": scalar(value)}


def expected_key(part: Any) -> Any:
    """A dict key of the manifest in the spelling of `key`."""
    if isinstance(part, dict):
        if "tuple" in part:
            return {"tuple": [expected_key(item) for item in part["tuple"]]}
        if "scalar" in part:
            return {"scalar": expected_scalar(part["scalar"])}
        if "repr" in part:  # a numpy scalar: "0" before numpy 2, "np.int64(0)" since
            return {"cls": part["cls"], "value": part["repr"].rpartition("(")[2].removesuffix(")")}
    return part


def is_namespace(value: Any) -> bool:
    """Does it hold attributes alone?"""
    return isinstance(value, Namespace)
