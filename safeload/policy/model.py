"""The policy as records: what a TOML file turns into once it is parsed and its parents are merged in.

Three lists, in order of precedence: `deny` (beats both, is inherited and cannot be undone), `allow` (exact names, each with a constructor of the closed
table and the uses and argument shapes that it permits), `opaque` (exact names or `package.*`, kept as inert records). What none of them
lists is denied.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec

from safeload.limits import Limits

Mode = Literal["enforce", "scan-only", "audit"]
Use = Literal["reference", "call", "new", "build", "storage-type"]
_Entry = TypeVar("_Entry")


class Allow(msgspec.Struct, frozen=True, kw_only=True):
    """`[[allow]]`: these exact names, for these uses, with these arguments, mean this constructor (`as`)."""

    id: str
    globals: tuple[str, ...]
    uses: frozenset[Use]
    constructor: str  # `as`: an id in `policy.contracts.CONTRACTS`
    args: tuple[str, ...] | None  # argument shapes that narrow the constructor's own; None: the constructor's own alone
    capability: str
    reason: str
    evidence: tuple[str, ...]
    policy: str  # name of the policy whose file holds the entry


class Opaque(msgspec.Struct, frozen=True, kw_only=True):
    """`[[opaque]]`: names (exact, `package.*` or `*`) that become inert records."""

    id: str
    globals: tuple[str, ...]
    capability: str
    reason: str
    evidence: tuple[str, ...]
    policy: str


class Deny(msgspec.Struct, frozen=True, kw_only=True):
    """`[[deny]]`: names (exact or `package.*`) that no policy that extends this one can let through, and what they could do."""

    id: str
    globals: tuple[str, ...]
    capability: str
    reason: str
    policy: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What the policy says about one name, whatever its use."""

    kind: Literal["allowed", "opaque", "denied"]
    entry: Allow | Opaque | Deny | None  # None: no entry lists the name
    capability: str


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A resolved policy: parents merged, limits at their minimum. A value, never process-wide state.

    `allow_exact`, `opaque_exact`, `deny_exact` map a canonical name to its entry; the `*_prefix` maps hold `package.` for `package.*` and `""` for `*`.
    `sha256` is over the resolved content, so two policies with one digest decide alike.
    """

    name: str
    version: str
    summary: str
    owner: str
    mode: Mode
    formats: tuple[str, ...]
    limits: Limits
    allow_exact: dict[str, Allow]
    opaque_exact: dict[str, Opaque]
    opaque_prefix: dict[str, Opaque]
    deny_exact: dict[str, Deny]
    deny_prefix: dict[str, Deny]
    sha256: str
    file: str | None  # where it was read; None for one made in Python
    parents: tuple[str, ...] = ()

    def decide(self, name: str) -> Decision:
        """The entry for `name` (`module.name`, in the canonical Python 3 spelling): deny, then allow, then opaque, then denied for want of an entry."""
        deny = self.deny_exact.get(name) or _by_prefix(self.deny_prefix, name)
        if deny is not None:
            return Decision(kind="denied", entry=deny, capability=deny.capability)
        allow = self.allow_exact.get(name)
        if allow is not None:
            return Decision(kind="allowed", entry=allow, capability=allow.capability)
        opaque = self.opaque_exact.get(name) or _by_prefix(self.opaque_prefix, name)
        if opaque is not None:
            return Decision(kind="opaque", entry=opaque, capability=opaque.capability)
        return Decision(kind="denied", entry=None, capability="unknown")

    def keeps(self, name: str) -> bool:
        """Does an `[[opaque]]` entry cover this name? Then a call of it that does not fit its constructor may stay an inert record."""
        return name in self.opaque_exact or _by_prefix(self.opaque_prefix, name) is not None

    @property
    def has_opaque(self) -> bool:
        """Does any entry keep names as inert records? Then "accepted" speaks for safeload.load alone."""
        return bool(self.opaque_exact or self.opaque_prefix)


def _by_prefix(entries: dict[str, _Entry], name: str) -> _Entry | None:
    """The entry of the longest `package.` that `name` starts with, at a dot: `os.` covers `os.path.join` and not `ossaudiodev.open`."""
    if not entries:
        return None
    end = len(name)
    while (end := name.rfind(".", 0, end)) >= 0:
        found = entries.get(name[: end + 1])
        if found is not None:
            return found
    return entries.get("")
