"""`safeload.numpy.load_file(path)`: a flat dict of numpy arrays, after `safetensors.numpy.load_file`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

    from safeload.policy.model import Policy
    from safeload.source import FileLike


def load_file(filename: FileLike, *, policy: str | os.PathLike[str] | Policy | None = None) -> dict[str, Any]:
    """Every dense tensor of a checkpoint, by its path (`layer.weight`, `optimizer.state.0.exp_avg`), on the CPU.

    The arrays are writable and private views of the mapped file; tensors that share a storage still do. Raises as `safeload.load` does.
    """
    from safeload.api import open as open_checkpoint

    with open_checkpoint(filename, "cpu", policy=policy) as checkpoint:
        return {name: checkpoint.get_tensor(name) for name in checkpoint.keys()}  # noqa: SIM118 - a Checkpoint is no mapping
