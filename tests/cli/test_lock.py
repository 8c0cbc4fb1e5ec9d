"""`safeload lock` and `scan --locked`: any difference fails, and every one is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import safeload
from safeload.errors import PolicyFileError
from safeload.policy.lockfile import Lock, Locked, parse_lock, read_lock, render_lock
from safeload.policy.resolve import policy_from_dict
from safeload.policytools.lock import differences as diff
from tests.cli.inputs import EVIL, PLAIN, run, state_dict
from tests.formats.test_shards import folder_of
from tests.policy.test_resolve import document, problems


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SAFELOAD_POLICY", raising=False)
    models = tmp_path / "models"
    models.mkdir()
    (models / "a.pt").write_bytes(state_dict())
    (models / "b.pkl").write_bytes(PLAIN)
    return tmp_path


def differences(*arguments: str, code: int = 1) -> list[tuple[str | None, str]]:
    """What `scan --locked` names, as JSON; text has the same exit code."""
    outcome = run("scan", "--locked", "safeload.lock", "-f", "json", *arguments)
    assert outcome.code == code, outcome.err
    assert run("scan", "--locked", "safeload.lock", *arguments).code == code
    return [(each["path"], each["what"]) for each in json.loads(outcome.out)["locked"]["differences"]]


def test_what_is_locked(here: Path) -> None:
    outcome = run("lock", "models")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("safeload.lock: 2 files, policy checkpoint ")
    lock = read_lock("safeload.lock")
    assert (lock.policy, lock.policy_sha256, lock.paths) == ("checkpoint", safeload.load_policy("checkpoint").sha256, ("models",))
    first = lock.files[0]
    assert (first.path, first.size, first.format, first.verdict) == ("models/a.pt", len(state_dict()), "torch.zip", "accepted")
    assert first.capabilities == ("data.container", "data.tensor")
    assert first.sha256 == safeload.scan(state_dict(), digest=True).sha256
    text = Path("safeload.lock").read_text()
    assert run("lock", "models").code == 0
    assert Path("safeload.lock").read_text() == text == render_lock(lock), "the same bytes for the same files"


def test_nothing_differs(here: Path) -> None:
    run("lock", "models")
    assert differences(code=0) == differences("models", code=0) == differences("models/a.pt", code=0) == []
    assert run("scan", "--locked", "safeload.lock").out.endswith("\nnothing differs from safeload.lock\n")


def test_every_difference_is_named(here: Path) -> None:
    run("lock", "models")
    (here / "models" / "a.pt").unlink()
    (here / "models" / "b.pkl").write_bytes(EVIL)
    (here / "models" / "new.pkl").write_bytes(PLAIN)
    assert differences() == [
        ("models/a.pt", "missing"), ("models/b.pkl", "sha256"), ("models/b.pkl", "size"), ("models/b.pkl", "verdict"), ("models/b.pkl", "capabilities"),
        ("models/new.pkl", "unlocked"),
    ]  # fmt: skip
    assert differences("models/new.pkl") == [("models/new.pkl", "unlocked")]
    out = run("scan", "--locked", "safeload.lock").out
    assert "6 differences from safeload.lock:\n  models/a.pt: is locked, and is not there\n" in out


def test_differences_say_what_is_and_what_was() -> None:
    before = Locked(path="a", sha256="1" * 64, size=1_000, format="pickle", verdict="accepted", capabilities=("data.x", "data.y"))
    after = Locked(path="a", sha256=None, size=2_000, format="npy", verdict="accepted", capabilities=())
    locks = [Lock(policy="p", version="1", policy_sha256="0" * 64, paths=(".",), exclude=(), files=(entry,)) for entry in (before, after)]
    assert [each.message for each in diff(*locks)] == [
        f"sha256 is not known, and {'1' * 64} was locked", "size is 2,000, and 1,000 was locked", "format is npy, and pickle was locked",
        "capabilities is none, and data.x, data.y was locked",
    ]  # fmt: skip


def test_one_byte_of_a_storage_is_a_difference(here: Path) -> None:
    run("lock", "models")
    path = here / "models" / "a.pt"
    data = bytearray(path.read_bytes())
    at = data.find(bytes(48))
    data[at + 1] = 1
    path.write_bytes(bytes(data))
    assert ("models/a.pt", "sha256") in differences()


def test_another_policy_is_a_difference(here: Path) -> None:
    run("lock", "models")
    assert differences("--policy", "inspect") == [(None, "policy")]


def test_rejected_files_are_locked_and_stay_rejected(here: Path) -> None:
    (here / "models" / "c.pkl").write_bytes(EVIL)
    assert run("lock", "models").code == 1
    assert read_lock("safeload.lock").files[2].verdict == "rejected"
    assert "process.exec" in read_lock("safeload.lock").files[2].capabilities
    assert differences() == []


def test_a_file_that_cannot_be_read_is_locked_without_a_digest(here: Path) -> None:
    assert run("lock", "models/a.pt", "models/none.pt").code == 2
    assert [entry.sha256 is None for entry in read_lock("safeload.lock").files] == [False, True]


def test_the_lock_is_no_file_to_judge_and_paths_are_relative_to_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("lock", "-o", "models/safeload.lock", "models").code == 0
    assert [entry.path for entry in read_lock("models/safeload.lock").files] == ["a.pt", "b.pkl"]
    assert run("scan", "--locked", "models/safeload.lock").code == 0
    monkeypatch.chdir(here / "models")
    assert run("scan", "--locked", "safeload.lock").code == 0
    (here / "models" / "c.pt").write_bytes(PLAIN)
    assert run("scan", "--locked", "safeload.lock").code == 1


def test_what_was_excluded_stays_excluded(here: Path) -> None:
    run("lock", "--exclude", "*.pkl", "models")
    assert [entry.path for entry in read_lock("safeload.lock").files] == ["models/a.pt"]
    assert differences(code=0) == []


def test_audit_does_not_pass_over_a_difference(here: Path) -> None:
    text = Path(safeload.load_policy("checkpoint").file or "").read_text().replace('mode    = "enforce"', 'mode    = "audit"')
    Path("audit.toml").write_text(text)
    run("lock", "-p", "audit.toml", "models")
    (here / "models" / "b.pkl").write_bytes(EVIL)
    assert run("scan", "-p", "audit.toml", "models").code == 0
    assert run("scan", "-p", "audit.toml", "--locked", "safeload.lock").code == 1
    assert run("scan", "-p", "audit.toml", "--locked", "safeload.lock", "--exit-zero").code == 0


def test_a_shard_belongs_to_what_is_locked(here: Path) -> None:
    (here / "sharded").mkdir()
    index = folder_of(here / "sharded") / "model.safetensors.index.json"
    assert run("lock", str(index)).code == 0
    (entry,) = read_lock("safeload.lock").files
    assert len(entry.beside) > 1
    shard = here / "sharded" / entry.beside[0].split(" ", 1)[1]
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(bytes(data))
    assert (entry.path, "beside") in differences()


def test_standard_input_has_no_path(here: Path) -> None:
    assert run("lock", "-", stdin=PLAIN).code == 2


@pytest.mark.parametrize("text", ["", "schema = 2", "x", "schema = 1\npaths = ['a']\n[policy]\nname = 'a'\nversion = 'b'\nsha256 = 'c'\n"])
def test_a_wrong_lock_file_is_no_lock(here: Path, text: str) -> None:
    Path("safeload.lock").write_text(text)
    outcome = run("scan", "--locked", "safeload.lock")
    assert outcome.code == 2
    assert "safeload.lock" in outcome.err
    assert run("scan", "--locked", "none.lock").code == 2


# ---- the file -----------------------------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)
DIGEST = st.text("0123456789abcdef", min_size=64, max_size=64)
FILES = st.lists(
    st.builds(
        Locked,
        path=TEXT,
        sha256=st.none() | DIGEST,
        size=st.integers(0, 1 << 60),
        format=TEXT,
        verdict=st.sampled_from(["accepted", "rejected", "inconclusive"]),
        capabilities=st.lists(TEXT, max_size=2).map(tuple),
        beside=st.lists(TEXT, max_size=2).map(tuple),
    ),
    max_size=4,
    unique_by=lambda entry: entry.path,
).map(lambda files: tuple(sorted(files, key=lambda entry: entry.path)))
TEXTS = st.lists(TEXT, max_size=2).map(tuple)


@settings(deadline=None)
@given(st.builds(Lock, policy=TEXT, version=TEXT, policy_sha256=DIGEST, paths=TEXTS, exclude=TEXTS, files=FILES))
def test_what_was_written_is_what_is_read(lock: Lock) -> None:
    assert parse_lock(render_lock(lock).encode(), "x.lock") == lock


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text("[]={}\"'#\nfile.pth01 ", max_size=80).map(str.encode))
def test_any_bytes_give_a_lock_or_the_one_error(data: bytes) -> None:
    try:
        parse_lock(data, "x.lock")
    except PolicyFileError as error:
        assert error.problems


# ---- as a requirement of a policy -----------------------------------------------------------------------------------------------------------


def required(**keys: Any) -> dict[str, Any]:
    return document(extends=["checkpoint"], provenance={"require": "sha256", **keys})


def test_a_policy_can_require_what_is_locked(here: Path) -> None:
    run("lock", "models")
    policy = policy_from_dict(required(lock="safeload.lock"), base=str(here))
    assert safeload.scan(here / "models" / "a.pt", policy=policy).verdict == "accepted"
    report = safeload.scan(EVIL, policy=policy)
    assert [finding.rule for finding in report.errors] == ["SL301", "SL323"]
    with pytest.raises(safeload.PolicyRejected, match="is none that policy acme lists"):
        safeload.load(state_dict() + b"", policy=policy_from_dict(required(digests=["a" * 64])))
    before = policy.sha256
    (here / "models" / "c.pkl").write_bytes(PLAIN + b"")
    (here / "models" / "d.pkl").write_bytes(b"\x80\x02}.")
    run("lock", "models")
    assert policy_from_dict(required(lock="safeload.lock"), base=str(here)).sha256 != before, "what is locked decides, so the digest covers it"


def test_a_lock_that_is_none(here: Path) -> None:
    Path("safeload.lock").write_text("schema = 1\n")
    assert problems(required(lock=str(here / "safeload.lock")))[0][0] == "provenance.lock"


# ---- what is left -----------------------------------------------------------------------------------------------------------------------------


def test_a_lock_that_cannot_be_written_or_has_nothing_to_lock(here: Path) -> None:
    outcome = run("lock", "-o", "none/safeload.lock", "models")
    assert (outcome.code, outcome.out) == (2, "")
    assert "--output none/safeload.lock" in outcome.err
    (here / "empty").mkdir()
    assert run("lock", "empty").code == 3
    assert read_lock("safeload.lock").files == ()


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("file = 3", "file"),
        ("[[file]]\npath = 'a'\n[[file]]\npath = 'a'\n", "file[1].path"),
        ("[[file]]\npath = 'a'\nsha256 = 'x'\n", "file[0].sha256"),
        ("[[file]]\nsize = -1\n", "file[0].size"),
        ("more = 1", "more"),
    ],
)
def test_every_problem_of_a_lock_file_has_its_path(text: str, path: str) -> None:
    with pytest.raises(PolicyFileError) as caught:
        parse_lock(text.encode(), "x.lock")
    assert path in [found for found, _ in caught.value.problems]


def test_a_file_without_end_is_no_lock(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safeload.policy.lockfile.MAX_LOCK_BYTES", 10)
    Path("safeload.lock").write_text("#" * 11)
    with pytest.raises(PolicyFileError, match="larger than 10 bytes"):
        read_lock("safeload.lock")
