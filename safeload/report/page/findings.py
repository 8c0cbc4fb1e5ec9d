"""Findings become cards: what is wrong and where, the lines of the listing that lead there, what it means, and what in a policy would change it."""

from __future__ import annotations

from safeload.findings import BY_CODE, Finding
from safeload.machine.listing import Line
from safeload.report import sentences
from safeload.report.changes import change_of
from safeload.report.layout import plural
from safeload.report.page.parts import badge, code, folded, lines, table, text
from safeload.report.rule_facts import facts_of
from safeload.report.snippets import Snippets
from safeload.report.stanza import helping_policy, stanza
from safeload.report.text import consequence, shown_findings
from safeload.report.writer import Row, Run

MAX_CARDS = 40  # findings of one file with their listing
CARDS_OF_SEVERAL = 5  # findings of each of several files
MAX_LISTED = 500  # findings of one file in a table


def section(row: Row, run: Run) -> str:
    """All of one file's."""
    report = row.report
    cards = shown_findings(report, None)
    notes = [finding for finding in report.findings if finding.level != "error"]
    ordered = [*cards, *notes]
    if not ordered:
        return '<p class="soft">Nothing was found.</p>'
    room = CARDS_OF_SEVERAL if run.several and not run.show_all else MAX_CARDS
    snippets, bases = row.snippets(), dict(row.bases)
    parts = [_card(finding, row, run, snippets, bases) for finding in ordered[:room]]
    rest = ordered[room : room + MAX_LISTED]
    if rest:
        rows = [(badge(each.level), f"{each.rule} {text(each.name)}", text(each.message), code(sentences.place(each))) for each in rest]
        parts.append(folded(plural(len(rest), "more finding"), table(("level", "rule", "what", "where"), rows, wide=frozenset({2}))))
    left = max(len(ordered) - room - MAX_LISTED, 0) + report.suppressed_findings
    if left:
        parts.append(f'<p class="soft">and {plural(left, "more finding")}, for which there is no room here</p>')
    return "\n".join([*parts, *_advice(row)])


def _advice(row: Row) -> list[str]:
    """What would let the file as a whole through: a shipped policy that is made for it, and a policy that keeps all of its names as records."""
    report = row.report
    parts: list[str] = []
    other = helping_policy(report)
    if other is not None:
        what = "keeps every name that is not denied as an inert record" if other == "inspect" else "is made for such files"
        parts.append(f'<p class="small">The shipped policy <strong>{text(other)}</strong> {what}, and may accept the file.</p>')
    toml = stanza(report)
    if toml:
        parts.append(folded("A whole policy of your own that keeps these names as inert records, if you know where the file comes from", lines(toml)))
    return parts


def _card(finding: Finding, row: Row, run: Run, snippets: Snippets, bases: dict[str | None, int]) -> str:
    rule, facts = BY_CODE[finding.rule], facts_of(finding.rule)
    listing = snippets.get((finding.member, finding.offset if finding.offset is not None else -1), ())
    capability = f" {badge('plain', text(finding.capability))}" if finding.capability is not None else ""
    waived = f" {badge('note', 'waived')}" if finding.waived is not None else ""
    parts = [
        f'<article class="finding {finding.level}">',
        f'<h3>{badge(finding.level)} {text(rule.name)} <span class="soft small">{rule.code}</span>{capability}{waived}</h3>',
        f'<p class="message">{text(finding.message)}</p>',
    ]
    where = _where(finding, bases)
    if where:
        parts.append(f'<p class="small soft">{where}</p>')
    if listing:
        parts.append(_listing(listing, finding))
    parts.append(f'<p class="small"><strong>What it means.</strong> {text(facts.meaning)}</p>')
    change = change_of(finding, row.report, run.policy)
    parts.append(f'<p class="small"><strong>What would change it.</strong> {text(change.text)}</p>')
    if change.toml:
        parts.append(lines(change.toml))
    return "\n".join([*parts, "</article>"])


def _where(finding: Finding, bases: dict[str | None, int]) -> str:
    parts = [f"member {code(finding.member)}"] if finding.member else []
    if finding.offset is not None:
        parts.append(f'at <span class="mono">{finding.offset:#06x}</span>')
        base = bases.get(finding.member)
        if base:
            parts.append(f'which is <span class="mono">{base + finding.offset:#06x}</span> in the file')
    return ", ".join(parts)


def _listing(listing: tuple[Line, ...], finding: Finding) -> str:
    """Offset, line, opcode, meaning; the line of the finding itself says what another loader would do there."""
    rows: list[str] = []
    for line in listing:
        here = line.offset == finding.offset
        remark = f"← {consequence(finding, line)}" if here else "argument" if line.effect == "literal" else ""
        shown = text(sentences.meaning(line), 400)
        cells = f"<td>{line.offset:#06x}</td><td>{text(line.name)}</td><td>{shown}</td>" + f'<td class="remark">{text(remark)}</td>'
        rows.append(f'<tr class="here">{cells}</tr>' if here else f"<tr>{cells}</tr>")
    return f'<div class="listing"><table><tbody>{"".join(rows)}</tbody></table></div>'
