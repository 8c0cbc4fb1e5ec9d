"""The tar format of torch 0.1: torch 2.13 reads the same from the same bytes, and what it reads too trustingly is refused."""

from __future__ import annotations

import gzip
import io
import random
import warnings
from pathlib import Path
from struct import pack
from typing import Any

import numpy as np
import pytest
from containers.zipbuild import Part, build
from hostile.hostile import SYSTEM, archive
from hostile.hostile import storage as zip_id
from policy.listings import outcome, refused

import safeload
from safeload.limits import DEFAULT_LIMITS
from safeload.opcodes.assemble import assemble

from .tarbuild import checkpoint, ids, members, number, storage, tar, tensor, views

SIX = np.arange(6, dtype="<f4").tobytes()


def by_torch(data: bytes, folder: Path) -> Any:
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    (folder / "file.tar").write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(folder / "file.tar", weights_only=False)


def same(ours: list[Any], theirs: list[Any]) -> None:
    """The same bytes, shapes and identities."""
    import torch

    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(other, torch.Tensor):
            assert np.array_equal(one, other.numpy()) and str(one.dtype) == str(other.dtype).removeprefix("torch.") and one.shape == tuple(other.shape)
        else:
            assert one.array.tobytes() == bytes(other._untyped_storage) and one.dtype == str(other.dtype).removeprefix("torch.")
    assert [[one is other for other in ours] for one in ours] == [[one is other for other in theirs] for one in theirs]


def test_the_whole_format_with_aliasing(tmp_path: Path) -> None:
    data = checkpoint(
        [storage(1, SIX), storage(3, np.arange(2, dtype="<i8").tobytes(), kind="LongStorage")],
        [tensor(7, 1), tensor(8, 2, (2,), (1,)), tensor(9, 1, (3, 2), (1, 3)), tensor(10, 3, (2, 2), (0, 1), kind="LongTensor")],
        ids(7, "8", "1", 2, "7", 9, 10),
        view=views((2, 1, 3, 2)),
    )
    report = safeload.scan(data)
    assert (report.verdict, report.format, report.bytes_accounted, report.tensors) == ("accepted", "torch.tar", len(data), 4)
    found = safeload.load(data)
    assert found[0] is found[4] and found[0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found[1].tolist() == [3, 4] and np.shares_memory(found[0], found[1]) and np.shares_memory(found[2].array, found[3].array)
    assert found[3].array.tolist() == [3, 4] and found[3].size == 2
    found[1][0] = 30
    assert found[0][1, 0] == found[5][0, 1] == 30 and safeload.load(data)[1][0] == 3
    same(safeload.load(data), by_torch(data, tmp_path))


def test_from_paths_bytes_and_files_at_any_place(tmp_path: Path) -> None:
    """torch reads tar from real files at their start alone, and never without weights_only=False."""
    data = checkpoint([storage(1, SIX)])
    path = tmp_path / "model.pth"
    path.write_bytes(b"behind this" + data)
    with path.open("rb") as file:
        file.seek(11)
        assert safeload.load(file)[0].tolist() == [[0, 1, 2], [3, 4, 5]]
    path.write_bytes(data)
    for given in (data, io.BytesIO(data), path, str(path)):
        assert safeload.load(given)[0].tolist() == safeload.load(given, mmap=False)[0].tolist() == [[0, 1, 2], [3, 4, 5]]
    with safeload.open(path) as file:
        assert data[file.info("0").file_offset :][:24] == SIX


def test_payloads_are_neither_read_nor_copied(tmp_path: Path) -> None:
    from safeload.source import ByteSource

    count = 1 << 20
    path = tmp_path / "large.tar"
    path.write_bytes(checkpoint([storage(1, bytes(4 * count))], [tensor(7, 1, (count,), (1,))]))
    read = 0
    original = ByteSource.read

    def counted(self: ByteSource, offset: int, length: int) -> bytes:
        nonlocal read
        read += length
        return original(self, offset, length)

    ByteSource.read = counted  # type: ignore[method-assign]
    try:
        assert safeload.load(path)[0].shape == (count,)
    finally:
        ByteSource.read = original  # type: ignore[method-assign]
    assert read < 100_000


def test_random_tables_read_as_torch_reads_them(tmp_path: Path) -> None:
    rng = random.Random("tables of torch 0.1")
    kinds = {"Float": "<f4", "Double": "<f8", "Long": "<i8", "Half": "<f2", "Byte": "u1"}
    for _ in range(60):
        storages, tensors, made, keys = [], [], [], list(range(1, 40))
        rng.shuffle(keys)
        for _ in range(rng.randint(1, 4)):
            kind, length, key = rng.choice(list(kinds)), rng.randint(1, 12), keys.pop()
            storages.append(storage(key, np.arange(length).astype(kinds[kind]).tobytes(), kind=f"{kind}Storage"))
            made.append((key, kind, length))
        parts = []
        for key, kind, length in rng.sample(made, rng.randint(0, len(made))):
            start = rng.randint(0, length - 1)
            parts.append((keys.pop(), key, start, rng.randint(1, length - start)))
            made.append((parts[-1][0], kind, parts[-1][3]))
        for on, kind, length in made:
            rows = rng.randint(1, length)
            columns = rng.randint(1, length // rows)
            tensors.append(
                tensor(keys.pop(), on, (rows, columns), rng.choice([(columns, 1), (1, 0), (0, 0)]), 0, kind=f"{kind}Tensor", garbage=rng.randbytes(4))
            )
        listed = [key for key, _, _ in made] + [int.from_bytes(entry[3:4], "little") for entry in tensors]
        data = checkpoint(storages, tensors, ids(*(rng.choice([key, str(key)]) for key in listed)), view=views(*parts))
        same(safeload.load(data), by_torch(data, tmp_path))


@pytest.mark.parametrize("dims", [0, 1])
def test_a_tensor_without_dimensions(dims: int, tmp_path: Path) -> None:
    """A scalar for torch since 0.4; before it an empty tensor, which has no elements to stand on and perhaps no storage."""
    scalar = checkpoint([storage(1, SIX)], [tensor(7, 1, (), (), 4)])
    assert safeload.load(scalar)[0].shape == () and safeload.load(scalar)[0] == by_torch(scalar, tmp_path)[0] == 4
    empty = checkpoint([storage(1, b"")], [tensor(7, 1 if dims else None, (0,) * dims, (1,) * dims), tensor(8, None, (), (), kind="LongTensor")], ids(7, 8))
    assert [(part.shape, str(part.dtype)) for part in safeload.load(empty)] == [((0,), "float32"), ((0,), "int64")]
    refused(checkpoint(tensors=[tensor(7, None, (1,), (1,))]), "SL401")


def test_an_object_as_the_first_releases_pickled_it() -> None:
    """A module class with its source, a Parameter with its state, keys as Python 2 strings and in protocol 0."""
    parameter = "GLOBAL torch.nn.parameter Parameter\nEMPTY_TUPLE\nNEWOBJ\nMARK\nBINUNICODE '7'\nBINPERSID\nNONE\nNONE\nNEWTRUE\nNEWFALSE\nTUPLE\nBUILD\n"
    module = "GLOBAL acme.models Net\nBINUNICODE '/home/me/models.py'\nBINUNICODE 'class Net: ...'\nTUPLE3\nBINPERSID\nEMPTY_TUPLE\nNEWOBJ\n"
    state = f"EMPTY_DICT\nBINUNICODE 'w'\n{parameter}SETITEM\nBUILD\n"
    data = checkpoint([storage(1, SIX)], obj=assemble(f"PROTO 2\n{module}{state}STOP"))
    assert safeload.scan(data).verdict == "rejected" and [f.global_name for f in safeload.scan(data).errors] == ["acme.models.Net"]
    record = safeload.load(data, policy="inspect")
    assert record.type_name == "acme.models.Net" and record.attributes["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert safeload.load(checkpoint(obj=assemble("PERSID '7'\nSTOP"))).shape == (2, 3)
    assert safeload.load(checkpoint(obj=assemble("PROTO 2\nSHORT_BINSTRING '7'\nBINPERSID\nSTOP")), encoding="bytes").shape == (2, 3)
    with safeload.open(checkpoint(obj=assemble(f"PROTO 2\n{parameter}STOP"))) as file:
        assert file.info("tensor").requires_grad


def test_map_location_moves_storages() -> None:
    data = checkpoint([storage(1, SIX, location="cuda:1")])
    seen = []
    assert safeload.load(data, map_location=lambda stored, tag: seen.append(tag) or stored)[0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert seen == ["cuda:1"]
    assert safeload.load(data, map_location="meta")[0].shape == (2, 3)


BAD = {
    "count-too-high": ({"storages": number(2) + storage() + views()}, "SL120", "SL202", "SL004"),
    "count-huge": ({"storages": assemble("PROTO 2\nLONG1 99999999999999\nSTOP") + storage() + views()}, "SL901"),
    "count-negative": ({"storages": assemble("PROTO 2\nBININT -1\nSTOP") + storage() + views()}, "SL120"),
    "count-is-bool": ({"storages": assemble("PROTO 2\nNEWTRUE\nSTOP") + storage() + views()}, "SL120"),
    "bytes-behind-storages": ({"storages": members()["storages"] + b"\0"}, "SL207"),
    "bytes-behind-tensors": ({"tensors": members()["tensors"] + b"\0"}, "SL207"),
    "bytes-behind-object": ({"pickle": members()["pickle"] + b"\0"}, "SL207"),
    "elements-beyond": (members([storage(count=7)]), "SL201"),
    "elements-huge": (members([storage(count=(1 << 62) + 6)]), "SL004"),
    "elements-negative": (members([storage(count=-6)]), "SL004"),
    "key-twice": (members([storage(), storage()]), "SL106"),
    "tensor-twice": (members(tensors=[tensor(), tensor()]), "SL106"),
    "tensor-on-a-storage's-key": (members(tensors=[tensor(1)]), "SL106"),
    "view-on-a-key": (members(view=views((1, 1, 0, 1))), "SL106"),
    "key-is-text": (members([assemble("PROTO 2\nBINUNICODE '1'\nBINUNICODE 'cpu'\nGLOBAL torch FloatStorage\nTUPLE3\nSTOP") + pack("<q", 0)]), "SL120"),
    "key-is-long": (members([assemble(f"PROTO 2\nLONG1 {1 << 64}\nBINUNICODE 'cpu'\nGLOBAL torch FloatStorage\nTUPLE3\nSTOP") + pack("<q", 0)]), "SL120"),
    "location-is-int": (members([assemble("PROTO 2\nBININT 1\nBININT 1\nGLOBAL torch FloatStorage\nTUPLE3\nSTOP") + pack("<q", 0)]), "SL120"),
    "type-is-text": (members([assemble("PROTO 2\nBININT 1\nBINUNICODE 'cpu'\nBINUNICODE 'FloatStorage'\nTUPLE3\nSTOP") + pack("<q", 0)]), "SL120"),
    "type-is-a-tensor": (members([storage(kind="FloatTensor")]), "SL120"),
    "type-is-elsewhere": (members([storage(module="evil")]), "SL301"),
    "type-is-a-payload": (members([storage(module="posix", kind="system")]), "SL301"),
    "tensor-type-is-a-storage": (members(tensors=[tensor(kind="FloatStorage")]), "SL120"),
    "tensor-type-is-a-payload": (members(tensors=[tensor(module="posix", kind="system")]), "SL301"),
    "tensor-type-disagrees": (members(tensors=[tensor(kind="DoubleTensor")]), "SL406"),
    "tensor-type-has-no-dtype": (members(tensors=[tensor(kind="Tensor")]), "SL120"),
    "on-no-storage": (members(tensors=[tensor(on=2)]), "SL403"),
    "on-a-tensor": (members(tensors=[tensor(7), tensor(8, 7)]), "SL403"),
    "beyond": (members(tensors=[tensor(7, 1, (7,), (1,))]), "SL401"),
    "beyond-by-offset": (members(tensors=[tensor(offset=1)]), "SL401"),
    "beyond-by-stride": (members(tensors=[tensor(strides=(4, 1))]), "SL401"),
    "beyond-a-view": (members([storage(1, SIX)], [tensor(7, 2, (3,), (1,))], view=views((2, 1, 3, 2))), "SL401"),
    "wraps": (members(tensors=[tensor(strides=((1 << 62), 1))]), "SL401"),
    "offset-negative": (members(tensors=[tensor(offset=-1)]), "SL405"),
    "stride-negative": (members(tensors=[tensor(strides=(-3, 1))]), "SL405"),
    "size-negative": (members(tensors=[tensor(shape=(-2, 3))]), "SL405"),
    "dims-negative": (members(tensors=[tensor(dims=-1)]), "SL405"),
    "dims-huge": (members(tensors=[tensor(dims=0x7FFFFFFF)]), "SL405"),
    "view-leaves": (members(view=views((2, 1, 5, 2))), "SL401"),
    "view-negative": (members(view=views((2, 1, -1, 2))), "SL401"),
    "view-of-a-view-leaves": (members(view=views((2, 1, 3, 2), (3, 2, 1, 2))), "SL401"),
    "view-of-nothing": (members(view=views((2, 5, 0, 1))), "SL403"),
    "views-are-no-list": (members(view=assemble("PROTO 2\nEMPTY_TUPLE\nSTOP")), "SL120"),
    "view-is-short": (members(view=assemble("PROTO 2\nEMPTY_LIST\nBININT 1\nTUPLE1\nAPPEND\nSTOP")), "SL120"),
    "view-of-bools": (members(view=assemble("PROTO 2\nEMPTY_LIST\nMARK\nBININT 2\nBININT 1\nNEWFALSE\nNEWTRUE\nTUPLE\nAPPEND\nSTOP")), "SL120"),
    "id-unknown": (members(obj=ids(5)), "SL403"),
    "id-is-none": (members(obj=assemble("PROTO 2\nNONE\nBINPERSID\nSTOP")), "SL306"),
    "id-is-bool": (members(obj=assemble("PROTO 2\nNEWTRUE\nBINPERSID\nSTOP")), "SL306"),
    "id-is-a-word": (members(obj=assemble("PERSID 'seven'\nSTOP")), "SL306"),
    "id-of-zips": (members(obj=assemble("PROTO 2\n" + zip_id(key="'1'") + "STOP")), "SL306"),
    "id-of-a-payload": (members(obj=assemble("PROTO 2\nGLOBAL posix system\nNONE\nNONE\nTUPLE3\nBINPERSID\nSTOP")), "SL301"),
    "id-of-a-tensor-class": (members(obj=assemble("PROTO 2\nGLOBAL torch FloatTensor\nNONE\nNONE\nTUPLE3\nBINPERSID\nSTOP")), "SL306"),
    "object-is-a-payload": (members(obj=assemble("PROTO 2\nGLOBAL posix system\nBINUNICODE 'x'\nTUPLE1\nREDUCE\nSTOP")), "SL301"),
    "entry-is-a-payload": ({"storages": number(1) + assemble("PROTO 2\nGLOBAL posix system\nBINUNICODE 'x'\nTUPLE1\nREDUCE\nSTOP")}, "SL301"),
    "sys-info-is-a-payload": ({"sys_info": assemble("PROTO 2\nGLOBAL posix system\nBINUNICODE 'x'\nTUPLE1\nREDUCE\nSTOP")}, "SL301"),
    "sys-info-is-a-list": ({"sys_info": assemble("PROTO 2\nEMPTY_LIST\nSTOP")}, "SL120"),
    "another-member": ({"readme": b"not a pickle"}, "SL122"),
    "another-pickle": ({"more": assemble("PROTO 2\nGLOBAL posix system\nSTOP")}, "SL301"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_torch_would_trust_is_refused(name: str) -> None:
    content, *rules = BAD[name]
    refused(tar({**members(), **content}), *rules)


def test_a_payload_in_the_object_is_named_whatever_the_tables_hold() -> None:
    data = checkpoint([storage(count=-1)], obj=assemble("PROTO 2\nGLOBAL posix system\nBINUNICODE 'x'\nTUPLE1\nREDUCE\nSTOP"))
    report = safeload.scan(data)
    assert report.verdict == "rejected" and {finding.rule for finding in report.errors} == {"SL301", "SL004"}
    report = safeload.scan(checkpoint([storage(count=-1)], obj=ids(7, "8")))
    assert report.verdict == "inconclusive" and {finding.rule for finding in report.errors} == {"SL004"}  # nobody knows what the ids stand for


def test_a_folder_is_none_of_torchs() -> None:
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo("folder")
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
        for name, data in members().items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    refused(out.getvalue(), "SL120")


@pytest.mark.parametrize("missing", ["pickle", "tensors", "storages", "sys_info"])
def test_a_part_that_is_missing(missing: str) -> None:
    content = members()
    del content[missing]
    data = tar(content)
    if missing == "sys_info":  # torch never opens it
        assert safeload.load(data)[0].shape == (2, 3)
    else:
        assert safeload.scan(data).verdict != "accepted" and safeload.scan(data).format == "tar"


def test_a_plain_tar_is_named_and_what_stands_in_it_is_judged() -> None:
    assert safeload.scan(tar({"model.yaml": b"a: 1"})).verdict == "inconclusive"
    payload = assemble(f"PROTO 2\n{SYSTEM}STOP")
    for content in (payload, archive(SYSTEM), tar({"deep.pkl": payload}), gzip.compress(payload), archive("NONE\n", extra=(Part(b"a/more", payload),))):
        report = safeload.scan(tar({"model.yaml": b"a: 1", "weights.ckpt": content}))
        assert report.verdict == "rejected" and "posix.mkdir" in {finding.global_name for finding in report.errors}
        with pytest.raises(safeload.CheckpointError):
            safeload.load(tar({"weights.ckpt": content}))


def test_a_compressed_tar_and_one_in_a_zip() -> None:
    data = checkpoint([storage(1, SIX)])
    assert safeload.load(gzip.compress(data))[0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert safeload.scan(gzip.compress(data)).format == "torch.tar+gzip"
    bad = checkpoint(obj=assemble(f"PROTO 2\n{SYSTEM}STOP"))
    report = safeload.scan(build([Part(b"models/old.tar", bad)]))
    assert report.verdict == "rejected" and "posix.mkdir" in {finding.global_name for finding in report.errors}


def test_tars_within_tars_end() -> None:
    data = b"x"
    for _ in range(12):
        data = tar({"inner": data})
    assert safeload.scan(data).verdict == "inconclusive"


def test_limits_hold_for_tables() -> None:
    data = checkpoint([storage(1, SIX)], [tensor(7), tensor(8)])
    assert safeload.scan(data, limits={"tensors": 2}).verdict == "accepted"
    refused_limits = DEFAULT_LIMITS.replaced({"tensors": 1})
    assert safeload.scan(data, limits=refused_limits).verdict == "inconclusive"
    bomb = checkpoint([storage(1, SIX)], [tensor(7, 1, (1 << 21, 1 << 21), (0, 0))])
    assert safeload.scan(bomb).verdict == "inconclusive" and {f.rule for f in safeload.scan(bomb).errors} == {"SL901"}


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_cut_file_is_never_accepted(cut: int) -> None:
    data = checkpoint([storage(1, SIX)])
    least = len(data.rstrip(b"\0")) // 512 * 512 + 512 + 1024  # what follows are zeros that fill the record, which some writers leave out
    assert safeload.scan(data[: least * cut // 40]).verdict != "accepted"
    assert safeload.scan(data[:least]).verdict == "accepted"


def test_changed_bytes_give_a_value_or_a_refusal() -> None:
    rng = random.Random("bytes of a tar checkpoint")
    good = checkpoint([storage(1, SIX)], [tensor(7), tensor(8, 2, (2,), (1,))], ids(7, "8", 1), view=views((2, 1, 3, 2)))
    at = [place for place in range(len(good)) if good[place]]
    for _ in range(1_500):
        data = bytearray(good)
        data[rng.choice(at)] = rng.randrange(256)
        outcome(bytes(data))
