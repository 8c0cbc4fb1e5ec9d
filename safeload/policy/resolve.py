"""A policy file and its parents become one `Policy`.

`merge` holds the laws for the entries, `inherit` those for everything beside them. Beyond those: the order of parents and the place of the files decide
nothing; `extends` never leads back to its start; a parent whose digest is pinned is that parent or an error.

The digest covers everything that decides, on whichever day, in one serialisation: sorted, canonical names. Prose, ids and places are not in it.
"""

from __future__ import annotations

import datetime
import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from safeload.policy.fields import Problems, suggestion
from safeload.policy.inherit import check_mode, merge_expires, merge_formats, merge_limits, merge_provenance, merge_rules, merge_waives
from safeload.policy.merge import Tables
from safeload.policy.model import Ancestor, Deny, Opaque, Policy
from safeload.policy.named import load_policy, shipped_policy
from safeload.policy.shipped import SHIPPED, shipped_path
from safeload.policy.toml import Parent, PolicyFile, check_policy, read_policy

__all__ = ["MAX_ANCESTORS", "from_file", "load_policy", "policy_from_dict", "resolve_file"]

MAX_ANCESTORS = 16  # policies from the first to its farthest ancestor; the shipped chain is 4 long

_Record = TypeVar("_Record", Opaque, Deny)


def policy_from_dict(document: Mapping[str, Any], *, base: str | None = None, today: datetime.date | None = None) -> Policy:
    """A resolved policy from a mapping with the keys of the TOML format (`"as"`, `"file-bytes"`, ...). Paths in it are relative to the folder `base`.

    Raises `PolicyFileError`; its `file` is `<policy>`.
    """
    return resolve_file(check_policy(document, None, today), base, today=today)


def resolve_file(file: PolicyFile, base: str | None, *, today: datetime.date | None = None) -> Policy:
    """The policy that a file means; `base` is the folder that its paths are relative to."""
    return _resolve(file, base, (), today)


def from_file(path: str, chain: tuple[str, ...], today: datetime.date | None) -> Policy:
    """The policy of a file; `chain` holds the files that led here. Raises `PolicyFileError`, `OSError`."""
    return _resolve(read_policy(path, today), os.path.dirname(path), (*chain, os.path.realpath(path)), today)


def _resolve(file: PolicyFile, base: str | None, chain: tuple[str, ...], today: datetime.date | None) -> Policy:
    """Merge the parents, then the file's own; `chain` holds the files that led here."""
    problems: Problems = []
    found = [_parent(parent, place, base, chain, today, problems) for place, parent in enumerate(file.extends)]
    parents = [parent for parent in found if parent is not None]
    merged = Tables()
    for parent in parents:
        merged.inherit(parent, problems)
    merged.add(file, problems)
    check_mode(file, parents, problems)
    formats = merge_formats(file, parents, problems)
    limits, raises = merge_limits(file, parents, problems)
    rules = merge_rules(file, parents, problems)
    provenance = merge_provenance(file, parents, base, problems)
    if problems:
        raise file.error(problems)
    merged.drop_denied()
    policy = Policy(
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
        sha256="",
        file=file.file,
        parents=tuple(parent.name for parent in parents),
        expires=merge_expires(file, parents),
        rules=rules,
        raises=raises,
        waives=merge_waives(file, parents),
        provenance=provenance,
        ancestors=_ancestors(parents),
        own_expires=file.expires,
    )
    return msgspec.structs.replace(policy, sha256=_digest(policy))


def _parent(parent: Parent, place: int, base: str | None, chain: tuple[str, ...], today: datetime.date | None, problems: Problems) -> Policy | None:
    """The policy that `extends` names, or None and a problem. What is wrong inside of a parent is the parent's own `PolicyFileError`."""
    name, path = parent.policy, f"extends[{place}]"
    found = None
    if name.endswith(".toml"):
        if base is None and not os.path.isabs(name):
            problems.append((path, f"{name!a:.80} is relative to no file; give an absolute path, or base="))
        else:
            found = _unless_cycle(name, os.path.join(base or "", name), path, chain, today, problems)
    elif name in SHIPPED:
        found = _unless_cycle(name, shipped_path(name), path, chain, today, problems)
    else:
        problems.append((path, f"there is no shipped policy {name!a:.60}{suggestion(name, SHIPPED)}; the path of a policy file ends in .toml"))
    if found is not None and parent.sha256 not in (None, found.sha256):
        message = f"{name!a:.80} now has the digest {found.sha256}: what it decides is not what was pinned; look at the difference, then pin that"
        problems.append((f"{path}.sha256", message))
    return found


def _unless_cycle(name: str, file: str, path: str, chain: tuple[str, ...], today: datetime.date | None, problems: Problems) -> Policy | None:
    if os.path.realpath(file) in chain:
        problems.append((path, f"{name!a:.80} leads back to this policy: a policy cannot extend itself"))
        return None
    if len(chain) >= MAX_ANCESTORS:
        problems.append((path, f"{name!a:.80} is more than {MAX_ANCESTORS} policies away from the first"))
        return None
    try:
        return shipped_policy(name) if name in SHIPPED else from_file(file, chain, today)
    except OSError as error:
        problems.append((path, f"{name!a:.80} cannot be read: {error.strerror or error}"))
    return None


def _ancestors(parents: list[Policy]) -> tuple[Ancestor, ...]:
    """All of them, each once, the parents first."""
    found: dict[Ancestor, None] = {}
    for parent in parents:
        found[Ancestor(name=parent.name, version=parent.version, sha256=parent.sha256, file=parent.file, expires=parent.own_expires)] = None
    for parent in parents:
        found.update(dict.fromkeys(parent.ancestors))
    return tuple(found)


# ---- the digest -------------------------------------------------------------------------------------------------------------------------


def _digest(policy: Policy) -> str:
    """sha256, in hex, of the resolved content as JSON with sorted keys."""
    signer = policy.provenance.signer
    document = {
        "schema": 1,
        "name": policy.name,
        "version": policy.version,
        "mode": policy.mode,
        "formats": policy.formats,
        "expires": policy.expires,
        "limits": policy.limits.as_dict(),
        "raise": [[entry.limit, entry.value, entry.expires] for entry in policy.raises],
        "rules": policy.rules,
        "waive": [[entry.rule, entry.sha256, entry.expires] for entry in policy.waives],
        "provenance": [
            sorted(policy.provenance.digests) if policy.provenance.digests is not None else None,
            [signer.key, signer.identity, signer.issuer] if signer is not None else None,
        ],
        "allow": {
            name: [entry.constructor, sorted(entry.uses), entry.args, entry.capability, entry.expires] for name, entry in policy.allow_exact.items()
        },
        "opaque": {name: [entry.capability, entry.expires] for name, entry in _listed(policy.opaque_exact, policy.opaque_prefix)},
        "deny": {name: entry.capability for name, entry in _listed(policy.deny_exact, policy.deny_prefix)},
    }
    return hashlib.sha256(msgspec.json.encode(document, order="sorted")).hexdigest()


def _listed(exact: Mapping[str, _Record], prefixes: Mapping[str, _Record]) -> Iterable[tuple[str, _Record]]:
    yield from exact.items()
    yield from ((f"{prefix}*", entry) for prefix, entry in prefixes.items())
