"""A `Report` becomes the text that a person reads: every reason with its place, the lines of the stream that lead to it, and what could be done.

Fits its width, holds no escape codes unless a painter is given, and every text from the file goes through `escape`. One screen by default: some findings in
full, all names in one table. Decides nothing.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from safeload.escape import escape
from safeload.findings import BY_CODE, Fetched, Finding, Report
from safeload.policy.aliases import canonical_name
from safeload.policy.named import load_policy
from safeload.policy.shipped import SHIPPED, shipped_path
from safeload.report import sentences
from safeload.report.layout import DEFAULT_WIDTH, columns, cut, cut_middle, plural, wrap

if TYPE_CHECKING:  # an accepted file has neither
    from safeload.machine.listing import Line
    from safeload.report.snippets import Snippets
    from safeload.report.writer import Run

FULL_FINDINGS = 3  # findings shown with their listing, without --all
TABLE_ROWS = 60  # names in one table, without --all
NOTES = 3  # notes of one rule, without --all
MAX_MESSAGE = 400  # characters of one message
MAX_PATH = 200  # characters of one path or member
SHA_DIGITS = 12  # hex digits of a digest in prose; the JSON report has all 64

Painter = Callable[[str, str], str]
"""(what the text is: error, note, accepted, rejected, inconclusive, place, arrow; the text) -> the text, coloured."""

CONSEQUENCES: dict[str, str] = {
    "process.exec": "would start a process here",
    "code.exec": "would run code here",
    "code.import": "would import a module here",
    "code.deserialize": "would unpickle again here",
    "code.attribute": "would reach for any attribute here",
    "fs.read": "would read a file here",
    "fs.write": "would write a file here",
    "net": "would open a connection here",
    "native": "would run native code here",
}


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """How to show: `full` findings with their listing (None: all of them), `width` in columns, `named`: does the verdict line name the file."""

    width: int = DEFAULT_WIDTH
    full: int | None = FULL_FINDINGS
    named: bool = False
    advise: bool = True  # the policy stanza
    paint: Painter = lambda _, text: text


def render(report: Report, snippets: Snippets | None = None, style: Style | None = None) -> str:
    """The whole report on one file, with a newline at its end. `snippets` are from `snippets_of(reading, shown_findings(report))`."""
    style = style or Style()
    lines: list[str] = []
    shown = shown_findings(report, style.full)
    for finding in shown:
        lines += [*_finding(finding, report, (snippets or {}).get((finding.member, finding.offset or 0), ()), style), ""]
    rest = len(report.errors) - len(shown) + report.suppressed_findings
    if rest:
        lines += [f"and {plural(rest, 'more error')}{'' if style.full is None else ' (--all shows them)'}", ""]
    lines += _notes(report, style)
    if report.verdict != "accepted":
        lines += _names(report, {finding.global_name for finding in shown}, style)
        if style.advise:
            lines += _advice(report, style)
    lines += verdict_lines(report, style)
    return "\n".join(lines) + "\n"


def shown_findings(report: Report, full: int | None = FULL_FINDINGS) -> tuple[Finding, ...]:
    """The errors that are shown in full, the gravest first: what an entry denies, what is wrong with something allowed, what no entry lists."""

    def gravity(finding: Finding) -> int:
        if finding.rule == "SL301":
            return 0 if finding.entry is not None else 2
        return 1

    ordered = sorted(report.errors, key=gravity)
    if full is None:
        return tuple(ordered)
    grave = [finding for finding in ordered if gravity(finding) < 2]
    return tuple((grave + ordered[len(grave) : len(grave) + 1])[:full])  # of names without an entry one will do: the table has all of them


# ---- one finding ------------------------------------------------------------------------------------------------------------------------


def _finding(finding: Finding, report: Report, lines: tuple[Line, ...], style: Style) -> list[str]:
    label = f"{finding.level}[{BY_CODE[finding.rule].name}]"
    head = _head(f"{label} {escape(finding.message, MAX_MESSAGE)}", finding.rule, style.width)
    head[0] = head[0].replace(label, style.paint(finding.level, label), 1)
    place = [part for part in (_path(report.path), _path(finding.member or "")) if part]
    if finding.offset is not None:
        place.append(f"{finding.offset:#06x}")
    out = [*head, *_place(place, style)]
    out += _listing(lines, finding, style)
    for detail in _details(finding, report):
        out += wrap(detail, style.width, first="   = ", rest="     ")
    return out


def _head(text: str, rule: str, width: int) -> list[str]:
    """The message, with the rule's code at the right end of its first line."""
    first = wrap(text, width - len(rule) - 2)[0]
    rest = text[len(first) :].lstrip(" ")
    return [first.ljust(width - len(rule)) + rule, *(wrap(rest, width, first="    ", rest="    ") if rest else [])]


def _place(parts: list[str], style: Style) -> list[str]:
    """`--> file : member : 0xOFFSET`, on two lines where one does not hold it; what is still too long loses its middle."""
    arrow = style.paint("place", "-->")
    line = " : ".join(parts)
    if len(line) + len("  --> ") <= style.width or len(parts) == 1:
        return [f"  {arrow} {cut_middle(line, style.width - 6)}"]
    *rest, last = parts[1:]
    tail = f" : {last}" if rest else last
    second = cut_middle(rest[0], style.width - 6 - len(tail)) + tail if rest else cut_middle(last, style.width - 6)
    return [f"  {arrow} {cut_middle(parts[0], style.width - 6)}", f"      {second}"]


def _listing(lines: tuple[Line, ...], finding: Finding, style: Style) -> list[str]:
    """The slice: offset, opcode, what it means; an arrow at the finding's own line."""
    if not lines:
        return []
    wide = max(len(line.name) for line in lines)
    digits = max(4, *(len(f"{line.offset:x}") for line in lines))
    literals = max((len(line.argument) for line in lines if line.effect == "literal"), default=0)
    out: list[str] = []
    for line in lines:
        head = f" 0x{line.offset:0{digits}x}  {line.name.ljust(wide)}  "
        text = line.argument if line.effect == "literal" else line.meaning or line.argument
        remark = "argument" if line.effect == "literal" else ""
        if line.offset != finding.offset:
            room = style.width - len(head) - (len(remark) + 2 if remark else 0)
            out.append(f"{head}{cut(text, room).ljust(min(room, literals)) + '  ' + remark if remark else cut(text, room)}".rstrip())
            continue
        arrow = f"<- {consequence(finding, line)}"
        if len(head) + len(text) + 2 + len(arrow) <= style.width:
            out.append(f"{head}{text}  {style.paint('arrow', arrow)}")
        else:
            out.append(f"{head}{cut(text, style.width - len(head))}")
            out.append(f"{' ' * len(head)}{style.paint('arrow', cut(arrow, style.width - len(head)))}")
    return out


def consequence(finding: Finding, line: Line) -> str:
    """What another reader would do at the arrow."""
    if finding.rule.startswith("SL2"):
        return "the stream breaks here"
    if finding.rule != "SL301":
        return "here"
    if line.effect == "lookup":
        return "would be imported here"
    return CONSEQUENCES.get(_capability(finding)) or "would be imported and called here"


def _capability(finding: Finding) -> str:
    """The finding's own, or, for a name without an entry of which nothing else is known, what policy `inspect` says of it."""
    known = finding.capability not in (None, "unknown")
    if not known and finding.entry is None and finding.rule == "SL301" and finding.global_name is not None:
        return load_policy("inspect").decide(canonical_name(finding.global_name)).capability
    return finding.capability or "unknown"


def _details(finding: Finding, report: Report) -> list[str]:
    out: list[str] = []
    if finding.rule == "SL301":
        if finding.entry is not None:
            out.append(f'capability {finding.capability}, denied by entry "{finding.entry}"; no policy that extends it can allow it')
        else:
            known = _capability(finding)
            out.append(f"capability {known}, no entry")
    elif finding.entry is not None:
        out.append(f'capability {finding.capability}, entry "{finding.entry}"')
    unread = _unread(finding, report)
    if unread:
        out.append(unread)
    if finding.offset is not None and finding.rule.startswith(("SL2", "SL3")):
        member = f" --member {_argument(finding.member, 'MEMBER')}" if finding.member and sum(info.role == "pickle" for info in report.members) != 1 else ""
        out.append(f"more: safeload dis {_file(report)}{member} --around {finding.offset:#x}")
    return out


def _unread(finding: Finding, report: Report) -> str | None:
    """What the verdict does not cover because of this finding (law 4)."""
    if finding.rule.startswith(("SL3", "SL4")):
        return None
    if finding.rule.startswith("SL9"):
        return "not read: what lies beyond the limit; a policy's [limits], or limits= in Python, moves it"
    if finding.rule.startswith("SL2") and finding.offset is not None:
        where = _path(finding.member) if finding.member else "the stream"
        return f"not read: {where} from {finding.offset:#x} on; what stands before it was judged"
    if finding.rule == "SL122":
        return "not judged: this member"
    return None if report.members else "not read: any of it"


# ---- notes ------------------------------------------------------------------------------------------------------------------------------


def _notes(report: Report, style: Style) -> list[str]:
    """Warnings and notes, a line or two each, the first few of every rule."""
    groups: dict[str, list[Finding]] = {}
    for finding in report.findings:
        if finding.level != "error":
            groups.setdefault(finding.rule, []).append(finding)
    out: list[str] = []
    for rule, findings in groups.items():
        some = findings if style.full is None else findings[:NOTES]
        for finding in some:
            label = f"{finding.level}[{BY_CODE[rule].name}]"
            out += wrap(f"{label} {escape(finding.message, MAX_MESSAGE)}", style.width, rest="    ")
        if len(findings) > len(some):
            out.append(f"    and {plural(len(findings) - len(some), 'more note')} of this kind")
    return [*out, ""] if out else []


# ---- names ------------------------------------------------------------------------------------------------------------------------------


def _names(report: Report, shown: set[str | None], style: Style) -> list[str]:
    """All names that stand against the file, in two tables: those that an entry denies, those without one. A few that are `shown` in full need none."""
    from safeload.report.stanza import denied, unlisted

    out: list[str] = []
    for uses, title in (
        (denied(report), f"denied by policy {report.policy} for good"),
        (unlisted(report), f"listed by no entry of policy {report.policy}"),
    ):
        if len(uses) <= FULL_FINDINGS and all(use.global_name in shown for use in uses):
            continue
        some = uses if style.full is None else uses[:TABLE_ROWS]
        rows = [("count", "name", "used as", "first at")]
        for use in some:
            place = f"{use.places[0][1]:#06x}" if use.places else ""
            what = ", ".join(use.uses) or "named"
            rows.append((f"{use.count:,}", escape(canonical_name(use.global_name), MAX_MESSAGE), f"{what}: {use.capability}" if use.entry else what, place))
        room = style.width - 2 - 6 - max(len(row[0]) for row in rows) - max(len(row[2]) for row in rows) - max(len(row[3]) for row in rows)
        fitted = [(count, cut_middle(name, max(room, 16)), what, place) for count, name, what, place in rows]
        out += [*wrap(f"{plural(len(uses), 'name')} {title}:", style.width), *columns(fitted, right=frozenset({0, 3}))]
        if len(uses) > len(some):
            out.append(f"  and {plural(len(uses) - len(some), 'more name')} (--all shows them)")
        out.append("")
    return out


def _advice(report: Report, style: Style) -> list[str]:
    """The shipped policy that would do, the stanza and how to use it, or why there is none."""
    from safeload.report.stanza import SUGGESTED_FILE, helping_policy, left_out, scan_command, stanza, unlisted

    toml = stanza(report)
    path, other = _file(report), helping_policy(report)
    out: list[str] = []
    if other is not None:
        literal = repr(report.path) if _argument(report.path, "") and report.remote is None else '"FILE"'
        what = "keeps every name that is not denied as an inert record" if other == "inspect" else "is made for such files"
        intro = f"The shipped policy {other} {what}, and may accept the file:"
        out += [*wrap(intro, style.width), "", f"    {scan_command(other, path)}", f'    >>> safeload.load({literal}, policy="{other}")', ""]
    if toml:
        kept = "these names as inert records" if len(unlisted(report)) > 1 else "this name as an inert record"
        intro = f"If you know where the file comes from, a policy of your own that keeps {kept}:"
        out += [*wrap(intro, style.width), "", *(f"    {line}" if line else "" for line in toml), "", f"    {scan_command(SUGGESTED_FILE, path)}", ""]
        return out
    reason = left_out(report)
    return [*wrap(reason, style.width), "", *out] if reason else out


# ---- the verdict ------------------------------------------------------------------------------------------------------------------------


def verdict_lines(report: Report, style: Style) -> list[str]:
    """The last line or two: verdict, counts, bytes."""
    verdict = report.verdict
    subject = f"{verdict}: {_path(report.path)}" if style.named else verdict
    errors = len(report.errors) + report.suppressed_findings
    first = f"{plural(report.tensors, 'tensor')}, {plural(report.tensor_bytes, 'byte')}" if verdict == "accepted" else plural(errors, "error")
    parts = [f"{subject}: {first}", f"{report.bytes_accounted:,} of {report.bytes_total:,} bytes accounted for"]
    clauses = "; " if all(len(part) < style.width - 5 for part in parts) else " "
    lines = wrap("; ".join(parts), style.width, rest="    ", by=clauses)
    lines[0] = style.paint(verdict, verdict) + lines[0][len(verdict) :]
    inert = sentences.no_program(report)
    if inert:
        lines += wrap(inert, style.width, first="    ", rest="    ")
    if report.remote is not None:
        lines += wrap(_fetched(report, report.remote), style.width, first="    ", rest="    ")
    if verdict == "accepted" and report.has_opaque:
        count = sum(use.decision == "opaque" for use in report.globals)
        text = f"{plural(count, 'name')} kept as inert records: accepted holds for safeload.load alone, another loader would import them"
        lines += wrap(text, style.width, first="    ", rest="    ")
    return lines


def _fetched(report: Report, fetched: Fetched) -> str:
    of = f"{fetched.bytes_read:,} of {plural(report.bytes_total, 'byte')} fetched in {plural(fetched.requests, 'request')}; {sentences.version_of(fetched)}"
    return of if not fetched.bytes_unread else f"{of}; the verdict says nothing of the {plural(fetched.bytes_unread, 'byte')} that were not"


def head_lines(report: Report, run: Run, width: int) -> list[str]:
    """The first line of a report: the policy, its file, its digest, and what chose it where that was not the caller."""
    shipped = report.policy_file is None or (report.policy in SHIPPED and os.path.realpath(report.policy_file) == os.path.realpath(shipped_path(report.policy)))
    parts = [policy_text(report), "shipped with safeload" if shipped else _path(_near(report.policy_file or ""))]
    if run.chosen_by is not None:
        parts.append(f"chosen by {_path(_near(run.chosen_by))}")
    if run.loader == "any":
        parts.append("judged for any loader")
    if run.policy.mode == "audit":
        parts.append("mode audit: the exit code is 0 whatever the verdict")
    return wrap(", ".join(parts), width, rest="    ")


def _near(path: str) -> str:
    """A path below the current folder from there, any other as it is."""
    here = os.path.join(os.getcwd(), "")
    return path.removeprefix(here)


def policy_text(report: Report) -> str:
    """`policy checkpoint 2026.11 (sha256 1f4c...)`."""
    return f"policy {escape(report.policy)} {escape(report.policy_version)} (sha256 {report.policy_sha256[:SHA_DIGITS]}...)"


def _path(text: str) -> str:
    return escape(text, MAX_PATH)


def _file(report: Report) -> str:
    """The file as an argument; what lies behind a network has to be downloaded first."""
    return "FILE" if report.remote is not None else _argument(report.path, "FILE")


def _argument(text: str | None, placeholder: str) -> str:
    """A path or member as one word of a command line; a placeholder where its escaped form is not its name."""
    from shlex import quote

    shown = _path(text or "")
    return quote(shown) if shown and shown == text and shown[0] not in "-<" else placeholder
