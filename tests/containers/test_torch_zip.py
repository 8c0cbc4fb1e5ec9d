"""The layout of a torch.save archive: SL002, SL120, SL121, roles, records."""

from __future__ import annotations

import pytest

from safeload.containers.base import Container
from safeload.containers.torch_zip import read_torch_zip
from safeload.errors import CheckpointError, ContainerError
from safeload.limits import DEFAULT_LIMITS

from .zipbuild import Part, build, source_of, torch_parts


def read(parts: list[Part]) -> Container:
    data = build(parts)
    container = read_torch_zip(source_of(data), DEFAULT_LIMITS)
    assert container.accounted == len(data)
    return container


def refused(parts: list[Part]) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        read(parts)
    return caught.value


def test_a_checkpoint_of_a_late_torch() -> None:
    container = read(torch_parts())
    assert container.format == "torch.zip" and container.byteorder == "little"
    assert container.pickles == ("archive/data.pkl",)
    assert list(container.storages) == ["0", "1"]
    assert container.storages["0"] == container.members["archive/data/0"]
    assert container.storages["0"].size == 100
    assert {name: member.role for name, member in container.members.items()} == {
        "archive/data.pkl": "pickle",
        "archive/.format_version": "record",
        "archive/.storage_alignment": "record",
        "archive/byteorder": "record",
        "archive/data/0": "storage",
        "archive/data/1": "storage",
        "archive/version": "record",
        "archive/.data/serialization_id": "record",
    }
    assert container.info["version"] == "3" and container.info["prefix"] == "archive" and container.info[".storage_alignment"] == "64"


def test_a_checkpoint_of_torch_1_6_has_three_kinds_of_members() -> None:
    parts = [Part(b"model/data.pkl", b"N."), Part(b"model/data/94902623916512", b"1234"), Part(b"model/version", b"3\n")]
    assert list(read(parts).storages) == ["94902623916512"]


def test_torch_1_4_keeps_storages_in_another_folder() -> None:
    parts = [Part(b"m/version", b"1\n"), Part(b"m/data.pkl", b"N."), Part(b"m/tensors/94854545566464", b"1234")]
    container = read(parts)
    assert container.storages["94854545566464"] == container.members["m/tensors/94854545566464"]
    assert container.members["m/tensors/94854545566464"].role == "storage"
    assert refused([*parts, Part(b"m/data/0", b"1234")]).rule == "SL120"


def test_folders_are_tolerated_while_they_are_empty() -> None:
    container = read([Part(b"archive/"), *torch_parts(), Part(b"archive/data/")])
    assert container.members["archive/"].role == container.members["archive/data/"].role == "directory"
    assert refused([Part(b"archive/", b"x"), *torch_parts()]).rule == "SL120"


@pytest.mark.parametrize("name", [b"archive/extra.pkl", b"archive/data/a/b", b"archive/DATA/2", b"archive/.data/other", b"archive/versions"])
def test_what_no_torch_writes_is_unknown(name: bytes) -> None:
    container = read([*torch_parts(), Part(name, b"x")])
    assert container.members[name.decode()].role == "unknown"
    assert list(container.storages) == ["0", "1"]


@pytest.mark.parametrize("name", [b"other/data/0", b"archiv/x", b"toplevel", b"archive2/x"])
def test_members_outside_of_the_folder_are_sl120(name: bytes) -> None:
    assert refused([*torch_parts(), Part(name, b"x")]).rule == "SL120"


def test_a_missing_pickle_is_sl120() -> None:
    assert refused(torch_parts(datapkl=b"")).rule == "SL120"


def test_a_missing_version_is_a_finding_and_leaves_the_pickle_to_be_judged() -> None:
    container = read(torch_parts(version=b""))
    assert [finding.rule for finding in container.findings] == ["SL120"]
    assert container.findings[0].level == "error"
    assert container.pickles


def test_an_archive_in_a_folder_of_a_folder_is_no_torch_zip() -> None:
    assert read(torch_parts(folder=b"a/b")).format == "zip"


@pytest.mark.parametrize("value", [b"1", b"3\n", b"10", b"010\n"])
def test_versions_that_torch_reads(value: bytes) -> None:
    assert int(read(torch_parts(version=value)).info["version"]) in range(1, 11)


@pytest.mark.parametrize("value", [b"0", b"11", b"3garbage", b" 3", b"-1", b"x", b"3\n\n", b"3\r\n", b"99999999999999999999", "\u0663".encode(), b"3" * 100])
def test_versions_that_torch_never_writes_are_sl121(value: bytes) -> None:
    assert refused(torch_parts(version=value)).rule == "SL121"


def test_a_long_record_is_refused_before_it_is_read() -> None:
    with pytest.raises(ContainerError, match="SL121"):
        read_torch_zip(source_of(build(torch_parts(version=b"3" * 100))), DEFAULT_LIMITS.replaced({"member_bytes": 64}))


def test_an_empty_version_is_sl121() -> None:
    assert refused([*torch_parts(version=b""), Part(b"archive/version")]).rule == "SL121"


def test_two_version_records_must_agree() -> None:
    assert read([*torch_parts(), Part(b"archive/.data/version", b"3\n")]).info["version"] == "3"
    assert read([*torch_parts(version=b"")[:-1], Part(b"archive/version", b"3")]).info["version"] == "3"
    assert refused([*torch_parts(), Part(b"archive/.data/version", b"4\n")]).rule == "SL121"


@pytest.mark.parametrize("value", [b"little", b"big"])
def test_byteorder(value: bytes) -> None:
    assert read(torch_parts(byteorder=value)).byteorder == value.decode()


@pytest.mark.parametrize(
    ("record", "value"),
    [
        ("byteorder", b"big\n"), ("byteorder", b"Little"), ("byteorder", b"middle"),
        ("formatversion", b"one"), ("formatversion", b"1\n"), ("storagealignment", b"-64"), ("storagealignment", b"0x40"),
        ("dataserializationid", b"1" * 39), ("dataserializationid", b"1" * 41), ("dataserializationid", b"a" * 40),
    ],
)  # fmt: skip
def test_records_that_torch_never_writes_are_sl121(record: str, value: bytes) -> None:
    assert refused(torch_parts(**{record: value})).rule == "SL121"


def test_the_checksum_of_a_record_is_checked() -> None:
    parts = [part for part in torch_parts() if part.name != b"archive/byteorder"]
    assert refused([*parts, Part(b"archive/byteorder", b"little", crc=5)]).rule == "SL115"


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ([b"m/data.pkl", b"m/version", b"m/constants.pkl"], "torch.script"),
        ([b"m/version", b"m/model.json", b"m/tensors/0"], "torch.script"),
        ([b"m/data.pkl", b"m/version", b"m/code/__torch__.py"], "torch.script"),
        ([b"m/.data/extern_modules", b"m/model/model.pkl", b"m/.data/version"], "torch.package"),
        ([b"m/.data/python_version", b"m/model/model.pkl", b"m/.data/version"], "torch.package"),
        ([b"m/archive_format", b"m/data/weights/weight_0", b"m/version"], "torch.export"),
        ([b"serialized_exported_program.json", b"version"], "torch.export"),
        ([b"a.npy", b"b.npy"], "npz"),
        ([b"arrays/a.npy"], "npz"),
    ],
    ids=str,
)
def test_other_archives_of_torch_are_told_by_their_names(names: list[bytes], kind: str) -> None:
    container = read([Part(name, b"3") for name in names])
    assert container.format == kind and not container.findings
    assert set(container.members) == {name.decode() for name in names}


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ([b"data", b"policy.pth", b"_stable_baselines3_version"], "Stable-Baselines3"),
        ([b"MAR-INF/MANIFEST.json", b"model.pt"], "TorchServe"),
        ([b"metadata.json", b"model.weights.h5"], "Keras"),
    ],
    ids=str,
)
def test_other_zips_are_named(names: list[bytes], kind: str) -> None:
    container = read([Part(name, b"3") for name in names])
    assert (container.format, container.findings) == ("zip", ()) and kind in container.detail


@pytest.mark.parametrize("names", [[b"data.pkl"], [b"readme.txt", b"x/data.pkl"], [b"x/one.txt", b"x/two.txt"], [b"a/b/data.pkl"]], ids=str)
def test_a_zip_that_torch_did_not_write_leaves_its_members_to_be_judged(names: list[bytes]) -> None:
    container = read([Part(name, b"3") for name in names])
    assert (container.format, container.pickles) == ("zip", ())
    assert container.findings == () and "torch.save did not write" in container.detail
    assert {member.role for member in container.members.values()} == {"unknown"}


def test_a_storage_does_not_make_an_archive_something_else() -> None:
    assert list(read([*torch_parts(), Part(b"archive/data/constants.pkl", b"x")]).storages) == ["0", "1", "constants.pkl"]


def test_only_a_zip_that_starts_with_a_member_is_read() -> None:
    with pytest.raises(ContainerError, match="SL101"):
        read_torch_zip(source_of(build([], zip64=False)), DEFAULT_LIMITS)
    with pytest.raises(ContainerError, match="SL101"):
        read_torch_zip(source_of(b""), DEFAULT_LIMITS)
