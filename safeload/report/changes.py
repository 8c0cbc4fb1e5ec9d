"""A finding becomes what would change it in a policy: a sentence, and the TOML to paste where there is some.

Nothing is made milder here than a policy can make it: what carries a law stays, and the sentence says so. What a person has to answer for (reason, owner,
end) is left empty, which a policy file refuses.
"""

from __future__ import annotations

import re

import msgspec

from safeload.findings import GRADED, WAIVABLE, Finding, Report
from safeload.policy.aliases import canonical_name
from safeload.policy.model import Deny, Policy
from safeload.policy.named import load_policy
from safeload.policy.shipped import SHIPPED
from safeload.report.decision import could, opaque_stanza, place, writable

LIMIT = re.compile(r"the limit (\w+) = ([\d,]+) allows; limits=\{'\1': \.\.\.\} raises it\Z")  # the end of the sentence that `budget.exceeded` makes


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What would change a finding: a sentence, and TOML for a policy that extends the one that judged."""

    text: str
    toml: tuple[str, ...] = ()


def change_of(finding: Finding, report: Report, policy: Policy) -> Change:
    """For one finding. The sentence is not escaped."""
    if finding.waived is not None:
        return Change(text=f"It is waived by {finding.waived}. Without the waiver it decides again.")
    if finding.rule in ("SL301", "SL321") and finding.global_name is not None:
        return _of_name(finding.global_name, policy)
    if finding.rule in WAIVABLE and finding.level == "error":
        return Change(text="A waiver takes it out of the verdict on this one file, for at most a year:", toml=_waiver(finding, report))
    if finding.rule in GRADED:
        return Change(text="A policy grades this rule:", toml=("[rules]", f'{finding.rule} = "{"note" if finding.level == "error" else "error"}"'))
    if finding.rule == "SL901":
        return _of_limit(finding)
    if finding.rule.startswith("SL3"):
        return Change(text="No entry changes it: the name is permitted, and this use, these arguments or this file are not what its entry permits.")
    return Change(text="No policy changes it: what was not read, or does not hold together, is never accepted.")


def _of_name(name: str, policy: Policy) -> Change:
    full = canonical_name(name)
    decision = policy.decide(full)
    if decision.expired and decision.entry is not None:
        return Change(text=f"A later date in the entry ({place(decision.entry)}) would permit it again; say there who looked at it anew.")
    if isinstance(decision.entry, Deny):
        entry = decision.entry
        return Change(text=f'No policy that extends this one changes it: entry "{entry.id}" denies the name ({entry.reason}), and a denial is inherited.')
    if not writable(full):
        return Change(text="No entry can list it: it is not spelled as a Python name.")
    forbidden = load_policy("inspect").decide(full)
    if forbidden.kind == "denied":
        return Change(text=f"Every shipped policy denies it ({forbidden.capability}); an entry would only help in a policy that extends none of them.")
    others = [each for each in SHIPPED if each != policy.name and load_policy(each).decide(full).kind != "denied"]
    shipped = f"Shipped policies that let it through: {', '.join(others)}. " if others else ""
    return Change(text=f"{shipped}An entry that keeps it as an inert record:", toml=tuple(opaque_stanza(full, could(full, forbidden.capability))))


def _of_limit(finding: Finding) -> Change:
    found = LIMIT.search(finding.message)
    if found is None:
        return Change(text="A policy's [limits], or limits= in Python, moves the limit.")
    name, value = found[1].replace("_", "-"), int(found[2].replace(",", ""))
    toml = (
        "[[raise]]",
        f'limit   = "{name}"',
        f"to      = {value * 2}  # it is {value}",
        'reason  = ""  # say why; an empty one is refused',
        'owner   = ""  # who answers for it',
        "expires = YYYY-MM-DD",
    )
    return Change(text="A policy can raise the limit until a day:", toml=toml)


def _waiver(finding: Finding, report: Report) -> tuple[str, ...]:
    digest = report.sha256 or "the file's own, 64 hex digits"
    return (
        "[[waive]]",
        f'rule    = "{finding.rule}"',
        f'sha256  = "{digest}"',
        'reason  = ""  # say why; an empty one is refused',
        'owner   = ""  # who answers for it',
        "expires = YYYY-MM-DD  # within a year",
    )
