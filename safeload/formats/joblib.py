"""joblib's pickles: the raw bytes that stand between the opcodes become the extents of arrays, by an exact grammar.

joblib writes an array as a `NumpyArrayWrapper` object, and behind the BUILD that gives it its state the elements themselves (joblib `numpy_pickle.py`,
`NumpyArrayWrapper.write_array`):

    [1 byte: n] [n bytes 0xFF]      only where the state has `numpy_array_alignment_bytes` that is not None (joblib >= 1.2)
    product(shape) * itemsize bytes

An array of Python objects is written as a pickle of its own in that place: it is interpreted to find its end, and judged; such an array does not load (SL409).
Another reader of pickles takes the elements for opcodes, so names that it would find in them are judged, too. Refuses wrappers whose state does not say how
many bytes follow (SL131), and bytes that are not there (SL004).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from safeload.containers.base import Member
from safeload.errors import CheckpointError, StreamError
from safeload.machine.interpret import interpret
from safeload.machine.nodes import Call, Global, ObjectGraph
from safeload.policy.aliases import canonical
from safeload.storage import arrays
from safeload.storage.arrays import ArrayDType, BadArray

if TYPE_CHECKING:
    from safeload.formats.legacy import Window

WRAPPERS = frozenset({"joblib.numpy_pickle.NumpyArrayWrapper", "sklearn.externals.joblib.numpy_pickle.NumpyArrayWrapper"})  # sklearn < 0.23 carried a copy
ALIGNMENT = "numpy_array_alignment_bytes"
PADDING = 0xFF
FIRST_OBJECTS_BYTES = 1 << 16  # of a nested pickle read at first
_IMPORTABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


class Arrays:
    """Steps over the arrays of one stream, and remembers where they lie: the machine asks after every BUILD."""

    __slots__ = ("extents", "objects", "raw_bytes", "states", "window")

    def __init__(self, window: Window) -> None:
        self.window = window
        self.states: dict[int, Any] = {}  # of dtypes, by the index of the node
        self.extents: dict[int, Member] = {}  # of arrays, by the index of their wrapper
        self.objects: list[tuple[str, bytes, ObjectGraph]] = []  # nested pickles: where, their bytes, what they mean
        self.raw_bytes = 0

    def behind(self, node: Call, state: Any, position: int) -> int | None:
        """Where the stream goes on behind the array of a wrapper; None for any other object."""
        if _class_of(node) not in WRAPPERS:
            self.states[node.index] = state
            return None
        if node.index in self.extents:
            raise self._error("a wrapper of joblib's is given two states", position)
        try:
            dtype, shape = self._dtype(state["dtype"]), state["shape"]
            if type(shape) is not tuple or not all(type(length) is int and length >= 0 for length in shape):
                raise BadArray("its shape is no tuple of whole numbers")
        except (BadArray, KeyError, TypeError) as error:
            raise self._error(f"the state of a wrapper of joblib's does not say what array follows: {error}", position) from None
        if dtype.has_objects:
            end = self._nested(position)
        else:
            start = self._aligned(state, position)
            end = start + arrays.nbytes_of(dtype, shape)
            if end > self.window.source.size:
                missing = end - self.window.source.size
                raise StreamError(f"the file is cut short: {missing:,} bytes of an array are missing", rule="SL004", member=self.window.member, offset=start)
            self.extents[node.index] = Member(name=f"array at {start:#x}", offset=start, size=end - start, stored_size=end - start, role="storage")
        self.raw_bytes += end - position
        return end

    def resume(self, position: int) -> bytes:
        """The next part of the stream, as long as the window is by now."""
        return self.window.resumed(position)

    def _dtype(self, node: Any) -> ArrayDType:
        """The dtype that a node stands for, from the texts and numbers in the stream: nothing is looked up. `storage` proves the same again."""
        if type(node) is not Call or type(node.func) is not Global:
            raise BadArray("its dtype is no numpy.dtype")
        name = canonical(node.func.module, node.func.name)
        if name == "numpy.dtype" and node.args and type(node.args[0]) is str:
            base = arrays.from_text(node.args[0])
        elif name.startswith("numpy.dtypes.") and node.func.name in arrays.DTYPE_CLASSES:
            base = arrays.from_text(arrays.DTYPE_CLASSES[node.func.name])
        else:
            raise BadArray("its dtype is no numpy.dtype")
        state = self.states.get(node.index)
        if state is None:
            return base
        if type(state) is not tuple or len(state) < 8 or not (state[4] is None or type(state[4]) is dict) or type(state[5]) is not int:
            raise BadArray("the state of its dtype is none")
        return arrays.with_state(base, state[:8], self._dtype)

    def _aligned(self, state: Any, position: int) -> int:
        """Where the elements begin, behind the padding."""
        if state.get(ALIGNMENT) is None:
            return position
        source = self.window.source
        length = source.read(position, 1)[0]
        if source.read(position + 1, length).strip(bytes([PADDING])):
            raise self._error("the padding in front of an array is not what joblib writes", position)
        return position + 1 + length

    def _nested(self, position: int) -> int:
        """The end of the pickle that stands for an array of Python objects."""
        window, length = self.window, FIRST_OBJECTS_BYTES
        while True:
            data = window.source.read(position, min(length, window.source.size - position))
            opcodes = window.budget.opcodes
            try:
                graph = interpret(data, budget=window.budget, member=f"objects at {position:#x}", encoding=window.encoding, errors=window.errors)
            except CheckpointError as error:
                if error.rule != "SL202" or position + len(data) == window.source.size or length > window.budget.limits.pickle_bytes:
                    if isinstance(error.partial, ObjectGraph):
                        self.objects.append((f"objects at {position:#x}", data, error.partial))
                    raise
                window.budget.opcodes = opcodes
                length *= 8
            else:
                self.objects.append((f"objects at {position:#x}", data[: graph.end], graph))
                return position + graph.end

    def _error(self, message: str, position: int) -> StreamError:
        return StreamError(message, rule="SL131", member=self.window.member, offset=position)


def _class_of(node: Call) -> str:
    """The name of the class that a call makes an object of; protocols 0 and 1 spell it as an argument."""
    cls: Any = node.func
    if type(cls) is Global and canonical(cls.module, cls.name) == "copyreg._reconstructor" and node.args:
        cls = node.args[0]
    return cls.full if type(cls) is Global else ""


def importable(names: Iterable[tuple[str, str]]) -> bool:
    """Is one of these (module, name) something that an unpickler could import? Numbers that happen to read as GLOBAL seldom spell a name."""
    return any(_IMPORTABLE.fullmatch(module) and _IMPORTABLE.fullmatch(name) for module, name in names)
