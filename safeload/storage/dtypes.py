"""torch's dtypes by name: item size, and what carries them outside torch. No numpy here: `scan` proves bounds with it.

Turns `torch.FloatStorage` and `torch.float8_e5m2` into a `DType`. Source: torch 2.13 `torch/storage.py` (`_dtype_to_storage_type_map`, never extended
again) and `torch/csrc/utils/tensor_dtypes.cpp`; dtypes without a storage class travel in UntypedStorage with `_rebuild_tensor_v3`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Family = Literal["bool", "int", "uint", "float", "complex", "quantized", "bits"]


class DType(msgspec.Struct, frozen=True, kw_only=True):
    """One dtype. `itemsize` in bytes; `per_byte` values share one byte where that is more than one; `swap` is the unit that byte order turns around."""

    name: str
    itemsize: int
    family: Family
    carrier: str  # the numpy or ml_dtypes dtype that holds its elements
    per_byte: int = 1
    swap: int = 0  # bytes; 0: as long as the item (complex numbers swap each half)

    is_plain: bool = True  # numpy shows its elements in place, whatever they hold; not so bool (0 and 1 only) and sub-byte types

    @property
    def swap_bytes(self) -> int:
        """How many bytes turn around together in a big-endian file."""
        return self.swap or self.itemsize


def _row(name: str, itemsize: int, family: Family, carrier: str | None = None, per_byte: int = 1, swap: int = 0) -> DType:
    return DType(
        name=name, itemsize=itemsize, family=family, carrier=carrier or name, per_byte=per_byte, swap=swap, is_plain=family != "bool" and per_byte == 1
    )


DTYPES: dict[str, DType] = {
    dtype.name: dtype
    for dtype in (
        _row("float64", 8, "float"),
        _row("float32", 4, "float"),
        _row("float16", 2, "float"),
        _row("bfloat16", 2, "float"),
        _row("int64", 8, "int"),
        _row("int32", 4, "int"),
        _row("int16", 2, "int"),
        _row("int8", 1, "int"),
        _row("uint8", 1, "uint"),
        _row("uint16", 2, "uint"),
        _row("uint32", 4, "uint"),
        _row("uint64", 8, "uint"),
        _row("bool", 1, "bool"),
        _row("complex128", 16, "complex", swap=8),
        _row("complex64", 8, "complex", swap=4),
        _row("complex32", 4, "complex", swap=2),
        _row("bcomplex32", 4, "complex", swap=2),
        _row("qint8", 1, "quantized", "int8"),
        _row("quint8", 1, "quantized", "uint8"),
        _row("qint32", 4, "quantized", "int32"),
        _row("quint4x2", 1, "quantized", "uint8", per_byte=2),
        _row("quint2x4", 1, "quantized", "uint8", per_byte=4),
        _row("float8_e4m3fn", 1, "float"),
        _row("float8_e5m2", 1, "float"),
        _row("float8_e4m3fnuz", 1, "float"),
        _row("float8_e5m2fnuz", 1, "float"),
        _row("float8_e8m0fnu", 1, "float"),
        _row("float4_e2m1fn_x2", 1, "bits", "uint8"),
        _row("bits8", 1, "bits", "uint8"),
        _row("bits16", 2, "bits", "uint16"),
        _row("bits1x8", 1, "bits", "uint8"),
        _row("bits2x4", 1, "bits", "uint8"),
        _row("bits4x2", 1, "bits", "uint8"),
        *(_row(f"uint{bits}", 1, "bits", "uint8") for bits in range(1, 8)),
        *(_row(f"int{bits}", 1, "bits", "int8") for bits in range(1, 8)),
    )
}

# Other spellings that torch has for the same dtype object; pickles always hold the canonical one.
ALIASES = {
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "long": "int64",
    "int": "int32",
    "short": "int16",
    "cfloat": "complex64",
    "cdouble": "complex128",
    "chalf": "complex32",
}

STORAGE_TYPES: dict[str, str] = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
    "QInt8Storage": "qint8",
    "QUInt8Storage": "quint8",
    "QInt32Storage": "qint32",
    "QUInt4x2Storage": "quint4x2",
    "QUInt2x4Storage": "quint2x4",
    "UntypedStorage": "uint8",
    "TypedStorage": "uint8",  # torch itself raises AttributeError on this one; its bytes are as readable as any
}


def dtype_named(name: str) -> DType | None:
    """The dtype for `float32` or `torch.float32`; None where there is none."""
    bare = name.removeprefix("torch.")
    return DTYPES.get(ALIASES.get(bare, bare))


def storage_dtype(name: str) -> DType | None:
    """The dtype for `FloatStorage` or `torch.cuda.FloatStorage`; None where there is none."""
    dtype = STORAGE_TYPES.get(name.rpartition(".")[2])
    return DTYPES[dtype] if dtype is not None else None


def tensor_dtype(name: str) -> DType | None:
    """The dtype for `FloatTensor` or `torch.cuda.FloatTensor`; None for `Tensor`, which has any."""
    last = name.rpartition(".")[2]
    return storage_dtype(last.removesuffix("Tensor") + "Storage") if last.endswith("Tensor") else None
