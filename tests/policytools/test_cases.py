"""Tests of policies are tests: each kind of disappointment is one, and a file that says nothing is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeload.errors import PolicyFileError
from safeload.policytools.cases import Cases, coverage, read_cases, run_case

GOOD = """
policy = "weights-only"
[[case]]
name = "an empty state dict"
expect = "accept"
covers = ["ordered-dict"]
program = '''
PROTO 2
GLOBAL collections OrderedDict
EMPTY_TUPLE
REDUCE
STOP
'''
[[case]]
name = "a key too many"
expect = "reject"
rules = ["SL304"]
covers = ["ordered-dict"]
program = '''
PROTO 2
GLOBAL collections OrderedDict
BININT1 1
TUPLE1
REDUCE
STOP
'''
"""
TENSOR = """
[[case]]
name = "a tensor"
expect = "{expect}"
covers = ["tensor"]
storages = {{ "0" = 16 }}
program = '''
PROTO 2
GLOBAL torch._utils _rebuild_tensor_v2
MARK
MARK
BINUNICODE 'storage'
GLOBAL torch FloatStorage
BINUNICODE '0'
BINUNICODE 'cpu'
BININT1 4
TUPLE
BINPERSID
BININT1 0
BININT1 {size}
TUPLE1
BININT1 1
TUPLE1
NEWFALSE
GLOBAL collections OrderedDict
EMPTY_TUPLE
REDUCE
TUPLE
REDUCE
STOP
'''
"""


def cases(text: str, folder: Path) -> Cases:
    path = folder / "cases.toml"
    path.write_text(text, encoding="utf-8")
    return read_cases(str(path))


def wrong(text: str, folder: Path) -> list[str]:
    found = cases(text, folder)
    return [line for case in found.cases for line in run_case(case, found.policy).wrong]


def test_good_cases_pass(tmp_path: Path) -> None:
    assert wrong(GOOD + TENSOR.format(expect="accept", size=4), tmp_path) == []


def test_a_tensor_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    assert wrong(GOOD + TENSOR.format(expect="reject", size=5), tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('expect = "reject"\nrules = ["SL304"]', 'expect = "accept"', "expected accepted, and it is rejected"),
        ('expect = "accept"', 'expect = "reject"', "expected rejected, and it is accepted"),
        ('["SL304"]', '["SL301"]', "SL301 (forbidden-global) is not among the findings"),
        ('["SL304"]', '["SL304"]\ncapability = "net"', "no finding has the capability net"),
        ('covers = ["ordered-dict"]', 'covers = ["tensor"]', "covers tensor, and that entry decides about no name of the program"),
    ],
)
def test_each_disappointment_is_said(old: str, new: str, says: str, tmp_path: Path) -> None:
    assert says in wrong(GOOD.replace(old, new), tmp_path)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("policy = 'weights-only'", "case"),
        ("policy = 'weights-only'\ncase = []", "case"),
        (GOOD.replace("GLOBAL collections OrderedDict", "RAW '2e'"), "case[0].program"),
        (GOOD.replace("REDUCE\nSTOP", "NOSUCH\nSTOP"), "case[0].program"),
        (GOOD.replace('"SL304"', '"SL999"'), "case[1].rules"),
        (GOOD.replace('expect = "accept"', 'expect = "accept"\nrules = ["SL304"]'), "case[0].rules"),
        (GOOD.replace('expect = "accept"', 'expect = "load"'), "case[0].expect"),
        (GOOD.replace("a key too many", "an empty state dict"), "case"),
        (GOOD.replace("covers", "cover"), "case[0].cover"),
        (GOOD.replace('expect = "accept"', 'expect = "accept"\nstorages = { "0" = 9_000_000 }'), "case[0].storages.0"),
        (GOOD.replace('expect = "accept"', 'expect = "accept"\nstorages = { "0" = true }'), "case[0].storages.0"),
        (GOOD.replace('expect = "accept"', 'expect = "accept"\nstorages = 1'), "case[0].storages"),
    ],
)
def test_wrong_files_are_refused_with_the_place(text: str, where: str, tmp_path: Path) -> None:
    with pytest.raises(PolicyFileError) as caught:
        cases(text, tmp_path)
    assert where in {path for path, _ in caught.value.problems}


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyFileError, match="not TOML"):
        cases("policy = ", tmp_path)


def test_a_policy_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        'schema=1\nname="own"\nversion="1"\nsummary="s"\nowner="o"\nmode="enforce"\ndefault="deny"\nextends=["weights-only"]\n'
        '[[opaque]]\nid="a"\nglobals=["acme.A"]\ncapability="unknown"\nreason="r"\n[[deny]]\nid="b"\nglobals=["bad.*"]\ncapability="net"\nreason="r"\n',
        encoding="utf-8",
    )
    text = GOOD.replace('"weights-only"', '"own.toml"').replace('covers = ["ordered-dict"]\n', "")
    found = cases(text, tmp_path)
    assert found.policy.name == "own"
    rows = coverage(found.policy, [run_case(case, found.policy) for case in found.cases])
    assert [(row.kind, row.entry, row.missing) for row in rows] == [("deny", "b", "no program that it refuses"), ("opaque", "a", "no program that it accepts")]


def test_coverage_counts_both_directions(tmp_path: Path) -> None:
    found = cases(GOOD, tmp_path)
    rows = {row.entry: row for row in coverage(found.policy, [run_case(case, found.policy) for case in found.cases])}
    assert (rows["ordered-dict"].accepts, rows["ordered-dict"].refuses, rows["ordered-dict"].missing) == (1, 1, "")
    assert rows["tensor"].missing == "no program that it accepts and no program that it refuses"
