"""The provers: storages that disagree, views of views, quantisers, nested, meta and wrapper tensors, each with one thing bent."""

from __future__ import annotations

import struct

import pytest
from hostile.hostile import archive, ints, storage, tensor, vector
from policy.listings import Refused, call, integer, listed, name, outcome, quantized, refused, tensor_v3, text

PER_TENSOR, PER_CHANNEL = name("torch", "per_tensor_affine"), name("torch", "per_channel_affine")
HALF = "BINFLOAT 0.5\n"


def view(offset: int, length: int) -> str:
    """The legacy view of a storage id, in elements of its type."""
    return f"{text('v')}{integer(offset)}{integer(length)}TUPLE3\n"


@pytest.mark.parametrize(
    ("of", "offset", "length", "count"), [("float64", 0, 4, 4), ("float64", 0, 4, 3), ("float64", 3, 1, 1), ("complex128", 0, 4, 1), ("uint8", 0, 4, 17)]
)
def test_the_view_of_a_storage_is_in_its_own_elements(of: str, offset: int, length: int, count: int) -> None:
    """FloatStorage of 16 bytes: what reaches outside the view must not be accepted in the elements of another dtype."""
    listing = tensor_v3(of, 4, ints(count) + ints(1), kind="FloatStorage", view=view(offset, length))
    found = outcome(archive(listing, {"0": bytes(16)}))
    assert isinstance(found, Refused) or found.nbytes <= length * 4


@pytest.mark.parametrize(
    "bent", [view(5, 0), view(0, 7), view(1 << 64, 1), "NEWTRUE\n", "EMPTY_TUPLE\n", ints(0, 0, 6), f"{text('v')}NEWTRUE\n{integer(1)}TUPLE3\n"]
)
def test_a_view_that_leaves_its_storage_is_refused(bent: str) -> None:
    refused(archive(tensor_v3("float32", 4, ints(1) + ints(1), kind="FloatStorage", view=bent), {"0": bytes(16)}))


@pytest.mark.parametrize(
    "value", [tensor_v3("float32", 16, ints(4) + ints(1), location="meta"), storage(location="'meta'"), storage(location="'meta'", numel=f"LONG4 {10**300}")]
)
def test_a_storage_on_meta_has_one_verdict(value: str) -> None:
    outcome(archive(value, {}))


def test_all_ids_of_a_key_agree() -> None:
    one = tensor(ints(6), ints(1))
    assert len(outcome(archive(f"{one}{vector('IntStorage', chr(39) + '0' + chr(39), 6)}TUPLE2\n"))) == 2
    refused(archive(f"{one}{storage('DoubleStorage')}TUPLE2\n"), "SL404")
    elsewhere = storage(location="'cuda:0'")
    refused(archive(f"{one}{elsewhere}TUPLE2\n"), "SL404")
    refused(archive(one, {}), "SL403")
    refused(archive(one, {"0": bytes(23)}), "SL402")


@pytest.mark.parametrize(
    "quantizer",
    [
        PER_TENSOR + integer(1 << 70) + integer(0),
        PER_TENSOR + text("1") + integer(0),
        PER_TENSOR + "NEWTRUE\n" + integer(0),
        PER_TENSOR + HALF + integer(1 << 63),
        PER_TENSOR + HALF + HALF + integer(0),
        PER_CHANNEL + HALF + integer(0),
        PER_CHANNEL + listed(HALF) + listed(integer(0)) + integer(0),
        PER_CHANNEL + listed(HALF, text("a")) + listed(integer(0), integer(0)) + integer(0),
        PER_CHANNEL + listed(HALF, HALF) + listed(integer(0), integer(0)) + integer(2),
        PER_CHANNEL + listed(HALF, HALF) + listed(integer(0), integer(0)) + integer(-1),
        PER_CHANNEL + listed(HALF, "EMPTY_LIST\n") + listed(integer(0), integer(0)) + integer(0),
        PER_CHANNEL + listed(HALF, HALF) + listed(integer(0), integer(1 << 64)) + integer(0),
        PER_TENSOR,
        HALF + HALF + integer(0),
        name("torch", "float32") + HALF + integer(0),
    ],
)
def test_near_misses_of_a_quantiser_are_refused(quantizer: str) -> None:
    refused(archive(quantized(quantizer), {"0": bytes(6)}))


def test_honest_quantisers_are_accepted() -> None:
    assert outcome(archive(quantized(PER_TENSOR + HALF + integer(3)), {"0": bytes(6)})).dequantize().tolist() == [[-1.5] * 3] * 2
    found = outcome(archive(quantized(PER_CHANNEL + listed(HALF, "BINFLOAT 2\n") + listed(integer(0), integer(1)) + integer(0)), {"0": bytes(6)}))
    assert found.dequantize().tolist() == [[0.0] * 3, [-2.0] * 3]
    refused(archive(quantized(PER_TENSOR + HALF + integer(3), "FloatStorage")), "SL406")


def nested(sizes: list[int], strides: list[int], offsets: list[int], numel: int = 6) -> bytes:
    """A nested tensor of two-dimensional components over `numel` floats."""
    rows = len(offsets)
    tables = [tensor(ints(rows, 2), ints(2, 1), stored=storage("LongStorage", f"'{key}'", numel=f"BININT1 {rows * 2}")) for key in (1, 2)]
    last = tensor(ints(rows), ints(1), stored=storage("LongStorage", "'3'", numel=f"BININT1 {rows}"))
    listing = call("torch._utils", "_rebuild_nested_tensor", tensor(ints(numel), ints(1)) + "".join(tables) + last)
    packed = {str(key): struct.pack(f"<{len(numbers)}q", *numbers) for key, numbers in ((1, sizes), (2, strides), (3, offsets))}
    return archive(listing, {"0": bytes(24), **packed})


def test_every_component_of_a_nested_tensor_lies_in_its_buffer() -> None:
    assert [part.shape for part in outcome(nested([1, 2, 2, 2], [2, 1, 2, 1], [0, 2])).components] == [(1, 2), (2, 2)]
    for bent in ([1, 2, 2, 3], [1, 2, 1 << 62, 2], [1, 2, -1, 2]):
        refused(nested(bent, [2, 1, 2, 1], [0, 2]))
    for bent in ([2, 1, 4, 1], [2, 1, (1 << 63) - 1, 1], [2, 1, -1, 1]):
        refused(nested([1, 2, 2, 2], bent, [0, 2]))
    for bent in ([0, 3], [0, -1], [0, (1 << 63) - 1]):
        refused(nested([1, 2, 2, 2], [2, 1, 2, 1], bent))


def test_components_of_stride_0_count_against_the_budget() -> None:
    refused(nested([1 << 50, 2], [0, 1], [0]), "SL901")


WRAPPER = {"cls": name("torch", "Tensor"), "dtype": name("torch", "float32"), "size": ints(2), "stride": ints(1), "offset": integer(0)}
WRAPPER |= {"layout": call("torch.serialization", "_get_layout", text("torch.strided")), "device": text("cpu"), "grad": "NEWFALSE\n"}


def wrapper(**bent: str) -> bytes:
    """A wrapper subclass with one argument bent."""
    return archive(call("torch._utils", "_rebuild_wrapper_subclass", "".join({**WRAPPER, **bent}.values())))


def test_an_honest_wrapper_is_accepted() -> None:
    assert outcome(wrapper()).shape == (2,)


@pytest.mark.parametrize(
    "bent",
    [
        {"cls": text("torch.Tensor")}, {"cls": name("posix", "system")}, {"dtype": name("torch", "Tensor")}, {"dtype": text("float32")},
        {"size": ints(-1)}, {"size": ints(1, 2)}, {"size": ints(1 << 62)}, {"stride": ints(-1)}, {"offset": integer(-1)}, {"offset": "NEWFALSE\n"},
        {"layout": text("strided")}, {"device": integer(0)}, {"grad": integer(0)}, {"grad": "NONE\n"}, {"extra": "NONE\n"},
    ],
)  # fmt: skip
def test_near_misses_of_a_wrapper_are_refused(bent: dict[str, str]) -> None:
    refused(wrapper(**bent))


@pytest.mark.parametrize("of", ["float64", "int64"])
def test_a_device_tensor_has_the_dtype_that_the_call_names(of: str) -> None:
    listing = call("torch._utils", "_rebuild_device_tensor_from_cpu_tensor", tensor() + name("torch", of) + text("xla:0") + "NEWFALSE\n")
    found = outcome(archive(listing))
    assert isinstance(found, Refused) or found.dtype == of
