"""Laws of the policy language, over drawn policies.

Extending never loosens. A resolved form is a fixed point. Order says nothing. The digest covers what decides. Any bytes are a policy or the one error.
"""

from __future__ import annotations

import copy
import datetime
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import safeload
import safeload.policy.model
import safeload.policy.shipped
from safeload.errors import PolicyFileError
from safeload.findings import GRADED, WAIVABLE
from safeload.limits import Limits
from safeload.policy.fields import FORMATS, HARMFUL, LEVELS
from safeload.policy.model import Policy
from safeload.policy.resolve import load_policy, policy_from_dict, resolve_file
from safeload.policy.toml import parse_policy
from safeload.policytools.writer import resolved_toml

from .test_policy_laws import ENTRIES, PIECES, made

TODAY = datetime.date(2026, 11, 27)
DAYS = st.integers(-2, 300).map(lambda days: (TODAY + datetime.timedelta(days=days)).isoformat())
SOMETIMES = st.none() | DAYS
NAMES = ["acme.Net", "acme.sub.Deep", "acme.sub.Deep.inner", "other.Thing", *sorted(ENTRIES)]
PATTERNS = ["*", "acme.*", "acme.sub.*", "acme.sub.Deep.*", "other.*", "collections.*", "builtins.*"]
PROBES = [*NAMES, "acme.Other", "acme.sub.Other", "unknown.Name", "os.system", "builtins.eval", "collections.deque"]


def with_ids(entries: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The entries with all that they need, and without what was drawn as absent."""
    full = ({"id": f"{kind}-{number}", "reason": "r", **entry} for number, entry in enumerate(entries))
    return [{key: value for key, value in entry.items() if value is not None} for entry in full]


@st.composite
def documents(draw: Callable[..., Any], parents: list[str] | None = None) -> dict[str, Any]:
    """A policy of any shape, as its author could have written it; some of them contradict themselves."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=5))
    patterns = draw(st.lists(st.sampled_from(PATTERNS), unique=True, max_size=3))
    allow = [
        {"globals": [name], "capability": "data.x", "expires": draw(SOMETIMES), **ENTRIES[name]} for name in names if name in ENTRIES and draw(st.booleans())
    ]
    taken = {entry["globals"][0] for entry in allow}
    kept = [name for name in (*names, *patterns) if name not in taken]
    kept = [name for name in kept if draw(st.booleans())]
    opaque = [{"globals": [name], "capability": draw(st.sampled_from(["data.x", "unknown"])), "expires": draw(SOMETIMES)} for name in kept]
    denied = draw(st.lists(st.sampled_from([*NAMES, *PATTERNS[1:]]), unique=True, max_size=3))
    deny = [{"globals": [name], "capability": draw(st.sampled_from(HARMFUL))} for name in denied]
    limits = draw(st.dictionaries(st.sampled_from(["opcodes", "nesting-depth", "members"]), st.integers(5, 60), max_size=3))
    raises = draw(st.lists(st.tuples(st.sampled_from(["opcodes", "members"]), st.integers(50_000_001, 50_000_050), DAYS), max_size=2))
    waives = draw(st.lists(st.tuples(st.sampled_from(sorted(WAIVABLE)), st.sampled_from("abc"), DAYS), max_size=2, unique_by=lambda each: each[:2]))
    document: dict[str, Any] = {
        "schema": 1, "name": draw(st.sampled_from(["m", "n"])), "version": "1", "summary": "s", "owner": "o", "default": "deny",
        "mode": draw(st.sampled_from(["enforce", "enforce", "enforce", "scan-only", "audit"])),
        "extends": parents, "formats": draw(st.none() | st.lists(st.sampled_from(FORMATS[-6:]), unique=True, min_size=1, max_size=4)),
        "expires": draw(SOMETIMES), "limits": limits or None,
        "rules": draw(st.dictionaries(st.sampled_from(sorted(GRADED)), st.sampled_from(LEVELS), max_size=3)) or None,
        "provenance": draw(st.sampled_from([None, None, {"require": "nothing"}, {"require": "sha256", "digests": ["a" * 64, "b" * 64]},
                                            {"require": "signature", "identity": "i", "issuer": "j"}])),
        "allow": with_ids(allow, "a"), "opaque": with_ids(opaque, "o"), "deny": with_ids(deny, "d"),
        "raise": [{"limit": limit, "to": to, "reason": "r", "owner": "o", "expires": day} for limit, to, day in raises],
        "waive": [{"rule": rule, "sha256": digit * 64, "reason": "r", "owner": "o", "expires": day} for rule, digit, day in waives],
    }  # fmt: skip
    return {key: value for key, value in document.items() if value is not None and value != []}


def resolved(document: dict[str, Any]) -> Policy | None:
    """The policy, or None for one that contradicts itself or its parents: those are errors, and have tests of their own."""
    try:
        return policy_from_dict(document, today=TODAY)
    except PolicyFileError:
        return None


def in_files(folder: Path, *policies: Policy) -> list[str]:
    paths = [folder / f"p{number}.toml" for number in range(len(policies))]
    for path, policy in zip(paths, policies, strict=True):
        path.write_text(resolved_toml(policy), encoding="utf-8")
    return [str(path) for path in paths]


def moderate(max_examples: int) -> Any:
    return settings(max_examples=max_examples, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])


# ---- a fixed point ------------------------------------------------------------------------------------------------------------------------


def reread(policy: Policy) -> Policy:
    return resolve_file(parse_policy(resolved_toml(policy).encode(), "resolved.toml", TODAY), None)


@moderate(150)
@given(documents(), documents())
def test_a_resolved_form_is_a_fixed_point(tmp_path_factory: Any, first: dict[str, Any], second: dict[str, Any]) -> None:
    parent = resolved(first)
    assume(parent is not None and len(second) > 7)
    assert parent is not None
    again = reread(parent)
    assert again.sha256 == parent.sha256
    assert resolved_toml(again).splitlines()[1:] == resolved_toml(reread(again)).splitlines()[1:]
    child = resolved({**second, "extends": in_files(tmp_path_factory.mktemp("p"), parent)})
    if child is not None:
        assert reread(child).sha256 == child.sha256
        for day in (TODAY, TODAY + datetime.timedelta(days=200)):
            assert [decided(child.on(day), name) for name in PROBES] == [decided(reread(child).on(day), name) for name in PROBES]
            assert child.on(day).limits == reread(child).on(day).limits


@pytest.mark.parametrize("name", safeload.policy.shipped.SHIPPED)
def test_a_shipped_policy_is_its_resolved_form(name: str) -> None:
    assert reread(load_policy(name)).sha256 == load_policy(name).sha256


def decided(policy: Policy, name: str) -> tuple[str, str]:
    decision = policy.decide(name)
    return decision.kind, decision.capability


# ---- extending never loosens --------------------------------------------------------------------------------------------------------------


@moderate(150)
@given(documents(), documents())
def test_extending_never_loosens(tmp_path_factory: Any, first: dict[str, Any], second: dict[str, Any]) -> None:
    """A child may list further names, for reasons of its own. Everything else it can only tighten, and a limit it lifts with a raise alone."""
    parent = resolved(first)
    assume(parent is not None)
    assert parent is not None
    child = resolved({**second, "extends": in_files(tmp_path_factory.mktemp("p"), parent)})
    assume(child is not None)
    assert child is not None
    listed = {name for entry in (*second.get("allow", ()), *second.get("opaque", ())) for name in entry["globals"]}
    own = {name for name in PROBES if name in listed or any(name.startswith(pattern[:-1]) for pattern in listed if pattern.endswith("*"))}
    for day in (TODAY, TODAY + datetime.timedelta(days=200)):
        before, after = parent.on(day), child.on(day)
        for name in PROBES:
            old, new = before.decide(name), after.decide(name)
            if isinstance(old.entry, safeload.policy.model.Deny):
                assert new.kind == "denied", "a denial is inherited"
            elif old.expired and name not in own:
                assert new.kind == "denied", "what has expired does not come back"
            elif new.kind != "denied" and old.kind == "denied":
                assert name in own, "only what the child itself lists"
            elif new.kind == "allowed":
                assert old.kind == "allowed" or name in own
        assert not before.has_expired or after.has_expired
        raised = {entry["limit"].replace("-", "_") for entry in second.get("raise", ())}
        for limit in Limits.names():
            assert limit in raised or getattr(after.limits, limit) <= getattr(before.limits, limit)
        for rule, level in before.rules.items():
            assert LEVELS.index(after.rules[rule]) >= LEVELS.index(level)
    assert (child.mode == "enforce") <= (parent.mode == "enforce")
    assert "*" in parent.formats or set(child.formats) <= set(parent.formats)
    assert parent.provenance.signer in (None, child.provenance.signer)
    assert parent.provenance.digests is None or (child.provenance.digests or frozenset({"?"})) <= parent.provenance.digests


# ---- order ----------------------------------------------------------------------------------------------------------------------------------


@moderate(100)
@given(documents(), documents(), documents(), st.integers(1, 1_000))
def test_order_says_nothing(tmp_path_factory: Any, first: dict[str, Any], second: dict[str, Any], third: dict[str, Any], seed: int) -> None:
    """Not that of entries, of names in them, of keys, nor that of parents."""
    parents = [policy for policy in (resolved(first), resolved(second)) if policy is not None]
    paths = in_files(tmp_path_factory.mktemp("p"), *parents)
    one = {**third, **({"extends": paths} if paths else {})}
    other = copy.deepcopy(one)
    dice = random.Random(seed)
    for value in other.values():
        if isinstance(value, list):
            dice.shuffle(value)
            for entry in value:
                if isinstance(entry, dict) and "globals" in entry:
                    dice.shuffle(entry["globals"])
    keys = list(other)
    dice.shuffle(keys)
    policies = [resolved(one), resolved({key: other[key] for key in keys})]
    assert (policies[0] is None) == (policies[1] is None)
    if policies[0] is not None and policies[1] is not None:
        assert policies[0].sha256 == policies[1].sha256
        assert [decided(policies[0], name) for name in PROBES] == [decided(policies[1], name) for name in PROBES]


# ---- allow and deny, in whole policies ------------------------------------------------------------------------------------------------------


USED = st.lists(st.sampled_from(sorted(PIECES)), min_size=1, max_size=4)


@moderate(80)
@given(documents(), USED, st.sampled_from(sorted(ENTRIES)))
def test_an_allow_more_never_rejects_more(document: dict[str, Any], used: list[str], name: str) -> None:
    """In any policy that does not say something of the name already."""
    before = resolved({**document, "mode": "enforce"})
    assume(before is not None)
    assert before is not None
    assume(before.decide(name).entry is None)
    entry = {"id": "more", "globals": [name], "capability": "data.x", "reason": "r", **ENTRIES[name]}
    after = resolved({**document, "mode": "enforce", "allow": [*document.get("allow", ()), entry]})
    assert after is not None
    old, new = (safeload.scan(made(used), policy=policy.on(TODAY)) for policy in (before, after))
    assert {finding.message for finding in new.errors} <= {finding.message for finding in old.errors}
    assert new.verdict != "rejected" or old.verdict == "rejected"
    assert old.verdict != "accepted" or new.verdict == "accepted"


@moderate(80)
@given(documents(), USED, st.data())
def test_a_deny_always_wins(document: dict[str, Any], used: list[str], data: Any) -> None:
    name = data.draw(st.sampled_from(used))
    entry = {"id": "no", "globals": [name], "capability": "net", "reason": "r"}
    without = {key: [each for each in document.get(key, ()) if name not in each["globals"]] for key in ("allow", "opaque")}
    denied = resolved({**document, **without, "deny": [entry]})
    assume(denied is not None)
    assert denied is not None
    assert denied.decide(name).entry is not None
    report = safeload.scan(made(used), policy=denied.on(TODAY))
    assert name in {finding.global_name for finding in report.errors if finding.rule == "SL301"} or report.errors[0].rule == "SL901"
    with pytest.raises(safeload.CheckpointError):
        safeload.load(made(used), policy=denied.on(TODAY))


# ---- the digest -----------------------------------------------------------------------------------------------------------------------------

FULL: dict[str, Any] = {
    "schema": 1, "name": "m", "version": "1", "summary": "s", "owner": "o", "mode": "enforce", "default": "deny", "expires": "2027-01-01",
    "formats": ["pickle"], "limits": {"opcodes": 50}, "rules": {"SL123": "warning"}, "provenance": {"require": "sha256", "digests": ["a" * 64]},
    "allow": [{"id": "a", "globals": ["torch.float32"], "uses": ["reference"], "as": "dtype", "capability": "data.x", "reason": "r", "evidence": ["e"],
               "expires": "2027-01-01", "reviewed-by": "me", "reviewed-on": "2026-01-01"},
              {"id": "t", "globals": ["a.Dict"], "uses": ["call", "new"], "as": "ordered-dict", "args": ["list"], "capability": "data.x", "reason": "r"}],
    "opaque": [{"id": "o", "globals": ["acme.*"], "capability": "data.x", "reason": "r", "expires": "2027-01-01"}],
    "deny": [{"id": "d", "globals": ["os.*"], "capability": "net", "reason": "r"}],
    "raise": [{"limit": "members", "to": 2_000_000, "reason": "r", "owner": "o", "expires": "2027-01-01"}],
    "waive": [{"rule": "SL124", "sha256": "a" * 64, "reason": "r", "owner": "o", "expires": "2027-01-01"}],
    "reviewed-by": "me", "reviewed-on": "2026-01-01",
}  # fmt: skip
DECIDES: list[tuple[str, Any]] = [
    ("name", "n"), ("version", "2"), ("mode", "audit"), ("expires", "2027-01-02"), ("expires", None), ("formats", ["npy"]), ("formats", None),
    ("limits.opcodes", 51), ("limits.opcodes", None), ("rules.SL123", "error"), ("rules.SL125", "note"), ("provenance.digests", ["b" * 64]),
    ("provenance", {"require": "nothing"}), ("provenance", {"require": "signature", "identity": "i", "issuer": "j"}),
    ("allow.0.globals", ["torch.float64"]), ("allow.1.as", "set"), ("allow.1.uses", ["call"]), ("allow.0.as", "qscheme"), ("allow.0.capability", "data.y"),
    ("allow.0.expires", "2027-01-02"), ("allow.0.expires", None), ("allow.1.args", []), ("allow.1.args", None), ("allow.1", None),
    ("opaque.0.globals", ["acme.sub.*"]), ("opaque.0.capability", "unknown"), ("opaque.0.expires", None), ("deny.0.globals", ["nt.*"]),
    ("deny.0.capability", "native"), ("raise.0.limit", "globals"), ("raise.0.to", 2_000_001), ("raise.0.expires", "2027-01-02"), ("waive.0.rule", "SL122"),
    ("waive.0.sha256", "b" * 64), ("waive.0.expires", "2027-01-02"), ("waive.0", None),
]  # fmt: skip
PROSE: list[tuple[str, Any]] = [
    ("summary", "x"), ("owner", "x"), ("reviewed-by", "x"), ("reviewed-on", None), ("allow.0.id", "x"), ("allow.0.reason", "x"), ("allow.0.evidence", ["x"]),
    ("allow.0.reviewed-by", "x"), ("opaque.0.id", "x"), ("opaque.0.reason", "x"), ("deny.0.id", "x"), ("deny.0.reason", "x"), ("raise.0.reason", "x"),
    ("raise.0.owner", "x"), ("waive.0.reason", "x"), ("waive.0.owner", "x"), ("rules.SL301", "error"),
]  # fmt: skip


def changed(path: str, value: Any) -> Policy:
    document: Any = copy.deepcopy(FULL)
    at = document
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        at = at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return policy_from_dict(document, today=TODAY)


@pytest.mark.parametrize(("path", "value"), DECIDES, ids=lambda value: str(value)[:30])
def test_the_digest_covers_what_decides(path: str, value: Any) -> None:
    assert changed(path, value).sha256 != policy_from_dict(FULL, today=TODAY).sha256


@pytest.mark.parametrize(("path", "value"), PROSE, ids=lambda value: str(value)[:30])
def test_the_digest_is_not_moved_by_prose(path: str, value: Any) -> None:
    assert changed(path, value).sha256 == policy_from_dict(FULL, today=TODAY).sha256


def test_every_key_is_one_or_the_other() -> None:
    """A key that is new in the language has to be put into one of the two lists."""
    from safeload.policy.language import ENTRIES as KEYS
    from safeload.policy.language import TOP

    tried = {tuple(step for step in path.split(".") if not step.isdigit()) for path, _ in (*DECIDES, *PROSE)}
    for key in TOP:
        assert (key,) in tried or any(path[0] == key for path in tried) or key in ("schema", "default", "extends"), key
    for kind, keys in KEYS.items():
        for key in keys:
            assert (kind, key) in tried or key in ("reviewed-by", "reviewed-on", "evidence"), (kind, key)


# ---- any bytes ------------------------------------------------------------------------------------------------------------------------------

TOKENS = st.sampled_from(
    ["schema = 1\n", 'name = "m"\n', 'version = "1"\n', "[[allow]]\n", "[[deny]]\n", "[limits]\n", "opcodes = ", "1", "true", '"', "[", "]", "=", "\n", "{",
     "}", 'extends = ["checkpoint"]\n', "expires = 2027-01-01\n", "2027-13-01", "9" * 5_000, "\x00", "é", "[provenance]\n", 'require = "sha256"\n', "'''",
     "1e999", "#"],
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(TOKENS, max_size=12).map(lambda tokens: "".join(tokens).encode()) | st.binary(max_size=80))
def test_any_bytes_give_a_policy_or_the_one_error(data: bytes) -> None:
    try:
        assert isinstance(resolve_file(parse_policy(data, "m.toml", TODAY), None), Policy)
    except PolicyFileError as error:
        assert error.problems
        assert len(error.lines) == len(error.problems)


@settings(max_examples=200, deadline=None)
@given(documents(), st.data())
def test_a_damaged_policy_is_a_policy_or_the_one_error(document: dict[str, Any], data: Any) -> None:
    policy = resolved(document)
    assume(policy is not None)
    assert policy is not None
    text = bytearray(resolved_toml(policy).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        assert isinstance(resolve_file(parse_policy(bytes(text), "m.toml", TODAY), None), Policy)
    except PolicyFileError as error:
        assert error.problems
