"""What a report says of each refusal of the policy: rule, sentence, capability, entry, name, stream, and the opcode that it is said of."""

from __future__ import annotations

import pickletools
from typing import Any

import pytest
from hostile.hostile import archive, ints, stream, tensor

import safeload
from policy.listings import TWO, array, call, dtype, integer, keyed, listed, name, new, paired, raw, scalar, text
from safeload.policy.resolve import policy_from_dict

MODULE_ID = f"MARK\n{text('module')}{name('acme', 'Net')}NONE\nNONE\nTUPLE\nBINPERSID\n"
NAMESPACE = new("argparse", "Namespace")
FILLED = "BINPUT 0\nPOP\n"


def narrowed(*allows: dict[str, Any]) -> Any:
    """A policy of these entries."""
    head = {"schema": 1, "name": "m", "version": "1", "summary": "s", "owner": "o", "mode": "enforce", "default": "deny"}
    return policy_from_dict({**head, "allow": [{"id": f"a{n}", "capability": "data.x", "reason": "r", **allow} for n, allow in enumerate(allows)]})


def module_id(*parts: str) -> str:
    """A persistent id of a module class."""
    return f"MARK\n{text('module')}{''.join(parts)}TUPLE\nBINPERSID\n"


def stored(kind: str = name("torch", "FloatStorage"), key: str = text("0"), location: str = text("cpu"), numel: str = integer(6), view: str = "") -> str:
    """A persistent id of a storage with one part bent."""
    return f"MARK\n{text('storage')}{kind}{key}{location}{numel}{view}TUPLE\nBINPERSID\n"


def typed(function: str, cls: str, args: str = "EMPTY_TUPLE\n", state: str = "NONE\n") -> str:
    """`_rebuild_from_type_v2`."""
    return call("torch._tensor", "_rebuild_from_type_v2", function + cls + args + state)


def reconstructed(module: str, attribute: str) -> str:
    """`_reconstructor(cls, object, None)`."""
    return call("copyreg", "_reconstructor", name(module, attribute) + name("builtins", "object") + "NONE\n")


INNER = "MARK\n" + tensor().partition("MARK\n")[2].removesuffix("REDUCE\n")
SPACES = narrowed(
    {"globals": ["argparse.Namespace"], "uses": ["call"], "as": "namespace"},
    {"globals": ["copyreg._reconstructor"], "uses": ["call"], "as": "reconstructor"},
    {"globals": ["builtins.object"], "uses": ["reference"], "as": "plain-object"},
    {"globals": ["collections.deque"], "uses": ["call"], "as": "deque", "args": ["list"]},
)
TENSORS = narrowed(
    {"globals": ["torch.FloatStorage"], "uses": ["reference"], "as": "storage-type"},
    {"globals": ["torch._tensor._rebuild_from_type_v2"], "uses": ["call"], "as": "typed-tensor"},
    {"globals": ["torch.Tensor"], "uses": ["reference"], "as": "tensor-class"},
    {"globals": ["torch.IntStorage"], "uses": ["storage-type"], "as": "storage-type"},
    {"globals": ["torch._utils._rebuild_tensor_v2"], "uses": ["call"], "as": "tensor", "args": ["storage", "int", "shape", "shape"]},
    {"globals": ["collections.OrderedDict"], "uses": ["call"], "as": "ordered-dict"},
)

Said = tuple[str, str, str | None, str | None, str | None, str, int]
"""Rule, sentence, capability, entry and name, and the opcode that it is said of: its kind, and which of them from the end."""

SAID: list[tuple[Any, str, list[Said]]] = [  # policy, listing, findings
    (
        None,
        call("posix", "system", text("x")),
        [
            (
                "SL301",
                "posix.system is called, and policy checkpoint denies it (entry 'process'): Starts, replaces or signals a process.",
                "process.exec",
                "process",
                "posix.system",
                "REDUCE",
                -1,
            )
        ],
    ),
    (
        None,
        name("posix", "system"),
        [
            (
                "SL301",
                "posix.system is named, and policy checkpoint denies it (entry 'process'): Starts, replaces or signals a process.",
                "process.exec",
                "process",
                "posix.system",
                "GLOBAL",
                -1,
            )
        ],
    ),
    (None, call("acme", "make"), [("SL301", "acme.make is called, and no entry of policy checkpoint lists it", "unknown", None, "acme.make", "REDUCE", -1)]),
    (None, name("acme", "Thing"), [("SL301", "acme.Thing is named, and no entry of policy checkpoint lists it", "unknown", None, "acme.Thing", "GLOBAL", -1)]),
    (
        None,
        stored(name("acme", "Storage")),
        [
            ("SL301", "acme.Storage is used as a storage type, and no entry of policy checkpoint lists it", "unknown", None, "acme.Storage", "GLOBAL", -1),
            ("SL306", "the storage type is acme.Storage, which the policy does not allow", None, None, None, "BINPERSID", -1),
        ],
    ),
    (
        None,
        stored(name("posix", "system")),
        [
            (
                "SL301",
                "posix.system is used as a storage type, and policy checkpoint denies it (entry 'process'): Starts, replaces or signals a process.",
                "process.exec",
                "process",
                "posix.system",
                "GLOBAL",
                -1,
            ),
            ("SL306", "the storage type is posix.system, which the policy does not allow", None, None, None, "BINPERSID", -1),
        ],
    ),
    (None, stored(name("torch", "float32")), [("SL306", "torch.float32 is no storage type", None, None, None, "BINPERSID", -1)]),
    (
        None,
        stored(numel=integer(-1)),
        [("SL306", "a storage id does not hold a storage type, a key, a location and a number of elements", None, None, None, "BINPERSID", -1)],
    ),
    (
        None,
        stored(numel=integer(1 << 63)),
        [("SL306", "a storage id does not hold a storage type, a key, a location and a number of elements", None, None, None, "BINPERSID", -1)],
    ),
    (
        None,
        stored(numel="NEWTRUE\n"),
        [("SL306", "a storage id does not hold a storage type, a key, a location and a number of elements", None, None, None, "BINPERSID", -1)],
    ),
    (
        None,
        stored(key=integer(-1)),
        [("SL306", "a storage id does not hold a storage type, a key, a location and a number of elements", None, None, None, "BINPERSID", -1)],
    ),
    (
        None,
        stored(key="NONE\n"),
        [("SL306", "a storage id does not hold a storage type, a key, a location and a number of elements", None, None, None, "BINPERSID", -1)],
    ),
    (
        None,
        stored(location="NONE\n"),
        [("SL306", "a storage id does not hold a storage type, a key, a location and a number of elements", None, None, None, "BINPERSID", -1)],
    ),
    (
        None,
        stored(text("torch.FloatStorage")),
        [("SL306", "a storage id does not hold a storage type, a key, a location and a number of elements", None, None, None, "BINPERSID", -1)],
    ),
    (
        None,
        stored(view=text("v") + integer(0) + "TUPLE2\n"),
        [("SL306", "the view of a storage id is not (key, offset, size)", None, None, None, "BINPERSID", -1)],
    ),
    (
        None,
        stored(view=text("v") + integer(0) + integer(-1) + "TUPLE3\n"),
        [("SL306", "the view of a storage id is not (key, offset, size)", None, None, None, "BINPERSID", -1)],
    ),
    (None, stored(view="NONE\nNONE\n"), [("SL306", "a persistent id is not ('storage', type, key, location, numel)", None, None, None, "BINPERSID", -1)]),
    (None, f"{text('storage')}BINPERSID\n", [("SL306", "a persistent id is not ('storage', type, key, location, numel)", None, None, None, "BINPERSID", -1)]),
    (
        None,
        f"MARK\n{text('reduce_package')}{name('acme', 'make')}{integer(1)}TUPLE\nBINPERSID\n",
        [
            ("SL301", "acme.make is named, and no entry of policy checkpoint lists it", "unknown", None, "acme.make", "GLOBAL", -1),
            (
                "SL306",
                "a persistent id asks torch.package to call a function (reduce_package), which safeload never does",
                "code.exec",
                None,
                None,
                "BINPERSID",
                -1,
            ),
        ],
    ),
    (None, module_id(text("os"), "NONE\n", "NONE\n"), [("SL306", "a module id is not ('module', class, file, source)", None, None, None, "BINPERSID", -1)]),
    (
        None,
        module_id(name("acme", "Net"), "EMPTY_LIST\n", "NONE\n"),
        [
            ("SL301", "acme.Net is named, and no entry of policy checkpoint lists it", "unknown", None, "acme.Net", "GLOBAL", -1),
            ("SL306", "a module id is not ('module', class, file, source)", None, None, None, "BINPERSID", -1),
        ],
    ),
    (
        None,
        module_id(name("argparse", "Namespace"), "NONE\n", "NONE\n"),
        [("SL306", "a module id holds argparse.Namespace, which is no module class", None, None, None, "BINPERSID", -1)],
    ),
    (
        None,
        call("builtins", "range", integer(0)),
        [("SL304", "builtins.range: range takes three ints, the last one not 0", "data.value", "range", "builtins.range", "REDUCE", -1)],
    ),
    (
        None,
        call("builtins", "range"),
        [("SL304", "builtins.range: range takes three ints, the last one not 0", "data.value", "range", "builtins.range", "REDUCE", -1)],
    ),
    (
        None,
        call("builtins", "complex", text("x") + text("y")),
        [("SL304", "builtins.complex: complex() takes two floats", "data.value", "complex", "builtins.complex", "REDUCE", -1)],
    ),
    (
        None,
        call("collections", "deque", integer(1)),
        [("SL304", "the arguments of collections.deque are not (list|tuple?, int|none?)", "data.container", "deque", "collections.deque", "REDUCE", -1)],
    ),
    (
        None,
        call("collections", "deque", listed() + integer(-1)),
        [("SL304", "collections.deque: the bound of a deque is negative or beyond any memory", "data.container", "deque", "collections.deque", "REDUCE", -1)],
    ),
    (
        None,
        call("argparse", "Namespace", integer(1)),
        [("SL304", "the arguments of argparse.Namespace are not ()", "data.config", "namespace", "argparse.Namespace", "REDUCE", -1)],
    ),
    (
        None,
        f"{name('argparse', 'Namespace')}EMPTY_TUPLE\n{paired(a=integer(1))}NEWOBJ_EX\n",
        [
            (
                "SL304",
                "argparse.Namespace is given keyword arguments, which no pickler of it writes",
                "data.config",
                "namespace",
                "argparse.Namespace",
                "NEWOBJ_EX",
                -1,
            )
        ],
    ),
    (
        None,
        new("torch._utils", "_rebuild_tensor_v2"),
        [
            (
                "SL302",
                "torch._utils._rebuild_tensor_v2 is instantiated, which its entry does not permit",
                "data.tensor",
                "tensor",
                "torch._utils._rebuild_tensor_v2",
                "NEWOBJ",
                -1,
            )
        ],
    ),
    (
        None,
        call("torch", "float32"),
        [("SL302", "torch.float32 is called, which its entry does not permit", "data.tensor", "dtype", "torch.float32", "REDUCE", -1)],
    ),
    (None, call("argparse", "Namespace") + "EMPTY_TUPLE\nREDUCE\n", [("SL303", "the result of a call is called (namespace)", None, None, None, "REDUCE", -1)]),
    (
        None,
        name("torch._utils", "_rebuild_tensor_v2"),
        [
            (
                "SL302",
                "torch._utils._rebuild_tensor_v2 stands as a value, which its entry does not permit",
                "data.tensor",
                "tensor",
                "torch._utils._rebuild_tensor_v2",
                "GLOBAL",
                -1,
            )
        ],
    ),
    (
        None,
        new("joblib.numpy_pickle", "NumpyArrayWrapper"),
        [
            (
                "SL409",
                "joblib-array: an array of Python objects, or no elements of an array stand behind it",
                "data.array",
                "joblib-array",
                "joblib.numpy_pickle.NumpyArrayWrapper",
                "NEWOBJ",
                -1,
            )
        ],
    ),
    (
        None,
        NAMESPACE + keyed(integer(1)) + "BUILD\n",
        [("SL305", "argparse.Namespace: the attribute name 1 is not one that data has", "data.config", "namespace", "argparse.Namespace", "BUILD", -1)],
    ),
    (
        None,
        call("collections", "deque", listed()) + paired(a=integer(1)) + "BUILD\n",
        [("SL305", "collections.deque is given a state, which its entry does not permit", "data.container", "deque", "collections.deque", "BUILD", -1)],
    ),
    (
        None,
        NAMESPACE + text("a") + integer(1) + "SETITEM\n",
        [("SL305", "argparse.Namespace does not take items (set)", "data.config", "namespace", "argparse.Namespace", "SETITEM", -1)],
    ),
    (
        None,
        call("collections", "deque", listed()) + text("a") + integer(1) + "SETITEM\n",
        [("SL305", "collections.deque does not take items (set)", "data.container", "deque", "collections.deque", "SETITEM", -1)],
    ),
    (
        None,
        call("collections", "OrderedDict") + integer(1) + "APPEND\n",
        [("SL305", "collections.OrderedDict does not take items (append)", "data.container", "ordered-dict", "collections.OrderedDict", "APPEND", -1)],
    ),
    (
        None,
        name("collections", "OrderedDict") + paired(a=integer(1)) + "BUILD\n",
        [
            (
                "SL305",
                "collections.OrderedDict itself is given state or items: that would change the class",
                "data.container",
                "ordered-dict",
                "collections.OrderedDict",
                "BUILD",
                -1,
            )
        ],
    ),
    (None, stored() + paired(a=integer(1)) + "BUILD\n", [("SL305", "a storage is given state or items", None, None, None, "BUILD", -1)]),
    (
        None,
        tensor() + paired(a=integer(1)) + "BUILD\n",
        [
            (
                "SL305",
                "torch._utils._rebuild_tensor_v2 is given a state, which its entry does not permit",
                "data.tensor",
                "tensor",
                "torch._utils._rebuild_tensor_v2",
                "BUILD",
                -1,
            )
        ],
    ),
    (
        None,
        f"EMPTY_LIST\n{FILLED}" + call("collections", "deque", "BINGET 0\n") + "BINGET 0\nBININT1 9\nAPPEND\nPOP\n",
        [("SL206", "collections.deque is given a container that changes afterwards", "data.container", "deque", "collections.deque", "REDUCE", -1)],
    ),
    (
        None,
        f"EMPTY_LIST\n{FILLED}" + call("collections", "OrderedDict", "BINGET 0\n") + f"BINGET 0\n{integer(1)}{integer(2)}TUPLE2\nAPPEND\nPOP\n",
        [
            (
                "SL206",
                "collections.OrderedDict is given a container that changes afterwards",
                "data.container",
                "ordered-dict",
                "collections.OrderedDict",
                "REDUCE",
                -1,
            )
        ],
    ),
    (
        None,
        f"{paired(a=integer(1))}{FILLED}{NAMESPACE}BINGET 0\nBUILD\nBINGET 0\n{text('b')}BININT1 9\nSETITEM\nPOP\n",
        [("SL206", "argparse.Namespace is given a container that changes afterwards", "data.config", "namespace", "argparse.Namespace", "BUILD", -1)],
    ),
    (
        None,
        typed(name("torch._utils", "_rebuild_tensor_v2"), name("torch", "Tensor"), "EMPTY_TUPLE\n"),
        [
            (
                "SL304",
                "torch._tensor._rebuild_from_type_v2: the inner arguments do not fit tensor",
                "data.tensor",
                "typed-tensor",
                "torch._tensor._rebuild_from_type_v2",
                "REDUCE",
                -1,
            )
        ],
    ),
    (
        None,
        typed(name("collections", "OrderedDict"), name("torch", "Tensor")),
        [
            (
                "SL304",
                "torch._tensor._rebuild_from_type_v2: the function that builds the tensor is none that makes a tensor",
                "data.tensor",
                "typed-tensor",
                "torch._tensor._rebuild_from_type_v2",
                "REDUCE",
                -1,
            )
        ],
    ),
    (
        None,
        typed(name("posix", "system"), name("torch", "Tensor")),
        [
            (
                "SL301",
                "posix.system is named, and policy checkpoint denies it (entry 'process'): Starts, replaces or signals a process.",
                "process.exec",
                "process",
                "posix.system",
                "GLOBAL",
                -2,
            ),
            (
                "SL304",
                "torch._tensor._rebuild_from_type_v2: the function that builds the tensor is none that makes a tensor",
                "data.tensor",
                "typed-tensor",
                "torch._tensor._rebuild_from_type_v2",
                "REDUCE",
                -1,
            ),
        ],
    ),
    (
        None,
        typed(name("torch._utils", "_rebuild_tensor_v2"), name("collections", "OrderedDict"), INNER),
        [
            (
                "SL304",
                "torch._tensor._rebuild_from_type_v2: the class of the tensor is not one that the policy keeps as a record",
                "data.tensor",
                "typed-tensor",
                "torch._tensor._rebuild_from_type_v2",
                "REDUCE",
                -1,
            )
        ],
    ),
    (
        None,
        typed(name("torch._utils", "_rebuild_tensor_v2"), name("torch", "Tensor"), INNER, integer(1)),
        [
            (
                "SL304",
                "torch._tensor._rebuild_from_type_v2: the Python attributes of a tensor are a dict with plain names",
                "data.tensor",
                "typed-tensor",
                "torch._tensor._rebuild_from_type_v2",
                "REDUCE",
                -1,
            )
        ],
    ),
    (
        None,
        keyed(call("collections", "OrderedDict")),
        [("SL205", "a value of kind ordered-dict is used as a dict key or set item, and it has no hash", None, None, None, "REDUCE", -1)],
    ),
    (
        None,
        keyed(array(dtype("f4"), ints(1), raw(bytes(4)))),
        [("SL205", "a value of kind ndarray is used as a dict key or set item, and it has no hash", None, None, None, "REDUCE", -2)],
    ),
    (
        None,
        keyed(scalar(dtype("V4"), raw(bytes(4)))),
        [("SL205", "a structured numpy scalar is used as a dict key or set item, and it has no hash", None, None, None, "REDUCE", -1)],
    ),
    (
        None,
        keyed(call("decimal", "Decimal", text("sNaN"))),
        [("SL205", "a decimal that has no hash is used as a dict key or set item", None, None, None, "REDUCE", -1)],
    ),
    (
        None,
        call("builtins", "set", listed(call("builtins", "bytearray"))),
        [("SL205", "a value of kind bytearray is used as a dict key or set item, and it has no hash", None, None, None, "REDUCE", -1)],
    ),
    (
        None,
        call("collections", "OrderedDict") + call("builtins", "bytearray") + "NONE\nSETITEM\n",
        [("SL205", "a value of kind bytearray is used as a dict key or set item, and it has no hash", None, None, None, "SETITEM", -1)],
    ),
    (
        None,
        call("builtins", "frozenset", listed(f"{call('builtins', 'bytearray')}TUPLE1\n")),
        [("SL205", "a value of kind bytearray is used as a dict key or set item, and it has no hash", None, None, None, "REDUCE", -1)],
    ),
    (
        None,
        reconstructed("collections", "OrderedDict"),
        [
            (
                "SL302",
                "collections.OrderedDict is instantiated, which its entry does not permit",
                "data.container",
                "ordered-dict",
                "collections.OrderedDict",
                "REDUCE",
                -1,
            )
        ],
    ),
    (SPACES, NAMESPACE, [("SL302", "argparse.Namespace is instantiated, which its entry does not permit", "data.x", "a0", "argparse.Namespace", "NEWOBJ", -1)]),
    (
        SPACES,
        reconstructed("argparse", "Namespace"),
        [("SL302", "argparse.Namespace is instantiated, which its entry does not permit", "data.x", "a0", "argparse.Namespace", "REDUCE", -1)],
    ),
    (
        SPACES,
        call("argparse", "Namespace") + paired(a=integer(1)) + "BUILD\n",
        [("SL305", "argparse.Namespace is given a state, which its entry does not permit", "data.x", "a0", "argparse.Namespace", "BUILD", -1)],
    ),
    (
        SPACES,
        name("argparse", "Namespace"),
        [("SL302", "argparse.Namespace stands as a value, which its entry does not permit", "data.x", "a0", "argparse.Namespace", "GLOBAL", -1)],
    ),
    (
        SPACES,
        call("collections", "deque", listed() + integer(1)),
        [("SL304", "the arguments of collections.deque are not (list)", "data.x", "a3", "collections.deque", "REDUCE", -1)],
    ),
    (TENSORS, stored(), [("SL306", "torch.FloatStorage is no storage type", None, None, None, "BINPERSID", -1)]),
    (
        TENSORS,
        typed(name("torch._utils", "_rebuild_tensor_v2"), name("torch", "Tensor"), INNER.replace("FloatStorage", "IntStorage")),
        [
            (
                "SL304",
                "the arguments of torch._utils._rebuild_tensor_v2 are not (storage, int, shape, shape)",
                "data.x",
                "a1",
                "torch._tensor._rebuild_from_type_v2",
                "REDUCE",
                -1,
            )
        ],
    ),
    (
        "inspect",
        module_id(name("posix", "system"), "NONE\n", "NONE\n"),
        [
            (
                "SL301",
                "posix.system is named, and policy inspect denies it (entry 'process'): Starts, replaces or signals a process.",
                "process.exec",
                "process",
                "posix.system",
                "GLOBAL",
                -1,
            )
        ],
    ),
]


@pytest.mark.parametrize(("policy", "listing", "said"), SAID, ids=[said[0][1][:60] for _, _, said in SAID])
def test_a_refusal_says_what_was_found_and_where(policy: Any, listing: str, said: list[Said]) -> None:
    places: dict[str, list[int]] = {}
    for opcode, _, place in pickletools.genops(stream(listing)):
        places.setdefault(opcode.name, []).append(place)
    findings = safeload.scan(archive(listing, TWO), policy=policy).findings
    assert {finding.member for finding in findings} == {"a/data.pkl"}
    assert [(each.rule, each.message, each.capability, each.entry, each.global_name, each.offset) for each in findings] == [
        (*about, places[opcode][which]) for *about, opcode, which in said
    ]
