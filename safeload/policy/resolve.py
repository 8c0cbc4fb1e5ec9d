"""A policy file and its parents become one `Policy`.

`merge` holds the laws for the entries. Beyond those: limits take the minimum; what extends a scan-only policy loads nothing either; the order of
parents and the place of the files decide nothing; `extends` never leads back to its start.

The digest covers everything that decides and everything that a report quotes (ids, capabilities), in one serialisation: sorted, canonical names.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from safeload.errors import PolicyFileError
from safeload.limits import DEFAULT_LIMITS, Limits
from safeload.policy.fields import Problems, suggestion
from safeload.policy.merge import Tables
from safeload.policy.model import Deny, Opaque, Policy
from safeload.policy.shipped import SHIPPED, shipped_path
from safeload.policy.toml import PolicyFile, check_policy, read_policy

MAX_ANCESTORS = 16  # policies from the first to its farthest ancestor; the shipped chain is 4 long

_cache: dict[str, Policy] = {}  # shipped policies only: their files belong to the installation


def load_policy(policy: str | os.PathLike[str] | Policy) -> Policy:
    """A resolved policy: by the name of a shipped one, by the path of a file (`.toml`, or any `os.PathLike`), or as it is.

    Raises `PolicyFileError` for a wrong file or an unknown name, `OSError` where a file cannot be read, `TypeError` for anything else.
    """
    if isinstance(policy, Policy):
        return policy
    if isinstance(policy, os.PathLike):
        return _from_file(os.fsdecode(policy), ())
    if not isinstance(policy, str):
        raise TypeError(f"a policy is a name, a path or a Policy, not {type(policy).__name__}")
    return _from_file(policy, ()) if policy.endswith(".toml") else _shipped(policy)


def policy_from_dict(document: Mapping[str, Any], *, base: str | None = None) -> Policy:
    """A resolved policy from a mapping with the keys of the TOML format (`"as"`, `"file-bytes"`, ...). Paths in `extends` are relative to the folder `base`.

    Raises `PolicyFileError`; its `file` is `<policy>`.
    """
    return _resolve(check_policy(document, None), base, ())


def _shipped(name: str) -> Policy:
    """One of the shipped policies, resolved once per process. The caller gets tables of his own: what he does to them is not the next one's policy."""
    found = _cache.get(name)
    if found is None:
        if name not in SHIPPED:
            raise PolicyFileError(name, [("", f"there is no shipped policy of this name{suggestion(name, SHIPPED)}; the path of a policy file ends in .toml")])
        found = _cache[name] = _from_file(shipped_path(name), ())
    return msgspec.structs.replace(
        found,
        allow_exact=dict(found.allow_exact),
        opaque_exact=dict(found.opaque_exact),
        opaque_prefix=dict(found.opaque_prefix),
        deny_exact=dict(found.deny_exact),
        deny_prefix=dict(found.deny_prefix),
    )


def _from_file(path: str, chain: tuple[str, ...]) -> Policy:
    return _resolve(read_policy(path), os.path.dirname(path), (*chain, os.path.realpath(path)))


def _resolve(file: PolicyFile, base: str | None, chain: tuple[str, ...]) -> Policy:
    """Merge the parents, then the file's own entries; `chain` holds the files that led here."""
    problems: Problems = []
    parents = [parent for place, name in enumerate(file.extends) if (parent := _parent(name, f"extends[{place}]", base, chain, problems)) is not None]
    merged = Tables()
    for parent in parents:
        merged.inherit(parent, problems)
    merged.add(file, problems)
    formats = _formats(file, parents, problems)
    if file.mode == "enforce" and any(parent.mode == "scan-only" for parent in parents):
        problems.append(("mode", "'enforce' loads files, and a parent is 'scan-only': a policy can tighten its parents, never loosen them"))
    if problems:
        raise PolicyFileError(file.file or "<policy>", problems)
    merged.drop_denied()
    limits = DEFAULT_LIMITS
    for parent in parents:
        limits = limits.tightened(parent.limits.as_dict())
    limits = limits.tightened(file.limits)
    return Policy(
        name=file.name,
        version=file.version,
        summary=file.summary,
        owner=file.owner,
        mode=file.mode,
        formats=formats,
        limits=limits,
        allow_exact=merged.allow_exact,
        opaque_exact=merged.opaque_exact,
        opaque_prefix=merged.opaque_prefix,
        deny_exact=merged.deny_exact,
        deny_prefix=merged.deny_prefix,
        sha256=_digest(file, formats, limits, merged),
        file=file.file,
        parents=tuple(parent.name for parent in parents),
    )


def _parent(name: str, path: str, base: str | None, chain: tuple[str, ...], problems: Problems) -> Policy | None:
    """The policy that `extends` names, or None and a problem. What is wrong inside of a parent is the parent's own `PolicyFileError`."""
    if not name.endswith(".toml"):
        if name in SHIPPED:
            return _unless_cycle(name, shipped_path(name), path, chain, problems)
        problems.append((path, f"there is no shipped policy {name!a:.60}{suggestion(name, SHIPPED)}; the path of a policy file ends in .toml"))
        return None
    if base is None and not os.path.isabs(name):
        problems.append((path, f"{name!a:.80} is relative to no file; give an absolute path, or base="))
        return None
    return _unless_cycle(name, os.path.join(base or "", name), path, chain, problems)


def _unless_cycle(name: str, file: str, path: str, chain: tuple[str, ...], problems: Problems) -> Policy | None:
    if os.path.realpath(file) in chain:
        problems.append((path, f"{name!a:.80} leads back to this policy: a policy cannot extend itself"))
        return None
    if len(chain) >= MAX_ANCESTORS:
        problems.append((path, f"{name!a:.80} is more than {MAX_ANCESTORS} policies away from the first"))
        return None
    try:
        return _shipped(name) if name in SHIPPED else _from_file(file, chain)
    except OSError as error:
        problems.append((path, f"{name!a:.80} cannot be read: {error.strerror or error}"))
        return None


def _formats(file: PolicyFile, parents: list[Policy], problems: Problems) -> tuple[str, ...]:
    """The file's own, or what all of its parents say."""
    if file.formats is not None:
        return tuple(sorted(file.formats))
    inherited = {parent.formats for parent in parents}
    if len(inherited) > 1:
        problems.append(("formats", "missing, and the parents do not agree: " + " / ".join(sorted(", ".join(each) for each in inherited))))
    return next(iter(inherited)) if inherited else ("*",)


# ---- the digest -------------------------------------------------------------------------------------------------------------------------


def _digest(file: PolicyFile, formats: tuple[str, ...], limits: Limits, tables: Tables) -> str:
    """sha256, in hex, of the resolved content as JSON with sorted keys. Prose (summary, owner, reason, evidence) and places are not in it."""
    document = {
        "schema": 1,
        "name": file.name,
        "version": file.version,
        "mode": file.mode,
        "formats": formats,
        "limits": limits.as_dict(),
        "allow": {
            name: [entry.policy, entry.id, entry.constructor, sorted(entry.uses), entry.args, entry.capability] for name, entry in tables.allow_exact.items()
        },
        "opaque": _listed(tables.opaque_exact.items(), tables.opaque_prefix.items()),
        "deny": _listed(tables.deny_exact.items(), tables.deny_prefix.items()),
    }
    return hashlib.sha256(msgspec.json.encode(document, order="sorted")).hexdigest()


def _listed(exact: Iterable[tuple[str, Opaque | Deny]], prefixes: Iterable[tuple[str, Opaque | Deny]]) -> dict[str, list[str]]:
    named = {name: [entry.policy, entry.id, entry.capability] for name, entry in exact}
    return named | {f"{prefix}*": [entry.policy, entry.id, entry.capability] for prefix, entry in prefixes}
