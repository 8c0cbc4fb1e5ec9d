"""A file of tests for a policy becomes results: programs that the policy has to accept, and near misses that it has to refuse.

    policy = "weights-only"            # a shipped name, or a path relative to this file

    [[case]]
    name     = "an empty state dict loads"
    expect   = "accept"                # accept | reject | inconclusive
    covers   = ["ordered-dict"]        # entries that decide about a name of this program; each of them has to
    rules    = ["SL304"]               # refused programs: rules that have to be among the findings
    capability = "process.exec"        # refused programs: what one of the findings has to say the name could do
    storages = { "0" = 16 }            # the program stands in a torch archive with these storages (key to bytes) of zeros
    program  = '''                     # the assembler's text (`safeload dis`); never raw bytes
    PROTO 2
    GLOBAL collections OrderedDict
    EMPTY_TUPLE
    REDUCE
    STOP
    '''

Nothing is run: each program is assembled, and scanned as any file is. Refuses (`PolicyFileError`, every problem at once) unknown keys, wrong types and
programs that do not assemble, because a test that says nothing must not pass.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec

from safeload.api import scan
from safeload.errors import PolicyFileError
from safeload.findings import BY_CODE, Report, Verdict
from safeload.opcodes.assemble import assemble
from safeload.policy import fields
from safeload.policy.fields import Key, Problems
from safeload.policy.model import Policy
from safeload.policy.named import load_policy
from safeload.policytools.archive import torch_archive

MAX_STORAGE_BYTES = 1 << 20  # of one storage of a test: zeros that say nothing
EXPECTED: dict[str, Verdict] = {"accept": "accepted", "reject": "rejected", "inconclusive": "inconclusive"}
RAW_OPCODE = "RAW"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One program and what the policy has to say of it."""

    name: str
    expect: str
    covers: tuple[str, ...]
    rules: tuple[str, ...]
    capability: str | None
    data: bytes  # the assembled program, in its archive where it has storages


class Cases(msgspec.Struct, frozen=True, kw_only=True):
    """One file of tests."""

    file: str
    policy: Policy
    cases: tuple[Case, ...]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one case; `wrong` is empty where it is as expected."""

    case: Case
    report: Report
    wrong: tuple[str, ...]


def read_cases(path: str) -> Cases:
    """The tests in the file at `path`. Raises `OSError`, and `PolicyFileError` for the file itself or for the policy that it names."""
    with open(path, "rb") as stream:
        try:
            document = tomllib.load(stream)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise PolicyFileError(path, [("", f"not TOML: {error}")]) from None
    problems: Problems = []
    top = fields.table(document, "", _TOP, problems)
    cases = tuple(case for place, item in enumerate(_list(document.get("case"))) if (case := _case(item, f"case[{place}]", problems)) is not None)
    names = [case.name for case in cases]
    problems += [("case", f"two cases are called {name!a:.80}") for name in sorted({name for name in names if names.count(name) > 1})]
    if not cases and not problems:
        problems.append(("case", "there is no case"))
    if problems:
        raise PolicyFileError(path, problems)
    return Cases(file=path, policy=_policy(top["policy"], path), cases=cases)


def run_case(case: Case, policy: Policy) -> Result:
    """Scan the program and compare."""
    report = scan(case.data, policy=policy)
    wrong = [] if report.verdict == EXPECTED[case.expect] else [f"expected {EXPECTED[case.expect]}, and it is {report.verdict}"]
    found = {finding.rule for finding in report.errors}
    wrong += [f"{rule} ({BY_CODE[rule].name}) is not among the findings" for rule in case.rules if rule not in found]
    if case.capability is not None and case.capability not in {finding.capability for finding in report.errors}:
        wrong.append(f"no finding has the capability {case.capability}")
    deciding = {use.entry for use in report.globals}
    wrong += [f"covers {entry}, and that entry decides about no name of the program" for entry in case.covers if entry not in deciding]
    return Result(case=case, report=report, wrong=tuple(wrong))


# ---- the format -------------------------------------------------------------------------------------------------------------------------


def _list(value: Any) -> list[Any]:
    return value if type(value) is list else []


def _array_of_tables(value: Any, path: str, problems: Problems) -> None:
    if type(value) is not list:
        problems.append((path, f"expected an array of tables ([[{path}]]), found {fields.kind(value)}"))


def _rules(value: Any, path: str, problems: Problems) -> tuple[str, ...]:
    found = fields.some_texts(value, path, problems)
    problems.extend((path, f"there is no rule {rule!a:.40}") for rule in found if rule and rule not in BY_CODE)
    return found


def _storages(value: Any, path: str, problems: Problems) -> dict[str, int]:
    if not isinstance(value, Mapping):
        problems.append((path, f"expected a table of key = bytes, found {fields.kind(value)}"))
        return {}
    for key, size in value.items():
        number = fields.whole_number(size, f"{path}.{key}", problems)
        if number is not None and number > MAX_STORAGE_BYTES:
            problems.append((f"{path}.{key}", f"a storage of a test has at most {MAX_STORAGE_BYTES:,} bytes"))
    return dict(value)


def _program(value: Any, path: str, problems: Problems) -> bytes:
    text = fields.text(value, path, problems)
    if text is None:
        return b""
    if any(line.split()[:1] == [RAW_OPCODE] for line in text.splitlines()):
        problems.append((path, "RAW bytes are not read by a reviewer; write the instructions"))
        return b""
    try:
        return assemble(text)
    except ValueError as error:
        problems.append((path, str(error)))
        return b""


_TOP = {"policy": Key(fields.text), "case": Key(_array_of_tables)}
_CASE = {
    "name": Key(fields.text),
    "expect": Key(fields.one_of(*EXPECTED)),
    "covers": Key(fields.some_texts, required=False),
    "rules": Key(_rules, required=False),
    "capability": Key(fields.text, required=False),
    "storages": Key(_storages, required=False),
    "program": Key(_program),
}


def _case(value: Any, path: str, problems: Problems) -> Case | None:
    before = len(problems)
    table = fields.table(value, path, _CASE, problems)
    if table.get("expect") == "accept":
        problems.extend((f"{path}.{key}", "an accepted program has no findings") for key in ("rules", "capability") if key in table)
    if len(problems) > before:
        return None
    data = table["program"]
    return Case(
        name=table["name"],
        expect=table["expect"],
        covers=table.get("covers", ()),
        rules=table.get("rules", ()),
        capability=table.get("capability"),
        data=torch_archive(data, table["storages"]) if "storages" in table else data,
    )


def _policy(name: str, path: str) -> Policy:
    if name.endswith(".toml"):
        return load_policy(os.path.join(os.path.dirname(path), name))
    return load_policy(name)


# ---- coverage ---------------------------------------------------------------------------------------------------------------------------


class Covered(msgspec.Struct, frozen=True, kw_only=True):
    """How many programs of the tests one entry accepts, and in how many it stands beside a refusal."""

    kind: str  # allow, opaque or deny
    entry: str
    accepts: int
    refuses: int

    @property
    def missing(self) -> str:
        """What an entry of its kind still needs: an `allow` both directions, an `opaque` a program that it accepts, a `deny` one that it refuses."""
        needs = {"allow": ("accept", "refuse"), "opaque": ("accept",), "deny": ("refuse",)}[self.kind]
        has = {"accept": self.accepts, "refuse": self.refuses}
        return " and ".join(f"no program that it {need}s" for need in needs if not has[need])


def coverage(policy: Policy, results: list[Result]) -> list[Covered]:
    """For each entry of the policy's own file, in the order of kind and id: what the cases that cover it and passed came to.

    The results may be those of other policies too: what one that extends this one accepts by an entry of this one counts for the entry.
    """
    own: dict[tuple[str, str], None] = {}
    for kind, tables in (
        ("allow", (policy.allow_exact,)),
        ("opaque", (policy.opaque_exact, policy.opaque_prefix)),
        ("deny", (policy.deny_exact, policy.deny_prefix)),
    ):
        for table in tables:
            for entry in table.values():
                if entry.policy == policy.name:
                    own[kind, entry.id] = None
    counts: dict[tuple[str, bool], int] = {}
    for result in results:
        if not result.wrong:
            mine = {use.entry for use in result.report.globals if use.policy == policy.name}
            for entry_id in mine.intersection(result.case.covers):
                key = (str(entry_id), result.case.expect == "accept")
                counts[key] = counts.get(key, 0) + 1
    return [
        Covered(kind=kind, entry=name, accepts=counts.get((name, True), 0), refuses=counts.get((name, False), 0)) for kind, name in sorted(own)
    ]
