"""Listings become the seeds of the fuzz targets: one small file for each thing that the library understands, and for each that it refuses by name.

Run `python -m fuzz.make_seeds` from the repository's root to write them again; they are the same bytes every time.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import struct
import zlib
from pathlib import Path

from fuzz import ggufs
from fuzz.frames import lz4, zstd
from fuzz.grammar import legacy
from fuzz.tars import pack
from fuzz.zips import repack
from safeload.opcodes.assemble import assemble

SEEDS = Path(__file__).parent / "seeds"

STORAGE = """
MARK
BINUNICODE 'storage'
GLOBAL torch {kind}
BINUNICODE '{key}'
BINUNICODE 'cpu'
BININT1 {numel}
TUPLE
BINPERSID
"""


def storage(kind: str = "FloatStorage", key: str = "0", numel: int = 6) -> str:
    """The persistent id of a storage."""
    return STORAGE.format(kind=kind, key=key, numel=numel)


def tensor(
    kind: str = "FloatStorage", key: str = "0", numel: int = 6, shape: str = "BININT1 2\nBININT1 3\nTUPLE2", stride: str = "BININT1 3\nBININT1 1\nTUPLE2"
) -> str:
    """A dense tensor, as `_rebuild_tensor_v2` gets it."""
    hooks = "GLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE"
    return f"GLOBAL torch._utils _rebuild_tensor_v2\nMARK{storage(kind, key, numel)}BININT1 0\n{shape}\n{stride}\nNEWFALSE\n{hooks}\nTUPLE\nREDUCE\n"


def flat(kind: str, key: str, numel: int) -> str:
    """A tensor of one dimension."""
    return tensor(kind, key, numel, f"BININT1 {numel}\nTUPLE1", "BININT1 1\nTUPLE1")


DTYPE = (
    "GLOBAL numpy dtype\nBINUNICODE 'f4'\nNEWFALSE\nNEWTRUE\nTUPLE3\nREDUCE\nMARK\nBININT1 3\nBINUNICODE '<'\n"
    "NONE\nNONE\nNONE\nBININT -1\nBININT -1\nBININT1 0\nTUPLE\nBUILD\n"
)
LATIN1 = "GLOBAL _codecs encode\nBINUNICODE '{text}'\nBINUNICODE 'latin1'\nTUPLE2\nREDUCE\n"

STREAMS: dict[str, str] = {  # bare pickles: name -> listing without PROTO and STOP
    "plain-2": "EMPTY_DICT\nBINPUT 0\nMARK\nBINUNICODE 'a'\nBININT1 1\nBINUNICODE 'b'\nEMPTY_LIST\nMARK\nBINFLOAT 1.5\nNONE\nNEWTRUE\nAPPENDS\nSETITEMS\n",
    "plain-0": "MARK\nDICT\nPUT 0\nSTRING 'a'\nINT 1\nSETITEM\nUNICODE 'b'\nMARK\nFLOAT 1.5\nLONG 5\nLIST\nSETITEM\nGET 0\nPOP\n",
    "plain-5": "FRAME 24\nEMPTY_SET\nMEMOIZE\nMARK\nBININT1 1\nSHORT_BINUNICODE 'ab'\nADDITEMS\nPOP\nBYTEARRAY8 b'xyz'\n",
    "numbers": (
        "MARK\nLONG1 -300\nLONG4 5\nBININT2 500\nBININT -5\nBINFLOAT 2.5\nSHORT_BINBYTES b'a'\n"
        "BINBYTES b'b'\nBINBYTES8 b'c'\nBINUNICODE8 'd'\nSHORT_BINSTRING 'e'\nBINSTRING 'f'\nTUPLE\n"
    ),
    "sets": "MARK\nBININT1 1\nMARK\nBININT1 2\nFROZENSET\nBININT1 3\nTUPLE2\nFROZENSET\n",
    "memo": "EMPTY_LIST\nLONG_BINPUT 7\nDUP\nLONG_BINGET 7\nTUPLE3\n",
    "cycle": "EMPTY_LIST\nBINPUT 0\nBINGET 0\nAPPEND\n",
    "ordered": (
        "GLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nBINUNICODE 'a'\nBININT1 1\nSETITEM\n"
        "EMPTY_DICT\nBINUNICODE '_metadata'\nEMPTY_DICT\nSETITEM\nBUILD\n"
    ),
    "defaultdict": "GLOBAL collections defaultdict\nGLOBAL builtins list\nTUPLE1\nREDUCE\nBINUNICODE 'a'\nEMPTY_LIST\nSETITEM\n",
    "deque": "GLOBAL collections deque\nEMPTY_TUPLE\nREDUCE\nMARK\nBININT1 1\nBININT1 2\nAPPENDS\n",
    "set-call": "GLOBAL builtins set\nEMPTY_LIST\nBININT1 1\nAPPEND\nTUPLE1\nREDUCE\n",
    "latin1": LATIN1.format(text="abc"),
    "complex": "GLOBAL builtins complex\nBINFLOAT 1.0\nBINFLOAT 2.0\nTUPLE2\nREDUCE\n",
    "namespace": "GLOBAL argparse Namespace\nEMPTY_TUPLE\nNEWOBJ\nEMPTY_DICT\nBINUNICODE 'lr'\nBINFLOAT 0.1\nSETITEM\nBUILD\n",
    "reconstructor": "GLOBAL copy_reg _reconstructor\nMARK\nGLOBAL argparse Namespace\nGLOBAL __builtin__ object\nNONE\nTUPLE\nREDUCE\nMARK\nDICT\nBUILD\n",
    "datetime": "GLOBAL datetime datetime\n" + LATIN1.format(text="\\x07\\xe8\\x01\\x02\\x03\\x04\\x05\\x00\\x00\\x06") + "TUPLE1\nREDUCE\n",
    "path": "GLOBAL pathlib PosixPath\nBINUNICODE 'a'\nBINUNICODE 'b'\nTUPLE2\nREDUCE\n",
    "uuid": "GLOBAL uuid UUID\nEMPTY_TUPLE\nNEWOBJ\nEMPTY_DICT\nBINUNICODE 'int'\nLONG1 12345678901234567890\nSETITEM\nBUILD\n",
    "fraction": "GLOBAL fractions Fraction\nBINUNICODE '1/3'\nTUPLE1\nREDUCE\n",
    "decimal": "GLOBAL decimal Decimal\nBINUNICODE '1.5'\nTUPLE1\nREDUCE\n",
    "numpy-scalar": "GLOBAL numpy._core.multiarray scalar\n" + DTYPE + "SHORT_BINBYTES b'\\x00\\x00\\x80?'\nTUPLE2\nREDUCE\n",
    "numpy-array": (
        "GLOBAL numpy._core.multiarray _reconstruct\nGLOBAL numpy ndarray\nBININT1 0\nTUPLE1\nSHORT_BINBYTES b'b'\nTUPLE3\n"
        "REDUCE\nMARK\nBININT1 1\nBININT1 2\nTUPLE1\n"
    )
    + DTYPE
    + "NEWFALSE\nSHORT_BINBYTES b'abcdefgh'\nTUPLE\nBUILD\n",
    "numpy-frombuffer": "GLOBAL numpy._core.numeric _frombuffer\nMARK\nBYTEARRAY8 b'abcdefgh'\n" + DTYPE + "BININT1 2\nTUPLE1\nBINUNICODE 'C'\nTUPLE\nREDUCE\n",
    "torch-names": (
        "MARK\nGLOBAL torch float32\nGLOBAL torch Size\nMARK\nBININT1 2\nTUPLE\nTUPLE1\n"
        "REDUCE\nGLOBAL torch device\nBINUNICODE 'cuda'\nBININT1 1\nTUPLE2\nREDUCE\nTUPLE\n"
    ),
    "opaque": "GLOBAL my.module Class\nEMPTY_TUPLE\nNEWOBJ\nEMPTY_DICT\nBINUNICODE 'x'\nBININT1 1\nSETITEM\nBUILD\n",
    "opaque-items": "GLOBAL my.module List\nEMPTY_TUPLE\nREDUCE\nMARK\nBININT1 1\nAPPENDS\nMARK\nBINUNICODE 'k'\nBININT1 2\nSETITEMS\n",
    "enum": "GLOBAL builtins getattr\nGLOBAL my.module Color\nBINUNICODE 'RED'\nTUPLE2\nREDUCE\n",
    "inst": "MARK\nBININT1 1\nINST my.module Class\n",
    "obj": "MARK\nGLOBAL my.module Class\nBININT1 1\nOBJ\n",
    "newobj-ex": "GLOBAL my.module Class\nEMPTY_TUPLE\nEMPTY_DICT\nBINUNICODE 'k'\nBININT1 1\nSETITEM\nNEWOBJ_EX\n",
    "stack-global": "SHORT_BINUNICODE 'my.module'\nMEMOIZE\nSHORT_BINUNICODE 'Class'\nMEMOIZE\nSTACK_GLOBAL\nMEMOIZE\nEMPTY_TUPLE\nREDUCE\n",
    "denied": "GLOBAL posix system\nBINUNICODE 'true'\nTUPLE1\nREDUCE\n",
    "popped": "GLOBAL posix system\nBINUNICODE 'true'\nTUPLE1\nREDUCE\nPOP\nEMPTY_DICT\n",
    "ext": "EXT1 1\nEMPTY_TUPLE\nREDUCE\n",
    "buffer": "NEXT_BUFFER\nREADONLY_BUFFER\n",
    "persid": "PERSID 0\n",
}


def saved_storage() -> bytes:
    """A file in torch's sequential format that holds one storage, as plain pickles of tensors embed it."""
    magic = assemble(f"PROTO 2\nLONG1 {0x1950A86A20F9469CFC6C}\nSTOP") + assemble("PROTO 2\nBININT2 1001\nSTOP") + assemble("PROTO 2\nEMPTY_DICT\nSTOP")
    body = assemble("PROTO 2\n" + storage().replace("TUPLE\n", "NONE\nTUPLE\n") + "STOP")
    return magic + body + assemble("PROTO 2\nEMPTY_LIST\nBINUNICODE '0'\nAPPEND\nSTOP") + (6).to_bytes(8, "little") + bytes(range(24))


def embedded() -> str:
    """A tensor whose storage stands as bytes in the stream."""
    return tensor().replace(storage(), f"\nGLOBAL torch.storage _load_from_bytes\nBINBYTES {saved_storage()!r}\nTUPLE1\nREDUCE\n")


STREAMS["embedded"] = embedded()


def table(count: int, *entries: bytes) -> bytes:
    """A table of torch's tar format: the number of entries, and they."""
    return assemble(f"PROTO 2\nBININT1 {count}\nSTOP") + b"".join(entries)


def numbers(*values: int) -> bytes:
    """int64 each."""
    return b"".join(value.to_bytes(8, "little", signed=True) for value in values)


TARS: dict[str, dict[bytes, bytes]] = {
    "tar": {
        b"sys_info": assemble("PROTO 2\nEMPTY_DICT\nBINUNICODE 'protocol_version'\nBININT2 1000\nSETITEM\nSTOP"),
        b"pickle": assemble("PROTO 2\nEMPTY_LIST\nMARK\nBININT1 7\nBINPERSID\nBINUNICODE '2'\nBINPERSID\nAPPENDS\nSTOP"),
        b"tensors": table(1, assemble("PROTO 2\nBININT1 7\nBININT1 1\nGLOBAL torch FloatTensor\nTUPLE3\nSTOP"), b"\2\0\0\0junk", numbers(2, 3, 3, 1, 0)),
        b"storages": table(1, assemble("PROTO 2\nBININT1 1\nBINUNICODE 'cpu'\nGLOBAL torch FloatStorage\nTUPLE3\nSTOP"), numbers(6), bytes(range(24)))
        + assemble("PROTO 2\nEMPTY_LIST\nMARK\nBININT1 2\nBININT1 1\nBININT1 3\nBININT1 2\nTUPLE\nAPPEND\nSTOP"),
    }
}

FILES: dict[str, tuple[str, dict[bytes, bytes]]] = {  # torch zips: name -> listing of data.pkl, storages
    "dict": ("EMPTY_DICT\nBINUNICODE 'w'\n" + tensor() + "SETITEM\n", {b"0": bytes(24)}),
    "shared": ("EMPTY_LIST\nMARK\n" + tensor() + flat("FloatStorage", "0", 6) + "APPENDS\n", {b"0": bytes(range(24))}),
    "bfloat16": (flat("BFloat16Storage", "0", 4), {b"0": bytes(8)}),
    "complex": (flat("ComplexFloatStorage", "0", 2), {b"0": bytes(16)}),
    "bool": (flat("BoolStorage", "0", 3), {b"0": b"\0\1\1"}),
    "parameter": (
        "GLOBAL torch._utils _rebuild_parameter\n" + tensor() + "NEWTRUE\nGLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nTUPLE3\nREDUCE\n",
        {b"0": bytes(24)},
    ),
    "v3": (
        "GLOBAL torch._utils _rebuild_tensor_v3\nMARK"
        + storage("UntypedStorage", "0", 4)
        + "BININT1 0\nBININT1 4\nTUPLE1\nBININT1 1\nTUPLE1\nNEWFALSE\nEMPTY_DICT\nGLOBAL torch float8_e4m3fn\nTUPLE\nREDUCE\n".replace(
            "EMPTY_DICT", "GLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE"
        ),
        {b"0": bytes(4)},
    ),
    "quantized": (
        "GLOBAL torch._utils _rebuild_qtensor\nMARK"
        + storage("QInt8Storage", "0", 4)
        + "BININT1 0\nBININT1 4\nTUPLE1\nBININT1 1\nTUPLE1\nGLOBAL torch per_tensor_affine\nBINFLOAT 0.5\nBININT1 3\n"
        "TUPLE3\nNEWFALSE\nGLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nTUPLE\nREDUCE\n",
        {b"0": b"\1\2\3\4"},
    ),
    "per-channel": (
        "GLOBAL torch._utils _rebuild_qtensor\nMARK"
        + storage("QInt8Storage", "0", 4)
        + "BININT1 0\nBININT1 2\nBININT1 2\nTUPLE2\nBININT1 2\nBININT1 1\nTUPLE2\nMARK\nGLOBAL torch per_channel_affine\n"
        + flat("DoubleStorage", "1", 2)
        + flat("LongStorage", "2", 2)
        + "BININT1 0\nTUPLE\nNEWFALSE\nGLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nTUPLE\nREDUCE\n",
        {b"0": b"\1\2\3\4", b"1": bytes(16), b"2": bytes(16)},
    ),
    "sparse": (
        "GLOBAL torch._utils _rebuild_sparse_tensor\nGLOBAL torch.serialization _get_layout\nBINUNICODE 'torch.sparse_coo'\nTUPLE1\nREDUCE\nMARK\n"
        + tensor("LongStorage", "1", 4, "BININT1 2\nBININT1 2\nTUPLE2", "BININT1 2\nBININT1 1\nTUPLE2")
        + flat("FloatStorage", "0", 2)
        + "GLOBAL torch Size\nBININT1 3\nBININT1 3\nTUPLE2\nTUPLE1\nREDUCE\nNEWTRUE\nTUPLE\nTUPLE2\nREDUCE\n",
        {b"0": bytes(8), b"1": b"".join(n.to_bytes(8, "little") for n in (0, 1, 2, 0))},
    ),
    "csr": (
        "GLOBAL torch._utils _rebuild_sparse_tensor\nGLOBAL torch.serialization _get_layout\nBINUNICODE 'torch.sparse_csr'\nTUPLE1\nREDUCE\nMARK\n"
        + flat("LongStorage", "1", 3)
        + flat("LongStorage", "2", 2)
        + flat("FloatStorage", "0", 2)
        + "GLOBAL torch Size\nBININT1 2\nBININT1 3\nTUPLE2\nTUPLE1\nREDUCE\nTUPLE\nTUPLE2\nREDUCE\n",
        {b"0": bytes(8), b"1": b"".join(n.to_bytes(8, "little") for n in (0, 1, 2)), b"2": b"".join(n.to_bytes(8, "little") for n in (0, 2))},
    ),
    "meta": (
        "GLOBAL torch._utils _rebuild_meta_tensor_no_storage\nMARK\nGLOBAL torch float32\nBININT1 2\nTUPLE1\nBININT1 1\nTUPLE1\nNEWFALSE\nTUPLE\nREDUCE\n",
        {},
    ),
    "typed": (
        "GLOBAL torch._tensor _rebuild_from_type_v2\nMARK\nGLOBAL torch._utils _rebuild_tensor_v2\nGLOBAL torch Tensor\nMARK"
        + storage()
        + "BININT1 0\nBININT1 6\nTUPLE1\nBININT1 1\nTUPLE1\nNEWFALSE\nGLOBAL collections OrderedDict\nEMPTY_TUPLE\n"
        "REDUCE\nTUPLE\nEMPTY_DICT\nBINUNICODE 'tag'\nBININT1 1\nSETITEM\nTUPLE\nREDUCE\n",
        {b"0": bytes(24)},
    ),
    "storage": (storage(), {b"0": bytes(24)}),
    "generator": (
        "GLOBAL torch._C Generator\nBINUNICODE 'cpu'\nTUPLE1\nREDUCE\nBININT1 7\nNONE\n" + flat("ByteStorage", "0", 4) + "TUPLE3\nBUILD\n",
        {b"0": bytes(4)},
    ),
    "jagged": (
        "GLOBAL torch.nested._internal.nested_tensor _rebuild_njt\nEMPTY_DICT\nMARK\nBINUNICODE 'values'\n"
        + tensor(shape="BININT1 3\nBININT1 2\nTUPLE2", stride="BININT1 2\nBININT1 1\nTUPLE2")
        + "BINUNICODE 'offsets'\n"
        + flat("LongStorage", "1", 3)
        + "BINUNICODE 'lengths'\nNONE\nBINUNICODE '_ragged_idx'\nBININT1 1\nSETITEMS\nTUPLE1\nREDUCE\n",
        {b"0": bytes(24), b"1": b"".join(n.to_bytes(8, "little") for n in (0, 1, 3))},
    ),
    "sparse-class": (
        "GLOBAL torch.sparse FloatTensor\n"
        + tensor("LongStorage", "1", 2, "BININT1 1\nBININT1 2\nTUPLE2", "BININT1 2\nBININT1 1\nTUPLE2")
        + flat("FloatStorage", "0", 2)
        + "BININT1 3\nTUPLE1\nTUPLE3\nREDUCE\n",
        {b"0": bytes(8), b"1": b"".join(n.to_bytes(8, "little") for n in (0, 2))},
    ),
    "module": (
        "GLOBAL my.net Net\nEMPTY_TUPLE\nNEWOBJ\nEMPTY_DICT\nMARK\n"
        "BINUNICODE '_parameters'\nGLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nBINUNICODE 'weight'\n"
        + tensor()
        + "SETITEM\nBINUNICODE '_buffers'\nEMPTY_DICT\nBINUNICODE '_modules'\nEMPTY_DICT\nSETITEMS\nBUILD\n",
        {b"0": bytes(24)},
    ),
    "extra-pickle": ("EMPTY_DICT\n", {b"0": assemble("PROTO 2\nGLOBAL posix system\nBINUNICODE 'true'\nTUPLE1\nREDUCE\nSTOP")}),
}


def archive(listing: str, storages: dict[bytes, bytes], folder: bytes = b"a") -> bytes:
    """A torch zip around one stream."""
    members = {b"data.pkl": assemble("PROTO 2\n" + listing + "STOP"), b"byteorder": b"little"}
    members |= {b"data/" + key: content for key, content in storages.items()}
    members |= {b"version": b"3\n", b".data/serialization_id": b"1234567890" * 4}
    return repack({folder + b"/" + name: content for name, content in members.items()})


def stream(name: str, listing: str) -> bytes:
    """A bare pickle, of the protocol that its name or its opcodes ask for."""
    protocol = {"plain-0": None, "plain-5": 5, "stack-global": 4, "sets": 4, "newobj-ex": 4, "buffer": 5, "numpy-frombuffer": 5}.get(name, 2)
    head = "" if protocol is None else f"PROTO {protocol}\n"
    return assemble(f"{head}{listing}STOP")


def npy(descr: str, shape: str, data: bytes, version: int = 1) -> bytes:
    """A numpy file with this header."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    width = "<H" if version == 1 else "<I"
    header += b" " * (-(len(header) + 9 + struct.calcsize(width)) % 64) + b"\n"
    return b"\x93NUMPY" + bytes((version, 0)) + struct.pack(width, len(header)) + header + data


ARRAY = npy("'<f4'", "(2, 3)", bytes(24))
JOBLIB = (
    "PROTO 3\nEMPTY_DICT\nBINUNICODE 'a'\nGLOBAL joblib.numpy_pickle NumpyArrayWrapper\nEMPTY_TUPLE\nNEWOBJ\nEMPTY_DICT\nMARK\n"
    "BINUNICODE 'subclass'\nGLOBAL numpy ndarray\nBINUNICODE 'shape'\nBININT1 2\nTUPLE1\nBINUNICODE 'order'\nBINUNICODE 'C'\n"
    f"BINUNICODE 'dtype'\n{DTYPE}BINUNICODE 'allow_mmap'\nNEWTRUE\nSETITEMS\nBUILD\n"
)
HEADER = b'{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[24,28]}}'
POLICY = b"""name = "ours"
version = "1"
summary = "What our files may hold."
extends = ["checkpoint"]
formats = ["torch.zip", "pickle"]

[limits]
opcodes = 1_000_000

[[allow]]
id         = "config"
globals    = ["acme.Config"]
uses       = ["call", "new", "build"]
as         = "record"
capability = "data.container"
reason     = "Our configuration."
evidence   = ["acme/config.py"]

[[opaque]]
id         = "layers"
globals    = ["acme.nn.*"]
capability = "unknown"
reason     = "Our layers, kept as records."

[[deny]]
id         = "network"
globals    = ["acme.net.*"]
capability = "net"
reason     = "Talks to the network."
"""
PLAIN = assemble("PROTO 2\nEMPTY_DICT\nBINUNICODE 'a'\nBININT1 1\nSETITEM\nSTOP")


def script() -> bytes:
    """A TorchScript archive of an empty module."""
    members = {b"m/data.pkl": assemble("PROTO 2\nGLOBAL __torch__ Net\nEMPTY_TUPLE\nNEWOBJ\nSTOP"), b"m/code/__torch__.py": b"class Net(Module):\n  pass\n"}
    return repack({**members, b"m/constants.pkl": assemble("PROTO 2\nEMPTY_TUPLE\nSTOP"), b"m/version": b"3\n"})


def package() -> bytes:
    """A torch.package archive with one resource."""
    return repack({b"p/.data/extern_modules": b"", b"p/.data/python_version": b"3.11.0", b"p/model/model.pkl": assemble("PROTO 3\nEMPTY_LIST\nSTOP")})


# ---- files that name others -------------------------------------------------------------------------------------------------------------------

METADATA = "torch.distributed.checkpoint.metadata"
W, B = archive(flat("FloatStorage", "0", 4), {b"0": bytes(range(16))}), archive(flat("FloatStorage", "0", 2), {b"0": bytes(range(8))})


def entry(*pairs: tuple[str, str]) -> str:
    """A dict of listings."""
    return "EMPTY_DICT\nMARK\n" + "".join(key + value for key, value in pairs) + "SETITEMS\n"


def text(value: str) -> str:
    return f"BINUNICODE {value!r}\n"


def made(name: str, *pairs: tuple[str, str]) -> str:
    """An object that NEWOBJ makes and BUILD fills."""
    state = entry(*((text(key), value) for key, value in pairs)) + "BUILD\n" if pairs else ""
    return f"GLOBAL {name}\nEMPTY_TUPLE\nNEWOBJ\n{state}"


def size(*numbers: int) -> str:
    return "GLOBAL torch Size\nMARK\n" + "".join(f"BININT1 {number}\n" for number in numbers) + "TUPLE\nTUPLE1\nREDUCE\n"


def metadata() -> bytes:
    """`.metadata` of a tensor in two chunks, which stand in two files, and of an object behind the second of them."""
    properties = (
        f"GLOBAL {METADATA} TensorProperties\nEMPTY_TUPLE\nNEWOBJ\nMARK\nGLOBAL torch float32\n"
        "GLOBAL torch.serialization _get_layout\nBINUNICODE 'torch.strided'\n"
        f"TUPLE1\nREDUCE\nNEWFALSE\nGLOBAL {METADATA} _MEM_FORMAT_ENCODING\nBININT1 0\nTUPLE1\nREDUCE\nNEWFALSE\nTUPLE\nBUILD\n"
    )
    places, names, chunks = [], [], ""
    for fqn, offset, path, at, content in (("w", 0, "0.distcp", 0, W), ("w", 4, "1.distcp", 0, B), ("o", None, "1.distcp", len(B), OBJECT)):
        index = made(f"{METADATA} MetadataIndex", ("fqn", text(fqn)), ("offset", "NONE\n" if offset is None else size(offset)), ("index", "NONE\n"))
        stored = (("relative_path", text(path)), ("offset", f"BININT2 {at}\n"), ("length", f"BININT2 {len(content)}\n"))
        places.append((index, made("torch.distributed.checkpoint.filesystem _StorageInfo", *stored)))
        if offset is not None:
            length = 4 if offset == 0 else 2
            chunks += made(f"{METADATA} ChunkStorageMetadata", ("offsets", size(offset)), ("sizes", size(length)))
    whole = (("properties", properties), ("size", size(6)), ("chunks", f"EMPTY_LIST\nMARK\n{chunks}APPENDS\n"))
    names.append((text("w"), made(f"{METADATA} TensorStorageMetadata", *whole)))
    names.append((text("o"), made(f"{METADATA} BytesStorageMetadata")))
    paths = entry((text("w"), "BINUNICODE 'model'\nBINUNICODE 'w'\nTUPLE2\n"), (text("o"), "BINUNICODE 'o'\nTUPLE1\n"))
    top = (("state_dict_metadata", entry(*names)), ("planner_data", paths), ("storage_data", entry(*places)), ("storage_meta", "NONE\n"))
    return assemble("PROTO 2\n" + made(f"{METADATA} Metadata", *top) + "STOP")


OBJECT = archive("EMPTY_DICT\nBINUNICODE 'lr'\nBINFLOAT 0.5\nSETITEM\n", {})
SHARD = b'{"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
SHARDS: dict[str, bytes] = {
    "dcp/0.distcp": W,
    "dcp/1.distcp": B + OBJECT,
    "shards/a.bin": archive("EMPTY_DICT\nBINUNICODE 'w'\n" + tensor() + "SETITEM\n", {b"0": bytes(24)}),
    "shards/b.safetensors": struct.pack("<Q", len(SHARD)) + SHARD + bytes(8),
}
"""What the seeds of `dcp` and `shards` name; `fuzz.folders` puts them beside the input."""
WEIGHT_MAP = {"metadata": {"total_size": 32}, "weight_map": {"w": "a.bin", "b": "b.safetensors"}}
LOCK = f"""schema = 1
paths = ["a.pt", "models"]
exclude = ["*.txt"]

[policy]
name = "checkpoint"
version = "2026.11"
sha256 = "{"0" * 64}"

[[file]]
path = "a.pt"
sha256 = "{"a" * 64}"
size = 12
format = "torch.zip"
verdict = "accepted"
capabilities = ["data.tensor"]
beside = ["{"b" * 64} shard.bin"]

[[file]]
path = "models/b.pt"
size = 0
format = "unknown"
verdict = "inconclusive"
capabilities = []
"""
LISTING = (
    "PROTO 2  # comment\nGLOBAL posix system\nGLOBAL 'a b' 'c'\nBINUNICODE 'text'\nBINBYTES8 length=99 b'abc'\nLONG1 -300\nLONG1 b'\\x01\\x00'\n"
    "STRING 'it\\'s'\nFLOAT 1e5\nRAW '80 02 ff'\nTUPLE1\nREDUCE\nSTOP\n"
)

KERAS = json.dumps(
    {
        "module": "keras", "class_name": "Sequential", "registered_name": None, "config": {"layers": [
            {"module": "keras.layers", "class_name": "StringLookup", "config": {"vocabulary": None}},
            {"module": "my.layers", "class_name": "Own", "config": {"activation": {"module": "builtins", "class_name": "function", "config": "relu"}}},
            {"module": "keras.layers", "class_name": "Lambda", "config": {"function": {"class_name": "__lambda__", "config": {"code": "4wEA"}}}},
        ]},
    }
).encode()  # fmt: skip
HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(64)

OTHERS: dict[str, bytes] = {
    "array.npy": ARRAY,
    "fields.npy": npy("[('a', '<i2'), ('b', '|S3', (2,))]", "(2,)", bytes(16), 2),
    "objects.npy": npy("'|O'", "(1,)", assemble("PROTO 2\nNONE\nSTOP")),
    "arrays.npz": repack({b"a.npy": ARRAY, b"b.npy": npy("'<i8'", "()", bytes(8))}),
    "array.joblib": assemble(JOBLIB + "STOP")[:-1] + bytes(8) + assemble("SETITEM\nSTOP"),
    "two.safetensors": struct.pack("<Q", len(HEADER)) + HEADER + bytes(28),
    "two.gguf": ggufs.two(),
    "two-big.gguf": ggufs.two("big"),
    "model.keras": repack({b"config.json": KERAS, b"metadata.json": b"{}", b"model.weights.h5": HDF5}),
    "layers.h5": HDF5 + KERAS,
    "params.msgpack": b"\x81\xa6params\x81\xa1w\xc4\x04" + bytes(4),
    "tensor.legacy": legacy(assemble("PROTO 2\n" + tensor() + "STOP"), {"0": (6, struct.pack("<6f", *range(6)))}),
    "pickle.gz": gzip.compress(PLAIN, mtime=0),
    "pickle.zlib": zlib.compress(PLAIN),
    "pickle.bz2": bz2.compress(PLAIN),
    "pickle.xz": lzma.compress(PLAIN),
    "module.script": script(),
    "resource.package": package(),
    "plain.zip": repack({b"model.pkl": PLAIN, b"readme.md": b"text", b"arrays.npz": repack({b"a.npy": ARRAY})}),
    "export.pt2": repack({b"m/archive_format": b"pt2", b"m/archive_version": b"0", b"m/version": b"3\n", b"m/models/model.json": b"{}"}),
    "document.json": b'{"a": [1, -2.5, true, null, "\\u00e9"], "b": {"c": ""}}',
    "policy.toml": POLICY,
    "pickle.lzma": lzma.compress(PLAIN, lzma.FORMAT_ALONE),
    "pickle.zst": zstd(PLAIN),
    "pickle.lz4": lz4(PLAIN),
    "two-files.metadata": metadata(),
    "shards.index": json.dumps(WEIGHT_MAP).encode(),
    "two.lock": LOCK.encode(),
    "words.listing": LISTING.encode(),
}
"""File name to bytes."""


def main() -> None:
    """Write all seeds."""
    SEEDS.mkdir(exist_ok=True)
    for name, listing in STREAMS.items():
        (SEEDS / f"{name}.pkl").write_bytes(stream(name, listing))
    for name, (listing, storages) in FILES.items():
        (SEEDS / f"{name}.pt").write_bytes(archive(listing, storages))
    for name, data in OTHERS.items():
        (SEEDS / name).write_bytes(data)
    for name, members in TARS.items():
        (SEEDS / f"{name}.tar").write_bytes(pack(members))


if __name__ == "__main__":
    main()
