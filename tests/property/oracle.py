"""CPython's two unpicklers with inert stubs, and one plain form in which their results and the machine's can be compared.

`c_unpickler` is `_pickle.Unpickler`, `py_unpickler` is `pickle._Unpickler`. Every name, call and persistent id gives a fresh *class* whose
metaclass only records: a class, because NEWOBJ takes nothing else. So whatever the stream does with it is written down and nothing runs.

The plain form numbers containers in the order in which they are met, so that sharing and cycles count; nodes are named by the order in
which the stream made them, and what was done to them stands in a log.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from safeload.budget import Budget
from safeload.machine.interpret import interpret
from safeload.machine.nodes import Build, Call, Global, Items, ObjectGraph, PersistentId

Record = tuple[Any, ...]


class _Recorder(type):
    """The type of all stubs."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls.recorded(("call", cls, args, kwargs))  # type: ignore[attr-defined]

    def __setstate__(cls, state: Any) -> None:
        cls.log.append(("build", cls, state))  # type: ignore[attr-defined]

    def extend(cls, items: list[Any]) -> None:
        cls.log.extend(("append", cls, item) for item in items)  # type: ignore[attr-defined]

    def append(cls, item: Any) -> None:
        cls.log.append(("append", cls, item))  # type: ignore[attr-defined]

    def add(cls, item: Any) -> None:
        cls.log.append(("add", cls, item))  # type: ignore[attr-defined]

    def __setitem__(cls, key: Any, value: Any) -> None:
        cls.log.append(("set", cls, key, value))  # type: ignore[attr-defined]


class _Log:
    """The log of one run and the maker of its stubs."""

    def __init__(self) -> None:
        self.log: list[Record] = []
        self.nodes: dict[int, int] = {}  # id(stub) -> number
        self.names: dict[tuple[str, str], Any] = {}

    def record(self, entry: Record) -> Any:
        stub: Any = type.__new__(_Recorder, "stub", (), {"log": self.log, "recorded": staticmethod(self.record), "__new__": self._new})
        self.log.append(("node", stub, *entry))
        self.nodes[id(stub)] = len(self.nodes)
        return stub

    def _new(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError  # replaced below: `__new__` has to be a plain function

    def name(self, module: str, name: str) -> Any:
        if (module, name) not in self.names:
            self.names[module, name] = self.record(("global", module, name))
        return self.names[module, name]


def _new(cls: Any, *args: Any, **kwargs: Any) -> Any:
    return cls.recorded(("new", cls, args, kwargs))


_Log._new = staticmethod(_new)  # type: ignore[assignment]


class Outcome:
    """What an unpickler made of a stream: `plain` (None where it refused), `error`, and where it stopped reading."""

    def __init__(self, plain: Any, error: BaseException | None, end: int) -> None:
        self.plain = plain
        self.error = error
        self.end = end

    @property
    def accepted(self) -> bool:
        return self.error is None

    def __repr__(self) -> str:
        return f"accepted {self.plain} up to {self.end}" if self.accepted else f"refused: {type(self.error).__name__}: {self.error}"


@contextmanager
def quiet() -> Iterator[None]:
    r"""CPython warns of `\q` in STRING, and `_pickle.c` releases a BYTEARRAY8 that is cut short with its buffer exported: an unraisable SystemError."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.unraisablehook = hook


def _run(base: Any, data: bytes) -> Outcome:
    log = _Log()

    class Inert(base):  # type: ignore[misc]
        def find_class(self, module: str, name: str) -> Any:
            return log.name(module, name)

        def persistent_load(self, pid: Any) -> Any:
            return log.record(("persistent", pid))

    file = io.BytesIO(data)
    try:
        with quiet():
            root = Inert(file, fix_imports=False, encoding="latin-1").load()
    except Exception as error:
        return Outcome(None, error, -1)
    return Outcome(_Plain(log.nodes).everything(log.log, root), None, file.tell())


def c_unpickler(data: bytes) -> Outcome:
    """The C implementation, which is what everybody runs."""
    return _run(pickle.Unpickler, data)


def py_unpickler(data: bytes) -> Outcome:
    """The Python implementation, which enforces frames."""
    return _run(pickle._Unpickler, data)  # type: ignore[attr-defined]


def machine(data: bytes) -> Outcome:
    """`interpret`; anything but a `CheckpointError` is left to the test to fail on."""
    from safeload.errors import CheckpointError

    try:
        graph = interpret(data, budget=Budget(), encoding="latin-1")
    except CheckpointError as error:
        return Outcome(None, error, -1)
    return Outcome(plain_graph(graph), None, graph.end)


def plain_graph(graph: ObjectGraph) -> Any:
    """The plain form of the machine's result."""
    nodes: dict[int, int] = {}
    log: list[Record] = []
    for entry in graph.log:
        if isinstance(entry, (Global, Call, PersistentId)):
            nodes[id(entry)] = len(nodes)
        if isinstance(entry, Global):
            log.append(("node", entry, "global", entry.module, entry.name))
        elif isinstance(entry, PersistentId):
            log.append(("node", entry, "persistent", entry.pid))
        elif isinstance(entry, Call):
            # _pickle.c instantiates without arguments through __new__ (INST, OBJ), with arguments by a call
            made = entry.kind in ("newobj", "newobj_ex") or (entry.kind in ("inst", "obj") and not entry.args)
            log.append(("node", entry, "new" if made else "call", entry.func, entry.args, entry.kwargs or {}))
        elif isinstance(entry, Build):
            log.append(("build", entry.target, entry.state))
        elif isinstance(entry, Items):
            log.extend((entry.kind, entry.target, item) for item in entry.items)
        else:
            flat = entry.pairs
            log.extend(("set", entry.target, flat[i], flat[i + 1]) for i in range(0, len(flat), 2))
    return _Plain(nodes).everything(log, graph.root)


def plain(value: Any) -> Any:
    """The plain form of a value without nodes."""
    return _Plain({}).everything([], value)


class _Plain:
    """Values into nested tuples of scalars, each container numbered where it is first met."""

    def __init__(self, nodes: dict[int, int]) -> None:
        self.nodes = nodes
        self.met: dict[int, int] = {}
        self.kept: list[Any] = []  # so that no id is used twice

    def everything(self, log: list[Record], root: Any) -> Any:
        return [self.record(entry) for entry in log], self.value(root)

    def record(self, entry: Record) -> Any:
        kind, target, *rest = entry
        if kind != "node":
            return (kind, self.value(target), *(self.value(each) for each in rest))
        what, *rest = rest
        if what == "global":
            return (what, *rest)
        if what == "persistent":
            return (what, self.value(rest[0]))
        callee, args, kwargs = rest
        return (what, self.value(callee), [self.value(each) for each in args], {key: self.value(each) for key, each in kwargs.items()})

    def value(self, value: Any, numbered: bool = True) -> Any:
        kind = type(value)
        if id(value) in self.nodes:
            return ("node", self.nodes[id(value)])
        if kind is float:
            return ("float", struct.pack(">d", value) if value == value else "nan")
        if kind in (int, str, bytes, bool, type(None)):
            return (kind.__name__, value)
        if kind in (tuple, frozenset) and not value:
            return (kind.__name__,)  # CPython has only one of each
        if not numbered:
            return self.parts(value, False)
        if id(value) in self.met:
            return ("again", self.met[id(value)])
        self.met[id(value)] = number = len(self.met)
        self.kept.append(value)
        return (number, *self.parts(value, True))

    def parts(self, value: Any, numbered: bool) -> Any:
        kind = type(value)
        if kind is bytearray:
            return ("bytearray", bytes(value))
        if kind in (list, tuple):
            return (kind.__name__, [self.value(each, numbered) for each in value])
        if kind is dict:
            return ("dict", [(self.value(key, False), self.value(each)) for key, each in value.items()])
        if kind in (set, frozenset):
            return (kind.__name__, sorted((self.value(each, False) for each in value), key=repr))
        raise AssertionError(f"a {kind.__name__} in a result")
