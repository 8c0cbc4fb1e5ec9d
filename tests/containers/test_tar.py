"""Tar archives: what a header may say, that every block belongs to something, and that `tarfile` sees the same members."""

from __future__ import annotations

import io
import random
import tarfile

import pytest
from formats.tarbuild import tar

from safeload.containers.base import Container
from safeload.containers.detect import open_container
from safeload.containers.tar import read_tar
from safeload.errors import CheckpointError
from safeload.limits import DEFAULT_LIMITS, Limits
from safeload.source import ByteSource

from .zipbuild import source_of

TWO = {"a.txt": b"x" * 700, "b/c": b"y"}
SUM, TYPE = slice(148, 156), 156


def opened(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Container:
    container = open_container(source_of(data), limits)
    assert container.accounted == len(data)
    return container


def refused(data: bytes, *rules: str, limits: Limits = DEFAULT_LIMITS) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        opened(data, limits)
    assert str(caught.value).isprintable()
    assert not rules or caught.value.rule in rules, caught.value
    return caught.value


def contents(container: Container) -> dict[str, bytes]:
    return {name: container.source.read(member.offset, member.size) for name, member in container.members.items() if member.role != "directory"}


def patched(data: bytes, at: int, new: bytes, *, header: int = 0) -> bytes:
    """Bytes of one header replaced, and its checksum made right again."""
    block = bytearray(data[header : header + 512])
    block[at : at + len(new)] = new
    block[SUM] = b" " * 8
    block[SUM] = b"%06o\0 " % sum(block)
    return data[:header] + bytes(block) + data[header + 512 :]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("mtime", [0, 1_484_000_000.25])
def test_every_dialect_that_tarfile_writes(form: int, mtime: float) -> None:
    long = "deep/" * 30 + "name"
    data = tar({**TWO, long if form != tarfile.USTAR_FORMAT else long[:130]: b"z", "grün": b""}, form=form, mtime=mtime)
    found = opened(data)
    assert found.format == "tar" and found.findings == () and "4 members" in found.detail
    with tarfile.open(fileobj=io.BytesIO(data)) as oracle:
        wanted = {member.name: oracle.extractfile(member).read() for member in oracle.getmembers()}  # type: ignore[union-attr]
    assert contents(found) == wanted and len(wanted) == 4


def test_owners_and_prefixes() -> None:
    data = tar({"p" * 90 + "/" + "n" * 90: b"1"}, form=tarfile.USTAR_FORMAT, uname="who", gname="staff", uid=1000)
    assert list(opened(data).members) == ["p" * 90 + "/" + "n" * 90]


def test_folders_and_the_dot_in_front() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("./", "./d/"):
            entry = tarfile.TarInfo(name)
            entry.type = tarfile.DIRTYPE
            archive.addfile(entry)
        entry = tarfile.TarInfo("./d/f")
        entry.size = 1
        archive.addfile(entry, io.BytesIO(b"1"))
    assert {name: member.role for name, member in opened(out.getvalue()).members.items()} == {"./": "directory", "d/": "directory", "d/f": "unknown"}


def test_a_size_in_base_256_and_one_in_a_pax_header() -> None:
    data = tar(TWO)
    assert contents(opened(patched(data, 124, (1 << 95 | 700).to_bytes(12, "big")))) == TWO
    pax = tar({"a": b"x" * 700}, pax_headers={"size": "700"})
    assert contents(opened(patched(pax, 124, b"0" * 11 + b"\0", header=1024))) == {"a": b"x" * 700}
    refused(patched(pax, 124, b"%011o\0" % 699, header=1024), "SL142")


@pytest.mark.parametrize("kind", [*"1234678SKMVDNXA"])
def test_links_devices_and_sparse_files_are_refused(kind: str) -> None:
    assert "member" in refused(patched(tar(TWO), TYPE, kind.encode()), "SL142").message


@pytest.mark.parametrize(
    "data",
    [
        patched(tar(TWO), 124, b"77777777777\0"),  # longer than the archive
        patched(tar(TWO), 124, (1 << 95 | (1 << 62)).to_bytes(12, "big")),
        tar(TWO)[:2560],
        tar(TWO)[:3072],
        tar(TWO)[:1024],
        tar(TWO)[:700],
    ],
)
def test_what_is_cut_short_is_called_that(data: bytes) -> None:
    refused(data, "SL004")


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (patched(tar(TWO), 124, b"0000000x274\0"), "SL141"),
        (patched(tar(TWO), 124, b"-0000000274\0"), "SL141"),
        (patched(tar(TWO), 124, b"\xff" * 12), "SL141"),
        (patched(tar(TWO), 124, b"\x80" + b"\xff" * 11), "SL141"),
        (patched(tar(TWO), 136, b"what is it?!"), "SL141"),
        (patched(tar(TWO), 157, b"target"), "SL141"),
        (patched(tar(TWO), 500, b"hidden"), "SL141"),
        (patched(tar(TWO), 6, b"hidden"), "SL141"),
        (patched(tar(TWO), 257, b"ustar\x0001"), "SL141"),
        (patched(tar(TWO), 257, b"USTAR\x0000"), "SL141"),
        (patched(tar(TWO, form=tarfile.GNU_FORMAT), 345, b"12345"), "SL141"),
        (patched(tar(TWO), 257, bytes(8) + b"x"), "SL141"),
        (patched(tar(TWO), 0, b"\x01.txt"), "SL113"),
        (patched(tar(TWO), 0, b"\xff.txt"), "SL113"),
        (patched(tar(TWO), 0, b"./\0\0\0"), "SL113"),
        (patched(tar(TWO), TYPE, b"5"), "SL142"),
        (tar([("a", b"1"), ("a", b"2")]), "SL106"),
        (tar([("./a", b"1"), ("a", b"2")]), "SL106"),
        (tar([("a", b"1"), ("A", b"2")]), "SL107"),
        (tar([("ﬁ", b"1"), ("fi", b"2")]), "SL107"),
        (tar(TWO)[:1300] + b"!" + tar(TWO)[1301:], "SL143"),
        (tar(TWO) + bytes(512), "SL143"),
        (tar(TWO) + tar(TWO), "SL143"),
        (tar(TWO)[:-1] + b"x", "SL143"),
        (tar(TWO)[:-100], "SL143"),
        (tar({"a": b""}, pax_headers={"linkpath": "b"}), "SL142"),
        (tar({"a": b""}, pax_headers={"GNU.sparse.major": "1"}), "SL142"),
        (tar({"a": b""}, pax_headers={"hdrcharset": "BINARY"}), "SL142"),
        (tar({"a": b""}, pax_headers={"new": "x"}), "SL142"),
        (tar({"a": b""}, pax_headers={"size": "-1"}), "SL142"),
        (tar({"a": b""}, pax_headers={"size": "1_0"}), "SL142"),
        (tar({"a": b""}, pax_headers={"comment": "x" * 70_000}), "SL142"),
    ],
)  # fmt: skip
def test_what_two_readers_could_read_differently_is_refused(data: bytes, rule: str) -> None:
    refused(data, rule)


@pytest.mark.parametrize(
    "data",
    [
        patched(tar(TWO), 0, b"../ab\0"),
        patched(tar(TWO), 0, b"/etc/x\0"),
        patched(tar(TWO), 0, b"a\\b\0\0"),
        tar({"a": b""}, pax_headers={"path": "../b"}),
    ],
)
def test_a_name_that_climbs_is_a_finding_and_its_member_is_judged(data: bytes) -> None:
    source = ByteSource(name="x", size=len(data), buffer=data)
    assert "SL113" in {finding.rule for finding in read_tar(source, DEFAULT_LIMITS).findings}


@pytest.mark.parametrize(
    "records", [b"5 a=\n", b"12 mtime=1.5\n", b"9999 mtime=1.5\n", b"mtime=1.5\n", b"06 a=b\n", b"5 =b\n", b"13 mtime=1.5\n13 mtime=1.5\n", b"13 mtime=1.5\nx"]
)
def test_malformed_pax_records(records: bytes) -> None:
    good = tar({"a": b""}, mtime=1.5)
    data = patched(good, 124, b"%011o\0" % len(records))
    refused(data[:512] + records.ljust(512, b"\0") + data[1024:], "SL142")


def test_a_wrong_checksum_is_no_tar_at_the_start_and_an_error_later() -> None:
    data = bytearray(tar(TWO))
    data[2] ^= 1
    refused(bytes(data), "SL001")
    data = bytearray(tar(TWO))
    data[1536 + 2] ^= 1
    refused(bytes(data), "SL141")


def test_headers_about_no_member() -> None:
    head = tar({"a": b""}, mtime=1.5)[:1024]
    refused(head + bytes(1024), "SL142")
    refused(head * 2 + tar({"a": b""}), "SL142")
    gnu = tar({"n" * 120: b""}, form=tarfile.GNU_FORMAT)[:1024]
    refused(gnu + bytes(1024), "SL142")
    refused(gnu + head + tar({"a": b""}), "SL142")


def test_a_global_pax_header_may_only_note_things() -> None:
    for headers, good in (({"comment": "8f3a"}, True), ({"path": "b"}, False), ({"size": "1"}, False)):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers=headers) as archive:
            archive.addfile(tarfile.TarInfo("a"))
        if good:
            assert list(opened(out.getvalue()).members) == ["a"]
        else:
            refused(out.getvalue(), "SL142")


def test_an_archive_of_nothing_says_so() -> None:
    """A global header and the end: an archive for tar, and one of no member."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "nothing"}):
        pass
    container = opened(out.getvalue())
    assert not container.members
    assert container.detail == "this is a tar archive with no member in it"


def test_limits() -> None:
    refused(tar({str(at): b"" for at in range(5)}), "SL901", limits=DEFAULT_LIMITS.replaced({"members": 4}))
    assert len(opened(tar({str(at): b"" for at in range(5)}), DEFAULT_LIMITS.replaced({"members": 5})).members) == 5
    long = {"n" * 200: b""}
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        refused(tar(long, form=form), "SL901", limits=DEFAULT_LIMITS.replaced({"name_bytes": 199}))
        opened(tar(long, form=form), DEFAULT_LIMITS.replaced({"name_bytes": 200}))


def test_what_we_take_tarfile_takes_alike() -> None:
    """Random single bytes of the headers: whatever still opens has the members that Python sees."""
    rng = random.Random("tar headers")
    kept = 0
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        good = tar({"a.txt": b"x" * 30, "n" * 120: b"y"}, mtime=1.5, form=form)
        for _ in range(1_500):
            at = rng.randrange(len(good) // 512) * 512
            header = at if any(good[at : at + 512]) else 0
            data = patched(good, rng.randrange(512), bytes([rng.choice([0, 32, 48, 49, 55, 120, 128, 255])]), header=header)
            try:
                found = opened(data)
            except CheckpointError:
                continue
            kept += 1
            with tarfile.open(fileobj=io.BytesIO(data)) as oracle:
                assert contents(found) == {entry.name: oracle.extractfile(entry).read() for entry in oracle.getmembers()}  # type: ignore[union-attr]
    assert kept > 100
