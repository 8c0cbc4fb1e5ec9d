"""MLflow's artifacts, models among them, reach their flavor's loader only when a policy accepts all that was downloaded.

Every download of MLflow (`mlflow.artifacts.download_artifacts`, `mlflow.<flavor>.load_model`, `MlflowClient.download_artifacts`) asks
`get_artifact_repository` for a repository, and that for its `download_artifacts`. The repositories that are given out judge what they return. Artifacts on
this machine are judged where they lie. Not reached: other processes (`mlflow models serve` starts its own), and repositories that were made before.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any, Literal

from safeload import api
from safeload.hooks.checking import PASSIVE, Hook
from safeload.hooks.replacing import put_back, replace
from safeload.limits import Limits
from safeload.policy.model import Policy


def mlflow(
    policy: str | os.PathLike[str] | Policy | None = None,
    *,
    records: Literal["refuse", "allow"] = "refuse",
    enforce: bool = True,
    passive: Iterable[str] = PASSIVE,
    limits: Limits | Mapping[str, int] | None = None,
) -> Hook:
    """Judge what MLflow has downloaded, before it is returned or loaded. The words are those of `huggingface_hub`.

    Many flavors pickle whole objects (cloudpickle, scikit-learn, `torch.save(model)`); `checkpoint` refuses those. Where they have to pass, say a policy that
    lists their classes, and `records="allow"`.

    What is replaced raises `CheckpointError`. Raises `PolicyFileError`, `ValueError` for other words, and `ImportError` without MLflow.
    """
    from mlflow.store.artifact import artifact_repository_registry

    resolved, budget_limits = api.policy_and_limits(policy, limits)
    hook = _Installed(resolved, budget_limits, records=records, enforce=enforce, passive=passive)
    hook.install(artifact_repository_registry.get_artifact_repository)
    return hook


class _Installed(Hook):
    """A hook that knows what it has replaced."""

    __slots__ = ("_inside", "_original", "_ours")

    def install(self, original: Callable[..., Any]) -> None:
        """Judge what the repositories that this function makes return."""

        @functools.wraps(original)
        def get_artifact_repository(*args: Any, **kwargs: Any) -> Any:
            repository = original(*args, **kwargs)
            if self.active:
                repository.download_artifacts = self._judging(repository.download_artifacts)
            return repository

        self._inside: ContextVar[bool] = ContextVar("safeload_mlflow_inside", default=False)  # repositories ask others: the outermost is judged
        self._original, self._ours = original, get_artifact_repository
        replace(original, get_artifact_repository)

    def _judging(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def download_artifacts(*args: Any, **kwargs: Any) -> Any:
            if not self.active or self._inside.get():
                return original(*args, **kwargs)
            token = self._inside.set(True)
            try:
                found = original(*args, **kwargs)
            finally:
                self._inside.reset(token)
            self.judge(found)
            return found

        return download_artifacts

    def uninstall(self) -> None:
        """Put the function back; repositories that were given out judge no more."""
        if self.active:
            put_back(self._original, self._ours)
        super().uninstall()
