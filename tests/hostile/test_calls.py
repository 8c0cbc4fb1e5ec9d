"""Calls, however they are spelt: each is a finding when it is made, whatever becomes of its result (fickling GHSA-mxhj-88fx-4pcv)."""

from __future__ import annotations

import pytest

from safeload.errors import CheckpointError

from . import watched
from .hostile import SYSTEM, Refusal, archive, stream, vector

MKDIR = "posix.mkdir"
ARGUMENT = "BINUNICODE 'RAN'\n"

CALLS = {
    "REDUCE": SYSTEM,
    "REDUCE-popped": SYSTEM + "POP\nEMPTY_DICT\n",
    "REDUCE-pop-mark": "MARK\n" + SYSTEM + "POP_MARK\nEMPTY_DICT\n",
    "REDUCE-in-memo-only": SYSTEM + "BINPUT 0\nPOP\nNONE\n",
    "INST": "MARK\n" + ARGUMENT + "INST posix mkdir\n",
    "INST-popped": "MARK\n" + ARGUMENT + "INST posix mkdir\nPOP\nNONE\n",
    "OBJ": "MARK\nGLOBAL posix mkdir\n" + ARGUMENT + "OBJ\n",
    "OBJ-popped": "MARK\nGLOBAL posix mkdir\n" + ARGUMENT + "OBJ\nPOP\nEMPTY_LIST\n",
    "NEWOBJ": "GLOBAL posix mkdir\n" + ARGUMENT + "TUPLE1\nNEWOBJ\n",
    "BUILD": SYSTEM + "EMPTY_DICT\nBUILD\n",
    "as-dict-key": "EMPTY_DICT\n" + SYSTEM + "NONE\nSETITEM\n",
    "as-argument": "GLOBAL collections OrderedDict\n" + SYSTEM + "TUPLE1\nREDUCE\n",
    "as-hooks": "GLOBAL torch._utils _rebuild_parameter\nNONE\nNEWTRUE\n" + SYSTEM + "TUPLE3\nREDUCE\n",
    "as-persistent-id": SYSTEM + "BINPERSID\n",
    "mapped": "GLOBAL builtins map\nGLOBAL posix mkdir\nEMPTY_LIST\n" + ARGUMENT + "APPEND\nTUPLE2\nREDUCE\n",
    "os-alias": SYSTEM.replace("posix", "os"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_named(refused: Refusal, name: str) -> None:
    data = refused.armed(stream(CALLS[name], 4))
    refused(data, "rejected", "SL301", names=("os.mkdir" if name == "os-alias" else MKDIR,))


def test_newobj_ex_is_a_call(refused: Refusal) -> None:
    refused(refused.armed(stream("GLOBAL posix mkdir\n" + ARGUMENT + "TUPLE1\nEMPTY_DICT\nNEWOBJ_EX\n", 4)), "rejected", "SL301", names=(MKDIR,))


@pytest.mark.parametrize("name", CALLS)
def test_a_call_within_an_archive(refused: Refusal, name: str) -> None:
    bent = refused.armed(stream(CALLS[name]))
    listing = CALLS[name].replace("'RAN'", repr(str(refused.trace)))
    refused(archive(listing), "rejected", "SL301")
    assert str(refused.trace).encode() in bent


GADGETS = {
    "builtins.eval": "'1'",
    "builtins.exec": "'import antigravity'",
    "builtins.__import__": "'antigravity'",
    "__builtin__.eval": "'1'",
    "importlib.import_module": "'this'",
    "pkgutil.resolve_name": "'posix:mkdir'",
    "pydoc.locate": "'antigravity'",
    "pip.main": "'x'",
    "code.interact": "'x'",
    "pickle.loads": "b'N.'",
    "_pickle.loads": "b'N.'",
    "cPickle.loads": "b'N.'",
    "torch.load": "'x'",
    "numpy.load": "'x'",
    "joblib.load": "'x'",
    "pandas.read_pickle": "'x'",
    "marshal.loads": "b'N'",
    "idlelib.pyshell.ModifiedInterpreter.runcode": "'x'",
    "ctypes.util.find_library": "'c'",
    "ctypes.CDLL": "'x'",
    "pty.spawn": "'x'",
    "commands.getoutput": "'true'",
    "subprocess.Popen": "'true'",
    "operator.attrgetter": "'system'",
    "_operator.attrgetter": "'system'",
    "functools.reduce": "'x'",
    "builtins.open": "'x'",
    "_io.FileIO": "'x'",
    "logging.FileHandler": "'x'",
    "urllib.request.urlopen": "'x'",
    "socket.create_connection": "'x'",
    "ssl.get_server_certificate": "'x'",
    "copyreg.add_extension": "'x'",
    "sys.exit": "'x'",
    "torch.hub.load": "'x'",
    "torch._dynamo.guards.GuardBuilder.get": "'x'",
    "torch.utils.bottleneck.__main__.run_cprofile": "'x'",
    "numpy.f2py.crackfortran.myeval": "'1'",
    "types.CodeType": "'x'",
    "dill._dill._create_function": "'x'",
    "cloudpickle.cloudpickle._make_function": "'x'",
    "fickling.hook.remove_hook": "'x'",
    "builtins.getattr": "'x'",
    "safeload.api.load": "'x'",
}


@pytest.mark.parametrize("name", GADGETS)
@pytest.mark.parametrize("spelling", ["GLOBAL", "STACK_GLOBAL"])
def test_a_gadget_is_refused(refused: Refusal, name: str, spelling: str) -> None:
    module, _, attribute = name.rpartition(".")
    if spelling == "GLOBAL":
        named = f"GLOBAL {module} {attribute}\n"
    else:
        named = f"SHORT_BINUNICODE '{module}'\nSHORT_BINUNICODE '{attribute}'\nSTACK_GLOBAL\n"
    argument = GADGETS[name]
    opcode = "SHORT_BINBYTES" if argument.startswith("b") else "SHORT_BINUNICODE"
    refused(stream(f"{named}{opcode} {argument}\nTUPLE1\nREDUCE\n", 4), "rejected", "SL301", names=(name,))


CHAIN = """
GLOBAL builtins getattr
GLOBAL builtins __import__
BINUNICODE 'posix'
TUPLE1
REDUCE
BINUNICODE 'mkdir'
TUPLE2
REDUCE
BINUNICODE 'RAN'
TUPLE1
REDUCE
"""


def test_an_attribute_chain_names_each_step(refused: Refusal) -> None:
    refused(refused.armed(stream(CHAIN)), "rejected", "SL301", names=("builtins.getattr", "builtins.__import__"))


def test_what_was_computed_is_not_called(refused: Refusal) -> None:
    listing = "GLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\nBINUNICODE 'x'\nTUPLE1\nREDUCE\n"
    refused(stream(listing), "rejected", "SL303")


def test_a_chain_of_records_stays_records_under_inspect(refused: Refusal) -> None:
    listing = "GLOBAL my.module a\nEMPTY_TUPLE\nREDUCE\n" + "EMPTY_TUPLE\nREDUCE\n" * 20
    refused(stream(listing), "rejected", "SL301")


ALLOWED_NAMES_MISUSED = {  # name -> arguments that ask it for something else than a value of this file
    "rot13": ("_codecs encode", "BINUNICODE 'x'\nBINUNICODE 'rot13'\nTUPLE2", "SL304"),
    "codec-by-module": ("_codecs encode", "BINUNICODE 'x'\nBINUNICODE 'antigravity'\nTUPLE2", "SL304"),
    "codec-missing": ("_codecs encode", "BINUNICODE 'x'\nTUPLE1", "SL304"),
    "not-latin1": ("_codecs encode", "BINUNICODE '\\u20ac'\nBINUNICODE 'latin1'\nTUPLE2", "SL304"),
    "bytearray-of-n": ("builtins bytearray", "LONG4 1099511627776\nTUPLE1", "SL304"),
    "bytearray-of-list": ("builtins bytearray", "EMPTY_LIST\nTUPLE1", "SL304"),
    "bytearray-codec": ("builtins bytearray", "BINUNICODE 'x'\nBINUNICODE 'rot13'\nTUPLE2", "SL304"),
    "bytes-of-n": ("builtins bytes", "LONG4 1099511627776\nTUPLE1", "SL304"),
    "complex-of-text": ("builtins complex", "BINUNICODE '1'\nTUPLE1", "SL304"),
    "tensor-of-n": ("torch Tensor", "LONG4 1099511627776\nTUPLE1", "SL304"),
    "tensor-of-shape": ("torch Tensor", "LONG4 1048576\nLONG4 1048576\nTUPLE2", "SL304"),
    "storage-called": ("torch FloatStorage", "LONG4 1099511627776\nTUPLE1", "SL302"),
    "size-of-str": ("torch Size", "BINUNICODE 'x'\nTUPLE1", "SL304"),
    "device-of-junk": ("torch device", "BINUNICODE 'cuda:9999999999'\nTUPLE1", "SL304"),
    "range-of-str": ("builtins range", "BINUNICODE 'x'\nTUPLE1", "SL304"),
    "set-of-str": ("builtins set", "BINUNICODE 'x'\nTUPLE1", "SL304"),
    "ordered-dict-of-str": ("collections OrderedDict", "BINUNICODE 'x'\nTUPLE1", "SL304"),
    "counter-of-str": ("collections Counter", "BINUNICODE 'x'\nTUPLE1", "SL304"),
    "datetime-of-text": ("datetime datetime", "BINUNICODE 'x'\nTUPLE1", "SL304"),
    "datetime-out-of-range": ("datetime datetime", "SHORT_BINBYTES b'\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff'\nTUPLE1", "SL304"),
    "decimal-huge": ("decimal Decimal", "BINUNICODE '1e9999999999999999999999'\nTUPLE1", "SL304"),
    "fraction-zero": ("fractions Fraction", "BINUNICODE '1/0'\nTUPLE1", "SL304"),
    "uuid-of-text": ("uuid UUID", "BINUNICODE 'x'\nTUPLE1", "SL304"),
    "path-of-int": ("pathlib PosixPath", "BININT1 1\nTUPLE1", "SL304"),
    "namespace-with-args": ("argparse Namespace", "BININT1 1\nTUPLE1", "SL304"),
    "scalar-object": (
        "numpy._core.multiarray scalar",
        "GLOBAL numpy dtype\nBINUNICODE 'O'\nNEWFALSE\nNEWTRUE\nTUPLE3\nREDUCE\nSHORT_BINBYTES b'N.'\nTUPLE2",
        "SL409",
    ),
    "defaultdict-factory": ("collections defaultdict", "GLOBAL posix mkdir\nTUPLE1", "SL304"),
}


@pytest.mark.parametrize("name", ALLOWED_NAMES_MISUSED)
def test_an_allowed_name_takes_only_its_own_arguments(refused: Refusal, name: str) -> None:
    named, arguments, rule = ALLOWED_NAMES_MISUSED[name]
    refused(stream(f"GLOBAL {named}\n{arguments}\nREDUCE\n", 3), "rejected", rule)


def test_keyword_arguments_are_none_that_a_pickler_writes(refused: Refusal) -> None:
    listing = "GLOBAL collections OrderedDict\nEMPTY_TUPLE\nEMPTY_DICT\nBINUNICODE 'keys'\nBININT1 1\nSETITEM\nNEWOBJ_EX\n"
    refused(stream(listing, 4), "rejected", "SL304")


FROM_TYPE = "GLOBAL torch._tensor _rebuild_from_type_v2\nMARK\n{func}{cls}{args}{state}TUPLE\nREDUCE\n"
FUNCTIONS = {
    "payload": ("GLOBAL posix mkdir\n", "BINUNICODE 'RAN'\nTUPLE1\n", "SL301"),
    "not-a-tensor": ("GLOBAL collections OrderedDict\n", "EMPTY_TUPLE\n", "SL304"),
    "itself": ("GLOBAL torch._tensor _rebuild_from_type_v2\n", "EMPTY_TUPLE\n", "SL304"),
    "encode": ("GLOBAL _codecs encode\n", "BINUNICODE 'x'\nBINUNICODE 'rot13'\nTUPLE2\n", "SL304"),
    "computed": ("GLOBAL collections OrderedDict\nEMPTY_TUPLE\nREDUCE\n", "EMPTY_TUPLE\n", "SL304"),
    "no-arguments": ("GLOBAL torch._utils _rebuild_tensor_v2\n", "EMPTY_TUPLE\n", "SL304"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_rebuild_from_type_takes_no_chosen_function(refused: Refusal, name: str) -> None:
    func, args, rule = FUNCTIONS[name]
    listing = FROM_TYPE.format(func=func, cls="GLOBAL torch Tensor\n", args=args, state="NONE\n")
    refused(refused.armed(stream(listing)), "rejected", rule)


def test_rebuild_from_type_takes_no_unlisted_class(refused: Refusal) -> None:
    listing = FROM_TYPE.format(func="GLOBAL torch._utils _rebuild_tensor_v2\n", cls="GLOBAL my.module Tensor\n", args="EMPTY_TUPLE\n", state="NONE\n")
    refused(stream(listing), "rejected", "SL301", names=("my.module.Tensor",))


def test_a_reconstructor_makes_no_unlisted_class(refused: Refusal) -> None:
    listing = "GLOBAL copyreg _reconstructor\nGLOBAL antigravity fly\nGLOBAL builtins object\nNONE\nTUPLE3\nREDUCE\n"
    refused(stream(listing), "rejected", "SL301", names=("antigravity.fly",))


def test_a_reconstructor_with_another_base_makes_nothing(refused: Refusal) -> None:
    listing = "GLOBAL copyreg _reconstructor\nGLOBAL argparse Namespace\nGLOBAL builtins list\nEMPTY_LIST\nTUPLE3\nREDUCE\n"
    refused(stream(listing), "rejected", "SL304")


def test_a_callers_constructor_does_not_lift_a_denial(refused: Refusal) -> None:
    data = refused.armed(stream(SYSTEM))
    called: list[object] = []
    with pytest.raises(CheckpointError):
        watched.load(data, constructors={MKDIR: called.append})
    assert not called and not refused.trace.exists()


def test_a_payload_beside_good_tensors_spoils_the_file(refused: Refusal) -> None:
    listing = "EMPTY_LIST\nMARK\n" + vector("FloatStorage", "'0'", 6) + SYSTEM.replace("'RAN'", repr(str(refused.trace))) + "APPENDS\n"
    refused(archive(listing), "rejected", "SL301", names=(MKDIR,))
