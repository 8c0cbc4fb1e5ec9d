"""The reading and judging of one file, shared by `load`, `scan` and `open`: bytes become a `Reading`, and no array is built.

    1. Identify the container by content; the file's name decides nothing.
    2. Account for every byte of it.
    3. Interpret each pickle stream once, symbolically.
    4. Put every global, use and argument to the policy.
    5. Prove that each tensor lies inside its storage.
    6. Hold the file as a whole against the policy's terms: expiry, provenance, levels, waivers (`terms`).

Steps 1 to 3 can make the verdict inconclusive, 4 to 6 rejected; neither is ever silently skipped. Of a stream that breaks off, what came before is judged
all the same, so a payload in front of the damage is named. Steps 3 to 5 are those of the format: `formats.readers` lists them.
"""

from __future__ import annotations

import os

import msgspec

from safeload.budget import Budget
from safeload.collector import Paused
from safeload.containers.base import COUNT_BYTES, STORED, UNREAD_COUNTS, Container
from safeload.containers.detect import open_container
from safeload.errors import CheckpointError
from safeload.findings import Fetched, Finding, GlobalUse, Report, Verdict, verdict_of_error
from safeload.formats.judging import Judging, Options, Verify
from safeload.formats.readers import SEQUENCES, reader_of
from safeload.limits import Limits
from safeload.machine.nodes import ObjectGraph
from safeload.policy.model import Policy
from safeload.policy.today import as_of_today
from safeload.source import ByteSource
from safeload.storage.records import Document, Plan
from safeload.terms import apply_terms

__all__ = ["Options", "Reading", "Verify", "judge", "read_document", "unread_report"]


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One file, read and judged. `document` is what `load` builds: there only if the file holds exactly one, and all of it was proved."""

    report: Report
    container: Container | None
    document: Document | None
    objects: int  # how many values the file holds behind each other
    plans: tuple[Plan, ...]  # one for each stream of the file, if all of it was accepted
    graphs: tuple[tuple[str, bytes, ObjectGraph], ...]  # member, its bytes, what they mean: for listings
    ends: tuple[int, ...]  # where each save of a sequence ends
    error: CheckpointError | None  # the first thing that could not be read
    budget: Budget
    policy: Policy


def judge(source: ByteSource, policy: Policy, limits: Limits, options: Options) -> Reading:
    """Read and judge. Never raises `CheckpointError`: what goes wrong becomes a finding, and `Reading.error`."""
    with Paused():
        policy = as_of_today(policy)  # the one look at the calendar, unless the caller has chosen a day
        judging = Judging(source, policy, options, Budget(limits), read_document)
        document = read_document(judging)
        remote = _fetched(judging)
        apply_terms(judging)
        return Reading(
            report=_report(judging, remote),
            container=judging.container,
            document=document,
            objects=judging.objects or len(judging.plans),
            plans=tuple(judging.plans),
            graphs=tuple(judging.graphs),
            ends=tuple(judging.ends),
            error=judging.error,
            budget=judging.budget,
            policy=policy,
        )


def read_document(judging: Judging) -> Document | None:
    """The procedure of the module's first lines, for one file or for a file inside another."""
    try:
        # 1, 2
        container = judging.container = open_container(judging.file, judging.limits, judging.budget)
        judging.source, judging.wrappers = container.source, container.wrappers
        judging.source.read_only = judging.file.read_only
        judging.findings.extend(container.findings)
        # 3, 4, 5
        document = reader_of(container.format)(judging, container)
        _check_format(judging, judging.container.format)
        _read_storages(judging, judging.container)
    except CheckpointError as error:
        if judging.container is None:
            from safeload.formats.cut import explain_zip
            from safeload.formats.refused import judge_members

            explain_zip(judging, error)
            judge_members(judging, error)
        judging.stopped(error)
        document = None
    if judging.container is not None and any(finding.level == "error" for finding in judging.findings):
        from safeload.formats.refused import judge_rest

        judge_rest(judging, judging.container)
    return document


def _check_format(judging: Judging, format_: str) -> None:
    policy = judging.policy
    if "*" not in policy.formats and format_ not in policy.formats:
        judging.find("SL322", f"policy {policy.name} covers {', '.join(policy.formats)} and not {format_}")


def _read_storages(judging: Judging, container: Container) -> None:
    """A deflated storage is inflated once, so that what is accepted is known to be whole and within the budget (law 4); torch.save never deflates.

    With `verify="crc"`, stored ones are read, too.
    """
    from safeload.formats.archive import check_crc

    for member in container.storages.values():
        if member.method != STORED:
            if member.name not in judging.inflated:
                judging.member_bytes(member)
        elif judging.options.verify == "crc":
            check_crc(judging, member)


# ---- the report ---------------------------------------------------------------------------------------------------------------------------


def _verdict(findings: list[Finding]) -> Verdict:
    verdicts = {verdict_of_error(finding.rule) for finding in findings if finding.level == "error"}
    return "rejected" if "rejected" in verdicts else "inconclusive" if verdicts else "accepted"


def _report(judging: Judging, remote: Fetched | None) -> Report:
    container, policy = judging.container, judging.policy
    verdict = _verdict(judging.findings)
    # the errors that make the verdict first, then the others; what could not be read stays in the report however long it is
    findings = sorted(judging.findings, key=lambda finding: (_ORDER[finding.level], verdict_of_error(finding.rule) != verdict))
    kept = tuple(findings[: max(judging.limits.findings, 1)])
    if judging.broken is not None and judging.broken not in kept:
        kept = (*kept[:-1], judging.broken)
    return Report(
        path=judging.file.name,
        format="+".join((container.format if container is not None else "unknown", *judging.wrappers)),
        verdict=verdict,
        policy=policy.name,
        policy_version=policy.version,
        policy_sha256=policy.sha256,
        policy_file=policy.file,
        has_opaque=any(use.decision == "opaque" for use in judging.globals),
        findings=kept,
        globals=_merged(judging.globals),
        members=() if judging.options.brief and verdict == "accepted" and policy.mode == "enforce" else tuple(judging.member_infos()),
        bytes_total=judging.file.size + judging.beside_bytes,
        bytes_accounted=_accounted(judging),
        opcodes=judging.opcodes,
        tensors=judging.tensors,
        tensor_bytes=judging.tensor_bytes,
        sha256=_digest(judging),
        beside=_beside(judging),
        suppressed_findings=judging.suppressed + len(findings) - len(kept),
        loader=judging.options.loader,
        remote=remote,
    )


def _fetched(judging: Judging) -> Fetched | None:
    """What was read of a file behind a network. That not all of it was is a note, or what the policy makes of that (law 4)."""
    if judging.file.fetched is None:
        return None
    container, source, fetched = judging.container, judging.file, judging.file.fetched()
    headers = 0 if container is None else _headers_unread(container)
    fetched = msgspec.structs.replace(fetched, headers_unread=headers)
    if fetched.bytes_unread:
        beyond = f"; {headers:,} of its members have a header there, which was held against nothing" if headers else ""
        judging.find("SL007", f"{fetched.bytes_unread:,} of {source.size:,} bytes were not fetched, and nothing is said of them{beyond}", level="note")
    return fetched


def _headers_unread(container: Container) -> int:
    """Members whose local header, or whose number of elements in a legacy file, was not read when the file was taken apart."""
    return sum(member.pending is not None for member in container.members.values()) + int(container.info.get(UNREAD_COUNTS, 0))


def _accounted(judging: Judging) -> int:
    """Bytes that belong to something: all that the archive's reader accounted for, or up to the end of the last whole object of a sequence.

    Of a compressed file all or none: the inflater took every byte of it, but which of them hold what is not known.
    """
    container = judging.container
    if container is None:
        return 0
    accounted = container.accounted + judging.beside_bytes
    if container.format in SEQUENCES:
        accounted = judging.ends[-1] - COUNT_BYTES * int(container.info.get(UNREAD_COUNTS, 0)) if judging.ends else 0
    if judging.wrappers:
        whole = judging.source.size if container.unpacked_from is None else container.unpacked_from
        return judging.file.size if accounted == whole else 0
    return accounted


def _digest(judging: Judging) -> str | None:
    if not judging.options.digest or (judging.file.fetched is not None and judging.file.fetched().bytes_unread):
        return None
    try:
        return judging.digest()
    except CheckpointError:
        return None  # the finding that says why is there already


def _beside(judging: Judging) -> tuple[tuple[str, str], ...]:
    """The digests of shards, by their name relative to the folder of the file."""
    if not judging.options.digest:
        return ()
    folder = judging.file.folder or "."
    try:
        return tuple((os.path.relpath(source.name, folder).replace(os.sep, "/"), source.sha256()) for source in judging.file.kept)
    except CheckpointError:
        return ()  # as for the file itself


def unread_report(path: str, policy: Policy, finding: Finding) -> Report:
    """The report on what could not even be opened: inconclusive, for this one reason (law 4)."""
    return Report(
        path=path,
        format="unknown",
        verdict="inconclusive",
        policy=policy.name,
        policy_version=policy.version,
        policy_sha256=policy.sha256,
        policy_file=policy.file,
        has_opaque=False,
        findings=(finding,),
    )


_ORDER = {"error": 0, "warning": 1, "note": 2}


def _merged(uses: list[GlobalUse]) -> tuple[GlobalUse, ...]:
    """One line for each name, over all streams of the file."""
    merged: dict[str, GlobalUse] = {}
    for use in uses:
        known = merged.get(use.global_name)
        if known is not None:
            use = msgspec.structs.replace(
                known, uses=tuple(sorted({*known.uses, *use.uses})), count=known.count + use.count, places=(known.places + use.places)[:8]
            )
        merged[use.global_name] = use
    return tuple(merged.values())
