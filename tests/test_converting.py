"""Checkpoints as .safetensors and .npz: the same tensors, by the word of the formats' own readers; nothing is lost without a word, and no half file stays."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builds import CONJ, dense, dense_v3, pairs, torch_zip
from safetensors import deserialize, safe_open

import safeload
from safeload.containers.safetensors import DTYPES
from safeload.converting import Conversion, NotConvertible, planned, write
from tests.corpus.manifest import Entry, entries

FLOATS = np.arange(12, dtype="<f4").tobytes()
SIX = dense("FloatStorage", 12, (2, 3), (3, 1))
TURNED = dense("FloatStorage", 12, (3, 2), (1, 3))
TAIL = dense("FloatStorage", 12, (4,), (1,), offset=8)


def plan(data: bytes, **options: Any) -> Conversion:
    with safeload.open(data, policy=options.pop("policy", None)) as checkpoint:
        return planned(checkpoint, **options)


def written(data: bytes, folder: Path, format_: Any = "safetensors", **options: Any) -> Path:
    target = folder / f"out.{format_}"
    with safeload.open(data, policy=options.pop("policy", None)) as checkpoint:
        size = write(planned(checkpoint, **options), str(target), format_)
    assert size == target.stat().st_size
    assert os.listdir(folder) == [target.name]
    assert safeload.scan(target).verdict == "accepted"
    return target


def floats(path: Path) -> dict[str, Any]:
    return {name: np.frombuffer(bytes(entry["data"]), "<f4").reshape(entry["shape"]).tolist() for name, entry in deserialize(path.read_bytes())}


# ---- what is in the file ------------------------------------------------------------------------------------------------------------------


def test_views_are_written_as_what_they_show(tmp_path: Path) -> None:
    data = torch_zip(pairs(six=SIX, turned=TURNED, tail=TAIL), {"0": FLOATS})
    found = floats(written(data, tmp_path))
    assert found == {"six": [[0, 1, 2], [3, 4, 5]], "turned": [[0, 3], [1, 4], [2, 5]], "tail": [8, 9, 10, 11]}


@pytest.mark.parametrize("entry", [pytest.param(each, id=each.file) for each in entries()])
def test_safetensors_reads_the_tensors_of_the_corpus(entry: Entry, tmp_path: Path) -> None:
    """Every dense tensor that a file holds: dtype, shape and bytes, by safetensors' own reader."""
    try:
        checkpoint = safeload.open(entry.data(), policy="inspect", encoding=entry.encoding)
    except safeload.CheckpointError:
        return  # tests/corpus says which of them must open
    with checkpoint:
        try:
            conversion = planned(checkpoint, tensors_only=True)
            write(conversion, str(tmp_path / "out.safetensors"), "safetensors")
        except NotConvertible as error:
            assert any(why in str(error) for why in ("there is no dense tensor", "has no such dtype")), error
            assert not list(tmp_path.iterdir())
            return
        theirs = dict(deserialize((tmp_path / "out.safetensors").read_bytes()))
        assert sorted(theirs) == sorted(part.name for part in conversion.parts)
        for part in conversion.parts:
            array = np.asarray(part.tensor.numpy())
            little = array.astype(array.dtype.newbyteorder("<")) if array.dtype.byteorder == ">" else array
            bits, name = DTYPES[theirs[part.name]["dtype"]]
            assert (name, bits) == (part.dtype, array.dtype.itemsize * 8)
            assert tuple(theirs[part.name]["shape"]) == array.shape
            assert bytes(theirs[part.name]["data"]) == little.tobytes()


def test_most_of_the_corpus_converts() -> None:
    """So that the test above holds something."""
    count = 0
    for entry in entries():
        try:
            conversion = plan(entry.data(), policy="inspect", tensors_only=True)
        except safeload.SafeloadError:
            continue
        count += bool(conversion.parts)
    assert count >= len(entries()) // 3


def test_npz(tmp_path: Path) -> None:
    data = torch_zip(pairs(**{"layer.six": SIX, "turned": TURNED}), {"0": FLOATS})
    with np.load(written(data, tmp_path, "npz"), allow_pickle=False) as found:
        assert {name: found[name].tolist() for name in found} == {"layer.six": [[0, 1, 2], [3, 4, 5]], "turned": [[0, 3], [1, 4], [2, 5]]}


def test_the_bits_of_a_view_are_resolved(tmp_path: Path) -> None:
    """A conjugated view shows other numbers than its storage holds."""
    complexes = np.array([1 + 2j, 3 - 4j], "<c8")
    data = torch_zip(pairs(z=dense("ComplexFloatStorage", 2, (2,), (1,), marks=CONJ)), {"0": complexes.tobytes()})
    ((_, entry),) = deserialize(written(data, tmp_path).read_bytes())
    assert np.frombuffer(bytes(entry["data"]), "<c8").tolist() == complexes.conj().tolist()


def test_a_big_endian_checkpoint(tmp_path: Path) -> None:
    data = torch_zip(pairs(six=SIX), {"0": np.arange(12, dtype=">f4").tobytes()}, byteorder=b"big")
    assert floats(written(data, tmp_path)) == {"six": [[0, 1, 2], [3, 4, 5]]}


def test_two_values_in_a_byte(tmp_path: Path) -> None:
    """torch counts pairs, safetensors the numbers themselves."""
    data = torch_zip(pairs(four=dense_v3("float4_e2m1fn_x2", 6, (2, 3), (3, 1))), {"0": bytes(range(6))})
    ((_, entry),) = deserialize(written(data, tmp_path).read_bytes())
    assert (entry["dtype"], list(entry["shape"]), bytes(entry["data"])) == ("F4", [2, 6], bytes(range(6)))


def test_wide_tensors_stand_first_so_that_all_are_aligned(tmp_path: Path) -> None:
    listing = pairs(a=dense("ByteStorage", 3, (3,), (1,), key="1"), b=SIX, c=dense("DoubleStorage", 1, (1,), (1,), key="2"))
    target = written(torch_zip(listing, {"0": FLOATS, "1": b"abc", "2": bytes(8)}), tmp_path)
    length = int.from_bytes(target.read_bytes()[:8], "little")
    header = json.loads(target.read_bytes()[8 : 8 + length])
    assert length % 8 == 0
    assert [name for name, _ in sorted(header.items(), key=lambda item: item[1]["data_offsets"])] == ["c", "b", "a"]


# ---- what shares a storage ----------------------------------------------------------------------------------------------------------------


def test_one_tensor_by_two_names(tmp_path: Path) -> None:
    data = torch_zip(pairs(embed=SIX, tail=TAIL, head=SIX), {"0": FLOATS})
    twice = plan(data)
    assert ([part.name for part in twice.parts], twice.shared, twice.aliases) == (["embed", "tail", "head"], 1, {})
    target = written(data, tmp_path, once=True, metadata={"format": "pt"})
    with safe_open(target, "np") as file:
        assert sorted(file.keys()) == ["embed", "tail"]
        assert file.metadata() == {"format": "pt", "head": "embed"}


def test_views_that_differ_are_two_tensors() -> None:
    conversion = plan(torch_zip(pairs(six=SIX, turned=TURNED), {"0": FLOATS}), once=True)
    assert ([part.name for part in conversion.parts], conversion.aliases) == (["six", "turned"], {})


# ---- what is no dense tensor --------------------------------------------------------------------------------------------------------------

TRAINED = torch_zip(
    "EMPTY_DICT\nBINUNICODE 'epoch'\nBININT1 3\nSETITEM\nBINUNICODE 'model'\n"
    + pairs(w=SIX)
    + "SETITEM\nBINUNICODE 'optimizer'\nEMPTY_DICT\nBINUNICODE 'lr'\nBINFLOAT 0.5\nSETITEM\nSETITEM\n",
    {"0": FLOATS},
)


def test_nothing_is_left_out_without_a_word(tmp_path: Path) -> None:
    with pytest.raises(NotConvertible, match=r"beside 1 tensor there is a value of type int \(epoch\) and 1 more.*--at model \(1 tensors\)"):
        plan(TRAINED)
    conversion = plan(TRAINED, tensors_only=True)
    assert [part.name for part in conversion.parts] == ["model.w"]
    assert conversion.left_out == (("epoch", "a value of type int"), ("optimizer.lr", "a value of type float"))
    assert floats(written(TRAINED, tmp_path, at="model")) == {"w": [[0, 1, 2], [3, 4, 5]]}


def test_a_path_that_leads_nowhere() -> None:
    with pytest.raises(NotConvertible, match=r"nothing that holds tensors is called 'modle' in this file; choose --at model"):
        plan(TRAINED, at="modle")
    with pytest.raises(NotConvertible, match="there is no dense tensor at optimizer"):
        plan(TRAINED, at="optimizer", tensors_only=True)


def test_an_object_that_stands_in_two_places_is_not_lost() -> None:
    """Its tensors have their names once; that it stands elsewhere too is something a flat file cannot say."""
    listing = "EMPTY_DICT\nBINUNICODE 'a'\n" + pairs(w=SIX) + "BINPUT 9\nSETITEM\nBINUNICODE 'b'\nBINGET 9\nSETITEM\n"
    data = torch_zip(listing, {"0": FLOATS})
    with pytest.raises(NotConvertible, match=r"there is the object that is a, too \(b\)"):
        plan(data)
    assert [part.name for part in plan(data, tensors_only=True).parts] == ["a.w"]


def test_a_value_that_holds_itself_ends() -> None:
    listing = "EMPTY_LIST\nBINPUT 9\n" + SIX + "APPEND\nBINGET 9\nAPPEND\n"
    assert [part.name for part in plan(torch_zip(listing, {"0": FLOATS}), tensors_only=True).parts] == ["0"]


def test_what_a_format_lacks(tmp_path: Path) -> None:
    bfloats = torch_zip(pairs(b=dense("BFloat16Storage", 2, (2,), (1,))), {"0": bytes(4)})
    with pytest.raises(NotConvertible, match=r"b is of bfloat16, which is no dtype of numpy's own"):
        written(bfloats, tmp_path, "npz")
    doubles = torch_zip(pairs(z=dense("ComplexDoubleStorage", 1, (1,), (1,))), {"0": bytes(16)})
    with pytest.raises(NotConvertible, match=r"z is of complex128, and .safetensors has no such dtype"):
        written(doubles, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "format_", "why"), [("__metadata__", "safetensors", "the name of something else"), ("file", "npz", "no array with the name")])
def test_names_that_mean_something_else_there(name: str, format_: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(NotConvertible, match=why):
        written(torch_zip(pairs(**{name: SIX}), {"0": FLOATS}), tmp_path, format_)
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    """Half of a surrogate pair: pickle can write it, and UTF-8 cannot."""
    with pytest.raises(NotConvertible, match="no Unicode text"):
        written(torch_zip(pairs(**{"\\ud800": SIX}), {"0": FLOATS}), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../../climbs", "/absolute", "a\\0b"])
def test_names_that_would_hurt_whoever_unpacks_an_npz(name: str, tmp_path: Path) -> None:
    """The names are the file's; an .npz is a zip that people unpack. What our own reader does not accept, or finds under another name, is not left behind."""
    with pytest.raises(safeload.SafeloadError):
        written(torch_zip(pairs(**{name: SIX}), {"0": FLOATS}), tmp_path, "npz")
    assert not list(tmp_path.iterdir())


# ---- the file itself ----------------------------------------------------------------------------------------------------------------------


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    target = tmp_path / "out.safetensors"
    target.write_bytes(b"mine")
    data = torch_zip(pairs(six=SIX), {"0": FLOATS})
    with safeload.open(data) as checkpoint:
        with pytest.raises(FileExistsError):
            write(planned(checkpoint), str(target), "safetensors")
        assert target.read_bytes() == b"mine"
        write(planned(checkpoint), str(target), "safetensors", force=True)
    assert floats(target) == {"six": [[0, 1, 2], [3, 4, 5]]}
    assert os.listdir(tmp_path) == [target.name]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    target = str(tmp_path / "none" / "out.npz")
    with safeload.open(torch_zip(pairs(six=SIX), {"0": FLOATS})) as checkpoint, pytest.raises(OSError, match="No such file") as caught:
        write(planned(checkpoint), target, "npz")
    assert caught.value.filename == target


def test_a_checkpoint_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    """Between writing and comparing: what was written is not what the checkpoint holds now, so it does not get its name."""
    source = tmp_path / "in.pt"
    source.write_bytes(torch_zip(pairs(six=SIX), {"0": FLOATS}))
    at = source.read_bytes().index(FLOATS)
    changed = False

    def change(_: int) -> None:
        nonlocal changed
        if not changed:
            changed = True
            with source.open("r+b") as file:
                file.seek(at)
                file.write(b"\xff" * 4)

    with safeload.open(source) as checkpoint, pytest.raises(NotConvertible, match="did the checkpoint change"):
        write(planned(checkpoint), str(tmp_path / "out.safetensors"), "safetensors", advance=change)
    assert os.listdir(tmp_path) == ["in.pt"]


def test_progress_counts_every_byte_twice(tmp_path: Path) -> None:
    told: list[int] = []
    with safeload.open(torch_zip(pairs(six=SIX, tail=TAIL), {"0": FLOATS})) as checkpoint:
        conversion = planned(checkpoint)
        write(conversion, str(tmp_path / "out.safetensors"), "safetensors", advance=told.append)
    assert sum(told) == 2 * conversion.nbytes
