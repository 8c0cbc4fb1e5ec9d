"""A TorchScript archive (`torch.jit.save`) becomes the inert record of its module, or for torch 1.0 to 1.2 the dict of its tensors. Its code is never run.

Layout since torch 1.3 (torch `csrc/jit/serialization`): `data.pkl` holds the module as objects of classes named `__torch__...`, with storages in `data/`;
`constants.pkl` a tuple, with storages in `constants/`; `code/` the source. Torch 1.0 to 1.2: `model.json` lists modules and tensors, with storages in
`tensors/`, and `attributes.pkl` the other attributes. All pickles are judged, those with debug information too. Refuses a `model.json` that does not say
exactly which bytes a tensor is (SL133).
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from safeload.budget import exceeded
from safeload.containers.base import Container, Member
from safeload.containers.json_strict import BadJson, parse
from safeload.containers.torch_archive import MAX_JSON_BYTES
from safeload.containers.zip_names import shown
from safeload.errors import ContainerError
from safeload.formats.archive import judge_whole, look_into, stream, text_or_unknown, unreferenced
from safeload.formats.code import judge_code
from safeload.formats.judging import Judging
from safeload.machine.nodes import Call, Global
from safeload.storage import geometry
from safeload.storage.dtypes import DTYPES, DType
from safeload.storage.records import Document, Plan, StorageRecord, Table, TensorRecord

MODEL = "model.json"
MAIN, ATTRIBUTES = "data.pkl", "attributes.pkl"
PROVED = (MAIN, "constants.pkl", ATTRIBUTES)  # of the other pickles (debug information, traced inputs without their bytes) only the names matter
FROM_ID = "torch.jit._pickle.build_tensor_from_id"
PREFIX = "__torch__"
MAX_MODULES = 100_000
DATA_TYPES = {
    "FLOAT": "float32", "DOUBLE": "float64", "FLOAT16": "float16", "INT8": "int8", "UINT8": "uint8", "INT16": "int16", "INT32": "int32", "INT64": "int64",
    "BOOL": "bool", "BYTE": "uint8", "BFLOAT16": "bfloat16",
}  # fmt: skip
"""caffe2.TensorProto.DataType, by the names that protobuf writes into JSON."""


def read(judging: Judging, container: Container) -> Document | None:
    """The document: the plan of `data.pkl`, or the table of `model.json`."""
    folder: str = container.detail
    judge_code(judging, container, PREFIX)
    plans: dict[str, Plan | None] = {}
    for name, member in container.members.items():
        inner = name[len(folder) :]
        if inner in PROVED:
            plans[inner] = _stream(judging, _with_storages(container, name.removesuffix(".pkl") + "/"), member)
        elif member.role == "pickle":
            judge_whole(judging, member)
        elif member.role == "unknown" and member.size and not look_into(judging, member):
            text_or_unknown(judging, member)
    if folder + MODEL in container.members:
        attributes = plans.get(ATTRIBUTES)
        if ATTRIBUTES in plans and attributes is None:
            return None
        own = _with_storages(container, folder)
        table = _old(judging, own, folder, attributes)
        unreferenced(judging, own)
        return table
    if MAIN not in plans:
        raise ContainerError(f"the archive holds neither {MAIN} nor {MODEL}", rule="SL120")
    return plans[MAIN]


def _stream(judging: Judging, container: Container, member: Member) -> Plan | None:
    """The plan of one pickle, and a look at the storages of its folder that it does not use: the keys of one folder mean nothing in another."""
    used, judging.used = judging.used, set()
    plan = stream(judging, container, member)
    if plan is not None:
        unreferenced(judging, container)
    judging.used |= used
    return plan


def _with_storages(container: Container, folder: str) -> Container:
    """The same container with the storages that stand in one folder: each pickle has its own."""
    found = {name[len(folder) :]: member for name, member in container.members.items() if name.startswith(folder) and member.role == "storage"}
    return replace(container, storages=found)


# ---- torch 1.0 to 1.2 -------------------------------------------------------------------------------------------------------------------


def _old(judging: Judging, container: Container, folder: str, attributes: Plan | None) -> Document:
    member = container.members[folder + MODEL]
    if member.size > MAX_JSON_BYTES:
        raise exceeded("member_bytes", MAX_JSON_BYTES, f"{MODEL} is {member.size:,} bytes long, more", member.name)
    try:
        model = parse(judging.member_bytes(member), floats=True)
        tensors = [_tensor(judging, container, tensor) for tensor in model.get("tensors", [])]
        entries: dict[str, TensorRecord] = {}
        for name, index in _names(model["mainModule"], _tensor_ids(attributes)):
            entries[name] = tensors[index][0]
    except (BadJson, KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        why = f"{MODEL} does not describe modules and tensors: {type(error).__name__} {str(error)[:60]}"
        raise ContainerError(why, rule="SL133", member=member.name) from None
    storages = {storage.key: storage for _, storage in tensors}
    _one_size(tensors, member.name)
    judging.used |= storages.keys()
    return Table(container=container, entries=dict(entries), storages=storages)


def _tensor(judging: Judging, container: Container, tensor: Any) -> tuple[TensorRecord, StorageRecord]:
    """One entry of `tensors`: numbers are texts, as protobuf writes 64-bit ones."""
    dtype: DType = DTYPES[DATA_TYPES[tensor["dataType"]]]
    shape, strides = (tuple(map(_number, tensor.get(field, []))) for field in ("dims", "strides"))
    offset, key = _number(tensor.get("offset", "0")), tensor["data"]["key"]
    member = container.storages.get(key) if type(key) is str else None
    if member is None:
        raise BadJson(f"there is no member {shown(str(key))}")
    geometry.check(shape, strides, offset, member.size // dtype.itemsize, limits=judging.limits, where=member.name, at=0)
    record = TensorRecord(dtype=dtype, shape=shape, strides=strides, offset=offset, storage=key, requires_grad=tensor.get("requiresGrad") is True)
    judging.count_tensor(record.nbytes)
    device = tensor.get("device", "cpu")
    if type(device) is not str:
        raise BadJson("a device is no text")
    return record, StorageRecord(key=key, dtype=dtype, nbytes=member.size, location=device, member=member if member.size else None)


def _one_size(tensors: list[tuple[TensorRecord, StorageRecord]], member: str) -> None:
    """Tensors of one storage agree about its device."""
    devices: dict[str, str] = {}
    for _, storage in tensors:
        if devices.setdefault(storage.key, storage.location) != storage.location:
            raise ContainerError(f"storage {storage.key[:40]!a} is on two devices", rule="SL404", member=member)


def _number(value: Any) -> int:
    if type(value) is str and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    if type(value) is int and 0 <= value < 1 << 63:
        return value
    raise BadJson(f"{shown(str(value))} is no size, stride or offset")


def _tensor_ids(attributes: Plan | None) -> dict[int, int]:
    """Place in `attributes.pkl` to the index of a tensor, for those attributes that are tensors: torch 1.2 keeps its buffers there."""
    root = attributes.vetted.graph.root if attributes is not None else ()
    if type(root) is not tuple:
        raise BadJson(f"{ATTRIBUTES} is no tuple")
    return {
        place: item.args[0]
        for place, item in enumerate(root)
        if type(item) is Call and type(item.func) is Global and item.func.full == FROM_ID and len(item.args) == 1 and type(item.args[0]) is int
    }


def _names(main: Any, attributes: dict[int, int]) -> list[tuple[str, int]]:
    """(name, index of the tensor) of every parameter and buffer: own ones first, then each submodule, as `state_dict` gives them."""
    found: list[tuple[str, int]] = []
    stack = [("", main)]
    visited = 0
    while stack:
        prefix, module = stack.pop()
        visited += 1
        if visited > MAX_MODULES:
            raise BadJson(f"more than {MAX_MODULES:,} modules")
        parameters = module.get("parameters", [])
        for buffers in (False, True):
            found += [
                (prefix + _text(entry["name"]), _number(entry.get("tensorId", "0"))) for entry in parameters if (entry.get("isBuffer") is True) == buffers
            ]
        kept = [(_text(entry["name"]), _number(entry.get("id", "0"))) for entry in module.get("attributes", []) if entry.get("type") == "Tensor"]
        found += [(prefix + name, attributes[place]) for name, place in kept]
        stack += [(f"{prefix}{_text(child['name'])}.", child) for child in reversed(module.get("submodules", []))]
    if len({name for name, _ in found}) != len(found):
        raise BadJson("two tensors have one name")
    return found


def _text(value: Any) -> str:
    if type(value) is not str:
        raise BadJson("a name is no text")
    return value
