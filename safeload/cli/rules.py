"""`safeload rules`: the table of what can be found in a file, and of one rule what it means and what to do about it."""

from __future__ import annotations

import click

from safeload.cli.common import EXIT_ACCEPTED, EXIT_NO_VERDICT, complain
from safeload.cli.policy.common import emit_json, say, width
from safeload.findings import BY_CODE, GRADED, RULES, WAIVABLE, Rule, verdict_of_error
from safeload.report.layout import wrap
from safeload.report.rule_facts import facts_of, help_text

INDENT = " " * 10  # the width of a code, and two blanks on either side


@click.command()
@click.argument("codes", nargs=-1, metavar="[CODE|NAME]...")
@click.option("--format", "-f", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
def rules(codes: tuple[str, ...], format_: str) -> int:
    """List the rules, or say of some (SL301, forbidden-global) what they mean.

    Exit codes: 0, 2 there is no such rule.
    """
    chosen, unknown = _chosen(codes)
    for code in unknown:
        complain(f"there is no rule {code}; safeload rules lists them")
    if unknown:
        return EXIT_NO_VERDICT
    if format_ == "json":
        emit_json([_record(rule) for rule in chosen])
    elif codes:
        say(line for number, rule in enumerate(chosen) for line in _in_full(rule, number))
    else:
        say(line for rule in chosen for line in wrap(f"{rule.name}: {rule.summary}", width(), first=f"{rule.code}  ", rest=INDENT))
    return EXIT_ACCEPTED


def _chosen(codes: tuple[str, ...]) -> tuple[list[Rule], list[str]]:
    """The rules of these codes or names, all for none, and the words that are neither."""
    if not codes:
        return list(RULES), []
    by_name = {rule.name: rule for rule in RULES}
    found = [(word, BY_CODE.get(word.upper()) or by_name.get(word.lower())) for word in codes]
    return [rule for _, rule in found if rule is not None], [word for word, rule in found if rule is None]


def _record(rule: Rule) -> dict[str, object]:
    facts = facts_of(rule.code)
    return {
        "code": rule.code,
        "name": rule.name,
        "level": rule.level,
        "verdict": verdict_of_error(rule.code) if rule.level == "error" else None,
        "summary": rule.summary,
        "meaning": facts.meaning,
        "advice": facts.advice,
        "severity": facts.severity,
        "cwe": list(facts.cwe),
        "graded_by_policies": rule.code in GRADED,
        "waivable": rule.code in WAIVABLE,
    }


def _in_full(rule: Rule, number: int) -> list[str]:
    """A heading, what the rule says and means, and what a policy can make of it."""
    facts = facts_of(rule.code)
    lines = [""] * (number > 0) + [f"{rule.code} {rule.name}"]
    makes = f"makes a file {verdict_of_error(rule.code)}" if rule.level == "error" else f"a {rule.level}"
    cwe = "".join(f", CWE-{one}" for one in facts.cwe)
    lines += ["", *wrap(f"{rule.level}, {makes}; severity {facts.severity} of 10{cwe}" if rule.level == "error" else f"{makes}{cwe}", width())]
    for paragraph in help_text(rule.code).split("\n\n"):
        lines += ["", *wrap(paragraph, width())]
    if rule.code in GRADED:
        lines += ["", *wrap(f'A policy can grade it: {rule.code} = "error" under [rules].', width())]
    return lines
