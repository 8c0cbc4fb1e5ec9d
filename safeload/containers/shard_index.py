"""JSON text becomes the index of a sharded checkpoint, where it is one: `{"metadata": {...}, "weight_map": {name: file}}`. None for any other JSON.

Or it is recognised as the description of a Keras model, which another stage judges.
"""

from __future__ import annotations

from typing import Any

from safeload.containers.base import Container, Member
from safeload.containers.json_strict import BadJson, parse
from safeload.errors import ContainerError
from safeload.source import ByteSource

MAX_INDEX_BYTES = 64 << 20  # a million names of 60 bytes
KERAS_CLASS, KERAS_CONFIG = b'"class_name"', b'"config"'
WEIGHT_MAP = b'"weight_map"'


def read_index(source: ByteSource) -> Container | None:
    """The container, whose `detail` is name -> file. Raises `ContainerError` SL135 for an index that is not well-formed."""
    if source.size > MAX_INDEX_BYTES:
        return None
    data = source.read(0, source.size)
    if WEIGHT_MAP not in data:
        return None
    try:
        index: Any = parse(data, floats=True)
    except BadJson as error:
        raise ContainerError(f"the index of the sharded checkpoint is not well-formed: {error}", rule="SL135") from None
    found = index.get("weight_map") if type(index) is dict else None
    if type(found) is not dict:
        return None
    if not found or not all(type(file) is str for file in found.values()):
        raise ContainerError("the weight_map of the index is no object of names and files", rule="SL135")
    total = index["metadata"].get("total_size") if type(index.get("metadata")) is dict else None
    member = Member(name="", offset=0, size=source.size, stored_size=source.size, role="record")
    info = {"total_size": str(total)} if type(total) is int else {}
    return Container(format="shards", source=source, members={"": member}, accounted=source.size, info=info, detail=found)


def is_keras_config(source: ByteSource) -> bool:
    """Does the text name a class and its configuration, as Keras's `config.json` and `Model.to_json()` do? It need not be well-formed."""
    if source.size > MAX_INDEX_BYTES:
        return False
    data = source.read(0, source.size)
    return KERAS_CLASS in data and KERAS_CONFIG in data
