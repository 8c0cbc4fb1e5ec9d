"""Two policies become what the second permits that the first does not, and the other way round: names, uses, limits and capabilities, not lines of text.

Entries may be renamed, split and moved between files; where that changes no decision, nothing is reported.
"""

from __future__ import annotations

from collections.abc import Iterable

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
    """What a name may be used for, in words: `call, new as ordered-dict (list)`, `record`."""
    if isinstance(entry, Opaque):
        return f"inert record ({entry.capability})"
    args = f" ({' '.join(entry.args)})" if entry.args is not None else ""
    return f"{', '.join(sorted(entry.uses))} as {entry.constructor}{args}"


def _capabilities(policy: Policy) -> set[str]:
    return {entry.capability for entry in _permitted(policy).values()}


def _settings(before: Policy, after: Policy) -> Iterable[Change]:
    for name, old, new in (("mode", before.mode, after.mode), ("formats", ", ".join(before.formats), ", ".join(after.formats))):
        if old != new:
            yield Change(name=name, before=old, after=new)
    limits = after.limits.as_dict()
    for name, value in before.limits.as_dict().items():
        if value != limits[name]:
            yield Change(name=f"limits.{name.replace('_', '-')}", before=f"{value:,}", after=f"{limits[name]:,}")


