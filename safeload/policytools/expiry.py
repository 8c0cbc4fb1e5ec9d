"""A policy becomes the list of what in it ends, in the order of the days: itself and its ancestors, entries, raises and waivers."""

from __future__ import annotations

import datetime

import msgspec

from safeload.policy.model import Policy
from safeload.policytools.writer import grouped


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that ends. `expires` is the last day on which it holds (UTC)."""

    expires: datetime.date
    kind: str  # policy, allow, opaque, raise or waive
    name: str
    policy: str
    file: str | None
    line: int | None

    def left(self, today: datetime.date) -> int:
        """Days that it still holds behind today; below zero where it has expired."""
        return (self.expires - today).days


def endings(policy: Policy) -> list[Ending]:
    """All of them, the earliest first."""
    found: list[Ending] = []
    if policy.own_expires is not None:
        found.append(Ending(expires=policy.own_expires, kind="policy", name=policy.name, policy=policy.name, file=policy.file, line=None))
    found += [
        Ending(expires=ancestor.expires, kind="policy", name=ancestor.name, policy=ancestor.name, file=ancestor.file, line=None)
        for ancestor in policy.ancestors
        if ancestor.expires is not None
    ]
    patterns = [(f"{prefix}*", entry) for prefix, entry in policy.opaque_prefix.items()]
    for allow, _ in grouped(policy.allow_exact.items()):
        if allow.expires is not None:
            found.append(Ending(expires=allow.expires, kind="allow", name=allow.id, policy=allow.policy, file=allow.file, line=allow.line))
    for opaque, _ in grouped([*policy.opaque_exact.items(), *patterns]):
        if opaque.expires is not None:
            found.append(Ending(expires=opaque.expires, kind="opaque", name=opaque.id, policy=opaque.policy, file=opaque.file, line=opaque.line))
    for limit in policy.raises:
        name = limit.limit.replace("_", "-")
        found.append(Ending(expires=limit.expires, kind="raise", name=name, policy=limit.policy, file=limit.file, line=limit.line))
    for waiver in policy.waives:
        name = f"{waiver.rule} of {waiver.sha256[:12]}..."
        found.append(Ending(expires=waiver.expires, kind="waive", name=name, policy=waiver.policy, file=waiver.file, line=waiver.line))
    return sorted(found, key=lambda ending: (ending.expires, ending.kind, ending.name))
