"""The index of a sharded checkpoint becomes one mapping over its shards: `*.index.json`, as Hugging Face writes it beside `.bin` and `.safetensors` files.

    {"metadata": {"total_size": n}, "weight_map": {name: file}}       (huggingface_hub `serialization`, transformers `modeling_utils`)

Every shard is read and judged whole, as the file that it is, and must hold the names that the index says. Refuses file names that are no plain names beside
the index (SL136), shards that are no state dicts, and names that are not where the index has them (SL135). Names that only a shard has are noted.
"""

from __future__ import annotations

from typing import Any

from safeload.budget import exceeded
from safeload.containers.base import Container
from safeload.containers.zip_names import shown
from safeload.errors import ContainerError, UnsupportedFormat
from safeload.formats.judging import Judging
from safeload.machine.nodes import Call, SetItems
from safeload.source import open_sibling
from safeload.storage.records import Document, Plan, Shards, Table


def read(judging: Judging, container: Container) -> Document | None:
    """The shards with their documents; None where one of them was not accepted."""
    weight_map: dict[str, str] = container.detail
    if judging.file.fetched is not None:
        raise UnsupportedFormat("this is the index of a sharded checkpoint: its shards are files of their own, to be scanned one by one", rule="SL002")
    if judging.file.folder is None or judging.wrappers:
        raise UnsupportedFormat("this is the index of a sharded checkpoint: open it by its path, the shards are read from beside it", rule="SL002")
    if judging.depth:
        raise ContainerError("an index stands where a shard is expected", rule="SL135")
    if len(weight_map) > judging.limits.tensors:
        raise exceeded("tensors", judging.limits.tensors, f"the index names {len(weight_map):,} tensors, more")
    files = list(dict.fromkeys(weight_map.values()))
    if len(files) > judging.limits.members:
        raise exceeded("members", judging.limits.members, f"the index names {len(files):,} files, more")
    for name in files:
        if "/" in name:
            raise ContainerError(f"a shard is named {shown(name)}; shards stand beside their index", rule="SL136")
    parts: dict[str, Document] = {}
    for name in files:
        document = judging.shard(open_sibling(judging.file.folder, name, judging.limits), name)
        if document is not None:
            _check_names(judging, name, document, weight_map)
            parts[name] = document
    return Shards(names=weight_map, parts=parts) if len(parts) == len(files) else None


def _check_names(judging: Judging, file: str, document: Document, weight_map: dict[str, str]) -> None:
    found = names_of(document)
    if found is None:
        judging.find("SL135", "the shard is no dict of tensors by their names", member=file)
        return
    missing = [name for name, place in weight_map.items() if place == file and name not in found]
    if missing:
        more = f" and {len(missing) - 1:,} more names" if len(missing) > 1 else ""
        judging.find("SL135", f"the index says that {shown(missing[0])}{more} stand in this shard, and they do not", member=file)
    extra = [name for name in found if weight_map.get(name) != file]
    if extra:
        judging.find("SL135", f"the shard holds {shown(extra[0])} and {len(extra) - 1:,} more that the index does not place here", level="note", member=file)


def names_of(document: Document) -> set[str] | None:
    """The keys of a state dict, as it will be built; None for anything that is none."""
    if isinstance(document, Table):
        return None if document.bare else set(document.entries)
    if not isinstance(document, Plan):
        return None
    root: Any = document.vetted.graph.root
    if type(root) is dict:
        return {key for key in root if type(key) is str}
    if type(root) is Call and document.vetted.constructors[root.index] == "ordered-dict":
        keys = [key for record in document.vetted.graph.log if type(record) is SetItems and record.target is root for key in record.pairs[::2]]
        keys += [pair[0] for pair in root.args[0]] if root.args else []
        return {key for key in keys if type(key) is str}
    return None
