"""registry: order, refusals, and safety under threads."""

from __future__ import annotations

import threading
import time

import pytest

from safeload.errors import DeviceUnavailable
from safeload.placement import registry
from safeload.placement.registry import BUILT_IN, deserializer_for, packages, register_package, registered, restore_location
from safeload.placement.storage import SavedStorage
from safeload.values import Device

from .fake_backend import FakeBackend

SAVED = SavedStorage(key="0", tag="cpu", nbytes=8)


def _silent(storage: SavedStorage, tag: str) -> None:
    return None


def test_the_built_in_entries_have_torch_s_priorities() -> None:
    assert [package.priority for package in BUILT_IN] == [10, 20, 22]
    assert packages()[: len(BUILT_IN)] == BUILT_IN


def test_lower_first_equal_in_order_of_registration_and_gone_afterwards() -> None:
    asked: list[str] = []

    def named(name: str):  # type: ignore[no-untyped-def]
        return lambda storage, tag: asked.append(name)  # append gives None: "not mine"

    before = packages()
    with (
        registered(50, None, named("late")),
        registered(1, None, named("first")),
        registered(1, None, named("second")),
        registered(15, None, named("mid")),
        pytest.raises(DeviceUnavailable),
    ):
        restore_location(SAVED, "gpu")
    assert asked == ["first", "second", "mid", "late"]
    assert packages() == before


def test_the_first_answer_decides() -> None:
    with registered(5, None, lambda storage, tag: storage.meta() if tag == "cpu" else None):
        assert restore_location(SAVED, "cpu").device == Device("meta")
    assert restore_location(SAVED, "cpu").device == Device("cpu")


def test_a_new_device_for_a_tag_that_nobody_knew() -> None:
    acme = FakeBackend(name="acme", current=1)
    with registered(30, lambda storage: "acme", deserializer_for(acme)):
        assert restore_location(SAVED, "acme").device == Device("acme", 1)
        assert restore_location(SAVED, "acme:0").backend is acme
        with pytest.raises(DeviceUnavailable, match="on ACME device 2 but"):
            restore_location(SAVED, "acme:2")
        with pytest.raises(DeviceUnavailable, match="don't know how"):
            restore_location(SAVED, "acme0")


def test_register_package_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_packages", BUILT_IN)
    register_package(11, None, lambda storage, tag: storage.cpu() if tag == "ipu" else None)
    assert [package.priority for package in packages()] == [10, 11, 20, 22]
    assert restore_location(SAVED, "ipu").device == Device("cpu")


@pytest.mark.parametrize("arguments", [("10", None, _silent), (True, None, _silent), (1, None, None), (1, "cpu", _silent), (1.0, None, _silent)])
def test_wrong_arguments(arguments: tuple[object, ...]) -> None:
    before = packages()
    with pytest.raises(TypeError):
        register_package(*arguments)  # type: ignore[arg-type]
    assert packages() is before


@pytest.mark.parametrize("answer", ["cpu", 0, b"", [SAVED], False])
def test_a_deserializer_gives_the_storage_or_none(answer: object) -> None:
    with registered(1, None, lambda storage, tag: answer), pytest.raises(TypeError, match="must return the storage"):  # type: ignore[arg-type,return-value]
        restore_location(SAVED, "cpu")


def test_a_deserializer_may_not_swap_storages() -> None:
    other = SavedStorage(key="1", tag="cpu", nbytes=8)
    with registered(1, None, lambda storage, tag: other), pytest.raises(ValueError, match="given storage 0 and returned storage 1"):
        restore_location(SAVED, "cpu")


def test_entries_are_removed_also_after_an_error() -> None:
    before = packages()
    with pytest.raises(KeyError), registered(1, None, _silent):
        raise KeyError
    assert packages() == before


class Yielding(int):
    """A priority that gives way to other threads in the middle of the sort."""

    def __lt__(self, other: int) -> bool:
        time.sleep(1e-5)
        return int(self) < int(other)


def test_many_threads_lose_no_entry_and_no_reader_sees_half_a_list() -> None:
    before, ragged = packages(), []
    inside, leave = threading.Barrier(9), threading.Barrier(9)

    def work(priority: int) -> None:
        for _ in range(10):
            with registered(priority, None, _silent):
                seen = [package.priority for package in packages()]
                if seen != sorted(seen) or priority not in seen:
                    ragged.append(seen)
        with registered(priority, None, _silent):
            inside.wait()
            leave.wait()

    threads = [threading.Thread(target=work, args=(Yielding(100 + number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    inside.wait()
    together = [package.priority for package in packages()]
    leave.wait()
    for thread in threads:
        thread.join()
    assert together == [package.priority for package in before] + list(range(100, 108))
    assert packages() == before and not ragged
