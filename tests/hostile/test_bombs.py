"""Each bomb is read in a process of its own, with the default limits: its verdict, and memory that stays within a multiple of the file's own size."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from .bombs import BOMBS, measure

PAGE = Path(__file__).parents[2] / "docs" / "bombs.md"
FILE_MULTIPLE = 4  # MiB of memory for a MiB of the file, beside what a row of the table allows

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_what_it_is(name: str) -> None:
    bomb, found = BOMBS[name], measure(name)
    assert (found["verdict"], bomb.rule is None or bomb.rule in found["rules"]) == (bomb.verdict, True), found
    assert found["mib"] <= bomb.extra_mib + FILE_MULTIPLE * found["size"] / (1 << 20), found


def test_the_page_lists_them() -> None:
    """The figures are measured by hand (`python -m hostile.bombs`); the rows and verdicts are those of the table."""
    rows = re.findall(r"^\| ([a-z0-9-]+) \| (.*?) \| [0-9,]+ \| (\w+)", PAGE.read_text("utf-8"), re.MULTILINE)
    assert rows == [(name, bomb.about, bomb.verdict) for name, bomb in BOMBS.items()]
