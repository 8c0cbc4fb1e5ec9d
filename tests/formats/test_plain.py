"""Zips and tars that torch did not write: a dict of what their members hold, all of them judged."""

from __future__ import annotations

import io
import json
import pickle
import zipfile

import numpy as np
import pytest

import safeload
from safeload.opcodes.assemble import assemble
from tests.containers.zipbuild import Part, build, torch_parts

from .tarbuild import tar

PAYLOAD = assemble("PROTO 2\nGLOBAL posix mkdir\nBINUNICODE 'never'\nTUPLE1\nREDUCE\nSTOP")
TEXT = b"a model, and how it was made"
BINARY = b"\xff\xd8\xff\xe0 a picture"


def npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.arange(6.0).reshape(2, 3))
    return out.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    return build([Part(name.encode(), data) for name, data in files.items()])


def deflated(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


PACKED = pytest.mark.parametrize("pack", [zipped, deflated, tar], ids=["zip", "deflated", "tar"])


@PACKED
@pytest.mark.parametrize("protocol", range(6))
def test_each_member_is_a_value(pack: object, protocol: int) -> None:
    one, two = pickle.dumps([1, "two"], protocol), pickle.dumps({"x": 3.5}, protocol)
    files = {"readme.md": TEXT, "a/one.pkl": one, "b/two": two, "weights.npy": npy(), "empty": b""}
    data = pack(files)  # type: ignore[operator]
    report = safeload.scan(data)
    assert report.verdict == "accepted" and report.format in ("zip", "tar")
    value = safeload.load(data)
    assert list(value) == ["a/one.pkl", "b/two", "weights.npy"]
    assert value["a/one.pkl"] == [1, "two"] and value["b/two"] == {"x": 3.5} and value["weights.npy"].tolist() == [[0, 1, 2], [3, 4, 5]]
    lazy = safeload.open(data)
    assert lazy.keys() == ["weights.npy"] and lazy.get_tensor("weights.npy")[1].tolist() == [3, 4, 5]


@PACKED
@pytest.mark.parametrize("name", ["data.pkl", "no-suffix", "deep/er/model.bin"])
def test_a_payload_in_any_member_is_named(pack: object, name: str) -> None:
    for content in (PAYLOAD, zipped({"x": PAYLOAD}), tar({"y": PAYLOAD}), build(torch_parts(datapkl=PAYLOAD))):
        report = safeload.scan(pack({"good.pkl": pickle.dumps(1), name: content}))  # type: ignore[operator]
        (error,) = (finding for finding in report.errors if finding.rule == "SL301")
        assert report.verdict == "rejected" and error.global_name == "posix.mkdir" and error.capability == "fs.write" and error.member is not None
        assert error.member.startswith(name)


@PACKED
def test_a_payload_of_protocol_0_in_text(pack: object) -> None:
    report = safeload.scan(pack({"good.pkl": pickle.dumps(1), "notes.txt": b"cposix\nmkdir\n(S'never'\ntR."}))  # type: ignore[operator]
    assert report.verdict == "rejected" and report.errors[0].global_name == "posix.mkdir"


@PACKED
@pytest.mark.parametrize(
    ("name", "content", "rule", "verdict"),
    [
        ("broken.pkl", b"no pickle at all", "SL003", "inconclusive"),
        ("empty.pt", b"?", "SL001", "inconclusive"),
        ("picture", BINARY, "SL122", "inconclusive"),
        ("weights.h5", b"\x89HDF\r\n\x1a\n" + bytes(9), "SL002", "inconclusive"),
        ("twice", pickle.dumps(1) + pickle.dumps(2), "SL002", "inconclusive"),
        ("handler.py", b"import os", "SL124", "rejected"),
        ("kernel.so", b"\x7fELF", "SL124", "rejected"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_what_cannot_be_judged_is_never_accepted(pack: object, name: str, content: bytes, rule: str, verdict: str) -> None:
    data = pack({"good.pkl": pickle.dumps(1), name: content})  # type: ignore[operator]
    report = safeload.scan(data)
    assert (report.verdict, {finding.rule for finding in report.errors}) == (verdict, {rule})
    with pytest.raises(safeload.CheckpointError):
        safeload.load(data)


@PACKED
def test_without_a_value_there_is_nothing_to_load(pack: object) -> None:
    data = pack({"readme.md": TEXT, "setup.py": b"import os", "picture": BINARY})  # type: ignore[operator]
    report = safeload.scan(data)
    assert (report.verdict, [finding.rule for finding in report.errors]) == ("inconclusive", ["SL002"])
    with pytest.raises(safeload.UnsupportedFormat, match="3 members"):
        safeload.load(data)


def test_the_code_of_a_model_archive() -> None:
    files = {"MAR-INF/MANIFEST.json": b"{}", "model.pt": pickle.dumps({"w": 1}), "handler.py": b"import os"}
    report = safeload.scan(zipped(files))
    (error,) = report.errors
    assert (report.verdict, error.rule, error.capability, error.member) == ("rejected", "SL124", "code.exec", "handler.py")
    assert safeload.scan(zipped(files), policy="inspect").verdict == "accepted"
    assert safeload.load(zipped(files), policy="inspect") == {"model.pt": {"w": 1}}


def test_stable_baselines() -> None:
    import base64

    def data(program: bytes) -> bytes:
        return json.dumps({"gamma": 0.99, "space": {":type:": "x", ":serialized:": base64.b64encode(program).decode()}}).encode()

    files = {"policy.pth": build(torch_parts()), "_stable_baselines3_version": b"2.3.0"}
    assert list(safeload.load(zipped({**files, "data": data(pickle.dumps([1, 2]))}))) == ["policy.pth"]
    report = safeload.scan(zipped({**files, "data": data(PAYLOAD)}))
    assert report.verdict == "rejected" and report.errors[0].global_name == "posix.mkdir" and report.errors[0].member == "data!/space"


def test_a_wrong_checksum_is_a_finding_and_the_payload_is_named_all_the_same() -> None:
    good = zipped({"one.pkl": pickle.dumps([1234567])})
    bent = good.replace(pickle.dumps([1234567]), pickle.dumps([1234568]))
    assert {finding.rule for finding in safeload.scan(bent).errors} == {"SL115"}
    bad = zipped({"one.pkl": PAYLOAD})
    report = safeload.scan(bad.replace(b"never", b"newer"))
    assert report.verdict == "rejected" and {finding.rule for finding in report.errors} == {"SL115", "SL301"}


def test_what_stands_beside_an_archive_that_is_too_deep_is_judged() -> None:
    inner = zipped({"deeper.zip": zipped({"a.pkl": PAYLOAD}), "evil.pkl": PAYLOAD})
    report = safeload.scan(zipped({"x.zip": inner}), limits={"container_depth": 1})
    assert {(each.rule, each.member) for each in report.errors} == {("SL901", "x.zip!/deeper.zip"), ("SL901", "x.zip!/evil.pkl")}
    report = safeload.scan(zipped({"x.zip": inner}), limits={"container_depth": 2})
    assert report.verdict == "rejected" and ("SL301", "x.zip!/evil.pkl") in {(each.rule, each.member) for each in report.errors}
