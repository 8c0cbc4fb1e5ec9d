"""What torch's own suite asserts about loading, asserted about ours, on files that the installed torch writes. `table.py` names the rows."""

from __future__ import annotations

import gzip
import io
import warnings
from collections import OrderedDict, namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import safeload
from safeload.errors import CheckpointError, DeviceUnavailable, PolicyRejected
from safeload.tensors import MetaTensor, NestedTensor, QuantizedTensor, SparseTensor, SubclassTensor
from safeload.values import OpaqueObject, Storage

torch = pytest.importorskip("torch", reason="these files are written by torch, and torch is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's own, about what it will remove
BOTH = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
OLD_DTYPES = ["float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool", "complex64"]
Point = namedtuple("Point", "x y")


def saved(obj: Any, zipped: bool = True, **options: Any) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(obj, file, _use_new_zipfile_serialization=zipped, **options)
    return file.getvalue()


def both(data: Any, **options: Any) -> tuple[Any, Any]:
    """Ours and torch's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return safeload.load(data, "cpu", **options), torch.load(io.BytesIO(data), "cpu", weights_only=False)


def same(ours: Any, theirs: Any) -> None:
    """Dtype, shape, strides and bytes."""
    theirs = theirs.detach().resolve_conj().resolve_neg()
    assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.") and ours.shape == tuple(theirs.shape)
    raw = theirs.contiguous()
    assert ours.tobytes() == (raw.view(torch.uint8) if raw.dim() else raw.reshape(1).view(torch.uint8)).numpy().tobytes()


# ---- test_serialization and its kin -------------------------------------------------------------------------------------------------------


def nine() -> list[Any]:
    """The list that torch's suite saves: a tensor twice, whole storages, slices of storages, and the same slice twice."""
    a = [torch.randn(5, 5).float() for _ in range(2)]
    b: list[Any] = [a[index % 2] for index in range(4)]
    b += [a[0].storage(), a[0].reshape(-1)[1:4].clone().storage()]
    base = torch.arange(1, 11, dtype=torch.int32)
    b += [torch.empty(0, dtype=torch.int32).set_(base.untyped_storage(), 1, (4,), (1,)), base.storage(), base[3:]]
    return b


@BOTH
@pytest.mark.parametrize("policy", ["weights-only", "checkpoint"])
def test_a_list_with_shared_tensors_and_storages(zipped: bool, policy: str) -> None:
    theirs = nine()
    ours = safeload.load(saved(theirs, zipped), "cpu", policy=policy)
    for mine, other in zip(ours[:4], theirs[:4], strict=True):
        same(mine, other)
    assert ours[0] is ours[2] and ours[1] is ours[3]
    ours[0].fill(7)
    assert (ours[2] == 7).all() and isinstance(ours[4], Storage) and (ours[4].array == 7).all()
    assert ours[5].size == 3 and ours[7].dtype == "int32" and ours[7].size == 10
    assert np.shares_memory(ours[6], ours[7].array) and np.shares_memory(ours[8], ours[7].array)
    assert ours[6].tolist() == [2, 3, 4, 5] and ours[8].tolist() == [4, 5, 6, 7, 8, 9, 10]


@BOTH
@pytest.mark.parametrize("how", ["path", "text", "file", "BytesIO", "gzip"])
def test_every_kind_of_source(zipped: bool, how: str, tmp_path: Path) -> None:
    folder = tmp_path / "sérialisé"
    folder.mkdir()
    path = folder / "x.a.pt"
    value = [torch.randn(3), {"k": torch.ones(2, dtype=torch.int64)}]
    path.write_bytes(saved(value, zipped))
    packed = folder / "x.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    with path.open("rb") as plain, gzip.open(packed) as zipped_file:
        given: Any = {"path": path, "text": str(path), "file": plain, "BytesIO": io.BytesIO(path.read_bytes()), "gzip": zipped_file}[how]
        ours = safeload.load(given)
    same(ours[0], value[0])
    same(ours[1]["k"], value[1]["k"])


@BOTH
def test_a_payload_that_looks_like_a_zip_end(zipped: bool) -> None:
    data = b"PK\5\6" + bytes(18) + b"PK\3\4"
    tensor = torch.frombuffer(bytearray(data * 4), dtype=torch.uint8)
    same(safeload.load(saved(tensor, zipped)), tensor)


@pytest.mark.parametrize("how", ["BytesIO", "file", "gzip"])
def test_saves_and_pickles_behind_each_other(how: str, tmp_path: Path) -> None:
    import pickle

    parts = [pickle.dumps(list(range(6))), saved({"a": torch.randn(3)}, False), pickle.dumps("between"), saved([torch.ones(1000, 100)], False)]
    path = tmp_path / "x"
    path.write_bytes(b"".join(parts) if how != "gzip" else gzip.compress(b"".join(parts)))
    with {"BytesIO": lambda: io.BytesIO(path.read_bytes()), "file": lambda: path.open("rb"), "gzip": lambda: gzip.open(path)}[how]() as file:
        if how == "gzip":
            first = pickle.load(file)
            values = [first]
            values += [safeload.load(file)]
            assert file.tell() == len(parts[0]) + len(parts[1])
            values += [pickle.load(file), safeload.load(file)]
        else:
            values = [safeload.load(file) for _ in parts]
    assert values[0] == list(range(6)) and values[2] == "between" and values[1]["a"].shape == (3,) and values[3][0].sum() == 100_000


@BOTH
@pytest.mark.parametrize("layout", ["coo", "csr", "csc", "bsr", "bsc"])
def test_sparse_layouts(zipped: bool, layout: str) -> None:
    dense = torch.tensor([[0.0, 1.0, 0.0, 2.0], [0.0, 0.0, 3.0, 0.0], [4.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 5.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = {
            "coo": lambda: dense.to_sparse(), "csr": lambda: dense.to_sparse_csr(), "csc": lambda: dense.to_sparse_csc(),
            "bsr": lambda: dense.to_sparse_bsr((2, 2)), "bsc": lambda: dense.to_sparse_bsc((2, 2)),
        }[layout]()  # fmt: skip
    for tensor in (made, torch.sparse_coo_tensor([[0, 0], [1, 1]], [1.0, 2.0], (2, 2))) if layout == "coo" else (made,):
        ours = safeload.load(saved(tensor, zipped))
        assert isinstance(ours, SparseTensor) and ours.layout == f"sparse_{layout}"
        np.testing.assert_array_equal(ours.dense(), tensor.to_dense().numpy())
        if layout == "coo":
            assert ours.is_coalesced == tensor.is_coalesced()


class Reduced:
    """Whatever `__reduce__` is told to say."""

    def __init__(self, *how: Any) -> None:
        self.how = how

    def __reduce__(self) -> Any:
        return self.how


@BOTH
def test_sparse_indices_outside_are_refused(zipped: bool) -> None:
    indices, values, size = torch.tensor([[0], [3]]), torch.tensor([2.0]), torch.Size([2, 3])
    for how in (
        (torch._utils._rebuild_sparse_tensor, (torch.sparse_coo, (indices, values, size))),
        (torch._utils._rebuild_sparse_tensor, (torch.sparse_coo, (indices, values, size, False))),
        (torch.sparse.FloatTensor, (indices, values, size)),
    ):
        report = safeload.scan(saved(Reduced(*how), zipped))
        assert report.verdict == "rejected" and "SL408" in {finding.rule for finding in report.errors}


@pytest.mark.parametrize("layout", ["sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc"])
def test_compressed_indices_that_do_not_begin_at_zero_are_refused(layout: str) -> None:
    compressed, plain = torch.tensor([1, 1]), torch.tensor([0])
    values = torch.ones(1, 1, 1) if "bs" in layout else torch.ones(1)
    how = (torch._utils._rebuild_sparse_tensor, (getattr(torch, layout), (compressed, plain, values, torch.Size([1, 1]))))
    report = safeload.scan(saved(Reduced(*how)))
    assert report.verdict == "rejected" and report.errors[0].rule == "SL408"


# ---- devices ------------------------------------------------------------------------------------------------------------------------------


def tagged(obj: Any, tag: str, zipped: bool = True) -> bytes:
    """A file whose storages say that they were on another device: what torch asks for the tag is told so."""
    real = torch.serialization.location_tag
    torch.serialization.location_tag = lambda storage: tag
    try:
        return saved(obj, zipped)
    finally:
        torch.serialization.location_tag = real


@BOTH
@pytest.mark.parametrize("location", ["cpu", torch.device("cpu"), {"cuda:0": "cpu"}, lambda storage, tag: storage.cpu(), lambda storage, tag: storage])
def test_map_location_to_the_cpu(zipped: bool, location: Any, tmp_path: Path) -> None:
    value = {"a": torch.arange(4.0), "b": torch.ones(2, dtype=torch.int8)}
    path = tmp_path / "x.pt"
    path.write_bytes(tagged(value, "cuda:0", zipped))
    for given in (path, io.BytesIO(path.read_bytes())):
        ours = safeload.load(given, location)
        for name, tensor in value.items():
            same(ours[name], tensor)


@BOTH
def test_a_device_that_is_not_there(zipped: bool) -> None:
    with pytest.raises(RuntimeError, match=r"map_location=.cpu.") as error:
        safeload.load(tagged(torch.ones(2), "cuda:7", zipped))
    assert isinstance(error.value, DeviceUnavailable) and "cuda:7" in str(error.value)


# ---- plain values, names and calls --------------------------------------------------------------------------------------------------------


@BOTH
def test_basic_types_and_bytes(zipped: bool) -> None:
    for value in (1, "text", 2.5, True, None, b"bytes\x80", bytearray(b"array"), {1, 2}, 3 + 4j, (1, [2]), OrderedDict(a=1), torch.Size([2, 3]), {"x": {3}}):
        ours, _ = both(saved(value, zipped))
        assert ours == value and isinstance(ours, tuple if isinstance(value, torch.Size) else type(value))


@pytest.mark.parametrize("dtype", ["float8_e5m2", "float8_e4m3fn", "complex32", "uint16", "uint32", "uint64"])
@pytest.mark.parametrize("zipped", [True, False])
def test_dtypes_without_storages_keep_their_views_shared(dtype: str, zipped: bool) -> None:
    """torch's own sequential reader raises AttributeError for these; ours reads both."""
    kind = getattr(torch, dtype)
    raw = torch.arange(64, dtype=torch.uint8).view(kind)
    value = {"x": raw, "even": raw[0::2], "odd": raw[1::2]}
    ours = safeload.load(saved(value, zipped))
    for name, tensor in value.items():
        assert ours[name].shape == tuple(tensor.shape)
    same(ours["x"], raw)
    assert np.shares_memory(ours["even"], ours["x"]) and np.shares_memory(ours["odd"], ours["x"]) and not np.shares_memory(ours["even"], ours["odd"])


@BOTH
def test_every_pair_of_dtypes_on_empty_storages(zipped: bool) -> None:
    kinds = [getattr(torch, name) for name in OLD_DTYPES]
    value = [torch.empty(0, dtype=kind) for kind in kinds] + [torch.empty(0, dtype=kind).storage() for kind in kinds]
    ours = safeload.load(saved(value, zipped))
    for mine, other in zip(ours[: len(kinds)], value, strict=False):
        same(mine, other)
    assert [storage.dtype for storage in ours[len(kinds) :]] == [str(kind).removeprefix("torch.") for kind in kinds]


def test_both_formats_give_equal_tensors() -> None:
    value = [torch.randn(7, 3) for _ in range(30)]
    for one, two in zip(safeload.load(saved(value, True)), safeload.load(saved(value, False)), strict=True):
        np.testing.assert_array_equal(one, two, strict=True)


@BOTH
def test_lazy_math_bits(zipped: bool) -> None:
    base = torch.randn(3, dtype=torch.complex64)
    for tensor in (base.conj(), torch._neg_view(base), torch._neg_view(base).conj(), base.conj().imag):
        same(safeload.load(saved(tensor, zipped)), tensor)


@BOTH
def test_python_attributes(zipped: bool) -> None:
    tensor = torch.zeros(3)
    tensor.foo, tensor.pi = "hello", 3.14
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.bar = ["a"]
    ours = safeload.load(saved([tensor, parameter], zipped))
    assert isinstance(ours[0], SubclassTensor) and ours[0].attributes == {"foo": "hello", "pi": 3.14} and ours[0].data.tolist() == [0, 0, 0]
    assert ours[1].attributes == {"bar": ["a"]} and ours[1].data.tolist() == [1, 1]


@BOTH
def test_meta_tensors_and_schedulers(zipped: bool) -> None:
    meta = safeload.load(saved(torch.randn(1000, 1000, device="meta"), zipped))
    assert isinstance(meta, MetaTensor) and meta.shape == (1000, 1000)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [30, 80, 30])
    for value in (scheduler.state_dict(), optimizer.state_dict()):
        assert safeload.load(saved(value, zipped)) == value


@BOTH
def test_save_load_keeps_dtype(zipped: bool) -> None:
    for kind in (getattr(torch, name) for name in OLD_DTYPES):
        tensor = torch.ones(2, 2).to(kind)
        module = torch.nn.Linear(2, 2, dtype=kind).state_dict() if kind.is_floating_point else {"t": tensor}
        ours = safeload.load(saved({"t": tensor, "m": module, "item": tensor[0][0].item()}, zipped))
        same(ours["t"], tensor)
        assert ours["item"] == tensor[0][0].item() and type(ours["item"]) is type(tensor[0][0].item())
        for name, part in module.items():
            same(ours["m"][name], part)


def test_calls_that_are_not_allowed_are_named() -> None:
    with pytest.raises(PolicyRejected, match=r"builtins\.print"):
        safeload.load(saved(Reduced(print, ("hello",))))
    with pytest.raises(PolicyRejected, match="execv"):
        safeload.load(saved(Reduced(__import__("os").execv, ("/bin/true", ("x",)))), policy="inspect")


def test_namedtuples_and_own_classes_by_constructors() -> None:
    data = saved(Point(torch.ones(2), 3))
    name = f"{Point.__module__}.Point"
    assert safeload.get_unsafe_globals_in_checkpoint(data) == [name]
    with pytest.raises(PolicyRejected):
        safeload.load(data)
    point = safeload.load(data, constructors={name: lambda record: Point(*record.args)})
    assert isinstance(point, Point) and point.y == 3 and point.x.tolist() == [1, 1]


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self) -> None:
        self.a, self.b = 1, torch.ones(2)


class Plain:
    def __init__(self) -> None:
        self.a = 2


class Nested:
    class Inner:
        value = 3

    class Level(__import__("enum").Enum):
        LOW = 1


def test_states_and_nested_classes_are_records() -> None:
    ours = safeload.load(saved([Slotted(), Plain()]), policy="inspect")
    assert ours[0].attributes["a"] == 1 and ours[0].attributes["b"].tolist() == [1, 1] and ours[1].attributes == {"a": 2}
    for protocol in (2, 4):
        data = saved([Nested.Inner(), Nested.Level.LOW], pickle_protocol=protocol)
        assert safeload.scan(data).verdict == "rejected"
        inner = safeload.load(data, policy="inspect")[0]
        assert isinstance(inner, OpaqueObject)


def test_a_blocked_method_of_an_allowed_module_is_named() -> None:
    import datetime
    import zoneinfo

    value = datetime.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC"))
    with pytest.raises(PolicyRejected, match="ZoneInfo") as error:
        safeload.load(saved(value))
    assert any("zoneinfo.ZoneInfo" in (finding.global_name or "") for finding in error.value.report.errors)
    assert safeload.load(saved(datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC))).year == 2024


@pytest.mark.parametrize("protocol", range(6))
def test_every_pickle_protocol_loads(protocol: int) -> None:
    value = {"a": torch.arange(3), "b": b"x", "c": "é"}
    for zipped in (True, False):
        ours = safeload.load(saved(value, zipped, pickle_protocol=protocol))
        same(ours["a"], value["a"])
        assert (ours["b"], ours["c"]) == (b"x", "é")


# ---- the zip's own records and places ------------------------------------------------------------------------------------------------------


def test_records_offsets_and_alignment(tmp_path: Path) -> None:
    module = torch.nn.Linear(10, 10)
    from torch.utils.serialization import config

    for alignment in (64, 4096):
        path = tmp_path / f"{alignment}.pt"
        with config.patch("save.storage_alignment", alignment):
            torch.save(module.state_dict(), path)
        data = path.read_bytes()
        reader = torch._C.PyTorchFileReader(str(path))
        with safeload.open(path) as file:
            assert file.metadata()["byteorder"] == "little" and file.metadata()[".format_version"] == "1"
            assert file.metadata()[".storage_alignment"] == str(alignment)
            for key, name in enumerate(("weight", "bias")):
                offset = file.info(name).file_offset
                assert offset == reader.get_record_offset(f"data/{key}") and offset % alignment == 0
                assert data[offset:][: file.info(name).nbytes] == module.state_dict()[name].numpy().tobytes()


def test_crc_may_be_missing_and_is_checked_on_demand(tmp_path: Path) -> None:
    from torch.utils.serialization import config

    value = {"a": torch.arange(100)}
    path = tmp_path / "x.pt"
    with config.patch("save.compute_crc32", False):
        torch.save(value, path)
    same(safeload.load(path)["a"], value["a"])
    assert safeload.scan(path, verify="crc").verdict == "accepted"
    torch.save(value, path)
    data = bytearray(path.read_bytes())
    with safeload.open(path) as file:
        offset = file.info("a").file_offset
    assert offset is not None
    data[offset] ^= 1
    path.write_bytes(data)
    assert safeload.scan(path).verdict == "accepted"
    assert safeload.scan(path, verify="crc").errors[0].rule == "SL115"


def test_skipped_data_keeps_shapes_and_views() -> None:
    tensor = torch.randn(4, 4)
    with torch.serialization.skip_data():
        data = saved({"a": tensor, "b": tensor[1:], "c": tensor.storage()})
    ours = safeload.load(data)
    assert ours["a"].shape == (4, 4) and np.shares_memory(ours["a"], ours["b"]) and ours["c"].size == 16


def test_a_header_in_front_of_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"header" + saved([torch.ones(3)]))
    with path.open("rb") as file:
        file.seek(6)
        assert safeload.load(file)[0].tolist() == [1, 1, 1]


@pytest.mark.parametrize("mmap", [None, True, False, "r"])
def test_mapped_and_read_are_equal_and_the_file_stays(mmap: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    torch.save(module.state_dict(), path)
    before = path.read_bytes()
    for given in (path, str(path)):
        ours = safeload.load(given, mmap=mmap)
        for name, tensor in module.state_dict().items():
            same(ours[name], tensor)
        if mmap != "r":
            ours["0.weight"].fill(3)
    assert path.read_bytes() == before


def test_torchs_environment_does_not_weaken_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_WEIGHTS_ONLY_LOAD"):
        monkeypatch.setenv(name, "1")
        with pytest.raises(PolicyRejected):
            safeload.load(saved(Reduced(print, ("hello",))))


def test_unsafe_globals_are_exact() -> None:
    data = saved([Plain(), Slotted(), torch.ones(1)])
    assert safeload.get_unsafe_globals_in_checkpoint(data) == [f"{__name__}.Plain", f"{__name__}.Slotted"]


# ---- byte order ---------------------------------------------------------------------------------------------------------------------------

ORDERED = [*OLD_DTYPES, "complex128", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("dtype", ORDERED)
@pytest.mark.parametrize("record", [True, False])
def test_big_endian_files_are_turned_per_tensor(dtype: str, record: bool) -> None:
    """Law 2 for the eye: torch turns by the dtype that first named a storage, and leaves v3 dtypes as they are."""
    import zipfile

    kind = getattr(torch, dtype)
    size = torch.empty(0, dtype=kind).element_size()
    raw = torch.arange(8 * size, dtype=torch.uint8).remainder(2 if dtype == "bool" else 100).view(kind)
    swap = size // 2 if dtype.startswith("complex") else size
    turned = raw.view(torch.uint8).numpy().reshape(-1, swap)[:, ::-1].tobytes()
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved({"t": raw}))) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            inner = name.partition("/")[2]
            data = source.read(name)
            if inner == "data/0" and record:
                data = turned
            if inner == "byteorder":
                if not record:
                    continue
                data = b"big"
            target.writestr(name, data)
    same(safeload.load(out.getvalue())["t"], raw)


# ---- quantised, nested, subclasses --------------------------------------------------------------------------------------------------------


@BOTH
def test_quantised_views_share_their_storage(zipped: bool) -> None:
    for kind in (torch.qint8, torch.quint8, torch.qint32):
        tensor = torch.quantize_per_tensor(torch.rand(10, 10), 0.04, 2, kind)
        ours = safeload.load(saved([tensor, tensor[:, 1]], zipped))
        assert isinstance(ours[0], QuantizedTensor)
        np.testing.assert_array_equal(ours[0].int_repr, tensor.int_repr().numpy())
        np.testing.assert_allclose(ours[0].dequantize(), tensor.dequantize().numpy(), rtol=1e-6)
        assert np.shares_memory(ours[0].int_repr, ours[1].int_repr)


@pytest.mark.parametrize("kind", ["quint8", "qint8", "quint4x2"])
def test_quantised_per_channel(kind: str) -> None:
    scales, zeros = torch.rand(10, dtype=torch.double) * 0.02 + 0.01, torch.randint(0, 10, (10,))
    values = torch.rand(20, 10)
    tensor = torch.quantize_per_channel(values, scales, zeros.float() if kind == "quint4x2" else zeros, 1, getattr(torch, kind))
    ours = safeload.load(saved(tensor))
    np.testing.assert_array_equal(ours.int_repr.reshape(20, 10), _unpacked(tensor))
    np.testing.assert_allclose(ours.dequantize(), tensor.dequantize().numpy(), rtol=1e-4, atol=1e-6)


def _unpacked(tensor: Any) -> Any:
    raw = tensor.int_repr().numpy()
    if tensor.dtype != torch.quint4x2:
        return raw
    flat = raw.reshape(-1)
    return np.stack([flat & 15, flat >> 4], axis=-1).reshape(-1)[:200].reshape(20, 10)


@BOTH
def test_nested_tensors(zipped: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensor = torch.nested.nested_tensor([torch.arange(6.0).reshape(2, 3), torch.ones(1, 3)])
        ours = safeload.load(saved(tensor, zipped))
        assert isinstance(ours, NestedTensor)
        for mine, other in zip(ours.components, tensor.unbind(), strict=True):
            same(mine, other)
        jagged = torch.nested.nested_tensor([torch.ones(2, 3), torch.zeros(4, 3)], layout=torch.jagged)
        report = safeload.scan(saved(jagged, zipped))
    assert report.verdict == "accepted"


class TwoTensor(torch.Tensor):  # type: ignore[misc, name-defined]
    """A wrapper subclass, as torch's suite has one."""

    @staticmethod
    def __new__(cls, a: Any, b: Any) -> Any:
        return torch.Tensor._make_wrapper_subclass(cls, a.shape, dtype=a.dtype, device=a.device)

    def __init__(self, a: Any, b: Any) -> None:
        self.a, self.b = a, b

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError

    def __tensor_flatten__(self) -> Any:
        return ["a", "b"], None


class DataTensor(torch.Tensor):  # type: ignore[misc, name-defined]
    """A subclass with data of its own."""


def test_subclasses_are_records_with_their_tensors() -> None:
    data = saved({"t": TwoTensor(torch.ones(2), torch.zeros(2))})
    assert f"{__name__}.TwoTensor" in safeload.get_unsafe_globals_in_checkpoint(data)
    with pytest.raises(PolicyRejected):
        safeload.load(data)
    ours = safeload.load(data, policy="inspect")["t"]
    assert isinstance(ours, SubclassTensor) and ours.type == f"{__name__}.TwoTensor" and ours.data.shape == (2,)
    assert ours.attributes["a"].tolist() == [1, 1] and ours.attributes["b"].tolist() == [0, 0]
    own = torch.arange(3.0).as_subclass(DataTensor)
    own.note = "kept"
    kept = safeload.load(saved(own), policy="inspect")
    assert kept.data.tolist() == [0, 1, 2] and kept.attributes["note"] == "kept"
    on_meta = safeload.load(data, "meta", policy="inspect")["t"]
    assert isinstance(on_meta.attributes["a"], MetaTensor)
    assert safeload.load(data, "cpu", policy="inspect")["t"].attributes["a"].tolist() == [1, 1]  # nothing is left of the call before


def test_small_integer_dtypes_of_wrappers() -> None:
    how = (torch._utils._rebuild_wrapper_subclass, (DataTensor, torch.uint4, (2, 3), (3, 1), 0, torch.strided, torch.device("cpu"), False))
    ours = safeload.load(saved(Reduced(torch._tensor._rebuild_from_type_v2, (how[0], DataTensor, how[1], {}))), policy="inspect")
    assert ours.data.dtype == "uint4" and ours.data.shape == (2, 3)


def test_a_dtensor_shows_its_local_part() -> None:
    import torch.distributed as dist

    if not dist.is_available():
        pytest.skip("this torch has no torch.distributed")
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, distribute_tensor
    from torch.testing._internal.distributed.fake_pg import FakeStore

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=1)
        try:
            tensor = distribute_tensor(torch.arange(4.0), init_device_mesh("cpu", (1,)), [Replicate()])
            data = saved(tensor)
        finally:
            dist.destroy_process_group()
    ours = safeload.load(data, policy="inspect")
    assert isinstance(ours, SubclassTensor) and ours.local.tolist() == [0, 1, 2, 3]


# ---- errors -------------------------------------------------------------------------------------------------------------------------------


def test_a_torchscript_archive_says_what_it_is() -> None:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), file)
    with pytest.raises(PolicyRejected, match="inspect") as error:
        safeload.load(file.getvalue(), policy="weights-only")
    assert "SL124" in {finding.rule for finding in error.value.report.errors}
    assert set(safeload.state_dict(safeload.load(file.getvalue(), policy="inspect"))) == {"weight", "bias"}


def test_a_cut_file_is_the_files_fault() -> None:
    for zipped in (True, False):
        data = saved({"a": torch.randn(1000)}, zipped)
        for length in (1, 10, 100, len(data) // 2, len(data) - 1):
            with pytest.raises(CheckpointError):
                safeload.load(data[:length])
