"""Writes the JSON Schema and the reference of the policy language from the table of keys that checks policies: `python -m tests.policy.reference`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from safeload.limits import DEFAULT_LIMITS
from safeload.policy.fields import Key
from safeload.policy.language import TOP
from safeload.policy.schema import TABLES, json_schema

ROOT = Path(__file__).resolve().parents[2]


def schema_text() -> str:
    """`policies/policy.schema.json`."""
    return json.dumps(json_schema(), indent=2) + "\n"


def limit_docs() -> dict[str, str]:
    """What each limit bounds: the comment behind it in the source, which is the one place where that stands."""
    text = (ROOT / "safeload" / "limits.py").read_text(encoding="utf-8")
    return dict(re.findall(r"^    (\w+): int = [^#\n]+# (.+)$", text, re.MULTILINE))


def reference_text() -> str:
    """`docs/policy-reference.md`."""
    return reference(limit_docs())


_INTRODUCTION = """\
# Every key of a policy

One TOML file is one policy. Unknown keys, wrong types and empty texts are errors, all of them at once, each with its file, line and key path:
`safeload policy validate FILE`. For editors there is a JSON Schema ([policy.schema.json](../policies/policy.schema.json), `safeload policy schema`).
How to write, test and roll out a policy stands in [policies.md](policies.md). This page is written by `tests/policy/reference.py` from the table that checks.

Dates are TOML dates, in UTC, and always the last day on which something holds. A key without the word *required* may be left out.
"""

_SECTIONS = {
    "allow": """\
## `[[allow]]`

A name needs two keys: this entry (data), and a constructor in safeload (code). Nothing is imported either way. A name that a parent lists cannot be listed
again, and one that a `[[deny]]` entry covers is an error here, because it would never match.""",
    "opaque": """\
## `[[opaque]]`

What the names stand for is kept as inert records of name, arguments and state. *accepted* then holds for safeload alone: another loader would import them.
`SL310 = "error"` under `[rules]` makes a policy refuse that.""",
    "deny": """\
## `[[deny]]`

Beats `[[allow]]` and `[[opaque]]`, is inherited, never expires and cannot be undone. What no entry lists is denied without it: it is here to say why, and to
bind what extends the policy. A denied name takes along what hangs on it (`builtins.eval.__call__`).""",
    "raise": """\
## `[[raise]]`

`[limits]` only lowers. Of several parents the lowest limit counts, so a raise that only one of them has is not inherited.""",
    "waive": """\
## `[[waive]]`

The findings stay in the report, as notes that say who waives them and why. A file that could not be read to its end is waived nothing, and a waiver never
lets `load` build anything that was not judged.""",
    "extends": """\
## A table of `extends`

`extends = [{ policy = "checkpoint", sha256 = "..." }]` pins what the parent decides.""",
    "provenance": """\
## `[provenance]`

`sha256` needs `digests`, `lock` or both; `signature` needs `key`, or `identity` and `issuer`, and may have a list of digests beside it: then both have to
hold. Files beside the one that is opened (shards) need their digests listed too, and a checkpoint of several files has no signature. Signatures are checked
by the OpenSSF model-signing library (`pip install 'safeload[signing]'`), which is imported only then. What is required is held against the bytes at the time
of judging.""",
}


_CONFIGURATION = """\
## Which policy judges

The first of these that says something:

1. `--policy`, `-p` on the command line
2. the environment variable `SAFELOAD_POLICY`
3. `policy` in `safeload.toml`, or in `[tool.safeload]` of `pyproject.toml`, of the nearest folder from the current one up to the root of its git repository;
   a path is relative to that file. Outside of a repository only the current folder is looked at
4. `checkpoint`

`safeload.load` and the other functions of the library read no configuration and no environment: they take `policy=`, or `checkpoint`.

The first line of a report names the policy, its digest, its file, and what chose it where that was not the command line.

**Nothing that is judged chooses its judge.** A configuration counts only if it lies outside of what is judged: not in a folder that is scanned, nor beside a
file that is named; the same goes for the policy that it names and for that policy's parents. One that lies there is an error (exit code 2) and not passed over,
because the default might let through more than the policy that was meant. So `safeload scan .` in a project with a configuration of its own asks for
`--policy`, and `safeload scan models/` does not. What remains: whoever works *inside* of a repository from elsewhere, and scans a subfolder of it, is under its
configuration; the first line says so.

## Lock files

`safeload lock PATH... -o safeload.lock` records, for every file, its sha256 and those of the shards that are read with it, size, format, verdict and
capabilities, and the digest of the policy. `safeload scan --locked safeload.lock` judges the same paths again and exits 1 on any difference, naming each:
changed, missing and additional files, another policy. Paths in a lock are relative to its folder. A rejected file can be locked, and stays rejected. Keep the
lock with your own files: one that travels with the models says nothing about them.
"""


def reference(limits: Mapping[str, str]) -> str:
    """The Markdown of `docs/policy-reference.md`; `limits` says what each limit bounds."""
    parts = [_INTRODUCTION, "## The top level\n", _table(TOP), "\n## `[limits]`\n", _limits(limits)]
    for name, text in _SECTIONS.items():
        parts += [f"\n{text}\n", _table(TABLES[name])]
    parts.append(f"\n{_CONFIGURATION}")
    return "\n".join(parts) + "\n"


def _table(keys: Mapping[str, Key]) -> str:
    rows = [f"| `{name}` | {'*required.* ' if key.required else ''}{key.doc.replace('|', chr(92) + '|')} |" for name, key in keys.items()]
    return "\n".join(["| key | effect and default |", "|---|---|", *rows])


def _limits(docs: Mapping[str, str]) -> str:
    rows = [f"| `{name.replace('_', '-')}` | {value:,} | {docs[name].replace('|', chr(92) + '|')} |" for name, value in DEFAULT_LIMITS.as_dict().items()]
    return "\n".join(["Each is a whole number from 0, and still allowed itself.\n", "| limit | default | what it bounds |", "|---|---|---|", *rows])


WRITTEN = {ROOT / "policies" / "policy.schema.json": schema_text, ROOT / "docs" / "policy-reference.md": reference_text}


def main() -> None:
    """Write both files."""
    for path, text in WRITTEN.items():
        path.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
