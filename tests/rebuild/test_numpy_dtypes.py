"""Every dtype of torch has a carrier of its size, and every dtype of numpy's pickles comes back as it was."""

from __future__ import annotations

import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from builds import agree

import safeload
from safeload.rebuild.numpy_dtypes import numpy_dtype
from safeload.storage.dtypes import ALIASES, DTYPES, STORAGE_TYPES, dtype_named


@pytest.mark.parametrize("name", DTYPES)
def test_a_carrier_has_the_size_of_its_dtype(name: str) -> None:
    dtype = DTYPES[name]
    carrier = numpy_dtype(dtype)
    assert carrier.itemsize == dtype.itemsize and not carrier.hasobject and carrier.isnative
    assert dtype.swap_bytes * (2 if dtype.family == "complex" else 1) == dtype.itemsize


def test_what_numpy_lacks_comes_from_ml_dtypes() -> None:
    assert numpy_dtype(DTYPES["bfloat16"]) == ml_dtypes.bfloat16
    assert numpy_dtype(DTYPES["float8_e4m3fn"]) == ml_dtypes.float8_e4m3fn
    assert numpy_dtype(DTYPES["float8_e5m2fnuz"]) == ml_dtypes.float8_e5m2fnuz


def test_other_spellings_name_the_same_dtype() -> None:
    for alias, name in ALIASES.items():
        assert dtype_named(alias) is dtype_named(f"torch.{name}") is DTYPES[name]
    assert dtype_named("float31") is None and dtype_named("os.system") is None
    assert set(STORAGE_TYPES.values()) <= DTYPES.keys()


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize(
    "dtype",
    [
        "?",
        "i1",
        "<i4",
        ">i4",
        "<f2",
        ">f8",
        "<c8",
        "S5",
        "<U7",
        ">U7",
        "V3",
        "M8[us]",
        ">M8[10ms]",
        "m8",
        [("x", "<f4"), ("y", [("z", ">i2", (2, 3))])],
        ("<f4", (2,)),
        {"names": ["a"], "formats": ["u1"], "offsets": [3], "itemsize": 8},
    ],
)
def test_dtypes_as_values(dtype: Any, protocol: int) -> None:
    value = agree(pickle.dumps(np.dtype(dtype), protocol))
    if isinstance(value, safeload.CheckpointError):
        pytest.fail(str(value))
    assert value == np.dtype(dtype) and value.itemsize == np.dtype(dtype).itemsize


@pytest.mark.parametrize("dtype", ["O", [("x", "O")], ("O", (2,))])
def test_object_dtypes_never_become_arrays(dtype: Any) -> None:
    value = agree(pickle.dumps(np.zeros(1, dtype), 4))
    assert isinstance(value, safeload.CheckpointError)
