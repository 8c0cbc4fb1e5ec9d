"""A name and a seed become a checkpoint on disk: the same bytes of data every time. `python -m benchmarks.workloads FOLDER SCALE NAME...` writes some.

Runs where torch and safetensors are. Nothing is downloaded. Every row of `rows.py` says which files it needs, and they are written before it and deleted after
it. SCALE divides the sizes and counts of the large ones, for a quick run.

    a300_1g, a300_4g, a3000_1g, a3000_4g   a state dict of 300 or 3,000 tensors, 1 or 4 GB of bfloat16; .pt and .safetensors
    b20k                                   20,000 tensors of 16x16 float32, a storage each; .pt and .safetensors
    adam5k                                 5,000 parameters and their Adam state: 20,000 storages
    legacy_1g                              a300_1g as torch wrote it before 1.6
    plain_p2, plain_p4                     a log of a training run, about 200,000 opcodes and no tensor; bare pickles, and plain.pt by torch.save
    inline                                 50 MB of bytes in the stream, in pieces of 1 MB
    folder500                              500 small files: 350 .pt, 50 .bin, 50 legacy .pth, 50 .pkl
    nested_list, nested_key                a million nested lists; a million nested tuples as the key of a dict
    sparse_5g                              one storage of 5 GiB, a hole in the file: zip64 in all three places
    tiny, tiny.legacy, tiny.pkl            few small tensors in each format: to warm code up, that for many like ones included
"""

from __future__ import annotations

import pickle
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SEED = 20_261_128
BLOCK_BYTES = 1 << 26  # of random bytes; tensors take theirs from it, each from another place
MB = 1_000_000
NESTED = 1_000_000
PLAIN_RECORDS = 10_000
TINY_TENSORS = 200


def _block() -> Any:
    import numpy as np

    return np.random.default_rng(SEED).integers(0, 256, BLOCK_BYTES, np.uint8)


def state_dict(tensors: int, megabytes: int) -> dict[str, Any]:
    """Tensors of bfloat16 of one size, as of a large language model. Their bytes are random, so some are not numbers."""
    import numpy as np
    import torch

    columns = megabytes * MB // (tensors * 2 * 64)
    nbytes = 64 * columns * 2
    block = _block()
    block = np.concatenate([block] * (2 + nbytes // BLOCK_BYTES))
    made = {}
    for number in range(tensors):
        start = number * 104_729 * 2 % BLOCK_BYTES  # a prime, so that no two tensors are alike
        made[f"model.layers.{number // 9}.{number % 9}.weight"] = (
            torch.from_numpy(block[start : start + nbytes].copy()).view(torch.bfloat16).reshape(64, columns)
        )
    return made


def small(tensors: int) -> dict[str, Any]:
    """So many small tensors that only the work for each of them counts."""
    import torch

    torch.manual_seed(SEED)
    return {f"model.layers.{number // 9}.{number % 9}.bias": torch.randn(16, 16) for number in range(tensors)}


def adam(parameters: int) -> dict[str, Any]:
    """What a training loop saves: weights, Adam's step and two moments for each, and a few numbers."""
    import torch

    torch.manual_seed(SEED)
    weights = {f"blocks.{number}.weight": torch.nn.Parameter(torch.randn(8, 16)) for number in range(parameters)}
    optimizer = torch.optim.Adam(weights.values(), foreach=False)
    for weight in weights.values():
        weight.grad = torch.randn_like(weight)
    optimizer.step()
    return {"model": {key: weight.detach() for key, weight in weights.items()}, "optimizer": optimizer.state_dict(), "epoch": 3, "loss": 0.25}


def log(records: int) -> list[dict[str, Any]]:
    """A log of a training run."""
    chosen = random.Random(SEED)
    return [
        {"step": number, "loss": chosen.random(), "name": f"run-{number % 7}", "tags": ["a", number, None], "done": number % 2 == 0}
        for number in range(records)
    ]


def _write_state(path: Path, tensors: int, megabytes: int) -> None:
    import torch
    from safetensors.torch import save_file

    state = state_dict(tensors, megabytes)
    torch.save(state, path)
    save_file(state, path.with_suffix(".safetensors"))


def _write_small(path: Path, tensors: int) -> None:
    import torch
    from safetensors.torch import save_file

    state = small(tensors)
    torch.save(state, path)
    save_file(state, path.with_suffix(".safetensors"))


def _write_torch(path: Path, value: Any, *, legacy: bool = False) -> None:
    import torch

    torch.save(value, path, _use_new_zipfile_serialization=not legacy)


def _write_folder(folder: Path, files: int) -> None:
    import torch

    chosen = random.Random(SEED)
    torch.manual_seed(SEED)
    for number in range(files):
        kind = ("pt",) * 7 + ("bin", "pth", "pkl")
        suffix = kind[number % 10]
        tensors = {f"layer.{key}.weight": torch.randn(chosen.choice((8, 16, 32)), 32) for key in range(chosen.randint(20, 60))}
        path = folder / f"{number // max(files // 20, 1):02d}" / f"model-{number:03d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if suffix == "pkl":
            path.write_bytes(pickle.dumps({key: value.tolist() for key, value in list(tensors.items())[:3]}, protocol=4))
        else:
            _write_torch(path, tensors, legacy=suffix == "pth")


class _Sparse:
    """A file whose runs of zeros stay holes. What torch.save writes to."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        for start in range(0, len(view), 1 << 20):
            part = view[start : start + (1 << 20)]
            if len(part) == 1 << 20 and part == _ZEROS:
                self.file.seek(len(part), 1)
            else:
                self.file.write(part)
        return len(view)

    def flush(self) -> None:
        self.file.flush()


_ZEROS = memoryview(bytes(1 << 20))


def _write_sparse(path: Path, mebibytes: int) -> None:
    import torch

    file = _Sparse(path)
    torch.save({"hole": torch.zeros(mebibytes << 20, dtype=torch.uint8), "end": torch.arange(4)}, file)
    file.file.close()


def _tiny(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    value = {f"layers.{number}.weight": torch.arange(16, dtype=torch.float32).reshape(4, 4) for number in range(TINY_TENSORS)}
    value["head.weight"] = torch.ones(4, dtype=torch.bfloat16)  # which numpy has not by itself
    torch.save(value, path)
    _write_torch(path.with_name("tiny.legacy"), value, legacy=True)
    path.with_name("tiny.pkl").write_bytes(pickle.dumps({"step": 1}, protocol=2))
    save_file(value, path.with_suffix(".safetensors"))


def _inline(pieces: int) -> dict[str, bytes]:
    chosen = random.Random(SEED)
    return {f"piece.{number}": chosen.randbytes(MB) for number in range(pieces)}


MAKERS: dict[str, Callable[[Path, int], None]] = {
    "tiny": lambda folder, _: _tiny(folder / "tiny.pt"),
    "a300_1g": lambda folder, scale: _write_state(folder / "a300_1g.pt", 300, 1_000 // scale),
    "a300_4g": lambda folder, scale: _write_state(folder / "a300_4g.pt", 300, 4_000 // scale),
    "a3000_1g": lambda folder, scale: _write_state(folder / "a3000_1g.pt", 3_000 // scale, 1_000 // scale),
    "a3000_4g": lambda folder, scale: _write_state(folder / "a3000_4g.pt", 3_000 // scale, 4_000 // scale),
    "b20k": lambda folder, scale: _write_small(folder / "b20k.pt", 20_000 // scale),
    "adam5k": lambda folder, scale: _write_torch(folder / "adam5k.pt", adam(5_000 // scale)),
    "legacy_1g": lambda folder, scale: _write_torch(folder / "legacy_1g.pth", state_dict(300, 1_000 // scale), legacy=True),
    "plain_p2": lambda folder, scale: _write(folder / "plain_p2.pkl", pickle.dumps(log(PLAIN_RECORDS // scale), protocol=2)),
    "plain_p4": lambda folder, scale: _write(folder / "plain_p4.pkl", pickle.dumps(log(PLAIN_RECORDS // scale), protocol=4)),
    "plain": lambda folder, scale: _write_torch(folder / "plain.pt", log(PLAIN_RECORDS // scale)),
    "inline": lambda folder, scale: _write(folder / "inline.pkl", pickle.dumps(_inline(max(50 // scale, 1)), protocol=4)),
    "folder500": lambda folder, scale: _write_folder(folder / "folder500", 500 // scale),
    "nested_list": lambda folder, _: _write(folder / "nested_list.pkl", b"\x80\x02" + b"]" * NESTED + b"a" * (NESTED - 1) + b"."),
    "nested_key": lambda folder, _: _write(folder / "nested_key.pkl", b"\x80\x02})" + b"\x85" * NESTED + b"K\x01s."),
    "sparse_5g": lambda folder, scale: _write_sparse(folder / "sparse_5g.pt", 5_120 // scale),
}


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def main() -> None:
    """Write the named workloads into the folder."""
    folder, scale = Path(sys.argv[1]), int(sys.argv[2])
    for name in sys.argv[3:]:
        MAKERS[name](folder, scale)


if __name__ == "__main__":
    main()
