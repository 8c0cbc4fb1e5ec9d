"""plan: for any storages, allocations and chunks hold their promises. The planner is a pure function, so these are properties of its answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.errors import StorageError
from safeload.placement.plan import MAX_GAP_BYTES, TransferPlan, Wanted, plan_transfer
from safeload.placement.reader import Extent
from safeload.placement.settings import ALIGNMENT, Transfer

SMALL = Transfer(slot_bytes=256, ring_bytes=1024, batch_bytes=1024, large_bytes=768, threads=2)


class File:
    """A source: nothing but an identity."""

    def read_into(self, offset: int, target: memoryview) -> None:
        raise AssertionError("the planner reads nothing")

    def file_at(self, offset: int) -> tuple[int, int] | None:
        return None


FILES = [File(), File()]


@st.composite
def storages(draw: st.DrawFn) -> list[Wanted]:
    """Storages in the order of their files with gaps between them, and others that stand in no file as they are."""
    made: list[Wanted] = []
    ends = [draw(st.integers(0, 200)) for _ in FILES]
    for number in range(draw(st.integers(0, 25))):
        nbytes = draw(st.one_of(st.just(0), st.integers(1, 100), st.integers(1, 3000)))
        device = draw(st.integers(0, 1))
        kind = draw(st.integers(0, 3))
        if kind < 2:
            start = ends[kind] + draw(st.sampled_from([0, 1, 40, 64, 128, 4096, MAX_GAP_BYTES, MAX_GAP_BYTES + 64, 9000]))
            start = -(-start // ALIGNMENT) * ALIGNMENT if draw(st.booleans()) else start
            ends[kind] = start + nbytes
            made.append(Wanted(name=str(number), device=device, nbytes=nbytes, extent=Extent(source=FILES[kind], offset=start)))
        else:
            made.append(Wanted(name=str(number), device=device, nbytes=nbytes, in_order=kind == 3))
    return draw(st.permutations(made))


settings_strategy = st.builds(
    lambda slot, batch, large: Transfer(slot_bytes=slot, ring_bytes=4 * slot, batch_bytes=batch, large_bytes=large),
    st.sampled_from([64, 128, 256, 1024]),
    st.sampled_from([64, 512, 1024, 1 << 20]),
    st.sampled_from([0, 100, 768, 1 << 30]),
)


def written(plan: TransferPlan) -> dict[int, dict[int, tuple[Any, int]]]:
    """Allocation -> byte -> (source or name, byte of it). Fails where a byte is written twice or outside."""
    found: dict[int, dict[int, tuple[Any, int]]] = {number: {} for number in range(len(plan.allocations))}
    for task in plan.tasks():
        for chunk in task:
            assert 0 <= chunk.offset and chunk.offset + chunk.nbytes <= plan.allocations[chunk.allocation].nbytes, "a chunk leaves its allocation"
            assert chunk.fills
            for fill in chunk.fills:
                assert 0 <= fill.at and fill.nbytes > 0 and fill.at + fill.nbytes <= chunk.nbytes, "a fill leaves its chunk"
                for byte in range(fill.nbytes):
                    at = chunk.offset + fill.at + byte
                    assert at not in found[chunk.allocation], "a byte is written twice"
                    found[chunk.allocation][at] = (fill.name if fill.source is None else id(fill.source), fill.start + byte)
    return found


@given(storages(), settings_strategy)
def test_every_byte_of_every_storage_is_written_once_and_from_its_place(wanted: list[Wanted], settings: Transfer) -> None:
    plan = plan_transfer(wanted, settings)
    bytes_of = written(plan)
    assert plan.slices.keys() == {item.name for item in wanted}
    for item in wanted:
        place = plan.slices[item.name]
        assert place.nbytes == item.nbytes
        assert plan.allocations[place.allocation].device == item.device
        assert place.offset % ALIGNMENT == 0
        assert place.offset + place.nbytes <= plan.allocations[place.allocation].nbytes, "a slice leaves its allocation"
        for byte in range(item.nbytes):
            expected = (item.name, byte) if item.extent is None else (id(item.extent.source), item.extent.offset + byte)
            assert bytes_of[place.allocation][place.offset + byte] == expected


@given(storages(), settings_strategy)
def test_storages_do_not_overlap(wanted: list[Wanted], settings: Transfer) -> None:
    plan = plan_transfer(wanted, settings)
    taken: set[tuple[int, int]] = set()
    for place in plan.slices.values():
        spots = {(place.allocation, place.offset + byte) for byte in range(place.nbytes)}
        assert not spots & taken
        taken |= spots


@given(storages(), settings_strategy)
def test_sizes_keep_to_the_settings(wanted: list[Wanted], settings: Transfer) -> None:
    plan = plan_transfer(wanted, settings)
    sizes = {item.name: item.nbytes for item in wanted}
    holders: dict[int, list[str]] = {}
    for name, place in plan.slices.items():
        holders.setdefault(place.allocation, []).append(name)
    for number, allocation in enumerate(plan.allocations):
        names = [name for name in holders[number] if sizes[name]]
        assert allocation.nbytes <= settings.batch_bytes or len(names) == 1, "many storages in one large allocation"
        if len(names) == 1 and sizes[names[0]] >= settings.large_bytes:
            assert allocation.nbytes == sizes[names[0]], "a large storage has just what it needs"
        assert len(names) <= 1 or all(sizes[name] < settings.large_bytes for name in names)
    chunks = [chunk for task in plan.tasks() for chunk in task]
    assert len(chunks) <= plan.chunk_count and max((chunk.nbytes for chunk in chunks), default=0) <= plan.longest <= settings.slot_bytes


@given(storages(), settings_strategy)
def test_what_must_be_read_in_order_is_one_thread_s_from_first_to_last(wanted: list[Wanted], settings: Transfer) -> None:
    plan = plan_transfer(wanted, settings)
    in_order = {item.name: item.nbytes for item in wanted if item.in_order and item.nbytes}
    seen: dict[str, tuple[int, list[int]]] = {}
    for number, task in enumerate(plan.tasks()):
        for chunk in task:
            for fill in chunk.fills:
                if fill.source is None and fill.name in in_order:
                    where, starts = seen.setdefault(fill.name, (number, []))
                    assert where == number, "two threads may have it"
                    starts.append(fill.start)
    assert seen.keys() == in_order.keys()
    assert all(starts == sorted(starts) and starts[0] == 0 for _, starts in seen.values())


@given(storages(), settings_strategy)
def test_pieces_are_cut_where_no_number_is(wanted: list[Wanted], settings: Transfer) -> None:
    for task in plan_transfer(wanted, settings).tasks():
        for chunk in task:
            assert all(fill.start % ALIGNMENT == 0 for fill in chunk.fills if fill.source is None)


@given(storages(), settings_strategy)
def test_the_same_storages_give_the_same_plan_in_any_order(wanted: list[Wanted], settings: Transfer) -> None:
    in_files = sorted((item for item in wanted if item.extent is not None and item.extent.source is FILES[0]), key=lambda item: int(item.name))
    first, second = plan_transfer(in_files, settings), plan_transfer(list(in_files), settings)
    assert (first.slices, first.allocations) == (second.slices, second.allocations)
    assert first.device_bytes() == {
        device: sum(a.nbytes for a in first.allocations if a.device == device) for device in {a.device for a in first.allocations}
    }


def torch_zip(count: int, nbytes: int, gap: int) -> list[Wanted]:
    return [
        Wanted(name=str(number), device=0, nbytes=nbytes, extent=Extent(source=FILES[0], offset=64 + number * (nbytes + gap))) for number in range(count)
    ]


def test_20_000_tensors_of_a_zip_are_a_few_reads_and_copies() -> None:
    plan = plan_transfer(torch_zip(20_000, 1024, 128), Transfer())
    assert len(plan.allocations) == 1
    chunks = [chunk for task in plan.tasks() for chunk in task]
    assert len(chunks) == -(-plan.allocations[0].nbytes // Transfer().slot_bytes) == 3
    assert all(len(chunk.fills) == 1 for chunk in chunks), "headers are read with what they stand between"


def test_a_gap_that_is_too_wide_or_crooked_is_not_read() -> None:
    for gap in (MAX_GAP_BYTES + 64 - MAX_GAP_BYTES % 64 + 64, 100):
        plan = plan_transfer(torch_zip(3, 128, gap), Transfer())
        assert [len(chunk.fills) for task in plan.tasks() for chunk in task] == [3]
        assert plan.allocations[0].nbytes == 3 * 128, "and takes no room on the device"


def test_a_large_storage_is_read_by_many() -> None:
    item = Wanted(name="a", device=1, nbytes=1 << 30, extent=Extent(source=FILES[0], offset=123))
    plan = plan_transfer([item], Transfer())
    assert len(list(plan.tasks())) == (1 << 30) // Transfer().slot_bytes and plan.device_bytes() == {1: 1 << 30}


@pytest.mark.parametrize("nbytes", [-1, 1 << 63, 1 << 200])
def test_hostile_sizes_never_become_a_plan(nbytes: int) -> None:
    with pytest.raises(StorageError, match="more than any address space") as error:
        plan_transfer([Wanted(name="0", device=0, nbytes=nbytes)], SMALL)
    assert error.value.rule == "SL402"


def test_storages_without_bytes_share_an_allocation_without_bytes() -> None:
    plan = plan_transfer([Wanted(name=str(number), device=number % 2, nbytes=0) for number in range(6)], SMALL)
    assert [(a.device, a.nbytes) for a in plan.allocations] == [(0, 0), (1, 0)] and list(plan.tasks()) == []
