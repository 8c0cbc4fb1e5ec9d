"""DTensors: the part that a rank holds stays reachable, and the layout of the whole is kept as records, under `checkpoint`."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest

import safeload
from safeload.tensors import SubclassTensor


@pytest.fixture(scope="module")
def saved() -> bytes:
    torch = pytest.importorskip("torch", reason="DTensors are written by torch")
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
    from torch.testing._internal.distributed.fake_pg import FakeStore

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=1)
        try:
            mesh, grid = init_device_mesh("cpu", (1,), mesh_dim_names=("dp",)), init_device_mesh("cpu", (1, 1), mesh_dim_names=("dp", "tp"))
            value = {
                "sharded": distribute_tensor(torch.arange(12.0).reshape(3, 4), mesh, [Shard(0)]),
                "replicated": distribute_tensor(torch.arange(4.0), mesh, [Replicate()]),
                "partial": DTensor.from_local(torch.ones(2), mesh, [Partial()]),
                "parameter": torch.nn.Parameter(distribute_tensor(torch.arange(6.0).reshape(2, 3), grid, [Shard(0), Shard(1)])),
            }
            out = io.BytesIO()
            torch.save(value, out)
            return out.getvalue()
        finally:
            dist.destroy_process_group()


def test_the_local_part_and_the_layout_are_there(saved: bytes) -> None:
    value = safeload.load(saved)
    assert all(type(part) is SubclassTensor for part in value.values())
    assert np.array_equal(value["sharded"].local, np.arange(12, dtype=np.float32).reshape(3, 4))
    assert value["sharded"].global_shape == (3, 4)
    assert [part.type_name for part in value["sharded"].placements] == ["torch.distributed.tensor.placement_types.Shard"]
    assert value["sharded"].placements[0].state == {"dim": 0}
    assert np.array_equal(value["parameter"].local, np.arange(6, dtype=np.float32).reshape(2, 3))
    assert np.array_equal(value["partial"].local, np.ones(2, np.float32))


def test_they_are_accepted_and_listed_lazily(saved: bytes) -> None:
    report = safeload.scan(saved)
    assert report.verdict == "accepted"
    assert not report.has_opaque, "the names are permitted, as torch permits them; nothing is opaque"
    with safeload.open(saved) as checkpoint:
        assert "sharded._local_tensor" in checkpoint.keys()  # noqa: SIM118 -- after safe_open, which has no __contains__
        assert np.array_equal(checkpoint.get_tensor("sharded._local_tensor"), np.arange(12, dtype=np.float32).reshape(3, 4))



def test_weights_only_does_not_know_them(saved: bytes) -> None:
    with pytest.raises(safeload.PolicyRejected, match="DTensor"):
        safeload.load(saved, policy="weights-only")
