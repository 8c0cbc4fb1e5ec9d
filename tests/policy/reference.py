"""Writes what is generated from the table of keys: `python -m tests.policy.reference`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from safeload.policy.schema import json_schema, reference

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


WRITTEN = {ROOT / "policies" / "policy.schema.json": schema_text, ROOT / "docs" / "policy-reference.md": reference_text}


def main() -> None:
    """Write both files."""
    for path, text in WRITTEN.items():
        path.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
