"""Files that somebody trusts become the draft of a policy that permits exactly what they need, with every reason left for a person to write.

Least privilege: it extends `weights-only` and lists exact names with the uses that were seen. A name for which a shipped policy knows a
constructor keeps it; every other one becomes an inert record. Refuses nothing quietly: names that a shipped policy denies, and files that cannot
be read, are reported and left out. An empty reason makes the draft invalid, so nobody puts it to work unread.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from safeload.findings import Report
from safeload.policy.aliases import canonical_name
from safeload.policy.model import Allow, Policy
from safeload.policy.named import load_policy
from safeload.policy.quote import toml_text
from safeload.policytools.toml_text import pairs, strings

BASE = "weights-only"
SCANNED_WITH = "inspect"  # keeps every name that is not denied, so that one pass sees them all
KNOWN_FROM = ("checkpoint", "inspect")  # shipped policies whose constructors are offered, the plainer first
MAX_EVIDENCE = 3  # files quoted as evidence of one entry


class Seen(msgspec.Struct, kw_only=True):
    """One name in the files: how it was used, and where."""

    uses: set[str]
    files: list[str]


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """The text of the policy, and what could not go into it."""

    text: str
    names: int  # that the draft lists
    files: int  # that were read
    denied: tuple[tuple[str, str], ...]  # (name, file): no policy that extends a shipped one can let these through
    unwritable: tuple[tuple[str, str], ...]  # (name, file): not spelled as Python names, so no policy can list them
    unread: tuple[tuple[str, str], ...]  # (file, why)


def learn(reports: Iterable[Report], name: str) -> Draft:
    """The draft for these reports, which must be scans under `SCANNED_WITH`."""
    base = load_policy(BASE)
    seen: dict[str, Seen] = {}
    denied: list[tuple[str, str]] = []
    unwritable: list[tuple[str, str]] = []
    unread: list[tuple[str, str]] = []
    files = 0
    for report in reports:
        if report.verdict == "inconclusive":
            unread.append((report.path, report.errors[0].message))
            continue
        files += 1
        for use in report.globals:
            full = canonical_name(use.global_name)
            if use.decision == "denied":
                denied.append((full, report.path))
                continue
            if not (full.isascii() and "." in full and all(part.isidentifier() for part in full.split("."))):
                unwritable.append((full, report.path))
                continue
            found = seen.setdefault(full, Seen(uses=set(), files=[]))
            found.uses.update(use.uses)
            if report.path not in found.files:
                found.files.append(report.path)
    missing = {full: found for full, found in sorted(seen.items()) if not _permits(base, full, found.uses)}
    return Draft(
        text=_text(name, missing, base),
        names=len(missing),
        files=files,
        denied=tuple(dict.fromkeys(denied)),
        unwritable=tuple(dict.fromkeys(unwritable)),
        unread=tuple(unread),
    )


def _permits(policy: Policy, full: str, uses: set[str]) -> bool:
    entry = policy.decide(full).entry
    return isinstance(entry, Allow) and uses <= entry.uses


def _text(name: str, missing: dict[str, Seen], base: Policy) -> str:
    head = pairs(
        [
            ("schema", "1"),
            ("name", toml_text(name)),
            ("version", '"1"'),
            ("summary", '""'),
            ("owner", '""'),
            ("mode", '"enforce"'),
            ("default", '"deny"'),
            ("extends", strings([BASE])),
        ]
    )
    blocks = ["\n".join(["# A draft from files that were trusted. Write every empty text; `safeload policy validate` says where they are.", *head])]
    groups: dict[tuple[str, ...], list[str]] = {}
    for full, found in missing.items():
        groups.setdefault(_group(full, found, base), []).append(full)
    taken: set[str] = set()
    for key, names in sorted(groups.items(), key=lambda item: (item[0][0] != "allow", item[0])):
        blocks.append(_entry(key, names, missing, taken))
    return "\n\n".join(blocks) + "\n"


def _group(full: str, found: Seen, base: Policy) -> tuple[str, ...]:
    """Names that can share an entry: (`allow`, constructor, capability, args, uses...) or (`opaque`, capability, package)."""
    for name in KNOWN_FROM:
        entry = load_policy(name).decide(full).entry
        inherited = isinstance(base.decide(full).entry, Allow)  # a parent's entry cannot be listed again with more uses
        if isinstance(entry, Allow) and found.uses <= entry.uses and not inherited:
            return ("allow", entry.constructor, entry.capability, "\n".join(entry.args) if entry.args is not None else "-", *sorted(found.uses))
    capability = load_policy(SCANNED_WITH).decide(full).capability
    return ("opaque", capability, full.split(".", 1)[0])


def _entry(key: tuple[str, ...], names: list[str], missing: dict[str, Seen], taken: set[str]) -> str:
    kind = key[0]
    files = list(dict.fromkeys(file for name in names for file in missing[name].files))
    keys = [("id", toml_text(_id(key[1] if kind == "allow" else key[2], taken))), ("globals", strings(names))]
    if kind == "allow":
        _, constructor, capability, args, *uses = key
        keys += [("uses", strings(uses)), *([] if args == "-" else [("args", strings(args.split("\n")))]), ("as", toml_text(constructor))]
    else:
        capability = key[1]
    keys += [("capability", toml_text(capability)), ("reason", '""'), ("evidence", strings(files[:MAX_EVIDENCE]))]
    return "\n".join([f"[[{kind}]]", *pairs(keys)])


def _id(word: str, taken: set[str]) -> str:
    """The word, with a number where it is taken."""
    number, name = 1, word.strip("_") or "entry"
    while name in taken:
        number += 1
        name = f"{word.strip('_')}-{number}"
    taken.add(name)
    return name
