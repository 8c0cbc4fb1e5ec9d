"""What all readers of formats share: the state of one file that is being read and judged, and the steps that a stream goes through.

    interpret: one pickle stream, once, symbolically (law 2). Of a stream that breaks off, what came before is judged all the same.
    judged:    every global, use and argument of it put to the policy, and every tensor proved to lie inside its storage.
    nested:    another whole file inside this one, by the same procedure and out of the same budget.

Turns streams into `Plan`s and everything that stands against them into findings. Refuses nothing itself; the stages that it calls do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from safeload.budget import Budget, exceeded
from safeload.containers.base import STORED, Container, Member
from safeload.containers.inflate import read_member
from safeload.errors import CheckpointError, without_frames
from safeload.findings import NAMING, Finding, GlobalUse, Level, Loader, MemberInfo
from safeload.formats.embedded import with_storages
from safeload.limits import Limits
from safeload.machine.interpret import interpret
from safeload.machine.nodes import ObjectGraph
from safeload.policy.model import Policy
from safeload.policy.vet import vet
from safeload.policy.vetted import External, Judgement, Vetted
from safeload.source import ByteSource
from safeload.storage.prove import prove
from safeload.storage.records import Document, Plan, Unbuilt

Verify = Literal["crc"] | None
NESTED = "!/"  # between the name of a file in a file and a member of it, as in JAR URLs


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to read; what to allow is the policy's business."""

    encoding: str = "utf-8"  # of Python 2's 8-bit strings; "bytes" leaves them bytes
    errors: str = "strict"
    verify: Verify = None  # "crc": compare the CRC-32 of storages too, which reads all of them
    extra_opaque: frozenset[str] = frozenset()  # names that the caller constructs himself
    first_only: bool = False  # stop behind the first object of a sequence: a file object is read from one save to the next
    digest: bool = False  # sha256 of the whole file
    brief: bool = False  # does nobody look at the report of a file that is accepted, and loaded? Then its members are not listed
    loader: Loader = "safeload"  # "any": judge for every program that could load the file, not for safeload alone


class Judging:
    """The one mutable thing of this stage: one file, and what was found in it so far.

    `read` is the procedure itself (`safeload.judge.read_document`), for files inside this one.
    """

    __slots__ = (
        "beside_bytes", "broken", "budget", "container", "depth", "ends", "error", "file", "findings", "globals", "graphs", "inflated", "limits",
        "members", "objects", "opcodes", "options", "plans", "policy", "read", "sha256", "source", "suppressed", "tensor_bytes", "tensors", "used", "wrappers",
    )  # fmt: skip

    def __init__(
        self, source: ByteSource, policy: Policy, options: Options, budget: Budget, read: Callable[[Judging], Document | None], *, depth: int = 0
    ) -> None:
        self.file = source  # as it was given
        self.source = source  # what is read: of a compressed file, what was in it
        self.wrappers: tuple[str, ...] = ()  # the compressions around it, outermost last
        self.policy = policy
        self.options = options
        self.budget = budget
        self.limits: Limits = budget.limits
        self.read = read
        self.depth = depth
        self.container: Container | None = None
        self.error: CheckpointError | None = None  # the first thing that could not be read
        self.broken: Finding | None = None  # the same, as a finding
        self.findings: list[Finding] = []
        self.suppressed = 0
        self.globals: list[GlobalUse] = []
        self.graphs: list[tuple[str, bytes, ObjectGraph]] = []  # member, its bytes, what they mean: for listings
        self.members: list[MemberInfo] = []  # of files inside this one
        self.plans: list[Plan] = []
        self.ends: list[int] = []  # where each save of a sequence ends
        self.inflated: set[str] = set()  # names of the members that were inflated already
        self.used: set[str] = set()  # keys of the storages that some tensor stands on
        self.objects = 0  # whole objects behind each other, where they are no streams of this file
        self.opcodes = self.tensors = self.tensor_bytes = 0
        self.sha256: str | None = None  # of the whole file, once it was asked for
        self.beside_bytes = 0  # of the files beside this one that were read for it

    # ---- findings -----------------------------------------------------------------------------------------------------------------------

    def find(
        self, rule: str, message: str, *, level: Level = "error", member: str | None = None, offset: int | None = None, capability: str | None = None
    ) -> None:
        """One more finding."""
        self.findings.append(Finding(rule=rule, message=message, level=level, member=member, offset=offset, capability=capability))

    def stopped(self, error: CheckpointError) -> None:
        """Something could not be read: the file is not accepted, whatever else is in it."""
        if self.error is None:
            self.error = without_frames(error)
        finding = Finding(rule=error.rule, message=error.message, member=error.member, offset=error.offset)
        self.broken = self.broken or finding
        self.findings.append(finding)
        self._glimpse(error)

    def digest(self) -> str:
        """sha256 of the whole file, reckoned once. Raises `CheckpointError` where it cannot be read."""
        if self.sha256 is None:
            self.sha256 = self.file.sha256()
        return self.sha256

    # ---- streams ------------------------------------------------------------------------------------------------------------------------

    def member_bytes(self, member: Member) -> bytes:
        """The content of a member, inflated where it is deflated, out of the budget; a stored storage's CRC-32 only where it was asked for."""
        self.inflated.add(member.name)
        verify = member.role != "storage" or member.method != STORED or self.options.verify == "crc"
        return read_member(self.source, member, self.limits, budget=self.budget, verify=verify)

    def pickle_bytes(self, member: Member) -> bytes:
        """The content of a member that is a pickle. Raises `LimitExceeded` for one that is longer than a pickle may be."""
        if member.size > self.limits.pickle_bytes:
            raise exceeded("pickle_bytes", self.limits.pickle_bytes, f"the pickle is {member.size:,} bytes long, more", member.name)
        return self.member_bytes(member)

    def interpret(self, data: bytes, *, member: str | None, start: int = 0, encoding: str | None = None) -> ObjectGraph:
        """One stream. Raises as the machine does, after what came before the break was judged."""
        try:
            return interpret(data, budget=self.budget, start=start, member=member, encoding=encoding or self.options.encoding, errors=self.options.errors)
        except CheckpointError as error:
            self.note_partial(member or "", data, error)
            raise

    def note_partial(self, member: str, data: bytes, error: CheckpointError, *, external: External | None = None, more: ByteSource | None = None) -> None:
        """Judge what a broken stream asked for before it broke, so that a payload in front of the damage is named, and what it would look up behind that.

        `more`: the source whose first bytes `data` are, where it may hold more of the stream.
        """
        partial = error.partial
        if not isinstance(partial, ObjectGraph):
            return
        if partial.log:
            self.vetted_only(member, data, partial, external=external)
        self.note_beyond(member, data, partial, more=more)

    def note_beyond(self, member: str, data: bytes, partial: ObjectGraph, *, more: ByteSource | None = None, dangerous: bool = False) -> bool:
        """Put the names behind a break to the policy: what is refused here may run elsewhere. `dangerous`: only where one is known to do harm."""
        from safeload.formats.beyond import MAX_SWEPT_BYTES, Beyond

        if more is not None and len(data) < more.size and not more.is_sparse:
            data = more.read(0, min(more.size, MAX_SWEPT_BYTES))
        beyond = Beyond(data, partial.start, partial, self.budget.check_time)
        if dangerous and not beyond.dangerous():
            return False
        if beyond.unreadable is not None:
            message = "behind what is malformed, STACK_GLOBAL looks up a name that is computed: which one it is nobody can know"
            self.find("SL208", message, member=member or None, offset=beyond.unreadable)
        if beyond.names:
            judgement = self._vet(beyond.graph(), member or None, None)
            found = {finding.global_name for finding in self.findings}
            self.findings.extend(finding for finding in judgement.findings if finding.rule in NAMING and finding.global_name not in found)
            self.suppressed += judgement.suppressed
            self.globals.extend(judgement.globals)
        return bool(beyond.names)

    def named_only(self, member: str, data: bytes, graph: ObjectGraph) -> None:
        """Put the names of a stream to the policy, where what it refers to outside itself is unknown."""
        before = len(self.findings)
        self.vetted_only(member, data, graph)
        self.findings[before:] = [finding for finding in self.findings[before:] if finding.rule in NAMING]

    def named_in(self, member: str | None, data: bytes, start: int) -> None:
        """Put the names in bytes that another reader may take for a pickle to the policy. The caller has seen that the file is refused."""
        try:
            graph: object = interpret(data, budget=self.budget, start=start, member=member, encoding="latin1")
        except CheckpointError as error:
            graph = error.partial
        if isinstance(graph, ObjectGraph) and graph.globals:
            self.named_only(member or "", data, graph)
        if isinstance(graph, ObjectGraph) and not graph.whole:
            self.note_beyond(member or "", data, graph, dangerous=True)

    def vetted_only(self, member: str, data: bytes, graph: ObjectGraph, *, external: External | None = None) -> Vetted | None:
        """Put a stream to the policy without proving what it would build: it will not be built."""
        self.graphs.append((member, data, graph))
        judgement = self._vet(graph, member or None, external)
        self._note(judgement)
        return judgement.vetted

    def judged(self, container: Container, member: str, data: bytes, graph: ObjectGraph, *, external: External | None = None) -> Plan | None:
        """The plan of one whole stream, or None and the findings. `external` gives the nodes that other parts of the file explain."""
        external = with_storages(self, container, member, graph, external)
        self.opcodes += graph.opcodes
        self.graphs.append((member, data, graph))
        judgement = self._vet(graph, member or None, external)
        self._note(judgement)
        if judgement.vetted is None:
            return None
        proof = prove(judgement.vetted, container, self.budget, read=self.member_bytes, external=external)
        self.findings.extend(proof.findings)
        self.suppressed += proof.suppressed
        self.tensors += proof.tensor_count
        self.tensor_bytes += proof.tensor_bytes
        self.used |= proof.used_keys
        if proof.plan is not None:
            self.plans.append(proof.plan)
        return proof.plan

    def count_tensor(self, nbytes: int) -> None:
        """One more tensor that stands in no stream, out of the budget."""
        self.budget.spend_tensor(nbytes)
        self.tensors += 1
        self.tensor_bytes += nbytes

    def _vet(self, graph: ObjectGraph, member: str | None, external: External | None) -> Judgement:
        return vet(
            graph,
            self.policy,
            limits=self.limits,
            member=member,
            extra_opaque=self.options.extra_opaque,
            check_time=self.budget.check_time,
            external=external,
        )

    def _note(self, judgement: Judgement) -> None:
        self.findings.extend(judgement.findings)
        self.suppressed += judgement.suppressed
        self.globals.extend(judgement.globals)

    # ---- what no stream refers to -------------------------------------------------------------------------------------------------------

    def probe(self, member: Member) -> bool:
        """Judge a member as a pickle if it is one. A payload needs a name, so bytes without any name in front of their first error are none."""
        if member.size > self.limits.pickle_bytes:
            return False
        data = self.member_bytes(member)
        try:
            graph = interpret(data, budget=self.budget, member=member.name, encoding="latin1")
        except CheckpointError as error:
            partial = error.partial
            if not isinstance(partial, ObjectGraph):
                return False
            if partial.globals:
                self.vetted_only(member.name, data, partial)
            if not self.note_beyond(member.name, data, partial, dangerous=not partial.globals) and not partial.globals:
                return False
            self.stopped(error)
            return True
        self.vetted_only(member.name, data, graph)
        return graph.end == len(data)

    # ---- files inside this one ----------------------------------------------------------------------------------------------------------

    def nested(self, source: ByteSource, name: str, *, unbuilt: bool = False) -> Document | None:
        """Read and judge a whole file that this one holds under `name`. What is found in it counts for this file, and stands in it as `name!/member`.

        `unbuilt`: may the file be one that nothing is built of? Where it stands for a value of this file, it may not (SL002).
        """
        if self.depth >= self.limits.container_depth:
            raise exceeded("container_depth", self.limits.container_depth, "files stand inside files deeper", name)
        child = Judging(source, self.policy, self.options, self.budget, self.read, depth=self.depth + 1)
        document = self.read(child)
        self._absorb(child, name)
        if isinstance(document, Unbuilt) and not unbuilt:
            self.find("SL002", f"this is {document.what}, which safeload judges and does not load: {document.hint}", member=name)
            return None
        return document

    def _glimpse(self, error: CheckpointError) -> None:
        """Judge what a damaged compressed file or member held in front of the damage: only the names in it count, it is refused already."""
        partial, error.partial = error.partial, None if isinstance(error.partial, ByteSource) else error.partial
        if not isinstance(partial, ByteSource) or self.depth >= self.limits.container_depth:
            return
        child = Judging(partial, self.policy, self.options, self.budget, self.read, depth=self.depth + 1)
        self.read(child)
        child.error = child.broken = None
        child.findings = [finding for finding in child.findings if finding.rule in NAMING]
        self._absorb(child, error.member or "")

    def keep(self, source: ByteSource) -> ByteSource:
        """A file beside this one: open as long as this one, and counted with it."""
        self.file.kept.append(source)
        source.read_only = self.file.read_only
        self.beside_bytes += source.size
        return source

    def shard(self, source: ByteSource, name: str) -> Document | None:
        """Read and judge a whole file that stands beside this one."""
        return self.nested(self.keep(source), name)

    def _absorb(self, child: Judging, name: str) -> None:
        def inside(member: str | None) -> str:
            return f"{name}{NESTED}{member}" if name and member else name or member or ""

        self.findings.extend(msgspec.structs.replace(finding, member=inside(finding.member) or None) for finding in child.findings)
        self.suppressed += child.suppressed
        self.globals.extend(
            msgspec.structs.replace(use, places=tuple((inside(member), offset) for member, offset in use.places)) for use in child.globals
        )
        self.graphs.extend((inside(member), data, graph) for member, data, graph in child.graphs)
        self.members.extend(msgspec.structs.replace(member, name=inside(member.name)) for member in child.member_infos())
        self.opcodes += child.opcodes
        self.tensors += child.tensors
        self.tensor_bytes += child.tensor_bytes
        if child.error is not None:
            child.error.member = inside(child.error.member)
            self.error = self.error or child.error
            self.broken = self.broken or (msgspec.structs.replace(child.broken, member=inside(child.broken.member)) if child.broken is not None else None)

    def member_infos(self) -> list[MemberInfo]:
        """The members of this file and of the files in it, for the report."""
        own = self.container.members.values() if self.container is not None else ()
        return [_info(member) for member in own] + self.members


def _info(member: Member) -> MemberInfo:
    read, located = member.role in READ_ROLES, member.pending is None
    return MemberInfo(name=member.name, role=member.role, offset=member.offset, size=member.size, read=read, located=located)


READ_ROLES: frozenset[Any] = frozenset({"pickle", "record", "directory", "unknown"})  # a storage need not be read: whatever it holds is only numbers
