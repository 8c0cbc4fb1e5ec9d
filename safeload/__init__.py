"""Open any PyTorch checkpoint; run none of it.

`load` gives numpy or CuPy arrays, `scan` a report, `open` a lazy view. The public names are loaded on first use, so `import safeload` costs next to nothing,
and a scan never imports numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from safeload.api import RestrictedUnpickler as RestrictedUnpickler
    from safeload.api import get_unsafe_globals_in_checkpoint as get_unsafe_globals_in_checkpoint
    from safeload.api import load as load
    from safeload.api import open as open
    from safeload.api import scan as scan
    from safeload.errors import CheckpointError as CheckpointError
    from safeload.errors import ContainerError as ContainerError
    from safeload.errors import DeviceUnavailable as DeviceUnavailable
    from safeload.errors import LimitExceeded as LimitExceeded
    from safeload.errors import PolicyFileError as PolicyFileError
    from safeload.errors import PolicyRejected as PolicyRejected
    from safeload.errors import SafeloadError as SafeloadError
    from safeload.errors import StorageError as StorageError
    from safeload.errors import StreamError as StreamError
    from safeload.errors import UnsupportedFormat as UnsupportedFormat
    from safeload.findings import Finding as Finding
    from safeload.findings import Report as Report
    from safeload.guarding import Guard as Guard
    from safeload.guarding import GuardWarning as GuardWarning
    from safeload.guarding import guard as guard
    from safeload.limits import Limits as Limits
    from safeload.modules import state_dict as state_dict
    from safeload.placement.registry import register_package as register_package
    from safeload.policy.model import Policy as Policy
    from safeload.policy.named import load_policy as load_policy
    from safeload.sweep.many import scan_many as scan_many

# Listed twice, for readers of types above and for Python below: a computed import would be shorter and is what this project exists to avoid.
__all__ = [
    "CheckpointError", "ContainerError", "DeviceUnavailable", "Finding", "Guard", "GuardWarning", "LimitExceeded", "Limits", "Policy", "PolicyFileError",
    "PolicyRejected", "Report", "RestrictedUnpickler", "SafeloadError", "StorageError", "StreamError", "UnsupportedFormat", "get_unsafe_globals_in_checkpoint",
    "guard", "load", "load_policy", "open", "register_package", "scan", "scan_many",
    "state_dict",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name in ("load", "scan", "open", "RestrictedUnpickler", "get_unsafe_globals_in_checkpoint"):
        from safeload import api

        return vars(api)[name]
    if name in ("Finding", "Report"):
        from safeload import findings

        return vars(findings)[name]
    if name in ("Guard", "GuardWarning", "guard"):
        from safeload import guarding

        return vars(guarding)[name]
    if name == "Limits":
        from safeload.limits import Limits

        return Limits
    if name == "Policy":
        from safeload.policy.model import Policy

        return Policy
    if name == "load_policy":
        from safeload.policy.named import load_policy

        return load_policy
    if name == "scan_many":
        from safeload.sweep.many import scan_many

        return scan_many
    if name == "state_dict":
        from safeload.modules import state_dict

        return state_dict
    if name == "register_package":
        from safeload.placement.registry import register_package

        return register_package
    if name in __all__:
        from safeload import errors

        return vars(errors)[name]
    raise AttributeError(f"module 'safeload' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
