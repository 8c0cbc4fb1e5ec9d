"""Each rank its own part: `get_slice` and `get_shards` read just that, on the CPU and on simulated devices, in one process and in several."""

from __future__ import annotations

import gc
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builds import dense, pairs, torch_zip

import safeload
from safeload.placement.settings import Transfer
from safeload.rebuild.cuts import is_basic, share
from safeload.source import ByteSource

from .fake_device import simulated

ROWS, COLUMNS = 96, 80
NUMBERS = np.arange(ROWS * COLUMNS, dtype="f4").reshape(ROWS, COLUMNS)
TINY = Transfer(slot_bytes=256, ring_bytes=1024, batch_bytes=1 << 16, large_bytes=1 << 15, threads=2)


def write(path: Path, *, method: int = 0, byteorder: bytes = b"little") -> Path:
    order = "<" if byteorder == b"little" else ">"
    listing = pairs(
        column=dense("FloatStorage", ROWS * COLUMNS, (ROWS, COLUMNS), (COLUMNS, 1), key="0"),
        row=dense("FloatStorage", ROWS * COLUMNS, (ROWS, COLUMNS), (COLUMNS, 1), key="1"),
        tied=dense("FloatStorage", ROWS * COLUMNS, (COLUMNS, ROWS), (1, COLUMNS), key="0"),
        norm=dense("FloatStorage", 7, (7,), (1,), key="2"),
        step=dense("LongStorage", 1, (), (), key="3"),
    )
    contents = {"0": NUMBERS.astype(order + "f4").tobytes(), "1": (-NUMBERS).astype(order + "f4").tobytes()}
    contents |= {"2": np.arange(7, dtype=order + "f4").tobytes(), "3": np.array(9, order + "i8").tobytes()}
    path.write_bytes(torch_zip(listing, contents, method=method, byteorder=byteorder))
    return path


DIMS = {"column": 0, "row": 1, "tied": 1, "step": 0}


def check(shards: list[dict[str, Any]]) -> None:
    for name, whole in (("column", NUMBERS), ("row", -NUMBERS), ("tied", NUMBERS.T)):
        assert np.array_equal(np.concatenate([np.asarray(shard[name]) for shard in shards], axis=DIMS[name]), whole)
    for shard in shards:
        assert np.asarray(shard["norm"]).tolist() == list(range(7)), "a name that the dict lacks is whole"
        assert int(shard["step"]) == 9, "no dimension to cut"
        assert list(shard) == ["column", "row", "tied", "norm", "step"]


@pytest.mark.parametrize("world", [1, 2, 3, 5, 200])
@pytest.mark.parametrize("how", [{}, {"method": 8}, {"byteorder": b"big"}])
def test_the_shards_together_are_the_whole(tmp_path: Path, world: int, how: dict[str, Any]) -> None:
    path = write(tmp_path / "model.pt", **how)
    ranks = range(world) if world < 10 else (0, 1, 95, 96, 199)
    with safeload.open(path) as checkpoint:
        on_cpu = [checkpoint.get_shards(rank, world, DIMS) for rank in ranks]
    with simulated(count=2, capacity=1 << 30, eager=0.3) as backend:
        shards = []
        for rank in ranks:
            with safeload.open(path, f"cuda:{rank % 2}", transfer=TINY) as checkpoint:
                shards.append(checkpoint.get_shards(rank, world, DIMS))
        backend.simulator.settle()
        for one, other in zip(on_cpu, shards, strict=True):
            assert {name: np.asarray(array).tolist() for name, array in one.items()} == {name: np.asarray(array).tolist() for name, array in other.items()}
        if world < 10:
            check(on_cpu)
            check(shards)
        del shards, other, checkpoint  # which keeps what it has placed
        gc.collect()
        assert backend.simulator.live == {}


def test_only_a_rank_s_own_bytes_are_read_and_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "model.pt")
    read: list[int] = []
    into = ByteSource.read_into

    def counted(self: ByteSource, offset: int, target: memoryview) -> None:
        read.append(len(target))
        into(self, offset, target)

    monkeypatch.setattr(ByteSource, "read_into", counted)
    with simulated(capacity=1 << 20) as backend, safeload.open(path, "cuda") as checkpoint:
        shard = checkpoint.get_shards(1, 4, 0, names=["column"])
        quarter = NUMBERS.nbytes // 4
        assert shard["column"].tolist() == NUMBERS[24:48].tolist() and sum(read) == quarter
        assert sum(nbytes for _, nbytes in backend.simulator.allocations) == quarter
        turned = checkpoint.get_shards(1, 4, 1, names=["row"])
        assert turned["row"].tolist() == (-NUMBERS)[:, 20:40].tolist()
        assert sum(nbytes for _, nbytes in backend.simulator.allocations) == 2 * quarter, "and no more on the device"


def test_a_slice_is_cut_on_the_host_until_the_tensor_is_on_the_device(tmp_path: Path) -> None:
    with simulated(capacity=1 << 20) as backend, safeload.open(write(tmp_path / "model.pt"), "cuda") as checkpoint:
        part = checkpoint.get_slice("column")[10:20:3, ..., :5]
        assert part.tolist() == NUMBERS[10:20:3, :5].tolist() and backend.simulator.allocations == [(0, 4 * 5 * 4)]
        assert checkpoint.get_slice("column")[3, 4].tolist() == NUMBERS[3, 4] and len(backend.simulator.allocations) == 2
        whole = checkpoint.get_tensor("column")
        again = checkpoint.get_slice("column")[10:20]
        assert np.shares_memory(whole, again) and len(backend.simulator.allocations) == 3
        chosen = checkpoint.get_slice("row")[[1, 3]]  # no view: it takes the tensor to the device first
        assert chosen.tolist() == (-NUMBERS)[[1, 3]].tolist() and backend.simulator.allocations[-1] == (0, NUMBERS.nbytes)
        with pytest.raises(IndexError):
            checkpoint.get_slice("tied")[1000]
    with pytest.raises(ValueError, match="closed"):
        checkpoint.get_slice("norm")[:2]


def test_meta_has_nothing_to_cut(tmp_path: Path) -> None:
    with safeload.open(write(tmp_path / "model.pt"), "meta") as checkpoint, pytest.raises(ValueError, match="no data to take a slice of"):
        checkpoint.get_shards(0, 2)


@pytest.mark.parametrize(("rank", "world"), [(2, 2), (-1, 2), (0, 0), (True, 2), (0, 1.5)])
def test_a_rank_outside_of_the_world(tmp_path: Path, rank: Any, world: Any) -> None:
    with safeload.open(write(tmp_path / "model.pt")) as checkpoint, pytest.raises(ValueError, match="0 <= rank < world"):
        checkpoint.get_shards(rank, world)


def test_dims_may_be_a_function(tmp_path: Path) -> None:
    with safeload.open(write(tmp_path / "model.pt")) as checkpoint:
        shard = checkpoint.get_shards(0, 2, lambda name, info: None if name == "norm" else -1)
        assert {name: np.asarray(array).shape for name, array in shard.items()} == {
            "column": (96, 40), "row": (96, 40), "tied": (80, 48), "norm": (7,), "step": ()
        }  # fmt: skip
        with pytest.raises(TypeError, match="a number or None, not str"):
            checkpoint.get_shards(0, 2, {"norm": "0"})  # type: ignore[dict-item]


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100])
@pytest.mark.parametrize("world", [1, 2, 3, 8, 13])
def test_shares_are_those_of_torch_chunk(length: int, world: int) -> None:
    parts = [list(range(length))[share(length, rank, world)] for rank in range(world)]
    assert [number for part in parts for number in part] == list(range(length))
    size = -(-length // world)
    assert all(len(part) == size for part in parts if part and part is not parts[-1] and part[-1] != length - 1)
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if length:
        assert [part for part in parts if part] == [chunk.tolist() for chunk in torch.arange(length).chunk(world)]


@pytest.mark.parametrize("index", [1, np.int64(1), slice(2), ..., None, (1, slice(3))])
def test_what_gives_a_view(index: Any) -> None:
    assert is_basic(index)


@pytest.mark.parametrize("index", [[1], True, np.array([1]), np.bool_(True), "a", (slice(2), [1])])
def test_what_gives_a_copy(index: Any) -> None:
    assert not is_basic(index)


def of_rank(path: str, rank: int, world: int, results: Any) -> None:
    """What a process of a tensor-parallel job does; counts what it reads."""
    read = [0]
    into = ByteSource.read_into

    def counted(self: ByteSource, offset: int, target: memoryview) -> None:
        read[0] += len(target)
        into(self, offset, target)

    ByteSource.read_into = counted  # type: ignore[method-assign]
    with simulated(capacity=1 << 20) as backend, safeload.open(path, "cuda:0") as checkpoint:
        shard = checkpoint.get_shards(rank, world, DIMS)
        arrays = {name: np.asarray(array).view(np.ndarray).copy() for name, array in shard.items()}
        results.put((rank, read[0], sum(nbytes for _, nbytes in backend.simulator.allocations), arrays))


def test_processes_each_read_their_own_part(tmp_path: Path) -> None:
    path, world = write(tmp_path / "model.pt"), 2
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=of_rank, args=(str(path), rank, world, results)) for rank in range(world)]
    for process in processes:
        process.start()
    found = sorted((results.get(timeout=300) for _ in processes), key=lambda result: result[0])
    for process in processes:
        process.join()
        assert process.exitcode == 0
    check([arrays for _, _, _, arrays in found])
    half = NUMBERS.nbytes // 2
    for _, read, allocated, _ in found:
        assert half < read < half + 200, "of `column`, and what is whole with a header between; slices across rows are taken from the map"
        assert allocated <= 3 * half + 128 + 7 * 4 + 8
