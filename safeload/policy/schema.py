"""The table of keys becomes JSON Schema (draft 2020-12) for editors, and the reference of the docs: both are written from what checks a policy.

The schema is necessary and not sufficient: what one value cannot show (names listed twice, uses that a constructor lacks, parents, waivers that last too
long) is left to `safeload policy validate`. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safeload.limits import DEFAULT_LIMITS
from safeload.policy.fields import Key
from safeload.policy.language import ENTRIES, EXTENDS, PROVENANCE, TOP

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TABLES = {**ENTRIES, "extends": EXTENDS, "provenance": PROVENANCE}


def json_schema() -> dict[str, Any]:
    """The schema of one policy file, as a document of plain values. TOML dates are strings in it, as editors show them to a schema."""
    return {
        "$schema": DIALECT,
        "title": "A safeload policy",
        **_object(TOP),
        "anyOf": [{"required": [name], "properties": {name: {"minItems": 1}}} for name in ("extends", "allow", "opaque", "deny")],
        "$defs": {name: _object(keys) for name, keys in _TABLES.items()},
    }


def _object(keys: Mapping[str, Key]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name for name, key in keys.items() if key.required],
        "properties": {name: {**key.schema, "description": key.doc.replace("`", "")} for name, key in keys.items()},
    }


# ---- the reference ----------------------------------------------------------------------------------------------------------------------

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


def reference(limits: Mapping[str, str]) -> str:
    """The Markdown of `docs/policy-reference.md`; `limits` says what each limit bounds."""
    parts = [_INTRODUCTION, "## The top level\n", _table(TOP), "\n## `[limits]`\n", _limits(limits)]
    for name, text in _SECTIONS.items():
        parts += [f"\n{text}\n", _table(_TABLES[name])]
    return "\n".join(parts) + "\n"


def _table(keys: Mapping[str, Key]) -> str:
    rows = [f"| `{name}` | {'*required.* ' if key.required else ''}{key.doc.replace('|', chr(92) + '|')} |" for name, key in keys.items()]
    return "\n".join(["| key | effect and default |", "|---|---|", *rows])


def _limits(docs: Mapping[str, str]) -> str:
    rows = [f"| `{name.replace('_', '-')}` | {value:,} | {docs[name].replace('|', chr(92) + '|')} |" for name, value in DEFAULT_LIMITS.as_dict().items()]
    return "\n".join(["Each is a whole number from 0, and still allowed itself.\n", "| limit | default | what it bounds |", "|---|---|---|", *rows])
