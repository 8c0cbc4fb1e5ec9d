"""What is learned from files lets them through once its reasons are written, and nothing more than they need."""

from __future__ import annotations

from pathlib import Path

import pytest

import safeload
from safeload.errors import PolicyFileError
from safeload.opcodes.assemble import assemble
from safeload.policy.resolve import load_policy
from safeload.policytools.learn import SCANNED_WITH, Draft, learn
from safeload.policytools.usage import unused
from tests.cli.inputs import BROKEN, EVIL, OURS, PLAIN

DATED = assemble(
    "PROTO 2\nGLOBAL datetime timedelta\nBININT1 1\nBININT1 2\nBININT1 3\nTUPLE3\nREDUCE\nGLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\n"
    "GLOBAL argparse Namespace\nEMPTY_TUPLE\nNEWOBJ\nTUPLE3\nSTOP"
)


def draft(*files: bytes) -> Draft:
    return learn((safeload.scan(data, policy=SCANNED_WITH) for data in files), "mine")


def written(text: str, folder: Path) -> Path:
    path = folder / "mine.toml"
    path.write_text(text.replace('""', '"because we wrote them"'), encoding="utf-8")
    return path


def test_a_draft_with_empty_reasons_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(draft(OURS).text, encoding="utf-8")
    with pytest.raises(PolicyFileError) as caught:
        load_policy(path)
    assert {where for where, _ in caught.value.problems} == {"summary", "owner", "opaque[0].reason"}


def test_with_reasons_the_files_are_accepted(tmp_path: Path) -> None:
    policy = load_policy(written(draft(OURS, DATED, PLAIN).text, tmp_path))
    for data in (OURS, DATED, PLAIN):
        assert safeload.scan(data, policy=policy).verdict == "accepted"
        safeload.load(data, policy=policy)
    assert policy.parents == ("weights-only",)


def test_it_permits_no_more_than_was_used(tmp_path: Path) -> None:
    policy = load_policy(written(draft(OURS, DATED).text, tmp_path))
    assert policy.decide("acme.train.Config").kind == "opaque"
    assert policy.decide("acme.train.Other").kind == "denied"
    assert policy.decide("datetime.datetime").kind == "denied", "checkpoint has it, and no file used it"
    assert policy.allow_exact["argparse.Namespace"].uses == {"new"}, "the uses that were seen"
    assert not policy.opaque_prefix
    assert unused(policy, [safeload.scan(data, policy=policy) for data in (OURS, DATED)]) == []


def test_what_a_parent_permits_is_not_listed_again() -> None:
    assert "OrderedDict" not in draft(DATED).text


def test_denied_names_and_broken_files_are_left_out_and_said() -> None:
    found = draft(EVIL, BROKEN, OURS)
    assert found.denied == (("posix.system", "<bytes>"),)
    assert [path for path, _ in found.unread] == ["<bytes>"] or found.denied, "a broken file with a payload is rejected, and its name denied"
    assert "posix" not in found.text
    assert found.files >= 1


def test_odd_names_do_not_break_the_text(tmp_path: Path) -> None:
    odd = assemble("PROTO 2\nGLOBAL 'a\\x22b' 'c]\\x22'\nEMPTY_TUPLE\nNEWOBJ\nGLOBAL acme Fine\nEMPTY_TUPLE\nNEWOBJ\nTUPLE2\nSTOP")
    found = draft(odd)
    assert [name for name, _ in found.unwritable] == ['a"b.c]"']
    assert load_policy(written(found.text, tmp_path)).decide("acme.Fine").kind == "opaque"


def test_what_nothing_uses_is_found(tmp_path: Path) -> None:
    policy = load_policy(written(draft(OURS, DATED).text, tmp_path))
    idle = unused(policy, [safeload.scan(OURS, policy=policy)])
    assert {(row.kind, row.entry.id, row.whole) for row in idle} == {("allow", "namespace", True), ("allow", "timedelta", True)}
    whole = unused(policy, [safeload.scan(OURS, policy=policy)], inherited=True)
    assert {row.entry.policy for row in whole} == {"mine", "weights-only"}
