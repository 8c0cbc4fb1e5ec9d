"""Each constructor of the closed table: it exists for every id that a policy may use, and builds from what real pickles hold."""

from __future__ import annotations

import argparse
import datetime
import pathlib
import pickle
import types
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

import pytest
from builds import agree
from hostile.hostile import stream

import safeload
from safeload.policy.contracts import CONTRACTS
from safeload.rebuild.builders import BUILDERS
from safeload.values import Namespace

PROTOCOLS = range(6)
PLAIN: list[Any] = [
    OrderedDict(a=1, b=[2.0]),
    OrderedDict([((1, "x"), OrderedDict())]),
    Counter("abca"),
    Counter({(1, 2): 3}),
    defaultdict(list, a=[1]),
    defaultdict(int),
    defaultdict(None, x=1),
    deque([1, [2]]),
    deque([1, 2], 5),
    deque(maxlen=0),
    {1, 2.5, "x"},
    frozenset([1, (2, "y")]),
    bytearray(b"ab\xff"),
    bytearray(),
    b"\0\xff",
    1 + 2j,
    slice(1, None, 2),
    range(3),
    datetime.datetime(2024, 1, 2, 3, 4, 5, 6),
    datetime.timedelta(days=1, seconds=2),
    datetime.date(2024, 1, 2),
    uuid.UUID(int=7),
    Ellipsis,
    NotImplemented,
    int,
    dict,
    OrderedDict,
    {},
    [],
    (),
    set(),
    frozenset(),
    "",
    b"",
    0,
    -1,
    1 << 100,
    float("inf"),
    True,
    None,
]


def test_the_two_tables_agree() -> None:
    """A constructor without a contract could be given anything; a contract without a constructor would fail in the middle of a load."""
    literal = {name for name, contract in CONTRACTS.items() if contract.literal is not None}
    called = {name for name, contract in CONTRACTS.items() if contract.uses & {"call", "new"} and contract.literal is None}
    assert called - {"reconstructor"} <= BUILDERS.keys()  # `vet` puts the constructor of the class in its place
    assert BUILDERS.keys() <= CONTRACTS.keys() | {"opaque"}
    assert not literal & BUILDERS.keys()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("value", PLAIN, ids=range(len(PLAIN)))
def test_plain_values_come_back_equal_and_of_their_type(value: Any, protocol: int) -> None:
    loaded = agree(pickle.dumps({"v": value, "again": value}, protocol))
    if isinstance(loaded, safeload.CheckpointError):
        pytest.fail(str(loaded))
    made = loaded["v"]
    assert type(made) is type(value) and made == value
    if isinstance(value, (list, dict, set, deque, bytearray)) or type(value) is OrderedDict:
        assert made is loaded["again"]
    if isinstance(value, defaultdict):
        assert made.default_factory is value.default_factory
    if isinstance(value, deque):
        assert made.maxlen == value.maxlen


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("make", [argparse.Namespace, types.SimpleNamespace])
def test_namespaces(make: Any, protocol: int) -> None:
    made = agree(pickle.dumps(make(lr=0.1, names=["a"]), protocol))
    assert type(made) is Namespace and vars(made) == {"lr": 0.1, "names": ["a"]}
    assert agree(pickle.dumps(make(), protocol)) == Namespace()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("path", [pathlib.PurePosixPath("/a/b"), pathlib.PurePosixPath("."), pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("c:/x")])
def test_paths_are_pure(path: Any, protocol: int) -> None:
    made = agree(pickle.dumps({path: [path]}, protocol))
    if isinstance(made, safeload.CheckpointError):
        pytest.fail(str(made))
    assert made == {path: [path]} and not isinstance(next(iter(made)), pathlib.Path)


HOSTILE_CALLS = {
    "ordered of a number": "GLOBAL collections OrderedDict\nBININT1 1\nTUPLE1\nREDUCE\n",
    "ordered of text": "GLOBAL collections OrderedDict\nBINUNICODE 'ab'\nTUPLE1\nREDUCE\n",
    "ordered of singles": "GLOBAL collections OrderedDict\nEMPTY_LIST\nEMPTY_LIST\nAPPEND\nTUPLE1\nREDUCE\n",
    "ordered of an ordered": "GLOBAL collections OrderedDict\nGLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nTUPLE1\nREDUCE\n",
    "ordered of a node": "GLOBAL collections OrderedDict\nEMPTY_LIST\nGLOBAL torch device\nBINUNICODE 'cpu'\nTUPLE1\nREDUCE\nAPPEND\nTUPLE1\nREDUCE\n",
    "counter of a counter": "GLOBAL collections Counter\nGLOBAL collections Counter\nEMPTY_TUPLE\nREDUCE\nTUPLE1\nREDUCE\n",
    "counter of a list": "GLOBAL collections Counter\nEMPTY_LIST\nTUPLE1\nREDUCE\n",
    "set of a set": "GLOBAL builtins set\nGLOBAL builtins set\nEMPTY_LIST\nTUPLE1\nREDUCE\nTUPLE1\nREDUCE\n",
    "set of a dict": "GLOBAL builtins set\nEMPTY_DICT\nTUPLE1\nREDUCE\n",
    "set of text": "GLOBAL builtins set\nBINUNICODE 'ab'\nTUPLE1\nREDUCE\n",
    "frozenset of a literal": "GLOBAL builtins frozenset\nGLOBAL torch Size\nBININT1 2\nTUPLE1\nTUPLE1\nREDUCE\nTUPLE1\nREDUCE\n",
    "deque of a number": "GLOBAL collections deque\nBININT1 1\nTUPLE1\nREDUCE\n",
    "deque of a deque": "GLOBAL collections deque\nGLOBAL collections deque\nEMPTY_TUPLE\nREDUCE\nTUPLE1\nREDUCE\n",
    "deque bound -1": "GLOBAL collections deque\nEMPTY_LIST\nBININT -1\nTUPLE2\nREDUCE\n",
    "deque bound huge": "GLOBAL collections deque\nEMPTY_LIST\nLONG1 99999999999999999999999\nTUPLE2\nREDUCE\n",
    "deque bound true": "GLOBAL collections deque\nEMPTY_LIST\nNEWTRUE\nTUPLE2\nREDUCE\n",
    "deque bound text": "GLOBAL collections deque\nEMPTY_LIST\nBINUNICODE '1'\nTUPLE2\nREDUCE\n",
    "defaultdict of a call": "GLOBAL collections defaultdict\nGLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nTUPLE1\nREDUCE\n",
    "defaultdict of text": "GLOBAL collections defaultdict\nBINUNICODE 'list'\nTUPLE1\nREDUCE\n",
    "bytearray of a number": "GLOBAL builtins bytearray\nLONG1 99999999999\nTUPLE1\nREDUCE\n",
    "bytearray of a list": "GLOBAL builtins bytearray\nEMPTY_LIST\nTUPLE1\nREDUCE\n",
    "bytearray not latin": "GLOBAL builtins bytearray\nBINUNICODE 'ab\\u0100'\nBINUNICODE 'latin-1'\nTUPLE2\nREDUCE\n",
    "bytearray other codec": "GLOBAL builtins bytearray\nBINUNICODE 'ab'\nBINUNICODE 'idna'\nTUPLE2\nREDUCE\n",
    "bytearray of a device": "GLOBAL builtins bytearray\nGLOBAL torch device\nBINUNICODE 'cpu'\nTUPLE1\nREDUCE\nTUPLE1\nREDUCE\n",
    "bytes of codec": "GLOBAL _codecs encode\nBINUNICODE 'a'\nBINUNICODE 'idna'\nTUPLE2\nREDUCE\n",
    "bytes not latin": "GLOBAL _codecs encode\nBINUNICODE '\\u0100'\nBINUNICODE 'latin1'\nTUPLE2\nREDUCE\n",
    "complex of text": "GLOBAL builtins complex\nBINUNICODE '1+2j'\nTUPLE1\nREDUCE\n",
    "slice of nodes": "GLOBAL builtins slice\nGLOBAL torch float32\nNONE\nNONE\nTUPLE3\nREDUCE\n",
    "range huge": "GLOBAL builtins range\nBININT1 0\nLONG1 99999999999999999999999999\nBININT1 0\nTUPLE3\nREDUCE\n",
    "uuid without number": "GLOBAL copyreg _reconstructor\nGLOBAL uuid UUID\nGLOBAL builtins object\nNONE\nTUPLE3\nREDUCE\n",
    "uuid negative": "GLOBAL uuid UUID\nEMPTY_TUPLE\nNEWOBJ\nEMPTY_DICT\nBINUNICODE 'int'\nBININT -1\nSETITEM\nBUILD\n",
    "uuid too large": "GLOBAL uuid UUID\nEMPTY_TUPLE\nNEWOBJ\nEMPTY_DICT\nBINUNICODE 'int'\nLONG1 " + str(1 << 128) + "\nSETITEM\nBUILD\n",
    "uuid of text": "GLOBAL uuid UUID\nEMPTY_TUPLE\nNEWOBJ\nEMPTY_DICT\nBINUNICODE 'int'\nBINUNICODE '1'\nSETITEM\nBUILD\n",
    "uuid alone": "GLOBAL uuid UUID\nEMPTY_TUPLE\nNEWOBJ\n",
    "uuid as a key before its state": (
        "EMPTY_DICT\nGLOBAL uuid UUID\nEMPTY_TUPLE\nNEWOBJ\nBINPUT 1\nNONE\nSETITEM\nBINGET 1\nEMPTY_DICT\nBINUNICODE 'int'\nBININT1 3\nSETITEM\nBUILD\nPOP\n"
    ),
    "datetime of rubbish": "GLOBAL datetime datetime\nBINBYTES b'\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff'\nTUPLE1\nREDUCE\n",
    "timedelta huge": "GLOBAL datetime timedelta\nLONG1 99999999999999999999\nBININT1 0\nBININT1 0\nTUPLE3\nREDUCE\n",
    "date of text": "GLOBAL datetime date\nBINUNICODE 'abcd'\nTUPLE1\nREDUCE\n",
    "path of numbers": "GLOBAL pathlib PosixPath\nBININT1 1\nTUPLE1\nREDUCE\n",
    "path with null": "GLOBAL pathlib PosixPath\nBINUNICODE 'a\\x00b'\nTUPLE1\nREDUCE\n",
    "device negative": "GLOBAL torch device\nBINUNICODE 'cuda'\nBININT -1\nTUPLE2\nREDUCE\n",
    "device rubbish": "GLOBAL torch device\nBINUNICODE ''\nTUPLE1\nREDUCE\n",
    "size of text": "GLOBAL torch Size\nBINUNICODE 'ab'\nTUPLE1\nREDUCE\n",
    "parameter of nothing": "GLOBAL torch._utils _rebuild_parameter\nNONE\nNEWTRUE\nGLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nTUPLE3\nREDUCE\n",
    "metadata of a node": (
        "GLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nEMPTY_DICT\nBINUNICODE '_metadata'\n"
        "GLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nSETITEM\nBUILD\n"
    ),
    "items shadowed": "GLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nEMPTY_DICT\nBINUNICODE 'items'\nNONE\nSETITEM\nBUILD\n",
    "append to a class": "GLOBAL builtins list\nNONE\nAPPEND\n",
    "items on a device": "GLOBAL torch device\nBINUNICODE 'cpu'\nTUPLE1\nREDUCE\nNONE\nNONE\nSETITEM\n",
    "empty float tensor": "GLOBAL torch FloatTensor\nEMPTY_TUPLE\nREDUCE\n",
}


@pytest.mark.parametrize("policy", ["checkpoint", "inspect", "weights-only"])
@pytest.mark.parametrize("name", HOSTILE_CALLS)
def test_odd_calls_end_in_a_value_or_a_refusal(name: str, policy: str) -> None:
    value = agree(stream(HOSTILE_CALLS[name], 3), policy=policy)
    assert isinstance(value, safeload.CheckpointError) or repr(value)


def test_metadata_of_a_state_dict_is_kept() -> None:
    value = agree(stream(HOSTILE_CALLS["metadata of a node"]))
    assert value._metadata == OrderedDict()


def test_a_bare_name_is_a_name() -> None:
    assert repr(agree(stream("GLOBAL torch float16\n"))) == "torch.float16"
    value = agree(stream("GLOBAL acme.nn Layer\n"), policy="inspect")
    assert value.full == "acme.nn.Layer" and (value.module, value.name) == ("acme.nn", "Layer")
