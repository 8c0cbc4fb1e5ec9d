"""What a policy says about one name becomes lines for people: the entry that decides, where it stands, why it is so, and the stanza that would change it.

Shared by `safeload explain` (about the names in a file) and `safeload policy explain` (about any name). Decides nothing.
"""

from __future__ import annotations

import os.path

from safeload.escape import escape
from safeload.policy.aliases import canonical_name
from safeload.policy.danger import danger
from safeload.policy.model import Allow, Decision, Deny, Opaque, Policy
from safeload.policy.named import load_policy
from safeload.policy.shipped import DEFAULT_POLICY, SHIPPED, shipped_path
from safeload.report.layout import wrap

MAX_TEXT = 2_000  # characters of one reason or piece of evidence


def decision_lines(policy: Policy, name: str, width: int) -> tuple[list[str], bool]:
    """The lines, and whether a file may mention the name at all."""
    full = canonical_name(name) if "." in name else name
    decision = policy.decide(full)
    lines = [head(policy, name, full, decision)]
    lines += entry_lines(decision, width)
    lines += known_lines(full, decision, width)
    lines += ["", *change_lines(policy, full, decision, width)]
    return lines, decision.kind != "denied"


def head(policy: Policy, name: str, full: str, decision: Decision) -> str:
    """`posix.system: denied by entry "process" of policy known-danger`."""
    spelled = f"{escape(name)} (judged as {escape(full)})" if full != name else escape(full)
    if decision.entry is None:
        return f"{spelled}: denied, because no entry of policy {escape(policy.name)} lists it"
    verb = {"allowed": "permitted", "opaque": "kept as an inert record", "denied": "denied"}[decision.kind]
    if decision.expired:
        verb = "denied, because it has expired," if not isinstance(decision.entry, Deny) else verb
    origin = f" of policy {escape(decision.entry.policy)}"
    inherited = f", which {escape(policy.name)} extends" if decision.entry.policy != policy.name else ""
    return f'{spelled}: {verb} by entry "{escape(decision.entry.id)}"{origin}{inherited}'


def entry_lines(decision: Decision, width: int, indent: str = "  ") -> list[str]:
    """The entry: place, uses, arguments, constructor, capability, reason, evidence."""
    entry = decision.entry
    if entry is None:
        return []
    rows: list[tuple[str, str]] = [("in", place(entry))]
    if isinstance(entry, Allow):
        rows.append(("uses", ", ".join(sorted(entry.uses))))
        if entry.args is not None:
            rows.append(("args", " ".join(entry.args) or "none"))
        rows.append(("as", f"{entry.constructor}, one of safeload's own constructors"))
    elif isinstance(entry, Opaque):
        rows.append(("as", "a record of name, arguments and state; nothing is imported"))
    rows.append(("capability", entry.capability))
    rows.append(("reason", entry.reason))
    if not isinstance(entry, Deny):
        rows += [("evidence", text) for text in entry.evidence]
        if entry.expires is not None:
            rows.append(("expires", f"{entry.expires.isoformat()}, the last day on which it holds (UTC)"))
    if entry.reviewed_by is not None:
        rows.append(("reviewed", f"by {entry.reviewed_by}{f' on {entry.reviewed_on.isoformat()}' if entry.reviewed_on is not None else ''}"))
    size = max(len(key) for key, _ in rows)
    lines: list[str] = []
    for key, text in rows:
        lines += wrap(escape(text, MAX_TEXT), width, first=f"{indent}{key.ljust(size)}  ", rest=" " * (len(indent) + size + 2))
    return lines


def known_lines(full: str, decision: Decision, width: int, indent: str = "  ") -> list[str]:
    """What the name could do under another loader, where the entry does not say it."""
    words = danger(full).words if decision.capability == "unknown" or decision.entry is None else ""
    return wrap(f"known       {escape(words.removeprefix('; '), MAX_TEXT)}", width, first=indent, rest=indent + " " * 12) if words else []


def could(full: str, capability: str) -> str:
    """The capability that a stanza for this name should state: the one that is given, or what is known where that is `unknown`."""
    known = danger(full).capability
    return known if capability == "unknown" and not known.startswith("data.") else capability


def place(entry: Allow | Opaque | Deny) -> str:
    """`acme.toml:12`, `policies/checkpoint.toml:12, shipped with safeload`, or the policy's name where it has no file."""
    if entry.file is None:
        return f"policy {entry.policy}"
    return located(entry.file, entry.line)


def located(file: str, line: int | None = None) -> str:
    """A policy file in words; where the installation lies says nothing to its reader."""
    at = f":{line}" if line is not None else ""
    if os.path.dirname(file) == os.path.dirname(shipped_path(DEFAULT_POLICY)):
        return f"policies/{os.path.basename(file)}{at}, shipped with safeload"
    return f"{file}{at}"


def change_lines(policy: Policy, full: str, decision: Decision, width: int) -> list[str]:
    """What would change the decision: an entry to add, a policy that has one, or why nothing does."""
    if decision.kind != "denied":
        text = "To refuse it, in a policy that extends this one:"
        capability = could(full, "unknown" if decision.capability.startswith("data.") else decision.capability)
        return [*wrap(text, width), "", *_indented(deny_stanza(full, capability))]
    if decision.expired and decision.entry is not None:
        text = f"A later date in that entry ({place(decision.entry)}) would permit it again; say there who looked at it anew."
        return wrap(escape(text, MAX_TEXT), width)
    if isinstance(decision.entry, Deny):
        return wrap("No policy that extends this one can permit it: a denial is inherited and cannot be undone.", width)
    lines: list[str] = []
    others = [name for name in SHIPPED if name != policy.name and load_policy(name).decide(full).kind != "denied"]
    if others:
        lines += [*wrap(f"Shipped policies that let it through: {', '.join(others)}.", width), ""]
    if not writable(full):
        return [*lines, *wrap("It is not spelled as a Python name, so no entry can list it.", width)]
    forbidden = load_policy("inspect").decide(full)
    if forbidden.kind == "denied":
        text = f"Every shipped policy denies it ({forbidden.capability}); an entry would only help in a policy that extends none of them."
        return [*lines, *wrap(text, width)]
    text = "An entry that keeps it as an inert record, in a policy of your own that extends this one:"
    return [*lines, *wrap(text, width), "", *_indented(opaque_stanza(full, could(full, forbidden.capability)))]


def opaque_stanza(full: str, capability: str) -> list[str]:
    """An `[[opaque]]` entry, its reason left for a person to write."""
    return [
        "[[opaque]]",
        f'id         = "{full.rsplit(".", 1)[-1].lower().strip("_") or "ours"}"',
        f'globals    = ["{full}"]',
        f'capability = "{capability}"',
        'reason     = ""  # say why; an empty one is refused',
    ]


def deny_stanza(full: str, capability: str) -> list[str]:
    """A `[[deny]]` entry."""
    return [
        "[[deny]]",
        f'id         = "no-{full.rsplit(".", 1)[-1].lower().strip("_")}"',
        f'globals    = ["{full}"]',
        f'capability = "{capability}"',
        'reason     = ""  # say why; an empty one is refused',
    ]


def writable(full: str) -> bool:
    """Can a policy list this name?"""
    return full.isascii() and "." in full and all(part.isidentifier() for part in full.split("."))


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
