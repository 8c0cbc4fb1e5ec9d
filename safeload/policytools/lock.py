"""Reports become the entries of a lock file, and two sets of entries the differences between them, each in a sentence."""

from __future__ import annotations

import os
from collections.abc import Iterable

import msgspec

from safeload.findings import Report
from safeload.policy.lockfile import Lock, Locked
from safeload.policy.model import Policy

SHA_DIGITS = 12  # hex digits of a digest in prose


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which the files, or the policy, are not what was locked. `path` is None for the policy."""

    path: str | None
    what: str  # missing, unlocked, or the field that differs
    message: str


def locked_path(path: str, folder: str) -> str:
    """How a lock file in `folder` spells a path: relative to it, with `/`."""
    return os.path.relpath(os.path.abspath(path), os.path.abspath(folder)).replace(os.sep, "/")


def locked(report: Report, path: str) -> Locked:
    """What a lock file keeps of a report that was made with a digest; `path` as `locked_path` spells it."""
    found = {use.capability for use in report.globals} | {finding.capability for finding in report.findings if finding.capability is not None}
    return Locked(
        path=path,
        sha256=report.sha256,
        size=report.bytes_total,
        format=report.format,
        verdict=report.verdict,
        capabilities=tuple(sorted(found)),
        beside=tuple(sorted(f"{digest} {name}" for name, digest in report.beside)),
    )


def made_lock(policy: Policy, paths: Iterable[str], exclude: Iterable[str], files: Iterable[Locked]) -> Lock:
    """The lock of files that `policy` has judged. A path that was given twice stands once."""
    once = {entry.path: entry for entry in files}
    return Lock(
        policy=policy.name, version=policy.version, policy_sha256=policy.sha256, paths=tuple(paths), exclude=tuple(exclude),
        files=tuple(once[path] for path in sorted(once)),
    )  # fmt: skip


def differences(lock: Lock, found: Lock) -> list[Difference]:
    """What is not as it was locked: the policy, then the files by path. Of the locked files only those below `found.paths` are missed."""
    out: list[Difference] = []
    if lock.policy_sha256 != found.policy_sha256:
        message = f"the policy is {_policy(found)}, and {_policy(lock)} was locked"
        out.append(Difference(path=None, what="policy", message=message))
    before = {entry.path: entry for entry in lock.files if any(_below(entry.path, path) for path in found.paths)}
    after = {entry.path: entry for entry in found.files}
    for path in sorted({*before, *after}):
        if path not in after:
            out.append(Difference(path=path, what="missing", message="is locked, and is not there"))
        elif path not in before:
            out.append(Difference(path=path, what="unlocked", message="is there, and is not locked"))
        else:
            out += _changes(before[path], after[path])
    return out


def _changes(before: Locked, after: Locked) -> Iterable[Difference]:
    for what in ("sha256", "size", "format", "verdict", "capabilities", "beside"):
        old, new = (msgspec.structs.asdict(entry)[what] for entry in (before, after))
        if old != new:
            yield Difference(path=before.path, what=what, message=f"{what} is {_shown(new)}, and {_shown(old)} was locked")


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if isinstance(value, int):
        return f"{value:,}"
    return "not known" if value is None else str(value)


def _policy(lock: Lock) -> str:
    return f"{lock.policy} {lock.version} (sha256 {lock.policy_sha256[:SHA_DIGITS]}...)"


def _below(path: str, given: str) -> bool:
    return given == "." or path == given or path.startswith(f"{given.rstrip('/')}/")
