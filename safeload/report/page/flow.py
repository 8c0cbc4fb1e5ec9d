"""The names in a file become a picture of where they lead: name, use, capability, policy entry. Red is denied, amber kept as a record, green permitted.

Each name is as wide as any other, however often it occurs, so that a single refused one among thousands of harmless calls is a visible line; the names of one
kind that there is no room for are drawn as one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from safeload.escape import escape
from safeload.findings import GlobalUse
from safeload.report.layout import cut_middle, plural
from safeload.report.page.parts import text

MAX_NAMES = 22  # drawn one by one; denied ones first
UNIT = 15.0  # height of one name
GAP = 7.0
TOP = 34.0
COLUMNS = (262.0, 392.0, 590.0, 806.0)  # left edges of the bars of each column
BAR = 9.0
WIDTH = 1_010
HEADS = ("name", "used as", "could do", "decided by")
ORDER = {"denied": 0, "opaque": 1, "allowed": 2}
CHARACTERS = (36, 16, 26, 28)  # of a label in each column

Decision = str


class Path(msgspec.Struct, frozen=True):
    """One way from a name to an entry, and how wide it is."""

    name: str
    use: str
    capability: str
    entry: str
    decision: Decision
    weight: float

    def at(self, column: int) -> str:
        """Where it passes through a column."""
        return (self.name, self.use, self.capability, self.entry)[column]


class Node(msgspec.Struct):
    """One bar: where it stands, and how much of each side is taken. The one thing here that changes."""

    label: str
    decision: Decision  # mixed, where several meet
    top: float
    height: float
    out: float = 0.0
    into: float = 0.0


def section(uses: Iterable[GlobalUse]) -> str:
    """The picture, and in words what it shows."""
    uses = list(uses)
    if not uses:
        return '<p class="soft">The file names nothing: there is nothing that could be imported.</p>'
    paths = _paths(uses)
    columns = [_nodes(paths, column) for column in range(4)]
    height = max(node.top + node.height for column in columns for node in column.values()) + 12
    shapes = [f'<text class="head" x="{_head_x(number):.0f}" y="16"{_anchor(number)}>{head}</text>' for number, head in enumerate(HEADS)]
    for number in range(3):
        shapes += _links(paths, columns, number)
    for number, nodes in enumerate(columns):
        for node in nodes.values():
            shapes += _bar(node, number)
    counts = {kind: sum(use.decision == kind for use in uses) for kind in ORDER}
    words = f"{counts['denied']:,} denied, {counts['opaque']:,} kept as records, {counts['allowed']:,} permitted"
    label = text(f"{plural(len(uses), 'name')}: {words}")
    drawing = f'<svg class="flow" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{label}">{"".join(shapes)}</svg>'
    return f'<p>{label}.</p>\n<div class="scroll">{drawing}</div>'


def _paths(uses: list[GlobalUse]) -> list[Path]:
    """Denied names first, then records, then permitted ones, each kind by how often it occurs."""
    uses = sorted(uses, key=lambda use: (ORDER[use.decision], -use.count, use.global_name))
    paths: list[Path] = []
    rest: dict[tuple[str, str, str, Decision], int] = {}
    for number, use in enumerate(uses):
        ways = use.uses or ("reference",)
        times = f" ×{use.count:,}" if use.count > 1 else ""
        name = cut_middle(escape(use.global_name, 400), CHARACTERS[0] - len(times)) + times
        for way in ways:
            if number < MAX_NAMES:
                paths.append(Path(f"{number}\n{name}", way, use.capability, _entry(use), use.decision, 1 / len(ways)))
            elif way == ways[0]:
                key = (way, use.capability, _entry(use), use.decision)
                rest[key] = rest.get(key, 0) + 1
    for number, ((way, capability, entry, decision), count) in enumerate(rest.items()):
        what = {"denied": "denied", "opaque": "kept", "allowed": "permitted"}[decision]
        paths.append(Path(f"rest {number}\nand {count:,} more {what}", way, capability, entry, decision, 1 + math.log2(count)))
    return paths


def _entry(use: GlobalUse) -> str:
    return f"{use.entry}\n{use.policy or ''}" if use.entry else "no entry"


def _nodes(paths: list[Path], column: int) -> dict[str, Node]:
    """The bars of one column from top to bottom, in the order in which the paths first meet them."""
    weights: dict[str, float] = {}
    decisions: dict[str, set[Decision]] = {}
    for path in paths:
        key = path.at(column)
        weights[key] = weights.get(key, 0.0) + path.weight
        decisions.setdefault(key, set()).add(path.decision)
    nodes: dict[str, Node] = {}
    top = TOP
    for key, weight in weights.items():
        found = decisions[key]
        node = Node(_label(key, column), next(iter(found)) if len(found) == 1 else "mixed", top, max(weight * UNIT, 4.0))
        nodes[key] = node
        top += max(node.height, UNIT) + GAP
    return nodes


def _label(key: str, column: int) -> str:
    """A name stands behind its number, an entry in front of its policy: the keys are distinct where the labels are not."""
    return key.partition("\n")[2 if column == 0 else 0]


def _links(paths: list[Path], columns: list[dict[str, Node]], number: int) -> list[str]:
    """Bands from one column to the next, those of one decision between two bars in one."""
    bands: dict[tuple[str, str, Decision], float] = {}
    for path in paths:
        key = (path.at(number), path.at(number + 1), path.decision)
        bands[key] = bands.get(key, 0.0) + path.weight
    shapes: list[str] = []
    left, right = COLUMNS[number] + BAR, COLUMNS[number + 1]
    middle = (left + right) / 2
    for (start, end, decision), weight in bands.items():
        source, target, width = columns[number][start], columns[number + 1][end], weight * UNIT
        y1, y2 = source.top + source.out, target.top + target.into
        source.out += width
        target.into += width
        shapes.append(
            f'<path class="l-{decision}" d="M{left:.1f} {y1:.1f}C{middle:.1f} {y1:.1f} {middle:.1f} {y2:.1f} {right:.1f} {y2:.1f}'
            f'L{right:.1f} {y2 + width:.1f}C{middle:.1f} {y2 + width:.1f} {middle:.1f} {y1 + width:.1f} {left:.1f} {y1 + width:.1f}Z"/>'
        )
    return shapes


def _bar(node: Node, column: int) -> list[str]:
    """A bar and its label: in front of it in the first column, behind it in the others."""
    x = COLUMNS[column]
    at = x - 8 if column == 0 else x + BAR + 6
    style = "name" if column == 0 else "name halo"
    shown = text(cut_middle(node.label, CHARACTERS[column] + 2), 200)
    return [
        f'<rect class="n-{node.decision}" x="{x:.0f}" y="{node.top:.1f}" width="{BAR:.0f}" height="{node.height:.1f}" rx="2"/>',
        f'<text class="{style}" x="{at:.0f}" y="{node.top + node.height / 2 + 4:.1f}"{_anchor(column)}>{shown}</text>',
    ]


def _anchor(column: int) -> str:
    return ' text-anchor="end"' if column == 0 else ""


def _head_x(column: int) -> float:
    return COLUMNS[0] - 8 if column == 0 else COLUMNS[column]
