"""A seed becomes checkpoints on disk: the same bytes of data every time, saved by torch.save (and by safetensors where only tensors are in it).

large   300 tensors, 100 MB together unless told        small   20,000 tensors of 16 floats
adam    a model of 60 layers with its Adam state        plain   about 200,000 opcodes of numbers, text and containers, and no tensor
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

SEED = 20_261_124
LARGE_TENSORS = 300
SMALL_TENSORS = 20_000
SMALL_ELEMENTS = 16
PLAIN_RECORDS = 10_000


def large(megabytes: int) -> dict[str, np.ndarray]:
    """Tensors of equal size, as of one big model."""
    generator = np.random.default_rng(SEED)
    columns = megabytes * 1_000_000 // (LARGE_TENSORS * 4 * 64)
    return {f"layers.{number}.weight": generator.standard_normal((64, columns), dtype=np.float32) for number in range(LARGE_TENSORS)}


def small() -> dict[str, np.ndarray]:
    """So many small tensors that only the work for each of them counts."""
    generator = np.random.default_rng(SEED)
    return {f"experts.{number}.bias": generator.standard_normal(SMALL_ELEMENTS, dtype=np.float32) for number in range(SMALL_TENSORS)}


def adam() -> dict[str, Any]:
    """What a training loop saves: weights, the optimiser's two moments for each, and a few numbers."""
    torch.manual_seed(SEED)
    model = torch.nn.Sequential(*[torch.nn.Linear(128, 128) for _ in range(60)])
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(4, 128)).sum().backward()
    optimizer.step()
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "loss": 0.25}


def plain() -> list[dict[str, Any]]:
    """A log of a training run."""
    chosen = random.Random(SEED)
    return [
        {"step": number, "loss": chosen.random(), "name": f"run-{number % 7}", "tags": ["a", number, None], "done": number % 2 == 0}
        for number in range(PLAIN_RECORDS)
    ]


def write(folder: Path, megabytes: int) -> dict[str, Path]:
    """All workloads, under their names; `large.safetensors` and `small.safetensors` beside the two that hold only tensors."""
    paths: dict[str, Path] = {}
    tensors: dict[str, Callable[[], dict[str, np.ndarray]]] = {"large": lambda: large(megabytes), "small": small}
    for name, make in tensors.items():
        arrays = make()
        paths[name] = folder / f"{name}.pt"
        torch.save({key: torch.from_numpy(array) for key, array in arrays.items()}, paths[name])
        paths[f"{name}.safetensors"] = folder / f"{name}.safetensors"
        save_file(arrays, str(paths[f"{name}.safetensors"]))
    paths["adam"] = folder / "adam.pt"
    torch.save(adam(), paths["adam"])
    paths["plain"] = folder / "plain.pkl"
    paths["plain"].write_bytes(pickle.dumps(plain(), protocol=2))
    paths["plain.pt"] = folder / "plain.pt"
    torch.save(plain(), paths["plain.pt"])
    return paths
