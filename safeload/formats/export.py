"""A torch.export archive becomes the weights in it, by name. The exported graph is data of torch's own, and is not looked into.

Since torch 2.8 (`.pt2`, torch `export/pt2_archive`): `data/weights/<model>_weights_config.json` and `data/constants/<model>_constants_config.json` say for
each name which member holds its bytes, and its dtype, sizes and strides; the value is `{model: {name: array}}`. What they mark as pickled is a `torch.save`
file of its own. Torch <= 2.7: a plain zip of such files; the value is `{"state_dict": ..., "constants": ...}`. Every one of these files is judged, the
example inputs too. Refuses a config that does not say exactly which bytes a tensor is (SL133), and native code where the policy does not keep it (SL124).
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from safeload.budget import exceeded
from safeload.containers.base import Container, Member
from safeload.containers.json_strict import BadJson, parse
from safeload.containers.torch_archive import JSON_SUFFIX, MAX_JSON_BYTES
from safeload.containers.zip_names import shown
from safeload.errors import CheckpointError, ContainerError
from safeload.formats.archive import look_into, source_of, text_or_unknown, unreferenced
from safeload.formats.code import judge_code
from safeload.formats.judging import Judging
from safeload.storage import geometry
from safeload.storage.dtypes import DTYPES
from safeload.storage.records import Document, Group, StorageRecord, Table, TensorRecord

CONFIGS = (("data/weights/", "_weights_config.json"), ("data/constants/", "_constants_config.json"))
OLD_PARTS = {"serialized_state_dict.pt": "state_dict", "serialized_constants.pt": "constants"}
PREFIX = "torch.export"
STRIDED = 7  # torch/_export/serde/schema.py, Layout
SCALAR_TYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64", 9: "complex32", 10: "complex64", 11: "complex128",
    12: "bool", 13: "bfloat16", 28: "uint16", 29: "float8_e4m3fn", 30: "float8_e5m2", 31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz", 33: "float8_e8m0fnu",
    34: "uint32", 35: "uint64",
}  # fmt: skip
"""torch/_export/serde/schema.py, ScalarType."""


def read(judging: Judging, container: Container) -> Document | None:
    """A group with one part for each model; of the older layout, one for each file that holds weights. None where something was not accepted."""
    folder: str = container.detail
    judge_code(judging, container, PREFIX)
    files = {
        name[len(folder) :]: judging.nested(source_of(judging, member), name) for name, member in container.members.items() if member.role == "file"
    }
    for member in container.members.values():
        if member.role == "record" and member.name.endswith(JSON_SUFFIX):
            _json(judging, member)
        elif member.role == "unknown" and member.size and not look_into(judging, member):
            text_or_unknown(judging, member)
        elif member.role == "pickle":
            judging.probe(member)
    parts = {part: files[name] for name, part in OLD_PARTS.items() if name in files}
    if not folder:
        if not parts:
            raise ContainerError("the archive has no state dict", rule="SL133")
        whole = {name: part for name, part in parts.items() if part is not None}
        return Group(parts=dict(whole)) if whole and all(part is not None for part in files.values()) else None
    return _models(judging, container, folder)


def _models(judging: Judging, container: Container, folder: str) -> Document | None:
    storages = {name: member for name, member in container.members.items() if member.role == "storage"}
    container = judging.container = replace(container, storages=storages)
    models: dict[str, Table] = {}
    whole = True
    for place, suffix in CONFIGS:
        for name, member in container.members.items():
            if name.startswith(folder + place) and name.endswith(suffix):
                model = name[len(folder + place) : -len(suffix)]
                table = _table(judging, container, folder + place, member)
                whole = whole and table is not None
                if table is not None:
                    models[model] = _merged(models.get(model), table, member.name)
    unreferenced(judging, container)
    if whole and not models:
        raise ContainerError("the archive has no config of weights", rule="SL133")
    return Group(parts=dict(models)) if whole else None


def _merged(known: Table | None, table: Table, member: str) -> Table:
    """Weights and constants of one model together."""
    if known is None:
        return table
    if known.entries.keys() & table.entries.keys():
        raise ContainerError("a name stands for a weight and for a constant", rule="SL133", member=member)
    return replace(known, entries={**known.entries, **table.entries}, storages={**known.storages, **table.storages})


def _table(judging: Judging, container: Container, place: str, member: Member) -> Table | None:
    """One config; None where a pickled entry was not accepted."""
    config = _json(judging, member)
    entries: dict[str, Any] = {}
    storages: dict[str, StorageRecord] = {}
    try:
        for name, payload in config["config"].items():
            key = place + payload["path_name"]
            if "/" in payload["path_name"] or container.members.get(key) is None or container.members[key].role != "storage":
                raise BadJson(f"{shown(name)} stands in {shown(payload['path_name'])}, and there is no such member beside the config")
            if payload["use_pickle"] is True:
                entries[name] = judging.nested(source_of(judging, container.members[key]), key)
            else:
                entries[name], storages[key] = _tensor(judging, payload["tensor_meta"], container.members[key], storages.get(key))
            judging.used.add(key)
    except CheckpointError:
        raise
    except (BadJson, KeyError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__} {str(error)[:160]}" if not isinstance(error, BadJson) else str(error)
        raise ContainerError(f"the config of the weights is not what torch.export writes: {why}", rule="SL133", member=member.name) from None
    if any(entry is None for entry in entries.values()):
        return None
    return Table(container=container, entries=entries, storages=storages)


def _tensor(judging: Judging, meta: Any, member: Member, known: StorageRecord | None) -> tuple[TensorRecord, StorageRecord]:
    dtype = DTYPES[SCALAR_TYPES[_number(meta["dtype"])]]
    if meta["layout"] != STRIDED or type(meta["layout"]) is not int:
        raise BadJson("the layout of a weight is not strided")
    shape, strides = (tuple(_symbol(size) for size in meta[field]) for field in ("sizes", "strides"))
    offset = _symbol(meta["storage_offset"])
    geometry.check(shape, strides, offset, member.size // dtype.itemsize, limits=judging.limits, where=member.name, at=0)
    device = meta["device"]
    index = device.get("index")
    location = device["type"] if index is None else f"{device['type']}:{_number(index)}"
    if type(device["type"]) is not str or type(meta["requires_grad"]) is not bool:
        raise BadJson("a device is no text, or requires_grad no bool")
    if known is not None and known.location != location:
        raise BadJson("one member is on two devices")
    record = TensorRecord(dtype=dtype, shape=shape, strides=strides, offset=offset, storage=member.name, requires_grad=meta["requires_grad"])
    judging.count_tensor(record.nbytes)
    return record, known or StorageRecord(key=member.name, dtype=dtype, nbytes=member.size, location=location, member=member if member.size else None)


def _symbol(value: Any) -> int:
    """A `SymInt`: `{"as_int": n}`; an expression has no value in a file."""
    if type(value) is not dict or value.keys() != {"as_int"}:
        raise BadJson("a size is no number")
    return _number(value["as_int"])


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise BadJson(f"{shown(str(value))} is no size, stride, offset or kind")
    return value


def _json(judging: Judging, member: Member) -> Any:
    """The value of a JSON member: of the configs to use, of the graph to know that it is nothing else."""
    if member.size > MAX_JSON_BYTES:
        raise exceeded("member_bytes", MAX_JSON_BYTES, f"a JSON member is {member.size:,} bytes long, more", member.name)
    try:
        return parse(judging.member_bytes(member), floats=True)
    except BadJson as error:
        raise ContainerError(f"the member is no JSON: {error}", rule="SL133", member=member.name) from None
