"""torch itself as the judge: what torch.save writes, safeload.load reads as torch.load does, over random checkpoints.

`SAFELOAD_ORACLE_CASES` sets how many (default 3,000, half a minute); a failure names its seed, and `Case(seed)` makes the same file again. Where torch
cannot read what it wrote (persistent ids of protocol 0; float8, uint16 and their like in the sequential format), its own other format says what the value
is.
"""

from __future__ import annotations

import io
import os
import pickle
import warnings
from collections import Counter

import pytest

import safeload

torch = pytest.importorskip("torch", reason="the oracle is torch itself, and torch is not installed")

from .compare import Pairs  # noqa: E402
from .generate import DENSE, LEGACY, Case, save  # noqa: E402

CASES = int(os.environ.get("SAFELOAD_ORACLE_CASES", "3000"))
BATCHES = 20


def _compared(data: bytes, readable: bytes | None = None, *, plain: bool = False) -> Pairs:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pickle.loads(data) if plain else torch.load(io.BytesIO(readable or data), weights_only=False)
    ours = safeload.load(data, "cpu")
    with safeload.open(data, "cpu") as view:
        pairs = Pairs()
        pairs.compare(theirs, ours, view.tree())
    return pairs


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_checkpoints(batch: int) -> None:
    """Values, dtypes, strides, aliases, identities, requires_grad: all of it, for each seed of the batch."""
    wrong: list[str] = []
    tensors = 0
    for seed in range(batch, CASES, BATCHES):
        case = Case(seed)
        try:
            pairs = _compared(case.data, case.readable, plain=case.container == "pickle")
        except safeload.SafeloadError as error:
            wrong.append(f"seed {seed} {case.options}: {error}")
            continue
        wrong += [f"seed {seed} {case.options}: {line}" for line in pairs.wrong]
        tensors += pairs.tensors
    assert not wrong, f"{len(wrong)} differences\n" + "\n".join(wrong[:20])
    assert tensors or batch >= CASES


def test_every_combination_is_drawn() -> None:
    """Container and protocol of all cases, counted: none is left to luck."""
    drawn = Counter((case.container, case.protocol) for case in map(Case, range(min(CASES, 600))))
    print("oracle:", f"{CASES:,} cases, of the first {min(CASES, 600)}:", dict(sorted(drawn.items())))
    assert CASES < 600 or {(container, protocol) for container in ("zip", "legacy", "pickle") for protocol in range(6)} == drawn.keys()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", DENSE)
def test_each_dtype_under_each_protocol(dtype: str, protocol: int) -> None:
    """Two views of one storage, in both containers, so that no dtype hangs on the draw."""
    size = torch.empty(0, dtype=getattr(torch, dtype)).element_size()
    raw = torch.arange(24 * size, dtype=torch.int64).remainder(2 if dtype == "bool" else 251).to(torch.uint8)
    base = raw.view(getattr(torch, dtype)).view(4, 6)
    for zipped in (True, False)[: 2 if dtype in LEGACY else 1]:
        value = {"base": base, "column": base[:, 3], "turned": base.t(), "one": base[2, 2]}
        pairs = _compared(save(value, protocol=protocol, zip=zipped, alignment=64, crc32=True))
        assert not pairs.wrong, pairs.wrong
        assert pairs.tensors == 4


def test_the_judge_is_awake() -> None:
    """A changed byte, a lost alias and a wrong class are differences."""
    base = torch.arange(6.0)
    theirs = {"a": base, "b": base[2:], "c": [1]}
    data = save({"a": base.clone() + 1, "b": base[2:], "c": (1,)}, protocol=2, zip=True, alignment=64, crc32=True)
    pairs = Pairs()
    pairs.compare(theirs, safeload.load(data, "cpu"), safeload.open(data).tree())
    text = "\n".join(pairs.wrong)
    assert "['a'] bytes" in text and "alias" in text and "['c'] class" in text
