"""Tensors that reach outside, lie about their storages, or are far larger than their file: proved with Python ints before any view exists."""

from __future__ import annotations

import pytest

from safeload.limits import DEFAULT_LIMITS

from . import watched
from .hostile import HOOKS, Refusal, archive, ints, storage, tensor, vector

GEOMETRY = {
    "beyond-the-end": (tensor(ints(7), ints(1)), "SL401"),
    "offset": (tensor(offset="BININT1 1\n"), "SL401"),
    "offset-huge": (tensor(offset="LONG4 9223372036854775807\n"), "SL401"),
    "offset-wraps": (tensor(offset="LONG4 18446744073709551615\n"), "SL401"),
    "offset-negative": (tensor(offset="BININT -1\n"), "SL405"),
    "stride": (tensor(stride=ints(4, 1)), "SL401"),
    "stride-huge": (tensor(stride=ints(1 << 62, 1)), "SL401"),
    "stride-wraps": (tensor(stride=ints(1 << 64, 1)), "SL401"),
    "stride-negative": (tensor(stride=ints(-3, 1)), "SL405"),
    "size-negative": (tensor(ints(-2, 3)), "SL405"),
    "sizes-negative": (tensor(ints(-2, -3)), "SL405"),
    "size-huge": (tensor(ints(1 << 40, 1 << 40), ints(0, 0)), "SL405"),
    "product-wraps": (tensor(ints(1 << 32, 1 << 32), ints(0, 0)), "SL405"),
    "zero-hides-a-product": (tensor(ints(0, 1 << 62, 1 << 62), ints(1, 1, 1)), "SL405"),
    "dims": (tensor(ints(*[1] * 65), ints(*[1] * 65)), "SL405"),
    "ranks": (tensor(ints(2, 3), ints(1)), "SL405"),
    "bool-size": (tensor("MARK\nNEWTRUE\nTUPLE\n", ints(1)), "SL304"),
    "float-size": (tensor("MARK\nBINFLOAT 2.0\nTUPLE\n", ints(1)), "SL304"),
    "text-size": (tensor("BINUNICODE '23'\n"), "SL304"),
    "bool-offset": (tensor(offset="NEWFALSE\n"), "SL304"),
    "size-of-dict": (tensor("EMPTY_DICT\n"), "SL304"),
    "no-storage": (tensor(stored="NONE\n"), "SL304"),
    "tensor-as-storage": (tensor(stored=tensor()), "SL304"),
    "name-as-storage": (tensor(stored="GLOBAL torch FloatStorage\n"), "SL304"),
}


@pytest.mark.parametrize("name", GEOMETRY)
def test_a_view_lies_inside_its_storage(refused: Refusal, name: str) -> None:
    listing, rule = GEOMETRY[name]
    refused(archive(listing), "rejected", rule)


STORAGES = {
    "numel-more": (storage(numel="BININT1 7"), "SL402"),
    "numel-less": (storage(numel="BININT1 5"), "SL402"),
    "numel-wraps": (storage(numel="LONG4 4611686018427387910"), "SL402"),  # times four bytes, modulo 2^64, is 24
    "numel-negative": (storage(numel="BININT -6"), "SL306"),
    "numel-bool": (storage(numel="NEWTRUE"), "SL306"),
    "numel-float": (storage(numel="BINFLOAT 6.0"), "SL306"),
    "numel-text": (storage(numel="BINUNICODE '6'"), "SL306"),
    "wider-type": (storage("DoubleStorage"), "SL402"),
    "narrower-type": (storage("HalfStorage"), "SL402"),
    "missing": (storage(key="'1'"), "SL403"),
    "traversal": (storage(key="'../data.pkl'"), "SL403"),
    "absolute": (storage(key="'/etc/passwd'"), "SL403"),
    "pickle-as-storage": (storage(key="'../data.pkl\\x00'"), "SL403"),
    "padded-key": (storage(key="'00'"), "SL403"),
    "space-key": (storage(key="' 0'"), "SL403"),
    "empty-key": (storage(key="''"), "SL403"),
    "conflicting-sizes": ("EMPTY_LIST\nMARK\n" + storage() + storage(numel="BININT1 5") + "APPENDS\n", "SL404"),
    "conflicting-locations": ("EMPTY_LIST\nMARK\n" + storage() + storage(location="'cuda:0'") + "APPENDS\n", "SL404"),
    "type-is-text": ("MARK\nBINUNICODE 'storage'\nBINUNICODE 'FloatStorage'\nBINUNICODE '0'\nBINUNICODE 'cpu'\nBININT1 6\nTUPLE\nBINPERSID\n", "SL306"),
    "type-is-computed": ("MARK\nBINUNICODE 'storage'\n" + HOOKS + "BINUNICODE '0'\nBINUNICODE 'cpu'\nBININT1 6\nTUPLE\nBINPERSID\n", "SL306"),
    "type-is-no-storage": ("MARK\nBINUNICODE 'storage'\nGLOBAL torch float32\nBINUNICODE '0'\nBINUNICODE 'cpu'\nBININT1 6\nTUPLE\nBINPERSID\n", "SL306"),
    "type-is-a-payload": ("MARK\nBINUNICODE 'storage'\nGLOBAL posix mkdir\nBINUNICODE '0'\nBINUNICODE 'cpu'\nBININT1 6\nTUPLE\nBINPERSID\n", "SL301"),
    "too-few-parts": ("BINUNICODE 'storage'\nGLOBAL torch FloatStorage\nBINUNICODE '0'\nTUPLE3\nBINPERSID\n", "SL306"),
    "too-many-parts": (
        "MARK\nBINUNICODE 'storage'\nGLOBAL torch FloatStorage\nBINUNICODE '0'\nBINUNICODE 'cpu'\nBININT1 6\nNONE\nNONE\nTUPLE\nBINPERSID\n",
        "SL306",
    ),
    "text-of-a-payload": ("PERSID \"('storage', <class 'posix.mkdir'>, '0', 'cpu', 6)\"\n", "SL306"),
    "text-with-more-behind": ("PERSID \"('storage', <class 'torch.FloatStorage'>, '0', 'cpu', 6), posix.mkdir\"\n", "SL306"),
    "text-of-no-storage-type": ("PERSID \"('storage', <class 'torch.evil.FloatStorage'>, '0', 'cpu', 6)\"\n", "SL301"),
    "a-list": ("EMPTY_LIST\nBINPERSID\n", "SL306"),
    "an-int": ("BININT1 1\nBINPERSID\n", "SL306"),
    "none": ("NONE\nBINPERSID\n", "SL306"),
    "another-word": ("MARK\nBINUNICODE 'Storage'\nGLOBAL torch FloatStorage\nBINUNICODE '0'\nBINUNICODE 'cpu'\nBININT1 6\nTUPLE\nBINPERSID\n", "SL306"),
    "a-line": ("PERSID 0\n", "SL306"),
    "key-is-bytes": ("MARK\nBINUNICODE 'storage'\nGLOBAL torch FloatStorage\nEMPTY_LIST\nBINUNICODE 'cpu'\nBININT1 6\nTUPLE\nBINPERSID\n", "SL306"),
    "view-of-text": (
        "MARK\nBINUNICODE 'storage'\nGLOBAL torch FloatStorage\nBINUNICODE '0'\nBINUNICODE 'cpu'\nBININT1 6\nBINUNICODE 'view'\nTUPLE\nBINPERSID\n",
        "SL306",
    ),
    "module-with-payload": ("MARK\nBINUNICODE 'module'\nGLOBAL posix mkdir\nBINUNICODE 'x.py'\nBINUNICODE 'import antigravity'\nTUPLE\nBINPERSID\n", "SL301"),
}


@pytest.mark.parametrize("name", STORAGES)
def test_a_storage_is_what_its_id_says(refused: Refusal, name: str) -> None:
    listing, rule = STORAGES[name]
    refused(archive(listing), "rejected", rule)


def test_the_same_faults_among_good_tensors(refused: Refusal) -> None:
    for listing, rule in GEOMETRY.values():
        refused(archive("EMPTY_LIST\nMARK\n" + tensor() + listing + "POP\n" + tensor() + "APPENDS\n"), "rejected", rule)


def test_a_stride_of_zero_expands_within_the_budget_only(refused: Refusal) -> None:
    """2^21 by 2^21 over one element (burn #5506): 16 TiB when written out."""
    bomb = tensor(ints(1 << 21, 1 << 21), ints(0, 0), stored=storage(numel="BININT1 1"))
    refused(archive(bomb, {"0": bytes(4)}), "inconclusive", "SL901")
    small = DEFAULT_LIMITS.replaced({"tensor_bytes": 1_000})
    refused(archive(tensor(ints(1_000), ints(0))), "inconclusive", "SL901", limits=small)


def test_many_views_of_one_element_are_summed(refused: Refusal) -> None:
    limits = DEFAULT_LIMITS.replaced({"total_tensor_bytes": 10_000})
    listing = "EMPTY_LIST\nMARK\n" + tensor(ints(100), ints(0)) * 50 + "APPENDS\n"
    report = refused(archive(listing), "inconclusive", "SL901", limits=limits)
    assert report.tensor_bytes <= 10_000 + 400


def test_tensors_are_counted(refused: Refusal) -> None:
    limits = DEFAULT_LIMITS.replaced({"tensors": 10})
    refused(archive("EMPTY_LIST\nMARK\n" + tensor() * 20 + "APPENDS\n"), "inconclusive", "SL901", limits=limits)


def quantized(quantizer: str, kind: str = "QInt8Storage", shape: str = ints(2, 3), stride: str = ints(3, 1)) -> str:
    """A quantised tensor of six bytes."""
    stored = storage(kind, numel="BININT1 6")
    return f"GLOBAL torch._utils _rebuild_qtensor\nMARK\n{stored}BININT1 0\n{shape}{stride}MARK\n{quantizer}TUPLE\nNEWFALSE\n{HOOKS}TUPLE\nREDUCE\n"


SCALES, POINTS = vector("DoubleStorage", "'1'", 2), vector("LongStorage", "'2'", 2)
QUANTIZED_STORAGES = {"0": bytes(6), "1": bytes(16), "2": bytes(16)}
PER_CHANNEL = "GLOBAL torch per_channel_affine\n"
QUANTIZERS = {
    "axis-too-high": (PER_CHANNEL + SCALES + POINTS + "BININT1 2\n", "SL405"),
    "axis-negative": (PER_CHANNEL + SCALES + POINTS + "BININT -1\n", "SL405"),
    "axis-huge": (PER_CHANNEL + SCALES + POINTS + "LONG4 4294967296\n", "SL405"),
    "axis-bool": (PER_CHANNEL + SCALES + POINTS + "NEWFALSE\n", "SL304"),
    "scales-short": (PER_CHANNEL + SCALES + POINTS + "BININT1 1\n", "SL405"),
    "scales-text": (PER_CHANNEL + "EMPTY_LIST\nBINUNICODE 'x'\nAPPEND\nEMPTY_LIST\nBININT1 0\nAPPEND\nBININT1 0\n", "SL405"),
    "scales-missing": (PER_CHANNEL + "BININT1 0\n", "SL304"),
    "scheme-without-axis": ("GLOBAL torch per_tensor_affine\n" + SCALES + POINTS + "BININT1 0\n", "SL405"),
    "scheme-with-scale": (PER_CHANNEL + "BINFLOAT 1.0\nBININT1 0\n", "SL406"),
    "scheme-a-dtype": ("GLOBAL torch float32\nBINFLOAT 1.0\nBININT1 0\n", "SL304"),
    "scheme-a-payload": ("GLOBAL posix mkdir\nBINFLOAT 1.0\nBININT1 0\n", "SL301"),
    "scale-text": ("GLOBAL torch per_tensor_affine\nBINUNICODE '1'\nBININT1 0\n", "SL304"),
    "scale-huge": ("GLOBAL torch per_tensor_affine\nLONG1 " + str(10**400) + "\nBININT1 0\n", "SL"),
}


@pytest.mark.parametrize("name", QUANTIZERS)
def test_a_quantizer_fits_its_values(refused: Refusal, name: str) -> None:
    quantizer, rule = QUANTIZERS[name]
    report = refused(archive(quantized(quantizer), QUANTIZED_STORAGES), "rejected")
    assert any(finding.rule.startswith(rule) for finding in report.errors), report.errors


def test_quantised_values_are_bounded_as_others_are(refused: Refusal) -> None:
    """torch #184652: the quantised path took sizes that the storage did not hold, and dequantize() read past it."""
    good = "GLOBAL torch per_tensor_affine\nBINFLOAT 0.5\nBININT1 3\n"
    refused(archive(quantized(good, shape=ints(2, 4)), {"0": bytes(6)}), "rejected", "SL401")
    refused(archive(quantized(good, "CharStorage"), {"0": bytes(6)}), "rejected", "SL406")
    assert watched.scan(archive(quantized(good), {"0": bytes(6)})).verdict == "accepted"


def words(*numbers: int) -> bytes:
    """Numbers as int64."""
    return b"".join(number.to_bytes(8, "little", signed=True) for number in numbers)


def sparse(layout: str, parts: str) -> str:
    """A sparse tensor of torch's grammar."""
    named = f"GLOBAL torch.serialization _get_layout\nBINUNICODE 'torch.{layout}'\nTUPLE1\nREDUCE\n"
    return f"GLOBAL torch._utils _rebuild_sparse_tensor\n{named}MARK\n{parts}TUPLE\nTUPLE2\nREDUCE\n"


def coo(indices: bytes, size: tuple[int, ...] = (3, 3), values: int = 2, numel: int = 4) -> bytes:
    """Two elements of a 3 by 3 tensor, at the given indices."""
    index = tensor(ints(2, values), ints(values, 1), stored=storage("LongStorage", "'1'", numel=f"BININT1 {numel}"))
    return archive(sparse("sparse_coo", index + vector("FloatStorage", "'0'", values) + ints(*size) + "NEWTRUE\n"), {"0": bytes(4 * values), "1": indices})


@pytest.mark.parametrize("indices", [(0, 3, 0, 0), (0, -1, 0, 0), (0, 0, 0, 1 << 40), (-(1 << 63), 0, 0, 0), (0, 0, 0, -1)])
def test_coo_indices_lie_inside_the_size(refused: Refusal, indices: tuple[int, ...]) -> None:
    refused(coo(words(*indices)), "rejected", "SL408")


def test_coo_shapes_agree(refused: Refusal) -> None:
    assert watched.scan(coo(words(0, 1, 2, 0))).verdict == "accepted"
    refused(coo(words(0, 1, 2, 0), (3,)), "rejected", "SL405")
    refused(coo(words(0, 1, 2, 0), (3, 3, 3)), "rejected", "SL405")
    refused(coo(words(0, 1, 2, 0), (-3, 3)), "rejected", "SL405")
    refused(coo(words(0, 1, 2, 0), (1 << 40, 1 << 40)), "inconclusive", "SL901")


def csr(rows: tuple[int, ...], columns: tuple[int, ...], size: tuple[int, ...] = (2, 3), layout: str = "sparse_csr") -> bytes:
    """A compressed tensor with these indices."""
    parts = vector("LongStorage", "'1'", len(rows)) + vector("LongStorage", "'2'", len(columns)) + vector("FloatStorage", "'0'", len(columns)) + ints(*size)
    return archive(sparse(layout, parts), {"0": bytes(4 * len(columns)), "1": words(*rows), "2": words(*columns)})


CSR = {
    "column-beyond": ((0, 1, 2), (0, 3)),
    "column-negative": ((0, 1, 2), (0, -1)),
    "rows-fall": ((0, 2, 1), (0, 1)),
    "rows-do-not-start": ((1, 1, 2), (0, 1)),
    "rows-end-late": ((0, 1, 9), (0, 1)),
    "rows-negative": ((0, -1, 2), (0, 1)),
    "columns-repeat": ((0, 2, 2), (1, 1)),
    "columns-unordered": ((0, 2, 2), (1, 0)),
}


@pytest.mark.parametrize("name", CSR)
def test_compressed_indices_are_in_order_and_inside(refused: Refusal, name: str) -> None:
    refused(csr(*CSR[name]), "rejected", "SL408")


def test_compressed_shapes_agree(refused: Refusal) -> None:
    assert watched.scan(csr((0, 1, 2), (0, 2))).verdict == "accepted"
    refused(csr((0, 1, 2), (0, 2), (3, 3)), "rejected", "SL405")
    refused(csr((0, 1, 2), (0, 2), (2,)), "rejected", "SL405")
    refused(csr((0, 1, 2), (0, 2), layout="sparse_bsr"), "rejected", "SL405")
    refused(csr((0, 1, 2), (0, 2), layout="strided"), "rejected", "SL406")


META = "GLOBAL torch._utils _rebuild_meta_tensor_no_storage\nMARK\nGLOBAL torch float32\n{size}{stride}NEWFALSE\nTUPLE\nREDUCE\n"


def test_meta_tensors_are_bounded_too(refused: Refusal) -> None:
    refused(archive(META.format(size=ints(1 << 40, 1 << 40), stride=ints(0, 0)), {}), "rejected", "SL405")
    refused(archive(META.format(size=ints(-1), stride=ints(1)), {}), "rejected", "SL405")
    refused(archive(META.format(size=ints(2, 2), stride=ints(1)), {}), "rejected", "SL405")


V3 = "GLOBAL torch._utils _rebuild_tensor_v3\nMARK\n{stored}BININT1 0\n{size}{stride}NEWFALSE\n{hooks}{dtype}TUPLE\nREDUCE\n"
DTYPES = {
    "wider": ("GLOBAL torch float64\n", "SL401"),
    "no-dtype": ("GLOBAL torch strided\n", "SL"),
    "unknown": ("GLOBAL torch float7\n", "SL301"),
    "text": ("BINUNICODE 'torch.float32'\n", "SL304"),
    "payload": ("GLOBAL posix mkdir\n", "SL301"),
    "storage-type": ("GLOBAL torch FloatStorage\n", "SL304"),
}


@pytest.mark.parametrize("name", DTYPES)
def test_a_dtype_is_one(refused: Refusal, name: str) -> None:
    dtype, rule = DTYPES[name]
    stored = storage("UntypedStorage", numel="BININT1 24")
    report = refused(archive(V3.format(stored=stored, size=ints(6), stride=ints(1), hooks=HOOKS, dtype=dtype)), "rejected")
    assert any(finding.rule.startswith(rule) for finding in report.errors), report.errors
