"""The options of `safeload scan`. What is done with them is `scanning`."""

from __future__ import annotations

import click

from safeload.cli.common import encoding_option, policy_option, project_policy
from safeload.cli.many import Many, many_options
from safeload.cli.outputs import format_option
from safeload.cli.scanning import Asked, run_scan
from safeload.findings import Loader
from safeload.judge import Verify


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH|URI|-]...")
@policy_option
@format_option
@click.option("--output", "-o", metavar="FILE", help="Write the report there instead of to standard output.")
@click.option("--all", "show_all", is_flag=True, help="Show every finding in full, and every name.")
@click.option("--online", is_flag=True, help="Also fetch https://, s3:// and hf:// addresses, and of them only what is judged.")
@click.option("--exclude", metavar="GLOB", multiple=True, help="Skip such files of a folder; may be given more than once.")
@click.option("--verify", type=click.Choice(["crc"]), help="Compare the CRC-32 of the storages too, which reads every byte.")
@click.option("--loader", type=click.Choice(["safeload", "any"]), default="safeload", help="any: whatever another loader would import or run is an error.")
@click.option("--digest/--no-digest", default=None, help="The sha256 of every file; on for json, html, sarif, cyclonedx, csv.")
@click.option("--locked", metavar="FILE", help="Fail on any difference from this lock file (safeload lock); without PATH, of all that it locks.")
@many_options
@click.option("--second-opinion/--no-second-opinion", default=None, help="Ask fickling, too, for html; on for a single file. It decides nothing.")
@click.option("--exit-zero", is_flag=True, help="Exit 0 whatever the verdicts are.")
@encoding_option
def scan(
    paths: tuple[str, ...],
    policy: str | None,
    formats: tuple[str, ...],
    output: str | None,
    show_all: bool,
    exclude: tuple[str, ...],
    verify: Verify,
    loader: Loader,
    digest: bool | None,
    locked: str | None,
    online: bool,
    second_opinion: bool | None,
    exit_zero: bool,
    encoding: str,
    many: Many,
) -> int:
    """Judge files without running or building anything in them.

    PATH is a file, a folder (all files below it), a glob or - for standard input.
    URI, with --online, is https://, s3://bucket/key, hf://org/model@revision for all
    files of a repository, or hf://org/model@revision/file.

    Exit codes: 0 accepted, 1 rejected, 2 no verdict or wrong usage, 3 nothing to
    check. The worst file decides, in the order 1, 2, 3, 0. A policy in mode audit
    exits 0 like --exit-zero; what differs from a lock file exits 1 all the same.
    """
    asked = Asked(
        paths=paths,
        formats=formats,
        output=output,
        show_all=show_all,
        exclude=exclude,
        verify=verify,
        loader=loader,
        digest=digest,
        locked=locked,
        second_opinion=second_opinion,
        exit_zero=exit_zero,
        encoding=encoding,
        many=many,
        online=online,
    )
    return run_scan(asked, lambda paths: project_policy(policy, paths))
