"""What a server may do wrong, and what it may do otherwise: each ends in the same report as the file itself, or in one that says why there is none."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bigzip
import pytest
from builds import dense_v3, pairs
from hostile.hostile import stream

import safeload
from safeload.findings import Finding, Report
from safeload.limits import Limits
from safeload.remote import ahead, http, store
from safeload.remote.http import Http
from tests.cli.inputs import EVIL, PLAIN, state_dict
from tests.remote.server import File, Server, serving

BIG_COUNT = 3
BIG = [(f"a/data/{number}", 700_000) for number in range(BIG_COUNT)]
LISTING = pairs(**{f"w{number}": dense_v3("uint8", 700_000, (700_000,), (1,), key=str(number)) for number in range(BIG_COUNT)})


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A torch zip of two megabytes."""
    path = tmp_path_factory.mktemp("big") / "big.pt"
    write(path, stream(LISTING), BIG)
    return path


def write(path: Path, pickle: bytes, storages: list[tuple[str, bytes | int]]) -> dict[str, int]:
    head: list[tuple[str, bytes | int]] = [("a/data.pkl", pickle), ("a/.format_version", b"1"), ("a/.storage_alignment", b"64"), ("a/byteorder", b"little")]
    return bigzip.write(path, [*head, *storages, ("a/version", b"3\n"), ("a/.data/serialization_id", b"1" * 40)])


def scan(url: str, **options: Any) -> Report:
    return safeload.scan(url, online=True, **options)


def one(report: Report) -> Finding:
    (finding,) = report.errors
    return finding


def of(file: File, **options: Any) -> tuple[Report, Server]:
    with serving({"/f.pt": file}) as server:
        return scan(server.url("/f.pt"), **options), server


# ---- well -------------------------------------------------------------------------------------------------------------------------------


def test_a_torch_zip_of_four_gigabytes_takes_three_requests(tmp_path: Path) -> None:
    count, nbytes = 1_100, 4 << 20
    listing = pairs(**{f"w{number}": dense_v3("float32", nbytes, (nbytes // 4,), (1,), key=str(number)) for number in range(count)})
    pickle, path = stream(listing), tmp_path / "big.pt"
    storages: list[tuple[str, bytes | int]] = [(f"a/data/{number}", nbytes) for number in range(count)]
    write(path, pickle, storages)
    size = path.stat().st_size
    assert size > 4 << 30
    end = _tail(path, 1 << 18)
    directory = len(end) - end.index(b"PK\1\2")
    report, server = of(File(path))
    assert report.verdict == "accepted"
    assert report.tensors == count
    assert report.remote is not None
    assert report.remote.requests == len(server.asked) == 3
    assert report.remote.bytes_read == server.sent <= len(pickle) + directory + (64 << 10)
    assert report.remote.bytes_unread == size - server.sent == sum(end - start for start, end in report.remote.unread)
    assert (report.remote.version, report.remote.pinned) == ('"v1"', "etag")
    assert [asked.headers.get("if-match") for asked in server.asked] == [None, '"v1"', '"v1"']
    assert report.bytes_total == size
    assert report.bytes_accounted <= server.sent
    unread = [member for member in report.members if not member.located]
    assert all(member.role == "storage" for member in unread)
    assert report.remote.headers_unread == len(unread) >= count - 1
    local = safeload.scan(path)
    assert [member.name for member in local.members] == [member.name for member in report.members]
    assert {finding.rule for finding in report.findings} == {"SL007"}


def _tail(path: Path, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(-length, 2)
        return file.read()


def test_a_small_file_is_read_whole_and_has_its_digest() -> None:
    data = state_dict()
    report, server = of(File(data), digest=True)
    local = safeload.scan(data, digest=True)
    assert (report.verdict, report.sha256, report.findings, report.bytes_accounted) == ("accepted", local.sha256, (), len(data))
    assert report.remote is not None
    assert (report.remote.bytes_read, report.remote.bytes_unread, report.remote.requests) == (len(data), 0, len(server.asked)) == (len(data), 0, 1)


def test_a_file_that_was_read_in_part_has_no_digest(big: Path) -> None:
    report, _ = of(File(big), digest=True)
    assert report.verdict == "accepted"
    assert report.sha256 is None


def test_a_payload_is_found_behind_a_network(tmp_path: Path) -> None:
    write(tmp_path / "evil.pt", EVIL, BIG)
    report, server = of(File(tmp_path / "evil.pt"))
    assert report.verdict == "rejected"
    assert [finding.global_name for finding in report.errors] == ["posix.system"]
    assert server.sent < 200_000


@pytest.mark.parametrize(
    "file",
    [
        {"ranges": False},
        {"ranges": False, "etag": None},
        {"ranges": False, "chunked": True},
        {"ranges": False, "wrong": "no length"},
        {"etag": None},
        {"etag": 'W/"weak"'},
        {"suffix": False},
        {"suffix": False, "accept": True},
        {"chunked": True},
        {"wrong": "no length"},
        {},
    ],
    ids=str,
)
def test_servers_that_can_do_less_give_the_same_report(big: Path, file: dict[str, Any]) -> None:
    report, server = of(File(big, **file))
    assert report.verdict == "accepted"
    assert report.tensors == BIG_COUNT
    assert report.remote is not None
    whole = not file.get("ranges", True) or file.get("etag", "") in (None, 'W/"weak"')
    assert (report.remote.bytes_unread == 0) == whole
    assert report.remote.requests == len(server.asked) <= 4
    assert report.remote.pinned == ("whole" if whole and file.get("etag", "") in (None, 'W/"weak"') else "etag")


@pytest.mark.parametrize("data", [b"", b"x", b"PK\5\6" + bytes(18)], ids=["empty", "one byte", "empty zip"])
@pytest.mark.parametrize("ranges", [True, False])
def test_files_of_next_to_nothing(data: bytes, ranges: bool) -> None:
    report, _ = of(File(data, ranges=ranges))
    local = safeload.scan(data)
    assert (report.verdict, report.findings) == (local.verdict, local.findings)


# ---- badly ------------------------------------------------------------------------------------------------------------------------------

WRONG = {
    "changed": "has changed while it was being read",
    "forgets ranges": "sends the whole file",
    "another range": "was asked for",
    "another total": "has changed while it was being read",
    "range missing": "does not say which",
    "range without numbers": "does not say which",
    "range backwards": "contradicts itself",
    "longer length": "contradicts itself",
    "shorter length": "contradicts itself",
    "length that is none": "a length that is none",
    "more": "more than",
    "cut": "ends the answer after",
    "encoding": "another encoding",
    "multipart": "several parts",
}


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_server_that_does_wrong_is_an_inconclusive_report(big: Path, wrong: str, after: int) -> None:
    report, server = of(File(big, wrong=wrong, after=after))
    if after == 0 and wrong in ("changed", "forgets ranges", "another total"):  # which at first is only a version, a server without ranges, and a size
        assert report.verdict in ("accepted", "inconclusive")
        return
    assert report.verdict == "inconclusive"
    assert one(report).rule == "SL005"
    assert WRONG[wrong] in one(report).message or (wrong == "another range" and "range" in one(report).message)
    assert len(server.asked) == after + 1


def test_a_server_that_ignores_the_pin_is_found_out(big: Path) -> None:
    report, _ = of(File(big, wrong="changed", after=1, ignores_pin=True))
    assert "has changed" in one(report).message


@pytest.mark.parametrize(("wrong", "rule"), [("longer length", "SL005"), ("cut", "SL005"), ("encoding", "SL005"), ("length that is none", "SL005")])
def test_a_whole_file_that_is_sent_wrongly(big: Path, wrong: str, rule: str) -> None:
    report, _ = of(File(big, ranges=False, wrong=wrong))
    assert one(report).rule == rule


@pytest.mark.parametrize("status", [204, 304, 401, 403, 404, 410, 416, 429, 500, 503])
def test_other_answers_are_named(status: int) -> None:
    report, server = of(File(b"", status=status))
    assert one(report).rule == "SL005"
    assert str(status) in one(report).message
    assert len(server.asked) == 1


@pytest.mark.parametrize("wrong", ["drips", "hangs"])
def test_a_slow_server_is_cut_off(big: Path, wrong: str) -> None:
    report, _ = of(File(big, wrong=wrong), limits={"scan_seconds": 1})
    assert one(report).rule == "SL901"
    assert "scan_seconds" in one(report).message


def test_a_head_that_drips_is_cut_off() -> None:
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            client, _ = listening.accept()
            with client:
                client.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
                while not stop.wait(0.05):
                    try:
                        client.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        report = scan(f"http://127.0.0.1:{listening.getsockname()[1]}/f.pt", limits={"scan_seconds": 1})
        stop.set()
        thread.join()
    assert one(report).rule == "SL901"


@pytest.mark.parametrize(
    "answer",
    [b"", b"\0" * 100, b"HTTP/1.1 two hundred\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200, b"HTTP/1.1 206 OK\r\nX: " + b"y" * 100_000],
    ids=["nothing", "zeros", "no number", "many headers", "a long header"],
)
def test_what_is_no_http(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def reply() -> None:
            client, _ = listening.accept()
            with client:
                client.recv(1 << 16)
                client.sendall(answer)

        thread = threading.Thread(target=reply, daemon=True)
        thread.start()
        report = scan(f"http://127.0.0.1:{listening.getsockname()[1]}/f.pt")
        thread.join()
    assert one(report).rule == "SL005"


def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert one(scan(f"http://127.0.0.1:{port}/f.pt")).rule == "SL005"


# ---- redirects and credentials ----------------------------------------------------------------------------------------------------------


@contextmanager
def _two(first: dict[str, File], second: dict[str, File]) -> Iterator[tuple[Server, Server]]:
    with serving(second) as target, serving(first) as server:
        yield server, target


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_once(big: Path, status: int) -> None:
    with _two({"/f.pt": File(b"", status=status)}, {"/g.pt": File(big)}) as (server, target):
        server.files["/f.pt"].location = target.url("/g.pt?signature=x")
        report = scan(server.url("/f.pt"))
    assert report.verdict == "accepted"
    assert len(server.asked) == 1
    assert [asked.path for asked in target.asked] == ["/g.pt?signature=x"] * 2
    assert report.remote is not None
    assert report.remote.requests == 3
    assert report.path == server.url("/f.pt")


def test_a_relative_redirect_is_followed(big: Path) -> None:
    with serving({"/a/f.pt": File(b"", status=302, location="../b/g.pt"), "/b/g.pt": File(big)}) as server:
        assert scan(server.url("/a/f.pt")).verdict == "accepted"


@pytest.mark.parametrize(
    "location",
    [
        "http://example.invalid/f.pt", "file:///etc/passwd", "ftp://127.0.0.1/f.pt", "s3://bucket/key", "data:text/plain,x", "javascript:x", "//",
        "http://[::bad", "x" * 9_000,
    ],
    ids=lambda location: location[:20],
)
def test_a_redirect_that_leaves_tls_is_refused(location: str) -> None:
    report, server = of(File(b"", status=302, location=location))
    if location == "//" or location.startswith("x"):
        assert one(report).rule == "SL005"
    else:
        assert "redirects to a place that is not behind TLS" in one(report).message
        assert len(server.asked) == 1


def test_redirects_end() -> None:
    report, server = of(File(b"", status=302, location="/f.pt"))
    assert "redirects" in one(report).message
    assert len(server.asked) == 6


def test_a_redirect_without_a_place() -> None:
    report, _ = of(File(b"", status=302))
    assert "without a place" in one(report).message


def test_credentials_stay_with_their_origin_and_out_of_the_report(big: Path) -> None:
    basic = "Basic dXNlcjpwYTpzcw=="  # user:pa:ss
    with _two({"/f.pt": File(big, login=basic), "/r.pt": File(b"", status=302, login=basic)}, {"/g.pt": File(big)}) as (server, target):
        server.files["/r.pt"].location = target.url("/g.pt", login="other:login@")
        report = scan(server.url("/f.pt?token=secret", login="user:pa%3Ass@"))
        assert report.verdict == "accepted"
        assert report.path == server.url("/f.pt?...")
        redirected = scan(server.url("/r.pt", login="user:pa%3Ass@"))
    assert redirected.verdict == "accepted"
    assert all("authorization" not in asked.headers for asked in target.asked)
    assert all(asked.headers["authorization"] == basic for asked in server.asked)
    for each in (report, redirected):
        assert "secret" not in str(each)
        assert "user" not in str(each)


def test_a_login_that_is_wrong_is_not_shown() -> None:
    report, server = of(File(b"", status=401))
    again = scan(server.url("/f.pt", login="user:secret@"))  # the server is gone
    assert "secret" not in str(again)
    assert one(report).rule == one(again).rule == "SL005"


# ---- limits -----------------------------------------------------------------------------------------------------------------------------


def test_both_sides_of_remote_bytes(big: Path) -> None:
    needed = of(File(big))[0].remote
    assert needed is not None
    assert of(File(big), limits={"remote_bytes": needed.bytes_read})[0].verdict == "accepted"
    less = one(of(File(big), limits={"remote_bytes": needed.bytes_read - 1})[0])
    assert (less.rule, "remote_bytes" in less.message) == ("SL901", True)


def test_both_sides_of_remote_bytes_of_a_file_that_comes_whole(big: Path) -> None:
    size = big.stat().st_size
    for file in ({"ranges": False}, {"ranges": False, "chunked": True}):
        assert of(File(big, **file), limits={"remote_bytes": size})[0].verdict == "accepted"
        assert one(of(File(big, **file), limits={"remote_bytes": size - 1})[0]).rule == "SL901"


def test_both_sides_of_remote_requests(big: Path) -> None:
    assert of(File(big), limits={"remote_requests": 2})[0].verdict == "accepted"
    assert one(of(File(big), limits={"remote_requests": 1})[0]).rule == "SL901"


def test_a_file_over_file_bytes_is_not_read(big: Path) -> None:
    size = big.stat().st_size
    for file in ({}, {"ranges": False}, {"suffix": False}, {"suffix": False, "accept": True}):
        report, server = of(File(big, **file), limits={"file_bytes": size - 1})
        assert one(report).rule == "SL901"
        assert len(server.asked) == 1


# ---- TLS and proxies --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate of its own for 127.0.0.1, in one file."""
    return made_certificate(tmp_path_factory.mktemp("tls"))


def made_certificate(folder: Path) -> Path:
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "safeload tests")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1)).add_extension(names, critical=False)
    signed = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    path = folder / "both.pem"
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls(certificate: Path) -> Any:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_https_with_a_certificate_that_holds(big: Path, tls: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving({"/f.pt": File(big)}, tls) as server:
        report = scan(server.url("/f.pt"))
        assert report.verdict == "accepted", report.findings
        other = scan(server.url("/f.pt", host="localhost"))
        assert "certificate does not hold" in one(other).message


def test_https_with_one_that_does_not(big: Path, tls: Any) -> None:
    with serving({"/f.pt": File(big)}, tls) as server:
        report = scan(server.url("/f.pt"))
    assert "certificate does not hold" in one(report).message
    assert not server.asked


def test_https_never_leads_to_http_not_even_on_this_machine(big: Path, tls: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving({"/g.pt": File(big)}) as plain, serving({"/f.pt": File(b"", status=302, location=plain.url("/g.pt"))}, tls) as server:
        assert "not behind TLS" in one(scan(server.url("/f.pt"))).message
    assert not plain.asked


def test_slow_tls_is_cut_off(big: Path, tls: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving({"/f.pt": File(big, wrong="drips")}, tls) as server:
        assert one(scan(server.url("/f.pt"), limits={"scan_seconds": 1})).rule == "SL901"


def test_a_proxy_is_asked_for_a_tunnel(big: Path, tls: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    heads: list[bytes] = []

    def pump(one: socket.socket, two: socket.socket) -> None:
        try:
            while data := one.recv(1 << 16):
                two.sendall(data)
            two.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def tunnel(listening: socket.socket, place: tuple[str, int]) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            with client:
                heads.append(client.recv(1 << 16))
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                with socket.create_connection(place) as target:
                    back = threading.Thread(target=pump, args=(target, client), daemon=True)
                    back.start()
                    pump(client, target)
                    back.join()

    with serving({"/f.pt": File(big)}, tls) as server, socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=tunnel, args=(listening, server.server_address), daemon=True).start()
        monkeypatch.setenv("https_proxy", f"http://us%65r:secret@127.0.0.1:{listening.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "")
        assert scan(server.url("/f.pt")).verdict == "accepted"
        listening.shutdown(socket.SHUT_RDWR)
    assert len(heads) == 2
    assert all(head.startswith(b"CONNECT 127.0.0.1:") and b"Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=" in head for head in heads)


# ---- addresses --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("http://example.invalid/f.pt", "https://"),
        ("ftp://example.invalid/f.pt", "ftp:// is not fetched"),
        ("file:///etc/passwd", "file:// is not fetched"),
        ("https:///f.pt", "names no host"),
        ("https://host:99999/f.pt", "the address is none"),
        ("https://h\nost/f.pt", "do not print"),
        ("https://" + "x" * 9_000, "too long"),
        ("s3://bucket", "s3://bucket/key"),
        ("hf://a/b/../c", "plain and relative"),
        ("hf://", "hf://org/model"),
    ],
)
def test_addresses_that_are_none(uri: str, words: str) -> None:
    assert words in one(scan(uri)).message


def test_an_address_without_online_is_told_so() -> None:
    for call in (safeload.scan, safeload.load, safeload.open):
        with pytest.raises(FileNotFoundError, match="--online"):
            call("https://example.invalid/f.pt")
    (report,) = safeload.scan_many(["https://example.invalid/f.pt"])
    assert "--online" in one(report).message


def test_a_file_with_such_a_name_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "https:" / "host").mkdir(parents=True)
    (tmp_path / "https:" / "host" / "f.pt").write_bytes(PLAIN)
    for online in (True, False):
        assert safeload.scan("https://host/f.pt", online=online).remote is None


def test_verify_is_refused() -> None:
    with pytest.raises(ValueError, match="download"):
        scan("https://example.invalid/f.pt", verify="crc")


def test_nothing_of_it_is_imported_by_a_scan_of_files(tmp_path: Path) -> None:
    (tmp_path / "f.pt").write_bytes(PLAIN)
    program = (
        "import sys, safeload; safeload.scan(sys.argv[1]); names = {'http.client', 'ssl', 'socket', 'fsspec', 's3fs', 'huggingface_hub', 'urllib.request'};"
        "print(sorted(names & set(sys.modules)), [name for name in sys.modules if name.startswith('safeload.remote')])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "f.pt")], capture_output=True, text=True, check=True)
    assert done.stdout == "[] []\n"


# ---- reading --------------------------------------------------------------------------------------------------------------------------------


def test_a_part_is_never_fetched_twice_and_gaps_are_joined() -> None:
    data = random.Random(1).randbytes(300_000)

    class Recorded:
        version, pinned = '"v"', "etag"

        def __init__(self) -> None:
            self.requests = self.bytes_read = 0
            self.asked: list[tuple[int, int]] = []

        def part(self, start: int, length: int) -> bytes:
            self.asked.append((start, start + length))
            self.requests += 1
            self.bytes_read += length
            return data[start : start + length]

    choose, recorded = random.Random(2), Recorded()
    kept: Any = store.Store(recorded, len(data))  # type: ignore[arg-type]
    for _ in range(300):
        start = choose.randrange(len(data))
        length = choose.randrange(min(len(data) - start, 5_000) + 1)
        assert kept.read(start, length) == data[start : start + length]
        assert not kept.gaps(start, start + length)
    asked = sorted(recorded.asked)
    assert all(first[1] <= second[0] for first, second in zip(asked, asked[1:], strict=False))
    assert kept.summary().bytes_unread == len(data) - sum(end - start for start, end in asked)
    assert recorded.requests <= 2 * store.PATIENCE_REQUESTS + 2


def test_the_transport_gives_what_was_asked_for(big: Path) -> None:
    with serving({"/f.pt": File(big)}) as server:
        found = Http(server.url("/f.pt"), Limits())
        first = found.first(1_000)
        content = big.read_bytes()
        assert (first.total, first.body) == (len(content), content[-1_000:])
        assert found.part(5, 17) == content[5:22]
    assert ahead.TAIL_BYTES + ahead.RECORDS_BYTES < 64 << 10
    assert http.MAX_REDIRECTS < Limits().remote_requests
