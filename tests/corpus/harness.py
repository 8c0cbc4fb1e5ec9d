"""One entry of the corpus becomes one `Outcome`.

exact: loaded, and all of it equal. beyond: the same, of a file that its own writer cannot read back; its twin says what it holds. refused: rejected as it must
be, and everything that `inspect` can reach equal. unverified: the manifest has no value to compare with (it is there to be scanned), and it ends as law 3 says.
pending: the format is not built yet. different: a failure.

1. The names that the entry needs decide what must happen under the policy `checkpoint`; the verdict of the file does not.
2. All allowed: the value must be exactly what the real loader returned.
3. Else, and where it holds a numpy array of Python objects, the file must be rejected, and the report must name every one of them; under `inspect` it must
   load, and what can be reached must be equal.
4. A file that even `inspect` denies (code that is carried by value) must be rejected there, too.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any, Literal

import msgspec

import safeload
from safeload.errors import CheckpointError, PolicyRejected
from safeload.findings import Report
from safeload.policy.aliases import canonical_name
from safeload.policy.resolve import load_policy

from .compare import Comparison, Difference
from .manifest import Entry, entries

Kind = Literal["exact", "beyond", "refused", "unverified", "pending", "different"]
KINDS: tuple[Kind, ...] = ("exact", "beyond", "refused", "unverified", "pending", "different")

MAX_SHOWN = 12  # differences of one file that a failure shows
# Formats that must never be pending. The others are listed by name in the printed table until they are built.
BUILT = frozenset(
    {"torch-zip", "torch-zip-early", "torch-legacy", "pickle", "npy", "npz", "joblib", "joblib-by-extension", "pandas-pickle", "pandas-pickle-xz",
     "pandas-pickle-zip", "torchscript-zip", "torch-package-zip", "torch-export-pt2", "sb3-zip", "dcp-metadata", "dcp-shard"}
    | {f"joblib-{codec}" for codec in ("bz2", "gzip", "lz4", "lzma", "xz", "zlib")}
)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one entry. `unreached` are nodes inside records that only their own library can read."""

    entry: Entry
    kind: Kind
    differences: tuple[Difference, ...] = ()
    compared: int = 0
    opaque: int = 0
    unreached: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = f"{self.entry.file} ({self.entry.format}, {self.entry.kind})"
        more = [f"    ... {len(self.differences)} in all"] if len(self.differences) > MAX_SHOWN else []
        return "\n".join([head, *(f"    {difference}" for difference in self.differences[:MAX_SHOWN]), *more])


def denied_names(entry: Entry, policy: str) -> set[str]:
    """The names the entry needs that the policy denies, in the spelling of today."""
    resolved = load_policy(policy)
    names = {canonical_name(name) for name in entry.needs}
    return {name for name in names if resolved.decide(name).kind == "denied"}


def outcome(entry: Entry) -> Outcome:
    """Run one entry."""
    denied = denied_names(entry, "checkpoint")
    report = safeload.scan(entry.data(), policy="checkpoint", encoding=entry.encoding)
    if _is_pending(entry, report):
        return Outcome(entry=entry, kind="pending")
    if not denied and not entry.holds_objects:
        return _loaded(entry, "checkpoint")
    problems = _refusal(entry, report, denied)
    if problems:
        return Outcome(entry=entry, kind="different", differences=tuple(problems))
    if denied_names(entry, "inspect"):
        inspected = safeload.scan(entry.data(), policy="inspect", encoding=entry.encoding)
        problems = _refusal(entry, inspected, denied_names(entry, "inspect"))
        return Outcome(entry=entry, kind="different" if problems else "refused", differences=tuple(problems))
    return _loaded(entry, "inspect")


def _is_pending(entry: Entry, report: Report) -> bool:
    """Not built, and honest about it (law 4). A pickle with more behind it (joblib) is one that `inspect` cannot finish."""
    if entry.format in BUILT:
        return False
    return "inconclusive" in (report.verdict, safeload.scan(entry.data(), policy="inspect", encoding=entry.encoding).verdict)


def _refusal(entry: Entry, report: Report, denied: set[str]) -> list[Difference]:
    """What is wrong about a refusal: the verdict, or a name that it does not name."""
    problems: list[Difference] = []
    if report.verdict != "rejected":
        problems.append(Difference("", f"verdict under {report.policy}", "rejected", f"{report.verdict}: {report.findings[:1]}"))
    named = {canonical_name(use.global_name) for use in report.globals if use.decision == "denied"}
    if not denied <= named:
        problems.append(Difference("", f"names in the report under {report.policy}", sorted(denied), sorted(named)))
    try:
        safeload.load(io.BytesIO(entry.data()), "cpu", policy=report.policy, encoding=entry.encoding)
    except PolicyRejected as error:
        if error.report is None or error.report.findings != report.findings:
            problems.append(Difference("", "findings of load", "those of scan", "others"))
    except CheckpointError as error:
        problems.append(Difference("", "error of load", "PolicyRejected", repr(error)))
    else:
        problems.append(Difference("", "load", "PolicyRejected", "a value"))
    return problems


def _loaded(entry: Entry, policy: str) -> Outcome:
    """Load and compare. A value that the writer itself cannot load has nothing to be compared with, and must still end in a value or a CheckpointError."""
    if isinstance(entry.expect, dict) and "sequence" in entry.expect:
        return _sequence(entry, policy)
    try:
        value, view = _both(entry.data(), entry, policy)
    except CheckpointError as error:
        if entry.nodes is None:
            return Outcome(entry=entry, kind="unverified")
        return Outcome(entry=entry, kind="different", differences=(Difference("", f"load under {policy}", "a value", f"{type(error).__name__} {error}"),))
    nodes = entry.nodes if entry.twin is None else entry.twin.nodes
    if nodes is None:
        return Outcome(entry=entry, kind="unverified" if policy == "checkpoint" else "refused")
    comparison = Comparison(value, view, opaque_ok=policy == "inspect", keeps_padding=not entry.format.startswith("joblib"))
    comparison.run(nodes)
    return _compared(entry, policy, comparison)


def _sequence(entry: Entry, policy: str) -> Outcome:
    """Several checkpoints behind each other, each with the offset of its end."""
    data, start = entry.path.read_bytes(), entry.start
    differences: list[Difference] = []
    compared = 0
    for part in entry.expect["sequence"]:
        value, view = _both(data[start : part["end_offset"]], entry, policy)
        comparison = Comparison(value, view, opaque_ok=policy == "inspect")
        comparison.run(part["nodes"])
        differences += comparison.differences
        compared += comparison.compared
        start = part["end_offset"]
    return Outcome(entry=entry, kind="different" if differences else "exact", differences=tuple(differences), compared=compared)


@cache
def outcomes() -> dict[str, Outcome]:
    """All of the corpus, by file."""
    return {entry.file: outcome(entry) for entry in entries()}


def table(results: Iterable[Outcome]) -> str:
    """Format, writer and kind against outcome, counts of files; then counts of nodes; then what is pending, by name."""
    results = list(results)
    files = Counter((result.entry.format, result.entry.writer["library"], result.entry.kind, result.kind) for result in results)
    rows = sorted({row[:3] for row in files})
    lines = [f"{'format':<20}{'writer':<24}{'kind':<16}" + "".join(f"{kind:>11}" for kind in KINDS)]
    lines += [f"{form:<20}{by:<24}{kind:<16}" + "".join(f"{files[form, by, kind, what] or '.':>11}" for what in KINDS) for form, by, kind in rows]
    lines += [f"{'all':<60}" + "".join(f"{sum(result.kind == what for result in results):>11}" for what in KINDS)]
    unreached = Counter(kind for result in results for kind in result.unreached)
    inside = ", ".join(f"{count:,} {kind}" for kind, count in unreached.most_common()) or "none"
    compared, inert = sum(result.compared for result in results), sum(result.opaque for result in results)
    lines += [f"nodes: {compared:,} compared, of them {inert:,} inert records; inside records and not reached: {inside}"]
    lines += [f"pending: {result.entry.file} ({result.entry.format})" for result in results if result.kind == "pending"]
    return "\n".join(lines)


def _both(data: bytes, entry: Entry, policy: str) -> tuple[Any, Any]:
    """`load`, and `open` of the same bytes. The file object stands behind a prefix, as a caller's might."""
    prefix = b"\0" * entry.start
    file = io.BytesIO(prefix + data)
    file.seek(len(prefix))
    value = safeload.load(file, "cpu", policy=policy, encoding=entry.encoding)
    return value, safeload.open(data, "cpu", policy=policy, encoding=entry.encoding)


def _compared(entry: Entry, policy: str, comparison: Comparison) -> Outcome:
    good: Kind = "refused" if policy != "checkpoint" else "exact" if entry.twin is None else "beyond"
    return Outcome(
        entry=entry,
        kind="different" if comparison.differences else good,
        differences=tuple(comparison.differences),
        compared=comparison.compared,
        opaque=comparison.opaque,
        unreached=tuple(comparison.unreached),
    )
