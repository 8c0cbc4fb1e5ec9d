"""Goals become a picture: one bar for each on a logarithmic scale, 1 being the goal itself, so a bar that passes the line has met it. SVG, written here."""

from __future__ import annotations

from math import log10

from .results import Result, Verdict

WIDTH, LEFT, RIGHT, LINE = 1_100, 560, 80, 22  # pixels
DECADES = 2.0  # to either side of the goal
MET, MISSED, INK = "#1b7f5c", "#c2571a", "#222222"


def plot(results: list[Result]) -> str:
    """The whole SVG document."""
    bars = [(result.title, each) for result in results for each in result.verdicts]
    height = LINE * (len(bars) + 2)
    middle = _x(0.0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{middle}" y="14" text-anchor="middle" fill="{INK}">found ÷ aimed at (1 = the goal; logarithmic; to the right is better)</text>',
    ]
    for power in (-2, -1, 0, 1, 2):
        x = _x(float(power))
        parts.append(f'<line x1="{x}" x2="{x}" y1="20" y2="{height - LINE}" stroke="#999" stroke-width="{2 if not power else 0.5}"/>')
        parts.append(f'<text x="{x}" y="{height - 8}" text-anchor="middle" fill="{INK}">{10.0**power:g}</text>')
    for number, (title, each) in enumerate(bars):
        y = 24 + number * LINE
        end = _x(max(min(log10(_score(each)), DECADES), -DECADES))
        start, width = min(middle, end), abs(end - middle)
        parts.append(f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end" fill="{INK}">{_escaped(f"{title}: {each.text}")[:118]}</text>')
        parts.append(f'<rect x="{start:.1f}" y="{y}" width="{max(width, 1):.1f}" height="{LINE - 8}" fill="{MET if each.met else MISSED}"/>')
    return "\n".join([*parts, "</svg>\n"])


def _score(each: Verdict) -> float:
    if not each.found or not each.bound:
        return 10**DECADES
    return each.found / each.bound if each.higher_is_better else each.bound / each.found


def _x(power: float) -> float:
    return LEFT + (power + DECADES) / (2 * DECADES) * (WIDTH - LEFT - RIGHT)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
