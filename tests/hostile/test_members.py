"""Archives that hold more than the pickle that torch reads: every member is judged, whatever it is called and whoever would open it."""

from __future__ import annotations

import pytest
from containers.zipbuild import Part, build

from . import watched
from .hostile import SYSTEM, Refusal, archive, stream, tensor

MKDIR = "posix.mkdir"
PAYLOAD = stream(SYSTEM)

HIDING_PLACES = ["a/extra.pkl", "a/data.pkl.bak", "a/data/1.pkl", "a/notes.txt", "a/weights", "a/.hidden", "a/byteorder.pkl", "a/extra/0"]


@pytest.mark.parametrize("name", HIDING_PLACES)
def test_a_pickle_in_another_member_is_judged(refused: Refusal, name: str) -> None:
    data = archive(tensor(), extra=(Part(name.encode(), refused.armed(PAYLOAD)),))
    refused(data, "rejected", "SL301", names=(MKDIR,))


@pytest.mark.parametrize("name", HIDING_PLACES)
def test_a_broken_pickle_in_another_member_is_judged(refused: Refusal, name: str) -> None:
    data = archive(tensor(), extra=(Part(name.encode(), refused.armed(PAYLOAD)[:-1] + b"\xff"),))
    refused(data, "rejected", "SL301", names=(MKDIR,))


def test_a_pickle_in_a_storage_that_nothing_uses_is_judged(refused: Refusal) -> None:
    refused(archive(tensor(), {"0": bytes(24), "1": refused.armed(PAYLOAD)}), "rejected", "SL301", names=(MKDIR,))


def test_a_pickle_in_a_storage_that_is_used_is_numbers(refused: Refusal) -> None:
    """No reader of a torch archive unpickles a storage that a tensor stands on, and any bytes are numbers."""
    content = refused.armed(PAYLOAD)
    content += bytes(-len(content) % 4)
    listing = tensor().replace("LONG4 2\nLONG4 3", "LONG4 2\nLONG4 3").replace("BININT1 6", f"LONG4 {len(content) // 4}")
    data = archive(listing, {"0": content})
    assert watched.scan(data).verdict == "accepted"
    assert refused.inert(data) is not None


@pytest.mark.parametrize("content", [b"#!/bin/sh\ntouch x\n", b"\x7fELF" + bytes(60), b"PK\5\6" + bytes(18)])
def test_a_member_that_nobody_can_judge_is_not_accepted(refused: Refusal, content: bytes) -> None:
    refused(archive(tensor(), extra=(Part(b"a/file.bin", content),)), "inconclusive", "SL122")


@pytest.mark.parametrize("name", ["a/data.pkl", "a/DATA.pkl", "a/data/0"])
def test_two_members_of_one_name_are_ambiguous(refused: Refusal, name: str) -> None:
    """Which of them is meant is not decided, and what the second asks for is told."""
    refused(archive(tensor(), extra=(Part(name.encode(), b"\x80\x02N."),)), "inconclusive")
    refused(archive(tensor(), extra=(Part(name.encode(), refused.armed(PAYLOAD)),)), "rejected", "SL301")


@pytest.mark.parametrize("name", ["b/data.pkl", "data.pkl", "a/b/data.pkl"])
def test_a_second_pickle_beside_the_first_is_not_overlooked(refused: Refusal, name: str) -> None:
    report = watched.scan(archive(tensor(), extra=(Part(name.encode(), refused.armed(PAYLOAD)),)))
    assert report.verdict != "accepted"
    refused(archive(tensor(), extra=(Part(name.encode(), refused.armed(PAYLOAD)),)), report.verdict)


@pytest.mark.parametrize("name", ["a/../data.pkl", "/a/x.pkl", "a\\x.pkl", "a/x\0.pkl", "../x"])
def test_names_that_climb_are_refused(refused: Refusal, name: str) -> None:
    refused(archive(tensor(), extra=(Part(name.encode(), b"x"),)), "inconclusive")


@pytest.mark.parametrize("name", ["a/code/__torch__.py", "a/constants.pkl"])
def test_torchscript_is_code(refused: Refusal, name: str) -> None:
    data = archive(tensor(), extra=(Part(name.encode(), b"def forward(self): pass\n"),))
    assert watched.scan(data).verdict != "accepted"
    refused(data, watched.scan(data).verdict)


def test_a_zip_behind_a_pickle_is_ambiguous(refused: Refusal) -> None:
    refused(stream("NONE\n") + archive(tensor()), "inconclusive", "SL120")


def test_a_pickle_behind_a_zip_is_trailing(refused: Refusal) -> None:
    refused(archive(tensor()) + refused.armed(PAYLOAD), "rejected", "SL301", names=(MKDIR,))


def test_a_cut_archive_is_not_accepted(refused: Refusal) -> None:
    whole = archive(tensor())
    for end in range(0, len(whole), 37):
        refused(whole[:end], "inconclusive")


TOKEN = b"\x80\2)."
UNUSED = {
    "data of TorchScript": {"a/data.pkl": TOKEN, "a/constants.pkl": TOKEN, "a/data/1": PAYLOAD},
    "constants of TorchScript": {"a/data.pkl": TOKEN, "a/constants.pkl": TOKEN, "a/constants/0": PAYLOAD},
    "a package": {"p/.data/extern_modules": b"", "p/.data/python_version": b"3.11", "p/x/x.pkl": b"\x80\3).", "p/.data/7.storage": PAYLOAD},
    "torch.export": {
        "m/archive_format": b"pt2",
        "m/archive_version": b"0",
        "m/models/model.json": b"{}",
        "m/data/weights/model_weights_config.json": b'{"config": {}}',
        "m/data/weights/weight_0": PAYLOAD,
    },
}


@pytest.mark.parametrize("what", UNUSED)
def test_a_pickle_in_any_storage_that_nothing_uses_is_judged(refused: Refusal, what: str) -> None:
    refused(build([Part(name.encode(), refused.armed(content)) for name, content in UNUSED[what].items()]), "rejected", "SL301", names=(MKDIR,))


BREAKERS = {"a/constants.pkl": b"\x80\2(.", "a/model.json": b"\xff", "a/code/__torch__.py": b"\xff", "a/.data/version": b"\xff", "a/version": b"none"}


@pytest.mark.parametrize("breaker", BREAKERS)
@pytest.mark.parametrize("name", ["a/data.pkl", "a/zz.pkl", "a/data/1", "a/code/zz.py", "a/zz.zip"])
def test_a_member_that_ends_the_reading_hides_no_other(refused: Refusal, breaker: str, name: str) -> None:
    payload = refused.armed(PAYLOAD)
    payload = build([Part(b"inner.pkl", payload)]) if name.endswith(".zip") else payload
    for members in ([(breaker, BREAKERS[breaker]), (name, payload)], [(name, payload), (breaker, BREAKERS[breaker])]):
        refused(build([Part(each.encode(), content) for each, content in members]), "rejected", "SL301", names=(MKDIR,))


def test_what_stands_in_front_of_an_archive_is_named(refused: Refusal) -> None:
    """torch reads the pickle there, zipfile the archive."""
    refused(refused.armed(PAYLOAD) + archive(tensor()), "rejected", "SL120", "SL301", names=(MKDIR,))
