"""locations: the grammar of tags, and what a caller may write for one."""

from __future__ import annotations

import enum

import pytest

from safeload.placement.locations import as_tag, parse_location, shown, split_tag
from safeload.values import Device


@pytest.mark.parametrize(
    ("tag", "device"),
    [
        ("cpu", Device("cpu")),
        ("cpu:0", Device("cpu")),
        ("meta", Device("meta")),
        ("meta:0", Device("meta")),
        ("cuda", Device("cuda")),
        ("cuda:0", Device("cuda", 0)),
        ("cuda:15", Device("cuda", 15)),
        ("cuda:128", Device("cuda", 128)),
        ("mps", Device("mps")),
        ("mps:0", Device("mps", 0)),
        ("xpu:1", Device("xpu", 1)),
        ("npu:7", Device("npu", 7)),
        ("hpu", Device("hpu")),
        ("mtia:0", Device("mtia", 0)),
        ("privateuseone:0", Device("privateuseone", 0)),
        ("musa:3", Device("musa", 3)),
    ],
)
def test_devices_that_exist(tag: str, device: Device) -> None:
    assert parse_location(tag) == device


@pytest.mark.parametrize(
    "tag",
    ["", "CPU", "gpu", "cuda0", "cuda:", "cuda:-1", "cuda:01", "cuda:00", "cuda: 1", "cuda:1 ", "cuda:1\n", "cuda:\u0661", "cuda:" + "9" * 5_000]
    + ["cpu:1", "meta:1", "Cuda", " cpu", "cpu\n", "mpsx", "cuda:0:0", "cuda:1.0", "cuda,cpu", ":0", "cp", "\x00", "cuda:0x1", "cuda:+1"],
)
def test_no_devices(tag: str) -> None:
    assert parse_location(tag) is None


def test_split_reads_names_that_nobody_knows_yet() -> None:
    assert split_tag("acme_npu2:3") == Device("acme_npu2", 3)
    assert parse_location("acme_npu2:3") is None


class DeviceLike:
    """After torch.device: no str, not callable."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


class CallableDevice(DeviceLike):
    """A function with a misleading name is a function."""

    def __call__(self, storage: object, tag: str) -> None:
        return None


class Place(str, enum.Enum):  # the spelling that users have
    GPU = "cuda:1"


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        ("cuda:1", "cuda:1"),
        ("no device", "no device"),
        ("", ""),
        (b"cpu", "cpu"),
        (b"\xff", "\\xff"),
        (0, "cuda:0"),
        (3, "cuda:3"),
        (Place.GPU, "cuda:1"),
        (Device("cuda", 1), "cuda:1"),
        (Device("cpu", 0), "cpu"),
        (DeviceLike("xpu:0"), "xpu:0"),
        (DeviceLike("gpu"), None),
        (CallableDevice("cpu"), None),
        (None, None),
        (True, None),
        (1.0, None),
        (["cpu"], None),
        (len, None),
        (DeviceLike, None),
    ],
)
def test_as_tag(value: object, tag: str | None) -> None:
    assert as_tag(value) == tag
    assert tag is None or type(as_tag(value)) is str


def test_a_negative_number_is_not_the_cpu() -> None:
    with pytest.raises(ValueError, match='map_location="cpu"'):
        as_tag(-1)


def test_torch_devices_without_knowing_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    assert [as_tag(torch.device(name)) for name in ("cpu", "cuda:1", "meta", "cuda", "mps")] == ["cpu", "cuda:1", "meta", "cuda", "mps"]
    assert [as_tag(torch.device(name, 0)) for name in ("cpu", "meta")] == ["cpu", "meta"]


def test_hostile_text_is_escaped_and_cut() -> None:
    assert shown("cuda:0") == "cuda:0"
    assert shown("") == "''"
    assert shown("a b") == "'a b'"
    assert shown("\x1b[31m\u202egpu\n") == "'\\x1b[31m\\u202egpu\\n'"
    assert len(shown("x" * 10**6)) < 100
    assert len(shown("\U0001f600" * 10**6)) < 700
