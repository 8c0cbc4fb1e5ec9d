"""The small types that `load` returns beside plain containers and arrays: inert stand-ins for what safeload does not construct.

Each is data and nothing else. None of them refers to, imports or calls the thing it is named after (law 1). They print readably, also when
cyclic, and compare by value.
"""

from __future__ import annotations

import types
from typing import Any

import msgspec

from safeload.escape import escape


class TorchName(msgspec.Struct, frozen=True, order=True):
    """A torch constant by name: dtype (`torch.float32`), layout (`torch.strided`), qscheme, memory format."""

    kind: str  # dtype | layout | qscheme
    name: str  # float32, without "torch."

    def __str__(self) -> str:
        return f"torch.{self.name}"

    __repr__ = __str__


class Device(msgspec.Struct, frozen=True, order=True):
    """What `torch.device(type, index)` was in the file. `str()` is the tag that `map_location` understands."""

    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device({str(self)!r})"


class Namespace(types.SimpleNamespace):
    """`argparse.Namespace` and `types.SimpleNamespace`: attributes, readable with `vars()`."""


class AttributeDict(dict[Any, Any]):
    """A configuration dict (Lightning's AttributeDict, EasyDict ...) whose class also shows the keys as attributes; here they are keys alone."""


class OpaqueGlobal(msgspec.Struct, frozen=True, order=True):
    """A class or function that the file names and safeload did not look up."""

    module: str
    name: str

    @property
    def full(self) -> str:
        """`module.name`."""
        return f"{self.module}.{self.name}"

    def __repr__(self) -> str:
        return f"<{escape(self.full)}>"


class OpaqueObject:
    """An object of a class that safeload does not construct: what the file says about it, and nothing more.

    `cls` is the `OpaqueGlobal` that would have been called (or another opaque value, where the file calls a computed one), `args` and `kwargs` what it would
    have been called with, `state` what BUILD would have given it, `items` what APPEND / ADDITEMS and `pairs` what SETITEM would have put into it.
    """

    __slots__ = ("args", "cls", "items", "kwargs", "pairs", "state")

    def __init__(self, cls: Any, args: tuple[Any, ...] = (), kwargs: dict[Any, Any] | None = None) -> None:
        self.cls = cls
        self.args = args
        self.kwargs = kwargs
        self.state: Any = None
        self.items: list[Any] | None = None
        self.pairs: list[tuple[Any, Any]] | None = None

    @property
    def type_name(self) -> str:
        """`module.name` of the class, `?` where it was computed."""
        return self.cls.full if isinstance(self.cls, OpaqueGlobal) else "?"

    @property
    def attributes(self) -> dict[Any, Any]:
        """The instance attributes, as far as the state shows them: a dict state, or the `(dict, slots)` pair that protocol 2 writes."""
        state = self.state
        if isinstance(state, dict):
            return state
        if isinstance(state, tuple) and len(state) == 2 and all(part is None or isinstance(part, dict) for part in state):
            return {**(state[0] or {}), **(state[1] or {})}
        return {}

    def _parts(self) -> tuple[Any, ...]:
        return (self.cls, self.args, self.kwargs, self.state, self.items, self.pairs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OpaqueObject):
            return NotImplemented
        from safeload.compare import same

        return same(self, other)

    def __hash__(self) -> int:
        # By identity, though == is by value: records are filled after they were made, and a file that uses them as keys must not be able to make
        # a dict compare them (nested ones 2^depth times). Two records are two keys.
        return object.__hash__(self)

    def __repr__(self) -> str:
        shown = ", ".join(_short(arg) for arg in self.args[:3]) + (", ..." if len(self.args) > 3 else "")
        state = f" state={_short(self.state)}" if self.state is not None else ""
        return f"<opaque {escape(self.type_name)}({shown}){state}>"


class OpaqueAttribute(msgspec.Struct, frozen=True):
    """`getattr(owner, name)` as the file asked for it: an enum member, a nested class, a method. Never looked up."""

    owner: Any
    name: str

    @property
    def full(self) -> str:
        """Dotted name."""
        names = [self.name]
        owner = self.owner
        while isinstance(owner, OpaqueAttribute):
            names.append(owner.name)
            owner = owner.owner
        names.append(owner.full if isinstance(owner, OpaqueGlobal) else "?")
        return ".".join(reversed(names))

    def __repr__(self) -> str:
        return f"<{escape(self.full)}>"


class Storage:
    """A torch storage that the file holds as a value, outside any tensor.

    `array` is the one-dimensional array of its elements (numpy or CuPy), `dtype` torch's name for them, `size` their number, `nbytes` their bytes,
    `location` the tag that it was saved with.
    """

    __slots__ = ("array", "dtype", "key", "location", "nbytes", "size")

    def __init__(self, array: Any, *, dtype: str, size: int, nbytes: int, location: str, key: str) -> None:
        self.array = array
        self.size = size
        self.nbytes = nbytes
        self.dtype = dtype
        self.location = location
        self.key = key

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"Storage({self.dtype}, {self.size:,} elements, location={self.location!a})"


MAX_SHOWN_CHARACTERS = 60


def _short(value: Any) -> str:
    """One value on part of a line, without walking into it: a hostile object cannot make this long or deep."""
    if value is None or isinstance(value, (bool, float)):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if value.bit_length() <= 64 else f"<int of {value.bit_length()} bits>"
    if isinstance(value, (str, bytes)):
        return repr(value) if len(value) <= MAX_SHOWN_CHARACTERS else repr(value[:MAX_SHOWN_CHARACTERS]) + "..."
    if isinstance(value, (list, tuple, set, frozenset, dict)):
        return f"{type(value).__name__}[{len(value)}]"
    if isinstance(value, (OpaqueGlobal, TorchName, Device)):
        return repr(value)
    if isinstance(value, OpaqueObject):
        return f"<opaque {escape(value.type_name)}>"
    return f"<{type(value).__name__}>"
