"""The targets by name: what each holds an input against, how inputs are changed, and which seeds it starts from.

`fuzz/run.py` runs one for hours under atheris; `tests/fuzz` replays seeds, regressions and generated files through all of them in seconds, without it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from fuzz import differential, documents, faces, folders, one_input

ROOT = Path(__file__).parent


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """`check` returns quietly, or fails with what breaks a law. `seeds`: suffixes of the seed files that it starts from; all where it is empty."""

    about: str
    check: Callable[[bytes], None]
    mutator: Literal["file", "stream", "policy"] = "file"
    seeds: tuple[str, ...] = ()
    needs: str | None = None  # a module without which it cannot run


COMPRESSED = (".gz", ".zlib", ".bz2", ".xz", ".lzma", ".zst", ".lz4")

TARGETS: dict[str, Target] = {
    "load": Target(about="whole files: scan, load and open agree, under two policies", check=one_input.check_load),
    "scan": Target(about="whole files: a report under every shipped policy, with every option", check=one_input.check_scan),
    "machine": Target(about="one pickle stream: verdict, listing, assembler", check=one_input.check_machine, mutator="stream", seeds=(".pkl",)),
    "zip": Target(about="containers alone: every byte accounted for", check=one_input.check_zip),
    "npy": Target(about="numpy headers, against numpy", check=differential.check_numpy, seeds=(".npy",)),
    "npz": Target(about="numpy archives", check=one_input.check_load, seeds=(".npz",)),
    "joblib": Target(about="joblib files", check=one_input.check_load, seeds=(".joblib",)),
    "safetensors": Target(about="safetensors headers, against safetensors", check=differential.check_safetensors, seeds=(".safetensors",), needs="safetensors"),
    "gguf": Target(about="GGUF headers, against gguf-py", check=differential.check_gguf, seeds=(".gguf",), needs="gguf"),
    "tar": Target(about="tar headers", check=one_input.check_load, seeds=(".tar",)),
    "legacy": Target(about="torch's sequential format", check=one_input.check_load, seeds=(".legacy",)),
    "compressed": Target(about="compressed files", check=one_input.check_load, seeds=COMPRESSED),
    "archives": Target(about="TorchScript, torch.package, torch.export, plain zips", check=one_input.check_load, seeds=(".script", ".package", ".pt2", ".zip")),
    "keras": Target(about="descriptions of Keras models, HDF5, msgpack", check=one_input.check_load, seeds=(".keras", ".h5", ".msgpack")),
    "json": Target(about="the strict reader of JSON, against json", check=one_input.check_json, mutator="policy", seeds=(".json",)),
    "policy": Target(about="policy files: a policy that judges, or a PolicyFileError", check=one_input.check_policy, mutator="policy", seeds=(".toml",)),
    "toml": Target(about="policy files, against tomllib and written out again", check=documents.check_policy, mutator="policy", seeds=(".toml",)),
    "lock": Target(about="lock files, against tomllib and written out again", check=documents.check_lock, mutator="policy", seeds=(".lock",)),
    "listing": Target(about="the assembler: a stream or a ValueError", check=faces.check_assemble, mutator="policy", seeds=(".listing",)),
    "open": Target(about="whole files: the lazy view against load", check=faces.check_open),
    "report": Target(about="whole files: every format of report is a document of its kind", check=faces.check_report),
    "dcp": Target(about="metadata of distributed checkpoints, in a folder", check=folders.check_dcp, mutator="stream", seeds=(".metadata",)),
    "shards": Target(about="indexes of shards, in a folder", check=folders.check_shards, seeds=(".index",)),
    "decode": Target(about="instructions, against pickletools", check=faces.check_decode, mutator="stream", seeds=(".pkl",)),
    "inflate": Target(about="compressed files, against their libraries", check=faces.check_inflate, seeds=COMPRESSED, needs="zstandard"),
    "pickle": Target(about="one stream, against CPython's unpicklers", check=differential.check_pickle, mutator="stream", seeds=(".pkl",), needs="hypothesis"),
    "zipfile": Target(about="zips, against zipfile", check=differential.check_zipfile, seeds=(".pt", ".npz", ".zip")),
    "tarfile": Target(about="tars, against tarfile", check=differential.check_tarfile, seeds=(".tar",)),
    "torch": Target(about="torch.load(weights_only=True) in a child", check=differential.check_torch, seeds=(".pt", ".legacy"), needs="torch"),
}


def inputs(target: Target) -> list[Path]:
    """Seeds of the target's formats, and all regressions."""
    seeds = [path for path in sorted((ROOT / "seeds").iterdir()) if not target.seeds or path.suffix in target.seeds]
    return [*seeds, *(path for path in sorted((ROOT / "regressions").iterdir()) if path.suffix != ".md")]
