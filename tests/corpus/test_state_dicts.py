"""Archives whose value only torch's own loaders make: `state_dict()` of what we load has the names, the order and the bytes that their writers had."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

import safeload

from .manifest import Entry, entries

REFERENCES = [entry for entry in entries() if entry.reference_state_dict is not None and entry.format in ("torchscript-zip", "torch-package-zip")]


def check(state: Any, nodes: list[dict[str, Any]]) -> None:
    """The root names the tensors in order, the other nodes describe them."""
    assert list(state) == next(node["keys"] for node in nodes if not node["path"])
    tensors = [node for node in nodes if node["kind"] == "tensor"]
    assert tensors
    for node in tensors:
        array = state[node["path"][0]]
        assert (str(array.dtype), list(array.shape)) == (node["dtype"], node["shape"])
        assert hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() == node["sha256"]


@pytest.mark.skipif(not REFERENCES, reason="the manifest of the checked-in corpus does not hold the reference state dicts")
@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry.file) for entry in REFERENCES])
def test_the_weights_of_an_archive(entry: Entry) -> None:
    assert entry.reference_state_dict is not None
    check(safeload.state_dict(safeload.load(entry.path, "cpu", policy="inspect")), entry.reference_state_dict)
