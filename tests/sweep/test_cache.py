"""A row from the cache is the row that judging would have given; whatever else stands there is none."""

from __future__ import annotations

import datetime
import hashlib
import os
import random
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

import safeload
from safeload.errors import CheckpointError
from safeload.limits import Limits
from safeload.policy.model import Policy
from safeload.policy.resolve import load_policy, policy_from_dict
from safeload.report.writer import ALL, Needs
from safeload.source import ByteSource, open_source
from safeload.sweep import cache, hashed, one
from safeload.sweep.cache import CacheRefused, check_folder
from safeload.sweep.one import Job, scan_one
from tests.cli.inputs import BROKEN, EVIL, OURS, PAGE, PLAIN, run, state_dict
from tests.formats.test_shards import folder_of
from tests.policy.test_resolve import document

DATA = {"plain": PLAIN, "evil": EVIL, "page": PAGE, "ours": OURS, "broken": BROKEN, "zip": state_dict()}
FULL = Needs(digest=True, listings=ALL, bases=True, contents=True, of_accepted=True)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    for name, data in DATA.items():
        (tmp_path / name).write_bytes(data)
    return {name: str(tmp_path / name) for name in DATA}


@pytest.fixture
def folder(tmp_path: Path) -> str:
    found = str(tmp_path / "rows")
    check_folder(found)
    return found


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were judged and not remembered."""
    names: list[str] = []
    real = one.judged_row

    def counted(f: Any, job: Job) -> Any:
        names.append(os.path.basename(f.name if isinstance(f, ByteSource) else f))
        return real(f, job)

    monkeypatch.setattr(one, "judged_row", counted)
    monkeypatch.setattr(cache, "judged_row", counted)
    return names


def job_of(folder: str | None, policy: Policy | None = None, **more: Any) -> Job:
    return Job(policy=policy or load_policy("checkpoint"), cache=folder, **more)


def kept(folder: str) -> list[Path]:
    return sorted(Path(folder).rglob("*.json"))


@pytest.mark.parametrize("needs", [Needs(), FULL], ids=["text", "html"])
@pytest.mark.parametrize("digest", [False, True])
def test_a_second_scan_gives_the_same_rows_and_judges_nothing(
    files: dict[str, str], folder: str, judged: list[str], needs: Needs, digest: bool
) -> None:
    for policy in ("checkpoint", "inspect"):
        plain = [scan_one(path, job_of(None, load_policy(policy), needs=needs, digest=digest)) for path in files.values()]
        judged.clear()
        job = job_of(folder, load_policy(policy), needs=needs, digest=digest)
        first = [scan_one(path, job) for path in files.values()]
        assert judged == list(files)
        second = [scan_one(path, job) for path in files.values()]
        assert judged == list(files)
        assert first == second == plain


def test_the_key_is_the_content_and_not_the_name(files: dict[str, str], folder: str, judged: list[str], tmp_path: Path) -> None:
    job = job_of(folder)
    first = scan_one(files["evil"], job)
    (tmp_path / "copy").write_bytes(EVIL)
    second = scan_one(str(tmp_path / "copy"), job)
    assert judged == ["evil"]
    assert second.report == msgspec.structs.replace(first.report, path=str(tmp_path / "copy"))
    Path(files["evil"]).write_bytes(PLAIN)
    assert scan_one(files["evil"], job).report.verdict == "accepted"
    assert judged == ["evil", "evil"]


def test_whatever_changes_a_report_changes_the_key(files: dict[str, str], folder: str) -> None:
    base = job_of(folder)
    jobs = [
        base,
        job_of(folder, load_policy("inspect")),
        job_of(folder, policy_from_dict(document(extends=["checkpoint"], rules={"SL123": "error"}))),
        msgspec.structs.replace(base, encoding="latin1"),
        msgspec.structs.replace(base, verify="crc"),
        msgspec.structs.replace(base, loader="any"),
        msgspec.structs.replace(base, needs=FULL),
        msgspec.structs.replace(base, limits=Limits(opcodes=5)),
    ]
    for count, job in enumerate(jobs, 1):
        scan_one(files["zip"], job)
        assert len(kept(folder)) >= count - (job.limits is not None)
    keys = {cache.key_of("0" * 64, job, job.limits or job.policy.limits) for job in jobs}
    assert len(keys) == len(jobs)
    fields = set(Job.__struct_fields__) - {"policy", "encoding", "limits", "verify", "loader", "needs", "row"}
    assert fields == {"digest", "online", "cache"}, "a field of a job that is in no key must not change what is kept"


def test_versions_are_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of("x")
    before = cache.key_of("0" * 64, job, Limits())
    for name, value in (("__version__", "9"), ("LAYOUT", "9")):
        with monkeypatch.context() as changed:
            changed.setattr(cache, name, value)
            assert cache.key_of("0" * 64, job, Limits()) != before
    assert cache.key_of("0" * 64, job, Limits()) == before


def test_a_policy_in_which_something_ends_is_asked_every_day(files: dict[str, str], folder: str, judged: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    day = datetime.date(2026, 11, 28)
    monkeypatch.setattr(cache, "utc_today", lambda: day)
    ending = policy_from_dict(document(extends=["checkpoint"], expires=day.isoformat()))
    assert scan_one(files["plain"], job_of(folder, ending)).report.verdict == "accepted"
    scan_one(files["plain"], job_of(folder, ending))
    assert judged == ["plain"]
    day = datetime.date(2026, 11, 29)
    late = scan_one(files["plain"], job_of(folder, ending)).report
    assert (late.verdict, [finding.rule for finding in late.errors]) == ("rejected", ["SL321"])
    assert judged == ["plain", "plain"]
    scan_one(files["evil"], job_of(folder))
    day = datetime.date(2026, 11, 30)
    scan_one(files["evil"], job_of(folder))
    assert judged == ["plain", "plain", "evil"], "a policy without an end is the same every day"


# ---- what is not kept -------------------------------------------------------------------------------------------------------------------


def test_files_of_several_are_judged_every_time(tmp_path: Path, folder: str) -> None:
    index = folder_of(tmp_path / "shards")
    scanned = scan_one(str(index), job_of(folder)).report
    assert scanned.format == "shards"
    assert not kept(folder)


@pytest.mark.parametrize(
    ("name", "data", "limits"),
    [("limit", EVIL, {"opcodes": 1}), ("unsupported", b"7z\xbc\xaf\x27\x1c" + bytes(100), {})],
)
def test_what_was_not_read_is_not_kept(tmp_path: Path, folder: str, name: str, data: bytes, limits: dict[str, int]) -> None:
    (tmp_path / name).write_bytes(data)
    report = scan_one(str(tmp_path / name), job_of(folder, limits=Limits().replaced(limits))).report
    assert report.verdict != "accepted"
    rules = {finding.rule for finding in report.errors}
    assert bool(rules & cache.NOT_KEPT) == (not kept(folder))


def test_neither_provenance_nor_opinions_are_kept(files: dict[str, str], folder: str) -> None:
    listed = policy_from_dict(document(extends=["checkpoint"], provenance={"require": "sha256", "digests": [hashlib.sha256(PLAIN).hexdigest()]}))
    assert scan_one(files["plain"], job_of(folder, listed)).report.verdict == "accepted"
    scan_one(files["plain"], job_of(folder, needs=Needs(opinion=True)))
    assert not kept(folder)


def test_what_is_no_plain_file_is_judged(tmp_path: Path, folder: str) -> None:
    for odd in (str(tmp_path), str(tmp_path / "missing")):
        assert scan_one(odd, job_of(folder)) == scan_one(odd, job_of(None))
    assert scan_one(PLAIN, job_of(folder)).report.verdict == "accepted"
    assert not kept(folder)


def test_a_name_that_json_cannot_carry_is_not_kept(tmp_path: Path, folder: str) -> None:
    data = b"\x80\x02X\x05\x00\x00\x00\xed\xa0\x80ab\x8c\x01x\x93."
    (tmp_path / "f").write_bytes(data)
    assert scan_one(str(tmp_path / "f"), job_of(folder)) == scan_one(str(tmp_path / "f"), job_of(folder)) == scan_one(str(tmp_path / "f"), job_of(None))


# ---- what else may stand there ------------------------------------------------------------------------------------------------------------


def test_damaged_rows_are_none(files: dict[str, str], folder: str, judged: list[str]) -> None:
    job = job_of(folder)
    expected = scan_one(files["evil"], job)
    (place,) = kept(folder)
    good, choose = place.read_bytes(), random.Random(3)
    bent = [b"", good[:-1], good + b" ", b"{}", good[64:], b"0" * 64 + good[64:], hashlib.sha256(b"{}").hexdigest().encode() + b"{}"]
    for body in (good[64:].replace(b'"rejected"', b'"accepted"'), b"[" * 100_000, b"\xff", good[64:].replace(b'"row"', b'"sow"')):
        bent.append(hashlib.sha256(body).hexdigest().encode() + body)  # as somebody would write it who knows the layout: the types still have to fit
    for _ in range(50):
        changed = bytearray(good)
        changed[choose.randrange(len(changed))] ^= 1 << choose.randrange(8)
        bent.append(bytes(changed))
    forged = bent[7]
    for data in bent:
        place.write_bytes(data)
        judged.clear()
        found = scan_one(files["evil"], job)
        if data is forged:
            assert found.report.verdict == "accepted", "whoever can write there decides: that is why nobody else may"
            continue
        assert found == expected
        assert judged == ["evil"]
        assert place.read_bytes() == good


def test_a_row_under_another_key_is_none(files: dict[str, str], folder: str, judged: list[str]) -> None:
    job = job_of(folder)
    scan_one(files["plain"], job)
    (plain,) = kept(folder)
    scan_one(files["evil"], job)
    (evil,) = (place for place in kept(folder) if place != plain)
    evil.write_bytes(plain.read_bytes())
    judged.clear()
    assert scan_one(files["evil"], job).report.verdict == "rejected"
    assert judged == ["evil"]


def test_a_disk_that_is_full_costs_nothing_but_time(files: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert scan_one(files["evil"], job_of(folder)).report.verdict == "rejected"
    assert not [path for path in Path(folder).rglob("*") if path.is_file()]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    place = tmp_path / "shared"
    place.mkdir()
    place.chmod(mode)
    with pytest.raises(CacheRefused, match="others"):
        check_folder(str(place))
    with pytest.raises(OSError, match="others"):
        safeload.scan_many([], cache=place)
    outcome = run("scan", "--cache", str(place), str(tmp_path))
    assert outcome.code == 2
    assert "others" in outcome.err


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_worker_refuses_its_own_folder(files: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    report = scan_one(files["plain"], job_of(str(tmp_path / "shared"))).report
    assert report.verdict == "inconclusive"
    assert "others own this folder" in report.errors[0].message


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_somebody_elses_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(CacheRefused):
        check_folder(str(tmp_path))


def test_a_file_in_the_place_of_the_folder(files: dict[str, str]) -> None:
    assert run("scan", "--cache", files["plain"], files["plain"]).code == 2


# ---- one reading --------------------------------------------------------------------------------------------------------------------------


def test_reads_are_of_the_bytes_that_were_hashed(tmp_path: Path) -> None:
    path, choose = tmp_path / "f", random.Random(5)
    data = choose.randbytes(300_000)
    path.write_bytes(data)
    with hashed.Hashed(open_source(str(path), Limits())) as source:
        assert source.sha256() == hashlib.sha256(data).hexdigest()
        part = source.part(1_000, 200_000)
        assert part.sha256() == hashlib.sha256(data[1_000:201_000]).hexdigest()
        assert (part.offset_in(source), source.read(0, 0), bytes(part.view(5, 10))) == (1_000, b"", data[1_005:1_015])
        for _ in range(200):
            start = choose.randrange(len(data))
            length = choose.randrange(len(data) - start + 1)
            assert source.read(start, length) == data[start : start + length]
        for bad in ((-1, 1), (0, -1), (0, 300_001)):
            with pytest.raises(CheckpointError):
                source.read(*bad)
        with path.open("r+b") as file:
            file.seek(100_000)
            file.write(bytes([data[100_000] ^ 1]))
        assert source.read(0, 1_000) == data[:1_000], "what did not change can still be read"
        with pytest.raises(CheckpointError, match="changes while") as caught:
            part.read(98_999, 2)
        assert caught.value.rule == "SL005"
        os.truncate(path, 250_000)
        with pytest.raises(CheckpointError):
            source.read(260_000, 10)


@pytest.mark.parametrize("small", [True, False])
def test_a_file_that_changes_between_hashing_and_judging_is_not_judged_and_not_kept(
    tmp_path: Path, folder: str, monkeypatch: pytest.MonkeyPatch, small: bool
) -> None:
    """A small file is read once, so that what is judged is what was hashed; of a larger one the change is seen."""
    path = tmp_path / "f"
    path.write_bytes(EVIL)
    real = cache.judged_row

    def swapped(f: Any, job: Job) -> Any:
        path.write_bytes(PLAIN.ljust(len(EVIL), b"."))
        return real(f, job)

    monkeypatch.setattr(cache, "judged_row", swapped)
    if not small:
        monkeypatch.setattr("safeload.source.SMALL_BYTES", 0)
    report = scan_one(str(path), msgspec.structs.replace(job_of(folder), digest=True)).report
    if small:
        assert (report.verdict, report.sha256) == ("rejected", hashlib.sha256(EVIL).hexdigest())
        return
    assert report.verdict == "inconclusive"
    assert {finding.rule for finding in report.errors} == {"SL005"}
    assert not kept(folder)


def test_a_writer_beside_the_scan_never_gets_a_verdict_for_other_bytes(tmp_path: Path, folder: str) -> None:
    """Two contents take turns in one file while it is scanned: every row that was kept is right about the content whose digest it is under."""
    good, evil = PLAIN.ljust(len(EVIL), b"."), EVIL.ljust(len(PLAIN), b".")
    path, over = tmp_path / "f", threading.Event()
    path.write_bytes(good)

    def turns() -> None:
        with path.open("r+b") as file:
            while not over.is_set():
                for data in (evil, good):
                    file.seek(0)
                    file.write(data)
                    file.flush()

    thread = threading.Thread(target=turns)
    thread.start()
    for _ in range(200):
        scan_one(str(path), job_of(folder))
    over.set()
    thread.join()
    for data in (good, evil):
        path.write_bytes(data)
        assert scan_one(str(path), job_of(folder)).report == scan_one(str(path), job_of(None)).report


# ---- everywhere -----------------------------------------------------------------------------------------------------------------------------


def test_processes_share_it(files: dict[str, str], tmp_path: Path) -> None:
    place = tmp_path / "rows"
    plain = list(safeload.scan_many(files.values(), digest=True))
    assert list(safeload.scan_many(files.values(), digest=True, jobs=2, cache=place)) == plain
    count = len(kept(str(place)))
    assert count == len(files)
    assert list(safeload.scan_many(files.values(), digest=True, jobs=2, cache=place)) == plain
    assert len(kept(str(place))) == count


@pytest.mark.parametrize("format_", ["text", "json", "html", "sarif", "csv"])
def test_reports_are_the_same_bytes_and_leave_the_cache_out(files: dict[str, str], tmp_path: Path, format_: str) -> None:
    expected = run("scan", "-f", format_, str(tmp_path))
    found = [run("scan", "-f", format_, "--cache", str(tmp_path / "rows"), *extra, str(tmp_path)) for extra in ((), (), ("-j", "2"))]
    assert kept(str(tmp_path / "rows"))
    assert [(each.code, each.out, each.err) for each in found] == [(expected.code, expected.out, expected.err)] * 3


def test_a_lock_is_compared_with_what_the_cache_says(files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("lock", "plain", "zip").code == 0
    for _ in range(2):
        assert run("scan", "--locked", "safeload.lock", "--cache", "rows").code == 0
    (tmp_path / "plain").write_bytes(EVIL)
    assert run("scan", "--locked", "safeload.lock", "--cache", "rows").code == 1
