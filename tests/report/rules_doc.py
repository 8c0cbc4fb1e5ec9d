"""The table of rules in docs/reports.md, from the rules themselves: `python -m tests.report.rules_doc` writes it anew, and a test compares."""

from __future__ import annotations

from pathlib import Path

from safeload.findings import GRADED, RULES, WAIVABLE, verdict_of_error
from safeload.report.rule_facts import facts_of

PAGE = Path(__file__).parents[2] / "docs" / "reports.md"
HEAD = "## Rules\n"


def table() -> str:
    """Every rule, a line each."""
    lines = ["| code | name | level | an error makes the file | severity | CWE | a policy can | what it says |", "|---|---|---|---|---|---|---|---|"]
    for rule in RULES:
        facts = facts_of(rule.code)
        can = ", ".join([*(["grade it"] if rule.code in GRADED else []), *(["waive it"] if rule.code in WAIVABLE else [])])
        weaknesses = ", ".join(map(str, facts.cwe))
        cells = (rule.code, f"`{rule.name}`", rule.level, verdict_of_error(rule.code), f"{facts.severity:.1f}", weaknesses, can, rule.summary)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def section() -> str:
    """The last section of the page."""
    intro = (
        "The hundred of a code says who noticed: 0 source, 1 container, 2 stream, 3 policy, 4 storage, 9 limits. *Grade* is `[rules]`, *waive* is\n"
        "`[[waive]]`; all other rules carry a law and are always errors. Severity is on the scale of CVSS and says how bad it is if the file means it.\n"
    )
    return f"{HEAD}\n{intro}\n{table()}"


def page(text: str) -> str:
    """The page with its last section renewed."""
    return text[: text.index(HEAD)] + section() if HEAD in text else f"{text.rstrip()}\n\n{section()}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
