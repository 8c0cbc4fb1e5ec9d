"""A resolved `Policy` becomes the text of one policy file that extends nothing and means the same.

For reviewers (`safeload policy show --resolved`) and for pinning: reading the text back gives a policy with the same digest. Entries that two
parents had under one id get the name of their policy in front. Where each comes from stands in a comment.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from safeload.limits import DEFAULT_LIMITS
from safeload.policy.model import Allow, Deny, Opaque, Policy
from safeload.policytools.toml_text import number, pairs, quoted, strings

_Entry = TypeVar("_Entry", Allow, Opaque, Deny)


def resolved_toml(policy: Policy) -> str:
    """The whole policy as TOML, parents merged in. Entries are sorted by origin and id, names by spelling."""
    blocks = ["\n".join([f"# {policy.name}, with everything that it inherits. Written by `safeload policy show --resolved`.", *pairs(_head(policy))])]
    limits = [(name.replace("_", "-"), number(value)) for name, value in policy.limits.as_dict().items() if value != DEFAULT_LIMITS.as_dict()[name]]
    if limits:
        blocks.append("\n".join(["[limits]", *pairs(limits)]))
    taken: set[str] = set()
    blocks += [_block("allow", entry, names, _allow_pairs(entry), taken) for entry, names in grouped(policy.allow_exact.items())]
    patterns = ((f"{prefix}*", entry) for prefix, entry in policy.opaque_prefix.items())
    blocks += [_block("opaque", entry, names, _opaque_pairs(entry), taken) for entry, names in grouped([*policy.opaque_exact.items(), *patterns])]
    blocks += [_block("deny", entry, names, _deny_pairs(entry), taken) for entry, names in grouped(denials(policy))]
    return "\n\n".join(blocks) + "\n"


def grouped(items: Iterable[tuple[str, _Entry]]) -> list[tuple[_Entry, list[str]]]:
    """Names by the entry that lists them: entries in the order of their policy and id, names sorted."""
    groups: dict[tuple[str, str], tuple[_Entry, list[str]]] = {}
    for name, entry in items:
        groups.setdefault((entry.policy, entry.id), (entry, []))[1].append(name)
    return [(entry, sorted(names)) for _, (entry, names) in sorted(groups.items())]


def denials(policy: Policy) -> list[tuple[str, Deny]]:
    """Names and patterns of the denials, without the `name.` that each exact denial brings with it."""
    hanging = {f"{name}." for name in policy.deny_exact}
    patterns = [(f"{prefix}*", entry) for prefix, entry in policy.deny_prefix.items() if prefix not in hanging]
    return [*policy.deny_exact.items(), *patterns]


def _head(policy: Policy) -> list[tuple[str, str]]:
    return [
        ("schema", "1"),
        ("name", quoted(policy.name)),
        ("version", quoted(policy.version)),
        ("summary", quoted(policy.summary)),
        ("owner", quoted(policy.owner)),
        ("mode", quoted(policy.mode)),
        ("default", '"deny"'),
        ("formats", strings(policy.formats)),
    ]


def _block(kind: str, entry: Allow | Opaque | Deny, names: list[str], keys: list[tuple[str, str]], taken: set[str]) -> str:
    """One `[[table]]`. An id belongs to one entry of a file; a second one of that id is called by its policy too."""
    name = entry.id if entry.id not in taken else f"{entry.policy}.{entry.id}"
    taken.add(name)
    return "\n".join([f"[[{kind}]]  # {entry.policy}", *pairs([("id", quoted(name)), ("globals", strings(names)), *keys])])


def _allow_pairs(entry: Allow) -> list[tuple[str, str]]:
    args = [("args", strings(entry.args))] if entry.args is not None else []
    return [("uses", strings(sorted(entry.uses))), *args, ("as", quoted(entry.constructor)), *_opaque_pairs(entry)]


def _opaque_pairs(entry: Allow | Opaque) -> list[tuple[str, str]]:
    evidence = [("evidence", strings(entry.evidence))] if entry.evidence else []
    return [("capability", quoted(entry.capability)), ("reason", quoted(entry.reason)), *evidence]


def _deny_pairs(entry: Deny) -> list[tuple[str, str]]:
    return [("capability", quoted(entry.capability)), ("reason", quoted(entry.reason))]
