"""No crash below Python: what hostile files load to can be shown, compared, hashed, copied, pickled and freed, or raises what Python raises.

Each case runs in a process of its own (`below_python.py`); a signal in its exit code is a crash or, as SIGALRM, a hang. torch's weights-only mode dies of half
a million TUPLE1s as a key, and hangs on a tuple of 2^60 shared elements and on 60,000 ints of one hash.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from .below_python import CASES, OPERATIONS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the children are forked")

CHILD_SECONDS = 600
RAISES = {  # what Python itself raises for values that are no fault of ours
    "RecursionError": "repr, copies and pickles of deep plain containers recurse in Python",
    "TypeError": "no hash, no length, not iterable, no state dict",
    "AttributeError": "only some values have dense() or dequantize()",
    "ValueError": "the truth of an array, state dicts of nothing",
    "PicklingError": "names that are no attributes",
}
REFUSED = {
    "lists-half-a-million": "LimitExceeded",
    "tuple-keys-half-a-million": "LimitExceeded",
    "tuple-dag-key": "LimitExceeded",
    "tuple-dag-in-a-set": "LimitExceeded",
    "equal-hashes": "LimitExceeded",
    "equal-hashes-by-calls": "LimitExceeded",
    "int-of-4-megabytes": "LimitExceeded",
    "int-of-4-million-digits": "LimitExceeded",
    "dims-65": "LimitExceeded",
    "records-5000": "LimitExceeded",
    "attributes-5000": "LimitExceeded",
}
"""Cases that no policy loads, and the error."""


@cache
def outcomes() -> dict[str, Any]:
    child = Path(__file__).with_name("below_python.py")
    done = subprocess.run([sys.executable, str(child)], capture_output=True, text=True, timeout=CHILD_SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    return dict(json.loads(done.stdout))


def outcome(name: str) -> dict[str, dict[str, str]]:
    found = outcomes()[name]
    assert found["status"] == 0, f"the process ended with {found['status']}"
    return dict(found["found"])


@pytest.mark.parametrize("name", CASES)
def test_everything_that_is_done_with_values(name: str) -> None:
    for policy, gave in outcome(name).items():
        assert (gave["scan"] == "accepted") == (gave["load"] == "value"), (policy, gave)
        if gave["load"] != "value":
            continue
        assert gave["equal"] == gave["same"] == "value", (policy, gave)
        assert set(gave) >= set(OPERATIONS)
        assert {gave[label] for label in OPERATIONS} <= {"value", *RAISES}, (policy, gave)
        assert gave["dir"] == gave["tensors"] == "value", (policy, gave)


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_crash_or_hang_a_reader_is_refused(name: str) -> None:
    assert {gave["load"] for gave in outcome(name).values()} <= {REFUSED[name], "PolicyRejected"}


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("self-in-record")])
def test_records_that_hold_themselves_are_shown_compared_and_copied(name: str) -> None:
    gave = outcome(name)["inspect"]
    if gave["load"] == "value":
        assert gave["repr"] == gave["hash"] == gave["copy"] == gave["deepcopy"] == "value", gave
