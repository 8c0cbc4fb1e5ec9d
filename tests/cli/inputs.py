"""Files for the tests of reports and verbs, made without torch: pickles from listings, torch zips byte by byte."""

from __future__ import annotations

import sys
from io import BytesIO, StringIO, TextIOWrapper

from safeload.cli import main
from safeload.opcodes.assemble import assemble
from tests.containers.zipbuild import Part, build

EVIL = assemble("PROTO 2\nGLOBAL posix system\nBINUNICODE 'true'\nTUPLE1\nREDUCE\nSTOP")
OURS = assemble("PROTO 2\nGLOBAL acme.train Config\nEMPTY_TUPLE\nNEWOBJ\nGLOBAL acme.train Mode\nBININT1 1\nTUPLE1\nREDUCE\nTUPLE2\nSTOP")
PLAIN = assemble("PROTO 2\nEMPTY_DICT\nBINUNICODE 'lr'\nBINFLOAT 0.5\nSETITEM\nSTOP")
BROKEN = assemble("PROTO 2\nGLOBAL posix system\nBINUNICODE 'true'\nTUPLE1\nREDUCE\nREDUCE\nSTOP")
PAGE = b"<!DOCTYPE html><html><body>Access denied</body></html>"

TENSOR = """
GLOBAL torch._utils _rebuild_tensor_v2
MARK
MARK
BINUNICODE 'storage'
GLOBAL torch FloatStorage
BINUNICODE '{key}'
BINUNICODE 'cpu'
BININT1 {numel}
TUPLE
BINPERSID
BININT1 {offset}
{shape}
{strides}
NEWFALSE
GLOBAL collections OrderedDict
EMPTY_TUPLE
REDUCE
TUPLE
REDUCE
"""


def tensor(key: str, numel: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> str:
    """The listing of one float32 tensor."""
    return TENSOR.format(key=key, numel=numel, offset=offset, shape=_tuple(shape), strides=_tuple(strides))


def _tuple(numbers: tuple[int, ...]) -> str:
    return "MARK\n" + "".join(f"BININT1 {number}\n" for number in numbers) + "TUPLE"


def torch_zip(listing: str, *storages: bytes) -> bytes:
    """A torch zip with this pickle and the storages 0, 1, ..."""
    parts = [Part(b"archive/data.pkl", assemble(listing)), Part(b"archive/byteorder", b"little")]
    parts += [Part(b"archive/data/%d" % number, data) for number, data in enumerate(storages)]
    return build([*parts, Part(b"archive/version", b"3\n"), Part(b"archive/.data/serialization_id", b"1234567890" * 4)])


def state_dict() -> bytes:
    """Two tensors that share storage 0, one of its own."""
    pairs = [("fc.weight", tensor("0", 12, (4, 2), (2, 1))), ("fc.tail", tensor("0", 12, (4,), (1,), 8)), ("fc.bias", tensor("1", 4, (4,), (1,)))]
    body = "".join(f"BINUNICODE '{name}'\n{listing}SETITEM\n" for name, listing in pairs)
    return torch_zip(f"PROTO 2\nEMPTY_DICT\n{body}STOP", bytes(48), bytes(16))


def calling(*names: str) -> bytes:
    """A list of what each of these names gives when it is called without arguments; any text goes, as STACK_GLOBAL takes it."""
    parts = ["PROTO 4\nEMPTY_LIST\n"]
    for name in names:
        module, _, attribute = name.rpartition(".")
        parts.append(f"BINUNICODE {module!r}\nBINUNICODE {attribute!r}\nSTACK_GLOBAL\nEMPTY_TUPLE\nREDUCE\nAPPEND\n")
    return assemble("".join(parts) + "STOP")


class Outcome:
    """What a run of the command line left: exit code, standard output, standard error."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err


def run(*arguments: str, stdin: bytes = b"") -> Outcome:
    """`safeload ARGUMENTS` in this process, its streams caught as a pipe would have them."""
    out, err, source = BytesIO(), StringIO(), TextIOWrapper(BytesIO(stdin))
    saved = sys.stdin, sys.stdout, sys.stderr
    sys.stdin, sys.stdout, sys.stderr = source, TextIOWrapper(out, encoding="utf-8"), err
    try:
        main(list(arguments))
    except SystemExit as ended:
        sys.stdout.flush()
        assert isinstance(ended.code, int)
        return Outcome(ended.code, out.getvalue().decode("utf-8"), err.getvalue())
    finally:
        sys.stdin, sys.stdout, sys.stderr = saved
    raise AssertionError("main() came back")
