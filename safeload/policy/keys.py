"""Which keys and items a call or an effect may bring into a container, judged before `rebuild` would hash them.

Turns keys into "fine", or into findings SL205 and SL901. The machine has checked the keys of plain containers (`machine.keys`); those that are given to a
node, and nodes that are keys themselves, are known only when it is known what the nodes stand for. The verdict must not depend on building anything, so
what `rebuild` would find is found here: values without a hash, too many of one hash, and frozensets, made by calls, whose comparison would take every
path through them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from safeload.budget import exceeded
from safeload.errors import CheckpointError
from safeload.limits import Limits
from safeload.machine.keys import KeyCounts, check_keys
from safeload.machine.nodes import NODE_TYPES, Call
from safeload.policy.contracts import Contract

UNHASHABLE_KINDS = frozenset(
    {"ordered-dict", "counter", "default-dict", "attribute-dict", "deque", "set", "bytearray", "namespace", "ndarray", "tensor", "parameter", "slice", "config"}
)


PLAIN_KEYS = frozenset({str, bytes, bool, int, float, type(None)})  # what stands for itself: the machine's check is all that such keys need


class KeyJudge:
    """The keys of one stream: how many of one hash each container has, and how heavy each frozenset is."""

    __slots__ = ("counts", "find", "kinds", "limits", "literals", "member", "node_counts", "weights")

    def __init__(self, kinds: list[str], literals: dict[int, Any], limits: Limits, member: str | None, find: Callable[[str, str, int], None]) -> None:
        self.kinds = kinds
        self.literals = literals
        self.limits = limits
        self.member = member
        self.find = find  # (rule, message, offset)
        self.counts: KeyCounts = {}
        self.node_counts: dict[int, dict[int, int]] = {}  # id of a container -> hash of a node's value -> number of keys
        self.weights: dict[int, tuple[int, int]] = {}  # index of a frozenset's call -> what comparing it costs

    def copied(self, contract: Contract, call: Call) -> None:
        """The keys or items that a constructor takes over from the container it is given."""
        if not call.args:
            return
        given = call.args[0]
        if contract.id == "config-dict":  # `rebuild.fold` makes a plain dict of its pairs, or of the dict that it was given
            keys = list(given) if type(given) is dict else [pair[0] for pair in call.args if type(pair) is tuple and pair]
            self.check(keys, call, call.offset)
            return
        if not contract.copies:
            return
        if contract.id in ("set", "frozenset"):
            if self.check(given, call, call.offset) and contract.id == "frozenset":  # what is no key is not weighed: a tuple may hold 2^n paths
                self._frozen(call)
        elif contract.id == "ordered-dict":
            self.check([pair[0] for pair in given if type(pair) in (list, tuple) and len(pair) == 2], call, call.offset)
        elif type(given) is dict:
            self.check(list(given), call, call.offset)

    def check(self, keys: Any, container: Any, offset: int) -> bool:
        """Find keys that have no hash, or too many of one hash, before `rebuild` would: the verdict must not depend on building anything. False where it
        stopped at one.

        The machine has checked the keys of plain containers; those given to a node, and nodes that are keys themselves, are known only here.
        """
        try:
            if type(container) is Call:
                check_keys(keys, container, self.counts, self.limits, self.member, offset)
            if PLAIN_KEYS.issuperset(map(type, keys)):
                return True
            counts = self.node_counts.setdefault(id(container), {})
            for key in keys:
                if type(key) in NODE_TYPES:
                    self._node_key(key, counts, offset)
                elif type(key) is tuple or type(key) is frozenset:
                    for part in _parts(key):
                        self._node_key(part, {}, offset)
                self._check_weight(*self._weighed(key), offset)
        except CheckpointError as error:
            self.find(error.rule, error.message, offset)
            return False
        return True

    def _weighed(self, key: Any) -> tuple[int, int]:
        """(elements, depth) that comparing a key with its equal visits, frozensets that calls make counted through."""
        if type(key) in NODE_TYPES:
            return self.weights.get(key.index, (1, 0))
        if type(key) is not tuple and type(key) is not frozenset:
            return 1, 0
        size = depth = 1
        pending = [(key, 1)]
        while pending:
            value, level = pending.pop()
            for part in value:
                if type(part) is tuple or type(part) is frozenset:
                    size, depth = size + 1, max(depth, level + 1)
                    pending.append((part, level + 1))
                else:
                    inner = self._weighed(part)
                    size, depth = size + inner[0], max(depth, level + inner[1])
        return size, depth

    def _check_weight(self, size: int, depth: int, offset: int) -> None:
        if size > self.limits.key_size:
            raise exceeded("key_size", self.limits.key_size, "a dict key or set item has more elements", self.member, offset)
        if depth > self.limits.key_depth:
            raise exceeded("key_depth", self.limits.key_depth, "a dict key or set item nests deeper", self.member, offset)

    def _frozen(self, call: Call) -> None:
        """Remember how heavy a frozenset is, should it become a key."""
        size, depth = 1, 1
        for item in call.args[0]:
            inner = self._weighed(item)
            size, depth = size + inner[0], max(depth, inner[1] + 1)
        self.weights[call.index] = (size, depth)

    def _node_key(self, node: Any, counts: dict[int, int], offset: int) -> None:
        kind, offset = self.kinds[node.index], offset or node.offset  # a plain container has no place: its key has
        if kind in UNHASHABLE_KINDS:
            self.find("SL205", f"a value of kind {kind} is used as a dict key or set item, and it has no hash", offset)
            return
        if kind == "numpy-scalar" and _is_void(node):
            self.find("SL205", "a structured numpy scalar is used as a dict key or set item, and it has no hash", offset)
            return
        if node.index not in self.literals:
            return  # records hash by identity, and what is left has few values of one hash
        try:
            hashed = hash(self.literals[node.index])
        except TypeError:  # Decimal("sNaN")
            self.find("SL205", f"a {kind} that has no hash is used as a dict key or set item", offset)
            return
        counts[hashed] = count = counts.get(hashed, 0) + 1
        if count > self.limits.equal_hash_keys:
            raise exceeded("equal_hash_keys", self.limits.equal_hash_keys, "a container holds more keys with one hash", self.member, offset)


def _is_void(node: Any) -> bool:
    """Is this numpy scalar of a void dtype (structured, or raw bytes)? Its dtype is a call of `numpy.dtype` with a text such as `V16`."""
    dtype = node.args[0]
    text = dtype.args[0] if type(dtype) is Call and dtype.args else ""
    return type(text) is str and text.lstrip("<>|=").startswith("V")


def _parts(key: Any) -> list[Any]:
    """The nodes within a key; its size was bounded by `check_keys`."""
    found, pending = [], [key]
    while pending:
        for part in pending.pop():
            if type(part) is tuple or type(part) is frozenset:
                pending.append(part)
            elif type(part) in NODE_TYPES:
                found.append(part)
    return found
