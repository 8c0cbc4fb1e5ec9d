"""A `Reading` becomes, for the findings that will be shown, the few lines of the listing that lead to each.

Bounded (law 3): only as many findings as asked for, and no stream is followed further than `MAX_LISTED_BYTES` for the sake of a nicer report.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from safeload.errors import StreamError
from safeload.findings import Finding
from safeload.judge import Reading
from safeload.machine.listing import Line, listing
from safeload.machine.nodes import ObjectGraph
from safeload.machine.slices import slices_for

MAX_LISTED_BYTES = 4 << 20  # bytes of a stream; a listing makes about a million of them per second
LINES_BEFORE_BREAK = 4  # lines shown in front of the place where a stream breaks

Place = tuple[str | None, int]
Snippets = Mapping[Place, tuple[Line, ...]]


def snippets_of(reading: Reading, findings: Iterable[Finding]) -> dict[Place, tuple[Line, ...]]:
    """(member, offset) to the lines that explain it, for those findings that stand in a stream that was interpreted."""
    wanted = [finding for finding in findings if finding.offset is not None and finding.rule.startswith(("SL2", "SL3", "SL4"))]
    found: dict[Place, tuple[Line, ...]] = {}
    for member, data, graph in reading.graphs:
        mine = [finding for finding in wanted if (finding.member or "") == member and finding.offset is not None]
        offsets = {finding.offset for finding in mine if finding.offset is not None and graph.start <= finding.offset < graph.start + MAX_LISTED_BYTES}
        if not offsets:
            continue
        slices = slices_for(_lines(data, graph), offsets)
        for offset, lines in slices.items():
            found.setdefault((member or None, offset), lines)
        for finding in mine:
            place = (member or None, finding.offset or 0)
            if finding.rule.startswith("SL2") and finding.offset in offsets and len(found.get(place, ())) < 2:
                lines = _before(data, graph, finding.offset or 0)
                if lines:
                    found[place] = lines
    return found


def _lines(data: bytes, graph: ObjectGraph) -> Iterator[Line]:
    """The listing, up to where it breaks."""
    try:
        yield from listing(data, graph)
    except StreamError:
        return


def _before(data: bytes, graph: ObjectGraph, offset: int) -> tuple[Line, ...]:
    """The last lines up to `offset`, where a stream broke off."""
    last: deque[Line] = deque(maxlen=LINES_BEFORE_BREAK)
    for line in _lines(data, graph):
        if line.offset > offset:
            break
        last.append(line)
    return tuple(last)
