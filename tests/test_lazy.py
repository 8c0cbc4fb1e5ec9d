"""`open`: names, places and slices of a file that is not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builds import dense, pairs, quantized, torch_zip
from hostile.hostile import HOOKS, storage, stream

import safeload
from safeload.lazy import LazyTensor

F4 = np.arange(12, dtype="<f4")
W = dense("FloatStorage", 12, (3, 4), (4, 1))
ROW = dense("FloatStorage", 12, (4,), (1,), offset=8)
DATA = torch_zip(pairs(w=W, sub=pairs(row=ROW), items=f"EMPTY_LIST\nMARK\n{ROW}NONE\n{ROW}APPENDS\n"), {"0": F4.tobytes()})


def opened(listing: str, policy: str = "checkpoint", location: Any = "cpu", nbytes: int = 48) -> Any:
    return safeload.open(torch_zip(listing, {"0": F4.tobytes()[:nbytes]}), location, policy=policy)


def test_names_are_paths_in_file_order() -> None:
    with safeload.open(DATA) as checkpoint:
        assert checkpoint.keys() == ["w", "sub.row", "items.0", "items.2"]
        assert len(checkpoint) == 4 and "sub.row" in checkpoint and "sub" not in checkpoint and 3 not in checkpoint
        assert checkpoint.metadata()["version"].strip() == "3"
        for missing in ("sub", "", "w.0"):
            for ask in (checkpoint.info, checkpoint.get_tensor, checkpoint.get_slice):
                with pytest.raises(KeyError):
                    ask(missing)


@pytest.mark.parametrize("order", ["little", "big"])
def test_info_points_at_the_bytes(tmp_path: Path, order: str) -> None:
    raw = F4.astype("<f4" if order == "little" else ">f4").tobytes()
    path = tmp_path / "m.pt"
    path.write_bytes(torch_zip(pairs(w=W, row=ROW), {"0": raw}, byteorder=order.encode()))
    with safeload.open(path) as checkpoint:
        for name in checkpoint.keys():  # noqa: SIM118
            info = checkpoint.info(name)
            assert info.file_offset is not None and info.dtype == "float32" and info.storage_nbytes == 48 and info.location == "cpu"
            found = np.frombuffer(path.read_bytes()[info.file_offset : info.file_offset + info.nbytes], "<f4" if order == "little" else ">f4")
            assert found.tolist() == checkpoint.get_tensor(name).ravel().tolist()
        row = checkpoint.info("row")
        assert (row.shape, row.strides, row.storage_offset, row.nbytes) == ((4,), (1,), 8, 16)


def test_compressed_storages_have_no_place() -> None:
    with safeload.open(torch_zip(W, {"0": F4.tobytes()}, method=8)) as checkpoint:
        assert checkpoint.info("tensor").file_offset is None and checkpoint.get_tensor("tensor").shape == (3, 4)


def test_slices_equal_slices_of_the_whole() -> None:
    with safeload.open(DATA) as checkpoint:
        part, whole = checkpoint.get_slice("w"), checkpoint.get_tensor("w")
        assert part.shape == (3, 4) and part.dtype == "float32" and "float32" in repr(part)
        for index in (0, -1, slice(1), slice(None, None, 2), (slice(None), 1), ..., (0, 0), np.array([0, 2])):
            assert np.array_equal(part[index], whole[index])
        with pytest.raises(IndexError):
            part[3]


def test_tensors_share_their_storage_and_outlive_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(DATA)
    with safeload.open(path) as checkpoint:
        whole, row = checkpoint.get_tensor("w"), checkpoint.get_tensor("sub.row")
    path.unlink()
    whole[2, 0] = -1.0
    assert row[0] == -1.0


def test_a_closed_checkpoint_says_so(tmp_path: Path) -> None:
    checkpoint = safeload.open(DATA)
    tree = checkpoint.tree()
    checkpoint.close()
    checkpoint.close()
    for ask in (lambda: checkpoint.get_tensor("w"), lambda: checkpoint.get_slice("w")[0], lambda: tree["w"].numpy()):
        with pytest.raises(ValueError, match="closed"):
            ask()
    assert checkpoint.info("w").shape == (3, 4) and "4 tensors" in repr(checkpoint)


def test_the_tree_is_that_of_load() -> None:
    with safeload.open(DATA) as checkpoint:
        tree, value = checkpoint.tree(), safeload.load(DATA)
        assert list(tree) == list(value) and isinstance(tree["w"], LazyTensor) and tree["items"][1] is None
        assert np.array_equal(tree["sub"]["row"].numpy(), value["sub"]["row"])


def test_one_spelling_for_two_paths_is_numbered() -> None:
    listing = f"EMPTY_DICT\nBINUNICODE 'a.b'\n{W}SETITEM\nBINUNICODE 'a'\n{pairs(b=ROW)}SETITEM\nBINUNICODE 'a.b#2'\n{ROW}SETITEM\n"
    with opened(listing) as checkpoint:
        names = checkpoint.keys()
        assert len(names) == len(set(names)) == 3, "no tensor is lost behind another's name"
        assert {"a.b", "a.b#2"} <= set(names) and checkpoint.info("a.b").shape == (3, 4)


def test_a_shared_container_is_named_once_and_a_cycle_ends() -> None:
    cyclic = f"EMPTY_DICT\nBINPUT 1\nBINUNICODE 'w'\n{W}SETITEM\nBINUNICODE 'me'\nBINGET 1\nSETITEM\nBINUNICODE 'l'\nEMPTY_LIST\nBINGET 1\nAPPEND\nSETITEM\n"
    with opened(cyclic) as checkpoint:
        assert checkpoint.keys() == ["w"]
    with opened(
        f"GLOBAL acme K\nEMPTY_TUPLE\nREDUCE\nBINPUT 1\nEMPTY_DICT\nBINUNICODE 'me'\nBINGET 1\nSETITEM\nBINUNICODE 'w'\n{W}SETITEM\nBUILD\n", "inspect"
    ) as checkpoint:
        assert checkpoint.keys() == ["w"]


PLACES = {
    "root": W,
    "deque": f"GLOBAL collections deque\nEMPTY_TUPLE\nREDUCE\nMARK\n{W}APPENDS\n",
    "tuple": f"{W}TUPLE1\n",
    "ordered": f"{HOOKS}BINUNICODE 'w'\n{W}SETITEM\n",
    "defaultdict": f"GLOBAL collections defaultdict\nEMPTY_TUPLE\nREDUCE\nBINUNICODE 'w'\n{W}SETITEM\n",
    "int key": f"EMPTY_DICT\nBININT1 7\n{W}SETITEM\n",
    "tuple key": f"EMPTY_DICT\nBININT1 7\nTUPLE1\n{W}SETITEM\n",
    "namespace": f"GLOBAL argparse Namespace\nEMPTY_TUPLE\nREDUCE\nEMPTY_DICT\nBINUNICODE 'w'\n{W}SETITEM\nBUILD\n",
    "argument": f"GLOBAL acme K\n{W}TUPLE1\nREDUCE\n",
    "keyword": f"GLOBAL acme K\nEMPTY_TUPLE\nEMPTY_DICT\nBINUNICODE 'w'\n{W}SETITEM\nNEWOBJ_EX\n",
    "dict state": f"GLOBAL acme K\nEMPTY_TUPLE\nREDUCE\n{pairs(w=W)}BUILD\n",
    "slots state": f"GLOBAL acme K\nEMPTY_TUPLE\nREDUCE\nNONE\n{pairs(w=W)}TUPLE2\nBUILD\n",
    "list state": f"GLOBAL acme K\nEMPTY_TUPLE\nREDUCE\nEMPTY_LIST\n{W}APPEND\nBUILD\n",
    "tuple state": f"GLOBAL acme K\nEMPTY_TUPLE\nREDUCE\n{W}NONE\nNONE\nTUPLE3\nBUILD\n",
    "tensor state": f"GLOBAL acme K\nEMPTY_TUPLE\nREDUCE\n{W}BUILD\n",
    "appended": f"GLOBAL acme K\nEMPTY_TUPLE\nREDUCE\n{W}APPEND\n",
    "item": f"GLOBAL acme K\nEMPTY_TUPLE\nREDUCE\nBINUNICODE 'w'\n{W}SETITEM\n",
    "parameter": f"GLOBAL torch._utils _rebuild_parameter\n{W}NEWTRUE\n{HOOKS}TUPLE3\nREDUCE\n",
    "storage": storage(numel="BININT1 12"),
    "quantised": quantized("QInt8Storage", 48, (3, 4), (4, 1)),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_tensor_has_a_name(place: str) -> None:
    with opened(PLACES[place], "inspect") as checkpoint:
        names = checkpoint.keys()
        assert len(names) == 1, names
        assert names[0] and isinstance(names[0], str)
        assert checkpoint.get_tensor(names[0]).size in (12, 48) and repr(checkpoint.tree())


def test_meta_gives_shapes_alone() -> None:
    with opened(pairs(w=W), location="meta") as checkpoint:
        assert checkpoint.get_tensor("w").shape == (3, 4)


def test_what_load_refuses_open_refuses() -> None:
    for bad in (b"", stream("GLOBAL posix system\n"), DATA[:-1], stream("EMPTY_DICT\nEMPTY_LIST\nNONE\nSETITEM\n")):
        with pytest.raises(safeload.CheckpointError):
            safeload.open(bad)
    with pytest.raises(TypeError):
        safeload.open(DATA, 1.5)


def test_a_file_without_tensors() -> None:
    with safeload.open(stream("EMPTY_DICT\n")) as checkpoint:
        assert checkpoint.keys() == [] and checkpoint.tree() == {}


class Unwalked(dict[str, Any]):
    """A dict of which single entries may be asked for, and nothing that takes longer the more there are."""

    def walked(self, *_: Any) -> Any:
        raise AssertionError("one tensor was asked for, and all storages were walked")

    __iter__ = keys = items = values = walked


def test_one_tensor_costs_no_walk_over_all_storages() -> None:
    with safeload.open(DATA) as checkpoint:
        (part,) = checkpoint._parts
        part.inputs, part.placed = Unwalked(part.inputs), Unwalked(part.placed)
        assert checkpoint.get_tensor("w").shape == (3, 4)
        assert checkpoint.get_slice("sub.row")[1:].shape == (3,)
