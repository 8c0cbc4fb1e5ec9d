"""The folder of a distributed checkpoint (`torch.distributed.checkpoint`) becomes the nested dict that was saved, tensors assembled from their shards.

    .metadata      a pickle of `Metadata`: for each name its size and chunks, and where in which file each chunk stands   (`dcp_records`)
    *.distcp       complete `torch.save` archives behind each other, one for each chunk or object

torch reads `.metadata` with a bare `pickle.load` and objects with `weights_only=False`. Here it is judged like any stream, and so is every archive. Refuses
paths outside of the folder (SL136); items that overlap, that leave bytes of a file to nobody, or that are not the tensor which the metadata describes; and
chunks that do not fill their tensor exactly (SL134).
"""

from __future__ import annotations

from typing import Any

from safeload.budget import exceeded
from safeload.containers.base import Container
from safeload.containers.zip_names import shown
from safeload.errors import ContainerError, UnsupportedFormat
from safeload.formats.archive import stream
from safeload.formats.dcp_records import Chunk, Item, Saved, read_records
from safeload.formats.judging import Judging
from safeload.machine.nodes import NODE_TYPES
from safeload.source import ByteSource, open_sibling
from safeload.storage.dtypes import DTYPES
from safeload.storage.geometry import elements
from safeload.storage.records import Assembly, Document, Group, Plan, TensorRecord

MAX_CHUNKS = 4_096  # of one tensor; each is compared with the others


def read(judging: Judging, container: Container) -> Document | None:
    """1. The metadata. 2. The files and their items. 3. Each name: an object, or a tensor that its chunks fill. 4. The nesting."""
    # 1
    plan = stream(judging, container, container.members[container.pickles[0]])
    if plan is None:
        return None
    saved = read_records(plan)
    # 2
    documents = _items(judging, saved)
    if documents is None:
        return None
    # 3
    values: dict[str, Document] = {}
    for name, entry in saved.entries.items():
        if isinstance(entry, Item):
            values[name] = documents[entry]
        else:
            values[name] = _assembled(judging, name, entry, documents)
    # 4
    return _nested(saved, values)


def _items(judging: Judging, saved: Saved) -> dict[Item, Document] | None:
    """Read and judge every item, file by file; every byte of a file belongs to one."""
    if judging.file.folder is None:
        raise UnsupportedFormat("the metadata of a distributed checkpoint: open its folder by its path", rule="SL002")
    by_path: dict[str, list[Item]] = {}
    for item in saved.items:
        by_path.setdefault(item.path, []).append(item)
    if len(by_path) > judging.limits.members:
        raise exceeded("members", judging.limits.members, f"the metadata names {len(by_path):,} files, more")
    found: dict[Item, Document] = {}
    for path, items in by_path.items():
        source = judging.keep(open_sibling(judging.file.folder, path, judging.limits))
        _check_extents(path, items, source)
        for item in items:
            if item.transforms:
                raise UnsupportedFormat("an item of the checkpoint is transformed (compressed or encrypted), which is not read", rule="SL002", member=path)
            document = judging.nested(source.part(item.offset, item.length), f"{path}@{item.offset:#x}")
            if document is not None:
                found[item] = document
    return found if len(found) == len(saved.items) else None


def _check_extents(path: str, items: list[Item], source: ByteSource) -> None:
    position = 0
    for item in sorted(items, key=lambda item: (item.offset, item.length)):
        if item.offset != position:
            raise ContainerError(f"an item begins at {item.offset:#x}, and the one before ends at {position:#x}", rule="SL134", member=path, offset=item.offset)
        position += item.length
    if position != source.size:
        raise ContainerError(f"the items end at {position:#x}, and the file at {source.size:#x}", rule="SL134", member=path, offset=min(position, source.size))


def _assembled(judging: Judging, name: str, chunks: tuple[Chunk, ...], documents: dict[Item, Document]) -> Document:
    """One tensor; the plan of its only chunk, where that is the whole of it."""
    first = chunks[0]
    if len(chunks) > MAX_CHUNKS:
        raise exceeded("members", MAX_CHUNKS, f"the tensor {shown(name)} has {len(chunks):,} chunks, more")
    parts: list[tuple[tuple[int, ...], Plan]] = []
    for number, chunk in enumerate(chunks):
        record, plan = _tensor(name, chunk, documents[chunk.item])
        if record.dtype.name != chunk.dtype or record.shape != chunk.size:
            raise _wrong(name, f"a chunk is {record.dtype.name} {record.shape}, and the metadata says {chunk.dtype} {chunk.size}")
        if any(start < 0 or start + length > whole for start, length, whole in zip(chunk.offsets, chunk.size, chunk.whole, strict=True)):
            raise _wrong(name, "a chunk lies outside of the tensor")
        if any(_overlap(chunk, other) for other in chunks[:number]):
            raise _wrong(name, "two chunks overlap")
        judging.budget.check_time()
        parts.append((chunk.offsets, plan))
    if sum(elements(chunk.size) for chunk in chunks) != elements(first.whole):
        raise _wrong(name, "the chunks do not fill it")
    if len(parts) == 1:
        return parts[0][1]
    dtype = DTYPES[first.dtype]
    judging.count_tensor(elements(first.whole) * dtype.itemsize)
    return Assembly(dtype=dtype, shape=first.whole, parts=tuple(parts))


def _tensor(name: str, chunk: Chunk, document: Document) -> tuple[TensorRecord, Plan]:
    """The plan of an archive that holds one dense tensor and nothing else."""
    if isinstance(document, Plan):
        root: Any = document.vetted.graph.root
        record = document.records.get(root.index) if type(root) in NODE_TYPES else None
        if isinstance(record, TensorRecord):
            return record, document
    raise _wrong(name, f"the item at {chunk.item.offset:#x} of {shown(chunk.item.path)} is no tensor")


def _overlap(one: Chunk, two: Chunk) -> bool:
    pairs = zip(one.offsets, one.size, two.offsets, two.size, strict=True)
    return all(start < other + length_other and other < start + length for start, length, other, length_other in pairs)


def _wrong(name: str, why: str) -> ContainerError:
    return ContainerError(f"the tensor {shown(name)} of the distributed checkpoint: {why}", rule="SL134")


def _nested(saved: Saved, values: dict[str, Document]) -> Group:
    """The dict as it was before it was made flat: by the paths of `planner_data`, or flat where there are none."""
    root: dict[Any, Any] = {}
    for name, value in values.items():
        path = saved.paths.get(name, (name,))
        place = root
        for key in path[:-1]:
            place = place.setdefault(key, {})
            if type(place) is not dict:
                raise _wrong(name, "its path leads through another value")
        if path[-1] in place:
            raise _wrong(name, "another value has its path")
        place[path[-1]] = value
    return _group(root)


def _group(tree: dict[Any, Any]) -> Group:
    """Groups all the way down; paths are short (`dcp_records`). Whole numbers are places in a list."""
    parts = {key: _group(value) if type(value) is dict else value for key, value in tree.items()}
    numbers = {key for key in parts if type(key) is int}
    if not numbers:
        return Group(parts=parts)
    if len(numbers) != len(parts) or numbers != set(range(len(parts))):
        raise ContainerError("the paths of the distributed checkpoint leave gaps in a list", rule="SL134")
    return Group(parts={str(key): parts[key] for key in sorted(numbers)}, is_list=True)
