"""Who may make a `Vetted`."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "safeload"


def test_only_vet_holds_the_seal() -> None:
    holders = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if "SEAL" in path.read_text(encoding="utf-8")}
    assert holders == {"policy/vetted.py", "policy/vet.py"}
    assert (PACKAGE / "policy/vet.py").read_text(encoding="utf-8").count("SEAL") == 2, "the import, and the one place that seals"
