"""The collector is paused while something is read, and is afterwards as it was."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

import safeload
from safeload.collector import Paused
from safeload.opcodes.assemble import assemble


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    enabled = gc.isenabled()
    yield
    (gc.enable if enabled else gc.disable)()


@pytest.mark.parametrize("enabled", [True, False])
def test_nested_pauses_end_with_the_outermost(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    with Paused():
        assert not gc.isenabled()
        with Paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled() is enabled


@pytest.mark.parametrize("enabled", [True, False])
def test_errors_put_it_back(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    with pytest.raises(KeyError), Paused():
        raise KeyError
    for call in (safeload.load, safeload.open):
        with pytest.raises(safeload.CheckpointError):
            call(b"rubbish")
    safeload.scan(b"rubbish")
    safeload.load(assemble("NONE\nSTOP"))
    assert gc.isenabled() is enabled


def test_pauses_that_overlap_in_threads() -> None:
    gc.enable()
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with Paused():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with Paused():
        thread.start()
        assert inside.wait(10)
    assert not gc.isenabled(), "the other thread is still reading"
    leave.set()
    thread.join()
    assert gc.isenabled()


def test_a_constructor_of_the_callers_runs_with_the_pause_put_back_afterwards() -> None:
    gc.enable()

    def fail(record: object) -> object:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        safeload.load(assemble("GLOBAL acme K\nEMPTY_TUPLE\nREDUCE\nSTOP"), constructors={"acme.K": fail})
    assert gc.isenabled()
