"""A path becomes what was judged in it, or an error: the decision of every hook, over a file or a whole folder.

Accepted files pass. Of the others only those pass that no loader unpickles: their name is passive (`PASSIVE`: texts, tables, pictures) *and* their bytes are no
checkpoint, whole or broken. A pickle that calls itself config.json is refused; so are Python files, formats that are not read, and what cannot be read.

Links in a folder are followed, also to folders, since a loader follows them. What is judged is what is there at that moment: whoever can write to the folder
afterwards can replace it.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Literal

from safeload import api
from safeload.errors import CheckpointError, PolicyRejected
from safeload.findings import Report
from safeload.folder import METADATA
from safeload.guarding import GuardWarning
from safeload.judge import Reading
from safeload.limits import Limits
from safeload.policy.model import Policy

_TEXTS = ("*.json", "*.jsonl", "*.txt", "*.md", "*.rst", "*.yaml", "*.yml", "*.csv", "*.tsv", "*.jinja", "LICENSE*", "NOTICE*", "README", "MLmodel")
_TOKENIZERS = ("*.model", "*.tiktoken", "*.bpe", "*.spm")
_SAMPLES = ("*.png", "*.jpg", "*.jpeg", "*.gif", "*.webp", "*.svg", "*.pdf", "*.wav", "*.flac", "*.mp3", "*.mp4")
_KEPT = (".gitattributes", ".gitignore", ".cache/huggingface/*")  # the last: beside a download into a folder of the caller's

PASSIVE: tuple[str, ...] = (*_TEXTS, *_TOKENIZERS, *_SAMPLES, *_KEPT)
"""Patterns of names (or of paths below the folder) of files that need not be checkpoints."""

NAMED_REFUSALS = 8  # files of one folder that an error names; the others are counted


class Hook:
    """One policy behind the downloads of a library, until `uninstall()` or the end of the `with` block."""

    __slots__ = ("_active", "enforce", "judged", "limits", "passive", "policy", "records", "refused")

    def __init__(
        self, policy: Policy, limits: Limits, *, records: Literal["refuse", "allow"] = "refuse", enforce: bool = True, passive: Iterable[str] = PASSIVE
    ) -> None:
        if records not in ("refuse", "allow"):
            raise ValueError(f"records is 'refuse' or 'allow', not {records!r}")
        self.policy = policy
        self.limits = limits
        self.records = records
        self.enforce = enforce
        self.passive = tuple(passive)
        self.judged = 0  # files
        self.refused = 0  # of those
        self._active = True

    @property
    def active(self) -> bool:
        """Not uninstalled yet? Copies of the replaced functions that others hold do nothing afterwards."""
        return self._active

    def uninstall(self) -> None:
        """Let downloads through unjudged again. Does nothing the second time."""
        self._active = False

    def __enter__(self) -> Hook:
        return self

    def __exit__(self, *_: object) -> None:
        self.uninstall()

    def __repr__(self) -> str:
        return f"<safeload hook, policy {self.policy.name}: {self.judged:,} files judged, {self.refused:,} refused>"

    def judge(self, path: str | os.PathLike[str]) -> list[Report]:
        """The reports on a file, or on each file of a folder. Raises the error of the worst file, or warns."""
        reports: list[Report] = []
        errors: list[CheckpointError] = []
        for name, file, problem in files_of(os.fsdecode(path)):
            self.judged += 1
            report, error = self._one(name, file, problem)
            if report is not None:
                reports.append(report)
            if error is not None:
                self.refused += 1
                errors.append(error)
        if errors:
            self._refuse(errors)
        return reports

    def _refuse(self, errors: list[CheckpointError]) -> None:
        errors.sort(key=lambda error: not isinstance(error, PolicyRejected))  # stable: what is rejected says more than what cannot be read
        others = errors[1:NAMED_REFUSALS]
        if others:
            named = "\n".join(f"  {error}" for error in others)
            errors[0].add_note(f"{len(errors) - 1:,} more files are refused:\n{named}" + ("\n  ..." if len(errors) > NAMED_REFUSALS else ""))
        if self.enforce:
            raise errors[0]
        for error in errors[:NAMED_REFUSALS]:
            warnings.warn(GuardWarning(str(error)), stacklevel=4)

    def _one(self, name: str, path: str, problem: str | None) -> tuple[Report | None, CheckpointError | None]:
        if problem is not None:
            return None, _at(CheckpointError(f"the file cannot be judged: {problem}", rule="SL005"), path)
        try:
            reading = api.read(path, policy=self.policy, limits=self.limits)
        except OSError as error:
            return None, _at(CheckpointError(f"the file cannot be judged: {error.strerror or error}", rule="SL005"), path)
        return reading.report, self._objection(name, reading)

    def _objection(self, name: str, reading: Reading) -> CheckpointError | None:
        report = reading.report
        if report.verdict == "accepted" and report.has_opaque and self.records == "refuse":
            kept = next(use.global_name for use in report.globals if use.decision == "opaque")
            message = f"policy {report.policy} keeps {kept} as a record, and another loader would import it (records='allow' lets it)"
            return _at(PolicyRejected(message, rule="SL310", report=report), report.path)
        if report.verdict == "accepted" or (self._is_passive(name) and is_no_checkpoint(name, report)):
            return None
        return api.refusal(reading)

    def _is_passive(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) or fnmatchcase(os.path.basename(name), pattern) for pattern in self.passive)


def check(
    path: str | os.PathLike[str],
    policy: str | os.PathLike[str] | Policy | None = None,
    *,
    records: Literal["refuse", "allow"] = "refuse",
    passive: Iterable[str] = PASSIVE,
    limits: Limits | Mapping[str, int] | None = None,
) -> list[Report]:
    """Judge a downloaded file or folder before another library loads it: the reports, or the error that `safeload.load` would raise.

    The words are those of `huggingface_hub` below. Raises `CheckpointError`, `PolicyFileError`, and `ValueError` for other words.
    """
    resolved, budget_limits = api.policy_and_limits(policy, limits)
    return Hook(resolved, budget_limits, records=records, passive=passive).judge(path)


def is_no_checkpoint(name: str, report: Report) -> bool:
    """Is this inconclusive file none, rather than a broken one? A text that begins with the letter of an opcode reads as a stream that names nothing."""
    rules = {finding.rule for finding in report.errors}
    if report.verdict != "inconclusive":
        return False
    if report.format == "unknown":
        return rules <= {"SL001", "SL003"}
    if report.format == "shards":
        return rules <= {"SL005"} and name.endswith(".index.json")  # fetched before its shards, which are judged when they come
    return report.format == "pickle" and not report.globals and all(rule.startswith("SL2") for rule in rules)


def files_of(path: str) -> Iterator[tuple[str, str, str | None]]:
    """(name below the folder, path, why it cannot be judged) of a file, or of everything in a folder, in a steady order."""
    if not os.path.isdir(path):
        yield os.path.basename(path), path, None if os.path.exists(path) else "it is not there"
        return
    seen: set[tuple[int, int]] = set()
    problems: list[OSError] = []
    for here, folders, files in os.walk(path, followlinks=True, onerror=problems.append):
        try:
            state = os.stat(here)
        except OSError as error:
            problems.append(error)
            continue
        if (state.st_dev, state.st_ino) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders.sort()
        if METADATA in files:
            yield os.path.relpath(here, path), here, None  # a distributed checkpoint as a whole; its files stand for themselves, too
        for name in sorted(files):
            file = os.path.join(here, name)
            yield os.path.relpath(file, path).replace(os.sep, "/"), file, _problem(file)
    for problem in problems:
        place = os.fsdecode(problem.filename) if problem.filename else path
        yield os.path.basename(place), place, problem.strerror or str(problem)


def _problem(path: str) -> str | None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return error.strerror or str(error)
    return None if stat.S_ISREG(mode) else "is no regular file"


def _at(error: CheckpointError, path: str) -> CheckpointError:
    error.path = path
    return error
