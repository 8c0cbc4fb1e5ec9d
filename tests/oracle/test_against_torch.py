"""torch itself as the judge: what torch.save writes, safeload.load reads as torch.load does, over random checkpoints.

`SAFELOAD_ORACLE_CASES` sets how many (default 3,000, half a minute); a failure names its seed, and `Case(seed)` makes the same file again.

Where torch cannot read what it wrote, the value that was saved is the judge (`Case.is_readable`): protocol 0 spells persistent ids out as text, which
torch.load does not take back, and the sequential format has no storage class for the dtypes since 2.2 (float8, complex32, uint16 ...).
"""

from __future__ import annotations

import io
import os
import pickle
import warnings
from collections import Counter
from typing import Any

import pytest

import safeload

torch = pytest.importorskip("torch", reason="the oracle is torch itself, and torch is not installed")

from .compare import Pairs  # noqa: E402
from .generate import DENSE, FORMS, LEGACY, PROTOCOLS, Case, save  # noqa: E402

CASES = int(os.environ.get("SAFELOAD_ORACLE_CASES", "3000"))
BATCHES = 20
KINDS = {"dense", "parameter", "leaf", "sparse", "quantized", "meta", "storage", "state_dict", "optimizer", "conjugate", "negative"}
KINDS |= {f"sparse {layout}" for layout in ("coo", "coo-duplicates", "csr", "csc", "bsr", "bsc")}
BATCH_FOR_ALL = 100  # cases in which every kind, form and protocol has its turn


def _theirs(data: bytes, form: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pickle.loads(data) if form == "pickle" else torch.load(io.BytesIO(data), weights_only=False)


def _compared(data: bytes, theirs: Any) -> Pairs:
    ours = safeload.load(data, "cpu")
    with safeload.open(data, "cpu") as view:
        pairs = Pairs()
        pairs.compare(theirs, ours, view.tree())
    return pairs


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_checkpoints(batch: int) -> None:
    """Values, dtypes, strides, aliases, identities, requires_grad: all of it, for each seed of the batch."""
    wrong: list[str] = []
    counts: Counter[str] = Counter()
    seeds = range(CASES * batch // BATCHES, CASES * (batch + 1) // BATCHES)
    for seed in seeds:
        case = Case(seed)
        form, protocol = case.options["form"], case.options["protocol"]
        try:
            pairs = _compared(case.data, _theirs(case.data, form) if case.is_readable else case.value)
        except safeload.SafeloadError as error:
            wrong.append(f"seed {seed} {case.options}: {error}")
            continue
        wrong += [f"seed {seed} {case.options}: {line}" for line in pairs.wrong]
        counts.update(case.kinds)
        counts[f"{form}, protocol {protocol}"] += 1
        counts["judged by torch.load" if case.is_readable else "judged by what was saved"] += 1
        counts["tensors"] += pairs.tensors
    print(f"{len(seeds)} cases:", ", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    assert not wrong, f"{len(wrong)} differences\n" + "\n".join(wrong[:20])
    if len(seeds) >= BATCH_FOR_ALL:
        assert not (KINDS | {f"{form}, protocol {protocol}" for form in FORMS for protocol in PROTOCOLS}) - set(counts)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", DENSE)
def test_each_dtype_in_each_form_under_each_protocol(dtype: str, protocol: int) -> None:
    """Views of one storage, so that no dtype hangs on the draw."""
    size = torch.empty(0, dtype=getattr(torch, dtype)).element_size()
    raw = torch.arange(24 * size, dtype=torch.int64).remainder(2 if dtype == "bool" else 251).to(torch.uint8)
    base = raw.view(getattr(torch, dtype)).view(4, 6)
    for form in FORMS if dtype in LEGACY else ("zip", "legacy"):
        value = {"base": base, "column": base[:, 3], "turned": base.t(), "one": base[2, 2]}
        data = save(value, protocol=protocol, form=form)
        is_readable = form == "pickle" or (protocol > 0 and (form == "zip" or dtype in LEGACY))
        pairs = _compared(data, _theirs(data, form) if is_readable else value)
        assert not pairs.wrong, pairs.wrong
        assert pairs.tensors == 4


UNREADABLE = [("zip", 0, "float32"), ("legacy", 0, "float32"), ("legacy", 2, "float8_e5m2"), ("legacy", 2, "uint16")]


@pytest.mark.parametrize(("form", "protocol", "dtype"), UNREADABLE)
def test_what_torch_cannot_read_back(form: str, protocol: int, dtype: str) -> None:
    """The differences that the other tests allow are there; when torch mends one, this fails and the list gets shorter."""
    data = save({"a": torch.zeros(3, dtype=getattr(torch, dtype))}, protocol=protocol, form=form)
    with pytest.raises((AssertionError, AttributeError, TypeError)):
        _theirs(data, form)
    assert safeload.load(data, "cpu")["a"].shape == (3,)


def test_the_judge_is_awake() -> None:
    """A changed byte, a lost alias and a wrong class are differences."""
    base = torch.arange(6.0)
    theirs = {"a": base, "b": base[2:], "c": [1]}
    data = save({"a": base.clone() + 1, "b": base[2:], "c": (1,)}, protocol=2, form="zip")
    pairs = Pairs()
    pairs.compare(theirs, safeload.load(data, "cpu"), safeload.open(data).tree())
    text = "\n".join(pairs.wrong)
    assert "['a'] bytes" in text and "alias" in text and "['c'] class" in text
