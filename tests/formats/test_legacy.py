"""The sequential format: what it accounts for, and what it refuses."""

from __future__ import annotations

import io
import pickle
from struct import pack

import numpy as np
import pytest

import safeload
from safeload.opcodes.assemble import assemble

MAGIC = 0x1950A86A20F9469CFC6C
OBJECT = """
PROTO 2
EMPTY_DICT
BINUNICODE 'w'
GLOBAL torch._utils _rebuild_tensor_v2
MARK
MARK
BINUNICODE 'storage'
GLOBAL torch FloatStorage
BINUNICODE '{key}'
BINUNICODE 'cpu'
BININT1 {numel}
{view}
TUPLE
BINPERSID
BININT1 {offset}
BININT1 2
TUPLE1
BININT1 1
TUPLE1
NEWFALSE
GLOBAL collections OrderedDict
EMPTY_TUPLE
REDUCE
TUPLE
REDUCE
SETITEM
STOP
"""


def save(
    *,
    magic: bytes | None = None,
    version: object = 1001,
    info: object = None,
    key: str = "k",
    numel: int = 3,
    offset: int = 0,
    view: str = "NONE",
    keys: object = ("k",),
    payload: bytes | None = None,
    protocol: int = 2,
) -> bytes:
    """One legacy file with a tensor of two floats over a storage of three; every part can be replaced by a wrong one."""
    head = pickle.dumps(MAGIC, protocol) if magic is None else magic
    parts = [head, pickle.dumps(version, protocol), pickle.dumps({"little_endian": True} if info is None else info, protocol)]
    parts.append(assemble(OBJECT.format(key=key, numel=numel, offset=offset, view=view)))
    parts.append(pickle.dumps(list(keys) if isinstance(keys, tuple) else keys, protocol))
    parts.append(pack("<q", 3) + np.arange(3, dtype="<f4").tobytes() if payload is None else payload)
    return b"".join(parts)


def test_every_byte_is_accounted_for_and_the_tensor_is_a_view() -> None:
    data = save()
    report = safeload.scan(data)
    assert (report.verdict, report.format, report.bytes_accounted, report.tensors) == ("accepted", "torch.legacy", len(data), 1)
    assert safeload.load(data)["w"].tolist() == [0.0, 1.0]
    with safeload.open(data) as checkpoint:
        info = checkpoint.info("w")
        assert data[info.file_offset :][:4] == b"\0\0\0\0" and info.nbytes == 8


def test_a_storage_view_of_torch_0_3_counts_from_its_offset() -> None:
    view = "BINUNICODE 'v'\nBININT1 1\nBININT1 2\nTUPLE3"
    assert safeload.load(save(view=view))["w"].tolist() == [1.0, 2.0]
    beyond = "BINUNICODE 'v'\nBININT1 2\nBININT1 2\nTUPLE3"
    assert {finding.rule for finding in safeload.scan(save(view=beyond)).errors} == {"SL401"}
    assert {finding.rule for finding in safeload.scan(save(view=view, offset=1)).errors} == {"SL401"}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"version": 1002}, "SL121"),
        ({"version": True}, "SL121"),
        ({"info": [1]}, "SL120"),
        ({"keys": ()}, "SL120"),
        ({"keys": ("k", "l")}, "SL120"),
        ({"keys": ("k", "k")}, "SL106"),
        ({"keys": 7}, "SL120"),
        ({"payload": pack("<q", 4) + bytes(16)}, "SL402"),
        ({"payload": pack("<q", -3) + bytes(12)}, "SL402"),
        ({"payload": pack("<q", 3) + bytes(11)}, "SL004"),
        ({"payload": b"\3"}, "SL004"),
        ({"numel": 4}, "SL402"),
        ({"offset": 2}, "SL401"),
    ],
)
def test_what_does_not_agree_is_refused(changes: dict[str, object], rule: str) -> None:
    data = save(**changes)  # type: ignore[arg-type]
    assert rule in {finding.rule for finding in safeload.scan(data).errors}
    with pytest.raises(safeload.CheckpointError):
        safeload.load(data)


def test_a_computed_magic_number_is_no_header() -> None:
    """GHSA-97f8-7cmv-76j2: `eval("0x1950...")` in the first stream made a scanner give up on the file."""
    magic = assemble("PROTO 2\nGLOBAL __builtin__ eval\nBINUNICODE '0x1950a86a20f9469cfc6c'\nTUPLE1\nREDUCE\nSTOP")
    report = safeload.scan(save(magic=magic))
    assert report.verdict == "rejected" and {use.global_name for use in report.globals if use.decision == "denied"} == {"__builtin__.eval"}


def test_a_name_in_a_header_stream_is_refused() -> None:
    data = save(info=None).replace(pickle.dumps({"little_endian": True}, 2), assemble("PROTO 2\nGLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nSTOP"))
    assert safeload.scan(data).verdict == "inconclusive"
    with pytest.raises(safeload.CheckpointError):
        safeload.load(data)


def test_bytes_behind_the_last_payload_are_not_passed_over() -> None:
    assert {finding.rule for finding in safeload.scan(save() + b"\0\1\2").errors} == {"SL207"}


def test_saves_and_pickles_behind_each_other_are_read_one_by_one() -> None:
    """torch `test_serialization_offset`: arbitrary pickles between saves, from any position."""
    file = io.BytesIO(b"junk" + pickle.dumps([1], 2) + save() + pickle.dumps("x", 4) + save())
    file.seek(4)
    loaded = [safeload.load(file) for _ in range(4)]
    assert loaded[0] == [1] and loaded[2] == "x" and file.read() == b""
    assert [loaded[at]["w"].tolist() for at in (1, 3)] == [[0.0, 1.0]] * 2


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_cut_file_is_never_accepted(cut: int) -> None:
    data = save()
    assert safeload.scan(data[: len(data) * cut // 40]).verdict != "accepted"


def test_only_the_pickles_and_the_lengths_of_a_large_file_are_read(tmp_path: object) -> None:
    """A payload of a gigabyte that is sparse on disk is neither read nor copied by a scan."""
    import os
    from pathlib import Path

    from safeload.source import ByteSource

    path = Path(str(tmp_path)) / "large.pt"
    count = 1 << 28
    body = assemble(OBJECT.format(key="k", numel=0, offset=0, view="NONE").replace("BININT1 0\nNONE", f"BININT {count}\nNONE"))
    head = b"".join(pickle.dumps(part, 2) for part in (MAGIC, 1001, {})) + body + pickle.dumps(["k"], 2) + pack("<q", count)
    path.write_bytes(head)
    os.truncate(path, len(head) + 4 * count)
    read = 0
    original = ByteSource.read

    def counted(self: ByteSource, offset: int, length: int) -> bytes:
        nonlocal read
        read += length
        return original(self, offset, length)

    ByteSource.read = counted  # type: ignore[method-assign]
    try:
        assert safeload.scan(str(path)).verdict == "accepted"
    finally:
        ByteSource.read = original  # type: ignore[method-assign]
    assert read < 8 << 20
    assert safeload.load(str(path))["w"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("suffix", ["", ", None", ", ('v', 1, 2)"])
def test_protocol_0_spells_its_storages_out_and_loads(suffix: str) -> None:
    """torch writes such a file and cannot read it: its reader asserts a tuple where protocol 0 has room for text alone."""
    listing = OBJECT.format(key="k", numel=3, offset=0, view="NONE")
    start, end = listing.index("MARK\nBINUNICODE 'storage'"), listing.index("BINPERSID")
    spelled = f"""PERSID "('storage', <class 'torch.FloatStorage'>, 'k', 'cpu', 3{suffix})"\n"""
    parts = [pickle.dumps(MAGIC, 2), pickle.dumps(1001, 2), pickle.dumps({}, 2), assemble(listing[:start] + spelled + listing[end + len("BINPERSID\n") :])]
    data = b"".join([*parts, pickle.dumps(["k"], 2), pack("<q", 3), np.arange(3, dtype="<f4").tobytes()])
    report = safeload.scan(data)
    assert report.verdict == "accepted"
    assert [use.global_name for use in report.globals if use.uses == ("storage-type",)] == ["torch.FloatStorage"]
    assert safeload.load(data)["w"].tolist() == ([1.0, 2.0] if "v" in suffix else [0.0, 1.0])


def test_protocol_0_with_any_other_text_is_no_storage() -> None:
    listing = OBJECT.format(key="k", numel=3, offset=0, view="NONE")
    start, end = listing.index("MARK\nBINUNICODE 'storage'"), listing.index("BINPERSID")
    stream = assemble(listing[:start] + "PERSID 'k'\n" + listing[end + len("BINPERSID\n") :])
    parts = [pickle.dumps(MAGIC, 2), pickle.dumps(1001, 2), pickle.dumps({}, 2), stream]
    with pytest.raises(safeload.CheckpointError, match="which is no storage"):
        safeload.load(b"".join([*parts, pickle.dumps(["k"], 2), pack("<q", 3), bytes(12)]))


def loose_views(*views: str) -> bytes:
    """A legacy file whose object is a list of storages, some of them views of others."""
    pids = "".join(
        f"MARK\nBINUNICODE 'storage'\nGLOBAL torch FloatStorage\nBINUNICODE 'k'\nBINUNICODE 'cpu'\nBININT1 3\n{view}\nTUPLE\nBINPERSID\n" for view in views
    )
    parts = [pickle.dumps(MAGIC, 2), pickle.dumps(1001, 2), pickle.dumps({}, 2), assemble(f"PROTO 2\nEMPTY_LIST\nMARK\n{pids}APPENDS\nSTOP")]
    return b"".join([*parts, pickle.dumps(["k"], 2), pack("<q", 3), np.arange(3, dtype="<f4").tobytes()])


def test_a_view_of_a_storage_is_a_part_of_it() -> None:
    """torch `test_serialization_storage_slice`: the second storage begins one element behind the first."""
    view = "BINUNICODE '{}'\nBININT1 {}\nBININT1 {}\nTUPLE3"
    data = loose_views("NONE", view.format("v", 1, 2), view.format("v", 1, 2), view.format("u", 1, 2))
    whole, part, again, other = safeload.load(data)
    assert part is again is not other and part.array.tolist() == [1.0, 2.0] and (part.size, part.nbytes) == (2, 8)
    assert part.array.ctypes.data == whole.array.ctypes.data + 4 == other.array.ctypes.data
    for bad in (view.format("v", 2, 2), view.format("v", 0, 4)):
        assert {finding.rule for finding in safeload.scan(loose_views("NONE", bad)).errors} == {"SL401"}
    assert {finding.rule for finding in safeload.scan(loose_views(view.format("v", 1, 2), view.format("v", 0, 2))).errors} == {"SL404"}
