"""The inner loops one by one, with pytest-benchmark: `python -m pytest benchmarks/inner`. No time is asserted; `--benchmark-compare` shows what a change did.

The file is written by our own assembler and a plain zip writer, so neither torch nor a peer is needed.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from safeload.api import policy_and_limits
from safeload.budget import Budget
from safeload.containers.torch_zip import read_torch_zip
from safeload.containers.zip_directory import read_zip
from safeload.judge import Options, judge
from safeload.limits import Limits
from safeload.machine.interpret import interpret
from safeload.policy.named import load_policy
from safeload.policy.vet import vet
from safeload.rebuild.document import Building, build
from safeload.source import ByteSource, open_source

TENSORS = 3_000


def _stream() -> bytes:
    """A state dict of small tensors, as torch writes it, without its memo."""
    item = (
        b"X%b%bctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX%b%bX\x03\0\0\0cpuK\x04tQ"
        b"K\0K\x02K\x02\x86K\x02K\x01\x86\x89ccollections\nOrderedDict\n)RtR"
    )
    names = [(f"layers.{number}.weight".encode(), str(number).encode()) for number in range(TENSORS)]
    items = [item % (len(name).to_bytes(4, "little"), name, len(key).to_bytes(4, "little"), key) for name, key in names]
    return b"\x80\x02}(" + b"".join(items) + b"u."


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inner") / "small.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", _stream())
        archive.writestr("archive/version", b"3\n")
        for number in range(TENSORS):
            archive.writestr(f"archive/data/{number}", number.to_bytes(4, "little") * 4)
    return path


@pytest.fixture
def source(file: Path) -> Any:
    with open_source(str(file), Limits()) as opened:
        yield opened


def test_directory(benchmark: Any, source: ByteSource) -> None:
    assert len(benchmark(read_zip, source, Limits()).members) == TENSORS + 2


def test_container(benchmark: Any, source: ByteSource) -> None:
    assert len(benchmark(read_torch_zip, source, Limits(), None).storages) == TENSORS


def test_machine(benchmark: Any) -> None:
    data = _stream()
    assert benchmark(lambda: interpret(data, budget=Budget(Limits()), member="data.pkl")).opcodes > TENSORS


def test_policy(benchmark: Any) -> None:
    graph = interpret(_stream(), budget=Budget(Limits()), member="data.pkl")
    policy, limits = policy_and_limits(None, None)
    assert benchmark(vet, graph, policy, limits=limits, member="data.pkl").vetted is not None


def test_judge(benchmark: Any, source: ByteSource) -> None:
    policy, limits = policy_and_limits(None, None)
    assert benchmark(judge, source, policy, limits, Options()).report.verdict == "accepted"


def test_build(benchmark: Any, source: ByteSource) -> None:
    policy, limits = policy_and_limits(None, None)
    document = judge(source, policy, limits, Options()).document
    assert document is not None
    assert len(benchmark(lambda: build(document, Building(budget=Budget(limits))))) == TENSORS


def test_shipped_policy(benchmark: Any) -> None:
    from safeload.policy import named

    def fresh() -> Any:
        named._cache.clear()
        return load_policy("checkpoint")

    assert benchmark(fresh).name == "checkpoint"
