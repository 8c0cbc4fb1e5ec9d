"""The table of formats: what `open_container` calls a file, and who makes a document of it. One module for each, imported when such a file is met: most scans
meet one format, and a module costs a third of a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable

from safeload.containers.base import Container
from safeload.formats.judging import Judging
from safeload.storage.records import Document

Reader = Callable[[Judging, Container], "Document | None"]

READERS: tuple[str, ...] = (
    "torch.zip", "zip", "torch.script", "torch.package", "torch.export", "hdf5", "keras", "msgpack", "npy", "npz", "safetensors", "gguf", "torch.dcp",
    "zip-sequence", "shards", "torch.legacy", "torch.tar", "tar", "7z", "pickle", "joblib",
)  # fmt: skip
SEQUENCES = ("torch.legacy", "pickle", "joblib")  # joblib's is a pickle until an array shows up in it


def reader_of(format_: str) -> Reader:
    """Who reads files of this format. Written out: a computed import is what this project exists to avoid."""
    if format_ == "torch.zip":
        from safeload.formats import archive

        return archive.read_torch_zip
    if format_ in SEQUENCES:
        from safeload.formats import sequence

        return sequence.read
    if format_ in ("zip", "tar", "7z"):
        from safeload.formats import plain

        return plain.read
    return _tensor_file(format_) or _torch_program(format_) or _another(format_)


def _tensor_file(format_: str) -> Reader | None:
    if format_ == "safetensors":
        from safeload.formats import safetensors

        return safetensors.read
    if format_ == "gguf":
        from safeload.formats import gguf

        return gguf.read
    if format_ == "npy":
        from safeload.formats import npy

        return npy.read
    if format_ == "npz":
        from safeload.formats import npz

        return npz.read
    if format_ == "shards":
        from safeload.formats import shards

        return shards.read
    return None


def _torch_program(format_: str) -> Reader | None:
    if format_ == "torch.script":
        from safeload.formats import torchscript

        return torchscript.read
    if format_ == "torch.package":
        from safeload.formats import package

        return package.read
    if format_ == "torch.export":
        from safeload.formats import export

        return export.read
    if format_ == "torch.dcp":
        from safeload.formats import dcp

        return dcp.read
    if format_ == "torch.tar":
        from safeload.formats import tar

        return tar.read
    if format_ == "zip-sequence":
        from safeload.formats import zip_sequence

        return zip_sequence.read
    return None


def _another(format_: str) -> Reader:
    if format_ == "hdf5":
        from safeload.formats import hdf5

        return hdf5.read
    if format_ == "keras":
        from safeload.formats import keras

        return keras.read
    if format_ == "msgpack":
        from safeload.formats import msgpack

        return msgpack.read
    raise KeyError(format_)
