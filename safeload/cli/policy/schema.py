"""`safeload policy schema`: the JSON Schema of policy files on standard output, for editors that complete and check TOML."""

from __future__ import annotations

import click

from safeload.cli.common import EXIT_ACCEPTED


@click.command()
def schema() -> int:
    """Print the JSON Schema of policy files.

    Written from the table that `safeload policy validate` checks by. It knows what
    one value can show; `validate` knows the rest.

    Exit codes: 0, always.
    """
    from safeload.policy.schema import json_schema
    from safeload.report.json_v1 import encode

    click.echo(encode(json_schema()), nl=False)
    return EXIT_ACCEPTED
