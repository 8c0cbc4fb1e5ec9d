"""Entries of a policy and of its parents become one set of tables.

The laws, each a test:

* deny is inherited, beats allow and opaque, and cannot be undone; an own entry that a denial covers is an error, because it could never match;
* allow and opaque add up; a name that a parent lists cannot be listed again, so nobody loosens an entry by repeating it;
* two parents may both list a name only with one meaning, and their order does not decide whose entry a report quotes;
* of two entries that two parents have for one name, the one that ends first stays.

Names are keyed by their canonical spelling (`aliases`); patterns by their prefix, `package.` for `package.*` and `""` for `*`.
"""

from __future__ import annotations

import datetime
from typing import TypeVar

from safeload.policy.aliases import canonical_name
from safeload.policy.fields import Problems
from safeload.policy.model import Allow, Deny, Opaque, Policy
from safeload.policy.toml import PolicyFile

_Entry = TypeVar("_Entry", Allow, Opaque, Deny)


class Tables:
    """The five tables of a `Policy` while they are merged."""

    __slots__ = ("allow_exact", "deny_exact", "deny_prefix", "opaque_exact", "opaque_prefix")

    def __init__(self) -> None:
        self.allow_exact: dict[str, Allow] = {}
        self.opaque_exact: dict[str, Opaque] = {}
        self.opaque_prefix: dict[str, Opaque] = {}
        self.deny_exact: dict[str, Deny] = {}
        self.deny_prefix: dict[str, Deny] = {}

    def inherit(self, parent: Policy, problems: Problems) -> None:
        """Take over a parent. Two parents may list one name only with one meaning; whose entry a report then quotes must not depend on their order."""
        for name, entry in parent.allow_exact.items():
            other = self.allow_exact.get(name)
            if other is not None and _meaning(other) != _meaning(entry):
                problems.append(("extends", f"{name} means {_quoted(other)} and {_quoted(entry)}: these parents cannot be merged"))
            else:
                _keep(self.allow_exact, name, entry)
        _keep_all(self.opaque_exact, parent.opaque_exact)
        _keep_all(self.opaque_prefix, parent.opaque_prefix)
        _keep_all(self.deny_exact, parent.deny_exact)
        _keep_all(self.deny_prefix, parent.deny_prefix)

    def add(self, file: PolicyFile, problems: Problems) -> None:
        """Take in the file's own entries: denials first, because they decide which of the others make sense."""
        denials = [(name, deny) for deny in file.deny for name in deny.globals]
        for name, deny in sorted(denials, key=lambda item: not item[0].endswith("*")):  # patterns first: an exact name then never takes a pattern's place
            self._add_denial(name, deny)
        inherited: dict[str, Allow | Opaque] = {**self.opaque_exact, **self.allow_exact}
        inherited_patterns = dict(self.opaque_prefix)
        for place, allow in enumerate(file.allow):
            for position, name in enumerate(allow.globals):
                full = canonical_name(name)
                self._check_own(full, inherited.get(full), f"allow[{place}].globals[{position}]", problems)
                self.allow_exact[full] = allow
        for place, opaque in enumerate(file.opaque):
            for position, name in enumerate(opaque.globals):
                path = f"opaque[{place}].globals[{position}]"
                if name.endswith("*"):
                    self._check_own(name[:-1], inherited_patterns.get(name[:-1]), path, problems)
                    self.opaque_prefix[name[:-1]] = opaque
                else:
                    full = canonical_name(name)
                    self._check_own(full, inherited.get(full), path, problems)
                    self.opaque_exact[full] = opaque

    def _add_denial(self, name: str, deny: Deny) -> None:
        if name.endswith("*"):
            self.deny_prefix.setdefault(name[:-1], deny)
            return
        full = canonical_name(name)
        self.deny_exact.setdefault(full, deny)
        self.deny_prefix.setdefault(f"{full}.", deny)  # what hangs on a denied name goes with it: builtins.eval.__call__

    def _check_own(self, full: str, inherited: Allow | Opaque | None, path: str, problems: Problems) -> None:
        shown = f"{full}*" if not full or full.endswith(".") else full
        if inherited is not None:
            problems.append((path, f"{shown} is listed already, by {_quoted(inherited)}; a policy adds to its parents and redefines nothing"))
        deny = self.denial(full)
        if deny is not None:
            problems.append((path, f"{shown} is denied by {_quoted(deny)}, which no policy that extends it can undo; this entry would never match"))

    def denial(self, full: str) -> Deny | None:
        """The denial that covers a name, or all names of a pattern (`full` then ends in its dot; `""` is `*`)."""
        found = self.deny_exact.get(full) or self.deny_prefix.get("")
        end = len(full)
        while found is None and (end := full.rfind(".", 0, end)) >= 0:
            found = self.deny_prefix.get(full[: end + 1])
        return found

    def drop_denied(self) -> None:
        """Forget entries that can decide nothing (denied, or opaque beside an allow of another parent), so that equal policies have equal digests."""
        self.allow_exact = {name: entry for name, entry in self.allow_exact.items() if self.denial(name) is None}
        self.opaque_exact = {name: entry for name, entry in self.opaque_exact.items() if name not in self.allow_exact and self.denial(name) is None}
        self.opaque_prefix = {name: entry for name, entry in self.opaque_prefix.items() if self.denial(name) is None}


def _keep_all(table: dict[str, _Entry], other: dict[str, _Entry]) -> None:
    if not table:
        table.update(other)  # the first parent, nearly always the only one
        return
    for name, entry in other.items():
        _keep(table, name, entry)


def _keep(table: dict[str, _Entry], name: str, entry: _Entry) -> None:
    """Of two entries for one name, the one that ends first, because what has expired refuses; of those, the first by policy, id and what else reports show."""
    other = table.get(name)
    if other is None or _rank(entry) < _rank(other):
        table[name] = entry


def _rank(entry: Allow | Opaque | Deny) -> tuple[datetime.date, str, str, str, str]:
    ends = entry.expires if not isinstance(entry, Deny) else None
    return (ends or datetime.date.max, entry.policy, entry.id, entry.capability, entry.reason)


def _meaning(entry: Allow) -> tuple[object, ...]:
    return (entry.constructor, entry.uses, entry.args)


def _quoted(entry: Allow | Opaque | Deny) -> str:
    return f"entry {entry.id!r} of policy {entry.policy!r}"
