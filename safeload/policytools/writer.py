"""A resolved `Policy` becomes the text of one policy file that extends nothing and means the same.

For reviewers (`safeload policy show --resolved`) and for pinning: reading the text back gives a policy with the same digest. Entries that two
parents had under one id get the name of their policy in front. Where each comes from stands in a comment.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from itertools import chain, count
from typing import TypeVar

from safeload.limits import DEFAULT_LIMITS
from safeload.policy.model import Allow, Deny, Opaque, Policy, Provenance, Raise, Waive
from safeload.policy.quote import toml_text
from safeload.policytools.toml_text import number, pairs, strings

_Entry = TypeVar("_Entry", Allow, Opaque, Deny)


def resolved_toml(policy: Policy) -> str:
    """The whole policy as TOML, parents merged in. Entries are sorted by origin and id, names by spelling."""
    blocks = ["\n".join([f"# {policy.name}, with everything that it inherits. Written by `safeload policy show --resolved`.", *pairs(_head(policy))])]
    limits = [(name.replace("_", "-"), number(value)) for name, value in policy.limits.as_dict().items() if value != DEFAULT_LIMITS.as_dict()[name]]
    if limits:
        blocks.append("\n".join(["[limits]", *pairs(limits)]))
    if policy.rules:
        blocks.append("\n".join(["[rules]", *pairs((code, toml_text(level)) for code, level in policy.rules.items())]))
    if policy.provenance.require != "nothing":
        blocks.append("\n".join(["[provenance]", *pairs(_provenance_pairs(policy.provenance))]))
    taken: set[str] = set()
    blocks += [_block("allow", entry, names, _allow_pairs(entry), taken) for entry, names in grouped(policy.allow_exact.items())]
    patterns = ((f"{prefix}*", entry) for prefix, entry in policy.opaque_prefix.items())
    blocks += [_block("opaque", entry, names, _opaque_pairs(entry), taken) for entry, names in grouped([*policy.opaque_exact.items(), *patterns])]
    blocks += [_block("deny", entry, names, _deny_pairs(entry), taken) for entry, names in grouped(denials(policy))]
    blocks += ["\n".join([f"[[raise]]  # {entry.policy}", *pairs(_raise_pairs(entry))]) for entry in policy.raises]
    blocks += ["\n".join([f"[[waive]]  # {entry.policy}", *pairs(_waive_pairs(entry))]) for entry in policy.waives]
    return "\n\n".join(blocks) + "\n"


def grouped(items: Iterable[tuple[str, _Entry]]) -> list[tuple[_Entry, list[str]]]:
    """Names by the entry that lists them: entries in the order of their policy and id, names sorted."""
    groups: dict[_Entry, list[str]] = {}  # by the whole entry: policies of one name may have entries of one id
    for name, entry in items:
        groups.setdefault(entry, []).append(name)
    return sorted(((entry, sorted(names)) for entry, names in groups.items()), key=lambda group: (group[0].policy, group[0].id, group[1]))


def denials(policy: Policy) -> list[tuple[str, Deny]]:
    """Names and patterns of the denials, without the `name.` that each exact denial brings with it."""
    patterns = [(f"{prefix}*", entry) for prefix, entry in policy.deny_prefix.items() if policy.deny_exact.get(prefix[:-1]) != entry]
    return [*policy.deny_exact.items(), *patterns]


def _head(policy: Policy) -> list[tuple[str, str]]:
    return [
        ("schema", "1"),
        ("name", toml_text(policy.name)),
        ("version", toml_text(policy.version)),
        ("summary", toml_text(policy.summary)),
        ("owner", toml_text(policy.owner)),
        ("mode", toml_text(policy.mode)),
        ("default", '"deny"'),
        ("formats", strings(policy.formats)),
        *_date("expires", policy.expires),
    ]


def _date(key: str, date: datetime.date | None) -> list[tuple[str, str]]:
    return [(key, date.isoformat())] if date is not None else []


def _provenance_pairs(required: Provenance) -> list[tuple[str, str]]:
    found = [("require", toml_text(required.require))]
    if required.digests is not None:
        found.append(("digests", strings(sorted(required.digests))))
    for key, text in (("key", required.signer.key), ("identity", required.signer.identity), ("issuer", required.signer.issuer)) if required.signer else ():
        found += [(key, toml_text(text))] if text is not None else []
    return found


def _raise_pairs(entry: Raise) -> list[tuple[str, str]]:
    return [("limit", toml_text(entry.limit.replace("_", "-"))), ("to", number(entry.value)), *_accounted(entry)]


def _waive_pairs(entry: Waive) -> list[tuple[str, str]]:
    return [("rule", toml_text(entry.rule)), ("sha256", toml_text(entry.sha256)), *_accounted(entry)]


def _accounted(entry: Raise | Waive) -> list[tuple[str, str]]:
    return [("reason", toml_text(entry.reason)), ("owner", toml_text(entry.owner)), ("expires", entry.expires.isoformat())]


def _block(kind: str, entry: Allow | Opaque | Deny, names: list[str], keys: list[tuple[str, str]], taken: set[str]) -> str:
    """One `[[table]]`. An id belongs to one entry of a file; a second one of that id is called by its policy too."""
    full = f"{entry.policy}.{entry.id}"
    name = next(name for name in chain((entry.id, full), (f"{full}-{number}" for number in count(2))) if name not in taken)
    taken.add(name)
    return "\n".join([f"[[{kind}]]  # {entry.policy}", *pairs([("id", toml_text(name)), ("globals", strings(names)), *keys])])


def _allow_pairs(entry: Allow) -> list[tuple[str, str]]:
    args = [("args", strings(entry.args))] if entry.args is not None else []
    return [("uses", strings(sorted(entry.uses))), *args, ("as", toml_text(entry.constructor)), *_opaque_pairs(entry)]


def _opaque_pairs(entry: Allow | Opaque) -> list[tuple[str, str]]:
    evidence = [("evidence", strings(entry.evidence))] if entry.evidence else []
    return [("capability", toml_text(entry.capability)), ("reason", toml_text(entry.reason)), *evidence, *_review(entry), *_date("expires", entry.expires)]


def _deny_pairs(entry: Deny) -> list[tuple[str, str]]:
    return [("capability", toml_text(entry.capability)), ("reason", toml_text(entry.reason)), *_review(entry)]


def _review(entry: Allow | Opaque | Deny) -> list[tuple[str, str]]:
    by = [("reviewed-by", toml_text(entry.reviewed_by))] if entry.reviewed_by is not None else []
    return [*by, *_date("reviewed-on", entry.reviewed_on)]
