"""Names that are computed, swapped, hidden in the memo or spelt oddly: what was on our own stack decides, letter by letter."""

from __future__ import annotations

import pytest

from safeload.limits import DEFAULT_LIMITS

from .hostile import Refusal, stream

NAMED = "SHORT_BINUNICODE 'posix'\nSHORT_BINUNICODE 'mkdir'\nSTACK_GLOBAL\nBINUNICODE 'RAN'\nTUPLE1\nREDUCE\n"
DECOYS = "SHORT_BINUNICODE 'collections'\nPOP\nSHORT_BINUNICODE 'OrderedDict'\nPOP\n"

LOOKUPS = {  # how the two words come onto the stack; look-back scanners take the decoys
    "plain": NAMED,
    "decoys-between": NAMED.replace("STACK_GLOBAL", DECOYS + "STACK_GLOBAL"),
    "decoys-in-memo": "SHORT_BINUNICODE 'collections'\nMEMOIZE\nPOP\n" + NAMED.replace("STACK_GLOBAL", "MEMOIZE\nSTACK_GLOBAL"),
    "from-memo": "SHORT_BINUNICODE 'mkdir'\nMEMOIZE\nPOP\nSHORT_BINUNICODE 'posix'\nBINGET 0\nSTACK_GLOBAL\nBINUNICODE 'RAN'\nTUPLE1\nREDUCE\n",
    "slot-redefined": "SHORT_BINUNICODE 'json'\nBINPUT 3\nPOP\n"
    "SHORT_BINUNICODE 'posix'\nBINPUT 3\nPOP\nBINGET 3\nSHORT_BINUNICODE 'mkdir'\nSTACK_GLOBAL\nBINUNICODE 'RAN'\nTUPLE1\nREDUCE\n",
    "memoize-after-put": "SHORT_BINUNICODE 'posix'\nBINPUT 0\nMEMOIZE\n"
    "POP\nBINGET 1\nSHORT_BINUNICODE 'mkdir'\nSTACK_GLOBAL\nBINUNICODE 'RAN'\nTUPLE1\nREDUCE\n",
    "slots-out-of-order": "SHORT_BINUNICODE 'posix'\nLONG_BINPUT 70000\nSHORT_BINUNICODE 'mkdir'\nPUT 5\nSTACK_GLOBAL\nBINUNICODE 'RAN'\nTUPLE1\nREDUCE\n",
    "dup": "SHORT_BINUNICODE 'posix'\nDUP\nPOP\nSHORT_BINUNICODE 'mkdir'\nSTACK_GLOBAL\nBINUNICODE 'RAN'\nTUPLE1\nREDUCE\n",
    "8-bit-strings": NAMED.replace("SHORT_BINUNICODE", "SHORT_BINSTRING"),
    "python2-string": "STRING 'posix'\nSTRING 'mkdir'\nSTACK_GLOBAL\nBINUNICODE 'RAN'\nTUPLE1\nREDUCE\n",
    "escaped-string": "STRING b\"'p\\\\x6fsix'\"\nUNICODE b'mk\\\\u0064ir'\nSTACK_GLOBAL\nBINUNICODE 'RAN'\nTUPLE1\nREDUCE\n",
    "mixed": "UNICODE 'posix'\nBINUNICODE8 'mkdir'\nSTACK_GLOBAL\nBINUNICODE 'RAN'\nTUPLE1\nREDUCE\n",
    "through-a-mark": "MARK\nSHORT_BINUNICODE 'posix'\nSHORT_BINUNICODE 'mkdir'\nSTACK_GLOBAL\nBINUNICODE 'RAN'\nOBJ\n",
}


@pytest.mark.parametrize("name", LOOKUPS)
def test_the_words_on_the_stack_decide(refused: Refusal, name: str) -> None:
    refused(refused.armed(stream(LOOKUPS[name], 4)), "rejected", "SL301", names=("posix.mkdir",))


def test_the_first_opcode_counts(refused: Refusal) -> None:
    refused(refused.armed(stream(LOOKUPS["plain"], None)), "rejected", "SL301", names=("posix.mkdir",))


NOT_TEXT = {
    "computed": "GLOBAL builtins str\nEMPTY_TUPLE\nREDUCE\nSHORT_BINUNICODE 'mkdir'\n",
    "bytes": "SHORT_BINBYTES b'posix'\nSHORT_BINUNICODE 'mkdir'\n",
    "int": "SHORT_BINUNICODE 'posix'\nBININT1 1\n",
    "tuple": "SHORT_BINUNICODE 'posix'\nSHORT_BINUNICODE 'mkdir'\nTUPLE1\n",
    "none": "NONE\nSHORT_BINUNICODE 'mkdir'\n",
    "one-word": "SHORT_BINUNICODE 'posix'\n",
    "across-a-mark": "SHORT_BINUNICODE 'posix'\nMARK\nSHORT_BINUNICODE 'mkdir'\n",
    "global": "GLOBAL collections OrderedDict\nSHORT_BINUNICODE 'mkdir'\n",
}


@pytest.mark.parametrize("name", NOT_TEXT)
def test_a_name_is_two_strings(refused: Refusal, name: str) -> None:
    refused(stream(NOT_TEXT[name] + "STACK_GLOBAL\n", 4), "rejected", "SL208")


def test_a_name_on_an_empty_stack(refused: Refusal) -> None:
    refused(b"\x93", "rejected", "SL208")
    refused(b"\x93.", "rejected", "SL208")


MISSES = {
    "get": "GET 7\n",
    "binget": "BINGET 7\n",
    "long-binget": "LONG_BINGET 70000\n",
    "negative-put": "NONE\nPUT b'-1'\n",
    "negative-get": "NONE\nPUT 1\nPOP\nGET b'-1'\n",
}


@pytest.mark.parametrize("name", MISSES)
def test_the_memo_holds_what_was_put(refused: Refusal, name: str) -> None:
    refused(stream(MISSES[name]), "inconclusive", "SL201")


SPELLINGS = {  # (module, name) that other tools let through for an allowed neighbour
    "dotted": ("collections", "OrderedDict.fromkeys.__func__"),
    "dotted-class": ("collections", "OrderedDict.__class__"),
    "re-exported": ("torch", "os.system"),
    "dotted-builtins": ("builtins", "eval.__call__"),
    "submodule": ("asyncio.unix_events", "_UnixSubprocessTransport._start"),
    "numpy-builtins": ("numpy", "__builtins__"),
    "dunder": ("torch.nn", "__dict__"),
    "homoglyph": ("c\u043ellections", "OrderedDict"),
    "not-nfc": ("collections", "O\u0301rderedDict"),
    "nul": ("collections", "OrderedDict\0"),
    "space": ("collections", " OrderedDict"),
    "case": ("Collections", "OrderedDict"),
    "empty-module": ("", "OrderedDict"),
    "empty-name": ("collections", ""),
    "dot-moved": ("torch._utils._rebuild_tensor_v2", "x"),
    "surrogate": ("collections", "\ud800"),
    "comment": ("collections#", "OrderedDict"),
    "prefix": ("torch", "FloatStorageX"),
    "wildcard": ("torch", "*"),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_name_is_exact(refused: Refusal, name: str) -> None:
    module, attribute = SPELLINGS[name]
    report = refused(stream(f"BINUNICODE {module!a}\nBINUNICODE {attribute!a}\nSTACK_GLOBAL\nEMPTY_TUPLE\nREDUCE\n", 4), "rejected", "SL301")
    assert report.globals[0].decision == "denied"


def test_a_dot_does_not_move_between_module_and_name(refused: Refusal) -> None:
    """`("torch", "_utils._rebuild_tensor_v2")` joins to an allowed name, and another unpickler walks attributes for it: a different lookup."""
    refused.inert(stream("BINUNICODE 'torch'\nBINUNICODE '_utils._rebuild_tensor_v2'\nSTACK_GLOBAL\nEMPTY_TUPLE\nREDUCE\n", 4))
    refused(stream("BINUNICODE 'torch'\nBINUNICODE '_utils._rebuild_tensor_v2'\nSTACK_GLOBAL\nEMPTY_TUPLE\nREDUCE\n", 4), "rejected")


EXTENSIONS = {"EXT1": "EXT1 1\n", "EXT2": "EXT2 700\n", "EXT4": "EXT4 70000\n", "EXT4-negative": "EXT4 -1\n", "EXT1-zero": "EXT1 0\n"}


@pytest.mark.parametrize("name", EXTENSIONS)
def test_names_by_number_are_refused(refused: Refusal, name: str) -> None:
    refused(stream(EXTENSIONS[name] + "EMPTY_TUPLE\nREDUCE\n"), "rejected", "SL203")


def test_a_registered_extension_is_named_and_refused(refused: Refusal) -> None:
    register = "GLOBAL copyreg add_extension\nBINUNICODE 'posix'\nBINUNICODE 'mkdir'\nBININT1 9\nTUPLE3\nREDUCE\nPOP\n"
    refused(stream(register + "EXT1 9\nBINUNICODE 'RAN'\nTUPLE1\nREDUCE\n"), "rejected", "SL301", "SL203", names=("copyreg.add_extension",))


def test_buffers_from_outside_are_refused(refused: Refusal) -> None:
    refused(stream("NEXT_BUFFER\n", 5), "rejected", "SL203")
    refused(stream("NONE\nREADONLY_BUFFER\n", 5), "rejected", "SL203")


def test_a_name_is_not_endless(refused: Refusal) -> None:
    refused(stream(f"BINUNICODE '{'a' * 2000}'\nBINUNICODE 'b'\nSTACK_GLOBAL\n", 4), "inconclusive", "SL901")
    refused(stream(f"GLOBAL {'a' * 2000} b\n"), "inconclusive", "SL901")


def test_names_without_end_are_bounded(refused: Refusal) -> None:
    listing = "EMPTY_LIST\nMARK\n" + "".join(f"GLOBAL m n{number}\n" for number in range(200)) + "APPENDS\n"
    refused(stream(listing), "rejected", "SL901", limits=DEFAULT_LIMITS.replaced({"globals": 100}))
