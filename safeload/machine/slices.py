"""The lines of a listing become the few that explain one of them: for a finding, the name that is called and the arguments it is called with.

One pass, a bounded number of lines remembered (law 3); what lies further back than that is left out, and nothing is judged here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

import msgspec

from safeload.machine.listing import Line

SLICE_WINDOW = 50_000  # lines remembered on the way to a finding; names are remembered longer
SLICE_BEFORE = 8  # lines shown before a finding
MAX_FOLLOWED = 128  # lines followed backwards for one finding


def slice_for(lines: Iterable[Line], offset: int, *, before: int = SLICE_BEFORE) -> tuple[Line, ...]:
    """The line at `offset` and the few before it that made what it consumes: the callee's name, the arguments. Empty where no line starts there."""
    return slices_for(lines, (offset,), before=before).get(offset, ())


def slices_for(lines: Iterable[Line], offsets: Collection[int], *, before: int = SLICE_BEFORE) -> dict[int, tuple[Line, ...]]:
    """One slice for each of `offsets`, in one pass that remembers a bounded number of lines; `lines` is read no further than needed.

    Tuples and memo references are followed and not shown, since the line that uses them shows what is in them.
    """
    wanted = set(offsets)
    window: deque[Line] = deque(maxlen=SLICE_WINDOW)
    names: dict[int, Line] = {}
    found: dict[int, tuple[Line, ...]] = {}
    by_offset: dict[int, Line] = {}
    for line in lines:
        if len(window) == SLICE_WINDOW:
            oldest = window[0]
            by_offset.pop(oldest.offset, None)
        window.append(line)
        by_offset[line.offset] = line
        if line.effect == "lookup" and len(names) < SLICE_WINDOW:
            names[line.offset] = line
        if line.offset in wanted:
            found[line.offset] = _back(line, by_offset, names, before)
            if len(found) == len(wanted):
                break
    return found


def _back(last: Line, window: dict[int, Line], names: dict[int, Line], before: int) -> tuple[Line, ...]:
    """Follow `uses` backwards, breadth first, for at most `before` shown lines."""
    shown: dict[int, Line] = {}
    seen: set[int] = set()
    pending = deque(last.uses)
    while pending and len(shown) < before and len(seen) < MAX_FOLLOWED:
        offset = pending.popleft()
        line = window.get(offset) or names.get(offset)
        if line is None or offset in seen:
            continue
        seen.add(offset)
        pending.extend(line.uses)
        if line.effect not in ("container", "memo", "stack"):
            shown[offset] = msgspec.structs.replace(line, meaning="argument") if line.effect == "literal" else line
    return (*(shown[offset] for offset in sorted(shown)), last)
