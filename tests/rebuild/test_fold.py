"""Configuration classes that are dicts by another name become the plain containers that they hold."""

from __future__ import annotations

import importlib.util
import pickle
from typing import Any

import pytest
from policy.listings import listed, outcome, paired, refused, text

import safeload
from safeload.opcodes.assemble import assemble
from safeload.values import OpaqueObject

DICT = "GLOBAL omegaconf.dictconfig DictConfig\nEMPTY_TUPLE\nNEWOBJ\n"
LIST = "GLOBAL omegaconf.listconfig ListConfig\nEMPTY_TUPLE\nNEWOBJ\n"
ONE = "BININT1 1\n"
NODE = "GLOBAL omegaconf.nodes AnyNode\nEMPTY_TUPLE\nNEWOBJ\n"


def stream(listing: str) -> bytes:
    return assemble(f"PROTO 2\n{listing}STOP")


def config(made: str, **state: str) -> str:
    return f"{made}{paired(**state)}BUILD\n"


def leaf(value: str) -> str:
    return config(NODE, _val=value)


def test_nested_configurations_are_plain() -> None:
    inner = config(DICT, _content=paired(a=leaf("BININT1 1\n")))
    layers = config(LIST, _content=listed(leaf("NONE\n")))
    listing = config(DICT, _content=paired(lr=leaf("BINFLOAT 0.5\n"), model=inner, ref=leaf(text("${lr}")), layers=layers))
    assert outcome(stream(listing), "omegaconf") == {"lr": 0.5, "model": {"a": 1}, "ref": "${lr}", "layers": [None]}


def test_a_missing_container_is_its_text_or_none() -> None:
    assert outcome(stream(config(DICT, _content="NONE\n")), "omegaconf") is None
    assert outcome(stream(config(LIST, _content=text("???"))), "omegaconf") == "???"


def test_shared_and_cyclic_ones_stay_so() -> None:
    parent = f"{DICT}BINPUT 0\nEMPTY_DICT\nMARK\n{text('_content')}EMPTY_DICT\nMARK\n"
    child = f"{DICT}BINPUT 1\nEMPTY_DICT\nMARK\n{text('_parent')}BINGET 0\n{text('_content')}EMPTY_DICT\nSETITEMS\nBUILD\n"
    listing = f"{parent}{text('a')}{child}{text('b')}BINGET 1\n{text('self')}BINGET 0\nSETITEMS\nSETITEMS\nBUILD\n"
    value = outcome(stream(listing), "omegaconf")
    assert type(value) is dict
    assert value["a"] is value["b"]
    assert value["self"] is value


def test_plain_containers_inside_are_resolved() -> None:
    listing = config(DICT, _content=paired(rows=listed(listed(leaf("BININT1 7\n"))), pair=f"{leaf(ONE)}{leaf(ONE)}TUPLE2\n"))
    assert outcome(stream(listing), "omegaconf") == {"rows": [[7]], "pair": (1, 1)}


def test_what_was_never_given_its_state_stays_a_record() -> None:
    value = outcome(stream(listed(DICT)), "omegaconf")
    assert type(value[0]) is OpaqueObject


@pytest.mark.parametrize(
    "listing",
    [
        config(DICT, _parent="NONE\n"),
        config(DICT, _content="NONE\n", _val="NONE\n"),
        config(NODE, _val=leaf("NONE\n")),
        f"{NODE}BINPUT 0\nEMPTY_DICT\n{text('_val')}BINGET 0\nSETITEM\nBUILD\n",
        f"{DICT}{listed()}BUILD\n",
        f"{DICT}EMPTY_DICT\nBININT1 1\nNONE\nSETITEM\nBUILD\n",
        f"{DICT}{text('k')}NONE\nSETITEM\n",
        f"{LIST}NONE\nAPPEND\n",
    ],
)
def test_other_states_and_items_are_refused(listing: str) -> None:
    refused(stream(listing), "SL305", policy="omegaconf")


def test_a_configuration_is_no_key() -> None:
    refused(stream(f"EMPTY_DICT\n{leaf(ONE)}NONE\nSETITEM\n"), "SL205", policy="omegaconf")
    refused(stream(config(DICT, _content=f"EMPTY_DICT\n{leaf(ONE)}NONE\nSETITEM\n")), "SL205", policy="omegaconf")


def test_a_name_inside_counts() -> None:
    refused(stream(config(DICT, _content="NONE\n", _metadata="GLOBAL posix system\nEMPTY_TUPLE\nREDUCE\n")), "SL301", policy="omegaconf")


def test_ten_thousand_leaves_of_one_parent() -> None:
    """Each leaf knows its parent, and the parent all leaves: one pass, whatever the number."""
    child = f"{NODE}EMPTY_DICT\nMARK\n{text('_parent')}BINGET 0\n{text('_val')}BININT1 1\nSETITEMS\nBUILD\n"
    body = "".join(f"{text(f'k{number}')}{child}" for number in range(10_000))
    value = outcome(stream(f"{DICT}BINPUT 0\nEMPTY_DICT\nMARK\n{text('_content')}EMPTY_DICT\nMARK\n{body}SETITEMS\nSETITEMS\nBUILD\n"), "omegaconf")
    assert len(value) == 10_000
    assert set(value.values()) == {1}


BOX_LIST = "GLOBAL box.box_list BoxList\nEMPTY_TUPLE\nNEWOBJ\n"


def test_the_items_in_the_state_of_a_list_are_its_items() -> None:
    assert outcome(stream(config(BOX_LIST, box_options="EMPTY_DICT\n", items=listed(ONE))), "config-dicts") == [1]
    assert outcome(stream(config(f"{BOX_LIST}MARK\n{ONE}APPENDS\n", box_options="EMPTY_DICT\n")), "config-dicts") == [1]
    assert outcome(stream(config(BOX_LIST, box_options="EMPTY_DICT\n")), "config-dicts") == []


def test_a_list_with_items_of_two_places_stays_a_record() -> None:
    value = outcome(stream(config(f"{BOX_LIST}MARK\n{ONE}APPENDS\n", items=listed(ONE))), "config-dicts")
    assert type(value) is OpaqueObject
    assert (value.items, value.state) == ([1], {"items": [1]})


@pytest.mark.parametrize("items", ["NONE\n", "EMPTY_TUPLE\n", text("ab"), f"{LIST}EMPTY_DICT\nBUILD\n"])
def test_items_of_a_state_that_are_no_list_are_refused(items: str) -> None:
    refused(stream(config(BOX_LIST, items=items)), "SL305", policy="config-dicts")


# ---- what the libraries themselves write --------------------------------------------------------------------------------------------------

PLAIN: dict[str, Any] = {"lr": 0.1, "model": {"name": "x", "layers": [1, 2]}}


def library(name: str) -> Any:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return pytest.importorskip(name)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_omegaconf_itself(protocol: int) -> None:
    made = library("omegaconf").OmegaConf.create({**PLAIN, "ref": "${lr}"})
    assert safeload.load(pickle.dumps(made, protocol), policy="omegaconf") == {**PLAIN, "ref": "${lr}"}


@pytest.mark.parametrize("protocol", [2, 4])
def test_dict_classes_themselves(protocol: int) -> None:
    made = [library("addict").Dict(PLAIN), library("yacs.config").CfgNode(PLAIN), library("ml_collections").ConfigDict(PLAIN)]
    assert safeload.load(pickle.dumps(made, protocol), policy="config-dicts") == [PLAIN, PLAIN, PLAIN]


@pytest.mark.parametrize("protocol", [2, 4])
def test_boxes_themselves(protocol: int) -> None:
    box = library("box")
    plain = {"a": 1, "rows": [1, {"b": 2}, [3]]}
    made = [box.Box(plain), box.BoxList(plain["rows"])]
    assert safeload.load(pickle.dumps(made, protocol), policy="config-dicts") == [plain, plain["rows"]]
