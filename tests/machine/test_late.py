"""Records that are made when they are asked for: whatever is asked, the answer is that of the dict in which all were made at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.machine.late import FEW, GROUPS, Late

ASKED: dict[str, Callable[[Any], Any]] = {
    "len": len,
    "bool": bool,
    "iter": lambda found: sorted(iter(found)),
    "keys": lambda found: sorted(found.keys()),
    "values": lambda found: sorted(found.values()),
    "items": lambda found: sorted(found.items()),
    "equal": lambda found: (found == {3: "3"}, found == {}),
    "one": lambda found: [found.get(key, "none") for key in (0, 3, FEW, 10**9)],
    "some": lambda found: [key in found for key in (0, 3, FEW, 10**9)],
}
groups = st.lists(st.tuples(st.integers(0, 6), st.sampled_from([0, 1, FEW - 1, FEW, FEW + 1, 3 * FEW])), max_size=4)


def filled(parts: list[tuple[int, int]], kind: Callable[[range], Any] = lambda keys: keys) -> tuple[Late[int, str], dict[int, str]]:
    late: Late[int, str] = Late()
    plain: dict[int, str] = {}
    for block, count in parts:
        keys = range(block * 3 * FEW, block * 3 * FEW + count)
        late.add(kind(keys), str)
        plain.update((key, str(key)) for key in keys)
    return late, plain


@given(groups, st.lists(st.sampled_from(sorted(ASKED)), max_size=5), st.sampled_from([lambda keys: keys, frozenset]))
def test_it_answers_as_the_whole_dict_would(parts: list[tuple[int, int]], questions: list[str], kind: Callable[[range], Any]) -> None:
    late, plain = filled(parts, kind)
    for question in questions:
        assert ASKED[question](late) == ASKED[question](plain), question
    assert late.whole() == plain
    for key in plain:
        assert late[key] == plain[key]
    with pytest.raises(KeyError):
        late[10**9]


@given(groups, st.sets(st.integers(0, 30)))
def test_disjoint_from_others(parts: list[tuple[int, int]], others: set[int]) -> None:
    late, plain = filled(parts)
    assert late.is_disjoint(others) is plain.keys().isdisjoint(others)


def test_a_record_is_made_once_and_only_when_it_is_asked_for() -> None:
    made: list[int] = []

    def make(key: int) -> list[int]:
        made.append(key)
        return [key]

    late: Late[int, list[int]] = Late()
    late.add(range(FEW), make)
    late.add(range(FEW, 2 * FEW), make)
    assert bool(late) and FEW in late and made == []
    assert late[3] is late[3] and late.get(3) is late[3] and made == [3]
    assert sorted(late.whole(without=range(FEW, 3 * FEW))) == list(range(FEW)) and made == [3, *(key for key in range(FEW) if key != 3)]
    assert len(late) == 2 * FEW and len(made) == len(set(made)) == 2 * FEW


def test_few_records_and_one_group_too_many_are_made_at_once() -> None:
    made: list[int] = []

    def make(key: int) -> int:
        made.append(key)
        return key

    late: Late[int, int] = Late()
    late.add(range(FEW - 1), make)
    assert len(made) == FEW - 1
    for group in range(1, GROUPS + 2):
        late.add(range(group * FEW, group * FEW + FEW), make)
    assert len(made) == 2 * FEW - 1
