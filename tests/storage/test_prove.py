"""The provers: storages that disagree, views of views, quantisers, nested, meta and wrapper tensors, each with one thing bent."""

from __future__ import annotations

import pickletools
import struct
import sys
from struct import pack
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hostile.hostile import archive, ints, storage, stream, tensor, vector
from policy.listings import Refused, array, call, dtype, integer, listed, name, new, outcome, paired, quantized, raw, refused, tensor_v3, text

import safeload
from safeload.budget import Budget
from safeload.storage import prove as proving

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
    ("of", "offset", "length", "count"),
    [("float32", 2, 2, 2), ("float64", 2, 2, 1), ("float64", 0, 4, 2), ("int16", 1, 3, 6), ("uint8", 3, 1, 4), ("complex64", 2, 2, 1), ("float32", 4, 0, 0)],
)
def test_a_view_is_as_long_as_it_says_and_begins_where_it_says(of: str, offset: int, length: int, count: int) -> None:
    """All of the view is there, and not one element more."""
    content = bytes(range(16))
    made = {
        elements: archive(tensor_v3(of, 4, ints(elements) + ints(1), kind="FloatStorage", view=view(offset, length)), {"0": content})
        for elements in (count, count + 1)
    }
    found = outcome(made[count])
    assert (found.shape, found.tobytes()) == ((count,), content[offset * 4 : (offset + length) * 4])
    refused(made[count + 1], "SL401")


def test_half_bytes_of_a_view_count_as_two() -> None:
    def half(count: int) -> bytes:
        stored = f"MARK\n{text('storage')}{name('torch', 'QUInt4x2Storage')}{text('0')}{text('cpu')}{integer(4)}{view(1, 2)}TUPLE\nBINPERSID\n"
        return archive(
            quantized(PER_TENSOR + HALF + integer(0))
            .replace(storage("QInt8Storage", "'0'", numel="BININT1 6"), stored)
            .replace(ints(2, 3) + ints(3, 1), ints(count) + ints(1)),
            {"0": bytes(4)},
        )

    assert outcome(half(4)).shape == (4,)
    refused(half(5), "SL401")


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


def test_tensors_and_their_bytes_are_counted() -> None:
    report = safeload.scan(archive(tensor() + tensor(ints(2), ints(0)) + "TUPLE2\n"))
    assert (report.tensors, report.tensor_bytes) == (2, 32)
    empty = safeload.scan(archive("NONE\n"))
    assert (empty.tensors, empty.tensor_bytes) == (0, 0)


@pytest.mark.parametrize("flag", ["NEWTRUE\n", "NEWFALSE\n", ""])
def test_whether_a_tensor_wants_a_gradient_is_what_its_call_says(flag: str) -> None:
    of = "_rebuild_tensor_v2" if flag else "_rebuild_tensor"
    made = call("torch._utils", of, storage() + integer(0) + ints(2, 3) + ints(3, 1) + (flag + "EMPTY_DICT\n" if flag else ""))
    parameter = call("torch._utils", "_rebuild_parameter", made + "NEWTRUE\nEMPTY_DICT\n")
    with safeload.open(archive(f"EMPTY_DICT\n{text('a')}{made}SETITEM\n{text('b')}{parameter}SETITEM\n")) as file:
        assert (file.info("a").requires_grad, file.info("b").requires_grad) == (flag == "NEWTRUE\n", True)


@pytest.mark.parametrize(
    ("of", "stored"),
    [
        ("float32", [1.5, -2.0]),
        ("float16", [0.5, 1.0]),
        ("bfloat16", [0.5, 1.0]),
        ("complex64", [1 + 2j, -3j]),
        ("int64", [1, -5]),
        ("int16", [1, -5]),
        ("uint32", [1, 7]),
    ],
)
def test_what_is_marked_as_negated_or_conjugated_has_the_values_that_torch_shows(of: str, stored: list[complex]) -> None:
    plain = np.array(stored).astype(of if of != "bfloat16" else ml_dtypes.bfloat16)
    off: dict[str, str] = {"neg": "NEWFALSE\n", "conj": "NEWFALSE\n"}
    for flags, wanted in ((off, plain), ({**off, "neg": "NEWTRUE\n"}, -plain), ({**off, "conj": "NEWTRUE\n"}, plain.conj())):
        found = outcome(archive(tensor_v3(of, plain.nbytes, ints(2) + ints(1), flags=paired(**flags)), {"0": plain.tobytes()}))
        assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize("of", ["int8", "uint8", "float8_e4m3fn", "bool", "bits8"])
def test_what_torch_does_not_negate_is_not_marked(of: str) -> None:
    assert outcome(archive(tensor_v3(of, 2, ints(2) + ints(1), flags=paired(neg="NEWFALSE\n")), {"0": bytes(2)})).shape == (2,)
    refused(archive(tensor_v3(of, 2, ints(2) + ints(1), flags=paired(neg="NEWTRUE\n")), {"0": bytes(2)}), "SL406")


TWICE = tensor() + tensor() + "TUPLE2\n"
NJT = call(
    "torch.nested._internal.nested_tensor",
    "_rebuild_njt",
    paired(values=tensor(ints(6), ints(1)), offsets=tensor(ints(3), ints(1), stored=storage("LongStorage", "'1'", numel="BININT1 3"))),
)
COPIED = raw(bytes(100_000)) + "BINPUT 0\nPOP\n" + dtype("u1") + "BINPUT 1\nPOP\n"


@pytest.mark.parametrize(
    ("limits", "listing", "said", "back"),
    [
        ({"tensors": 1}, TWICE, "the file holds more tensors", -1),
        ({"tensor_bytes": 23}, TWICE, "a tensor spans 24 bytes", -3),
        ({"total_tensor_bytes": 47}, TWICE, "all tensors together span more", -1),
        ({"total_tensor_bytes": 71}, NJT, "all tensors together span more", -1),
        ({"copy_ratio": 1}, COPIED + (array("BINGET 1\n", ints(100_000), "BINGET 0\n") + "POP\n") * 60 + "NONE\n", "its calls copy more", -35),
    ],
)
def test_the_proof_keeps_to_the_budget_and_says_where(limits: dict[str, int], listing: str, said: str, back: int) -> None:
    """One below what the file needs; with that, it is accepted."""
    storages = {"0": bytes(24), "1": pack("<3q", 0, 2, 6)}
    (finding,) = (finding for finding in safeload.scan(archive(listing, storages), limits=limits).findings if finding.rule == "SL901")
    places = [place for opcode, _, place in pickletools.genops(stream(listing)) if opcode.name in ("REDUCE", "BUILD")]
    assert (finding.message.startswith(said), finding.member) == (True, "a/data.pkl")
    assert finding.offset == places[back]
    ((name, value),) = limits.items()
    assert safeload.scan(archive(listing, storages), limits={name: value + 1 if name != "copy_ratio" else 1_000}).verdict == "accepted"


def test_the_proof_looks_at_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[tuple[str | None, int | None]] = []

    def look(self: Budget, member: str | None = None, offset: int | None = None) -> None:
        if sys._getframe(1).f_code.co_name == "_run":
            looks.append((member, offset))

    monkeypatch.setattr(Budget, "check_time", look)
    assert proving.RECORDS_PER_CHECK == 1_024  # one look costs as much as proving a few records
    monkeypatch.setattr(proving, "RECORDS_PER_CHECK", 8)
    listing = "EMPTY_LIST\n" + (call("collections", "OrderedDict") + "APPEND\n") * 20
    data = stream(listing)
    assert safeload.scan(archive(listing)).verdict == "accepted"
    ops = [(opcode.name, place) for opcode, _, place in pickletools.genops(data)]
    log = [place for number, (kind, place) in enumerate(ops) if kind == "REDUCE" or (kind == "GLOBAL" and number < 3)]  # a name is logged once
    assert looks == [("a/data.pkl", log[index]) for index in range(0, len(log), 8)]


CHANNELS = {"0": bytes(6), "1": pack("<2q", 0, 1), "2": pack("<2f", 0.5, 2)}
SCALES, WHOLES, PARTS = listed(HALF, "BINFLOAT 2\n"), listed(integer(0), integer(1)), vector("FloatStorage", "'2'", 2)


@pytest.mark.parametrize(
    ("quantizer", "scheme", "axis"),
    [
        (PER_TENSOR + HALF + integer(3), "per_tensor_affine", None),
        (name("torch", "per_tensor_symmetric") + HALF + integer(0), "per_tensor_symmetric", None),
        (PER_TENSOR + integer(-(1 << 63)) + integer((1 << 63) - 1), "per_tensor_affine", None),
        (PER_TENSOR + integer((1 << 63) - 1) + integer(-(1 << 63)), "per_tensor_affine", None),
        (PER_CHANNEL + SCALES + WHOLES + integer(0), "per_channel_affine", 0),
        (PER_CHANNEL + listed(HALF, HALF, HALF) + listed(*[integer(0)] * 3) + integer(1), "per_channel_affine", 1),
        (name("torch", "per_channel_symmetric") + SCALES + WHOLES + integer(0), "per_channel_symmetric", 0),
        (PER_CHANNEL + PARTS + vector("LongStorage", "'1'", 2) + integer(0), "per_channel_affine", 0),
        (PER_CHANNEL + PARTS + vector("ByteStorage", "'1'", 16).replace(ints(16), ints(2)) + integer(0), "per_channel_affine", 0),
        (PER_CHANNEL + SCALES + PARTS + integer(0), "per_channel_affine_float_qparams", 0),
    ],
)
def test_a_quantised_tensor_keeps_its_scheme_and_its_axis(quantizer: str, scheme: str, axis: int | None) -> None:
    found = outcome(archive(quantized(quantizer), CHANNELS))
    assert (found.dtype, found.scheme, found.axis, found.int_repr.shape) == ("qint8", scheme, axis, (2, 3))


def test_the_quantiser_of_torch_1_2_stands_as_arguments() -> None:
    def made(scale: str, zero_point: str) -> bytes:
        stored = storage("QInt8Storage", "'0'", numel="BININT1 6")
        return archive(
            call("torch._utils", "_rebuild_qtensor", f"{stored}{integer(0)}{ints(2, 3)}{ints(3, 1)}{scale}{zero_point}NEWFALSE\nEMPTY_DICT\n"), CHANNELS
        )

    found = outcome(made(HALF, integer(3)))
    assert (found.scheme, found.scale, found.zero_point, found.axis) == ("per_tensor_affine", 0.5, 3, None)
    (error,) = safeload.scan(made(HALF, integer(1 << 63))).errors
    assert (error.rule, error.message) == ("SL405", "the scale of a quantised tensor is no number that torch holds")


@pytest.mark.parametrize("device", [text("cuda:1"), call("torch", "device", text("cuda") + integer(1))])
@pytest.mark.parametrize("grad", ["NEWTRUE\n", "NEWFALSE\n"])
def test_a_wrapper_keeps_what_its_call_says(device: str, grad: str) -> None:
    found = outcome(wrapper(size=ints(2, 3), stride=ints(3, 1), device=device, grad=grad))
    assert (found.dtype, found.shape, found.strides, found.device, found.requires_grad) == ("float32", (2, 3), (3, 1), "cuda:1", grad == "NEWTRUE\n")


STATE = f"MARK\n{storage()}{integer(0)}{ints(6)}{ints(1)}TUPLE\nBUILD\n"


@pytest.mark.parametrize("made", [call("torch", "FloatTensor"), new("torch.nn.parameter", "Parameter")], ids=["tensor", "parameter"])
def test_a_tensor_that_something_was_proved_with_takes_no_other_state(made: str) -> None:
    """Components of a nested tensor lie in the buffer that it was given: with another state it could be shorter."""
    tables = [tensor(ints(2, 2), ints(2, 1), stored=storage("LongStorage", f"'{key}'", numel="BININT1 4")) for key in (1, 2)]
    whole = call("torch._utils", "_rebuild_nested_tensor", f"{made}{STATE}BINPUT 0\n" + "".join(tables) + vector("LongStorage", "'3'", 2))
    storages = {"0": bytes(24), "1": pack("<4q", 1, 2, 2, 2), "2": pack("<4q", 2, 1, 2, 1), "3": pack("<2q", 0, 2)}
    assert [part.shape for part in outcome(archive(whole, storages)).components] == [(1, 2), (2, 2)]
    late = f"{whole}BINGET 0\n{STATE}POP\n"
    (finding,) = safeload.scan(archive(late, storages)).errors
    places = [place for opcode, _, place in pickletools.genops(stream(late)) if opcode.name == "BUILD"]
    assert (finding.rule, finding.message) == ("SL405", "a tensor is given another state after it became a part of one")
    assert (finding.member, finding.offset) == ("a/data.pkl", places[-1])


def test_an_array_that_stands_for_a_tensor_takes_no_other_state() -> None:
    empty = call("numpy._core.multiarray", "_reconstruct", name("numpy", "ndarray") + ints(0) + raw(b"b"))
    made = call("torch._utils", "_rebuild_device_tensor_from_numpy", f"{empty}BINPUT 0\n{name('torch', 'int8')}{text('xla:0')}NEWFALSE\n")
    assert outcome(archive(made)).shape == (0,)
    state = f"MARK\nBININT1 1\n{ints(1)}{dtype('f4')}NEWFALSE\n{raw(bytes(4))}TUPLE\nBUILD\n"
    (finding,) = safeload.scan(archive(f"{made}BINGET 0\n{state}POP\n", {})).errors
    assert (finding.rule, finding.message) == ("SL407", "an array is given another state after it had one")


def test_an_array_that_could_not_be_made_stands_for_no_tensor() -> None:
    wrong = call("numpy._core.multiarray", "_reconstruct", name("numpy", "ndarray") + ints(1) + raw(b"b"))
    listing = call("torch._utils", "_rebuild_device_tensor_from_numpy", f"{wrong}{name('torch', 'int8')}{text('xla:0')}NEWFALSE\n")
    said = [(finding.rule, finding.message) for finding in safeload.scan(archive(listing, {})).errors]
    assert said == [("SL407", "an array is made with the shape (0,), before its state says more"), ("SL407", "the array of a device tensor is not valid")]


@pytest.mark.parametrize(
    ("seed", "offset", "kind", "shape", "fits"),
    [
        (0, None, "ByteStorage", (6,), True),
        ((1 << 64) - 1, (1 << 64) - 1, "ByteStorage", (6,), True),
        (-(1 << 63), -(1 << 63), "ByteStorage", (6,), True),
        (1 << 64, None, "ByteStorage", (6,), False),
        (0, 1 << 64, "ByteStorage", (6,), False),
        (-(1 << 63) - 1, None, "ByteStorage", (6,), False),
        (0, -(1 << 63) - 1, "ByteStorage", (6,), False),
        (0, None, "CharStorage", (6,), False),
        (0, None, "ByteStorage", (2, 3), False),
    ],
)
def test_the_state_of_a_generator(seed: int, offset: int | None, kind: str, shape: tuple[int, ...], fits: bool) -> None:
    stored = tensor(ints(*shape), ints(*(3, 1)[-len(shape) :]), stored=storage(kind, "'0'", numel="BININT1 6"))
    state = integer(seed) + ("NONE\n" if offset is None else integer(offset)) + stored
    data = archive(call("torch._C", "Generator", call("torch", "device", text("cpu"))) + f"{state}TUPLE3\nBUILD\n", {"0": bytes(6)})
    if fits:
        found = outcome(data)
        assert (found.seed, found.offset, found.state.shape) == (seed, offset, shape)
        return
    (finding,) = safeload.scan(data).errors
    assert (finding.rule, finding.message) == ("SL406", "the state of a Generator is a seed and an offset of 64 bits, and a vector of bytes")


def tables(
    buffer: str = tensor(ints(6), ints(1)),
    sizes: tuple[int, ...] = (2, 2),
    strides: tuple[int, ...] = (2, 2),
    offsets: tuple[int, ...] = (2,),
    kinds: str = "LLL",
) -> str:
    """A nested tensor with tables of these shapes; of `kinds`, each L is int64 and each I int32."""
    made = ""
    for key, (shape, kind) in enumerate(zip((sizes, strides, offsets), kinds, strict=True), 1):
        steps = (*shape[1:], 1) if len(shape) < 3 else (1, 1, 1)
        made += tensor(ints(*shape), ints(*steps), stored=storage({"L": "LongStorage", "I": "IntStorage"}[kind], f"'{key}'", numel="BININT1 4"))
    return call("torch._utils", "_rebuild_nested_tensor", buffer + made)


NUMBERS = {"0": bytes(24), "1": pack("<4q", 1, 1, 1, 1), "2": pack("<4q", 1, 1, 1, 1), "3": pack("<4q", 0, 1, 2, 3)}


@pytest.mark.parametrize(
    ("bent", "kinds"),
    [
        ({"buffer": tensor()}, "LLL"),
        ({"sizes": (4,), "strides": (4,), "offsets": (4,)}, "LLL"),
        ({"sizes": (1, 2, 2), "strides": (1, 2, 2), "offsets": (1,)}, "LLL"),
        ({"sizes": (2, 2), "strides": (2, 1)}, "LLL"),
        ({"sizes": (2, 1)}, "LLL"),
        ({"offsets": (1,)}, "LLL"),
        ({"offsets": (3,)}, "LLL"),
        ({"offsets": (2, 2)}, "LLL"),
        ({}, "ILL"),
        ({}, "LIL"),
        ({}, "LLI"),
    ],
)
def test_each_table_of_a_nested_tensor_has_its_shape_and_dtype(bent: dict[str, Any], kinds: str) -> None:
    assert [part.shape for part in outcome(archive(tables(), NUMBERS)).components] == [(1, 1), (1, 1)]
    content = {key: numbers[:16] if key != "0" and kinds[int(key) - 1] == "I" else numbers for key, numbers in NUMBERS.items()}
    (finding,) = safeload.scan(archive(tables(**bent, kinds=kinds), content)).errors
    assert (finding.rule, finding.message) == ("SL405", "a nested tensor is (buffer, sizes, strides, offsets): 1-D, 2-D, 2-D and 1-D of int64")


@pytest.mark.parametrize(("length", "step"), [(3, 2), (2, 3), (2, 5), (1, 9)])
def test_a_nested_tensor_counts_in_the_elements_of_its_buffer(length: int, step: int) -> None:
    content = np.arange(6, dtype="<f4")
    buffer = tensor(ints(length), ints(step))
    shapes, steps, starts = pack("<4q", 1, length, 1, 1), pack("<4q", 1, 1, 1, 1), pack("<4q", 0, length - 1, 0, 0)
    found = outcome(archive(tables(buffer), {"0": content.tobytes(), "1": shapes, "2": steps, "3": starts}))
    wanted = content[::step][:length]
    assert [part.tolist() for part in found.components] == [[wanted.tolist()], [[wanted[-1]]]]


@pytest.mark.parametrize("kind", ["LongStorage", "IntStorage"])
@pytest.mark.parametrize("ends", [(0, 2, 6), (0, 6, 6), (0, 0, 6), (6, 6, 6), (3,)])
def test_the_components_of_a_jagged_tensor_are_between_its_offsets(ends: tuple[int, ...], kind: str) -> None:
    content = np.arange(6, dtype="<f4")
    offsets = vector(kind, "'1'", len(ends))
    made = call("torch.nested._internal.nested_tensor", "_rebuild_njt", paired(values=tensor(ints(6), ints(1)), offsets=offsets))
    found = outcome(archive(made, {"0": content.tobytes(), "1": pack(f"<{len(ends)}{'q' if kind == 'LongStorage' else 'i'}", *ends)}))
    assert [part.tolist() for part in found.components] == [content[start:end].tolist() for start, end in zip(ends, ends[1:], strict=False)]
    refused(archive(made.replace(offsets, vector(kind, "'1'", 0)), {"0": bytes(24)}), "SL405")
