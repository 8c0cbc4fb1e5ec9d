"""Whole files on simulated devices: what `load` and `open` put there is what they put on the CPU, byte for byte, for every kind of file that there is.

The corpus holds zips, legacy files, tars, safetensors, compressed and big-endian ones; the generated files hold every dtype, views that overlap, expand and
transpose, and storages that are shared, spread over devices, deflated or turned around.
"""

from __future__ import annotations

import gc
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builds import CONJ, NEG, dense, dense_v3, pairs, torch_zip
from corpus.manifest import Entry, entries
from hypothesis import given, settings
from hypothesis import strategies as st

import safeload
from safeload.placement.settings import Transfer

from .fake_device import simulated
from .simulator import Block

TINY = Transfer(slot_bytes=64, ring_bytes=256, batch_bytes=512, large_bytes=300, threads=2)
ROOM = 1 << 30


def bits(array: Any) -> tuple[str, tuple[int, ...], bytes]:
    flat = np.asarray(array)
    return str(flat.dtype), flat.shape, np.ascontiguousarray(flat).view(np.ndarray).tobytes()


def on_device(array: Any) -> bool:
    """Is the memory under it the simulator's?"""
    while isinstance(array, np.ndarray) and not isinstance(array, Block):
        array = array.base
    return isinstance(array, Block)


def address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


def tensors_of(entry: Entry, map_location: str, transfer: Transfer | None = None) -> dict[str, tuple[str, tuple[int, ...], bytes]] | None:
    """All dense tensors of a file of the corpus; None for one that is not for loading."""
    data = io.BytesIO(entry.path.read_bytes())
    data.seek(entry.start)
    source = entry.path if not entry.start else data
    try:
        checkpoint = safeload.open(source, map_location, policy="inspect", encoding=entry.encoding, transfer=transfer)
    except safeload.CheckpointError:
        return None
    with checkpoint:
        found = checkpoint.get_tensors()
        return {name: bits(array) for name, array in found.items() if not hasattr(array, "requires_grad")}  # MetaTensor has no bytes


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.file)
def test_the_corpus_is_the_same_on_a_device(entry: Entry) -> None:
    on_cpu = tensors_of(entry, "cpu")
    if on_cpu is None:
        return  # what `open` says of it is the corpus tests' business
    with simulated(count=2, capacity=ROOM, eager=0.3) as backend:
        assert tensors_of(entry, "cuda:1", Transfer(slot_bytes=4096, ring_bytes=16384, threads=2, large_bytes=1000)) == on_cpu
        assert {device for device, _ in backend.simulator.copies} <= {1}
        gc.collect()
        assert backend.simulator.live == {}


KINDS = {  # storage class -> bytes of an element
    "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "DoubleStorage": 8, "LongStorage": 8, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1,
    "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16,
}  # fmt: skip
NEW_DTYPES = {"float8_e4m3fn": 1, "float8_e5m2": 1, "complex32": 4, "uint16": 2, "uint4": 1, "int4": 1}
GEOMETRIES = [
    ((16,), (1,)), ((4, 4), (4, 1)), ((4, 4), (1, 4)), ((3, 5), (5, 1)), ((4, 1000), (1, 0)), ((7,), (2,)), ((5, 3), (2, 1)), ((0, 3), (3, 1)), ((), ()),
]  # fmt: skip


@st.composite
def checkpoints(draw: st.DrawFn) -> tuple[bytes, int]:
    """A torch zip of some storages with some views of each."""
    listings: dict[str, str] = {}
    storages: dict[str, bytes] = {}
    for key in range(draw(st.integers(0, 6))):
        count = draw(st.sampled_from([24, 40, 200]))
        tag = draw(st.sampled_from(["cpu", "cuda:0", "cuda:1"]))
        style = draw(st.integers(0, 3))
        name = draw(st.sampled_from(sorted(NEW_DTYPES if style == 0 else KINDS)))
        item = (NEW_DTYPES if style == 0 else KINDS)[name]
        seed = draw(st.integers(0, 1 << 16))
        storages[str(key)] = np.random.default_rng(seed).bytes(count * item)
        for view in range(draw(st.integers(1, 3))):
            shape, strides = draw(st.sampled_from(GEOMETRIES))
            offset = draw(st.integers(0, 3))
            if style == 0:
                listing = dense_v3(name, count * item, shape, strides, key=str(key), offset=offset)
            else:
                marks = draw(st.sampled_from(["", "", CONJ, NEG])) if name.startswith("Complex") else ""
                listing = dense(name, count, shape, strides, key=str(key), tag=tag, offset=offset, marks=marks)
            listings[f"{key}.{view}"] = listing
    byteorder = draw(st.sampled_from([b"little", b"little", b"big"]))
    return torch_zip(pairs(**listings), storages, byteorder=byteorder, method=draw(st.sampled_from([0, 0, 8]))), len(storages)


@settings(max_examples=30)
@given(checkpoints(), st.floats(0, 0.9), st.booleans())
def test_generated_files_are_the_same_on_devices(file: tuple[bytes, int], eager: float, small: bool) -> None:
    data, _ = file
    expected = safeload.load(data, "cpu")
    with simulated(count=2, capacity=ROOM, eager=eager) as backend:
        for map_location in ("cuda:1", None, {"cuda:0": "cuda:1", "cuda:1": "cpu"}, lambda storage, tag: storage.cuda(1) if storage.nbytes % 3 else None):
            value = safeload.load(data, map_location, transfer=TINY if small else None)
            backend.simulator.settle()
            assert value.keys() == expected.keys()
            assert {name: (bits(array), array.strides) for name, array in value.items()} == {
                name: (bits(array), array.strides) for name, array in expected.items()
            }
        assert backend.simulator.peak_pinned <= Transfer().ring_bytes
        del value
        gc.collect()
        assert backend.simulator.live == {}


@settings(max_examples=30)
@given(checkpoints())
def test_tensors_of_one_storage_share_it_on_the_device(file: tuple[bytes, int]) -> None:
    data, count = file
    expected = safeload.load(data, "cpu")
    with simulated(count=2, capacity=ROOM) as backend:
        value = safeload.load(data, "cuda:0", transfer=TINY)
        names = [name for name in value if value[name].size]
        for one, other in zip(names, names[1:], strict=False):
            if np.shares_memory(np.asarray(expected[one]), np.asarray(expected[other])):
                assert address(value[other]) - address(value[one]) == address(expected[other]) - address(expected[one])
        copied = sum(nbytes for _, nbytes in backend.simulator.copies)
        assert copied <= 2 * len(data) + 64 * count * 200, "expanded views cost what their storage costs"


def test_where_each_storage_lands() -> None:
    listing = pairs(
        a=dense("FloatStorage", 4, (4,), (1,), key="0", tag="cuda:0"),
        b=dense("FloatStorage", 4, (2, 2), (2, 1), key="1", tag="cuda:1"),
        c=dense("FloatStorage", 4, (4,), (1,), key="2", tag="cpu"),
    )
    data = torch_zip(listing, {key: np.arange(4, dtype="f4").tobytes() for key in "012"})
    with simulated() as backend:
        value = safeload.load(data)
        assert [on_device(value[name]) for name in "abc"] == [True, True, False]
        assert sorted(backend.simulator.allocations) == [(0, 16), (1, 16)]
        meta = safeload.load(data, {"cuda:0": "meta", "cuda:1": "meta"})
        assert len(backend.simulator.allocations) == 2 and meta["a"].device == "meta"
        with pytest.raises(safeload.DeviceUnavailable, match="on CUDA device 7 but the device count is 2"):
            safeload.load(data, "cuda:7")


def test_thousands_of_tensors_are_one_allocation_and_one_copy() -> None:
    count = 3_000
    listing = pairs(**{f"t{number}": dense("FloatStorage", 4, (2, 2), (2, 1), key=str(number)) for number in range(count)})
    data = torch_zip(listing, {str(number): np.full(4, number, "f4").tobytes() for number in range(count)})
    with simulated(capacity=ROOM) as backend:
        value = safeload.load(data, "cuda:0")
        assert len(backend.simulator.allocations) == 1 and len(backend.simulator.copies) == 1
        assert all(float(value[f"t{number}"][0, 0]) == number for number in range(0, count, 997))


def test_a_damaged_deflated_storage_frees_everything() -> None:
    listing = pairs(a=dense("FloatStorage", 1000, (1000,), (1,), key="0"), b=dense("FloatStorage", 1000, (1000,), (1,), key="1"))
    contents = {"0": bytes(4000), "1": np.random.default_rng(1).bytes(4000)}
    data = torch_zip(listing, contents, method=8)
    at = data.index(b"a/data/1") + 400
    damaged = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
    with simulated(capacity=ROOM) as backend:
        with pytest.raises(safeload.CheckpointError):
            safeload.load(damaged, "cuda", transfer=TINY)
        assert backend.simulator.live == {}


def test_a_checkpoint_that_is_lazy_moves_storages_together(tmp_path: Path) -> None:
    names = [f"t{number}" for number in range(50)]
    listing = pairs(**{name: dense("FloatStorage", 16, (4, 4), (4, 1), key=name) for name in names})
    path = tmp_path / "model.pt"
    path.write_bytes(torch_zip(listing, {name: np.full(16, number, "f4").tobytes() for number, name in enumerate(names)}))
    with simulated() as backend, safeload.open(path, "cuda") as checkpoint:
        assert backend.simulator.copies == []
        some = checkpoint.get_tensors(names[:10])
        assert list(some) == names[:10] and len(backend.simulator.copies) == 1
        everything = checkpoint.get_tensors()
        assert len(backend.simulator.copies) == 2, "what is there already is not moved again"
        assert everything["t3"] is not some["t3"] and np.shares_memory(everything["t3"], some["t3"])
        assert float(everything["t49"][3, 3]) == 49
        with pytest.raises(KeyError):
            checkpoint.get_tensors(["t1", "nothing"])


def test_the_ring_bounds_the_host_whatever_the_file() -> None:
    """Deflated, big-endian and bool storages too: they are made in the slots."""
    listing = pairs(a=dense("BoolStorage", 100_000, (100_000,), (1,), key="0"), b=dense("DoubleStorage", 20_000, (20_000,), (1,), key="1"))
    contents = {"0": bytes(range(4)) * 25_000, "1": np.arange(20_000, dtype=">f8").tobytes()}
    settings = Transfer(slot_bytes=4096, ring_bytes=16384, threads=2)
    for method in (0, 8):
        data = torch_zip(listing, contents, byteorder=b"big", method=method)
        with simulated(capacity=ROOM) as found:
            value = safeload.load(data, "cuda", transfer=settings)
            assert found.simulator.peak_pinned <= 16384
            assert value["b"].tolist() == list(range(20_000)) and value["a"][:4].tolist() == [False, True, True, True]
            assert value["a"].view(np.uint8).max() == 1
