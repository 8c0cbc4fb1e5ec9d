"""`safeload lock`: files and their verdicts become a lock file, which `safeload scan --locked` compares with what it finds.

Judges as `scan` does and has its exit codes. The lock is written whatever they are: it says what was there, not that it was good.
"""

from __future__ import annotations

import os

import click

from safeload.cli.common import EXIT_NO_VERDICT, EXIT_NOTHING, complain, encoding_option, exit_of, policy_option, project_policy, worst
from safeload.cli.walk import Walked, globbed, targets
from safeload.escape import escape
from safeload.report.layout import plural

DEFAULT_LOCK = "safeload.lock"


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@policy_option
@click.option("--output", "-o", metavar="FILE", default=DEFAULT_LOCK, show_default=True, help="Where the lock goes.")
@click.option("--exclude", metavar="GLOB", multiple=True, help="Skip such files of a folder; may be given more than once.")
@encoding_option
def lock(paths: tuple[str, ...], policy: str | None, output: str, exclude: tuple[str, ...], encoding: str) -> int:
    """Record sha256, verdict and capabilities of files, and the policy's digest.

    `safeload scan --locked FILE` fails on any difference. The lock file itself and
    what --exclude takes away are left out.

    Exit codes: those of scan, 0 accepted, 1 rejected, 2 no verdict, 3 nothing to check.
    """
    from safeload.cli.scanning import Plan, read_report
    from safeload.policy.lockfile import render_lock
    from safeload.policytools.lock import SHA_DIGITS, locked, locked_path, made_lock

    if "-" in paths:
        complain("standard input cannot be locked: it has no path")
        return EXIT_NO_VERDICT
    paths = tuple(globbed(paths))
    chosen = project_policy(policy, paths)
    plan = Plan(chosen=chosen, encoding=encoding, verify=None, digest=True, show_all=False)
    folder, walked = os.path.dirname(os.path.abspath(output)), Walked()
    files, codes = [], []
    for target in targets(paths, exclude, walked):
        if os.path.abspath(target.path) != os.path.abspath(output):
            report = read_report(target, plan)
            files.append(locked(report, locked_path(target.path, folder)))
            codes.append(exit_of(report))
    made = made_lock(chosen.policy, [locked_path(path, folder) for path in paths], exclude, files)
    try:
        with open(output, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(render_lock(made))
    except OSError as error:
        complain(f"--output {output}: {error.strerror or error}")
        return EXIT_NO_VERDICT
    policy_line = f"policy {escape(made.policy)} {escape(made.version)} (sha256 {made.policy_sha256[:SHA_DIGITS]}...)"
    click.echo(f"{escape(output)}: {plural(len(made.files), 'file')}, {policy_line}")
    return worst([*codes, *(EXIT_NOTHING for _ in walked.empty)])
