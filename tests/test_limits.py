"""Every limit holds at its own value and refuses one more, wherever a small file can reach it."""

from __future__ import annotations

import gzip
import io
import random
from pathlib import Path
from typing import Any

import pytest
from builds import agree, dense, pairs, torch_zip
from corpus.manifest import entries
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


ELSEWHERE = {
    # limits that take more than a small file, or another source, and the tests of both their sides
    "spool_bytes": "test_source.py:test_both_sides_of_spool_bytes",
    "remote_bytes": "remote/test_http.py:test_both_sides_of_remote_bytes",
    "remote_requests": "remote/test_http.py:test_both_sides_of_remote_requests",
    "container_depth": "test_limits.py:test_files_in_files",
    "directory_bytes": "containers/test_zip_central.py:test_the_budget_is_held_before_anything_is_read",
    "compression_ratio": "test_limits.py:test_the_ratio_counts_above_a_megabyte",
    "dictionary_bytes": "containers/test_compressed.py:test_a_zstandard_window_is_bounded",
    "stack": "test_limits.py:test_what_is_counted_every_few_thousand_opcodes_is_counted",
    "memo_entries": "test_limits.py:test_what_is_counted_every_few_thousand_opcodes_is_counted",
    "graph_nodes": "test_limits.py:test_what_is_counted_every_few_thousand_opcodes_is_counted",
    "containers": "machine/test_corners.py:test_each_container_counts",
    "copy_ratio": "test_limits.py:test_copies_are_counted_above_four_megabytes",
    "equal_hash_keys": "policy/test_corners.py:test_keys_that_calls_make_count_by_their_hash",
    "findings": "test_limits.py:test_findings_are_kept_up_to_the_limit_and_all_count",
    "scan_seconds": "test_budget.py:test_time_over_is_a_verdict",
}


def test_every_limit_has_both_its_sides_tested() -> None:
    assert set(REACH) | set(ELSEWHERE) == set(Limits.names())
    for place in ELSEWHERE.values():
        path, _, name = place.partition(":")
        assert f"def {name}(" in (Path(__file__).parent / path).read_text("utf-8"), place


def test_files_in_files() -> None:
    data = stream("NONE\n")
    for _ in range(3):
        data = gzip.compress(data, mtime=0)
    assert loads(data, container_depth=3)
    assert not loads(data, container_depth=2)


def test_copies_are_counted_above_four_megabytes() -> None:
    """One text of a megabyte, encoded eight times: of a stream of a megabyte, calls copy eight."""
    size, count = 1 << 20, 24
    text = b"X" + size.to_bytes(4, "little") + b"a" * size
    body = b"c_codecs\nencode\nq\x00X\x06\0\0\0latin1q\x01" + text + b"q\x02" + b"h\x00h\x02h\x01\x86R" * count
    data = b"\x80\x02(" + body + b"t."
    assert loads(data, copy_ratio=count)
    assert not loads(data, copy_ratio=count - 6)


def test_findings_are_kept_up_to_the_limit_and_all_count() -> None:
    data = stream("MARK\n" + "".join(f"GLOBAL posix f{number}\n" for number in range(9)) + "TUPLE\n")
    whole = safeload.scan(data)
    assert len(whole.findings) == 9 and not whole.suppressed_findings
    for limit in (8, 9):
        report = safeload.scan(data, limits={"findings": limit})
        assert (report.verdict, len(report.findings), report.suppressed_findings) == ("rejected", limit, 9 - limit)


MARGIN = 2
HONEST = ("opcodes", "memo_entries", "members", "globals", "nesting_depth", "tensors", "pickle_bytes", "inflated_bytes", "graph_nodes", "containers", "stack")


@pytest.mark.parametrize("name", [*HONEST, "key_size", "key_depth", "equal_hash_keys", "copy_ratio", "name_bytes", "global_name_bytes", "integer_bytes"])
def test_no_honest_file_comes_near_a_default(name: str) -> None:
    """Every file of the corpus has the same verdict under half the budget."""
    half = {name: getattr(DEFAULT_LIMITS, name) // MARGIN}
    for entry in entries():
        data = entry.data()
        assert safeload.scan(data, limits=half, encoding=entry.encoding).verdict == safeload.scan(data, encoding=entry.encoding).verdict, entry.path


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


@pytest.mark.parametrize(
    ("name", "listing"),
    [
        ("stack", "MARK\n" + "NONE\n" * 20_000 + "TUPLE\n"),
        ("memo_entries", "NONE\n" + "MEMOIZE\n" * 20_000),
        ("graph_nodes", "EMPTY_LIST\n" + "GLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nAPPEND\n" * 20_000),
    ],
)
def test_what_is_counted_every_few_thousand_opcodes_is_counted(name: str, listing: str) -> None:
    """The stack and the memo are looked at from time to time, so a little more than the limit may pass, and much more may not."""
    data = stream(listing, 4)
    assert loads(data, **{name: 20_001})
    assert not loads(data, **{name: 30})


def test_opcodes_of_all_streams_count_together() -> None:
    data = assemble("NONE\nSTOP") * 10
    assert safeload.scan(data, limits={"opcodes": 20}).verdict == "accepted"
    assert safeload.scan(data, limits={"opcodes": 19}).verdict == "inconclusive"
