"""Rules, findings and the report: what safeload says about a file.

Turns nothing; these are the records that `containers`, `machine`, `policy` and `storage` fill and that `report` renders. The rules stand here as
one visible list. The hundred of a code says who noticed (`SL0xx` source, `SL1xx` container, `SL2xx` stream, `SL3xx` policy, `SL4xx` storage,
`SL9xx` limits) and with it what an error means for the verdict: what could not be read makes it `inconclusive`, what was read and is not
allowed makes it `rejected` (law 4).
"""

from __future__ import annotations

from typing import Literal

import msgspec

Verdict = Literal["accepted", "rejected", "inconclusive"]
Level = Literal["error", "warning", "note"]
Loader = Literal["safeload", "any"]  # whom an accepted file is for


class Rule(msgspec.Struct, frozen=True):
    """One rule: `code` is stable for ever, `name` is for people, `level` is what a finding has unless a policy regrades it."""

    code: str
    name: str
    level: Level
    summary: str


RULES: tuple[Rule, ...] = (
    Rule("SL001", "unknown-format", "error", "The bytes are no format that safeload knows."),
    Rule("SL002", "unsupported-format", "error", "The format is recognised and cannot be read."),
    Rule("SL003", "not-a-checkpoint", "error", "The file is something else: HTML, JSON, zeros, nothing."),
    Rule("SL004", "truncated", "error", "The file ends before what it announces."),
    Rule("SL005", "unreadable-source", "error", "The source could not be read."),
    Rule("SL006", "lfs-pointer", "error", "The file is a git-LFS pointer: what it stands for was not fetched."),
    Rule("SL007", "partly-read", "note", "The file lies behind a network, and bytes of it were not fetched."),
    Rule("SL101", "zip-no-directory", "error", "No end of central directory where one must be."),
    Rule("SL102", "zip-trailing-bytes", "error", "Bytes or a comment behind the end of the archive."),
    Rule("SL103", "zip-multi-disk", "error", "The archive claims to span several disks."),
    Rule("SL104", "zip-zip64", "error", "The zip64 records are missing, malformed or contradict the classic ones."),
    Rule("SL105", "zip-directory", "error", "The central directory is malformed or not where its end record says."),
    Rule("SL106", "zip-duplicate-name", "error", "Two members have the same name."),
    Rule("SL107", "zip-case-collision", "error", "Two names differ only in case or Unicode form: readers disagree about which one they name."),
    Rule("SL108", "zip-overlap", "error", "Two members claim the same bytes."),
    Rule("SL109", "zip-gap", "error", "Bytes between members that belong to nobody."),
    Rule("SL110", "zip-local-header", "error", "A local header contradicts the central directory."),
    Rule("SL111", "zip-encrypted", "error", "A member is encrypted, patched or masked."),
    Rule("SL112", "zip-method", "error", "A member uses a method other than stored or deflated, or needs a version of the format that does not exist."),
    Rule("SL113", "zip-name", "error", "A member name is absolute, climbs, or holds control characters or backslashes."),
    Rule("SL114", "zip-descriptor", "error", "A data descriptor is missing or contradicts the central directory."),
    Rule("SL115", "zip-crc", "error", "The bytes of a member do not have the CRC-32 that the directory records."),
    Rule("SL116", "zip-deflate", "error", "A deflated member does not inflate to exactly what the directory records."),
    Rule("SL117", "compression", "error", "The compressed stream around the file is broken, or bytes follow it."),
    Rule("SL120", "torch-layout", "error", "The archive is not laid out as torch.save lays it out."),
    Rule("SL121", "torch-record", "error", "A record of the archive (version, byteorder, ...) has a value that torch never writes."),
    Rule("SL122", "unknown-member", "error", "A member that no torch release writes and that nothing refers to."),
    Rule("SL123", "unreferenced-storage", "note", "A storage that no tensor refers to."),
    Rule("SL124", "code-member", "error", "The archive carries code beside its weights; safeload does not run it, its own loader would."),
    Rule("SL125", "archives-in-one-file", "note", "Several whole archives stand behind each other."),
    Rule("SL126", "template", "note", "A template beside the weights: its engine runs it, and safeload does not judge it."),
    Rule("SL130", "npy-header", "error", "The header or the length of a .npy file is none that numpy writes."),
    Rule("SL131", "joblib-array", "error", "The raw bytes of an array between the opcodes are not where or what joblib writes."),
    Rule("SL132", "safetensors-header", "error", "The header of a safetensors file breaks the format, or does not cover its bytes exactly."),
    Rule("SL133", "weights-config", "error", "The JSON that names the tensors of an archive does not say exactly which bytes they are."),
    Rule("SL134", "distributed-checkpoint", "error", "The metadata of a distributed checkpoint and its shards do not agree exactly."),
    Rule("SL135", "shard-index", "error", "The index of a sharded checkpoint and its shards do not agree."),
    Rule("SL136", "shard-name", "error", "The name of a shard leads out of its folder, or is no plain name."),
    Rule("SL137", "gguf-header", "error", "The header of a GGUF file breaks the format, or does not cover its bytes exactly."),
    Rule("SL141", "tar-header", "error", "A header of the tar archive is malformed, or its checksum is wrong."),
    Rule("SL142", "tar-member", "error", "A member of the tar archive is no plain file, or a header about it is ambiguous."),
    Rule("SL143", "tar-gap", "error", "Bytes of the tar archive that belong to nobody, or an end that is none."),
    Rule("SL144", "7z-archive", "error", "The 7z archive is malformed or encrypted, or holds something that is no plain file."),
    Rule("SL201", "malformed-stream", "error", "The pickle stream breaks its own grammar."),
    Rule("SL202", "truncated-stream", "error", "The pickle stream ends inside an opcode or before STOP."),
    Rule("SL203", "refused-opcode", "error", "An opcode that takes its meaning from outside the file: EXT*, out-of-band buffers."),
    Rule("SL204", "frame-violation", "error", "An argument or an opcode crosses its frame (CPython gh-154848)."),
    Rule("SL205", "hostile-key", "error", "A dict key or set item that cannot be hashed, or not safely."),
    Rule("SL206", "mutated-after-use", "error", "A container changes after a call has consumed it."),
    Rule("SL207", "trailing-bytes", "error", "Bytes behind STOP that nothing accounts for."),
    Rule("SL208", "unreadable-name", "error", "A name is looked up that is no text, or that is not there."),
    Rule("SL301", "forbidden-global", "error", "A name that no entry of the policy allows, or that one denies."),
    Rule("SL302", "forbidden-use", "error", "An allowed name is used in a way that its entry does not permit."),
    Rule("SL303", "computed-callable", "error", "Something that was computed is called."),
    Rule("SL304", "forbidden-arguments", "error", "The arguments of an allowed call do not have the shape that its entry permits."),
    Rule("SL305", "forbidden-state", "error", "The state given to BUILD, or the items given to an object, are not ones that it takes."),
    Rule("SL306", "forbidden-persistent-id", "error", "A persistent id that is not a torch storage."),
    Rule("SL310", "opaque-object", "note", "A name is kept as an inert record; another loader would import it."),
    Rule("SL320", "policy-scan-only", "error", "The policy judges files and loads none."),
    Rule("SL321", "policy-expired", "error", "The policy or the entry that would decide has expired."),
    Rule("SL322", "policy-format", "error", "The policy does not cover files of this format."),
    Rule("SL323", "provenance", "error", "The file is not what the policy requires: its digest is not listed, or its signature is missing or wrong."),
    Rule("SL401", "tensor-out-of-bounds", "error", "A tensor reaches outside its storage."),
    Rule("SL402", "storage-size", "error", "A storage is not as long as its persistent id says."),
    Rule("SL403", "storage-missing", "error", "A persistent id names a storage that the file does not hold."),
    Rule("SL404", "storage-conflict", "error", "Two persistent ids disagree about one storage."),
    Rule("SL405", "tensor-geometry", "error", "Sizes, strides or offset of a tensor are not valid."),
    Rule("SL406", "tensor-dtype", "error", "A dtype that does not exist or does not fit its use."),
    Rule("SL407", "array-state", "error", "The bytes, shape or dtype of a numpy array do not agree."),
    Rule("SL408", "sparse-invariant", "error", "The indices of a sparse tensor point outside its shape or are out of order."),
    Rule("SL409", "object-dtype", "error", "A numpy array of Python objects."),
    Rule("SL901", "limit-exceeded", "error", "The file asks for more than the budget allows."),
)

BY_CODE: dict[str, Rule] = {rule.code: rule for rule in RULES}


UNDERSTOOD = frozenset({"SL123", "SL124", "SL125", "SL126", "SL203", "SL204", "SL208"})
GRADED = frozenset({"SL007", "SL123", "SL124", "SL125", "SL126", "SL310"})
"""The rules whose level a policy's `[rules]` may set. Every other one carries a law and is always an error: what breaks it was not read or may not be built."""

RUN_ELSEWHERE = frozenset({"SL124", "SL126", "SL310"})
"""The rules about what safeload never runs and another loader would: errors where a file is judged for every loader, whatever `[rules]` says."""

NAMING = frozenset({"SL203", "SL208", "SL301", "SL302", "SL303", "SL321"})
"""The rules that say which names a stream asks for and what it does with them, whatever else the file holds or lacks."""

WAIVABLE = (GRADED - {"SL007"}) | {"SL115", "SL122", "SL322"}  # a waiver is for a digest, and a file that was read in part has none
"""The rules that a `[[waive]]` may take out of the verdict on one file: neither the reading nor the building of a file rests on what they found."""


def verdict_of_error(code: str) -> Verdict:
    """What an error of this rule makes of the verdict (law 4): judged and refused, or never fully read.

    An opcode that reaches outside the file, and an argument that hides opcodes behind its frame, were understood and are refused: no honest writer makes them.
    A name that is computed, or missing, is one that no policy can know. So was code in an archive understood, which only some policies put up with, and what is
    a note until a policy makes it an error.
    """
    return "rejected" if code.startswith(("SL3", "SL4")) or code in UNDERSTOOD else "inconclusive"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One reason, at one place. `global_name` is `module.name` as it stands in the file."""

    rule: str
    message: str
    level: Level = "error"
    capability: str | None = None
    global_name: str | None = None
    member: str | None = None
    offset: int | None = None
    entry: str | None = None  # the policy entry that decided, if one did
    waived: str | None = None  # who takes it out of the verdict and why, where a `[[waive]]` entry does; its level then is note

    @property
    def name(self) -> str:
        """The rule's name for people, `forbidden-global`."""
        return BY_CODE[self.rule].name


class GlobalUse(msgspec.Struct, frozen=True, kw_only=True):
    """One name that the file mentions, and what was decided about it."""

    global_name: str
    uses: tuple[str, ...]  # of reference, call, new, build, storage-type
    decision: Literal["allowed", "opaque", "denied"]
    entry: str | None  # id of the deciding entry; None: no entry names it
    policy: str | None  # name of the policy that holds the entry
    capability: str
    count: int  # how often the stream mentions or calls it
    places: tuple[tuple[str, int], ...]  # (member, byte offset), the first few in file order
    expired: bool = False  # denied because its entry, which would let it through, has expired


class MemberInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One member of the container: `role` is pickle, storage, record, directory, file, code or unknown."""

    name: str
    role: str
    offset: int  # of the data, from the start of the container
    size: int
    read: bool  # was its content read by the scan (storages need not be)
    located: bool = True  # False: behind a network its header was not fetched; `offset` is then the least that it can be, and nothing holds for the member


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of a file that lies behind a network, and of which version of it."""

    version: str | None  # the ETag, or the commit; None where the server names none and all bytes came in one answer
    pinned: Literal["etag", "commit", "whole"]  # what makes all bytes be of one version
    bytes_read: int  # of bodies, twice where they were sent twice
    requests: int
    bytes_unread: int
    unread: tuple[tuple[int, int], ...] = ()  # (start, end) in the file, the first `MAX_UNREAD`
    headers_unread: int = 0  # of members: what the directory says of them was held against nothing


PROGRAMLESS = frozenset({"safetensors", "gguf", "npy", "npz"})
"""Formats of headers and numbers alone. Arrays of Python objects would be pickles; a file with them is not accepted."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that safeload has to say about one file under one policy. Building it built no array."""

    path: str
    format: str
    verdict: Verdict
    policy: str
    policy_version: str
    policy_sha256: str
    policy_file: str | None
    has_opaque: bool  # accepted holds for safeload.load only: another loader would import the opaque classes
    findings: tuple[Finding, ...] = ()
    globals: tuple[GlobalUse, ...] = ()
    members: tuple[MemberInfo, ...] = ()
    bytes_total: int = 0
    bytes_accounted: int = 0
    opcodes: int = 0
    tensors: int = 0
    tensor_bytes: int = 0
    sha256: str | None = None  # of the whole file, where it was asked for
    beside: tuple[tuple[str, str], ...] = ()  # (name, sha256) of the files beside it that were read with it, where it was asked for
    suppressed_findings: int = 0  # beyond limits.findings
    loader: Loader = "safeload"  # whom it was judged for
    remote: Fetched | None = None  # of a file behind a network

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that decided the verdict."""
        return tuple(finding for finding in self.findings if finding.level == "error")

    @property
    def holds_no_program(self) -> bool:
        """Is there nothing in the file that any loader would run? Said of accepted files alone: headers and numbers, and no template beside them."""
        return self.verdict == "accepted" and self.format.split("+")[0] in PROGRAMLESS and not any(finding.rule == "SL126" for finding in self.findings)
