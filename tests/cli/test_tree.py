"""`safeload tree`: the outline of a value, bounded in every direction."""

from __future__ import annotations

from collections import OrderedDict, deque
from pathlib import Path
from typing import Any

import pytest

from safeload.cli.tree import outline
from safeload.opcodes.assemble import assemble
from safeload.values import OpaqueGlobal, OpaqueObject
from tests.cli import snapshot
from tests.cli.inputs import OURS, run, state_dict


def test_the_outline_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pt").write_bytes(state_dict())
    (tmp_path / "ours.pt").write_bytes(OURS)
    outcome = run("tree", "model.pt")
    assert (outcome.code, outcome.err) == (0, "")
    snapshot.check("tree", outcome.out)
    assert run("tree", "-p", "inspect", "ours.pt").out == "tuple, 2 entries\n  [0]: <acme.train.Config>\n  [1]: <acme.train.Mode>\n    (0): 1\n"


def test_a_cycle_ends() -> None:
    value: list[Any] = [[], 1]
    value[0] = value
    assert list(outline(value)) == ["list, 2 entries", "  [0]: list, 2 entries (shown above)", "  [1]: 1"]


def test_a_cyclic_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(assemble("PROTO 2\nEMPTY_LIST\nBINPUT 0\nBINGET 0\nAPPEND\nSTOP"))
    assert run("tree", str(path)).out == "list, 1 entry\n  [0]: list, 1 entry (shown above)\n"


def test_a_memo_bomb_costs_its_real_size() -> None:
    value: list[Any] = [None]
    for _ in range(60):
        value = [value, value, [value]]
    assert len(list(outline(value, depth=50))) < 250


def test_depth_and_width_are_limits() -> None:
    deep: list[Any] = [{}]
    for _ in range(10):
        deep = [deep]
    assert len(list(outline(deep, depth=3))) == 4
    wide = {number: [number, []] for number in range(100)}
    lines = list(outline(wide, depth=1, width=5))
    assert len(lines) == 7
    assert lines[-1] == "  ... 95 more"


def test_values_in_a_few_words() -> None:
    value = OrderedDict(
        betas=(0.9, 0.999),
        one=(1,),
        text="a\x1b[31m" + "x" * 500,
        big=1 << 5_000,
        raw=b"abc",
        ring=deque([[1], {}], maxlen=3),
        none=None,
        nested=[1, [2]],
    )
    value["odd\u202ekey"] = {(1, 2): 3}
    lines = list(outline(value))
    assert "  'betas': (0.9, 0.999)" in lines
    assert "  'one': (1,)" in lines
    assert "  'big': int of 5,001 bits" in lines
    assert "  'raw': bytes, 3 bytes" in lines
    assert "  'ring': deque, 2 entries" in lines
    assert "    (1, 2): 3" in lines
    assert all(line.isprintable() and len(line) < 200 for line in lines)


def test_an_opaque_object_shows_its_parts_and_names_what_is_empty() -> None:
    module = OpaqueObject(OpaqueGlobal("acme", "Net"), (1,))
    module.state = {"_parameters": {}, "_hooks": OrderedDict(), "training": True, "_modules": {"fc": 2}}
    assert list(outline(module)) == [
        "<acme.Net>",
        "  (0): 1",
        "  .training: True",
        "  ._modules: dict, 1 entry",
        "    'fc': 2",
        "  and, empty: _parameters, _hooks",
    ]
