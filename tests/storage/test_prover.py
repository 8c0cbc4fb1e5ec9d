"""What all provers share: how findings are counted and worded, what is read once, and where a limit stops the proof."""

from __future__ import annotations

import pickletools
from struct import pack

import pytest
from containers.zipbuild import Part, build
from hostile.hostile import archive, ints, storage, stream, tensor, vector
from policy.listings import array, call, dtype, dtype_state, floats, indices, integer, name, outcome, paired, quantized, raw, scalar, sparse, text

import safeload
from safeload.budget import FREE_COPIES_BYTES, Copies
from safeload.formats import judging
from safeload.formats.judging import Judging
from safeload.limits import Limits
from safeload.storage import prover
from safeload.storage.prove import prove
from safeload.storage.records import Proof

LONG, CUT = "k" * 50, "k" * 40
SIX = tensor(ints(6), ints(1))


def stored(key: str = "0", kind: str = "FloatStorage", location: str = "cpu", numel: int = 6, view: str = "") -> str:
    """A persistent id of torch's grammar."""
    return f"MARK\n{text('storage')}{name('torch', kind)}{text(key)}{text(location)}{integer(numel)}{view}TUPLE\nBINPERSID\n"


@pytest.mark.parametrize(
    ("said", "listing", "storages"),
    [
        (
            f"two views of storage '{CUT}' have one key",
            "".join(stored(LONG, view=f"{text('v')}{integer(start)}{integer(2)}TUPLE3\n") for start in (0, 1)),
            {LONG: bytes(24)},
        ),
        (f"storage '{CUT}' is named with 20 bytes on 'cpu' here, and with 24 on 'cpu'", stored(LONG) + stored(LONG, numel=5), {LONG: bytes(24)}),
        (f"storage '0' is named with 24 bytes on '{CUT}' here, and with 24 on 'cpu' before", stored() + stored(location=LONG), {"0": bytes(24)}),
        (f"storage '0' is named with 24 bytes on 'cpu' here, and with 24 on '{CUT}' before", stored(location=LONG) + stored(), {"0": bytes(24)}),
        (f"the file holds no storage '{CUT}'", stored(LONG), {}),
        (f"storage '{CUT}' holds 23 bytes, and", stored(LONG), {LONG: bytes(23)}),
    ],
)
def test_a_long_key_is_cut_where_it_is_quoted(said: str, listing: str, storages: dict[str, bytes]) -> None:
    """40 characters: the key is the file's, and a report has lines."""
    assert safeload.scan(archive(f"MARK\n{listing}TUPLE\n", storages)).findings[0].message.startswith(said)


def test_a_long_key_of_a_refused_storage_is_cut_too() -> None:
    _, second = safeload.scan(archive(vector("FloatStorage", f"'{LONG}'", 6), {})).findings
    assert second.message == f"a tensor stands on storage '{CUT}', which is not valid"


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 6])
def test_findings_of_the_proof_beyond_the_limit_are_counted(limit: int) -> None:
    wrong = tensor(ints(9), ints(1)) + "POP\n"
    report = safeload.scan(archive(wrong * 5 + "NONE\n"), limits={"findings": limit})
    assert (report.verdict, len(report.findings), report.suppressed_findings) == ("rejected", min(limit, 5), max(5 - limit, 0))
    assert all(finding.rule == "SL401" for finding in report.findings)


def test_the_bytes_that_calls_may_copy_count_from_the_start_of_their_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pickle of a legacy file stands behind three others, which pay for nothing in it."""
    from formats.test_legacy import save

    spent: list[int] = []
    monkeypatch.setattr(prover, "Copies", lambda limits, count: spent.append(count) or Copies(limits, count))
    assert safeload.scan(save()).verdict == "accepted"
    lengths, at, data = [], 0, save()
    for _ in range(4):
        *_, (_, _, last) = pickletools.genops(data[at:])
        lengths.append(last + 1)
        at += last + 1
    assert spent == [lengths[3]]
    assert Copies(Limits(), 7).left == FREE_COPIES_BYTES + 7 * Limits().copy_ratio


def test_an_index_storage_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was proved is what is used: a file that changes between two reads would show two faces."""
    reads: list[str] = []
    whole = Judging.member_bytes

    def counted(self: Judging, member: object) -> bytes:
        reads.append(member.name)  # type: ignore[attr-defined]
        return whole(self, member)  # type: ignore[arg-type]

    monkeypatch.setattr(Judging, "member_bytes", counted)
    one = sparse("sparse_coo", indices(1, 4) + floats() + ints(5))
    data = archive(one + one + "TUPLE2\n", {"0": pack("<4q", 0, 1, 2, 3), "1": pack("<4f", 1, 2, 3, 4)})
    reads.clear()
    assert safeload.scan(data).verdict == "accepted"
    assert reads.count("a/data/0") == 1


def test_indices_on_an_empty_storage_need_no_bytes() -> None:
    none = tensor(ints(1, 0), ints(1, 1), stored=storage("LongStorage", "'2'", numel="BININT1 0"))
    found = outcome(archive(sparse("sparse_coo", none + vector("FloatStorage", "'3'", 0) + ints(5)), {}))
    assert (found.shape, found.indices.shape, found.values.shape) == ((5,), (1, 0), (0,))


@pytest.mark.parametrize(
    "used",
    [
        lambda of: array(of, ints(1), raw(bytes(8))),
        lambda of: scalar(of, raw(bytes(8))),
        lambda of: call("numpy._core.numeric", "_frombuffer", raw(bytes(8)) + of + ints(1) + text("C")),
    ],
    ids=["array", "scalar", "frombuffer"],
)
def test_the_dtype_of_an_array_takes_no_state_afterwards(used: object) -> None:
    """The bytes were held against the dtype as it was."""
    whole = used(dtype("M8") + "BINPUT 7\n")  # type: ignore[operator]
    assert safeload.scan(archive(whole, {})).verdict == "accepted"
    (error,) = safeload.scan(archive(f"{whole}BINGET 7\n{dtype_state()}POP\n", {})).errors
    assert (error.rule, error.message) == ("SL407", "a dtype is given another state after it was used")


@pytest.mark.parametrize(
    "extra", ["EMPTY_TUPLE\n", integer(5), paired() + "TUPLE1\n", ints(1, 2), paired() + text("s") + "TUPLE2\n", paired() + ints(1) + "TUPLE2\n"]
)
def test_the_unit_of_a_dtype_is_a_pair_with_four_parts(extra: str) -> None:
    (error,) = safeload.scan(archive(dtype("M8", dtype_state(extra=extra)), {})).errors
    assert (error.rule, error.message) == ("SL407", "the unit of a datetime dtype is not valid")


STATE = f"MARK\n{storage()}{integer(0)}{ints(6)}{ints(1)}TUPLE\nBUILD\n"
TABLES = "".join(tensor(ints(2, 2), ints(2, 1), stored=storage("LongStorage", f"'{key}'", numel="BININT1 4")) for key in (1, 2))
PARTS = {"1": pack("<4q", 1, 2, 2, 1), "2": pack("<4q", 2, 1, 1, 1)}
CSR = vector("LongStorage", "'3'", 3) + vector("LongStorage", "'4'", 5) + tensor(ints(5), ints(1)) + ints(2, 5)
COO = tensor(ints(1, 4), ints(4, 1), stored=storage("LongStorage", "'1'", numel="BININT1 4")) + tensor(ints(4), ints(1)) + ints(9)


def typed(args: str) -> str:
    """`_rebuild_from_type_v2` of a dense tensor without attributes."""
    inner = f"{name('torch._utils', '_rebuild_tensor_v2')}{name('torch', 'Tensor')}MARK\n{args}TUPLE\nNONE\n"
    return call("torch._tensor", "_rebuild_from_type_v2", inner)


@pytest.mark.parametrize(
    ("listing", "tensors", "nbytes"),
    [
        (SIX, 1, 24),
        (call("torch._utils", "_rebuild_tensor", storage() + integer(0) + ints(6) + ints(1)), 1, 24),
        (
            call(
                "torch._utils",
                "_rebuild_tensor_v3",
                storage("UntypedStorage") + integer(0) + ints(3) + ints(2) + "NEWFALSE\nEMPTY_DICT\n" + name("torch", "int8"),
            ),
            1,
            3,
        ),
        (typed(storage() + integer(0) + ints(6) + ints(1) + "NEWFALSE\nEMPTY_DICT\n"), 1, 24),
        (quantized(name("torch", "per_tensor_affine") + "BINFLOAT 0.5\n" + integer(0)), 1, 6),
        (call("torch", "FloatTensor") + STATE, 1, 24),
        (call("torch.nn.parameter", "Parameter").replace("REDUCE", "NEWOBJ") + STATE, 1, 24),
        (call("torch._utils", "_rebuild_nested_tensor", SIX + TABLES + vector("LongStorage", "'3'", 2)), 6, 24 + 32 + 32 + 16 + 8 + 8),
        (
            call("torch.nested._internal.nested_tensor", "_rebuild_njt", paired(values=SIX, offsets=vector("LongStorage", "'3'", 3))),
            4,
            24 + 24 + 8 + 12,
        ),
        (sparse("sparse_coo", COO), 3, 32 + 16 + 36),
        (sparse("sparse_csr", CSR), 4, 24 + 40 + 20 + 2 * 5 * 4),
        (call("torch.sparse", "FloatTensor", COO), 3, 32 + 16 + 36),
    ],
    ids=["v2", "v1", "v3", "typed", "quantised", "legacy tensor", "legacy parameter", "nested", "jagged", "coo", "csr", "sparse class"],
)
def test_each_tensor_is_paid_for_and_a_limit_names_the_call(listing: str, tensors: int, nbytes: int) -> None:
    """One byte, or one tensor, below what the file needs ends at its last call; with exactly that it is accepted."""
    small = "QInt8Storage" in listing or "UntypedStorage" in listing
    starts = pack("<2q", 0, 2) if "_rebuild_nested_tensor" in listing else pack("<3q", 0, 2, 5)  # of two components, or of two rows
    data = archive(listing, {"0": bytes(6 if small else 24), **PARTS, "3": starts, "4": pack("<5q", 0, 1, 0, 1, 2)})
    exact = {"tensors": tensors, "total_tensor_bytes": nbytes}
    assert safeload.scan(data, limits=exact).verdict == "accepted"
    places = [place for opcode, _, place in pickletools.genops(stream(listing)) if opcode.name in ("REDUCE", "BUILD")]
    for limit, value in exact.items():
        (finding,) = safeload.scan(data, limits={limit: value - 1}).findings
        assert (finding.rule, finding.member, finding.offset, f"{limit} = {value - 1:,}" in finding.message) == ("SL901", "a/data.pkl", places[-1], True)


@pytest.mark.parametrize(
    "made",
    [
        lambda: scalar(dtype(f"V{1 << 20}"), "BINGET 0\n"),
        lambda: array(dtype("u1"), ints(1 << 20), "BINGET 0\n"),
        lambda: call("numpy._core.numeric", "_frombuffer", "BINGET 0\n" + dtype("u1") + ints(1 << 20) + text("C")),
    ],
    ids=["scalar", "array", "frombuffer"],
)
def test_bytes_that_many_arrays_copy_are_paid_for(made: object) -> None:
    """4 MiB are free, the stream pays for 1 more, and each array takes 1 MiB of one argument that stands in the file once."""
    listing = raw(b"a" * (1 << 20)) + "BINPUT 0\nPOP\n" + (made() + "POP\n") * 8 + "NONE\n"  # type: ignore[operator]
    data = stream(listing)
    (finding,) = safeload.scan(data, limits={"copy_ratio": 1}).findings
    made_at = [place for opcode, _, place in pickletools.genops(data) if opcode.name == ("BUILD" if "BUILD" in listing else "REDUCE")]
    each = len(made_at) // 8
    assert (finding.rule, finding.member, finding.offset) == ("SL901", None, made_at[each * (((FREE_COPIES_BYTES + len(data)) >> 20) + 1) - 1])
    inside = safeload.scan(build([Part(b"a.pkl", data), Part(b"b.pkl", stream("NONE\n"))]), limits={"copy_ratio": 1}).findings
    assert [(finding.rule, finding.member) for finding in inside] == [("SL901", "a.pkl")]
    assert safeload.scan(data, limits={"copy_ratio": 1_000}).verdict == "accepted"


NUMBERS = {"float32": "f4", "float64": "f8", "bfloat16": "f4", "int64": "i8", "int8": "i1", "uint8": "u1", "bool": "b1", "complex64": "c8"}


@pytest.mark.parametrize("of", NUMBERS)
def test_an_array_stands_for_a_tensor_of_its_own_kind(of: str) -> None:
    """int and uint are one kind, as torch before 2.3 had no wider uint and numpy arrays of them stood for int tensors."""
    for code in NUMBERS.values():
        made = array(dtype(code), ints(2), raw(bytes(2 * int(code[1:]))))
        report = safeload.scan(archive(call("torch._utils", "_rebuild_device_tensor_from_numpy", made + name("torch", of) + text("xla:0") + "NEWFALSE\n")))
        fits = code[0] == NUMBERS[of][0] or {code[0], NUMBERS[of][0]} == {"i", "u"}
        assert [(finding.rule, finding.message[:8]) for finding in report.errors] == ([] if fits else [("SL406", "an array")])
    made = array(dtype("f4"), ints(2), raw(bytes(8))) + name("torch", "qint8") + text("xla:0") + "NEWFALSE\n"
    (error,) = safeload.scan(archive(call("torch._utils", "_rebuild_device_tensor_from_numpy", made))).errors
    assert (error.rule, error.message) == ("SL406", "an array of f4 stands for a tensor of another kind (quantized)")


@pytest.mark.parametrize("data", [raw(bytes(8)), text("\u0100")])
def test_an_array_of_objects_is_named_as_such_whatever_its_data(data: str) -> None:
    for made in (array(dtype("O"), ints(1), data), array(dtype("O"), ints(1, 1), data, "NEWTRUE\n")):
        (error,) = safeload.scan(archive(made)).errors
        assert error.rule == "SL409" and error.message.startswith("a numpy array of Python objects")


def proofs(monkeypatch: pytest.MonkeyPatch) -> list[Proof]:
    """What `prove` gives, for each stream that is judged from now on."""
    made: list[Proof] = []
    monkeypatch.setattr(judging, "prove", lambda *args, **more: made.append(prove(*args, **more)) or made[-1])
    return made


def test_a_proof_keeps_no_more_findings_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even until the report cuts them: a stream of a million wrong tensors would make a million."""
    made = proofs(monkeypatch)
    for limit in (0, 1, 2, 5):
        safeload.scan(archive((tensor(ints(9), ints(1)) + "POP\n") * 5 + "NONE\n"), limits={"findings": limit})
        assert (len(made[-1].findings), made[-1].suppressed, made[-1].plan) == (max(limit, 1), 5 - max(limit, 1), None)


def test_what_is_found_leaves_no_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    made = proofs(monkeypatch)
    safeload.scan(archive(SIX))
    assert made[-1].plan is not None and (made[-1].findings, made[-1].suppressed) == ((), 0)
    assert (made[-1].tensor_count, made[-1].tensor_bytes, made[-1].used_keys) == (1, 24, {"0"})
    safeload.scan(archive(SIX, {}))
    assert made[-1].plan is None and (made[-1].tensor_count, made[-1].tensor_bytes, made[-1].used_keys) == (0, 0, {"0"})


def test_a_view_of_a_view_says_how_many_elements_there_are() -> None:
    listing = tensor(ints(3), ints(1), stored=stored(view=f"{text('v')}{integer(1)}{integer(2)}TUPLE3\n"))
    (error,) = safeload.scan(archive(listing)).errors
    assert (error.rule, error.message) == ("SL401", "a tensor of size (3), stride (1) and offset 0 reaches element 2 of a storage of 2")
