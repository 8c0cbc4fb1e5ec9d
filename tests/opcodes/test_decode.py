"""`decode` against `pickletools.genops`, and on streams that are cut or lie about a length."""

from __future__ import annotations

import pickle
import pickletools
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.errors import StreamError
from safeload.opcodes.assemble import assemble
from safeload.opcodes.decode import Instruction, decode
from safeload.opcodes.table import BY_NAME, OPCODES

DATA = [1, -1, 300, 70_000, 10**40, 1.5, "text\n", b"bytes", bytearray(b"x"), None, True, (1,), (1, 2, 3, 4), {1: 2}, {3}, frozenset({4}), OrderedDict(a=print)]


@pytest.mark.parametrize("protocol", range(6))
def test_cuts_where_pickletools_cuts(protocol: int) -> None:
    data = pickle.dumps([DATA, DATA], protocol)
    ours = list(decode(data))
    assert [(each.op.name, each.offset) for each in ours] == [(op.name, position) for op, _, position in pickletools.genops(data)]
    assert [each.end for each in ours[:-1]] == [each.offset for each in ours[1:]]
    assert ours[-1].end == len(data)


@pytest.mark.parametrize("row", [row for row in OPCODES if row.argument.form == "number"], ids=lambda row: row.name)
def test_numbers_read_as_pickletools_reads_them(row: object) -> None:
    name = row.name  # type: ignore[attr-defined]
    data = assemble(f"RAW '{BY_NAME[name].code:02x} f0 f1 f2 f3 f4 f5 f6 f7 f8'")
    (first, *_rest) = _until_error(data)
    ((_, theirs, _),) = [next(iter(pickletools.genops(data)))]
    assert first.argument == theirs


def _until_error(data: bytes) -> list[Instruction]:
    found = []
    try:
        for each in decode(data):
            found.append(each)
    except StreamError:
        pass
    return found


def test_a_declared_length_is_compared_with_what_is_left() -> None:
    for name in ("BINBYTES8", "BINUNICODE8", "BYTEARRAY8"):
        with pytest.raises(StreamError) as caught:
            list(decode(assemble(f"PROTO 4\n{name} length={2**63} b'abc'")))
        assert (caught.value.rule, caught.value.offset) == ("SL202", 2)


@pytest.mark.parametrize("name", ["BINSTRING", "LONG4"])
def test_a_negative_length_is_refused(name: str) -> None:
    with pytest.raises(StreamError) as caught:
        list(decode(assemble(f"{name} length=-1 b''\nSTOP"), member="m"))
    assert (caught.value.rule, caught.value.offset, caught.value.member) == ("SL201", 0, "m")


def test_no_opcode_and_no_stop() -> None:
    with pytest.raises(StreamError, match="no opcode") as caught:
        list(decode(b"N\xff."))
    assert (caught.value.rule, caught.value.offset) == ("SL201", 1)
    with pytest.raises(StreamError, match="before STOP") as caught:
        list(decode(b"NN"))
    assert (caught.value.rule, caught.value.offset) == ("SL202", 2)


def test_start_and_end_bound_the_stream() -> None:
    assert [each.op.name for each in decode(b"xxN.N.", 2)] == ["NONE", "STOP"]
    with pytest.raises(StreamError):
        list(decode(b"U\x05abcde.", 0, 4))
    with pytest.raises(StreamError):
        list(decode(b"V12345\n.", 0, 4))


@given(st.binary(max_size=60))
def test_any_bytes_give_instructions_or_a_stream_error(data: bytes) -> None:
    position = 0
    for each in _until_error(data):
        assert each.offset == position < each.end <= len(data)
        position = each.end
