"""What a caller names becomes a resolved policy: a shipped name, the path of a file, or a `Policy` as it is.

Light: reading and merging TOML files is `resolve`, and the default policy can do without (`compiled`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from safeload.errors import PolicyFileError
from safeload.policy.compiled import compiled_policy
from safeload.policy.model import Policy
from safeload.policy.shipped import SHIPPED, shipped_path

if TYPE_CHECKING:
    import datetime

_cache: dict[str, Policy] = {}  # shipped policies only: their files belong to the installation


def load_policy(policy: str | os.PathLike[str] | Policy, *, today: datetime.date | None = None) -> Policy:
    """A resolved policy: by the name of a shipped one, by the path of a file (`.toml`, or any `os.PathLike`), or as it is.

    `today` (UTC; default: now) is what the year of a waiver counts from; what has expired is the business of `Policy.on`. Raises `PolicyFileError` for a
    wrong file or an unknown name, `OSError` where a file cannot be read, `TypeError` for anything else.
    """
    if isinstance(policy, Policy):
        return policy
    if isinstance(policy, os.PathLike):
        return _from_file(os.fsdecode(policy), today)
    if not isinstance(policy, str):
        raise TypeError(f"a policy is a name, a path or a Policy, not {type(policy).__name__}")
    return _from_file(policy, today) if policy.endswith(".toml") else shipped_policy(policy)


def shipped_policy(name: str) -> Policy:
    """One of the shipped policies, resolved once per process. The caller gets tables of his own: what he does to them is not the next one's policy."""
    found = _cache.get(name)
    if found is None:
        if name not in SHIPPED:
            from safeload.policy.fields import suggestion

            raise PolicyFileError(name, [("", f"there is no shipped policy of this name{suggestion(name, SHIPPED)}; the path of a policy file ends in .toml")])
        found = _cache[name] = compiled_policy(name) or _from_file(shipped_path(name), None)
    return msgspec.structs.replace(
        found,
        allow_exact=dict(found.allow_exact),
        opaque_exact=dict(found.opaque_exact),
        opaque_prefix=dict(found.opaque_prefix),
        deny_exact=dict(found.deny_exact),
        deny_prefix=dict(found.deny_prefix),
        rules=dict(found.rules),
    )


def _from_file(path: str, today: datetime.date | None) -> Policy:
    from safeload.policy.resolve import from_file

    return from_file(path, (), today)
