"""Law 3 on streams made to hurt: each ends in an `ObjectGraph` or a `CheckpointError`, and what is declared is not what is allocated."""

from __future__ import annotations

import pickle
import struct
import sys
import tracemalloc
from collections import OrderedDict
from typing import Any

import pytest

from safeload.budget import Budget
from safeload.errors import CheckpointError, LimitExceeded, StreamError
from safeload.limits import DEFAULT_LIMITS
from safeload.machine.interpret import interpret
from safeload.machine.nodes import Call, ObjectGraph
from safeload.opcodes.assemble import assemble

MILLION = 1_000_000


def read(data: bytes, **limits: int) -> ObjectGraph:
    return interpret(data, budget=Budget(DEFAULT_LIMITS.replaced(limits)))


def refusal(data: bytes, kind: type[CheckpointError] = StreamError, **limits: int) -> CheckpointError:
    with pytest.raises(kind) as caught:
        read(data, **limits)
    return caught.value


def samples() -> dict[str, bytes]:
    value = [
        1,
        -5,
        300,
        10**30,
        1.5,
        "text",
        b"bytes",
        bytearray(b"x"),
        None,
        True,
        (1,),
        (1, 2, 3, 4),
        {1: [2]},
        {3},
        frozenset({4}),
        OrderedDict(a=print),
        complex(1),
    ]
    return {f"protocol {protocol}": pickle.dumps(value, protocol) for protocol in range(6)}


@pytest.mark.parametrize("name", samples())
def test_a_stream_cut_anywhere(name: str) -> None:
    data = samples()[name]
    assert read(data).end == len(data)
    for length in range(len(data)):
        error = refusal(data[:length])
        assert error.rule in ("SL202", "SL204"), f"cut to {length} bytes: {error}"
        assert error.offset is not None
        assert error.offset <= length


@pytest.mark.parametrize("name", samples())
def test_a_byte_changed_anywhere(name: str) -> None:
    data = samples()[name]
    for position in range(len(data)):
        for byte in (0x00, 0x28, 0x2E, 0x30, 0x52, 0x62, 0x71, 0x80, 0x95, 0xFF):
            try:
                graph = interpret(data[:position] + bytes((byte,)) + data[position + 1 :], budget=Budget(), encoding="latin-1")
            except CheckpointError as error:
                assert error.offset is not None
            else:
                assert graph.end <= len(data)


SENSELESS = {
    "nothing": "",
    "only STOP": "STOP",
    "only PROTO": "PROTO 4",
    "memo miss": "BINGET 7\nSTOP",
    "memo miss, long": "LONG_BINGET 4294967295\nSTOP",
    "memo miss, text": "GET 99999999999999999999\nSTOP",
    "negative memo index": "NONE\nPUT -1\nSTOP",
    "PUT of nothing": "BINPUT 0\nSTOP",
    "PUT above a mark": "NONE\nMARK\nBINPUT 0\nSTOP",
    "MEMOIZE of nothing": "MEMOIZE\nSTOP",
    "DUP of nothing": "DUP\nSTOP",
    "DUP of a mark": "NONE\nMARK\nDUP\nSTOP",
    "POP of nothing": "POP\nSTOP",
    "POP_MARK without a mark": "NONE\nPOP_MARK\nSTOP",
    "TUPLE without a mark": "NONE\nTUPLE\nSTOP",
    "TUPLE2 across a mark": "NONE\nMARK\nNONE\nTUPLE2\nSTOP",
    "APPEND to nothing": "NONE\nAPPEND\nSTOP",
    "APPENDS to nothing": "MARK\nNONE\nAPPENDS\nSTOP",
    "APPEND to a tuple": "EMPTY_TUPLE\nNONE\nAPPEND\nSTOP",
    "APPEND to a dict": "EMPTY_DICT\nNONE\nAPPEND\nSTOP",
    "APPEND to a set": "EMPTY_SET\nNONE\nAPPEND\nSTOP",
    "APPEND to a bytearray": "BYTEARRAY8 b''\nBININT1 1\nAPPEND\nSTOP",
    "SETITEM into a list": "EMPTY_LIST\nBININT1 0\nNONE\nSETITEM\nSTOP",
    "SETITEMS of three": "EMPTY_DICT\nMARK\nNONE\nNONE\nNONE\nSETITEMS\nSTOP",
    "DICT of three": "MARK\nNONE\nNONE\nNONE\nDICT\nSTOP",
    "ADDITEMS to a list": "EMPTY_LIST\nMARK\nNONE\nADDITEMS\nSTOP",
    "ADDITEMS to a frozenset": "MARK\nFROZENSET\nMARK\nNONE\nADDITEMS\nSTOP",
    "BUILD on a list": "EMPTY_LIST\nEMPTY_DICT\nBUILD\nSTOP",
    "BUILD on a str": "BINUNICODE 'a'\nNONE\nBUILD\nSTOP",
    "call of an int": "BININT1 1\nEMPTY_TUPLE\nREDUCE\nSTOP",
    "call of a str": "BINUNICODE 'os.system'\nEMPTY_TUPLE\nREDUCE\nSTOP",
    "arguments in a list": "GLOBAL a b\nEMPTY_LIST\nREDUCE\nSTOP",
    "arguments in a node": "GLOBAL a b\nGLOBAL c d\nREDUCE\nSTOP",
    "NEWOBJ with a list": "GLOBAL a b\nEMPTY_LIST\nNEWOBJ\nSTOP",
    "NEWOBJ_EX without a dict": "GLOBAL a b\nEMPTY_TUPLE\nEMPTY_TUPLE\nNEWOBJ_EX\nSTOP",
    "OBJ of nothing": "MARK\nOBJ\nSTOP",
    "OBJ of an int": "MARK\nBININT1 1\nOBJ\nSTOP",
    "INST without a mark": "INST a b\nSTOP",
    "STACK_GLOBAL of bytes": "BINBYTES b'a'\nBINBYTES b'b'\nSTACK_GLOBAL\nSTOP",
    "STACK_GLOBAL of a node": "GLOBAL a b\nBINUNICODE 'c'\nSTACK_GLOBAL\nSTOP",
    "STACK_GLOBAL of one": "BINUNICODE 'c'\nSTACK_GLOBAL\nSTOP",
    "PROTO 6": "PROTO 6\nNONE\nSTOP",
    "PROTO 255": "PROTO 255\nNONE\nSTOP",
    "PROTO twice": "PROTO 4\nPROTO 4\nNONE\nSTOP",
    "PROTO late": "NONE\nPROTO 4\nSTOP",
    "PROTO in a frame": "FRAME 4\nPROTO 4\nNONE\nSTOP",
    "two objects at STOP": "NONE\nNONE\nSTOP",
    "an open mark at STOP": "MARK\nNONE\nSTOP",
    "no opcode": "RAW 'ff'",
    "opcode 0": "RAW '00'",
    "negative LONG4": "LONG4 length=-1 b''\nSTOP",
    "negative BINSTRING": "BINSTRING length=-5 b''\nSTOP",
    "bad UTF-8": r"BINUNICODE b'\xff'" + "\nSTOP",
    "bad UTF-8 in a name": r"GLOBAL b'\xff' 'a'" + "\nSTOP",
    "persistent id not ASCII": r"PERSID b'\xe9'" + "\nSTOP",
}


@pytest.mark.parametrize("name", SENSELESS)
def test_senseless(name: str) -> None:
    error = refusal(assemble(SENSELESS[name]))
    assert error.rule == "SL208" if name.startswith("STACK_GLOBAL") else error.rule in ("SL201", "SL202")
    assert error.offset is not None


@pytest.mark.parametrize("text", ["EXT1 1", "EXT2 1", "EXT4 1", "NEXT_BUFFER", "BINBYTES b'a'\nREADONLY_BUFFER"])
def test_what_takes_its_meaning_from_outside(text: str) -> None:
    assert refusal(assemble(f"PROTO 5\n{text}\nSTOP")).rule == "SL203"


@pytest.mark.parametrize("name", ["BINBYTES", "BINUNICODE", "BINSTRING", "LONG4", "BINBYTES8", "BINUNICODE8", "BYTEARRAY8", "SHORT_BINBYTES", "LONG1", "FRAME"])
def test_a_declared_length_costs_nothing(name: str) -> None:
    sizes = [255] if name in ("SHORT_BINBYTES", "LONG1") else [2**31 - 1] if name in ("BINSTRING", "LONG4") else [2**32 - 1]
    sizes += [2**40, 2**63, 2**64 - 1] if name.endswith("8") or name == "FRAME" else []
    for size in sizes:
        data = assemble(f"FRAME {size}\nNONE\nSTOP" if name == "FRAME" else f"{name} length={size} b'abc'\nSTOP")
        tracemalloc.start()
        error = refusal(data)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert error.rule in ("SL202", "SL204")
        assert peak < MILLION


def test_a_high_memo_slot_costs_nothing() -> None:
    """`_pickle.c` keeps an array and would allocate 64 GiB for this slot."""
    tracemalloc.start()
    assert read(assemble("NONE\nLONG_BINPUT 4294967295\nPOP\nLONG_BINGET 4294967295\nSTOP")).root is None
    assert tracemalloc.get_traced_memory()[1] < MILLION
    tracemalloc.stop()


DEEP = {
    "lists by APPEND": b"]" * MILLION + b"a" * (MILLION - 1) + b".",
    "lists by LIST": b"(" * (MILLION // 2) + b"l" * (MILLION // 2) + b".",
    "tuples": b"N" + b"\x85" * MILLION + b".",
    "dicts": b"}K\x00" * (MILLION // 4) + b"N" + b"s" * (MILLION // 4) + b".",
    "calls": b"cposix\nsystem\n" + b")R" * MILLION + b".",
    "frozensets": b"(" * (MILLION // 2) + b"\x91" * (MILLION // 2) + b".",
    "marks": b"(" * (2 * MILLION) + b".",
    "DUP": b"N" + b"2" * (2 * MILLION) + b".",
    "a list of itself": b"]" + b"2a" * MILLION + b".",
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_and_wide(name: str) -> None:
    """A million levels: the value (and its deallocation) or an error, and no recursion anywhere."""
    try:
        graph = read(DEEP[name])
    except CheckpointError as error:
        assert error.rule in ("SL201", "SL205", "SL901")
    else:
        assert graph.end == len(DEEP[name])


def test_an_endless_stream_of_opcodes_meets_the_budget() -> None:
    assert refusal(b"N0" * 100_000 + b"N.", LimitExceeded, opcodes=10_000).rule == "SL901"
    assert refusal(b"NN" * 100_000 + b"N.", LimitExceeded, stack=10_000).rule == "SL901"
    assert refusal(b"N\x94" * 100_000 + b".", LimitExceeded, memo_entries=10_000).rule == "SL901"
    assert refusal(b"P1\n0" * 100_000 + b"N.", LimitExceeded, graph_nodes=10_000).rule == "SL901"
    assert refusal(b"".join(b"cm\nn%d\n0" % i for i in range(200)) + b"N.", LimitExceeded, globals=100).rule == "SL901"
    assert refusal(b"N0" * 100_000 + b"N.", LimitExceeded, scan_seconds=0).rule == "SL901"
    assert refusal(b"X\x10\0\0\0" + b"x" * 16 + b".", LimitExceeded, literal_bytes=15).rule == "SL901"
    assert refusal(b"c" + b"m" * 2_000 + b"\nn\n.", LimitExceeded).rule == "SL901"
    assert refusal(b"\x8b" + struct.pack("<i", 5_000) + b"\x01" * 5_000 + b".", LimitExceeded).rule == "SL901"


@pytest.mark.parametrize("opcode", [b"I", b"L"])
def test_a_long_decimal_is_refused_before_it_is_converted(opcode: bytes) -> None:
    assert refusal(opcode + b"9" * MILLION + b"\n.", CheckpointError).rule == "SL901"
    assert refusal(b"Ng" + b"9" * MILLION + b"\n.", CheckpointError).rule in ("SL201", "SL901")


# ---- keys ----------------------------------------------------------------------------------------------------------------------------------


def long1(number: int) -> bytes:
    content = pickle.encode_long(number)
    return b"\x8a" + bytes((len(content),)) + content


def with_key(key: bytes) -> dict[str, bytes]:
    """`key` used in each of the ways that hash it."""
    return {
        "SETITEM": b"}" + key + b"Ns.",
        "SETITEMS": b"}(" + key + b"Nu.",
        "DICT": b"(" + key + b"Nd.",
        "ADDITEMS": b"\x8f(" + key + b"\x90.",
        "FROZENSET": b"(" + key + b"\x91.",
    }


@pytest.mark.parametrize("how", with_key(b""))
@pytest.mark.parametrize("text", ["EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET", "BYTEARRAY8 b''", "EMPTY_LIST\nTUPLE1", "EMPTY_DICT\nTUPLE1\nTUPLE1"])
def test_unhashable_keys(text: str, how: str) -> None:
    assert refusal(with_key(assemble(text))[how]).rule == "SL205"


@pytest.mark.parametrize("how", with_key(b""))
def test_a_deep_tuple_as_key(how: str) -> None:
    """hash() recurses in C: torch.load(weights_only=True) dies of this one."""
    assert refusal(with_key(b"N" + b"\x85" * MILLION)[how], CheckpointError).rule in ("SL205", "SL901")


@pytest.mark.parametrize("how", with_key(b""))
def test_a_tuple_of_shared_tuples_as_key(how: str) -> None:
    """Ten levels of `t = (t, t)` are 1,024 paths, a hundred are 2^100: hash() takes each."""
    assert refusal(with_key(b")" + b"2\x86" * 100)[how], CheckpointError).rule in ("SL205", "SL901")


def test_ints_that_share_one_hash() -> None:
    modulus = sys.hash_info.modulus
    keys = b"".join(long1(i * modulus) + b"N" for i in range(1, 60_001))
    assert refusal(b"}(" + keys + b"u.", CheckpointError).rule in ("SL205", "SL901")
    one_by_one = b"".join(long1(i * modulus) + b"Ns" for i in range(1, 60_001))
    assert refusal(b"}" + one_by_one + b".", CheckpointError).rule in ("SL205", "SL901")


@pytest.mark.parametrize(
    "make", [b"}" + b"G\x3f\xf8\0\0\0\0\0\0" + b"Ns0", b"\x8f(G\x3f\xf8\0\0\0\0\0\0\x900", b"(G\x3f\xf8\0\0\0\0\0\0\x910"], ids=["dict", "set", "frozenset"]
)
def test_containers_that_come_and_go_are_counted_apart(make: bytes) -> None:
    """A container that is dropped leaves its address to the next one, and must not leave its count of keys with it."""
    assert read(make * 1_000 + b"N.").root is None


def frozen(levels: int) -> bytes:
    """`f = frozenset({(f, f)})`, `levels` deep; each call makes its own."""
    return b"(\x91" + b"q\x010(h\x01h\x01\x86\x91" * levels


def test_equal_keys_of_shared_parts() -> None:
    """Two equal keys are compared item by item, and comparing takes every path: 2^60 of them. So a frozenset counts like a tuple."""
    for levels in (12, 60, 400):  # the first is fast even where it is not refused
        data = b"}" + frozen(levels) + b"Ns" + frozen(levels) + b"Ns."
        assert refusal(data, CheckpointError).rule in ("SL205", "SL901")


@pytest.mark.parametrize("levels", [400, 3_000])
def test_equal_keys_that_are_deep(levels: int) -> None:
    """Comparing recurses in C and counts against Python's recursion limit, also when the caller is deep down already."""
    keys = (b"N" + b"\x85" * levels, b"(" * levels + b"\x91" * levels)

    def deep(frames: int) -> None:
        if frames:
            return deep(frames - 1)
        for key in keys:
            for data in (b"}" + key + b"Ns" + key + b"Ns.", b"(" + key + key + b"\x91."):
                ends_well(data)
        return None

    deep(0)
    deep(700)


def ends_well(data: bytes) -> Any:
    try:
        return read(data).root
    except CheckpointError as error:
        assert error.offset is not None
        return error


def test_a_memo_bomb_costs_its_real_size() -> None:
    """Sixty lists, each ten times the one before: 10^60 elements for whoever walks it without a memory."""
    value = read(b"]q\x000" + b"](h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00eq\x000" * 60 + b"h\x00.").root
    for _ in range(60):
        assert len(value) == 10
        assert all(item is value[0] for item in value)
        value = value[0]
    assert value == []


def test_calls_are_recorded_and_nothing_else() -> None:
    data = assemble("GLOBAL posix system\nBINUNICODE 'touch /tmp/safeload-was-here'\nTUPLE1\nREDUCE\nPOP\nNONE\nSTOP")
    graph = read(data)
    assert graph.root is None
    call = graph.log[-1]
    assert isinstance(call, Call)
    assert call.func.full == "posix.system"  # type: ignore[union-attr]
    assert call.args == ("touch /tmp/safeload-was-here",)
