"""Refusals of the container readers that need a file made for them alone."""

from __future__ import annotations

import io
import json
import tarfile
from struct import pack

import numpy as np
import pytest

import safeload
from safeload.budget import Budget
from safeload.containers import shard_index
from safeload.containers import tar as tar_module
from safeload.containers.json_strict import BadJson, parse
from safeload.containers.safetensors import read_safetensors
from safeload.containers.tar import read_tar
from safeload.containers.torch_zip import read_torch_zip
from safeload.errors import CheckpointError, ContainerError, LimitExceeded
from safeload.limits import DEFAULT_LIMITS
from safeload.source import ByteSource

from .zipbuild import Part, build, source_of, torch_parts

SCRIPT = [Part(b"m/data.pkl", b"\x80\x02N."), Part(b"m/constants.pkl", b"\x80\x02)."), Part(b"m/version", b"3\n")]


def tar(*, name: str, form: int, **more: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        entry = tarfile.TarInfo(name)
        entry.size = 1
        for key, value in more.items():
            setattr(entry, key, value)
        archive.addfile(entry, io.BytesIO(b"x"))
    return out.getvalue()


def test_zeros_in_front_of_something_are_not_a_file_of_zeros() -> None:
    report = safeload.scan(bytes(5_000) + b"x")
    assert (report.verdict, report.errors[0].rule) == ("inconclusive", "SL001")


def test_json_with_a_byte_order_mark() -> None:
    with pytest.raises(BadJson, match="byte order mark"):
        parse(b"\xef\xbb\xbf{}")


def test_a_npy_header_with_a_value_in_parentheses_is_read_as_numpy_reads_it() -> None:
    header = b"{'descr': ('<f4'), 'fortran_order': False, 'shape': (2,), }\n"
    data = b"\x93NUMPY\1\0" + pack("<H", len(header)) + header + bytes(8)
    assert safeload.load(data).tolist() == np.load(io.BytesIO(data)).tolist() == [0, 0]


def test_a_safetensors_header_that_is_no_object() -> None:
    with pytest.raises(ContainerError, match="no object"):
        read_safetensors(source_of(pack("<Q", 2) + b"[]"), DEFAULT_LIMITS)


def test_the_tensors_of_a_safetensors_file_are_members() -> None:
    header = json.dumps({name: {"dtype": "U8", "shape": [1], "data_offsets": [at, at + 1]} for at, name in enumerate("ab")}).encode()
    data = pack("<Q", len(header)) + header + b"xy"
    assert safeload.scan(data, limits={"members": 2}).verdict == "accepted"
    assert safeload.scan(data, limits={"members": 1}).errors[0].rule == "SL901"


def test_json_too_long_for_an_index_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    data = json.dumps({"metadata": {}, "weight_map": {"a": "x.safetensors"}}).encode()
    monkeypatch.setattr(shard_index, "MAX_INDEX_BYTES", len(data) - 1)
    assert safeload.scan(data).errors[0].rule == "SL003"


def test_many_tar_headers_look_at_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_module, "HEADERS_PER_CHECK", 1)
    data = tar(name="a", form=tarfile.USTAR_FORMAT)
    budget = Budget(DEFAULT_LIMITS)
    assert read_tar(source_of(data), DEFAULT_LIMITS, budget).members
    budget.deadline = -1
    with pytest.raises(LimitExceeded, match="scan_seconds"):
        read_tar(source_of(data), DEFAULT_LIMITS, budget)


def test_a_tar_that_cannot_be_read_says_so() -> None:
    with pytest.raises(CheckpointError) as caught:
        read_tar(ByteSource(name="gone", size=10_240, fd=-1), DEFAULT_LIMITS)
    assert caught.value.rule == "SL005"


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
def test_a_long_name_with_a_nul_is_sl142(form: int) -> None:
    data = tar(name="x" * 120, form=form)
    assert safeload.scan(data).format == "tar"
    report = safeload.scan(data.replace(b"x" * 120, b"x" * 60 + b"\0" + b"x" * 59))
    assert (report.verdict, report.errors[0].rule) == ("inconclusive", "SL142")


def test_a_folder_of_a_script_holds_nothing() -> None:
    assert read_torch_zip(source_of(build([*SCRIPT, Part(b"m/extra/")])), DEFAULT_LIMITS).members["m/extra/"].role == "directory"
    with pytest.raises(ContainerError, match="folder with 4 bytes") as caught:
        read_torch_zip(source_of(build([*SCRIPT, Part(b"m/extra/", b"data")])), DEFAULT_LIMITS)
    assert caught.value.rule == "SL120"


def test_a_folder_in_the_early_storages_is_no_storage() -> None:
    parts = [part for part in torch_parts() if not part.name.startswith(b"archive/data/")]
    container = read_torch_zip(source_of(build([*parts, Part(b"archive/tensors/7", b"x"), Part(b"archive/tensors/a/b", b"y")])), DEFAULT_LIMITS)
    assert list(container.storages) == ["7"] and container.members["archive/tensors/a/b"].role == "unknown"


def test_a_member_that_the_directory_does_not_list_stands_first() -> None:
    with pytest.raises(ContainerError, match="stand before the first member") as caught:
        read_torch_zip(source_of(build([Part(b"hidden", b"x", local_only=True), *torch_parts()])), DEFAULT_LIMITS)
    assert caught.value.rule == "SL109"


def test_two_entries_for_one_member_overlap() -> None:
    twice = Part(b"archive/data/2", bytes(range(100)), central_only=True, central={"offset": 0})
    with pytest.raises(ContainerError) as caught:
        read_torch_zip(source_of(build([*torch_parts(), twice])), DEFAULT_LIMITS)
    assert caught.value.rule in ("SL108", "SL110")
