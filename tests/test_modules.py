"""`state_dict(obj)` is `module.state_dict()`, without the classes."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import safeload
from safeload.modules import MAX_MODULE_DEPTH, is_module, state_dict
from safeload.values import OpaqueGlobal, OpaqueObject


def module(
    parameters: dict[str, Any] | None = None, buffers: dict[str, Any] | None = None, children: dict[str, Any] | None = None, **more: Any
) -> OpaqueObject:
    made = OpaqueObject(OpaqueGlobal("acme.nn", "Layer"))
    made.state = {"_parameters": OrderedDict(parameters or {}), "_buffers": OrderedDict(buffers or {}), "_modules": OrderedDict(children or {}), **more}
    return made


W = np.ones(2)


def test_own_parameters_own_buffers_then_children() -> None:
    tree = module(
        {"w": W, "gone": None}, {"b": W, "none": None}, {"first": module({"w": W}), "nothing": None, "second": module(children={"deep": module({"w": W})})}
    )
    assert list(state_dict(tree)) == ["w", "b", "first.w", "second.deep.w"]
    assert type(state_dict(tree)) is OrderedDict and state_dict(tree)["first.w"] is W


def test_buffers_that_are_not_persistent_stay_out() -> None:
    for hidden in ({"b"}, ["b"], frozenset({"b"})):
        assert list(state_dict(module({"w": W}, {"b": W, "c": W}, _non_persistent_buffers_set=hidden))) == ["w", "c"]


def test_shared_modules_and_parameters_appear_under_each_name() -> None:
    shared = module({"w": W})
    assert list(state_dict(module(children={"a": shared, "b": shared}))) == ["a.w", "b.w"]


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "ema", "net", "module"])
def test_weights_are_found_inside_checkpoints(key: str) -> None:
    for inner in (module({"w": W}), {"w": W}):
        assert list(state_dict({"epoch": 3, key: inner, "optimizer": {}})) == ["w"]
    assert list(state_dict({"epoch": 3, "whatever": module({"w": W})})) == ["w"]


def test_a_state_dict_is_one_already() -> None:
    assert state_dict({"w": W, "step": 3})["w"] is W
    assert safeload.state_dict is state_dict


@pytest.mark.parametrize("wrong", [None, 3, [W], {}, {"a": 1}, {1: W}, OpaqueObject(OpaqueGlobal("a", "b")), W, "x", {"a": module(), "b": module()}])
def test_what_holds_no_weights_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"state dict|nn\.Module"):
        state_dict(wrong)


def test_modules_that_contain_each_other_end() -> None:
    one, other = module({"w": W}), module({"w": W})
    one.state["_modules"]["other"], other.state["_modules"]["one"] = other, one
    with pytest.raises(TypeError, match="contain each other"):
        state_dict(one)


def test_a_deep_module_needs_no_recursion() -> None:
    deep = module({"w": W})
    for _ in range(MAX_MODULE_DEPTH):
        deep = module(children={"m": deep})
    assert list(state_dict(deep)) == ["m." * MAX_MODULE_DEPTH + "w"]


def test_a_lattice_of_modules_ends() -> None:
    """60 levels, two names for the same child on each: 2^60 names from 60 modules. Run apart, because it must not take this process with it."""
    import subprocess
    import sys

    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "from safeload.modules import state_dict\nfrom safeload.values import *\n"
        "def module(**state):\n"
        "    made = OpaqueObject(OpaqueGlobal('a', 'M')); made.state = {'_parameters': {'w': 1}, '_buffers': {}, '_modules': {}, **state}\n    return made\n"
        "m = module()\nfor _ in range(60): m = module(_modules={'a': m, 'b': m})\n"
        "try: state_dict(m)\nexcept (TypeError, ValueError) as error: print(error)\n"
    )
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        pytest.fail("never ends")
    assert done.returncode == 0, done.stderr[-300:]


@pytest.mark.parametrize(
    "state", [None, [], {"_parameters": None, "_modules": None}, {"_parameters": 1, "_modules": [1]}, ({"_parameters": {}, "_modules": {}}, None)]
)
def test_records_with_odd_states(state: Any) -> None:
    made = OpaqueObject(OpaqueGlobal("a", "M"))
    made.state = state
    if is_module(made):
        assert state_dict(made) == {}
    else:
        with pytest.raises(TypeError):
            state_dict(made)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", ["linear", "conv", "tied", "transformer", "parallel", "lstm", "batchnorm", "list"])
def test_real_modules_give_their_own_state_dict(name: str, protocol: int) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    nn = torch.nn
    made = {
        "linear": lambda: nn.Linear(3, 2),
        "conv": lambda: nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.ReLU(), nn.Flatten()),
        "tied": lambda: nn.ModuleDict({"a": (shared := nn.Linear(2, 2)), "b": shared}),
        "transformer": lambda: nn.TransformerEncoderLayer(8, 2, 16),
        "parallel": lambda: nn.DataParallel(nn.Linear(3, 2)),
        "lstm": lambda: nn.LSTM(3, 4, 2),
        "batchnorm": lambda: nn.BatchNorm2d(3),
        "list": lambda: nn.ModuleList([nn.Embedding(3, 2), nn.ParameterList([nn.Parameter(torch.ones(2))])]),
    }[name]()
    made.register_buffer("hidden", torch.ones(1), persistent=False)
    made.register_buffer("shown", torch.ones(1))
    out = io.BytesIO()
    torch.save(made, out, pickle_protocol=protocol)
    out.seek(0)
    found, expected = state_dict(safeload.load(out, policy="inspect")), made.state_dict()
    assert list(found) == list(expected)
    for key, tensor in expected.items():
        assert np.array_equal(found[key], tensor.numpy()) and found[key].dtype == tensor.numpy().dtype
    legacy = io.BytesIO()
    torch.save(made, legacy, pickle_protocol=protocol, _use_new_zipfile_serialization=False)
    legacy.seek(0)
    assert list(state_dict(safeload.load(legacy, policy="inspect"))) == list(expected)


def test_pickles_without_torch_give_modules_too() -> None:
    data = pickle.dumps({"w": 1})
    with pytest.raises(TypeError):
        state_dict(safeload.load(data))


def test_a_graph_module_has_its_weights_in_what_its_maker_was_given() -> None:
    """torch.fx pickles `reduce_graph_module(body, import_block)`; the body is the module's own `__dict__`, and source text."""
    weight = np.zeros((2, 2), np.float32)
    child = module({"weight": weight})
    body = {"_parameters": {}, "_buffers": {}, "_modules": {"fc": child}, "_code": "..."}
    graph = OpaqueObject(OpaqueGlobal("torch.fx.graph_module", "reduce_graph_module"), (body, ""))
    assert list(state_dict(graph)) == ["fc.weight"]
    assert state_dict({"model": graph})["fc.weight"] is weight
