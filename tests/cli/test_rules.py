"""`safeload rules`: the whole table, and one rule in full."""

from __future__ import annotations

import json

from safeload.findings import RULES
from tests.cli.inputs import run


def test_every_rule_stands_in_the_list_once() -> None:
    outcome = run("rules")
    assert (outcome.code, outcome.err) == (0, "")
    assert [line.split()[0] for line in outcome.out.splitlines() if line.startswith("SL")] == [rule.code for rule in RULES]
    assert all(len(line) <= 100 for line in outcome.out.splitlines())


def test_a_rule_by_its_code_or_its_name() -> None:
    by_code = run("rules", "sl301")
    assert by_code.out.startswith("SL301 forbidden-global\n\nerror, makes a file rejected; ")
    assert "safeload explain FILE" in by_code.out
    assert run("rules", "forbidden-global").out == by_code.out
    two = run("rules", "SL310", "SL115").out
    assert "SL310 opaque-object\n\na note" in two and 'SL310 = "error" under [rules]' in two
    assert two.count("\n\nSL115 zip-crc\n") == 1 and "[[waive]]" in two


def test_every_rule_can_be_told_in_full() -> None:
    whole = run("rules", *(rule.code for rule in RULES)).out
    assert all(f"{rule.code} {rule.name}\n" in whole for rule in RULES)


def test_what_is_no_rule() -> None:
    outcome = run("rules", "SL301", "SL999", "\x1b[31m")
    assert (outcome.code, outcome.out) == (2, "")
    assert "there is no rule SL999" in outcome.err and "\x1b" not in outcome.err


def test_for_machines() -> None:
    records = json.loads(run("rules", "-f", "json").out)
    assert [record["code"] for record in records] == [rule.code for rule in RULES]
    (record,) = json.loads(run("rules", "SL301", "-f", "json").out)
    assert record["verdict"] == "rejected" and record["cwe"] == [502] and record["waivable"] is False
    (note,) = json.loads(run("rules", "SL310", "-f", "json").out)
    assert note["verdict"] is None and note["graded_by_policies"] is True
