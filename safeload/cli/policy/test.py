"""`safeload policy test`: files of tests become results, a line for each file and a paragraph for each case that is not as expected."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from safeload.cli.common import EXIT_NO_VERDICT, complain
from safeload.cli.policy.common import CHANGED, paragraph, say
from safeload.errors import PolicyFileError
from safeload.escape import escape
from safeload.report.layout import columns, plural

if TYPE_CHECKING:
    from safeload.policytools.cases import Cases, Result

SUFFIX = ".toml"


@click.command()
@click.argument("paths", nargs=-1, metavar="[FILE|FOLDER]...")
@click.option("--coverage", is_flag=True, help="Fail where an entry lacks a program that it accepts, or a near miss that it refuses.")
def test(paths: tuple[str, ...], coverage: bool) -> int:
    """Run the tests of policies: programs in the assembler's text, to accept and to refuse.

    FILE names its policy and holds the cases (docs/policies.md); a FOLDER stands for
    the .toml files in it. Without any, the tests of the shipped policies run.

    Exit codes: 0 as expected, 1 something is not, 2 a file of tests is wrong.
    """
    from safeload.policytools.cases import read_cases, run_case

    code = 0
    by_policy: dict[str, tuple[Cases, list[Result]]] = {}
    files = _files(paths)
    if not files:
        complain("there is no file of tests")
        return EXIT_NO_VERDICT
    for file in files:
        try:
            cases = read_cases(file)
        except PolicyFileError as error:
            for line in str(error).splitlines():
                complain(line)
            code = EXIT_NO_VERDICT
            continue
        except OSError as error:
            complain(f"{file}: {error.strerror or error}")
            code = EXIT_NO_VERDICT
            continue
        results = [run_case(case, cases.policy) for case in cases.cases]
        by_policy.setdefault(cases.policy.sha256, (cases, []))[1].extend(results)
        wrong = [result for result in results if result.wrong]
        click.echo(f"{escape(file)}: {plural(len(results), 'case')} of policy {escape(cases.policy.name)}, {len(wrong) or 'none'} wrong")
        for result in wrong:
            say(_shown(result))
        if wrong:
            code = code or CHANGED
    if coverage:
        everything = [result for _, results in by_policy.values() for result in results]
        for cases, _ in by_policy.values():
            missing = _coverage(cases, everything)
            code = code or (CHANGED if missing else 0)
    return code


def _files(paths: tuple[str, ...]) -> list[str]:
    """The files of tests: those named, those in the folders named, in the order of their names."""
    found: list[str] = []
    for path in paths or (shipped_tests(),):
        if os.path.isdir(path):
            found += sorted(os.path.join(path, name) for name in os.listdir(path) if name.endswith(SUFFIX))
        else:
            found.append(path)
    return found


def shipped_tests() -> str:
    """The folder with the tests of the shipped policies."""
    from safeload.policy.shipped import DEFAULT_POLICY, shipped_path

    return os.path.join(os.path.dirname(shipped_path(DEFAULT_POLICY)), "tests")


def _shown(result: Result) -> list[str]:
    lines = paragraph(result.case.name, first="  ", rest="    ")
    for text in result.wrong:
        lines += paragraph(text, first="    ", rest="      ")
    for finding in result.report.errors[:3]:
        lines += paragraph(f"{finding.rule} {finding.message}", first="      found: ", rest="        ")
    return lines


def _coverage(cases: Cases, results: list[Result]) -> bool:
    """Show what is missing; is anything?"""
    from safeload.policytools.cases import coverage

    table = coverage(cases.policy, results)
    missing = [row for row in table if row.missing]
    click.echo(f"policy {escape(cases.policy.name)}: {len(table) - len(missing):,} of {plural(len(table), 'entry', 'entries')} tested both ways")
    say(columns([(row.kind, escape(row.entry), row.missing) for row in missing], indent="    "))
    return bool(missing)
