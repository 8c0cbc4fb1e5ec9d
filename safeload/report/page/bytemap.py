"""The map of a file's bytes becomes a bar to scale, a legend, and the list behind it.

What belongs to nobody, and what two claim, stands out and is said in words.

Parts that are narrower than a thousandth of the bar are drawn together with their neighbours of the same kind; the list has all of them, up to `MAX_LISTED`.
"""

from __future__ import annotations

from safeload.report.extents import ByteMap, Extent, Owner
from safeload.report.layout import plural
from safeload.report.page.parts import code, folded, share, size, table, text

WIDTH = 1_000.0  # of the bar, in units of its own
NARROW = 1.0
LEAST = 3.0  # width of what must not be overlooked
MAX_LISTED = 300
LOUD = ("gap", "overlap")
WORDS: dict[Owner, str] = {
    "pickle": "pickles", "storage": "storages: the numbers", "record": "records of the format", "file": "files inside", "code": "code, which is not run",
    "unknown": "other members", "structure": "headers, directory, padding", "directory": "directory", "unread": "not read", "gap": "belongs to nobody",
    "overlap": "claimed twice",
}  # fmt: skip


def section(found: ByteMap) -> str:
    """The whole part of the page."""
    if not found.total:
        return '<p class="soft">The file has no bytes.</p>'
    sums: dict[Owner, tuple[int, int]] = {}
    for extent in found.extents:
        count, total = sums.get(extent.owner, (0, 0))
        sums[extent.owner] = (count + 1, total + extent.end - extent.start)
    loud = [extent for extent in found.extents if extent.owner in LOUD]
    parts = [_bar(found, loud)]
    if found.note:
        parts.append(f'<p class="soft small">The map is {text(found.note)}.</p>')
    parts += [f'<p class="alarm">{_alarm(extent)}</p>' for extent in loud[:10]]
    rows = [(_swatch(owner) + WORDS[owner], f"{count:,}", f"{total:,}", share(total, found.total)) for owner, (count, total) in sums.items()]
    parts.append(table(("owner", "parts", "bytes", "of the file"), rows, right=frozenset({1, 2, 3})))
    listed = [*loud, *(extent for extent in found.extents if extent.owner not in LOUD)][:MAX_LISTED]
    listed.sort(key=lambda extent: extent.start)
    body = table(
        ("from", "to", "bytes", "owner", "what"),
        [(_hex(each.start), _hex(each.end), f"{each.end - each.start:,}", _swatch(each.owner) + WORDS[each.owner], code(each.name, 300)) for each in listed],
        right=frozenset({0, 1, 2}),
    )
    if len(found.extents) == 1:
        return "\n".join(parts)
    rest = len(found.extents) - len(listed)
    more = f'<p class="soft small">and {plural(rest, "more part")}</p>' if rest else ""
    parts.append(folded(f"All {plural(len(found.extents), 'part')} in order", body + more))
    return "\n".join(parts)


def _bar(found: ByteMap, loud: list[Extent]) -> str:
    """Rectangles in units of `WIDTH`; loud ones again on top, and never too narrow to see."""
    scale = WIDTH / found.total
    shapes: list[str] = []
    for start, end, owner, name in _joined(found, NARROW / scale):
        x, width = start * scale, (end - start) * scale
        shapes.append(f'<rect class="f-{owner}" x="{x:.2f}" y="0" width="{max(width, 0.4):.2f}" height="46"><title>{name}</title></rect>')
    for extent in loud:
        x, width = extent.start * scale, max((extent.end - extent.start) * scale, LEAST)
        x = min(x, WIDTH - width)
        title = text(f"{WORDS[extent.owner]}: {extent.end - extent.start:,} bytes at {extent.start:#x}")
        shapes.append(f'<rect class="f-{extent.owner}" x="{x:.2f}" y="0" width="{width:.2f}" height="46"><title>{title}</title></rect>')
    words = "; ".join(f"{WORDS[owner]}" for owner in dict.fromkeys(extent.owner for extent in found.extents))
    label = text(f"{found.total:,} bytes, from the first on the left to the last: {words}")
    return f'<svg class="bar" viewBox="0 0 1000 46" preserveAspectRatio="none" role="img" aria-label="{label}">{"".join(shapes)}</svg>{_scale(found.total)}'


def _scale(total: int) -> str:
    """The first and the last byte, below the ends of the bar."""
    return f'<div class="scale soft small"><span>0</span><span>{size(total // 2)}</span><span>{size(total)}</span></div>'


def _joined(found: ByteMap, narrow: float) -> list[tuple[int, int, Owner, str]]:
    """What is drawn: narrow neighbours in one, the owner of most of its bytes giving the colour."""
    drawn: list[tuple[int, int, Owner, str]] = []
    run: list[Extent] = []

    def close() -> None:
        if not run:
            return
        sums: dict[Owner, int] = {}
        for extent in run:
            sums[extent.owner] = sums.get(extent.owner, 0) + extent.end - extent.start
        owner = "pickle" if "pickle" in sums else max(sums, key=lambda each: sums[each])
        title = f"{plural(len(run), 'small part')}, {run[-1].end - run[0].start:,} bytes at {run[0].start:#x}" if len(run) > 1 else _title(run[0])
        drawn.append((run[0].start, run[-1].end, owner, text(title)))
        run.clear()

    for extent in found.extents:
        if extent.owner == "overlap":
            continue
        wide = extent.end - extent.start >= narrow
        if wide or (run and extent.end - run[0].start >= narrow):
            if wide:
                close()
                drawn.append((extent.start, extent.end, extent.owner, text(_title(extent))))
                continue
            run.append(extent)
            close()
        else:
            run.append(extent)
    close()
    return drawn


def _title(extent: Extent) -> str:
    return f"{extent.name or WORDS[extent.owner]}: {extent.end - extent.start:,} bytes at {extent.start:#x}"


def _alarm(extent: Extent) -> str:
    where = f"{_hex(extent.start)} to {_hex(extent.end)}"
    if extent.owner == "overlap":
        return f"Claimed twice: {size(extent.end - extent.start)}, from {where}, by {code(extent.name, 300)}. Two readers can see two different members there."
    return f"Belongs to nobody: {size(extent.end - extent.start)}, from {where}. Something can hide there from one reader and not from another."


def _swatch(owner: str) -> str:
    return f'<svg class="swatch" viewBox="0 0 12 12" aria-hidden="true"><rect class="f-{owner}" width="12" height="12" rx="3"/></svg>'


def _hex(offset: int) -> str:
    return f'<span class="mono">{offset:#x}</span>'
