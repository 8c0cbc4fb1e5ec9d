"""Argument shapes: what `args = [...]` of an entry, and the constructors' own signatures, say about one call.

Turns text like `"storage"`, `"int"`, `"bool?"`, `"shape|none"`, `"global:numpy.ndarray|numpy.matrix"` into predicates over inert values. Nothing is
resolved: a node is known only by the kind that the vetting gave it (`Kinds`).

    shape   := alternatives [ "?" | "*" ]      "?": the argument may be missing; only optional ones may follow. "*": any number of such arguments, last
    alternatives := word { "|" word }  |  "global:" name { "|" name }
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from safeload.machine.nodes import NODE_TYPES, Global

if TYPE_CHECKING:
    from safeload.policy.contracts import Contract

MAX_SHAPE_LENGTH = 128  # elements of a size or stride that are looked at here; the limit tensor_dims (64) is checked later


class Kinds(Protocol):
    """What the vetting knows about nodes so far."""

    kinds: list[str]  # by index of a node: the kind that its constructor produces, `tensor`, `storage`, `dtype`, `opaque`, ...; "" for none

    def kind(self, node: Any) -> str:
        """The kind of one node."""

    def canonical(self, node: Global) -> str:
        """`module.name` in the canonical spelling that entries use."""

    def contract(self, node: Global) -> Contract | None:
        """The contract of the constructor that the policy gives this name; None where it is denied or opaque."""


Predicate = Callable[[Any, Kinds], bool]

TENSOR_KINDS = frozenset({"tensor", "parameter", "sparse-tensor", "quantized-tensor", "nested-tensor", "meta-tensor", "subclass-tensor", "wrapper-subclass"})

# What may stand as the default_factory of a defaultdict: classes whose call without arguments makes an empty plain value.
FACTORY_KINDS = ("class-set", "class-frozenset", "class-bytes", "class-complex", "class-ordered-dict", "class-counter", "class-deque", "class-default-dict")


def _is_ints(value: Any, kinds: Kinds) -> bool:
    if type(value) is tuple or type(value) is list:
        if len(value) > MAX_SHAPE_LENGTH:
            return False
        for item in value:
            if type(item) is not int:
                return False
        return True
    return type(value) in NODE_TYPES and kinds.kind(value) == "size"


def _node(*accepted: str) -> Predicate:
    names = frozenset(accepted)
    return lambda value, kinds: type(value) in NODE_TYPES and kinds.kinds[value.index] in names


def _plain(*accepted: type) -> Predicate:
    if len(accepted) == 1:
        only = accepted[0]
        return lambda value, kinds: type(value) is only
    types = frozenset(accepted)
    return lambda value, kinds: type(value) in types


def _bytes(value: Any, kinds: Kinds) -> bool:
    return type(value) in (bytes, bytearray) or (type(value) in NODE_TYPES and kinds.kind(value) in ("bytes", "bytearray"))


def _opaque_class(value: Any, kinds: Kinds) -> bool:
    return type(value) in NODE_TYPES and kinds.kind(value) in ("opaque-global", "opaque-attribute", "opaque")


def _identifier(value: Any, kinds: Kinds) -> bool:
    return type(value) is str and value.isidentifier() and not value.startswith("__")


WORDS: dict[str, Predicate] = {
    "any": lambda value, kinds: True,
    "none": lambda value, kinds: value is None,
    "bool": _plain(bool),
    "int": _plain(int),
    "float": _plain(float),
    "number": _plain(int, float),
    "str": _plain(str),
    "bytes": _bytes,
    "text": lambda value, kinds: type(value) is str or _bytes(value, kinds),
    "tuple": _plain(tuple),
    "list": _plain(list),
    "dict": _plain(dict),
    "shape": _is_ints,
    "storage": _node("storage"),
    "tensor": _node(*TENSOR_KINDS),
    "ndarray": _node("ndarray"),
    "numpy-dtype": _node("numpy-dtype", "numpy-dtype-class"),
    "dtype": _node("dtype"),
    "layout": _node("layout"),
    "qscheme": _node("qscheme"),
    "size": _node("size"),
    "device": _node("device"),
    "timedelta": _node("timedelta"),
    "timezone": _node("timezone"),
    "ordered-dict": _node("ordered-dict"),
    # torch stores whatever backward_hooks it is given; ours are never looked at, so only their harmlessness counts
    "hooks": lambda value, kinds: value is None or (type(value) in (list, dict, tuple) and not value) or _node("ordered-dict")(value, kinds),
    "class": lambda value, kinds: type(value) is Global,
    "plain-class": _node("class"),
    "factory": _node("class", *FACTORY_KINDS),
    "opaque-class": _opaque_class,
    "identifier": _identifier,
}


class Shape(msgspec.Struct, frozen=True):
    """One argument."""

    text: str
    accepts: Predicate
    optional: bool


def parse_shape(text: str) -> Shape:
    """The shape that `text` spells. Raises `ValueError` naming the words that exist."""
    body = text.removesuffix("?")
    optional = body != text
    if body.startswith("global:"):
        names = frozenset(name for name in body.removeprefix("global:").split("|"))
        if not all(names):
            raise ValueError(f"{text!r} names no global")
        return Shape(text, lambda value, kinds: type(value) is Global and kinds.canonical(value) in names, optional)
    predicates = []
    for word in body.split("|"):
        if word not in WORDS:
            raise ValueError(f"{word!r} is no argument shape; there are {', '.join(WORDS)} and global:NAME")
        predicates.append(WORDS[word])
    if len(predicates) == 1:
        return Shape(text, predicates[0], optional)
    return Shape(text, lambda value, kinds: any(accepts(value, kinds) for accepts in predicates), optional)


class Signature(msgspec.Struct, frozen=True):
    """The shapes of all positional arguments of one call."""

    shapes: tuple[Shape, ...]
    required: int
    predicates: tuple[Predicate, ...]
    rest: Predicate | None = None  # of every further argument; None: there is none

    def accepts(self, args: tuple[Any, ...], kinds: Kinds) -> bool:
        """Do these arguments have this shape?"""
        if len(args) < self.required or (len(args) > len(self.predicates) and self.rest is None):
            return False
        for value, accepts in zip(args, self.predicates):  # noqa: B905 - optional arguments may be missing, so the lengths differ
            if not accepts(value, kinds):
                return False
        return self.rest is None or all(self.rest(value, kinds) for value in args[len(self.predicates) :])

    def __str__(self) -> str:
        return "(" + ", ".join(shape.text for shape in self.shapes) + ")"


def parse_signature(texts: tuple[str, ...]) -> Signature:
    """A signature from its words. Raises `ValueError` where a required argument follows an optional one."""
    if texts and texts[-1].endswith("*"):
        rest, head = parse_shape(texts[-1][:-1]), parse_signature(texts[:-1])
        return Signature((*head.shapes, Shape(texts[-1], rest.accepts, optional=True)), head.required, head.predicates, rest.accepts)
    shapes = tuple(parse_shape(text) for text in texts)
    required = sum(not shape.optional for shape in shapes)
    if any(shape.optional for shape in shapes[:required]):
        raise ValueError("a required argument follows an optional one")
    return Signature(shapes, required, tuple(shape.accepts for shape in shapes))
