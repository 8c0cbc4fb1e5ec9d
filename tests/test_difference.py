"""Two checkpoints and their difference: what is read, and what a digest counts."""

from __future__ import annotations

import numpy as np
import pytest

from safeload import difference as module
from safeload.difference import Side, Tensor, difference, digest_of
from safeload.findings import Report


def side(**tensors: str) -> Side:
    """Tensors by name, each `dtype shape bytes` in one word: `f4:2:abc`."""
    report = Report(path="x", format="pickle", verdict="accepted", policy="p", policy_version="1", policy_sha256="", policy_file=None, has_opaque=False)
    kinds = {name: Tensor(dtype=text.split(":")[0], shape=(int(text.split(":")[1]),)) for name, text in tensors.items()}
    return Side(report=report, tensors=kinds, values=dict(tensors))


def compare(first: Side, second: Side) -> tuple[module.Difference, list[str]]:
    asked: list[str] = []

    def digest(of: Side, name: str) -> str:
        asked.append(name)
        assert of.values is not None
        return of.values[name]

    return difference(first, second, digest), asked


def test_only_what_may_be_equal_is_read() -> None:
    found, asked = compare(side(a="f4:2:x", b="f4:3:y", gone="f4:9:z"), side(a="f4:2:x", b="f4:4:y", new="f4:8:z"))
    assert asked == ["a", "a"]
    assert ([c.name for c in found.reshaped], [c.name for c in found.added], [c.name for c in found.removed], found.same) == (["b"], ["new"], ["gone"], 1)


def test_equal_tensors_are_renamed_one_by_one() -> None:
    found, _ = compare(side(a="f4:2:x", b="f4:2:x", c="f4:2:x"), side(p="f4:2:x", q="f4:2:x"))
    assert [(c.name, c.renamed_to) for c in found.renamed] == [("a", "p"), ("b", "q")]
    assert [c.name for c in found.removed] == ["c"] and found.added == ()


def test_empty_tensors_are_not_taken_for_renamed() -> None:
    found, asked = compare(side(a="f4:0:"), side(b="f4:0:"))
    assert asked == [] and found.renamed == () and len(found.added) == len(found.removed) == 1


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4).T,
        np.arange(24).reshape(2, 3, 4)[:, ::2, ::-1],
        np.broadcast_to(np.int8(3), (5, 7)),
        np.float32(3.5) * np.ones(()),
        np.zeros((0, 3)),
        np.zeros((3, 0))[::2],
    ],
    ids=lambda array: str(array.shape),
)
@pytest.mark.parametrize("chunk", [1, 40, 1 << 20])
def test_a_digest_counts_the_elements_and_not_how_they_lie(array: np.ndarray, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", chunk)
    assert digest_of(array) == digest_of(np.array(array, order="C"))


def test_a_digest_sees_one_element() -> None:
    array = np.zeros((4, 5))
    other = array.copy()
    other[3, 4] = 1
    assert digest_of(array.T) != digest_of(other.T)
