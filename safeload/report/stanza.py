"""The names that a policy does not list become a policy that lists them: TOML, ready to paste, with the reason left for a person to fill in.

Offered only where it would help. A name that a `[[deny]]` entry covers can be let through by no policy that extends this one, and what is wrong with
arguments, bounds or bytes is not a matter of names.
"""

from __future__ import annotations

import os.path

from safeload.findings import Finding, GlobalUse, Report
from safeload.policy.aliases import canonical_name
from safeload.policy.named import load_policy
from safeload.policy.quote import toml_text
from safeload.policy.shipped import SHIPPED, shipped_path
from safeload.report.decision import could
from safeload.report.layout import plural

MAX_STANZA_NAMES = 200  # names of one stanza: more than that are not an entry, they are a different policy
MAX_STANZA_NAME = 200  # characters of one name; the longest in real checkpoints measured has 96
ABOUT_NAMES = frozenset({"SL301", "SL302", "SL303", "SL304", "SL305"})
SUGGESTED_FILE = "my-policy.toml"


def unlisted(report: Report) -> tuple[GlobalUse, ...]:
    """Names denied for want of an entry, in file order."""
    return tuple(use for use in report.globals if use.decision == "denied" and use.entry is None)


def denied(report: Report) -> tuple[GlobalUse, ...]:
    """Names that a `[[deny]]` entry covers, in file order."""
    return tuple(use for use in report.globals if use.decision == "denied" and use.entry is not None and not use.expired)


def other_errors(report: Report) -> tuple[Finding, ...]:
    """Errors that no entry for a name would mend."""
    return tuple(finding for finding in report.errors if finding.rule != "SL301")


def stanza(report: Report) -> list[str]:
    """The lines of the TOML, empty where no stanza would change the verdict. The longest line is a name."""
    uses = unlisted(report)
    if report.loader == "any" or not uses or denied(report) or other_errors(report) or report.suppressed_findings:
        return []
    groups = _by_capability(uses)
    if groups is None:
        return []
    lines = [
        f"# {SUGGESTED_FILE}: {report.policy}, and inert records for the names below.",
        "schema  = 1",
        'name    = "my-policy"',
        'version = "1"',
        f'summary = "{report.policy}, and the classes of our own checkpoints."',
        'owner   = "me"',
        'mode    = "enforce"',
        'default = "deny"',
        f"extends = [{toml_text(_parent(report))}]",
    ]
    for number, (capability, names) in enumerate(groups.items(), 1):
        entry = "ours" if number == 1 else f"ours-{number}"
        lines += ["", "[[opaque]]", f'id         = "{entry}"', *_names(names), f'capability = "{capability}"']
        lines.append('reason     = ""  # say why; an empty one is refused')
    return lines


def scan_command(policy: str, shown_path: str) -> str:
    """How to judge the file by another shipped policy."""
    return f"$ safeload scan --policy {policy} {shown_path}"


def helping_policy(report: Report) -> str | None:
    """The first shipped policy that loads files and denies none of the names, if nothing but names, uses and arguments stands against the file.

    The policies of libraries come before `inspect`, which keeps every name that is not denied.
    """
    if report.policy == "inspect" or not report.errors or not all(finding.rule in ABOUT_NAMES for finding in report.errors):
        return None
    names = {canonical_name(use.global_name) for use in report.globals}
    if any(load_policy("inspect").decide(name).kind == "denied" for name in names):
        return None  # inspect denies only what every shipped policy denies, so the others need not be read
    for name in SHIPPED:
        policy = load_policy(name)
        covered = policy.formats == ("*",) or report.format.partition("+")[0] in policy.formats
        kinds = {policy.decide(each).kind for each in names}
        if report.loader == "any" and "opaque" in kinds:
            continue
        if name != report.policy and policy.mode == "enforce" and covered and "denied" not in kinds:
            return name
    return None


def left_out(report: Report) -> str | None:
    """Why there is no stanza though names are missing; None where there is nothing to say."""
    uses = unlisted(report)
    forbidden, others = denied(report), other_errors(report)
    if not uses:
        return None
    if report.loader == "any" and not forbidden:
        return "An entry for these would keep them as records, and under --loader any a record is an error: another loader would import the names."
    if forbidden:
        return "An entry for these would not make the file accepted: the denied names stand, whatever a policy that extends this one says."
    if others or report.suppressed_findings:
        return f"An entry for these would not make the file accepted: {plural(len(others) + report.suppressed_findings, 'other error')} would remain."
    if _by_capability(uses) is None:
        return f"No policy entry can be suggested: there are more than {MAX_STANZA_NAMES} names, or some are not spelled as Python names."
    return None


def _by_capability(uses: tuple[GlobalUse, ...]) -> dict[str, list[str]] | None:
    """Canonical names, sorted, under the capability that is known for them. None where not all of them can stand in a policy."""
    groups: dict[str, list[str]] = {}
    inspect = load_policy("inspect")
    for name in sorted({canonical_name(use.global_name) for use in uses}):
        if len(name) > MAX_STANZA_NAME or not name.isascii() or "." not in name or not all(part.isidentifier() for part in name.split(".")):
            return None
        groups.setdefault(could(name, inspect.decide(name).capability), []).append(name)
    if sum(map(len, groups.values())) > MAX_STANZA_NAMES:
        return None
    return dict(sorted(groups.items(), key=lambda item: (item[0] != "unknown", item[0])))


def _names(names: list[str]) -> list[str]:
    if len(names) == 1 and len(names[0]) <= 56:  # what fits on the line in 80 columns
        return [f'globals    = ["{names[0]}"]']
    return ["globals    = [", *(f'    "{name}",' for name in names), "]"]


def _parent(report: Report) -> str:
    """What `extends` must say: a shipped name, or the whole path of the policy's file."""
    if report.policy_file is None:
        return report.policy
    if report.policy in SHIPPED and os.path.realpath(report.policy_file) == os.path.realpath(shipped_path(report.policy)):
        return report.policy
    return os.path.abspath(report.policy_file)
