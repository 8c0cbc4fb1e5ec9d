"""`safeload policy learn PATHS -o FILE`: files that somebody trusts become the draft of a policy for them."""

from __future__ import annotations

import os

import click

from safeload.cli.common import EXIT_NO_VERDICT, complain
from safeload.cli.policy.common import paragraph, reports, say
from safeload.report.layout import plural

SHOWN = 10  # names or files of one kind that could not be learned


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--output", "-o", required=True, metavar="FILE", help="Where the draft goes, a .toml file that does not exist yet; - for standard output.")
@click.option("--name", default="my-policy", show_default=True, help="Of the policy.")
@click.option("--force", is_flag=True, help="Replace FILE.")
def learn(paths: tuple[str, ...], output: str, name: str, force: bool) -> int:
    """Draft the policy that just permits what these files need.

    Nothing in them is run. The draft extends weights-only and lists exact names; every
    reason in it is empty, and `safeload policy validate` refuses it until a person has
    written them all. Give it only files whose origin you know: it believes them.

    Exit codes: 0 drafted, 2 nothing could be learned from some file.
    """
    from safeload.policy.named import load_policy
    from safeload.policytools.learn import SCANNED_WITH
    from safeload.policytools.learn import learn as draft_from

    draft = draft_from(reports(paths, load_policy(SCANNED_WITH)), name)
    if not draft.files:
        complain("no file could be read, so there is nothing to learn from")
        return EXIT_NO_VERDICT
    if not _write(draft.text, output, force):
        return EXIT_NO_VERDICT
    for (title, rows) in (
        ("denied by the shipped policies, and left out", draft.denied),
        ("not spelled as Python names, and left out", draft.unwritable),
        ("not read to the end, and left out", draft.unread),
    ):
        for first, second in rows[:SHOWN]:
            complain(f"{title}: {first} ({second})")
        if len(rows) > SHOWN:
            complain(f"{title}: and {len(rows) - SHOWN:,} more")
    if output != "-":
        text = f"{output}: {plural(draft.names, 'name')} from {plural(draft.files, 'file')}. Write the empty reasons, summary and owner, then:"
        say([*paragraph(text, rest="    "), f"    $ safeload policy validate {output}", f"    $ safeload policy diff weights-only {output}"])
    return EXIT_NO_VERDICT if draft.denied or draft.unwritable or draft.unread else 0


def _write(text: str, output: str, force: bool) -> bool:
    if output == "-":
        click.echo(text, nl=False)
        return True
    if os.path.exists(output) and not force:
        complain(f"{output} exists; --force replaces it")
        return False
    try:
        with open(output, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    except OSError as error:
        complain(f"{output}: {error.strerror or error}")
        return False
    return True
