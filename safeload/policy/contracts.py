"""The second key: what each constructor of the closed table takes, and what it refuses, before anything is built.

Turns a recorded call, state or item list into "fits" or a sentence that says why not. A policy entry names a constructor (`as = "tensor"`) and may narrow
what it takes; it can never widen it. `rebuild/` holds the code for the same ids, and a test holds the two tables together.

A contract is judged on kinds alone: geometry, bounds and array contents are proved later, in `storage`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from safeload.machine.nodes import NODE_TYPES, Global
from safeload.policy import literals
from safeload.policy.model import Use
from safeload.policy.shapes import MAX_SHAPE_LENGTH, TENSOR_KINDS, Kinds, Signature, parse_signature

StateCheck = Callable[[Any, Kinds], "str | None"]
Literal_ = Callable[[tuple[Any, ...]], Any]


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """One constructor.

    `produces` is the kind of its result, by which shapes know it. `signatures` are the argument lists that it takes; `literal` computes an immutable plain
    value instead. `state` checks what BUILD gives (None: takes no state). `items` says which of append, add, set its result takes.
    """

    id: str
    produces: str
    uses: frozenset[Use]
    signatures: tuple[Signature, ...] = ()
    literal: Literal_ | None = None
    state: StateCheck | None = None
    items: frozenset[str] = frozenset()
    check: Callable[[tuple[Any, ...], Kinds], str | None] | None = None  # what the signature cannot say
    external: str | None = None  # why a call that no other part of the file explains (`External`) is refused; None: the call says all
    copies: bool = False  # copies a plain container that it is given, so that container must not change afterwards (SL206)


# ---- states that BUILD may give ---------------------------------------------------------------------------------------------------------


def ordered_dict_state(state: Any, kinds: Kinds) -> str | None:
    """`{"_metadata": ...}` alone: torch puts any key into `__dict__`, where `keys` or `items` would shadow the methods."""
    if type(state) is dict and set(state) <= {"_metadata"}:
        return None
    return "an OrderedDict takes the attribute _metadata and no other"


def attributes_state(state: Any, kinds: Kinds) -> str | None:
    """A dict with plain str keys, no dunder among them."""
    if type(state) is not dict:
        return "the state is not a dict"
    for key in state:
        if type(key) is not str or (key.startswith("__") and key.endswith("__")):
            return f"the attribute name {key!a:.60} is not one that data has"
    return None


def empty_state(state: Any, kinds: Kinds) -> str | None:
    """None or `{}`: what `copyreg` writes for str subclasses without attributes."""
    return None if state is None or (type(state) is dict and not state) else "the state is not empty"


def array_state(state: Any, kinds: Kinds) -> str | None:
    """`(version, shape, dtype, is_fortran, bytes)` of `ndarray.__setstate__`; version 1, or absent in very old files."""
    if type(state) is tuple and len(state) == 5 and state[0] in (0, 1) and type(state[0]) is int:
        state = state[1:]
    if type(state) is not tuple or len(state) != 4:
        return "the state of an array is (1, shape, dtype, is_fortran, bytes)"
    shape, dtype, fortran, data = state
    if type(shape) is not tuple or len(shape) > MAX_SHAPE_LENGTH or not all(type(item) is int for item in shape):
        return "the shape of an array is a tuple of ints"
    if type(dtype) not in NODE_TYPES or kinds.kind(dtype) not in ("numpy-dtype", "numpy-dtype-class"):
        return "the dtype of an array is a numpy.dtype"
    if type(fortran) not in (bool, int):
        return "is_fortran is a bool"
    if type(data) is list:
        return "an array of Python objects: its items would be unpickled one by one"
    if type(data) in (bytes, bytearray, str) or (type(data) in NODE_TYPES and kinds.kind(data) == "bytes"):
        return None
    return "the data of an array is bytes"


MAX_DTYPE_FIELDS = 1_000


def dtype_state(state: Any, kinds: Kinds) -> str | None:
    """`(version, byteorder, subdtype, names, fields, itemsize, alignment, flags[, metadata])` of `dtype.__setstate__`."""
    if type(state) is not tuple or not 8 <= len(state) <= 9 or state[0] not in (3, 4):
        return "the state of a dtype is (3 or 4, byteorder, subdtype, names, fields, itemsize, alignment, flags)"
    byteorder, subdtype, names, fields, itemsize, alignment, flags = state[1:8]
    if byteorder not in ("<", ">", "|", "=") or type(byteorder) is not str:
        return "the byte order of a dtype is one of < > | ="
    if any(type(number) is not int for number in (itemsize, alignment, flags)):
        return "itemsize, alignment and flags of a dtype are ints"
    if subdtype is not None and not (type(subdtype) is tuple and len(subdtype) == 2 and _is_dtype(subdtype[0], kinds) and _dims(subdtype[1])):
        return "the subdtype is (dtype, shape)"
    if (names is None) != (fields is None):
        return "a dtype has both names and fields, or neither"
    if names is not None:
        return _fields(names, fields, kinds)
    return None


def _fields(names: Any, fields: Any, kinds: Kinds) -> str | None:
    if type(names) is not tuple or type(fields) is not dict or max(len(names), len(fields)) > MAX_DTYPE_FIELDS or not all(type(name) is str for name in names):
        return "the fields of a dtype are named by text, and at most 1,000"
    if set(names) != set(fields) or len(set(names)) != len(names):
        return "the names and the fields of a dtype do not agree"
    for field in fields.values():
        if type(field) is not tuple or len(field) != 2 or not _is_dtype(field[0], kinds) or type(field[1]) is not int:
            return "a field of a dtype is (dtype, offset)"
    return None


def _is_dtype(value: Any, kinds: Kinds) -> bool:
    return type(value) in NODE_TYPES and kinds.kind(value) == "numpy-dtype"


def _dims(value: Any) -> bool:
    return type(value) is int or (type(value) is tuple and len(value) <= MAX_SHAPE_LENGTH and all(type(item) is int for item in value))


def joblib_state(state: Any, kinds: Kinds) -> str | None:
    """`{subclass, shape, order, dtype, allow_mmap[, numpy_array_alignment_bytes]}` of joblib's NumpyArrayWrapper. Of any class, an ndarray is built."""
    if type(state) is not dict or not JOBLIB_KEYS <= set(state) <= JOBLIB_KEYS | {"numpy_array_alignment_bytes"}:
        return "the state of a wrapper is subclass, shape, order, dtype and allow_mmap"
    subclass, dtype, alignment = state["subclass"], state["dtype"], state.get("numpy_array_alignment_bytes")
    if type(subclass) is not Global or kinds.canonical(subclass) not in JOBLIB_CLASSES:
        return "the class of the array is not numpy.ndarray, nor one that joblib.load makes an ndarray of"
    if type(dtype) not in NODE_TYPES or kinds.kind(dtype) not in ("numpy-dtype", "numpy-dtype-class"):
        return "the dtype of an array is a numpy.dtype"
    if type(state["shape"]) is not tuple or not _dims(state["shape"]) or state["order"] not in ("C", "F") or type(state["order"]) is not str:
        return "the shape of an array is a tuple of ints, and its order C or F"
    if type(state["allow_mmap"]) is not bool or not (alignment is None or (type(alignment) is int and alignment == JOBLIB_ALIGNMENT)):
        return "allow_mmap is a bool, and the alignment 16 or none"
    return None


def record_state(state: Any, kinds: Kinds) -> str | None:
    """The attributes of a data class, or the tuple that its own `__getstate__` gives: kept as they are."""
    return None if type(state) is tuple else attributes_state(state, kinds)


CONFIG = "config"  # the kind of what `rebuild.fold` makes a plain container of
FOLDED_KEYS = ("_content", "_fields", "_val")  # omegaconf's containers, ml_collections' ConfigDict, omegaconf's leaves


def config_dict_state(state: Any, kinds: Kinds) -> str | None:
    """Options of a dict subclass (yacs, box), the subclass itself (addict), or None. The items say all; this is looked at and left out."""
    if state is None or (type(state) is dict and all(type(key) is str for key in state)):
        return None
    if type(state) in NODE_TYPES and kinds.kind(state) == CONFIG:
        return None
    return "the state of a configuration dict is a dict of options"


def config_list_state(state: Any, kinds: Kinds) -> str | None:
    """The options of a list subclass; `items`, if it is among them, is the plain list of what it holds: so python-box 8 writes it, with no APPENDS."""
    problem = config_dict_state(state, kinds)
    if problem is None and type(state) is dict and type(state.get("items", [])) is not list:
        return "the items in the state of a configuration list are a list"
    return problem


def config_pairs(args: tuple[Any, ...], kinds: Kinds) -> str | None:
    """`(key, value)` pairs, which addict repeats as items, or one dict."""
    if all(type(pair) is tuple and len(pair) == 2 for pair in args) or (len(args) == 1 and type(args[0]) is dict):
        return None
    return "a configuration dict takes pairs of key and value, or one dict"


def config_state(state: Any, kinds: Kinds) -> str | None:
    """A dict with one of `FOLDED_KEYS`: a plain container, or what is none; never another such object, so that one step leads to the value."""
    if type(state) is not dict or not all(type(key) is str for key in state):
        return "the state of a configuration is a dict with text keys"
    held = [key for key in FOLDED_KEYS if key in state]
    if len(held) != 1:
        return f"the state of a configuration holds one of {', '.join(FOLDED_KEYS)}"
    value = state[held[0]]
    if type(value) in NODE_TYPES and kinds.kind(value) == CONFIG:
        return "the value of a configuration is another one"
    return None


JOBLIB_KEYS = frozenset({"subclass", "shape", "order", "dtype", "allow_mmap"})
JOBLIB_CLASSES = frozenset({"numpy.ndarray", "numpy.matrix", "numpy.matrixlib.defmatrix.matrix"})  # not memmap: calling that one writes files
JOBLIB_ALIGNMENT = 16  # bytes; joblib/numpy_pickle.py, NUMPY_ARRAY_ALIGNMENT_BYTES


def uuid_state(state: Any, kinds: Kinds) -> str | None:
    """`{"int": n}` with 0 <= n < 2**128; `is_safe` may stand beside it."""
    if type(state) is dict and type(state.get("int")) is int and 0 <= state["int"] < 1 << 128 and set(state) <= {"int", "is_safe"}:
        return None
    return "the state of a UUID is {'int': n} with n below 2**128"


def legacy_tensor_state(state: Any, kinds: Kinds) -> str | None:
    """`(storage, offset, size, stride)` of `torch.Tensor.__setstate__` up to torch 0.1.x."""
    if type(state) is tuple and _LEGACY_TENSOR.accepts(state, kinds):
        return None
    return "the state of a tensor is (storage, offset, size, stride)"


def legacy_parameter_state(state: Any, kinds: Kinds) -> str | None:
    """The states of `Parameter` up to torch 0.3: (storage, offset, size, stride), (data, grad, hooks, requires_grad, volatile), (requires_grad, grad,
    hooks)."""
    if type(state) is tuple and any(signature.accepts(state, kinds) for signature in _LEGACY_PARAMETER):
        return None
    return "this is no state that torch ever gave a Parameter"


# ---- arguments that a signature cannot describe -----------------------------------------------------------------------------------------

INNER_TENSORS = frozenset(
    {
        "tensor", "tensor-v3", "wrapper-subclass", "meta-tensor", "device-tensor-from-cpu", "device-tensor-from-numpy", "quantized-tensor", "sparse-tensor",
        "sparse-csr-tensor", "nested-tensor", "jagged-tensor",
    }
)  # fmt: skip
"""What `Tensor._reduce_ex_internal` gives as the function, so what may stand in a call of `_rebuild_from_type_v2`."""


def typed_tensor_args(args: tuple[Any, ...], kinds: Kinds) -> str | None:
    """`(func, type, args, state)` of `_rebuild_from_type_v2`: torch calls `func(*args)`, so `func` must be one of our tensor constructors."""
    func, cls, inner, state = args
    contract = kinds.contract(func)
    if contract is None or contract.id not in INNER_TENSORS:
        return "the function that builds the tensor is none that makes a tensor"
    if not fits(contract, inner, kinds):
        return f"the inner arguments do not fit {contract.id}"
    named = kinds.kind(cls)
    if named == "tensor-class" or named == "parameter-class":
        if state is None or (type(state) is dict and attributes_state(state, kinds) is None) or _slots_state(state, kinds):
            return None
        return "the Python attributes of a tensor are a dict with plain names"
    return None if named in ("opaque-global", "class-record") else "the class of the tensor is not one that the policy keeps as a record"


def _slots_state(state: Any, kinds: Kinds) -> bool:
    return type(state) is tuple and len(state) == 2 and all(part is None or attributes_state(part, kinds) is None for part in state)


def sparse_args(args: tuple[Any, ...], kinds: Kinds) -> str | None:
    """`(layout, (indices, values, size[, is_coalesced]))` or `(layout, (compressed, plain, values, size))`."""
    if any(signature.accepts(args[1], kinds) for signature in _SPARSE):
        return None
    return "the parts of a sparse tensor are (indices, values, size) or (compressed indices, plain indices, values, size)"


JAGGED_KEYS = frozenset({"values", "offsets", "lengths", "_ragged_idx", "_ragged_size", "_metadata_cache", "requires_grad"})


def jagged_args(args: tuple[Any, ...], kinds: Kinds) -> str | None:
    """The one dict of `_rebuild_njt`: values, offsets, perhaps lengths, the ragged dimension, and notes that say nothing about the data."""
    parts = args[0]
    if not set(parts) <= JAGGED_KEYS or not {"values", "offsets"} <= set(parts):
        return "the parts of a jagged tensor are values, offsets, lengths, _ragged_idx, _metadata_cache and requires_grad"
    if not all(_is_tensor(parts[key], kinds) for key in ("values", "offsets")) or not (parts.get("lengths") is None or _is_tensor(parts["lengths"], kinds)):
        return "the values, offsets and lengths of a jagged tensor are tensors"
    if type(parts.get("_ragged_idx", 1)) is not int or type(parts.get("requires_grad", False)) is not bool:
        return "the ragged dimension is an int, and requires_grad a bool"
    return None


def _is_tensor(value: Any, kinds: Kinds) -> bool:
    return type(value) in NODE_TYPES and kinds.kind(value) in TENSOR_KINDS


def dim_range_state(state: Any, kinds: Kinds) -> str | None:
    """`[dim, min, max]`: ints, the last two perhaps None."""
    if type(state) in (list, tuple) and len(state) == 3 and all(part is None or type(part) is int for part in state):
        return None
    return "the state of a _DimRange is [dim, min, max]"


def generator_state(state: Any, kinds: Kinds) -> str | None:
    """`(seed, offset, state)` of `torch.Generator.__setstate__`: an offset is a CUDA generator's; the state is a tensor of bytes."""
    if type(state) is tuple and len(state) == 3 and type(state[0]) is int and (state[1] is None or type(state[1]) is int) and _is_tensor(state[2], kinds):
        return None
    return "the state of a Generator is (seed, offset or None, tensor of bytes)"


def quantized_args(args: tuple[Any, ...], kinds: Kinds) -> str | None:
    """The quantizer: `(per_tensor_affine, scale, zero_point)` or `(per_channel_affine, scales, zero_points, axis)`."""
    if len(args) == 8 or any(signature.accepts(args[4], kinds) for signature in _QUANTIZERS):
        return None
    return "the quantizer is (qscheme, scale, zero_point) or (qscheme, scales, zero_points, axis)"


def bytearray_args(args: tuple[Any, ...], kinds: Kinds) -> str | None:
    """`bytearray(text, "latin-1")`: only this codec."""
    if len(args) == 2:
        try:
            literals.latin1_bytes(args)
        except literals.BadArguments as error:
            return str(error)
    return None


def pairs_args(args: tuple[Any, ...], kinds: Kinds) -> str | None:
    """The items of an OrderedDict, as Python 2 writes them: a list of `[key, value]`."""
    if args and not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in args[0]):
        return "the items of an OrderedDict are pairs"
    return None


MAX_DEQUE_BOUND = (1 << 31) - 1


FACTORIES = frozenset(
    {f"builtins.{name}" for name in ("int", "float", "str", "bool", "list", "dict", "tuple", "set", "frozenset", "bytes", "complex")}
    | {f"collections.{name}" for name in ("OrderedDict", "Counter", "defaultdict", "deque")}
)


def default_dict_args(args: tuple[Any, ...], kinds: Kinds) -> str | None:
    """The factory is one of Python's own classes, whatever other names a policy gives their constructors: it will be called by whoever uses the dict."""
    return (
        "the factory of a defaultdict is a plain class of Python's own" if args and args[0] is not None and kinds.canonical(args[0]) not in FACTORIES else None
    )


def deque_args(args: tuple[Any, ...], kinds: Kinds) -> str | None:
    """The bound of a deque is None or a number of items that memory could hold."""
    if len(args) > 1 and args[1] is not None and not 0 <= args[1] <= MAX_DEQUE_BOUND:
        return "the bound of a deque is negative or beyond any memory"
    return None


def fits(contract: Contract, args: tuple[Any, ...], kinds: Kinds) -> bool:
    """Do these arguments fit one of the contract's signatures, and its check?"""
    if not any(signature.accepts(args, kinds) for signature in contract.signatures):
        return False
    return contract.check is None or contract.check(args, kinds) is None


# ---- the table --------------------------------------------------------------------------------------------------------------------------


def _signatures(*texts: str) -> tuple[Signature, ...]:
    return tuple(parse_signature(tuple(word for word in text.split() if word != "()")) for text in texts)


def _contract(id: str, produces: str, uses: str, *signatures: str, **more: Any) -> Contract:
    return Contract(id=id, produces=produces, uses=frozenset(uses.split()), signatures=_signatures(*signatures), **more)  # type: ignore[arg-type]


_LEGACY_TENSOR = parse_signature(("storage", "int", "shape", "shape"))
_LEGACY_PARAMETER = _signatures("storage int shape shape", "tensor any hooks bool any", "bool any hooks")
_SPARSE = _signatures("tensor tensor shape bool|none?", "tensor tensor tensor shape")
_QUANTIZERS = _signatures("qscheme number number", "qscheme list|tensor list|tensor int")
_SET = frozenset({"set"})
_NO_ARRAY = "an array of Python objects, or no elements of an array stand behind it"
_VALUE = "call new reference"  # a class: its name alone may stand as a value too
_DENSE = "storage int shape shape"

CONTRACTS: dict[str, Contract] = {
    contract.id: contract
    for contract in (
        # plain containers
        _contract("ordered-dict", "ordered-dict", _VALUE + " build", "()", "list", check=pairs_args, state=ordered_dict_state, items=_SET, copies=True),
        _contract("counter", "counter", _VALUE, "()", "dict", items=_SET, copies=True),
        _contract("default-dict", "default-dict", _VALUE, "factory|none?", check=default_dict_args, items=_SET),
        _contract("attribute-dict", "attribute-dict", _VALUE + " build", "()", "dict", state=attributes_state, items=_SET, copies=True),
        _contract("deque", "deque", _VALUE, "list|tuple? int|none?", check=deque_args, items=frozenset({"append"}), copies=True),
        _contract("set", "set", _VALUE, "()", "list", items=frozenset({"add"}), copies=True),
        _contract("frozenset", "frozenset", _VALUE, "()", "list", copies=True),
        _contract("bytearray", "bytearray", _VALUE, "()", "bytes", "str str", check=bytearray_args),
        _contract("namespace", "namespace", _VALUE + " build", "()", state=attributes_state),
        # immutable plain values
        _contract("latin1-bytes", "bytes", "call reference", literal=literals.latin1_bytes),
        _contract("bytes", "bytes", "call reference", literal=literals.empty_bytes),
        _contract("complex", "complex", "call reference", literal=literals.complex_number),
        _contract("size", "size", _VALUE, literal=literals.size),
        _contract("device", "device", "call reference", literal=literals.device),
        _contract("layout", "layout", "call", literal=literals.layout),
        _contract("torch-version", "str", _VALUE + " build", literal=literals.torch_version, state=empty_state),
        _contract("date", "date", "call reference", literal=literals.date),
        _contract("time", "time", "call reference", literal=literals.time),
        _contract("datetime", "datetime", "call reference", literal=literals.datetime_),
        _contract("timedelta", "timedelta", "call reference", literal=literals.timedelta),
        _contract("timezone", "timezone", "call reference", literal=literals.timezone),
        _contract("decimal", "decimal", "call reference", literal=literals.decimal_),
        _contract("fraction", "fraction", "call reference", literal=literals.fraction),
        _contract("slice", "slice", "call reference", literal=literals.slice_),
        _contract("range", "range", "call reference", literal=literals.range_),
        _contract("posix-path", "path", _VALUE, literal=literals.posix_path),
        _contract("windows-path", "path", _VALUE, literal=literals.windows_path),
        _contract("uuid", "uuid", _VALUE + " build", "()", state=uuid_state),
        # names that are values themselves
        _contract("plain-object", "opaque", "reference new call", "()"),
        _contract("plain-class", "class", "reference"),
        _contract("singleton", "singleton", "reference"),
        _contract("dtype", "dtype", "reference"),
        _contract("qscheme", "qscheme", "reference"),
        _contract("storage-type", "storage-type", "storage-type reference"),
        # torch tensors
        _contract("storage-bytes", "storage", "call", "bytes"),  # `formats.embedded` reads the bytes; a call that it does not explain is refused
        _contract("tensor", "tensor", "call", _DENSE, _DENSE + " bool hooks dict?"),
        _contract("tensor-v3", "tensor", "call", _DENSE + " bool hooks dtype dict?"),
        _contract("parameter", "parameter", "call", "tensor bool hooks"),
        _contract("parameter-with-state", "parameter", "call", "tensor bool hooks any"),
        _contract("typed-tensor", "subclass-tensor", "call", "class class tuple any", check=typed_tensor_args),
        _contract("tensor-class", "tensor", "reference call new build", "()", state=legacy_tensor_state),
        _contract("parameter-class", "parameter", "reference call new build", "()", "tensor bool?", state=legacy_parameter_state),
        _contract("uninitialized-parameter", "meta-tensor", _VALUE + " build", "()", "bool", "bool device|none dtype|none", state=empty_state),
        _contract("sparse-tensor", "sparse-tensor", "call", "layout tuple", check=sparse_args),
        _contract("sparse-class", "sparse-tensor", "call reference", "tensor tensor shape"),
        _contract("sparse-csr-tensor", "sparse-tensor", "call", "layout tuple", check=sparse_args),
        _contract("quantized-tensor", "quantized-tensor", "call", _DENSE + " tuple bool hooks", _DENSE + " float int bool hooks", check=quantized_args),
        _contract("nested-tensor", "nested-tensor", "call", "tensor tensor tensor tensor"),
        _contract("jagged-tensor", "nested-tensor", "call", "dict", check=jagged_args),
        _contract("dim-range", "opaque", "new build reference", "()", state=dim_range_state),
        _contract("generator", "generator", "call build reference", "device|str", state=generator_state),
        _contract("meta-tensor", "meta-tensor", "call", "dtype shape shape bool"),
        _contract("wrapper-subclass", "wrapper-subclass", "call", "class dtype shape shape int layout device|str bool"),
        _contract("device-tensor-from-numpy", "tensor", "call", "ndarray dtype str|device bool"),
        _contract("device-tensor-from-cpu", "tensor", "call", "tensor dtype str|device bool"),
        # numpy
        _contract("numpy-dtype", "numpy-dtype", _VALUE + " build", "str bool|int? bool|int?", state=dtype_state),
        _contract("numpy-dtype-class", "numpy-dtype-class", _VALUE, "()"),
        _contract("numpy-scalar", "numpy-scalar", "call", "numpy-dtype text"),
        _contract("numpy-array-class", "numpy-array-class", "reference"),
        _contract("numpy-array", "ndarray", "call build", "global:numpy.ndarray tuple text", state=array_state),
        _contract("numpy-array-frombuffer", "ndarray", "call", "bytes numpy-dtype shape str"),
        _contract("joblib-array", "ndarray", "call new build", "()", state=joblib_state, external=_NO_ARRAY),
        # protocol 0 and 1 spell `object.__new__(cls)` this way; what it means is what a NEWOBJ of its first argument would mean
        _contract("reconstructor", "reconstructed", "call", "class global:builtins.object none"),
        # data classes of known libraries, kept as inert records
        _contract("record", "record", "call new build reference", "()", "int", state=record_state),
        _contract("tuple-record", "record", "call new reference", "any any", "any any any"),  # a NamedTuple is made of its fields
        # configurations of known libraries: plain dicts, lists and values of what they hold (`rebuild.fold`)
        _contract("config-dict", CONFIG, _VALUE + " build", "dict", "tuple*", check=config_pairs, state=config_dict_state, items=_SET),
        _contract("config-list", CONFIG, _VALUE + " build", "()", state=config_list_state, items=frozenset({"append"})),
        _contract("config-value", CONFIG, _VALUE + " build", "()", state=config_state),
        # functions that return what they are given
        _contract("identity", "value", "call", "list|tuple str?", "any str?"),
        # inert records
        _contract("opaque-attribute", "opaque-attribute", "call", "opaque-class identifier"),
    )
}

OPAQUE = Contract(
    id="opaque",
    produces="opaque",
    uses=frozenset({"reference", "call", "new", "build"}),
    state=lambda state, kinds: None,
    items=frozenset({"append", "add", "set"}),
)
