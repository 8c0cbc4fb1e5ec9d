"""Names of dtypes become numpy dtypes: torch's through their carriers (ml_dtypes where numpy has none), numpy's own from their records."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from safeload.storage.arrays import ArrayDType
from safeload.storage.dtypes import DType

ML_DTYPES = frozenset({"bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "complex32", "bcomplex32"})
"""Carriers that numpy has none of. The module that has them is imported when one of them is met."""


@cache
def numpy_dtype(dtype: DType) -> np.dtype[Any]:
    """The dtype that carries a torch dtype. Identify ml_dtypes by equality: their `.str` is `<V2` and `.char` collides."""
    made: np.dtype[Any] = np.dtype(_ml_dtypes()[dtype.carrier] if dtype.carrier in ML_DTYPES else dtype.carrier)
    return made


@cache
def _ml_dtypes() -> dict[str, Any]:
    """The types of `ML_DTYPES`, written out: no name is looked up."""
    import ml_dtypes

    return {
        "bfloat16": ml_dtypes.bfloat16,
        "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
        "float8_e5m2": ml_dtypes.float8_e5m2,
        "float8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
        "float8_e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
        "float8_e8m0fnu": ml_dtypes.float8_e8m0fnu,
        "complex32": ml_dtypes.complex32,
        "bcomplex32": ml_dtypes.bcomplex32,
    }


def array_dtype(record: ArrayDType) -> np.dtype[Any]:
    """The dtype of an array in the pickle, byte order and fields as they were."""
    if record.subdtype is not None:
        part, shape = record.subdtype
        return np.dtype((array_dtype(part), shape))
    if record.fields is not None:
        names, parts, offsets = (
            [name for name, _, _ in record.fields],
            [array_dtype(part) for _, part, _ in record.fields],
            [offset for _, _, offset in record.fields],
        )
        return np.dtype({"names": names, "formats": parts, "offsets": offsets, "itemsize": record.itemsize})
    order = record.byteorder if record.byteorder in "<>" else "|"
    if record.unit is not None:
        unit, multiple = record.unit
        spelled = "" if unit == "generic" else f"[{multiple if multiple != 1 else ''}{unit}]"
        return np.dtype(f"{order if order != '|' else '<'}{record.code}{spelled}")
    if record.code == "O":
        return np.dtype(object)
    return np.dtype(order + record.code)
