"""One function of another library becomes one of ours, under every name by which loaded modules hold it; and back.

`from x import f` binds at import, so the module that defines `f` is not enough: every loaded module is looked through for that very function. Modules that are
imported later take ours from where `f` is defined.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary

_gone: WeakKeyDictionary[Callable[..., Any], Callable[..., Any]] = WeakKeyDictionary()  # ours that were put back -> what each stood for


def replace(original: Callable[..., Any], ours: Callable[..., Any], *, but: Iterable[str] = ()) -> None:
    """Put `ours` wherever a loaded module has `original`, except in the modules `but`."""
    left = set(but)
    for name, module in list(sys.modules.items()):
        names = vars(module) if name not in left and isinstance(module, type(sys)) else {}
        for attribute in [each for each, value in list(names.items()) if value is original]:
            names[attribute] = ours


def put_back(original: Callable[..., Any], ours: Callable[..., Any]) -> None:
    """The reverse. Where `original` is a replacement that has gone in the meantime, what that one stood for."""
    _gone[ours] = original
    while original in _gone:
        original = _gone[original]
    replace(ours, original)
