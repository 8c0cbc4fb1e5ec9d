"""The checked-in examples are what they claim to be: the hostile ones really act in a loader that runs them, and safeload really does not."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import safeload

EXAMPLES = Path(__file__).parent.parent / "examples"
WITNESS = "safeload-example-was-executed"
FILES = ("tiny.pt", "hostile.pkl", "hostile.pt")
MAX_EXAMPLE_BYTES = 10_000


def test_the_payload_is_live(tmp_path: Path) -> None:
    """pickle.load creates the directory: without this the refusals below would prove nothing."""
    program = f"import pickle; pickle.load(open({str(EXAMPLES / 'hostile.pkl')!r}, 'rb'))"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=tmp_path, check=True, timeout=60)
    assert [path.name for path in tmp_path.iterdir()] == [WITNESS]


@pytest.mark.parametrize("name", ["hostile.pkl", "hostile.pt"])
@pytest.mark.parametrize("policy", ["weights-only", "checkpoint", "inspect"])
def test_no_policy_lets_the_payload_act(name: str, policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = safeload.scan(EXAMPLES / name, policy=policy)
    assert report.verdict == "rejected"
    assert [(finding.rule, finding.global_name, finding.capability) for finding in report.errors] == [("SL301", "posix.mkdir", "fs.write")]
    with pytest.raises(safeload.PolicyRejected):
        safeload.load(EXAMPLES / name, policy=policy)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("policy", ["weights-only", "checkpoint", "inspect"])
def test_tiny_loads_under_every_policy(policy: str) -> None:
    loaded = safeload.load(EXAMPLES / "tiny.pt", policy=policy)
    assert list(loaded) == ["state_dict", "optimizer", "epoch"]
    weights = loaded["state_dict"]
    assert {name: (str(array.dtype), array.shape) for name, array in weights.items()} == {
        "embed.weight": ("float32", (8, 4)),
        "norm.weight": ("bfloat16", (4,)),
        "norm.bias": ("bfloat16", (4,)),
        "head.weight": ("float32", (8, 4)),
    }
    assert weights["head.weight"] is weights["embed.weight"]
    assert loaded["optimizer"]["state"][0]["step"] == 20.0


def test_the_script_names_these_files() -> None:
    script = (EXAMPLES / "make_examples.py").read_text(encoding="utf-8")
    described = ast.get_docstring(ast.parse(script)) or ""
    for name in FILES:
        assert name in described
        assert f'"{name}"' in script
        assert 0 < (EXAMPLES / name).stat().st_size <= MAX_EXAMPLE_BYTES
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == {*FILES, "make_examples.py"}
