"""Distributed checkpoints: assembled exactly as they were saved, and never from bytes that the metadata does not own."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus.manifest import REPOSITORY

import safeload
from safeload.containers.zip_sequence import split
from safeload.errors import CheckpointError, PolicyRejected, UnsupportedFormat
from safeload.opcodes.assemble import assemble
from safeload.source import ByteSource
from tests.containers.zipbuild import Part, build
from tests.formats import dcpbuild as b

WHOLE = np.arange(24, dtype="float32").reshape(4, 6)
TWO_FILES: dict[str, list[tuple[tuple[int, ...], tuple[int, ...]]]] = {
    "__0_0.distcp": [((0, 0), (2, 3)), ((0, 3), (2, 3))],
    "__1_0.distcp": [((2, 0), (2, 2)), ((2, 2), (2, 4))],
}


def good() -> b.Checkpoint:
    """Two ranks: a tensor in four chunks, one in a single chunk, an object."""
    made = b.Checkpoint()
    made.tensor("model.w", WHOLE, TWO_FILES)
    made.tensor("model.b", np.arange(3), {"__0_0.distcp": [((0,), (3,))]})
    made.add("__1_0.distcp", b.blob({"lr": 0.5}), "optim", None)
    made.entries["optim"] = b.Record(f"{b.METADATA}.BytesStorageMetadata")
    made.paths = {"model.w": ("model", "w"), "model.b": ("model", "b"), "optim": ("optim",)}
    return made


def test_a_checkpoint_of_two_ranks(tmp_path: Path) -> None:
    folder = good().write(tmp_path / "c")
    report = safeload.scan(folder)
    assert (report.verdict, report.format, report.findings) == ("accepted", "torch.dcp", ())
    assert report.bytes_total == report.bytes_accounted == sum(path.stat().st_size for path in folder.iterdir())
    value = safeload.load(folder)
    assert list(value) == ["model", "optim"] and value["optim"] == {"lr": 0.5}
    np.testing.assert_array_equal(value["model"]["w"], WHOLE, strict=True)
    assert value["model"]["b"].tolist() == [0, 1, 2]
    value["model"]["w"][0, 0] = 7
    with safeload.open(folder) as file:
        assert file.keys() == ["model.w", "model.b"]
        assert file.info("model.w").shape == (4, 6) and file.info("model.w").file_offset is None
        np.testing.assert_array_equal(file.get_slice("model.w")[1:3, 2:], WHOLE[1:3, 2:])
    np.testing.assert_array_equal(safeload.load(folder, mmap=False)["model"]["w"], WHOLE)
    assert safeload.load(folder, "meta")["model"]["w"].shape == (4, 6)


def test_without_paths_the_names_stay_flat(tmp_path: Path) -> None:
    made = good()
    made.paths = None
    assert list(safeload.load(made.write(tmp_path / "c"))) == ["model.w", "model.b", "optim"]


def test_whole_numbers_in_a_path_are_places_in_a_list(tmp_path: Path) -> None:
    made = good()
    made.paths = {"model.w": ("l", 1), "model.b": ("l", 0), "optim": ("o",)}
    value = safeload.load(made.write(tmp_path / "c"))
    assert isinstance(value["l"], list) and value["l"][0].tolist() == [0, 1, 2]


def bend(what: str) -> b.Checkpoint:
    """One lie for each name."""
    made = good()
    if what.startswith("path-"):
        name = {
            "climbs": "../x", "absolute": "/etc/passwd", "backslash": "a\\b", "drive": "C:x", "nul": "a\0b", "empty": "", "number": 3, "dots": "a/../b",
        }[what[5:]]  # fmt: skip
        made.items[0] = (made.items[0][0], b.info(name, 0, 10))
    elif what.startswith("place-"):
        offset, length = {"negative": (-1, 5), "bool": (True, 5), "huge": (1 << 70, 5), "beyond": (0, 10**9), "text": ("0", 5), "zero": (0, 0)}[what[6:]]
        made.items[0] = (made.items[0][0], b.info("__0_0.distcp", offset, length))
    elif what == "overlap":
        made.items[1] = (made.items[1][0], made.items[0][1])
    elif what == "gap":
        made.files["__0_0.distcp"] += b"x"
    elif what == "shard-missing":
        del made.files["__1_0.distcp"]
    elif what == "shard-is-html":
        made.files["__1_0.distcp"] = b"<html>".ljust(len(made.files["__1_0.distcp"]), b" ")
    elif what.startswith("chunk-"):
        shape, chunks = {
            "outside": ((4, 6), [((0, 0), (2, 3)), ((0, 4), (2, 3)), ((2, 0), (2, 2)), ((2, 2), (2, 4))]),
            "dims": ((24,), [((0, 0), (2, 3))]),
            "none": ((4, 6), []),
            "size": ((4, 6), [((0, 0), (2, 2)), ((0, 3), (2, 3)), ((2, 0), (2, 2)), ((2, 2), (2, 4))]),
            "unknown": ((4, 6), [((1, 1), (2, 3))]),
            "larger": ((5, 6), [((0, 0), (2, 3)), ((0, 3), (2, 3)), ((2, 0), (2, 2)), ((2, 2), (2, 4))]),
        }[what[6:]]
        made.entries["model.w"] = b.tensor("float32", shape, [b.chunk(*place) for place in chunks])
    elif what == "dtype":
        made.entries["model.w"] = b.tensor("float64", (4, 6), [b.chunk(*place) for places in TWO_FILES.values() for place in places])
    elif what == "no-dtype":
        made.entries["model.w"] = b.tensor("strided", (4, 6), [b.chunk(*place) for places in TWO_FILES.values() for place in places])
    elif what == "item-of-nobody":
        del made.entries["optim"]
    elif what == "name-without-item":
        made.entries["ghost"] = b.Record(f"{b.METADATA}.BytesStorageMetadata")
    elif what == "tensor-is-an-object":
        made.entries["optim"] = b.tensor("float32", (1,), [b.chunk((0,), (1,))])
    elif what == "not-a-record":
        made.entries["model.w"] = {"properties": 3}
    elif what.startswith("paths-"):
        made.paths = {
            "collide": {"model.w": ("a",), "model.b": ("a",)}, "through": {"model.w": ("a",), "model.b": ("a", "b")},
            "mixed": {"model.w": ("a", 0), "model.b": ("a", "x")},
            "gap": {"model.w": ("a", 5)}, "float": {"model.w": (1.5,)}, "empty": {"model.w": ()}, "deep": {"model.w": tuple("x" * 100)}, "list": [],
        }[what[6:]]  # fmt: skip
    else:
        raise AssertionError(what)
    return made


LIES = [
    *(f"path-{name}" for name in ("climbs", "absolute", "backslash", "drive", "nul", "empty", "number", "dots")),
    *(f"place-{name}" for name in ("negative", "bool", "huge", "beyond", "text", "zero")),
    "overlap", "gap", "shard-missing", "shard-is-html",
    *(f"chunk-{name}" for name in ("outside", "dims", "none", "size", "unknown", "larger")),
    "dtype", "no-dtype", "item-of-nobody", "name-without-item", "tensor-is-an-object", "not-a-record",
    *(f"paths-{name}" for name in ("collide", "through", "mixed", "gap", "float", "empty", "deep", "list")),
]  # fmt: skip


@pytest.mark.parametrize("what", LIES)
def test_a_checkpoint_that_lies_does_not_load(what: str, tmp_path: Path) -> None:
    folder = bend(what).write(tmp_path / "c")
    report = safeload.scan(folder)
    assert report.verdict != "accepted"
    rules = {finding.rule for finding in report.errors}
    assert rules & {"SL134", "SL136", "SL004", "SL005", "SL003", "SL301", "SL101", "SL304"}, report.errors
    with pytest.raises(CheckpointError):
        safeload.load(folder)
    with pytest.raises(CheckpointError):
        safeload.open(folder)


def test_a_payload_is_found_wherever_it_stands(tmp_path: Path) -> None:
    """In the metadata, which torch gives to pickle.load (#189308), and in an object, which it loads with weights_only=False."""
    payload = b.Called("posix.mkdir", "dcp-payload-ran")
    one = good()
    one.entries["optim"] = payload
    two = good()
    stream = assemble("PROTO 2\nGLOBAL posix mkdir\nBINUNICODE 'dcp-payload-ran'\nTUPLE1\nREDUCE\nSTOP\n")
    two.add("__2_0.distcp", build([Part(b"a/data.pkl", stream), Part(b"a/version", b"3\n")]), "more", None)
    two.entries["more"] = b.Record(f"{b.METADATA}.BytesStorageMetadata")
    for number, (made, member) in enumerate(((one, None), (two, "__2_0.distcp@0x0!/a/data.pkl"))):
        folder = made.write(tmp_path / str(number))
        report = safeload.scan(folder)
        named = [finding for finding in report.errors if finding.global_name == "posix.mkdir"]
        assert report.verdict == "rejected" and named and named[0].member == member and named[0].capability == "fs.write"
        with pytest.raises(PolicyRejected):
            safeload.load(folder)
    assert not Path("dcp-payload-ran").exists()


def test_a_link_out_of_the_folder_is_only_data(tmp_path: Path) -> None:
    """Download caches keep their files as links; what a link leads to is read as a shard and nothing else."""
    folder = good().write(tmp_path / "c")
    (folder / "__1_0.distcp").rename(tmp_path / "elsewhere")
    (folder / "__1_0.distcp").symlink_to(tmp_path / "elsewhere")
    assert safeload.scan(folder).verdict == "accepted"
    (tmp_path / "elsewhere").write_bytes(b"secret")
    assert safeload.scan(folder).verdict == "inconclusive"


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    folder = good().write(tmp_path / "c")
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc: open descriptors cannot be counted")
    safeload.load(folder)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        safeload.scan(folder)
        del_me = safeload.load(folder)
        del del_me
        safeload.open(folder).close()
    assert len(os.listdir("/proc/self/fd")) <= before + 2


# ---- a shard alone ------------------------------------------------------------------------------------------------------------------------


def test_a_shard_alone_is_judged_archive_by_archive(tmp_path: Path) -> None:
    folder = good().write(tmp_path / "c")
    report = safeload.scan(folder / "__0_0.distcp")
    assert (report.verdict, report.format) == ("accepted", "zip-sequence")
    assert report.bytes_accounted == report.bytes_total
    with pytest.raises(UnsupportedFormat, match="3 objects"):
        safeload.load(folder / "__0_0.distcp")


def test_archives_that_could_be_mixed_up_are_ambiguous() -> None:
    """torch reads the last directory with offsets from the first byte; miniz compares no names, so a storage could pass for data.pkl."""
    evil = assemble("PROTO 2\nGLOBAL posix mkdir\nBINUNICODE 'x'\nTUPLE1\nREDUCE\nSTOP\n")
    last = build([Part(b"a/data.pkl", b"\x80\x02N.".ljust(len(evil), b" ")[:4]), Part(b"a/version", b"3\n")])
    first = build([Part(b"a/data/0", evil), Part(b"a/data.pkl", b"\x80\x02N."), Part(b"a/version", b"3\n")])
    report = safeload.scan(first + last)
    assert [(finding.rule, finding.capability) for finding in report.errors] == [("SL301", "fs.write"), ("SL120", None)]
    same = build([Part(b"a/data.pkl", b"\x80\x02N."), Part(b"a/version", b"3\n")])
    assert safeload.scan(same + same).verdict == "accepted"


@pytest.mark.parametrize("cut", [1, 22, 60, 98, 150])
def test_a_cut_or_padded_sequence_is_none(cut: int) -> None:
    data = b.archive(WHOLE) * 3
    assert split(ByteSource(name="x", size=len(data), buffer=data)) is not None
    for bad in (data[:-cut], data[cut:], data + bytes(cut)):
        assert safeload.scan(bad).verdict == "inconclusive"


# ---- real ones ----------------------------------------------------------------------------------------------------------------------------

CORPUS = REPOSITORY.parent / "shared" / "corpus"


@pytest.mark.skipif(not (CORPUS / "MANIFEST.json").is_file(), reason="the whole corpus is not here, and the small one holds no such folder")
def test_folders_that_torch_wrote() -> None:
    import json

    entries = [entry for entry in json.loads((CORPUS / "MANIFEST.json").read_text())["entries"] if "saved_state_dict" in entry]
    assert entries
    for entry in entries:
        value: Any = safeload.load(CORPUS / "files" / Path(entry["file"]).parent)
        for node in entry["saved_state_dict"]:
            if any(isinstance(key, dict) for key in node["path"]):
                continue  # an attribute of the dict, which torch does not save
            found = value
            for key in node["path"]:
                found = found[key]
            if node["kind"] == "tensor":
                assert (str(found.dtype), list(found.shape)) == (node["dtype"], node["shape"])
                assert hashlib.sha256(found.tobytes()).hexdigest() == node["sha256"]
            elif node["kind"] == "dict":
                assert list(found) == node["keys"]
            elif node["kind"] == "scalar" and "value" in node:
                assert found == node["value"]


def test_what_torch_writes_now(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: a folder of its own making is not compared")
    import warnings

    import torch.distributed.checkpoint as dcp

    weights = {"w": torch.arange(12.0).reshape(3, 4).t(), "h": torch.ones(3, dtype=torch.bfloat16)}
    state = {"m": weights, "n": [1, {"k": torch.tensor(3)}], "s": "text", "f": 2.5}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(state, checkpoint_id=str(tmp_path / "c"), no_dist=True)
    value = safeload.load(tmp_path / "c")
    np.testing.assert_array_equal(value["m"]["w"], state["m"]["w"].numpy())
    assert value["m"]["h"].dtype == "bfloat16" and value["s"] == "text" and value["f"] == 2.5
    assert safeload.scan(tmp_path / "c").verdict == "accepted"
