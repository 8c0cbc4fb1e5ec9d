"""BUILD, SETITEM and APPEND on what takes none: a state is data for our own records, and no attribute of a live object (CVE-2026-24747, torch #195607)."""

from __future__ import annotations

import pytest

from . import watched
from .hostile import SYSTEM, Refusal, archive, storage, stream, tensor, vector

ORDERED = "GLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\n"
NAMESPACE = "GLOBAL argparse Namespace\nEMPTY_TUPLE\nNEWOBJ\n"


def state(*names: str) -> str:
    """A dict with these keys."""
    return "EMPTY_DICT\nMARK\n" + "".join(f"BINUNICODE {name!a}\nBININT1 1\n" for name in names) + "SETITEMS\n"


ON_TENSORS = {
    "setitem": tensor() + "BININT1 0\nBINFLOAT 1.0\nSETITEM\n",
    "setitems": tensor() + "MARK\nBININT1 0\nBINFLOAT 1.0\nBININT1 9\nBINFLOAT 2.0\nSETITEMS\n",
    "setitem-far": tensor() + "LONG4 1099511627776\nBINFLOAT 1.0\nSETITEM\n",
    "append": tensor() + "BINFLOAT 1.0\nAPPEND\n",
    "appends": tensor() + "MARK\nBINFLOAT 1.0\nAPPENDS\n",
    "additems": tensor() + "MARK\nBINFLOAT 1.0\nADDITEMS\n",
    "build": tensor() + state("x") + "BUILD\n",
    "build-tuple": tensor() + storage() + "BININT1 0\nBININT1 9\nTUPLE1\nTUPLE3\nBUILD\n",
    "storage-setitem": storage() + "BININT1 0\nBINFLOAT 1.0\nSETITEM\n",
    "storage-build": storage() + state("x") + "BUILD\n",
    "storage-append": storage() + "NONE\nAPPEND\n",
    "setitem-popped": tensor() + "BININT1 0\nBINFLOAT 1.0\nSETITEM\nPOP\nNONE\n",
    "size-append": "GLOBAL torch Size\nEMPTY_TUPLE\nTUPLE1\nREDUCE\nBININT1 1\nAPPEND\n",
    "dtype-build": "GLOBAL torch float32\n" + state("x") + "BUILD\n",
    "class-build": "GLOBAL torch Tensor\n" + state("__setstate__") + "BUILD\n",
    "function-build": "GLOBAL torch._utils _rebuild_tensor_v2\n" + state("__code__") + "BUILD\n",
    "class-setitem": "GLOBAL collections OrderedDict\nBINUNICODE 'keys'\nNONE\nSETITEM\n",
}


@pytest.mark.parametrize("name", ON_TENSORS)
def test_tensors_and_names_take_no_items_and_no_state(refused: Refusal, name: str) -> None:
    refused(archive(ON_TENSORS[name]), "rejected", "SL305")


PLAIN = {
    "setitem-on-list": "EMPTY_LIST\nBININT1 0\nNONE\nSETITEM\n",
    "setitem-on-tuple": "EMPTY_TUPLE\nBININT1 0\nNONE\nSETITEM\n",
    "setitem-on-bytearray": "BYTEARRAY8 b'abc'\nBININT1 0\nBININT1 1\nSETITEM\n",
    "setitem-on-int": "BININT1 0\nBININT1 0\nNONE\nSETITEM\n",
    "append-to-dict": "EMPTY_DICT\nNONE\nAPPEND\n",
    "append-to-set": "EMPTY_SET\nNONE\nAPPEND\n",
    "append-to-str": "BINUNICODE 'a'\nBINUNICODE 'b'\nAPPEND\n",
    "append-to-bytearray": "BYTEARRAY8 b'abc'\nBININT1 1\nAPPEND\n",
    "additems-to-list": "EMPTY_LIST\nMARK\nNONE\nADDITEMS\n",
    "build-on-dict": "EMPTY_DICT\n" + state("x") + "BUILD\n",
    "build-on-list": "EMPTY_LIST\n" + state("x") + "BUILD\n",
    "build-on-str": "BINUNICODE 'x'\n" + state("x") + "BUILD\n",
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_values_take_only_what_they_are_for(refused: Refusal, name: str) -> None:
    refused(stream(PLAIN[name], 5), "inconclusive", "SL201")


SHADOWS = ["keys", "items", "__class__", "__dict__", "__reduce__", "update", "x", "_metadata_"]


@pytest.mark.parametrize("name", SHADOWS)
def test_an_ordered_dict_is_not_shadowed(refused: Refusal, name: str) -> None:
    refused(stream(ORDERED + state(name) + "BUILD\n"), "rejected", "SL305")
    refused(stream(ORDERED + state("_metadata", name) + "BUILD\n"), "rejected", "SL305")


ODD_STATES = {
    "tuple": "NONE\nEMPTY_DICT\nTUPLE2\n",
    "list": "EMPTY_LIST\n",
    "none": "NONE\n",
    "text": "BINUNICODE 'x'\n",
    "int-key": "EMPTY_DICT\nBININT1 1\nNONE\nSETITEM\n",
    "call": ORDERED,
}


@pytest.mark.parametrize("name", ODD_STATES)
def test_a_state_is_a_dict_of_names(refused: Refusal, name: str) -> None:
    refused(stream(ORDERED + ODD_STATES[name] + "BUILD\n"), "rejected", "SL305")
    refused(stream(NAMESPACE + ODD_STATES[name] + "BUILD\n"), "rejected", "SL305")


@pytest.mark.parametrize("name", ["__class__", "__dict__", "__setstate__", "__reduce_ex__", "__getattr__", "__"])
def test_a_namespace_has_no_dunder(refused: Refusal, name: str) -> None:
    if name == "__":
        refused.inert(stream(NAMESPACE + state(name) + "BUILD\n"))
        return
    refused(stream(NAMESPACE + state(name) + "BUILD\n"), "rejected", "SL305")


def test_a_state_that_holds_a_payload_is_named(refused: Refusal) -> None:
    listing = NAMESPACE + "EMPTY_DICT\nBINUNICODE 'x'\n" + SYSTEM + "SETITEM\nBUILD\n"
    refused(refused.armed(stream(listing)), "rejected", "SL301", names=("posix.mkdir",))


def test_setstate_by_name_is_data_under_inspect(refused: Refusal) -> None:
    """`obj.__setstate__ = os.mkdir; obj.__setstate__(path)` in two BUILDs (fickling GHSA-mhc9); here it is a record with two states, or refused."""
    listing = (
        "GLOBAL my.module Class\nEMPTY_TUPLE\nNEWOBJ\nEMPTY_DICT\nBINUNICODE '__setstate__'\nGLOBAL my.module f\nSETITEM\nBUILD\nBINUNICODE 'RAN'\nBUILD\n"
    )
    refused(refused.armed(stream(listing)), "rejected", "SL301")


LATE = {  # a list that a call has taken and that grows afterwards means two things to two readers
    "set": "EMPTY_LIST\nBINPUT 0\nPOP\nGLOBAL builtins set\nBINGET 0\nTUPLE1\nREDUCE\nBINGET 0\nBININT1 1\nAPPEND\nPOP\n",
    "ordered-dict": "EMPTY_LIST\nBINPUT 0\nPOP\nGLOBAL collections OrderedDict\nBINGET 0\nTUPLE1\nREDUCE\nBINGET 0\nBININT1 1\nAPPEND\nPOP\n",
    "counter": "EMPTY_DICT\nBINPUT 0\nPOP\nGLOBAL collections Counter\nBINGET 0\nTUPLE1\nREDUCE\nBINGET 0\nBINUNICODE 'a'\nBININT1 1\nSETITEM\nPOP\n",
    "deque": "EMPTY_LIST\nBINPUT 0\nPOP\nGLOBAL collections deque\nBINGET 0\nTUPLE1\nREDUCE\nBINGET 0\nBININT1 1\nAPPEND\nPOP\n",
}


@pytest.mark.parametrize("name", LATE)
def test_what_a_call_has_taken_does_not_change(refused: Refusal, name: str) -> None:
    refused(stream(LATE[name]), "inconclusive", "SL206")


ARRAY = "GLOBAL numpy._core.multiarray _reconstruct\nGLOBAL numpy ndarray\nBININT1 0\nTUPLE1\nSHORT_BINBYTES b'b'\nTUPLE3\nREDUCE\n"
DTYPE = "GLOBAL numpy dtype\nBINUNICODE '{code}'\nNEWFALSE\nNEWTRUE\nTUPLE3\nREDUCE\n"


def array(
    shape: str = "BININT1 2\nTUPLE1\n", dtype: str = DTYPE.format(code="f4"), data: str = "SHORT_BINBYTES b'abcdefgh'\n", fortran: str = "NEWFALSE\n"
) -> str:
    """An array by `_reconstruct` and a state."""
    return f"{ARRAY}MARK\nBININT1 1\n{shape}{dtype}{fortran}{data}TUPLE\nBUILD\n"


ARRAYS = {
    "object": (array(dtype=DTYPE.format(code="O"), data="EMPTY_LIST\n"), "SL305"),
    "object-bytes": (array(dtype=DTYPE.format(code="O")), "SL409"),
    "object-alias": (array(dtype=DTYPE.format(code="O8")), "SL409"),
    "too-short": (array(data="SHORT_BINBYTES b'abc'\n"), "SL407"),
    "too-long": (array(data="SHORT_BINBYTES b'abcdefghi'\n"), "SL407"),
    "negative-shape": (array(shape="BININT -2\nTUPLE1\n"), "SL407"),
    "huge-shape": (array(shape="LONG4 4611686018427387904\nLONG4 4\nTUPLE2\n"), "SL407"),
    "many-dims": (array(shape="MARK\n" + "BININT1 1\n" * 65 + "TUPLE\n"), "SL407"),
    "bool-shape": (array(shape="NEWTRUE\nTUPLE1\n"), "SL305"),
    "text-shape": (array(shape="BINUNICODE '2'\n"), "SL305"),
    "data-list": (array(data="EMPTY_LIST\n"), "SL305"),
    "data-int": (array(data="BININT1 8\n"), "SL305"),
    "dtype-text": (array(dtype="BINUNICODE 'f4'\n"), "SL305"),
    "dtype-unknown": (array(dtype=DTYPE.format(code="zz")), "SL"),
    "dtype-huge": (array(dtype=DTYPE.format(code="V99999999999999999999")), "SL"),
    "dtype-list": (array(dtype=DTYPE.format(code="f4,O")), "SL"),
    "dtype-eval": (array(dtype=DTYPE.format(code='__import__("os")')), "SL"),
    "two-states": (
        array() + "MARK\nBININT1 1\nBININT1 2\nTUPLE1\n" + DTYPE.format(code="f4") + "NEWFALSE\nSHORT_BINBYTES b'abcdefgh'\nTUPLE\nBUILD\n",
        "SL407",
    ),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_hold_numbers_that_are_there(refused: Refusal, name: str) -> None:
    listing, rule = ARRAYS[name]
    report = refused(stream(listing, 3), "rejected")
    assert any(finding.rule.startswith(rule) for finding in report.errors), report.errors


def test_items_without_bytes_are_no_way_around_the_budget(refused: Refusal) -> None:
    """2^60 elements of no size need no memory: a value or a refusal, and scan and load agree."""
    empty = array(dtype=DTYPE.format(code="V0"), shape="LONG4 1152921504606846976\nTUPLE1\n", data="SHORT_BINBYTES b''\n")
    refused.inert(stream(empty, 3))


def test_the_honest_ones_are_accepted() -> None:
    """Each listing above bends one of these."""
    for data in (
        archive(tensor()),
        archive(vector("FloatStorage", "'0'", 6)),
        stream(array(), 3),
        stream(ORDERED + state("_metadata") + "BUILD\n"),
        stream(NAMESPACE + state("lr") + "BUILD\n"),
    ):
        assert watched.scan(data).verdict == "accepted", watched.scan(data).errors
        watched.load(data, map_location="cpu")
