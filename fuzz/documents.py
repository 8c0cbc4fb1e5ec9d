"""Documents that people write for safeload become records or one error: policies and lock files, held against `tomllib` and against their own writers.

What we accept is TOML, and means what `tomllib` reads in it; what it refuses, we refuse. Every problem has a line of the text. A policy that is written out
resolved and read again has the same digest, a lock file the same content.
"""

from __future__ import annotations

import datetime
import difflib  # noqa: F401 - imported late, by the suggestions of messages
import tomllib
from typing import Any

from fuzz.guard import armed
from safeload.errors import PolicyFileError
from safeload.limits import DEFAULT_LIMITS
from safeload.policy.lines import positions
from safeload.policy.lockfile import parse_lock, render_lock
from safeload.policy.resolve import resolve_file
from safeload.policy.shipped import SHIPPED
from safeload.policy.toml import PolicyFile, parse_policy
from safeload.policytools.writer import resolved_toml

TODAY = datetime.date(2026, 11, 27)  # expiries are held against it, and it does not move
FILE = "<fuzz>"


def _toml(data: bytes) -> dict[str, Any] | None:
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def check_policy(data: bytes) -> None:
    """1. The same verdict as `tomllib`'s, on whether it is TOML. 2. The same content. 3. Written out and read again."""
    document = _toml(data)
    with armed():
        try:
            file = parse_policy(data, FILE, TODAY)
        except PolicyFileError as error:
            _problems(error, data)
            assert document is not None or len(error.problems) == 1
            return
    assert document is not None, "a policy that is no TOML"
    _content(file, document)
    if all(parent.policy in SHIPPED for parent in file.extends) and file.provenance is None:
        _written(file)


def _problems(error: PolicyFileError, data: bytes) -> None:
    assert error.problems
    assert len(error.lines) == len(error.problems)
    lines = data.count(b"\n") + 1
    assert all(line is None or 1 <= line <= lines for line in error.lines), f"lines {error.lines} of {lines}"


def _content(file: PolicyFile, document: dict[str, Any]) -> None:
    for key in ("name", "version", "summary"):
        assert getattr(file, key) == document[key]
    assert dict(file.limits) == {name.replace("-", "_"): value for name, value in document.get("limits", {}).items()}
    places = positions(file.text)
    for kind in ("allow", "opaque", "deny"):
        entries, tables = getattr(file, kind), document.get(kind, [])
        assert len(entries) == len(tables)
        for place, (entry, table) in enumerate(zip(entries, tables, strict=True)):
            assert entry.id == table["id"]
            assert tuple(entry.globals) == tuple(table["globals"])
            assert entry.capability == table["capability"]
            assert places.get(f"{kind}[{place}]") == entry.line


def _written(file: PolicyFile) -> None:
    try:
        policy = resolve_file(file, None, today=TODAY)
    except PolicyFileError as error:
        assert error.problems
        return
    text = resolved_toml(policy)
    again = resolve_file(parse_policy(text.encode(), FILE, TODAY), None, today=TODAY)
    assert again.sha256 == policy.sha256, "written out, the policy decides otherwise"
    assert policy.limits.as_dict().keys() == DEFAULT_LIMITS.as_dict().keys()


def check_lock(data: bytes) -> None:
    """A lock file, or every problem with it; written and read again, the same."""
    document = _toml(data)
    with armed():
        try:
            lock = parse_lock(data, FILE)
        except PolicyFileError as error:
            _problems(error, data)
            return
        assert document is not None, "a lock file that is no TOML"
        text = render_lock(lock)
        again = parse_lock(text.encode(), FILE)
    assert {each.path: each for each in again.files} == {each.path: each for each in lock.files}
    assert (again.policy, again.policy_sha256, again.paths, again.exclude) == (lock.policy, lock.policy_sha256, lock.paths, lock.exclude)
    assert render_lock(again) == text
