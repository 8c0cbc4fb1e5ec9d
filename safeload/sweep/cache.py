"""Rows that were judged before become rows again: `DIR/ab/ab12....json`, one for each content, policy, version and set of options. `docs/cache.md` says how.

    1. The file is hashed, and what is read from then on is held to that digest (`hashed`).
    2. The key: that digest, the policy's, the versions of safeload and Python, and all that changes a report; of a policy in which something expires, the day.
    3. A row under that key is used if it is whole: its own digest, its key and its types fit. Anything else there is none, and is written over.
    4. Otherwise the file is judged, and its row is kept if it depends on nothing beside the key.

Not kept: files made of several (shards, distributed checkpoints), what could not be read or was beyond a limit (SL005, SL901), what another library would read
(SL002), whatever a policy with `[provenance]` judges, and second opinions. What is no plain file is judged as without a cache.

Refuses a folder that somebody else owns or can write to: a row there is a verdict.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from contextlib import suppress

import msgspec

from safeload import __version__
from safeload.errors import CheckpointError
from safeload.limits import Limits
from safeload.policy.today import utc_today
from safeload.policytools.expiry import endings
from safeload.report.writer import Row, import_types
from safeload.source import ByteSource, open_source
from safeload.sweep.hashed import Hashed
from safeload.sweep.one import Job, judged_row

import_types()

LAYOUT = "safeload-cache-v1"
MAX_ROW_BYTES = 64 << 20
NOT_KEPT = frozenset({"SL002", "SL005", "SL901"})
_checked: set[str] = set()  # by this process
OF_SEVERAL = ("shards", "torch.dcp")
DIGEST_DIGITS = 64


class CacheRefused(OSError):
    """The folder cannot be a cache."""


class Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in one file, behind the digest of it."""

    key: str
    row: Row


def check_folder(folder: str) -> None:
    """Make the folder if it is not there. Raises `CacheRefused` where it is not this user's alone, and `OSError` where it cannot be made."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if os.name != "posix":
        return
    status = os.stat(folder)
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CacheRefused(1, "others own this folder or can write to it, and what stands in a cache is believed: chmod go-w, or name another folder", folder)


def cached_row(path: str, job: Job, folder: str) -> Row:
    """The row of a file. Raises `OSError` as opening it does."""
    if not _is_plain(path) or not _is_cacheable(job):
        return judged_row(path, job)
    if folder not in _checked:  # a worker of a cluster has a folder of its own by this name
        check_folder(folder)
        _checked.add(folder)
    job = msgspec.structs.replace(job, policy=job.policy.on(utc_today()))  # the day of the key is that of the verdict
    limits = job.limits or job.policy.limits
    try:
        plain = open_source(path, limits)
    except CheckpointError:
        return judged_row(path, job)
    with plain:
        return _row(plain, job, folder, limits)


def _row(plain: ByteSource, job: Job, folder: str, limits: Limits) -> Row:
    try:
        source = Hashed(plain)  # 1
    except CheckpointError:
        return judged_row(plain.name, job)
    digest = source.sha256()
    key = key_of(digest, job, limits)  # 2
    row = _found(folder, key)  # 3
    if row is None:
        row = judged_row(source, msgspec.structs.replace(job, digest=False))  # 4
        if _is_kept(row):
            _keep(folder, key, row)
    report = msgspec.structs.replace(row.report, path=plain.name, policy_file=job.policy.file, sha256=digest if job.digest else None)
    return msgspec.structs.replace(row, report=report)


def key_of(digest: str, job: Job, limits: Limits) -> str:
    """Everything that a row depends on, as one digest."""
    policy = job.policy
    day = str(policy.today) if endings(policy) else None
    parts = (
        LAYOUT, __version__, sys.version, digest, policy.sha256, policy.name, policy.version, day, job.encoding, job.verify, job.loader,
        limits.as_dict(), job.needs, f"{job.row.__module__}.{job.row.__qualname__}",
    )  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _is_plain(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _is_cacheable(job: Job) -> bool:
    return job.policy.provenance.require == "nothing" and not job.needs.opinion


def _is_kept(row: Row) -> bool:
    report = row.report
    several = report.beside or report.format.split("+")[0] in OF_SEVERAL
    return not (several or row.unopened or any(finding.rule in NOT_KEPT for finding in report.findings))


# ---- files --------------------------------------------------------------------------------------------------------------------------------


def _place(folder: str, key: str) -> str:
    return os.path.join(folder, key[:2], f"{key}.json")


def _found(folder: str, key: str) -> Row | None:
    """The row under a key, if one is there and whole."""
    try:
        with open(_place(folder, key), "rb") as stream:
            data = stream.read(MAX_ROW_BYTES + 1)
    except OSError:
        return None
    digest, body = data[:DIGEST_DIGITS], data[DIGEST_DIGITS:]
    if len(data) > MAX_ROW_BYTES or hashlib.sha256(body).hexdigest().encode() != digest:
        return None
    try:
        kept = msgspec.json.decode(body, type=Kept)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    return kept.row if kept.key == key else None


def _keep(folder: str, key: str, row: Row) -> None:
    """Write a row at once or not at all. What does not come back as it went (a name with a lone surrogate) is not written."""
    kept = Kept(key=key, row=msgspec.structs.replace(row, report=msgspec.structs.replace(row.report, path="", policy_file=None, sha256=None)))
    try:
        body = msgspec.json.encode(kept)
        if len(body) + DIGEST_DIGITS > MAX_ROW_BYTES or msgspec.json.decode(body, type=Kept) != kept:
            return
    except (msgspec.MsgspecError, UnicodeError, TypeError):
        return
    place = _place(folder, key)
    with suppress(OSError):
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        handle, written = tempfile.mkstemp(dir=os.path.dirname(place), suffix=".part")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(hashlib.sha256(body).hexdigest().encode() + body)
            os.replace(written, place)
        except BaseException:
            with suppress(OSError):
                os.unlink(written)
            raise
