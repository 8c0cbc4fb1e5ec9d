"""joblib's pickles: the raw bytes that stand between the opcodes become the extents of arrays, by an exact grammar.

joblib writes an array as a `NumpyArrayWrapper` object, and behind the BUILD that gives it its state the elements themselves (joblib `numpy_pickle.py`,
`NumpyArrayWrapper.write_array`):

    [1 byte: n] [n bytes 0xFF]      only where the state has `numpy_array_alignment_bytes` that is not None (joblib >= 1.2)
    product(shape) * itemsize bytes

An array of Python objects is written as a pickle of its own in that place: it is interpreted to find its end, and judged; such an array does not load (SL409).
A plain unpickler takes what stands there for opcodes. The length of the padding is none, so it breaks off at once; the elements of a file by joblib < 1.2 may
spell anything, and the names in them are judged, too. Refuses wrappers whose state does not say how many bytes follow (SL131), and bytes that are not there
(SL004).
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
MAX_PADDING_BYTES = 16  # the alignment that joblib writes; and the lowest opcode of a pickle is 40
FIRST_OBJECTS_BYTES = 1 << 16  # of a nested pickle read at first
_IMPORTABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


class Arrays:
    """Steps over the arrays of one stream, and remembers where they lie: the machine asks after every BUILD."""

    __slots__ = ("dtypes", "extents", "objects", "plain", "raw_bytes", "window")

    def __init__(self, window: Window) -> None:
        self.window = window
        self.dtypes: dict[int, ArrayDType | BadArray] = {}  # those that have a state, by the index of the node
        self.extents: dict[int, Member] = {}  # of arrays, by the index of their wrapper
        self.objects: list[tuple[str, bytes, ObjectGraph]] = []  # nested pickles: where, their bytes, what they mean
        self.raw_bytes = 0
        self.plain: bool | None = None  # could a plain unpickler read on in the first raw bytes of all? None before there are any

    def behind(self, node: Call, state: Any, position: int) -> int | None:
        """Where the stream goes on behind the array of a wrapper; None for any other object."""
        name = _class_of(node)
        if name in WRAPPERS:
            return self._behind(node, state, position)
        if name == "numpy.dtype" or name.startswith("numpy.dtypes."):
            self.window.budget.check_time(self.window.member, position)  # one state of many fields may be given to many dtypes
            self.dtypes[node.index] = self._with_state(node, state)
        return None

    def _behind(self, node: Call, state: Any, position: int) -> int:
        if node.index in self.extents:
            raise self._error("a wrapper of joblib's is given two states", position)
        try:
            dtype, shape = self._dtype(state["dtype"]), state["shape"]
            if type(shape) is not tuple or not all(type(length) is int and length >= 0 for length in shape):
                raise BadArray("its shape is no tuple of whole numbers")
            nbytes = arrays.nbytes_of(dtype, shape)
        except (BadArray, KeyError, TypeError) as error:
            raise self._error(f"the state of a wrapper of joblib's does not say what array follows: {error}", position) from None
        if dtype.has_objects:
            end = self._nested(position)
        else:
            start = self._aligned(state, position)
            end = start + nbytes
            if self.plain is None and end > position:
                self.plain = start == position
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
        known = self.dtypes.get(node.index)
        if isinstance(known, BadArray):
            raise known
        return known or _bare_dtype(node)

    def _with_state(self, node: Call, state: Any) -> ArrayDType | BadArray:
        """The dtype with the state that it was given. Dtypes in it have theirs already, so a chain of them costs no recursion."""
        try:
            if type(state) is not tuple or len(state) < 8 or not (state[4] is None or type(state[4]) is dict) or type(state[5]) is not int:
                raise BadArray("the state of its dtype is none")
            return arrays.with_state(_bare_dtype(node), state[:8], self._dtype)
        except BadArray as error:
            return error
        except (IndexError, KeyError, TypeError):
            return BadArray("the state of its dtype is none")

    def _aligned(self, state: Any, position: int) -> int:
        """Where the elements begin, behind the padding."""
        if state.get(ALIGNMENT) is None:
            return position
        source = self.window.source
        length = source.read(position, 1)[0]
        if length > MAX_PADDING_BYTES or source.read(position + 1, length).strip(bytes([PADDING])):
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


def _bare_dtype(node: Call) -> ArrayDType:
    """A dtype before it has a state: `numpy.dtype("V8", ...)`, `numpy.dtypes.Float32DType()`."""
    func: Any = node.func
    name = canonical(func.module, func.name)
    if name == "numpy.dtype" and node.args and type(node.args[0]) is str:
        return arrays.from_text(node.args[0])
    if name.startswith("numpy.dtypes.") and func.name in arrays.DTYPE_CLASSES:
        return arrays.from_text(arrays.DTYPE_CLASSES[func.name])
    raise BadArray("its dtype is no numpy.dtype")


def _class_of(node: Call) -> str:
    """The name of the class that a call makes an object of; protocols 0 and 1 spell it as an argument."""
    cls: Any = node.func
    if type(cls) is Global and canonical(cls.module, cls.name) == "copyreg._reconstructor" and node.args:
        cls = node.args[0]
    return cls.full if type(cls) is Global else ""


def importable(names: Iterable[tuple[str, str]]) -> bool:
    """Is one of these (module, name) something that an unpickler could import? Numbers that happen to read as GLOBAL seldom spell a name."""
    return any(_IMPORTABLE.fullmatch(module) and _IMPORTABLE.fullmatch(name) for module, name in names)
