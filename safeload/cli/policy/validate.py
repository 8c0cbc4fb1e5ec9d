"""`safeload policy validate`: policy files become "valid", or every problem of each, with its line and key path."""

from __future__ import annotations

import click

from safeload.cli.common import EXIT_NO_VERDICT, complain
from safeload.cli.policy.common import CHANGED
from safeload.errors import PolicyFileError
from safeload.escape import escape
from safeload.report.layout import plural


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def validate(files: tuple[str, ...]) -> int:
    """Check policy files, their parents included.

    Exit codes: 0 all are valid, 1 some are not, 2 some cannot be read.
    """
    from safeload.policy.named import load_policy

    code = 0
    for file in files:
        try:
            policy = load_policy(file)
        except PolicyFileError as error:
            click.echo(f"{escape(error.file)}: {plural(len(error.problems), 'problem')}")
            for (path, message), line in zip(error.problems, error.lines, strict=True):
                click.echo("  " + ": ".join(filter(None, [f"line {line}" if line else "", escape(path), escape(message, 1_000)])))
            code = code or CHANGED
        except OSError as error:
            complain(f"{file}: {error.strerror or error}")
            code = EXIT_NO_VERDICT
        else:
            click.echo(f"{escape(file)}: valid, sha256 {policy.sha256}")
    return code
