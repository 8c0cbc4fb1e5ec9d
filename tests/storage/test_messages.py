"""What a report says of each refusal of the proof: rule, sentence, stream, and the opcode that it is said of."""

from __future__ import annotations

import pickletools
from struct import pack

import pytest
from hostile.hostile import archive, ints, storage, stream, tensor, vector
from policy.listings import (
    TWO,
    array,
    call,
    dtype,
    dtype_state,
    fields_of,
    flagged,
    floats,
    indices,
    integer,
    listed,
    name,
    paired,
    quantized,
    raw,
    scalar,
    size,
    sparse,
    sub_of,
    tensor_v3,
    text,
)

import safeload

ZEROS, FOUR = {"0": bytes(24)}, {"0": bytes(24), "1": bytes(32), "2": bytes(32), "3": bytes(16)}
HALF, SIX = "BINFLOAT 0.5\n", tensor(ints(6), ints(1))
PER_TENSOR, PER_CHANNEL = name("torch", "per_tensor_affine"), name("torch", "per_channel_affine")
LAYOUT = call("torch.serialization", "_get_layout", text("torch.strided"))
JAGGED = "a jagged tensor is (values, offsets[, lengths]) along one of the dimensions of its values"


def longs(key: int, count: int, kind: str = "LongStorage") -> str:
    """A vector of int64 on a storage of its own."""
    return vector(kind, f"'{key}'", count)


def whole(kind: str = "FloatStorage", view: str = "", location: str = "cpu", numel: int = 6) -> str:
    """The persistent id of storage 0, or of a view (key, start, length) of it."""
    return f"MARK\n{text('storage')}{name('torch', kind)}{text('0')}{text(location)}{integer(numel)}{view}TUPLE\nBINPERSID\n"


def view(key: str, start: int, length: int) -> str:
    """The legacy view of a storage id."""
    return f"{text(key)}{integer(start)}{integer(length)}TUPLE3\n"


def nested(shape: tuple[int, ...] = (2, 2), buffer: str = SIX) -> str:
    """A nested tensor of two components."""
    strides = ints(2, 1) if len(shape) == 2 else ints(1)
    tables = [tensor(ints(*shape), strides, stored=storage("LongStorage", f"'{key}'", numel="BININT1 4")) for key in (1, 2)]
    return call("torch._utils", "_rebuild_nested_tensor", buffer + "".join(tables) + longs(3, 2))


def jagged(offsets: str = "", **more: str) -> str:
    """A jagged tensor over six floats."""
    return call("torch.nested._internal.nested_tensor", "_rebuild_njt", paired(values=SIX, offsets=offsets or longs(1, 3), **more))


def csr(pointers: str = "", plain: str = "", shape: str = "", of: str = "sparse_csr") -> str:
    """A CSR tensor of three values in three rows."""
    return sparse(of, (pointers or indices(4)) + (plain or longs(2, 3)) + vector("FloatStorage", "'1'", 3) + (shape or ints(3, 2)))


def packed(pointers: tuple[int, ...], plain: tuple[int, ...] = (0, 0, 0)) -> dict[str, bytes]:
    """The storages of `csr`."""
    return {"0": pack("<4q", *pointers), "1": bytes(12), "2": pack(f"<{len(plain)}q", *plain)}


def device(function: str, value: str, of: str) -> str:
    """A tensor of another device, from one on the CPU."""
    return call("torch._utils", function, value + name("torch", of) + text("xla:0") + "NEWFALSE\n")


def shell(size: str, stride: str) -> str:
    """A wrapper subclass."""
    return call(
        "torch._utils",
        "_rebuild_wrapper_subclass",
        name("torch", "Tensor") + name("torch", "float32") + size + stride + integer(0) + LAYOUT + text("cpu") + "NEWFALSE\n",
    )


def built(shape: str = ints(2), data: str = raw(bytes(8)), of: str = dtype("f4")) -> str:
    """An array of two float32."""
    return array(of, shape, data)


SAID: list[tuple[str, str, str, dict[str, bytes]]] = [  # rule, sentence, listing, storages
    ("SL401", "a storage view of 2 elements at 5 leaves its storage of 6", whole(view=view("v", 5, 2)), ZEROS),
    ("SL404", "two views of storage '0' have one key and are not the same", whole(view=view("v", 0, 2)) + whole(view=view("v", 1, 2)) + "TUPLE2\n", ZEROS),
    ("SL404", "a view of int32 stands on a storage of float32", whole(view=view("v", 0, 2)) + whole("IntStorage", view("w", 0, 2)) + "TUPLE2\n", ZEROS),
    ("SL404", "storage '0' is named with 20 bytes on 'cpu' here, and with 24 on 'cpu' before", whole() + whole(numel=5) + "TUPLE2\n", ZEROS),
    ("SL404", "storage '0' is named with 24 bytes on 'cuda:0' here, and with 24 on 'cpu' before", whole() + whole(location="cuda:0") + "TUPLE2\n", ZEROS),
    ("SL403", "the file holds no storage '0'", whole(), {}),
    ("SL402", "storage '0' holds 23 bytes, and 6 elements of float32 are 24", whole(), {"0": bytes(23)}),
    (
        "SL405",
        "a storage view does not begin at an element of the tensor on it",
        tensor_v3("float64", 6, ints(1) + ints(1), kind="FloatStorage", view=view("v", 1, 2)),
        ZEROS,
    ),
    ("SL405", "a tensor has a negative size, stride or offset: (-1, 3), (3, 1), 0", tensor(ints(-1, 3)), ZEROS),
    ("SL405", "a tensor has 1 sizes and 2 strides", tensor(ints(6)), ZEROS),
    ("SL405", "a tensor has 65 dimensions, and numpy holds 64", tensor(ints(*[1] * 65), ints(*[1] * 65)), ZEROS),
    ("SL405", "a tensor of size (1,099,511,627,776, 1,099,511,627,776) is larger than any array", tensor(ints(1 << 40, 1 << 40), ints(0, 0)), ZEROS),
    ("SL401", "a tensor of size (2, 3), stride (4, 1) and offset 0 reaches element 6 of a storage of 6", tensor(ints(2, 3), ints(4, 1)), ZEROS),
    (
        "SL401",
        "a tensor of size (2), stride (9,223,372,036,854,775,807) and offset 0 reaches element 9,223,372,036,854,775,807 of a storage of 6",
        tensor(ints(2), ints((1 << 63) - 1)),
        ZEROS,
    ),
    (
        "SL401",
        "a tensor of size (2), stride (2**63 or more) and offset 0 reaches element 2**63 or more of a storage of 6",
        tensor(ints(2), ints(1 << 63)),
        ZEROS,
    ),
    (
        "SL401",
        "a tensor of size (1, 1, 1, 1, 1, 1, 1, 7), stride (1, 1, 1, 1, 1, 1, 1, 1) and offset 0 reaches element 6 of a storage of 6",
        tensor(ints(*[1] * 7, 7), ints(*[1] * 8)),
        ZEROS,
    ),
    (
        "SL401",
        "a tensor of size (1, 1, 1, 1, 1, 1, 1, 1, ...), stride (1, 1, 1, 1, 1, 1, 1, 1, ...) and offset 0 reaches element 6 of a storage of 6",
        tensor(ints(*[1] * 8, 7), ints(*[1] * 9)),
        ZEROS,
    ),
    ("SL406", "a tensor of bool is marked as negated, which it cannot be", flagged("BoolStorage", 6, paired(neg="NEWTRUE\n")), {"0": bytes(6)}),
    (
        "SL406",
        "a tensor of float8_e5m2 is marked as negated, which it cannot be",
        tensor_v3("float8_e5m2", 6, ints(6) + ints(1), flags=paired(neg="NEWTRUE\n")),
        {"0": bytes(6)},
    ),
    ("SL406", "a quantised tensor holds float32", quantized(PER_TENSOR + HALF + integer(0), "FloatStorage"), ZEROS),
    ("SL406", "the quantisation scheme 'per_channel_affine' takes an axis", quantized(PER_CHANNEL + HALF + integer(0)), {"0": bytes(6)}),
    (
        "SL405",
        "a tensor of 2 dimensions is quantised along axis 2 ('per_channel_affine')",
        quantized(PER_CHANNEL + listed(HALF, HALF) + listed(integer(0), integer(0)) + integer(2)),
        {"0": bytes(6)},
    ),
    (
        "SL405",
        "a tensor of 2 dimensions is quantised along axis 0 ('per_tensor_affine')",
        quantized(PER_TENSOR + listed(HALF, HALF) + listed(integer(0), integer(0)) + integer(0)),
        {"0": bytes(6)},
    ),
    (
        "SL406",
        "int64 is no dtype of scales or zero points",
        quantized(PER_CHANNEL + longs(1, 2) + listed(integer(0), integer(0)) + integer(0)),
        {"0": bytes(6), "1": bytes(16)},
    ),
    (
        "SL406",
        "bool is no dtype of scales or zero points",
        quantized(PER_CHANNEL + listed(HALF, HALF) + longs(1, 2, "BoolStorage") + integer(0)),
        {"0": bytes(6), "1": bytes(2)},
    ),
    (
        "SL405",
        "2 channels need as many scales and zero points",
        quantized(PER_CHANNEL + listed(HALF) + listed(integer(0), integer(0)) + integer(0)),
        {"0": bytes(6)},
    ),
    (
        "SL405",
        "2 channels need as many scales and zero points",
        quantized(PER_CHANNEL + listed(HALF, HALF) + longs(1, 3) + integer(0)),
        {"0": bytes(6), "1": bytes(24)},
    ),
    ("SL405", "the scale of a quantised tensor is no number that torch holds", quantized(PER_TENSOR + integer(1 << 63) + integer(0)), {"0": bytes(6)}),
    ("SL405", "the scale of a quantised tensor is no number that torch holds", quantized(PER_TENSOR + integer(-(1 << 63) - 1) + integer(0)), {"0": bytes(6)}),
    ("SL406", "the zero point of a quantised tensor is an int", quantized(PER_TENSOR + HALF + HALF), {"0": bytes(6)}),
    ("SL405", "a nested tensor is (buffer, sizes, strides, offsets): 1-D, 2-D, 2-D and 1-D of int64", nested((4,)), FOUR),
    ("SL405", "the buffer of a nested tensor is marked as negated or conjugated", nested(buffer=flagged("FloatStorage", 6, paired(neg="NEWTRUE\n"))), FOUR),
    ("SL405", "a part of a tensor is not a dense tensor", nested(buffer=quantized(PER_TENSOR + HALF + integer(0))), {**FOUR, "0": bytes(6)}),
    (
        "SL401",
        "a tensor of size (2, 3), stride (2, 1) and offset 2 reaches element 6 of a storage of 6",
        nested(),
        {**FOUR, "1": pack("<4q", 1, 2, 2, 3), "2": pack("<4q", 2, 1, 2, 1), "3": pack("<2q", 0, 2)},
    ),
    ("SL405", JAGGED, jagged(_ragged_idx=integer(2)), {**FOUR, "1": bytes(24)}),
    ("SL405", JAGGED, jagged(_ragged_idx=integer(0)), {**FOUR, "1": bytes(24)}),
    ("SL405", JAGGED, jagged(lengths=longs(2, 3)), {**FOUR, "1": bytes(24), "2": bytes(24)}),
    ("SL406", "the offsets and lengths of a jagged tensor are int64 or int32", jagged(longs(1, 3, "ByteStorage")), {**FOUR, "1": bytes(3)}),
    ("SL401", "a component of 2 rows at 5 leaves the 6 rows of a jagged tensor", jagged(), {**FOUR, "1": pack("<3q", 0, 5, 7)}),
    ("SL401", "a component of -2 rows at 5 leaves the 6 rows of a jagged tensor", jagged(), {**FOUR, "1": pack("<3q", 0, 5, 3)}),
    ("SL401", "a component of 6 rows at -1 leaves the 6 rows of a jagged tensor", jagged(), {**FOUR, "1": pack("<3q", -1, 5, 6)}),
    ("SL406", "a tensor of float32 stands for one of int64", device("_rebuild_device_tensor_from_cpu_tensor", SIX, "int64"), ZEROS),
    ("SL406", "an array of i4 stands for a tensor of another kind (float)", device("_rebuild_device_tensor_from_numpy", built(of=dtype("i4")), "float32"), {}),
    (
        "SL406",
        "an array of V4 stands for a tensor of another kind (float)",
        device("_rebuild_device_tensor_from_numpy", built(of=fields_of(4, a=(dtype("f4"), 0))), "float32"),
        {},
    ),
    (
        "SL401",
        f"a tensor of size (2), stride ({1 << 62:,}) and offset 0 reaches element {1 << 62:,} of a storage of {1 << 62:,}",
        call("torch._utils", "_rebuild_meta_tensor_no_storage", name("torch", "float32") + ints(2) + ints(1 << 62) + "NEWFALSE\n"),
        {},
    ),
    (
        "SL401",
        f"a tensor of size (2), stride ({1 << 62:,}) and offset 0 reaches element {1 << 62:,} of a storage of {1 << 62:,}",
        shell(ints(2), ints(1 << 62)),
        {},
    ),
    ("SL405", "a tensor has 2 sizes and 1 strides", shell(ints(1, 2), ints(1)), {}),
    ("SL405", "a size or stride is no tuple of ints", sparse("sparse_csr", indices(4) + indices(4) + size(5, 5) + "NEWTRUE\n"), TWO),
    ("SL405", "the parts do not make a tensor of layout sparse_csr", sparse("sparse_csr", indices(4) + indices(4) + size(5, 5)), TWO),
    ("SL405", "the parts do not make a tensor of layout sparse_csr", sparse("sparse_csr", indices(4) + indices(4) + ints(5, 5)), TWO),
    ("SL405", "the parts do not make a tensor of layout strided", sparse("strided", indices(1, 4) + floats() + ints(5)), TWO),
    ("SL406", "strided is no sparse layout", sparse("strided", indices(1, 4) + floats() + floats() + ints(5)), TWO),
    ("SL406", "the values of a torch.sparse.IntTensor are float32", call("torch.sparse", "IntTensor", indices(1, 4) + floats() + ints(5)), TWO),
    (
        "SL408",
        "an index of a COO tensor lies outside its size: 0 to 0 in a dimension of 0",
        call("torch.sparse", "FloatTensor", indices(1, 4) + floats() + ints(0)),
        TWO,
    ),
    (
        "SL408",
        "an index tensor is marked as negated or conjugated",
        sparse("sparse_coo", flagged("LongStorage", 4, paired(neg="NEWTRUE\n"), ints(1, 4) + ints(4, 1)) + floats() + ints(5)),
        TWO,
    ),
    (
        "SL405",
        "an index tensor of 5 elements stands on a storage of 32 bytes",
        sparse("sparse_coo", tensor(ints(1, 5), ints(0, 0), stored=storage("LongStorage", numel="BININT1 4")) + vector("FloatStorage", "'1'", 5) + ints(5)),
        {**TWO, "1": bytes(20)},
    ),
    ("SL406", "the indices of a COO tensor are a 2-D tensor of int64", sparse("sparse_coo", floats() + floats() + ints(5)), TWO),
    ("SL406", "the indices of a COO tensor are a 2-D tensor of int64", sparse("sparse_coo", indices(4) + floats() + ints(5)), TWO),
    ("SL405", "indices (1, 3) and values (4,) do not make a tensor of size (5,)", sparse("sparse_coo", indices(1, 3) + floats() + ints(5)), TWO),
    ("SL405", "the size of a sparse tensor is not valid", sparse("sparse_coo", indices(1, 4) + floats() + ints(-5)), TWO),
    ("SL405", "the size of a sparse tensor is not valid", sparse("sparse_coo", indices(1, 4) + floats() + ints(1 << 63)), TWO),
    (
        "SL408",
        "an index of a COO tensor lies outside its size: 1 to 4 in a dimension of 4",
        sparse("sparse_coo", indices(1, 4) + floats() + ints(4)),
        {**TWO, "0": pack("<4q", 1, 4, 3, 2)},
    ),
    (
        "SL408",
        "an index of a COO tensor lies outside its size: -1 to 3 in a dimension of 4",
        sparse("sparse_coo", indices(1, 4) + floats() + ints(4)),
        {**TWO, "0": pack("<4q", 1, -1, 3, 2)},
    ),
    (
        "SL406",
        "the indices of a compressed sparse tensor are int32 or int64, both alike",
        csr(plain=longs(2, 3, "IntStorage")),
        {**packed((0, 1, 2, 3)), "2": bytes(12)},
    ),
    (
        "SL405",
        "the parts of a compressed sparse tensor do not have its dimensions",
        csr(plain=tensor(ints(2, 2), ints(2, 1), stored=storage("LongStorage", "'2'", numel="BININT1 4"))),
        packed((0, 1, 2, 3), (0, 0, 0, 0)),
    ),
    ("SL405", "the parts of a compressed sparse tensor do not have its dimensions", csr(shape=ints(3)), packed((0, 1, 2, 3))),
    ("SL405", "the parts of a compressed sparse tensor do not have its dimensions", csr(of="sparse_bsr"), packed((0, 1, 2, 3))),
    ("SL405", "the blocks of a compressed sparse tensor do not fill its size", csr(shape=ints(3, 2, 1)), packed((0, 1, 2, 3))),
    ("SL405", "the parts of a compressed sparse tensor do not agree in length", csr(shape=ints(4, 2)), packed((0, 1, 2, 3))),
    ("SL405", "the parts of a compressed sparse tensor do not agree in length", csr(plain=longs(2, 2)), packed((0, 1, 2, 3), (0, 0))),
    ("SL408", "the compressed indices of a sparse tensor do not run from 0 to the number of its values in order", csr(), packed((1, 1, 2, 3))),
    ("SL408", "the compressed indices of a sparse tensor do not run from 0 to the number of its values in order", csr(), packed((0, 1, 2, 2))),
    ("SL408", "the compressed indices of a sparse tensor do not run from 0 to the number of its values in order", csr(), packed((0, 2, 1, 3))),
    ("SL408", "the compressed indices of a sparse tensor do not run from 0 to the number of its values in order", csr(), packed((0, 3, 3, 3))),
    ("SL408", "a plain index of a sparse tensor lies outside its 2 columns", csr(), packed((0, 1, 2, 3), (0, 1, 2))),
    ("SL408", "a plain index of a sparse tensor lies outside its 2 columns", csr(), packed((0, 1, 2, 3), (0, 1, -1))),
    ("SL408", "the plain indices of a sparse tensor are not distinct and in order", csr(), packed((0, 2, 2, 3), (1, 0, 1))),
    ("SL408", "the plain indices of a sparse tensor are not distinct and in order", csr(), packed((0, 2, 2, 3), (1, 1, 1))),
    ("SL407", "'f3' is no numpy dtype", dtype("f3"), {}),
    ("SL407", "'S1.5' is no numpy dtype", dtype("S1.5"), {}),
    ("SL407", "an item of 2,147,483,648 bytes", dtype("V2147483648"), {}),
    ("SL407", "an item of 2,147,483,648 bytes", dtype("U536870912"), {}),
    ("SL407", "a dtype class without a size of its own is called", call("numpy.dtypes", "StrDType"), {}),
    ("SL407", "a dtype is given another state after it was used", dtype("M8", dtype_state() + dtype_state()), {}),
    (
        "SL407",
        "the unit of a datetime dtype is not valid",
        dtype("M8", dtype_state(extra=paired() + f"MARK\n{raw(b'zz')}BININT1 1\nBININT1 1\nBININT1 1\nTUPLE\nTUPLE2\n")),
        {},
    ),
    ("SL407", "an item of f4 has 4 bytes, not 8", dtype("f4", dtype_state(itemsize=8)), {}),
    ("SL407", "an item of 3 bytes", dtype("U1", dtype_state(itemsize=3)), {}),
    ("SL407", "an item of 2,147,483,648 bytes", dtype("V4", dtype_state("|", itemsize=1 << 31)), {}),
    (
        "SL407",
        "only a void dtype has fields or a subdtype, with an item size of its own",
        dtype("f4", dtype_state("|", names=f"{text('a')}TUPLE1\n", fields=paired(a=f"{dtype('f4')}{integer(0)}TUPLE2\n"), itemsize=4)),
        {},
    ),
    ("SL407", "the field 'a' lies outside its item", fields_of(4, a=(dtype("f4"), 1)), {}),
    ("SL407", "the field 'a' lies outside its item", fields_of(4, a=(dtype("f4"), -1)), {}),
    ("SL407", "a subdtype does not fill its item", sub_of(dtype("f4"), ints(2), 12), {}),
    ("SL407", "a subdtype does not fill its item", sub_of(dtype("f4"), ints(-1), 4), {}),
    ("SL407", "a subdtype has more than 32 dimensions", sub_of(dtype("f4"), ints(*[1] * 33), 4), {}),
    ("SL407", "an array of 8 bytes is given 7", built(data=raw(bytes(7))), {}),
    ("SL407", "the data of an array is text outside latin-1; Python 2 files want encoding='latin1'", built(data=text("\u0100" * 8)), {}),
    ("SL407", "the dtype of an array is not valid", built(of=name("numpy.dtypes", "Float32DType")), {}),
    ("SL407", "the shape has 1 dimensions, or a negative one", built(ints(-2)), {}),
    ("SL407", "the shape has 65 dimensions, or a negative one", built(ints(2, *[1] * 64)), {}),
    ("SL407", "the shape is larger than any array", built(ints(0, 1 << 62), raw(b"")), {}),
    ("SL407", "the shape is larger than any array", built(ints(1 << 21), raw(b""), dtype("V0")), {}),
    ("SL407", "the dtype of an array is itself an array; numpy folds it into the shape and never writes one", built(of=sub_of(dtype("f4"), ints(2), 8)), {}),
    (
        "SL407",
        "an array is given another state after it had one",
        built() + f"MARK\nBININT1 1\n{ints(1)}{dtype('f4')}NEWFALSE\n{raw(bytes(4))}TUPLE\nBUILD\n",
        {},
    ),
    ("SL407", "the order of an array is C or F", call("numpy._core.numeric", "_frombuffer", raw(bytes(8)) + dtype("f4") + ints(2) + text("K")), {}),
    (
        "SL409",
        "a numpy array of Python objects; safeload loads numbers and text only (numpy calls this allow_pickle)",
        call("numpy._core.numeric", "_frombuffer", raw(bytes(8)) + dtype("O") + ints(1) + text("C")),
        {},
    ),
    (
        "SL407",
        "an array is made with the shape (0,), before its state says more",
        call("numpy._core.multiarray", "_reconstruct", name("numpy", "ndarray") + ints(1) + raw(b"b")),
        {},
    ),
    ("SL409", "a numpy array of Python objects; safeload loads numbers and text only (numpy calls this allow_pickle)", built(of=dtype("O")), {}),
    ("SL407", "an array of 4 bytes is given 5", scalar(dtype("f4"), raw(bytes(5))), {}),
    ("SL407", "the data of an array is text outside latin-1; Python 2 files want encoding='latin1'", scalar(dtype("f4"), text("\u0100" * 4)), {}),
    ("SL409", "a numpy array of Python objects; safeload loads numbers and text only (numpy calls this allow_pickle)", scalar(dtype("O"), raw(bytes(8))), {}),
]


@pytest.mark.parametrize(("rule", "sentence", "listing", "storages"), SAID, ids=[row[1][:60] for row in SAID])
def test_a_refusal_says_what_was_found_and_where(rule: str, sentence: str, listing: str, storages: dict[str, bytes]) -> None:
    """The first finding is about the last call, state or persistent id of the listing that the rule speaks of."""
    finding = safeload.scan(archive(listing, storages)).findings[0]
    places = [place for opcode, _, place in pickletools.genops(stream(listing)) if opcode.name in ("REDUCE", "BUILD", "BINPERSID")]
    assert (finding.rule, finding.message, finding.member, finding.offset) == (rule, sentence, "a/data.pkl", places[-1])


def test_what_stands_on_a_refused_storage_is_said_too() -> None:
    first, second = safeload.scan(archive(SIX, {})).findings
    places = {opcode.name: place for opcode, _, place in pickletools.genops(stream(SIX))}
    assert (first.rule, first.message, first.offset) == ("SL403", "the file holds no storage '0'", places["BINPERSID"])
    assert (second.rule, second.message, second.offset) == ("SL403", "a tensor stands on storage '0', which is not valid", places["REDUCE"])


def test_what_stands_on_a_refused_array_is_said_too() -> None:
    wrong = array(dtype("f3"), ints(2), raw(bytes(8)))
    said = [(finding.rule, finding.message) for finding in safeload.scan(archive(device("_rebuild_device_tensor_from_numpy", wrong, "float32"))).findings]
    assert said[:2] == [("SL407", "'f3' is no numpy dtype"), ("SL407", "the dtype of an array is not valid")]
    late = [(finding.rule, finding.message) for finding in safeload.scan(archive(dtype("f3", dtype_state()))).findings]
    assert late == [("SL407", "'f3' is no numpy dtype"), ("SL407", "the dtype is not valid")]
