"""A file that names others: the `.metadata` of a distributed checkpoint and the index of shards, each in a folder made for it, with what they may name.

The folder stands below another one that holds bait. Files of the folder may be opened for reading and nothing else: a name that leads out of it fails the input
before the open happens. What `scan` accepts `load` builds, byte for byte as `open` gives it, and every byte of every file that was read is accounted for.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

import msgspec
import numpy as np

import safeload
from fuzz.faces import same
from fuzz.guard import armed
from fuzz.make_seeds import SHARDS
from fuzz.one_input import LIMITS, POLICIES
from safeload.api import read
from safeload.errors import CheckpointError, UnsupportedFormat
from safeload.storage.records import Unbuilt

METADATA, INDEX = ".metadata", "model.safetensors.index.json"


class _Folder(msgspec.Struct, frozen=True):
    """Where an input is written to, and the folder around it."""

    path: Path
    main: Path


def _folder(main: str, files: dict[str, bytes]) -> _Folder:
    around = Path(tempfile.mkdtemp(prefix="fuzz-")).resolve()
    atexit.register(shutil.rmtree, around, ignore_errors=True)
    path = around / "checkpoint"
    path.mkdir()
    for name, data in files.items():
        (path / name).write_bytes(data)
        (around / name).write_bytes(data)  # the bait: what would be accepted, if a name led there
    return _Folder(path, path / main)


_folders: dict[str, _Folder] = {}


def _check(data: bytes, main: str, prefix: str) -> None:
    if main not in _folders:
        files = {name.removeprefix(prefix): content for name, content in SHARDS.items() if name.startswith(prefix)}
        _folders[main] = _folder(main, files)
    folder = _folders[main]
    folder.main.write_bytes(data)
    for policy in POLICIES:
        with armed(str(folder.path)):
            _agree(str(folder.path), policy, len(data))


def _agree(path: str, policy: str, size: int) -> None:
    reading = read(path, policy=policy, limits=LIMITS)
    report = reading.report
    assert (report.verdict == "accepted") == (not report.errors)
    assert report.bytes_total >= size
    try:
        value = safeload.load(path, "cpu", policy=policy, limits=LIMITS)
    except CheckpointError as error:
        no_value = reading.document is None or isinstance(reading.document, Unbuilt)  # pickles behind each other, and what is only judged
        several = no_value and isinstance(error, UnsupportedFormat)
        assert report.verdict != "accepted" or several, f"accepted, and load raises {error}"
        return
    assert report.verdict == "accepted", f"{report.verdict}, and load gives {type(value)}"
    assert report.bytes_accounted == report.bytes_total, f"accepted with {report.bytes_accounted} of {report.bytes_total} bytes accounted for"
    with safeload.open(path, policy=policy, limits=LIMITS) as checkpoint:
        same(checkpoint.tree(), value)
        for name in checkpoint.keys():  # noqa: SIM118 - not a mapping
            assert checkpoint.info(name).shape == np.shape(checkpoint.get_tensor(name))


def check_dcp(data: bytes) -> None:
    """A `.metadata` beside the two files that it is meant to name."""
    _check(data, METADATA, "dcp/")


def check_shards(data: bytes) -> None:
    """An index beside two shards."""
    _check(data, INDEX, "shards/")
