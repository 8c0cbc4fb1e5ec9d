"""Literals: each value equals what CPython's unpickler makes of the same stream, and every near miss is refused."""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
import pathlib
import pickle
from typing import Any

import pytest
from hostile.hostile import ints, stream
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.listings import call, integer, keyed, listed, outcome, refused, text
from safeload.policy import literals
from safeload.policy.contracts import CONTRACTS
from safeload.policy.literals import BadArguments
from safeload.values import Device

ZONES = st.none() | st.builds(
    dt.timezone, st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23)), st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
)
TIMES = st.times(timezones=ZONES) | st.times(timezones=ZONES).map(lambda value: value.replace(fold=1))
VALUES = st.one_of(
    st.dates(),
    TIMES,
    st.datetimes(timezones=ZONES),
    st.datetimes(timezones=ZONES).map(lambda value: value.replace(fold=1)),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.complex_numbers(allow_nan=False),
    st.binary(max_size=20),
    st.builds(range, st.integers(), st.integers(), st.integers().filter(bool)),
    st.builds(slice, st.none() | st.integers(), st.none() | st.integers(), st.none() | st.integers()),
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)).map(lambda parts: pathlib.PurePosixPath(*parts)),
    st.lists(st.sampled_from(["C:\\", "a", "b.c", "\\\\host\\share\\"])).map(lambda parts: pathlib.PureWindowsPath(*parts)),
)

ANYTHING = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(max_size=12), st.lists(st.integers()), st.tuples(st.integers()))
FUNCTIONS = [contract.literal for contract in CONTRACTS.values() if contract.literal is not None]


@settings(max_examples=300, deadline=None)
@given(VALUES, st.integers(0, 5))
def test_a_value_of_the_standard_library_comes_back_equal(value: Any, protocol: int) -> None:
    pickled = pickle.dumps(value, protocol)
    found, value = outcome(pickled), pickle.loads(pickled)  # protocols below 4 lose the fold
    assert type(found).__name__.removeprefix("Pure") == type(value).__name__.removeprefix("Pure")
    assert found == value
    if isinstance(value, (dt.time, dt.datetime)):
        assert (found.fold, found.tzinfo) == (value.fold, value.tzinfo)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([("date", 4), ("time", 6), ("datetime", 10)]), st.data())
def test_a_state_of_any_bytes_means_what_it_means_to_cpython(kind: tuple[str, int], data: st.DataObject) -> None:
    name, length = kind
    state = data.draw(st.binary(min_size=length, max_size=length))
    made = stream(f"GLOBAL datetime {name}\nSHORT_BINBYTES {state!r}\nTUPLE1\nREDUCE\n", 3)
    try:
        wanted = pickle.loads(made)
        repr(wanted)  # CPython takes some impossible states; they show in use
        wanted.replace()  # which checks the ranges
    except (ValueError, TypeError, OverflowError):
        refused(made)
        return
    found = outcome(made)
    assert found == wanted


def test_bytes_of_bytes_are_those() -> None:
    """`bytes(b"...")` copies nothing that is not there; `bytes(5)` would make five."""
    for content in (b"", b"a\0\xff"):
        made = stream(f"GLOBAL builtins bytes\nSHORT_BINBYTES {content!r}\nTUPLE1\nREDUCE\n", 3)
        assert outcome(made) == pickle.loads(made) == content
    refused(stream("GLOBAL builtins bytes\nBININT1 5\nTUPLE1\nREDUCE\n", 3), "SL304")


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (literals.latin1_bytes, ("a",)),
        (literals.latin1_bytes, (b"a", "latin1")),
        (literals.latin1_bytes, ("a", "utf-8")),
        (literals.latin1_bytes, ("a", b"latin1")),
        (literals.latin1_bytes, ("a", ["latin1"])),
        (literals.latin1_bytes, ("\u0100", "latin1")),
        (literals.latin1_bytes, ("a", "latin1", "strict")),
        (literals.empty_bytes, (5,)),
        (literals.empty_bytes, (True,)),
        (literals.empty_bytes, ([1],)),
        (literals.empty_bytes, ("a", "utf-8")),
        (literals.complex_number, (1, 2)),
        (literals.complex_number, (1.0,)),
        (literals.complex_number, ("1j",)),
        (literals.complex_number, (1.0, True)),
        (literals.size, ()),
        (literals.size, (1,)),
        (literals.size, ((True,),)),
        (literals.size, ((1.0,),)),
        (literals.size, ((1,), (2,))),
        (literals.size, (((1,),),)),
        (literals.size, ((1,) * 1_025,)),
        (literals.device, ()),
        (literals.device, (0,)),
        (literals.device, ("cpu", True)),
        (literals.device, ("cpu", -1)),
        (literals.device, ("cpu", 1 << 15)),
        (literals.device, ("cuda:1", 1)),
        (literals.device, ("cuda:\u0661",)),
        (literals.device, ("cuda:-1",)),
        (literals.device, ("a" * 65,)),
        (literals.device, ("",)),
        (literals.layout, ("strided",)),
        (literals.layout, ("torch.",)),
        (literals.layout, ("torch.float32",)),
        (literals.layout, (b"torch.strided",)),
        (literals.layout, ("torch.torch.strided",)),
        (literals.torch_version, (b"2",)),
        (literals.torch_version, ("2", "3")),
        (literals.date, ()),
        (literals.date, (2020, 1, 1)),
        (literals.date, (bytes(3),)),
        (literals.date, (bytearray(4),)),
        (literals.date, ("\u0100aaa",)),
        (literals.time, ()),
        (literals.time, (bytes(6), 0)),
        (literals.time, (bytes(6), None, None)),
        (literals.datetime_, (b"\x07\xe4\x01\x01" + bytes(6), "UTC")),
        (literals.timedelta, (1, 2)),
        (literals.timedelta, (True, 0, 0)),
        (literals.timedelta, (1.0, 0, 0)),
        (literals.timedelta, (1 << 70, 0, 0)),
        (literals.timedelta, (0, 86_400, 0)),
        (literals.timedelta, (0, -1, 0)),
        (literals.timezone, (0,)),
        (literals.timezone, (dt.timedelta(days=1),)),
        (literals.timezone, (dt.timedelta(0), b"x")),
        (literals.decimal_, (1,)),
        (literals.decimal_, ("",)),
        (literals.decimal_, ("1" * 2_001,)),
        (literals.decimal_, ((0, (1,), 0),)),
        (literals.fraction, ("1/0",)),
        (literals.fraction, ("-/1",)),
        (literals.fraction, ("1/",)),
        (literals.fraction, ("1/-2",)),
        (literals.fraction, ("\u0661",)),
        (literals.fraction, (1, 0)),
        (literals.fraction, (1, -1)),
        (literals.fraction, (True, 1)),
        (literals.fraction, (0.5,)),
        (literals.slice_, (1, 2)),
        (literals.slice_, (True, 2, 3)),
        (literals.slice_, ("a", None, None)),
        (literals.range_, (0, 1, 0)),
        (literals.range_, (5,)),
        (literals.range_, (0, True, 1)),
        (literals.posix_path, (b"a",)),
        (literals.posix_path, (1,)),
        (literals.windows_path, (["a"],)),
    ],
)
def test_a_near_miss_is_refused(function: Any, args: Any) -> None:
    with pytest.raises(BadArguments):
        function(args)


@pytest.mark.parametrize(
    ("function", "last", "beyond"),
    [
        (literals.size, ((1,) * 128,), ((1,) * 129,)),
        (literals.size, ([],), ({},)),
        (literals.device, ("a" * 64,), ("a" * 65,)),
        (literals.device, ("cuda", 0), ("cuda", -1)),
        (literals.device, ("cuda", (1 << 15) - 1), ("cuda", 1 << 15)),
        (literals.device, ("cuda", None), ("cuda", "1")),
        (literals.device, ("cuda:99999",), ("cuda:100000",)),
        (literals.device, ("cuda",), ("cuda:1:2",)),
        (literals.device, ("cuda", 1), ("cuda", 1, 2)),
        (literals.timedelta, (999_999_999, 86_399, 999_999), (1_000_000_000, 0, 0)),
        (literals.timedelta, (-999_999_999, 0, 0), (-1_000_000_000, 0, 0)),
        (literals.timedelta, (0, 0, 0), (0, 0, -1)),
        (literals.timedelta, (0, 0, 999_999), (0, 0, 1_000_000)),
        (literals.timezone, (dt.timedelta(0), "x"), (dt.timedelta(0), "x", "y")),
        (literals.timezone, (dt.timedelta(0),), ()),
        (literals.decimal_, ("1" * 2_000,), ("1" * 2_001,)),
        (literals.fraction, ("1" * 2_000,), ("1" * 2_001,)),
        (literals.fraction, ("-1/1",), ("--1/1",)),
        (literals.fraction, ("1/1",), ("1/\u0661",)),
        (literals.fraction, (1, 1), (1, 1, 1)),
        (literals.slice_, (None, None, None), (None, None, None, None)),
        (literals.range_, (0, 0, -1), (0, 0, 1, 1)),
        (literals.latin1_bytes, ("a", "latin-1"), ("a", "latin_1")),
        (literals.layout, ("torch._mkldnn",), ("_mkldnn",)),
        (literals.layout, ("torch.strided",), ("torch.strided", "torch.strided")),
        (literals.empty_bytes, (b"",), (b"", b"")),
        (literals.complex_number, (1.0, 2.0), (1.0, 2.0, 3.0)),
        (literals.time, (bytes(6),), (bytes(7),)),
        (literals.time, (bytes(6), None), (bytes(6), None, None)),
        (literals.time, ("\0" * 6,), ("\u0100" * 6,)),
        (literals.time, (bytes(6), dt.UTC), (bytes(6), dt.timedelta(0))),
        (literals.date, (b"\x07\xe4\x01\x01",), (b"\x07\xe4\x01\x01", None)),
        (literals.posix_path, (), ("a", None)),
        (literals.posix_path, ("a", "b"), ("a", b"b")),
        (literals.empty_bytes, (), ((),)),
        (literals.torch_version, ("2",), ()),
        (literals.datetime_, (b"\x07\xe4\x01\x01" + bytes(6), dt.UTC), ()),
        (literals.datetime_, (b"\x07\xe4\x01\x01" + bytes(6),), ("", None)),
    ],
)
def test_the_last_that_is_taken_and_the_first_that_is_not(function: Any, last: Any, beyond: Any) -> None:
    function(last)
    with pytest.raises(BadArguments):
        function(beyond)


def test_what_devices_and_bytes_mean() -> None:
    assert [literals.device(args) for args in (("cuda:1",), ("cuda", 1), ("cpu",))] == [Device("cuda", 1), Device("cuda", 1), Device("cpu", None)]
    with pytest.raises(BadArguments, match="the text is not latin-1"):
        literals.latin1_bytes(("\u0100", "latin1"))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(FUNCTIONS),
    st.lists(ANYTHING, max_size=4),
)
def test_any_arguments_make_a_value_or_bad_arguments(function: Any, args: list[Any]) -> None:
    try:
        function(tuple(args))
    except BadArguments as error:
        assert str(error)


def test_a_signalling_nan_has_no_hash_and_is_no_key() -> None:
    refused(stream(keyed(call("decimal", "Decimal", text("sNaN")))))


@pytest.mark.parametrize("spelled", ["NaN", "Infinity", "-0", "1E+999999", "1E-999999", "0E+5"])
def test_odd_decimals_are_keys_like_any_other(spelled: str) -> None:
    found = outcome(stream(keyed(call("decimal", "Decimal", text(spelled)))))
    assert [str(key) for key in found] == [str(decimal.Decimal(spelled))]


def test_a_fraction_in_both_spellings() -> None:
    assert outcome(stream(call("fractions", "Fraction", text("-6/4")))) == fractions.Fraction(-3, 2)
    assert outcome(stream(call("fractions", "Fraction", integer(6) + integer(4)))) == fractions.Fraction(3, 2)


def test_the_list_of_a_size_must_not_change_behind_it() -> None:
    given = f"{listed(integer(1))}BINPUT 0\nPOP\n"
    made = "GLOBAL torch Size\nBINGET 0\nTUPLE1\nREDUCE\n"
    change = f"BINGET 0\n{integer(9)}APPEND\nPOP\n"
    assert outcome(stream(given + change + made)) == (1, 9)
    refused(stream(given + made + change), "SL206")


def test_a_literal_takes_no_items_and_no_state() -> None:
    for made in (call("torch", "Size", ints(1)), call("datetime", "timedelta", integer(1) * 3), call("builtins", "slice", "NONE\n" * 3)):
        refused(stream(f"{made}NONE\nBUILD\n"), "SL305")
        refused(stream(f"{made}NONE\nAPPEND\n"), "SL305")
        refused(stream(f"{made}NONE\nNONE\nSETITEM\n"), "SL305")
