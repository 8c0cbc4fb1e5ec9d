"""Sparse tensors: the verdict is torch's own (`check_sparse_tensor_invariants`), on random tensors, whole and broken."""

from __future__ import annotations

import random
import struct
from typing import Any

import numpy as np
import pytest
from hostile.hostile import archive, ints, storage, tensor, vector
from policy.listings import TWO, Refused, big_endian, flagged, floats, indices, outcome, paired, refused, size, sparse, tensor_v3

import safeload
from safeload.storage.dtypes import DTYPES
from safeload.storage.records import StorageRecord, TensorRecord
from safeload.storage.sparse import values

NONE = "NONE\n"
BLOCKED = ("sparse_bsr", "sparse_bsc")


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides in C order."""
    strides = [1] * len(shape)
    for at in range(len(shape) - 2, -1, -1):
        strides[at] = strides[at + 1] * max(shape[at + 1], 1)
    return tuple(strides)


def part(key: int, values: Any, kind: str) -> tuple[str, bytes]:
    """A tensor on a storage of its own."""
    stored = storage(kind, f"'{key}'", numel=f"BININT {values.size}")
    return tensor(ints(*values.shape), ints(*contiguous(values.shape)), stored=stored), values.tobytes()


def saved(layout: str, parts: list[Any], shape: tuple[int, ...]) -> bytes:
    """The archive of one sparse tensor."""
    made = [part(key, values, {"i8": "LongStorage", "i4": "IntStorage", "f4": "FloatStorage"}[values.dtype.str[1:]]) for key, values in enumerate(parts)]
    listing = sparse(layout, "".join(text for text, _ in made) + ints(*shape) + (NONE if layout == "sparse_coo" else ""))
    return archive(listing, {str(key): content for key, (_, content) in enumerate(made)})


def compressed(rng: random.Random, layout: str) -> tuple[list[Any], tuple[int, ...]]:
    """A valid CSR, CSC, BSR or BSC tensor, perhaps batched and with dense dimensions."""
    lines, width, batch = rng.randint(0, 4), rng.randint(0, 4), [(), (2,)][rng.randrange(2)]
    block = (rng.randint(1, 2), rng.randint(1, 3)) if layout in BLOCKED else (1, 1)
    dense = [(), (2,)][rng.randrange(2)]
    total = rng.randint(0, lines * width)
    pointers, plain = [], []
    for _ in range(int(np.prod(batch, dtype=int))):
        cells = sorted(rng.sample(range(lines * width), total))
        counts = [sum(cell // width == line for cell in cells) if width else 0 for line in range(lines)]
        pointers.append([sum(counts[:line]) for line in range(lines + 1)])
        plain.append([cell % width for cell in cells])
    by_rows = layout in ("sparse_csr", "sparse_bsr")
    rows, columns = (lines, width) if by_rows else (width, lines)
    kind = rng.choice([np.int64, np.int32])
    values = np.zeros((*batch, total, *(block if layout in BLOCKED else ()), *dense), np.float32)
    found = [np.array(pointers, kind).reshape(*batch, lines + 1), np.array(plain, kind).reshape(*batch, total), values]
    return found, (*batch, rows * block[0], columns * block[1], *dense)


def coo(rng: random.Random) -> tuple[list[Any], tuple[int, ...]]:
    """A valid COO tensor."""
    shape = tuple(rng.randint(1, 4) for _ in range(rng.randint(0, 3)))
    count, dense = rng.randint(0, 4), [(), (2,)][rng.randrange(2)]
    found = np.array([[rng.randrange(length) for _ in range(count)] for length in shape], np.int64).reshape(len(shape), count)
    return [found, np.zeros((count, *dense), np.float32)], (*shape, *dense)


def broken(rng: random.Random, parts: list[Any], shape: tuple[int, ...]) -> tuple[list[Any], tuple[int, ...]]:
    """One number, length or dimension changed, which may or may not matter."""
    parts = [values.copy() for values in parts]
    what = rng.randrange(5)
    target = rng.randrange(len(parts) - 1)
    if what <= 1 and parts[target].size:
        flat = parts[target].reshape(-1)
        flat[rng.randrange(flat.size)] += rng.choice([-2, -1, 1, 2, 1 << 30])
    elif what == 2 and parts[target].size > 1:
        flat = parts[target].reshape(-1)
        rng.shuffle(flat)
    elif what == 3 and shape:
        at = rng.randrange(len(shape))
        shape = (*shape[:at], max(shape[at] + rng.choice([-1, 1]), 0), *shape[at + 1 :])
    elif what == 4:
        at = rng.randrange(len(parts))
        if parts[at].ndim and parts[at].shape[-1]:
            parts[at] = np.ascontiguousarray(parts[at][..., :-1])
    return parts, shape


@pytest.mark.filterwarnings("ignore:Sparse C:UserWarning")
@pytest.mark.filterwarnings("ignore:Sparse B:UserWarning")
@pytest.mark.parametrize("layout", ["sparse_coo", "sparse_csr", "sparse_csc", *BLOCKED])
def test_the_verdict_is_that_of_torch(layout: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    rng = random.Random(f"seed of {layout}")
    seen = set()
    for _ in range(150):
        parts, shape = coo(rng) if layout == "sparse_coo" else compressed(rng, layout)
        bent = rng.random() < 0.6
        if bent:
            parts, shape = broken(rng, parts, shape)
        made = [torch.from_numpy(values) for values in parts]
        try:
            if layout == "sparse_coo":
                torch.sparse_coo_tensor(*made, shape, check_invariants=True)
            else:
                torch.sparse_compressed_tensor(*made, shape, layout=getattr(torch, layout), check_invariants=True)
            wanted = True
        except (RuntimeError, ValueError, IndexError):
            wanted = False
        found = not isinstance(outcome(saved(layout, parts, shape)), Refused)
        seen.add(wanted)
        if found != wanted:  # torch looks away where there are no values, and from the lengths of dense dimensions; we hold to the rules there too
            assert wanted, f"torch refuses {layout} {parts} {shape}"
            assert not parts[-1].size or parts[-1].shape[-1] != shape[-1], f"torch accepts {layout} {parts} {shape}"
            assert bent
    assert seen == {True, False}


@pytest.mark.parametrize(
    "listing",
    [
        sparse("sparse_coo", indices(1, 4) + floats() + floats() + ints(5)),
        sparse("sparse_csr", indices(4) + indices(4) + size(5, 5) + "NEWTRUE\n"),
        sparse("sparse_csr", indices(4) + indices(4) + size(5, 5) + NONE),
        sparse("sparse_csr", indices(4) + indices(4) + ints(5, 5)),
        sparse(
            "sparse_coo",
            indices(3, 0) + tensor(ints(0), ints(1), stored=storage("FloatStorage", "'1'", numel="BININT1 4")) + ints(2**8_000, 2**8_000, 2**8_000),
        ),
        sparse("strided", indices(1, 4) + floats() + ints(5)),
        sparse("jagged", indices(1, 4) + floats() + ints(5)),
        sparse("sparse_coo", floats() + floats() + ints(5)),
        sparse("sparse_coo", indices(4) + floats() + ints(5)),
        sparse("sparse_coo", indices(1, 3) + floats() + ints(5)),
        sparse("sparse_coo", indices(1, 4) + floats() + ints(-5)),
        sparse("sparse_coo", indices(1, 4) + floats() + ints(0)),
        sparse("sparse_coo", indices(1, 4) + floats() + ints(1 << 50)),
        sparse("sparse_coo", indices(1, 4) + floats() + "NEWTRUE\nTUPLE1\n"),
        sparse("sparse_coo", indices(1, 4) + floats() + ints(5) + "BININT1 1\n"),
        sparse("sparse_coo", ints(0) + floats() + ints(5)),
        sparse("sparse_csr", indices(4) + indices(4) + floats()),
        sparse("sparse_coo", ""),
    ],
)
def test_parts_of_the_wrong_kind_are_refused(listing: str) -> None:
    refused(archive(listing, TWO))


@pytest.mark.parametrize("flag", ["neg", "conj"])
def test_lazy_flags_on_indices_do_not_get_past_the_proof(flag: str) -> None:
    """A negated index tensor was proved with its stored numbers, and negative ones were returned."""
    content = {"0": struct.pack("<4q", 1, 1, 1, 1), "1": bytes(16)}
    turned = flagged("LongStorage", 4, paired(**{flag: "NEWTRUE\n"}), ints(1, 4) + ints(4, 1))
    found = outcome(archive(sparse("sparse_coo", turned + floats() + ints(5)), content))
    assert isinstance(found, Refused) or int(found.indices.min()) >= 0


def test_indices_of_a_big_endian_file_on_an_odd_storage() -> None:
    listing = sparse(
        "sparse_coo",
        tensor_v3("int64", 17, ints(1, 2) + ints(1, 1)) + tensor(ints(2), ints(1), stored=storage("FloatStorage", "'1'", numel="BININT1 4")) + ints(5),
    )
    found = outcome(big_endian(listing, {"0": struct.pack(">2q", 1, 4) + b"\0", "1": bytes(16)}))
    assert isinstance(found, Refused) or found.indices.tolist() == [[1, 4]]
    refused(big_endian(listing, {"0": struct.pack("<2q", 1, 4) + b"\0", "1": bytes(16)}), "SL408")


@pytest.mark.parametrize("byteorder", ["little", "big"])
@pytest.mark.parametrize("of", ["int64", "int32"])
@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((), (), 3),
        ((4,), (1,), 2),
        ((4,), (3,), 1),
        ((4,), (0,), 5),
        ((2, 3), (5, 2), 1),
        ((3, 2), (1, 6), 0),
        ((2, 3), (4, 1), 4),
        ((2, 2, 2), (8, 3, 1), 2),
        ((2, 0), (1, 1), 0),
    ],
)
def test_the_numbers_that_are_proved_are_those_that_numpy_reads(shape: tuple[int, ...], strides: tuple[int, ...], offset: int, of: str, byteorder: str) -> None:
    flat = (np.arange(20) * 1_000 - 7).astype(np.dtype(of).newbyteorder("<" if byteorder == "little" else ">"))
    view = np.ndarray(shape, flat.dtype, flat.tobytes(), offset * flat.itemsize, tuple(step * flat.itemsize for step in strides))
    tensor = TensorRecord(dtype=DTYPES[of], shape=shape, strides=strides, offset=offset, storage="0")
    stored = StorageRecord(key="0", dtype=DTYPES[of], nbytes=flat.nbytes, location="cpu", member=None)
    assert list(values(tensor, stored, flat.tobytes() + b"\0", byteorder)) == view.ravel().tolist()


def csr(kind: str, shape: str, pointers: tuple[int, ...], plain: tuple[int, ...], block: tuple[int, ...] = (), of: str = "sparse_csr") -> bytes:
    code = {"LongStorage": "q", "IntStorage": "i"}[kind]
    content = {"0": struct.pack(f"<{len(pointers)}{code}", *pointers), "1": struct.pack(f"<{len(plain)}{code}", *plain)}
    whole = (len(plain), *block)
    parts = vector(kind, "'0'", len(pointers)) + vector(kind, "'1'", len(plain))
    parts += tensor(ints(*whole), ints(*contiguous(whole)), stored=storage("ByteStorage", "'2'", numel=f"BININT1 {int(np.prod(whole))}"))
    return archive(sparse(of, parts + shape), {**content, "2": bytes(int(np.prod(whole)))})


@pytest.mark.parametrize("kind", ["LongStorage", "IntStorage"])
def test_compressed_indices_of_either_width(kind: str) -> None:
    assert outcome(csr(kind, ints(2, 5), (0, 1, 3), (4, 0, 3))).shape == (2, 5)
    refused(csr(kind, ints(2, 4), (0, 1, 3), (4, 0, 3)), "SL408")
    assert outcome(csr(kind, ints(5, 2), (0, 1, 3), (4, 0, 3), of="sparse_csc")).shape == (5, 2)
    refused(csr(kind, ints(4, 2), (0, 1, 3), (4, 0, 3), of="sparse_csc"), "SL408")


@pytest.mark.parametrize(
    ("of", "shape", "fits"),
    [
        ("sparse_bsr", (4, 9), True), ("sparse_bsr", (4, 6), False), ("sparse_bsr", (4, 10), False), ("sparse_bsr", (5, 9), False),
        ("sparse_bsr", (6, 9), False), ("sparse_bsr", (9, 4), False), ("sparse_bsc", (6, 6), True), ("sparse_bsc", (4, 6), False),
        ("sparse_bsc", (7, 6), False), ("sparse_bsc", (6, 7), False),
        ("sparse_bsc", (6, 9), False), ("sparse_bsc", (6, 6, 1), False), ("sparse_bsr", (4, 9, 1), False),
    ],
)  # fmt: skip
def test_blocks_that_are_no_squares(of: str, shape: tuple[int, ...], fits: bool) -> None:
    """Blocks of 2 x 3: two lines of them, the plain indices up to 2."""
    found = outcome(csr("LongStorage", ints(*shape), (0, 1, 3), (2, 0, 2), (2, 3), of))
    assert isinstance(found, Refused) != fits


def test_blocks_with_a_dense_dimension_and_blocks_of_nothing() -> None:
    assert outcome(csr("LongStorage", ints(4, 9, 5), (0, 1, 3), (2, 0, 2), (2, 3, 5), "sparse_bsr")).shape == (4, 9, 5)
    refused(csr("LongStorage", ints(4, 9, 4), (0, 1, 3), (2, 0, 2), (2, 3, 5), "sparse_bsr"), "SL405")
    refused(csr("LongStorage", ints(4, 0), (0, 1, 3), (2, 0, 2), (2, 0), "sparse_bsr"), "SL405")
    refused(csr("LongStorage", ints(0, 9), (0, 1, 3), (2, 0, 2), (0, 3), "sparse_bsr"), "SL405")


def spanning(shape: str, count: int) -> bytes:
    """A COO tensor of `count` floats in two dimensions."""
    parts = indices(2, count) + vector("FloatStorage", "'1'", count)
    return archive(sparse("sparse_coo", parts + shape), {"0": bytes(32), "1": bytes(4 * count)})


@pytest.mark.parametrize(
    ("data", "limits", "said"),
    [
        (spanning(ints(1 << 29, 1 << 29), 2), {}, "a sparse tensor spans more than the limit tensor_bytes = "),
        (spanning(ints(1 << 58, 0), 0), {}, "a sparse tensor spans more than the limit tensor_bytes = "),
        (spanning(ints(2, 30), 2), {"tensor_bytes": 239}, "a tensor spans 240 bytes than the limit tensor_bytes = 239"),
    ],
    ids=["elements", "none", "bytes"],
)
def test_what_a_sparse_tensor_spans_counts_against_the_budget(data: bytes, limits: dict[str, int], said: str) -> None:
    report = safeload.scan(data, limits=limits)
    (finding,) = (finding for finding in report.errors if finding.rule == "SL901")
    assert finding.message.startswith(said) and finding.member == "a/data.pkl" and finding.offset
    assert safeload.scan(spanning(ints(2, 30), 2), limits={"tensor_bytes": 240}).verdict == "accepted"


@pytest.mark.parametrize("strides", [(4, 1), (1, 1), (0, 1), (2, 0), (3, 2), (0, 0)])
def test_indices_are_read_through_their_strides(strides: tuple[int, int]) -> None:
    content = np.arange(8, dtype=np.int64)
    view = tensor(ints(1, 3), ints(*strides), stored=storage("LongStorage", "'0'", numel="BININT1 8"))
    values = tensor(ints(3), ints(1), stored=storage("FloatStorage", "'1'", numel="BININT1 4"))
    wanted = [at * strides[1] for at in range(3)]
    data = {"0": content.tobytes(), "1": bytes(16)}
    assert outcome(archive(sparse("sparse_coo", view + values + ints(max(wanted) + 1)), data)).indices.tolist() == [wanted]
    refused(archive(sparse("sparse_coo", view + values + ints(max(max(wanted), 0))), data), "SL408")


def test_as_many_dimensions_as_numpy_holds_are_enough() -> None:
    assert safeload.scan(spanning(ints(2, 30), 2), limits={"tensor_dims": 2}).verdict == "accepted"
    dense = tensor(ints(2, 1), ints(1, 1), stored=storage("FloatStorage", "'1'", numel="BININT1 2"))
    deep = archive(sparse("sparse_coo", indices(2, 2) + dense + ints(2, 30, 1)), {"0": bytes(32), "1": bytes(8)})
    assert safeload.scan(deep).verdict == "accepted"
    (error,) = safeload.scan(deep, limits={"tensor_dims": 2}).errors
    assert (error.rule, error.message) == ("SL405", "the size of a sparse tensor is not valid")


def test_sizes_that_only_a_dimension_of_nothing_keeps_small() -> None:
    """As for a dense tensor: numpy refuses sizes whose product without the zeros is too large."""
    assert outcome(spanning(ints(1 << 57, 0), 0)).shape == (1 << 57, 0)
    assert outcome(spanning(ints((1 << 58) - 1, 0), 0)).shape == ((1 << 58) - 1, 0)


def test_a_dense_dimension_of_nothing_is_no_block_of_nothing() -> None:
    assert outcome(csr("LongStorage", ints(4, 9, 0), (0, 1, 3), (2, 0, 2), (2, 3, 0), "sparse_bsr")).shape == (4, 9, 0)


@pytest.mark.parametrize("of", ["sparse_csr", "sparse_csc"])
def test_a_plain_index_outside_says_how_many_there_are(of: str) -> None:
    shape = ints(2, 4) if of == "sparse_csr" else ints(4, 2)
    (error,) = safeload.scan(csr("LongStorage", shape, (0, 1, 3), (4, 0, 3), of=of)).errors
    assert (error.rule, error.message) == ("SL408", "a plain index of a sparse tensor lies outside its 4 columns")
