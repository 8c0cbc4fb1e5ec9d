"""`safeload policy explain POLICY GLOBAL`: a name becomes the entry that decides about it, where that stands, why it is so, and what would change it."""

from __future__ import annotations

import click

from safeload.cli.common import resolve_policy
from safeload.cli.policy.common import say, width
from safeload.report.decision import decision_lines


@click.command()
@click.argument("policy", metavar="POLICY")
@click.argument("name", metavar="GLOBAL")
def explain(policy: str, name: str) -> int:
    """What a policy says about a name, and which entry of which file says so.

    GLOBAL is module.name, as reports show it: posix.system, torch._utils._rebuild_tensor_v2.
    A name that Python 2 or an old numpy spells otherwise is judged by its spelling of today.

    Exit codes: 0 the name may appear in a file, 1 it may not, 2 wrong usage.
    """
    from safeload.policy.today import utc_today

    found = resolve_policy(policy).on(utc_today())
    lines, permitted = decision_lines(found, name, width())
    say(lines)
    return 0 if permitted else 1
