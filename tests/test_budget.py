"""The running account: each limit inclusive, each overdraft a `LimitExceeded` that names the limit and the place."""

from __future__ import annotations

from typing import Any

import pytest

from safeload.budget import Budget, exceeded
from safeload.errors import LimitExceeded
from safeload.limits import DEFAULT_LIMITS, Limits


def test_opcodes_add_up() -> None:
    budget = Budget(Limits(opcodes=10))
    budget.spend_opcodes(4)
    budget.spend_opcodes(6)
    with pytest.raises(LimitExceeded, match="opcodes = 10") as caught:
        budget.spend_opcodes(1, "a/data.pkl", 7)
    assert (caught.value.member, caught.value.offset, caught.value.rule) == ("a/data.pkl", 7, "SL901")


@pytest.mark.parametrize(
    ("limits", "spent", "name"),
    [({"tensors": 2}, [0, 0, 0], "tensors"), ({"tensor_bytes": 5}, [5, 6], "tensor_bytes"), ({"total_tensor_bytes": 9}, [5, 4, 1], "total_tensor_bytes")],
)
def test_tensors_add_up(limits: dict[str, int], spent: list[int], name: str) -> None:
    budget = Budget(Limits(**limits))
    for nbytes in spent[:-1]:
        budget.spend_tensor(nbytes)
    with pytest.raises(LimitExceeded, match=f"{name} ="):
        budget.spend_tensor(spent[-1])


def test_time_is_over_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("safeload.budget.monotonic", lambda: now)
    budget = Budget(Limits(scan_seconds=5))
    now = 105.0
    budget.check_time()
    budget.spend_opcodes(1)
    now = 105.1
    for spend in (budget.check_time, lambda: budget.spend_opcodes(1)):
        with pytest.raises(LimitExceeded, match="scan_seconds"):
            spend()


def test_time_over_is_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    import itertools

    import safeload
    from safeload.opcodes.assemble import assemble

    clock = itertools.count(0, 1000)
    monkeypatch.setattr("safeload.budget.monotonic", lambda: next(clock))
    report = safeload.scan(assemble("NONE\nPOP\n" * 50_000 + "NONE\nSTOP"))
    assert (report.verdict, report.errors[0].rule) == ("inconclusive", "SL901")


def test_a_message_says_what_moves_the_limit() -> None:
    message = str(exceeded("opcodes", 5_000, "the streams hold more opcodes"))
    assert "opcodes = 5,000" in message and "limits={'opcodes': ...}" in message


@pytest.mark.parametrize("name", Limits.names())
def test_every_limit_has_a_default_that_is_a_whole_number(name: str) -> None:
    value: Any = DEFAULT_LIMITS.as_dict()[name]
    assert type(value) is int and value > 0
