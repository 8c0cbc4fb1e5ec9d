"""Two policies become what the second permits that the first does not, and the other way round: names, uses, limits and capabilities, not lines of text.

Entries may be renamed, split and moved between files; where that changes no decision, nothing is reported.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from safeload.policy.model import Allow, Opaque, Policy
from safeload.policytools.writer import denials


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One name (or pattern) whose treatment differs. `before` and `after` are None where the policy does not list it."""

    name: str
    before: str | None
    after: str | None


class PolicyDiff(msgspec.Struct, frozen=True, kw_only=True):
    """From `before` to `after`. All parts are sorted; empty ones mean that nothing of the kind changed."""

    before: str
    after: str
    gained: tuple[Change, ...]  # names that only `after` lets through, as a value or as a record
    lost: tuple[Change, ...]
    changed: tuple[Change, ...]  # let through by both, with other uses, arguments or another meaning
    denied: tuple[Change, ...]  # names and patterns that `after` denies and `before` does not
    undenied: tuple[Change, ...]
    capabilities_gained: tuple[str, ...]
    capabilities_lost: tuple[str, ...]
    settings: tuple[Change, ...]  # mode, formats, limits, ...

    @property
    def is_empty(self) -> bool:
        """Do both decide alike?"""
        parts = (self.gained, self.lost, self.changed, self.denied, self.undenied, self.capabilities_gained, self.capabilities_lost, self.settings)
        return not any(parts)


def diff(before: Policy, after: Policy) -> PolicyDiff:
    """What changes for the files that are judged by `after` instead of `before`."""
    old, new = _permitted(before), _permitted(after)
    old_deny, new_deny = dict(denials(before)), dict(denials(after))
    old_can, new_can = _capabilities(before), _capabilities(after)
    return PolicyDiff(
        before=before.name,
        after=after.name,
        gained=tuple(Change(name=name, before=None, after=_meaning(new[name])) for name in sorted(new.keys() - old.keys())),
        lost=tuple(Change(name=name, before=_meaning(old[name]), after=None) for name in sorted(old.keys() - new.keys())),
        changed=tuple(
            Change(name=name, before=_meaning(old[name]), after=_meaning(new[name]))
            for name in sorted(old.keys() & new.keys())
            if _meaning(old[name]) != _meaning(new[name])
        ),
        denied=tuple(Change(name=name, before=None, after=new_deny[name].capability) for name in sorted(new_deny.keys() - old_deny.keys())),
        undenied=tuple(Change(name=name, before=old_deny[name].capability, after=None) for name in sorted(old_deny.keys() - new_deny.keys())),
        capabilities_gained=tuple(sorted(new_can - old_can)),
        capabilities_lost=tuple(sorted(old_can - new_can)),
        settings=tuple(_settings(before, after)),
    )


def _permitted(policy: Policy) -> dict[str, Allow | Opaque]:
    patterns = {f"{prefix}*": entry for prefix, entry in policy.opaque_prefix.items()}
    return {**policy.opaque_exact, **patterns, **policy.allow_exact}


def _meaning(entry: Allow | Opaque) -> str:
    """What a name may be used for, in words: `call, new as ordered-dict (list)`, `inert record (unknown), until 2027-01-31`."""
    until = f", until {entry.expires.isoformat()}" if entry.expires is not None else ""
    if isinstance(entry, Opaque):
        return f"inert record ({entry.capability}){until}"
    args = f" ({' '.join(entry.args)})" if entry.args is not None else ""
    return f"{', '.join(sorted(entry.uses))} as {entry.constructor}{args}{until}"


def _capabilities(policy: Policy) -> set[str]:
    return {entry.capability for entry in _permitted(policy).values()}


def _day(day: datetime.date | None) -> str:
    return day.isoformat() if day is not None else "never"


def _settings(before: Policy, after: Policy) -> Iterable[Change]:
    for name, old, new in (
        ("mode", before.mode, after.mode),
        ("formats", ", ".join(before.formats), ", ".join(after.formats)),
        ("expires", _day(before.expires), _day(after.expires)),
        ("provenance", _provenance(before), _provenance(after)),
    ):
        if old != new:
            yield Change(name=name, before=old, after=new)
    limits = after.limits.as_dict()
    for name, value in before.limits.as_dict().items():
        if value != limits[name]:
            yield Change(name=f"limits.{name.replace('_', '-')}", before=f"{value:,}", after=f"{limits[name]:,}")
    yield from _compared("rules.{}", before.rules, after.rules)
    yield from _compared("raise {}", _raises(before), _raises(after))
    yield from _compared("waive {}", _waives(before), _waives(after))


def _compared(title: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterable[Change]:
    """What differs between two tables of words; None where one of them lacks the key."""
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            yield Change(name=title.format(key), before=before.get(key), after=after.get(key))


def _raises(policy: Policy) -> dict[str, str]:
    return {entry.limit.replace("_", "-"): f"to {entry.value:,} until {entry.expires.isoformat()}" for entry in policy.raises}


def _waives(policy: Policy) -> dict[str, str]:
    return {f"{entry.rule} of {entry.sha256[:12]}...": f"until {entry.expires.isoformat()}" for entry in policy.waives}


def _provenance(policy: Policy) -> str:
    """In words, so that a change of the key or of a digest shows."""
    required = policy.provenance
    parts = []
    if required.digests is not None:
        parts.append(f"one of {len(required.digests):,} digests ({_short(sorted(required.digests))})")
    if required.signer is not None:
        signer = required.signer
        parts.append(f"signed by {signer.identity} ({signer.issuer})" if signer.key is None else f"signed by a key ({_short([signer.key])})")
    return " and ".join(parts) or "nothing"


def _short(texts: list[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


