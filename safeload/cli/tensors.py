"""`safeload tensors`: an accepted file becomes a table of its tensors. Their bytes are not read.

A rejected file gives its reasons in short and exit 1; what cannot be read gives one line and exit 2.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import click
import msgspec

from safeload.cli.common import check_encoding, encoding_option, policy_option, project_policy, refuse, stdin_or_path, terminal_width
from safeload.errors import CheckpointError
from safeload.escape import escape
from safeload.report.layout import DEFAULT_WIDTH, MIN_WIDTH, columns, cut, cut_middle, plural

if TYPE_CHECKING:
    from safeload.lazy import TensorInfo

SCHEMA = "safeload-tensors-v1"
MAX_SHAPE = 24  # characters of a shape in its column
MAX_CELL = 16  # characters of a device or storage in its column
MIN_NAME = 16  # characters that a name keeps, however narrow the terminal


@click.command()
@click.argument("file", metavar="FILE|-")
@policy_option
@encoding_option
@click.option("--json", "as_json", is_flag=True, help="As JSON, with strides, offsets and places in the file.")
def tensors(file: str, policy: str | None, encoding: str, as_json: bool) -> int:
    """List the tensors of a checkpoint, without reading their bytes.

    A tensor that shares its storage shows how many tensors do.
    """
    check_encoding(encoding)
    resolved = project_policy(policy, [file]).policy
    from safeload import api

    try:
        with api.open(stdin_or_path(file), policy=resolved, encoding=encoding) as checkpoint:
            infos = [checkpoint.info(name) for name in checkpoint.keys()]  # noqa: SIM118 - a Checkpoint is no mapping
    except (CheckpointError, OSError) as error:
        return refuse(error, file)
    path = "<stdin>" if file == "-" else file
    sys.stdout.write(_json(infos, path) if as_json else _table(infos, terminal_width(sys.stdout) or DEFAULT_WIDTH))
    return 0


def totals(infos: list[TensorInfo]) -> dict[str, int]:
    """Tensors, their logical bytes, the storages that they lie in, and the bytes of those."""
    storages = {info.storage: info.storage_nbytes for info in infos}
    return {"tensors": len(infos), "nbytes": sum(info.nbytes for info in infos), "storages": len(storages), "storage_nbytes": sum(storages.values())}


def _json(infos: list[TensorInfo], path: str) -> str:
    from safeload.report.json_v1 import clean, encode

    rows: list[dict[str, Any]] = []
    for info in infos:
        row = msgspec.structs.asdict(info)
        rows.append({key: clean(value) if isinstance(value, str) else value for key, value in row.items()})
    return encode({"schema": SCHEMA, "path": clean(path), "tensors": rows, "totals": totals(infos)})


def _table(infos: list[TensorInfo], width: int) -> str:
    sharing = Counter(info.storage for info in infos)
    rows = [("name", "dtype", "shape", "bytes", "device", "storage")]
    for info in infos:
        shape = cut(f"[{', '.join(map(str, info.shape))}]", MAX_SHAPE)
        storage = escape(info.storage, MAX_CELL) + (f" ({sharing[info.storage]:,} views)" if sharing[info.storage] > 1 else "")
        rows.append((escape(info.name), info.dtype, shape, f"{info.nbytes:,}", escape(info.location, MAX_CELL), storage))
    others = sum(max(len(row[place]) for row in rows) for place in range(1, 6)) + 2 * 5
    room = max(max(width, MIN_WIDTH) - others, MIN_NAME)
    lines = columns([(cut_middle(row[0], room), *row[1:]) for row in rows], right=frozenset({3}), indent="") if infos else []
    total = totals(infos)
    logical = f"{plural(total['tensors'], 'tensor')}, {plural(total['nbytes'], 'byte')}"
    summary = f"{logical}, in {plural(total['storages'], 'storage')} of {plural(total['storage_nbytes'], 'byte')}"
    return "\n".join([*lines, *([""] if lines else []), summary]) + "\n"
