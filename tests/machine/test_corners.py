"""Listings and slices of streams that nobody writes, and the budget's last corners."""

from __future__ import annotations

import inspect
import sys

import pytest

from safeload.budget import Budget
from safeload.errors import CheckpointError, LimitExceeded
from safeload.limits import Limits
from safeload.machine import interpret as machine
from safeload.machine import listing as listing_module
from safeload.machine import slices
from safeload.machine.interpret import STEPS_PER_CHECK, interpret
from safeload.machine.listing import listing
from safeload.machine.render import MAX_ITEMS, render
from safeload.machine.slices import slices_for
from safeload.opcodes.assemble import assemble


def meanings(text: str) -> list[str]:
    return [line.meaning for line in listing(assemble(text))]


def test_what_drops_a_mark_says_so() -> None:
    assert "drops everything above the mark" in meanings("MARK\nNONE\nPOP_MARK\nNONE\nSTOP")
    assert "drops the mark" in meanings("MARK\nPOP\nNONE\nSTOP")


def test_calls_in_all_their_spellings() -> None:
    found = "\n".join(meanings("MARK\nUNICODE 'x'\nINST a b\nSTOP"))
    assert "a.b('x')" in found
    found = "\n".join(meanings("PROTO 4\nGLOBAL a b\nEMPTY_TUPLE\nEMPTY_DICT\nNEWOBJ_EX\nSTOP"))
    assert "new a.b(**{})" in found
    assert "<persistent id 'x'>" in "\n".join(meanings("BINUNICODE 'x'\nBINPERSID\nSTOP"))
    assert "<persistent id" in "\n".join(meanings("PERSID b'x'\nSTOP"))
    assert "<EXT1>" in "\n".join(meanings("EXT1 7\nSTOP"))
    assert "posix.system" in "\n".join(meanings("BINUNICODE 'posix'\nBINUNICODE 'system'\nSTACK_GLOBAL\nSTOP"))


def test_a_memo_index_that_is_none() -> None:
    assert "memo ?" in meanings("NONE\nPUT b'x'\nSTOP")
    assert meanings("GET b'x'\nSTOP")


def test_a_listing_remembers_a_bounded_number_of_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing_module, "MAX_TRACKED", 1)
    found = meanings("NONE\nBINPUT 0\nBININT1 7\nBINPUT 1\nPOP\nBINGET 1\nSTOP")
    assert len(found) == 7 and "memo 0 = None" in found


def test_a_large_dict_is_rendered_in_part() -> None:
    text = render(dict.fromkeys(range(MAX_ITEMS + 3)))
    assert "3 more" in text


def test_a_slice_of_a_long_stream_forgets_what_is_far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_WINDOW", 4)
    text = "BINUNICODE 'far'\nBINPUT 0\n" + "NONE\nPOP\n" * 10 + "GLOBAL a b\nBINGET 0\nBINUNICODE 'x'\nTUPLE2\nREDUCE\nSTOP"
    lines = list(listing(assemble(text)))
    call = next(line.offset for line in lines if line.name == "REDUCE")
    found = slices_for(lines, [call])[call]
    assert found[-1].name == "REDUCE" and "BINUNICODE" in [line.name for line in found]
    assert "far" not in " ".join(line.argument for line in found)


def test_containers_are_counted() -> None:
    """Looked at every few thousand opcodes; a set counts as four."""
    lists = assemble("EMPTY_LIST\n" + "EMPTY_LIST\nAPPEND\n" * STEPS_PER_CHECK + "STOP")
    for limit, fits in ((STEPS_PER_CHECK + 1, True), (STEPS_PER_CHECK // 2, False)):
        budget = Budget(Limits(containers=limit))
        if fits:
            assert interpret(lists, budget=budget).root
        else:
            with pytest.raises(LimitExceeded, match="containers"):
                interpret(lists, budget=budget)


@pytest.mark.parametrize(
    ("one", "weight"),
    [
        ("EMPTY_LIST\nPOP\n", 1), ("EMPTY_DICT\nPOP\n", 1), ("EMPTY_SET\nPOP\n", 4), ("NONE\nTUPLE1\nPOP\n", 1), ("NONE\nNONE\nTUPLE2\nPOP\n", 1),
        ("NONE\nNONE\nNONE\nTUPLE3\nPOP\n", 1), ("MARK\nTUPLE\nPOP\n", 1), ("MARK\nLIST\nPOP\n", 1), ("MARK\nDICT\nPOP\n", 1), ("MARK\nFROZENSET\nPOP\n", 4),
    ],
)  # fmt: skip
def test_each_container_counts(one: str, weight: int) -> None:
    rounds = STEPS_PER_CHECK
    data = assemble("PROTO 4\n" + one * rounds + "NONE\n" * 1 + "STOP")
    assert interpret(data, budget=Budget(Limits(containers=weight * rounds))).root is None
    with pytest.raises(LimitExceeded, match="containers"):
        interpret(data, budget=Budget(Limits(containers=weight * rounds // 2)))


def test_keys_too_deep_to_compare_where_the_caller_stands_deep() -> None:
    """Comparing two equal keys recurses, and counts against the recursion limit that the caller has nearly used up."""
    key = "NONE\n" + "TUPLE1\n" * 45
    data = assemble(f"EMPTY_DICT\nMARK\n{key}NONE\n{key}NONE\nSETITEMS\nSTOP")
    assert len(interpret(data, budget=Budget()).root) == 1
    found = set()
    before = sys.getrecursionlimit()
    frames = len(inspect.stack(0))
    try:
        for room in range(80, 20, -1):
            sys.setrecursionlimit(frames + room)
            try:
                interpret(data, budget=Budget())
            except CheckpointError as error:
                found.add(error.rule)
            except RecursionError:
                break  # the caller's own: not even the call of `interpret` fits
    finally:
        sys.setrecursionlimit(before)
    assert found == {"SL205"}


def test_a_large_dict_looks_at_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "KEYS_PER_CHECK", 2)
    data = assemble("EMPTY_DICT\nMARK\n" + "".join(f"BININT1 {number}\nNONE\n" for number in range(5)) + "SETITEMS\nSTOP")
    assert interpret(data, budget=Budget()).root == dict.fromkeys(range(5))
    budget = Budget()
    budget.deadline = -1
    with pytest.raises(LimitExceeded, match="scan_seconds"):
        interpret(data, budget=budget)


@pytest.mark.parametrize("name", ["BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "BINUNICODE", "BINUNICODE8", "BINSTRING"])
def test_literals_are_bound(name: str) -> None:
    data = assemble(f"{name} {'b' if 'BYTE' in name else ''}'abcd'\nSTOP")
    assert interpret(data, budget=Budget(Limits(literal_bytes=4))).root
    with pytest.raises(LimitExceeded, match="literal_bytes"):
        interpret(data, budget=Budget(Limits(literal_bytes=3)))


def test_the_first_string_that_is_no_text_is_named() -> None:
    data = assemble("SHORT_BINSTRING b'\\xe9'\nSHORT_BINSTRING b'\\xff'\nTUPLE2\nSTOP")
    with pytest.raises(CheckpointError, match="Python 2") as caught:
        interpret(data, budget=Budget())
    assert caught.value.offset == 0


@pytest.mark.parametrize(
    "listing",
    ["GLOBAL {module} {name}", "MARK\nINST {module} {name}", "BINUNICODE '{module}'\nBINUNICODE '{name}'\nSTACK_GLOBAL"],
    ids=["GLOBAL", "INST", "STACK_GLOBAL"],
)
@pytest.mark.parametrize("long", ["module", "name"])
def test_a_name_beyond_the_limit_in_every_spelling(listing: str, long: str) -> None:
    for length in (40, 41):
        data = assemble(f"{listing.format(**{'module': 'm', 'name': 'n', long: 'x' * length})}\nSTOP")
        if length == 40:
            assert len(interpret(data, budget=Budget(Limits(global_name_bytes=40))).globals) == 1
        else:
            with pytest.raises(LimitExceeded, match="global_name_bytes"):
                interpret(data, budget=Budget(Limits(global_name_bytes=40)))


def test_of_the_mentions_of_a_name_the_first_are_kept_and_all_are_counted() -> None:
    graph = interpret(assemble("GLOBAL a b\nPOP\n" * 300 + "NONE\nSTOP"), budget=Budget())
    (node,) = graph.globals.values()
    assert graph.named[node] == 300 and graph.mentions[node] == [6 * at for at in range(machine.MAX_PLACES)]
