"""`safeload policy unused PATHS --policy POLICY`: entries and names that none of the files mentions."""

from __future__ import annotations

import click

from safeload.cli.common import EXIT_NO_VERDICT, complain, policy_option, project_policy
from safeload.cli.policy.common import CHANGED, emit_json, paragraph, reports, say
from safeload.escape import escape
from safeload.report.layout import plural


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@policy_option
@click.option("--inherited", is_flag=True, help="Entries of the parents too.")
@click.option("--format", "-f", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
def unused(paths: tuple[str, ...], policy: str | None, inherited: bool, format_: str) -> int:
    """What of a policy none of these files needs: candidates for removal.

    Exit codes: 0 everything is needed, 1 something is not, 2 no file could be read.
    """
    from safeload.policytools.usage import unused as idle

    found = project_policy(policy, paths).policy
    seen = list(reports(paths, found))
    if not seen:
        complain("no file could be read")
        return EXIT_NO_VERDICT
    rows = idle(found, seen, inherited=inherited)
    if format_ == "json":
        emit_json([{"kind": row.kind, "entry": row.entry.id, "policy": row.entry.policy, "names": row.names, "whole": row.whole} for row in rows])
        return CHANGED if rows else 0
    if not rows:
        say(paragraph(f"every entry of policy {found.name} is used by {plural(len(seen), 'file')}"))
        return 0
    say(paragraph(f"not used by {plural(len(seen), 'file')}, of policy {found.name}:"))
    for row in rows:
        origin = f" of {escape(row.entry.policy)}" if row.entry.policy != found.name else ""
        what = "whole entry" if row.whole else plural(len(row.names), "name")
        say([f"  {row.kind} {escape(row.entry.id)}{origin}: {what}"])
        if not row.whole:
            say(paragraph(", ".join(row.names), first="      ", rest="      "))
    return CHANGED
