"""The log is replayed in order: effects land on what they were meant for, and the caller's own constructors get complete records, innermost first."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from builds import agree, dense, torch_zip
from hostile.hostile import stream

import safeload
from safeload.errors import PolicyRejected
from safeload.values import OpaqueObject


class Config:
    """Pickled by name; the loader never needs it."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


NAME = f"{Config.__module__}.Config"


def made(record: OpaqueObject) -> dict[str, Any]:
    return {"made": record.type_name, **record.attributes}


@pytest.mark.parametrize("protocol", range(6))
def test_a_type_of_the_callers_own(protocol: int) -> None:
    data = pickle.dumps([Config(x=1), Config(y=[2])], protocol)
    assert safeload.scan(data).verdict == "rejected"
    assert safeload.load(data, constructors={NAME: made}) == [{"made": NAME, "x": 1}, {"made": NAME, "y": [2]}]


@pytest.mark.parametrize("protocol", range(6))
def test_nested_records_are_made_innermost_first(protocol: int) -> None:
    seen: list[list[str]] = []

    def note(record: OpaqueObject) -> Any:
        seen.append(sorted(record.attributes))
        return made(record)

    inner = Config(i=1)
    data = pickle.dumps(Config(outer=(inner, {"k": inner})), protocol)
    value = safeload.load(data, constructors={NAME: note})
    assert seen == [["i"], ["outer"]]
    assert value["outer"][0] == {"made": NAME, "i": 1} and value["outer"][0] is value["outer"][1]["k"], "shared records are made once"


@pytest.mark.parametrize("protocol", [2, 5])
def test_a_record_that_holds_itself(protocol: int) -> None:
    config = Config()
    config.me = config  # type: ignore[attr-defined]
    calls: list[OpaqueObject] = []

    def keep(record: OpaqueObject) -> Any:
        calls.append(record)
        return record

    value = safeload.load(pickle.dumps([config, config], protocol), constructors={NAME: keep})
    assert len(calls) == 1 and value[0] is value[1] is calls[0] and calls[0].state["me"] is calls[0]


def test_a_constructor_may_return_anything() -> None:
    data = pickle.dumps({"a": Config(x=1), "b": (Config(x=2),)}, 4)
    assert safeload.load(data, constructors={NAME: lambda record: None}) == {"a": None, "b": (None,)}
    assert safeload.load(data, constructors={NAME: lambda record: record.attributes["x"]}) == {"a": 1, "b": (2,)}


def test_what_a_constructor_raises_is_the_callers() -> None:
    def fail(record: OpaqueObject) -> Any:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        safeload.load(pickle.dumps(Config(), 4), constructors={NAME: fail})


@pytest.mark.parametrize("name", ["posix.system", "os.system", "builtins.eval", "__builtin__.eval", "builtins.exec", "subprocess.Popen", "builtins.__import__"])
def test_a_denied_name_is_never_overridden(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    data = stream(f"GLOBAL {module} {attribute}\nBINUNICODE 'true'\nTUPLE1\nREDUCE\n")
    called: list[Any] = []
    for given in (name, "os.system", "posix.system", "builtins.eval"):
        with pytest.raises(PolicyRejected):
            safeload.load(data, constructors={given: called.append, name: called.append})
    assert not called


def test_other_unlisted_names_stay_refused_and_the_override_is_shown() -> None:
    data = stream("GLOBAL acme A\nEMPTY_TUPLE\nREDUCE\nGLOBAL acme B\nEMPTY_TUPLE\nREDUCE\nTUPLE2\n")
    with pytest.raises(PolicyRejected) as caught:
        safeload.load(data, constructors={"acme.A": made})
    decisions = {use.global_name: use.decision for use in caught.value.report.globals}
    assert decisions == {"acme.A": "opaque", "acme.B": "denied"}
    assert safeload.load(data, constructors={"acme.A": made, "acme.B": made}) == ({"made": "acme.A"}, {"made": "acme.B"})


def test_a_constructor_for_a_listed_name_changes_nothing() -> None:
    called: list[Any] = []
    data = stream("GLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\n")
    assert safeload.load(data, constructors={"collections.OrderedDict": called.append}) == {} and not called


def test_a_constructor_gets_arrays() -> None:
    listing = "GLOBAL acme Box\n" + dense("FloatStorage", 2, (2,), (1,)) + "TUPLE1\nREDUCE\n"
    value = safeload.load(torch_zip(listing, {"0": bytes(8)}), constructors={"acme.Box": lambda record: record.args[0]})
    assert value.tolist() == [0.0, 0.0]


def test_effects_on_records_are_kept_in_order() -> None:
    listing = (
        "GLOBAL acme K\nEMPTY_TUPLE\nREDUCE\nMARK\nBININT1 1\nBININT1 2\nAPPENDS\nBININT1 3\nAPPEND\nMARK\nBINUNICODE 'a'\nBININT1 4\n"
        "SETITEMS\nEMPTY_LIST\nBINUNICODE 'b'\nSETITEM\nEMPTY_DICT\nBUILD\n"
    )
    value = agree(stream(listing), policy="inspect")
    if isinstance(value, safeload.CheckpointError):
        assert value.rule == "SL205"  # an empty list as the key of an item
        value = agree(stream(listing.replace("EMPTY_LIST\nBINUNICODE 'b'", "BINUNICODE 'b'\nEMPTY_LIST")), policy="inspect")
    assert (value.items, value.state, value.pairs) == ([1, 2, 3], {}, [("a", 4), ("b", [])])


def test_the_second_state_replaces_the_first() -> None:
    value = agree(stream("GLOBAL acme K\nEMPTY_TUPLE\nREDUCE\nEMPTY_DICT\nBUILD\nBINUNICODE 'last'\nBUILD\n"), policy="inspect")
    assert isinstance(value, safeload.CheckpointError) or value.state == "last"


@pytest.mark.parametrize("protocol", [0, 1])
def test_old_style_reconstruction_shows_the_class(protocol: int) -> None:
    value = agree(pickle.dumps(Config(x=1), protocol), policy="inspect")
    assert value.type_name == NAME and value.attributes == {"x": 1} and value.args == ()
