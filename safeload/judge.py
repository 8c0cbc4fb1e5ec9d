"""The reading and judging of one file, shared by `load`, `scan` and `open`: bytes become a `Reading`, and no array is built.

    1. Identify the container by content; the file's name decides nothing.
    2. Account for every byte of it.
    3. Interpret each pickle stream once, symbolically.
    4. Put every global, use and argument to the policy.
    5. Prove that each tensor lies inside its storage.

Steps 1 to 3 can make the verdict inconclusive, 4 and 5 rejected; neither is ever silently skipped. Of a stream that breaks off, what came before is judged
all the same, so a payload in front of the damage is named.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from safeload.budget import Budget, exceeded
from safeload.collector import Paused
from safeload.containers.base import STORED, Container, Member
from safeload.containers.detect import open_container
from safeload.containers.inflate import read_member, verify_crc
from safeload.containers.sniff import HEAD_BYTES, is_legacy
from safeload.errors import CheckpointError, StreamError
from safeload.findings import Finding, GlobalUse, MemberInfo, Report, Verdict, verdict_of_error
from safeload.legacy import FIRST_WINDOW_BYTES, LATER_WINDOW_BYTES, Window, read_sequential
from safeload.limits import Limits
from safeload.machine.interpret import interpret
from safeload.machine.nodes import ObjectGraph
from safeload.policy.model import Policy
from safeload.policy.vet import vet
from safeload.policy.vetted import Judgement
from safeload.source import ByteSource
from safeload.storage.prove import prove
from safeload.storage.records import Plan

CRC_CHUNK_BYTES = 1 << 20
MAX_STREAMS = 10_000  # pickles and saves behind each other in one file
SEQUENTIAL_FORMATS = ("pickle", "torch.legacy")
Verify = Literal["crc"] | None


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to read; what to allow is the policy's business."""

    encoding: str = "utf-8"  # of Python 2's 8-bit strings; "bytes" leaves them bytes
    errors: str = "strict"
    verify: Verify = None  # "crc": compare the CRC-32 of storages too, which reads all of them
    extra_opaque: frozenset[str] = frozenset()  # names that the caller constructs himself
    first_only: bool = False  # stop behind the first object of a sequence: a file object is read from one save to the next
    digest: bool = False  # sha256 of the whole file


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One file, read and judged. `plans` has one plan for each stream of the file, if all of it was accepted."""

    report: Report
    container: Container | None
    plans: tuple[Plan, ...]
    graphs: tuple[tuple[str, bytes, ObjectGraph], ...]  # member, its bytes, what they mean: for listings
    ends: tuple[int, ...]  # where each save of a sequence ends
    error: CheckpointError | None  # the first thing that could not be read
    budget: Budget


def judge(source: ByteSource, policy: Policy, limits: Limits, options: Options) -> Reading:
    """Read and judge. Never raises `CheckpointError`: what goes wrong becomes a finding, and `Reading.error`."""
    with Paused():
        return _Judging(source, policy, limits, options).run()


class _Judging:
    """The one mutable thing of this stage: what was found so far."""

    __slots__ = (
        "broken",
        "budget",
        "container",
        "ends",
        "error",
        "findings",
        "globals",
        "graphs",
        "inflated",
        "limits",
        "member_infos",
        "opcodes",
        "options",
        "plans",
        "policy",
        "source",
        "suppressed",
        "tensor_bytes",
        "tensors",
        "used",
    )

    def __init__(self, source: ByteSource, policy: Policy, limits: Limits, options: Options) -> None:
        self.source = source
        self.policy = policy
        self.limits = limits
        self.options = options
        self.budget = Budget(limits)
        self.container: Container | None = None
        self.error: CheckpointError | None = None
        self.findings: list[Finding] = []
        self.suppressed = 0
        self.globals: list[GlobalUse] = []
        self.graphs: list[tuple[str, bytes, ObjectGraph]] = []
        self.plans: list[Plan] = []
        self.ends: list[int] = []
        self.broken: Finding | None = None
        self.inflated: set[str] = set()  # names of the members that were inflated already
        self.used: set[str] = set()
        self.opcodes = self.tensors = self.tensor_bytes = 0

    def run(self) -> Reading:
        """The procedure of the module's first lines."""
        try:
            # 1, 2
            container = self.container = open_container(self.source, self.limits, self.budget)
            self.findings.extend(container.findings)
            if "*" not in self.policy.formats and container.format not in self.policy.formats:
                self.findings.append(
                    Finding(rule="SL322", message=f"policy {self.policy.name} covers {', '.join(self.policy.formats)} and not {container.format}")
                )
            # 3, 4, 5
            if container.format in SEQUENTIAL_FORMATS:
                self._sequence(container)
            else:
                for name in container.pickles:
                    self._pickle(container, container.members[name])
                self._others(container)
            self._inflate_storages(container)
            if self.options.verify == "crc":
                self._verify_storages(container)
        except CheckpointError as error:
            self._broken(error)
        return self._reading()

    def _reading(self) -> Reading:
        return Reading(
            report=self._report(),
            container=self.container,
            plans=tuple(self.plans),
            graphs=tuple(self.graphs),
            ends=tuple(self.ends),
            error=self.error,
            budget=self.budget,
        )

    # ---- 3 to 5 -------------------------------------------------------------------------------------------------------------------------

    def _pickle(self, container: Container, member: Member) -> None:
        """The one stream of a pickle member."""
        if member.size > self.limits.pickle_bytes:
            raise exceeded("pickle_bytes", self.limits.pickle_bytes, f"the pickle is {member.size:,} bytes long, more", member.name)
        data = read_member(self.source, member, self.limits, budget=self.budget)
        end = self._stream(container, member, data)
        if end != len(data):
            raise StreamError(
                f"{len(data) - end:,} bytes follow the end of the pickle, and nothing accounts for them", rule="SL207", member=member.name, offset=end
            )

    def _stream(self, container: Container, member: Member, data: bytes) -> int:
        """The stream of an archive's pickle; returns where it ends."""
        name = member.name
        try:
            graph = interpret(data, budget=self.budget, member=name, encoding=self.options.encoding, errors=self.options.errors)
        except CheckpointError as error:
            self._note_partial(member.name, data, error)
            raise
        self._judged(container, member.name, data, graph, name)
        return graph.end

    def _note_partial(self, member: str, data: bytes, error: CheckpointError) -> None:
        """Judge what a broken stream asked for before it broke."""
        if isinstance(error.partial, ObjectGraph) and error.partial.log:
            self.graphs.append((member, data, error.partial))
            self._note(
                vet(
                    error.partial,
                    self.policy,
                    limits=self.limits,
                    member=member or None,
                    extra_opaque=self.options.extra_opaque,
                    check_time=self.budget.check_time,
                )
            )

    def _judged(self, container: Container, member: str, data: bytes, graph: ObjectGraph, name: str | None) -> None:
        """Steps 4 and 5 for one stream."""
        self.opcodes += graph.opcodes
        self.graphs.append((member, data, graph))
        judgement = vet(graph, self.policy, limits=self.limits, member=name, extra_opaque=self.options.extra_opaque, check_time=self.budget.check_time)
        self._note(judgement)
        if judgement.vetted is not None:
            proof = prove(judgement.vetted, container, self.budget, read=self._read)
            self.findings.extend(proof.findings)
            self.tensors += proof.tensor_count
            self.tensor_bytes += proof.tensor_bytes
            self.used |= proof.used_keys
            if proof.plan is not None:
                self.plans.append(proof.plan)

    def _read(self, member: Member) -> bytes:
        self.inflated.add(member.name)
        return read_member(self.source, member, self.limits, budget=self.budget, verify=self.options.verify == "crc" or member.method != STORED)

    def _note(self, judgement: Judgement) -> None:
        self.findings.extend(judgement.findings)
        self.suppressed += judgement.suppressed
        self.globals.extend(judgement.globals)

    def _sequence(self, container: Container) -> None:
        """A file without an archive: legacy saves and bare pickles, one behind the other, each judged, until every byte belongs to one.

        Offsets in the first count from the start of the file; those in a later one from its own start, and its `member` is called `object 2`, `object 3` ...
        """
        end = 0
        while True:
            start, number = end, len(self.ends) + 1
            part = self.source if not start else self.source.part(start)
            try:
                end = start + self._object(container, part, f"object {number}" if start else None)
            except StreamError as error:
                if not start or _has_globals(error.partial):
                    raise
                raise StreamError(f"{part.size:,} bytes follow, and are no pickle", rule="SL207", offset=start) from error
            self.ends.append(end)
            self.container = msgspec.structs.replace(self.container or container, accounted=end)
            if end == self.source.size or self.options.first_only:
                return
            if number >= MAX_STREAMS:
                raise StreamError(f"more than {MAX_STREAMS:,} pickles follow each other", rule="SL207", offset=end)

    def _object(self, container: Container, part: ByteSource, member: str | None) -> int:
        """One legacy save or one bare pickle; returns how long it is."""
        options = self.options
        window = Window(part, self.budget, member, options.encoding, options.errors, LATER_WINDOW_BYTES if member else FIRST_WINDOW_BYTES)
        try:
            if is_legacy(window.data[:HEAD_BYTES]):
                save = read_sequential(window)
                if not member:
                    self.container = save.container
                self._judged(save.container, member or "", window.data, save.graph, member)
                return save.end
            graph = window.stream()
        except CheckpointError as error:
            self._note_partial(member or "", window.data, error)
            raise
        self._judged(container, member or "", window.data, graph, member)
        return graph.end

    # ---- what no stream refers to ---------------------------------------------------------------------------------------------------------

    def _others(self, container: Container) -> None:
        """Members that no torch release writes, and storages that nothing refers to: no reader of ours opens them, another program might."""
        judged = not any(finding.level == "error" for finding in self.findings)
        for key, member in container.storages.items():
            if judged and key not in self.used and member.size:
                self.findings.append(
                    Finding(rule="SL123", level="note", message=f"storage {key[:40]!a} ({member.size:,} bytes) belongs to no tensor", member=member.name)
                )
                self._probe(member)
        for name, member in container.members.items():
            if member.role == "unknown" and member.size and not self._probe(member) and container.format != "zip":
                message = f"a member of {member.size:,} bytes that torch.save does not write and safeload cannot judge"
                self.findings.append(Finding(rule="SL122", message=message, member=name))

    def _probe(self, member: Member) -> bool:
        """Judge a member as a pickle if it is one. A payload needs a name, so bytes without any name in front of their first error are none."""
        if member.size > self.limits.pickle_bytes:
            return False
        data = read_member(self.source, member, self.limits, budget=self.budget)
        try:
            graph = interpret(data, budget=self.budget, member=member.name, encoding="latin1")
        except CheckpointError as error:
            partial = error.partial
            if not isinstance(partial, ObjectGraph) or not partial.globals:
                return False
            self.graphs.append((member.name, data, partial))
            self._note(vet(partial, self.policy, limits=self.limits, member=member.name, check_time=self.budget.check_time))
            self._broken(error)
            return True
        self.graphs.append((member.name, data, graph))
        self._note(vet(graph, self.policy, limits=self.limits, member=member.name, check_time=self.budget.check_time))
        return graph.end == len(data)

    def _inflate_storages(self, container: Container) -> None:
        """A deflated storage is inflated once, so that what is accepted is known to be whole and within the budget (law 4). torch.save never deflates."""
        for member in container.storages.values():
            if member.method != STORED and member.name not in self.inflated:
                self.inflated.add(member.name)
                read_member(self.source, member, self.limits, budget=self.budget)

    def _verify_storages(self, container: Container) -> None:
        import zlib

        for member in container.storages.values():
            if member.method == STORED and member.crc:
                crc = 0
                for at in range(0, member.size, CRC_CHUNK_BYTES):
                    crc = zlib.crc32(self.source.read(member.offset + at, min(CRC_CHUNK_BYTES, member.size - at)), crc)
                if crc != member.crc:
                    verify_crc(member, b"") if not member.size else self.findings.append(
                        Finding(
                            rule="SL115", message=f"the bytes have the CRC-32 {crc:#010x}, and the directory records {member.crc:#010x}", member=member.name
                        )
                    )

    # ---- the report -----------------------------------------------------------------------------------------------------------------------

    def _broken(self, error: CheckpointError) -> None:
        if self.error is None:
            self.error = error
        finding = Finding(rule=error.rule, message=error.message, member=error.member, offset=error.offset)
        self.broken = self.broken or finding
        self.findings.append(finding)

    def _verdict(self) -> Verdict:
        verdicts = {verdict_of_error(finding.rule) for finding in self.findings if finding.level == "error"}
        return "rejected" if "rejected" in verdicts else "inconclusive" if verdicts else "accepted"

    def _report(self) -> Report:
        container, policy = self.container, self.policy
        verdict = self._verdict()
        # the errors that make the verdict first, then the others; what could not be read stays in the report however long it is
        findings = sorted(self.findings, key=lambda finding: (_ORDER[finding.level], verdict_of_error(finding.rule) != verdict))
        kept = tuple(findings[: max(self.limits.findings, 1)])
        if self.broken is not None and self.broken not in kept:
            kept = (*kept[:-1], self.broken)
        return Report(
            path=self.source.name,
            format=container.format if container is not None else "unknown",
            verdict=verdict,
            policy=policy.name,
            policy_version=policy.version,
            policy_sha256=policy.sha256,
            policy_file=policy.file,
            has_opaque=any(use.decision == "opaque" for use in self.globals),
            findings=kept,
            globals=_merged(self.globals),
            members=tuple(self._member(member) for member in container.members.values()) if container is not None else (),
            bytes_total=self.source.size,
            bytes_accounted=self._accounted(),
            opcodes=self.opcodes,
            tensors=self.tensors,
            tensor_bytes=self.tensor_bytes,
            sha256=self._digest(),
            suppressed_findings=self.suppressed + len(findings) - len(kept),
        )

    def _accounted(self) -> int:
        """Bytes that belong to something: all that the archive's reader accounted for, or up to the end of the last whole object."""
        if self.container is None:
            return 0
        if self.container.format in SEQUENTIAL_FORMATS:
            return self.ends[-1] if self.ends else 0
        return self.container.accounted

    def _digest(self) -> str | None:
        if not self.options.digest:
            return None
        try:
            return self.source.sha256()
        except CheckpointError:
            return None  # the finding that says why is there already

    def _member(self, member: Member) -> MemberInfo:
        read = member.role in ("pickle", "record", "directory", "unknown")
        return MemberInfo(name=member.name, role=member.role, offset=member.offset, size=member.size, read=read)


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


def _has_globals(partial: object) -> bool:
    return isinstance(partial, ObjectGraph) and bool(partial.globals)


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
