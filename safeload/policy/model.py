"""The policy as records: what a TOML file turns into once it is parsed and its parents are merged in.

Three lists, in order of precedence: `deny` (beats both, is inherited and cannot be undone), `allow` (exact names, each with a constructor of the closed
table and the uses and argument shapes that it permits), `opaque` (exact names or `package.*`, kept as inert records). What none of them
lists is denied.

A policy is a value and knows no clock. `Policy.on(day)` is the policy as it holds on one day (UTC): what has expired refuses, and nothing else steps into
its place. Every date is the last day on which its entry holds.
"""

from __future__ import annotations

import datetime
from typing import Literal, TypeVar

import msgspec

from safeload.findings import Level
from safeload.limits import Limits

Mode = Literal["enforce", "scan-only", "audit"]
Use = Literal["reference", "call", "new", "build", "storage-type"]
Require = Literal["nothing", "sha256", "signature"]
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
    reviewed_by: str | None = None
    reviewed_on: datetime.date | None = None
    expires: datetime.date | None = None
    file: str | None = None  # where the entry stands: for messages
    line: int | None = None  # of its header, from 1


class Opaque(msgspec.Struct, frozen=True, kw_only=True):
    """`[[opaque]]`: names (exact, `package.*` or `*`) that become inert records."""

    id: str
    globals: tuple[str, ...]
    capability: str
    reason: str
    evidence: tuple[str, ...]
    policy: str
    reviewed_by: str | None = None
    reviewed_on: datetime.date | None = None
    expires: datetime.date | None = None
    file: str | None = None
    line: int | None = None


class Deny(msgspec.Struct, frozen=True, kw_only=True):
    """`[[deny]]`: names (exact or `package.*`) that no policy that extends this one can let through, and what they could do. A denial never expires."""

    id: str
    globals: tuple[str, ...]
    capability: str
    reason: str
    policy: str
    reviewed_by: str | None = None
    reviewed_on: datetime.date | None = None
    file: str | None = None
    line: int | None = None


class Raise(msgspec.Struct, frozen=True, kw_only=True):
    """`[[raise]]`: one limit is higher until a day, for a reason that somebody answers for."""

    limit: str  # as `Limits` spells it
    value: int
    reason: str
    owner: str
    expires: datetime.date
    policy: str
    file: str | None = None
    line: int | None = None


class Waive(msgspec.Struct, frozen=True, kw_only=True):
    """`[[waive]]`: findings of one rule do not decide about one file, which its sha256 names, until a day."""

    rule: str
    sha256: str
    reason: str
    owner: str
    expires: datetime.date
    policy: str
    file: str | None = None
    line: int | None = None


class Signer(msgspec.Struct, frozen=True, kw_only=True):
    """Who has to have signed a file: a public key, or an identity that a Sigstore issuer vouches for."""

    key: str | None = None  # PEM text of a public key
    identity: str | None = None
    issuer: str | None = None


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """`[provenance]`: what has to be known of where a file comes from. Both conditions hold where both are there."""

    digests: frozenset[str] | None = None  # the file's sha256 is one of these; None: no matter
    signer: Signer | None = None

    @property
    def require(self) -> Require:
        """The strongest of what is required, in the words of the format."""
        return "signature" if self.signer is not None else "sha256" if self.digests is not None else "nothing"


class Ancestor(msgspec.Struct, frozen=True, kw_only=True):
    """One of the policies that were merged into another."""

    name: str
    version: str
    sha256: str
    file: str | None
    expires: datetime.date | None  # its own date


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What the policy says about one name, whatever its use."""

    kind: Literal["allowed", "opaque", "denied"]
    entry: Allow | Opaque | Deny | None  # None: no entry lists the name
    capability: str
    expired: bool = False  # denied because the entry that would let the name through has expired


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A resolved policy: parents merged, limits at their minimum. A value, never process-wide state.

    `allow_exact`, `opaque_exact`, `deny_exact` map a canonical name to its entry; the `*_prefix` maps hold `package.` for `package.*` and `""` for `*`.
    `sha256` is over the resolved content, so two policies with one digest decide alike on every day.
    """

    name: str
    version: str
    summary: str
    owner: str
    mode: Mode
    formats: tuple[str, ...]
    limits: Limits  # without the raises; `on` applies those that hold
    allow_exact: dict[str, Allow]
    opaque_exact: dict[str, Opaque]
    opaque_prefix: dict[str, Opaque]
    deny_exact: dict[str, Deny]
    deny_prefix: dict[str, Deny]
    sha256: str
    file: str | None  # where it was read; None for one made in Python
    parents: tuple[str, ...] = ()
    expires: datetime.date | None = None  # the earliest date of the policy and all of its ancestors
    rules: dict[str, Level] = {}  # rule code -> level
    raises: tuple[Raise, ...] = ()
    waives: tuple[Waive, ...] = ()
    provenance: Provenance = Provenance()
    own_expires: datetime.date | None = None  # its own date, without those of the ancestors
    ancestors: tuple[Ancestor, ...] = ()  # all of them, the nearest first, each once
    today: datetime.date | None = None  # the day that `on` was asked for; None: nothing has expired, and no raise holds

    def on(self, day: datetime.date) -> Policy:
        """The policy as it holds on `day`. Asked a second time it stays what it is: whoever judges takes the first answer."""
        if self.today is not None:
            return self
        raised: dict[str, int] = {}
        for entry in self.raises:
            if day <= entry.expires:
                raised[entry.limit] = max(entry.value, raised.get(entry.limit, self.limits.as_dict()[entry.limit]))
        return msgspec.structs.replace(self, today=day, limits=self.limits.replaced(raised))

    @property
    def has_expired(self) -> bool:
        """Is the day of `on` behind the date of the policy, or of one of its ancestors?"""
        return _past(self.expires, self.today)

    def decide(self, name: str) -> Decision:
        """The entry for `name` (`module.name`, in the canonical Python 3 spelling): deny, then allow, then opaque, then denied for want of an entry.

        An entry that has expired refuses what it used to let through, also where another, wider one would cover the name.
        """
        deny = self.deny_exact.get(name) or _by_prefix(self.deny_prefix, name)
        if deny is not None:
            return Decision(kind="denied", entry=deny, capability=deny.capability)
        allow = self.allow_exact.get(name)
        if allow is not None:
            expired = _past(allow.expires, self.today)
            return Decision(kind="denied" if expired else "allowed", entry=allow, capability=allow.capability, expired=expired)
        opaque = self._opaque(name)
        if opaque is not None:
            expired = _past(opaque.expires, self.today)
            return Decision(kind="denied" if expired else "opaque", entry=opaque, capability=opaque.capability, expired=expired)
        return Decision(kind="denied", entry=None, capability="unknown")

    def keeps(self, name: str) -> bool:
        """Does an `[[opaque]]` entry cover this name? Then a call of it that does not fit its constructor may stay an inert record."""
        opaque = self._opaque(name)
        return opaque is not None and not _past(opaque.expires, self.today)

    def _opaque(self, name: str) -> Opaque | None:
        return self.opaque_exact.get(name) or _by_prefix(self.opaque_prefix, name)

    @property
    def has_opaque(self) -> bool:
        """Does any entry keep names as inert records? Then "accepted" speaks for safeload.load alone."""
        return bool(self.opaque_exact or self.opaque_prefix)


def _past(expires: datetime.date | None, today: datetime.date | None) -> bool:
    """Is `today` behind the last day?"""
    return expires is not None and today is not None and today > expires


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
