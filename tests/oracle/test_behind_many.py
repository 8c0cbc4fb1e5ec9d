"""Tensors that are made of others, behind so many plain ones that those are taken as runs: their parts stand in a run, and are found all the same."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

import safeload

torch = pytest.importorskip("torch", reason="torch is not installed: it writes what is read here")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # torch calls its sparse, nested and quantised tensors a prototype, or deprecated

PLAIN = 60  # tensors; the lane takes records once the memo is near its 240th entry


def saved(value: Any) -> bytes:
    out = io.BytesIO()
    torch.save({**{f"w{number}": torch.full((2, 3), float(number)) for number in range(PLAIN)}, "odd": value}, out)
    return out.getvalue()


def odd(value: Any) -> Any:
    loaded = safeload.load(saved(value))
    assert all(np.array_equal(loaded[f"w{number}"], np.full((2, 3), number)) for number in range(PLAIN))
    return loaded["odd"]


def test_a_tensor_quantised_by_channels() -> None:
    scales, zeros = torch.tensor([0.5, 0.25]), torch.tensor([0, 1])
    found = odd(torch.quantize_per_channel(torch.ones(2, 3), scales, zeros, 0, torch.qint8))
    assert found.axis == 0 and found.scale.tolist() == [0.5, 0.25] and found.zero_point.tolist() == [0, 1]
    assert found.int_repr.tolist() == [[2] * 3, [5] * 3]


@pytest.mark.parametrize("layout", ["coo", "csr", "csc", "bsr", "bsc"])
def test_sparse_tensors(layout: str) -> None:
    dense = torch.tensor([[0.0, 1.0, 0.0, 2.0], [0.0, 0.0, 3.0, 0.0]])
    made = {
        "coo": dense.to_sparse,
        "csr": dense.to_sparse_csr,
        "csc": dense.to_sparse_csc,
        "bsr": lambda: dense.to_sparse_bsr((1, 2)),
        "bsc": lambda: dense.to_sparse_bsc((1, 2)),
    }[layout]()
    found = odd(made)
    assert np.array_equal(found.values, made.coalesce().values() if layout == "coo" else made.values())


def test_nested_tensors() -> None:
    parts = [torch.arange(4.0).reshape(2, 2), torch.arange(6.0).reshape(3, 2)]
    for layout in (torch.strided, torch.jagged):
        found = odd(torch.nested.nested_tensor(parts, layout=layout))
        found = found.data if layout is torch.jagged else found
        assert [component.tolist() for component in found.components] == [part.tolist() for part in parts]


def test_the_state_of_a_generator() -> None:
    generator = torch.Generator()
    generator.manual_seed(7)
    assert odd(generator).state.tolist() == generator.get_state().tolist()


def test_a_storage_of_a_tensor_that_was_in_a_run() -> None:
    weights = torch.arange(3.0)
    loaded = odd([weights, weights.storage(), torch.nn.Parameter(weights)])
    assert loaded[0].tolist() == loaded[2].tolist() == loaded[1].array.tolist() == [0.0, 1.0, 2.0]
