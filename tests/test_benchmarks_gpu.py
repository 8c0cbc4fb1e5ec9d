"""benchmarks/gpu.py, as far as a machine without a device can run it: its files are what they claim, and what was not measured is called that."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from placement.fake_cupy import FakeCupy

import safeload
import safeload.numpy
from benchmarks import gpu as benchmark

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(benchmark, "TENSORS", 3)
    monkeypatch.setattr(benchmark, "SMALL_TENSORS", 5)
    benchmark.prepare(tmp_path, 3 * 64 * 64 * 2)
    return tmp_path


@pytest.mark.parametrize("contest", ["large", "small"])
def test_both_files_hold_the_same_tensors(folder: Path, contest: str) -> None:
    zipped, flat = safeload.load(folder / f"{contest}.pt"), safeload.load(folder / f"{contest}.safetensors")
    assert list(zipped) == list(flat) and len(zipped) == (3 if contest == "large" else 5)
    for name, array in zipped.items():
        assert array.dtype == flat[name].dtype == "bfloat16" and np.array_equal(array.view("u2"), flat[name].view("u2"))
    with safeload.open(folder / f"{contest}.pt") as checkpoint:
        assert {checkpoint.info(name).file_offset % 64 for name in checkpoint} == {0}, "as torch aligns them"


def test_torch_reads_them_too(folder: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    value, mine = torch.load(folder / "large.pt", weights_only=True), safeload.load(folder / "large.pt")
    assert all(np.array_equal(tensor.view(torch.int16).numpy(), mine[name].view("i2")) for name, tensor in value.items())


def made_up(**seconds: float) -> dict[str, Any]:
    large = {name: {"seconds": value, "first": value, "host_bytes": 1 << 20, "runs": 1} for name, value in seconds.items()}
    return {
        "date": "2026-01-01", "device": "none", "machine": "none", "packages": {"safeload": "0"}, "bytes": {"large": 10**9, "small": 10**6},
        "limit_bytes_per_second": 50e9, "contests": {"large": large, "small": {"torch.load": {"error": "torch is not installed"}}},
    }  # fmt: skip


def test_goals_are_met_missed_or_not_measured() -> None:
    found = made_up(**{"safeload.load": 0.021, "safeload.torch.load": 0.03, "torch.load": 0.2, "safetensors.torch.load_file": 0.02})
    verdicts = dict(benchmark.goals(found))
    assert verdicts["at least 0.9 of the pinned limit"] == "0.95 (met)"
    assert verdicts["at least 3x torch.load"] == "6.67 (met)"
    assert verdicts["not slower than safetensors"] == "0.67 (NOT met)"
    assert verdicts["not slower than fastsafetensors"] == verdicts["20,000 small tensors at least 10x torch.load"] == "not measured"
    assert verdicts["host memory beyond the page cache under 512 MiB, ring included"] == "129 MiB (met)"
    text = benchmark.report({**found, "goals": benchmark.goals(found)})
    assert "| torch.load | torch is not installed | | | | | |" in text and "| safeload.load | 21.0 |" in text


def test_without_a_device_it_says_so(folder: Path) -> None:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    try:
        cupy.zeros(1)
    except (RuntimeError, MemoryError):
        command = [sys.executable, "-m", "benchmarks.gpu", "--folder", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)
        assert done.returncode == 1 and done.stderr.startswith("nothing measured: no usable CUDA device") and done.stdout == ""
    else:
        pytest.skip("this machine has a device")


def test_the_whole_of_it_on_a_simulated_device(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """From the limit to the tables; each contestant that needs no torch runs in this process instead of one of its own."""
    fake = FakeCupy(free_bytes=1 << 28)
    fake.zeros = lambda count: types.SimpleNamespace(get=lambda: None)  # type: ignore[attr-defined]
    fake.cuda.runtime.getDeviceProperties = lambda number: {"name": b"simulated"}
    fake.cuda.runtime.driverGetVersion = lambda: 0
    fake.cuda.get_elapsed_time = lambda first, last: 1.0
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(benchmark, "LIMIT_BYTES", 1 << 16)
    missing = {name for names in benchmark.CONTESTS.values() for name in names if "torch" in name or "fast" in name}
    monkeypatch.setattr(benchmark, "NEEDS", dict.fromkeys(missing, "no such package"))

    def here(name: str, folder: str, contest: str) -> dict[str, Any]:
        benchmark.child(name, folder, contest)
        return dict(json.loads(capsys.readouterr().out.splitlines()[-1]))

    monkeypatch.setattr(benchmark, "measured", here)
    monkeypatch.setattr(sys, "argv", ["gpu", "--gigabytes", "0.0001", "--runs", "1", "--folder", str(folder), "--json", str(folder / "out.json")])
    benchmark.main()
    found = json.loads((folder / "out.json").read_text())
    assert found["device"] == "simulated" and found["bytes"]["large"] == 3 * 128 * 128 * 2
    for contest, names in benchmark.CONTESTS.items():
        for name in names:
            result = found["contests"][contest][name]
            assert result == {"error": "no such package is not installed"} if name in benchmark.NEEDS else result["seconds"] > 0, (name, result)
    assert "| at least 3x torch.load | not measured |" in capsys.readouterr().out
    assert fake.simulator.wrong == []
