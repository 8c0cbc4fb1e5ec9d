"""`safeload policy lock FILE...`: the parents of policy files, with the digests that pin what they decide."""

from __future__ import annotations

import os

import click

from safeload.cli.common import EXIT_NO_VERDICT, complain, resolve_policy
from safeload.cli.policy.common import CHANGED, say
from safeload.errors import PolicyFileError
from safeload.escape import escape
from safeload.policy.model import Policy
from safeload.policy.toml import Parent, PolicyFile, read_policy
from safeload.report.layout import plural


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def lock(files: tuple[str, ...]) -> int:
    """Show the extends line that pins what the parents decide today.

    A pinned parent whose digest has changed makes a policy invalid, so a new version
    of safeload, or of a colleague's file, changes no gate unseen. Nothing is written.

    Exit codes: 0 all parents are pinned as they are, 1 some are not, 2 wrong usage.
    """
    return max(_locked(file) for file in files)


def _locked(file: str) -> int:
    try:
        written = read_policy(file)
    except PolicyFileError as error:
        for line in str(error).splitlines():
            complain(line)
        return EXIT_NO_VERDICT
    except OSError as error:
        complain(f"{file}: {error.strerror or error}")
        return EXIT_NO_VERDICT
    found = [(parent, _resolved(written, parent)) for parent in written.extends]
    loose = [parent for parent, policy in found if parent.sha256 != policy.sha256]
    if not loose:
        say([f"{escape(file)}: {plural(len(found), 'parent')}, all pinned as they are" if found else f"{escape(file)}: it extends nothing"])
        return 0
    say([f"{escape(file)}: {plural(len(loose), 'parent')} of {len(found)} not pinned as they are; this pins them:", ""])
    say(["    extends = [", *(f"        {_pinned(parent, policy)}," for parent, policy in found), "    ]", ""])
    return CHANGED


def _resolved(written: PolicyFile, parent: Parent) -> Policy:
    """The parent as it is today."""
    named = parent.policy
    return resolve_policy(os.path.join(os.path.dirname(written.file or ""), named) if named.endswith(".toml") else named)


def _pinned(parent: Parent, policy: Policy) -> str:
    from safeload.policy.quote import toml_text

    return f'{{ policy = {toml_text(parent.policy)}, sha256 = "{policy.sha256}" }}'
