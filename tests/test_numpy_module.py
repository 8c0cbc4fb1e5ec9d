"""`safeload.numpy.load_file`: a flat dict, after safetensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builds import dense, pairs, torch_zip

import safeload
import safeload.numpy

RAW = np.arange(6, dtype="<f4").tobytes()
DATA = torch_zip(
    pairs(w=dense("FloatStorage", 6, (2, 3), (3, 1), tag="cuda:0"), sub=pairs(t=dense("FloatStorage", 6, (2,), (1,), tag="cuda:0", offset=4))), {"0": RAW}
)


def test_flat_writable_shared_and_on_the_cpu(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(DATA)
    for f in (path, str(path), DATA):
        loaded = safeload.numpy.load_file(f)
        assert list(loaded) == ["w", "sub.t"] and all(type(array) is np.ndarray for array in loaded.values())
        loaded["w"][1, 1] = 9.0
        assert loaded["sub.t"].tolist() == [9.0, 5.0]
    assert path.read_bytes() == DATA


def test_it_refuses_as_load_does() -> None:
    module = torch_zip(f"GLOBAL acme K\n{dense('FloatStorage', 6, (6,), (1,))}TUPLE1\nREDUCE\n", {"0": RAW})
    with pytest.raises(safeload.PolicyRejected):
        safeload.numpy.load_file(module)
    assert [array.tolist() for array in safeload.numpy.load_file(module, policy="inspect").values()] == [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]]
    with pytest.raises(FileNotFoundError):
        safeload.numpy.load_file("nonesuch.pt")
