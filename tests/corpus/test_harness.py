"""The harness itself: it must notice when an expectation or a value is changed, or its green means nothing."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import safeload

from .compare import Comparison
from .harness import outcomes
from .manifest import Entry, entries

Node = dict[str, Any]


def _nodes() -> Iterator[tuple[Entry, int, Node]]:
    """Every node that was compared: of the files that load exactly, then of those that `inspect` reads."""
    for kind in ("exact", "refused"):
        for entry in entries():
            if entry.nodes is not None and outcomes()[entry.file].kind == kind and outcomes()[entry.file].compared:
                yield from ((entry, at, node) for at, node in enumerate(entry.nodes))


def _first(kind: str, *having: str) -> tuple[Entry, int]:
    """The first node of this kind that has these fields."""
    for entry, at, node in _nodes():
        if node["kind"] == kind and all(node.get(name) is not None for name in having):
            return entry, at
    pytest.fail(f"the corpus has no loaded {kind} with {having}")


def _differences(entry: Entry, at: int, change: Callable[[Node], None]) -> list[str]:
    nodes = copy.deepcopy(entry.nodes)
    assert nodes is not None
    change(nodes[at])
    policy = "checkpoint" if outcomes()[entry.file].kind == "exact" else "inspect"
    value = safeload.load(io.BytesIO(entry.data()), "cpu", policy=policy, encoding=entry.encoding)
    view = safeload.open(entry.data(), policy=policy, encoding=entry.encoding)
    comparison = Comparison(value, view, opaque_ok=policy == "inspect")
    comparison.run(nodes)
    return [difference.what for difference in comparison.differences]


FIELDS = [
    ("tensor", "sha256", "0" * 64),
    ("tensor", "dtype", "uint8"),
    ("tensor", "shape", [77]),
    ("tensor", "stride", [77]),
    ("tensor", "storage_offset", 77),
    ("tensor", "saved_device", "cuda:77"),
    ("tensor", "storage_nbytes", 77),
    ("tensor", "cls", "other.Tensor"),
    ("tensor", "q_scale", "0x1.8p+1"),
    ("tensor", "sha256_dense", "0" * 64),
    ("tensor", "sha256_dequantized", "0" * 64),
    ("tensor", "item", {"type": "float", "hex": "0x1.8p+9"}),
    ("dict", "keys", ["other"]),
    ("dict", "cls", "collections.Counter"),
    ("list", "len", 77),
    ("tuple", "len", 77),
    ("storage", "sha256", "0" * 64),
    ("storage", "size", 77),
    ("ndarray", "sha256", "0" * 64),
    ("ndarray", "dtype", "<u2"),
    ("npscalar", "hex", "00"),
    ("scalar", "value", "other"),
    ("scalar", "hex", "0x1.8p+9"),
    ("set", "items", [{"type": "none"}, {"type": "none"}]),
    ("uninitialized", "requires_grad", "other"),
]


@pytest.mark.parametrize(("kind", "field", "other"), FIELDS, ids=[f"{kind}-{field}" for kind, field, _ in FIELDS])
def test_a_changed_expectation_is_noticed(kind: str, field: str, other: Any) -> None:
    """One field of one node, and the difference names the kind."""
    entry, at = _first(kind, field)

    def change(node: Node) -> None:
        assert node[field] != other
        node[field] = other

    assert any(what.startswith(kind) for what in _differences(entry, at, change))


def test_a_wrong_requires_grad_is_noticed() -> None:
    """It stands in the lazy view alone."""
    entry, at = _first("tensor", "saved_device")
    assert "tensor info.requires_grad" in _differences(entry, at, lambda node: node.update(requires_grad=not node["requires_grad"]))


def test_wrong_aliases_are_noticed_both_ways() -> None:
    """Tensors said to share a storage that they do not share, and the reverse."""
    for entry in entries():
        if entry.nodes is None or outcomes()[entry.file].kind != "exact":
            continue
        tensors = [at for at, node in enumerate(entry.nodes) if node["kind"] == "tensor" and node.get("alias") is not None and 0 not in node["shape"]]
        tensors = [at for at in tensors if "qscheme" not in entry.nodes[at]]
        groups = [entry.nodes[at]["alias"] for at in tensors]
        if len(set(groups)) > 1 and len(set(groups)) < len(groups):
            shared = next(at for at, group in zip(tensors, groups, strict=True) if groups.count(group) > 1)
            alone = next(group for group in groups if group != entry.nodes[shared]["alias"])
            assert "tensor alias" in _differences(entry, shared, lambda node: node.update(alias=7_777))
            assert "tensor alias" in _differences(entry, shared, lambda node, other=alone: node.update(alias=other))  # type: ignore[misc]
            return
    pytest.fail("the corpus has no file with shared storages")


def test_a_missing_value_is_noticed() -> None:
    """A path that leads nowhere in a plain container is a difference, never skipped."""
    entry, at = _first("scalar", "value")
    assert _differences(entry, at, lambda node: node.update(path=["nowhere"])) == ["scalar value"]


def test_another_object_is_noticed() -> None:
    """`ref` means the very same object."""
    entry, at = _first("ref", "same_as")
    assert "ref identity" in _differences(entry, at, lambda node: node.update(same_as=[]))
