"""Streams that are broken, doubled, nested or inflated: never accepted, and what came before the damage is named all the same."""

from __future__ import annotations

import pytest

from safeload.errors import CheckpointError
from safeload.limits import DEFAULT_LIMITS
from safeload.opcodes.assemble import assemble

from . import watched
from .hostile import SYSTEM, Refusal, archive, stream

MKDIR = "posix.mkdir"

TAILS = {  # what follows a payload that has run in any other unpickler by then
    "missing-stop": b"",
    "unknown-opcode": b"\xff.",
    "underflow": b"0000.",
    "memo-miss": b"h\x63.",
    "cut-argument": b"X\xff\0\0\0abc",
    "bad-utf8": b"X\2\0\0\0\xff\xfe.",
    "mark-left": b"(.",
    "stack-left": b"N.",
    "build-on-none": b"0NNb.",
    "second-proto": b"\x80\2.",
    "cut-line": b"cposix",
    "unquoted": b"Sabc\n.",
    "ext": b"\x82\1.",
    "frame": b"\x95\xff\0\0\0\0\0\0\0.",
    "setitem-on-none": b"0NNNs.",
}


@pytest.mark.parametrize("name", TAILS)
def test_a_payload_before_the_damage_is_named(refused: Refusal, name: str) -> None:
    data = refused.armed(assemble("PROTO 2\n" + SYSTEM)) + TAILS[name]
    refused(data, "rejected", "SL301", names=(MKDIR,))


@pytest.mark.parametrize("name", TAILS)
def test_damage_alone_is_inconclusive(refused: Refusal, name: str) -> None:
    report = refused(assemble("PROTO 2\nNONE\n") + TAILS[name], "rejected" if name == "ext" else "inconclusive")
    assert {finding.rule[:3] for finding in report.errors} == {"SL2"}


def test_each_cut_of_a_payload_is_refused(refused: Refusal) -> None:
    whole = refused.armed(stream(SYSTEM))
    named = whole.index(b"mkdir\n") + len(b"mkdir\n")
    for end in range(3, len(whole)):
        refused(whole[:end], "rejected" if end >= named else "inconclusive")


FOLLOWERS = {
    "payload": (stream(SYSTEM), "SL301", "rejected"),
    "payload-cut": (stream(SYSTEM)[:-1], "SL301", "rejected"),
    "junk": (b"\xff" * 16, "SL207", "inconclusive"),
    "zeros": (b"\0" * 16, "SL207", "inconclusive"),
    "elf": (b"\x7fELF" + bytes(60), "SL207", "inconclusive"),
    "newline": (b"\n", "SL207", "inconclusive"),
    "junk-then-payload": (b"\xff\xff" + stream(SYSTEM), "SL301", "rejected"),
}


@pytest.mark.parametrize("name", FOLLOWERS)
def test_what_follows_stop_is_judged_or_refused(refused: Refusal, name: str) -> None:
    follower, rule, verdict = FOLLOWERS[name]
    refused(refused.armed(stream("EMPTY_DICT\n") + follower), verdict, rule)


def test_many_streams_hide_nothing(refused: Refusal) -> None:
    refused(refused.armed(stream("NONE\n") * 50 + stream(SYSTEM) + stream("NONE\n") * 5), "rejected", "SL301", names=(MKDIR,))


def test_a_second_stream_in_an_archive_is_no_part_of_it(refused: Refusal) -> None:
    refused(archive("EMPTY_DICT\nSTOP\nPROTO 2\nNONE\n"), "inconclusive", "SL207")


PROTOCOLS = {
    "late": "NONE\nPROTO 2\n",
    "twice": "PROTO 2\nPROTO 2\nNONE\n",
    "future": "PROTO 6\nNONE\n",
    "future-after": "NONE\nPROTO 255\n",
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_proto_stands_first_and_once(refused: Refusal, name: str) -> None:
    refused(stream(PROTOCOLS[name], None), "inconclusive")


FRAMES = {
    "straddling": "FRAME 3\nBINBYTES8 b'0123456789'\n",
    "hidden": "FRAME 4\nNONE\nSHORT_BINBYTES b'0N.xx'\n",
    "nested": "FRAME 20\nFRAME 3\nNONE\nPOP\nNONE\nFRAME 2\nNONE\nPOP\n",
    "too-long": "FRAME 1000000\nNONE\n",
    "endless": "FRAME 18446744073709551615\nNONE\n",
    "stop-inside": "FRAME 9\nNONE\n",
    "cut-line": "FRAME 4\nGLOBAL posix mkdir\n",
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_hold_what_they_announce(refused: Refusal, name: str) -> None:
    data = stream(FRAMES[name], 4) + (b"N" * 20 if name in ("stop-inside", "nested") else b"")
    if name in ("too-long", "endless"):  # cut short, for all that anybody knows
        refused(data, "inconclusive")
    else:
        refused(data, "rejected", "SL204")


def test_a_hidden_program_behind_a_long_argument_is_not_data(refused: Refusal) -> None:
    """CPython gh-154848: the frame ends inside the argument, and the C unpickler went on reading opcodes where pickletools shows bytes."""
    hidden = refused.armed(stream(SYSTEM, None))
    data = assemble("PROTO 4\n") + b"\x95" + (9 + 4).to_bytes(8, "little") + b"B" + len(hidden).to_bytes(4, "little") + b"xxxxyyyy"[:8] + hidden + b"."
    refused(b"\x80\4" + b"C\x80" + bytes(128) + b"0" + data[2:], "rejected", "SL204")


DEEP = {
    "lists": "EMPTY_LIST\n" * 100_000 + "APPEND\n" * 99_999,
    "tuples": "NONE\n" + "TUPLE1\n" * 200_000,
    "dicts": "EMPTY_DICT\nNONE\n" * 50_000 + "NONE\n" + "SETITEM\n" * 50_000,
    "marks": "MARK\n" * 50_000 + "TUPLE\n" * 50_000,
    "calls": "GLOBAL my.module f\n" * 50_000 + "EMPTY_TUPLE\n" + "REDUCE\nTUPLE1\n" * 49_999 + "REDUCE\n",
    "callees": "GLOBAL my.module f\n" + "EMPTY_TUPLE\nREDUCE\n" * 50_000,
    "states": "GLOBAL my.module f\nEMPTY_TUPLE\nREDUCE\n" * 20_000 + "NONE\n" + "BUILD\n" * 20_000,
    "ordered-dicts": "GLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nNONE\n" * 20_000 + "NONE\n" + "SETITEM\n" * 20_000,
    "persistent-ids": "NONE\n" + "BINPERSID\n" * 50_000,
    "frozensets": "MARK\n" * 50_000 + "NONE\n" + "FROZENSET\n" * 50_000,
}


@pytest.mark.parametrize("name", DEEP)
def test_depth_is_bounded(refused: Refusal, name: str) -> None:
    data = stream(DEEP[name], 4)
    refused(data, watched.scan(data).verdict if name in ("calls", "callees", "states", "persistent-ids") else "inconclusive")


KEYS = {
    "deep-tuple": "EMPTY_DICT\nNONE\n" + "TUPLE1\n" * 100_000 + "NONE\nSETITEM\n",
    "shared-tuple": "EMPTY_DICT\nNONE\n" + "DUP\nTUPLE2\n" * 60 + "NONE\nSETITEM\n",
    "list": "EMPTY_DICT\nEMPTY_LIST\nNONE\nSETITEM\n",
    "dict": "EMPTY_DICT\nEMPTY_DICT\nNONE\nSETITEM\n",
    "set": "EMPTY_DICT\nEMPTY_SET\nNONE\nSETITEM\n",
    "bytearray": "EMPTY_DICT\nBYTEARRAY8 b'x'\nNONE\nSETITEM\n",
    "tuple-of-list": "EMPTY_DICT\nEMPTY_LIST\nTUPLE1\nNONE\nSETITEM\n",
    "self": "EMPTY_DICT\nDUP\nNONE\nSETITEM\n",
    "set-of-list": "EMPTY_SET\nMARK\nEMPTY_LIST\nADDITEMS\n",
    "frozenset-of-dict": "MARK\nEMPTY_DICT\nFROZENSET\n",
    "frozenset-chain": "MARK\n" * 2_000 + "NONE\n" + "TUPLE\nTUPLE1\nMARK\nNONE\nFROZENSET\nTUPLE2\n" * 2_000,
    "dict-opcode": "MARK\nEMPTY_LIST\nNONE\nDICT\n",
    "odd-pairs": "EMPTY_DICT\nMARK\nNONE\nSETITEMS\n",
}


@pytest.mark.parametrize("name", KEYS)
def test_keys_are_checked_before_they_are_hashed(refused: Refusal, name: str) -> None:
    refused(stream(KEYS[name], 5), "inconclusive")


MODULUS = (1 << 61) - 1
EQUAL_HASHES = {
    "ints": "".join(f"LONG1 {MODULUS * number}\nNONE\n" for number in range(1, 1_000)),
    "tuples": "".join(f"LONG1 {MODULUS * number}\nTUPLE1\nNONE\n" for number in range(1, 1_000)),
    "negative": "".join(f"LONG1 {-MODULUS * number}\nNONE\n" for number in range(1, 1_000)),
    "mixed": "".join(f"LONG1 {MODULUS * number + 8}\nNONE\nBINFLOAT 8.0\nNONE\n" for number in range(1, 1_000)),
}


@pytest.mark.parametrize("name", EQUAL_HASHES)
def test_keys_of_one_hash_are_counted(refused: Refusal, name: str) -> None:
    refused(stream("EMPTY_DICT\nMARK\n" + EQUAL_HASHES[name] + "SETITEMS\n", 4), "inconclusive", "SL901")


def test_keys_of_one_hash_are_counted_over_many_opcodes(refused: Refusal) -> None:
    items = "".join(f"LONG1 {MODULUS * number}\nNONE\nSETITEM\n" for number in range(1, 1_000))
    refused(stream("EMPTY_DICT\n" + items), "inconclusive", "SL901")


NUMBERS = {
    "long4": b"\x8b" + (100_000).to_bytes(4, "little") + b"\1" * 100_000,
    "long-line": b"L" + b"9" * 100_000 + b"L\n",
    "int-line": b"I" + b"9" * 100_000 + b"\n",
    "float-line": b"F" + b"9" * 100_000 + b"x\n",
    "negative-long4": b"\x8b\xff\xff\xff\xff",
    "underscores": b"I1_000\n",
    "spaces": b"I 1\n",
    "unicode-digits": "I\u0661\n".encode(),
    "nul": b"I1\0\n",
    "hex": b"I0x10\n",
    "empty": b"I\n",
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_bounded_and_plain(refused: Refusal, name: str) -> None:
    data = b"\x80\2" + NUMBERS[name] + b"."
    if name in ("spaces", "underscores", "hex"):  # strtol of C and int() of Python take some of these; a value or a refusal, nothing else
        refused.inert(data)
        return
    refused(data, "inconclusive")


LENGTHS = {
    "BINBYTES8": "BINBYTES8 length=0x7fffffffffffffff b'abc'\n",
    "BINUNICODE8": "BINUNICODE8 length=0xffffffffffffffff b'abc'\n",
    "BYTEARRAY8": "BYTEARRAY8 length=0xffffffffff b'abc'\n",
    "BINBYTES": "BINBYTES length=0xffffffff b'abc'\n",
    "BINUNICODE": "BINUNICODE length=0xffffffff b'abc'\n",
    "BINSTRING": "BINSTRING length=0x7fffffff b'abc'\n",
    "BINSTRING-negative": "BINSTRING length=-1 b'abc'\n",
    "LONG4": "LONG4 length=0x7fffffff b'abc'\n",
    "SHORT_BINUNICODE": "SHORT_BINUNICODE length=255 b'abc'\n",
}


@pytest.mark.parametrize("name", LENGTHS)
def test_a_length_is_compared_with_what_is_left(refused: Refusal, name: str) -> None:
    refused(assemble("PROTO 5\n" + LENGTHS[name] + "STOP\n"), "inconclusive")


SLOTS = {"put": "NONE\nPUT 99999999999999999999\n", "long-binput": "NONE\nLONG_BINPUT 4294967295\n"}


@pytest.mark.parametrize("name", SLOTS)
def test_a_high_memo_slot_costs_one_entry(refused: Refusal, name: str) -> None:
    """`_pickle.c` grew its memo to the index (CVE-2018-20406); ours is a dict, so this is a harmless file or a refused one."""
    refused.inert(stream(SLOTS[name]))
    report = watched.scan(stream(SLOTS[name]))
    assert report.verdict in ("accepted", "inconclusive")


@pytest.mark.parametrize("link", ["DUP\nTUPLE2\n", "BINPUT 0\nMARK\nBINGET 0\nBINGET 0\nBINGET 0\nTUPLE\nTUPLE2\n"])
def test_shared_parts_cost_their_real_size(refused: Refusal, link: str) -> None:
    """A billion laughs: 2^200 elements when written out, and two hundred when counted."""
    data = stream("NONE\n" + link * 200)
    report = watched.scan(data)
    assert report.verdict == "accepted" and report.opcodes < 3_000
    assert watched.load(data) is not None


def test_laughs_in_lists_cost_their_real_size() -> None:
    data = stream("EMPTY_LIST\n" + "BINPUT 0\nPOP\nEMPTY_LIST\nMARK\nBINGET 0\nBINGET 0\nBINGET 0\nAPPENDS\n" * 300)
    assert watched.scan(data).verdict == "accepted"
    assert len(watched.load(data)) == 3


BUDGETS = {  # limit -> a stream that asks for more
    "opcodes": "NONE\nPOP\n" * 10_000 + "NONE\n",
    "stack": "NONE\n" * 10_000 + "POP\n" * 9_999,
    "memo_entries": "NONE\nMEMOIZE\n" + "MEMOIZE\n" * 10_000,
    "graph_nodes": "GLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nPOP\n" * 5_000 + "NONE\n",
    "pickle_bytes": "NONE\nPOP\n" * 5_000 + "NONE\n",
    "literal_bytes": f"BINUNICODE '{'a' * 10_000}'\n",
    "nesting_depth": "NONE\n" + "TUPLE1\n" * 2_000,
}


@pytest.mark.parametrize("limit", BUDGETS)
def test_a_budget_is_a_verdict(refused: Refusal, limit: str) -> None:
    limits = DEFAULT_LIMITS.replaced({limit: 1_000})
    report = refused(stream(BUDGETS[limit], 4), "inconclusive", "SL901", limits=limits)
    assert any(limit in finding.message for finding in report.errors)


def test_filler_does_not_hide_a_payload(refused: Refusal) -> None:
    limits = DEFAULT_LIMITS.replaced({"opcodes": 1_000})
    refused(refused.armed(stream("NONE\nPOP\n" * 10_000 + SYSTEM)), "rejected", "SL901", "SL301", limits=limits)
    refused(refused.armed(stream(SYSTEM + "POP\n" + "NONE\nPOP\n" * 10_000 + "NONE\n")), "rejected", "SL301", "SL901", limits=limits)


@pytest.mark.parametrize("seed", range(256))
def test_one_byte_is_no_surprise(refused: Refusal, seed: int) -> None:
    for data in (bytes([seed]), b"\x80" + bytes([seed]), bytes([seed]) + b"."):
        report = watched.scan(data)
        if report.verdict == "accepted":
            assert watched.load(data) is not NotImplemented
        else:
            with pytest.raises(CheckpointError):
                watched.load(data)
