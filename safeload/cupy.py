"""`safeload.cupy.load_file(path)`: a flat dict of CuPy arrays, after `safetensors.numpy.load_file`; and `Transfer`, how storages travel to a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safeload.placement.settings import Transfer

if TYPE_CHECKING:
    import os

    from safeload.lazy import Dims
    from safeload.policy.model import Policy
    from safeload.source import FileLike

__all__ = ["Transfer", "load_file"]


def load_file(
    filename: FileLike,
    *,
    device: Any = "cuda",
    policy: str | os.PathLike[str] | Policy | None = None,
    shard: tuple[int, int] | None = None,
    dims: Dims = 0,
    transfer: Transfer | None = None,
) -> dict[str, Any]:
    """Every dense tensor of a checkpoint, by its path (`layer.weight`, `optimizer.state.0.exp_avg`), on a CUDA device.

    `device` is a number, `"cuda:N"`, or anything that `map_location` may be. All storages travel together; tensors that share one still do. With
    `shard=(rank, world)` each tensor is this rank's part along `dims` (`Checkpoint.get_shards`), and only that is read. Raises `DeviceUnavailable` without
    a GPU, and as `safeload.load` does.
    """
    from safeload.api import open as open_checkpoint

    with open_checkpoint(filename, device, policy=policy, transfer=transfer) as checkpoint:
        return checkpoint.get_tensors() if shard is None else checkpoint.get_shards(*shard, dims)
