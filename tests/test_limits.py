"""Every limit holds at its own value and refuses one more, wherever a small file can reach it."""

from __future__ import annotations

import io
import random
from typing import Any

import pytest
from builds import agree, dense, pairs, torch_zip
from hostile.hostile import stream

import safeload
from safeload.errors import LimitExceeded
from safeload.limits import DEFAULT_LIMITS, Limits
from safeload.opcodes.assemble import assemble

ZIP = torch_zip(pairs(a=dense("FloatStorage", 4, (4,), (1,)), b=dense("FloatStorage", 4, (2, 2), (2, 1))), {"0": bytes(16)})
SIZE = 3 << 20
DEFLATED = torch_zip(dense("ByteStorage", SIZE, (SIZE,), (1,)), {"0": (random.Random(1).randbytes(1 << 15) + bytes(SIZE))[:SIZE]}, method=8)  # about 90 to 1
ZEROS = torch_zip(dense("ByteStorage", SIZE, (SIZE,), (1,)), {"0": bytes(SIZE)}, method=8)
LISTS = stream("EMPTY_LIST\n" * 20 + "APPEND\n" * 19)
REACH: dict[str, tuple[Any, int]] = {
    # limit: a file, and the smallest value under which it loads
    "file_bytes": (ZIP, len(ZIP)),
    "members": (ZIP, 4),
    "name_bytes": (ZIP, len("a/byteorder")),
    "opcodes": (LISTS, 41),
    "nesting_depth": (LISTS, 20),
    "integer_bytes": (stream(f"LONG1 {1 << 79}\n"), 11),
    "literal_bytes": (stream("BINUNICODE 'abcdefghij'\n"), 10),
    "pickle_bytes": (stream("BINUNICODE 'abcdefghij'\n"), 18),
    "globals": (stream("GLOBAL torch float32\nGLOBAL torch float64\nTUPLE2\n"), 2),
    "global_name_bytes": (stream("GLOBAL torch float32\n"), 7),
    "key_size": (stream("EMPTY_DICT\nMARK\n" + "NONE\n" * 9 + "TUPLE\nNONE\nSETITEM\n"), 10),
    "key_depth": (stream("EMPTY_DICT\nNONE\n" + "TUPLE1\n" * 9 + "NONE\nSETITEM\n"), 9),
    "tensors": (ZIP, 2),
    "tensor_bytes": (ZIP, 16),
    "total_tensor_bytes": (ZIP, 32),
    "tensor_dims": (ZIP, 2),
    "inflated_bytes": (DEFLATED, SIZE),
    "member_bytes": (DEFLATED, SIZE),
}


def loads(data: Any, **limits: int) -> bool:
    value = agree(data, limits=limits)
    if isinstance(value, safeload.CheckpointError):
        assert isinstance(value, LimitExceeded) or value.rule.startswith("SL4"), value
        return False
    return True


@pytest.mark.parametrize("name", REACH)
def test_both_sides_of_a_limit(name: str) -> None:
    data, smallest = REACH[name]
    found = [value for value in range(max(smallest - 4, 0), smallest + 5) if loads(data, **{name: value})]
    assert found == list(range(smallest, smallest + 5)), f"{name} allows from {found[:1]}, not from {smallest}"


@pytest.mark.parametrize("name", Limits.names())
@pytest.mark.parametrize("data", [ZIP, DEFLATED, LISTS], ids=["zip", "deflated", "lists"])
@pytest.mark.parametrize("value", [0, 1])
def test_the_tightest_budget_ends_in_a_report(name: str, data: bytes, value: int) -> None:
    agree(data, limits={name: value})
    agree(data, limits={**dict.fromkeys(Limits.names(), value), "scan_seconds": 600})


def test_the_ratio_counts_above_a_megabyte() -> None:
    assert not loads(ZEROS)
    assert loads(ZEROS, compression_ratio=2_000)


def test_limits_are_given_as_a_dict_or_as_limits() -> None:
    for limits in ({"opcodes": 41}, Limits(opcodes=41)):
        assert safeload.load(LISTS, limits=limits) and safeload.scan(LISTS, limits=limits).verdict == "accepted"
    for tight in ({"opcodes": 40}, Limits(opcodes=40)):
        with pytest.raises(LimitExceeded, match="opcodes"):
            safeload.load(LISTS, limits=tight)
        with pytest.raises(LimitExceeded):
            safeload.open(LISTS, limits=tight)
        with pytest.raises(LimitExceeded):
            safeload.RestrictedUnpickler(io.BytesIO(LISTS), limits=tight).load()


@pytest.mark.parametrize("wrong", [{"opcode": 1}, {"opcodes": -1}, {"opcodes": True}, {"opcodes": 1.5}, {"opcodes": "1"}, {"opcodes": None}])
def test_wrong_limits_are_value_errors(wrong: Any) -> None:
    for call in (safeload.load, safeload.scan, safeload.open):
        with pytest.raises(ValueError, match="limit"):
            call(LISTS, limits=wrong)


def test_tightening_never_loosens() -> None:
    assert DEFAULT_LIMITS.tightened({"opcodes": 5}).opcodes == 5
    assert Limits(opcodes=3).tightened({"opcodes": 5}).opcodes == 3
    assert Limits(opcodes=3).replaced({"opcodes": 5}).opcodes == 5
    assert set(Limits.names()) == DEFAULT_LIMITS.as_dict().keys()


def test_integers_longer_than_str_takes_can_be_keys() -> None:
    """`str()` of an int refuses more than 4,300 digits; a lazy view names tensors by their keys."""
    listing = f"EMPTY_DICT\nLONG4 {(1 << 20_000).to_bytes(2_501, 'little')!r}\n" + dense("FloatStorage", 4, (4,), (1,)) + "SETITEM\n"
    with safeload.open(torch_zip(listing, {"0": bytes(16)}), limits={"integer_bytes": 10_000}) as checkpoint:
        assert len(checkpoint) == 1


@pytest.mark.parametrize(("name", "listing"), [("stack", "MARK\n" + "NONE\n" * 20_000 + "TUPLE\n"), ("memo_entries", "NONE\n" + "MEMOIZE\n" * 20_000)])
def test_what_is_counted_every_few_thousand_opcodes_is_counted(name: str, listing: str) -> None:
    """The stack and the memo are looked at from time to time, so a little more than the limit may pass, and much more may not."""
    data = stream(listing, 4)
    assert loads(data, **{name: 20_001})
    assert not loads(data, **{name: 30})


def test_opcodes_of_all_streams_count_together() -> None:
    data = assemble("NONE\nSTOP") * 10
    assert safeload.scan(data, limits={"opcodes": 20}).verdict == "accepted"
    assert safeload.scan(data, limits={"opcodes": 19}).verdict == "inconclusive"
