"""Reports under one policy become the entries of it that nothing used: candidates for removal."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from safeload.findings import Report
from safeload.policy.model import Allow, Opaque, Policy
from safeload.policytools.writer import grouped


class Unused(msgspec.Struct, frozen=True, kw_only=True):
    """One `allow` or `opaque` entry: the names that no file mentioned. `whole`: none of its names was."""

    kind: str
    entry: Allow | Opaque
    names: tuple[str, ...]
    whole: bool


def unused(policy: Policy, reports: Iterable[Report], *, inherited: bool = False) -> list[Unused]:
    """What the files did not use, of the policy's own entries or of `inherited` ones too, in the order of policy and id. A pattern counts as one name."""
    from safeload.policy.aliases import canonical_name

    named = {canonical_name(use.global_name) for report in reports for use in report.globals}
    matched = {entry.id: entry for name in named if isinstance(entry := policy.decide(name).entry, Opaque)}
    found: list[Unused] = []
    patterns = [(f"{prefix}*", entry) for prefix, entry in policy.opaque_prefix.items()]
    for kind, groups in (("allow", grouped(policy.allow_exact.items())), ("opaque", grouped([*policy.opaque_exact.items(), *patterns]))):
        for entry, names in groups:
            if entry.policy != policy.name and not inherited:
                continue
            idle = tuple(name for name in names if not (entry.id in matched if name.endswith("*") else name in named))
            if idle:
                found.append(Unused(kind=kind, entry=entry, names=idle, whole=len(idle) == len(names)))
    return found
