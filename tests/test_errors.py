"""Every way of saying no: its class, its place, its words."""

from __future__ import annotations

import pytest

import safeload
from safeload import errors
from safeload.errors import (
    CheckpointError,
    ContainerError,
    DeviceUnavailable,
    LimitExceeded,
    PolicyFileError,
    PolicyRejected,
    SafeloadError,
    StorageError,
    StreamError,
    UnsupportedFormat,
    error_class,
)
from safeload.findings import RULES


def test_the_families() -> None:
    for kind in (ContainerError, StreamError, StorageError, LimitExceeded, UnsupportedFormat, PolicyRejected):
        assert issubclass(kind, CheckpointError) and issubclass(kind, SafeloadError)
    assert not issubclass(PolicyFileError, CheckpointError) and not issubclass(DeviceUnavailable, CheckpointError)
    assert issubclass(DeviceUnavailable, RuntimeError), "as torch raises"
    assert not issubclass(SafeloadError, (OSError, ValueError, TypeError))


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({}, "what [SL201]"),
        ({"offset": 0}, "0x0000: what [SL201]"),
        ({"member": "a/data.pkl"}, "a/data.pkl: what [SL201]"),
        ({"member": "a/data.pkl", "offset": 44}, "a/data.pkl : 0x002c: what [SL201]"),
    ],
)
def test_an_error_says_where(place: dict[str, object], expected: str) -> None:
    error = StreamError("what", rule="SL201", **place)  # type: ignore[arg-type]
    assert str(error) == expected
    error.path = "m.pt"
    assert str(error).startswith("m.pt") and str(error).endswith("what [SL201]")


def test_every_rule_has_a_class() -> None:
    classes = {rule.code: error_class(rule.code) for rule in RULES}
    assert classes["SL003"] is UnsupportedFormat and classes["SL106"] is ContainerError and classes["SL201"] is StreamError
    assert classes["SL401"] is StorageError and classes["SL901"] is LimitExceeded and classes["SL301"] is CheckpointError
    for code, kind in classes.items():
        assert kind("x", rule=code).rule == code


def test_a_policys_problems_are_all_told() -> None:
    error = PolicyFileError("p.toml", [("allow.0.as", "is missing"), ("", "is empty")])
    assert str(error) == "p.toml: allow.0.as: is missing\np.toml: is empty" and error.problems[1] == ("", "is empty")


def test_public_names_are_the_classes() -> None:
    for name in (
        "CheckpointError",
        "ContainerError",
        "DeviceUnavailable",
        "LimitExceeded",
        "PolicyFileError",
        "PolicyRejected",
        "SafeloadError",
        "StorageError",
        "StreamError",
        "UnsupportedFormat",
    ):
        assert vars(errors)[name] is safeload.__getattr__(name) and name in dir(safeload)
    with pytest.raises(AttributeError, match="nonesuch"):
        safeload.nonesuch  # noqa: B018
