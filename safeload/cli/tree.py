"""`safeload tree`: the value of an accepted file becomes an outline: keys, kinds, shapes. No tensor is read.

Bounded in depth, in width and in lines; a container that was shown already is named and not shown again, so cycles and memo bombs cost their real size.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from typing import Any

import click

from safeload.cli.common import check_encoding, encoding_option, policy_option, project_policy, refuse, stdin_or_path, terminal_width
from safeload.errors import CheckpointError
from safeload.escape import escape, quoted
from safeload.report.layout import DEFAULT_WIDTH, cut, plural
from safeload.tensors import Generator, MetaTensor, NestedTensor, QuantizedTensor, SparseTensor, SubclassTensor
from safeload.values import Device, Namespace, OpaqueAttribute, OpaqueGlobal, OpaqueObject, Storage, TorchName

MAX_DEPTH = 50  # levels that --depth may ask for: well inside the nesting limit of a stream
MAX_LINES = 10_000  # lines of one outline
MAX_TEXT = 60  # characters of one string
MAX_KEY = 80  # characters of one key
MAX_EMPTY = 20  # names of empty private attributes that one line lists: a torch module has a dozen tables of hooks
MAX_INLINE = 8  # plain values of a short list that stand on one line
MAX_INT_BITS = 128  # longer integers are described: str() of one is quadratic
FLAT_MODULES = frozenset({"datetime", "uuid", "decimal", "pathlib"})  # their values hold no others
INDENT = "  "

Children = Iterator[tuple[str, Any]]


class _Text:
    """A line of ours among the values."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


@click.command()
@click.argument("file", metavar="FILE|-")
@policy_option
@encoding_option
@click.option("--depth", type=click.IntRange(1, MAX_DEPTH), default=4, show_default=True, help="Levels shown.")
@click.option("--width", type=click.IntRange(1), default=20, show_default=True, help="Entries shown of one container.")
def tree(file: str, policy: str | None, encoding: str, depth: int, width: int) -> int:
    """Show the structure of the value in a checkpoint."""
    check_encoding(encoding)
    resolved = project_policy(policy, [file]).policy
    from safeload import api

    try:
        with api.open(stdin_or_path(file), policy=resolved, encoding=encoding) as checkpoint:
            columns = terminal_width(sys.stdout) or DEFAULT_WIDTH
            for line in islice(outline(checkpoint.tree(), depth=depth, width=width), MAX_LINES):
                sys.stdout.write(cut(line, columns) + "\n")
    except (CheckpointError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        return refuse(error, file)
    return 0


def outline(value: Any, *, depth: int = 4, width: int = 20) -> Iterator[str]:
    """The lines of the outline: `'fc.weight': float32 [4, 3]`, two blanks for each level."""
    seen: set[int] = set()
    pending: list[tuple[int, str, Any]] = [(0, "", value)]
    while pending:
        level, label, item = pending.pop()
        head = INDENT * level + label
        if type(item) is _Text:
            yield head + item.text
            continue
        size, children = parts(item)
        if children is None:
            yield head + describe(item)
            continue
        if id(item) in seen and size:
            yield f"{head}{describe(item)} (shown above)"
            continue
        seen.add(id(item))
        yield head + describe(item)
        if level >= depth:
            continue  # the number of entries says that there is more
        shown = [(level + 1, f"{key}: ", child) for key, child in islice(children, width)]
        if size > width:
            shown.append((level + 1, "", _Text(f"... {size - width:,} more")))
        pending.extend(reversed(shown))


# ---- what a value is made of ------------------------------------------------------------------------------------------------------------


def parts(value: Any) -> tuple[int, Children | None]:
    """How many children a value has, and those with the label of each; None for a leaf."""
    if isinstance(value, dict):
        return len(value), ((_key(key), child) for key, child in value.items())
    if isinstance(value, (list, tuple, deque)):
        return (0, None) if _inline(value) is not None else (len(value), ((f"[{place}]", child) for place, child in enumerate(value)))
    if isinstance(value, OpaqueObject):
        return _opaque(value)
    if isinstance(value, Namespace):
        return len(vars(value)), ((escape(str(key), MAX_KEY), child) for key, child in vars(value).items())
    if isinstance(value, SubclassTensor):
        attributes = value.attributes
        return 1 + len(attributes), iter([("data", value.data), *((_key(key), child) for key, child in attributes.items())])
    if isinstance(value, NestedTensor):
        return len(value), ((f"[{place}]", child) for place, child in enumerate(value.components))
    return 0, None


def _opaque(value: OpaqueObject) -> tuple[int, Children]:
    """Arguments, attributes, items and pairs; a state that is no dict stands as `state`."""
    attributes = value.attributes
    empty = [key for key, child in attributes.items() if type(key) is str and key[:1] == "_" and _is_empty(child)]
    state = [("state", value.state)] if value.state is not None and not attributes else []
    found: list[tuple[str, Any]] = [
        *((f"({place})", child) for place, child in enumerate(value.args)),
        *((_key(key), child) for key, child in (value.kwargs or {}).items()),
        *((f".{_key(key).strip(_QUOTE)}", child) for key, child in attributes.items() if key not in empty),
        *state,
        *((f"[{place}]", child) for place, child in enumerate(value.items or ())),
        *((_key(key), child) for key, child in value.pairs or ()),
        *([("and, empty", _Text(", ".join(escape(key, MAX_KEY) for key in empty[:MAX_EMPTY])))] if empty else []),
    ]
    return len(found), iter(found)


_QUOTE = "'"


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, (dict, set)) and not value)


def _key(key: Any) -> str:
    return quoted(key, MAX_KEY) if type(key) is str else describe(key)


# ---- one value in a few words -----------------------------------------------------------------------------------------------------------


def describe(value: Any) -> str:
    """`dict, 3 entries`, `float32 [4, 3]`, `<ultralytics.nn.tasks.DetectionModel>`, `'adam'`."""
    if value is None or isinstance(value, (bool, float, complex)):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if value.bit_length() <= MAX_INT_BITS else f"int of {value.bit_length():,} bits"
    if isinstance(value, str):
        return quoted(value, MAX_TEXT)
    if isinstance(value, (bytes, bytearray)):
        return f"{type(value).__name__}, {plural(len(value), 'byte')}"
    if isinstance(value, (list, tuple, deque)) and (inline := _inline(value)) is not None:
        return inline
    if isinstance(value, (dict, list, tuple, deque, set, frozenset)):
        return f"{escape(type(value).__name__)}, {plural(len(value), 'entry', 'entries')}"
    return _node(value) or _array(value) or _other(value)


def _inline(value: list[Any] | tuple[Any, ...] | deque[Any]) -> str | None:
    """`(0.9, 0.999)`: a short list of plain values, None for any other."""
    if isinstance(value, deque) or not 0 < len(value) <= MAX_INLINE or any(type(item) not in (bool, int, float, str, type(None)) for item in value):
        return None
    text = ", ".join(describe(item) for item in value)
    if len(text) > MAX_TEXT:
        return None
    return f"[{text}]" if isinstance(value, list) else f"({text},)" if len(value) == 1 else f"({text})"


def _node(value: Any) -> str | None:
    """safeload's own types."""
    if isinstance(value, OpaqueObject):
        return f"<{escape(value.type_name)}>"
    if isinstance(value, (OpaqueGlobal, OpaqueAttribute)):
        return f"name {escape(value.full)}"
    if isinstance(value, (TorchName, Device)):
        return escape(str(value))
    if isinstance(value, Storage):
        return f"storage {value.dtype}, {plural(value.size, 'element')}"
    if isinstance(value, SparseTensor):
        return f"{value.layout} {_shape(value.shape)} of {describe(value.values)}"
    if isinstance(value, QuantizedTensor):
        return f"{value.dtype} {value.scheme} {_shape(value.int_repr.shape)}"
    if isinstance(value, MetaTensor):
        return f"meta {value.dtype or '?'} {_shape(value.shape) if value.shape is not None else 'uninitialised'}"
    if isinstance(value, SubclassTensor):
        return f"tensor of class {escape(value.type)}"
    if isinstance(value, Generator):
        return f"generator of {escape(value.device)}"
    if isinstance(value, NestedTensor):
        return f"nested tensor, {plural(len(value), 'component')}"
    if isinstance(value, Namespace):
        return f"Namespace, {plural(len(vars(value)), 'entry', 'entries')}"
    return None


def _array(value: Any) -> str | None:
    """A lazy tensor, or an array that the stream itself holds."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{escape(str(value.dtype), MAX_TEXT)} {_shape(value.shape)}"
    return None


def _shape(shape: Any) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _other(value: Any) -> str:
    """Values of the standard library. Only those whose repr cannot walk into a hostile object are shown by it."""
    if isinstance(value, type):
        return f"name {escape(value.__name__)}"
    if isinstance(value, slice):
        return f"slice({describe(value.start)}, {describe(value.stop)}, {describe(value.step)})"
    if isinstance(value, Fraction):
        return f"Fraction({describe(value.numerator)}, {describe(value.denominator)})"
    if type(value).__module__ in FLAT_MODULES:
        return escape(repr(value), MAX_TEXT)
    return f"<{escape(type(value).__name__)}>"
