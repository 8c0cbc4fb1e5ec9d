"""No declared length is believed: numbers near the ends of their types are written over every place of every kind of file, and nothing large is allocated.

The places are all of the first and the last bytes of each seed of the fuzz targets, where headers, directories and end records stand, so every length field of
every reader is among them without a list that could miss one.
"""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from fuzz.one_input import LIMITS
from safeload.limits import DEFAULT_LIMITS

from . import watched

SEEDS = sorted((Path(__file__).parents[2] / "fuzz" / "seeds").iterdir())
FIRST, LAST = 96, 176  # bytes; a zip64 directory of two entries, its end records and its locator
LENGTHS = {
    "2^31-1": b"\xff\xff\xff\x7f",
    "2^32-1": b"\xff\xff\xff\xff",
    "2^62": b"\0\0\0\0\0\0\0\x40",
    "octal": b"77777777777",
}
MEMORY_BYTES = 24 << 20  # of one scan under the default limits
DICTIONARIES = frozenset({".lzma", ".xz", ".zst"})  # `xz -9` declares 64 MiB for a file of any size, so the limit dictionary_bytes is what bounds those


@pytest.mark.parametrize("length", LENGTHS)
def test_a_length_that_is_written_anywhere_allocates_nothing(length: str) -> None:
    number = LENGTHS[length]
    policy = watched.policy("checkpoint")
    tracemalloc.start()
    try:
        for path in SEEDS:
            data = path.read_bytes()
            for at in sorted({*range(min(FIRST, len(data))), *range(max(len(data) - LAST, 0), len(data))}):
                if at % 2 and len(data) > FIRST + LAST:
                    continue
                changed = data[:at] + number + data[at + len(number) :]
                watched.scan(changed, policy=policy)
            peak = tracemalloc.get_traced_memory()[1]
            allowed = MEMORY_BYTES + DEFAULT_LIMITS.dictionary_bytes * (path.suffix in DICTIONARIES)
            assert peak < allowed, (path.name, peak)
            tracemalloc.reset_peak()
    finally:
        tracemalloc.stop()


def test_the_same_under_small_limits() -> None:
    """And each of them ends within the budget that the fuzz targets have."""
    for path in SEEDS:
        data = path.read_bytes()
        for at in range(0, min(len(data), FIRST), 3):
            watched.scan(data[:at] + LENGTHS["2^32-1"] + data[at + 4 :], limits=LIMITS)
