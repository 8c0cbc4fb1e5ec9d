"""Writes the example files beside this script. Needs torch: `python examples/make_examples.py [folder]`.

    tiny.pt       what training code saves: a state dict, an optimizer's state, an epoch, written by torch.save
    hostile.pkl   a bare pickle that creates the directory `safeload-example-was-executed` in whoever unpickles it
    hostile.pt    the same call hidden behind a weight, in a zip written by torch.save

The payload is harmless, and the directory is the proof: no safeload command ever makes it. `pickle.load` does.
"""

from __future__ import annotations

import os
import pickle  # to write; nothing here reads a pickle
import sys
from collections import OrderedDict
from pathlib import Path

import torch

WITNESS = "safeload-example-was-executed"  # created in the working directory by a loader that runs the hostile files
PROTOCOL = 2  # torch.save's own


class Payload:
    """Pickled as the call `os.mkdir(WITNESS)`, which is what unpickling makes of it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (WITNESS,)


def tiny() -> dict[str, object]:
    """A checkpoint of a two-layer model after one epoch. The two names of the tied weight share one storage."""
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(8, 4, generator=generator)
    state = OrderedDict(
        [
            ("embed.weight", embedding),
            ("norm.weight", torch.ones(4, dtype=torch.bfloat16)),
            ("norm.bias", torch.zeros(4, dtype=torch.bfloat16)),
            ("head.weight", embedding),
        ]
    )
    moments = {"step": torch.tensor(20.0), "exp_avg": torch.zeros(8, 4)}
    optimizer = {"state": {0: moments}, "param_groups": [{"lr": 0.001, "betas": (0.9, 0.999), "params": [0]}]}
    return {"state_dict": state, "optimizer": optimizer, "epoch": 1}


def main(folder: Path) -> None:
    """Write the three files into `folder`."""
    torch.save(tiny(), folder / "tiny.pt")
    (folder / "hostile.pkl").write_bytes(pickle.dumps({"weight": [0.0], "config": Payload()}, protocol=PROTOCOL))
    torch.save({"weight": torch.zeros(2, 2), "config": Payload()}, folder / "hostile.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
