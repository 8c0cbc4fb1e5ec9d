"""What the records of rebuild functions hold: flags, gradients, and the views that nested and jagged tensors are made of."""

from __future__ import annotations

from struct import pack
from typing import Any

import numpy as np
import pytest
from hostile.hostile import archive, ints, storage, tensor, vector
from policy.listings import call, integer, listed, name, new, outcome, paired, tensor_v3, text

import safeload
from safeload.tensors import MetaTensor

SIX = tensor(ints(6), ints(1))
FLAG = {True: "NEWTRUE\n", False: "NEWFALSE\n"}
STATE = f"{storage()}{integer(0)}{ints(6)}{ints(1)}"


@pytest.mark.parametrize("flags", [{}, {"neg": True}, {"neg": False}, {"conj": False}, {"conj": True}, {"conj": True, "neg": True}, {"other": True}])
@pytest.mark.parametrize("of", ["complex64", "complex128", "float32", "uint16"])
def test_a_mark_is_one_only_where_it_stands_and_says_true(of: str, flags: dict[str, bool]) -> None:
    plain = np.array([1, 2]).astype(of) if of[0] != "c" else np.array([1 + 2j, -3j]).astype(of)
    found = outcome(
        archive(tensor_v3(of, plain.nbytes, ints(2) + ints(1), flags=paired(**{key: FLAG[value] for key, value in flags.items()})), {"0": plain.tobytes()})
    )
    wanted = plain.conj() if flags.get("conj") else plain
    assert found.tolist() == (-wanted if flags.get("neg") else wanted).tolist()


@pytest.mark.parametrize("number", [1, "NEWTRUE\n"])
def test_a_mark_that_is_a_number_is_none(number: Any) -> None:
    """torch marks with `True`; its own `if` would take 1 as well, and no writer of it puts one there."""
    flags = paired(conj=integer(number) if number == 1 else number)
    found = outcome(archive(tensor_v3("complex64", 8, ints(1) + ints(1), flags=flags), {"0": pack("<2f", 1, 2)}))
    assert found.tolist() == ([1 + 2j] if number == 1 else [1 - 2j])


def wants_grad(made: str, content: dict[str, bytes] | None = None) -> bool:
    """Does the tensor want a gradient?"""
    with safeload.open(archive(f"EMPTY_DICT\n{text('a')}{made}SETITEM\n", content)) as file:
        return bool(file.info("a").requires_grad)


@pytest.mark.parametrize("flag", [True, False])
def test_whether_a_parameter_wants_a_gradient_is_what_is_said_last(flag: bool) -> None:
    said, other = FLAG[flag], FLAG[not flag]
    of, empty = "torch.nn.parameter", "NONE\nEMPTY_DICT\n"
    assert wants_grad(call(of, "Parameter", SIX + said)) is flag
    assert wants_grad(call(of, "Parameter", SIX)) is True
    assert wants_grad(f"{call(of, 'Parameter', SIX + other)}MARK\n{said}{empty}TUPLE\nBUILD\n") is flag
    assert wants_grad(f"{new(of, 'Parameter')}MARK\n{SIX}{empty}{said}{other}TUPLE\nBUILD\n") is flag
    assert wants_grad(call("torch._utils", "_rebuild_device_tensor_from_cpu_tensor", SIX + name("torch", "float32") + text("xla:0") + said)) is flag
    assert wants_grad(call("torch._utils", "_rebuild_parameter_with_state", SIX + said + "EMPTY_DICT\nEMPTY_DICT\n")) is flag
    assert wants_grad(call("torch._utils", "_rebuild_parameter", tensor(ints(6), ints(1)).replace("NEWFALSE", "NEWTRUE") + said + "EMPTY_DICT\n")) is flag


def test_a_parameter_that_has_no_shape_yet() -> None:
    for flag, wanted in (("", True), ("NEWTRUE\n", True), ("NEWFALSE\n", False)):
        found = outcome(archive(call("torch.nn.parameter", "UninitializedParameter", flag)))
        assert found == MetaTensor(dtype=None, shape=None, requires_grad=wanted)


def tables(buffer: str) -> str:
    """A nested tensor of two 1 x 1 components."""
    made = [tensor(ints(*shape), ints(*(2, 1)[-len(shape) :]), stored=storage("LongStorage", f"'{key}'", numel="BININT1 4")) for key, shape in PLACES]
    return call("torch._utils", "_rebuild_nested_tensor", buffer + "".join(made))


PLACES = ((1, (2, 2)), (2, (2, 2)), (3, (2,)))
WIDE = (1 << 63) - 1  # the largest stride there is


@pytest.mark.parametrize("step", [1, 9, WIDE])
def test_the_stride_of_a_single_element_means_nothing_to_what_is_cut_from_it(step: int) -> None:
    content = {"0": pack("<f", 7) + bytes(20), "1": pack("<4q", 1, 1, 1, 0), "2": pack("<4q", 1, 1, 1, 1), "3": pack("<4q", 0, 1, 0, 0)}
    first, second = outcome(archive(tables(tensor(ints(1), ints(step))), content)).components
    assert (first.tolist(), second.shape) == ([[7.0]], (1, 0))
    offsets = vector("LongStorage", "'1'", 4)
    made = call("torch.nested._internal.nested_tensor", "_rebuild_njt", paired(values=tensor(ints(1), ints(step)), offsets=offsets))
    found = outcome(archive(made, {"0": content["0"], "1": pack("<4q", 0, 0, 1, 1)}))
    assert [part.tolist() for part in found.components] == [[], [7.0], []]


@pytest.mark.parametrize("lengths", [(2, 1, 3), (0, 0, 0), (1, 2, 0)])
def test_the_components_of_a_jagged_tensor_may_leave_holes(lengths: tuple[int, ...]) -> None:
    starts = (0, 3, 3, 6)
    content = np.arange(12, dtype="<f4").reshape(2, 6)
    parts = {"values": tensor(ints(2, 6), ints(6, 1), stored=storage(numel="BININT1 12")), "offsets": vector("LongStorage", "'1'", 4)}
    parts |= {"lengths": vector("IntStorage", "'2'", 3), "_ragged_idx": integer(2)}
    made = call("torch.nested._internal.nested_tensor", "_rebuild_njt", paired(**parts))
    found = outcome(archive(made, {"0": content.tobytes(), "1": pack("<4q", *starts), "2": pack("<3i", *lengths)}))
    assert [part.tolist() for part in found.components] == [
        content[:, start : start + length].tolist() for start, length in zip(starts[:3], lengths, strict=True)
    ]


@pytest.mark.parametrize(
    ("scheme", "scales", "zero_points"),
    [
        ("per_channel_affine", listed("BINFLOAT 0.5\n", "BINFLOAT 2\n"), vector("FloatStorage", "'1'", 2)),
        ("per_channel_affine", vector("DoubleStorage", "'2'", 2), listed(integer(0), integer(1))),
    ],
)
def test_parts_of_a_quantiser_are_tensors_or_lists(scheme: str, scales: str, zero_points: str) -> None:
    stored = storage("QInt8Storage", "'0'", numel="BININT1 6")
    quantizer = f"MARK\n{name('torch', scheme)}{scales}{zero_points}{integer(0)}TUPLE\n"
    listing = call("torch._utils", "_rebuild_qtensor", f"{stored}{integer(0)}{ints(2, 3)}{ints(3, 1)}{quantizer}NEWFALSE\nEMPTY_DICT\n")
    found = outcome(archive(listing, {"0": bytes([1, 2, 3, 4, 5, 6]), "1": pack("<2f", 0, 1), "2": pack("<2d", 0.5, 2)}))
    assert found.dequantize().tolist() == [[0.5, 1.0, 1.5], [6.0, 8.0, 10.0]]
