"""Every name that a shipped policy lets through, used wrongly: each entry of `weights-only` and `checkpoint`, called and instantiated with a battery of
values that are almost right for something.

Whatever becomes of them, `scan` and `load` agree and nothing but a `CheckpointError` is raised, in memory that has nothing to do with the numbers in the file;
and what no constructor takes is refused for every entry.
"""

from __future__ import annotations

import tracemalloc

import pytest

import safeload
from safeload.errors import CheckpointError

from . import watched
from .hostile import Refusal, stream

ENTRIES = {entry.id: entry for name in ("weights-only", "checkpoint") for entry in safeload.load_policy(name).allow_exact.values()}
MEMORY_BYTES = 8 << 20  # a policy is read once, and a report holds a few lines

VALUES = {
    "none": "NONE",
    "true": "NEWTRUE",
    "zero": "BININT1 0",
    "negative": "BININT -1",
    "tera": "LONG4 1099511627776",
    "2^63": "LONG4 9223372036854775808",
    "2^4096": f"LONG4 {1 << 4096}",
    "nan": "BINFLOAT nan",
    "infinity": "BINFLOAT inf",
    "text": "BINUNICODE 'x'",
    "dtype": "BINUNICODE '>O8'",
    "codec": "BINUNICODE 'rot13'",
    "bytes": "SHORT_BINBYTES b'x'",
    "list": "EMPTY_LIST",
    "dict": "EMPTY_DICT",
    "set": "EMPTY_SET",
    "tuple": "EMPTY_TUPLE",
    "own-class": "GLOBAL collections OrderedDict",
    "list-of-itself": "EMPTY_LIST\nDUP\nAPPEND",
    "tensor-function": "GLOBAL torch._utils _rebuild_tensor_v2",
}
NEVER = {  # what no constructor takes
    "thirty": "MARK\n" + "BININT1 1\n" * 30 + "TUPLE\n",
    "payload": "GLOBAL posix mkdir\nBINUNICODE 'RAN'\nTUPLE1\nREDUCE\nTUPLE1\n",
    "payload-class": "GLOBAL posix mkdir\nTUPLE1\n",
    "nested": "GLOBAL _codecs encode\nBINUNICODE 'x'\nBINUNICODE 'rot13'\nTUPLE2\nREDUCE\nTUPLE1\n",
}


def uses(name: str, arguments: str) -> list[str]:
    """The name called, instantiated, and instantiated with keywords."""
    module, _, qualname = name.rpartition(".")
    named = f"GLOBAL {module} {qualname}\n{arguments}"
    return [named + "REDUCE\n", named + "NEWOBJ\n", named + "EMPTY_DICT\nBINUNICODE 'size'\nBININT1 1\nSETITEM\nNEWOBJ_EX\n"]


def ends_well(data: bytes, policy: str) -> str:
    """The verdict; `load` must agree with it."""
    verdict = watched.scan(data, policy=policy).verdict
    try:
        watched.load(data, "cpu", policy=policy)
    except CheckpointError:
        assert verdict != "accepted"
    else:
        assert verdict == "accepted"
    return verdict


@pytest.mark.parametrize("entry", ENTRIES)
def test_what_no_constructor_takes_is_refused(refused: Refusal, entry: str) -> None:
    name = ENTRIES[entry].globals[0]
    for arguments in NEVER.values():
        for listing in uses(name, arguments):
            refused(refused.armed(stream(listing, 4)), "rejected")
    refused(stream(uses(name, "EMPTY_TUPLE\n")[2], 4), "rejected")


@pytest.mark.parametrize("entry", ENTRIES)
def test_almost_right_arguments_end_well(entry: str) -> None:
    name = ENTRIES[entry].globals[0]
    verdicts = set()
    tracemalloc.start()
    try:
        for first in VALUES.values():
            for arguments in (f"{first}\nTUPLE1\n", f"{first}\nDUP\nTUPLE2\n", f"BINUNICODE 'x'\n{first}\nTUPLE2\n", f"{first}\nBININT1 1\nDUP\nTUPLE3\n"):
                verdicts |= {ends_well(stream(listing, 4), "checkpoint") for listing in uses(name, arguments)[:2]}
            state = f"GLOBAL {' '.join(name.rsplit('.', 1))}\nEMPTY_TUPLE\nNEWOBJ\n{first}\nBUILD\n"
            verdicts.add(ends_well(stream(state, 4), "checkpoint"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "rejected" in verdicts
    assert peak < MEMORY_BYTES
