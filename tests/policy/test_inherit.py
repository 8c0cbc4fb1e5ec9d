"""What a policy says beside its entries: extending never loosens it, and only a raise lifts a limit, until a day."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeload.errors import PolicyFileError
from safeload.limits import DEFAULT_LIMITS
from safeload.policy.inherit import MAX_KEY_BYTES, PEM
from safeload.policy.model import Policy
from safeload.policy.resolve import load_policy, policy_from_dict
from tests.policy.test_resolve import document, opaque, problems, write

DAY = datetime.date(2026, 11, 27)
NEXT = DAY + datetime.timedelta(days=1)
OPAQUE = [opaque("a.b")]


def raised(to: int, expires: datetime.date = DAY, limit: str = "opcodes", owner: str = "o") -> dict[str, Any]:
    return {"limit": limit, "to": to, "reason": "r", "owner": owner, "expires": expires.isoformat()}


def opcodes(policy: Policy, day: datetime.date) -> int:
    return policy.on(day).limits.opcodes


# ---- limits and raises ------------------------------------------------------------------------------------------------------------------


def test_a_raise_lifts_an_inherited_limit_until_its_last_day(tmp_path: Path) -> None:
    base = write(tmp_path, "base", limits={"opcodes": 100}, opaque=OPAQUE)
    policy = policy_from_dict(document(extends=[base], **{"raise": [raised(300)]}))
    assert (opcodes(policy, DAY), opcodes(policy, NEXT), policy.limits.opcodes) == (300, 100, 100)
    assert policy.on(DAY).on(NEXT).today == DAY, "the first day that was asked for counts"
    assert policy.on(DAY).sha256 == policy.on(NEXT).sha256 == policy.sha256


def test_limits_never_lift(tmp_path: Path) -> None:
    base = write(tmp_path, "base", limits={"opcodes": 100}, opaque=OPAQUE)
    assert policy_from_dict(document(extends=[base], limits={"opcodes": 300})).limits.opcodes == 100


def test_a_raise_that_lifts_nothing_is_an_error(tmp_path: Path) -> None:
    base = write(tmp_path, "base", limits={"opcodes": 100}, opaque=OPAQUE)
    for value in (100, 99):
        ((path, message),) = problems(document(extends=[base], **{"raise": [raised(value)]}))
        assert path == "raise[0].to"
        assert "opcodes is 100 without it" in message


def test_a_default_is_lifted_like_any_other() -> None:
    more = DEFAULT_LIMITS.opcodes + 1
    assert opcodes(policy_from_dict(document(opaque=OPAQUE, **{"raise": [raised(more)]})), DAY) == more


def written(folder: Path, name: str, base: int, *raises: dict[str, Any]) -> str:
    """A policy file with these raises of `opcodes`."""
    path = write(folder, name, limits={"opcodes": base}, opaque=[opaque(f"a.{name}", id=name)])
    with open(path, "a", encoding="utf-8") as stream:
        stream.writelines("[[raise]]\n" + "".join(f"{key} = {value!r}\n" for key, value in entry.items()) for entry in raises)
    return path


def test_of_two_parents_the_lower_counts_on_every_day(tmp_path: Path) -> None:
    later = DAY + datetime.timedelta(days=30)
    one = written(tmp_path, "one", 100, raised(300), raised(200, later))
    two = written(tmp_path, "two", 50, raised(250, later))
    none = written(tmp_path, "none", 70)
    for parents in ([one, two], [two, one]):
        policy = policy_from_dict(document(extends=parents))
        assert [opcodes(policy, day) for day in (DAY, NEXT, later, later + datetime.timedelta(days=1))] == [250, 200, 200, 50]
        clamped = policy_from_dict(document(extends=parents, limits={"opcodes": 220}))
        assert [opcodes(clamped, day) for day in (DAY, NEXT)] == [220, 200]
    assert opcodes(policy_from_dict(document(extends=[one, none])), DAY) == 70
    assert opcodes(policy_from_dict(document(extends=[one, none], **{"raise": [raised(400)]})), DAY) == 400


SIDES = st.tuples(st.integers(1, 9), st.lists(st.tuples(st.integers(10, 40), st.integers(0, 5)), max_size=4))


@settings(deadline=None, max_examples=60)
@given(st.lists(SIDES, min_size=1, max_size=3), st.none() | st.integers(1, 40), st.lists(st.tuples(st.integers(41, 60), st.integers(0, 5)), max_size=2))
def test_limits_are_the_minimum_on_every_day(tmp_path_factory: Any, sides: list[Any], own: int | None, lifted: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("policies")
    days = [DAY + datetime.timedelta(days=number) for number in range(7)]
    files = [written(folder, f"p{n}", base, *(raised(to, days[day]) for to, day in raises)) for n, (base, raises) in enumerate(sides)]
    keys: dict[str, Any] = {"limits": {"opcodes": own}} if own is not None else {}
    keys |= {"raise": [raised(to, days[day]) for to, day in lifted]} if lifted else {}
    policies = [policy_from_dict(document(extends=parents, **keys)) for parents in (files, files[::-1])]
    assert policies[0].sha256 == policies[1].sha256
    for number, day in enumerate(days):
        least = min([max([base, *(to for to, last in raises if last >= number)]) for base, raises in sides])
        expected = max([min(least, own) if own is not None else least, *(to for to, last in lifted if last >= number)])
        assert opcodes(policies[0], day) == expected


def test_raises_that_make_no_difference_are_none(tmp_path: Path) -> None:
    """Of one limit, one that ends sooner and lifts less; the digest is that of the policy without it."""
    longer = raised(DEFAULT_LIMITS.opcodes + 9, NEXT)
    for more in (raised(DEFAULT_LIMITS.opcodes + 9), raised(DEFAULT_LIMITS.opcodes + 5), longer):
        policy = policy_from_dict(document(opaque=OPAQUE, **{"raise": [more, longer]}))
        assert [(entry.value - DEFAULT_LIMITS.opcodes, entry.expires) for entry in policy.raises] == [(9, NEXT)]
        assert policy.sha256 == policy_from_dict(document(opaque=OPAQUE, **{"raise": [longer]})).sha256


def test_raises_of_several_limits_keep_apart() -> None:
    entries = [raised(1 << 60, limit="members"), raised(1 << 61), raised(1 << 59, NEXT, limit="members")]
    policy = policy_from_dict(document(opaque=OPAQUE, **{"raise": entries}))
    assert [(entry.limit, entry.value) for entry in policy.raises] == [("members", 1 << 59), ("members", 1 << 60), ("opcodes", 1 << 61)]


# ---- modes ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parent", ["scan-only", "audit"])
def test_what_extends_a_policy_that_loads_nothing_loads_nothing(tmp_path: Path, parent: str) -> None:
    base = write(tmp_path, "base", mode=parent, opaque=OPAQUE)
    ((path, message),) = problems(document(extends=[base]))
    assert path == "mode"
    assert parent in message
    for mode in ("scan-only", "audit"):
        assert policy_from_dict({**document(extends=[base]), "mode": mode}).mode == mode


# ---- levels -----------------------------------------------------------------------------------------------------------------------------


def with_table(path: str, table: str, **keys: str) -> str:
    with open(path, "a", encoding="utf-8") as stream:
        stream.write(f"[{table}]\n" + "".join(f"{key} = {value!r}\n" for key, value in keys.items()))
    return path


def test_levels_only_go_up(tmp_path: Path) -> None:
    one = with_table(write(tmp_path, "one", extends=["checkpoint"]), "rules", SL123="warning", SL124="error", SL125="note")
    two = with_table(write(tmp_path, "two", extends=["checkpoint"]), "rules", SL123="note", SL310="error", SL124="warning", SL125="note")
    for parents in ([one, two], [two, one]):
        merged = {"SL123": "warning", "SL124": "error", "SL125": "note", "SL310": "error"}
        assert policy_from_dict(document(extends=parents)).rules == merged
        assert policy_from_dict(document(extends=parents, rules=merged)).rules == merged, "to say it again is no change"
    assert policy_from_dict(document(extends=[one], rules={"SL123": "error", "SL125": "warning"})).rules["SL123"] == "error"
    assert problems(document(extends=[one], rules={"SL123": "note", "SL124": "warning"})) == [
        ("rules.SL123", "'note' is milder than 'warning', which a parent says; a level is raised and never lowered"),
        ("rules.SL124", "'warning' is milder than 'error', which a parent says; a level is raised and never lowered"),
    ]


# ---- expiry, waivers --------------------------------------------------------------------------------------------------------------------


def test_the_earliest_date_counts(tmp_path: Path) -> None:
    one = write(tmp_path, "one", extends=["checkpoint"], expires="2027-03-31")
    two = write(tmp_path, "two", extends=[one], expires="2027-06-30")
    policy = policy_from_dict(document(extends=[two, "checkpoint"]))
    assert (policy.expires, policy.own_expires) == (datetime.date(2027, 3, 31), None)
    assert [(each.name, each.expires and each.expires.month) for each in policy.ancestors[:3]] == [("two", 6), ("checkpoint", None), ("one", 3)]
    assert not policy.on(datetime.date(2027, 3, 31)).has_expired
    assert policy.on(datetime.date(2027, 4, 1)).has_expired
    assert not policy.has_expired, "a policy alone knows no day"


def test_waivers_add_up_and_the_longer_one_stays(tmp_path: Path) -> None:
    waiver = {"rule": "SL124", "sha256": "a" * 64, "reason": "r", "owner": "o", "expires": "2027-01-01"}
    document_ = document(extends=["checkpoint"], waive=[waiver, {**waiver, "sha256": "b" * 64}])
    path = tmp_path / "base.toml"
    base = policy_from_dict(document_, today=DAY)
    from safeload.policytools.writer import resolved_toml

    path.write_text(resolved_toml(base), encoding="utf-8")
    child = policy_from_dict(document(extends=[str(path)], waive=[{**waiver, "expires": "2027-02-01"}]), today=DAY)
    assert [(waive.sha256[0], waive.expires.month) for waive in child.waives] == [("a", 2), ("b", 1)]
    for name, first in (("a", "a"), ("z", "acme")):
        alike = policy_from_dict(document(name, extends=[str(path)], waive=[waiver]), today=DAY)
        assert [(waive.sha256[0], waive.policy) for waive in alike.waives] == [("a", first), ("b", "acme")], "of equals the first by policy"


# ---- pins -------------------------------------------------------------------------------------------------------------------------------


def test_a_pinned_parent_is_that_parent(tmp_path: Path) -> None:
    right = load_policy("checkpoint").sha256
    assert policy_from_dict(document(extends=[{"policy": "checkpoint", "sha256": right.upper()}])).parents == ("checkpoint",)
    ((path, message),) = problems(document(extends=[{"policy": "checkpoint", "sha256": "0" * 64}]))
    assert path == "extends[0].sha256"
    assert right in message


# ---- provenance -------------------------------------------------------------------------------------------------------------------------


def test_what_is_required_stays_required(tmp_path: Path) -> None:
    one = with_table(write(tmp_path, "one", extends=["checkpoint"]), "provenance", require="signature", identity="a", issuer="b")
    policy = policy_from_dict(document(extends=[one], provenance={"require": "sha256", "digests": ["A" * 64, "b" * 64]}))
    assert policy.provenance.require == "signature"
    assert policy.provenance.digests == frozenset({"a" * 64, "b" * 64})
    assert problems(document(extends=[one], provenance={"require": "nothing"})) == [
        ("provenance.require", "a parent requires more than nothing, and that stays")
    ]
    other = {"require": "signature", "identity": "c", "issuer": "b"}
    assert problems(document(extends=[one], provenance=other))[0][1].startswith("the policy and its parents require different signers")


def test_digests_have_to_be_on_every_list(tmp_path: Path) -> None:
    base = policy_from_dict(document(extends=["checkpoint"], provenance={"require": "sha256", "digests": ["a" * 64, "b" * 64]}))
    from safeload.policytools.writer import resolved_toml

    (tmp_path / "base.toml").write_text(resolved_toml(base), encoding="utf-8")
    parents = [str(tmp_path / "base.toml")]
    child = policy_from_dict(document(extends=parents, provenance={"require": "sha256", "digests": ["b" * 64, "c" * 64]}))
    assert child.provenance.digests == frozenset({"b" * 64})
    assert problems(document(extends=parents, provenance={"require": "sha256", "digests": ["c" * 64]}))[0][1].startswith("there is no digest")


def test_files_that_provenance_names(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(f"{PEM}PUBLIC KEY-----\nx\n", encoding="ascii")
    (tmp_path / "other.pem").write_text(f"{PEM}PUBLIC KEY-----\ny\n", encoding="ascii")
    (tmp_path / "no.pem").write_bytes(b"\xff\xfe")

    def signed(key: str) -> dict[str, Any]:
        return document(extends=["checkpoint"], provenance={"require": "signature", "key": key})

    policy, other = (policy_from_dict(signed(name), base=str(tmp_path)) for name in ("key.pem", "other.pem"))
    assert policy.provenance.signer is not None
    assert policy.provenance.signer.key is not None
    assert policy.sha256 != other.sha256, "the key decides, so the digest covers what it holds"
    assert policy_from_dict(signed(policy.provenance.signer.key)).sha256 == policy.sha256
    (tmp_path / "long.pem").write_text(PEM.ljust(MAX_KEY_BYTES + 1), encoding="ascii")
    (tmp_path / "full.pem").write_text(PEM.ljust(MAX_KEY_BYTES), encoding="ascii")
    assert policy_from_dict(signed("full.pem"), base=str(tmp_path)).provenance.signer is not None
    for name, word in (("no.pem", "is no public key"), ("long.pem", "is no public key"), ("none.pem", "cannot be read: No such file")):
        with pytest.raises(Exception, match=word):
            policy_from_dict(signed(name), base=str(tmp_path))
    assert problems(signed("key.pem")) == [("provenance.key", "'key.pem' is relative to no file; give an absolute path, or base=")]
    missing = document(extends=["checkpoint"], provenance={"require": "sha256", "lock": str(tmp_path / "no.lock")})
    assert [(path, why.partition(" cannot be read: ")[2]) for path, why in problems(missing)] == [("provenance.lock", "No such file or directory")]
    (tmp_path / "bare.lock").write_text("schema = 1\n", encoding="utf-8")
    with pytest.raises(PolicyFileError) as caught:
        policy_from_dict(document(extends=["checkpoint"], provenance={"require": "sha256", "lock": "bare.lock"}), base=str(tmp_path))
    ((path, why),) = caught.value.problems
    assert path == "provenance.lock" and why.startswith("'bare.lock': ")


def test_of_two_entries_for_one_name_the_one_that_ends_first_stays(tmp_path: Path) -> None:
    one = write(tmp_path, "one", opaque=[{**opaque("a.b"), "expires": "2027-06-30"}])
    two = write(tmp_path, "two", opaque=[{**opaque("a.b"), "expires": "2027-03-31"}])
    three = write(tmp_path, "three", opaque=[opaque("a.b")])
    for parents in ([one, two, three], [three, one, two], [two, three, one]):
        assert policy_from_dict(document(extends=parents)).opaque_exact["a.b"].policy == "two"


@pytest.mark.parametrize("name", ["/tmp/a\0.toml", "\0", "/tmp/\ud800.toml", f"/tmp/{chr(0xDFFF)}.toml"])
def test_a_path_that_is_none(name: str) -> None:
    shown = f"{name!a} is no path"
    assert problems(document(extends=[name])) == [("extends[0]", shown)]
    assert problems(document(extends=[{"policy": name}])) == [("extends[0].policy", shown)]
    assert problems(document(extends=["checkpoint"], provenance={"require": "sha256", "lock": name})) == [("provenance.lock", shown)]
    assert problems(document(extends=["checkpoint"], provenance={"require": "signature", "key": name})) == [("provenance.key", shown)]


def test_a_path_of_other_letters(tmp_path: Path) -> None:
    (tmp_path / "\u00e9\uffee").mkdir()
    assert policy_from_dict(document(extends=[write(tmp_path / "\u00e9\uffee", "one", opaque=OPAQUE)])).decide("a.b").kind == "opaque"


def test_a_path_that_is_too_long() -> None:
    assert problems(document(extends=["/" + "a" * 10_000 + ".toml"]))[0][0] == "extends[0]"
