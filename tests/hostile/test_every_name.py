"""Every name that any shipped policy allows is called, with what its constructor asks for and with nearly that, by the grammar of the fuzz targets.

Each call is right in most of its arguments, and in one of ten of another kind, number or receiver. Whatever becomes of it, `scan` and `load` agree, nothing but
a `CheckpointError` is raised and no event is seen; and each constructor is reached from both sides: some calls of its names are accepted, and some refused.
"""

from __future__ import annotations

from collections import defaultdict

import pytest

from fuzz.grammar import EVERYWHERE, calling
from safeload.errors import CheckpointError
from safeload.policy.contracts import CONTRACTS

from . import watched

SEEDS = 24
ONLY_NAMES = {"plain-class", "singleton", "dtype", "qscheme", "numpy-array-class"}  # values that nobody calls
NEVER_ALONE = {
    "joblib-array": "an array of joblib has its elements behind it in the file",
    "identity": "of archives with code, which policies but inspect refuse",
    "storage-bytes": "its bytes are a whole file of torch: tests/formats/test_embedded.py",
}
"""Constructors whose calls the grammar cannot make right, and why; their own tests do."""


def outcome(name: str, policy: str, seed: int) -> str:
    data = calling(name, seed)
    report = watched.scan(data, policy=policy)
    try:
        watched.load(data, "cpu", policy=policy)
    except CheckpointError:
        assert report.verdict != "accepted" or safe_scan_only(policy), (name, seed)
    else:
        assert report.verdict == "accepted", (name, seed)
    return report.verdict


def safe_scan_only(policy: str) -> bool:
    """Does this policy judge and load nothing?"""
    return policy in ("sklearn", "audit")


@pytest.fixture(scope="module")
def verdicts() -> dict[str, set[str]]:
    """Constructor to what became of the calls of its names."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, (listed, contract) in EVERYWHERE.items():
        policy = {"opaque-attribute": "inspect"}.get(contract.id, "checkpoint" if listed == "weights-only" else listed)  # which extend them
        for seed in range(SEEDS if len(name) % 4 else 2 * SEEDS):
            found[contract.id].add(outcome(name, policy, seed))
    return found


def test_every_constructor_has_a_name(verdicts: dict[str, set[str]]) -> None:
    assert set(verdicts) == set(CONTRACTS)


@pytest.mark.parametrize("constructor", sorted(CONTRACTS))
def test_calls_are_accepted_and_refused(constructor: str, verdicts: dict[str, set[str]]) -> None:
    if constructor not in NEVER_ALONE:
        assert "accepted" in verdicts[constructor]
    if constructor not in ONLY_NAMES:
        assert verdicts[constructor] & {"rejected", "inconclusive"}
