"""The header of a GGUF file: what gguf-py writes is read, what could mean two things is refused, and nothing is allocated for what a file only announces."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import safeload
from fuzz.edits import edit_gguf
from fuzz.ggufs import SIZES, Order, array, gguf, info, number, pair, text, two
from safeload.api import read
from safeload.budget import Budget
from safeload.containers.gguf import CHUNK_BYTES, MAX_KEY_BYTES, read_gguf
from safeload.containers.gguf_types import TENSOR_TYPES, VALUE_BYTES
from safeload.errors import CheckpointError
from safeload.limits import DEFAULT_LIMITS, MIB, Limits
from safeload.source import ByteSource

F32 = info(b"w", (4,), 0, 0)
FLAG = pair(b"a.flag", 7, b"\1")


def container(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Any:
    return read_gguf(ByteSource(name="x", size=len(data), buffer=data), limits, Budget(limits))


def aligned(value: int, kind: int = 4) -> bytes:
    return pair(b"general.alignment", kind, number(value, SIZES[kind]))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("order", ["little", "big"])
def test_either_byte_order_is_read(order: Order, version: int) -> None:
    at = two(order).index(number(3, 4, order))
    data = two(order)[:at] + number(version, 4, order) + two(order)[at + 4 :]
    found = container(data)
    assert found.byteorder == order and found.info == {"version": str(version), "alignment": "32"} and found.accounted == len(data)
    assert [(each.member.name, each.type, each.dims, each.member.size) for each in found.detail.tensors] == [
        ("token_embd.weight", "F32", (4, 2), 32),
        ("blk.0.weight", "Q4_0", (32, 1), 18),
    ]
    assert data[found.members["token_embd.weight"].offset :].startswith(bytes(range(32)))
    assert [(each.key, each.text, data[each.offset : each.offset + 14]) for each in found.detail.templates] == [
        ("tokenizer.chat_template", b"{{ messages }}", b"{{ messages }}")
    ]


def test_it_is_judged_and_not_loaded() -> None:
    report = safeload.scan(two())
    assert (report.verdict, report.format, report.tensors, report.tensor_bytes, report.bytes_accounted) == ("accepted", "gguf", 2, 50, len(two()))
    assert [(each.rule, each.level) for each in report.findings] == [("SL126", "note")] and not report.holds_no_program
    for face in (safeload.load, safeload.open):
        with pytest.raises(safeload.UnsupportedFormat, match="judges and does not load: read it with the gguf package"):
            face(two())
    plain = gguf((FLAG,), (F32,), bytes(16))
    assert safeload.scan(plain).findings == () and safeload.scan(plain).holds_no_program


@pytest.mark.parametrize("ending", [b"", bytes(16)], ids=["bare", "padded"])
def test_the_last_tensor_may_be_padded(ending: bytes) -> None:
    assert safeload.scan(gguf((), (F32,), bytes(16) + ending)).verdict == "accepted"


@pytest.mark.parametrize("pad", [0, 5, 8])
def test_a_file_may_hold_no_tensor(pad: int) -> None:
    """A vocabulary alone; padded or not."""
    data = gguf((), (), b"", alignment=1)
    assert len(data) == 24 and safeload.scan(data + bytes(pad)).verdict == "accepted"
    assert safeload.scan(data + bytes(9)).findings[0].rule == "SL137"


REFUSED: dict[str, tuple[bytes, str, str]] = {
    "no-version": (b"GGUF\3\0", "SL004", "no version"),
    "no-counts": (b"GGUF\3\0\0\0", "SL004", "cut short"),
    "version-1": (gguf(version=1), "SL002", "version 1: convert"),
    "version-4": (gguf(version=4), "SL002", "version 4: versions 2 and 3"),
    "version-4-big": (gguf(version=4, order="big"), "SL002", "version 4: versions 2 and 3"),
    "tensors-announced": (gguf(tensors=1 << 62), "SL137", "announces 4,611,686,018,427,387,904 tensors"),
    "pairs-announced": (gguf(pairs_count=1 << 63), "SL137", "pairs of metadata"),
    "pairs-missing": (gguf((FLAG,), (F32,), bytes(16), pairs_count=3), "SL137", "a key is empty"),
    "tensor-nameless": (gguf((), (info(b"", (4,), 0, 0),), bytes(16)), "SL137", "is empty"),
    "key-twice": (gguf((FLAG, FLAG)), "SL137", "stands there twice"),
    "key-latin1": (gguf((pair(b"\xe9", 7, b"\1"),)), "SL137", "not UTF-8"),
    "key-control": (gguf((pair(b"a\n", 7, b"\1"),)), "SL137", "control character"),
    "key-long": (gguf((pair(b"a" * (MAX_KEY_BYTES + 1), 7, b"\1"),)), "SL137", "65,536 bytes long"),
    "key-endless": (gguf((number(1 << 40, 8) + bytes(64),)), "SL137", "bytes long"),
    "value-type": (gguf((pair(b"a", 13, b"\1"),)), "SL137", "type 13, which does not exist"),
    "value-type-huge": (gguf((pair(b"a", (1 << 32) - 1, b"\1"),)), "SL137", "does not exist"),
    "value-cut": (gguf((pair(b"a", 12, b""),), alignment=1), "SL004", "cut short"),
    "text-endless": (gguf((pair(b"a", 8, number(1 << 62, 8)),)), "SL004", "cut short"),
    "flag": (gguf((pair(b"a", 7, b"\2"),)), "SL137", "neither 0 nor 1"),
    "array-of-flags": (gguf((pair(b"a", 9, array(7, 3, b"\0\1\2")),)), "SL137", "neither 0 nor 1"),
    "array-of-arrays": (gguf((pair(b"a", 9, array(9, 1, array(0, 1, b"\0"))),)), "SL137", "holds arrays"),
    "array-type": (gguf((pair(b"a", 9, array(13, 1, b"\0")),)), "SL137", "type 13"),
    "array-endless": (gguf((pair(b"a", 9, array(12, 1 << 61, b"")),)), "SL004", "cut short"),
    "array-of-texts-endless": (gguf((pair(b"a", 9, array(8, 1 << 40, b"")),)), "SL137", "announces 1,099,511,627,776 texts"),
    "array-of-flags-endless": (gguf((pair(b"a", 9, array(7, 1 << 62, b"")),)), "SL004", "cut short"),
    "alignment-0": (gguf((aligned(0),)), "SL137", "no power of two"),
    "alignment-odd": (gguf((aligned(24),)), "SL137", "no power of two"),
    "alignment-type": (gguf((aligned(32, 10),)), "SL137", "is a uint32"),
    "template-endless": (gguf((pair(b"tokenizer.chat_template", 8, number(1 << 60, 8)),)), "SL137", "more than 1,048,576"),
    "tensor-twice": (gguf((), (F32, info(b"w", (4,), 0, 32)), bytes(48)), "SL137", "stands there twice"),
    "tensor-name": (gguf((), (info(b"\xff", (4,), 0, 0),), bytes(16)), "SL137", "not UTF-8"),
    "dimensions-5": (gguf((), (info(b"w", (1,) * 5, 0, 0),), bytes(4)), "SL137", "5 dimensions"),
    "dimensions-endless": (gguf((), (text(b"w") + number((1 << 32) - 1, 4) + bytes(64),)), "SL137", "dimensions"),
    "tensor-type-removed": (gguf((), (info(b"w", (32,), 4, 0),), bytes(32)), "SL137", "type 4, which does not exist"),
    "tensor-type-q8-1": (gguf((), (info(b"w", (32,), 9, 0),), bytes(40)), "SL137", "type 9, which does not exist"),
    "no-whole-blocks": (gguf((), (info(b"w", (33, 32), 2, 0),), bytes(18 * 33)), "SL137", "no whole blocks of 32 of Q4_0"),
    "scalar-of-blocks": (gguf((), (info(b"w", (), 2, 0),), bytes(18)), "SL137", "no whole blocks"),
    "elements": (gguf((), (info(b"w", (1 << 32, 1 << 32), 0, 0),), bytes(4)), "SL137", "more than can be counted"),
    "elements-of-nothing": (gguf((), (info(b"w", (1 << 63, 0), 0, 0),)), "SL137", "more than can be counted"),
    "off-the-alignment": (gguf((), (info(b"w", (4,), 0, 16),), bytes(32)), "SL137", "the alignment is 32"),
    "hole": (gguf((), (info(b"w", (4,), 0, 32),), bytes(48)), "SL137", "what stands before it ends at"),
    "hole-between": (gguf((), (F32, info(b"v", (4,), 0, 64)), bytes(80)), "SL137", "what stands before it ends at"),
    "overlap": (gguf((), (F32, info(b"v", (4,), 0, 0)), bytes(48)), "SL137", "what stands before it ends at"),
    "out-of-order": (gguf((), (info(b"v", (4,), 0, 32), F32), bytes(48)), "SL137", "what stands before it ends at"),
    "offset-endless": (gguf((), (info(b"w", (4,), 0, (1 << 64) - 32),), bytes(16)), "SL137", "what stands before it ends at"),
    "cut": (gguf((), (F32,), bytes(15)), "SL004", "1 bytes of its tensors are missing"),
    "behind": (gguf((), (F32,), bytes(33)), "SL137", "1 bytes follow the last tensor"),
    "padding-in-front": (gguf((), (F32,), bytes(16))[:-23] + b"payload" + bytes(16), "SL137", "no padding"),
    "padding-behind": (gguf((), (F32,), bytes(16) + b"x"), "SL137", "no padding"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_mean_two_things_is_refused(name: str) -> None:
    data, rule, says = REFUSED[name]
    report = safeload.scan(data)
    assert report.verdict == "inconclusive"
    assert [(finding.rule, says in finding.message) for finding in report.errors] == [(rule, True)], report.errors
    assert report.errors[0].offset is None or report.errors[0].offset <= len(data)


def test_nothing_is_allocated_for_what_is_announced() -> None:
    """Every refused file above in less than 2 MiB, most of which is the first piece of the header."""
    for name, (data, _, _) in REFUSED.items():
        safeload.scan(data)
        tracemalloc.start()
        safeload.scan(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 * MIB, name


@pytest.mark.parametrize("order", ["little", "big"])
def test_texts_of_an_array_go_past_the_pieces_of_the_header(order: Order) -> None:
    """Read in pieces, each text ends where its length says, wherever the piece does."""
    random = Random(order)
    texts = [bytes(random.randrange(9_000)) for _ in range(300)]
    texts[100] = bytes(CHUNK_BYTES - 4)
    body = b"".join(text(each, order) for each in texts)
    pairs = (pair(b"x", 9, array(8, len(texts), body, order), order), pair(b"last", 8, text(b"a", order), order))
    data = gguf(pairs, (info(b"w", (4,), 0, 0, order),), bytes(16), order=order)
    assert len(body) > 3 * CHUNK_BYTES and safeload.scan(data).verdict == "accepted"
    for off in (1, -1, 1 << 30, 1 << 62):
        longer = data.replace(text(texts[-1], order) + text(b"last", order), number(len(texts[-1]) + off, 8, order) + texts[-1] + text(b"last", order))
        assert safeload.scan(longer).verdict == "inconclusive"


def test_the_budget_holds() -> None:
    many = gguf(tuple(pair(b"a.%d" % index, 7, b"\1") for index in range(40)))
    for limits, rule in (({"members": 39}, "SL901"), ({"directory_bytes": 200}, "SL901"), ({"members": 40}, None)):
        report = safeload.scan(many, limits=limits)
        assert [finding.rule for finding in report.errors] == ([rule] if rule else []), limits
    assert [finding.rule for finding in safeload.scan(two(), limits={"tensors": 1}).errors] == ["SL901"]


@pytest.mark.parametrize(
    "template",
    [
        b"{{ x.__class__.__mro__ }}",
        b"{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
        b"{{ cycler.__init__.__globals__.os.popen('id') }}",
        b"{% set y = x | attr('a') %}",
        b"{{ x['__SUBCLASSES__'] }}",
        b"{{ x['__cla' + 'ss__'] }}",
        b'{{ x["_" * 2] }}',
        b"{{ x['\\137'] }}",
        b"{{ x['\\N{LOW LINE}'] }}",
        b"{{ self._TemplateReference__context }}",
        b"{{ '%c'|format(95) }}",
    ],
)
@pytest.mark.parametrize("key", [b"tokenizer.chat_template", b"tokenizer.chat_template.tool_use"])
def test_a_template_that_leaves_its_sandbox_is_code(key: bytes, template: bytes) -> None:
    data = gguf((pair(key, 8, text(template)),))
    report = safeload.scan(data)
    (finding,) = report.findings
    assert (report.verdict, finding.rule, finding.capability) == ("rejected", "SL124", "code.exec")
    starts = (b"__cl", b"\\x5f", b"__in", b"| at", b"|att", b"__su", b"'__c", b"'__s", b'"_" ', b"\\137", b"\\n{l", b"self", b"'%c'")
    assert finding.offset is not None and data[finding.offset : finding.offset + 4].lower() in starts


@pytest.mark.parametrize(
    "template",
    [
        b"{% for message in messages %}{{ '<|im_start|>' + message['role'] }}{% endfor %}",
        b"{{ messages|selectattr('role', 'equalto', 'system')|map(attribute='content')|list }}",
        b"{{ __tool_name__ }} {{ loop.index0 }} {{ namespace(attr=1).attr }}",
    ],
)
def test_an_ordinary_template_is_noted(template: bytes) -> None:
    report = safeload.scan(gguf((pair(b"tokenizer.chat_template", 8, text(template)),)))
    assert (report.verdict, [(each.rule, each.level) for each in report.findings]) == ("accepted", [("SL126", "note")])


def test_a_policy_can_refuse_templates(tmp_path: Path) -> None:
    policy = tmp_path / "strict.toml"
    policy.write_text(
        'schema = 1\nname = "strict"\nversion = "1"\nsummary = "No templates."\nowner = "us"\nmode = "enforce"\ndefault = "deny"\n'
        'extends = ["checkpoint"]\n[rules]\nSL126 = "error"\n'
    )
    report = safeload.scan(two(), policy=str(policy))
    assert (report.verdict, [(each.rule, each.level) for each in report.findings]) == ("rejected", [("SL126", "error")])


def test_it_is_found_inside_other_files() -> None:
    import gzip

    from tests.formats.test_plain import zipped

    assert safeload.scan(gzip.compress(two())).format == "gguf+gzip"
    data = zipped({"a/model.gguf": two(), "readme.md": b"text"})
    report = safeload.scan(data)
    assert (report.verdict, report.format, [each.member for each in report.findings]) == ("accepted", "zip", ["a/model.gguf"])
    with pytest.raises(safeload.UnsupportedFormat, match="an archive with a GGUF file in it"):
        safeload.load(data)


# ---- against gguf-py ------------------------------------------------------------------------------------------------------------------------


def test_the_tables_are_theirs() -> None:
    theirs = pytest.importorskip("gguf", reason="gguf is not installed: it is the reader to compare with")
    ours = {number_: (name, block, size) for number_, (name, block, size) in TENSOR_TYPES.items()}
    known = {int(kind): (kind.name, *sizes) for kind, sizes in theirs.GGML_QUANT_SIZES.items() if kind.name != "Q8_1"}
    assert {number_: known[number_] for number_ in ours if number_ in known} == {number_: sizes for number_, sizes in ours.items() if number_ in known}
    assert set(VALUE_BYTES) == {int(kind) for kind in theirs.GGUFValueType} - {8, 9}


@pytest.mark.parametrize("order", ["LITTLE", "BIG"])
def test_what_their_writer_writes_is_read(tmp_path: Path, order: str) -> None:
    theirs = pytest.importorskip("gguf", reason="gguf is not installed: it is the reader to compare with")
    import numpy as np

    file = tmp_path / "x.gguf"
    writer = theirs.GGUFWriter(str(file), "llama", endianess=getattr(theirs.GGUFEndian, order))
    writer.add_chat_template("{{ messages }}")
    writer.add_custom_alignment(64)
    writer.add_context_length(2048)
    writer.add_array("tokenizer.ggml.tokens", ["a", "bc", "\N{SNOWMAN}"])
    writer.add_array("some.numbers", [1, 2, 3])
    writer.add_bool("some.flag", True)
    writer.add_tensor("a", np.arange(6, dtype=np.float32).reshape(2, 3))
    writer.add_tensor("b", np.ones(5, np.float16))
    writer.add_tensor("c", np.zeros((2, 34), np.uint8), raw_dtype=theirs.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    reading = read(file)
    assert reading.report.verdict == "accepted" and reading.report.bytes_accounted == file.stat().st_size
    assert reading.container is not None and reading.container.byteorder == order.lower()
    assert [(each.member.name, each.type, each.dims) for each in reading.container.detail.tensors] == [
        ("a", "F32", (3, 2)), ("b", "F16", (5,)), ("c", "Q8_0", (32, 2)),
    ]  # fmt: skip
    if order == "LITTLE":
        expected = [(each.name, each.data_offset, each.n_bytes) for each in theirs.GGUFReader(str(file)).tensors]
        assert [(each.member.name, each.member.offset, each.member.size) for each in reading.container.detail.tensors] == expected


# ---- any change of a header ends in a report, within the budget -----------------------------------------------------------------------------


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(["little", "big"]), st.integers(0, 1 << 40), st.integers(1, 4))
def test_any_mutation_ends_in_a_report(order: Order, seed: int, times: int) -> None:
    data, random = two(order), Random(seed)
    for _ in range(times):
        data = edit_gguf(data, random)
    began = time.monotonic()
    report = safeload.scan(data, limits={"scan_seconds": 5})
    assert time.monotonic() - began < 10
    assert report.verdict == "accepted" or report.errors
    if report.verdict == "accepted" and report.format == "gguf":
        assert report.bytes_accounted == len(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"GGUF\3\0\0\0", b"GGUF\0\0\0\3", b"GGUF\2\0\0\0", b"GGUF"]))
def test_any_bytes_end_in_a_report(tail: bytes, head: bytes) -> None:
    try:
        container(head + tail)
    except CheckpointError as error:
        assert error.rule in ("SL137", "SL004", "SL002", "SL901")


@settings(max_examples=300, deadline=None)
@given(st.integers(4, len(two()) - 33), st.integers(0, 255))
def test_any_byte_of_the_header_may_change(at: int, value: int) -> None:
    """What is accepted still covers every byte, and its tensors lie one behind the other."""
    data = bytearray(two())
    data[at] = value
    try:
        found = container(bytes(data))
    except CheckpointError:
        return
    position = 0
    for each in found.detail.tensors:
        assert each.member.offset >= position and not each.member.offset % int(found.info["alignment"])
        position = each.member.offset + each.member.size
    assert position <= len(data)
