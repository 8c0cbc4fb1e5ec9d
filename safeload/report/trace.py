"""A `Reading` becomes the decisions about every name in the file: refused ones first and in full, then those kept as records, then those permitted by entry.

As lines for people, or as plain data for machines. The policy is asked again for what the report only names; it is the policy that judged.
"""

from __future__ import annotations

from typing import Any

from safeload.escape import escape
from safeload.findings import BY_CODE, Finding, GlobalUse, Report
from safeload.judge import Reading
from safeload.machine.listing import Line
from safeload.policy.aliases import canonical_name
from safeload.policy.model import Allow, Decision, Deny, Opaque
from safeload.report.decision import change_lines, entry_lines, head, known_lines, located, place, writable
from safeload.report.layout import cut, plural, wrap
from safeload.report.snippets import snippets_of
from safeload.report.stanza import left_out, stanza
from safeload.report.text import MAX_PATH, policy_text

TITLES = (("denied", "refused"), ("opaque", "kept as inert records"), ("allowed", "permitted"))
FEW = 3  # names without an entry that are each explained in full, without --all
NAMES_PER_ENTRY = 8  # permitted names of one entry, without --all


def trace_lines(reading: Reading, width: int, *, only: tuple[str, ...] = (), show_all: bool = False) -> list[str]:
    """Everything, for a terminal of `width` columns."""
    report = reading.report
    lines = wrap(f"{escape(report.path, MAX_PATH)}: {report.verdict} by {policy_text(report)}", width, rest="    ")
    if report.policy_file is not None:
        lines += wrap(f"policy file: {escape(located(report.policy_file), MAX_PATH)}", width, rest="    ")
    chosen = _chosen(report, only)
    if only and not chosen:
        return [*lines, "", "the file names none of these"]
    if not chosen:
        lines += ["", "the file names nothing: no global is in it" if reading.graphs or report.verdict == "accepted" else "no name was read"]
    for decision, title in TITLES:
        uses = [use for use in chosen if use.decision == decision]
        if not uses:
            continue
        lines += ["", f"{title}: {plural(len(uses), 'name')}"]
        lines += _grouped(reading, uses, width, show_all) if decision != "denied" else _all_refused(reading, uses, width, show_all)
    named = {use.global_name for use in report.globals if use.expired}  # shown with their names, as those of SL301
    others = [finding for finding in report.errors if finding.rule != "SL301" and finding.global_name not in named and not only]
    if others:
        title = "why there is no verdict" if report.verdict == "inconclusive" else "what no entry for a name would change"
        lines += ["", f"{title}: {plural(len(others), 'finding')}"]
        for finding in others:
            lines += _other(reading, finding, width)
    return lines


def traced(reading: Reading, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """The same as data: verdict, policy, and a record for each name."""
    report = reading.report
    return {
        "path": report.path,
        "verdict": report.verdict,
        "policy": {"name": report.policy, "version": report.policy_version, "sha256": report.policy_sha256, "file": report.policy_file},
        "globals": [_record(reading, use) for use in _chosen(report, only)],
        "findings": [
            {"rule": finding.rule, "name": finding.name, "message": finding.message, "member": finding.member, "offset": finding.offset}
            for finding in report.errors
        ],
    }


def _chosen(report: Report, only: tuple[str, ...]) -> list[GlobalUse]:
    wanted = {canonical_name(name) if "." in name else name for name in only}
    return [use for use in report.globals if not only or canonical_name(use.global_name) in wanted or use.global_name in only]


def _decision(reading: Reading, use: GlobalUse) -> Decision:
    return reading.policy.decide(canonical_name(use.global_name))


def _record(reading: Reading, use: GlobalUse) -> dict[str, Any]:
    entry = _decision(reading, use).entry
    return {
        "global": use.global_name,
        "canonical": canonical_name(use.global_name),
        "decision": use.decision,
        "uses": use.uses,
        "count": use.count,
        "places": [{"member": member or None, "offset": offset} for member, offset in use.places],
        "capability": use.capability,
        "entry": None if entry is None else _entry_record(entry),
    }


def _entry_record(entry: Allow | Opaque | Deny) -> dict[str, Any]:
    kind = "allow" if isinstance(entry, Allow) else "opaque" if isinstance(entry, Opaque) else "deny"
    record: dict[str, Any] = {"kind": kind, "id": entry.id, "policy": entry.policy, "at": place(entry), "reason": entry.reason}
    if not isinstance(entry, Deny):
        record["evidence"] = entry.evidence
    if isinstance(entry, Allow):
        record |= {"uses": sorted(entry.uses), "args": entry.args, "as": entry.constructor}
    return record


# ---- refused ----------------------------------------------------------------------------------------------------------------------------


def _all_refused(reading: Reading, uses: list[GlobalUse], width: int, show_all: bool) -> list[str]:
    """Those that an entry denies in full; so those without an entry if they are few, else what would permit all of them at the end."""
    missing = [use for use in uses if use.entry is None]
    few = show_all or len(missing) <= FEW
    lines: list[str] = []
    for use in sorted(uses, key=lambda use: use.entry is None):
        lines += _refused(reading, use, width, full_advice=few or use.entry is not None)
    if few:
        return lines
    report = reading.report
    text = stanza(report)
    if not text:
        reason = left_out(report)
        return [*lines, "", *wrap(reason, width)] if reason else lines
    return [*lines, "", *wrap("A policy that keeps the names without an entry as inert records:", width), "", *(f"    {line}" if line else "" for line in text)]


def _refused(reading: Reading, use: GlobalUse, width: int, *, full_advice: bool) -> list[str]:
    full, decision = canonical_name(use.global_name), _decision(reading, use)
    lines = ["", *wrap(head(reading.policy, use.global_name, full, decision), width, first="  ", rest="      ")]
    lines += _used(use, width)
    lines += entry_lines(decision, width, indent="    ")
    lines += known_lines(full, decision, width, indent="    ")
    found = next((finding for finding in reading.report.errors if finding.global_name == use.global_name and finding.rule in ("SL301", "SL321")), None)
    if found is not None:
        lines += ["", *_listing(reading, found, width)]
    if not full_advice:
        return lines
    return [*lines, "", *(f"    {line}" if line else "" for line in change_lines(reading.policy, full, decision, width - 4))]


def _used(use: GlobalUse, width: int) -> list[str]:
    times = "once" if use.count == 1 else f"{use.count:,} times"
    how = ", ".join(use.uses) or "named"
    where = f", first at {_at(*use.places[0])}" if use.places else ""
    return wrap(f"used as {how}, {times}{where}", width, first="    ", rest="      ")


def _at(member: str, offset: int) -> str:
    return f"{escape(member, MAX_PATH)} : {offset:#06x}" if member else f"{offset:#06x}"


def _listing(reading: Reading, finding: Finding, width: int) -> list[str]:
    lines: tuple[Line, ...] = snippets_of(reading, [finding]).get((finding.member, finding.offset or 0), ())
    wide = max((len(line.name) for line in lines), default=0)
    shown = (f"    {line.offset:#06x}  {line.name.ljust(wide)}  {line.meaning or line.argument}" for line in lines)
    return [cut(text, width).rstrip() for text in shown]


# ---- kept and permitted -----------------------------------------------------------------------------------------------------------------


def _grouped(reading: Reading, uses: list[GlobalUse], width: int, show_all: bool) -> list[str]:
    """By entry: what it is once, its names below."""
    groups: dict[tuple[str, str], list[GlobalUse]] = {}
    for use in uses:
        groups.setdefault((use.policy or "", use.entry or ""), []).append(use)
    lines: list[str] = []
    for (policy, name), members in groups.items():
        entry = _decision(reading, members[0]).entry
        if entry is None:  # the caller's own constructors
            lines += ["", *wrap("by constructors= of the caller", width, first="  ", rest="    ")]
        else:
            lines += ["", *wrap(f'by entry "{escape(name)}" of policy {escape(policy)}: {entry.capability}', width, first="  ", rest="    ")]
            if show_all:
                lines += entry_lines(_decision(reading, members[0]), width, indent="    ")
            else:
                lines += wrap(escape(entry.reason, MAX_PATH * 2), width, first="    ", rest="    ")
        some = members if show_all else members[:NAMES_PER_ENTRY]
        for use in some:
            times = "" if use.count == 1 else f", {use.count:,} times"
            lines += wrap(f"{escape(use.global_name)}: {', '.join(use.uses) or 'named'}{times}", width, first="      ", rest="        ")
        if len(members) > len(some):
            lines.append(f"      and {plural(len(members) - len(some), 'more name')} (--all shows them)")
    return lines


def _other(reading: Reading, finding: Finding, width: int) -> list[str]:
    where = f" at {_at(finding.member or '', finding.offset)}" if finding.offset is not None else f" in {escape(finding.member)}" if finding.member else ""
    lines = ["", *wrap(f"{finding.rule} {finding.name}{where}: {escape(finding.message, MAX_PATH * 2)}", width, first="  ", rest="    ")]
    lines += wrap(BY_CODE[finding.rule].summary, width, first="    ", rest="    ")
    if finding.global_name is not None:
        decision = reading.policy.decide(canonical_name(finding.global_name))
        if decision.entry is not None and writable(canonical_name(finding.global_name)):
            lines += entry_lines(decision, width, indent="    ")
    return [*lines, *_listing(reading, finding, width)]
