"""The benchmarks themselves: equal values have equal digests, ratios are theirs to ours, and every row can be prepared."""

from __future__ import annotations

import ast
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.digest import digest
from benchmarks.measure import Sample, multiplied
from benchmarks.plot import plot
from benchmarks.results import Result, figures, verdict
from benchmarks.rows import ROWS, Contestant, Goal, Row
from benchmarks.table import goals, table

ROW = Row(
    id="made",
    title="Made & up",
    mode="load",
    needs=(),
    contestants=(Contestant(label="ours", file="a"), Contestant(label="theirs", file="a")),
    goals=(Goal(quantity="cpu", against="theirs", at_least=5), Goal(quantity="wall", against="theirs", at_least=2)),
)


def sample(cpu: float, wall: float, *, said: bool = True) -> Sample:
    return Sample(wall=wall, cpu=cpu, peak_bytes=1, code=0, said={"cpu": cpu, "wall": wall, "first_cpu": cpu} if said else None, last="")


def test_equal_values_have_equal_digests_and_others_do_not() -> None:
    value = {"a": np.arange(4, dtype=np.float32), "b": [1, (2.0, None)]}
    assert digest(value) == digest(dict(reversed(value.items())))
    others = [
        {**value, "a": np.arange(4, dtype=np.int32)},
        {**value, "a": np.arange(4, dtype=np.float32).reshape(2, 2)},
        {**value, "b": [1, [2.0, None]]},
        {**value, "b": [True, (2.0, None)]},
    ]
    assert digest(value) not in {digest(other) for other in others}


def test_ratios_are_of_the_same_round() -> None:
    """A round on a busy machine is slow for both: the ratio is that of the round, and not of the medians."""
    samples = [[sample(1, 1), sample(4, 4), sample(1, 1)], [sample(4, 1), sample(16, 4), sample(4, 1)]]
    found = [figures(ROW, index, samples, [None, None]) for index in (0, 1)]
    assert (found[1].cpu_ratio, found[1].wall_ratio) == (4, 1)
    made = [verdict(ROW, goal, found, 1) for goal in ROW.goals]
    assert [(each.found, each.met) for each in made if each is not None] == [(4, False), (1, False)]
    result = Result(id=ROW.id, title=ROW.title, mode=ROW.mode, figures=tuple(found), verdicts=tuple(each for each in made if each), file_bytes=1)
    assert "| theirs | 4,000 | 4,000 to 16,000 | 4.00 |" in table(result)
    assert goals([result]).count("**not met**") == 2
    assert ET.fromstring(plot([result])).tag.endswith("svg")


def test_a_part_counts_often_and_its_start_once() -> None:
    assert multiplied(sample(5, 7, said=False), sample(3, 3, said=False), 20).cpu == 3 + 20 * 2


def test_rows_are_complete() -> None:
    """The makers are read as text: they stand beside torch, which is not needed here."""
    tree = ast.parse((Path(__file__).parent.parent / "benchmarks" / "workloads.py").read_text(encoding="utf-8"))
    made = next(node.value for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "MAKERS")
    assert isinstance(made, ast.Dict)
    makers = {key.value for key in made.keys if isinstance(key, ast.Constant)}
    assert len({row.id for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert set(row.needs) <= makers, row.id
        assert not row.contestants[0].peers, f"{row.id}: ratios are to safeload"
        labels = [each.label for each in row.contestants]
        assert len(set(labels)) == len(labels), row.id
        assert {goal.against for goal in row.goals if goal.against} <= set(labels), row.id
