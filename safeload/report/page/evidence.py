"""The rest of a file's page: which policy entry decided about each name and why, the tensors, and what another tool says."""

from __future__ import annotations

from safeload.findings import GlobalUse, Report
from safeload.policy.aliases import canonical_name
from safeload.policy.model import Deny, Policy
from safeload.report import sentences
from safeload.report.decision import place
from safeload.report.layout import plural
from safeload.report.page.parts import badge, code, folded, lines, size, table, text
from safeload.report.writer import Contents, Opinion, Row

MAX_NAMES = 400  # of one file
OPEN_NAMES = 12  # a longer table is folded
WORDS = {"denied": "denied", "opaque": "kept as a record", "allowed": "permitted"}
ORDER = {"denied": 0, "opaque": 1, "allowed": 2}
GRAVE = frozenset({"SUSPICIOUS", "LIKELY_UNSAFE", "LIKELY_OVERTLY_MALICIOUS", "OVERTLY_MALICIOUS"})  # fickling's own words


# ---- names and entries ----------------------------------------------------------------------------------------------------------------------


def names(report: Report, policy: Policy) -> str:
    """A line for each name: decision, uses, the entry with its reason."""
    uses = sorted(report.globals, key=lambda use: (ORDER[use.decision], -use.count, use.global_name))
    if not uses:
        return ""
    rows = [_name(use, policy) for use in uses[:MAX_NAMES]]
    body = table(("name", "decision", "used as", "times", "policy entry", "its reason"), rows, right=frozenset({3}), wide=frozenset({5}), stacked=True)
    if len(uses) > MAX_NAMES:
        body += f'<p class="soft small">and {plural(len(uses) - MAX_NAMES, "more name")}</p>'
    return body if len(uses) <= OPEN_NAMES else folded(f"All {plural(len(uses), 'name')} with the entries that decide", body)


def _name(use: GlobalUse, policy: Policy) -> tuple[str, ...]:
    entry = policy.decide(canonical_name(use.global_name)).entry
    if entry is None:
        decided = "by the caller" if use.decision == "allowed" else "no entry lists it"
        return code(use.global_name, 300), _decided(use), _uses(use), f"{use.count:,}", f'<span class="soft">{decided}</span>', ""
    evidence = "" if isinstance(entry, Deny) or not entry.evidence else f' <span class="soft">Evidence: {text("; ".join(entry.evidence), 400)}.</span>'
    reviewed = f' <span class="soft">Reviewed by {text(entry.reviewed_by)}.</span>' if entry.reviewed_by is not None else ""
    expires = "" if isinstance(entry, Deny) or entry.expires is None else f' <span class="soft">Until {entry.expires.isoformat()}.</span>'
    shipped = place(entry).removesuffix(", shipped with safeload")
    stands = f'<span class="nowrap">{text(shipped.removeprefix("policies/"))}</span>' if shipped != place(entry) else text(shipped)
    where = f'{code(entry.id)} <br><span class="soft small">{stands}</span>'
    return code(use.global_name, 300), _decided(use), _uses(use), f"{use.count:,}", where, f"{text(entry.reason, 600)}{evidence}{reviewed}{expires}"


def _decided(use: GlobalUse) -> str:
    expired = f" {badge('warning', 'expired')}" if use.expired else ""
    return f'{badge(use.decision, WORDS[use.decision])}{expired} <br><span class="soft small">{text(use.capability)}</span>'


def _uses(use: GlobalUse) -> str:
    return ", ".join(map(text, use.uses)) or "named"


# ---- tensors --------------------------------------------------------------------------------------------------------------------------------


def tensors(report: Report, contents: Contents) -> str:
    """What the file holds, by dtype and one by one."""
    if not contents.tensor_count:
        found = f"{plural(report.tensors, 'tensor')} of {plural(report.tensor_bytes, 'byte')} were proved to lie inside the file. " if report.tensors else ""
        why = contents.why_none if report.tensors or report.verdict != "accepted" else "The file holds no tensor."
        return f'<p class="soft">{found}{text(why)}</p>'
    total = sum(nbytes for _, _, nbytes in contents.dtypes)
    names = f"{plural(contents.tensor_count, 'name')} for {plural(report.tensors, 'tensor')}" if contents.tensor_count != report.tensors else ""
    counted = f"{names}, {size(total)} if each is counted" if names else f"{plural(contents.tensor_count, 'tensor')} of {size(total)}"
    memory = f"{counted}, in {plural(contents.storages, 'storage')} of {size(contents.storage_bytes)}. Loading takes the memory of the storages."
    kinds = table(
        ("dtype", "tensors", "bytes"),
        [(code(name), f"{count:,}", f"{nbytes:,}") for name, count, nbytes in contents.dtypes],
        right=frozenset({1, 2}),
    )
    rows = []
    for each in contents.tensors:
        shared = f' <span class="soft small">{each.views:,} views</span>' if each.views > 1 else ""
        at = f'<span class="mono">{each.offset:#x}</span>' if each.offset is not None else ""
        shape = f'<span class="nowrap">{code("[" + ", ".join(map(str, each.shape)) + "]", 200)}</span>'
        rows.append((code(each.name, 400), code(each.dtype, 60), shape, f"{each.nbytes:,}", code(each.location, 60), code(each.storage, 80) + shared, at))
    body = table(("name", "dtype", "shape", "bytes", "device", "storage", "at"), rows, right=frozenset({3, 6}))
    if contents.tensor_count > len(contents.tensors):
        body += f'<p class="soft small">and {plural(contents.tensor_count - len(contents.tensors), "more tensor")}; <code>safeload tensors</code> lists all</p>'
    return f"<p>{memory}</p>\n{kinds}\n{folded('All by name', body, open_=len(contents.tensors) <= 40)}"


# ---- second opinion -------------------------------------------------------------------------------------------------------------------------


def opinions(row: Row) -> str:
    """fickling beside safeload; where they disagree, that is said."""
    report = row.report
    if not row.opinions:
        return '<p class="soft">No other tool was asked.</p>' if row.report.verdict != "accepted" else ""
    grave = [each for each in row.opinions if each.severity in GRAVE]
    said = next((each.severity for each in sorted(row.opinions, key=lambda each: each.severity not in GRAVE) if each.severity), None)
    ours = f'<span class="verdict-{report.verdict}">{report.verdict}</span>'
    theirs = text(said.lower().replace("_", " ")) if said else "no verdict"
    cards = (
        f'<div class="opinion"><div class="soft small">safeload, policy {text(report.policy)}</div><div class="said">{ours}</div>'
        f'<div class="small">{text(sentences.verdict_of(report).partition(": ")[2])}</div></div>'
        f'<div class="opinion"><div class="soft small">fickling, in a process of its own</div><div class="said">{theirs}</div>'
        f'<div class="small">{plural(len(row.opinions), "stream")} read by rules of its own; it decides nothing here</div></div>'
    )
    parts = [f'<div class="two">{cards}</div>']
    if said and bool(grave) == (report.verdict == "accepted"):
        parts.append(f'<p class="remark-box">They disagree. {_disagreement(report, bool(grave))}</p>')
    parts += [_opinion(each) for each in row.opinions]
    return "\n".join(parts)


def _disagreement(report: Report, grave: bool) -> str:
    if report.verdict == "accepted":
        kept = " Of the names kept as records this holds for safeload alone: another loader would import them." if report.has_opaque else ""
        return f"fickling warns of any name that it has no entry for; safeload looked each name, use and argument up in its policy.{kept}"
    if report.verdict == "inconclusive" and not grave:
        return "fickling calls fine what it understood; safeload gives no verdict on what it could not read to the end."
    return "fickling looks for names that are known to be dangerous; safeload refuses every name that its policy does not list."


def _opinion(each: Opinion) -> str:
    where = f"the stream{f' of {code(each.member)}' if each.member else ''} at <span class=\"mono\">{each.offset:#x}</span>"
    parts: list[str] = []
    if each.analysis:
        parts.append(lines(each.analysis.splitlines()[:60], wrap=True))
    if each.error:
        parts.append(f'<p class="soft">fickling gives up: {text(each.error, 400)}</p>')
    if each.python:
        parts.append("<p>As Python, which nobody ran:</p>" + lines(each.python.splitlines()[:400]))
    return folded(f"What fickling says of {where}", "\n".join(parts))
