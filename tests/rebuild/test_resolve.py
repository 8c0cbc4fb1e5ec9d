"""Nodes give way to values: cycles and sharing survive, keys stay findable, and no key costs more than the budget."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import pytest
from builds import agree
from hostile.hostile import stream

import safeload
from safeload.limits import DEFAULT_LIMITS
from safeload.machine.nodes import Global
from safeload.rebuild.resolve import HashGuard, resolve
from safeload.values import Device, OpaqueObject, TorchName

DEVICE = "GLOBAL torch device\nBINUNICODE 'cpu'\nTUPLE1\nREDUCE\n"
OPAQUE = "GLOBAL acme K\nEMPTY_TUPLE\nREDUCE\n"
ORDERED = "GLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\n"
NODE = Global(index=0, offset=0, module="m", name="n")


def resolved(root: Any) -> Any:
    return resolve(root, lambda node: "value", HashGuard(DEFAULT_LIMITS, None))


def test_nodes_are_replaced_in_every_container() -> None:
    assert resolved([NODE, (NODE, [NODE]), {"k": NODE, NODE: 1}, {NODE}, frozenset([NODE]), ((((NODE,),),),)]) == [
        "value", ("value", ["value"]), {"k": "value", "value": 1}, {"value"}, frozenset(["value"]), (((("value",),),),),
    ]  # fmt: skip


def test_what_holds_no_node_is_left_as_it_is() -> None:
    inner = (1, "a", (2.5, None))
    root = [inner, inner]
    assert resolved(root) is root and root[0] is inner


def test_a_tuple_that_changes_is_made_once() -> None:
    shared = (NODE, [NODE])
    made = resolved([shared, shared, {"k": shared}, (shared,)])
    assert made[0] is made[1] is made[2]["k"] is made[3][0]
    assert made[0] == ("value", ["value"])


def test_a_tuple_with_many_references_is_walked_once() -> None:
    class Counting:
        asked = 0

        def __call__(self, node: Any) -> Any:
            self.asked += 1
            return "value"

    value_of = Counting()
    shared = (NODE,) * 100
    resolve([shared] * 1000, value_of, HashGuard(DEFAULT_LIMITS, None))
    assert value_of.asked <= 1000


def test_deep_tuples_need_no_recursion() -> None:
    root: Any = (NODE,)
    for _ in range(100_000):
        root = (root,)
    made = resolved(root)
    for _ in range(100_000):
        made = made[0]
    assert made == ("value",)


CYCLES = {
    "list": "EMPTY_LIST\nBINPUT 1\n" + DEVICE + "APPEND\nBINGET 1\nAPPEND\n",
    "dict": "EMPTY_DICT\nBINPUT 1\nBINUNICODE 'd'\n" + DEVICE + "SETITEM\nBINUNICODE 'me'\nBINGET 1\nSETITEM\n",
    "ordered": ORDERED + "BINPUT 1\nBINUNICODE 'd'\n" + DEVICE + "SETITEM\nBINUNICODE 'me'\nBINGET 1\nSETITEM\n",
    "tuple": "EMPTY_LIST\nBINPUT 1\n" + DEVICE + "BINGET 1\nTUPLE2\nAPPEND\n",
    "opaque": OPAQUE + "BINPUT 1\n" + DEVICE + "BINGET 1\nTUPLE2\nBUILD\n",
    "opaque key": "EMPTY_DICT\nBINPUT 1\n" + OPAQUE + "BINPUT 2\n" + DEVICE + "SETITEM\nBINGET 2\nBINGET 1\nBUILD\nPOP\n",
    "set": "EMPTY_SET\nBINPUT 1\nMARK\n" + OPAQUE + "BINPUT 2\nBINGET 1\nBUILD\nADDITEMS\n",
}


@pytest.mark.parametrize("name", CYCLES)
def test_cycles_end(name: str) -> None:
    value = agree(stream(CYCLES[name], 4), policy="inspect")
    if isinstance(value, safeload.CheckpointError):
        pytest.fail(str(value))
    assert repr(value)
    if name == "list":
        assert value == [Device("cpu"), value] or value[1] is value
    if name in ("dict", "ordered"):
        assert value["me"] is value and value["d"] == Device("cpu")
    if name == "tuple":
        assert value[0][0] == Device("cpu") and value[0][1] is value
    if name == "opaque":
        assert value.state[1] is value and value.state[0] == Device("cpu")
    if name == "opaque key":
        key = next(iter(value))
        assert key.state is value and value[key] == Device("cpu")
    if name == "set":
        assert next(iter(value)).state is value and next(iter(value)) in value


KEYS = {
    "device": (DEVICE, Device("cpu")),
    "dtype": ("GLOBAL torch float32\n", TorchName("dtype", "float32")),
    "size": ("GLOBAL torch Size\nBININT1 2\nBININT1 3\nTUPLE2\nTUPLE1\nREDUCE\n", (2, 3)),
    "bytes": ("GLOBAL _codecs encode\nBINUNICODE 'k'\nBINUNICODE 'latin1'\nTUPLE2\nREDUCE\n", b"k"),
    "tuple": (DEVICE + "BININT1 1\nTUPLE2\n", (Device("cpu"), 1)),
    "nested": (DEVICE + "TUPLE1\nBININT1 1\nTUPLE2\n", ((Device("cpu"),), 1)),
}


@pytest.mark.parametrize("container", ["dict", "ordered", "set", "frozenset"])
@pytest.mark.parametrize("name", KEYS)
def test_keys_that_are_nodes_are_found_by_their_values(name: str, container: str) -> None:
    listing, key = KEYS[name]
    build = {
        "dict": f"EMPTY_DICT\n{listing}BININT1 7\nSETITEM\n",
        "ordered": f"{ORDERED}{listing}BININT1 7\nSETITEM\n",
        "set": f"EMPTY_SET\nMARK\n{listing}ADDITEMS\n",
        "frozenset": f"MARK\n{listing}FROZENSET\n",
    }[container]
    value = agree(stream(build, 4))
    if isinstance(value, safeload.CheckpointError):
        pytest.fail(str(value))
    assert key in value and len(value) == 1 and list(value) == [key]
    if "dict" in container or container == "ordered":
        assert value[key] == 7


def test_keys_that_become_equal_are_one_key_and_the_last_value_wins() -> None:
    """As every unpickler has it: the second `d[torch.device("cpu")] = 2` finds the first."""
    value = agree(stream(f"EMPTY_DICT\nBINUNICODE 'a'\nNONE\nSETITEM\n{DEVICE}BININT1 1\nSETITEM\nBINUNICODE 'b'\nNONE\nSETITEM\n{DEVICE}BININT1 2\nSETITEM\n"))
    assert value == {"a": None, Device("cpu"): 2, "b": None} and list(value) == ["a", Device("cpu"), "b"]
    assert agree(stream(f"EMPTY_SET\nMARK\n{DEVICE}{DEVICE}ADDITEMS\n", 4)) == {Device("cpu")}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("name", ["ordered", "list", "namespace", "bytearray", "set", "counter", "tensor", "deque"])
def test_keys_without_a_hash_are_refused(name: str, wrapped: bool) -> None:
    from hostile.hostile import archive, tensor

    listing = {
        "ordered": ORDERED,
        "list": "EMPTY_LIST\n",
        "namespace": "GLOBAL argparse Namespace\nEMPTY_TUPLE\nREDUCE\n",
        "bytearray": "GLOBAL builtins bytearray\nEMPTY_TUPLE\nREDUCE\n",
        "set": "GLOBAL builtins set\nEMPTY_LIST\nTUPLE1\nREDUCE\n",
        "counter": "GLOBAL collections Counter\nEMPTY_TUPLE\nREDUCE\n",
        "deque": "GLOBAL collections deque\nEMPTY_TUPLE\nREDUCE\n",
        "tensor": tensor(),
    }[name] + ("TUPLE1\n" if wrapped else "")
    for build in (
        f"EMPTY_DICT\n{listing}NONE\nSETITEM\n",
        f"{ORDERED}{listing}NONE\nSETITEM\n",
        f"GLOBAL builtins set\nEMPTY_LIST\n{listing}APPEND\nTUPLE1\nREDUCE\n",
    ):
        assert isinstance(agree(archive(build)), safeload.CheckpointError)


@pytest.mark.parametrize("args", ["", "BINUNICODE 'x'\n", "GLOBAL _codecs encode\nBINUNICODE 'x'\nBINUNICODE 'latin1'\nTUPLE2\nREDUCE\n", DEVICE])
def test_an_opaque_key_is_found_again(args: str) -> None:
    """`K(b"x")` is pickled by protocol 2 with a call in its arguments; its hash must be the same before and after that is resolved."""
    key = f"GLOBAL acme K\nMARK\n{args}TUPLE\nREDUCE\n"
    for build in (
        f"EMPTY_DICT\n{key}BININT1 7\nSETITEM\n",
        f"EMPTY_SET\nMARK\n{key}ADDITEMS\n",
        f"MARK\n{key}FROZENSET\n",
        f"{ORDERED}{key}BININT1 7\nSETITEM\n",
    ):
        value = agree(stream(build, 4), policy="inspect")
        if isinstance(value, safeload.CheckpointError):
            pytest.fail(str(value))
        found = next(iter(value))
        assert isinstance(found, OpaqueObject) and found in value


@pytest.mark.parametrize("container", ["dict", "set", "ordered"])
@pytest.mark.parametrize("count", [100, 128, 129, 200])
def test_opaque_keys_with_one_hash(container: str, count: int) -> None:
    keys = "".join(f"GLOBAL acme K\nBININT {number}\nTUPLE1\nTUPLE1\nREDUCE\n" + ("" if container == "set" else "NONE\n") for number in range(count))
    head = {"dict": "EMPTY_DICT\n", "set": "EMPTY_SET\n", "ordered": ORDERED}[container]
    value = agree(stream(f"{head}MARK\n{keys}{'ADDITEMS' if container == 'set' else 'SETITEMS'}\n", 4), policy="inspect")
    assert isinstance(value, safeload.CheckpointError) or len(value) == count
    assert count > 128 or not isinstance(value, safeload.CheckpointError)


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
@pytest.mark.parametrize("item", [("x", 1), 1.5, 1 << 61])
def test_many_small_sets_with_the_same_item_are_no_attack(item: Any, protocol: int) -> None:
    """The count belongs to one container, and not to whichever container has its address next."""
    for saved in ([frozenset([item]) for _ in range(300)], [{item} for _ in range(300)], [{item: 1} for _ in range(300)]):
        assert agree(pickle.dumps(saved, protocol)) == saved


NESTED = """
import sys
import safeload
from safeload.opcodes.assemble import assemble
start = "GLOBAL acme K\\nBINPUT 0\\nPOP\\nNONE\\n"
nested = start + "BINPUT 1\\nPOP\\nBINGET 0\\nEMPTY_DICT\\nBINGET 1\\nNONE\\nSETITEM\\nTUPLE1\\nREDUCE\\n" * 60
pair = "EMPTY_DICT\\nMARK\\n" + nested + "BINPUT 8\\nNONE\\n" + nested + "BINPUT 9\\nNONE\\nSETITEMS\\n"
listing = {
    "keys first": "EMPTY_LIST\\nMARK\\n" + pair + "BINGET 8\\nBINGET 9\\nAPPENDS\\n",
    "keys last": "EMPTY_LIST\\nBINPUT 7\\nMARK\\n" + nested + "BINPUT 8\\n" + nested
    + "BINPUT 9\\nEMPTY_DICT\\nMARK\\nBINGET 8\\nNONE\\nBINGET 9\\nNONE\\nSETITEMS\\nAPPENDS\\n",
    "equal": "EMPTY_LIST\\nMARK\\n" + nested + nested + "APPENDS\\n",
}[sys.argv[1]]
try:
    value = safeload.load(assemble("PROTO 2\\n" + listing + "STOP"), policy="inspect")
    print(value[0] == value[1] if sys.argv[1] == "equal" else "loaded")
except safeload.CheckpointError as error:
    print(error.rule)
"""


@pytest.mark.parametrize("order", ["keys first", "keys last", "equal"])
def test_comparing_nested_opaque_keys_takes_no_exponential_time(order: str) -> None:
    """A file of 1 kB with 60 levels: 2^60 steps if each level looks a key up twice. The time limit only ends a hang."""
    try:
        done = subprocess.run([sys.executable, "-c", NESTED, order], capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        pytest.fail("never ends")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("loaded", "True", "False", "SL901", "SL205")
