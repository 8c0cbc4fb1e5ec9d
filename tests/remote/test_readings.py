"""What is read in part is judged as what is read whole: the same files, from this machine and from behind a network, fetched little by little."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from builds import dense, dense_v3, pairs, torch_zip
from containers.zipbuild import Part, build
from corpus.manifest import entries
from hostile.hostile import stream

import safeload
from safeload.findings import Report
from safeload.policy.resolve import policy_from_dict
from safeload.remote import ahead, store
from tests.cli.inputs import BROKEN, EVIL, OURS, PAGE, PLAIN, run, state_dict
from tests.policy.test_resolve import document
from tests.remote.server import File, serving
from tests.remote.test_http import BIG, LISTING, one, scan, write

UNREAD_HEADERS = {"SL110", "SL114", "SL109", "SL108"}  # what only a header tells that need not be fetched
TWO = pairs(a=dense("FloatStorage", 4_000, (4_000,), (1,)), b=dense_v3("uint8", 9_000, (9_000,), (1,), key="1"))
SAVED = torch_zip(TWO, {"0": bytes(16_000), "1": bytes(9_000)})


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is small, and nothing is read ahead that is not planned."""
    for name, value in (("SMALL_BYTES", 0), ("TAIL_BYTES", 512), ("RECORDS_BYTES", 64), ("HEAD_BYTES", 64)):
        monkeypatch.setattr(ahead, name, value)
    monkeypatch.setattr(store, "LEAST_BYTES", 64)
    monkeypatch.setattr(store, "PATIENCE_REQUESTS", 1 << 30)
    from safeload.remote import opening

    monkeypatch.setattr(opening, "TAIL_BYTES", 512)


def remote(data: bytes, **options: Any) -> Report:
    with serving({"/f.pt": File(data)}) as server:
        return scan(server.url("/f.pt"), **options)


def judged(report: Report) -> tuple[Any, ...]:
    """What must not depend on where a file lies."""
    rest = tuple(finding for finding in report.findings if finding.rule != "SL007")
    return report.verdict, report.format, rest, report.globals, report.tensors, report.tensor_bytes, report.opcodes, report.bytes_total


SMALL = {"plain": PLAIN, "evil": EVIL, "page": PAGE, "ours": OURS, "broken": BROKEN, "zip": state_dict(), "saved": SAVED}


@pytest.mark.parametrize("name", SMALL)
def test_small_files(little: None, name: str) -> None:
    limits = {"remote_requests": 1 << 20}
    assert judged(remote(SMALL[name], limits=limits)) == judged(safeload.scan(SMALL[name], limits=limits))


def test_the_corpus(little: None) -> None:
    """Every format there is, over one server."""
    seen = set()
    limits = {"remote_requests": 1 << 20, "remote_bytes": 1 << 40}
    chosen = [entry for entry in entries() if entry.path.is_file() and entry.path.stat().st_size < 1 << 18]
    assert chosen
    with serving({f"/{number}": File(entry.path.read_bytes()) for number, entry in enumerate(chosen)}) as server:
        for number, entry in enumerate(chosen):
            found, local = scan(server.url(f"/{number}"), limits=limits), safeload.scan(entry.path.read_bytes(), limits=limits)
            assert judged(found) == judged(local), entry.path
            seen.add(found.format)
    assert {"torch.zip", "torch.legacy", "pickle"} <= seen


def test_edited_files_are_never_accepted_for_more_than_unread_headers(little: None) -> None:
    """Bytes changed at random: what is refused from here is refused from there, unless only an unread header says so; then that it is unread is said."""
    choose = random.Random(7)
    limits = {"remote_requests": 1 << 20}
    files = {}
    for number in range(250):
        data = bytearray(SAVED)
        for _ in range(choose.randrange(1, 4)):
            at = choose.choice([choose.randrange(len(data)), choose.randrange(len(data) - 700, len(data)), choose.randrange(1_400)])
            data[at] = choose.choice([0, 1, 0x50, 0xFF, data[at] ^ 1])
        files[f"/{number}"] = bytes(data)
    both = set()
    with serving({path: File(data) for path, data in files.items()}) as server:
        for path, data in files.items():
            found, local = scan(server.url(path), limits=limits), safeload.scan(data, limits=limits)
            both.add((found.verdict, local.verdict))
            if judged(found) != judged(local):
                assert found.remote is not None
                assert found.remote.headers_unread or found.verdict != "accepted"
                assert {finding.rule for finding in local.errors} & UNREAD_HEADERS
    assert ("accepted", "accepted") in both
    assert ("inconclusive", "inconclusive") in both


def test_a_storage_that_belongs_to_no_tensor_is_fetched_and_judged(tmp_path: Path) -> None:
    storages: list[tuple[str, bytes | int]] = [*BIG, ("a/data/extra", EVIL + bytes(100_000)), *((f"a/data/{name}", 600_000) for name in "xy")]
    path = tmp_path / "f.pt"
    write(path, stream(LISTING), storages)
    with serving({"/f.pt": File(path)}) as server:
        report = scan(server.url("/f.pt"))
    local = safeload.scan(path)
    assert judged(report) == judged(local)
    assert local.verdict == "rejected"


def test_a_storage_that_belongs_to_no_tensor_and_cannot_be_fetched_is_not_accepted(tmp_path: Path) -> None:
    path = tmp_path / "f.pt"
    write(path, stream(LISTING), [*BIG, ("a/data/extra", 3_000_000), *((f"a/data/{name}", 600_000) for name in "xy")])
    with serving({"/f.pt": File(path)}) as server:
        report = scan(server.url("/f.pt"), limits={"remote_bytes": 1_000_000})
    assert report.verdict == "inconclusive"
    assert "remote_bytes" in one(report).message
    assert safeload.scan(path).verdict == "accepted"


def test_an_unread_header_that_lies_is_found_once_its_bytes_are_wanted(little: None) -> None:
    parts = [Part(b"a/data.pkl", stream("EMPTY_DICT\n")), Part(b"a/data/0", b"x" * 3_000), Part(b"a/data/1", bytes(3_000)), Part(b"a/version", b"3\n")]
    data = build(parts)
    at = data.index(b"a/data/0")
    lying = data[:at] + b"a/data/9" + data[at + 8 :]
    report = remote(lying)
    assert {finding.rule for finding in report.errors} == {"SL110"}


def test_room_that_does_not_fit_is_refused_without_a_header(little: None) -> None:
    """The directory alone says that two members overlap, or that bytes lie between them that no header could fill."""
    data = build([Part(b"a/data.pkl", stream("EMPTY_DICT\n")), Part(b"a/data/0", bytes(70_000)), Part(b"a/data/1", bytes(70_000)), Part(b"a/version", b"3\n")])
    first = data.index(b"PK\1\2")
    entry = data.index(b"PK\1\2", first + 4)  # of a/data/0
    for size, rule in ((140_000, "SL108"), (1_000, "SL109")):
        bent = bytearray(data)
        for field in (20, 24):
            bent[entry + field : entry + field + 4] = size.to_bytes(4, "little")
        report = remote(bytes(bent))
        assert {finding.rule for finding in report.errors} == {rule}, report.findings


def test_a_policy_can_refuse_what_was_read_in_part(tmp_path: Path) -> None:
    policy, path = policy_from_dict(document(extends=["checkpoint"], rules={"SL007": "error"})), tmp_path / "f.pt"
    write(path, stream(LISTING), BIG)
    with serving({"/f.pt": File(path), "/s.pt": File(SAVED)}) as server:
        assert scan(server.url("/f.pt"), policy=policy).verdict == "inconclusive"
        assert scan(server.url("/s.pt"), policy=policy).verdict == "accepted"


def test_a_policy_that_lists_digests_accepts_no_part(tmp_path: Path) -> None:
    policy = policy_from_dict(document(extends=["checkpoint"], provenance={"require": "sha256", "digests": [hashlib.sha256(SAVED).hexdigest()]}))
    path = tmp_path / "f.pt"
    write(path, stream(LISTING), BIG)
    with serving({"/f.pt": File(path), "/s.pt": File(SAVED)}) as server:
        report = scan(server.url("/f.pt"), policy=policy)
        assert scan(server.url("/s.pt"), policy=policy).verdict == "accepted"
    assert report.verdict == "inconclusive", report.findings
    assert "not all of the file was fetched" in one(report).message


def test_a_legacy_file_is_read_up_to_its_payloads(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    path = tmp_path / "f.pt"
    torch.save({str(number): torch.zeros(300_000) for number in range(12)}, path, _use_new_zipfile_serialization=False)
    with serving({"/f.pt": File(path)}) as server:
        report = scan(server.url("/f.pt"))
    assert judged(report) == judged(safeload.scan(path))
    assert report.remote is not None
    assert report.remote.headers_unread == 11  # the first stands behind the pickles
    assert report.remote.bytes_read < 400_000
    assert report.remote.requests <= 4
    assert report.bytes_accounted == report.bytes_total - 8 * 11


def test_an_index_of_shards_says_that_they_are_files_of_their_own() -> None:
    index = json.dumps({"metadata": {}, "weight_map": {"w": "a.safetensors"}}).encode()
    report = remote(index)
    assert report.verdict == "inconclusive"
    assert "files of their own" in one(report).message


def test_a_safetensors_file_is_read_up_to_its_header(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "U8", "shape": [5_000_000], "data_offsets": [0, 5_000_000]}}).encode()
    data = len(header).to_bytes(8, "little") + header + bytes(5_000_000)
    with serving({"/f": File(data)}) as server:
        report = scan(server.url("/f"))
    assert judged(report) == judged(safeload.scan(data))
    assert report.remote is not None
    assert report.remote.bytes_read < 200_000
    assert report.remote.requests <= 3


def test_a_long_pickle_is_read_little_by_little_and_whole(tmp_path: Path) -> None:
    data = stream("EMPTY_LIST\n" + "".join(f"BINUNICODE '{'x' * 1_000}'\nAPPEND\n" for _ in range(3_000)))
    with serving({"/f": File(data)}) as server:
        report = scan(server.url("/f"))
    assert report.verdict == "accepted"
    assert report.remote is not None
    assert (report.remote.bytes_unread, report.remote.bytes_read) == (0, len(data))
    assert report.remote.requests <= 8


def ran(*arguments: str) -> tuple[int, str, str]:
    outcome = run(*arguments)
    return outcome.code, outcome.out, outcome.err


# ---- reports and the command line -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big.pt"
    write(path, stream(LISTING), BIG)
    return path


def test_every_format_says_what_was_fetched(big: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving({"/f.pt": File(big)}) as server:
        url = server.url("/f.pt?token=secret")
        seen = {name: ran("scan", "--online", "-f", name, url) for name in ("text", "json", "html", "sarif", "junit", "markdown", "github", "cyclonedx", "csv")}
    sent = 32_768 + 4_096
    for name, (code, out, err) in seen.items():
        assert (code, err) == (0, ""), (name, err)
        assert "secret" not in out, name
        assert name in ("github", "csv") or f"{sent:,}" in out or str(sent) in out, name
    assert "bytes were not fetched" in seen["text"][1]
    found = json.loads(seen["json"][1])["results"][0]
    assert found["remote"]["bytes_read"] == sent
    assert found["remote"]["bytes_unread"] == big.stat().st_size - sent
    assert found["remote"]["version"] == '"v1"'
    assert found["path"] == server.url("/f.pt?...")
    assert [member["located"] for member in found["members"] if member["role"] == "storage"] == [False] * 3
    location = json.loads(seen["sarif"][1])["runs"][0]["artifacts"][0]["location"]
    assert location["uri"] == server.url("/f.pt?...")


def test_the_document_fits_its_schema(big: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = json.loads((Path(safeload.__file__).parent / "report" / "report-v1.schema.json").read_text("utf-8"))
    with serving({"/f.pt": File(big)}) as server:
        document = json.loads(ran("scan", "--online", "-f", "json", server.url("/f.pt"))[1])
    jsonschema.Draft202012Validator(schema).validate(document)


def test_the_command_line_without_online(big: Path) -> None:
    code, _, err = ran("scan", "https://example.invalid/f.pt")
    assert code == 2
    assert "--online" in err


def test_many_addresses_over_processes(big: Path, tmp_path: Path) -> None:
    with serving({"/f.pt": File(big), "/evil": File(EVIL)}) as server:
        (tmp_path / "list").write_text("".join(server.url(path) + "\n" for path in ["/f.pt", "/evil", "/none"] * 4))
        code, out, _ = ran("scan", "--online", "-j", "2", "-f", "csv", "--files-from", str(tmp_path / "list"), str(big))
        reports = list(safeload.scan_many([server.url("/evil"), str(big)], online=True))
    assert code == 1
    rows = [line.split(",")[1].strip('"') for line in out.splitlines()[1:]]
    assert rows.count("accepted") == 5
    assert rows.count("rejected") == 4
    assert rows.count("inconclusive") == 4
    assert [report.verdict for report in reports] == ["rejected", "accepted"]


@pytest.mark.parametrize("option", [("--verify", "crc"), ("--locked", "lock.json")])
def test_what_reads_every_byte_does_not_go_with_online(option: tuple[str, str]) -> None:
    code, _, err = ran("scan", "--online", *option, "https://example.invalid/f.pt")
    assert code == 2
    assert "download" in err
