"""Pieces of listings for calls, dtypes, arrays, tensors and sparse tensors, and `outcome`: what scan and load say of a file, which must be the same."""

from __future__ import annotations

from typing import Any

from containers.zipbuild import Part, build
from hostile.hostile import HOOKS, ints, storage, stream, tensor, vector

import safeload
from safeload.errors import CheckpointError

TWO = {"0": bytes(32), "1": bytes(16)}
"""Storages for `indices` and `floats`."""


class Refused:
    """What stands for the value of a file that load refuses: the verdict and the rules of the scan."""

    def __init__(self, verdict: str, rules: set[str]) -> None:
        self.verdict = verdict
        self.rules = rules

    def __repr__(self) -> str:
        return f"Refused({self.verdict}, {sorted(self.rules)})"


def outcome(data: bytes, policy: Any = None, **options: Any) -> Any:
    """The value of the file, or `Refused`. Fails where scan says accepted and load does not give a value, or the other way round."""
    report = safeload.scan(data, policy=policy, **options)
    try:
        value = safeload.load(data, map_location="cpu", policy=policy, **options)
    except CheckpointError as error:
        assert report.verdict != "accepted", f"scan accepts what load refuses: {error}"
        return Refused(report.verdict, {finding.rule for finding in report.errors})
    assert report.verdict == "accepted", f"load gives {value!r:.60}, and scan says {report.verdict}: {report.errors}"
    return value


def refused(data: bytes, *rules: str, policy: Any = None) -> None:
    """Scan and load both refuse this, and scan gives one of these rules, if any are given."""
    found = outcome(data, policy)
    assert isinstance(found, Refused), f"accepted: {found!r:.200}"
    assert not rules or found.rules & set(rules), found


def name(module: str, attribute: str) -> str:
    """GLOBAL."""
    return f"GLOBAL {module} {attribute}\n"


def call(module: str, attribute: str, args: str = "") -> str:
    """A call of a name with these arguments."""
    return f"{name(module, attribute)}MARK\n{args}TUPLE\nREDUCE\n"


def new(module: str, attribute: str, args: str = "") -> str:
    """NEWOBJ of a name with these arguments."""
    return f"{name(module, attribute)}MARK\n{args}TUPLE\nNEWOBJ\n"


def integer(number: int) -> str:
    """An int of any size."""
    return f"LONG4 {number}\n"


def text(value: str) -> str:
    """A str."""
    return f"BINUNICODE {value!a}\n"


def raw(value: bytes) -> str:
    """Bytes."""
    return f"BINBYTES {value!r}\n"


def listed(*items: str) -> str:
    """A list of listings' values."""
    return "EMPTY_LIST\nMARK\n" + "".join(items) + "APPENDS\n"


def paired(**items: str) -> str:
    """A dict with text keys."""
    return "EMPTY_DICT\nMARK\n" + "".join(text(key) + value for key, value in items.items()) + "SETITEMS\n"


def keyed(item: str) -> str:
    """A dict whose only key is this."""
    return f"EMPTY_DICT\n{item}NONE\nSETITEM\n"


# ---- numpy ------------------------------------------------------------------------------------------------------------------------------


def dtype(code: str, state: str = "") -> str:
    """`numpy.dtype(code, False, True)`, and the state it is given."""
    return call("numpy", "dtype", text(code) + "NEWFALSE\nNEWTRUE\n") + state


def dtype_state(order: str = "<", sub: str = "NONE\n", names: str = "NONE\n", fields: str = "NONE\n", itemsize: int = -1, extra: str = "") -> str:
    """BUILD of a dtype."""
    return f"MARK\nBININT1 3\n{text(order)}{sub}{names}{fields}{integer(itemsize)}{integer(-1)}{integer(0)}{extra}TUPLE\nBUILD\n"


def fields_of(itemsize: int, **fields: tuple[str, int]) -> str:
    """A structured dtype of (dtype, offset) by name."""
    names = "MARK\n" + "".join(text(key) for key in fields) + "TUPLE\n"
    return dtype(
        f"V{itemsize}",
        dtype_state("|", names=names, fields=paired(**{key: f"{part}{integer(at)}TUPLE2\n" for key, (part, at) in fields.items()}), itemsize=itemsize),
    )


def sub_of(part: str, dims: str, itemsize: int) -> str:
    """A dtype whose items are arrays."""
    return dtype(f"V{itemsize}", dtype_state("|", sub=f"{part}{dims}TUPLE2\n", itemsize=itemsize))


def array(of: str, shape: str, data: str, fortran: str = "NEWFALSE\n") -> str:
    """`_reconstruct(ndarray, (0,), b"b")` and its state."""
    made = f"MARK\n{name('numpy', 'ndarray')}{ints(0)}{raw(b'b')}TUPLE\nREDUCE\n"
    return f"{name('numpy._core.multiarray', '_reconstruct')}{made}MARK\nBININT1 1\n{shape}{of}{fortran}{data}TUPLE\nBUILD\n"


def scalar(of: str, data: str) -> str:
    """A numpy scalar."""
    return call("numpy._core.multiarray", "scalar", of + data)


# ---- torch ------------------------------------------------------------------------------------------------------------------------------


def size(*numbers: int) -> str:
    """`torch.Size`."""
    return call("torch", "Size", ints(*numbers))


def layout(kind: str) -> str:
    """`torch.sparse_coo` and its relatives."""
    return call("torch.serialization", "_get_layout", text(f"torch.{kind}"))


def indices(*shape: int) -> str:
    """An int64 tensor on storage 0, of four elements."""
    strides = [1] * len(shape)
    for at in range(len(shape) - 2, -1, -1):
        strides[at] = strides[at + 1] * max(shape[at + 1], 1)
    return tensor(ints(*shape), ints(*strides), stored=storage("LongStorage", "'0'", numel="BININT1 4"))


def floats() -> str:
    """A float32 vector of four on storage 1."""
    return vector("FloatStorage", "'1'", 4)


def sparse(kind: str, parts: str) -> str:
    """`_rebuild_sparse_tensor(layout, parts)`."""
    return f"{name('torch._utils', '_rebuild_sparse_tensor')}MARK\n{layout(kind)}MARK\n{parts}TUPLE\nTUPLE\nREDUCE\n"


def flagged(kind: str, numel: int, flags: str, geometry: str | None = None) -> str:
    """A tensor on storage 0 with torch's dict of lazy flags."""
    stored = storage(kind, "'0'", numel=f"BININT1 {numel}")
    return f"{name('torch._utils', '_rebuild_tensor_v2')}MARK\n{stored}{integer(0)}{geometry or ints(numel) + ints(1)}NEWFALSE\n{HOOKS}{flags}TUPLE\nREDUCE\n"


def tensor_v3(
    of: str, numel: int, geometry: str, *, kind: str = "UntypedStorage", location: str = "cpu", view: str = "", offset: int = 0, flags: str = ""
) -> str:
    """`_rebuild_tensor_v3`: a dtype of its own on storage 0."""
    pid = f"MARK\n{text('storage')}{name('torch', kind)}{text('0')}{text(location)}{integer(numel)}{view}TUPLE\nBINPERSID\n"
    return f"{name('torch._utils', '_rebuild_tensor_v3')}MARK\n{pid}{integer(offset)}{geometry}NEWFALSE\n{HOOKS}{name('torch', of)}{flags}TUPLE\nREDUCE\n"


def quantized(quantizer: str, kind: str = "QInt8Storage") -> str:
    """A quantised tensor (2, 3) on storage 0."""
    stored = storage(kind, "'0'", numel="BININT1 6")
    return (
        f"{name('torch._utils', '_rebuild_qtensor')}MARK\n{stored}{integer(0)}{ints(2, 3)}{ints(3, 1)}MARK\n{quantizer}TUPLE\nNEWFALSE\n{HOOKS}TUPLE\nREDUCE\n"
    )


def big_endian(listing: str, storages: dict[str, bytes]) -> bytes:
    """An archive of a big-endian machine."""
    parts = [Part(b"a/data.pkl", stream(listing)), Part(b"a/byteorder", b"big")]
    parts += [Part(f"a/data/{key}".encode(), content) for key, content in storages.items()]
    return build([*parts, Part(b"a/version", b"3\n")])
