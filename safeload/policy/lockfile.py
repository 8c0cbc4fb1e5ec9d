"""A lock file, as `safeload lock` writes it, becomes records and back: which files were judged, by which policy, and what came of it.

TOML, the same text for the same content. Strict like a policy: unknown keys, wrong types, digests that are none are refused, all of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from safeload.errors import PolicyFileError
from safeload.policy import fields
from safeload.policy.fields import Key, Problems
from safeload.policy.quote import toml_text, toml_texts
from safeload.policy.toml import parse_toml, policy_file_error

MAX_LOCK_BYTES = 256 << 20  # bytes of one lock file; a million files with paths of 200 bytes
VERDICTS = ("accepted", "rejected", "inconclusive")


class Locked(msgspec.Struct, frozen=True, kw_only=True):
    """One file as it was found. `sha256` is None where it could not be read."""

    path: str  # relative to the folder of the lock file, with "/"
    sha256: str | None
    size: int
    format: str
    verdict: str
    capabilities: tuple[str, ...]  # of the names in it, sorted
    beside: tuple[str, ...] = ()  # `sha256 name` of the files that were read with it: shards


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """A set of files and the policy that judged them."""

    policy: str
    version: str
    policy_sha256: str
    paths: tuple[str, ...]  # what was asked for: files and folders, as `Locked.path`
    exclude: tuple[str, ...]
    files: tuple[Locked, ...]


def read_lock(path: str) -> Lock:
    """The lock file at `path`. Raises `OSError` where it cannot be read, `PolicyFileError` where it is none."""
    with open(path, "rb") as stream:
        data = stream.read(MAX_LOCK_BYTES + 1)
    if len(data) > MAX_LOCK_BYTES:
        raise PolicyFileError(path, [("", f"larger than {MAX_LOCK_BYTES:,} bytes; this is no lock file")])
    return parse_lock(data, path)


def parse_lock(data: bytes, path: str) -> Lock:
    """The lock in these bytes of TOML."""
    text, document = parse_toml(data, path)
    problems: Problems = []
    top = fields.table(document, "", _TOP, problems)
    raw = document.get("file", [])
    files = [fields.table(item, f"file[{place}]", _FILE, problems) for place, item in enumerate(raw)] if type(raw) is list else []
    first: dict[str, int] = {}
    for place, entry in enumerate(files):
        name = entry.get("path")
        if name and first.setdefault(name, place) != place:
            problems.append((f"file[{place}].path", f"{name!a:.80} stands here twice"))
    if problems:
        raise policy_file_error(path, problems, text)
    policy = top["policy"]
    return Lock(
        policy=policy["name"],
        version=policy["version"],
        policy_sha256=policy["sha256"],
        paths=top["paths"],
        exclude=top.get("exclude", ()),
        files=tuple(Locked(**{"sha256": None, **entry}) for entry in files),
    )


def render_lock(lock: Lock) -> str:
    """The text of the file, with a newline at its end."""
    lines = [
        "# Written by `safeload lock`; `safeload scan --locked` fails on any difference. Not meant to be edited.",
        "schema = 1",
        f"paths = {toml_texts(lock.paths)}",
        *([f"exclude = {toml_texts(lock.exclude)}"] if lock.exclude else []),
        "",
        "[policy]",
        f"name = {toml_text(lock.policy)}",
        f"version = {toml_text(lock.version)}",
        f'sha256 = "{lock.policy_sha256}"',
    ]
    for entry in sorted(lock.files, key=lambda entry: entry.path):
        lines += ["", "[[file]]", f"path = {toml_text(entry.path)}"]
        lines += [f'sha256 = "{entry.sha256}"'] if entry.sha256 else []
        lines += [f"size = {entry.size}", f"format = {toml_text(entry.format)}", f'verdict = "{entry.verdict}"']
        lines += [f"capabilities = {toml_texts(entry.capabilities)}"]
        lines += [f"beside = {toml_texts(entry.beside)}"] if entry.beside else []
    return "\n".join(lines) + "\n"


def _policy(value: Any, path: str, problems: Problems) -> Mapping[str, Any]:
    return fields.table(value, path, {"name": Key(fields.text), "version": Key(fields.text), "sha256": Key(fields.sha256)}, problems)


def _files(value: Any, path: str, problems: Problems) -> None:
    if type(value) is not list:
        problems.append((path, f"expected an array of tables ([[{path}]]), found {fields.kind(value)}"))


_TOP = {
    "schema": Key(fields.schema),
    "paths": Key(fields.texts),
    "exclude": Key(fields.texts, required=False),
    "policy": Key(_policy),
    "file": Key(_files, required=False),
}
_FILE = {
    "path": Key(fields.text),
    "sha256": Key(fields.sha256, required=False),
    "size": Key(fields.whole_number),
    "format": Key(fields.text),
    "verdict": Key(fields.one_of(*VERDICTS)),
    "capabilities": Key(fields.texts),
    "beside": Key(fields.texts, required=False),
}
