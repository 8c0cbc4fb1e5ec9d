"""Payloads times containers: whatever spells the call, wherever the stream stands, it is rejected by its name, with its capability, and nothing runs.

    what     a name of each capability
    how      an opcode that names it and one that uses it, in every protocol that has them
    where    every place in which a reader of ours, of torch, numpy, joblib or pandas would find a pickle

Each how in each where with one name, and each name in each where with one how. Every payload but for `fs.write` names something that does nothing with such an
argument; that one makes a directory, which must not appear.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import pickle
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from struct import pack

import pytest
from containers.zipbuild import Part, build
from formats.tarbuild import checkpoint as torch_tar
from formats.tarbuild import tar

from safeload.errors import CheckpointError
from safeload.opcodes.assemble import assemble

from . import watched

NAMES = {
    "process.exec": ("posix", "system"),
    "code.exec": ("builtins", "exec"),
    "code.import": ("importlib", "import_module"),
    "code.deserialize": ("pickle", "loads"),
    "code.attribute": ("builtins", "setattr"),
    "fs.read": ("linecache", "getlines"),
    "fs.write": ("posix", "mkdir"),
    "net": ("socket", "create_connection"),
    "native": ("ctypes", "CDLL"),
    "unknown": ("acme.models", "Net"),
}


def _stacked(module: str, name: str) -> str:
    return f"SHORT_BINUNICODE {module!r}\nSHORT_BINUNICODE {name!r}\nSTACK_GLOBAL\n"


ARGUMENT = "BINUNICODE {path!r}\n"

# protocol, and the listing of a value: `{stacked}` pushes the callable by STACK_GLOBAL
HOWS: dict[str, tuple[int, str]] = {
    "reduce-0": (0, "GLOBAL {module} {name}\nMARK\nUNICODE {path!r}\nTUPLE\nREDUCE\n"),
    "reduce-1": (1, "GLOBAL {module} {name}\nMARK\n" + ARGUMENT + "TUPLE\nREDUCE\n"),
    "reduce-2": (2, "GLOBAL {module} {name}\n" + ARGUMENT + "TUPLE1\nREDUCE\n"),
    "reduce-4": (4, "{stacked}" + ARGUMENT + "TUPLE1\nREDUCE\n"),
    "reduce-5-framed": (5, "FRAMED {stacked}" + ARGUMENT + "TUPLE1\nREDUCE\n"),
    "inst": (0, "MARK\nUNICODE {path!r}\nINST {module} {name}\n"),
    "obj": (1, "MARK\nGLOBAL {module} {name}\n" + ARGUMENT + "OBJ\n"),
    "newobj": (2, "GLOBAL {module} {name}\n" + ARGUMENT + "TUPLE1\nNEWOBJ\n"),
    "newobj-ex": (4, "{stacked}" + ARGUMENT + "TUPLE1\nEMPTY_DICT\nNEWOBJ_EX\n"),
    "build": (2, "GLOBAL {module} {name}\nEMPTY_TUPLE\nNEWOBJ\nEMPTY_DICT\nBINUNICODE 'x'\nNONE\nSETITEM\nBUILD\n"),
    "reconstructor": (2, "GLOBAL copyreg _reconstructor\nGLOBAL {module} {name}\nGLOBAL builtins object\nNONE\nTUPLE3\nREDUCE\n"),
    "popped": (2, "GLOBAL {module} {name}\n" + ARGUMENT + "TUPLE1\nREDUCE\nPOP\nNONE\n"),
    "popped-with-a-mark": (2, "MARK\nGLOBAL {module} {name}\n" + ARGUMENT + "TUPLE1\nREDUCE\nPOP_MARK\nNONE\n"),
    "memo": (2, "GLOBAL {module} {name}\nBINPUT 7\nPOP\nBINGET 7\n" + ARGUMENT + "TUPLE1\nREDUCE\n"),
    "memo-words": (4, "BINUNICODE {name!r}\nMEMOIZE\nPOP\nBINUNICODE {module!r}\nBINGET 0\nSTACK_GLOBAL\n" + ARGUMENT + "TUPLE1\nREDUCE\n"),
    "dup": (2, "GLOBAL {module} {name}\nDUP\n" + ARGUMENT + "TUPLE1\nREDUCE\nTUPLE2\n"),
    "in-a-key": (2, "EMPTY_DICT\nGLOBAL {module} {name}\n" + ARGUMENT + "TUPLE1\nREDUCE\nTUPLE1\nNONE\nSETITEM\n"),
    "in-a-set": (4, "EMPTY_SET\nMARK\n{stacked}" + ARGUMENT + "TUPLE1\nREDUCE\nADDITEMS\n"),
    "as-an-argument": (2, "GLOBAL collections OrderedDict\nGLOBAL {module} {name}\n" + ARGUMENT + "TUPLE1\nREDUCE\nTUPLE1\nREDUCE\n"),
    "as-a-state": (2, "GLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nGLOBAL {module} {name}\n" + ARGUMENT + "TUPLE1\nREDUCE\nBUILD\n"),
    "as-a-callable": (2, "GLOBAL {module} {name}\n" + ARGUMENT + "TUPLE1\nREDUCE\nEMPTY_TUPLE\nREDUCE\n"),
    "in-an-id": (2, "GLOBAL {module} {name}\n" + ARGUMENT + "TUPLE1\nREDUCE\nBINPERSID\n"),
    "only-named": (2, "GLOBAL {module} {name}\n"),
    "default-factory": (2, "GLOBAL collections defaultdict\nGLOBAL {module} {name}\nTUPLE1\nREDUCE\n"),
    "type-of-a-tensor": (
        2,
        "GLOBAL torch._tensor _rebuild_from_type_v2\nMARK\nGLOBAL {module} {name}\nGLOBAL torch Tensor\n" + ARGUMENT + "TUPLE1\nNONE\nTUPLE\nREDUCE\n",
    ),
}


def program(how: str, module: str, name: str, path: str) -> bytes:
    protocol, listing = HOWS[how]
    framed = listing.startswith("FRAMED ")
    text = listing.removeprefix("FRAMED ").format(module=module, name=name, path=path, stacked=_stacked(module, name))
    body = assemble(text + "STOP\n")
    head = bytes((0x80, protocol)) if protocol >= 2 else b""
    return head + (b"\x95" + pack("<Q", len(body)) if framed else b"") + body


def torch_zip(data: bytes, *, method: int = 0, **more: bytes) -> bytes:
    names = {"data.pkl": data, "byteorder": b"little", "version": b"3\n", **more}
    if method:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            for name, content in names.items():
                archive.writestr(f"a/{name}", content)
        return out.getvalue()
    return build([Part(f"a/{name}".encode(), content) for name, content in names.items()])


def legacy(data: bytes) -> bytes:
    """torch's sequential format: magic number, protocol version, system info, the object, the keys of no storage."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    return b"".join([*(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, system)), data, pickle.dumps([], 2)])


def zipped(**files: bytes) -> bytes:
    return build([Part(name.encode(), content) for name, content in files.items()])


def npy(data: bytes) -> bytes:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + pack("<H", len(header)) + header + data


def sb3(data: bytes) -> bytes:
    document = json.dumps({"policy_class": {":type:": "x", ":serialized:": base64.b64encode(data).decode()}}).encode()
    return build([Part(b"data", document), Part(b"_stable_baselines3_version", b"2.3.0")])


def storage_bytes(data: bytes) -> bytes:
    listing = f"PROTO 3\nGLOBAL torch.storage _load_from_bytes\nBINBYTES {legacy(data)!r}\nTUPLE1\nREDUCE\nSTOP\n"
    return assemble(listing)


GOOD = pickle.dumps({"epoch": 3}, 2)
WHERES: dict[str, Callable[[bytes], bytes]] = {
    "pickle": lambda data: data,
    "pickle-behind-another": lambda data: GOOD + data,
    "torch-zip": torch_zip,
    "torch-zip-deflated": lambda data: torch_zip(data, method=zipfile.ZIP_DEFLATED),
    "torch-zip-other-member": lambda data: torch_zip(GOOD, **{"extra.pkl": data}),
    "torch-zip-unused-storage": lambda data: torch_zip(GOOD, **{"data/0": data}),
    "torch-legacy": legacy,
    "torch-legacy-behind-another": lambda data: legacy(GOOD) + legacy(data),
    "torch-tar": lambda data: torch_tar(obj=data),
    "torch-script-constants": lambda data: torch_zip(GOOD, **{"constants.pkl": data}),
    "torch-script-data": lambda data: torch_zip(data, **{"constants.pkl": assemble("PROTO 2\nEMPTY_TUPLE\nSTOP")}),
    "torch-package": lambda data: zipped(**{"p/.data/extern_modules": b"", "p/.data/python_version": b"3.11", "p/model/model.pkl": b"\x80\3" + data[2:]})
    if data[:1] == b"\x80" and data[1] <= 3
    else zipped(**{"p/.data/extern_modules": b"", "p/.data/python_version": b"3.11", "p/model/model.pkl": data}),
    "torch-storage-bytes": storage_bytes,
    "npy-objects": npy,
    "npz-objects": lambda data: zipped(**{"a.npy": npy(data)}),
    "zip": lambda data: zipped(**{"folder/model.pkl": data, "readme.md": b"text"}),
    "zip-in-zip": lambda data: zipped(**{"inner.zip": zipped(model=data)}),
    "npz-in-zip": lambda data: zipped(**{"arrays": zipped(**{"a.npy": npy(data)}), "x.pkl": GOOD}),
    "torch-zip-in-zip": lambda data: zipped(**{"model.pt": torch_zip(data)}),
    "torch-zip-in-torch-zip": lambda data: torch_zip(GOOD, more=torch_zip(data)),
    "mar": lambda data: zipped(**{"MAR-INF/MANIFEST.json": b"{}", "model.pt": data}),
    "stable-baselines": sb3,
    "tar": lambda data: tar({"folder/model.pkl": data, "readme.md": b"text"}),
    "tar-gz": lambda data: gzip.compress(tar({"model.pkl": data})),
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "gzip-in-bz2": lambda data: bz2.compress(gzip.compress(data)),
    "gzip-in-zip": lambda data: zipped(**{"model.pkl.gz": gzip.compress(data)}),
    "gzip-of-torch-zip": lambda data: gzip.compress(torch_zip(data)),
}
try:
    import zstandard
except ImportError:
    pass
else:
    WHERES["zstd"] = zstandard.ZstdCompressor().compress
try:
    import lz4.frame
except ImportError:
    pass
else:
    WHERES["lz4"] = lz4.frame.compress


def hold(data: bytes, full: str, capability: str, trace: Path, what: str) -> None:
    """Rejected under the policies that enforce, with this name and capability among the reasons; no loader of ours runs it, and none but `inspect` keeps it."""
    modules = set(sys.modules)
    for policy in ("weights-only", "checkpoint", "inspect"):
        report = watched.scan(data, policy=policy)
        if policy == "inspect" and capability == "unknown":
            if report.verdict == "accepted":
                assert report.has_opaque or full not in {use.global_name for use in report.globals}, what
        else:
            assert report.verdict == "rejected", (what, policy, report.verdict, [(f.rule, f.message) for f in report.errors])
            if what.endswith("torch-storage-bytes") and policy == "weights-only":
                continue  # the name around the bytes is denied, so nobody looks into them
            named = [finding for finding in report.errors if finding.global_name == full]
            assert named, (what, policy, [(f.rule, f.global_name, f.message) for f in report.errors])
            assert {finding.capability for finding in named} == {capability}, (what, named)
            assert {finding.rule for finding in named} & {"SL301", "SL302", "SL303", "SL304"}, (what, named)
        try:
            watched.load(data, "cpu", policy=policy)
        except CheckpointError:
            assert report.verdict != "accepted" or "behind" in what, what  # several objects are judged together, and loaded one by one
        else:
            assert report.verdict == "accepted", what
    assert not trace.exists(), f"{what}: the payload ran"
    assert full.rpartition(".")[0] in modules or full.rpartition(".")[0] not in sys.modules, f"{what}: the module was imported"


@pytest.mark.parametrize("where", WHERES)
def test_every_spelling_of_a_call_in_every_place(where: str, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    for how in HOWS:
        data = WHERES[where](program(how, "posix", "mkdir", str(trace)))
        hold(data, "posix.mkdir", "fs.write", trace, f"{how} in {where}")


@pytest.mark.parametrize("where", WHERES)
def test_every_capability_in_every_place(where: str, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    for capability, (module, name) in NAMES.items():
        data = WHERES[where](program("reduce-2", module, name, str(trace)))
        hold(data, f"{module}.{name}", capability, trace, f"{capability} in {where}")


@pytest.mark.parametrize("capability", NAMES)
def test_every_spelling_of_every_capability(capability: str, tmp_path: Path) -> None:
    module, name = NAMES[capability]
    for how in HOWS:
        hold(program(how, module, name, str(tmp_path / "ran")), f"{module}.{name}", capability, tmp_path / "ran", f"{how} of {capability}")


def test_the_payload_is_one(tmp_path: Path) -> None:
    """pickle runs it: a directory appears."""
    trace = tmp_path / "ran"
    ran = []
    for how in HOWS:
        try:
            pickle.loads(program(how, "posix", "mkdir", str(trace)))
        except Exception as error:
            assert not isinstance(error, AssertionError)  # what comes behind the payload may fail
        if trace.exists():
            trace.rmdir()
            ran.append(how)
    assert len(ran) >= 15, ran
