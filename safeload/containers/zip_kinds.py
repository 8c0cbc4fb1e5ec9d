"""The names in a zip become the kind of archive that it is, where that is not a `torch.save` archive.

One visible table, asked in order. Kinds with a format are read; of the others the members are judged and loaded, and the hint says what can
be done with such a file where none can be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

Names = frozenset[str]
NPY_SUFFIX = ".npy"


class ZipKind(msgspec.Struct, frozen=True):
    """One kind of archive: what it is, what to do with it, and by which names it is known. `format` None: not read."""

    what: str
    hint: str
    test: Callable[[Names], bool]
    format: Literal["torch.script", "torch.package", "torch.export"] | None = None


def _any_starts(prefix: str) -> Callable[[Names], bool]:
    return lambda names: any(name.startswith(prefix) for name in names)


def is_npz(names: Iterable[str]) -> bool:
    """Are these the members of a numpy .npz archive: nothing but .npy files?"""
    names = list(names)
    return bool(names) and all(name.endswith(NPY_SUFFIX) for name in names)


PACKAGE_RECORDS = {".data/extern_modules", ".data/python_version"}  # the first by every release, the second since 1.10
_SCRIPT = "load it with policy='inspect'"

INSIDE: tuple[ZipKind, ...] = (
    ZipKind("a TorchScript archive (torch.jit.save)", _SCRIPT, lambda names: "constants.pkl" in names, "torch.script"),
    ZipKind("a TorchScript archive of torch 1.0 to 1.2", _SCRIPT, lambda names: "model.json" in names, "torch.script"),
    ZipKind("an archive with code of TorchScript", _SCRIPT, _any_starts("code/"), "torch.script"),
    ZipKind("a torch.package archive", _SCRIPT, lambda names: not names.isdisjoint(PACKAGE_RECORDS), "torch.package"),
    ZipKind("a torch.export archive (.pt2)", "", lambda names: not names.isdisjoint({"archive_format", "archive_version"}), "torch.export"),
)
"""By the names below the one top folder."""

OUTSIDE: tuple[ZipKind, ...] = (
    ZipKind("a torch.export archive of torch 2.7 or older", "", lambda names: "serialized_exported_program.json" in names, "torch.export"),
    ZipKind("a Stable-Baselines3 archive", "it has no .pth member", lambda names: "_stable_baselines3_version" in names),
    ZipKind("a TorchServe model archive (.mar)", "it has no .pt member", _any_starts("MAR-INF/")),
    ZipKind("a Keras archive (.keras)", "load it with Keras", lambda names: "model.weights.h5" in names),
)
"""By all names as they stand."""


def kind_of(names: list[str], folder: str) -> tuple[ZipKind, str] | None:
    """The kind of zip that has these `names`, and the folder that it stands in (empty: none); None where nothing marks it. `folder` is the first name's."""
    if folder.endswith("/"):
        inside = frozenset(name[len(folder) :] for name in names if name.startswith(folder))
        for kind in INSIDE:
            if kind.test(inside):
                return kind, folder
    outside = frozenset(names)
    for kind in OUTSIDE:
        if kind.test(outside):
            return kind, ""
    return None
