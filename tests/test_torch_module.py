"""`safeload.torch`: what torch.load gives, over memory that safeload has filled; held against torch.load itself."""

from __future__ import annotations

import ast
import gc
import io
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from placement.fake_device import simulated

import safeload
from safeload.placement.cupy_backend import ContainerArray

torch = pytest.importorskip("torch", reason="torch is not installed")
import safeload.torch as into_torch  # noqa: E402 - behind the check

pytestmark = pytest.mark.filterwarnings(
    "ignore:Sparse .* tensor support:UserWarning", "ignore:torch.quantize_per_tensor:UserWarning", "ignore:.*[Qq]uantized tensor:UserWarning",
    "ignore:ComplexHalf support:UserWarning", "ignore:TypedStorage is deprecated:UserWarning",
)

DTYPES = [
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex128", "complex64", "complex32", "uint16", "uint32",
    "uint64", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz",
]  # fmt: skip


def raw(tensor: Any) -> bytes:
    if tensor.is_sparse or tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    return bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()) if tensor.numel() else b""


def saved(value: Any, path: Path) -> Path:
    torch.save(value, path)
    return path


def sample() -> dict[str, Any]:
    base = torch.arange(48, dtype=torch.float32)
    made: dict[str, Any] = {name: (torch.arange(12) % 2).to(torch.float32).to(getattr(torch, name)).reshape(3, 4) for name in DTYPES if "complex32" not in name}
    made["complex32"] = torch.arange(24, dtype=torch.float16).view(torch.complex32)
    made |= {"base": base, "turned": base.view(6, 8).t(), "part": base[5:9], "wide": base[:3].expand(1000, 3), "empty": torch.empty(0, 3), "scalar": base[7]}
    made |= {"grad": torch.nn.Parameter(torch.ones(2, 2)), "conj": torch.arange(4).to(torch.complex64).conj(), "nested": [{"a": base[1:]}, 3, "text"]}
    return made


@pytest.mark.parametrize("map_location", ["cpu", "cuda:1"])
def test_what_torch_load_gives(tmp_path: Path, map_location: str) -> None:
    path = saved(sample(), tmp_path / "model.pt")
    expected = torch.load(path)
    with simulated(capacity=1 << 20) as backend:
        value = into_torch.load(path, map_location)
        assert value.keys() == expected.keys()
        for name, tensor in expected.items():
            if name == "nested":
                assert value[name][1:] == [3, "text"] and torch.equal(value[name][0]["a"], tensor[0]["a"])
                continue
            mine = value[name]
            assert type(mine) is torch.Tensor and (mine.dtype, mine.shape, mine.requires_grad) == (tensor.dtype, tensor.shape, tensor.requires_grad), name
            assert mine.stride() == tensor.stride(), name
            assert raw(mine.resolve_conj()) == raw(tensor.resolve_conj()), name
        storages = {name: value[name].untyped_storage() for name in ("base", "turned", "part", "wide", "scalar")}
        assert {storage.data_ptr() for storage in storages.values()} == {value["base"].untyped_storage().data_ptr()}
        assert value["base"].untyped_storage().nbytes() == 48 * 4 and value["part"].storage_offset() == 5
        value["base"][5] = 77
        assert value["part"][0] == 77 and value["turned"].t().reshape(-1)[5] == 77, "shared as it was saved"
        assert bool(backend.simulator.allocations) == (map_location != "cpu")
        backend.simulator.settle()
        del value, mine, storages
        gc.collect()
        assert backend.simulator.live == {}, "torch held the memory, and let go of it"


def test_on_the_cpu_tensors_share_the_mapped_file(tmp_path: Path) -> None:
    path = saved({"w": torch.arange(1 << 16, dtype=torch.int32)}, tmp_path / "model.pt")
    before = path.read_bytes()
    tensor = into_torch.load(path)["w"]
    maps = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(str(path))]
    assert any(int(low, 16) <= tensor.data_ptr() < int(high, 16) for low, high in maps)
    tensor[0] = -1
    assert path.read_bytes() == before, "copy-on-write"


def test_sparse_quantised_and_meta_tensors(tmp_path: Path) -> None:
    dense = torch.tensor([[0.0, 2.0], [3.0, 0.0]])
    value = {
        "coo": dense.to_sparse_coo(), "csr": dense.to_sparse_csr(), "csc": dense.to_sparse_csc(), "meta": torch.empty(2, 3, device="meta"),
        "quantized": torch.quantize_per_tensor(dense, 0.5, 3, torch.quint8),
        "channels": torch.quantize_per_channel(dense, torch.tensor([0.5, 0.25]), torch.tensor([1, 2]), 0, torch.qint8),
    }  # fmt: skip
    loaded = into_torch.load(saved(value, tmp_path / "model.pt"))
    for name in ("coo", "csr", "csc"):
        assert loaded[name].layout == value[name].layout and torch.equal(loaded[name].to_dense(), dense)
    assert loaded["meta"].device.type == "meta" and loaded["meta"].shape == (2, 3)
    for name in ("quantized", "channels"):
        assert torch.equal(loaded[name].int_repr(), value[name].int_repr()) and torch.equal(loaded[name].dequantize(), value[name].dequantize())


def test_load_file_and_shards(tmp_path: Path) -> None:
    path = saved({"a": torch.arange(12.0).reshape(4, 3).to(torch.bfloat16), "b": torch.ones(5, dtype=torch.float8_e5m2)}, tmp_path / "model.pt")
    with simulated(capacity=1 << 20):
        for device in ("cpu", "cuda"):
            flat = into_torch.load_file(path, device)
            assert flat["a"].dtype == torch.bfloat16 and flat["b"].dtype == torch.float8_e5m2 and flat["a"][3, 2] == 11
            parts = [into_torch.load_file(path, device, shard=(rank, 2), dims={"a": 1})["a"] for rank in range(2)]
            assert torch.equal(torch.cat(parts, dim=1), flat["a"])


def test_arrays_become_tensors_over_the_same_memory() -> None:
    numbers = np.arange(6, dtype=ml_dtypes.bfloat16).reshape(2, 3)
    tensor = into_torch.as_tensor(numbers.T)
    numbers[0, 1] = 9
    assert tensor.dtype == torch.bfloat16 and tensor[1, 0] == 9
    held = ContainerArray(array=np.array([0x3C], np.uint8), dtype=np.dtype(ml_dtypes.float8_e5m2))
    assert float(into_torch.as_tensor(held)[0]) == 1.0
    assert float(torch.from_dlpack(held).view(torch.float8_e5m2)[0]) == 1.0, "the way without safeload.torch"
    assert into_torch.as_tensor(3) == 3 and into_torch.as_tensor(tensor) is tensor
    with pytest.raises(TypeError, match="no dtype datetime64"):
        into_torch.as_tensor(np.zeros(2, "M8[s]"))


def test_what_it_refuses(tmp_path: Path) -> None:
    path = saved({"a": torch.ones(1)}, tmp_path / "model.pt")
    with pytest.raises(TypeError, match="no tensors that cannot be written"):
        into_torch.load(path, mmap="r")
    with pytest.raises(TypeError, match="policy="):
        into_torch.load(path, weights_only=False)
    with pytest.raises(safeload.CheckpointError):
        into_torch.load(io.BytesIO(b"cos\nsystem\n(S'true'\ntR."))


def test_nothing_of_torch_that_reads_a_file_is_named() -> None:
    """Law 1 for the one module that may import torch: every attribute of torch that it uses makes tensors or names a dtype or a layout."""
    tree = ast.parse(Path(into_torch.__file__).read_text(encoding="utf-8"))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("torch", "_torch()")}
    used |= {node.args[1].value for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr"}  # type: ignore[attr-defined]
    makers = {
        "Tensor", "empty", "empty_strided", "from_dlpack", "from_numpy", "sparse_coo_tensor", "sparse_compressed_tensor",
        "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "_make_per_tensor_quantized_tensor", "_make_per_channel_quantized_tensor",
    }  # fmt: skip
    assert {name for name in used - makers if not isinstance(getattr(torch, name, None), (torch.dtype, type(None)))} == set()
    assert makers <= used
