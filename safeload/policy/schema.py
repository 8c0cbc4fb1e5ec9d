"""The table of keys becomes JSON Schema (draft 2020-12), for editors that complete and check TOML.

The schema is necessary and not sufficient: what one value cannot show (names listed twice, uses that a constructor lacks, parents, waivers that last too
long) is left to `safeload policy validate`. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safeload.policy.fields import Key
from safeload.policy.language import ENTRIES, EXTENDS, PROVENANCE, TOP

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TABLES = {**ENTRIES, "extends": EXTENDS, "provenance": PROVENANCE}


def json_schema() -> dict[str, Any]:
    """The schema of one policy file, as a document of plain values. TOML dates are strings in it, as editors show them to a schema."""
    return {
        "$schema": DIALECT,
        "title": "A safeload policy",
        **_object(TOP),
        "anyOf": [{"required": [name], "properties": {name: {"minItems": 1}}} for name in ("extends", "allow", "opaque", "deny")],
        "$defs": {name: _object(keys) for name, keys in TABLES.items()},
    }


def _object(keys: Mapping[str, Key]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name for name, key in keys.items() if key.required],
        "properties": {name: {**key.schema, "description": key.doc.replace("`", "")} for name, key in keys.items()},
    }
