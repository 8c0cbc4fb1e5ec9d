"""settings: what cannot work is refused when it is written down, and the ring is divided so that every worker has two slots."""

from __future__ import annotations

from typing import Any

import pytest

from safeload.placement.settings import DEFAULT, Transfer


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"slot_bytes": 0}, "slot_bytes is a multiple of 64"),
        ({"slot_bytes": 100}, "slot_bytes is a multiple of 64"),
        ({"slot_bytes": True}, "slot_bytes is a multiple of 64"),
        ({"batch_bytes": -64}, "batch_bytes is a multiple of 64"),
        ({"ring_bytes": 8 << 20}, "ring_bytes holds at least two slots"),
        ({"ring_bytes": 1e9}, "ring_bytes holds at least two slots"),
        ({"threads": 0}, "threads is a number from 1 to 64"),
        ({"threads": 65}, "threads is a number from 1 to 64"),
        ({"large_bytes": -1}, "large_bytes is a number of bytes"),
    ],
)
def test_what_cannot_work_is_refused(how: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Transfer(**how)


@pytest.mark.parametrize(("slots", "threads", "workers", "each"), [(2, 8, 1, 2), (3, 8, 1, 3), (16, 8, 8, 2), (16, 3, 3, 5), (16, 1, 1, 16), (5, 2, 2, 2)])
def test_the_ring_is_divided(slots: int, threads: int, workers: int, each: int) -> None:
    settings = Transfer(slot_bytes=64, ring_bytes=slots * 64, threads=threads)
    assert (settings.workers, settings.slots_each) == (workers, each)
    assert settings.workers * settings.slots_each * settings.slot_bytes <= settings.ring_bytes


def test_the_default_ring_is_within_the_design_s_bound() -> None:
    assert DEFAULT.ring_bytes <= 512 << 20 and not DEFAULT.direct
