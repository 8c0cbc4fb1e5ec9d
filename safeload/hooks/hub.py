"""`huggingface_hub.hf_hub_download` and `snapshot_download` give only what a policy accepts, also to the libraries that call them.

Not reached: other processes (`hf download`), and code that reads remote files without downloading them (`HfFileSystem`). Files that were in the cache
before are judged as well, at every call.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from safeload import api
from safeload.hooks.checking import PASSIVE, Hook
from safeload.hooks.replacing import put_back, replace
from safeload.limits import Limits
from safeload.policy.model import Policy

INNER = "huggingface_hub._snapshot_download"  # fetches file by file; the folder is judged once, when it is whole


def huggingface_hub(
    policy: str | os.PathLike[str] | Policy | None = None,
    *,
    records: Literal["refuse", "allow"] = "refuse",
    enforce: bool = True,
    passive: Iterable[str] = PASSIVE,
    limits: Limits | Mapping[str, int] | None = None,
) -> Hook:
    """Judge what `hf_hub_download` and `snapshot_download` have downloaded, before they return it. Until `uninstall()`, or for a `with` block.

    `policy` as for `load`, default `"checkpoint"`. `records="allow"` lets names through that the policy keeps as inert records, which another loader will
    import. `enforce=False` warns (`GuardWarning`) and returns. `passive`: patterns of the files that need not be checkpoints; add to `PASSIVE` what your
    models bring along (`(*PASSIVE, "*.py")`: code that somebody will run).

    The replaced functions raise `CheckpointError`. Raises `PolicyFileError`, `ValueError` for other words, and `ImportError` without huggingface_hub
    (`pip install 'safeload[hub]'`).
    """
    from huggingface_hub import _snapshot_download, file_download

    resolved, budget_limits = api.policy_and_limits(policy, limits)
    hook = _Installed(resolved, budget_limits, records=records, enforce=enforce, passive=passive)
    hook.install(file_download.hf_hub_download, but=(INNER,))
    hook.install(_snapshot_download.snapshot_download)
    return hook


class _Installed(Hook):
    """A hook that knows what it has replaced."""

    __slots__ = ("_replaced",)

    def __init__(self, policy: Policy, limits: Limits, **options: Any) -> None:
        super().__init__(policy, limits, **options)
        self._replaced: list[tuple[Callable[..., Any], Callable[..., Any]]] = []

    def install(self, original: Callable[..., Any], *, but: tuple[str, ...] = ()) -> None:
        """Judge what this function returns, wherever it stands except in the modules `but`."""

        @functools.wraps(original)
        def download(*args: Any, **kwargs: Any) -> Any:
            found = original(*args, **kwargs)
            if self.active and isinstance(found, (str, os.PathLike)):  # a dry run returns no path
                self.judge(found)
            return found

        replace(original, download, but=but)
        self._replaced.append((original, download))

    def uninstall(self) -> None:
        """Put the functions back."""
        super().uninstall()
        for original, ours in self._replaced:
            put_back(original, ours)
        self._replaced.clear()
