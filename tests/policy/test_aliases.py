"""One spelling per name: what unpicklers rename, and what moved. The standard library's own table is the oracle."""

from __future__ import annotations

import _compat_pickle

import pytest

from safeload.policy.aliases import MOVED_PACKAGES, RENAMED, RENAMED_MODULES, canonical, canonical_name, canonical_package
from safeload.policy.resolve import load_policy

# Python 2 modules that no policy has a word about; the map leaves them alone, so they stay as they are written and are not listed anywhere.
LEFT_OUT = {old for old, new in _compat_pickle.IMPORT_MAPPING.items() if new.partition(".")[0] == "tkinter"}


def test_names_are_renamed_as_cpython_renames_them() -> None:
    for (module, name), (new_module, new_name) in _compat_pickle.NAME_MAPPING.items():
        assert canonical(module, name) == f"{new_module}.{new_name}"


def test_modules_are_renamed_as_cpython_renames_them() -> None:
    for module, new in _compat_pickle.IMPORT_MAPPING.items():
        expected = module if module in LEFT_OUT else new
        assert canonical(module, "SomethingElse") == f"{expected}.SomethingElse"


def test_nothing_is_renamed_that_cpython_does_not_rename() -> None:
    assert {(module, name) for module, name in RENAMED} == set(_compat_pickle.NAME_MAPPING)
    assert set(RENAMED_MODULES) == set(_compat_pickle.IMPORT_MAPPING) - LEFT_OUT


@pytest.mark.parametrize(
    ("module", "name", "expected"),
    [
        ("__builtin__", "set", "builtins.set"),
        ("__builtin__", "xrange", "builtins.range"),
        ("__builtin__", "unicode", "builtins.str"),
        ("__builtin__", "eval.__call__", "builtins.eval.__call__"),
        ("copy_reg", "_reconstructor", "copyreg._reconstructor"),
        ("cPickle", "loads", "pickle.loads"),
        ("commands", "getoutput", "subprocess.getoutput"),
        ("numpy.core.multiarray", "scalar", "numpy._core.multiarray.scalar"),
        ("numpy._core.multiarray", "scalar", "numpy._core.multiarray.scalar"),
        ("numpy", "core.multiarray.scalar", "numpy._core.multiarray.scalar"),
        ("torch.tensor", "_rebuild_from_type_v2", "torch._tensor._rebuild_from_type_v2"),
        ("torch", "tensor", "torch.tensor"),
        ("pathlib._local", "PosixPath", "pathlib.PosixPath"),
        # not aliases: no unpickler renames these
        ("posix", "system", "posix.system"),
        ("_io", "FileIO", "_io.FileIO"),
        ("_operator", "attrgetter", "_operator.attrgetter"),
        # near misses
        ("numpy.corelib", "scalar", "numpy.corelib.scalar"),
        ("__builtin__x", "set", "__builtin__x.set"),
        ("exceptions", "eval", "exceptions.eval"),
        ("UserDict", "OrderedDict", "collections.OrderedDict"),
        ("", "", "."),
    ],
)
def test_canonical(module: str, name: str, expected: str) -> None:
    assert canonical(module, name) == expected


def test_canonical_is_a_fixed_point() -> None:
    names = [canonical(module, name) for module, name in RENAMED] + [f"{new}x" for new in MOVED_PACKAGES.values()]
    for name in names:
        again = canonical_name(name)
        assert again == name or name == "dbm.whichdb"  # Python 2's dbm became dbm.ndbm, and Python 3 has a dbm of its own


def test_a_policy_and_a_file_spell_alike() -> None:
    assert canonical_name("numpy.core.multiarray.scalar") == canonical("numpy.core.multiarray", "scalar")
    assert canonical_name("__builtin__.long") == canonical("__builtin__", "long") == "builtins.int"


@pytest.mark.parametrize(
    ("package", "better"),
    [("commands", "subprocess"), ("__builtin__", "builtins"), ("numpy.core", "numpy._core"), ("numpy.core.numeric", "numpy._core.numeric"),
     ("dbm", None), ("numpy", None), ("torch", None), ("torch.tensor", "torch._tensor"), ("os", None), ("pathlib._local", "pathlib")],
)  # fmt: skip
def test_patterns_in_an_old_spelling_would_match_nothing(package: str, better: str | None) -> None:
    assert canonical_package(package) == better


# A module under its second name: whoever denies the first denies the second, since `canonical` does not bring them together.
DOORS = [
    ("os", "posix"), ("os", "nt"), ("io", "_io"), ("operator", "_operator"), ("functools", "_functools"), ("pickle", "_pickle"), ("socket", "_socket"),
    ("ssl", "_ssl"), ("ctypes", "_ctypes"), ("marshal", "_marshal"), ("sqlite3", "_sqlite3"), ("subprocess", "_posixsubprocess"),
    ("multiprocessing", "_multiprocessing"), ("importlib", "_frozen_importlib"), ("imp", "_imp"),
]  # fmt: skip


@pytest.mark.parametrize(("front", "back"), DOORS)
def test_both_doors_are_shut(front: str, back: str) -> None:
    danger = load_policy("known-danger")
    if f"{front}." in danger.deny_prefix:
        assert f"{back}." in danger.deny_prefix
        return
    denied = [name.removeprefix(f"{front}.") for name in danger.deny_exact if name.startswith(f"{front}.")]
    through = [name for name in denied if danger.decide(f"{back}.{name}").entry is None]
    assert denied
    assert through == []


def test_renaming_never_opens_what_is_shut() -> None:
    """If the spelling in the file is denied, so is the one that decides."""
    danger = load_policy("known-danger")
    for module, name in [*RENAMED, *((module, "x") for module in RENAMED_MODULES)]:
        if danger.decide(f"{module}.{name}").entry is not None:
            assert danger.decide(canonical(module, name)).entry is not None, (module, name)
