"""MLflow, the real one, with a store of files: a model whose files a policy refuses is never handed to its flavor."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import safeload
from safeload import hooks
from tests.cli.inputs import EVIL, PLAIN, state_dict

pytest.importorskip("mlflow", reason="MLflow is not installed: pip install mlflow-skinny (and pandas, for mlflow.pyfunc)")

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own

LOADER = "opened = []\n\ndef _load_pyfunc(path):\n    opened.append(path)\n    return type('M', (), {'predict': lambda self, data: data})()\n"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A tracking store of its own."""
    import mlflow

    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db" if _has("sqlalchemy") else f"file://{tmp_path}/mlruns"
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    yield uri


def _has(module: str) -> bool:
    try:
        __import__(module)
    except ImportError:
        return False
    return True


def logged(files: dict[str, bytes], name: str = "model") -> str:
    """The id of a run that has these files as artifacts."""
    import mlflow

    with mlflow.start_run() as run:
        for path, data in files.items():
            local = Path("to-log") / os.path.basename(path)
            local.parent.mkdir(exist_ok=True)
            local.write_bytes(data)
            mlflow.log_artifact(str(local), os.path.join(name, os.path.dirname(path)).rstrip("/"))
    return str(run.info.run_id)


def test_every_way_to_download_is_judged(store: str, tmp_path: Path) -> None:
    import mlflow

    run = logged({"MLmodel": b"flavors: {}\n", "data/model.pth": state_dict(), "data/opt.pkl": PLAIN, "conda.yaml": b"name: x\n"})
    bad = logged({"MLmodel": b"flavors: {}\n", "data/model.pth": EVIL})
    client = mlflow.MlflowClient()
    ways: list[Any] = [
        lambda run, to: mlflow.artifacts.download_artifacts(f"runs:/{run}/model", dst_path=to),
        lambda run, to: mlflow.artifacts.download_artifacts(run_id=run, artifact_path="model", dst_path=to),
        lambda run, to: mlflow.artifacts.download_artifacts(run_id=run, dst_path=to),
        lambda run, to: client.download_artifacts(run, "model", to),
        lambda run, to: mlflow.artifacts.download_artifacts(f"runs:/{run}/model/data/model.pth", dst_path=to),
    ]
    for number, way in enumerate(ways):
        for each in (f"good-{number}", f"bad-{number}"):
            (tmp_path / each).mkdir()
        with hooks.mlflow("checkpoint") as hook:
            assert os.path.exists(way(run, str(tmp_path / f"good-{number}")))
            assert hook.judged == (1 if number == 4 else 4) and not hook.refused, number
            with pytest.raises(safeload.PolicyRejected, match="system") as caught:
                way(bad, str(tmp_path / f"bad-{number}"))
            assert os.path.basename(str(caught.value.path)) == "model.pth"
        assert os.path.exists(way(bad, str(tmp_path / f"bad-{number}")))  # gone with the block


def test_a_flavor_gets_no_model_that_was_refused(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`mlflow.pyfunc.load_model` of a model whose loader would open its files."""
    pytest.importorskip("pandas", reason="mlflow.pyfunc needs pandas")
    import mlflow.pyfunc

    (tmp_path / "flavor_of_the_test.py").write_text(LOADER)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, data in (("good", PLAIN), ("bad", EVIL)):
        (tmp_path / f"{name}-data").mkdir()
        (tmp_path / f"{name}-data" / "weights.pkl").write_bytes(data)
        mlflow.pyfunc.save_model(str(tmp_path / name), loader_module="flavor_of_the_test", data_path=str(tmp_path / f"{name}-data"))
    with hooks.mlflow("checkpoint") as hook:
        mlflow.pyfunc.load_model(str(tmp_path / "good"))
        opened = sys.modules["flavor_of_the_test"].opened
        assert len(opened) == 1 and hook.judged >= 3
        with pytest.raises(safeload.PolicyRejected, match="system"):
            mlflow.pyfunc.load_model(str(tmp_path / "bad"))
        assert len(opened) == 1
    mlflow.pyfunc.load_model(str(tmp_path / "bad"))
    assert len(opened) == 2


def test_a_pickled_model_is_code_and_is_refused(store: str, tmp_path: Path) -> None:
    """What `mlflow.pyfunc.log_model(python_model=...)` writes is cloudpickle's: functions and classes, by value."""
    pytest.importorskip("pandas", reason="mlflow.pyfunc needs pandas")
    import mlflow.pyfunc

    class Model(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return model_input

    mlflow.pyfunc.save_model(str(tmp_path / "pickled"), python_model=Model())
    with hooks.mlflow("checkpoint"), pytest.raises(safeload.PolicyRejected):
        mlflow.pyfunc.load_model(str(tmp_path / "pickled"))


def test_hooks_add_up(store: str) -> None:
    import mlflow

    run = logged({"model.pth": state_dict()})
    first, second = hooks.mlflow("inspect", records="allow"), hooks.mlflow("weights-only")
    mlflow.artifacts.download_artifacts(run_id=run)
    assert (first.judged, second.judged) == (1, 1)
    first.uninstall()
    mlflow.artifacts.download_artifacts(run_id=run)
    second.uninstall()
    second.uninstall()
    mlflow.artifacts.download_artifacts(run_id=run)
    assert (first.judged, second.judged) == (1, 2)
