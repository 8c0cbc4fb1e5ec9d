"""What a policy says about a file as a whole, once it was read: expiry, provenance, levels of rules, waivers.

Turns the findings of one file into those that decide and those that do not. A finding is only ever made milder where the rule carries no law (`GRADED`,
`WAIVABLE`) and the file was read to its end: what was not read is never accepted, whoever answers for it (law 4), and a waiver makes no `Vetted` and no plan.

    1. A policy that has expired refuses every file.                       SL321
    2. A file has to come from where the policy says.                      SL323
    3. Records are findings where the policy grades them.                  SL310
    4. Levels are those of `[rules]`; where the file is judged for every loader, what another one would run is an error.
    5. Waived findings stay in the report and decide nothing.
"""

from __future__ import annotations

import msgspec

from safeload.errors import CheckpointError
from safeload.escape import escape
from safeload.findings import GRADED, RUN_ELSEWHERE, WAIVABLE, Finding
from safeload.formats.judging import Judging
from safeload.policy.model import Policy


def apply_terms(judging: Judging) -> None:
    """Hold the file that `judging` has read against the terms of its policy, and put its findings into their final form."""
    policy = judging.policy
    # 1
    if policy.has_expired:
        judging.find("SL321", _expired(policy))
    # 2, 5: what takes the digest of the whole file
    try:
        if policy.provenance.require != "nothing":
            from safeload.provenance import check_provenance  # its libraries are for those who ask

            check_provenance(judging)
        waivers = _waivers(judging)
    except CheckpointError as error:
        judging.stopped(error)
        waivers = {}
    # 3
    elsewhere = judging.options.loader == "any"
    if elsewhere or policy.rules.get("SL310", "note") != "note":
        _note_records(judging)
    # 4, 5
    judging.findings[:] = [_graded(finding, policy, waivers, elsewhere=elsewhere) for finding in judging.findings]


def _expired(policy: Policy) -> str:
    over = [each for each in policy.ancestors if each.expires is not None and each.expires == policy.expires]
    whose = f"{over[0].name}, which policy {policy.name} extends," if over and policy.own_expires != policy.expires else policy.name
    return f"policy {whose} has expired: {policy.expires} was its last day"


def _note_records(judging: Judging) -> None:
    """One finding for each name that is kept as a record."""
    seen: set[str] = set()
    for use in judging.globals:
        if use.decision == "opaque" and use.global_name not in seen:
            seen.add(use.global_name)
            member, offset = use.places[0] if use.places else ("", None)
            message = escape(f"{use.global_name} is kept as an inert record; another loader would import it")
            judging.findings.append(
                Finding(
                    rule="SL310", message=message, level="note", capability=use.capability, global_name=use.global_name, member=member or None, offset=offset,
                    entry=use.entry,
                )
            )  # fmt: skip


def _waivers(judging: Judging) -> dict[str, str]:
    """Rule to who waives it and why, for this file. Nothing is waived of what was not read, nor where the digest does not cover all that was read."""
    policy = judging.policy
    today = policy.today
    entries = [waive for waive in policy.waives if today is not None and today <= waive.expires]
    partly = judging.file.fetched is not None and judging.file.fetched().bytes_unread
    if not entries or partly or judging.error is not None or judging.file.kept or not any(finding.rule in WAIVABLE for finding in judging.findings):
        return {}
    digest = judging.digest()
    return {waive.rule: f"{waive.owner} until {waive.expires}: {waive.reason}" for waive in entries if waive.sha256 == digest}


def _graded(finding: Finding, policy: Policy, waivers: dict[str, str], *, elsewhere: bool) -> Finding:
    level = policy.rules.get(finding.rule, finding.level) if finding.rule in GRADED else finding.level
    if elsewhere and finding.rule in RUN_ELSEWHERE:
        level = "error"
    waived = waivers.get(finding.rule) if finding.rule in WAIVABLE and level == "error" else None
    if waived is not None:
        return msgspec.structs.replace(finding, level="note", waived=waived, message=f"{finding.message}; waived by {escape(waived)}")
    return finding if level == finding.level else msgspec.structs.replace(finding, level=level)
