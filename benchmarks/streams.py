"""The stream of a file by itself, in memory, without its zip and its storages: what reads or judges it, and nothing around that.

    parsed, judged        ours: the machine; the machine and the policy
    torch_parsed          torch's weights-only unpickler. Every persistent id gives it one and the same storage, so that nothing is read but the stream; it
                          makes its tensors on the way, which is how it is written
"""

from __future__ import annotations

import io
from typing import Any

from .limit import stream_once

STORAGE_BYTES = 1 << 16  # more than any tensor of the workloads of small ones has


def parsed(path: str) -> None:
    """The object graph of the stream."""
    from safeload.budget import Budget
    from safeload.limits import Limits
    from safeload.machine.interpret import interpret

    interpret(stream_once(path), budget=Budget(Limits()), member="data.pkl")


def judged(path: str) -> None:
    """The graph, and the verdict of the policy on it."""
    from safeload.api import policy_and_limits
    from safeload.budget import Budget
    from safeload.machine.interpret import interpret
    from safeload.policy.vet import vet

    policy, limits = policy_and_limits(None, None)
    graph = interpret(stream_once(path), budget=Budget(limits), member="data.pkl")
    if vet(graph, policy, limits=limits, member="data.pkl").vetted is None:
        raise SystemExit("the stream is not accepted")


def torch_parsed(path: str) -> None:
    """The value of the stream."""
    import torch
    from torch._weights_only_unpickler import Unpickler

    storage = torch.storage.TypedStorage(wrap_storage=torch.UntypedStorage(STORAGE_BYTES), dtype=torch.float32, _internal=True)

    class Stubbed(Unpickler):
        def persistent_load(self, pid: Any) -> Any:
            return storage

    Stubbed(io.BytesIO(stream_once(path))).load()
