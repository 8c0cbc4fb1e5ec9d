"""Downloads of other libraries become files that a policy accepts, or an error: `huggingface_hub`, `mlflow`, and `check` for everything else.

    with safeload.hooks.huggingface_hub("checkpoint"):
        folder = snapshot_download("org/model")            # raises where a file in it is not accepted

What a library has downloaded is judged before it gets the path. The file stays where it is; without its path nothing loads it. `safeload.guard()` is the
other half: it stands before the loaders, this behind the downloads. `safeload/hooks/checking.py` says what is let through; `docs/guard.md` shows both.
"""

from __future__ import annotations

from safeload.hooks.checking import PASSIVE, Hook, check
from safeload.hooks.hub import huggingface_hub
from safeload.hooks.registry import mlflow

__all__ = ["PASSIVE", "Hook", "check", "huggingface_hub", "mlflow"]
