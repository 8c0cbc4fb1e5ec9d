"""The policy format is strict: whatever is wrong is refused by its key path, and all of it at once."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safeload.errors import PolicyFileError
from safeload.findings import BY_CODE, GRADED, WAIVABLE
from safeload.limits import Limits
from safeload.policy.language import EXTENDS, PROVENANCE, TOP
from safeload.policy.toml import MAX_POLICY_BYTES, Parent, check_policy, parse_policy, read_policy

HEAD: dict[str, Any] = {
    "schema": 1, "name": "acme", "version": "1", "summary": "Acme.", "owner": "acme@example.org", "mode": "enforce", "default": "deny",
}  # fmt: skip
ALLOW: dict[str, Any] = {
    "id": "tensor", "globals": ["torch._utils._rebuild_tensor_v2"], "uses": ["call"], "as": "tensor", "capability": "data.tensor", "reason": "Tensors.",
}  # fmt: skip
OPAQUE: dict[str, Any] = {"id": "config", "globals": ["acme.*"], "capability": "data.config", "reason": "Our own."}
DENY: dict[str, Any] = {"id": "process", "globals": ["os.*"], "capability": "process.exec", "reason": "Starts processes."}
RAISE: dict[str, Any] = {"limit": "tensor-bytes", "to": 1 << 50, "reason": "One table.", "owner": "infra", "expires": "2026-12-31"}
WAIVE: dict[str, Any] = {"rule": "SL124", "sha256": "0" * 64, "reason": "Frozen.", "owner": "security", "expires": "2027-06-30"}
TODAY = datetime.date(2026, 11, 27)
INNER_KEYS = sorted({*ALLOW, *RAISE, *WAIVE, *PROVENANCE, *EXTENDS, "args", "x", "SL123", "opcodes"})


def policy(**changes: Any) -> dict[str, Any]:
    """A valid policy with these top-level keys changed; None takes one away."""
    document = {**HEAD, "allow": [ALLOW], "opaque": [OPAQUE], "deny": [DENY], **changes}
    return {key: value for key, value in document.items() if value is not None}


def allow(**changes: Any) -> dict[str, Any]:
    return policy(allow=[{key: value for key, value in {**ALLOW, **{k.rstrip("_"): v for k, v in changes.items()}}.items() if value is not None}])


def problems(document: Any) -> list[tuple[str, str]]:
    with pytest.raises(PolicyFileError) as caught:
        check_policy(document, "acme.toml")
    assert caught.value.file == "acme.toml"
    return caught.value.problems


def the_problem(document: Any) -> tuple[str, str]:
    found = problems(document)
    assert len(found) == 1, found
    return found[0]


def test_a_valid_policy_becomes_records() -> None:
    document = policy(
        extends=["weights-only", "other.toml"],
        formats=["torch.zip"],
        limits={"file-bytes": 5, "nesting-depth": 7},
        **{"reviewed-by": "me", "reviewed-on": datetime.date(2026, 9, 1)},
    )
    document["allow"] = [{**ALLOW, "args": ["storage", "int", "shape", "shape", "bool?"], "evidence": ["torch/_utils.py"], "reviewed-on": "2026-09-01"}]
    file = check_policy(document, None)
    assert (file.name, file.version, file.mode, file.formats) == ("acme", "1", "enforce", ("torch.zip",))
    assert file.extends == (Parent("weights-only"), Parent("other.toml"))
    assert file.limits == {"file_bytes": 5, "nesting_depth": 7}
    entry = file.allow[0]
    assert (entry.id, entry.constructor, entry.uses, entry.policy) == ("tensor", "tensor", frozenset({"call"}), "acme")
    assert entry.args == ("storage", "int", "shape", "shape", "bool?")
    assert entry.evidence == ("torch/_utils.py",)
    assert file.opaque[0].globals == ("acme.*",)
    assert file.deny[0].capability == "process.exec"


def test_no_args_and_empty_args_are_two_things() -> None:
    assert check_policy(allow(), None).allow[0].args is None
    assert check_policy(allow(args=[]), None).allow[0].args == ()


# ---- the top level ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [*HEAD])
def test_missing_keys(key: str) -> None:
    assert the_problem(policy(**{key: None})) == (key, "missing")


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("schema", 2, "schema 2 is not known"),
        ("schema", True, "found a boolean"),
        ("schema", "1", "found a string"),
        ("name", 7, "expected a string, found a whole number"),
        ("name", "", "is empty"),
        ("name", "../x", "may hold only letters"),
        ("name", "-x", "may hold only letters"),
        ("name", "p\u043elicy", "may hold only letters"),
        ("version", 1.0, "expected a string, found a float"),
        ("summary", "  ", "is empty"),
        ("owner", ["a"], "expected a string, found an array"),
        ("mode", "audit-only", "expected 'enforce' or 'scan-only' or 'audit', found 'audit-only'"),
        ("mode", True, "found a boolean"),
        ("default", "allow", "expected 'deny', found 'allow'"),
        ("extends", "checkpoint", "expected an array of strings or tables, found a string"),
        ("extends", [], "is empty"),
        ("formats", [], "is empty"),
        ("limits", 5, "expected a table"),
        ("allow", {}, "expected an array of tables ([[allow]]), found a table"),
        ("deny", "os.*", "expected an array of tables"),
        ("reviewed-by", 5, "expected a string"),
        ("reviewed-on", "yesterday", "is not a date"),
        ("reviewed-on", 2026, "expected a date"),
        ("reviewed-on", datetime.datetime(2026, 9, 1), "expected a date"),
    ],
)
def test_wrong_values(key: str, value: Any, word: str) -> None:
    path, message = the_problem(policy(**{key: value}))
    assert path == key
    assert word in message


def test_places_in_an_array_stay_true_when_one_of_them_is_wrong() -> None:
    assert [path for path, _ in problems(policy(extends=[1, "a", "a", ""]))] == ["extends[0]", "extends[2]", "extends[3]"]


@pytest.mark.parametrize(
    ("key", "meant"), [("opaques", "opaque"), ("Name", "name"), ("extend", "extends"), ("reviewed_by", "reviewed-by"), ("limit", "limits")]
)
def test_unknown_keys_are_answered_with_the_one_that_was_meant(key: str, meant: str) -> None:
    assert the_problem(policy(**{key: "x"})) == (key, f"unknown key; did you mean {meant!r}?")


def test_an_unknown_key_like_no_other_is_answered_with_the_list() -> None:
    path, message = the_problem(policy(xyzzy=1))
    assert path == "xyzzy"
    assert message.startswith("unknown key; there is schema, name, version")


def test_the_empty_policy_is_refused() -> None:
    assert the_problem(HEAD) == ("", "the policy is empty: it has no entry and extends nothing")
    assert check_policy({**HEAD, "extends": ["checkpoint"]}, None).allow == ()


# ---- limits -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("opcodes", True, "expected a whole number, found a boolean"),
        ("opcodes", 1.5, "found a float"),
        ("opcodes", "5", "found a string"),
        ("opcodes", -1, "-1 is below zero"),
        ("file_bytes", 1, "did you mean 'file-bytes'?"),
        ("opcode", 1, "did you mean 'opcodes'?"),
    ],
)
def test_wrong_limits(name: str, value: Any, word: str) -> None:
    path, message = the_problem(policy(limits={name: value}))
    assert path == f"limits.{name}"
    assert word in message


def test_every_limit_can_be_written() -> None:
    written = {name.replace("_", "-"): 1 for name in Limits.names()}
    assert set(check_policy(policy(limits=written), None).limits) == set(Limits.names())


# ---- entries ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["id", "globals", "uses", "as", "capability", "reason"])
def test_missing_keys_of_allow(key: str) -> None:
    assert the_problem(allow(**{f"{key}_": None})) == (f"allow[0].{key}", "missing")


@pytest.mark.parametrize("key", ["id", "globals", "capability", "reason"])
@pytest.mark.parametrize(("kind", "entry"), [("opaque", OPAQUE), ("deny", DENY)])
def test_missing_keys_of_opaque_and_deny(kind: str, entry: dict[str, Any], key: str) -> None:
    assert the_problem(policy(**{kind: [{k: v for k, v in entry.items() if k != key}]})) == (f"{kind}[0].{key}", "missing")


@pytest.mark.parametrize(
    ("path", "entry", "word"),
    [
        ("allow[0].reason", {"reason": ""}, "is empty"),
        ("allow[0].reason", {"reason": ["x"]}, "expected a string"),
        ("allow[0].id", {"id": "two words"}, "may hold only"),
        ("allow[0].globals", {"globals": []}, "is empty"),
        ("allow[0].globals", {"globals": "torch.Size"}, "expected an array of strings, found a string"),
        ("allow[0].globals[0]", {"globals": ["torch.*"]}, "holds a wildcard; an allow entry names exactly"),
        ("allow[0].globals[0]", {"globals": ["*"]}, "holds a wildcard"),
        ("allow[0].globals[1]", {"globals": ["torch.Size", "Size"]}, "write module.name"),
        ("allow[0].globals[0]", {"globals": ["torch..Size"]}, "is not a full name"),
        ("allow[0].globals[0]", {"globals": [".Size"]}, "is not a full name"),
        ("allow[0].globals[0]", {"globals": ["torch.Size "]}, "is not a full name"),
        ("allow[0].globals[0]", {"globals": ["t\u043erch.Size"]}, "ASCII identifier"),
        ("allow[0].globals[0]", {"globals": [7]}, "expected a string"),
        ("allow[0].globals[2]", {"globals": ["a.b", "a.c", "a.b"]}, "stands here twice"),
        ("allow[0].uses", {"uses": []}, "is empty"),
        ("allow[0].uses", {"uses": "call"}, "expected an array of strings"),
        ("allow[0].uses[0]", {"uses": ["cal"]}, "is no use of a name; did you mean 'call'?"),
        ("allow[0].uses", {"uses": ["call", "build"]}, "the constructor 'tensor' does not have build; it has call"),
        ("allow[0].as", {"as": "tensr"}, "there is no constructor 'tensr'; did you mean 'tensor'?"),
        ("allow[0].as", {"as": "os.system"}, "there is no constructor"),
        ("allow[0].args", {"args": ["storage", "integer"]}, "'integer' is no argument shape"),
        ("allow[0].args", {"args": ["int?", "int"]}, "a required argument follows an optional one"),
        ("allow[0].args", {"args": "int"}, "expected an array of strings"),
        ("allow[0].args", {"args": ["numpy.core.multiarray.scalar"]}, "'numpy.core.multiarray.scalar' is no argument shape"),
        ("allow[0].args[0]", {"args": ["global:numpy.core.multiarray.scalar"]}, "is an old spelling; write numpy._core.multiarray.scalar"),
        ("allow[0].args", {"as": "dtype", "uses": ["reference"], "args": []}, "is never called"),
        ("allow[0].capability", {"capability": "data"}, "is not a capability of such an entry"),
        ("allow[0].capability", {"capability": "code.exec"}, "is not a capability of such an entry"),
        ("allow[0].capability", {"capability": "data."}, "is not a capability of such an entry"),
        ("allow[0].evidence", {"evidence": []}, "is empty"),
        ("allow[0].reviewed-on", {"reviewed-on": "1.9.2026"}, "is not a date"),
        ("allow[0].wildcard", {"wildcard": 1}, "unknown key"),
        ("allow[0].use", {"use": 1}, "did you mean 'uses'?"),
    ],
)
def test_wrong_allow_entries(path: str, entry: dict[str, Any], word: str) -> None:
    found, message = the_problem(policy(allow=[{**ALLOW, **entry}]))
    assert found == path
    assert word in message


@pytest.mark.parametrize("pattern", ["torch*", "torch.*.x", "*.load", "torch.**", ".*", "**", "torch..*", "tor ch.*"])
@pytest.mark.parametrize("kind", ["opaque", "deny"])
def test_only_whole_packages_and_everything_are_patterns(kind: str, pattern: str) -> None:
    entry = {**(OPAQUE if kind == "opaque" else DENY), "globals": [pattern]}
    path, message = the_problem(policy(**{kind: [entry]}))
    assert path == f"{kind}[0].globals[0]"
    assert "is no pattern; write package.* or *" in message


def test_a_pattern_that_could_never_match_is_refused() -> None:
    path, message = the_problem(policy(deny=[{**DENY, "globals": ["commands.*"]}]))
    assert path == "deny[0].globals[0]"
    assert message.endswith("write subprocess.*")


def test_capabilities_of_opaque_and_deny() -> None:
    assert check_policy(policy(opaque=[{**OPAQUE, "capability": "code.exec"}]), None).opaque[0].capability == "code.exec"
    path, message = the_problem(policy(deny=[{**DENY, "capability": "data.tensor"}]))
    assert path == "deny[0].capability"
    assert "there is code.exec" in message
    assert the_problem(policy(deny=[{**DENY, "capability": "process"}]))[1].endswith("did you mean 'process.exec'?")


def test_opaque_and_deny_have_no_constructor() -> None:
    assert the_problem(policy(opaque=[{**OPAQUE, "as": "tensor"}]))[0] == "opaque[0].as"
    assert the_problem(policy(deny=[{**DENY, "uses": ["call"]}]))[0] == "deny[0].uses"


def test_an_entry_that_is_no_table() -> None:
    assert the_problem(policy(allow=[ALLOW, 5])) == ("allow[1]", "expected a table, found a whole number")


# ---- dates, levels, raises, waivers, provenance -----------------------------------------------------------------------------------------


def test_dates_are_kept() -> None:
    day = datetime.date(2027, 3, 31)
    review = {"reviewed-by": "me", "reviewed-on": "2026-09-01"}
    file = check_policy(policy(expires=day, allow=[{**ALLOW, **review, "expires": day}], opaque=[{**OPAQUE, "expires": "2027-03-31"}]), None, TODAY)
    assert file.expires == file.allow[0].expires == file.opaque[0].expires == day
    assert (file.allow[0].reviewed_by, file.allow[0].reviewed_on) == ("me", datetime.date(2026, 9, 1))


def test_a_denial_does_not_expire() -> None:
    path, message = the_problem(policy(deny=[{**DENY, "expires": "2027-01-01"}]))
    assert path == "deny[0].expires"
    assert message.startswith("a denial does not expire")


def test_names_of_today_in_arguments() -> None:
    args = ("global:numpy._core.multiarray.scalar|collections.OrderedDict", "int?")
    assert check_policy(allow(args=list(args)), None).allow[0].args == args


def test_a_limit_of_nothing() -> None:
    assert check_policy(policy(limits={"opcodes": 0}), None).limits == {"opcodes": 0}


@pytest.mark.parametrize("table", ["allow", "opaque", "deny"])
def test_a_capability_is_one_of_such_an_entry(table: str) -> None:
    entry = {"allow": ALLOW, "opaque": OPAQUE, "deny": DENY}[table]
    taken = {"data.x": table != "deny", "data.a-b": table != "deny", "net": table != "allow", "data.": False, "data.x.y": False, "x": False, "alnum": False}
    for capability, fine in taken.items():
        document = policy(**{table: [{**entry, "capability": capability}]})
        if fine:
            check_policy(document, None)
            continue
        path, message = the_problem(document)
        assert path == f"{table}[0].capability"
        assert message.startswith(f"'{capability}' is not a capability of such an entry; ")
    _, message = the_problem(policy(**{table: [{**entry, "capability": "zzzzzzzz"}]}))
    listed = message.partition("there is ")[2].split(", ")
    assert ("data.*" in listed, "net" in listed) == (table != "deny", table != "allow")
    assert the_problem(policy(**{table: [{**entry, "capability": 5}]})) == (f"{table}[0].capability", "expected a string, found a whole number")


def test_levels_that_can_be_set() -> None:
    file = check_policy(policy(rules={"SL123": "error", "SL124": "note", "SL310": "warning", "SL110": "error"}), None)
    assert file.rules == {"SL123": "error", "SL124": "note", "SL310": "warning"}  # an error that is one anyway says nothing


@pytest.mark.parametrize("code", sorted(set(BY_CODE) - GRADED))
def test_what_carries_a_law_is_always_an_error(code: str) -> None:
    for level in ("note", "warning"):
        path, message = the_problem(policy(rules={code: level}))
        assert path == f"rules.{code}"
        assert "is always an error" in message
    assert check_policy(policy(rules={code: "error"}), None).rules == {}


@pytest.mark.parametrize(
    ("rules", "path", "word"),
    [
        ({"SL999": "error"}, "rules.SL999", "there is no such rule"),
        ({"unreferenced-storage": "error"}, "rules.unreferenced-storage", "write SL123"),
        ({"SL123": "fatal"}, "rules.SL123", "expected 'note' or 'warning' or 'error', found 'fatal'"),
        ({"SL123": True}, "rules.SL123", "found a boolean"),
        (["SL123"], "rules", "expected a table"),
    ],
)
def test_wrong_levels(rules: Any, path: str, word: str) -> None:
    found, message = the_problem(policy(rules=rules))
    assert found == path
    assert word in message
    if isinstance(rules, dict):
        assert [place for place, _ in problems(policy(rules={**rules, "SL998": "error"}))] == [path, "rules.SL998"]


@pytest.mark.parametrize("key", [*RAISE])
def test_a_raise_says_everything(key: str) -> None:
    assert the_problem(policy(**{"raise": [{k: v for k, v in RAISE.items() if k != key}]})) == (f"raise[0].{key}", "missing")


@pytest.mark.parametrize("key", [*WAIVE])
def test_a_waiver_says_everything(key: str) -> None:
    assert the_problem(policy(waive=[{k: v for k, v in WAIVE.items() if k != key}])) == (f"waive[0].{key}", "missing")


@pytest.mark.parametrize("code", sorted(set(BY_CODE) - WAIVABLE))
def test_what_was_not_read_or_may_not_be_built_is_not_waived(code: str) -> None:
    path, message = the_problem(policy(waive=[{**WAIVE, "rule": code}]))
    assert path == "waive[0].rule"
    assert "cannot be waived" in message


@pytest.mark.parametrize(
    ("changes", "path", "word"),
    [
        ({"raise": [{**RAISE, "limit": "tensor_bytes"}]}, "raise[0].limit", "did you mean 'tensor-bytes'?"),
        ({"raise": [{**RAISE, "limit": 5}]}, "raise[0].limit", "expected a string, found a whole number"),
        ({"raise": [{**RAISE, "to": True}]}, "raise[0].to", "found a boolean"),
        ({"raise": [{**RAISE, "expires": "soon"}]}, "raise[0].expires", "is not a date"),
        ({"raise": RAISE}, "raise", "expected an array of tables ([[raise]])"),
        ({"waive": [{**WAIVE, "rule": "SL000"}]}, "waive[0].rule", "there is no rule"),
        ({"waive": [{**WAIVE, "sha256": "abc"}]}, "waive[0].sha256", "64 hexadecimal digits"),
        ({"waive": [{**WAIVE, "expires": "2027-11-29"}]}, "waive[0].expires", "more than a year away; a waiver ends by 2027-11-28"),
        ({"waive": [WAIVE, {**WAIVE, "owner": "b"}]}, "waive[1]", "is taken by waive[0]"),
        ({"extends": [{"policy": "checkpoint", "sha256": 5}]}, "extends[0].sha256", "expected a string"),
        ({"extends": [{"policy": "checkpoint", "pin": "x"}]}, "extends[0].pin", "unknown key"),
        ({"extends": ["checkpoint", {"policy": "checkpoint"}]}, "extends[1]", "stands here twice"),
        ({"formats": ["torch.zpi"]}, "formats[0]", "did you mean 'torch.zip'?"),
        ({"formats": ["pickle", "*"]}, "formats[1]", "stands alone"),
        ({"provenance": {}}, "provenance.require", "missing"),
        ({"provenance": {"require": "nothing", "digests": ["a" * 64]}}, "provenance", "would never be looked at"),
        ({"provenance": {"require": "sha256"}}, "provenance", "a list of digests is missing"),
        ({"provenance": {"require": "sha256", "digests": []}}, "provenance.digests", "is empty"),
        ({"provenance": {"require": "sha256", "digests": ["a" * 63]}}, "provenance.digests[0]", "is no sha256"),
        ({"provenance": {"require": "sha256", "lock": "l", "key": "k"}}, "provenance.require", "only looked at where 'signature'"),
        ({"provenance": {"require": "signature"}}, "provenance", "who signs is not said"),
        ({"provenance": {"require": "signature", "identity": "a"}}, "provenance", "who signs is not said"),
        ({"provenance": {"require": "signature", "key": "k", "issuer": "b"}}, "provenance", "only meaningful together"),
        ({"provenance": {"require": "signature", "key": "k", "identity": "a", "issuer": "b"}}, "provenance", "who signs is not said"),
        ({"provenance": "signature"}, "provenance", "expected a table"),
    ],
)  # fmt: skip
def test_wrong_terms(changes: dict[str, Any], path: str, word: str) -> None:
    with pytest.raises(PolicyFileError) as caught:
        check_policy(policy(**changes), "acme.toml", TODAY)
    ((found, message),) = caught.value.problems
    assert found == path
    assert word in message


def test_the_year_of_a_waiver_counts_from_the_day_that_is_given() -> None:
    waiver = {**WAIVE, "expires": "2027-11-28"}
    assert check_policy(policy(waive=[waiver]), None, TODAY).waives[0].expires == datetime.date(2027, 11, 28)
    with pytest.raises(PolicyFileError):
        check_policy(policy(waive=[waiver]), None, TODAY - datetime.timedelta(days=1))


# ---- repeats ----------------------------------------------------------------------------------------------------------------------------


def test_ids_are_taken_once() -> None:
    assert the_problem(policy(deny=[{**DENY, "id": "tensor"}])) == ("deny[0].id", "the id 'tensor' is taken by allow[0]")


def test_a_name_has_one_meaning() -> None:
    again = {**ALLOW, "id": "again"}
    assert the_problem(policy(allow=[ALLOW, again]))[0] == "allow[1].globals[0]"
    assert the_problem(policy(opaque=[{**OPAQUE, "globals": ALLOW["globals"]}]))[0] == "opaque[0].globals[0]"
    assert the_problem(policy(deny=[DENY, {**DENY, "id": "again"}]))[0] == "deny[1].globals[0]"


def test_another_spelling_is_the_same_name() -> None:
    scalar = {**ALLOW, "as": "numpy-scalar", "globals": ["numpy.core.multiarray.scalar"]}
    again = {**scalar, "id": "again", "globals": ["numpy._core.multiarray.scalar"]}
    assert the_problem(policy(allow=[scalar, again]))[0] == "allow[1].globals[0]"
    both = {**scalar, "globals": scalar["globals"] + again["globals"]}
    assert check_policy(policy(allow=[both]), None).allow[0].globals == ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")


# ---- lines ------------------------------------------------------------------------------------------------------------------------------

TEXT = """\
schema = 1
name = "acme"
version = "1"
summary = \'\'\'
[[allow]]
\'\'\'
owner = "o"
mode = "enforce"
default = "deny"

[[deny]]
id = "process"
globals = [
  "os.*",
  "posix.*",
]
capability = "process.exec"
reason = "r"

[[opaque]]
id = "ours"
globals = ["acme.*"]
capability = "unknown"
reason = "r"
"""


def test_entries_know_their_file_and_line() -> None:
    file = parse_policy(TEXT.encode(), "acme.toml")
    assert [(entry.file, entry.line) for entry in (*file.deny, *file.opaque)] == [("acme.toml", 11), ("acme.toml", 20)]
    assert parse_policy(TEXT.replace("\n", "\r\n").encode(), "acme.toml").opaque[0].line == 20
    assert check_policy(policy(), None).deny[0].line is None


def test_problems_know_their_line() -> None:
    wrong = TEXT.replace('"posix.*"', '"posix*"').replace('id = "ours"\n', "").replace('mode = "enforce"', 'mode = "x"')
    with pytest.raises(PolicyFileError) as caught:
        parse_policy(wrong.encode(), "acme.toml")
    assert list(zip((path for path, _ in caught.value.problems), caught.value.lines, strict=True)) == [
        ("mode", 8), ("opaque[0].id", 20 - 0), ("deny[0].globals[1]", 15),
    ]  # fmt: skip
    assert str(caught.value).splitlines()[0].startswith("acme.toml:8: mode: expected")


# ---- all at once, and from bytes --------------------------------------------------------------------------------------------------------


def test_all_problems_at_once_in_file_order() -> None:
    document = policy(
        summary=5,
        opaqe=[],
        limits={"opcodes": True, "membrs": 1},
        owner=None,
        allow=[ALLOW, {**ALLOW, "id": "b", "globals": ["torch.*"], "uses": ["calls"]}, {**OPAQUE, "id": "c", "globals": ["a.b"]}],
    )
    assert [path for path, _ in problems(document)] == [
        "summary", "opaqe", "limits.opcodes", "limits.membrs", "owner", "allow[1].globals[0]", "allow[1].uses[0]", "allow[2].uses", "allow[2].as",
    ]  # fmt: skip


def test_the_error_reads_as_one_line_per_problem() -> None:
    with pytest.raises(PolicyFileError) as caught:
        check_policy(policy(schema=2, mode="x"), "acme.toml")
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [["acme.toml", "schema"], ["acme.toml", "mode"]]


@pytest.mark.parametrize(
    ("data", "word"),
    [(b"\xff", "not UTF-8 text, at byte 0"), (b"schema = ", "not TOML"), (b"a = 1\na = 2", "not TOML"), (b"a = " + b"[" * 100_000, "not TOML")],
    ids=["binary", "cut", "twice", "deep"],
)
def test_what_is_no_toml(data: bytes, word: str) -> None:
    with pytest.raises(PolicyFileError) as caught:
        parse_policy(data, "x.toml")
    assert word in str(caught.value)


def test_what_is_too_large_to_be_a_policy(tmp_path: Path) -> None:
    path = tmp_path / "big.toml"
    path.write_bytes(b"#" * (MAX_POLICY_BYTES + 1))
    with pytest.raises(PolicyFileError, match="this is no policy"):
        read_policy(str(path))


def test_a_file_that_is_not_there_stays_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_policy(str(tmp_path / "no.toml"))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text("ab.*_-\u00e9\0", max_size=8)
    | st.sampled_from(["call", "tensor", "a.b", "a.*", "*", "data.x", "deny"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INNER_KEYS), inner, max_size=6),
    max_leaves=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*TOP, "nonsense"]), VALUES))
def test_any_document_gives_a_policy_or_the_one_error(changes: dict[str, Any]) -> None:
    try:
        check_policy({**policy(), **changes}, None)
    except PolicyFileError as error:
        assert error.problems
        assert all(type(path) is str and message for path, message in error.problems)
