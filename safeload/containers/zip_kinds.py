"""The names in a zip become the name of what it is, where that is not a `torch.save` archive.

One visible table, asked in order. What it names is recognised and not read by this version (SL002); the hint says what can be done with it today.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

Names = frozenset[str]


def _any_starts(prefix: str) -> Callable[[Names], bool]:
    return lambda names: any(name.startswith(prefix) for name in names)


NPY_SUFFIX = ".npy"


def is_npz(names: Iterable[str]) -> bool:
    """Are these the members of a numpy .npz archive: nothing but .npy files?"""
    names = list(names)
    return bool(names) and all(name.endswith(NPY_SUFFIX) for name in names)


PACKAGE_RECORDS = {".data/extern_modules", ".data/python_version"}  # the first by every release, the second since 1.10

INSIDE: tuple[tuple[str, str, Callable[[Names], bool]], ...] = (
    ("a TorchScript archive (torch.jit.save)", "it holds code; save its state_dict() with torch.save", lambda names: "constants.pkl" in names),
    ("a TorchScript archive of torch 1.0 to 1.3", "it holds code; save its state_dict() with torch.save", lambda names: "model.json" in names),
    ("an archive with code of TorchScript", "it holds code; save its state_dict() with torch.save", _any_starts("code/")),
    ("a torch.package archive", "it holds code; save the weights with torch.save", lambda names: not names.isdisjoint(PACKAGE_RECORDS)),
    ("a torch.export archive (.pt2)", "save the weights with torch.save", lambda names: not names.isdisjoint({"archive_format", "archive_version"})),
)
"""Name, hint and test, for the names below the one top folder."""

OUTSIDE: tuple[tuple[str, str, Callable[[Names], bool]], ...] = (
    ("a torch.export archive of torch 2.7 or older", "save the weights with torch.save", lambda names: "serialized_exported_program.json" in names),
    ("a Stable-Baselines3 archive", "extract its .pth members and open those", lambda names: "_stable_baselines3_version" in names),
    ("a TorchServe model archive (.mar)", "extract its .pt member and open that", _any_starts("MAR-INF/")),
    ("a Keras archive (.keras)", "load it with Keras", lambda names: "model.weights.h5" in names),
)
"""The same for all names as they stand."""


def other_zip(names: list[str], folder: str) -> tuple[str, str] | None:
    """Name and hint of the kind of zip that has these `names`, None where nothing marks it. `folder` is the first name's, slash included."""
    if folder.endswith("/"):
        inside = frozenset(name[len(folder) :] for name in names if name.startswith(folder))
        for kind, hint, test in INSIDE:
            if test(inside):
                return kind, hint
    outside = frozenset(names)
    for kind, hint, test in OUTSIDE:
        if test(outside):
            return kind, hint
    return None
