"""The closed table: what each constructor of a policy makes, and from what. The second of the two keys; a name in a file reaches nothing else.

A builder gets the replay and one vetted call, and returns a value that our own code makes. The ids are those of `policy.contracts`; a test holds the two
tables together.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from safeload.errors import StreamError
from safeload.machine.nodes import NODE_TYPES, Build, Call, Global
from safeload.policy.aliases import canonical
from safeload.storage.records import MetaRecord, NestedRecord, QuantizedRecord, SparseRecord, TensorRecord
from safeload.tensors import Generator, MetaTensor, NestedTensor, QuantizedTensor, SparseTensor, SubclassTensor
from safeload.values import AttributeDict, Namespace, OpaqueAttribute, OpaqueGlobal, OpaqueObject, TorchName

if TYPE_CHECKING:
    from safeload.rebuild.replay import Replay

Builder = Callable[["Replay", Call], Any]


PLAIN_CLASSES: dict[str, Any] = {
    "builtins.int": int, "builtins.float": float, "builtins.str": str, "builtins.bool": bool, "builtins.list": list, "builtins.dict": dict,
    "builtins.tuple": tuple, "builtins.set": set, "builtins.frozenset": frozenset, "builtins.bytes": bytes, "builtins.complex": complex,
    "collections.OrderedDict": OrderedDict, "collections.Counter": Counter, "collections.defaultdict": defaultdict, "collections.deque": deque,
}  # fmt: skip
SINGLETONS: dict[str, Any] = {"builtins.Ellipsis": Ellipsis, "builtins.NotImplemented": NotImplemented}


def name(node: Global, constructor: str | None) -> Any:
    """What a name is worth as a value: a plain builtin class, a torch constant, or an inert `OpaqueGlobal`."""
    full = canonical(node.module, node.name)
    if constructor == "dtype":
        return TorchName("dtype", full.removeprefix("torch."))
    if constructor == "qscheme":
        return TorchName("qscheme", full.removeprefix("torch."))
    if full in SINGLETONS and constructor == "singleton":
        return SINGLETONS[full]
    if constructor != "opaque" and full in PLAIN_CLASSES:
        return PLAIN_CLASSES[full]
    return OpaqueGlobal(*full.rsplit(".", 1)) if node.module != full.rpartition(".")[0] and "." not in node.name else OpaqueGlobal(node.module, node.name)


# ---- containers -------------------------------------------------------------------------------------------------------------------------


def _ordered_dict(replay: Replay, call: Call) -> Any:
    made: OrderedDict[Any, Any] = OrderedDict()
    if call.args:
        for pair in call.args[0]:
            replay.set_item(made, pair[0], pair[1], call)
    return made


def _counter(replay: Replay, call: Call) -> Any:
    made: Counter[Any] = Counter()
    for key, value in call.args[0].items() if call.args else ():
        replay.set_item(made, key, value, call)
    return made


def _default_dict(replay: Replay, call: Call) -> Any:
    factory = replay.value(call.args[0], call) if call.args else None
    return defaultdict(factory)


def _attribute_dict(replay: Replay, call: Call) -> Any:
    made = AttributeDict()
    for key, value in call.args[0].items() if call.args else ():
        replay.set_item(made, key, value, call)
    return made


def _deque(replay: Replay, call: Call) -> Any:
    items = call.args[0] if call.args else ()
    bound = call.args[1] if len(call.args) > 1 else None
    return deque(items, bound)


def _set(replay: Replay, call: Call) -> Any:
    return replay.hashed(set(), call.args[0] if call.args else (), call)


def _frozenset(replay: Replay, call: Call) -> Any:
    return frozenset(replay.hashed(set(), call.args[0] if call.args else (), call))


def _bytearray(replay: Replay, call: Call) -> Any:
    if not call.args:
        return bytearray()
    if len(call.args) == 2:
        return bytearray(call.args[0].encode("latin-1"))
    return bytearray(replay.value(call.args[0], call))


# ---- tensors ----------------------------------------------------------------------------------------------------------------------------


def _proved(replay: Replay, call: Call) -> Any:
    """Whatever the proof of this call says it is."""
    return from_record(replay, replay.plan.records.get(call.index), call)


def from_record(replay: Replay, record: Any, call: Any) -> Any:
    """A record of `storage` becomes an array or a tensor type."""
    if isinstance(record, TensorRecord):
        return replay.tensor(record)
    special = _special(replay, record)
    return replay.array(record, call) if special is None else replay.shown.special(special)


def _special(replay: Replay, record: Any) -> Any:
    """A record of a tensor that no plain array can hold; None for any other."""
    if isinstance(record, MetaRecord):
        return MetaTensor(
            dtype=record.dtype.name if record.dtype is not None else None,
            shape=record.shape,
            strides=record.strides,
            requires_grad=record.requires_grad,
            device=record.device,
        )
    if isinstance(record, QuantizedRecord):
        scale, zero_point = (_part(replay, part) for part in (record.scale, record.zero_point))
        return QuantizedTensor(
            dtype=record.values.dtype.name, scheme=record.scheme, int_repr=replay.tensor(record.values), scale=scale, zero_point=zero_point, axis=record.axis
        )
    if isinstance(record, SparseRecord):
        parts = [_part(replay, node) for node in record.parts]
        if record.layout == "sparse_coo":
            return SparseTensor(layout=record.layout, shape=record.shape, indices=parts[0], values=parts[1], is_coalesced=record.coalesced)
        return SparseTensor(layout=record.layout, shape=record.shape, compressed=parts[0], plain=parts[1], values=parts[2])
    if isinstance(record, NestedRecord):
        return NestedTensor(components=tuple(replay.tensor(component) for component in record.components))
    return None


def _part(replay: Replay, part: Any) -> Any:
    """A part of a tensor: an array for a list of numbers, that of a node; numbers stay what they are."""
    if type(part) is list:
        return np.asarray(part)
    return replay.part_of(part) if type(part) in NODE_TYPES else part


def _parameter(replay: Replay, call: Call) -> Any:
    """A Parameter is a tensor object of its own over the same storage; what it adds, `requires_grad`, is in its record."""
    record = replay.plan.records.get(call.index)
    return from_record(replay, record, call) if isinstance(record, (TensorRecord, MetaRecord)) else replay.value(call.args[0], call)


def _parameter_with_state(replay: Replay, call: Call) -> Any:
    data, state = _parameter(replay, call), call.args[3]
    return SubclassTensor(type="torch.nn.parameter.Parameter", data=data, state=state) if state else data


BUFFER_MARKS = frozenset({"persistent", "_is_buffer", "_is_param"})  # what torch.nn.Buffer and Parameter subclasses note about themselves


def _typed_tensor(replay: Replay, call: Call) -> Any:
    func, cls, inner, state = call.args
    constructor = replay.plan.vetted.constructors[func.index]
    if constructor in ("device-tensor-from-cpu", "device-tensor-from-numpy"):
        data = BUILDERS[constructor](replay, Call(call.index, call.offset, "reduce", func, inner))
    elif constructor == "jagged-tensor":
        data = jagged(replay, inner[0], replay.plan.records[call.index])
    else:
        data = _proved(replay, call)
    full = canonical(cls.module, cls.name)
    if full == "torch.Tensor" and (not state or (type(state) is dict and BUFFER_MARKS.issuperset(state))):
        return data
    return SubclassTensor(type=full, data=data, state=state)


def _tensor_class(replay: Replay, call: Call) -> Any:
    """`torch.FloatTensor()`: an empty tensor, until its state says more."""
    record = replay.plan.records.get(call.index)
    return _proved(replay, call) if record is not None else replay.empty(call)


def _jagged_tensor(replay: Replay, call: Call) -> Any:
    """The components, and what they were cut from."""
    return jagged(replay, call.args[0], replay.plan.records[call.index])


def jagged(replay: Replay, state: dict[str, Any], record: NestedRecord) -> NestedTensor:
    """A jagged tensor from the dict of its parts."""
    return NestedTensor(
        components=tuple(replay.tensor(component) for component in record.components),
        values=_part(replay, state["values"]),
        offsets=_part(replay, state["offsets"]),
        lengths=_part(replay, state.get("lengths")),
        ragged_dim=state.get("_ragged_idx", 1),
    )


def _generator(replay: Replay, call: Call) -> Any:
    device = call.args[0]
    return Generator(device=device if type(device) is str else str(replay.value(device, call)))


def _from_numpy(replay: Replay, call: Call) -> Any:
    return replay.retyped(replay.value(call.args[0], call), call.args[1], call)


def _uuid(replay: Replay, call: Call) -> Any:
    import uuid

    for effect in reversed(replay.effects_on(call)):
        if type(effect) is Build:
            return uuid.UUID(int=effect.state["int"])
    return opaque(replay, call)  # a UUID without its number is nothing but its class


def _opaque_attribute(replay: Replay, call: Call) -> Any:
    return OpaqueAttribute(replay.value(call.args[0], call), call.args[1])


def opaque(replay: Replay, call: Call) -> Any:
    """An inert record of the call. What `copyreg._reconstructor(cls, base, state)` would make is shown as an instance of `cls`."""
    func: Any = replay.value(call.func, call)
    args = call.args
    if type(call.func) is Global and canonical(call.func.module, call.func.name) == "copyreg._reconstructor" and len(args) == 3:
        return OpaqueObject(replay.value(args[0], call), (args[2],) if args[2] is not None else ())
    return OpaqueObject(func, args, call.kwargs)


def _literal(replay: Replay, call: Call) -> Any:
    raise StreamError("a literal was not computed", rule="SL201", offset=call.offset)  # pragma: no cover - `vet` computes every one


BUILDERS: dict[str, Builder] = {
    "ordered-dict": _ordered_dict,
    "counter": _counter,
    "default-dict": _default_dict,
    "attribute-dict": _attribute_dict,
    "deque": _deque,
    "set": _set,
    "frozenset": _frozenset,
    "bytearray": _bytearray,
    "namespace": lambda replay, call: Namespace(),
    "uuid": _uuid,
    "plain-object": opaque,
    "storage-bytes": lambda replay, call: None,  # made when it is asked for, as those of persistent ids are
    "tensor": _proved,
    "tensor-v3": _proved,
    "parameter": _parameter,
    "parameter-with-state": _parameter_with_state,
    "parameter-class": _tensor_class,
    "typed-tensor": _typed_tensor,
    "tensor-class": _tensor_class,
    "uninitialized-parameter": _proved,
    "sparse-tensor": _proved,
    "sparse-csr-tensor": _proved,
    "sparse-class": _proved,
    "quantized-tensor": _proved,
    "nested-tensor": _proved,
    "jagged-tensor": _jagged_tensor,
    "dim-range": opaque,
    "generator": _generator,
    "meta-tensor": _proved,
    "wrapper-subclass": _proved,
    "device-tensor-from-numpy": _from_numpy,
    "device-tensor-from-cpu": _parameter,
    "numpy-dtype": _proved,
    "numpy-dtype-class": _proved,
    "numpy-scalar": _proved,
    "numpy-array": _proved,
    "joblib-array": _proved,
    "numpy-array-frombuffer": _proved,
    "record": opaque,
    "tuple-record": opaque,
    "config-dict": opaque,  # folded when the log is over
    "config-list": opaque,
    "config-value": opaque,
    "identity": lambda replay, call: replay.value(call.args[0], call),
    "opaque-attribute": _opaque_attribute,
    "opaque": opaque,
}
