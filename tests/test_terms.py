"""The terms of a policy over a whole file: what has expired refuses, levels and waivers move only what carries no law, and nothing of it builds anything."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path
from typing import Any

import pytest

import safeload
from safeload.findings import GRADED, WAIVABLE
from safeload.formats.readers import READERS, reader_of
from safeload.policy.fields import FORMATS
from safeload.policy.model import Policy
from safeload.policy.resolve import policy_from_dict
from tests.cli.inputs import BROKEN, EVIL, OURS, PLAIN, calling, state_dict, torch_zip
from tests.containers.zipbuild import Part, build
from tests.formats.test_archives import exported
from tests.formats.test_plain import zipped
from tests.formats.test_shards import folder_of
from tests.policy.test_resolve import allow, document, opaque

DAY = datetime.date(2026, 11, 27)
NEXT = DAY + datetime.timedelta(days=1)
LAST = DAY.isoformat()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def waiver(rule: str, data: bytes, **changes: Any) -> dict[str, Any]:
    return {"rule": rule, "sha256": sha(data), "reason": "looked at it", "owner": "me", "expires": LAST, **changes}


def made(**keys: Any) -> Policy:
    return policy_from_dict(document(**{"extends": ["checkpoint"], **keys}), today=DAY)


def unreferenced() -> bytes:
    """A torch zip with a storage that no tensor stands on: SL123, a note."""
    return torch_zip("PROTO 2\nEMPTY_DICT\nSTOP", bytes(16))


def odd_member() -> bytes:
    """A torch zip with a member that torch does not write: SL122."""
    return build([Part(b"a/data.pkl", b"\x80\x02}."), Part(b"a/notes.txt", b"notes"), Part(b"a/version", b"3\n")])


def rules(policy: Policy, data: bytes, day: datetime.date = DAY) -> list[tuple[str, str]]:
    return [(finding.rule, finding.level) for finding in safeload.scan(data, policy=policy.on(day)).findings]


def loads(policy: Policy, data: bytes, day: datetime.date = DAY) -> bool:
    """Does `load` build it? Its verdict and that of `scan` are one."""
    verdict = safeload.scan(data, policy=policy.on(day)).verdict
    try:
        safeload.load(data, policy=policy.on(day))
    except safeload.CheckpointError:
        assert verdict != "accepted" or policy.mode != "enforce"
        return False
    assert verdict == "accepted"
    return True


# ---- expiry -----------------------------------------------------------------------------------------------------------------------------


def test_a_policy_holds_on_its_last_day_and_rejects_everything_after_it() -> None:
    policy = made(expires=LAST)
    assert loads(policy, PLAIN)
    report = safeload.scan(PLAIN, policy=policy.on(NEXT))
    assert (report.verdict, report.errors[0].rule) == ("rejected", "SL321")
    assert report.errors[0].message == "policy acme has expired: 2026-11-27 was its last day"
    assert not loads(policy, PLAIN, NEXT)


def test_an_expired_parent_is_named(tmp_path: Path) -> None:
    from tests.policy.test_resolve import write

    base = write(tmp_path, "base", extends=["checkpoint"], expires=LAST)
    child = made(extends=[base], expires="2030-01-01")
    assert "policy base, which policy acme extends, has expired" in safeload.scan(PLAIN, policy=child.on(NEXT)).errors[0].message
    both = made(extends=[base], expires=LAST)
    assert "policy acme has expired" in safeload.scan(PLAIN, policy=both.on(NEXT)).errors[0].message
    sooner = made(extends=[write(tmp_path, "late", extends=["checkpoint"], expires="2030-01-01")], expires=LAST)
    assert "policy acme has expired" in safeload.scan(PLAIN, policy=sooner.on(NEXT)).errors[0].message


@pytest.mark.parametrize("wider", [False, True])
def test_an_expired_entry_refuses_also_where_a_wider_one_covers_the_name(wider: bool) -> None:
    entry = {**opaque("acme.train.Config", "acme.train.Mode"), "expires": LAST}
    policy = made(extends=["inspect" if wider else "checkpoint"], opaque=[entry])
    assert loads(policy, OURS)
    report = safeload.scan(OURS, policy=policy.on(NEXT))
    assert [(finding.rule, finding.entry) for finding in report.errors] == [("SL321", "o"), ("SL321", "o")]
    assert "entry 'o' of policy acme let it through until 2026-11-27 and has expired" in report.errors[0].message
    assert all(use.expired for use in report.globals)
    assert not policy.on(NEXT).keeps("acme.train.Config")
    assert policy.on(DAY).keeps("acme.train.Config")


def test_an_expired_allow_entry_refuses() -> None:
    data = b"\x80\x02cacme\nfloat3\n."
    policy = policy_from_dict(document(allow=[allow("acme.float3", expires=LAST)]))
    assert rules(policy, data) == []
    assert rules(policy, data, NEXT) == [("SL321", "error")]


def test_the_calendar_is_read_where_nobody_gives_a_day() -> None:
    assert safeload.scan(PLAIN, policy=made(expires="2020-01-01")).verdict == "rejected"
    assert safeload.scan(PLAIN, policy=made(expires="9999-12-31")).verdict == "accepted"


def test_raises_hold_until_their_day() -> None:
    lifted = {"limit": "opcodes", "to": 100, "reason": "r", "owner": "o", "expires": LAST}
    policy = made(limits={"opcodes": 3}, **{"raise": [lifted]})
    assert loads(policy, PLAIN)
    assert rules(policy, PLAIN, NEXT) == [("SL901", "error")]


# ---- modes ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["scan-only", "audit"])
def test_only_enforce_loads(mode: str) -> None:
    policy = policy_from_dict({**document(extends=["checkpoint"]), "mode": mode})
    assert safeload.scan(PLAIN, policy=policy).verdict == "accepted"
    for read in (safeload.load, safeload.open):
        with pytest.raises(safeload.PolicyRejected, match=f"is {mode}") as caught:
            read(PLAIN, policy=policy)
        assert caught.value.rule == "SL320"


# ---- formats ----------------------------------------------------------------------------------------------------------------------------


def test_the_formats_that_a_policy_can_name_are_those_that_are_read() -> None:
    assert set(FORMATS) == set(READERS)
    assert all(callable(reader_of(each)) for each in READERS)
    with pytest.raises(KeyError):
        reader_of("unknown")


def test_other_formats_are_rejected() -> None:
    policy = made(formats=["torch.zip"])
    assert rules(policy, state_dict()) == []
    assert rules(policy, PLAIN) == [("SL322", "error")]
    assert not loads(policy, PLAIN)


# ---- levels -----------------------------------------------------------------------------------------------------------------------------


def test_a_note_becomes_a_reason_to_reject() -> None:
    assert rules(made(), unreferenced()) == [("SL123", "note")]
    assert rules(made(rules={"SL123": "warning"}), unreferenced()) == [("SL123", "warning")]
    strict = made(rules={"SL123": "error"})
    assert rules(strict, unreferenced()) == [("SL123", "error")]
    assert safeload.scan(unreferenced(), policy=strict).verdict == "rejected", "it was read, so it is no lack of a verdict"
    assert not loads(strict, unreferenced())


def test_records_become_a_reason_to_reject() -> None:
    kept = opaque("acme.train.Config", "acme.train.Mode")
    assert rules(made(opaque=[kept]), OURS) == []
    assert rules(made(opaque=[kept], rules={"SL310": "warning"}), OURS) == [("SL310", "warning")] * 2
    strict = made(opaque=[kept], rules={"SL310": "error"})
    assert {finding.global_name for finding in safeload.scan(OURS, policy=strict).errors} == {"acme.train.Config", "acme.train.Mode"}
    assert not loads(strict, OURS)
    mixed = calling("acme.train.Config", "collections.OrderedDict", "os.system")
    found = safeload.scan(mixed, policy=strict)
    assert [finding.global_name for finding in found.errors if finding.rule == "SL310"] == ["acme.train.Config"], "what is built or denied is no record"


def test_code_beside_the_weights_can_be_put_up_with() -> None:
    """The archive is read and judged whole either way, and no code of it is run: only whether that is a reason to reject is the policy's to say."""
    data = exported(**{"data/aotinductor/model/m.so": b"\x7fELF" + bytes(12)})
    assert rules(made(), data) == [("SL124", "error")]
    assert rules(made(rules={"SL124": "warning"}), data) == [("SL124", "warning")]
    assert loads(made(rules={"SL124": "warning"}), data)
    assert loads(made(waive=[waiver("SL124", data)]), data)
    assert not loads(made(), data)


# ---- waivers ----------------------------------------------------------------------------------------------------------------------------


def test_a_waived_finding_stays_and_does_not_decide() -> None:
    data = odd_member()
    assert rules(made(), data) == [("SL122", "error")]
    policy = made(waive=[waiver("SL122", data)])
    report = safeload.scan(data, policy=policy.on(DAY))
    assert report.verdict == "accepted"
    (finding,) = report.findings
    assert (finding.level, finding.waived) == ("note", "me until 2026-11-27: looked at it")
    assert finding.message.endswith("; waived by me until 2026-11-27: looked at it")
    assert loads(policy, data)


def test_a_waiver_is_for_one_file_one_rule_and_some_days() -> None:
    data = odd_member()
    other = build([Part(b"a/data.pkl", b"\x80\x02}."), Part(b"a/notes.txt", b"Notes"), Part(b"a/version", b"3\n")])
    policy = made(waive=[waiver("SL122", data)])
    assert loads(policy, data)
    assert not loads(policy, data, NEXT)
    assert not loads(policy, other)
    assert not loads(made(waive=[waiver("SL123", data), waiver("SL124", data)]), data)


@pytest.mark.parametrize("rule", sorted(WAIVABLE))
@pytest.mark.parametrize("data", [EVIL, BROKEN, OURS, state_dict()[:300], b"", b"\x80\x02}.x", b"<html>"])
def test_a_waiver_never_lets_through_what_was_not_read_or_not_allowed(data: bytes, rule: str) -> None:
    before = safeload.scan(data, policy=made().on(DAY))
    after = safeload.scan(data, policy=made(waive=[waiver(rule, data)]).on(DAY))
    assert before.verdict == after.verdict != "accepted"
    assert before.findings == after.findings


def test_nothing_is_waived_of_a_file_that_was_not_read_to_its_end() -> None:
    """What is called code and is no text stops the reading: the rule is one that can be waived, and this finding of it cannot."""
    data = exported(**{"data/sample_code.py": b"\xff\xfe", "data/aotinductor/model/m.so": b"\x7fELF" + bytes(12)})
    before = safeload.scan(data, policy=made().on(DAY))
    assert before.verdict != "accepted"
    policy = made(waive=[waiver(rule, data) for rule in sorted(WAIVABLE)])
    assert safeload.scan(data, policy=policy.on(DAY)).findings == before.findings


def test_nothing_is_waived_of_a_checkpoint_of_several_files(tmp_path: Path) -> None:
    """The digest is that of the index alone, and the shards are what it does not cover."""
    index = folder_of(tmp_path) / "model.safetensors.index.json"
    terms: dict[str, Any] = {"formats": ["shards"], "waive": [waiver("SL322", index.read_bytes())]}
    assert safeload.scan(index, policy=made(**terms).on(DAY)).verdict == "rejected"


def test_a_denied_name_in_an_odd_member_is_still_one() -> None:
    data = build([Part(b"a/data.pkl", b"\x80\x02}."), Part(b"a/notes.txt", EVIL), Part(b"a/version", b"3\n")])
    waives = [waiver(rule, data) for rule in sorted(WAIVABLE)]
    assert "SL301" in {finding.rule for finding in safeload.scan(data, policy=made(waive=waives).on(DAY)).errors}


def test_a_rule_that_the_policy_made_an_error_can_be_waived() -> None:
    data = unreferenced()
    policy = made(rules={"SL123": "error"}, waive=[waiver("SL123", data)])
    assert loads(policy, data)
    note = safeload.scan(data, policy=made(waive=[waiver("SL123", data)]).on(DAY)).findings[0]
    assert (note.level, note.waived) == ("note", None), "what does not decide needs no waiver"
    assert not loads(policy, data, NEXT)


def test_nothing_that_is_graded_or_waived_says_that_a_file_was_not_read() -> None:
    assert GRADED - {"SL007"} <= WAIVABLE  # of a file that was read in part there is no digest to waive anything for
    assert not {rule for rule in WAIVABLE if rule.startswith(("SL0", "SL2", "SL4", "SL9"))}
    assert not {rule for rule in WAIVABLE if rule.startswith("SL30")}


def test_a_file_that_cannot_be_read_again_for_its_digest_is_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object) -> str:
        raise safeload.UnsupportedFormat("gone", rule="SL005")

    monkeypatch.setattr("safeload.source.ByteSource.sha256", fail)
    for policy in (made(waive=[waiver("SL122", odd_member())]), made(provenance={"require": "sha256", "digests": ["a" * 64]})):
        report = safeload.scan(odd_member(), policy=policy.on(DAY))
        assert report.verdict == "inconclusive"
        assert "SL005" in {finding.rule for finding in report.errors}


# ---- for every loader, and not for safeload alone ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "rule"), [("records", "SL310"), ("code", "SL124"), ("template", "SL126")], ids=["records", "code", "template"]
)
def test_what_another_loader_would_run_is_an_error_where_it_counts(kind: str, rule: str) -> None:
    from fuzz.ggufs import two

    data = {"records": OURS, "code": zipped({"a.pkl": b"\x80\x02}.", "handler.py": b"import os"}), "template": two()}[kind]
    ours, theirs = safeload.scan(data, policy="inspect"), safeload.scan(data, policy="inspect", loader="any")
    assert (ours.verdict, ours.loader) == ("accepted", "safeload")
    assert (theirs.verdict, theirs.loader) == ("rejected", "any")
    assert {each.rule for each in theirs.errors} == {rule}
    assert all(each.level == "note" for each in ours.findings)


def test_what_is_data_under_every_loader_stays_accepted() -> None:
    for data in (PLAIN, state_dict()):
        assert safeload.scan(data, loader="any").verdict == "accepted"


def test_rules_do_not_lower_what_counts_for_every_loader() -> None:
    policy = made(extends=["inspect"], rules={"SL310": "note"}, mode="enforce")
    assert safeload.scan(OURS, policy=policy, loader="any").verdict == "rejected"
    assert safeload.scan(OURS, policy=policy).verdict == "accepted"


def test_no_policy_of_records_is_offered_for_every_loader() -> None:
    from safeload.report.stanza import helping_policy, left_out, stanza

    report = safeload.scan(OURS, loader="any")
    assert report.verdict == "rejected" and stanza(report) == [] and helping_policy(report) is None
    assert "under --loader any" in (left_out(report) or "")
    assert stanza(safeload.scan(OURS)) and helping_policy(safeload.scan(OURS)) == "inspect"
