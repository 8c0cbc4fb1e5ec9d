"""Files of other frameworks get the name of what they are, by their structure, where no signature says it: protobufs, tables, and the like.

None of them is judged. A name is given only where the whole of the file fits it, since a protobuf has no signature and nearly any bytes begin like one.
"""

from __future__ import annotations

from safeload.containers.sniff import NAMED, Sniffed
from safeload.source import ByteSource

MAX_FIELDS = 65_536  # of one message that are looked at: a GraphDef has one for each of its nodes
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # wire types (protobuf's encoding page)
MAX_VARINT_BYTES = 10
TABLE_MAGIC = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # at the end of a table of LevelDB, which TensorFlow's checkpoints have as their index
TABLE_FOOTER_BYTES = 48

ONNX = Sniffed("an ONNX model", "it runs operators and no Python, but may name files beside it and operators of other libraries", reason=NAMED)
SAVED_MODEL = Sniffed("a SavedModel of TensorFlow", "its graph may read and write files, and layers of Keras beside it may be Python code", reason=NAMED)
GRAPH = Sniffed("a GraphDef of TensorFlow", "its graph may read and write files", reason=NAMED)
CORE_ML = Sniffed("a Core ML model", "its custom layers are classes of the program that loads it", reason=NAMED)
TABLE = Sniffed("the index of a TensorFlow checkpoint", "it holds names and places of numbers; read it with TensorFlow", reason=NAMED)

ONNX_FIELDS = {1: VARINT, 2: LENGTH, 3: LENGTH, 4: LENGTH, 5: VARINT, 6: LENGTH, 7: LENGTH, 8: LENGTH, 14: LENGTH, 20: LENGTH, 25: LENGTH, 26: LENGTH}
"""Number to wire type: ModelProto, onnx.proto."""
GRAPH_FIELDS = {1: LENGTH, 2: LENGTH, 3: VARINT, 4: LENGTH, 5: LENGTH}
"""The same: GraphDef, tensorflow/core/framework/graph.proto."""
CORE_ML_TYPES = range(200, 3_002)  # the kinds of model, Model.proto


def recognise(source: ByteSource) -> Sniffed | None:
    """What the file is, None where nothing here fits it."""
    if source.size >= TABLE_FOOTER_BYTES and source.read(source.size - len(TABLE_MAGIC), len(TABLE_MAGIC)) == TABLE_MAGIC:
        return TABLE
    if source.size < 2 or source.read(0, 1) not in (b"\x08", b"\n"):  # the tags of a first field that is a number or a message
        return None
    fields = _fields(source)
    if fields is None:
        return None
    if any(len(types) != 1 for types in fields.values()):
        return None
    found = {number: next(iter(types)) for number, types in fields.items()}
    if {1, 7, 8} <= found.keys() and found.items() <= ONNX_FIELDS.items():
        return ONNX
    if found == {1: VARINT, 2: LENGTH}:
        return SAVED_MODEL
    if {1, 4} <= found.keys() and found.items() <= GRAPH_FIELDS.items():
        return GRAPH
    kinds = [number for number in found if number in CORE_ML_TYPES]
    if found.get(1) == VARINT and kinds and found.keys() <= {1, 2, 10, *kinds}:
        return CORE_ML
    return None


def _fields(source: ByteSource) -> dict[int, set[int]] | None:
    """The numbers of the outermost fields and their wire types; None where the bytes are no message, from the first to the last."""
    found: dict[int, set[int]] = {}
    position = count = 0
    while position < source.size:
        count += 1
        tag, position = _varint(source, position)
        number, kind = tag >> 3, tag & 7
        if count > MAX_FIELDS or position < 0 or not number or kind not in (VARINT, FIXED64, LENGTH, FIXED32):
            return None
        found.setdefault(number, set()).add(kind)
        if kind in (VARINT, LENGTH):
            value, position = _varint(source, position)
            if position < 0:
                return None
            position += value if kind == LENGTH else 0
        else:
            position += 8 if kind == FIXED64 else 4
        if position > source.size:
            return None
    return found


def _varint(source: ByteSource, position: int) -> tuple[int, int]:
    """A number and where it ends; -1 for the end where none is."""
    raw = source.read(position, min(MAX_VARINT_BYTES, source.size - position))
    value = 0
    for index, byte in enumerate(raw):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    return 0, -1
