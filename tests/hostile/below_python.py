"""Values that hostile files load to, and everything that is done with values, each in a process of its own: `python below_python.py`.

Prints JSON: what each operation gave, `value` or the name of an exception, and how the process ended. A crash of the interpreter shows as a signal in the exit
status, a hang as SIGALRM. Used by `test_below_python.py`.
"""

from __future__ import annotations

import copy
import gc
import json
import os
import pickle
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[at]) for at in (1, 2)]

from builds import CONJ, dense, quantized, torch_zip  # noqa: E402 - the path comes first

import safeload  # noqa: E402
from hostile.hostile import stream  # noqa: E402
from safeload.compare import same  # noqa: E402
from safeload.errors import CheckpointError  # noqa: E402

SECONDS = 60
ADDRESS_SPACE_BYTES = 4 << 30


def nested(opening: str, closing: str, depth: int, inner: str = "NONE\n") -> bytes:
    return stream(opening * depth + inner + closing * depth)


def records(depth: int) -> bytes:
    """Objects of an unknown class, each the state of the next."""
    return stream("GLOBAL acme Box\nEMPTY_TUPLE\nNEWOBJ\n" * depth + "NONE\n" + "BUILD\n" * depth)


def attributes(count: int) -> bytes:
    """getattr(getattr(... of an unknown class."""
    return stream("GLOBAL builtins getattr\n" * count + "GLOBAL acme Box\n" + "BINUNICODE 'x'\nTUPLE2\nREDUCE\n" * count)


OBJECT = "GLOBAL acme Box\nEMPTY_TUPLE\nNEWOBJ\nBINPUT 9\n"
SELF_IN = {
    "list": "EMPTY_LIST\nBINPUT 9\nBINGET 9\nAPPEND\n",
    "dict": "EMPTY_DICT\nBINPUT 9\nNONE\nBINGET 9\nSETITEM\n",
    "tuple-through-list": "EMPTY_LIST\nBINPUT 9\nBINGET 9\nTUPLE1\nAPPEND\n",
    "ordered": "GLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nBINPUT 9\nNONE\nBINGET 9\nSETITEM\n",
    "namespace": "GLOBAL argparse Namespace\nEMPTY_TUPLE\nNEWOBJ\nBINPUT 9\nEMPTY_DICT\nBINUNICODE 'a'\nBINGET 9\nSETITEM\nBUILD\n",
    "deque": "GLOBAL collections deque\nEMPTY_TUPLE\nREDUCE\nBINPUT 9\nBINGET 9\nAPPEND\n",
    "record-state": OBJECT + "EMPTY_DICT\nBINUNICODE 'a'\nBINGET 9\nSETITEM\nBUILD\n",
    "record-in-its-state-as-a-key": OBJECT + "EMPTY_DICT\nBINGET 9\nNONE\nSETITEM\nBUILD\n",
    "record-in-a-set": OBJECT + "EMPTY_SET\nMARK\nBINGET 9\nADDITEMS\nBUILD\n",
    "record-in-a-tuple-key": OBJECT + "EMPTY_DICT\nBINGET 9\nBINGET 9\nTUPLE2\nNONE\nSETITEM\nBUILD\n",
    "record-items": OBJECT + "MARK\nBINGET 9\nBINGET 9\nAPPENDS\n",
    "record-pairs": OBJECT + "BINGET 9\nBINGET 9\nSETITEM\n",
    "two-records": OBJECT + "GLOBAL acme Box\nBINGET 9\nTUPLE1\nREDUCE\nBINPUT 8\nBUILD\nBINGET 8\nBINGET 9\nTUPLE2\n",
}
FRACTION = "GLOBAL fractions Fraction\nLONG1 {}\nBININT1 1\nTUPLE2\nREDUCE\nNONE\n"
STATE = "MARK\nBININT1 3\nBINUNICODE '|'\nNONE\n{names}\n{fields}\nBININT1 {size}\nBININT1 1\nBININT1 16\nTUPLE\nBUILD\n"
FIELD = "BINUNICODE '{name}'\nGLOBAL numpy dtype\nBINUNICODE '{kind}'\nNEWFALSE\nNEWTRUE\nTUPLE3\nREDUCE\nBININT1 {at}\nTUPLE2\n"


def structured(*fields: tuple[str, str, int], size: int) -> bytes:
    """An array of two items of a structured dtype."""
    names = "MARK\n" + "".join(f"BINUNICODE '{name}'\n" for name, _, _ in fields) + "TUPLE"
    table = "EMPTY_DICT\nMARK\n" + "".join(FIELD.format(name=name, kind=kind, at=at) for name, kind, at in fields) + "SETITEMS"
    dtype = f"GLOBAL numpy dtype\nBINUNICODE 'V{size}'\nNEWFALSE\nNEWTRUE\nTUPLE3\nREDUCE\n" + STATE.format(names=names, fields=table, size=size)
    head = "GLOBAL numpy.core.multiarray _reconstruct\nGLOBAL numpy ndarray\nBININT1 0\nTUPLE1\nBINBYTES b'b'\nTUPLE3\nREDUCE\n"
    state = f"MARK\nBININT1 1\nBININT1 2\nTUPLE1\n{dtype}NEWFALSE\nBINBYTES {bytes(2 * size)!r}\nTUPLE\nBUILD\n"
    return stream(head + state, 3)


def case_sparse() -> bytes:
    from builds import ints

    indices = dense("LongStorage", 4, (2, 2), (2, 1), key="1")
    body = f"GLOBAL torch Size\n{ints(3, 3)}TUPLE1\nREDUCE\n"
    head = "GLOBAL torch._utils _rebuild_sparse_tensor\nGLOBAL torch.serialization _get_layout\nBINUNICODE 'torch.sparse_coo'\nTUPLE1\nREDUCE\nMARK\n"
    listing = head + indices + dense("FloatStorage", 2, (2,), (1,)) + body + "NEWFALSE\nTUPLE\nTUPLE2\nREDUCE\n"
    return torch_zip(listing, {"0": bytes(8), "1": b"".join(number.to_bytes(8, "little") for number in (0, 1, 2, 0))})


CASES: dict[str, Callable[[], bytes]] = {
    "lists-500": lambda: nested("EMPTY_LIST\n", "APPEND\n", 499),
    "dicts-500": lambda: nested("EMPTY_DICT\nNONE\n", "SETITEM\n", 499),
    "tuples-500": lambda: nested("", "TUPLE1\n", 499),
    "lists-half-a-million": lambda: nested("EMPTY_LIST\n", "APPEND\n", 500_000),
    "tuple-keys-half-a-million": lambda: nested("EMPTY_DICT\n", "TUPLE1\n", 1).replace(b"\x85", b"\x85" * 500_000)[:-1] + b"Ns.",
    "tuple-dag-key": lambda: stream("EMPTY_DICT\nEMPTY_TUPLE\n" + "DUP\nTUPLE2\n" * 60 + "NONE\nSETITEM\n"),
    "tuple-dag-in-a-set": lambda: stream("EMPTY_SET\nMARK\nEMPTY_TUPLE\n" + "DUP\nTUPLE2\n" * 60 + "ADDITEMS\n", 4),
    "frozensets-in-each-other": lambda: stream("MARK\n" * 45 + "BININT1 1\n" + "FROZENSET\n" * 45, 4),
    "frozensets-as-keys": lambda: stream("EMPTY_DICT\n" + "MARK\n" * 45 + "BININT1 1\n" + "FROZENSET\n" * 45 + "NONE\nSETITEM\n", 4),
    "equal-hashes": lambda: stream("EMPTY_DICT\nMARK\n" + "".join(f"LONG1 {7 + n * ((1 << 61) - 1)}\nNONE\n" for n in range(1, 3_000)) + "SETITEMS\n"),
    "equal-hashes-128": lambda: stream("EMPTY_DICT\nMARK\n" + "".join(f"LONG1 {7 + n * ((1 << 61) - 1)}\nNONE\n" for n in range(1, 129)) + "SETITEMS\n"),
    "equal-hashes-by-calls": lambda: stream("EMPTY_DICT\nMARK\n" + "".join(FRACTION.format(7 + n * ((1 << 61) - 1)) for n in range(1, 500)) + "SETITEMS\n"),
    "int-of-1024-bytes": lambda: b"\x80\x02\x8b\x00\x04\x00\x00" + b"\x7f" * 1_024 + b".",
    "int-of-4-megabytes": lambda: b"\x80\x02\x8b\x00\x00\x40\x00" + b"\x7f" * (4 << 20) + b".",
    "int-of-4-million-digits": lambda: b"L" + b"9" * 4_000_000 + b"L\n.",
    "float-of-a-million-digits": lambda: b"F" + b"9" * 1_000_000 + b"\n.",
    **{f"self-in-{name}": (lambda listing=listing: stream(listing, 4)) for name, listing in SELF_IN.items()},  # type: ignore[misc]
    "records-500": lambda: records(499),
    "records-5000": lambda: records(5_000),
    "attributes-400": lambda: attributes(400),
    "attributes-5000": lambda: attributes(5_000),
    "stride-0": lambda: torch_zip(dense("FloatStorage", 1, (1 << 20, 4), (0, 0)), {"0": bytes(4)}),
    "overlapping": lambda: torch_zip(dense("FloatStorage", 6, (5, 2), (1, 1)), {"0": bytes(24)}),
    "dims-64": lambda: torch_zip(dense("FloatStorage", 1, (1,) * 64, (1,) * 64), {"0": bytes(4)}),
    "dims-65": lambda: torch_zip(dense("FloatStorage", 1, (1,) * 65, (1,) * 65), {"0": bytes(4)}),
    "empty-and-huge": lambda: torch_zip(dense("FloatStorage", 0, (0, 1 << 40), (1, 1)), {"0": b""}),
    "conj": lambda: torch_zip(dense("ComplexFloatStorage", 2, (2,), (1,), marks=CONJ), {"0": bytes(16)}),
    "quantised": lambda: torch_zip(quantized("QInt8Storage", 4, (4,), (1,)), {"0": bytes(4)}),
    "sparse": case_sparse,
    "fields-that-overlap": lambda: structured(("a", "i4", 0), ("b", "i4", 2), size=8),
    "fields-with-gaps": lambda: structured(("a", "i2", 1), ("b", "u1", 7), size=9),
    "fields-of-nothing": lambda: structured(("a", "S0", 0), ("b", "V0", 3), size=4),
    "fields-of-time": lambda: structured(("a", "M8", 0), ("b", "m8", 8), size=16),
    "bool-bytes": lambda: torch_zip(dense("BoolStorage", 4, (4,), (1,)), {"0": b"\x02\xff\x00\x80"}),
    "surrogates": lambda: b"\x80\x02}X\x03\0\0\0\xed\xa0\x80X\x03\0\0\0\xed\xb0\x80s.",
}

OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "repr": repr,
    "str": str,
    "same": lambda value: same(value, value),
    "hash": hash,
    "bool": bool,
    "len": len,
    "iterate": lambda value: sum(1 for _ in value),
    "dir": dir,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value, 4)),
    "pickle-5": lambda value: pickle.dumps(value, 5),
    "sort": lambda value: sorted([value, value], key=id),
    "state_dict": safeload.state_dict,
    "dense": lambda value: value.dense(),
    "dequantize": lambda value: value.dequantize(),
}


def attempt(operation: Callable[[], Any]) -> str:
    try:
        operation()
    except Exception as error:
        return type(error).__name__
    return "value"


def work(name: str) -> dict[str, dict[str, str]]:
    """All operations on what the case loads to, under two policies."""
    data = CASES[name]()
    found = {policy: operations(data, policy) for policy in ("checkpoint", "inspect")}
    gc.collect()  # everything is freed here
    return found


def operations(data: bytes, policy: str) -> dict[str, str]:
    gave = {"scan": safeload.scan(data, policy=policy).verdict}
    try:
        value, again = (safeload.load(data, "cpu", policy=policy) for _ in range(2))
    except CheckpointError as error:
        return {**gave, "load": type(error).__name__}
    gave["load"] = "value"
    gave["equal"] = attempt(lambda: same(value, again))
    for label, operation in OPERATIONS.items():
        gave[label] = attempt(lambda: operation(value))  # noqa: B023 - called at once
    with safeload.open(data, policy=policy) as view:
        gave["tree"] = attempt(lambda: repr(view.tree()))
        gave["tensors"] = attempt(lambda: [repr(view.info(key)) for key in view.keys()])  # noqa: SIM118 - a Checkpoint is no mapping
    return gave


def main() -> None:
    """Each case in a child of its own, forked when everything is imported; one JSON document of exit statuses and outcomes."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    everything: dict[str, Any] = {}
    for name in CASES:
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(reading)
            signal.alarm(SECONDS)
            with os.fdopen(writing, "w") as out:
                json.dump(work(name), out)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answer:
            text = answer.read()
        _, status = os.waitpid(pid, 0)
        everything[name] = {"status": os.waitstatus_to_exitcode(status), "found": json.loads(text) if text else None}
    print(json.dumps(everything))


if __name__ == "__main__":
    main()
