"""transfer: whatever the device does late, the bytes arrive; whatever fails, everything is given back. Held by the simulator for generated storages."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeload.errors import CheckpointError, DeviceUnavailable, StorageError
from safeload.limits import Limits
from safeload.placement.reader import Extent, HostReader
from safeload.placement.settings import Transfer
from safeload.placement.streamed import streamed
from safeload.source import ByteSource, open_source

from .fake_device import FakeStreaming
from .simulator import STALE, Simulator

SMALL = Transfer(slot_bytes=128, ring_bytes=512, batch_bytes=1024, large_bytes=700, threads=2)


class Stored:
    """A storage that stands in a file as it is."""

    in_order = False

    def __init__(self, source: Any, offset: int, nbytes: int) -> None:
        self.extent, self.nbytes = Extent(source=source, offset=offset), nbytes

    def read_into(self, start: int, target: memoryview) -> None:
        raise AssertionError("it is read from its file")


class Made:
    """A storage that has to be made, piece by piece; with `in_order` it says so if it is asked in another."""

    extent = None

    def __init__(self, content: bytes, *, in_order: bool = False, fails_at: int | None = None, error: BaseException | None = None) -> None:
        self.content, self.in_order, self.fails_at, self.error = content, in_order, fails_at, error
        self.nbytes, self.next = len(content), 0

    def read_into(self, start: int, target: memoryview) -> None:
        if self.fails_at is not None and start + len(target) > self.fails_at:
            raise self.error or StorageError("the file is damaged here", rule="SL402")
        if self.in_order:
            assert start == self.next, "asked out of order"
            self.next += len(target)
        target[:] = self.content[start : start + len(target)]


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, list[tuple[int, int]], list[tuple[bytes, bool]]]:
    """The bytes of a file, (offset, length) of storages in it, and contents of storages that are made."""
    extents, end = [], 0
    for _ in range(draw(st.integers(0, 12))):
        start = end + draw(st.sampled_from([0, 8, 64, 100, 5000]))
        length = draw(st.one_of(st.integers(0, 64), st.integers(0, 1500)))
        extents.append((start, length))
        end = start + length
    content = np.random.default_rng(draw(st.integers(0, 9))).bytes(end)
    made = [(np.random.default_rng(seed).bytes(draw(st.integers(0, 900))), draw(st.booleans())) for seed in range(draw(st.integers(0, 4)))]
    return content, extents, made


def shown(buffer: Any) -> bytes:
    return np.asarray(buffer.memory).view(np.ndarray).tobytes()


@settings(max_examples=40)
@given(files(), st.integers(1, 4), st.floats(0, 0.9), st.integers(0, 1000), st.booleans())
def test_every_storage_arrives_whatever_is_late(
    file: tuple[bytes, list[tuple[int, int]], list[tuple[bytes, bool]]], threads: int, eager: float, seed: int, direct: bool
) -> None:
    content, extents, made = file
    simulator = Simulator(count=2, eager=eager, seed=seed)
    backend = FakeStreaming(simulator)
    source = ByteSource(name="file", size=len(content), buffer=content)
    readers: dict[str, Any] = {f"stored{number}": Stored(source, start, length) for number, (start, length) in enumerate(extents)}
    readers |= {f"made{number}": Made(part, in_order=in_order) for number, (part, in_order) in enumerate(made)}
    how = Transfer(slot_bytes=128, ring_bytes=1024, batch_bytes=1024, large_bytes=700, threads=threads, direct=direct)
    buffers = streamed({name: (reader, number % 2) for number, (name, reader) in enumerate(readers.items())}, backend, how)
    simulator.settle()  # what is late by now would overwrite it
    for number, (start, length) in enumerate(extents):
        assert shown(buffers[f"stored{number}"]) == content[start : start + length]
    for number, (part, _) in enumerate(made):
        assert shown(buffers[f"made{number}"]) == part
    assert {buffer.device for name, buffer in buffers.items()} <= {0, 1}
    assert simulator.peak_pinned <= how.ring_bytes
    assert simulator.current() == 0
    del buffers
    gc.collect()
    assert simulator.live == {}


@settings(max_examples=40)
@given(files(), st.integers(1, 3), st.integers(0, 3), st.floats(0, 0.9))
def test_a_damaged_file_leaves_nothing_behind(file: Any, threads: int, fails_at: int, eager: float) -> None:
    content, extents, _ = file
    simulator = Simulator(count=1, eager=eager)
    source = ByteSource(name="file", size=len(content), buffer=content)
    readers: dict[str, Any] = {str(number): Stored(source, start, length) for number, (start, length) in enumerate(extents)}
    readers["bad"] = Made(bytes(400), fails_at=fails_at * 128)
    how = Transfer(slot_bytes=128, ring_bytes=1024, batch_bytes=1024, large_bytes=300, threads=threads)
    with pytest.raises(StorageError, match="damaged"):
        streamed({name: (reader, 0) for name, reader in readers.items()}, FakeStreaming(simulator), how)
    assert simulator.live == {}, "freed at once, while the error is still held"
    simulator.settle()


@given(files(), st.integers(0, 12))
def test_a_driver_that_fails_leaves_nothing_behind(file: Any, fail_copy: int) -> None:
    content, extents, _ = file
    simulator = Simulator(count=1)
    simulator.fail_copy = fail_copy
    source = ByteSource(name="file", size=len(content), buffer=content)
    wanted: dict[str, Any] = {str(number): (Stored(source, start, length), 0) for number, (start, length) in enumerate(extents)}
    try:
        buffers = streamed(wanted, FakeStreaming(simulator), SMALL)
    except DeviceUnavailable as error:
        assert "driver failed" in str(error) and simulator.live == {}
    else:
        assert len(simulator.copies) <= fail_copy and buffers.keys() == wanted.keys()
    simulator.settle()


@pytest.mark.parametrize("threads", [1, 4])
def test_ctrl_c_in_a_worker_or_in_the_caller_stops_all(threads: int) -> None:
    simulator = Simulator(count=1)
    readers: dict[str, Any] = {str(number): (Made(bytes(600)), 0) for number in range(50)}
    readers["stop"] = (Made(bytes(600), fails_at=0, error=KeyboardInterrupt()), 0)
    how = Transfer(slot_bytes=128, ring_bytes=1024, batch_bytes=1024, large_bytes=500, threads=threads)
    with pytest.raises(KeyboardInterrupt):
        streamed(readers, FakeStreaming(simulator), how)
    assert simulator.live == {}
    simulator.settle()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("safeload-transfer")]


def test_ctrl_c_while_the_caller_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import Future

    simulator = Simulator(count=1)

    def interrupted(self: Any, timeout: float | None = None) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Future, "result", interrupted)
    readers: dict[str, Any] = {str(number): (Made(bytes(600)), 0) for number in range(50)}
    with pytest.raises(KeyboardInterrupt):
        streamed(readers, FakeStreaming(simulator), Transfer(slot_bytes=128, ring_bytes=512, batch_bytes=1024, large_bytes=500, threads=2))
    assert simulator.live == {}
    simulator.settle()


def test_memory_of_a_pool_is_not_written_before_its_last_user_is_done() -> None:
    """The simulator itself: without the wait in `fork` the transfer would lose this race, so the tests above can fail."""
    simulator = Simulator(count=1)
    backend = FakeStreaming(simulator)
    backend.transport.fork = simulator.new_stream  # type: ignore[method-assign]
    buffers = streamed({"0": (Made(bytes(100)), 0)}, backend, SMALL)
    simulator.settle()
    assert set(shown(buffers["0"])) == {STALE}


def test_the_caller_s_own_stream_is_the_one_that_is_waited_for_and_nothing_is_put_on_it() -> None:
    simulator = Simulator(count=2)
    mine = simulator.new_stream()  # of device 0
    with simulator.stream(mine):
        buffers = streamed({"0": (Made(bytes(range(100))), 0), "1": (Made(bytes(50)), 1)}, FakeStreaming(simulator), SMALL)
        assert simulator.current_stream() is mine
        assert all(work[0] == "stale" for work in mine.work), "only what the allocator left there"
    simulator.settle()
    assert shown(buffers["0"]) == bytes(range(100)) and shown(buffers["1"]) == bytes(50)


def test_nothing_is_read_before_all_memory_is_there() -> None:
    simulator = Simulator(count=2, capacity=1000)
    backend = FakeStreaming(simulator)
    backend.transport.knows_room = False
    reader = Made(bytes(900), fails_at=0)
    with pytest.raises(DeviceUnavailable, match="the simulated device is full"):
        streamed({"0": (reader, 0), "1": (Made(bytes(900)), 1), "2": (Made(bytes(900)), 1)}, backend, SMALL)
    assert simulator.live == {} and simulator.copies == []
    simulator.settle()


def test_a_full_device_is_told_before_anything_is_allocated() -> None:
    simulator = Simulator(count=2, capacity=1000)
    wanted: dict[str, Any] = {f"layer.{number}": (Made(bytes(200 + number)), 1) for number in range(9)}
    with pytest.raises(DeviceUnavailable) as error:
        streamed(wanted, FakeStreaming(simulator), SMALL)
    text = str(error.value)
    assert text.startswith("cuda:1 has 1,000 bytes free, and the storages for it take ")
    assert "the largest: layer.8 (208 bytes), layer.7 (207 bytes), layer.6 (206 bytes), layer.5 (205 bytes), layer.4 (204 bytes), and 4 more" in text
    assert 'map_location="cpu"' in text
    assert simulator.allocations == []


def test_hostile_sizes_never_reach_an_allocator() -> None:
    simulator = Simulator(count=1)
    for nbytes in (1 << 62, 1 << 63, 1 << 100):
        reader = Made(b"")
        reader.nbytes = nbytes
        with pytest.raises((StorageError, DeviceUnavailable)):
            streamed({"0": (reader, 0)}, FakeStreaming(simulator), SMALL)
    assert simulator.allocations == []


def test_a_file_is_read_straight_into_the_ring_and_no_more_of_it_is_on_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = np.random.default_rng(1).bytes(1 << 20)
    path = tmp_path / "file"
    path.write_bytes(content)
    simulator = Simulator(count=1)
    how = Transfer(slot_bytes=1 << 14, ring_bytes=1 << 16, batch_bytes=1 << 16, large_bytes=1 << 14, threads=2)
    with open_source(path, Limits()) as source:
        monkeypatch.setattr(ByteSource, "read", lambda *_: pytest.fail("a second copy on the host"))
        buffers = streamed({"0": (Stored(source, 100, (1 << 20) - 100), 0)}, FakeStreaming(simulator), how)
    simulator.settle()
    assert shown(buffers["0"]) == content[100:]
    assert 1 << 15 <= simulator.peak_pinned <= 1 << 16, "two slots of each worker that had its turn"


def test_a_small_file_takes_a_small_ring() -> None:
    simulator = Simulator(count=1)
    streamed({"0": (Made(bytes(100)), 0)}, FakeStreaming(simulator), Transfer())
    assert simulator.peak_pinned == 100
    simulator.settle()


def test_a_file_that_shrinks_meanwhile_is_an_error_and_not_a_signal(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(10_000))
    simulator = Simulator(count=1)
    with open_source(path, Limits()) as source:
        os.truncate(path, 5_000)
        with pytest.raises(CheckpointError, match="ends too early"):
            streamed({"0": (Stored(source, 0, 10_000), 0)}, FakeStreaming(simulator), SMALL)
    assert simulator.live == {}
    simulator.settle()


def test_direct_reads_take_no_ring_where_there_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 8)
    simulator = Simulator(count=1)
    backend = FakeStreaming(simulator)
    how = Transfer(slot_bytes=256, ring_bytes=512, batch_bytes=1024, large_bytes=64, direct=True)
    with open_source(path, Limits()) as source:
        buffers = streamed({"0": (Stored(source, 3, 1000), 0), "1": (Made(b"abc"), 0)}, backend, how)
    simulator.settle()
    assert shown(buffers["0"]) == (bytes(range(256)) * 8)[3:1003] and shown(buffers["1"]) == b"abc"
    assert backend.transport.direct and backend.transport.open_files == 0
    assert simulator.peak_pinned <= 256, "for what was made"


def test_one_array_is_read_once_and_let_go() -> None:
    loads: list[int] = []

    def load() -> Any:
        loads.append(1)
        return np.arange(200, dtype=np.uint8)

    reader = HostReader("0", 200, load)
    simulator = Simulator(count=1)
    buffers = streamed({"0": (reader, 0)}, FakeStreaming(simulator), SMALL)
    assert shown(buffers["0"]) == bytes(range(200)) and loads == [1] and reader.array is None
    simulator.settle()
