"""Files of other frameworks get their name by their structure, and nothing gets a name that does not fit it to its last byte."""

from __future__ import annotations

import pickle
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import safeload
from safeload.containers.named import CORE_ML, GRAPH, ONNX, SAVED_MODEL, TABLE, TABLE_MAGIC, recognise
from safeload.opcodes.assemble import assemble
from safeload.source import ByteSource
from tests.formats.test_plain import zipped

PAYLOAD = assemble("PROTO 2\nGLOBAL posix mkdir\nBINUNICODE 'never'\nTUPLE1\nREDUCE\nSTOP")


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


onnx = field(1, 8) + field(2, b"pytorch") + field(3, b"2.13") + field(7, b"graph" * 100) + field(8, field(2, 17))
saved_model = field(1, 1) + field(2, b"meta graph" * 30)
graph = b"".join(field(1, b"node %d" % index) for index in range(300)) + field(4, field(1, 1882))
core_ml = field(1, 5) + field(2, b"description") + field(303, b"layers")
table = bytes(200) + TABLE_MAGIC
NAMED = {"onnx": (onnx, ONNX), "saved-model": (saved_model, SAVED_MODEL), "graph": (graph, GRAPH), "core-ml": (core_ml, CORE_ML), "table": (table, TABLE)}


def name_of(data: bytes) -> object:
    return recognise(ByteSource(name="x", size=len(data), buffer=data))


@pytest.mark.parametrize("name", NAMED)
def test_they_are_named_and_not_judged(name: str) -> None:
    data, expected = NAMED[name]
    assert name_of(data) is expected
    if name != "table":  # whose first bytes may be anything
        report = safeload.scan(data)
        assert report.verdict == "inconclusive"
        (finding,) = report.errors
        assert finding.rule == "SL002" and finding.message == f"this is {expected.what}, which safeload names and does not judge: {expected.hint}"


@pytest.mark.parametrize("name", [name for name in NAMED if name != "table"])
def test_what_is_cut_or_longer_has_no_name(name: str) -> None:
    data = NAMED[name][0]
    for other in (data[:-1], data + b"\0", data + b"\x0f", b"\x08", data[:1], data + field(99, 1), data + b"\x80" * 11):
        assert name_of(other) is None or other == data[:1]
        assert safeload.scan(other).verdict == "inconclusive"


def test_a_member_that_cannot_be_judged_says_what_it_is() -> None:
    data = zipped({"a.pkl": pickle.dumps(1, 4), "model.onnx": onnx + field(20, b"\xff\xfe")})
    (finding,) = safeload.scan(data).errors
    assert (finding.rule, finding.member) == ("SL122", "model.onnx") and "an ONNX model of" in finding.message


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from(sorted(NAMED)))
def test_any_change_ends_in_a_report(seed: int, name: str) -> None:
    random, data = Random(seed), bytearray(NAMED[name][0])
    for _ in range(random.randrange(1, 4)):
        data[random.randrange(min(len(data), 64))] = random.randrange(256)
    assert safeload.scan(bytes(data)).verdict != "accepted" or data[0] in b"NIJKLMS]})("


def test_a_field_of_two_types_is_no_message_of_theirs() -> None:
    assert name_of(field(1, 8) + field(7, b"graph") + field(8, b"") + field(7, 1)) is None


def test_fixed_numbers_and_numbers_without_an_end() -> None:
    head = field(1, 8) + field(7, b"graph") + field(8, b"")
    assert name_of(head + varint(99 << 3 | 1) + bytes(8)) is None and name_of(head + varint(99 << 3 | 5) + bytes(4)) is None
    assert name_of(b"\x08" + b"\x80" * 12) is None and name_of(b"\x0a") is None


OTHERS = {
    "tensorrt": (b"ftrt" + bytes(64), "an engine of TensorRT"),
    "ggml": (b"lmgg" + bytes(64), "a GGML file"),
    "ggjt": (b"tjgg" + bytes(64), "a GGJT file"),
    "cntk": (b"B\0C\0N\0\0\0" + bytes(64), "a CNTK model"),
    "xgboost": (b"{L\0\0\0\0\0\0\0\7learner{" + bytes(64), "an XGBoost model"),
    "lightgbm": (b"tree\nversion=v4\nnum_class=1\n", "a LightGBM model"),
    "pmml": (b'<?xml version="1.0"?>\n<PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4">', "a PMML model"),
    "openvino": (b'<?xml version="1.0"?>\n<net name="m" version="11">\n\t<layers>', "the graph of an OpenVINO model"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_signatures_have_names(name: str) -> None:
    data, what = OTHERS[name]
    (finding,) = safeload.scan(data).errors
    assert finding.rule == "SL002" and finding.message.startswith(f"this is {what}, which safeload names and does not judge: ")


MSGPACK = [b"\x81\xa6params\x80", b"\x84\xa4step\x01", b"\xde\x00\x11\xa6params\xc0", b"\x82\xd9\x22" + b"a" * 34 + b"\xc0", b"\x8c\xa6params" + bytes(200)]


@pytest.mark.parametrize("data", MSGPACK)
def test_msgpack_is_named(data: bytes) -> None:
    report = safeload.scan(data)
    assert (report.format, report.verdict, report.errors[-1].rule) == ("msgpack", "inconclusive", "SL002")


@pytest.mark.parametrize("data", [b"\x81\xa6param", b"\x81\xa6params2\x80", b"\x90\xa1a", b"\x88.", b"\x8f."])
def test_what_is_none_is_not(data: bytes) -> None:
    assert safeload.scan(data).format != "msgpack"


def test_a_pickle_that_begins_like_msgpack_is_judged_as_one() -> None:
    """SHORT_BINUNICODE of 166 bytes: a text, and a map whose first key is `params`."""
    data = b"\x8c\xa6params" + b"\0" + b" " * 159 + b"0" + PAYLOAD[2:]
    assert pickle.loads(data.replace(PAYLOAD[2:], b"N.")) is None
    report = safeload.scan(data)
    assert report.format == "msgpack" and report.verdict == "rejected"
    assert "posix.mkdir" in {each.global_name for each in report.errors}
