"""`safeload policy list` and `show`: policies as people read them, or as one resolved TOML file."""

from __future__ import annotations

import click

from safeload.cli.common import resolve_policy
from safeload.cli.policy.common import emit_json, paragraph, say, width
from safeload.escape import escape
from safeload.policy.model import Policy
from safeload.policy.shipped import DEFAULT_POLICY, SHIPPED
from safeload.report.layout import columns, cut, plural

NAMES_SHOWN = 3  # names of one entry in the overview; --resolved has all of them


@click.command("list")
@click.option("--format", "-f", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
def list_(format_: str) -> int:
    """The shipped policies, each with what it is for."""
    policies = [resolve_policy(name) for name in SHIPPED]
    if format_ == "json":
        emit_json([_overview(policy) for policy in policies])
        return 0
    rows = [(policy.name + (" (default)" if policy.name == DEFAULT_POLICY else ""), policy.mode, ", ".join(policy.parents) or "-") for policy in policies]
    heads = columns([("policy", "mode", "extends"), *rows], indent="")
    say([heads[0]])
    for head, policy in zip(heads[1:], policies, strict=True):
        say([head, *paragraph(policy.summary, first="    ", rest="    ")])
    return 0


def _overview(policy: Policy) -> dict[str, object]:
    return {
        "name": policy.name,
        "version": policy.version,
        "mode": policy.mode,
        "extends": policy.parents,
        "summary": policy.summary,
        "sha256": policy.sha256,
        "file": policy.file,
        "names": {"allow": len(policy.allow_exact), "opaque": len(policy.opaque_exact) + len(policy.opaque_prefix), "deny": len(policy.deny_exact)},
    }


@click.command()
@click.argument("policy", metavar="POLICY")
@click.option("--resolved", is_flag=True, help="One TOML file with everything that is inherited; it has the same digest.")
@click.option("--all", "show_all", is_flag=True, help="Inherited entries too.")
@click.option("--format", "-f", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
def show(policy: str, resolved: bool, show_all: bool, format_: str) -> int:
    """What a policy permits, keeps as records and denies, and why.

    Its own entries; --all shows those of its parents, --resolved the whole as TOML.
    """
    found = resolve_policy(policy)
    if resolved:
        from safeload.policytools.writer import resolved_toml

        click.echo(resolved_toml(found), nl=False)
    elif format_ == "json":
        emit_json(_overview(found))
    else:
        say(_text(found, show_all))
    return 0


def _text(policy: Policy, show_all: bool) -> list[str]:
    from safeload.policytools.writer import denials, grouped

    lines = [f"{escape(policy.name)} {escape(policy.version)}, {policy.mode}, sha256 {policy.sha256}"]
    lines += paragraph(policy.summary)
    lines += [f"file     {escape(policy.file or '-')}", f"owner    {escape(policy.owner)}"]
    lines += [f"extends  {', '.join(policy.parents) or '-'}", f"formats  {', '.join(policy.formats)}"]
    left_out = 0
    patterns = [(f"{prefix}*", entry) for prefix, entry in policy.opaque_prefix.items()]
    for title, groups in (
        ("permits", grouped(policy.allow_exact.items())),
        ("keeps as inert records", grouped([*policy.opaque_exact.items(), *patterns])),
        ("denies", grouped(denials(policy))),
    ):
        own = [(entry, names) for entry, names in groups if show_all or entry.policy == policy.name]
        left_out += len(groups) - len(own)
        if own:
            lines += ["", f"{title}:"]
        for entry, names in own:
            origin = f" of {escape(entry.policy)}" if entry.policy != policy.name else ""
            lines.append(f"  {escape(entry.id)}{origin}: {entry.capability}, {plural(len(names), 'name')}")
            more = f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
            lines.append(cut(f"    {', '.join(names[:NAMES_SHOWN])}", width() - len(more)) + more)
            lines += paragraph(entry.reason, first="    ", rest="    ")
    if left_out:
        lines += ["", f"and {plural(left_out, 'inherited entry', 'inherited entries')} (--all shows them, --resolved writes them)"]
    return lines
