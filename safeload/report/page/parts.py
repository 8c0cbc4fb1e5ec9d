"""Small pieces of the page: text, tables, badges. Whatever comes from a file becomes text here, and nowhere else (`escape.markup`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from safeload.escape import markup

LIMIT = 4_096  # characters of one text
NUMBER = ' class="num"'
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def text(value: str, limit: int = LIMIT) -> str:
    """Plain text."""
    return markup(value, limit)


def code(value: str | None, limit: int = LIMIT) -> str:
    """A name, a path, a member: monospaced, and with a direction of its own."""
    return f"<code>{markup(value, limit)}</code>" if value else ""


def badge(kind: str, shown: str | None = None) -> str:
    """A word in a coloured frame; `kind` is one of ours: a verdict, a level, a decision."""
    return f'<span class="badge {kind}">{shown or kind}</span>'


def size(count: int) -> str:
    """`276 bytes`, `1.4 GiB`."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    if not unit:
        return f"{count:,} {'byte' if count == 1 else 'bytes'}"
    return f"{value:.3g} {UNITS[unit]}" if value < 100 else f"{value:,.0f} {UNITS[unit]}"


def share(part: int, whole: int) -> str:
    """`12.5 %`; what is there and rounds to nothing is `< 0.1 %`."""
    percent = 100 * part / whole if whole else 0.0
    return "< 0.1 %" if part and percent < 0.1 else f"{percent:.1f} %"


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, right: frozenset[int] = frozenset(), wide: frozenset[int] = frozenset(), stacked: bool = False
) -> str:
    """A table of ready cells. Columns in `right` hold numbers, those in `wide` sentences; a `stacked` one becomes a list on a narrow screen."""

    def cell(column: int, value: str) -> str:
        kind = NUMBER if column in right else ' class="wide"' if column in wide else ""
        label = f' data-head="{heads[column]}"' if stacked else ""
        return f"<td{kind}{label}>{value}</td>"

    head = "".join(f"<th{NUMBER if column in right else ''}>{name}</th>" for column, name in enumerate(heads))
    body = "\n".join("<tr>" + "".join(cell(column, value) for column, value in enumerate(row)) + "</tr>" for row in rows)
    kind = ' class="stacked"' if stacked else ""
    return f'<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Names and ready values, in pairs."""
    return '<dl class="facts">' + "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows if value) + "</dl>"


def folded(title: str, body: str, *, open_: bool = False) -> str:
    """Something to unfold, without a script."""
    return f"<details{' open' if open_ else ''}><summary>{title}</summary>\n{body}\n</details>"


def lines(rows: Iterable[str], *, wrap: bool = False) -> str:
    """Lines of text as they stand, escaped one by one."""
    return ('<pre class="wrap">' if wrap else "<pre>") + "\n".join(markup(row, LIMIT) for row in rows) + "</pre>"
